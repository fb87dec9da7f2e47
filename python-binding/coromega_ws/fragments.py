"""Messages in fragments: for those that are larger than memory should hold (S37)."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _native

if TYPE_CHECKING:
    from .connection import Connection


class Fragment(NamedTuple):
    """A part of a message: str or bytes, and whether it is the last."""

    data: str | bytes
    fin: bool


class Writer:
    """Sends one message in fragments. `async with` begins and finishes it; `await` only begins it.

    A message that can't be finished is never taken for a whole one: where the block raises, or the
    writer is thrown away, the connection is closed with 1011.
    """

    def __init__(self, connection: Connection, binary: bool, compress: bool) -> None:
        self._connection = connection
        self._binary = binary
        self._compress = compress
        self._begun: _native.Begun | None = None
        self._finished = False

    def __await__(self) -> Generator[Any, None, Writer]:
        return self._begin().__await__()

    async def __aenter__(self) -> Writer:
        return await self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.finish()
        elif self._begun is not None:
            self._begun.abandon()

    async def _begin(self) -> Writer:
        if self._begun is not None:
            raise RuntimeError("this message has begun already")
        while (begun := _native.begin(self._connection, self._binary, self._compress)) is None:
            await self._connection._room()
        self._begun = begun
        return self

    def _message(self, name: str) -> _native.Begun:
        if self._finished:
            raise RuntimeError(f"{name}: the message is finished")
        if self._begun is None:
            raise RuntimeError(f"{name}: the message has not begun: use `async with`, or await the writer")
        return self._begun

    async def write(self, data: Any) -> None:
        """Sends a fragment: str of a text, bytes or anything with a buffer of a binary message."""
        message = self._message("write")
        while not message.write(data):
            await self._connection._room()

    async def finish(self) -> None:
        """Ends the message."""
        self._message("finish").finish()
        self._finished = True


async def room(connection: Connection, waiting: list[asyncio.Future[None]]) -> None:
    """Waits until there may be room to write, or to begin."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(future)
    connection._want_room()
    await future
