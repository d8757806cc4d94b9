#!/usr/bin/env bash
# How much why502 takes out of Kafka and puts into it: records a second of one core (user and system time of the process, so
# that the broker beside it does not count), and what one, two and four instances take together. Healthy access lines, 500 in
# a request. Starts a broker of its own on free ports; takes three minutes. Arguments: number of messages (4000).
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_python test
need_kafka
[ -n "${WHY502_BIN:-}" ] || cargo build --release --quiet --bin why502
export WHY502_BIN="${WHY502_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/why502}"
exec "$work/venv/bin/python" benches/kafka.py "$@"
