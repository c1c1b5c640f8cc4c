"""One HTML file that needs nothing else; see writers/page.py and writers/differences_page.py."""

from __future__ import annotations

from guestrepair.report.data import DiffReport, Report
from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format


def _report(report: Report) -> str:
    from guestrepair.report.writers.page import render

    return render(report)


def _differences(report: DiffReport) -> str:
    from guestrepair.report.writers.differences_page import render

    return render(report)


def _fleet(report: FleetReport) -> str:
    from guestrepair.report.writers.fleet_page import render

    return render(report)


FORMAT = Format(name="html", renderers={Report: _report, DiffReport: _differences, FleetReport: _fleet})
