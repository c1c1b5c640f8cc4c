"""The results as a table in Markdown and as JSON, with the machine that they were measured on."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from benchmarks.clones import BY_THEMSELVES, FLEET, FLEET_HOST_ONLY, ONE_BY_ONE
from benchmarks.measure import Result
from benchmarks.subjects import SLEUTH_KIT, TIMELINE
from guestrepair.appliance.acceleration import acceleration

_MEBIBYTE = 1 << 20
_TIMING = re.compile(r"^ *([\d.]+) s  (.+)$", re.MULTILINE)
_CALLS = re.compile(r"^ *(\d+) +calls to the appliance$", re.MULTILINE)
_SCAN, _STOCK, _FLOOR = "scan", "scan --stock-appliance", "floor: launch, mount, close"
_RATIOS: tuple[tuple[str, str, str, float], ...] = (
    ("scan ÷ floor", _SCAN, _FLOOR, 1.0),
    ("scan ÷ floor, stock appliance", _STOCK, _FLOOR, 1.4),
    ("scan ÷ guestfish -i", _SCAN, "guestfish -i", 0.41),
    ("scan ÷ guestfish -i, stock appliance", _STOCK, "guestfish -i", 0.60),
    ("scan ÷ virt-inspector", _SCAN, "virt-inspector", 0.36),
    ("scan ÷ virt-inspector, stock appliance", _STOCK, "virt-inspector", 0.50),
    (
        "scan --digests all ÷ checksums-out",
        "scan --digests all",
        "guestfish -i, checksums-out md5 /usr",
        0.70,
    ),
    ("repair ÷ scan, of the broken image", "repair of the three cases", "scan of the broken image", 1.6),
)

_OF_DISKS: tuple[tuple[str, str, str, float], ...] = (
    ("scan ÷ floor, healthy", "scan", "floor", 0.45),
    ("scan ÷ floor, broken", "scan of the broken image", "floor", 0.80),
    ("scan --host-only ÷ floor", "scan --host-only", "floor", 0.30),
    ("scan --digests all ÷ checksums-out", "scan --digests all", "guestfish -i, checksums-out md5 /", 0.25),
    ("repair ÷ scan, of the broken image", "repair of the three cases", "scan of the broken image", 1.6),
)

_VERDICT = ("", "measured", "target", "")


@dataclass(slots=True)
class Report:
    """Everything measured in one run of the benchmarks."""

    results: list[Result] = field(default_factory=list)
    disks: list[Result] = field(default_factory=list)
    growth: list[Result] = field(default_factory=list)
    history: list[Result] = field(default_factory=list)
    fleet: list[Result] = field(default_factory=list)
    clones: int = 0
    """How many the fleets were of."""
    machine: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The results in JSON's types; sizes in bytes, times in seconds."""
        return {
            "schema": "guestrepair.benchmark/1",
            "machine": dict(self.machine),
            "ratios": [{"name": n, "value": round(v, 3), "target": t} for n, v, t in ratios(self.results)],
            "results": [_result_json(result) for result in self.results],
            "disks": [_result_json(result) for result in self.disks],
            "growth": [_result_json(result) for result in self.growth],
            "timeline": [_result_json(result) for result in self.history],
            "fleet": [_result_json(result) for result in self.fleet],
        }

    def as_markdown(self) -> str:
        """The page that is kept as RESULTS.md."""
        parts = ["# Benchmarks: the last run", _machine_lines(self.machine)]
        if self.results:
            found = ratios(self.results)
            limits = [(*_limit("peak memory of our process (MiB)", self.results, 150),)]
            verdicts = [(n, f"{v:.2f}", f"≤ {t}", "met" if v <= t else "missed") for n, v, t in found]
            parts += ["## Targets", _table(_VERDICT, [*verdicts, *limits])]
            parts += ["## Side by side", _measurements(self.results)]
            parts += ["## Where a scan's time goes (seconds, one run)", _stages(self.results)]
        if self.disks:
            parts += ["## Other kinds of disks", _table(_VERDICT, _of_disks(self.disks))]
            parts += [_measurements(self.disks)]
        if self.growth:
            parts += ["## Growth: scan --digests all of guests of other sizes", _measurements(self.growth)]
            parts += ["### Stages (seconds, one run)", _stages(self.growth)]
        if self.history:
            parts += [
                "## A timeline of 300,000 files and 1 GB of logs",
                _table(_VERDICT, _of_history(self.history)),
            ]
            parts += [_measurements(self.history)]
        if self.fleet:
            parts += [f"## A fleet of {self.clones} clones of the server"]
            parts += [_table(_VERDICT, _of_fleet(self.fleet, self.clones)), _measurements(self.fleet)]
        return "\n\n".join(parts) + "\n"


def ratios(results: Sequence[Result]) -> list[tuple[str, float, float]]:
    """Name, value and target of each ratio whose two sides were measured."""
    seconds = {result.name: result.seconds for result in results if result.runs}
    found = [(n, seconds[a] / seconds[b], t) for n, a, b, t in _RATIOS if a in seconds and b in seconds]
    if "guestrepair --version" in seconds:
        found.append(("guestrepair --version (s)", seconds["guestrepair --version"], 0.25))
    return found


