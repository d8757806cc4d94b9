#!/usr/bin/env bash
# An hour between senders that retry and a backend that fails in every way in turn: what was acknowledged arrives, and the
# balance accepted = delivered + held + queued + dropped is shown. Arguments go to soak.py: --seconds, --rate, --limit,
# --seed, --journal, --kill.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_python test
cargo build --release --quiet --bin why502
exec "$work/venv/bin/python" benches/soak.py "$@"
