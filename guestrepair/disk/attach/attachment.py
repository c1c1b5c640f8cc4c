"""Attaching an image that lies elsewhere or is wrapped: afterwards there is a socket or a file to open it
by.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.confine.cage import USERS, Cage
from guestrepair.disk.attach import nbdkit, unpack
from guestrepair.disk.attach.http_source import PATIENCE_SECONDS, HttpSource, asking, read_headers
from guestrepair.disk.attach.location import Kind, Location
from guestrepair.disk.headers import Source
from guestrepair.disk.source import opened
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import GuestRepairError, SourceError, UnsafeImageError, UsageError
from guestrepair.fence import uncounted

_SSH_SETTINGS = ("/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d", "/etc/ssh/ssh_known_hosts")
_SSH_SECONDS = 20
_RETRY = ["retries=3", "retry-delay=1"]
_AGAIN = "nothing that was read of it counts; try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What it takes to be let in: a file with headers for HTTP servers (None: none are sent).

    ``patience_seconds`` is how long one of their answers may take.
    """

    header_file: Path | None = None
    patience_seconds: float = PATIENCE_SECONDS


@dataclass(slots=True)
class Attached:
    """An image that can be opened while it is attached: by ``path``, a file or a socket that speaks NBD."""

    name: Location
    path: Path
    is_socket: bool
    size_bytes: int
    _servers: list[nbdkit.Server]
    _whole_bytes: int = 0

    @contextmanager
    def opened(self) -> Iterator[Source]:
        """Its bytes, for our own reading.

        Raises:
            ImageError: it cannot be read.
        """
        if self.is_socket:
            with nbdkit.opened_socket(self._servers[-1], str(self.name)) as source:
                yield source
        else:
            with opened(self.path) as (source, _):
                yield source

    @property
    def read_bytes(self) -> int:
        """How much was read so far of where it lies."""
        return self._whole_bytes + sum(server.traffic.read_bytes for server in self._servers)

    @property
    def errors(self) -> int:
        """How many errors were met so far, those that trying again has overcome among them."""
        return sum(len(server.errors) for server in self._servers)

    @property
    def words(self) -> str:
        """The last of them."""
        return self._servers[-1].words if self._servers else ""

    @property
    def failure(self) -> str:
        """Why not all that was asked for was read; "" when it was."""
        return next(filter(None, (server.failure for server in self._servers)), "")


@contextmanager
def attached(name: Location, access: Access | None = None) -> Iterator[Attached]:
    """The image, attached while the block runs.

    What goes wrong where it lies is raised at the end of the block at the latest, in the place of what
    that has led to: whoever has read something must not believe it then.

    Raises:
        UsageError: the file with the headers cannot be used.
        ImageAccessError: a program or the room that it takes is missing.
        ImageError: it cannot be opened.
        SourceError: it was not read whole, or has changed meanwhile.
    """
    failed: GuestRepairError | None = None
    trouble, known = "", 0
    with private_directory() as private:
        with ExitStack() as running:
            origin = _origin(name, access or Access(), private, running)
            found: Attached | None = None
            try:
                found = _attached(name, origin, private, running)
                known = found.errors
                yield found
            except UsageError:
                raise
            except GuestRepairError as error:
                failed = error
                if found is not None and not isinstance(error, UnsafeImageError) and found.errors > known:
                    trouble = found.words  # what was met here may be the consequence
            why = "" if origin.http is None else origin.http.finish()
        why = why or ("" if found is None else found.failure) or trouble
    if why:
        raise SourceError(f"{name}: {why}", hint=_AGAIN) from failed
    if failed is not None:
        raise failed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """How nbdkit gets at the bytes: plugin with parameters, filters next to it, and what those may open."""

    words: Sequence[str]
    cage: Cage
    filters: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    http: HttpSource | None = None

    def pipeline(self, filters: Sequence[str], parameters: Sequence[str]) -> list[str]:
        """The words after nbdkit's options; the first filter is the one next to who reads."""
        chain = [*filters, "log", *self.filters]
        return [*(f"--filter={each}" for each in chain), *self.words, *parameters]


@dataclass(frozen=True, slots=True)
class _Inner:
    """What of a source is the disk: filters that find it there, and how it is best read (0: as it comes)."""

    filters: Sequence[str] = ()
    parameters: Sequence[str] = ()
    block_bytes: int = 0
    earlier: Sequence[nbdkit.Server] = ()
    """Those that were needed to find it."""


def _origin(name: Location, access: Access, private: Path, running: ExitStack) -> _Origin:
    match name.kind:
        case Kind.FILE:
            file = Path(os.path.realpath(name.path))
            return _Origin(words=["file", f"file={file}"], cage=Cage(read=(file,)), file=file)
        case Kind.HTTP:
            headers = {} if access.header_file is None else read_headers(access.header_file)
            http = running.enter_context(
                asking(name.url, headers, private, str(name), access.patience_seconds)
            )
            words = ["curl", "url=http://localhost/disk", f"unix-socket-path={http.socket}", "protocols=http"]
            return _Origin(words=words, cage=Cage(read=(http.socket,)), http=http)
        case Kind.SSH:
            return _ssh(name)
        case Kind.NBD:
            # One connection for all who read here: a server may let in no more than one.
            words = ["nbd", "shared=true", f"export={name.export}"]
            words += [f"socket={name.path}"] if name.path else [f"hostname={name.host}", f"port={name.port}"]
            cage = Cage(read=(Path(name.path),)) if name.path else Cage(network=True)
            return _Origin(words=[*words, *_RETRY], filters=["retry"], cage=cage)


