"""What a run over many images found, as plain data that every format renders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guestrepair.model import Severity
from guestrepair.report.data import Report


@dataclass(frozen=True, slots=True)
class Fact:
    """What images have in common, or have not: its kind ("package", "kernel", …), name and value."""

    kind: str
    name: str
    value: str

    def __str__(self) -> str:
        if self.kind == "package":
            return f"{self.name} {self.value}" if self.value else f"without {self.name}"
        return f"{self.name} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetImage:
    """One image of a fleet.

    ``state`` is "examined" (in part, where ``inconclusive`` is not 0), "failed" (it could not be), "skipped"
    or "queued". ``rules`` counts the open findings by rule, ``severities`` those rules' worst
    severity. ``same_as`` names the image with the same content that was examined in its place. ``record`` is
    the path of its report, "" where there is none. What a guest wrote is in several fields, not escaped.
    """

    name: str
    state: str
    exit_status: int | None = None
    verdict: str = ""
    error: str = ""
    record: str = ""
    same_as: str = ""
    product: str = ""
    kernel: str = ""
    rules: Mapping[str, int] = field(default_factory=dict)
    severities: Mapping[str, str] = field(default_factory=dict)
    inconclusive: int = 0
    facts: frozenset[Fact] = frozenset()

    @property
    def broken(self) -> bool:
        """Whether an error was found in it."""
        return "error" in self.severities.values()


def worst_of(rule: str, images: Iterable[FleetImage]) -> Severity:
    """The worst severity that a rule's findings have in these images, all of which have some."""
    return min((Severity(image.severities[rule]) for image in images), key=lambda severity: severity.rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What images with a finding of one rule have in common, and others have not.

    ``facts`` are those that the very same images have, the likeliest first. Of ``examined`` images ``having``
    have them and ``affected`` have the finding, ``both`` have both. ``lift`` is how many times as often the
    finding is among those that have them as among all. ``chance`` is how likely so many of both are, or
    more, if the two had nothing to do with each other (Fisher's exact test, one-sided), times the number
    of things that were compared.
    """

    rule: str
    facts: tuple[Fact, ...]
    examined: int
    having: int
    affected: int
    both: int
    lift: float
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    """What one image has otherwise than most that are like it (of one distribution and version).

    ``usual`` is what ``usual_count`` of ``alike`` images have.
    """

    image: str
    fact: Fact
    usual: Fact
    usual_count: int
    alike: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """All images of one or more runs, what the broken ones have in common, and what is unlike the rest.

    ``reports`` are those of the images that were examined, as far as they can be read back.
    """

    images: Sequence[FleetImage]
    common: Sequence[Common] = ()
    unlike: Sequence[Unlike] = ()
    reports: Report = field(default_factory=Report)

    @property
    def rules(self) -> dict[str, list[FleetImage]]:
        """The images with an open finding of each rule; those that most images have first, errors ahead."""
        found: dict[str, list[FleetImage]] = {}
        for image in self.images:
            for rule in image.rules:
                found.setdefault(rule, []).append(image)

        def rank(rule: str) -> tuple[int, int, str]:
            return worst_of(rule, found[rule]).rank, -len(found[rule]), rule

        return {rule: found[rule] for rule in sorted(found, key=rank)}
