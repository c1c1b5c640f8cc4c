"""Decide for every mount which device it names, and where it names none or the wrong one, which it means.

Lines are judged together: a device that one line rightly names is out of the choice for the others, and
two lines that name each other's devices are seen as the exchange that they are.
"""

from __future__ import annotations

import enum
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from guestrepair.formats import crypttab
from guestrepair.formats.fstab import is_number
from guestrepair.guest.device_names import crypt_targets
from guestrepair.guest.devices import BlockDevice
from guestrepair.system.mounts import types
from guestrepair.system.mounts.evidence import DECISIVE, Candidate, expected_names, weigh
from guestrepair.system.mounts.facts import MountFacts, is_below
from guestrepair.system.mounts.sources import Source, SourceKind, classify, find, same_filesystem
from guestrepair.system.mounts.spec import Spec

TOP_LEVEL = 5
"""The number of the subvolume that holds all others (btrfs(5), subvolid); 0 means it too."""

ROLES = frozenset({"/", "/usr", "/var", "/home", "/boot", "/boot/efi", "/efi"})
"""Mount points whose filesystem can be told by what is in it."""


NEVER_OUT = frozenset({"/", "/usr"})
"""Mount points whose line is never taken out of use and never becomes optional."""


class State(enum.Enum):
    """How a source stands to the disks."""

    RESOLVED = "it names exactly one filesystem or swap area"
    AMBIGUOUS = "it names several"
    CONTAINER = "it names something that holds a filesystem but is none"
    MISPLACED = "it names one that belongs elsewhere"
    MISSING = "it names nothing on these disks"
    UNKNOWN = "the disks cannot tell"
    NOT_A_DEVICE = "no block device is meant"


@dataclass(slots=True)
class Judged:
    """One mount and the verdict on its source.

    ``device`` is what it names (resolved or misplaced), ``proposal`` what it should name, ``rivals`` are
    several that it could, ``unused`` are filesystems of its type that no line uses and nothing speaks for.
    """

    spec: Spec
    source: Source
    state: State
    device: BlockDevice | None = None
    proposal: Candidate | None = None
    rivals: tuple[Candidate, ...] = ()
    unused: tuple[BlockDevice, ...] = ()

    @property
    def meant(self) -> BlockDevice | None:
        """The device that is, or after repair will be, mounted there."""
        return self.proposal.device if self.proposal is not None else self.device


def judge(facts: MountFacts, specs: Iterable[Spec]) -> list[Judged]:
    """Judge all mounts."""
    crypt = crypt_targets(crypttab.sources(facts.known_crypt or ()), facts.block)
    plain = {e.name for e in facts.known_crypt or () if e.is_plain}
    judged = [_resolve(facts, spec, crypt, plain) for spec in specs]
    _find_misplaced(facts, judged)
    _find_missing(facts, judged)
    return judged


# --- what a source names ---------------------------------------------------------


def _resolve(facts: MountFacts, spec: Spec, crypt: dict[str, BlockDevice], plain: set[str]) -> Judged:
    source = classify(spec.source, spec.type)
    if spec.option("bind") is not None or spec.option("rbind") is not None:
        return Judged(spec, source, State.NOT_A_DEVICE)
    if not types.needs_device(spec.type):
        return _of_no_disk(facts, spec, source, crypt)
    if source.kind is SourceKind.NONE and spec.type in types.ON_DISK:
        # No path and no tag that is known: nothing will be found, whatever was meant.
        value = spec.source.rpartition("=")[2].strip("\"'")
        return Judged(spec, replace(source, value=value, impossible=True), State.MISSING)
    if source.kind in {SourceKind.NONE, SourceKind.FILE}:
        return Judged(spec, source, State.NOT_A_DEVICE)
    if source.impossible:
        return Judged(spec, source, State.MISSING)
    if source.kind is SourceKind.OTHER_DEVICE or source.tag == "ID" or source.value in plain:
        return Judged(spec, source, State.UNKNOWN)
    found = find(source, facts.block, crypt)
    source = replace(source, matches=found)
    if source.kind is SourceKind.MAPPER and not found and facts.known_crypt is None:
        return Judged(spec, source, State.UNKNOWN)  # crypttab may make it, and cannot be read
    if source.kind is SourceKind.HARDWARE and not found:
        return _hardware(facts, spec, source)
    return _matched(spec, source, found)


