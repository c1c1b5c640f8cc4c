"""The state directory of a fleet: what is to be done, what was done, and how it ended; it survives kill -9.

::

    DIR/lock            held by the driver (flock(2)); a second one is refused
    DIR/children.lock   held by the processes that work on images, too: nobody begins before those are gone
    DIR/fleet.sqlite    the table ``image`` below, write-ahead log
    DIR/digests.sqlite  digests of files in shared backing files; may be removed at any time
    DIR/reports/ID.json the record of each image (see ``child.py``), named after ``image.id``

A record is whole before its row says "done". A row that says "running" when a run begins is one of a driver
that was killed: where its record is there, with the mark of that attempt, the work was done and is taken
over; else it is queued again. So nothing is lost and nothing that was done is done twice.

Table ``image``, schema version 1 (``PRAGMA user_version``): see :class:`Row`, whose fields are its columns.
Rows of images that a later run does not name stay. Other tables may be added beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from guestrepair.errors import FleetError
from guestrepair.fleet.sources import shown as shown_name

SCHEMA_VERSION = 1
STATE_FILES = frozenset({"fleet.sqlite", "digests.sqlite", "lock", "children.lock"})
_PATIENCE_SECONDS = 30.0
"""The children of a driver that was killed are ended by their own parent; that takes a moment."""

QUEUED, RUNNING, DONE, FAILED, SKIPPED = "queued", "running", "done", "failed", "skipped"
"""``done``: examined, whatever was found. ``failed``: could not be examined (tried again by the next run).
``skipped``: not looked at, on purpose; ``error`` says why."""

_TABLE = """
CREATE TABLE IF NOT EXISTS image (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, uri TEXT NOT NULL, options TEXT NOT NULL DEFAULT '[]',
  donors TEXT NOT NULL DEFAULT '[]', identity TEXT NOT NULL DEFAULT '', wanted TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, exit_status INTEGER, started REAL, ended REAL,
  seconds REAL, peak_rss_kib INTEGER, bytes_read INTEGER, size_bytes INTEGER NOT NULL DEFAULT 0,
  report_path TEXT NOT NULL DEFAULT '', same_as TEXT NOT NULL DEFAULT '', verdict TEXT NOT NULL DEFAULT '',
  errors INTEGER NOT NULL DEFAULT 0, warnings INTEGER NOT NULL DEFAULT 0, notes INTEGER NOT NULL DEFAULT 0,
  inconclusive INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT ''
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image: a row of the table.

    ``name`` is the line that names it (URI and options of its own), ``id`` the digest of that. ``options``
    are the words of its own options for a command, ``donors`` its donors. ``identity`` is what its files were
    when the work began, ``wanted`` the digest of command, options, policy and version. ``state`` is one of
    the words above; ``exit_status`` that of the command, None where it has none. Times are seconds since the
    epoch, ``seconds`` is how long the last attempt took. ``report_path`` is the record, relative to the
    state directory, "" where there is none. ``same_as`` is the id of the image with the same
    content that was examined in its place. ``verdict`` is the report's headline, ``error`` why it could
    not be examined or was skipped; what a guest wrote is in both, not escaped.
    """

    id: str
    name: str
    uri: str
    options: tuple[str, ...] = ()
    donors: tuple[str, ...] = ()
    identity: str = ""
    wanted: str = ""
    state: str = QUEUED
    attempts: int = 0
    exit_status: int | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    peak_rss_kib: int | None = None
    bytes_read: int | None = None
    size_bytes: int = 0
    report_path: str = ""
    same_as: str = ""
    verdict: str = ""
    errors: int = 0
    warnings: int = 0
    notes: int = 0
    inconclusive: int = 0
    error: str = ""
    worker: str = ""

    @property
    def shown(self) -> str:
        """What the image is called, without the secrets that an address may hold; not escaped."""
        return shown_name(self.uri)

    @property
    def mark(self) -> str:
        """What tells this attempt at this state of the image from all others (see ``child.py``)."""
        return f"{self.wanted} {self.identity} {self.started}"


_COLUMNS = tuple(field.name for field in fields(Row))
_LISTS = frozenset({"options", "donors"})
_TEXTS = frozenset(field.name for field in fields(Row) if field.type == "str") | _LISTS


def _from_row(values: sqlite3.Row) -> Row:
    given: dict[str, Any] = dict(values)
    return Row(**{**given, **{name: tuple(json.loads(given[name])) for name in _LISTS}})


def _to_column(name: str, value: Any) -> Any:
    """A value for sqlite; text as bytes: names of files need not be UTF-8 (see :func:`_text`)."""
    if name in _LISTS:
        value = json.dumps(list(value))
    return value.encode(errors="surrogateescape") if name in _TEXTS else value


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


class State:
    """An open state directory; what is written is on disk when the call returns."""

    def __init__(self, directory: Path, database: sqlite3.Connection, children_lock: int) -> None:
        self.directory = directory
        self.children_lock = children_lock
        """The open and locked ``children.lock``: it stays locked as long as any process has inherited it."""
        self._database = database

    @property
    def reports(self) -> Path:
        """Where the records are."""
        return self.directory / "reports"

    def row(self, identifier: str) -> Row | None:
        """The row of an image; None where it was never named."""
        with self._saying():
            found = self._database.execute("SELECT * FROM image WHERE id = ?", (identifier,)).fetchone()
        return None if found is None else _from_row(found)

    def rows(self) -> list[Row]:
        """All rows, in the order in which they were first named."""
        with self._saying():
            return [_from_row(row) for row in self._database.execute("SELECT * FROM image ORDER BY rowid")]

    def put(self, rows: Sequence[Row]) -> None:
        """Write rows, new or not, all or none."""
        marks = ", ".join("CAST(? AS TEXT)" if name in _TEXTS else "?" for name in _COLUMNS)
        changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "id")
        text = (
            f"INSERT INTO image ({', '.join(_COLUMNS)}) VALUES ({marks}) "  # noqa: S608 - our own names
            f"ON CONFLICT (id) DO UPDATE SET {changes}"
        )
        with self._saying(), self._database:
            self._database.executemany(text, [self._values(row) for row in rows])

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """A statement of whoever keeps a table of its own beside this one, in a transaction of its own."""
        with self._saying(), self._database:
            return self._database.execute(statement, parameters).fetchall()

    @staticmethod
    def _values(row: Row) -> list[Any]:
        return [_to_column(name, getattr(row, name)) for name in _COLUMNS]

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unusable(self.directory, str(error)) from error


def _unusable(directory: Path, why: str) -> FleetError:
    if "not a database" in why or "malformed" in why:
        return FleetError(
            f"{directory / 'fleet.sqlite'}: no state of a fleet, or damaged: {why}",
            hint="name another directory, --state DIR, or move that file away: all is done anew then",
        )
    return FleetError(
        f"{directory}: the state of the fleet cannot be kept: {why}",
        hint="what was done is kept: free some space there, and run it again",
    )


@contextmanager
def open_state(directory: Path) -> Iterator[State]:
    """The state directory, made (0700) where it is not there, and nobody else's while the block runs.

    Raises:
        FleetError: another driver works in it, it cannot be written, or it is of another version.
    """
    try:
        # One by one: parents=True would leave those above to the umask, for all to read what guests hold.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "reports").mkdir(mode=0o700, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FleetError(
            f"{directory}: no state can be kept there: {error.strerror}",
            hint="name a directory of your own: --state DIR",
        ) from error
    try:
        _hold(lock, directory)
        children = os.open(directory / "children.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _hold_once_free(children, directory)
            with closing(_database(directory)) as database:
                yield State(directory, database, children)
        finally:
            os.close(children)
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from error
    finally:
        os.close(lock)


def read_rows(directory: Path) -> list[Row]:
    """The rows of a state directory, while a driver may be at work in it; nothing is written.

    Raises:
        FleetError: there is no state, or it cannot be read.
    """
    path = directory / "fleet.sqlite"
    if not path.is_file():
        raise FleetError(f"{directory}: no state of a fleet is there", hint="name the DIR of --state")
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as database:
            database.row_factory, database.text_factory = sqlite3.Row, _text
            _check_version(directory, database)
            return [_from_row(row) for row in database.execute("SELECT * FROM image ORDER BY rowid")]
    except sqlite3.Error as error:
        raise FleetError(f"{path}: {error}", hint="is it the state of a fleet?") from error


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _hold(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FleetError(
            f"{directory}: another guestrepair fleet is at work there",
            hint="wait until it has ended, or name another directory: --state DIR",
        ) from None


def _hold_once_free(lock: int, directory: Path) -> None:
    """Take the lock of the children, as soon as none works on images any more for a driver that was killed.

    Raises:
        FleetError: one does, and does not end.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise FleetError(
                    f"{directory}: processes of an earlier run still work on images",
                    hint=f"wait, or end those that hold {directory / 'children.lock'} (fuser -v)",
                ) from None
            time.sleep(0.1)
        else:
            return


def _database(directory: Path) -> sqlite3.Connection:
    try:
        # In a directory that somebody else made, too, nobody else reads it; sqlite's own files are alike.
        os.close(os.open(directory / "fleet.sqlite", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(directory / "fleet.sqlite", timeout=10)
        database.row_factory, database.text_factory = sqlite3.Row, _text
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # the records are synced, and say it again
        _check_version(directory, database)
        with database:
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except sqlite3.Error as error:
        raise _unusable(directory, str(error)) from error
    return database


def _check_version(directory: Path, database: sqlite3.Connection) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise FleetError(
            f"{directory}: the state of a newer guestrepair (version {version}, known is {SCHEMA_VERSION})",
            hint="name another directory: --state DIR",
        )
