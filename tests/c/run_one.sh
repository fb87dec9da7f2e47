#!/bin/sh
# Builds a file of C tests and runs it, for run.sh: run_one.sh FILE [part of a name]...
# Where several run at a time, what it prints comes in one piece.
set -eu
source=$1
shift
here=$(dirname "$source")
program=${out:?}/$(basename "$source" .c)
# shellcheck disable=SC2086
"${CC:-cc}" -std=c99 -O1 -g ${cflags?} -pthread -o "$program" \
    "$source" "$here/support.c" "$here/raw.c" "$here/dial.c" "$here/hostile.c" ${libs?} -lm
if [ "$JOBS" -eq 1 ]; then
    # shellcheck disable=SC2086
    exec ${UNDER-} "$program" "$@"
fi
status=0
# shellcheck disable=SC2086
${UNDER-} "$program" "$@" >"$program.log" 2>&1 || status=$?
cat "$program.log"
exit $status
