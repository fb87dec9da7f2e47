"""Certificates for the tests of TLS, made with the openssl command line."""

import subprocess
import time

from hosts import PATIENCE

DAY = 86400


class Authority:
    """A certificate authority in a folder, and what it signed."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self._openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10".split(),
            *("-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"), "-subj", f"/CN={name}"),
        )
        self.file = self.path(f"{name}.pem")

    def path(self, name):
        return str(self.folder / name)

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr

    def sign(self, name, names="DNS:localhost,IP:127.0.0.1", expired=False):
        """Returns the options that name a fresh certificate and its key."""
        key, request, certificate = (self.path(f"{name}.{kind}") for kind in ("key", "csr", "pem"))
        self._openssl(
            *"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(),
            *("-keyout", key, "-out", request, "-subj", f"/CN={name}"),
        )
        extensions = self.path(f"{name}.ext")
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={names}\n")
        if expired:
            # `x509 -req` can't look back in time; `ca` can.
            database = self.path(f"{name}.index")
            open(database, "w").close()
            config = self.path(f"{name}.cnf")
            with open(config, "w") as file:
                file.write(
                    f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\nnew_certs_dir={self.folder}\n"
                    f"rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
                )
            ago = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - d * DAY)) for d in (20, 10)]
            self._openssl(
                *("ca", "-batch", "-notext", "-config", config, "-in", request, "-out", certificate),
                *("-cert", self.file, "-keyfile", self.path(f"{self.name}.key"), "-extfile", extensions),
                *("-startdate", ago[0], "-enddate", ago[1]),
            )
        else:
            self._openssl(
                *("x509", "-req", "-days", "5", "-in", request, "-out", certificate, "-CAcreateserial"),
                *("-CA", self.file, "-CAkey", self.path(f"{self.name}.key"), "-extfile", extensions),
            )
        return [f"certificate_file={certificate}", f"key_file={key}"]
