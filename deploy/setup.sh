# Sourced by the demo and the tests: installs what is missing on Debian or Ubuntu. Keeps everything of its own in .work/.
#
#   need_rust      cargo 1.88 or later, by rustup where there is none
#   need_nginx     nginx, and curl
#   need_python    .work/venv with Gunicorn, Flask and OpenTelemetry; `need_python test` adds pytest

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work="$root/.work"
mkdir -p "$work"

say() { printf '%s\n' "$*" >&2; }

die() { say "error: $*"; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "'$*' needs root and there is no sudo; run it yourself, then start again"
  fi
}

apt_install() {
  command -v apt-get >/dev/null || die "this needs $*; install them with your system's package manager, then start again"
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need_rust() {
  command -v cc >/dev/null || apt_install gcc libc6-dev
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  if command -v cargo >/dev/null; then
    version=$(cargo --version | cut -d' ' -f2)
    [ "$(printf '1.88.0\n%s\n' "$version" | sort -V | head -n1)" = 1.88.0 ] && return 0
    command -v rustup >/dev/null || die "cargo $version is too old; 1.88 or later is needed (https://rustup.rs)"
    rustup update stable
    return 0
  fi
  command -v curl >/dev/null || apt_install curl ca-certificates
  say "installing Rust"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt >/dev/null
  . "$HOME/.cargo/env"
}

need_nginx() {
  export PATH="$PATH:/usr/sbin:/sbin"
  command -v nginx >/dev/null || apt_install nginx-light
  command -v curl >/dev/null || apt_install curl ca-certificates
}

# The interpreter that makes the environment: python3 with venv.
need_python() {
  command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3 python3-venv
  if [ ! -x "$work/venv/bin/gunicorn" ]; then
    say "making a Python environment with Gunicorn, Flask and OpenTelemetry"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check 'gunicorn==23.0.0' flask opentelemetry-distro \
      opentelemetry-exporter-otlp-proto-grpc opentelemetry-instrumentation-flask
  fi
  if [ "${1:-}" = test ] && [ ! -x "$work/venv/bin/pytest" ]; then
    "$work/venv/bin/pip" install -q --disable-pip-version-check pytest
  fi
}
