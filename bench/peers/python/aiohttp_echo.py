#!/usr/bin/env python3
"""aiohttp: a WebSocketResponse in a handler that iterates over messages.

This is the only form that its documentation has; AppRunner runs it, without the access log. It has
no call for many connections: its examples send to one after the other.
"""

import asyncio

import program
from aiohttp import ClientSession, WSMsgType, web


def answer(websocket, message):
    if message.type is WSMsgType.TEXT:
        return websocket.send_str(message.data)
    return websocket.send_bytes(message.data)


async def serve(given):
    connections = set()

    async def echo(request):
        websocket = web.WebSocketResponse(compress=given.compress, max_msg_size=program.MAX_MESSAGE_SIZE)
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
        return websocket

    async def send_to_all(request):
        websocket = web.WebSocketResponse(compress=given.compress, max_msg_size=program.MAX_MESSAGE_SIZE)
        await websocket.prepare(request)
        connections.add(websocket)
        try:
            async for message in websocket:
                for connection in list(connections):
                    try:
                        await answer(connection, message)
                    except ConnectionResetError:
                        connections.discard(connection)  # It has left meanwhile.
        finally:
            connections.discard(websocket)
        return websocket

    app = web.Application()
    app.router.add_get("/", send_to_all if given.broadcast else echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=program.tls_context(given.tls)).start()
    await program.serve_on(runner.addresses[0][1])


async def client(given):
    tally = program.Tally(given)
    payload = bytes(given.size)

    async def echo(websocket):
        for _ in range(given.depth):
            await websocket.send_bytes(payload)
        async for message in websocket:
            if message.type is not WSMsgType.BINARY or len(message.data) != tally.size:
                raise program.Broken(f"unexpected: {message.type}")
            tally.received += 1
            await websocket.send_bytes(payload)

    async with ClientSession() as session:
        tasks = []
        for _ in range(given.connections):
            websocket = await session.ws_connect(given.client, max_msg_size=program.MAX_MESSAGE_SIZE)
            tasks.append(asyncio.create_task(echo(websocket)))
            tally.watch(tasks[-1])
        await tally.measure(given)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    given = program.options(__doc__)
    program.run(client(given) if given.client else serve(given), given.uvloop)
