#!/usr/bin/env bash
# The second command: installs what is missing, then every check and test. Ends with `N passed, N failed`.
#   tests/run.sh           everything
#   tests/run.sh quick     without the tests that run nginx and Gunicorn
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# check NAME COMMAND...: one check, its output shown when it fails.
check() {
  local name=$1
  shift
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    printf 'ok      %s\n' "$name"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n' "$name"
    tail -n 60 "$log"
  fi
}

deny() {
  export PATH="$work/bin:$PATH"
  if ! command -v cargo-deny >/dev/null; then
    printf 'building cargo-deny, once\n' >&2
    CARGO_TARGET_DIR="$work/deny-target" cargo install cargo-deny --locked --quiet --root "$work" || return 1
    rm -rf "$work/deny-target"
  fi
  cargo deny --log-level error check bans licenses sources
}

# Advisories of RustSec are a repository of their own: where it cannot be reached nothing is known, and that is said.
advisories() {
  export PATH="$work/bin:$PATH"
  cargo deny --log-level error check advisories
}

check 'formatting' cargo fmt --check
check 'clippy' cargo clippy --quiet --all-targets -- -D warnings
check 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps
check 'licences, bans, sources' deny
if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
  check 'advisories of dependencies' advisories
else
  printf 'skipped %s\n' 'advisories of dependencies: the database of RustSec cannot be reached from here'
fi
check 'the estimate of confidences' python3 tests/calibration/calibrate.py --self-test

# The tests of the crate: their own counts are added up.
# Of one that fails the line behind `panicked at` is shown too: it says what was there.
cargo test --no-fail-fast 2>&1 | tee "$log" | awk '
  told { print substr($0, 1, 2000); told = 0; next }
  /panicked at/ { print; told = 1; next }
  /^(test result|error|test .* FAILED|failures:|---- )/ { print; fflush() }'
crate=${PIPESTATUS[0]}
counts=$(awk '/^test result/ {p += $4; f += $6} END {print p + 0, f + 0}' "$log")
passed=$((passed + ${counts% *}))
failed=$((failed + ${counts#* }))
if [ "$crate" != 0 ] && [ "${counts#* }" = 0 ]; then
  failed=$((failed + 1))
  tail -n 60 "$log"
fi

if [ "${1:-}" != quick ]; then
  need_nginx
  need_python test
  check 'the program builds' cargo build --quiet
  WHY502_BIN="$root/target/debug/why502" "$work/venv/bin/pytest" -q --no-header -p no:cacheprovider tests/process 2>&1 | tee "$log"
  process=${PIPESTATUS[0]}
  p=$(grep -oE '[0-9]+ passed' "$log" | tail -n1 | cut -d' ' -f1)
  f=$(grep -oE '[0-9]+ (failed|error)' "$log" | awk '{s += $1} END {print s + 0}')
  passed=$((passed + ${p:-0}))
  failed=$((failed + f))
  [ "$process" = 0 ] || [ "$f" != 0 ] || failed=$((failed + 1))
fi

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
