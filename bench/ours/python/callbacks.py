#!/usr/bin/env python3
"""coromega_ws with callbacks: when_new_msg gets each message, and the send is made by the call.

A plain function that returns the send is the form of python-binding/README.md: the library waits for
it where the peer reads too slowly, and makes no task where it need not.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers/python"))
import coromega_ws as coromega
import program
from server import create


async def serve(given):
    server = create(given)

    def echo_on(conn):
        @conn.when_new_msg
        def echo(msg):
            try:
                if isinstance(msg, bytes):
                    return conn.send_binary(msg)
                if msg is not None:
                    return conn.send_message(msg)
            except coromega.ConnectionClosed:
                pass  # it left before its answer

    def send_to_all(msg):
        if msg is not None:
            return coromega.send_to_many(server.connections(), msg)

    def send_to_all_on(conn):
        conn.when_new_msg(send_to_all)

    server.when_new_conn(send_to_all_on if given.broadcast else echo_on)
    await program.serve_on(server.address[1])


async def client(given):
    tally = program.Tally(given)
    message = bytes(given.size)

    def echo_on(conn):
        @conn.when_new_msg
        def echo(msg):
            if msg is None or len(msg) != tally.size:
                return tally.fail(
                    f"closed with {conn.close_code}" if msg is None else f"{len(msg)} bytes came back"
                )
            tally.received += 1
            return conn.send_binary(message)

    for _ in range(given.connections):
        conn = await coromega.connect_to_websocket(given.client, compression=False)
        echo_on(conn)
        for _ in range(given.depth):
            await conn.send_binary(message)
    await tally.measure(given)


if __name__ == "__main__":
    given = program.options(__doc__)
    program.run(client(given) if given.client else serve(given), given.uvloop)
