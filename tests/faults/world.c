/* Preloaded by tests/faults.rs: the name backend.test has the address that the file NAME_IS says, and the clock is off by the
   nanoseconds in the file CLOCK_IS, 8 bytes as the machine has them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
  char address[64] = {0};
  const char *name = getenv("NAME_IS");
  if (node && name && strcmp(node, "backend.test") == 0) {
    int file = open(name, O_RDONLY);
    if (file < 0 || read(file, address, sizeof address - 1) <= 0) return EAI_NONAME;
    close(file);
    node = address;
  }
  return real(node, service, hints, result);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static const long long *offset;
  static int is_looked_for;
  int result = syscall(SYS_clock_gettime, clock, now);
  if (!is_looked_for) {
    const char *name = getenv("CLOCK_IS");
    int file = name ? open(name, O_RDONLY) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offset = page;
    is_looked_for = 1;
  }
  if (clock == CLOCK_REALTIME && offset) {
    long long nanos = now->tv_nsec + *offset % 1000000000LL;
    now->tv_sec += *offset / 1000000000LL;
    if (nanos < 0) nanos += 1000000000LL, now->tv_sec -= 1;
    if (nanos >= 1000000000LL) nanos -= 1000000000LL, now->tv_sec += 1;
    now->tv_nsec = nanos;
  }
  return result;
}