def _of_disks(results: Sequence[Result]) -> list[tuple[str, str, str, str]]:
    """The ratios of each kind of disk, of what was measured of it."""
    seconds = {result.name: result.seconds for result in results if result.runs}
    rows = []
    for disk in dict.fromkeys(name.partition(": ")[0] for name in seconds):
        for name, ours, theirs, target in _OF_DISKS:
            one, other = seconds.get(f"{disk}: {ours}"), seconds.get(f"{disk}: {theirs}")
            if one is not None and other is not None:
                ratio = one / other
                verdict = "met" if ratio <= target else "missed"
                rows.append((f"{disk}: {name}", f"{ratio:.2f}", f"≤ {target}", verdict))
    return rows


def _of_history(results: Sequence[Result]) -> list[tuple[str, str, str, str]]:
    """What a whole timeline takes beside one of files alone, and its memory."""
    found = {result.name: result for result in results if result.runs}
    ours, theirs = found.get(TIMELINE), found.get(SLEUTH_KIT)
    if ours is None or theirs is None:
        return []
    ratio, peak = ours.seconds / theirs.seconds, ours.own_peak_bytes / _MEBIBYTE
    return [
        ("timeline ÷ (fls -r -m, mactime)", f"{ratio:.2f}", "≤ 2.0", "met" if ratio <= 2 else "missed"),
        ("peak memory of our process (MiB)", f"{peak:.0f}", "≤ 300", "met" if peak <= 300 else "missed"),
    ]


def _of_fleet(results: Sequence[Result], clones: int) -> list[tuple[str, str, str, str]]:
    """What an image takes in a fleet beside a scan by itself."""
    found = {result.name: result for result in results if result.runs}
    rows = []
    for name, target in ((FLEET, 0.55), (FLEET_HOST_ONLY, 0.20)):
        if name in found and ONE_BY_ONE in found:
            ratio = found[name].seconds / clones / (found[ONE_BY_ONE].seconds / BY_THEMSELVES)
            verdict = "met" if ratio <= target else "missed"
            rows.append((f"{name} ÷ one by one, an image", f"{ratio:.2f}", f"≤ {target}", verdict))
    return rows


def machine() -> dict[str, str]:
    """What the figures depend on."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal: *(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    verdict = acceleration()
    qemu = subprocess.run(
        [f"qemu-system-{platform.machine()}", "--version"], capture_output=True, text=True, check=False
    )
    return {
        "date": dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processors": f"{os.cpu_count()} of {model[1] if model else platform.machine()}",
        "memory": f"{int(memory[1]) >> 20} GiB" if memory else "",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, Linux {platform.release()}",
        "acceleration": f"{verdict.acceleration} {f'({verdict.reason})' if verdict.reason else ''}".strip(),
        "qemu": qemu.stdout.splitlines()[0] if qemu.stdout else "",
        "python": platform.python_version(),
        "load before the run": f"{os.getloadavg()[0]:.2f}",
    }


def _limit(name: str, results: Sequence[Result], target: int) -> tuple[str, str, str, str]:
    ours = [r for r in results if r.runs and r.name.startswith(("scan", "repair", "inspect"))]
    peak = max((r.own_peak_bytes for r in ours), default=0) / _MEBIBYTE
    return name, f"{peak:.0f}", f"≤ {target}", "met" if 0 < peak <= target else "missed"


def _machine_lines(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return tabulate(rows, headers=head, tablefmt="github", disable_numparse=True)


def _measurements(results: Sequence[Result]) -> str:
    head = (
        "",
        "median s",
        "processor s",
        "runs",
        "our peak MiB",
        "children's peak MiB",
        "calls to the appliance",
    )
    return _table(head, [_row(result) for result in results])


def _row(result: Result) -> tuple[str, ...]:
    if not result.runs:
        return (result.name, f"not measured: {result.problem}", "", "", "", "", "")
    runs = " ".join(f"{run.seconds:.2f}" for run in result.runs)
    peaks = (f"{result.own_peak_bytes / _MEBIBYTE:.0f}", f"{result.children_peak_bytes / _MEBIBYTE:.0f}")
    calls = _CALLS.search(result.runs[-1].stderr)
    return (
        result.name,
        f"{result.seconds:.2f}",
        f"{result.cpu_seconds:.2f}",
        runs,
        *peaks,
        calls[1] if calls else "",
    )


def _stages(results: Sequence[Result]) -> str:
    timed = {r.name: dict(stages(r)) for r in results if r.runs and stages(r)}
    names = list(dict.fromkeys(stage for found in timed.values() for stage in found))
    rows = [(name, *(f"{found.get(name, 0):.2f}" for found in timed.values())) for name in names]
    return _table(("", *timed), rows)


def stages(result: Result) -> list[tuple[str, float]]:
    """Stage and seconds of the last run, as ``--timings`` printed them."""
    return [(name, float(seconds)) for seconds, name in _TIMING.findall(result.runs[-1].stderr)]


def _result_json(result: Result) -> dict[str, object]:
    if not result.runs:
        return {"name": result.name, "problem": result.problem}
    calls = _CALLS.search(result.runs[-1].stderr)
    return {
        "name": result.name,
        "seconds": [round(run.seconds, 3) for run in result.runs],
        "median": round(result.seconds, 3),
        "cpu_seconds": round(result.cpu_seconds, 3),
        "own_peak_bytes": result.own_peak_bytes,
        "children_peak_bytes": result.children_peak_bytes,
        "calls": int(calls[1]) if calls else None,
        "stages": dict(stages(result)),
    }
