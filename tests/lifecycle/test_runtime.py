"""One process, one runtime, whatever is loaded and in whatever order."""

import itertools
import sys

import pytest

from hosts import PATIENCE, ROOT, compile_c, run

HERE = ROOT / "tests/lifecycle"
BUILT = ROOT / "build/tests/lifecycle"


@pytest.fixture(scope="module")
def c_guest():
    program = BUILT / "c_guest.so"
    # The same flags as any program; a shared object in place of one.
    compile_c(HERE / "c_guest.c", program, "-shared", "-fPIC")
    return program


@pytest.mark.parametrize("order", list(itertools.permutations(["c", "lua", "python"])), ids="-".join)
def test_S31_lua_python_c_share_one_runtime_in_any_order(order, c_guest):
    run([sys.executable, HERE / "one_process.py", c_guest, "lua54", *order], timeout=PATIENCE)


@pytest.mark.parametrize("lua", ["lua51", "lua52", "lua53", "luajit21"])
def test_S31_lua_python_c_share_one_runtime_with_every_lua(lua, c_guest):
    run([sys.executable, HERE / "one_process.py", c_guest, lua, "lua", "python", "c"], timeout=PATIENCE)
