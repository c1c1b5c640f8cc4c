"""Logs of package managers: dpkg, apt (history and terminal), yum and dnf, zypper, pacman.

Times are given as they stand: local to the guest, or with their zone.

Sources: dpkg(1), "--log"; apt's ``apt-pkg/deb/dpkgpm.cc``; yum's ``yum/rpmtrans.py``; dnf's
``dnf/yum/rpmtrans.py``; libzypp's ``zypp/HistoryLog.cc``; pacman's ``lib/libalpm/log.c``.
"""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_LOCAL = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T]{1,2}(\d\d):(\d\d)(?::(\d\d))?")
_ZONED = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:Z|([+-])(\d\d):?(\d\d))")
MAX_PACKAGES = 20_000
"""Of one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """One thing that was done to a package; ``architecture`` and versions are "" where they are not said."""

    action: str
    name: str
    architecture: str = ""
    version: str = ""
    old_version: str = ""


@dataclass(slots=True)
class AptRun:
    """One run of apt: ``begin`` and ``end`` as written (end None: it is not on record), by number of line."""

    line: int
    begin: dt.datetime | None
    end: dt.datetime | None = None
    command: str = ""
    requested_by: str = ""
    error: str = ""
    changes: list[PackageChange] = field(default_factory=list)


def local_time(text: str) -> dt.datetime | None:
    """``2026-11-29 10:00:00`` at the start of a text, without a zone."""
    found = _LOCAL.match(text)
    if found is None:
        return None
    try:
        return dt.datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def zoned_time(text: str) -> dt.datetime | None:
    """``2026-11-29T10:00:00+0100`` at the start of a text."""
    found = _ZONED.match(text)
    if found is None:
        return None
    *parts, sign, hours, minutes = found.groups()
    offset = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        zone = dt.timezone(-offset if sign == "-" else offset)
        return dt.datetime(*map(int, parts), tzinfo=zone)  # type: ignore[arg-type,misc]
    except ValueError:
        return None


_DPKG_ACTIONS = frozenset(
    {"install", "upgrade", "configure", "trigproc", "remove", "purge", "disappear", "reinstall"}
)


def parse_dpkg_line(text: str) -> PackageChange | None:
    """What follows the time in a line of dpkg.log; None: it tells nothing that was done to a package."""
    words = text.split(" ", 4)
    if len(words) < 4 or words[0] not in _DPKG_ACTIONS:
        return None
    action, package, old, new = words[:4]
    name, _, architecture = package.partition(":")
    return PackageChange(
        action=action, name=name, architecture=architecture, version=_version(new), old_version=_version(old)
    )


def _version(text: str) -> str:
    return "" if text == "<none>" else text


_APT_ACTIONS = frozenset({"Install", "Upgrade", "Downgrade", "Remove", "Purge", "Reinstall", "Obsolete"})
_APT_PACKAGE = re.compile(
    r"(?<![^\s:(),])(?P<name>[^\s:(),]+)(?::(?P<arch>[^\s(),]+))? \((?P<versions>[^()]*)\)"
)


def parse_apt_history(lines: Iterable[tuple[int, str]]) -> Iterator[AptRun]:
    """The runs in lines of history.log; a run ends where the next begins, whether that is said or not."""
    run: AptRun | None = None
    for number, line in lines:
        key, colon, value = line.partition(": ")
        if not colon:
            continue
        if key == "Start-Date":
            if run is not None:
                yield run
            run = AptRun(number, local_time(value.strip()))
        elif run is not None and key == "End-Date":
            run.end = local_time(value.strip())
            yield run
            run = None
        elif run is not None:
            _apt_field(run, key, value.strip())
    if run is not None:
        yield run


def _apt_field(run: AptRun, key: str, value: str) -> None:
    if key == "Commandline":
        run.command = value
    elif key == "Requested-By":
        run.requested_by = value.partition(" (")[0]
    elif key == "Error":
        run.error = value
    elif key in _APT_ACTIONS:
        room = MAX_PACKAGES - len(run.changes)
        run.changes += [change for change, _ in zip(_apt_changes(key, value), range(room), strict=False)]


def _apt_changes(action: str, text: str) -> Iterator[PackageChange]:
    for found in _APT_PACKAGE.finditer(text):
        versions = [v for v in found["versions"].split(", ") if v != "automatic"]
        both = len(versions) > 1
        yield PackageChange(
            action=action.lower(),
            name=found["name"],
            architecture=found["arch"] or "",
            version=versions[-1] if versions else "",
            old_version=versions[0] if both else "",
        )


_RPM_WORDS: Mapping[str, str] = {
    "Installed": "install",
    "Install": "install",
    "Updated": "upgrade",
    "Update": "upgrade",
    "Upgrade": "upgrade",
    "Upgraded": "upgraded",
    "Erased": "remove",
    "Erase": "remove",
    "Removed": "remove",
    "Downgrade": "downgrade",
    "Downgraded": "downgraded",
    "Reinstall": "reinstall",
    "Reinstalled": "reinstalled",
    "Obsoleted": "obsoleted",
    "Cleanup": "cleanup",
    "Obsoleting": "obsoleting",
}
_NEVRA = re.compile(
    r"(?:(?P<first>\d{1,10}):)?(?P<name>\S+)-(?:(?P<epoch>\d{1,10}):)?(?P<version>[^-\s]+-[^-\s]+?)"
    r"(?:\.(?P<arch>[a-z]\w{1,15}))?"
)


def parse_rpm_action(text: str) -> PackageChange | None:
    """``Installed: bash-5.1.8-6.el9.x86_64``, as in yum.log and dnf.rpm.log."""
    word, _, rest = text.partition(": ")
    action = _RPM_WORDS.get(word)
    nevra = rest.strip()
    if action is None or not nevra or len(nevra) > 1000:
        return None
    found = _NEVRA.fullmatch(nevra)
    if found is None:
        return PackageChange(action=action, name=nevra)
    epoch = found["epoch"] or found["first"]
    version = f"{epoch}:{found['version']}" if epoch and epoch != "0" else found["version"]
    return PackageChange(action=action, name=found["name"], architecture=found["arch"] or "", version=version)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZyppEntry:
    """One line of zypper's history: a change of a package, or a command."""

    time: dt.datetime
    change: PackageChange | None = None
    user: str = ""
    command: str = ""


