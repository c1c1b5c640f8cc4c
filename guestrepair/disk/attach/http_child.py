"""The child that asks an HTTP server for ranges of one file, and hands them on over a socket of its own.

It stands between nbdkit and the server for what nbdkit's curl plugin does not do: the address and the
headers, which are secrets, come by a pipe and stand on no command line; every answer is held against the
first one (length, ETag, Last-Modified), so that a file that changes while it is read is noticed; redirects
are few, never lead from https to http or to anything else, and take no credentials to another host; what
the server says is bounded in time and size.

Started as a script, caged: it reads one line of JSON, answers with one, serves until its standard input
ends, and says in a last line what went wrong. Source of the rules: RFC 9110 (HTTP semantics), sections 8.8
and 13 to 15. Only the standard library is imported.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

MOST_REDIRECTS = 5
PAUSES = (0.0, 0.02, 0.08, 0.2)
"""Before each try, as parts of the patience with one answer."""

_MOST_BYTES = 32 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_ASKED = re.compile(rb"range: bytes=(\d{1,19})-(\d{1,19})\s*$", re.IGNORECASE)
_LINE_BYTES = 16 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WHY: dict[int, str] = {
    401: "it wants credentials",
    403: "it refuses (credentials missing, or a signed address that has expired?)",
    404: "it has no such file",
    410: "it has no such file any more",
    416: "the file is empty, or has become shorter",
}


class RefusedError(Exception):
    """What was asked for cannot be had; trying again does not help."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.why, self.hint = why, hint