def _of_no_disk(facts: MountFacts, spec: Spec, source: Source, crypt: dict[str, BlockDevice]) -> Judged:
    """A type whose source is no device, which a line may have by mistake: then its source is a disk's."""
    if source.directory and (_is_reserved(spec.target) or _lacks_layers(spec)):
        return Judged(spec, replace(source, impossible=True), State.MISSING)
    if spec.type in types.NEVER_ON_DISK and source.tag != "ID" and not source.impossible:
        found = find(source, facts.block, crypt)
        if len(found) == 1 and (found[0].is_filesystem or found[0].content == "swap"):
            return Judged(spec, replace(source, matches=found), State.RESOLVED, found[0])
        if not found and source.kind in {SourceKind.TAG, SourceKind.LINK}:
            return Judged(spec, source, State.MISSING)
    return Judged(spec, source, State.NOT_A_DEVICE)


def _is_reserved(target: str) -> bool:
    return any(is_below(target, top) for top in ("/proc", "/sys"))


def _lacks_layers(spec: Spec) -> bool:
    return spec.type == "overlay" and all(spec.option(name) is None for name in ("lowerdir", "lowerdir+"))


def _matched(spec: Spec, source: Source, found: tuple[BlockDevice, ...]) -> Judged:
    if not found:
        return Judged(spec, source, State.MISSING)
    first = found[0]
    members = all(d.content == first.content == "linux_raid_member" for d in found)  # share one UUID
    if len(found) > 1 and not members and not all(same_filesystem(first, other) for other in found):
        return Judged(spec, source, State.AMBIGUOUS)
    if source.weak and first.content and not types.fits(spec.type, first.content):
        # The name of another machine's disk: what is there now is not what is meant.
        return Judged(spec, source, State.MISSING)
    if first.content and not first.is_filesystem and first.content != "swap":
        locked = source.kind is SourceKind.MAPPER
        return Judged(spec, source, State.UNKNOWN if locked else State.CONTAINER, first)
    return Judged(spec, source, State.RESOLVED, first)


def _hardware(facts: MountFacts, spec: Spec, source: Source) -> Judged:
    name = source.text.rpartition("/")[2]
    if name.startswith("dm-name-"):
        found = find(classify(f"/dev/mapper/{name.removeprefix('dm-name-')}", spec.type), facts.block, {})
        return _matched(spec, source, found)
    fitting = [
        d
        for d in facts.block.devices
        if types.fits(spec.type, d.content) and source.partition in {0, d.part_number}
    ]
    return Judged(spec, source, State.UNKNOWN if fitting or not source.partition else State.MISSING)


# --- mounts that name each other's devices -----------------------------------------


def _find_misplaced(facts: MountFacts, judged: Sequence[Judged]) -> None:
    resolved = [j for j in judged if j.state is State.RESOLVED]
    suspects = [j for j in resolved if j.spec.stops_boot and _is_suspect(facts, j)]
    if not suspects:
        return
    # A line that nothing speaks for may have to give its device to one that has proof of it.
    doubted = {id(j) for j in suspects}
    proven = {j.device.name for j in resolved if id(j) not in doubted and j.device and _is_proven(facts, j)}
    for j in suspects:
        _propose_other(facts, j, proven)
    _exchange(resolved)


def _is_proven(facts: MountFacts, j: Judged) -> bool:
    if j.device is None:
        return False
    if j.device.content == "btrfs":
        return True
    return weigh(facts, j.spec, j.source, j.device).weight >= DECISIVE


