"""One message for many connections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _native
from .connection import Connection
from .error import Error

_SLOW = {"wait": 0, "drop_newest": 1, "drop_oldest": 2, "close": 3}
_OK, _WOULD_BLOCK = 0, 1


async def send_to_many(
    connections: Iterable[Connection], message: Any, *, slow: str = "wait", compress: bool = True
) -> int:
    """Sends a str as text, or bytes as binary, to many connections; returns how many accepted it.

    It is framed once, and compressed once for each way that was agreed on. `slow` says what becomes
    of a connection to which no more can be sent for now: "wait" waits for it, "drop_newest" leaves
    it out, "drop_oldest" keeps the message for it in the place of older ones that were kept,
    "close" closes it with 1008. Connections that have ended are passed over.
    """
    policy = _SLOW.get(slow)
    if policy is None:
        raise ValueError(f"send_to_many: slow is one of {', '.join(_SLOW)}, not {slow!r}")
    all_of_them = list(connections)
    for connection in all_of_them:
        if not isinstance(connection, Connection):
            raise TypeError(f"send_to_many: Connections, not {type(connection).__name__}")
    # Whoever waits for room came first.
    behind = [c for c in all_of_them if c._sending] if slow == "wait" else []
    now = [c for c in all_of_them if not c._sending] if behind else all_of_them
    statuses = _native.send_to_many([c._handle for c in now], message, compress, policy)
    accepted = statuses.count(_OK)
    if slow == "wait":
        behind += [c for c, status in zip(now, statuses, strict=True) if status == _WOULD_BLOCK]
        for connection in behind:
            send = connection.send_message if isinstance(message, str) else connection.send_binary
            try:
                await send(message, compress=compress)
            except Error:
                continue
            accepted += 1
    return accepted
