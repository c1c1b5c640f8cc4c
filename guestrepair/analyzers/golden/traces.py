"""What a machine leaves of itself while it runs, by kind: logs, histories, leases, seeds, caches, copies.

Each kind is one rule of this table, and one finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from guestrepair.analyzers.base import Check, Context, Rule
from guestrepair.analyzers.golden.folding import folded, removed
from guestrepair.model import Change, Effect, EmptyFile, Finding, GuestPath, Repair, Safety, Severity
from guestrepair.system.leftovers import Kind, Leftover

SYSPREP = "virt-sysprep(1), OPERATIONS"
_CACHE_BYTES = 50 * 1024 * 1024
_ROTATED = re.compile(r"(?:\.(?:gz|xz|bz2|zst|lz4|old|journal~?|[0-9]{1,4})|-[0-9]{8}(?:-[0-9]{1,10})?)\Z")
_OF_INSTALLATION = (GuestPath("/var/log/installer"), GuestPath("/var/log/anaconda"))
_LOG = GuestPath("/var/log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One kind: its rule, what a finding says, and how a file of it is taken away."""

    kind: str
    rule: Rule
    says: str
    repair: str
    place: str = ""
    change: Callable[[Leftover], Change] = removed
    from_bytes: int = 0


def _rule(
    name: str, summary: str, severity: Severity, safety: Safety, what: str, why: str, repair: str,
    example: str, *sources: str,
) -> Rule:  # fmt: skip
    return Rule(
        name=f"golden/{name}",
        summary=summary,
        severities=(severity,),
        effect=Effect.DEGRADES if severity is not Severity.NOTE else Effect.HYGIENE,
        safeties=(safety, Safety.MANUAL),
        what=what,
        why=why,
        repair=f"{repair} A symbolic link in such a place is for a person to decide.",
        example=example,
        sources=sources or (SYSPREP,),
    )


def log_change(file: Leftover) -> Change:
    """A log that a program goes on writing is emptied, since not every program may make it again."""
    name, parents = file.path.name, file.path.parents
    gone = _ROTATED.search(name) or any(each in parents for each in _OF_INSTALLATION) or _LOG not in parents
    return removed(file) if gone else EmptyFile(path=file.path, before_bytes=file.size_bytes)


def lease_change(file: Leftover) -> Change:
    """A DHCP server does not start without its file of leases; a client does."""
    if file.path.name.startswith("dhcpd"):
        return EmptyFile(path=file.path, before_bytes=file.size_bytes)
    return removed(file)


