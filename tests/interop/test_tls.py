"""TLS: certificates made with the openssl command, Python's ssl as the peer of either side."""

import base64
import hashlib
import os
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest
from authority import Authority

from hosts import PATIENCE, ROOT, Peer, compile_c


@pytest.fixture(scope="module")
def guest():
    return compile_c(ROOT / "tests/interop/tls_guest.c", ROOT / "build/tests/interop/tls_guest")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "ca")


@pytest.fixture(scope="module")
def identity(authority):
    return authority.sign("server")


class Guest:
    def __init__(self, program, *arguments):
        self.process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def line(self, patience=PATIENCE):
        ready, _, _ = select.select([self.process.stdout], [], [], patience)
        assert ready, "the guest is silent"
        return self.process.stdout.readline().strip()

    def expect(self, start):
        line = self.line()
        assert line.startswith(start), line
        return line[len(start) :].strip()

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class Server(Guest):
    def __init__(self, program, *options):
        super().__init__(program, "listen", *options)
        self.port = int(self.expect("LISTENING"))
        self.url = f"wss://localhost:{self.port}/"


def connect(program, url, *options):
    """Runs a client to its end: (how it ended, what it wrote to standard error)."""
    done = subprocess.run(
        [str(program), "connect", url, *options], capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout.strip().splitlines(), done.stderr


def refused(program, url, *options):
    """The text with which a connect failed in TLS."""
    lines, _ = connect(program, url, *options)
    assert len(lines) == 1 and lines[0].startswith("CLOSED TLS 1006 connect to wss://"), lines
    return lines[0]


GOOD = ["OPEN", "ECHOED", "CLOSED OK 1000 done"]


class TlsPeer(Peer):
    """A WebSocket client made by hand over Python's TLS."""

    def __init__(self, port, context, name="localhost", receive_buffer=None):
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", port))
        self.socket = context.wrap_socket(plain, server_hostname=name)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, head
            head += byte
        assert b" 101 " in head, head

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the server has left"
            data += more
        return bytes(data)

    def echo(self, payload):
        self.send(2, payload)
        assert self.read() == (2, payload)


def client_context(authority, version=None):
    context = ssl.create_default_context(cafile=authority.file)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def test_S7_c_a_good_certificate(guest, authority, identity):
    with Server(guest, *identity) as server:
        assert connect(guest, server.url, f"ca_files={authority.file}") == (GOOD, "")
        assert connect(guest, f"wss://127.0.0.1:{server.port}/x?y", f"ca_files={authority.file}")[0] == GOOD


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_S7_c_python_speaks_with_our_server(guest, authority, identity, version):
    with Server(guest, *identity) as server:
        peer = TlsPeer(server.port, client_context(authority, version))
        for size in (0, 1, 125, 126, 16384, 65536, 1_000_000):
            peer.echo(os.urandom(size))
        peer.send(8, b"\x03\xe8bye")
        assert peer.read() == (8, b"\x03\xe8")
        # The end of TLS is said, too: otherwise this raises.
        assert peer.socket.recv(1) == b""


class PythonServer:
    """A WebSocket server made by hand over Python's TLS: echoes one client."""

    def __init__(self, identity, truncate=False, version=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*(option.split("=", 1)[1] for option in identity))
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        self.truncate = truncate
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"wss://localhost:{self.socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        plain, _ = self.socket.accept()
        plain.settimeout(PATIENCE)
        try:
            tls = self.context.wrap_socket(plain, server_side=True)
        except ssl.SSLError:
            return  # the client finds that out, too
        stream = tls.makefile("rb")
        key = None
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":")[1].strip()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        # The first frame comes in the record of the answer.
        tls.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n\x89\x02hi"
        )
        while True:
            opcode, second = stream.read(2)
            length = second & 127
            if length > 125:
                length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
            mask = stream.read(4)
            data = bytearray(stream.read(length))
            for i in range(4):
                data[i::4] = bytes(b ^ mask[i] for b in data[i::4])
            opcode &= 15
            if opcode == 10:
                assert data == b"hi"
                continue
            head = bytes([0x80 | opcode])
            if length < 126:
                head += bytes([length])
            elif length < 65536:
                head += b"\x7e" + length.to_bytes(2, "big")
            else:
                head += b"\x7f" + length.to_bytes(8, "big")
            tls.sendall(head + data)
            if opcode == 8:
                break
        if self.truncate:
            plain = tls.detach()
            socket.socket(fileno=plain).close()  # no close_notify
        else:
            tls.unwrap()
            tls.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("truncate", [False, True])
