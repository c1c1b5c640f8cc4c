"""How what a fleet has in common is said; the same words in every format."""

from __future__ import annotations

from guestrepair.report.fleet_data import Common, FleetImage, FleetReport, Unlike

_SHOWN_FACTS = 5


def claim(common: Common) -> str:
    """One sentence on what images with a rule's findings have in common."""
    named = ", ".join(map(str, common.facts[:_SHOWN_FACTS]))
    more = f" (and {len(common.facts) - _SHOWN_FACTS} more)" if len(common.facts) > _SHOWN_FACTS else ""
    of = "all" if common.both == common.affected else f"{common.both} of"
    others = common.having - common.both
    rest = "no image without it has it" if not others else f"{others} without it {_have(others)} it, too"
    return f"{of} {common.affected} images with {common.rule} have {named}{more}; {rest}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def measure(common: Common) -> str:
    """How much that says: the lift, and the chance of it without any cause."""
    chance = "less than 0.01 %" if common.chance < 0.0001 else f"{common.chance:.2%}".replace("%", " %")
    return f"{common.lift:.1f} times as often as among all {common.examined}; by chance: {chance}"


def difference(unlike: Unlike) -> str:
    """What one image has otherwise than the others."""
    has = str(unlike.fact) if unlike.fact.value else f"no {unlike.fact.name}"
    usual = str(unlike.usual) if unlike.usual.value else f"no {unlike.usual.name}"
    return f"{has}; {unlike.usual_count} of {unlike.alike} like it have {usual}"


def sums(report: FleetReport) -> str:
    """How many images there are, and how many of each kind."""
    examined = [image for image in report.images if image.state == "examined"]
    counts = (
        ("with errors", sum(image.broken for image in examined)),
        ("with less", sum(bool(image.rules) and not image.broken for image in examined)),
        ("without a finding", sum(not image.rules for image in examined)),
        ("not examined", sum(image.state == "failed" for image in report.images)),
        ("skipped", sum(image.state == "skipped" for image in report.images)),
        ("still to be done", sum(image.state == "queued" for image in report.images)),
    )
    images = f"{len(report.images)} image{'' if len(report.images) == 1 else 's'}"
    said = ", ".join(f"{count} {what}" for what, count in counts if count)
    return f"{images}: {said}" if said else images


def not_examined(report: FleetReport) -> list[tuple[FleetImage, str]]:
    """The images that could not be examined, or not whole, and why."""
    found = []
    for image in report.images:
        if image.state in {"failed", "skipped", "queued"}:
            found.append((image, image.error or {"queued": "not done yet"}.get(image.state, image.state)))
        elif image.inconclusive:
            found.append((image, f"{image.inconclusive} parts of it could not be examined: see its report"))
    return found
