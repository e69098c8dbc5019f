# SPDX-License-Identifier: Apache-2.0
"""A small CA of a test's own, made with the openssl command line as docs/tls.md tells users to."""
import pathlib
import ssl
import subprocess

EXTENSIONS = """basicConstraints = critical, CA:FALSE
subjectAltName = {names}
extendedKeyUsage = {usage}
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def new_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    path.chmod(0o600)
    return path


class Identity:
    """A certificate and its key, as files."""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key

    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.cert.read_text())


class Authority:
    def __init__(self, folder, name="test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = new_key(self.folder / "ca.key")
        self.cert = self.folder / "ca.pem"
        openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "30",
                "-addext", "keyUsage=critical,keyCertSign", "-out", self.cert)

    def issue(self, name, days=30, names="IP:127.0.0.1,DNS:localhost", usage="serverAuth,clientAuth"):
        """A new certificate of this CA; with negative days it expired yesterday."""
        base = self.folder / name
        key, cert = new_key(base.with_suffix(".key")), base.with_suffix(".pem")
        request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
        extensions.write_text(EXTENSIONS.format(names=names, usage=usage))
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                "-extfile", extensions, "-days", days, "-out", cert)
        return Identity(cert, key)

    def client_context(self, identity=None):
        """What verifies a node against this CA, and shows `identity` where it is asked for one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.cert)
        if identity is not None:
            context.load_cert_chain(identity.cert, identity.key)
        return context


def settings(identity, ca=None, **more):
    """What a node's config says to show that identity."""
    found = {"cluster_tls_enabled": True, "cluster_tls_cert_file": str(identity.cert),
             "cluster_tls_key_file": str(identity.key), **more}
    if ca is not None:
        found["cluster_tls_ca_file"] = str(ca.cert)
    return found
