"""WebSockets for scripts: one runtime for Lua, Python and C in a process.

    import coromega_ws as coromega

    server = coromega.create_websocket_server("127.0.0.1", 1042)

    @server.when_new_conn
    async def greet(conn):
        await conn.send_message("server hello")

    coromega.run()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _native
from .connection import Connection, ForeignConnection, Request
from .error import (
    Busy,
    ConnectError,
    ConnectionClosed,
    ConnectTimeout,
    DnsError,
    Error,
    Forked,
    HandshakeError,
    HttpError,
    InternalError,
    InvalidAddress,
    InvalidArgument,
    InvalidClose,
    InvalidHandle,
    InvalidHeader,
    InvalidText,
    ListenError,
    ProtocolError,
    ResourcesError,
    TcpError,
    Timeout,
    TlsError,
    TooBig,
    Unsupported,
    WouldBlock,
    in_connect,
)
from .listener import Listener
from .mailbox import _all as _mailboxes
from .mailbox import of_running_loop, running_or_early
from .reporting import on_error
from .running import halt, run, sleep, start_new

__all__ = [
    "Busy",
    "ConnectError",
    "ConnectTimeout",
    "Connection",
    "ConnectionClosed",
    "DnsError",
    "Error",
    "ForeignConnection",
    "Forked",
    "HandshakeError",
    "HttpError",
    "InternalError",
    "InvalidAddress",
    "InvalidArgument",
    "InvalidClose",
    "InvalidHandle",
    "InvalidHeader",
    "InvalidText",
    "ListenError",
    "Listener",
    "ProtocolError",
    "Request",
    "ResourcesError",
    "TcpError",
    "Timeout",
    "TlsError",
    "TooBig",
    "Unsupported",
    "WouldBlock",
    "connect_to_websocket",
    "create_websocket_server",
    "from_handle",
    "halt",
    "on_error",
    "run",
    "sleep",
    "start_new",
]

__version__: str = _native.version


def _header(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value).encode()
    raise TypeError(f"header {name}: a str, a number, or a list of those, not {type(value).__name__}")


def _headers(headers: Mapping[str, Any] | None) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    if headers is None:
        return fields
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers: a dict, not {type(headers).__name__}")
    for name, values in headers.items():
        if not isinstance(name, str):
            raise TypeError(f"headers: names are str, not {type(name).__name__}")
        for value in values if isinstance(values, (list, tuple)) else (values,):
            fields.append((name.encode(), _header(value, name)))
    return fields


async def connect_to_websocket(addr: str, headers: Mapping[str, Any] | None = None, **options: float) -> Connection:
    """Connects to a `ws://` address and returns the connection when it is open.

    `headers` maps names to a str, a number, or a list of those. Options: `open_timeout`,
    `close_timeout` (seconds), `max_message_size`, `read_limit`, `write_limit` (bytes),
    `max_callbacks`. Every failure is a ConnectError that says at which step.
    """
    if not isinstance(addr, str):
        raise TypeError(f"connect_to_websocket: the address is a str, not {type(addr).__name__}")
    chosen = _native.Options(list(options.items()))
    mailbox = of_running_loop()
    try:
        handle = mailbox.connect(addr, _headers(headers), chosen)
    except Error as error:
        raise in_connect(error) from None
    connection = Connection._make(mailbox, handle, chosen.max_callbacks)
    opening = mailbox.loop.create_future()
    connection._opening = opening
    connection._set_busy(True)
    try:
        await opening
    except BaseException:
        # Cancelled, or failed: either way there is no connection.
        connection._free()
        raise
    return connection


def create_websocket_server(host: str, port: int, **options: float) -> Listener:
    """Binds a port, 0 for a free one, and returns the listener. A failure is an OSError.

    Options are those of `connect_to_websocket`, for the connections that it accepts.
    """
    if not isinstance(host, str):
        raise TypeError(f"create_websocket_server: the host is a str, not {type(host).__name__}")
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"create_websocket_server: the port is a number, not {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise ValueError(f"create_websocket_server: {port} is no port: 0 to 65535")
    chosen = _native.Options(list(options.items()))
    mailbox = running_or_early()
    return Listener(mailbox, mailbox.listen(host, port, chosen), chosen.max_callbacks)


def from_handle(handle: int) -> Connection | ForeignConnection:
    """The connection that a handle names, whichever language of the process made it."""
    if not isinstance(handle, int) or isinstance(handle, bool):
        raise TypeError(f"from_handle: a number, not {type(handle).__name__}")
    if not 0 < handle < 1 << 53:
        raise InvalidHandle(f"from_handle: {handle} is no handle")
    for mailbox in list(_mailboxes):
        connection: Connection | None = mailbox.lookup(handle)
        if connection is not None:
            return connection
    return ForeignConnection(handle)
