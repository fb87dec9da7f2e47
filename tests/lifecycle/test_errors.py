"""One table of errors: the header, the library and the bindings tell the same."""

import ctypes
import re

from hosts import LIBRARY, LUAS, ROOT, lua_environment, run


def statuses():
    header = (ROOT / "include/coromega_ws.h").read_text()
    found = re.findall(r"\bCMWS_STATUS_(\w+)\s*=?\s*(\d+)\b", header)
    assert len(found) >= 23
    return {name: int(number) for name, number in found}


def library():
    loaded = ctypes.CDLL(str(LIBRARY))
    for function in (loaded.cmws_status_name, loaded.cmws_status_text, loaded.cmws_version):
        function.restype = ctypes.c_char_p
    return loaded


def test_S35_c_names_are_those_of_the_header():
    loaded = library()
    for name, number in statuses().items():
        assert loaded.cmws_status_name(number).decode() == name
        assert loaded.cmws_status_text(number)


def test_S35_python_classes_are_those_of_the_table():
    from coromega_ws import _native, error

    loaded = library()
    for name, number in statuses().items():
        words = (loaded.cmws_status_name(number).decode(), loaded.cmws_status_text(number).decode())
        assert tuple(_native.status_words(number)) == words, name
        if number != 0:
            assert error.CLASSES[number].status == number
            assert issubclass(error.CLASSES[number], error.Error)


LUA = """
local coromega = require("coromega_ws")
local listener = coromega:create_websocket_server("127.0.0.1", 0)
listener:when_new_conn(function(conn) conn:when_new_msg(function() end) end)
local _, port = listener:address()
coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket("ws://127.0.0.1:" .. port))
    print((select(2, conn:receive_message(0.05))))
    conn:close()
    print((conn:send_message("late")))
    print((select(2, conn:receive_message())))
    coromega:halt()
end)
coromega:run()
"""


def test_S24_lua_texts_are_those_of_the_table():
    loaded = library()
    timeout, closed = (
        loaded.cmws_status_text(statuses()[name]).decode() for name in ("TIMEOUT", "CLOSED")
    )
    for lua in LUAS:
        assert run([lua, "-e", LUA], env=lua_environment(lua)).split() == [timeout, closed, closed]


def test_S35_c_version_is_that_of_the_workspace():
    cargo = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', cargo, re.M).group(1)
    assert library().cmws_version().decode() == version
    pc = (ROOT / "build/stage/lib/pkgconfig/coromega_ws.pc").read_text()
    assert f"Version: {version}\n" in pc
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {version}" in changelog
