"""The table report, for people: what is wrong, with the evidence and the repair, worst first."""

from __future__ import annotations

import itertools
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from guestrepair.doctor.model import HostReport
from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.model import EditFile, Finding, Safety, Status, WriteFile
from guestrepair.repair.plan import Plan
from guestrepair.report import boot, differences, fleet, history, host
from guestrepair.report.cause import cause_lines
from guestrepair.report.colour import painted
from guestrepair.report.data import (
    Boot,
    DiffReport,
    ImageReport,
    Inspection,
    Repairs,
    Report,
    keeps_from_fitting,
    summary,
)
from guestrepair.report.diff import describe, target
from guestrepair.report.escape import printable, shell_words
from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format
from guestrepair.report.headline import headline
from guestrepair.report.masking import shown_diff
from guestrepair.report.suppressed import TITLE, suppressed_lines

_MAX_FOLDED = 5
_MAX_EVIDENCE = 8
_MAX_ALIKE = 5
_MAX_SAID = 6


def width() -> int:
    """Columns to fill: the terminal's, 100 in a pipe, never above 140 (longer lines read badly)."""
    return max(60, min(140, shutil.get_terminal_size((100, 24)).columns))


def render(report: Report) -> str:
    """The scan or repair report of all images."""
    blocks = [render_image(image) for image in report.images]
    if len(report.images) > 1:
        blocks.append(_summary(report.images))
    return "\n".join(blocks)


def render_image(image: ImageReport) -> str:
    """One image: who it is, its findings, what could not be looked at, the outcome."""
    open_ = [finding for finding in image.findings if finding.suppressed is None]
    lines = [*_heading(image), *_headline(image), *_platforms(image)]
    lines += [*_findings(open_), *_known(image), *_inconclusive(image)]
    lines += [*_left(image), *_errors(image)]
    if image.plan is not None:
        lines += ["", "Planned changes:", "", render_plan(image.plan).rstrip("\n")]
    lines += _outcome(image)
    lines += _verdict(image)
    return "\n".join(lines) + "\n"


def _heading(image: ImageReport) -> Iterator[str]:
    facts = [image.format, human_bytes(image.size_bytes)] if image.format else []
    if image.read_bytes is not None and facts:
        facts.append(f"{human_bytes(image.read_bytes)} of {human_bytes(image.size_bytes)} read")
    yield f"{printable(image.path)}" + (f" ({', '.join(facts)})" if facts else "")
    if image.os is not None:
        system = image.os
        product = system.product or system.distro or "unknown system"
        extra = [word for word in (system.arch, system.hostname) if word]
        yield printable(f"  {product}" + (f" ({', '.join(extra)})" if extra else ""))
    if image.unconfirmed:
        yield f"  {image.unconfirmed}"
    for warning in image.warnings:
        yield printable(f"  warning: {warning}")
    for where, why in image.unmounted:
        yield printable(f"  not mounted: {where}: {why}")


def _headline(image: ImageReport) -> Iterator[str]:
    yield from _wrapped(headline(image), "  ", hang="  ")


def _platforms(image: ImageReport) -> Iterator[str]:
    """A line for each platform that was asked for: whether the guest fits it, and what keeps it from that."""
    for each in image.platforms:
        against = [f for f in image.findings if keeps_from_fitting(f, each.name)]
        rules = dict.fromkeys(f.rule for f in against)
        words = {True: "fits", False: "does not fit", None: "cannot be judged"}[each.fits]
        yield from _wrapped(
            f"{each.name}: {words}" + (f" ({', '.join(rules)})" if rules else ""), "  ", hang="  "
        )


def render_findings(findings: Sequence[Finding]) -> str:
    """Some findings by themselves, each with its evidence and repair."""
    return "\n".join(_findings(findings)) + "\n"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for _, same in itertools.groupby(findings, key=lambda f: (f.rule, f.severity, f.status)):
        group = list(same)
        if len(group) > _MAX_ALIKE:
            yield from _many_alike(group)
        else:
            for finding in group:
                yield from _one(finding)


def _many_alike(group: Sequence[Finding]) -> Iterator[str]:
    """Many findings of one rule: a line each, without the evidence (which the JSON report has)."""
    first = group[0]
    yield ""
    yield printable(f"{first.severity.value.upper():7} {first.rule}  {len(group)} times{_state(first)}")
    for finding in group:
        yield from _wrapped(f"- {finding.message}", "        ", hang="  ")
    if first.repair is not None and first.status is not Status.REPAIRED:
        yield from _wrapped(
            f"repair ({first.repair.safety}): {first.repair.summary}; the others alike", "        "
        )


