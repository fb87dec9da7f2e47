#!/bin/sh
# Installs the Lua peers: lua.sh DIR
#
# lua-http comes as Debian installs it. nginx with lua-resty-websocket is only unpacked, into DIR: its
# packages want OpenResty's LuaJIT (libluajit2), which Debian would put in the place of the `luajit`
# that the library is tested with, and nginx would be started as a service.
set -eu
cd "$(dirname "$0")/../.."
. tools/debian.sh
folder=${1:?the folder to unpack into}
packages="nginx libnginx-mod-http-lua libnginx-mod-http-ndk lua-resty-core lua-resty-lrucache \
lua-nginx-websocket libluajit2-5.1-2"

command -v lua5.4 >/dev/null || missing="$missing lua5.4"
dpkg -s lua-http >/dev/null 2>&1 || missing="$missing lua-http"
# What nginx and its module are linked with.
need_library libpcre2-8.so.0 libpcre2-8-0
need_library libpcre.so.3 libpcre3
need_library libssl.so.3 libssl3
install_missing

mkdir -p "$folder"
cd "$folder"
[ ! -e versions ] || exit 0
rm -rf usr packages found
mkdir packages
(
    cd packages
    # Without lists of packages, apt finds nothing.
    # shellcheck disable=SC2086
    apt-get download -qq $packages 2>/dev/null || {
        if [ "$(id -u)" -eq 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
        apt-get download -qq $packages
    }
    for package in *.deb; do
        dpkg-deb -x "$package" ..
        dpkg-deb -W "$package" >>../found
    done
)
rm -rf packages
dpkg-query -W lua-http lua-cqueues lua5.4 >>found
mv found versions
