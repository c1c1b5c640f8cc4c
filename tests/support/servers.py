"""Servers on 127.0.0.1 that images are read from: real ones, and an HTTP server that can do wrong."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE_SECONDS = 20


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def await_port(port: int) -> None:
    """True afterwards: somebody listens there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.05)


# --- an HTTP server that can do wrong ------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.owner.requests.append((self.path, dict(self.headers.items())))
        self.server.owner.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server wants
        """Nothing is logged."""

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: RangeServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


Misbehaviour = Callable[["RangeServer", _Handler, int, int], bool]
"""Answers a range (first and last byte) wrongly and says True, or leaves it to be answered rightly."""


@dataclass
class RangeServer:
    """Gives out parts of ``content``, as RFC 9110 has it, but for what ``wrong`` does first."""

    content: bytes
    wrong: Misbehaviour | None = None
    etag: str = '"1"'
    modified: str = "Mon, 30 Nov 2026 10:00:00 GMT"
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    def url(self, name: str = "disk.raw", scheme: str = "http") -> str:
        return f"{scheme}://localhost:{self.port}/{name}"

    def answer(self, handler: _Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, len(self.content) - 1)
        if self.wrong is None or not self.wrong(self, handler, first, last):
            self.give(handler, first, last)

    def give(self, handler: _Handler, first: int, last: int, **changed: str) -> None:
        """The right answer, but for headers that are ``changed`` (with _ for -)."""
        part = self.content[first : last + 1]
        said = {
            "Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(self.content)}",
            "Content-Length": str(len(part)),
            "ETag": self.etag,
            "Last-Modified": self.modified,
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        handler.begin(206, said)
        handler.wfile.write(part)


@contextmanager
def range_server(server: RangeServer, certificate: Path | None = None) -> Iterator[RangeServer]:
    """The server at work, over TLS where there is a certificate (with its key in the same file)."""
    listening = _Server(("127.0.0.1", 0), _Handler)
    listening.owner = server
    server.port = listening.server_address[1]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def make_certificate(folder: Path, host: str = "localhost") -> Path:
    """A certificate that signs itself, and its key, in one file; trusted where SSL_CERT_FILE names it."""
    made = folder / f"{host}.pem"
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", f"/CN={host}"]
    subprocess.run([*command, "-addext", f"subjectAltName=DNS:{host}"], check=True, capture_output=True)
    made.write_bytes(key.read_bytes() + certificate.read_bytes())
    return made


# --- servers of others ---------------------------------------------------------------------


@contextmanager
def started(command: list[str], port: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, once it listens; ended with all that it started."""
    process = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        await_port(port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def nginx(folder: Path, home: Path) -> Iterator[int]:
    """nginx over a folder, with ranges; without them below /whole/. The port that it listens on."""
    port = free_port()
    home.mkdir()
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"daemon off; pid {home}/pid; error_log {home}/error.log; worker_processes 1; "
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        "events { worker_connections 64; }\n"
        f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; root {folder};\n"
        f"location /whole/ {{ alias {folder}/; max_ranges 0; }} }} }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "install nginx-light"
    with started([program, "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")], port):
        yield port


@contextmanager
def sshd(home: Path) -> Iterator[tuple[int, str]]:
    """An sshd that serves sftp to whoever runs the tests, by the key ``home/id``: its port and host key."""
    port = free_port()
    home.mkdir(mode=0o700)
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    (home / "authorized_keys").write_text((home / "id.pub").read_text())
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\n"
        f"AuthorizedKeysFile {home}/authorized_keys\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n"
        "ForceCommand internal-sftp\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "install openssh-server"
    log = (home / "log").open("wb")
    with log, started([program, "-D", "-e", "-f", str(home / "config")], port, stderr=log):
        key = " ".join((home / "host.pub").read_text().split()[:2])
        yield port, key


@contextmanager
def agent(key: Path) -> Iterator[str]:
    """An ssh-agent with one key: its socket."""
    address = key.parent / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not address.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(address)}
        subprocess.run(["ssh-add", "-q", key], check=True, env=environment)
        yield str(address)
    finally:
        process.kill()
        process.wait()


@contextmanager
def nbd_server(*words: str | Path) -> Iterator[int]:
    """nbdkit with these filters, plugin and parameters: its port."""
    port = free_port()
    program = shutil.which("nbdkit", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "install nbdkit"
    with started([program, "-f", "-r", "-i", "127.0.0.1", "-p", str(port), *map(str, words)], port):
        yield port
