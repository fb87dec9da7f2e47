"""A certificate authority of the test's own, and a server's certificate for this machine."""

import base64
import hashlib
import ssl

from hosts import run

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


class Certificates:
    """Paths of PEM files, and what Python makes of them."""

    def __init__(self, folder):
        self.ca, self.certificate, self.key = (str(folder / f"{n}.pem") for n in ("ca", "certificate", "key"))
        ca_key = folder / "ca_key.pem"
        make = ["openssl", "req", "-x509", *CURVE]
        usage = "keyUsage=critical,keyCertSign"
        run([*make, "-subj", "/CN=The CA of a test", "-addext", usage, "-keyout", ca_key, "-out", self.ca])
        run(
            [*make, "-CA", self.ca, "-CAkey", ca_key, "-subj", "/CN=A server of a test",
             "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.key, "-out", self.certificate]
        )  # fmt: skip

    def client(self):
        return ssl.create_default_context(cafile=self.ca)

    def server(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def fingerprint(self):
        """The hash of the server's public key, as Chromium wants it."""
        der = run(["openssl", "x509", "-in", self.certificate, "-pubkey", "-noout"])
        body = "".join(line for line in der.splitlines() if not line.startswith("-----"))
        return base64.b64encode(hashlib.sha256(base64.b64decode(body)).digest()).decode()
