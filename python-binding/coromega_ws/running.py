"""`run`, `start_new`, `sleep` and `halt`: the document's coroutines, on asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from . import mailbox as mailboxes
from .reporting import report

# asyncio holds tasks weakly; these are held until they are done.
_started: set[asyncio.Task[None]] = set()
_running: dict[asyncio.AbstractEventLoop, _Run] = {}


async def sleep(seconds: float) -> None:
    """Gives way to others for so many seconds."""
    await asyncio.sleep(seconds)


async def _guarded(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = fn(*args)
        if inspect.isawaitable(result):
            await result
    except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        raise
    except BaseException as error:
        report(error)


def start_new(fn: Callable[..., Any], *args: Any) -> asyncio.Task[None] | None:
    """Runs a function, async or plain, as a task of its own; its errors go to `on_error`.

    Inside a loop it returns the task. Before any loop runs, the function is kept for the next
    `run()` of this thread. Works as a decorator for functions that take nothing.
    """
    if not callable(fn):
        raise TypeError(f"start_new: a function, not {type(fn).__name__}")
    if asyncio._get_running_loop() is None:
        mailboxes.keep_early(fn, args)
        return None
    task = asyncio.get_running_loop().create_task(_guarded(fn, args))
    _started.add(task)
    task.add_done_callback(_started.discard)
    return task


class _Run:
    """One `run()`: it ends when nothing is left to be done (S3)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.halted = False
        self.change: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.change is not None and not self.change.done():
            self.change.set_result(None)

    async def wait_for_tasks(self, tasks: set[asyncio.Task[Any]]) -> None:
        left = len(tasks)

        def done(_task: asyncio.Task[Any]) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.wake()

        self.change = self.loop.create_future()
        for task in tasks:
            task.add_done_callback(done)
        try:
            await self.change
        finally:
            for task in tasks:
                task.remove_done_callback(done)

    async def until_idle(self) -> None:
        myself = asyncio.current_task()
        calm = False
        while not self.halted:
            tasks = {task for task in asyncio.all_tasks(self.loop) if task is not myself}
            mailbox = mailboxes.of_loop(self.loop)
            if tasks:
                await self.wait_for_tasks(tasks)
            elif mailbox is not None and mailbox.active:
                self.change = self.loop.create_future()
                mailbox.when_idle(self.wake)
                await self.change
            elif not calm:
                # What has just ended may have left something to be called.
                calm = True
                await asyncio.sleep(0)
                continue
            else:
                return
            calm = False


async def _main() -> None:
    loop = asyncio.get_running_loop()
    run = _Run(loop)
    _running[loop] = run
    try:
        for fn, args in mailboxes.adopt():
            start_new(fn, *args)
        await run.until_idle()
    finally:
        del _running[loop]


def run() -> None:
    """Runs what has been started until nothing is left to be done, or until `halt()`.

    That is: no task, no open server, no connect, send or close under way, and no open connection
    with a callback. Ctrl-C ends it with KeyboardInterrupt.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("run: an event loop runs on this thread already: use start_new in it")
    with asyncio.Runner() as runner:
        runner.run(_main())


def halt() -> None:
    """Ends the `run()` that this is called in; elsewhere it does nothing."""
    loop = asyncio._get_running_loop()
    current = None if loop is None else _running.get(loop)
    if current is not None:
        current.halted = True
        current.wake()
