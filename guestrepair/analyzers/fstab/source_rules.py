"""Rules on the first field: the source is missing, a kernel's name, ambiguous, or belongs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.evidence import Candidate, describe
from guestrepair.analyzers.fstab.facts import Facts
from guestrepair.analyzers.fstab.judgement import Judged, State
from guestrepair.analyzers.fstab.names import replace_source, rewrite, source_text
from guestrepair.analyzers.fstab.sources import SourceKind
from guestrepair.analyzers.fstab.tags import mistaken_tag
from guestrepair.model import Edit, Evidence, Finding, Inconclusive, Repair, Safety, Severity

_BOOT_DOES_NOT_NEED = frozenset({"/boot", "/boot/efi", "/efi", "swap"})
DEVICE_TIMEOUT = "x-systemd.device-timeout=10s"


def check_sources(facts: Facts, judged: Sequence[Judged]) -> Iterator[Finding | Inconclusive]:
    """Everything that is wrong with a source, one finding a line at most."""
    mounted = _mounted(judged)
    for j in judged:
        if j.state is State.AMBIGUOUS:
            yield from _ambiguous(j)
        elif j.state is State.MISPLACED:
            yield _misplaced(facts, j)
        elif j.state in {State.MISSING, State.CONTAINER}:
            yield from _missing(facts, j, mounted)
        elif j.state is State.RESOLVED:
            yield from _resolved(facts, j)


def _written(j: Judged, expected: str) -> Evidence:
    return Evidence(j.spec.subject, j.spec.source, expected)


def _line_repair(j: Judged, summary: str, safety: Safety, *changes: Edit) -> Repair:
    return edits.repair(j.spec.file, j.spec.before, summary, safety, *changes)


# --- it names something ---------------------------------------------------------


def _resolved(facts: Facts, j: Judged) -> Iterator[Finding]:
    mistaken = mistaken_tag(facts, j)
    if mistaken is not None and j.spec.required:
        yield _wrong_tag(j, mistaken.text, mistaken.reason)
    elif j.source.kind is SourceKind.KERNEL and j.device is not None:
        yield from _device_name(facts, j)


def _device_name(facts: Facts, j: Judged) -> Iterator[Finding]:
    if j.device is None:
        return
    edit = rewrite(facts, j, j.device)
    text = source_text(facts, j, j.device)
    sure = len(facts.block.disks) == 1
    if edit is None:
        repair = edits.manual("give the filesystem a UUID or label, and name it by that")
    else:
        safety = Safety.SAFE if sure and j.spec.required else Safety.REVIEW
        repair = _line_repair(j, f"name it {text}", safety, edit)
    yield Finding(
        rules.DEVICE_NAME.name,
        Severity.WARNING if j.spec.required else Severity.NOTE,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is the kernel's name, which changes with the "
        f"machine and the order of its disks; it means {describe(j.device)}",
        (_written(j, text or "a name that the filesystem itself carries"),),
        repair,
    )


def _ambiguous(j: Judged) -> Iterator[Finding]:
    if not j.spec.required:
        return
    names = ", ".join(d.name for d in j.source.matches)
    yield Finding(
        rules.AMBIGUOUS_SOURCE.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} names several filesystems: {names}; which one "
        "is mounted is left to chance",
        tuple(Evidence(d.name, describe(d), "one device only") for d in j.source.matches),
        edits.manual(
            "detach the copy, or give one of them a new UUID (tune2fs -U random, xfs_admin -U generate)"
        ),
    )


def _misplaced(facts: Facts, j: Judged) -> Finding:
    device, proposal = j.device, j.proposal
    assert device is not None  # noqa: S101 - true of every misplaced source
    assert proposal is not None  # noqa: S101
    edit = rewrite(facts, j, proposal.device)
    text = source_text(facts, j, proposal.device)
    is_root = j.spec.target == "/"
    rule = rules.ROOT_MISMATCH if is_root else rules.WRONG_SOURCE
    why = "the system itself lies on" if is_root else "the evidence is for"
    return Finding(
        rule.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is {describe(device)}, but {why} "
        f"{describe(proposal.device)}",
        (_written(j, text or proposal.device.name), *proposal.evidence),
        None if edit is None else _line_repair(j, f"name {text}", Safety.SAFE, edit),
    )


# --- it names nothing -----------------------------------------------------------


def _missing(facts: Facts, j: Judged, mounted: Mapping[str, Judged]) -> Iterator[Finding | Inconclusive]:
    if not j.spec.required:
        if j.state is State.MISSING:
            yield _optional(j)
        return
    mistaken = mistaken_tag(facts, j)
    if mistaken is not None:
        yield _wrong_tag(j, mistaken.text, mistaken.reason)
    elif j.source.kind is not SourceKind.MAPPER or j.spec.target == "/":
        yield from _not_found(facts, j, mounted.get(j.spec.target))


def _optional(j: Judged) -> Finding:
    return Finding(
        rules.SOURCE_NOT_FOUND_OPTIONAL.name,
        Severity.NOTE,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is on none of the disks given; boot does not "
        "wait for it",
        (_written(j, "on one of the disks"),),
    )


def _wrong_tag(j: Judged, text: str, reason: str) -> Finding:
    return Finding(
        rules.WRONG_TAG.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name}: {reason}; it must be {text}",
        (_written(j, text),),
        _line_repair(j, f"write {text}", Safety.SAFE, replace_source(j, text)),
    )


def _not_found(facts: Facts, j: Judged, other: Judged | None) -> Iterator[Finding | Inconclusive]:
    if other is not None and j.spec.entry is not None and j.spec.target not in edits.NEVER_OUT:
        yield _superseded(j, other)
    elif j.proposal is not None:
        yield _explained(facts, j, j.proposal)
    elif j.rivals:
        yield _several(facts, j)
    elif facts.locked and j.source.kind is not SourceKind.KERNEL:
        names = ", ".join(f"{d.name} ({d.content})" for d in facts.locked)
        yield Inconclusive(
            "fstab", f"{j.spec.subject}: {j.spec.source} may be in {names}, which could not be opened"
        )
    else:
        yield _absent(facts, j)


def _mounted(judged: Sequence[Judged]) -> Mapping[str, Judged]:
    """The first required line of each mount point whose source is there."""
    found: dict[str, Judged] = {}
    for j in judged:
        is_line = j.spec.entry is not None and j.spec.target.startswith("/")
        if is_line and j.state is State.RESOLVED and j.spec.required:
            found.setdefault(j.spec.target, j)
    return found


def _superseded(j: Judged, other: Judged) -> Finding:
    assert j.spec.entry is not None  # noqa: S101 - the caller looked
    return Finding(
        rules.SOURCE_NOT_FOUND.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is on none of the disks, and line "
        f"{other.spec.number} mounts {other.spec.source} there",
        (_written(j, "on one of the disks"), Evidence(other.spec.subject, other.spec.source, "the one line")),
        _line_repair(j, "comment the line out", Safety.SAFE, edits.comment_out(j.spec.entry.line)),
    )


def _explained(facts: Facts, j: Judged, proposal: Candidate) -> Finding:
    edit = rewrite(facts, j, proposal.device)
    text = source_text(facts, j, proposal.device)
    named = j.source.kind is SourceKind.KERNEL
    rule = rules.DEVICE_NAME if named else rules.SOURCE_NOT_FOUND
    return Finding(
        rule.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is on none of the disks; "
        f"{describe(proposal.device)} fits",
        (_written(j, text or proposal.device.name), *proposal.evidence),
        edits.manual(f"name {proposal.device.name}, which carries neither UUID nor label, by hand")
        if edit is None
        else _line_repair(j, f"name {text}", Safety.SAFE, edit),
    )


def _several(facts: Facts, j: Judged) -> Finding:
    clues = [
        Evidence(f"candidate {c.device.name}: {e.source}", e.observed, e.expected)
        for c in j.rivals
        for e in c.evidence
    ]
    names = " or ".join(describe(c.device) for c in j.rivals)
    known = j.spec.name in _BOOT_DOES_NOT_NEED
    return Finding(
        rules.SOURCE_NOT_FOUND.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is on none of the disks; it may mean {names}",
        (_written(j, "on one of the disks"), *clues),
        _make_optional(facts, j, Safety.SAFE if known else Safety.REVIEW),
    )


def _absent(facts: Facts, j: Judged) -> Finding:
    certain = facts.all_disks_attached
    where = "on none of the disks" if certain else "not on the disks given"
    hint = "" if certain else "; give the guest's other disks with --disk, or --all-disks-attached"
    if j.unused:
        hint += f"; used by no line: {' or '.join(describe(d) for d in j.unused)}"
    return Finding(
        rules.SOURCE_NOT_FOUND.name,
        Severity.ERROR if certain or j.spec.target == "/" else Severity.WARNING,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is {where}{hint}",
        (
            _written(j, "on one of the disks"),
            *(
                Evidence(d.name, describe(d), f"evidence for {j.spec.name}, of which there is none")
                for d in j.unused
            ),
        ),
        _absent_repair(facts, j, certain=certain),
    )


def _absent_repair(facts: Facts, j: Judged, *, certain: bool) -> Repair:
    # That nothing else is left is no proof; where every disk is here, boot must not wait for a guess.
    if len(j.unused) == 1 and not certain:
        edit = rewrite(facts, j, j.unused[0])
        if edit is not None:
            text = source_text(facts, j, j.unused[0])
            return _line_repair(j, f"name {text}, the only one of its type left over", Safety.REVIEW, edit)
    return _make_optional(facts, j, Safety.SAFE if certain else Safety.REVIEW)


def _make_optional(facts: Facts, j: Judged, safety: Safety) -> Repair:
    """Let boot go on without it, except where the system is not itself without it."""
    if j.spec.target in edits.NEEDED or j.spec.entry is None:
        return edits.manual(f"write the right source for {j.spec.name} by hand: the system needs it")
    options = ["nofail"]
    if facts.has_systemd and j.spec.option("x-systemd.device-timeout") is None:
        options.append(DEVICE_TIMEOUT)
    edit = edits.add_options(j.spec.entry, *options)
    return _line_repair(j, f"boot without it: add {','.join(options)}", safety, edit)
