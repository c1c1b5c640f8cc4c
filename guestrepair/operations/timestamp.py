"""A time stamp of a file by an authority on the network (RFC 3161), asked for only where one is named."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from guestrepair.disk.durable import rename_durably, write_synced
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import FormatError, TimestampError, UsageError
from guestrepair.formats.timestamp_reply import parse_timestamp_reply

MAX_REPLY_BYTES = 1 << 20
SILENCE_SECONDS = 30.0
REPLY_SECONDS = 120.0
_OPENSSL_SECONDS = 30.0


def check_authority(url: str) -> None:
    """Say before the work what would be in the way of a time stamp after it.

    Raises:
        UsageError: not the URL of an authority, or openssl is missing.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"--timestamp {url}: not an http or https URL")
    if shutil.which("openssl") is None:
        raise UsageError("--timestamp: openssl is not installed", hint="install openssl, or leave it out")


def stamp(sha256: str, url: str, to: Path) -> None:
    """Have an authority stamp a SHA-256; its answer is then in a file, for ``openssl ts -verify``.

    Raises:
        TimestampError: no answer, a refusal, or a stamp of something else.
    """
    try:
        with private_directory(to.parent) as directory:
            reply = _asked(url, _query(sha256, directory / "query"))
            _check(reply, bytes.fromhex(sha256), url)
            write_synced(directory / "reply", reply)
            rename_durably(directory / "reply", to)
    except OSError as error:
        raise TimestampError(f"{to}: cannot be written: {error.strerror or error}") from error


def _query(sha256: str, to: Path) -> bytes:
    command = ["openssl", "ts", "-query", "-digest", sha256, "-sha256", "-cert", "-out", str(to)]
    try:
        subprocess.run(
            command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_OPENSSL_SECONDS
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise TimestampError("openssl cannot make the query", hint="try openssl ts -query") from error
    return to.read_bytes()


def _asked(url: str, query: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    request = urllib.request.Request(url, query, headers)  # noqa: S310 - http or https, see check_authority()
    reply = bytearray()
    end = time.monotonic() + REPLY_SECONDS
    try:
        with _opener().open(request, timeout=SILENCE_SECONDS) as response:
            while piece := response.read1(1 << 16):
                reply += piece
                if len(reply) > MAX_REPLY_BYTES or time.monotonic() > end:
                    raise TimestampError(f"{url}: what it sends is no time stamp: too much, or too slow")
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer, too
        reason = getattr(error, "reason", None) or error
        raise TimestampError(f"{url}: no answer: {reason}", hint="is it such an authority?") from error
    return bytes(reply)


def _opener() -> urllib.request.OpenerDirector:
    """Nothing but HTTP, and no redirections: a query is sent where the user said, and nowhere else."""
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        made.add_handler(handler)
    return made


def _check(reply: bytes, digest: bytes, url: str) -> None:
    try:
        parsed = parse_timestamp_reply(reply)
    except FormatError as error:
        raise TimestampError(f"{url}: what it sends is no time stamp: {error.message}") from error
    if parsed.refusal:
        raise TimestampError(f"{url}: it gave no time stamp: {parsed.refusal}")
    if digest not in parsed.token:
        raise TimestampError(f"{url}: its time stamp is of something else")
