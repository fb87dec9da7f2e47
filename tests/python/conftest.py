"""Every asynchronous test runs on asyncio's own loop and on uvloop, with an outer limit."""

import asyncio
import faulthandler
import gc

import coromega_ws as coromega
import pytest
import uvloop
from support import PATIENCE


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Runs a coroutine to its end in a fresh loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runner(coroutine, timeout=PATIENCE):
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(asyncio.wait_for(coroutine, timeout))

    return runner


@pytest.fixture(autouse=True)
def outer_limit():
    """A test that hangs where no timeout reaches shows where, and ends the run."""
    faulthandler.dump_traceback_later(4 * PATIENCE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def reports():
    """What S4 reports. A test that expects some empties the list."""
    seen = []
    coromega.on_error(seen.append)
    yield seen
    gc.collect()
    coromega.on_error(None)
    assert not seen, f"reported: {seen!r}"
