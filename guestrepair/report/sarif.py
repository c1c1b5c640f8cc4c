"""SARIF 2.1.0, as code scanning takes it; see writers/sarif.py."""

from __future__ import annotations

from guestrepair.report.data import Report
from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format


def _report(report: Report) -> str:
    from guestrepair.report.writers.sarif import render

    return render(report)


FORMAT = Format(name="sarif", renderers={Report: _report, FleetReport: lambda fleet: _report(fleet.reports)})
