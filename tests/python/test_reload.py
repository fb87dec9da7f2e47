"""S10: the certificate of a listener, read again while it serves."""

import subprocess

import coromega_ws as coromega
import pytest
from support import url


def certificate(folder, name):
    """Makes a certificate that signs itself; the two options that name it."""
    made = {"certificate_file": folder / f"{name}.pem", "key_file": folder / f"{name}.key"}
    subprocess.run(
        [
            *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5".split(),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"),
            *("-out", made["certificate_file"], "-keyout", made["key_file"]),
        ],
        check=True,
        capture_output=True,
    )
    return made


def test_S10_a_certificate_is_read_again(run, tmp_path):
    async def main():
        first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
        used = {name: tmp_path / f"used-{name}" for name in first}

        def use(made):
            for name, path in made.items():
                used[name].write_bytes(path.read_bytes())

        use(first)
        listener = coromega.create_websocket_server("127.0.0.1", 0, **used)
        address = url(listener).replace("ws://", "wss://")
        conns = []
        listener.when_new_conn(conns.append)

        async def trusts(made):
            try:
                conn = await coromega.connect_to_websocket(address, ca_files=[str(made["certificate_file"])])
            except coromega.TlsError:
                return False
            await conn.send_message("hello")
            return conn

        early = await trusts(first)
        assert early and not await trusts(second)
        use(second)
        assert await trusts(first) and not await trusts(second)
        assert listener.reload() is None
        assert await trusts(second) and not await trusts(first)
        # What can't be read changes nothing, and says which file it is.
        used["key_file"].write_text("no key")
        with pytest.raises(coromega.InvalidArgument, match="used-key_file"):
            listener.reload()
        assert await trusts(second)
        # Connections that stand live on.
        await early.send_message("still here")
        assert [await conns[0].receive_message() for _ in range(2)] == ["hello", "still here"]
        await listener.close()
        with pytest.raises(coromega.ConnectionClosed):
            listener.reload()

    run(main())


def test_S10_without_a_certificate_there_is_nothing_to_read(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        with pytest.raises(coromega.InvalidArgument, match="certificate_file"):
            listener.reload()

    run(main())
