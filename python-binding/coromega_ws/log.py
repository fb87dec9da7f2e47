"""The log: what the library says of its work, where a program asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .mailbox import set_log_level
from .reporting import report

#: The library's levels, from 1 on, as the module `logging` numbers them.
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)

_handler: Callable[[int, str], Any] | None = None


def on_log(fn: Callable[[int, str], Any] | None, level: int = logging.INFO) -> None:
    """Has `fn(level, text)` called for what happens to connections and listeners, in their loops.

    Levels are those of `logging`: `on_log(logging.getLogger("ws").log, logging.DEBUG)`. Payloads,
    queries, and headers that may be secret are never in the text. None turns it off, as it is at
    first.
    """
    global _handler
    if fn is not None and not callable(fn):
        raise TypeError(f"on_log: a function or None, not {type(fn).__name__}")
    if not isinstance(level, int) or isinstance(level, bool):
        raise TypeError(f"on_log: the level is a number of logging's, not {type(level).__name__}")
    _handler = fn
    set_log_level(sum(level <= known for known in _LEVELS) if fn is not None else 0)


def tell(level: int, text: str) -> None:
    """Passes on what the library says."""
    if _handler is None:
        return
    try:
        _handler(_LEVELS[level - 1], text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        report(error)
