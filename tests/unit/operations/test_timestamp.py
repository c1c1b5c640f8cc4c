"""A time stamp of a real authority, openssl's, on this host; and of what is none."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guestrepair.errors import TimestampError, UsageError
from guestrepair.operations.timestamp import MAX_REPLY_BYTES, check_authority, stamp

CONFIGURATION = """
[tsa]
default_tsa = it
[it]
serial = {0}/serial
crypto_device = builtin
signer_cert = {0}/cert.pem
signer_key = {0}/key.pem
signer_digest = sha256
certs = {0}/cert.pem
default_policy = 1.2.3.4
digests = sha256
[ext]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
basicConstraints = critical,CA:true
[req]
distinguished_name = dn
[dn]
"""
Answer = Callable[[bytes], tuple[int, bytes]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tsa")
    (home / "openssl.cnf").write_text(CONFIGURATION.format(home))
    (home / "serial").write_text("01\n")
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=it",
        "-config", home / "openssl.cnf", "-extensions", "ext", "-keyout", home / "key.pem",
        "-out", home / "cert.pem",
    )  # fmt: skip
    return home


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True)


def reply(authority: Path, query: bytes) -> bytes:
    (authority / "query").write_bytes(query)
    openssl(
        "ts", "-reply", "-config", authority / "openssl.cnf", "-queryfile", authority / "query",
        "-out", authority / "reply",
    )  # fmt: skip
    return (authority / "reply").read_bytes()


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tsr"
        finally:
            server.shutdown()
            thread.join()


def test_openssl_verifies_what_is_stored(authority: Path, tmp_path: Path) -> None:
    data, to = tmp_path / "x.tar", tmp_path / "x.tar.tsr"
    data.write_bytes(b"a bundle")
    with serving(lambda query: (200, reply(authority, query))) as url:
        stamp(hashlib.sha256(b"a bundle").hexdigest(), url, to)
    done = openssl("ts", "-verify", "-data", data, "-in", to, "-CAfile", authority / "cert.pem")
    assert "Verification: OK" in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar", "x.tar.tsr"}


def other(authority: Path, tmp_path: Path) -> bytes:
    digest = hashlib.sha256(b"something else").hexdigest()
    query = tmp_path / "other"
    openssl("ts", "-query", "-digest", digest, "-sha256", "-out", query)
    data = query.read_bytes()
    query.unlink()
    return reply(authority, data)


def refusal(_query: bytes) -> tuple[int, bytes]:
    return 200, bytes.fromhex("30053003020102")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _query: (500, b""), "no answer: Internal Server Error"),
        (lambda _query: (302, b""), "no answer: Found"),
        (lambda _query: (200, b"<html>"), "is no time stamp"),
        (lambda _query: (200, b""), "is no time stamp"),
        (lambda _query: (200, bytes(MAX_REPLY_BYTES + 1)), "too much"),
        (refusal, "it gave no time stamp: rejected"),
    ],
)
def test_what_is_no_time_stamp_leaves_nothing(answer: Answer, words: str, tmp_path: Path) -> None:
    with serving(answer) as url, pytest.raises(TimestampError, match=words):
        stamp("00" * 32, url, tmp_path / "x.tsr")
    assert not list(tmp_path.iterdir())


def test_a_stamp_of_something_else(authority: Path, tmp_path: Path) -> None:
    stolen = other(authority, tmp_path)
    with serving(lambda _query: (200, stolen)) as url, pytest.raises(TimestampError, match="something else"):
        stamp("00" * 32, url, tmp_path / "x.tsr")


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(TimestampError, match="no answer: "):
        stamp("00" * 32, "http://127.0.0.1:1/", tmp_path / "x.tsr")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "tsa.example", "http://", "https://[", ""])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(UsageError, match="not an http or https URL"):
        check_authority(url)
