"""A signed repository of one tiny package, made by Debian's own tools and served on this machine."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = ("apt-get", "dpkg-deb", "dpkg-scanpackages", "gpg")
Answer = Callable[[http.server.BaseHTTPRequestHandler], bool]


@dataclass(slots=True)
class Served:
    """A server of a directory: its address, and the paths that were asked for."""

    port: int
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/"


@contextmanager
def served(directory: Path, answer: Answer = lambda _request: False) -> Iterator[Served]:
    """Serve a directory; ``answer`` may answer a request itself, and then says True."""
    log: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, directory=str(directory), **named)  # type: ignore[arg-type]

        def do_GET(self) -> None:
            log.append(self.path)
            if not answer(self):
                super().do_GET()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Served(server.server_port, log)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def redirects_to(prefix: str) -> Answer:
    """Sends everybody elsewhere."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> bool:
        request.send_response(302)
        request.send_header("Location", prefix + request.path.lstrip("/").removeprefix("./"))
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    return answer


def asks_for(user: str) -> Answer:
    """Denies access without this ``user:password``."""
    token = f"Basic {base64.b64encode(user.encode()).decode()}"

    def answer(request: http.server.BaseHTTPRequestHandler) -> bool:
        if request.headers.get("Authorization") == token:
            return False
        request.send_error(401, "sesame")
        return True

    return answer


@dataclass(frozen=True, slots=True)
class Repository:
    """Where it lies, and the public key that it is signed with, in both forms."""

    directory: Path
    key: bytes
    armored: str
    fingerprint: str


def make_repository(folder: Path) -> Repository:
    """The package ``tiny`` 1.0-1 for amd64, in a flat repository."""
    directory = folder / "repository"
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tiny").write_text("#!/bin/sh\n")
    fields = "Package: tiny\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: x <x@y>\nDescription: x\n"
    (root / "DEBIAN/control").write_text(fields)
    directory.mkdir()
    package = directory / "tiny_1.0-1_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, package], check=True, capture_output=True)
    scanned = subprocess.run(["dpkg-scanpackages", "."], cwd=directory, check=True, capture_output=True)
    (directory / "Packages").write_bytes(scanned.stdout)
    digest = hashlib.sha256(scanned.stdout).hexdigest()
    date = email.utils.formatdate(usegmt=True)
    release = directory / "Release"
    release.write_text(f"Date: {date}\nSuite: ./\nSHA256:\n {digest} {len(scanned.stdout)} Packages\n")
    home = folder / "gpg"
    home.mkdir(mode=0o700)

    def gpg(*arguments: str | Path) -> bytes:
        command = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    gpg("--quick-gen-key", "test@example.invalid", "rsa2048", "sign", "never")
    gpg("--clearsign", "-o", directory / "InRelease", release)
    listed = gpg("--list-keys", "--with-colons").decode().splitlines()
    fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
    made = Repository(directory, gpg("--export"), gpg("--armor", "--export").decode(), fingerprint)
    # Its agent would outlive the test.
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    return made
