#!/bin/sh
# Installs the peers of tests/interop/peers that do not come with .venv: peers.sh DIR
#
# Chromium (Debian's package without windows), Node with ws, and websocat, built from its source.
set -eu
cd "$(dirname "$0")/.."
. tools/debian.sh
mkdir -p "$1"
peers=$(cd "$1" && pwd)

need node nodejs
need npm npm
command -v chromium >/dev/null || need chromium-headless-shell chromium-headless-shell
# websocat's TLS.
pkg-config --exists openssl || missing="$missing libssl-dev"
install_missing

cp tests/interop/peers/package.json tests/interop/peers/package-lock.json "$peers"
npm ci --prefix "$peers" --silent --no-audit --no-fund

# A debug build is a matter of half a minute.
cargo install --locked --quiet --debug --root "$peers" --target-dir "$peers/target" websocat@1.14.1
rm -rf "$peers/target"
