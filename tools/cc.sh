#!/bin/sh
# Compiles a C program against the library that pkg-config finds, with every warning an error.
set -eu
# shellcheck disable=SC2046
exec "${CC:-cc}" -std=c99 -O2 -Wall -Wextra -Wpedantic -Werror "$@" \
    $(pkg-config --cflags --libs coromega_ws)
