"""The dialogue of the users' document: the same lines in every language."""

import pytest

from hosts import LUAS, EchoServer, command, environment, run

LINES = """\
websocket client received (first message): \tserver hello
websocket server received (first message): \tclient hello
websocket server received (not intercepted): \tclient hello 1
websocket client received (not intercepted): \tserver echo: client hello 1
websocket server received (not intercepted): \tclient hello 2
websocket client received (not intercepted): \tserver echo: client hello 2
websocket server received (not intercepted): \tclient hello 3
websocket client received: \tserver echo: client hello 3
websocket server received (not intercepted): \tclient hello 4
websocket client received: \tserver echo: client hello 4
"""


@pytest.mark.parametrize("language", ["c", "python", *LUAS])
def test_S14_lua_python_c_the_dialogue_prints_the_same_lines(language):
    assert run(command(language, "dialogue"), env=environment(language)) == LINES


def test_S6_c_the_client_example_talks_to_an_echo_server():
    with EchoServer("c") as server:
        assert run([*command("c", "client"), server.url, "hello", "grüß"]) == "hello\ngrüß\n"
