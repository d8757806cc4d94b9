# Sourced by the demo and the tests: installs what is missing on Debian or Ubuntu. Keeps everything of its own in .work/.
#
#   need_rust      cargo 1.95 or later, by rustup where there is none; a C compiler and make for what Rust builds on
#   need_nginx     nginx, and curl
#   need_new_nginx .work/nginx/nginx, a newer one than distributions have, built of its sources
#   need_python    .work/venv with Gunicorn, Flask and OpenTelemetry; `need_python test` adds pytest
#   need_go        Go 1.25 or later
#   need_collector .work/bin/otelcol, the OpenTelemetry Collector of tests/interop/collector
#   need_balancer  .work/bin/balancer, the one of tests/interop/balancer
#   need_browser   Chromium with its driver, axe-core, and what drives them
#   need_jaeger    .work/bin/jaeger, Jaeger v2 of tests/interop/jaeger
#   need_kafka     .work/kafka/lib, Kafka itself, of tests/interop/kafka, and a client of it for Python
#   need_sdks      OpenTelemetry for Go, Python, Node and Java, of tests/interop/sdk
#   need_helm      .work/bin/helm of tests/cluster/helm
#   need_apiserver .work/bin/kube-apiserver of tests/cluster/apiserver, etcd, and definitions of other kinds
#   need_kustomize .work/bin/kustomize of tests/cluster/kustomize
#   need_debian    packages of the distribution, each with a program that it brings: `need_debian prometheus promtool`
#   need_why502    WHY502_BIN, a program that is there already, else one that cargo builds, which shows how far it is
#   need_ports     that nobody listens on these ports of the loopback
#   static_program why502 as one static file without debug information, made by cargo; prints its path

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
  command -v make >/dev/null || apt_install make
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  if command -v cargo >/dev/null; then
    version=$(cargo --version | cut -d' ' -f2)
    [ "$(printf '1.95.0\n%s\n' "$version" | sort -V | head -n1)" = 1.95.0 ] && return 0
    command -v rustup >/dev/null || die "cargo $version is too old; 1.95 or later is needed (https://rustup.rs)"
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

# nginx's sources are in the crate nginx-src, whose versions follow nginx's stable ones.
need_new_nginx() {
  local crate=1.28.5 sources library missing=()
  [ "$(cat "$work/nginx/of" 2>/dev/null)" = "$crate" ] && return 0
  need_rust
  for library in libpcre2-dev zlib1g-dev libssl-dev make; do
    dpkg -s "$library" >/dev/null 2>&1 || missing+=("$library")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  say "building nginx of the crate nginx-src $crate (a minute, once)"
  rm -rf "$work/nginx"
  mkdir -p "$work/nginx/src"
  printf '[package]\nname = "sources"\nedition = "2024"\n[dependencies]\nnginx-src = "=%s"\n[workspace]\n' "$crate" >"$work/nginx/Cargo.toml"
  : >"$work/nginx/src/lib.rs"
  sources=$(cd "$work/nginx" && cargo metadata --format-version 1 | grep -oE '"manifest_path":"[^"]*/nginx-src-[^"]*"' | head -n1 | cut -d'"' -f4)
  [ -n "$sources" ] || die "the sources of nginx could not be fetched"
  cp -r "$(dirname "$sources")/nginx" "$work/nginx/build"
  (cd "$work/nginx/build" && auto/configure --prefix="$work/nginx" --with-http_ssl_module && nice -n 10 make -j2) >"$work/nginx/build.log" 2>&1 \
    || { tail -n 20 "$work/nginx/build.log" >&2; die "nginx could not be built"; }
  mv "$work/nginx/build/objs/nginx" "$work/nginx/nginx"
  rm -rf "$work/nginx/build"
  printf '%s\n' "$crate" >"$work/nginx/of"
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
  # h2 speaks HTTP/2 below gRPC, for what no client of gRPC would send.
  if [ "${1:-}" = test ] && ! "$work/venv/bin/python" -c 'import pytest, h2' 2>/dev/null; then
    "$work/venv/bin/pip" install -q --disable-pip-version-check pytest h2
  fi
}

