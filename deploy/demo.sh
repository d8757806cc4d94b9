#!/usr/bin/env bash
# The first command: sets everything up, breaks Gunicorn behind a real nginx in seven ways, and shows what why502 says.
# Everything runs on the loopback; what it installs for itself lies in .work/.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_nginx
need_python
say "building why502 (some minutes the first time)"
cargo build --release --quiet
WHY502_BIN="$root/target/release/why502" exec "$work/venv/bin/python" deploy/demo.py "$@"
