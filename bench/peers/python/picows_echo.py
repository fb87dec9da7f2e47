#!/usr/bin/env python3
"""picows, by its core API: callbacks that get frames and send at once.

Its documentation recommends this API where speed matters, get_payload_as_memoryview to avoid a copy of
the payload, and aiofastnet, which it takes by itself when it is installed. It has no permessage-deflate;
picows_websockets_echo.py, its other API, has.
"""

import asyncio

import program
from picows import WSListener, WSMsgType, ws_connect, ws_create_server


class Echo(WSListener):
    """Sends back each frame as it came: so messages in fragments come back whole as well."""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type != WSMsgType.PONG:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


class Broadcast(WSListener):
    """Fragments of several senders must not be mixed: they are put together first."""

    def __init__(self, everyone):
        self.everyone = everyone
        self.begun = None
        self.parts = bytearray()

    def on_ws_connected(self, transport):
        self.everyone.add(transport)

    def on_ws_disconnected(self, transport):
        self.everyone.discard(transport)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PONG:
            pass
        elif frame.fin and frame.msg_type != WSMsgType.CONTINUATION:
            self.send_all(frame.msg_type, frame.get_payload_as_memoryview())
        else:
            if frame.msg_type != WSMsgType.CONTINUATION:
                self.begun = frame.msg_type
            self.parts += frame.get_payload_as_memoryview()
            if frame.fin:
                self.send_all(self.begun, bytes(self.parts))
                self.parts.clear()

    def send_all(self, kind, payload):
        # A send that fails may end its connection, and take it out of the set.
        for transport in list(self.everyone):
            transport.send(kind, payload)


async def serve(given):
    everyone = set()
    server = await ws_create_server(
        lambda request: Broadcast(everyone) if given.broadcast else Echo(),
        "127.0.0.1",
        0,
        ssl=program.tls_context(given.tls),
    )
    await program.serve_on(server.sockets[0].getsockname()[1])


class Client(WSListener):
    def __init__(self, tally, depth):
        self.tally = tally
        self.depth = depth
        self.message = bytes(tally.size)

    def on_ws_connected(self, transport):
        for _ in range(self.depth):
            transport.send(WSMsgType.BINARY, self.message)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type != WSMsgType.BINARY or frame.payload_size != self.tally.size:
            self.tally.fail(f"unexpected: {frame}")
            return
        self.tally.received += 1
        transport.send(WSMsgType.BINARY, self.message)

    def on_ws_disconnected(self, transport):
        self.tally.fail("disconnected")


async def client(given):
    tally = program.Tally(given)
    kept = [
        await ws_connect(lambda: Client(tally, given.depth), given.client) for _ in range(given.connections)
    ]
    await tally.measure(given)
    for transport, _ in kept:
        transport.disconnect()
    await asyncio.gather(*(transport.wait_disconnected() for transport, _ in kept))


if __name__ == "__main__":
    given = program.options(__doc__, lacks=["compress"])
    program.run(client(given) if given.client else serve(given), given.uvloop)
