"""Names of images that are no plain file of this host: URIs, compressed files, and files in archives.

========================================  ====================================================
``https://HOST[:PORT]/PATH[?QUERY]``      also ``http://``; the query is a secret, and never shown
``ssh://[USER@]HOST[:PORT]/PATH``         an absolute path; ``/~/PATH`` begins at the user's home
``nbd://HOST[:PORT][/EXPORT]``            the NBD project's URI specification (doc/uri.md)
``nbd+unix:///[EXPORT]?socket=PATH``
``file:///PATH``                          the file itself
``X.gz`` ``X.xz`` ``X.zst`` ``X.bz2``     of any of the above that is no NBD export: what it holds
``X.tar!MEMBER`` ``X.tar.gz!MEMBER``      one file in the archive, by its exact name
========================================  ====================================================
"""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from guestrepair.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_PLAIN_PATH = "/%:@!$&'()*+,;=~-._"
_COMPRESSED = frozenset({".gz", ".xz", ".zst", ".bz2"})
_TAR = re.compile(r"\.(?:tar(?:\.(?:gz|xz|zst|bz2))?|tgz|txz|tzst|ova)$", re.IGNORECASE)
_MOST_CHARACTERS = 8192
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_USER = re.compile(r"[A-Za-z0-9._@\\+-]+")
_KNOWN = "https, http, ssh, nbd, nbd+unix and file are known"


class Kind(enum.Enum):
    """Where the bytes come from."""

    FILE = "file"
    HTTP = "http"
    SSH = "ssh"
    NBD = "nbd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The name of an image that has to be attached before it is opened.

    ``shown`` is the name without its secrets, and all that is ever printed. ``path`` is a file's on this
    host, a socket's, or that on an SSH server; ``url`` the whole address of an HTTP server's file;
    ``member`` a file in the archive that lies there.
    """

    kind: Kind
    shown: str
    path: str = ""
    url: str = ""
    host: str = ""
    port: int | None = None
    user: str = ""
    export: str = ""
    member: str = ""

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Location({self.shown!r})"

    @property
    def outer_name(self) -> str:
        """The name of the file that lies there."""
        if self.kind is Kind.NBD:
            return PurePosixPath(self.export).name
        return PurePosixPath(unquote(urlsplit(self.url).path) if self.url else self.path).name

    @property
    def is_compressed(self) -> bool:
        """Whether, by its name, the file is one compressed disk."""
        return (
            self.kind is not Kind.NBD
            and not self.member
            and PurePosixPath(self.outer_name).suffix.lower() in _COMPRESSED
        )

    @property
    def name(self) -> str:
        """The name of the disk itself: in the archive, or without the suffix of what compresses it."""
        if self.member:
            return PurePosixPath(self.member).name
        return PurePosixPath(self.outer_name).stem if self.is_compressed else self.outer_name

    @property
    def suffix(self) -> str:
        """The last suffix of that name, as a path's."""
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        """That name without it."""
        return PurePosixPath(self.name).stem


_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""In bytes: NAME_MAX of Linux filesystems, and PATH_MAX without its NUL; limits.h(0p)."""

ImageName: TypeAlias = Path | Location
"""What a user can name as an image: a file or device of this host, or what has to be attached first."""


def parse_image_name(text: str) -> ImageName:
    """What a text on the command line names. Nothing is opened; a file of exactly that name is that file.

    Raises:
        UsageError: a URI of no known kind, or one that is not whole.
    """
    whole = Path(text)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _of_file(text, whole)
    if len(text) > _MOST_CHARACTERS or not text.isprintable() or " " in text:
        raise UsageError("a URI has characters that it cannot have", hint="write them as %20 and the like")
    kind = scheme[1].lower()
    address, member = (text, "") if kind.startswith("nbd") else _divided(text)
    try:
        found = _of_uri(kind, address)
    except ValueError as error:  # of urlsplit: its words quote the whole address
        raise UsageError(f"a URI of {kind} that is not whole", hint="check host and port") from error
    if isinstance(found, Path):
        named = f"{found}!{member}" if member else str(found)
        return _of_file(named, Path(named))
    if member:
        return replace(found, member=member, shown=f"{found.shown}!{member}")
    return found


def _divided(text: str) -> tuple[str, str]:
    """The address and the member after an archive's name; a query stands with the address."""
    for found in re.finditer("!", text):
        address, member = text[: found.start()], text[found.end() :]
        if member and _TAR.search(address.partition("?")[0]):
            if (
                _SCHEME.match(text) and "?" in member
            ):  # a query after the member is the address's all the same
                member, _, query = member.partition("?")
                return f"{address}?{query}", member
            return address, member
    return text, ""


