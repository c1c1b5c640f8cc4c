"""The accounts and groups of a guest: the files as they stand, who may log in, who is in which group.

Sources: passwd(5), shadow(5), group(5), gshadow(5), sysusers.d(5); shadow-utils ``lib/isexpired.c``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from guestrepair.formats.passwd import (
    AccountFile,
    Entry,
    GroupEntry,
    GroupShadowEntry,
    PasswdEntry,
    ShadowEntry,
    parse_group,
    parse_gshadow,
    parse_passwd,
    parse_shadow,
)
from guestrepair.formats.resolver import parse_databases
from guestrepair.formats.sysusers import SystemUser, parse_sysusers
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.view import MAX_PATH_BYTES, Guest
from guestrepair.model import GuestPath
from guestrepair.system.account_files import GROUP, PASSWD, SHADOW, AccountFiles, AccountText
from guestrepair.system.fact import Unreadable, attempt, fact, parsed
from guestrepair.system.files import guest_path
from guestrepair.system.membership import Membership
from guestrepair.system.systemd import chosen_files

GSHADOW = GuestPath("/etc/gshadow")

NO_LOGIN_SHELLS = frozenset({"nologin", "false", "sync", "halt", "shutdown", "git-shell", "true"})
"""Base names of shells that let nobody in (git-shell lets git in, not a person)."""

ADMIN_GROUPS = ("sudo", "wheel", "admin", "root")
_NSSWITCH, _ALTFILES = GuestPath("/etc/nsswitch.conf"), GuestPath("/usr/lib/passwd")
_SYSUSERS = tuple(
    GuestPath(p)
    for p in ("/etc/sysusers.d", "/usr/local/lib/sysusers.d", "/usr/lib/sysusers.d", "/lib/sysusers.d")
)
Text = TypeVar("Text", PasswdEntry, ShadowEntry, GroupEntry)
_EPOCH = dt.date(1970, 1, 1)
_LAST_DAY = (dt.date.max - _EPOCH).days
_NEVER_DAYS = 10_000
"""A maximum age of so many days or more is none (99999 is the usual way to write that)."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account with a shell to log in to: its passwd line, and the names of all its groups."""

    entry: PasswdEntry
    groups: frozenset[str]

    @property
    def name(self) -> str:
        """The login name."""
        return self.entry.name

    @property
    def uid(self) -> int:
        """The user id."""
        return self.entry.uid

    @property
    def home(self) -> GuestPath:
        """The home directory; ``/`` where passwd has none, or one longer than a path can be."""
        home = self.entry.home
        usable = home.startswith("/") and len(home) <= MAX_PATH_BYTES
        return guest_path(home) if usable else GuestPath("/")

    @property
    def shell(self) -> GuestPath:
        """The login shell; /bin/sh where passwd names none (passwd(5))."""
        return guest_path(self.entry.shell or "/bin/sh")

    @property
    def is_admin(self) -> bool:
        """Root, or a member of a group that distributions let become root."""
        return self.uid == 0 or not self.groups.isdisjoint(ADMIN_GROUPS)


@dataclass(frozen=True, slots=True)
class Ageing:
    """The days of a shadow line as dates and spans; None where it sets none, or one beyond the calendar."""

    changed: dt.date | None = None
    must_change: bool = False
    minimum: dt.timedelta | None = None
    maximum: dt.timedelta | None = None
    warning: dt.timedelta | None = None
    inactive: dt.timedelta | None = None
    expires: dt.date | None = None

    @classmethod
    def of(cls, entry: ShadowEntry) -> Ageing:
        """What one line of shadow says."""
        maximum = entry.maximum_days
        return cls(
            changed=_day(entry.last_change_days or None),  # 0 is no date, but "change it now"
            must_change=entry.last_change_days == 0,
            minimum=_span(entry.minimum_days),
            maximum=None if maximum is None or maximum >= _NEVER_DAYS else _span(maximum),
            warning=_span(entry.warning_days),
            inactive=_span(entry.inactive_days),
            expires=_day(entry.expire_days),
        )

    @property
    def password_expires(self) -> dt.date | None:
        """From this day on (UTC) the password has to be changed at the next login."""
        return _later(self.changed, self.maximum)

    @property
    def locked_from(self) -> dt.date | None:
        """From this day on (UTC) the expired password can no longer be changed by logging in."""
        return _later(self.password_expires, self.inactive)

    def has_expired(self, today: dt.date, *, by_pam: bool) -> bool:
        """True when the account itself is over on a day (UTC): no way of logging in is left, keys neither.

        pam_unix refuses from that very day on; sshd, which looks itself where there is no PAM, from the next.
        """
        return self.expires is not None and (today >= self.expires if by_pam else today > self.expires)

    def pam_answer(self, today: dt.date) -> str:
        """What pam_unix answers of the account on a day (UTC), by the name that libpam has for it.

        Newer releases count a password as expired on its last day, older ones from the day after: of what
        they disagree about, the milder answer. Linux-PAM passverify.c, check_shadow_expiry().
        """
        if self.has_expired(today, by_pam=True):
            return "acct_expired"
        if self.must_change:
            return "new_authtok_reqd"
        if self.locked_from is not None and today > self.locked_from:
            return "authtok_expired"
        expires = self.password_expires
        return "new_authtok_reqd" if expires is not None and today > expires else "success"


def _day(days: int | None) -> dt.date | None:
    return _EPOCH + dt.timedelta(days=days) if days is not None and days <= _LAST_DAY else None


def _span(days: int | None) -> dt.timedelta | None:
    return dt.timedelta(days=days) if days is not None and days <= _LAST_DAY else None


