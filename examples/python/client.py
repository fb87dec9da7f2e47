"""A client: sends messages to a server, prints its answers, one for each, and closes.

    client.py ws://127.0.0.1:1042/ hello "how are you"

Without messages it sends the lines of its standard input.
"""

import asyncio
import sys

import coromega_ws as coromega


async def main(address, messages):
    try:
        conn = await coromega.connect_to_websocket(address)
    except coromega.ConnectError as error:
        sys.exit(f"client: {error}")
    for message in messages:
        await conn.send_message(message)
        reply = await conn.receive_message()
        if reply is None:
            sys.exit(f"client: closed with {conn.close_code} {conn.close_reason}")
        print(reply if isinstance(reply, str) else f"{len(reply)} bytes")
    await conn.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: client.py ws://HOST:PORT/PATH [MESSAGE ...]")
    asyncio.run(main(sys.argv[1], sys.argv[2:] or (line.rstrip("\n") for line in sys.stdin)))
