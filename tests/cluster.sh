#!/usr/bin/env bash
# The fourth command: what a platform engineer adopts, each against the real program. Prometheus checks the rules and
# scrapes; buildah builds the image, which then runs; systemd looks at its units; Helm renders the chart, and a real
# kube-apiserver says what it thinks of it. Installs and builds what is missing into .work/, once, which takes some fifteen
# minutes. Arguments go to pytest. Ends with `N passed, N failed`.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
. tests/pytest.sh
need_rust
need_nginx
need_python test
need_debian prometheus promtool buildah buildah systemd systemd-analyze binutils objcopy
need_collector
need_jaeger
need_helm
need_kustomize
need_apiserver
"$work/venv/bin/python" -c 'import yaml' 2>/dev/null || "$work/venv/bin/pip" install -q --disable-pip-version-check pyyaml

if [ -z "${WHY502_STATIC:-}" ]; then
  WHY502_STATIC=$(static_program) || { printf '0 passed, 1 failed\n'; exit 1; }
  export WHY502_STATIC
fi
export WHY502_BIN="${WHY502_BIN:-$WHY502_STATIC}"
run_pytest tests/cluster "$@"
