#!/usr/bin/env bash
# The third command: installs what is missing, then runs why502 with the real OpenTelemetry Collector in front of it and
# behind it, with real Jaeger behind it, with the SDKs of four languages, and its page in a real Chromium. The first two are
# built from Go modules into .work/, once, which takes some ten minutes. Arguments go to pytest. Ends with `N passed, N failed`.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
. tests/pytest.sh
need_rust
need_nginx
need_python test
need_collector
need_balancer
need_jaeger
need_kafka
need_sdks
need_browser

if [ -z "${WHY502_BIN:-}" ]; then
  say 'building why502'
  cargo build --quiet || { printf '0 passed, 1 failed\n'; exit 1; }
  export WHY502_BIN="${CARGO_TARGET_DIR:-$root/target}/debug/why502"
fi
run_pytest tests/interop tests/page "$@"
