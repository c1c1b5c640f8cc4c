"""Golden images: what must not be in an image that many machines are made of (``--profile golden``).

What it finds: identities (machine id, host keys, memberships, names of storage hosts), ways in that every
copy would share (keys, passwords, credentials), what cloud-init knows already, network configuration of one
machine, and what a machine leaves of itself: logs, histories, leases, seeds, caches, deleted files in free
space; and of the image as a whole, that its release is still supported, its clock kept, its console seen.

Evidence: that the files are there, and are not empty; what a copy's first boot makes again is read from its
units, its scripts and cloud-init. Repairs remove files by name, or empty them where a program needs them to
be there; all in one transaction, with the content kept on the host for undo and no copy in the image. What
nothing would make again is for a person to decide. Limits: only named places are looked at; links are never
followed into another directory; data of applications are not known. Runs only when asked for.

Sources: virt-sysprep(1); systemd's https://systemd.io/BUILDING_IMAGES; cloud-init's ``clean``; the checks
that Azure, AWS and DigitalOcean make before they take an image.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context, Rule
from guestrepair.analyzers.golden import access, cloud, identity, network, traces, whole
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Inconclusive, Severity, Subject
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.leftover_places import PLACES

MOVED = Rule(
    name="golden/moved",
    summary="a place where machines leave things is a link to another directory",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    what="A directory that is to be looked at for leftovers is a symbolic link to a directory that is not"
    " empty.",
    why="Other things may lie there: nothing in it was judged, and nothing of it is removed.",
    repair="None: look there yourself.",
    example="/var/log -> /data/log",
    sources=("symlink(7)",),
)
_LOOKED_AT = ("/boot", "/efi", "/etc", "/home", "/root", "/srv", "/tmp", "/var")  # noqa: S108 - of the guest


def check_moved(context: Context) -> Iterator[Finding]:
    """moved."""
    leftovers = context.system.leftovers
    found: dict[GuestPath, str] = {}
    for name in PLACES:
        kind = attempt(lambda name=name: leftovers.of(name))  # type: ignore[misc]
        if not isinstance(kind, Unreadable):  # the check that asks for it says that
            found |= dict(kind.moved)
    for path, target in sorted(found.items()):
        yield MOVED.finding(
            Subject.of_path(path),
            f"{path} is a link to {target}: what was left there is not judged",
            evidence=(Evidence(str(path), f"a link to {target}", "a directory"),),
        )


def check_mounts(context: Context) -> Iterator[Inconclusive]:
    """Say which of the filesystems that may hold leftovers are not mounted here."""
    for target, reason in context.system.unmounted:
        if target.startswith(_LOOKED_AT):
            yield Inconclusive(
                "golden", f"{target} is not mounted here, what was left there is not known: {reason}"
            )


ANALYZER = Analyzer(
    name="golden",
    summary="what must not be in an image that many machines are made of",
    rules=(*identity.RULES, *access.RULES, *cloud.RULES, *network.RULES, *traces.RULES, *whole.RULES, MOVED),
    checks=(
        *identity.CHECKS,
        *access.CHECKS,
        *cloud.CHECKS,
        *network.CHECKS,
        *traces.CHECKS,
        *whole.CHECKS,
        check_moved,
        check_mounts,
    ),
    # Whether cloud-init is started is asked of the boot loader, which may lie on the EFI system partition.
    late=True,
    runs=lambda options: options.profile == "golden",
)
