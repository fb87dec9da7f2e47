"""Loading does nothing but load, and no binding carries a library of its own."""

import pathlib
import re
import sys

import pytest

from hosts import LIBRARY, LUAS, ROOT, STAGE, compile_c, lua_environment, run

HERE = ROOT / "tests/lifecycle"
COUNT_THREADS = """
local count = 0
local pipe = io.popen("ls /proc/" .. io.open("/proc/self/stat"):read("*a"):match("^%d+") .. "/task")
for _ in pipe:lines() do
    count = count + 1
end
print(count)
"""


@pytest.fixture(scope="module")
def dlopen_host():
    return compile_c(HERE / "dlopen_host.c", ROOT / "build/tests/lifecycle/dlopen_host")


def bindings():
    import coromega_ws

    package = coromega_ws.__path__[0]
    native = run(["find", package, "-name", "_native*.so"]).split()
    assert len(native) == 1
    return native + [str(STAGE / f"lib/lua/{version}/coromega_ws.so") for version in ("5.1", "5.2", "5.3", "5.4")]


@pytest.mark.parametrize("lua", LUAS)
def test_S32_lua_require_starts_no_thread(lua):
    for module in ("coromega_ws", "coromega", "omega", "json"):
        script = f'require("{module}")' + COUNT_THREADS
        assert run([lua, "-e", script], env=lua_environment(lua)).split()[-1] == "1"


def test_S32_python_import_starts_no_thread():
    script = (
        "import os, signal\n"
        "before = [signal.getsignal(s) for s in signal.valid_signals()]\n"
        "import coromega_ws\n"
        "assert before == [signal.getsignal(s) for s in signal.valid_signals()]\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    assert run([sys.executable, "-c", script]).strip() == "1"


def test_S32_c_dlopen_starts_no_thread_and_return_from_main_in_traffic_is_clean(dlopen_host):
    for _ in range(20):
        run([dlopen_host, LIBRARY])


def test_S33_c_dlclose_in_traffic_is_harmless(dlopen_host):
    for _ in range(20):
        run([dlopen_host, LIBRARY, "unload"])


def test_S31_lua_python_bindings_use_the_c_abi_and_nothing_else():
    for binding in bindings():
        symbols = run(["nm", "-D", binding])
        assert not re.search(r"[TtDdBbWw] cmws_", symbols), binding
        assert re.search(r"U cmws_connection_send", symbols), binding
        with open(binding, "rb") as file:
            data = file.read()
        assert b"tokio" not in data and b"tungstenite" not in data, binding
        assert b"libcoromega_ws.so.0" in data, binding


def test_S31_lua_modules_find_the_library_beside_them():
    for binding in bindings()[1:]:
        found = re.search(r"libcoromega_ws.so.0 => (\S+)", run(["ldd", binding]))
        assert found and pathlib.Path(found.group(1)).resolve() == LIBRARY


def test_S32_c_library_exports_the_abi_and_nothing_else():
    exported = re.findall(r" [TDBRWVi] (\S+)", run(["nm", "-D", "--defined-only", LIBRARY]))
    assert exported and all(name.startswith("cmws_") for name in exported), exported
    header = (ROOT / "include/coromega_ws.h").read_text()
    declared = set(re.findall(r"\b(cmws_\w+)\s*\(", header))
    assert set(exported) == declared
    dynamic = run(["readelf", "-d", LIBRARY])
    assert "Library soname: [libcoromega_ws.so.0]" in dynamic
    assert "NODELETE" in dynamic