def parse_zypp_line(line: str) -> ZyppEntry | None:
    """None: a comment, or an action that is about no package (repositories, services)."""
    fields = line.split("|")
    if len(fields) < 4 or line.startswith("#"):
        return None
    time, action = local_time(fields[0]), fields[1].strip()
    if time is None:
        return None
    if action == "command":
        return ZyppEntry(time=time, user=_zypp_user(fields[2]), command=_command(fields[3]))
    if action in {"install", "remove"} and len(fields) >= 5:
        change = PackageChange(action=action, name=fields[2], version=fields[3], architecture=fields[4])
        return ZyppEntry(time=time, change=change, user=_zypp_user(fields[5] if len(fields) > 5 else ""))
    return None


def _zypp_user(text: str) -> str:
    return text.partition("@")[0] if "@" in text else ""


def _command(text: str) -> str:
    """Each word stands in quotes."""
    words = re.findall(r"'((?:[^'\\]|\\.)*)'", text)
    return shlex.join(words) if words else text


_PACMAN = re.compile(r"\[(?P<time>[^\]]{10,40})\] \[(?P<who>ALPM|PACMAN)\] (?P<text>.*)", re.DOTALL)
_PACMAN_CHANGE = re.compile(
    r"(?P<action>installed|upgraded|downgraded|removed|reinstalled) (?P<name>\S+) \((?P<versions>[^()]*)\)"
)
_PACMAN_ACTIONS = {
    "installed": "install", "upgraded": "upgrade", "downgraded": "downgrade", "removed": "remove",
    "reinstalled": "reinstall",
}  # fmt: skip


def parse_pacman_line(line: str) -> tuple[str, str, PackageChange | None] | None:
    """The time as written, the message, and the change that it tells of; None: no such line."""
    found = _PACMAN.match(line)
    if found is None:
        return None
    change = _PACMAN_CHANGE.match(found["text"])
    if change is None:
        return found["time"], found["text"], None
    old, arrow, new = change["versions"].partition(" -> ")
    made = PackageChange(
        action=_PACMAN_ACTIONS[change["action"]], name=change["name"], version=new if arrow else old,
        old_version=old if arrow else "",
    )  # fmt: skip
    return found["time"], found["text"], made
