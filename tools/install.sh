#!/bin/sh
# Lays out what a distribution would: install.sh TARGET_DIR PREFIX [DESTDIR]
set -eu
cd "$(dirname "$0")/.."
target=$1
prefix=$2
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
root=${3-}$prefix
# The one source of the version.
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version *= *"\(.*\)"/\1/p' Cargo.toml)

install -d "$root/lib/pkgconfig" "$root/include"
install -m 755 "$target/release/libcoromega_ws.so" "$root/lib/libcoromega_ws.so.0"
ln -sf libcoromega_ws.so.0 "$root/lib/libcoromega_ws.so"
install -m 644 include/coromega_ws.h "$root/include/coromega_ws.h"

cat >"$root/lib/pkgconfig/coromega_ws.pc" <<PC
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: coromega_ws
Description: WebSocket client and server as a C library with one runtime per process
Version: $version
Libs: -L\${libdir} -lcoromega_ws
Cflags: -I\${includedir}
PC

# LuaJIT loads the modules of 5.1.
for lua in 5.1 5.2 5.3 5.4; do
    install -d "$root/lib/lua/$lua" "$root/share/lua/$lua"
    install -m 755 "build/lua/$lua/coromega_ws.so" "$root/lib/lua/$lua/coromega_ws.so"
    install -m 644 lua-binding/lua/coromega.lua lua-binding/lua/omega.lua \
        lua-binding/lua/json.lua "$root/share/lua/$lua"
done
# Programs find the library in the system's own places once the loader's cache knows of it.
if [ "$(id -u)" -eq 0 ] && [ -z "${3-}" ] && [ "$prefix" = /usr/local ]; then
    PATH="$PATH:/sbin:/usr/sbin" ldconfig
fi
echo "Installed coromega_ws $version in $root"