def _ssh(name: Location) -> _Origin:
    words = ["ssh", f"host={name.host}", f"path={name.path}", f"timeout={_SSH_SECONDS}", *_RETRY]
    words += [f"port={name.port}"] if name.port is not None else []
    words += [f"user={name.user}"] if name.user else []
    agent = os.environ.get("SSH_AUTH_SOCK")
    places = [Path.home() / ".ssh", *map(Path, _SSH_SETTINGS), *USERS]
    cage = Cage(read=(*places, *([Path(agent)] if agent else [])), network=True)
    return _Origin(
        words=words,
        filters=["retry"],
        cage=cage,
        environment={"HOME": str(Path.home()), **({"SSH_AUTH_SOCK": agent} if agent else {})},
    )


def _attached(name: Location, origin: _Origin, private: Path, running: ExitStack) -> Attached:
    if name.member or name.is_compressed:
        return _unwrapped(name, origin, private, running)
    return _served(name, origin, private, running)


def _served(
    name: Location,
    origin: _Origin,
    private: Path,
    running: ExitStack,
    inner: _Inner | None = None,
) -> Attached:
    """The bytes that the source or its inner part gives out, kept once they were read."""
    inner = inner or _Inner()

    def start(called: str, block_bytes: int) -> AbstractContextManager[nbdkit.Server]:
        cache = ["cache-on-read=true", *nbdkit.cache_words(private, block_bytes)]
        words = origin.pipeline(["cache", *inner.filters], [*inner.parameters, *cache])
        return _server(name, origin, private, words, called)

    is_far_export = name.kind is Kind.NBD and bool(name.host)
    block_bytes = inner.block_bytes or (nbdkit.FAR_BLOCK_BYTES if is_far_export else nbdkit.NEAR_BLOCK_BYTES)
    # An NBD server may let somebody in once only: it is not left to come again.
    is_settled = bool(inner.block_bytes) or name.kind in (Kind.FILE, Kind.NBD)
    with ExitStack() as trial:
        server = trial.enter_context(start("disk", block_bytes))
        with nbdkit.opened_socket(server, str(name)) as source:
            size = source.size_bytes
            is_settled = is_settled or nbdkit.answers_quickly(source)
        if is_settled:
            running.enter_context(trial.pop_all())
            return Attached(name, server.socket, True, size, [*inner.earlier, server])
    far = running.enter_context(start("far", nbdkit.FAR_BLOCK_BYTES))
    return Attached(name, far.socket, True, size, [*inner.earlier, server, far])


@contextmanager
def _server(
    name: Location, origin: _Origin, private: Path, words: Sequence[str], called: str
) -> Iterator[nbdkit.Server]:
    with nbdkit.serving(
        private, words, cage=origin.cage, shown=str(name), name=called, environment=origin.environment
    ) as server:
        yield server


def _unwrapped(name: Location, origin: _Origin, private: Path, running: ExitStack) -> Attached:
    """The disk in a compressed file or an archive: unpacked, or where it lies if it can be read there."""
    earlier: list[nbdkit.Server] = []
    with ExitStack() as meanwhile, uncounted():
        if origin.file is not None:
            source, _ = meanwhile.enter_context(opened(origin.file))
            stored = source.size_bytes
        else:
            server = meanwhile.enter_context(
                _server(name, origin, private, origin.pipeline((), ()), "packed")
            )
            earlier.append(server)
            source = meanwhile.enter_context(nbdkit.opened_socket(server, str(name)))
            stored = 0
        largest = unpack.largest_xz_block(source.read, source.size_bytes) if name.is_compressed else None
        found = (
            None
            if largest is not None
            else unpack.unpack(
                private,
                str(name),
                file=origin.file,
                socket=None if origin.file is not None else earlier[0].socket,
                size_bytes=source.size_bytes,
                member=name.member,
            )
        )
    if found is None:
        # What was unpacked for a part of a block is kept whole.
        block = max(nbdkit.NEAR_BLOCK_BYTES, 1 << ((largest or 1) - 1).bit_length())
        limit = f"xz-max-block={unpack.LARGEST_XZ_BLOCK_BYTES}"
        return _served(
            name, origin, private, running, _Inner(["xz"], [limit, "xz-max-depth=1"], block, earlier)
        )
    if found.path is None:
        part = [f"offset={found.at}", f"range={found.size_bytes}"]
        return _served(name, origin, private, running, _Inner(["offset"], part, earlier=earlier))
    return Attached(name, found.path, False, found.size_bytes, earlier, stored)
