"""dnf's own history, with who began each transaction; and when rpm installed what is there.

Sources: libdnf ``libdnf/transaction/sql`` (dnf 4, versions 1.1 to 1.3), dnf5
``libdnf5/transaction/db/sql/create_tables.sql``.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.events.model import Certainty, Event, Kind, Unread
from guestrepair.events.packages import package_event
from guestrepair.formats.package_logs import PackageChange
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.rpm_open import install_times
from guestrepair.packages.sqlite_open import Row, Value, read_tables
from guestrepair.system.accounts import Accounts

DNF4 = GuestPath("/var/lib/dnf/history.sqlite")
DNF5 = tuple(
    GuestPath(f"{directory}/libdnf5/transaction_history.sqlite")
    for directory in ("/usr/lib/sysimage", "/var/lib/dnf", "/var/lib")
)
_UNSET_USER = 4294967295
_MAX_UNREAD = 50
_DONE, _DONE5 = 1, 2
_ACTIONS4 = {
    1: "install", 2: "downgrade", 3: "downgraded", 4: "obsolete", 5: "obsoleted", 6: "upgrade", 7: "upgraded",
    8: "remove", 9: "reinstall", 10: "reinstalled", 11: "reason change",
}  # fmt: skip
_ACTIONS5 = {
    1: "install", 2: "upgrade", 3: "downgrade", 4: "reinstall", 5: "remove", 6: "replaced",
    7: "reason change",
}  # fmt: skip
_TABLES4: Mapping[str, Sequence[str]] = {
    "trans": ("id", "dt_begin", "dt_end", "user_id", "cmdline", "comment", "state", "done"),
    "rpm": ("item_id", "name", "epoch", "version", "release", "arch"),
    "trans_item": ("trans_id", "item_id", "action", "state"),
}
_TABLES5: Mapping[str, Sequence[str]] = {
    "trans": ("id", "dt_begin", "dt_end", "user_id", "description", "comment", "state_id"),
    "pkg_name": ("id", "name"),
    "arch": ("id", "name"),
    "rpm": ("item_id", "name_id", "epoch", "version", "release", "arch_id"),
    "trans_item": ("trans_id", "item_id", "action_id", "state_id"),
}


class DnfHistory:
    """The history databases of dnf 4 and dnf 5."""

    name = "dnf history"

    def __init__(self, guest: Guest, accounts: Accounts) -> None:
        self._guest = guest
        self._accounts = accounts
        self._windows: list[_Transaction] = []

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        seen: set[GuestPath] = set()
        for path in (DNF4, *DNF5):
            problems: list[str] = []
            try:
                real = self._guest.resolve(path)
                if real is None or real in seen or not self._guest.is_file(real):
                    continue
                seen.add(real)
                yield from self._history(path, problems, fifth=path != DNF4)
            except GuestReadError as error:
                yield Unread(error.path, error.reason)
            yield from (Unread(str(path), problem) for problem in problems)
        yield from self._installed()

    def _installed(self) -> Iterator[Event | Unread]:
        """When rpm installed each package, to the second; who had it done is known by dnf's transactions."""
        unread: list[Unread] = []
        self._windows.sort(key=lambda each: each.begin_ns)
        try:
            for each in install_times(self._guest, lambda path, why: unread.append(Unread(str(path), why))):
                time_ns = each.seconds * 10**9
                package = each.package
                change = PackageChange(
                    action="install",
                    name=package.name,
                    version=package.version,
                    architecture=package.architecture,
                )
                run = self._transaction_at(time_ns)
                more = () if run is None else (("command", run.command), ("transaction", run.source))
                yield package_event(
                    change, time_ns, f"rpm database: {package.name}", certainty=Certainty.EXACT,
                    actor=None if run is None else run.actor, more=more,
                )  # fmt: skip
        except GuestReadError as error:
            unread.append(Unread(error.path, error.reason))
        yield from unread[:_MAX_UNREAD]

    def _transaction_at(self, time_ns: int) -> _Transaction | None:
        at = bisect.bisect_right(self._windows, time_ns, key=lambda each: each.begin_ns) - 1
        found = self._windows[at] if at >= 0 else None
        if found is None or found.end_ns is None or time_ns > found.end_ns:
            return None
        return found

    def _history(self, path: GuestPath, problems: list[str], *, fifth: bool) -> Iterator[Event]:
        transactions: dict[Value, _Transaction] = {}
        packages: dict[Value, Row] = {}
        words: dict[tuple[str, Value], str] = {}
        actions = _ACTIONS5 if fifth else _ACTIONS4
        for table, row in read_tables(self._guest, path, _TABLES5 if fifth else _TABLES4, problems.append):
            if table == "trans":
                made = self._transaction(row, path, fifth=fifth)
                if made is None:
                    problems.append(f"transaction {row[0]}: it has no time")
                else:
                    transactions[row[0]] = made
                    self._windows.append(made)
                    yield from made.events()
            elif table == "rpm":
                packages[row[0]] = row
            elif table == "trans_item":
                transaction, package = transactions.get(row[0]), packages.get(row[1])
                if transaction is not None and package is not None:
                    action = actions.get(row[2], "") if isinstance(row[2], int) else ""
                    yield transaction.changed(_change(package, action or "change", words))
            else:
                words[table, row[0]] = str(row[1])

    def _transaction(self, row: Row, path: GuestPath, *, fifth: bool) -> _Transaction | None:
        number, begin, end, user, command, comment, *states = row
        if not isinstance(begin, int) or not 0 <= begin < 1 << 40:
            return None
        state = next((s for s in states if s is not None), None)
        done = _DONE5 if fifth else _DONE
        ended = isinstance(end, int) and 0 <= end < 1 << 40
        return _Transaction(
            begin_ns=begin * 10**9,
            end_ns=end * 10**9 if ended and isinstance(end, int) else None,
            actor=self._name(user),
            uid="" if user in {_UNSET_USER, -1, None} else str(user),
            command=str(command or comment or f"transaction {number} of dnf"),
            source=f"{path}: transaction {number}",
            done=state == done,
        )

    def _name(self, uid: Value) -> str | None:
        """The account that had logged in to begin it."""
        if uid in {_UNSET_USER, -1}:
            return None
        try:
            return next((e.name for e in self._accounts.passwd.entries if e.uid == uid), None)
        except GuestReadError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transaction:
    """One transaction of a history; ``uid`` is a login uid."""

    begin_ns: int
    end_ns: int | None
    actor: str | None
    uid: str
    command: str
    source: str
    done: bool

    def events(self) -> Iterator[Event]:
        """Its start and its end."""
        said = "" if self.done else " (not finished, or failed)"
        yield self._event(self.begin_ns, "Start Time", self.command + said, "start")
        if self.end_ns is not None:
            yield self._event(self.end_ns, "End Time", f"end of {self.command}", "end")

    def _event(self, time_ns: int, description: str, text: str, action: str) -> Event:
        return Event(
            time_ns=time_ns,
            kind=Kind.PACKAGE,
            description=description,
            message=text,
            source=self.source,
            actor=self.actor,
            detail=(("action", action), *self._facts()),
        )

    def _facts(self) -> tuple[tuple[str, str], ...]:
        uid = (("uid", self.uid),) if self.uid else ()
        return uid if self.done else (*uid, ("unfinished", "yes"))

    def changed(self, change: PackageChange) -> Event:
        """What it did to one package: at its end, or where that is not known, at its start."""
        time_ns = self.begin_ns if self.end_ns is None else self.end_ns
        more = (("command", self.command), *self._facts())
        # The transaction's times are exact; within it, a package's is not on record.
        return package_event(
            change, time_ns, self.source, certainty=Certainty.INFERRED, actor=self.actor, more=more
        )


def _change(package: Row, action: str, words: Mapping[tuple[str, Value], str]) -> PackageChange:
    _, name, epoch, version, release, architecture = package
    if isinstance(name, int):
        name, architecture = words.get(("pkg_name", name), str(name)), words.get(("arch", architecture), "")
    before = f"{epoch}:" if epoch else ""
    return PackageChange(
        action=action,
        name=str(name),
        version=f"{before}{version}-{release}",
        architecture=str(architecture or ""),
    )
