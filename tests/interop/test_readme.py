"""The examples of the README run, in both of its languages."""

import re
import socket
import subprocess
import sys

import pytest

from hosts import PATIENCE, ROOT, EchoServer, compile_c, lua_environment, run

READMES = ["README.md", "README.zh-CN.md"]


def example(readme, language, number=0):
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def certificate(tmp_path):
    """The files that the examples of TLS name, in a folder."""
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=localhost"
    files = ["-out", tmp_path / "server.pem", "-keyout", tmp_path / "server.key"]
    extensions = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
    run([*made.split(), *extensions, *files])
    (tmp_path / "ca.pem").write_bytes((tmp_path / "server.pem").read_bytes())
    return tmp_path


# The further examples by their place and port, and what each prints.
FURTHER = [(1, "1043", "sealed\n"), (2, "1044", "20000\n")]


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
@pytest.mark.parametrize(("number", "port", "printed"), FURTHER)
def test_readme_lua_tls_and_compression(readme, number, port, printed, certificate):
    script = example(readme, "lua", number).replace(port, free_port())
    script = f'io.stdout:setvbuf("line") local coromega = require("coromega_ws") {script} coromega:run()'
    program = subprocess.Popen(["lua5.4", "-e", script], env=lua_environment("lua5.4"), cwd=certificate, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout.readline() == printed
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize(("number", "port", "printed"), FURTHER)
def test_readme_python_tls_and_compression(readme, number, port, printed, certificate):
    program = example(readme, "python", number).replace(port, free_port())
    program = f"import asyncio\nimport coromega_ws as coromega\n\n{program}\nasyncio.run(main())\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=certificate, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == (printed, "")


@pytest.mark.parametrize("readme", READMES)
def test_readme_c(readme):
    source = ROOT / "build/tests/interop/readme.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    with EchoServer("c") as server:
        source.write_text(example(readme, "c").replace("1042", str(server.port)), encoding="utf-8")
        program = compile_c(source, source.with_suffix(""))
        assert run([program], timeout=PATIENCE) == "hello\n"
