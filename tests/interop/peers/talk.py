"""What a Python peer says to our side. talk.js says the same in JavaScript."""

import random
import re

MIB = 1 << 20
_noise = random.Random(6455).randbytes
MESSAGES = [
    "hello",
    "",
    b"",
    "grüß 你好 🦀 \0",
    bytes(range(256)),
    *(message for size in (125, 126, 127, 65535, 65536) for message in ("x" * size, _noise(size))),
    _noise(MIB),
    "grüß" * (MIB // 6),
]


def show(message):
    return f"{type(message).__name__} of {len(message)}, {message[:40]!r}"


def expect(got, wanted, what):
    assert type(got) is type(wanted) and got == wanted, f"{what}: {show(wanted)} came back as {show(got)}"


async def talk(end):
    await end.send("!request")
    request = await end.receive()
    if end.subprotocol is ...:  # this peer does not tell
        assert request.startswith("/talk "), request
    else:
        expect(request, f"/talk {end.subprotocol or ''}", "request")
    for message in MESSAGES:
        await end.send(message)
        expect(await end.receive(), message, "echo")
    if hasattr(end, "ping"):
        await end.ping(b"are you there?")
        await end.ping(b"")
    if hasattr(end, "send_fragments"):
        # The second character of the word is split between fragments.
        for fragments in (["gr", "ü", "", "ß"], [b"\0", b"", b"\xff" * 70000]):
            await end.send_fragments(fragments)
            expect(await end.receive(), type(fragments[0])().join(fragments), "fragments")
    for number in range(1000):
        await end.send(str(number))
    for number in range(1000):
        expect(await end.receive(), str(number), "burst")
    await end.send("!burst 1000")
    for number in range(1000):
        expect(await end.receive(), str(number), "their burst")
    await end.close(4001, "bye grüß")
    # The answer to a close frame need not repeat its reason.
    assert re.match("4001 ", await end.ended())


async def theirs(end):
    await end.send("!close 4002 over ünd out")
    assert await end.ended() == "4002 over ünd out"


async def too_big(end):
    await end.send(bytes(MIB + 1))
    assert re.match("1009 ", await end.ended())


# Each path is a conversation of its own. With this code and reason it ends for our side.
TALKS = {"/talk": talk, "/theirs": theirs, "/too-big": too_big}
ENDS = {
    "/talk": "4001 bye grüß",
    "/theirs": "4002 over ünd out",
    "/no-code": "1005 ",
    "/too-big": re.compile("1009 .*"),
}
