#!/usr/bin/env python3
"""picows, by picows.websockets: the API of websockets, made again on top of picows' own.

Its documentation recommends it for code that awaits messages, and calls it a drop-in replacement: so
this is websockets_echo.py, with its imports.
"""

from types import SimpleNamespace

import websockets_echo
from picows.websockets.asyncio.client import connect
from picows.websockets.asyncio.server import broadcast, serve

LIBRARY = SimpleNamespace(connect=connect, serve=serve, broadcast=broadcast)

if __name__ == "__main__":
    websockets_echo.main(LIBRARY, __doc__)
