/* Preloaded by tests/journal.rs: fdatasync fails as on a failing disk while the file that SYNC_FAILS names is there. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int file) {
  const char *name = getenv("SYNC_FAILS");
  if (name && access(name, F_OK) == 0) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_fdatasync, file);
}
