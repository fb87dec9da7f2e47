#!/bin/sh
# Builds the peers in C, C++ and Rust, and the floor, into build/peers/bin. Quick where all is there.
set -eu
cd "$(dirname "$0")/../.."
. tools/debian.sh

need_header() { # name, package
    [ -e "/usr/include/$1" ] || missing="$missing $2"
}
need cc gcc
need c++ g++
need_header boost/beast.hpp libboost-dev
need_header libwebsockets.h libwebsockets-dev
need_header openssl/ssl.h libssl-dev
install_missing

peers=bench/peers
bin=build/peers/bin
mkdir -p "$bin"

build() { # name, source, compiler and flags...
    name=$1 source=$2
    shift 2
    [ "$bin/$name" -nt "$source" ] && [ "$bin/$name" -nt "$peers/native.sh" ] && return
    echo "Building $name"
    "$@"
}
build floor bench/floor.c cc -std=gnu11 -O2 -o "$bin/floor" bench/floor.c
build libwebsockets $peers/c/libwebsockets.c \
    cc -std=gnu11 -O2 -o "$bin/libwebsockets" $peers/c/libwebsockets.c -lwebsockets
build beast $peers/c/beast.cpp \
    c++ -std=c++17 -O2 -o "$bin/beast" $peers/c/beast.cpp -lssl -lcrypto -pthread

cargo build --locked --release --quiet --manifest-path $peers/Cargo.toml --target-dir build/peers/cargo
for name in fastwebsockets tokio_tungstenite tokio_websockets yawc; do
    cp -u "build/peers/cargo/release/$name" "$bin/$name"
done