class AgainError(Exception):
    """It may work the next time."""


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one state of the file from another."""

    size_bytes: int
    etag: str
    modified: str


@dataclass(slots=True)
class Upstream:
    """The server; one request at a time, on one connection."""

    url: str
    headers: dict[str, str]
    patience_seconds: float
    """How long one answer may take, from the request to its last byte."""
    version: Version | None = None
    failure: str = ""
    _current: str = ""
    """Where redirects have led; asked directly until that is refused."""
    _connection: http.client.HTTPConnection | None = None
    _origin: tuple[str, str, int | None] = ("", "", None)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watchdog: _Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self._watchdog = _Watchdog(self.patience_seconds)

    def open(self) -> Version:
        """Ask for the first byte: length and version of the file.

        Raises:
            RefusedError: the server is not there, or does not give out parts of the file.
        """
        self._tried(lambda: self._once(0, 1))
        if self.version is None:
            raise AssertionError("an answer without a version")
        return self.version

    def read(self, offset: int, length: int) -> bytes:
        """A part of the file.

        Raises:
            RefusedError: it cannot be read, or is another file by now.
        """
        try:
            return self._tried(lambda: self._once(offset, length))
        except RefusedError as error:
            self.failure = self.failure or error.why
            raise

    def check(self) -> None:
        """True afterwards: the file is still the one that was opened, or ``failure`` says what it is."""
        try:
            self.read(0, 1)
        except RefusedError:
            return

    def _tried(self, ask: Callable[[], bytes]) -> bytes:
        why = ""
        with self._lock:
            for pause in PAUSES:
                time.sleep(pause * self.patience_seconds)
                try:
                    return ask()
                except RefusedError:
                    self._drop()  # the rest of an answer that was refused is no answer to the next request
                    raise
                except ssl.SSLCertVerificationError as error:
                    raise RefusedError(
                        f"its certificate is not accepted: {error.verify_message}",
                        "is it the right host? SSL_CERT_FILE names other authorities to trust",
                    ) from error
                except (OSError, http.client.HTTPException, AgainError) as error:
                    self._drop()
                    why = _words(error)
        raise RefusedError(why, "is the server there, and does a firewall let through to it?")

    def _once(self, offset: int, length: int) -> bytes:
        if self._current and self._current != self.url:
            try:
                return self._from(self._current, offset, length)
            except RefusedError:
                self._current = ""  # a redirect's address may hold for some minutes only: ask for a new one
                self._drop()
        return self._from(self.url, offset, length)

    def _from(self, url: str, offset: int, length: int) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            parts = urlsplit(url)
            connection = self._connected(parts)
            with self._watchdog.over(connection):
                connection.request("GET", _target(parts), headers=self._headers(parts, offset, length))
                answer = connection.getresponse()
                if answer.status in _REDIRECTS:
                    url = self._redirected(url, answer)
                    self._drop()
                    continue
                self._current = url
                return self._content(answer, offset, length)
        raise RefusedError(f"more than {MOST_REDIRECTS} redirects")

    def _headers(self, parts: SplitResult, offset: int, length: int) -> dict[str, str]:
        # Credentials are for the host that was named, and nobody that it points to.
        given = self.headers if _origin(parts) == _origin(urlsplit(self.url)) else {}
        return {
            "User-Agent": "guestrepair",
            **given,
            "Range": f"bytes={offset}-{offset + length - 1}",
            "Accept-Encoding": "identity",
        }

    def _redirected(self, url: str, answer: http.client.HTTPResponse) -> str:
        try:
            target = urljoin(url, answer.getheader("Location") or "")
            parts = urlsplit(target)
            usable = parts.scheme in ("http", "https") and parts.hostname and not set(target) & set("\r\n ")
            parts.port  # noqa: B018 - raises ValueError for what is none
        except ValueError:
            usable = False
        if not usable:
            raise RefusedError("it redirects to something that is not http or https, which is not followed")
        if urlsplit(url).scheme == "https" and parts.scheme != "https":
            raise RefusedError("it redirects from https to http, which is not followed")
        return target

    def _content(self, answer: http.client.HTTPResponse, offset: int, length: int) -> bytes:
        """The part that was asked for, of the file that was opened."""
        self._check_status(answer)
        if (answer.getheader("Content-Encoding") or "identity").lower() != "identity":
            raise RefusedError("it compresses what it sends, though asked not to")
        said = _CONTENT_RANGE.fullmatch(answer.getheader("Content-Range") or "")
        if said is None:
            raise RefusedError("it does not say which part of the file it sends, or how long the file is")
        first, last, size = map(int, said.groups())
        self._check_version(
            Version(size, answer.getheader("ETag") or "", answer.getheader("Last-Modified") or "")
        )
        if first != offset or last != min(offset + length, size) - 1:
            raise RefusedError(
                f"it sends bytes {first}-{last} where {offset}-{offset + length - 1} were asked for"
            )
        data = answer.read(last - first + 1)
        if len(data) != last - first + 1:
            raise AgainError("it sends less than it says")
        if answer.read(1):
            raise RefusedError("it sends more than it says")
        return data

    def _check_status(self, answer: http.client.HTTPResponse) -> None:
        status = answer.status
        if status == 206:
            return
        self._drop_unread()
        if status == 200:
            raise RefusedError(
                "it gives out the file as a whole only (no ranges)",
                "switch ranges on there, or download the file and open it here",
            )
        if status == 416 and self.version is not None:
            raise RefusedError("it has changed while it was read: it is shorter")
        if status in _WHY:
            hint = "--header-file FILE, with a line 'Authorization: …' in it" if status in (401, 403) else ""
            raise RefusedError(f"{_WHY[status]} (status {status})", hint)
        if status in (408, 425, 429) or status >= 500:
            raise AgainError(f"it answers with status {status}")
        raise RefusedError(f"it answers with status {status}")

    def _check_version(self, found: Version) -> None:
        before, self.version = self.version, self.version or found
        if before is None or before == found:
            return
        what = (
            f"{before.size_bytes} bytes before, {found.size_bytes} now"
            if before.size_bytes != found.size_bytes
            else "another ETag"
            if before.etag != found.etag
            else "another time of modification"
        )
        raise RefusedError(f"it has changed while it was read: {what}")

    def _connected(self, parts: SplitResult) -> http.client.HTTPConnection:
        if self._connection is not None and self._origin == _origin(parts):
            return self._connection
        self._drop()
        host = parts.hostname or ""
        self._origin = _origin(parts)
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                host, parts.port, timeout=self.patience_seconds, context=ssl.create_default_context()
            )
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=self.patience_seconds)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    _drop_unread = _drop


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port


def _words(error: Exception) -> str:
    """What failed, in words of ours: the server's own are not passed on."""
    match error:
        case AgainError():
            return str(error)
        case socket.gaierror():
            return "the host's name is not known"
        case TimeoutError():
            return "no answer"
        case ssl.SSLError():
            return "no encrypted connection can be made"
        case http.client.IncompleteRead() | http.client.RemoteDisconnected() | ConnectionResetError():
            return "it ended the connection in the middle"
        case http.client.HTTPException():
            return "what it answers is not HTTP"
        case OSError() if error.strerror:
            return f"no connection: {error.strerror}"
    return "no connection"


