"""``guestrepair validate``."""

from __future__ import annotations

from typing import Any

import click

from guestrepair.cli.console import Console
from guestrepair.cli.scan import options_of_a_scan, scan_images
from guestrepair.disk.attach.location import ImageName

_DEFAULTS = {"fail_on": "warning", "profile": "golden"}


@click.command("validate", context_settings={"default_map": _DEFAULTS})
@options_of_a_scan
@click.pass_obj
def command(console: Console, /, *, images: tuple[ImageName, ...], **values: Any) -> int:
    """Check IMAGE... before they are deployed: a scan as a golden image, in which warnings count, too.

    guestrepair.toml of the working directory, or of the nearest one above it, is the policy: what
    else is required, which findings are known and until when. An option given here wins over it.
    "guestrepair policy check" says what it does.

    \b
    guestrepair validate build/*.qcow2
    guestrepair validate --write-baseline known.json server.qcow2
    guestrepair validate --baseline known.json --format json -o report.json server.qcow2

    Exit status: 0 nothing at or above --fail-on but what is known, 1 something, 2 wrong usage, or
    something wrong in the policy or the baseline, 3 an image could not be examined.
    """
    return scan_images(console, images, values, search=True)
