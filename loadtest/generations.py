"""The files of a proxy whose configuration changes again and again.

Every generation has a number and tells it in each part that a request goes through: the
headers that the global chain and the route's chain set are named after it, and the route
renames the model after it; the upstream is the one for even or the one for odd numbers. A
client that sees two numbers in one answer was served by a mix. Names that metrics are kept
under (routes, upstreams) come from a bounded set.

With keys, each generation has a file of them: some that clients use throughout, one that
only this generation knows, and others, which come and go.
"""

import hashlib
import os
import shutil
import ssl
import subprocess
from pathlib import Path

CERTIFICATES = 4
# Sets of decoy routes that take turns, so that routes come and go.
ROUTE_SETS = 3
# Keys that are known throughout.
LASTING_KEYS = [f"lasting-key-{n}" for n in range(32)]


class Files:
    """The configuration, certificate and key that a proxy reads."""

    def __init__(self, folder, ports, transport, upstreams, routes, keys):
        self.folder, self.ports, self.transport = folder, ports, transport
        self.upstreams, self.routes, self.keys = upstreams, routes, keys
        self.served = folder / "served"
        self.served.mkdir()
        self.config = self.served / "penstock.yaml"
        self.key_list = self.served / "keys.yaml"
        self.certificate, self.key = self.served / "cert.pem", self.served / "key.pem"
        self.certificates = [self._make_certificate(n) for n in range(CERTIFICATES)]

    def _make_certificate(self, number):
        paths = self.folder / f"cert-{number}.pem", self.folder / f"key-{number}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", f"/CN=generation-{number}",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", paths[1],
                        "-out", paths[0]], check=True, capture_output=True)
        return paths

    def certificate_of(self, generation):
        """The certificate in DER that a generation presents."""
        return ssl.PEM_cert_to_DER_cert(self.certificates[generation % CERTIFICATES][0].read_text())

    @staticmethod
    def own_key(generation):
        """The key that only this generation knows."""
        return f"key-of-generation-{generation}"

    def keys_of(self, generation):
        """The keys file of a generation, with as many keys as were asked for."""
        fill = max(0, self.keys - len(LASTING_KEYS) - 1)
        keys = [*LASTING_KEYS, self.own_key(generation), *(f"key-{generation % ROUTE_SETS}-{n}" for n in range(fill))]
        hashes = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
        return "".join(f'- {{ hash: "sha256:{digest}", consumer: consumer-{n % 100} }}\n'
                       for n, digest in enumerate(hashes))

    def text(self, generation, route_tells=None):
        """The configuration of a generation; `route_tells` is a number that its route lies about."""
        side = "odd" if generation % 2 else "even"
        turn = generation % ROUTE_SETS
        decoys = "".join(
            f"  - {{ name: decoy-{turn}-{n}, match: {{ path: {{ prefix: /decoy/{turn}/{n} }},"
            f' models: ["decoy-{n}-*"] }}, split: [{{ upstream: {side}, model: g{generation} }}] }}\n'
            for n in range(self.routes - 1))
        authenticate = f"  - authenticate: {{ keys: {{ file: \"{self.key_list}\" }} }}\n" if self.keys else ""
        return f"""{self._server()}
upstreams:
  even: {{ endpoints: ["127.0.0.1:{self.upstreams[0]}"] }}
  odd: {{ endpoints: ["127.0.0.1:{self.upstreams[1]}"] }}
chain:
  - request_id: {{ header: x-chain-g{generation} }}
{authenticate}routes:
{decoys}  - name: all
    match: {{ path: {{ prefix: /v1 }}, models: ["*"] }}
    chain:
      - request_id: {{ header: x-route-g{generation if route_tells is None else route_tells} }}
    split: [{{ upstream: {side}, model: g{generation} }}]
"""

    def _server(self):
        plain, tls, admin = self.ports
        return f"""server:
  listen:
    - {{ address: "127.0.0.1:{plain}" }}
    - address: "127.0.0.1:{tls}"
      tls: {{ certificate: "{self.certificate}", private_key: {{ file: "{self.key}" }} }}
  admin: "127.0.0.1:{admin}"
  transport: {self.transport}
  workers: 2
  drain_timeout: 2m
  upgrade_socket: "{self.folder}/upgrade.sock"
  log: {{ format: json, access: off }}
  limits:
    generations: 1024
    # The clients are stopped while memory is taken, which is longer than a slow one is waited for.
    handshake_timeout: 1m
    head_timeout: 1m
    read_timeout: 1m
    write_timeout: 1m"""

    def write(self, generation, way, route_tells=None):
        """Puts a generation's files in place, in one of WAYS."""
        for kept, served in zip(self.certificates[generation % CERTIFICATES], (self.certificate, self.key)):
            replace(served, kept.read_text())
        if self.keys:
            replace(self.key_list, self.keys_of(generation))
        WAYS[way](self.config, self.text(generation, route_tells))


def replace(path, text):
    """By rename: the file is there whole at every moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def edit(path, text):
    """In place, as some editors save."""
    path.write_text(text)


def swap_link(path, text):
    """As Kubernetes updates a ConfigMap: the file is a link through a link to a folder, and
    the inner link is swapped."""
    inner = path.parent / "..data"
    before = inner.resolve() if inner.is_symlink() else None
    fresh = path.parent / f"..{os.urandom(6).hex()}"
    fresh.mkdir()
    (fresh / path.name).write_text(text)
    link = path.parent / "..data_tmp"
    link.symlink_to(fresh.name)
    os.replace(link, inner)
    if not path.is_symlink():
        outer = path.with_suffix(".link")
        outer.symlink_to(Path("..data") / path.name)
        os.replace(outer, path)
    if before is not None:
        shutil.rmtree(before)


WAYS = {"rename": replace, "edit": edit, "link": swap_link}


def wrong_files(files):
    """Every way in which a reload must be refused: a name, and what breaks the files."""
    good = files.config.read_text

    def other_key():
        return next(key.read_text() for _, key in files.certificates if key.read_text() != files.key.read_text())

    keys = [("a key that is no hash", lambda: replace(files.key_list, "- { hash: nothing, consumer: nobody }\n")),
            ("no keys file", lambda: files.key_list.unlink())] if files.keys else []
    return keys + [
        ("unknown key", lambda: replace(files.config, good().replace("endpoints:", "endpionts:", 1))),
        ("no YAML", lambda: replace(files.config, "routes: [\n")),
        ("unknown upstream", lambda: replace(files.config, good().replace("upstream: even", "upstream: neither")
                                             .replace("upstream: odd", "upstream: neither"))),
        ("no file", lambda: files.config.unlink()),
        ("server changed", lambda: replace(files.config, good().replace("workers: 2", "workers: 3"))),
        ("no certificate", lambda: replace(files.certificate, "not a certificate\n")),
        ("another certificate's key", lambda: replace(files.key, other_key())),
    ]
