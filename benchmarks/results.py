"""The figures as a table, as JSON, and as the page ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tabulate import tabulate

from benchmarks.growth import Point
from benchmarks.measure import Sample, median_seconds, ratio

FLOOR = "floor: launch, mount, close"


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio of two commands in one run, and what it should be at most."""

    what: str
    one: str
    other: str
    most: float


TARGETS = (
    Target("scan ÷ floor", "scan", FLOOR, 1.0),
    Target("scan, stock appliance ÷ floor", "scan --stock-appliance", FLOOR, 1.4),
    Target("scan ÷ guestfish -i", "scan", "guestfish -i", 0.41),
    Target("scan, stock appliance ÷ guestfish -i", "scan --stock-appliance", "guestfish -i", 0.60),
    Target("scan ÷ virt-inspector", "scan", "virt-inspector", 0.36),
    Target("scan, stock appliance ÷ virt-inspector", "scan --stock-appliance", "virt-inspector", 0.50),
    Target("scan --digests all ÷ (guestfish -i, checksums-out)", "scan --digests all",
           "guestfish -i, checksums-out", 0.70),
    Target("repair ÷ scan, three cases", "repair, three cases", "scan, three cases", 1.6),
)  # fmt: skip
PEAK_MIB, PEAK_LARGE_MIB, VERSION_SECONDS = 150, 300, 0.25


@dataclass(slots=True)
class Results:
    """All that one run measured."""

    acceleration: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    version_seconds: float = 0.0
    breakdowns: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    growth: list[Point] = field(default_factory=list)


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    cpu = next(
        (li.split(":")[1].strip() for li in _lines("/proc/cpuinfo") if li.startswith("model name")), "unknown"
    )
    memory = next((int(li.split()[1]) for li in _lines("/proc/meminfo") if li.startswith("MemTotal:")), 0)
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{memory / (1 << 20):.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "qemu": _first_line("qemu-system-x86_64", "--version"),
        "libguestfs": _first_line("guestfish", "--version"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def times(results: Results) -> str:
    """A row a command: seconds, and the peak of its own memory."""
    floor = results.samples[FLOOR]
    rows = [
        (
            name,
            f"{median_seconds(samples):.1f}",
            f"{min(s.seconds for s in samples):.1f} to {max(s.seconds for s in samples):.1f}",
            f"{ratio(samples, floor):.2f}",
            f"{statistics.median(s.peak_kib for s in samples) / 1024:.0f}",
        )
        for name, samples in results.samples.items()
    ]
    headers = ["command", "median s", "from to s", "÷ floor", "peak MiB"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def targets(results: Results) -> str:
    """A row a target: what was wanted, and what came out."""
    rows = []
    for target in TARGETS:
        if target.one in results.samples and target.other in results.samples:
            got = ratio(results.samples[target.one], results.samples[target.other])
            rows.append((target.what, f"≤ {target.most:.2f}", f"{got:.2f}", _verdict(got <= target.most)))
    own = [s for name, s in results.samples.items() if name.startswith(("scan", "inspect", "repair"))]
    rows.append(_memory("peak memory of our process", PEAK_MIB, [s.peak_kib for each in own for s in each]))
    large = [p.peak_kib for p in results.growth if p.series == "packaged files"]
    if large:
        rows.append(_memory("the same at 300,000 packaged files", PEAK_LARGE_MIB, large))
    seconds = results.version_seconds
    met = _verdict(seconds <= VERSION_SECONDS)
    rows.append(("guestrepair --version", f"≤ {VERSION_SECONDS} s", f"{seconds:.2f} s", met))
    return tabulate(rows, ["target", "wanted", "got", ""], tablefmt="github", disable_numparse=True)


def _memory(what: str, most_mib: int, peaks_kib: Sequence[int]) -> tuple[str, str, str, str]:
    peak = max(peaks_kib, default=0) / 1024
    return what, f"≤ {most_mib} MiB", f"{peak:.0f} MiB", _verdict(peak <= most_mib)


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def stages(breakdowns: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """Where the time of each scan goes, a column a scan."""
    names = list(dict.fromkeys(stage for laps in breakdowns.values() for stage, _ in laps))
    rows = [
        (stage, *(f"{sum(s for n, s in laps if n == stage):.2f}" for laps in breakdowns.values()))
        for stage in names
    ]
    rows.append(("in all", *(f"{sum(s for _, s in laps):.2f}" for laps in breakdowns.values())))
    return tabulate(rows, ["seconds", *breakdowns], tablefmt="github", disable_numparse=True)


def growth(points: Sequence[Point]) -> str:
    """A row a guest."""
    rows = [(p.series, p.size, f"{p.seconds:.1f}", f"{p.peak_kib / 1024:.0f}", p.calls) for p in points]
    headers = ["series", "size", "scan s", "peak MiB", "calls to the appliance"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def page(results: Results, notes: str = "") -> str:
    """The whole page in Markdown; ``notes`` are a person's words on it."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine().items())
    calls = ", ".join(f"{name}: {count}" for name, count in results.calls.items())
    parts = [
        "# Results of the last full run of `make bench`",
        f"{facts}\n- acceleration: {results.acceleration}, for all commands alike",
        "Commands run in turn: medians, and medians of the ratios turn by turn.",
        "## Targets",
        targets(results),
        *([notes] if notes else []),
        "## Times",
        times(results),
        "## Where the time goes",
        stages(results.breakdowns),
        f"Calls to the appliance: {calls}.",
    ]
    if results.growth:
        parts += ["## Growth", growth(results.growth)]
    return "\n\n".join(parts) + "\n"


def as_json(results: Results) -> str:
    """Everything, for a program."""
    document = {"machine": machine(), **dataclasses.asdict(results)}
    return json.dumps(document, indent=2) + "\n"
