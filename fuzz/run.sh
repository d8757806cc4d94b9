#!/usr/bin/env bash
# Runs the fuzz targets one after the other: `fuzz/run.sh [SECONDS [TARGET...]]`, 600 seconds each by default. Findings go
# to fuzz/artifacts; each becomes a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
export PATH="$work/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet --root "$work"
seconds=${1:-600}
shift || true
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | grep -v '^why502-fuzz$')
status=0
for target in "$@"; do
  # The flag lets the sanitizer's coverage be built by a stable compiler.
  if RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" --sanitizer none -- \
    -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$work/fuzz-$target.log" 2>&1; then
    printf 'ok      %s: %s runs in %s s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/fuzz-$target.log")" "$seconds"
  else
    status=1
    printf 'FAILED  %s\n' "$target"
    tail -n 30 "$work/fuzz-$target.log"
  fi
done
exit $status
