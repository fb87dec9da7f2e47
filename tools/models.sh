#!/bin/sh
# Has the model checker run the models: models.sh [part of a name]...
# LOOM_MAX_PREEMPTIONS=5 takes another bound than the models'.
#
# --cfg modelled is not --cfg loom, which takes the network out of tokio.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- models::
RUSTFLAGS="--cfg modelled -Cdebug-assertions" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/models \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo test --quiet --locked --release -p coromega_ws_core --lib -- --nocapture --test-threads=1 "$@"