TRACES = (
    Trace(
        kind="history",
        rule=_rule(
            "history",
            "somebody's command histories are in the image",
            Severity.WARNING,
            Safety.SAFE,
            "Histories of shells, editors, pagers and database clients, and known_hosts, in a home"
            " directory.",
            "They name hosts, users and often passwords of where the image was made, on every machine.",
            "Remove them.",
            "/root/.bash_history",
        ),
        says="histories of who made the image",
        repair="remove the histories",
    ),
    Trace(
        kind="logs",
        rule=_rule(
            "logs",
            "logs and journals of another machine are in the image",
            Severity.WARNING,
            Safety.SAFE,
            "Files below /var/log that are not empty, process accounting, the state of logrotate.",
            "They tell of the machine that the image was made on, and are taken for the new one's.",
            "Rotated logs and journals are removed; a log that a program writes to is emptied and keeps its"
            " owner and mode, since not every program may make it again.",
            "/var/log/journal/…/system.journal",
        ),
        says="logs of the machine that the image was made on",
        repair="remove rotated logs and journals, empty the others",
        place="/var/log",
        change=log_change,
    ),
    Trace(
        kind="leases",
        rule=_rule(
            "dhcp-lease",
            "DHCP leases and keys of another machine are in the image",
            Severity.WARNING,
            Safety.SAFE,
            "Leases of DHCP clients and servers, and NetworkManager's secret_key, timestamps and"
            " seen-bssids.",
            "A client asks for the address that the other machine has; the key gives every copy one"
            " identity.",
            "Remove them; a server's own file of leases is emptied, since it does not start without.",
            "/var/lib/dhcp/dhclient.eth0.leases",
            SYSPREP, "dhclient.leases(5)", "NetworkManager(8), FILES",
        ),
        says="leases and keys of DHCP clients",
        repair="remove the leases",
        change=lease_change,
    ),
    Trace(
        kind="random-seed",
        rule=_rule(
            "random-seed",
            "a seed for random numbers is in the image",
            Severity.WARNING,
            Safety.SAFE,
            "A random-seed file of systemd, of systemd-boot on the EFI system partition, or of an init"
            " script.",
            "Every copy begins with one seed; a key that is made early may then be one that others have,"
            " too.",
            "Remove it: the next shutdown writes a new one.",
            "/var/lib/systemd/random-seed",
            "systemd-random-seed.service(8)", "https://systemd.io/BUILDING_IMAGES",
        ),
        says="a seed for random numbers that every copy would begin with",
        repair="remove the seed",
    ),
    Trace(
        kind="package-cache",
        rule=_rule(
            "package-cache",
            "the cache of the package manager is large",
            Severity.WARNING,
            Safety.SAFE,
            "More than 50 MiB of packages and metadata below /var/cache.",
            "Every copy carries and pays for what it can fetch again.",
            "Remove what is in it.",
            "/var/cache/apt/archives/*.deb",
        ),
        says="packages that can be fetched again",
        repair="remove the cached packages",
        place="/var/cache",
        from_bytes=_CACHE_BYTES,
    ),
    Trace(
        kind="temporary",
        rule=_rule(
            "temporary-files",
            "files are left in /tmp or /var/tmp",
            Severity.WARNING,
            Safety.REVIEW,
            "Regular files below /tmp or /var/tmp that are not empty.",
            "What provisioning left there is often a script, an archive or a credential.",
            "Remove them. Review: somebody may count on one of them.",
            "/var/tmp/provision.sh",  # noqa: S108 - of the guest
        ),
        says="temporary files",
        repair="remove the temporary files",
        place="/tmp",  # noqa: S108 - of the guest
    ),
    Trace(
        kind="crash",
        rule=_rule(
            "crash-dump",
            "crash dumps are in the image",
            Severity.WARNING,
            Safety.REVIEW,
            "Core dumps, kernel dumps and abrt's reports.",
            "They hold memory of another machine: keys and passwords among it.",
            "Remove them. Review: somebody may want to look at one first.",
            "/var/crash/202611200312/vmcore",
            SYSPREP, "coredump.conf(5)",
        ),
        says="memory of crashed programs or kernels",
        repair="remove the dumps",
    ),
    Trace(
        kind="account-copies",
        rule=_rule(
            "account-copy",
            "old copies of the account files are in the image",
            Severity.NOTE,
            Safety.REVIEW,
            "passwd-, shadow- and the like: what the files were before their last change.",
            "shadow- keeps the hash of a password that was locked or changed since.",
            "Remove them. Review: they are what damaged account files are mended from.",
            "/etc/shadow-",
        ),
        says="copies of the account files before their last change",
        repair="remove the copies",
    ),
    Trace(
        kind="installer",
        rule=_rule(
            "installer-traces",
            "answers given to the installer are in the image",
            Severity.NOTE,
            Safety.REVIEW,
            "Kickstart files and logs of the installation in /root; blkid's cache of old devices.",
            "A kickstart file holds password hashes and addresses of where the image was made.",
            "Remove them.",
            "/root/anaconda-ks.cfg",
        ),
        says="what the installer left",
        repair="remove what the installer left",
    ),
    Trace(
        kind="lvm",
        rule=_rule(
            "lvm-records",
            "LVM's records of another machine's disks are in the image",
            Severity.NOTE,
            Safety.REVIEW,
            "/etc/lvm/archive, /etc/lvm/backup, and system.devices, the list of disks that LVM may use.",
            "system.devices names disks by their serial numbers: a copy's own disk may not be among them.",
            "Remove them: without the list LVM looks at every disk. Review: the backups are what a damaged"
            " volume group is mended from.",
            "/etc/lvm/devices/system.devices",
            SYSPREP, "lvmdevices(8)",
        ),
        says="LVM's records of disks",
        repair="remove LVM's records",
    ),
    Trace(
        kind="spool",
        rule=_rule(
            "spool",
            "mail, or jobs of users, are in the image",
            Severity.NOTE,
            Safety.REVIEW,
            "Mailboxes in /var/mail; crontabs and at jobs of users in /var/spool.",
            "Mail is somebody's; a forgotten job runs on every copy.",
            "Remove them. Review: a job may be meant.",
            "/var/spool/cron/root",
        ),
        says="mail and jobs of users",
        repair="remove mail and jobs",
    ),
)  # fmt: skip

BACKUP_COPY = _rule(
    "backup-copy",
    "copies that editors leave beside files are in the image",
    Severity.NOTE,
    Safety.REVIEW,
    "Files in /etc, /root or /srv that end in ~ or .bak, or are copies that an earlier repair left; none"
    " that a package brings.",
    "They keep what was taken out of the files on purpose.",
    "Remove them.",
    "/etc/ssh/sshd_config.bak",
)


def _check(trace: Trace, context: Context) -> Iterator[Finding]:
    kind = context.system.leftovers.of(trace.kind)
    if kind.size_bytes > trace.from_bytes:
        safety = trace.rule.safeties[0]
        yield from folded(
            trace.rule,
            kind.files,
            trace.says,
            lambda files: Repair(trace.repair, safety, tuple(map(trace.change, files))),
            place=GuestPath(trace.place) if trace.place else None,
        )


def check_copies(context: Context) -> Iterator[Finding]:
    """backup-copy."""
    yield from folded(
        BACKUP_COPY,
        _unpackaged(context, context.system.leftovers.copies),
        "copies beside the files that they were made of",
        lambda files: Repair("remove the copies", Safety.REVIEW, tuple(map(removed, files))),
    )


def _unpackaged(context: Context, kind: Kind) -> Sequence[Leftover]:
    packages = context.system.packages
    if packages is None or not kind.files:
        return kind.files
    owners = packages.lookup_many([str(file.path) for file in kind.files])
    return [file for file in kind.files if not owners.get(str(file.path))]


RULES = (*(trace.rule for trace in TRACES), BACKUP_COPY)
CHECKS: tuple[Check, ...] = (*(partial(_check, trace) for trace in TRACES), check_copies)