def _is_suspect(facts: MountFacts, j: Judged) -> bool:
    device, target = j.device, j.spec.target
    if device is None:
        return False
    if target == "/":
        return facts.root is not None and not same_filesystem(device, facts.root)
    if device.content and not types.fits(j.spec.type, device.content):
        return True
    if device.content == "btrfs":
        return False
    if facts.root is not None and device.name == facts.root.name:
        return target in ROLES or j.spec.is_swap
    return target in ROLES and _belies(facts, j)


def _belies(facts: MountFacts, j: Judged) -> bool:
    """True when the filesystem can be seen, is not empty, and holds nothing that belongs there."""
    mounted = {m.source for m in facts.mounted}
    if j.device is None or j.device.name not in mounted:
        return False
    names = (facts.top_names(j.device) or frozenset()) - {"lost+found"}
    return bool(names) and not expected_names(facts, j.spec.target, names)


def _propose_other(facts: MountFacts, j: Judged, proven: set[str]) -> None:
    if j.device is None or (j.spec.target != "/" and _is_proven(facts, j)):
        return
    chosen, _ = choose(_candidates(facts, j, proven | {j.device.name}))
    if chosen is not None:
        j.state, j.proposal = State.MISPLACED, chosen


def _exchange(judged: Sequence[Judged]) -> None:
    """Give a line whose device another one takes that one's device, where its type fits."""
    taken = {j.proposal.device.name: j for j in judged if j.proposal is not None}
    for j in judged:
        if j.state is not State.RESOLVED or j.device is None or j.device.content == "btrfs":
            continue
        taker = taken.get(j.device.name)
        if taker is None or taker.device is None or taker is j:
            continue
        if types.fits(j.spec.type, taker.device.content) and taker.device.name not in taken:
            j.state, j.proposal = State.MISPLACED, Candidate(taker.device, ())


# --- mounts that name nothing --------------------------------------------------------


def _find_missing(facts: MountFacts, judged: Sequence[Judged]) -> None:
    """Give each what fits, the weightiest evidence first: what one takes is gone for the others."""
    missing = [j for j in judged if j.spec.stops_boot and _is_looked_for(j)]
    used = {d.name for j in judged if (d := j.meant) is not None and j.state is not State.CONTAINER}
    choice = _Choice(facts, missing, used)
    while (best := choice.best()) is not None:
        missing[best].proposal = choice.take(best)
    pending = [j for number, j in enumerate(missing) if number in choice.pending]
    for number in choice.pending:
        missing[number].rivals = choice.ranked[number][1]
    _find_leftovers(facts, [j for j in pending if not j.rivals], used)


def _is_looked_for(j: Judged) -> bool:
    """True where it is not told what a line means; a name that only the machine knows means one here, too."""
    by_hardware = j.source.kind is SourceKind.HARDWARE or j.source.tag == "ID"
    is_root = j.spec.target == "/" and j.source.kind is SourceKind.OTHER_DEVICE
    return j.state in {State.MISSING, State.CONTAINER} or (
        j.state is State.UNKNOWN and (by_hardware or is_root)
    )


class _Choice:
    """What each of several mounts would be given now; worked out again only where a device has gone.

    ``pending`` are the numbers of those that have none yet, ``ranked`` what :func:`choose` says of each.
    """

    def __init__(self, facts: MountFacts, missing: Sequence[Judged], used: set[str]) -> None:
        self._facts = facts
        self._missing = missing
        self._used = used
        self._heap: list[tuple[int, int, str]] = []
        self._wanted: dict[str, set[int]] = defaultdict(set)
        self.pending = dict.fromkeys(range(len(missing)))
        self.ranked: dict[int, tuple[Candidate | None, tuple[Candidate, ...]]] = {}
        for number in self.pending:
            self._rank(number)

    def _rank(self, number: int) -> None:
        candidates = _candidates(self._facts, self._missing[number], self._used)
        found = self.ranked[number] = choose(candidates)
        for candidate in candidates:
            if candidate.device.name not in self._used:
                self._wanted[candidate.device.name].add(number)
        if found[0] is not None:
            heapq.heappush(self._heap, (-found[0].weight, number, found[0].device.name))

    def best(self) -> int | None:
        """The number of the one with the weightiest choice, the first of several; None when none has one."""
        while self._heap:
            weight, number, name = self._heap[0]
            chosen = self.ranked[number][0]
            if (
                number in self.pending
                and chosen is not None
                and (-chosen.weight, chosen.device.name) == (weight, name)
            ):
                return number
            heapq.heappop(self._heap)
        return None

    def take(self, number: int) -> Candidate:
        """Its choice, which is settled now."""
        chosen = self.ranked[number][0]
        assert chosen is not None  # noqa: S101 - true of what best() says
        del self.pending[number]
        name = chosen.device.name
        if name not in self._used:
            self._used.add(name)
            for other in sorted(self._wanted.pop(name, ())):
                if other in self.pending:
                    self._rank(other)
        return chosen


