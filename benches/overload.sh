#!/usr/bin/env bash
# Three times the load that a backend carries, for a minute, to why502 and to the collector with memory_limiter: what they
# take of memory, what of the acknowledged arrives, and whether they recover. Arguments go to overload.py.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_python test
need_collector
cargo build --release --quiet --bin why502
exec "$work/venv/bin/python" benches/overload.py --rate 10 --offered 30 --seconds 60 --batch 1000 --limit 256 --senders 24 --beside "$@"
