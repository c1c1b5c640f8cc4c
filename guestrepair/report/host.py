"""The report of ``doctor``: what this host has and lacks, why it matters, and what mends it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tabulate import tabulate

from guestrepair import __version__
from guestrepair.doctor.model import Check, HostReport, State
from guestrepair.host_packages import install_command
from guestrepair.report.escape import json_text, printable

SCHEMA = "guestrepair.doctor/1"


def render(report: HostReport) -> str:
    """A table by areas, then what is not there: why it matters and what mends it."""
    lines = [printable(f"{report.system}, Python {report.python}, guestrepair {__version__}")]
    for area, checks in itertools.groupby(report.checks, key=lambda check: check.area):
        rows = [[c.state, printable(c.name), printable(c.found)] for c in checks]
        table = tabulate(rows, tablefmt="plain", disable_numparse=True)
        lines += ["", f"{area[0].upper()}{area[1:]}", *(f"  {line}" for line in table.splitlines())]
    lines += [*_lacking(report), "", _result(report), *_next(report)]
    return "\n".join(lines) + "\n"


def _lacking(report: HostReport) -> Iterator[str]:
    for check in report.lacking:
        weight = "needed" if check.needed else "recommended"
        yield ""
        yield printable(
            f"{check.name} is {check.state} ({weight})" + (f": {check.found}" if check.found else "")
        )
        yield printable(f"  for: {check.purpose}")
        yield printable(f"  mend: {check.mend}")


def _result(report: HostReport) -> str:
    needed = sum(check.needed for check in report.lacking)
    others = len(report.lacking) - needed
    also = f"; recommended and missing or broken: {others}" if others else ""
    if not needed:
        return f"Result: all that is needed is here{also}"
    return f"Result: needed and missing or broken: {needed}{also}"


def _next(report: HostReport) -> Iterator[str]:
    """All packages that are missing in one command, where there are several."""
    packages = [name for check in report.lacking if check.state is State.MISSING for name in check.packages]
    if len(packages) > 1:
        yield f"Next: {install_command(packages)}"


def render_json(report: HostReport) -> str:
    """The same as a JSON document."""
    needed = sum(check.needed for check in report.lacking)
    return json_text(
        {
            "schema": SCHEMA,
            "tool": {"name": "guestrepair", "version": __version__},
            "host": {"system": report.system, "python": report.python},
            "checks": [_check(check) for check in report.checks],
            "summary": {
                "ok": len(report.checks) - len(report.lacking),
                "needed": needed,
                "recommended": len(report.lacking) - needed,
            },
        }
    )


def _check(check: Check) -> dict[str, object]:
    return {
        "area": check.area.value,
        "name": check.name,
        "state": check.state.value,
        "needed": check.needed,
        "found": check.found,
        "purpose": check.purpose,
        "mend": check.mend,
    }
