"""A server that sends back what it gets: text as text, binary as binary, and nothing unasked.

    echo_server.py [--host H] [--port N] [--max-message-size BYTES] [--close-timeout SECONDS] ...

It prints LISTENING and its port first; port 0 takes a free one. The library's options are
flags, with - for _. Ctrl-C ends it.
"""

import argparse
import sys

import coromega_ws as coromega


def arguments():
    parser = argparse.ArgumentParser(description="A WebSocket server that sends back what it gets.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    args, rest = parser.parse_known_args()
    if len(rest) % 2 or not all(flag.startswith("--") for flag in rest[::2]):
        parser.error("options of a server are flags with a number: --max-message-size 1000")
    options = {}
    for flag, value in zip(rest[::2], rest[1::2], strict=True):
        try:
            options[flag[2:].replace("-", "_")] = float(value)
        except ValueError:
            parser.error(f"{flag} wants a number, not {value}")
    return args.host, args.port, options


def serve(conn):
    async def echo(msg):
        try:
            if isinstance(msg, str):
                await conn.send_message(msg)
            elif msg is not None:
                await conn.send_binary(msg)
        except coromega.ConnectionClosed:
            pass  # it left before its answer

    conn.when_new_msg(echo)


def main():
    host, port, options = arguments()
    try:
        listener = coromega.create_websocket_server(host, port, **options).when_new_conn(serve)
    except coromega.Error as error:
        sys.exit(f"echo_server.py: {error}")
    print("LISTENING", listener.address[1], flush=True)
    try:
        coromega.run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
