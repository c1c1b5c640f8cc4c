"""Lines whose source the disks cannot show: names that only the machine knows, what software makes, servers.

No required line is passed over in silence: what cannot be judged is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.source import SOURCE_NOT_FOUND, make_optional
from guestrepair.analyzers.fstab.checks.target import is_reserved
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity
from guestrepair.system.mounts import Mounts, types
from guestrepair.system.mounts.correction import rewrite, source_text
from guestrepair.system.mounts.evidence import describe
from guestrepair.system.mounts.meaning import NEVER_OUT, Judged, State
from guestrepair.system.mounts.sources import SourceKind, is_made_by_software

SOURCE_UNKNOWN = Rule(
    name="fstab/source-unknown",
    summary="a line whose source or type cannot be judged from the disks",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    what="A required line names a server, a device that software of the guest makes when it boots, a "
    "filesystem of unknown content or a type that is not known here.",
    why="An image cannot show whether the mount will succeed; that nothing was found wrong with it says "
    "nothing.",
    repair="None.",
    example="nas:/export /srv nfs defaults 0 0",
    sources=("fstab(5)", "systemd.mount(5), FSTAB"),
)

_OF_CONTENT = {"dm-uuid-LVM-": "lvm", "dm-uuid-CRYPT-": "crypt", "md-uuid-": "md", "md-name-": "md"}
"""Links of udev that name a volume by itself, and not by the machine that it is in."""


def check_unjudged(context: Context) -> Iterator[Finding]:
    """What is neither known to be right nor to be wrong, of the lines that boot asks for."""
    for j in context.system.mounts.judged:
        if not j.spec.required or is_reserved(j):
            continue
        if j.state is State.UNKNOWN:
            yield from _unknown(context, j)
            continue
        why = _unknown_mount(context.system.mounts, j)
        if why:
            yield _note(j, why)


def _note(j: Judged, why: str) -> Finding:
    return SOURCE_UNKNOWN.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} cannot be judged: {why}",
        evidence=(Evidence(j.spec.place, f"{j.spec.source} {j.spec.type}"),),
    )


def _unknown_mount(mounts: Mounts, j: Judged) -> str:
    """Why nothing can be said of a mount; empty where something can."""
    if j.state is State.RESOLVED:
        blank = j.device is not None and not j.device.content and j.spec.option("x-systemd.makefs") is None
        return "nothing that is known is on it" if blank else ""
    if j.state is not State.NOT_A_DEVICE:
        return ""
    if types.is_network(j.spec.type):
        return "it comes over the network, or from the hypervisor"
    is_bind = j.spec.option("bind") is not None or j.spec.option("rbind") is not None
    if j.source.kind is SourceKind.NONE and types.needs_device(j.spec.type) and not is_bind:
        return f"the type {j.spec.type} is not known here"
    of_file = is_bind or types.needs_device(j.spec.type)
    if of_file and j.source.kind is SourceKind.FILE and not mounts.covered(j.source.text):
        return "another line mounts something over it that is not mounted here"
    return ""


# --- names that mean a device ------------------------------------------------------------


def _unknown(context: Context, j: Judged) -> Iterator[Finding]:
    by_hardware = j.source.kind is SourceKind.HARDWARE or j.source.tag == "ID"
    if not by_hardware and j.source.kind is not SourceKind.OTHER_DEVICE:
        return  # crypttab makes it, or opens it
    if j.spec.is_remote:
        yield _note(j, "it comes over the network")
    elif ":/dev/" in j.source.text:
        yield _note(j, "it names several devices at once")
    elif is_made_by_software(j.source):
        yield _note(j, "software of the guest makes it when it boots")
    elif by_hardware and _is_of_content(context.system.mounts, j):
        yield _note(j, "it names a volume by what the volume carries, which is not looked up")
    elif by_hardware or context.options.all_disks_attached:
        yield _hardware_name(context, j)
    else:
        yield _note(j, "only the machine that it boots on has that name")


def _is_of_content(mounts: Mounts, j: Judged) -> bool:
    """True for a link that carries the identity of a volume, where there is one of that kind and type."""
    name = j.source.text.rpartition("/")[2]
    kind = next((kind for prefix, kind in _OF_CONTENT.items() if name.startswith(prefix)), "")
    return any(d.kind == kind and types.fits(j.spec.type, d.content) for d in mounts.block.devices)


def _hardware_name(context: Context, j: Judged) -> Finding:
    certain = context.options.all_disks_attached
    meant = f"; {describe(j.proposal.device)} fits" if j.proposal is not None else ""
    return SOURCE_NOT_FOUND.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is a name that the machine gives to its "
        f"hardware, which the disks cannot confirm; on another machine boot waits for it in vain{meant}",
        severity=Severity.ERROR if certain else Severity.WARNING,
        evidence=(
            Evidence(j.spec.place, j.spec.source, "a name that the filesystem itself carries"),
            *(edits.clues(j.proposal) if j.proposal is not None else ()),
        ),
        repair=_hardware_repair(context, j),
    )


def _hardware_repair(context: Context, j: Judged) -> Repair:
    mounts, proposal = context.system.mounts, j.proposal
    certain = context.options.all_disks_attached and j.spec.target not in NEVER_OUT
    safety = Safety.SAFE if certain else Safety.REVIEW
    edit = None if proposal is None else rewrite(mounts, j, proposal.device)
    if proposal is not None and edit is not None:
        return edits.of_spec(j.spec, f"name {source_text(mounts, j, proposal.device)}", safety, edit)
    return make_optional(context.system, j, safety)
