#!/usr/bin/env python3
"""nginx with lua-resty-websocket, as echo server and client.

One nginx process without a master, with OpenResty's LuaJIT, which that project tells its users to
take, no logs, and a read buffer that suits large messages too. The messages are in nginx_server.lua
and nginx_client.lua. `bench/peers/lua.sh build/peers/lua` unpacks it all.
"""

import argparse
import os
import pathlib
import socket
import sys

HERE = pathlib.Path(__file__).resolve().parent
UNPACKED = HERE.parents[2] / "build/peers/lua"
LIBRARIES = next(iter(UNPACKED.glob("usr/lib/*-linux-gnu")), UNPACKED)

# {name}: several servers may run at a time.
CONFIG = """
load_module {unpacked}/usr/lib/nginx/modules/ndk_http_module.so;
load_module {unpacked}/usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off;
master_process off;
pid {name}.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    lua_package_path "{here}/?.lua;{unpacked}/usr/share/lua/5.1/?.lua;;";
    lua_socket_log_errors off;
    lua_socket_buffer_size 64k;
    {work}
}}
"""

# nginx itself says when it listens.
SERVER = """
    init_worker_by_lua_block {{
        io.stdout:write("LISTENING {port}\\n")
        io.stdout:flush()
    }}
    server {{
        listen 127.0.0.1:{port} {ssl};
        {certificate}
        location / {{
            content_by_lua_block {{ require("nginx_server").{serve}() }}
        }}
    }}
"""

CLIENT = """
    init_worker_by_lua_block {{
        ngx.timer.at(0, function()
            require("nginx_client")("{url}", {size}, {connections}, {depth}, {seconds}, {warmup})
        end)
    }}
"""


def run(name, work):
    """Becomes nginx. Its configuration is a file in memory, so that nothing is left behind."""
    prefix = UNPACKED / "run"
    prefix.mkdir(exist_ok=True)
    config = os.memfd_create("nginx.conf")
    text = CONFIG.format(name=name, here=HERE, unpacked=UNPACKED, work=work)
    os.write(config, text.encode())
    os.set_inheritable(config, True)
    program = UNPACKED / "usr/sbin/nginx"
    arguments = ["-p", f"{prefix}/", "-e", "stderr", "-c", f"/proc/self/fd/{config}"]
    os.environ["LD_LIBRARY_PATH"] = str(LIBRARIES)
    os.execv(program, [program, *arguments])


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def serve(options):
    port = free_port()
    certificate = ""
    if options.tls:
        files = [pathlib.Path(name).resolve() for name in options.tls]
        certificate = "ssl_certificate {}; ssl_certificate_key {};".format(*files)
    work = SERVER.format(
        port=port,
        ssl="ssl" if options.tls else "",
        certificate=certificate,
        serve="broadcast" if options.broadcast else "echo",
    )
    run(port, work)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("--broadcast", action="store_true")
    parser.add_argument("--client", metavar="URL")
    for name, kind in (("size", int), ("connections", int), ("depth", int)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--warmup", type=float)
    options = parser.parse_args()
    if options.compress:
        sys.exit(complain("lua-resty-websocket knows no compression"))
    if not options.client:
        serve(options)
    work = CLIENT.format(
        url=options.client,
        size=options.size,
        connections=options.connections,
        depth=options.depth,
        seconds=options.seconds,
        warmup=options.warmup,
    )
    run("client", work)


def complain(what):
    print(f"nginx.py: {what}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
