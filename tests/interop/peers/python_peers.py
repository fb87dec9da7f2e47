"""The Python packages that speak WebSocket, each with a `client` and, where it has one, a `server`.

Both give ends with the methods that talk.py calls. `deflate` is None, "usual", or "strict", which
asks for all that RFC 7692 lets an end ask for; `tls` is None or the certificates of the test.
"""

import contextlib
import itertools

import aiohttp
import aiohttp.web
import curl_cffi
import websockets
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

# What our side may send is at most its largest message.
MAX_SIZE = 2 << 20
PROTOCOLS = ["chat.v2", "chat.v1"]


class Websockets:
    def __init__(self, socket):
        self.socket = socket
        self.subprotocol = socket.subprotocol
        self.compressed = bool(socket.protocol.extensions)
        self.send, self.receive, self.close = socket.send, socket.recv, socket.close

    async def ping(self, payload):
        await (await self.socket.ping(payload))

    async def send_fragments(self, fragments):
        await self.socket.send(iter(fragments))

    async def ended(self):
        await self.socket.wait_closed()
        return f"{self.socket.close_code} {self.socket.close_reason}"

    @classmethod
    @contextlib.asynccontextmanager
    async def client(cls, url, deflate, tls):
        extensions = None
        if deflate == "strict":
            extensions = [
                ClientPerMessageDeflateFactory(
                    server_no_context_takeover=True, client_no_context_takeover=True,
                    server_max_window_bits=10, client_max_window_bits=10,
                )
            ]
        async with websockets.connect(
            url, ssl=tls and tls.client(), proxy=None, max_size=MAX_SIZE, subprotocols=PROTOCOLS, extensions=extensions,
            compression="deflate" if deflate == "usual" else None,
        ) as socket:
            yield cls(socket)

    @classmethod
    @contextlib.asynccontextmanager
    async def server(cls, talk, deflate, tls):
        extensions = None
        if deflate == "strict":
            extensions = [
                ServerPerMessageDeflateFactory(
                    server_no_context_takeover=True, client_no_context_takeover=True,
                    server_max_window_bits=10, client_max_window_bits=10,
                )
            ]
        async with websockets.serve(
            lambda socket: talk(cls(socket), socket.request.path), "127.0.0.1", 0, ssl=tls and tls.server(),
            max_size=MAX_SIZE, subprotocols=PROTOCOLS, extensions=extensions,
            compression="deflate" if deflate == "usual" else None,
        ) as server:
            yield server.sockets[0].getsockname()[1]


class Aiohttp:
    """It sends no fragments. Pongs are seen because it is told to hand them over."""

    def __init__(self, socket, subprotocol):
        self.socket = socket
        self.subprotocol = subprotocol
        self.compressed = bool(socket.compress)

    async def send(self, message):
        await (self.socket.send_str if isinstance(message, str) else self.socket.send_bytes)(message)

    async def receive(self):
        message = await self.socket.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        return message.data

    async def ping(self, payload):
        await self.socket.ping(payload)
        message = await self.socket.receive()
        assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, payload), message

    async def close(self, code, reason):
        await self.socket.close(code=code, message=reason.encode())
        self.reason = reason

    async def ended(self):
        if not self.socket.closed:
            message = await self.socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSE, message
            await self.socket.close(code=message.data)
            # The code of the frame itself: where its answer can't be sent any more, because asyncio
            # ends both directions of TLS at once, aiohttp calls the end 1006.
            return f"{message.data} {message.extra}"
        return f"{self.socket.close_code} {self.reason}"

    @classmethod
    @contextlib.asynccontextmanager
    async def client(cls, url, deflate, tls):
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.ws_connect(
                url, ssl=tls.client() if tls else True, protocols=PROTOCOLS, max_msg_size=MAX_SIZE, autoping=False,
                autoclose=False, compress={None: 0, "usual": 15, "strict": 10}[deflate],
            ) as socket,
        ):
            yield cls(socket, socket.protocol)

    @classmethod
    @contextlib.asynccontextmanager
    async def server(cls, talk, deflate, tls):
        async def handler(request):
            socket = aiohttp.web.WebSocketResponse(
                protocols=PROTOCOLS, max_msg_size=MAX_SIZE, autoping=False, autoclose=False,
                compress=deflate is not None,
            )
            await socket.prepare(request)
            await talk(cls(socket, socket.ws_protocol), request.path)
            return socket

        application = aiohttp.web.Application()
        application.router.add_get("/{path:.*}", handler)
        runner = aiohttp.web.AppRunner(application)
        await runner.setup()
        try:
            site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls and tls.server())
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


class CurlCffi:
    """libcurl's WebSocket: a client, without compression."""

    compressed = False

    def __init__(self, socket):
        self.socket = socket
        self.subprotocol = ...
        self.closed_with = None

    async def send(self, message):
        await (self.socket.send_str if isinstance(message, str) else self.socket.send_bytes)(message)

    async def receive(self):
        data, flags = await self.socket.recv()
        return data.decode() if flags & curl_cffi.CurlWsFlag.TEXT else data

    async def close(self, code, reason):
        await self.socket.close(code, reason.encode())
        self.closed_with = f"{code} {reason}"

    async def ended(self):
        if self.closed_with:
            return self.closed_with  # It does not tell what the answer to its own close was.
        with contextlib.suppress(curl_cffi.WebSocketClosed):
            for _ in itertools.repeat(None):
                await self.socket.recv()
        return f"{self.socket.close_code} {self.socket.close_reason}"

    @classmethod
    @contextlib.asynccontextmanager
    async def client(cls, url, deflate, tls):
        async with curl_cffi.AsyncSession(trust_env=False) as session:
            socket = await session.ws_connect(
                url, headers={"Sec-WebSocket-Protocol": ", ".join(PROTOCOLS)}, max_message_size=MAX_SIZE,
                curl_options={curl_cffi.CurlOpt.CAINFO: tls.ca} if tls else None,
            )
            yield cls(socket)
