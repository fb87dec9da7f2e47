"""The examples of the README run, in both of its languages."""

import re
import subprocess
import sys

import pytest

from hosts import PATIENCE, ROOT, EchoServer, compile_c, lua_environment, run

READMES = ["README.md", "README.zh-CN.md"]


def example(readme, language):
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL).group(1)


@pytest.mark.parametrize("readme", READMES)
def test_readme_lua(readme):
    script = example(readme, "lua").replace("1042)", "0)").replace('"ws://127.0.0.1:1042"', "address")
    script = script.replace("coromega:create", "local listener = coromega:create")
    script = script.replace("coromega:start_new", 'address = "ws://127.0.0.1:" .. select(2, listener:address())\ncoromega:start_new')
    server = subprocess.Popen(["lua5.4", "-e", f"io.stdout:setvbuf('line') {script}"], env=lua_environment("lua5.4"), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "echo: hello\n"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("readme", READMES)
def test_readme_python(readme):
    assert run([sys.executable, "-c", example(readme, "python")]) == "echo: hello\n"


@pytest.mark.parametrize("readme", READMES)
def test_readme_c(readme):
    source = ROOT / "build/tests/interop/readme.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    with EchoServer("c") as server:
        source.write_text(example(readme, "c").replace("1042", str(server.port)), encoding="utf-8")
        program = compile_c(source, source.with_suffix(""))
        assert run([program], timeout=PATIENCE) == "hello\n"
