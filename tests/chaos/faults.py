"""Faults that are put in on purpose, to see that the checks see them."""

import asyncio
import os
import threading

import coromega_ws as coromega
import measure


def _expect(before, what):
    found = measure.more(before, measure.look())
    assert any(words.startswith(what) for words in found), f"the checks do not see {what}: {found}"


async def _with_connection(before):
    listener = coromega.create_websocket_server("127.0.0.1", 0)
    conn = await coromega.connect_to_websocket(f"ws://127.0.0.1:{listener.address[1]}")
    _expect(before, "connections")
    _expect(before, "listeners")
    await conn.close()
    await listener.close()


def check_the_checks(say):
    """Leaves a descriptor, a thread, a connection and memory behind, one after the other."""
    before = measure.settled()
    descriptor = os.dup(0)
    _expect(before, "descriptors")
    os.close(descriptor)
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    _expect(before, "threads")
    leave.set()
    thread.join()
    asyncio.run(_with_connection(before))
    kept = bytearray(os.urandom(measure.IN_USE + measure.MIB))
    _expect(before, "memory in use")
    kept = bytearray(os.urandom(measure.RESIDENT + measure.MIB))
    _expect(before, "resident memory")
    del kept
    after = measure.settled(before)
    assert not measure.more(before, after), measure.more(before, after)
    say("ok the checks see a descriptor, a thread, a connection, a listener and memory that are left")
