#!/usr/bin/env python3
"""coromega_ws with coroutines: one for each connection, which awaits messages and sends.

This is the form that README.md has users begin with.
"""

import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers/python"))
import coromega_ws as coromega
import program
from server import create


async def serve(given):
    server = create(given)

    async def echo(conn):
        try:
            while (message := await conn.receive_message()) is not None:
                if isinstance(message, bytes):
                    await conn.send_binary(message)
                else:
                    await conn.send_message(message)
        except coromega.ConnectionClosed:
            pass  # it left before its answer

    async def send_to_all(conn):
        while (message := await conn.receive_message()) is not None:
            await coromega.send_to_many(server.connections(), message)

    server.when_new_conn(send_to_all if given.broadcast else echo)
    await program.serve_on(server.address[1])


async def client(given):
    tally = program.Tally(given)
    message = bytes(given.size)

    async def echo(conn):
        for _ in range(given.depth):
            await conn.send_binary(message)
        while (answer := await conn.receive_message()) is not None:
            if len(answer) != tally.size:
                raise program.Broken(f"{len(answer)} bytes came back")
            tally.received += 1
            await conn.send_binary(message)

    tasks = []
    for _ in range(given.connections):
        conn = await coromega.connect_to_websocket(given.client, compression=False)
        tasks.append(asyncio.create_task(echo(conn)))
        tally.watch(tasks[-1])
    await tally.measure(given)


if __name__ == "__main__":
    given = program.options(__doc__)
    program.run(client(given) if given.client else serve(given), given.uvloop)
