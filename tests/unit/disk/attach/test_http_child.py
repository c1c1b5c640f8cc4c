"""The child that asks an HTTP server, against one that answers as told: refused, tried again, handed on."""

from __future__ import annotations

import io
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guestrepair.disk.attach import http_child
from guestrepair.disk.attach.http_child import AgainError, RefusedError, Upstream, Version

DISK = bytes(range(256)) * 16
SIZE = len(DISK)


def part(
    first: int, length: int, *, headers: str = 'ETag: "1"\r\n', status: str = "206 Partial Content"
) -> bytes:
    """A right answer, unless said otherwise."""
    data = DISK[first : first + length]
    where = f"Content-Range: bytes {first}-{first + len(data) - 1}/{SIZE}\r\nContent-Length: {len(data)}\r\n"
    return f"HTTP/1.1 {status}\r\n{where}{headers}\r\n".encode() + data


def status(line: str, *headers: str) -> bytes:
    """An answer without content."""
    return "\r\n".join([f"HTTP/1.1 {line}", "Content-Length: 0", *headers, "", ""]).encode()


class Script:
    """A server with these answers, one after the other, the last one for ever; b"" ends the connection."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [part(0, 1)]
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline():
                    asked = {"": line.decode().strip()}
                    while text := self.rfile.readline().decode().strip():
                        name, _, value = text.partition(": ")
                        asked[name] = value
                    outer.asked.append(asked)
                    answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                    if not answer:
                        return
                    self.wfile.write(answer)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/disk.raw?key=1"


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries, and nobody who cuts a connection meanwhile: tests/oracle has slow servers."""

    class Idle:
        def __init__(self, _seconds: float) -> None:
            pass

        @contextmanager
        def over(self, _connection: object) -> Iterator[None]:
            yield

    monkeypatch.setattr(http_child, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(http_child, "_Watchdog", Idle)


def upstream(script: Script, **headers: str) -> Upstream:
    return Upstream(script.url, headers, 5.0)


def test_a_part_is_asked_for_as_such_and_the_first_answer_says_what_the_file_is(script: Script) -> None:
    modified = "Tue, 01 Dec 2026 00:00:00 GMT"
    script.answers = [part(n, k, headers=f"Last-Modified: {modified}\r\n") for n, k in ((0, 1), (100, 50))]
    server = upstream(script, Authorization="Bearer secret")
    assert server.open() == Version(SIZE, "", modified)
    assert server.read(100, 50) == DISK[100:150]
    assert script.asked[1][""] == "GET /disk.raw?key=1 HTTP/1.1"
    assert script.asked[1]["Range"] == "bytes=100-149"
    assert script.asked[1]["Accept-Encoding"] == "identity"
    assert script.asked[1]["Authorization"] == "Bearer secret"
    assert server.failure == ""


OPENED: dict[str, tuple[bytes, str, str]] = {
    "whole": (status("200 OK"), "as a whole only (no ranges)", "switch ranges on"),
    "unauthorised": (status("401 No"), "it wants credentials (status 401)", "--header-file"),
    "forbidden": (status("403 No"), "it refuses (credentials missing", "--header-file"),
    "missing": (status("404 No"), "it has no such file (status 404)", ""),
    "empty": (status("416 No"), "the file is empty", ""),
    "odd": (status("418 Teapot"), "it answers with status 418", ""),
    "broken": (status("500 No"), "it answers with status 500", "is the server there"),
    "compressed": (part(0, 1, headers="Content-Encoding: gzip\r\n"), "it compresses what it sends", ""),
    "no range": (b"HTTP/1.1 206 P\r\nContent-Length: 1\r\n\r\nx", "does not say which part", ""),
    "no size": (b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/*\r\n\r\n", "or how long the file is", ""),
    "another part": (part(7, 1), "it sends bytes 7-7 where 0-0 were asked for", ""),
    "more": (part(0, 1).replace(b"h: 1\r\n", b"h: 2\r\n") + b"x", "it sends more than it says", ""),
    "less": (part(0, 1).replace(b"h: 1\r\n", b"h: 0\r\n")[:-1], "it sends less than it says", ""),
    "ended": (b"", "it ended the connection in the middle", "firewall"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\x1b[31m\r\n\r\n", "what it answers is not HTTP", ""),
    "elsewhere": (status("302 F", "Location: ftp://x/y"), "not http or https", ""),
    "nowhere": (status("302 F"), "more than 5 redirects", ""),
    "bad port": (status("302 F", "Location: http://x:port/"), "not http or https", ""),
    "blanks": (status("302 F", "Location: http://x/a b"), "not http or https", ""),
}


@pytest.mark.parametrize(("answer", "why", "hint"), OPENED.values(), ids=OPENED)
def test_what_a_server_may_answer_is_said_in_our_own_words(
    script: Script, answer: bytes, why: str, hint: str
) -> None:
    script.answers = [answer]
    with pytest.raises(RefusedError) as error:
        upstream(script).open()
    assert why in error.value.why
    assert hint in error.value.hint
    assert error.value.why.isprintable()


@pytest.mark.parametrize("first", [status("503 Busy"), status("429 Slow"), b"", b"nonsense\r\n\r\n"])
def test_what_may_work_the_next_time_is_tried_again(script: Script, first: bytes) -> None:
    script.answers = [first, part(0, 1)]
    assert upstream(script).open().size_bytes == SIZE
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (part(0, 1).replace(b"/4096", b"/5000"), "4096 bytes before, 5000 now"),
        (part(0, 1, headers='ETag: "2"\r\n'), "another ETag"),
        (part(0, 1, headers='ETag: "1"\r\nLast-Modified: now\r\n'), "another time of modification"),
        (status("416 No"), "it is shorter"),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_noticed_and_stays_so(
    script: Script, answer: bytes, why: str
) -> None:
    script.answers = [part(0, 1), answer, status("404 Gone"), part(0, 1)]
    server = upstream(script)
    server.open()
    with pytest.raises(RefusedError, match="it has changed while it was read") as error:
        server.read(0, 1)
    assert why in error.value.why
    with pytest.raises(RefusedError, match="no such file"):
        server.read(0, 1)
    server.check()
    assert server.failure == error.value.why, "the first one, though it is there again as it was"


def test_the_end_is_where_a_change_is_noticed_at_the_latest(script: Script) -> None:
    script.answers = [part(0, 1), part(0, 1, headers='ETag: "2"\r\n')]
    server = upstream(script)
    server.open()
    server.check()
    assert "another ETag" in server.failure


def test_a_redirect_is_remembered_takes_no_credentials_elsewhere_and_may_expire(script: Script) -> None:
    elsewhere = script.url.replace("127.0.0.1", "localhost").replace("key=1", "signed=1")
    to = status("307 Moved", f"Location: {elsewhere}")
    script.answers = [to, part(0, 1), part(1, 1), status("403 Expired"), to, part(2, 1)]
    server = upstream(script, Authorization="Bearer secret")
    server.open()
    assert [server.read(at, 1) for at in (1, 2)] == [DISK[1:2], DISK[2:3]]
    paths = [asked[""].split()[1] for asked in script.asked]
    assert paths == [
        f"/disk.raw?{query}=1" for query in ("key", "signed", "signed", "signed", "key", "signed")
    ]
    assert ["Authorization" in asked for asked in script.asked] == ["key=" in path for path in paths]


def test_https_never_leads_to_http() -> None:
    class Answer:
        @staticmethod
        def getheader(_name: str) -> str:
            return "http://example.org/disk"

    server = Upstream("https://example.org/disk", {}, 5.0)
    with pytest.raises(RefusedError, match="from https to http"):
        server._redirected("https://example.org/disk", Answer())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AgainError("it answers with status 500"), "it answers with status 500"),
        (socket.gaierror(-2, "Name or service not known"), "the host's name is not known"),
        (TimeoutError("timed out"), "no answer"),
        (ssl.SSLError(1, "[SSL] \x1b"), "no encrypted connection can be made"),
        (ConnectionRefusedError(111, "Connection refused"), "no connection: Connection refused"),
        (OSError("odd"), "no connection"),
    ],
)
def test_why_there_is_no_answer_is_said_in_our_words(error: Exception, words: str) -> None:
    assert http_child._words(error) == words


def test_a_certificate_that_is_not_accepted_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def refuse(_self: Upstream, offset: int, _length: int) -> bytes:
        tries.append(offset)
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        raise error

    monkeypatch.setattr(Upstream, "_once", refuse)
    with pytest.raises(RefusedError, match="not accepted: self-signed certificate") as error:
        Upstream("https://example.org/", {}, 5.0).open()
    assert "SSL_CERT_FILE" in error.value.hint
    assert len(tries) == 1


# --- what is handed on -----------------------------------------------------------------------------


@contextmanager
def handing_on(path: Path, server: Upstream) -> Iterator[Callable[[bytes], bytes]]:
    """Ask over the socket as nbdkit does; each answer is what came until the connection was still."""
    served = http_child._Server(str(path), server, SIZE)
    threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()

    def ask(request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    try:
        yield ask
    finally:
        served.shutdown()
        served.server_close()


def test_what_nbdkit_asks_for_is_handed_on(script: Script, tmp_path: Path) -> None:
    script.answers = [part(0, 1), part(100, 50), part(4000, 96)]
    server = upstream(script)
    server.open()
    with handing_on(tmp_path / "socket", server) as ask:
        assert b"200 OK\r\nContent-Length: 4096\r\n" in ask(b"HEAD /disk HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask(b"GET /disk HTTP/1.1\r\nRange: bytes=100-149\r\n\r\n").endswith(
            b"\r\n\r\n" + DISK[100:150]
        )
        past = ask(b"GET / HTTP/1.1\r\nrange: bytes=4000-4096\r\n\r\n")
        assert past.endswith(b"\r\n\r\n" + DISK[4000:]), "a byte more than there is"


@pytest.mark.parametrize(
    ("request_", "status_line"),
    [
        (b"GET / HTTP/1.1\r\nRange: bytes=5-4\r\n\r\n", b"HTTP/1.1 416"),
        (b"GET / HTTP/1.1\r\nRange: bytes=9999-9999\r\n\r\n", b"HTTP/1.1 416"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nRange: bytes=0-1\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nRange: bytes=0-9\r\n\r\n", b"HTTP/1.1 502"),
    ],
)
def test_what_cannot_be_handed_on_is_a_status(
    script: Script, tmp_path: Path, request_: bytes, status_line: bytes
) -> None:
    script.answers = [part(0, 1), status("404 Gone")]
    server = upstream(script)
    server.open()
    with handing_on(tmp_path / "socket", server) as ask:
        assert ask(request_).startswith(status_line)


def program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **asked: object
) -> list[object]:
    """The lines of the child whose standard input ends at once, before anybody asks it for anything."""
    monkeypatch.setattr(http_child._Server, "serve_forever", lambda _self: None)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"headers": {}, "patience": 5, **asked}) + "\n"))
    http_child.main()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_child_says_the_size_and_in_the_end_what_went_wrong(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script.answers = [part(0, 1)]
    told = program(monkeypatch, capsys, url=script.url, socket=str(tmp_path / "one"))
    assert told == [{"size": SIZE}, {"failure": ""}]
    script.answers = [part(0, 1), status("404 Gone")]
    told = program(monkeypatch, capsys, url=script.url, socket=str(tmp_path / "two"))
    assert told == [{"size": SIZE}, {"failure": "it has no such file (status 404)"}]
    told = program(monkeypatch, capsys, url=script.url, socket=str(tmp_path / "three"))
    assert told == [{"error": "it has no such file (status 404)", "hint": ""}]