# Go as it is, else the distribution's, else (Debian's is old) a toolchain that any Go can fetch as a module.
need_go() {
  local minimum=1.25.0 newer=1.26.2 have arch module
  [ -x /usr/local/go/bin/go ] && export PATH="$PATH:/usr/local/go/bin"
  [ -x "$work/go/bin/go" ] && export PATH="$work/go/bin:$PATH"
  # No other toolchain than the one that is looked at here.
  export GOTOOLCHAIN=local
  command -v go >/dev/null || apt_install golang-go ca-certificates
  have=$(go env GOVERSION) || die "go does not start"
  have=${have#go}
  [ "$(printf '%s\n%s\n' "$minimum" "${have%% *}" | sort -V | head -n1)" = "$minimum" ] && return 0
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) die "Go $have is too old; install $minimum or later, then start again" ;;
  esac
  say "Go $have is too old; fetching $newer"
  module=$(cd "$work" && go mod download -json "golang.org/toolchain@v0.0.1-go$newer.linux-$arch" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -d "$module" ] || die "Go $newer could not be fetched; install Go $minimum or later, then start again"
  # A module has no programs and cannot be written to: a copy is made into a toolchain.
  rm -rf "$work/go"
  cp -r --no-preserve=mode "$module" "$work/go"
  chmod -R a+x "$work/go/bin" "$work/go/pkg/tool"
  export PATH="$work/go/bin:$PATH"
  hash -r
}

