"""Comma-separated values, for spreadsheets; see fleet.py."""

from __future__ import annotations

from guestrepair.report.fleet_data import FleetReport
from guestrepair.report.formats import Format


def _fleet(report: FleetReport) -> str:
    from guestrepair.report.fleet import render_csv

    return render_csv(report)


FORMAT = Format(name="csv", renderers={FleetReport: _fleet})
