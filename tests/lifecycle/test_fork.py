"""Both sides of a fork (S34); those of a C program are in tests/c."""

import sys

import pytest

from hosts import PATIENCE, ROOT, run

HERE = ROOT / "tests/lifecycle"


@pytest.mark.parametrize("lua", ["lua51", "lua52", "lua53", "lua54", "luajit21"])
def test_S34_lua_a_child_and_its_parent(lua):
    assert run([sys.executable, HERE / "forked_lua.py", lua], timeout=PATIENCE) == "ok\n"


def test_S34_python_a_child_and_its_parent():
    assert run([sys.executable, HERE / "forked_python.py"], timeout=PATIENCE) == "ok\n"