def _state(finding: Finding) -> str:
    return "" if finding.status is Status.OPEN else f" [{finding.status.value}]"


def _one(finding: Finding) -> Iterator[str]:
    yield ""
    yield printable(f"{finding.severity.value.upper():7} {finding.rule}  {finding.subject}{_state(finding)}")
    yield from _wrapped(finding.message, "        ")
    for evidence in finding.evidence[:_MAX_EVIDENCE]:
        expected = f" (expected: {evidence.expected})" if evidence.expected else ""
        yield from _wrapped(f"- {evidence.source}: {evidence.observed}{expected}", "        ", hang="  ")
    if finding.folded:
        shown = ", ".join(finding.folded[:_MAX_FOLDED])
        more = f" and {len(finding.folded) - _MAX_FOLDED} more" if len(finding.folded) > _MAX_FOLDED else ""
        yield from _wrapped(f"same cause: {shown}{more}", "        ")
    if finding.cause is not None:
        for line in cause_lines(finding.cause):
            yield from _wrapped(line, "        ", hang="  ")
    if finding.repair is not None and finding.status is not Status.REPAIRED:
        yield from _wrapped(f"repair ({finding.repair.safety}): {finding.repair.summary}", "        ")


def _wrapped(text: str, indent: str, *, hang: str = "") -> list[str]:
    return textwrap.wrap(
        printable(text),
        width(),
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _known(image: ImageReport) -> Iterator[str]:
    lines = list(suppressed_lines(image.findings))
    if lines:
        yield from ("", TITLE)
    for line in lines:
        yield from _wrapped(line, "  ", hang="  ")


def _inconclusive(image: ImageReport) -> Iterator[str]:
    if image.inconclusive:
        yield ""
        yield "Could not be examined (this is not the same as healthy):"
    for item in image.inconclusive:
        yield from _wrapped(f"- {item.analyzer}: {item.reason}", "  ", hang="  ")


def _left(image: ImageReport) -> Iterator[str]:
    if image.left:
        yield ""
        yield "Not repaired:"
    groups: dict[tuple[str, str], list[str]] = {}
    for finding, reason in image.left:
        groups.setdefault((finding.rule, reason), []).append(finding.subject)
    for (rule, reason), subjects in groups.items():
        named = ", ".join(subjects[:3])
        if len(subjects) > 3:
            named += f" and {len(subjects) - 3} more"
        yield from _wrapped(f"- {rule} {named}: {reason}", "  ", hang="  ")


def _errors(image: ImageReport) -> Iterator[str]:
    for error in image.errors:
        yield ""
        yield from _wrapped(f"{error.stage}: {error.message}", "  ", hang="  ")
        if error.hint:
            yield from _wrapped(error.hint, "    ")


def render_outcome(image: ImageReport) -> str:
    """What a repair or a change by hand did to the image, and how to take it back."""
    return "\n".join(line for line in _outcome(image) if line) + "\n"


def _outcome(image: ImageReport) -> Iterator[str]:
    if image.outcome is None:
        return
    yield ""
    if not image.outcome.committed:
        yield "The image was not changed."
        return
    yield f"Written to the image: {human_bytes(image.outcome.changed_bytes)}, verified."
    by_source = Counter(source for _, source in image.outcome.sources)
    for source, count in by_source.items():
        yield printable(f"  {count} packaged file{'s' if count != 1 else ''} from {source}")
    for program, text in image.outcome.said:
        lines = [line for line in text.splitlines() if line.strip()]
        yield from _wrapped(f"{program} said: {' | '.join(lines[-_MAX_SAID:]) or 'nothing'}", "  ", hang="  ")
    for backup in image.outcome.backups:
        yield printable(f"  previous content in the guest: {backup}")
    if image.outcome.undo:
        state = ("--state-dir", image.outcome.state_dir) if image.outcome.state_dir else ()
        yield f"  undo: {_command('undo', *state, *image.again.undo, image=image.path)}"


def _verdict(image: ImageReport) -> Iterator[str]:
    yield ""
    counts = summary([image])
    if image.errors and not image.findings:
        yield "Result: not examined."
        return
    words = [
        f"{counts[s]} {s}{'s' if counts[s] != 1 else ''}" for s in ("error", "warning", "note") if counts[s]
    ]
    if counts["repaired"]:
        words.append(f"{counts['repaired']} repaired")
    if counts["suppressed"]:
        words.append(f"{counts['suppressed']} known")
    if counts["inconclusive"]:
        words.append(f"{counts['inconclusive']} not examined")
    repairable = [
        f
        for f in image.findings
        if f.status is Status.OPEN
        and f.suppressed is None
        and f.repair is not None
        and f.repair.safety is not Safety.MANUAL
    ]
    yield "Result: " + (", ".join(words) if words else "nothing found.")
    if repairable and image.outcome is None:
        # Once the plan is seen, the next step is the repair itself.
        dry_run = () if image.plan is not None else ("--dry-run",)
        yield f"Next: {_command('repair', *dry_run, *image.again.repair, image=image.path)}"
    if image.for_review and not image.errors:
        what = "1 repair is" if image.for_review == 1 else f"{image.for_review} repairs are"
        plan = _command("repair", "--dry-run", "--all", *image.again.repair, image=image.path)
        yield f"{what} marked review and left aside; planned, too, by: {plan}"


def _command(*words: str, image: str) -> str:
    """A command on an image, for the user to copy."""
    end = ("--",) if image.startswith("-") else ()
    return shell_words(("guestrepair", *words, *end, image))


def _summary(images: Sequence[ImageReport]) -> str:
    rows = []
    for image in images:
        counts = summary([image])
        rows.append([printable(image.path), *(counts[k] for k in ("error", "warning", "note", "repaired"))])
    return tabulate(rows, ["image", "errors", "warnings", "notes", "repaired"], disable_numparse=True) + "\n"


# --- dry run ----------------------------------------------------------------------


def render_plan(plan: Plan) -> str:
    """The planned changes: a unified diff of every text change, and a table of the others."""
    blocks: list[str] = []
    rows: list[list[str]] = []
    for step in plan.steps:
        change = step.change
        if isinstance(change, EditFile | WriteFile):
            blocks.append(shown_diff(change))
        else:
            source = step.source.source if step.source is not None else ""
            rows.append([change.kind, target(change), describe(change), source])
    text = "\n".join(printable(block, keep_newlines=True) for block in blocks)
    if rows:
        shown = [[printable(cell) for cell in row] for row in rows]
        headers = ["change", "path", "what", "from"]
        text += ("\n" if text else "") + tabulate(shown, headers, disable_numparse=True) + "\n"
    return text or "Nothing to repair.\n"


# --- inspect ------------------------------------------------------------------------


def render_inspection(image: ImageReport) -> str:
    """Partition tables, what is on them, what is mounted where, and who the system is."""
    lines = list(_heading(image))
    block = image.block or BlockDevices()
    mounted = {m.source: m.target for m in image.mounts}
    for disk in block.disks:
        table = disk.table or "no partition table"
        lines += ["", printable(f"{disk.name}  {human_bytes(disk.size_bytes)}  {table}  {disk.host_path}")]
        rows = [_device_row(d, mounted) for d in block.devices if d.disk == disk.name]
        headers = ["device", "start", "size", "type", "content", "label", "UUID", "mounted on"]
        lines.append(tabulate(rows, headers, disable_numparse=True))
    for name, reason in block.unread:
        lines.append(printable(f"could not be read: {name}: {reason}"))
    if image.inventory is not None:
        from guestrepair.report.bom.table import inventory_lines

        lines += inventory_lines(image.inventory)
    lines += _inconclusive(image)
    lines += _errors(image)
    return "\n".join(lines) + "\n"


def _device_row(device: BlockDevice, mounted: dict[str, str]) -> Iterable[str]:
    cells = (
        device.name,
        human_bytes(device.start_bytes) if device.part_number else "",
        human_bytes(device.size_bytes),
        device.partlabel or _type_name(device.part_type),
        device.content or "-",
        device.label,
        device.uuid,
        mounted.get(device.name, ""),
    )
    return [printable(cell) for cell in cells]


_TYPE_NAMES = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux filesystem",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "0x83": "Linux",
    "0x82": "Linux swap",
    "0x8e": "Linux LVM",
    "0xef": "EFI system",
}


def _type_name(part_type: str) -> str:
    return _TYPE_NAMES.get(part_type, part_type)


def human_bytes(size: int) -> str:
    """A size with a binary unit, as lsblk(8) writes it."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


FORMAT = Format(
    name="table",
    renderers={
        Report: render,
        Inspection: lambda inspection: render_inspection(inspection.image),
        Boot: boot.render,
        DiffReport: differences.render,
        Repairs: history.render,
        HostReport: host.render,
        FleetReport: fleet.render,
    },
    for_programs=False,
    paint=painted,
)
