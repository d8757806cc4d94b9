#!/usr/bin/env bash
# Builds what is given to others, into target/package:
#
#   why502, why502.debug      one static program, and the debug information of it
#   why502_*.deb, why502-*.rpm
#   why502.cdx.json           what is in it (CycloneDX)
#   SHA256SUMS
#
#   deploy/packages.sh             builds the program as well
#   deploy/packages.sh PROGRAM     takes one that is built already, such as target/x86_64-unknown-linux-gnu/image/why502
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/setup.sh
need_rust
need_debian binutils objcopy
out="$root/target/package"

tool() {
  [ -x "$work/bin/$1" ] && return 0
  say "building $1 $2 (some minutes, once)"
  CARGO_TARGET_DIR="$work/$1-target" nice -n 10 cargo install "$1" --version "$2" --locked --quiet --root "$work"
  rm -rf "$work/$1-target"
}

rm -rf "$out"
mkdir -p "$out/man"
if [ $# -gt 0 ]; then
  split_program "$1" "$out"
else
  built=$(static_program)
  cp "$built" "$(dirname "$built")/why502.debug" "$out/"
fi
"$out/why502" man --out "$out/man"
"$out/why502" completions bash >"$out/why502.bash"
"$out/why502" completions zsh >"$out/_why502"
python3 deploy/sbom.py >"$out/why502.cdx.json"

tool cargo-deb 3.8.0
tool cargo-generate-rpm 0.21.1
export PATH="$work/bin:$PATH"
cargo deb --no-build --no-strip --quiet --output "$out"
cargo generate-rpm --output "$out"
(cd "$out" && sha256sum why502 why502.debug ./*.deb ./*.rpm why502.cdx.json >SHA256SUMS)
ls -l "$out"
