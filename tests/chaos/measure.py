"""What a process has: threads, descriptors, connections, memory. And what may not become more."""

import ctypes
import gc
import os
import re
import time
from typing import NamedTuple

import coromega_ws as coromega

PATIENCE = 60
MIB = 1 << 20
# Bytes in use, by what malloc says. The library keeps at most 4 MiB of memory that messages have
# left, which may be there at one look and not at the other; the rest is for caches of the interpreters.
# A run of ten minutes opens some 30,000 connections: were 200 bytes of each left, this would be passed.
IN_USE = 5 * MIB
# What the system sees is more by pages that are in use in part only: 3 MiB of them.
RESIDENT = IN_USE + 3 * MIB


class _Mallinfo(ctypes.Structure):
    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Mallinfo


class Look(NamedTuple):
    threads: list
    descriptors: list
    connections: int
    listeners: int
    in_use: int
    resident: int

    def __str__(self):
        return (
            f"{len(self.threads)} threads, {len(self.descriptors)} descriptors, {self.connections} connections, "
            f"{self.listeners} listeners, {self.in_use / MIB:.1f} MiB in use, {self.resident / MIB:.1f} MiB resident"
        )


def _each(folder, read):
    found = []
    for name in os.listdir(folder):
        try:
            found.append(read(f"{folder}/{name}"))
        except OSError:
            pass  # it was the one of this very listing, or has just gone
    return found


def _name_of_thread(path):
    with open(f"{path}/comm") as file:
        return file.read().strip()


def _kind_of_descriptor(path):
    return re.sub(r"\d+", "N", os.readlink(path))


def look():
    gc.collect()
    _libc.malloc_trim(0)
    memory = _libc.mallinfo2()
    with open("/proc/self/smaps_rollup") as file:
        resident = int(re.search(r"^Anonymous:\s+(\d+)", file.read(), re.MULTILINE)[1]) * 1024
    return Look(
        sorted(_each("/proc/self/task", _name_of_thread)),
        sorted(_each("/proc/self/fd", _kind_of_descriptor)),
        coromega.counters().connections,
        len(re.findall(r"^coromega_ws_connections\{.*listener=", coromega.metrics(), re.MULTILINE)),
        memory.uordblks + memory.hblkhd,
        resident,
    )


def _difference(before, after):
    rest = list(after)
    for item in before:
        if item in rest:
            rest.remove(item)
    return rest


def more(before, after):
    """What is more than before, in words; empty if nothing is."""
    words = []
    if len(after.threads) > len(before.threads):
        words.append(f"threads: {_difference(before.threads, after.threads)}")
    if len(after.descriptors) > len(before.descriptors):
        words.append(f"descriptors: {_difference(before.descriptors, after.descriptors)}")
    if after.connections > before.connections:
        words.append(f"connections: {after.connections}")
    if after.listeners > before.listeners:
        words.append(f"listeners: {after.listeners}")
    if after.in_use > before.in_use + IN_USE:
        words.append(f"memory in use: {(after.in_use - before.in_use) / MIB:.1f} MiB")
    if after.resident > before.resident + RESIDENT:
        words.append(f"resident memory: {(after.resident - before.resident) / MIB:.1f} MiB")
    return words


def settled(before=None, beat=lambda: None):
    """A look when all has ended: nothing is connected, and no more is there than before."""
    deadline = time.monotonic() + PATIENCE
    while True:
        now = look()
        # The library's threads that look up names stay for two seconds.
        left = now.connections or now.listeners or "cmws-lookup" in now.threads or (before and more(before, now))
        if not left or time.monotonic() > deadline:
            return now
        beat()
        time.sleep(0.1)
