"""SPDX 2.3, as JSON: the installed packages as a bill of materials."""

from __future__ import annotations

from guestrepair.report.data import Inspection
from guestrepair.report.formats import Format


def render(inspection: Inspection) -> str:
    """The bill of materials of the system on one image."""
    from guestrepair.report.bom.spdx import document
    from guestrepair.report.escape import json_text

    return json_text(document(inspection.image))


FORMAT = Format(name="spdx", renderers={Inspection: render}, needs_inventory=True)