class _Watchdog:
    """Cuts the connection of a request that takes too long, however busy the server keeps it."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._cut = seconds, False
        self._until: float | None = None
        self._connection: http.client.HTTPConnection | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def over(self, connection: http.client.HTTPConnection) -> Iterator[None]:
        """While the block runs, for so long at most."""
        self._cut, self._connection = False, connection
        self._until = time.monotonic() + self._seconds
        try:
            yield
        except (OSError, http.client.HTTPException, RefusedError, AgainError) as error:
            if self._cut:  # what came until then is no answer
                raise AgainError("no whole answer in time") from error
            raise
        finally:
            self._until = None

    def _watch(self) -> None:
        while True:
            time.sleep(self._seconds / 10)
            until, taken = self._until, None if self._connection is None else self._connection.sock
            if until is not None and taken is not None and time.monotonic() > until:
                self._cut = True
                with suppress(OSError):
                    taken.shutdown(socket.SHUT_RDWR)


class _Handler(socketserver.StreamRequestHandler):
    """One connection of nbdkit's; http.server would take as long as all the rest, for nothing."""

    wbufsize = -1
    server: _Server

    def handle(self) -> None:
        """Answer its requests until it goes away: HEAD with the length, GET with a range."""
        while request := self.rfile.readline(_LINE_BYTES):
            asked = None
            while (line := self.rfile.readline(_LINE_BYTES)).strip():
                asked = asked or _ASKED.match(line)
            if request.startswith(b"HEAD "):
                self._begin("200 OK", self.server.size_bytes)
            elif request.startswith(b"GET ") and asked:
                self._give(*map(int, asked.groups()))
            else:
                self._begin("400 Bad Request", 0)
            self.wfile.flush()

    def _give(self, first: int, last: int) -> None:
        last = min(last, self.server.size_bytes - 1)  # some releases of nbdkit ask for one byte more
        if first > last or last - first >= _MOST_BYTES:
            self._begin("416 Range Not Satisfiable", 0)
            return
        try:
            data = self.server.upstream.read(first, last - first + 1)
        except RefusedError:
            self._begin("502 Bad Gateway", 0)
            return
        self._begin("206 Partial Content", len(data))
        self.wfile.write(data)

    def _begin(self, status: str, length: int) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n\r\n"
        self.wfile.write(head.encode())


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, upstream: Upstream, size_bytes: int) -> None:
        self.upstream, self.size_bytes = upstream, size_bytes
        super().__init__(path, _Handler)


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    """Serve one file; what went wrong is in the lines."""
    asked = json.loads(sys.stdin.readline())
    upstream = Upstream(asked["url"], dict(asked["headers"]), asked["patience"])
    try:
        version = upstream.open()
    except RefusedError as error:
        _say(error=error.why, hint=error.hint)
        return
    server = _Server(asked["socket"], upstream, version.size_bytes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(size=version.size_bytes)
    sys.stdin.read()
    if not upstream.failure:
        upstream.check()
    _say(failure=upstream.failure)


if __name__ == "__main__":
    main()
