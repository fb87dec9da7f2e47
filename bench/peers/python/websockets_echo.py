#!/usr/bin/env python3
"""websockets, by its asyncio API: a handler that iterates over messages, and broadcast() for many.

This is the API that its documentation has users begin with; beyond uvloop and broadcast(), it names
nothing that would make a server faster. The C extension that it uses for masking comes with the package.
"""

import asyncio
from types import SimpleNamespace

import program
from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve

LIBRARY = SimpleNamespace(connect=connect, serve=serve, broadcast=broadcast)


async def server(library, given):
    connections = set()

    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    async def send_to_all(websocket):
        connections.add(websocket)
        try:
            async for message in websocket:
                library.broadcast(connections, message)
        finally:
            connections.discard(websocket)

    async with library.serve(
        send_to_all if given.broadcast else echo,
        "127.0.0.1",
        0,
        ssl=program.tls_context(given.tls),
        compression="deflate" if given.compress else None,
        max_size=program.MAX_MESSAGE_SIZE,
    ) as listener:
        await program.serve_on(listener.sockets[0].getsockname()[1])


async def client(library, given):
    tally = program.Tally(given)
    message = bytes(given.size)

    async def echo(websocket):
        for _ in range(given.depth):
            await websocket.send(message)
        async for answer in websocket:
            if len(answer) != tally.size:
                raise program.Broken(f"{len(answer)} bytes came back")
            tally.received += 1
            await websocket.send(message)

    tasks = []
    for _ in range(given.connections):
        websocket = await library.connect(
            given.client, compression=None, max_size=program.MAX_MESSAGE_SIZE, proxy=None
        )
        tasks.append(asyncio.create_task(echo(websocket)))
        tally.watch(tasks[-1])
    await tally.measure(given)


def main(library, doc):
    given = program.options(doc)
    program.run(client(library, given) if given.client else server(library, given), given.uvloop)


if __name__ == "__main__":
    main(LIBRARY, __doc__)
