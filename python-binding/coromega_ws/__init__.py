"""WebSockets for scripts: one runtime for Lua, Python and C in a process.

    import coromega_ws as coromega

    server = coromega.create_websocket_server("127.0.0.1", 1042)

    @server.when_new_conn
    async def greet(conn):
        await conn.send_message("server hello")

    coromega.run()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from . import _native
from .broadcast import send_to_many
from .connection import Connection, ForeignConnection, check_callback
from .counters import Counters, Info, counters, metrics
from .error import (
    Away,
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
    Moved,
    ProtocolError,
    ResourcesError,
    TcpError,
    Timeout,
    TlsError,
    TooBig,
    WouldBlock,
    in_connect,
)
from .fragments import Fragment, Writer
from .listener import Listener
from .log import on_log
from .mailbox import of_running_loop, running_or_early
from .options import Headers, Option, chosen, request_fields
from .reporting import on_error
from .request import Accept, Request, Verdict
from .running import halt, run, sleep, start_new

__all__ = [
    "Accept",
    "Away",
    "Busy",
    "ConnectError",
    "ConnectTimeout",
    "Connection",
    "ConnectionClosed",
    "Counters",
    "DnsError",
    "Error",
    "ForeignConnection",
    "Forked",
    "Fragment",
    "HandshakeError",
    "HttpError",
    "Info",
    "InternalError",
    "InvalidAddress",
    "InvalidArgument",
    "InvalidClose",
    "InvalidHandle",
    "InvalidHeader",
    "InvalidText",
    "ListenError",
    "Listener",
    "Moved",
    "ProtocolError",
    "Request",
    "ResourcesError",
    "TcpError",
    "Timeout",
    "TlsError",
    "TooBig",
    "WouldBlock",
    "Writer",
    "connect_to_websocket",
    "counters",
    "create_websocket_server",
    "from_handle",
    "halt",
    "metrics",
    "on_error",
    "on_log",
    "run",
    "send_to_many",
    "sleep",
    "start_new",
]

__version__: str = _native.version


async def connect_to_websocket(addr: str, headers: Headers | None = None, **options: Option) -> Connection:
    """Connects to an address and returns the connection when it is open.

    `headers` maps names to a str, a number, or a list of those. Options are numbers (seconds,
    bytes), bools, str and paths, or lists of those, as docs/semantics.md has them:
    `open_timeout=5, compression=False, ca_files=[path]`. Every failure is a ConnectError that says
    at which step.
    """
    if not isinstance(addr, str):
        raise TypeError(f"connect_to_websocket: the address is a str, not {type(addr).__name__}")
    fields, wanted = request_fields(headers), chosen(options)
    mailbox = of_running_loop()
    try:
        handle = mailbox.connect(addr, fields, wanted)
    except Error as error:
        raise in_connect(error) from None
    connection = Connection._make(mailbox, handle, wanted.max_callbacks, bool(options.get("fragments")))
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


def create_websocket_server(
    host: str,
    port: int,
    *,
    when_request: Callable[[Request], Verdict | Awaitable[Verdict]] | None = None,
    **options: Option,
) -> Listener:
    """Binds a port, 0 for a free one, and returns the listener. A failure is an OSError.

    Options are given as to `connect_to_websocket`. `when_request`, a plain or async function, gets
    each client's Request before it is answered. It returns None or True to accept it, an Accept to
    choose headers and subprotocol, too; False (403), a status, or (status, headers, body) to refuse
    it. What it raises is reported and refuses with 500.
    """
    if not isinstance(host, str):
        raise TypeError(f"create_websocket_server: the host is a str, not {type(host).__name__}")
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"create_websocket_server: the port is a number, not {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise ValueError(f"create_websocket_server: {port} is no port: 0 to 65535")
    check_callback("create_websocket_server: when_request", when_request)
    if "review" in options:
        raise TypeError("create_websocket_server: the option review is set by when_request: give that a function")
    if when_request is not None:
        options["review"] = True
    wanted = chosen(options)
    mailbox = running_or_early()
    handle, fragments = mailbox.listen(host, port, wanted), bool(options.get("fragments"))
    return Listener(mailbox, handle, wanted.max_callbacks, fragments, when_request)


def from_handle(handle: int) -> Connection:
    """The connection that a handle names: this loop's own, or one that is taken over from wherever it is.

    What its inbox holds comes along. The object that had it before fails with Moved, or `moved`.
    """
    if not isinstance(handle, int) or isinstance(handle, bool):
        raise TypeError(f"from_handle: a number, not {type(handle).__name__}")
    if not 0 < handle < 1 << 53:
        raise InvalidHandle(f"from_handle: {handle} is no handle")
    _native.foreign_state(handle)
    mailbox = running_or_early()
    own: Connection | None = mailbox.lookup(handle)
    return own or Connection._make(mailbox, *mailbox.take_over(handle))