def _find_leftovers(facts: MountFacts, pending: Sequence[Judged], used: set[str]) -> None:
    alike = Counter(j.spec.type for j in pending)
    for j in pending:
        if alike[j.spec.type] == 1 and j.spec.type != "auto":
            j.unused = tuple(c.device for c in _candidates(facts, j, used))


def _candidates(facts: MountFacts, j: Judged, used: set[str]) -> list[Candidate]:
    """Every device that the mount may mean, weighed; what contradicts is left out."""
    if j.spec.target == "/":
        return [weigh(facts, j.spec, j.source, facts.root)] if facts.root is not None else []
    found = [weigh(facts, j.spec, j.source, d) for d in _possible(facts, j.spec, used)]
    if any(c.weight >= DECISIVE for c in found):
        return found
    others = [d for d in facts.block.devices if _usable(facts, j.spec, d, used)]
    conclusive = [c for d in others if (c := weigh(facts, j.spec, j.source, d)).conclusive]
    return conclusive or found


def _possible(facts: MountFacts, spec: Spec, used: set[str]) -> Iterator[BlockDevice]:
    for device in facts.block.devices:
        if types.fits(spec.type, device.content) and _usable(facts, spec, device, used):
            yield device


def _usable(facts: MountFacts, spec: Spec, device: BlockDevice, used: set[str]) -> bool:
    if not (device.is_filesystem or device.content == "swap"):
        return False
    if device.content == "btrfs":
        wanted = (spec.option("subvol") or "").strip("/")
        number = spec.option("subvolid") or ""
        if wanted:
            return wanted in device.subvolumes
        if is_number(number) and int(number) > TOP_LEVEL and device.subvolume_ids:
            return int(number) in device.subvolume_ids
    is_root = facts.root is not None and device.name == facts.root.name
    return device.name not in used and not is_root


def choose(candidates: Sequence[Candidate]) -> tuple[Candidate | None, tuple[Candidate, ...]]:
    """(the one that fits, ()), by conclusive evidence or else by any; or (None, those that could)."""
    positive = [c for c in candidates if c.weight >= DECISIVE]
    conclusive = [c for c in positive if c.conclusive]
    specific = [c for c in positive if c.specific]
    for group in (conclusive, specific, positive):
        if len(group) == 1:
            return group[0], ()
    if conclusive and all(same_filesystem(conclusive[0].device, c.device) for c in conclusive):
        return conclusive[0], ()
    return None, tuple(positive)


def speaking_for(
    facts: MountFacts, j: Judged, device: BlockDevice
) -> tuple[Candidate | None, Candidate | None]:
    """What speaks for the device that a line names, and the one other device for which more does.

    That it has the place and the number that are written is left out: the question is whether other
    evidence agrees with these.
    """
    unplaced = replace(j.source, partition=0)
    possible = [d for d in _possible(facts, j.spec, set()) if d.name != device.name]
    own = weigh(facts, j.spec, unplaced, device)
    others = [c for d in possible if (c := weigh(facts, j.spec, unplaced, d)).weight >= DECISIVE]
    better = [c for c in others if c.specific and c.weight > own.weight and not own.specific]
    if own.weight >= DECISIVE and not any(c.weight >= own.weight for c in others):
        return own, None
    return None, better[0] if len(better) == 1 else None
