"""The request behind a connection, and what a server's `when_request` says to it (S13)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _native
from .error import Error
from .options import Headers, header_fields


@dataclass(frozen=True)
class Request:
    """The HTTP request that opens a connection, and who the peer is."""

    path: str
    query: str
    headers: dict[str, str]
    subprotocol: str
    peer: tuple[str, int]


@dataclass(frozen=True)
class Accept:
    """What `when_request` returns to accept a request with more than True.

    `headers` are sent with the answer. `subprotocol` is one that the client offers; empty, the
    option `subprotocols` decides.
    """

    headers: Headers | None = None
    subprotocol: str = ""


#: What `when_request` may return: None and True accept; False (403), a status, or a status with
#: headers and body refuse.
Verdict = None | bool | Accept | int | tuple[Any, ...]

_Answer = tuple[int, str, list[tuple[bytes, bytes]], bytes]


def request_of(handle: int) -> Request:
    """The request behind a handle; header names in lower case."""
    path, query, subprotocol, peer, fields = _native.connection_request(handle)
    headers: dict[str, str] = {}
    for name, value in fields:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(path, query, headers, subprotocol, peer)


def _answer_of(verdict: Any) -> _Answer:
    if verdict is None or verdict is True:
        verdict = Accept()
    if isinstance(verdict, Accept):
        if not isinstance(verdict.subprotocol, str):
            raise TypeError(f"when_request: the subprotocol is a str, not {type(verdict.subprotocol).__name__}")
        return 101, verdict.subprotocol, header_fields(verdict.headers), b""
    status, headers, body = verdict, None, None
    if isinstance(verdict, tuple) and 1 <= len(verdict) <= 3:
        status, headers, body = (*verdict, None, None)[:3]
    if status is False:
        status = 403
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(
            "when_request returns None, a bool, an Accept, a status or (status, headers, body), "
            f"not {type(verdict).__name__}"
        )
    if not 300 <= status <= 599:
        raise ValueError(f"when_request: {status} is no status that refuses: 300 to 599")
    if body is None or isinstance(body, str):
        body = (body or "").encode()
    if not isinstance(body, bytes):
        raise TypeError(f"when_request: the body is a str or bytes, not {type(body).__name__}")
    return status, "", header_fields(headers), body


async def review(fn: Callable[[Request], Any], handle: int) -> None:
    """Has `fn` look at a request, and answers it. What fails refuses it with 500 (S4)."""
    try:
        request = request_of(handle)
    except Error:
        return  # It has ended already.
    try:
        verdict = fn(request)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        _native.connection_answer(handle, *_answer_of(verdict))
    except BaseException:
        _native.connection_answer(handle, 500, "", [], b"")
        raise
