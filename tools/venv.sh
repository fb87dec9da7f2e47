#!/bin/sh
# Makes the virtual environment that builds the wheel and runs the tests: venv.sh DIR REQUIREMENTS...
set -eu
. "$(dirname "$0")/python.sh"
python=$(find_python)
echo "Making a Python virtual environment in $1: packages from the Python package index"
venv=$1
shift
"$python" -m venv "$venv"
for requirements in "$@"; do
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
done
