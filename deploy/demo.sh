#!/usr/bin/env bash
# The first command: sets everything up, breaks Gunicorn behind a real nginx in seven ways, and shows what why502 says.
# Everything runs on the loopback; what it installs for itself lies in .work/.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
# The embedded default of `why502 run` has these.
need_ports 4317 4318
need_nginx
need_python
need_why502
exec "$work/venv/bin/python" deploy/demo.py "$@"