def test_S7_c_our_client_speaks_with_python(guest, authority, identity, version, truncate):
    server = PythonServer(identity, truncate, version)
    assert connect(guest, server.url, f"ca_files={authority.file}", "count=20", "size=40000")[0] == GOOD


def test_S6_c_an_unknown_authority_is_refused(guest, identity, tmp_path):
    with Server(guest, *identity) as server:
        assert "not signed by an authority that is known here" in refused(guest, server.url)
        other = Authority(tmp_path, "other")
        assert "not signed by an authority" in refused(guest, server.url, f"ca_files={other.file}")


def test_S6_c_another_name_is_refused_unless_it_is_asked_for(guest, authority):
    with Server(guest, *authority.sign("named", "DNS:example.test")) as server:
        trust = f"ca_files={authority.file}"
        assert "is for example.test, not for localhost" in refused(guest, server.url, trust)
        assert connect(guest, server.url, trust, "server_name=example.test")[0] == GOOD
        assert "not for other.test" in refused(guest, server.url, trust, "server_name=other.test")


def test_S6_c_an_expired_certificate_is_refused(guest, authority):
    with Server(guest, *authority.sign("expired", expired=True)) as server:
        assert "certificate expired 10 days ago" in refused(guest, server.url, f"ca_files={authority.file}")


def test_S6_c_insecure_works_and_warns_once(guest, authority):
    with Server(guest, *authority.sign("insecure", "DNS:example.test", expired=True)) as server:
        lines, warning = connect(guest, server.url, "insecure=1")
        assert lines == GOOD
        assert warning.count("\n") == 1 and "insecure" in warning


