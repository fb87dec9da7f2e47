"""What connections have done, in numbers."""

from __future__ import annotations

from typing import NamedTuple

from . import _native


class Counters(NamedTuple):
    """What many connections have done. Only `connections` ever becomes less.

    Messages are counted when they are put into an inbox or accepted for sending, and the bytes of
    their payloads, uncompressed.
    """

    #: that are open
    connections: int
    #: that have opened
    opened: int
    #: opening handshakes that came to nothing, and connects that failed
    failed: int
    #: those of them that a limit refused
    refused: int
    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int


class Info(NamedTuple):
    """What a connection is and has done."""

    #: "connecting", "open", "closing" or "closed"
    state: str
    peer: tuple[str, int]
    local_address: tuple[str, int]
    subprotocol: str
    close_code: int | None
    close_reason: str | None
    #: "us" or "peer", whoever sent the first close frame; None if there was none
    closed_by: str | None
    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int


_STATES = ("connecting", "open", "closing", "closed")
_CLOSED_BY = (None, "us", "peer")


def info_of(handle: int) -> Info:
    """What is known of a connection."""
    state, closed_by, peer, local, subprotocol, code, reason, *traffic = _native.connection_info(handle)
    known = code != 0
    return Info(
        _STATES[state],
        peer,
        local,
        subprotocol,
        code if known else None,
        reason if known else None,
        _CLOSED_BY[closed_by],
        *traffic,
    )


def counters() -> Counters:
    """What all connections of the process have done, in every language of it."""
    return Counters(*_native.process_counters())


def metrics() -> str:
    """The counters of the process and of its listeners as text for Prometheus (format 0.0.4)."""
    return _native.process_metrics()
