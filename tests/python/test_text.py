"""S19: text and JSON."""

import math

import coromega_ws as coromega
import pytest
from support import pair


def test_S19_text_must_be_text(run):
    async def main():
        _, client, server = await pair()
        with pytest.raises(ValueError):
            client.send_message("lone \ud800 surrogate")
        for wrong in (b"bytes", 5, None, ["x"]):
            with pytest.raises(TypeError):
                client.send_message(wrong)
        await client.send_message("after")
        assert await server.receive_message() == "after"

    run(main())


def test_S19_json(run):
    async def main():
        _, client, server = await pair()
        values = {
            '{"author":"somebody","age":18}': {"author": "somebody", "age": 18},
            "[1,2,[3]]": [1, 2, (3,)],
            '"ü"': "ü",
            "null": None,
            "true": True,
            "{}": {},
            "[]": [],
            "1.5": 1.5,
        }
        for text, value in values.items():
            await client.send(value)
            assert await server.receive_message() == text
        deep = []
        for _ in range(127):
            deep = [deep]
        await client.send(deep)
        assert await server.receive_message() == "[" * 128 + "]" * 128

    run(main())


def test_S19_what_json_can_not_hold(run):
    async def main():
        _, client, server = await pair()
        cycle = []
        cycle.append(cycle)
        deep = []
        for _ in range(128):
            deep = {"a": deep}
        very_deep = []
        for _ in range(100000):
            very_deep = [very_deep]
        for value in (print, math.nan, [math.inf], {math.nan: 1}, cycle, deep, very_deep, {1, 2}, b"x", {(1,): 2}, "\ud800"):
            with pytest.raises(ValueError):
                client.send(value)
        with pytest.raises(coromega.InvalidArgument):
            client.send(print)
        await client.send("after")
        assert await server.receive_message() == '"after"'
        while very_deep:
            very_deep = very_deep.pop()

    run(main())


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (print, ""),
        ({"a": {"b": [1, print]}}, " (at ['a']['b'][1])"),
        ([1, ({"x": math.nan},)], " (at [1][0]['x'])"),
        ({"a": {(1,): 2}, "b": 1}, " (at ['a'][(1,)])"),
        ([{"fine": 1}, b"x"], " (at [1])"),
    ],
)
def test_S19_an_error_says_where_the_value_is(run, value, where):
    async def main():
        _, client, _ = await pair()
        with pytest.raises(coromega.InvalidArgument) as caught:
            client.send(value)
        text = str(caught.value)
        assert text.endswith(where) and ("(at " in text) == bool(where)

    run(main())
