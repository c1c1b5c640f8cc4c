"""JUnit's XML, as test reports of build servers take it; see writers/junit.py."""

from __future__ import annotations

from guestrepair.report.data import Report
from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format


def _report(report: Report) -> str:
    from guestrepair.report.writers.junit import render

    return render(report)


FORMAT = Format(name="junit", renderers={Report: _report, FleetReport: lambda fleet: _report(fleet.reports)})
