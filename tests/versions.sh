#!/usr/bin/env bash
# why502 before Gunicorns of five versions and seven worker classes: makes every fault for real and judges every verdict.
# A command of its own, since it takes about an hour; `--only TEXT` (a regular expression) runs a part of it, and
# `--new-nginx` as the first word takes an nginx that is newer than the distribution's:
#   tests/versions.sh --only 'killed|20.1' --transports tcp
#   tests/versions.sh --new-nginx --only '23.0.0__sync'
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_nginx
need_python
if [ "${1:-}" = --new-nginx ]; then
  shift
  need_new_nginx
  export WHY502_NGINX="$work/nginx/nginx"
fi
venvs=()
for version in 20.1.0 21.2.0 22.0.0 23.0.0 27.0.1; do
  venv="$work/gunicorn-$version"
  if [ ! -x "$venv/bin/gunicorn" ]; then
    say "making a Python environment with Gunicorn $version"
    python3 -m venv "$venv"
    # Gunicorn 20.1 imports pkg_resources, which newer setuptools lack; gevent's worker wants packaging.
    "$venv/bin/pip" install -q --disable-pip-version-check "gunicorn==$version" flask gevent eventlet tornado packaging uvicorn uvicorn-worker 'setuptools==65.5.0'
  fi
  venvs+=("$version=$venv")
done
[ -n "${WHY502_BIN:-}" ] || cargo build --release --quiet
exec python3 tests/versions/matrix.py "${venvs[@]}" "$@"
