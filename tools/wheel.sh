#!/bin/sh
# Builds the wheel into dist/ and installs it into the virtual environment: wheel.sh VENV [flag]...
set -eu
cd "$(dirname "$0")/.."
venv=$1
shift
mkdir -p dist
rm -f dist/coromega_ws-*.whl
"$venv/bin/maturin" build --release "$@" --manifest-path python-binding/Cargo.toml \
    --interpreter "$venv/bin/python" --out dist
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall \
    dist/coromega_ws-*.whl
