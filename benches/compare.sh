#!/usr/bin/env bash
# A proxy that only copies bytes, why502 and the OpenTelemetry Collector side by side, in one run: CPU seconds for a
# million records as a ratio to the proxy, records a second, resident memory, added delay. About an hour; one load quickly:
#   benches/compare.sh --only storm --rounds 1 --records 500000 --seconds 15 --without-collector
#   benches/compare.sh [--rounds N] [--records N] [--seconds N] [--only WORDS] [--why502 FILE] [--json FILE] [--without-collector]
#     [--journal] [--before FILE]
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
command -v python3 >/dev/null || apt_install python3
case " $* " in
  *' --without-collector '*) ;;
  *) need_collector ;;
esac
cargo build --release --quiet --bin why502
cargo build --release --quiet --manifest-path benches/compare/Cargo.toml
exec python3 benches/compare.py "$@"
