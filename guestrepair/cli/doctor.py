"""``guestrepair doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.options import output_options
from guestrepair.doctor.examination import examine_host
from guestrepair.doctor.model import HostReport


@click.command("doctor")
@output_options(HostReport)
@click.pass_obj
def command(console: Console, /, *, output_format: str, output: Path | None) -> int:
    """Say what this host has and lacks of what guestrepair needs, and what brings it.

    Python's modules, libguestfs and its appliance, qemu, whether KVM really works, the tools of
    filesystems, confinement, space, and what single options use. Nothing is installed or changed.

    \b
    guestrepair doctor
    guestrepair doctor --format json -o host.json

    Exit status: 0 all that is needed is here (what is only recommended is said), 1 something that
    is needed is missing or broken.
    """
    check_output(output, ())
    console.progress("looking at this host")
    report = examine_host()
    console.write(console.renderer(output_format, HostReport, output)(report), output)
    return report.exit_status
