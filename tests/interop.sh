#!/usr/bin/env bash
# The third command: installs what is missing, then runs why502 with the real OpenTelemetry Collector in front of it and
# behind it, with real Jaeger behind it, with the SDKs of four languages, and its page in a real Chromium. The first two are
# built from Go modules into .work/, once, which takes some ten minutes. Arguments go to pytest. Ends with `N passed, N failed`.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_nginx
need_python test
need_collector
need_jaeger
need_sdks
need_browser

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if [ -z "${WHY502_BIN:-}" ]; then
  say 'building why502'
  cargo build --quiet || { printf '0 passed, 1 failed\n'; exit 1; }
  export WHY502_BIN="${CARGO_TARGET_DIR:-$root/target}/debug/why502"
fi
"$work/venv/bin/pytest" -q --no-header -p no:cacheprovider tests/interop tests/page "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
passed=$(grep -oE '[0-9]+ passed' "$log" | tail -n1 | cut -d' ' -f1)
failed=$(tail -n1 "$log" | grep -oE '[0-9]+ (failed|error)' | awk '{s += $1} END {print s + 0}')
# pytest that did not come to its end is a failure too, also where it counted none.
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
printf '%d passed, %d failed\n' "${passed:-0}" "$failed"
[ "$failed" = 0 ]
