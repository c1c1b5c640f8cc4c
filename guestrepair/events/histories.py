"""Commands in the histories of shells, of all accounts.

Whoever owns a history can write into it what he likes, and it is written when the shell ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.errors import GuestReadError
from guestrepair.events.model import Certainty, Event, Kind, Unread
from guestrepair.events.streams import Lines, LogFile, log_file
from guestrepair.formats.shell_history import parse_bash_history, parse_fish_history, parse_zsh_history
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Accounts
from guestrepair.system.files import guest_path

_PLACES = (
    (".bash_history", "bash", parse_bash_history),
    (".ash_history", "ash", parse_bash_history),
    (".sh_history", "sh", parse_bash_history),
    (".history", "sh", parse_bash_history),
    (".zsh_history", "zsh", parse_zsh_history),
    (".zhistory", "zsh", parse_zsh_history),
    (".histfile", "zsh", parse_zsh_history),
    (".local/share/fish/fish_history", "fish", parse_fish_history),
)
_MAX_HOMES = 5_000


class ShellHistories:
    """The histories in the homes of all accounts."""

    name = "shell histories"

    def __init__(self, guest: Guest, accounts: Accounts) -> None:
        self._guest = guest
        self._accounts = accounts

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        try:
            homes = self._homes()
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
            homes = {GuestPath("/root"): "root"}
        for home, who in homes.items():
            for name, shell, parse in _PLACES:
                path = home / name
                try:
                    file = self._file(path)
                except GuestReadError as error:
                    yield Unread(error.path, error.reason)
                    continue
                if file is None:
                    continue
                lines = Lines(self._guest, file)
                for entry in parse(lines.numbered()):
                    if entry.command.strip():
                        yield _event(file, who, shell, entry.line, entry.command, entry.seconds)
                yield from lines.unread

    def _homes(self) -> dict[GuestPath, str]:
        """Each home that is there, and whose it is: the first account's that has it."""
        homes: dict[GuestPath, str] = {}
        for entry in self._accounts.passwd.entries[:_MAX_HOMES]:
            if entry.home.startswith("/") and len(entry.home) < 4000:
                homes.setdefault(guest_path(entry.home), entry.name)
        there = self._guest.lstat_many(homes)
        return {home: who for home, who in homes.items() if there[home] is not None}

    def _file(self, path: GuestPath) -> LogFile | None:
        """The history; a link is not followed, since whose commands it would show is not known.

        Raises:
            GuestReadError: it is one that leads to a file, or the guest cannot say.
        """
        found = self._guest.lstat(path)
        if found is not None and found.is_symlink:
            if self._guest.is_file(path):
                raise GuestReadError(path, "a link to another file, which is not read as a history")
            return None
        return log_file(self._guest, path)


def _event(file: LogFile, who: str, shell: str, line: int, command: str, seconds: int | None) -> Event:
    return Event(
        time_ns=(max(file.mtime, 0) if seconds is None else seconds) * 10**9,
        kind=Kind.COMMAND,
        description="Last Time Executed",
        message=command,
        source=f"{file.path}:{line}",
        certainty=Certainty.BOUNDED if seconds is None else Certainty.EXACT,
        actor=who,
        detail=(("record", "history"), ("shell", shell)),
    )
