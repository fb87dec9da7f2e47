"""The client that is tested: plays every case of the Autobahn TestSuite's fuzzing server.

    client.py ws://127.0.0.1:9001 AGENT [--OPTION NUMBER] ...

It asks how many cases there are, echoes whatever comes in each of them until the server closes,
and asks for the reports. The options are the library's, with - for _.
"""

import asyncio
import sys

import coromega_ws as coromega

# The suite gives a single case eight minutes at most.
PATIENCE = 600


async def visit(address, options, take):
    """Connects, and hands on each message until the server closes."""
    try:
        conn = await coromega.connect_to_websocket(address, **options)
    except coromega.ConnectError as error:
        print(f"client.py: {error}", file=sys.stderr)
        return
    while (message := await conn.receive_message(timeout=PATIENCE)) is not None:
        await take(conn, message)


async def echo(conn, message):
    try:
        if isinstance(message, str):
            await conn.send_message(message)
        else:
            await conn.send_binary(message)
    except coromega.ConnectionClosed:
        pass  # it is closing: nobody wants the answer any more


async def main(base, agent, options):
    counts = []

    async def count(_, message):
        counts.append(int(message))

    await visit(f"{base}/getCaseCount", options, count)
    for case in range(1, counts[0] + 1):
        await visit(f"{base}/runCase?case={case}&agent={agent}", options, echo)
    await visit(f"{base}/updateReports?agent={agent}", options, echo)


if __name__ == "__main__":
    names = [flag.removeprefix("--").replace("-", "_") for flag in sys.argv[3::2]]
    chosen = dict(zip(names, map(float, sys.argv[4::2]), strict=True))
    asyncio.run(main(sys.argv[1], sys.argv[2], chosen))
