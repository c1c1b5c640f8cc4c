"""The rule on looking up names."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.network.edits import line_at, line_edits
from guestrepair.model import (
    Change,
    EditFile,
    Effect,
    Evidence,
    Finding,
    MakeDirectory,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.guest_system import System
from guestrepair.system.network.resolving import NSSWITCH, RESOLV_CONF, STUB
from guestrepair.system.systemd import OWN

RESOLVER = Rule(
    name="network/resolver",
    summary="names cannot be looked up",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/resolv.conf leads nowhere, or to what a service makes that boot does not start; it asks"
    " systemd-resolved, which does not run; the hosts line of nsswitch.conf has neither dns nor resolve, or"
    " no files.",
    why="No name is found: updates, time, mail and directory services fail, and logins wait for them.",
    repair="Enable the service that makes the file; put the missing word into the hosts line.",
    example="/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf, without systemd-resolved",
    sources=("resolv.conf(5)", "systemd-resolved.service(8), /etc/resolv.conf", "nsswitch.conf(5)"),
)
RULES = (RESOLVER,)

_RESOLVED = "systemd-resolved.service"
_REMOTE = frozenset(
    {"dns", "resolve", "sss", "ldap", "nis", "nisplus", "wins", "libvirt", "db", "extrausers"}
)
_LOCAL = frozenset({"files", "myhostname", "resolve", "db", "sss", "altfiles"})


def check(context: Context) -> Iterator[Finding]:
    """resolv.conf, then nsswitch.conf."""
    system = context.system
    resolving = system.network.resolving
    if not system.boot_loader.has_loader_or_kernel:
        return  # whoever starts a container gives it a resolver
    if resolving.link:
        yield from _link(system)
    elif resolving.exists:
        yield from _stub(system)
    yield from _hosts(system)


def _link(system: System) -> Iterator[Finding]:
    resolving = system.network.resolving
    target = resolving.link
    if resolving.exists and not target.startswith("/run/"):
        yield from _stub(system)
        return
    if not target.startswith("/run/"):
        yield _finding(
            f"{RESOLV_CONF} leads to {target}, which is not there",
            target,
            Repair(
                "write a resolv.conf, or let the link lead to what a service of the guest makes",
                Safety.MANUAL,
            ),
        )
    elif not system.systemd.installed:
        return
    elif not resolving.makers:
        words = f"{RESOLV_CONF} leads to {target}: what makes that at boot is not known here"
        yield RESOLVER.finding(Subject.of_path(RESOLV_CONF), words, severity=Severity.NOTE)
    elif target.startswith("/run/resolvconf/") and resolving.has_resolvconf:
        return
    elif not resolving.starts(resolving.makers):
        maker = resolving.makers[0]
        words = f"{RESOLV_CONF} leads to {target}, which {maker} makes, and boot does not start that"
        yield _finding(words, target, _enable(system, maker))


def _stub(system: System) -> Iterator[Finding]:
    """A file that asks systemd-resolved and nobody else."""
    resolving = system.network.resolving
    servers = [address for address, _ in resolving.nameservers]
    if not system.systemd.installed or not servers or set(servers) != {STUB}:
        return
    if not resolving.starts((_RESOLVED,)):
        words = f"{RESOLV_CONF} asks {STUB}, which is {_RESOLVED}, and boot does not start that"
        yield _finding(words, f"nameserver {STUB}", _enable(system, _RESOLVED))


def _finding(words: str, observed: str, repair: Repair) -> Finding:
    return RESOLVER.finding(
        Subject.of_path(RESOLV_CONF),
        words,
        evidence=(Evidence(str(RESOLV_CONF), observed, "nameservers that answer"),),
        repair=repair,
    )


def _enable(system: System, unit: str) -> Repair:
    vendor = system.systemd.vendor(unit)
    wanted = () if vendor is None else vendor.unit.words("Install", "WantedBy")
    if vendor is None or not wanted:
        return Repair(
            f"install what {unit} is part of, or write nameservers into {RESOLV_CONF}", Safety.MANUAL
        )
    changes: list[Change] = []
    masked = system.systemd.masked_by(unit)
    if masked is not None:
        if masked.parent != OWN:
            return Repair(f"unmask {unit}", Safety.MANUAL)
        changes.append(RemoveFile(path=masked, backup=False))
    directory = OWN / f"{wanted[0]}.wants"
    if not system.files.is_directory(directory):
        changes.append(MakeDirectory(path=directory, mode=0o755))
    if system.files.lstat(directory / unit) is None:
        changes.append(MakeLink(path=directory / unit, target=str(vendor.path)))
    return Repair(f"enable {unit}", Safety.REVIEW, tuple(changes))


def _hosts(system: System) -> Iterator[Finding]:
    resolving = system.network.resolving
    line, data = resolving.hosts, resolving.nsswitch
    if line is None or data is None or system.os.distro == "alpine":
        return
    sources = set(line.sources)
    missing = ""
    if not sources & _REMOTE and sources:
        missing = "dns"
    elif not sources & _LOCAL and sources:
        missing = "files"
    if not missing:
        return
    place = Subject.of_line(NSSWITCH, line.line)
    what = "no name is asked of a name server" if missing == "dns" else "/etc/hosts is not read"
    yield RESOLVER.finding(
        place,
        f"{place}: the hosts line lacks {missing}: {what}",
        evidence=(Evidence(place, line.text, "hosts: files dns"),),
        repair=_hosts_repair(system, data, line.line, missing),
    )


def _hosts_repair(system: System, data: bytes, number: int, missing: str) -> Repair:
    found, path = line_at(data, number), system.files.resolve(NSSWITCH)
    manual = Repair(f"add {missing} to the hosts line", Safety.MANUAL)
    if found is None or path is None or b"#" in found[1]:
        return manual
    line = found[1].rstrip()
    head, colon, rest = line.partition(b":")
    new = line + b" dns" if missing == "dns" else head + colon + b" files " + rest.strip()
    edits = line_edits(data, {number: new})
    if edits is None:
        return manual
    return Repair(
        f"add {missing} to the hosts line", Safety.REVIEW, (EditFile(path=path, before=data, edits=edits),)
    )
