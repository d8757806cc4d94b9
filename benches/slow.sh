#!/usr/bin/env bash
# 30 million records to a backend that takes half a second for each request: what was acknowledged arrives, and nothing is
# dropped. Some four minutes. Arguments go to overload.py: --records, --batch, --seconds, --limit, --journal.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_python test
cargo build --release --quiet --bin why502
exec "$work/venv/bin/python" benches/overload.py --delay 0.5 "$@"
