"""Where the errors of callbacks and coroutines go (S4)."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

_handler: Callable[[BaseException], Any] | None = None


def on_error(fn: Callable[[BaseException], Any] | None) -> Callable[[BaseException], Any] | None:
    """Has `fn(exception)` called for errors in callbacks and in what `start_new` started.

    None restores the default, which prints the traceback to standard error. Works as a decorator.
    """
    global _handler
    if fn is not None and not callable(fn):
        raise TypeError(f"on_error: a function or None, not {type(fn).__name__}")
    _handler = fn
    return fn


def report(error: BaseException, one_line: bool = False) -> None:
    """Reports an error; what the handler itself raises is printed and ends there."""
    handler = _handler
    if handler is not None:
        try:
            handler(error)
            return
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as inner:
            _write("coromega_ws: error in the on_error handler:\n" + "".join(traceback.format_exception(inner)))
    if one_line:
        # The script is through with this connection: a traceback would be noise (S22).
        text = " ".join("".join(traceback.format_exception_only(error)).split())
        _write(f"coromega_ws: error in the last call of a when_new_msg callback: {text}\n")
    else:
        _write("coromega_ws: error in a callback or coroutine:\n" + "".join(traceback.format_exception(error)))


def _write(text: str) -> None:
    # There is none under pythonw, and it may have been closed.
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass
