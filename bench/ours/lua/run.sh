#!/bin/sh
# Runs a script of this folder with the staged library: run.sh INTERPRETER SCRIPT [ARGUMENT ...]
root=$(cd "$(dirname "$0")/../../.." && pwd)
STAGE=${STAGE:-$root/build/stage}
. "$root/tools/lua-env.sh"
use_stage "$1"
interpreter=$1 script=$2
shift 2
exec ${UNDER-} "$interpreter" "$root/bench/ours/lua/$script" "$@"