def _of_file(text: str, whole: Path) -> ImageName:
    if "\0" in text or any(len(name) > _LONGEST_NAME for name in map(os.fsencode, whole.parts)):
        return whole  # no file can be named so: whoever opens it says it
    if len(os.fsencode(text)) > _LONGEST_PATH or whole.is_dir() or (whole.exists() and not whole.is_file()):
        return whole
    path, member = ("", "") if whole.exists() else _divided(text)
    if member:
        return Location(kind=Kind.FILE, shown=text, path=path, member=member)
    found = Location(kind=Kind.FILE, shown=text, path=text)
    return found if found.is_compressed and not _TAR.search(text) else whole


def _of_uri(kind: str, text: str) -> ImageName:
    parts = urlsplit(text)
    match kind:
        case "https" | "http":
            return _of_http(parts)
        case "ssh" | "sftp":
            return _of_ssh(parts)
        case "nbd":
            export = unquote(parts.path.removeprefix("/"))
            return Location(
                kind=Kind.NBD, shown=text, host=_host(parts), port=parts.port or 10809, export=_plain(export)
            )
        case "nbd+unix":
            sockets = parse_qs(parts.query).get("socket", [])
            if len(sockets) != 1 or not sockets[0].startswith("/") or parts.netloc:
                raise UsageError(f"{text}: names no socket", hint="nbd+unix:///EXPORT?socket=/PATH")
            return Location(
                kind=Kind.NBD,
                shown=text,
                path=_plain(sockets[0]),
                export=_plain(unquote(parts.path.removeprefix("/"))),
            )
        case "file":
            if parts.netloc not in ("", "localhost") or not parts.path:
                raise UsageError(f"{text}: names no file of this host", hint="file:///PATH")
            return Path(_plain(unquote(parts.path)))
        case "s3" | "gs":
            raise UsageError(
                f"{kind}:// is not opened as such", hint="give a presigned https:// address of the object"
            )
        case _:
            raise UsageError(f"{kind}:// is not opened here", hint=_KNOWN)


def _of_http(parts: SplitResult) -> Location:
    shown = f"{parts.scheme}://{_with_port(parts)}{parts.path}{'?…' if parts.query else ''}"
    if "@" in parts.netloc:
        raise UsageError(
            f"{shown}: a name and password in the address can be read by all users of this host",
            hint="--header-file FILE, with a line 'Authorization: …' in it",
        )
    _host(parts)
    path = quote(parts.path, safe=_PLAIN_PATH) or "/"
    query = quote(parts.query, safe=_PLAIN_PATH + "?")
    url = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{query}" if query else "")
    return Location(kind=Kind.HTTP, shown=shown, url=url, host=_host(parts), port=parts.port)


def _of_ssh(parts: SplitResult) -> Location:
    user = unquote(parts.username or "")
    if parts.password is not None:
        raise UsageError(
            "ssh://: a password in the address can be read by all users of this host",
            hint="use a key or ssh-agent",
        )
    path = _plain(unquote(parts.path))
    if parts.query or parts.fragment:
        raise UsageError("ssh://: ? and # in a path are written as %3F and %23")
    if path.startswith("/~/"):
        path = path.removeprefix("/~/")
    if not path.strip("/") or path.startswith("-"):
        raise UsageError("ssh://: names no file", hint="ssh://USER@HOST/PATH")
    if user and not _USER.fullmatch(user):
        raise UsageError("ssh://: that is no user's name")
    shown = f"ssh://{f'{user}@' if user else ''}{_with_port(parts)}{parts.path}"
    return Location(kind=Kind.SSH, shown=shown, host=_host(parts), port=parts.port, user=user, path=path)


def _with_port(parts: SplitResult) -> str:
    host = _host(parts)
    named = f"[{host}]" if ":" in host else host
    return named if parts.port is None else f"{named}:{parts.port}"


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise UsageError(f"{parts.scheme}://: names no host", hint=f"{parts.scheme}://HOST/PATH")
    return host


def _plain(text: str) -> str:
    if not text.isprintable():
        raise UsageError("a URI has characters that it cannot have: a control character")
    return text