def _later(day: dt.date | None, span: dt.timedelta | None) -> dt.date | None:
    if day is None or span is None or span > dt.date.max - day:
        return None
    return day + span


class Accounts:
    """What the account files of a guest say. A file that is not there has no entry: ask ``files`` for that.

    A file that cannot be read raises GuestReadError, in whoever asks for what hangs on it.
    """

    def __init__(self, guest: Guest, files: AccountFiles | None = None) -> None:
        self._guest = guest
        self._files = files or AccountFiles(guest)

    # --- the files --------------------------------------------------------------------

    @fact
    def passwd(self) -> AccountFile[PasswdEntry]:
        """/etc/passwd."""
        return _content(self._files.passwd) or parse_passwd(b"")

    @fact
    def shadow(self) -> AccountFile[ShadowEntry]:
        """/etc/shadow."""
        return _content(self._files.shadow) or parse_shadow(b"")

    @fact
    def group(self) -> AccountFile[GroupEntry]:
        """/etc/group."""
        return _content(self._files.group) or parse_group(b"")

    @fact
    def gshadow(self) -> AccountFile[GroupShadowEntry]:
        """/etc/gshadow."""
        return self._file(GSHADOW, parse_gshadow)

    @fact
    def passwd_copies(self) -> tuple[tuple[GuestPath, AccountFile[PasswdEntry] | Unreadable], ...]:
        """The older copies of passwd that the tools keep."""
        return self._copies(PASSWD, parse_passwd, lambda: self._files.passwd_copy)

    @fact
    def shadow_copies(self) -> tuple[tuple[GuestPath, AccountFile[ShadowEntry] | Unreadable], ...]:
        """The older copies of shadow."""
        return self._copies(SHADOW, parse_shadow, lambda: self._files.shadow_copy)

    @fact
    def group_copies(self) -> tuple[tuple[GuestPath, AccountFile[GroupEntry] | Unreadable], ...]:
        """The older copies of group."""
        return self._copies(GROUP, parse_group, lambda: self._files.group_copy)

    @fact
    def altfiles(self) -> AccountFile[PasswdEntry]:
        """The vendor's accounts in /usr/lib/passwd, where nsswitch.conf names altfiles (ostree systems)."""
        named = b"altfiles" in (self._guest.read_if_there(_NSSWITCH) or b"")
        return self._file(_ALTFILES, parse_passwd) if named else parse_passwd(b"")

    def only_files(self, database: str) -> bool:
        """True when a database (passwd, group) comes from its file alone, by nsswitch.conf or without one.

        What systemd makes up (root, nobody, users of running services) counts as nothing more.
        """
        data = self._guest.read_if_there(_NSSWITCH) or b""
        line = parsed(parse_databases, data, _NSSWITCH).get(database)
        return line is None or set(line.sources) <= {"files", "compat", "systemd"}

    @fact
    def sysusers(self) -> tuple[tuple[GuestPath, SystemUser], ...]:
        """The lines of sysusers.d in force, each with the file that holds it."""
        return tuple(
            (path, line)
            for path in chosen_files(self._guest, _SYSUSERS, ".conf")
            for line in parsed(parse_sysusers, self._guest.read(path), path).lines
        )

    # --- what they come to ------------------------------------------------------------

    @fact
    def names(self) -> AccountNames:
        """Names to numbers and back: yes, no, or not known."""
        return AccountNames(self._guest)

    @fact
    def membership(self) -> Membership:
        """Who is in which group."""
        return Membership(self.passwd.entries, self.group.entries)

    @fact
    def login(self) -> tuple[Account, ...]:
        """Accounts whose shell is meant for a person, whatever ends the line; of a name the first counts."""
        found: dict[str, Account] = {}
        for entry in self.passwd.entries:
            if (
                entry.name not in found
                and (entry.shell.rstrip("\r") or "/bin/sh").rpartition("/")[2] not in NO_LOGIN_SHELLS
            ):
                found[entry.name] = self.account(entry)
        return tuple(found.values())

    def account(self, entry: PasswdEntry) -> Account:
        """The account of a passwd line, with its groups."""
        return Account(entry, self.membership.names(entry))

    def ageing(self, name: str) -> Ageing | None:
        """How the password and the account of that name age; None where shadow has no line for it."""
        entry = self.shadow.get(name)
        return None if entry is None else Ageing.of(entry)

    def _file(self, path: GuestPath, parse: Callable[[bytes], AccountFile[Entry]]) -> AccountFile[Entry]:
        return parsed(parse, self._guest.read_if_there(path) or b"", path)

    def _copies(
        self,
        path: GuestPath,
        parse: Callable[[bytes], AccountFile[Text]],
        kept: Callable[[], AccountText[Text] | None],
    ) -> tuple[tuple[GuestPath, AccountFile[Text] | Unreadable], ...]:
        """The copy that the tools keep, and the one of Debian's daily backup."""
        beside, backup = path.with_name(f"{path.name}-"), GuestPath(f"/var/backups/{path.name}.bak")
        found = (
            (beside, attempt(lambda: _content(kept()), beside)),
            (backup, attempt(lambda: self._backup(backup, parse), backup)),
        )
        return tuple((place, copy) for place, copy in found if copy is not None)

    def _backup(
        self, path: GuestPath, parse: Callable[[bytes], AccountFile[Text]]
    ) -> AccountFile[Text] | None:
        data = self._guest.read_if_there(path)
        return None if data is None else parsed(parse, data, path)


def _content(text: AccountText[Text] | None) -> AccountFile[Text] | None:
    return None if text is None else text.parsed
