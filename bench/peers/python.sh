#!/bin/sh
# Makes build/bench/venv: the peers in Python, and our own wheel from dist/. Quick when all is there.
set -eu
cd "$(dirname "$0")/../.."
venv=build/bench/venv
requirements=bench/peers/python/requirements.txt

# A change of either is seen by its content: a build that changed nothing installs nothing.
is_there() {
    [ -f "$venv/$1.installed" ] && cmp -s "$2" "$venv/$1.installed"
}

if ! is_there requirements "$requirements"; then
    rm -rf "$venv"
    tools/venv.sh "$venv" "$requirements"
    cp "$requirements" "$venv/requirements.installed"
fi

set -- dist/coromega_ws-*.whl
if [ ! -f "$1" ]; then
    echo "python.sh: there is no wheel in dist: make build" >&2
    exit 1
fi
if ! is_there wheel "$1"; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall "$1"
    cp "$1" "$venv/wheel.installed"
fi