def test_S7_c_min_tls_version(guest, authority, identity):
    trust = f"ca_files={authority.file}"
    with Server(guest, *identity, "min_tls_version=1.3") as server:
        TlsPeer(server.port, client_context(authority, ssl.TLSVersion.TLSv1_3)).echo(b"x")
        with pytest.raises(ssl.SSLError):
            TlsPeer(server.port, client_context(authority, ssl.TLSVersion.TLSv1_2))
    old = PythonServer(identity, version=ssl.TLSVersion.TLSv1_2)
    assert "version" in refused(guest, old.url, trust, "min_tls_version=1.3")
    lines, _ = connect(guest, old.url, "min_tls_version=1.1")
    assert "takes 1.2 or 1.3" in lines[0]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_S7_c_client_certificates(guest, authority, identity, tmp_path, version):
    trust = f"ca_files={authority.file}"
    with Server(guest, *identity, trust) as server:
        assert connect(guest, server.url, trust, *authority.sign("client"))[0] == GOOD
        lines, _ = connect(guest, server.url, trust)
        assert lines[-1].startswith("CLOSED TLS 1006") and "wants a certificate" in lines[-1], lines
        stranger = Authority(tmp_path, "stranger").sign("client")
        lines, _ = connect(guest, server.url, trust, *stranger)
        assert lines[-1].startswith("CLOSED TLS 1006") and "our certificate" in lines[-1], lines
        context = client_context(authority, getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_")))
        with pytest.raises((ssl.SSLError, AssertionError, OSError)):
            TlsPeer(server.port, context).echo(b"x")
        context.load_cert_chain(authority.path("client.pem"), authority.path("client.key"))
        TlsPeer(server.port, context).echo(b"x")


def test_S7_c_reload(guest, authority):
    trust = f"ca_files={authority.file}"
    with Server(guest, *authority.sign("reloaded", "DNS:old.test")) as server:
        context = client_context(authority)
        old = TlsPeer(server.port, context, "old.test")
        authority.sign("reloaded", "DNS:new.test")
        assert connect(guest, server.url, trust, "server_name=old.test")[0] == GOOD
        server.say("reload")
        server.expect("RELOADED")
        assert connect(guest, server.url, trust, "server_name=new.test")[0] == GOOD
        assert "not for old.test" in refused(guest, server.url, trust, "server_name=old.test")
        old.echo(b"lives on")
        with open(authority.path("reloaded.pem"), "w") as file:
            file.write("nonsense\n")
        server.say("reload")
        assert "reloaded.pem" in server.expect("FAILED")
        assert connect(guest, server.url, trust, "server_name=new.test")[0] == GOOD
        old.echo(b"still")
    with Server(guest) as plain:
        plain.say("reload")
        assert "no TLS" in plain.expect("FAILED")


def test_S6_c_plain_and_tls_mixed_up(guest, authority, identity):
    with Server(guest, *identity) as tls, Server(guest) as plain:
        bystander = TlsPeer(tls.port, client_context(authority))
        with socket.create_connection(("127.0.0.1", tls.port), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400 ") and b"TLS" in answer
        lines, _ = connect(guest, f"ws://127.0.0.1:{tls.port}/")
        assert lines[0].startswith("CLOSED HTTP 1006"), lines
        start = time.monotonic()
        text = refused(guest, f"wss://127.0.0.1:{plain.port}/")
        assert "plain HTTP" in text
        assert time.monotonic() - start < 8  # told at once, not by open_timeout
        bystander.echo(b"undisturbed")
        assert connect(guest, f"ws://127.0.0.1:{plain.port}/")[0] == GOOD


def test_S14_c_large_messages_both_ways(guest, authority, identity):
    with Server(guest, *identity, "max_message_size=10000000") as server:
        trust = f"ca_files={authority.file}"
        ten_million = ["count=2", "size=10000000", "max_message_size=10000000"]
        assert connect(guest, server.url, trust, *ten_million)[0] == GOOD
        assert connect(guest, server.url, trust, "count=100", "size=100000")[0] == GOOD


def test_S14_c_many_small_messages(guest, authority, identity):
    with Server(guest, *identity) as server:
        small = ["count=100000", "size=20"]
        assert connect(guest, server.url, f"ca_files={authority.file}", *small)[0] == GOOD


def test_S9_c_a_peer_that_stalls_in_the_tls_handshake(guest, authority, identity):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lines, _ = connect(guest, f"wss://127.0.0.1:{silent.getsockname()[1]}/", "open_timeout=0.3")
        assert lines[0].startswith("CLOSED TIMEOUT") and "in the TLS handshake" in lines[0], lines
    with Server(guest, *identity, "open_timeout=0.5") as server:
        stalled = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        stalled.sendall(b"\x16\x03\x01")
        assert connect(guest, server.url, f"ca_files={authority.file}")[0] == GOOD
        assert stalled.recv(1) == b""  # it was sent away


def test_S29_c_a_tls_peer_that_never_reads_costs_little(guest, authority, identity):
    with Server(guest, *identity, "never_take=1") as server:
        peer = TlsPeer(server.port, client_context(authority))
        before = server.resident_kib()
        peer.socket.settimeout(1)
        frame, written = Peer.frame(2, bytes(60_000)), 0
        with pytest.raises(TimeoutError):
            while written < 200_000_000:
                peer.socket.sendall(frame)
                written += len(frame)
        assert server.resident_kib() - before < 24 * 1024


def test_S20_c_bytes_leave_while_the_program_computes(guest, authority, identity):
    with Server(guest, *identity, "compute=3000") as server:
        peer = TlsPeer(server.port, client_context(authority))
        peer.echo(b"now")
        ready, _, _ = select.select([server.process.stdout], [], [], 0)
        assert not ready, "the echo came when the program was done"
        server.expect("COMPUTED")


def test_S20_c_write_limit_holds_with_tls(guest, authority, identity):
    """A server that takes all and echoes to a peer that does not read must stop taking."""
    with Server(guest, *identity) as server:
        peer = TlsPeer(server.port, client_context(authority), receive_buffer=4096)
        before = server.resident_kib()
        peer.socket.settimeout(1)
        payload = os.urandom(50_000)
        frame, count = Peer.frame(2, payload), 0
        rest = b""
        try:
            while count < 4000:
                rest = frame
                while rest:
                    rest = rest[peer.socket.send(rest) :]
                count += 1
        except TimeoutError:
            pass
        assert count < 4000, "nothing stops this peer"
        assert server.resident_kib() - before < 24 * 1024
        peer.socket.settimeout(PATIENCE)
        for _ in range(count):
            assert peer.read() == (2, payload)


def test_S6_c_files_that_are_none(guest, authority, identity):
    for options, says in [
        (["certificate_file=/no/such.pem"], "/no/such.pem"),
        (["key_file=/no/such.pem"], "certificate_file"),
        (["ca_files=/no/such.pem", *identity], "ca_files"),
        ([identity[0], f"key_file={authority.path('ca.key')}"], "does not belong"),
    ]:
        done = subprocess.run(
            [str(guest), "listen", *options], capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.stdout.startswith("FAILED listen") and says in done.stdout, done.stdout
        lines, _ = connect(guest, "wss://127.0.0.1:9/", *options)
        assert lines[0].startswith("FAILED connect") and says in lines[0], lines
