"""Markdown for the summary of a job; see writers/markdown.py."""

from __future__ import annotations

from guestrepair.report.data import Report
from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format


def _report(report: Report) -> str:
    from guestrepair.report.writers.markdown import render

    return render(report)


FORMAT = Format(
    name="markdown", renderers={Report: _report, FleetReport: lambda fleet: _report(fleet.reports)}
)
