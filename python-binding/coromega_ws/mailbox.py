"""The mailbox of each event loop: how it is found, and how its end is noticed."""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any

from . import _native
from .error import Forked

# A mailbox is kept by its loop, whose reader it is; nothing here keeps either.
_by_loop: weakref.WeakValueDictionary[int, _native.Mailbox] = weakref.WeakValueDictionary()
_all: weakref.WeakSet[_native.Mailbox] = weakref.WeakSet()
_at_exit = False
_log_level = 0


class _Early(threading.local):
    """What was made on this thread before a loop ran: it is for the next `run()`."""

    def __init__(self) -> None:
        self.mailbox: _native.Mailbox | None = None
        self.functions: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.adopting = False


_early = _Early()


@functools.cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_native.forked)


def _new() -> _native.Mailbox:
    global _at_exit
    _watch_forks()
    mailbox = _native.Mailbox()
    mailbox.set_log_level(_log_level)
    _all.add(mailbox)
    if not _at_exit:
        _at_exit = True
        atexit.register(_end)
    return mailbox


def set_log_level(level: int) -> None:
    """What all mailboxes are told of what the library does."""
    global _log_level
    _log_level = level
    for mailbox in list(_all):
        if not mailbox.closed:
            try:
                mailbox.set_log_level(level)
            except Forked:
                pass


def _end() -> None:
    """The interpreter ends: accepted bytes get their second."""
    warn_unadopted()
    _native.close_mailboxes([mailbox for mailbox in _all if not mailbox.closed])


async def _until_loop_ends(mailbox: weakref.ref[_native.Mailbox]) -> AsyncGenerator[None, None]:
    """asyncio closes the generators that are left when a loop ends."""
    try:
        yield
    finally:
        ending = mailbox()
        if ending is not None:
            ending.close()


def attach(mailbox: _native.Mailbox) -> None:
    """Makes it the mailbox of the running loop."""
    loop = asyncio.get_running_loop()
    mailbox.attach(loop)
    _by_loop[id(loop)] = mailbox
    sentinel = _until_loop_ends(weakref.ref(mailbox))
    try:
        sentinel.asend(None).send(None)
    except StopIteration:
        pass
    mailbox.keep(sentinel)


def of_loop(loop: asyncio.AbstractEventLoop) -> _native.Mailbox | None:
    """The mailbox that a loop has already."""
    mailbox = _by_loop.get(id(loop))
    if mailbox is not None and mailbox.loop is loop and not mailbox.closed:
        return mailbox
    return None


def of_running_loop() -> _native.Mailbox:
    """The mailbox of the running loop, made if it has none."""
    loop = asyncio.get_running_loop()
    mailbox = of_loop(loop)
    if mailbox is not None:
        return mailbox
    for other in list(_all):
        # A loop that was closed without shutting its generators down.
        if not other.closed and other.loop is not None and other.loop.is_closed():
            other.close()
    if not _early.adopting:
        warn_unadopted()
    mailbox = _new()
    attach(mailbox)
    return mailbox


def running_or_early() -> _native.Mailbox:
    """The mailbox for an object that is made here: of the running loop, or for the next `run()`."""
    if asyncio._get_running_loop() is not None:
        return of_running_loop()
    if _early.mailbox is None:
        _early.mailbox = _new()
    return _early.mailbox


def is_early(mailbox: _native.Mailbox) -> bool:
    """Whether it waits for a `run()` of this thread."""
    return mailbox is _early.mailbox and mailbox is not None


def keep_early(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Keeps a function for the next `run()` of this thread."""
    global _at_exit
    if not _at_exit:
        _at_exit = True
        atexit.register(_end)
    _early.functions.append((fn, args))


def adopt() -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Gives the running loop what was made on this thread before; returns the functions."""
    mailbox, functions = _early.mailbox, _early.functions
    _early.mailbox, _early.functions = None, []
    if mailbox is not None:
        attach(mailbox)
    return functions


def warn_unadopted() -> None:
    """Says that objects wait for a `run()` that another way of running a loop does not replace."""
    if _early.mailbox is None and not _early.functions:
        return
    warnings.warn(
        "a server or function made before any event loop ran waits for coromega_ws.run(): "
        "asyncio.run() does not take it over",
        RuntimeWarning,
        stacklevel=3,
    )
