"""etckeeper's commits of /etc: who had which changes recorded, and when."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair import fence
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.events.model import Event, Kind, Unread
from guestrepair.formats.git_repository import Commit, GitRepository, RefLogEntry, parse_reflog_line
from guestrepair.formats.git_trees import Changes
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Accounts

REPOSITORY = GuestPath("/etc/.git")
_LIMIT_BYTES = 96 * 1024 * 1024
_NOT_NEEDED = ("index", "*.rev", "*.bitmap", "*.sample", "COMMIT_EDITMSG")


class Etckeeper:
    """The repository in /etc."""

    name = "etckeeper"

    def __init__(self, guest: Guest, accounts: Accounts) -> None:
        self._guest = guest
        self._accounts = accounts

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        try:
            if not self._guest.is_directory(REPOSITORY):
                return
            names = {entry.name for entry in self._accounts.passwd.entries}
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
            names = set()
        try:
            files = self._guest.read_tree(REPOSITORY, exclude=_NOT_NEEDED, limit_bytes=_LIMIT_BYTES)
        except GuestReadError as error:
            yield Unread(error.path, f"{error.reason}: its log alone is read")
            yield from self._reflog(names)
            return
        found: list[Commit] = []
        try:
            for commit in GitRepository(files).commits():
                if isinstance(commit, FormatError):
                    yield Unread(str(REPOSITORY), commit.message)
                else:
                    found.append(commit)
                    yield _event(commit, names)
        except FormatError as error:
            yield Unread(str(REPOSITORY), error.message)
            yield from self._reflog(names)
        yield from _changes(GitRepository(files), found, names)

    def _reflog(self, names: set[str]) -> Iterator[Event | Unread]:
        path = REPOSITORY / "logs/HEAD"
        try:
            data = self._guest.read_if_there(path) or b""
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
            return
        for line in data.decode("utf-8", "surrogateescape").split("\n"):
            entry = parse_reflog_line(line)
            if entry is not None:
                yield _event(entry, names)
            elif line.strip():
                yield Unread(str(path), "a line that is no entry")


def _changes(repository: GitRepository, commits: list[Commit], names: set[str]) -> Iterator[Event | Unread]:
    """An event for each path that a commit changed, the newest commits first."""
    changes, lost = Changes(repository), 0
    why = ""
    for commit in commits:
        fence.check()
        try:
            paths, is_whole = changes.paths(commit)
        except FormatError as error:
            lost, why = lost + 1, why or f"{error.message} (commit {commit.name[:12]})"
            continue
        yield from (_path_event(commit, path, names) for path in paths)
        if not is_whole:
            source = f"{REPOSITORY}: commit {commit.name[:12]}"
            yield Unread(source, f"of more paths that it changed, {len(paths)} are named")
    if lost:
        yield Unread(str(REPOSITORY), f"what {lost} of {len(commits)} commits changed is not known: {why}")


def _path_event(commit: Commit, path: str, names: set[str]) -> Event:
    whole = _event(commit, names)
    path = f"{REPOSITORY.parent}/{path}"
    message = f"{path} is changed in {whole.message.replace(': ', ' commit: ', 1)}"
    return whole._replace(message=message, path=path)


def _event(commit: Commit | RefLogEntry, names: set[str]) -> Event:
    """The actor is an account by the author's name, or by what stands before the @ of the address."""
    who = next((n for n in (commit.author, commit.mail.partition("@")[0]) if n in names), None)
    first = commit.message.partition("\n")[0]
    return Event(
        time_ns=commit.seconds * 10**9,
        kind=Kind.CONFIGURATION,
        description="Recorded Time",
        message=f"etckeeper: {first}",
        source=f"{REPOSITORY}: commit {commit.name[:12]}",
        actor=who,
        detail=(("author", commit.author), ("mail", commit.mail), ("record", "etckeeper")),
    )