# go_program NAME SOURCES BUILD: makes .work/bin/NAME by the function BUILD, which is told where to put it, unless it was
# made of the same SOURCES before. go.sum names the content of every module, so no build takes anything else.
go_program() {
  local name=$1 sources=$2 build=$3 stamp="$work/bin/$1.stamp" made_of
  made_of=$(cd "$sources" && cat -- * | sha256sum)
  [ -x "$work/bin/$name" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$made_of" ] && return 0
  need_go
  say "building $name (some minutes, once)"
  mkdir -p "$work/bin"
  "$build" "$sources" "$work/bin/$name.new" || die "$name could not be built"
  mv "$work/bin/$name.new" "$work/bin/$name"
  printf '%s\n' "$made_of" >"$stamp"
}

# go_build OUTPUT [PACKAGE], in the module of the current directory. A go.work further up would replace it.
go_build() {
  GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' CGO_ENABLED=0 nice -n 10 go build -trimpath -ldflags '-s -w' -o "$@"
}

need_collector() { go_program otelcol "$root/tests/interop/collector" build_collector; }

# A later one, with the exporter that spreads logs and traces over several why502.
need_balancer() { go_program balancer "$root/tests/interop/balancer" build_collector; }

build_collector() {
  local sources=$1 output=$2 main
  main="$work/$(basename "$sources")-main"
  (cd "$sources" && go_build "$work/bin/otelcol-builder" go.opentelemetry.io/collector/cmd/builder) || return 1
  rm -rf "$main"
  mkdir -p "$main"
  # The builder writes main.go and components.go; its own choice of modules gives way to ours.
  (cd "$main" && "$work/bin/otelcol-builder" --config "$sources/manifest.yaml" --skip-compilation --skip-get-modules >builder.log 2>&1) \
    || { cat "$main/builder.log" >&2; return 1; }
  cp "$sources/go.mod" "$sources/go.sum" "$main/"
  (cd "$main" && go_build "$output" .)
}

need_jaeger() { go_program jaeger "$root/tests/interop/jaeger" build_jaeger; }

build_jaeger() {
  (cd "$1" && go_build "$2" github.com/jaegertracing/jaeger/cmd/jaeger)
}

# A broker is Java alone; KRaft needs nothing beside it. The client is librdkafka's, not the one that why502 has.
need_kafka() {
  local sources="$root/tests/interop/kafka"
  command -v java >/dev/null || apt_install default-jre-headless
  command -v mvn >/dev/null || apt_install maven
  need_debian openssl openssl
  if ! cmp -s "$sources/pom.xml" "$work/kafka/pom.xml"; then
    say "fetching Kafka (43 MB, once)"
    rm -rf "$work/kafka"
    mkdir -p "$work/kafka"
    mvn -q -B -f "$sources/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/kafka/lib" >&2 \
      || die "Maven could not fetch Kafka"
    cp "$sources/pom.xml" "$work/kafka/"
  fi
  "$work/venv/bin/python" -c 'import confluent_kafka' 2>/dev/null \
    || "$work/venv/bin/pip" install -q --disable-pip-version-check 'confluent-kafka==2.16.1'
}

# SDKs of four languages that send to why502 (tests/interop/sdk).
need_sdks() {
  local sources="$root/tests/interop/sdk"
  go_program otel-sdk "$sources/go" build_go_sdk
  "$work/venv/bin/python" -c 'import opentelemetry.exporter.otlp.proto.http' 2>/dev/null \
    || "$work/venv/bin/pip" install -q --disable-pip-version-check --upgrade opentelemetry-distro \
      opentelemetry-exporter-otlp-proto-grpc opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation-flask
  command -v npm >/dev/null || apt_install npm
  if ! cmp -s "$sources/node/package.json" "$work/sdk/node/package.json" || [ ! -d "$work/sdk/node/node_modules" ]; then
    say "fetching OpenTelemetry for Node"
    mkdir -p "$work/sdk/node"
    cp "$sources/node/package.json" "$work/sdk/node/"
    (cd "$work/sdk/node" && npm install --silent --no-audit --no-fund >&2) || die "npm could not fetch OpenTelemetry for Node"
  fi
  # Node looks for modules beside the program.
  cp "$sources/node/send.js" "$work/sdk/node/"
  command -v mvn >/dev/null || apt_install maven
  if ! cmp -s "$sources/java/pom.xml" "$work/sdk/java/pom.xml"; then
    say "fetching OpenTelemetry for Java"
    rm -rf "$work/sdk/java"
    mkdir -p "$work/sdk/java"
    mvn -q -B -f "$sources/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/sdk/java/lib" >&2 \
      || die "Maven could not fetch OpenTelemetry for Java"
    cp "$sources/java/pom.xml" "$work/sdk/java/"
  fi
}

build_go_sdk() {
  (cd "$1" && go_build "$2" .)
}

need_helm() { go_program helm "$root/tests/cluster/helm" build_helm; }

build_helm() {
  (cd "$1" && go_build "$2" helm.sh/helm/v3/cmd/helm)
}

need_kustomize() { go_program kustomize "$root/tests/cluster/kustomize" build_kustomize; }

build_kustomize() {
  (cd "$1" && go_build "$2" sigs.k8s.io/kustomize/kustomize/v5)
}

need_apiserver() {
  local sources name
  need_debian etcd-server etcd openssl openssl
  go_program kube-apiserver "$root/tests/cluster/apiserver" build_apiserver
  if [ ! -f "$work/bin/prometheus-operator/monitoring.coreos.com_prometheusrules.yaml" ]; then
    need_go
    sources=$(cd "$root/tests/cluster/definitions" && GOWORK=off go mod download -json github.com/prometheus-operator/prometheus-operator | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [ -d "$sources" ] || die "the definitions of the Prometheus operator could not be fetched"
    mkdir -p "$work/bin/prometheus-operator"
    for name in servicemonitors prometheusrules; do
      cp --no-preserve=mode "$sources/example/prometheus-operator-crd/monitoring.coreos.com_$name.yaml" "$work/bin/prometheus-operator/"
    done
  fi
}

# Its version is what clients are told, and without one it does not start.
build_apiserver() {
  local version
  version=$(sed -n 's/^[[:space:]]*\(require \)\{0,1\}k8s\.io\/kubernetes \(v[^ ]*\).*/\2/p' "$1/go.mod")
  [ -n "$version" ] || die "tests/cluster/apiserver/go.mod names no version of k8s.io/kubernetes"
  version="k8s.io/component-base/version.gitVersion=$version"
  (cd "$1" && GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' CGO_ENABLED=0 nice -n 10 go build -trimpath -ldflags "-s -w -X $version" -o "$2" k8s.io/kubernetes/cmd/kube-apiserver)
}

# The distribution may start what it installs; the tests start their own, on other ports.
need_debian() {
  while [ $# -gt 0 ]; do
    command -v "$2" >/dev/null || apt_install "$1"
    shift 2
  done
}

# One that WHY502_BIN names, that was built of these sources, or that is installed in this version.
need_why502() {
  local target="${CARGO_TARGET_DIR:-$root/target}" built version installed
  if [ -n "${WHY502_BIN:-}" ]; then
    [ -x "$WHY502_BIN" ] || die "WHY502_BIN names $WHY502_BIN, which is no program"
    say "using $WHY502_BIN"
    return 0
  fi
  for built in "$target/release/why502" "$target/quick/why502"; do
    if [ -x "$built" ] && [ -z "$(find "$root/src" "$root/proto" "$root/Cargo.toml" "$root/Cargo.lock" "$root/build.rs" -newer "$built" -print -quit)" ]; then
      say "using $built, which is as new as its sources"
      export WHY502_BIN=$built
      return 0
    fi
  done
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n1)
  installed=$(command -v why502 || true)
  if [ -n "$installed" ] && [ "$("$installed" --version 2>/dev/null)" = "why502 $version" ]; then
    say "using $installed, which is $version as well"
    export WHY502_BIN=$installed
    return 0
  fi
  need_rust
  say "building why502: some 300 crates, on two cores 4 to 10 minutes the first time; WHY502_BIN=PROGRAM takes one that is built"
  (cd "$root" && cargo build --profile quick --bin why502) || die "why502 could not be built"
  export WHY502_BIN=$target/quick/why502
}

# Before anything that takes long.
need_ports() {
  local port
  for port in "$@"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      die "port $port is taken: stop the program that has it (ss -ltnp 'sport = :$port' names it), then start again"
    fi
  done
}

# The target is named so that build scripts and macros, which cannot be static, are built for the machine as ever.
static_program() {
  local host target_dir built
  host=$(rustc -vV | sed -n 's/^host: //p')
  target_dir="${CARGO_TARGET_DIR:-$root/target}"
  say 'building why502 as one static file (some minutes the first time)'
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --profile image --locked --quiet --target "$host" --bin why502 || return 1
  built="$target_dir/$host/image"
  split_program "$built/why502" "$built/split" || return 1
  printf '%s\n' "$built/split/why502"
}

# split_program PROGRAM FOLDER: the program without debug information, which is beside it in why502.debug and found by the
# name that the program has of it.
split_program() {
  mkdir -p "$2"
  objcopy --only-keep-debug --compress-debug-sections=zlib "$1" "$2/why502.debug" || return 1
  objcopy --strip-all "$1" "$2/why502" || return 1
  (cd "$2" && objcopy --add-gnu-debuglink=why502.debug why502)
}

# Chromium with its driver, the clients of the page's tests, and axe-core, which looks for what stands in the way of people.
need_browser() {
  local axe=4.14.1 missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v chromedriver >/dev/null || missing+=(chromium-driver)
  command -v script >/dev/null || missing+=(bsdutils)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  "$work/venv/bin/python" -c 'import selenium, mcp, jsonschema, yaml' 2>/dev/null \
    || "$work/venv/bin/pip" install -q --disable-pip-version-check 'selenium>=4,<5' 'mcp>=2,<3' jsonschema pyyaml
  [ -f "$work/axe/node_modules/axe-core/axe.min.js" ] && return 0
  command -v npm >/dev/null || apt_install npm
  mkdir -p "$work/axe"
  (cd "$work/axe" && npm install --silent --no-audit --no-fund "axe-core@$axe" >&2) || die "npm could not fetch axe-core"
}
