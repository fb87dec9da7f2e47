"""Waiting, from any loop, for something that happens once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def wake(future: asyncio.Future[None]) -> None:
    """Resolves a future that may have been cancelled meanwhile."""
    if not future.done():
        future.set_result(None)


class Once:
    """Something that happens once. Awaiting it from several loops and threads is fine."""

    __slots__ = ("_futures", "done")

    def __init__(self) -> None:
        self.done = False
        self._futures: list[asyncio.Future[None]] = []

    def set(self) -> None:
        """It has happened."""
        self.done = True
        while self._futures:
            future = self._futures.pop()
            try:
                future.get_loop().call_soon_threadsafe(wake, future)
            except RuntimeError:
                pass  # That loop has been closed: nobody waits in it.

    def wait(self) -> Wait:
        """An awaitable; not awaiting it is fine, too."""
        return Wait(self)

    def steps(self) -> Generator[Any, None, None]:
        if not self.done:
            future = asyncio.get_running_loop().create_future()
            self._futures.append(future)
            if self.done:  # On another thread, between the two lines above.
                wake(future)
            yield from future


class Wait(Coroutine[Any, None, None]):
    """A coroutine that does not mind if it is never awaited."""

    __slots__ = ("_steps",)

    def __init__(self, once: Once) -> None:
        self._steps = once.steps()

    def __await__(self) -> Generator[Any, None, None]:
        return self._steps

    def send(self, value: None) -> Any:
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()
