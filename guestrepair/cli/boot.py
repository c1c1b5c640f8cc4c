"""``guestrepair boot``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.boot import BootOptions
from guestrepair.boot.prove import DEFAULT_TIMEOUT_SECONDS
from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import image_options, output_options, to_image_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import UsageError
from guestrepair.operations.boot import boot
from guestrepair.report.data import Boot

_NOT_UP = 1


@click.command("boot")
@click.argument("image", type=IMAGE)
@click.option("--ssh", is_flag=True, help="Also wait for sshd, on a network that leads nowhere.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1, max=86400),
    default=DEFAULT_TIMEOUT_SECONDS,
    show_default=True,
    metavar="S",
    help="Give up after so many seconds.",
)
@image_options
@output_options(Boot)
@click.pass_obj
def command(console: Console, /, *, image: ImageName, ssh: bool, timeout: float, **values: Any) -> int:
    """Boot a throw-away overlay of IMAGE under qemu, and report how far it comes.

    The image itself is only read. The machine has no network; with --ssh it has one that reaches
    nothing. With -o FILE.png the screen as it was at the end is saved; any other -o takes the report.

    Exit status: 0 login prompt reached (and sshd answers, with --ssh), 1 it did not come up.

    \b
    guestrepair boot snapshot.qcow2
    guestrepair boot --ssh --timeout 600 -o screen.png /dev/vdb
    """
    output: Path | None = values.pop("output")
    output_format = values.pop("output_format")
    values.pop("all_disks_attached")
    screenshot = output if output is not None and output.suffix.lower() == ".png" else None
    if screenshot is not None and not screenshot.parent.is_dir():
        raise UsageError(f"-o {screenshot}: no such directory: {screenshot.parent}")
    image_opts = to_image_options(values)
    check_output(output, (image,), image_opts)
    options = BootOptions(ssh=ssh, timeout_seconds=timeout, screenshot=screenshot)
    result = boot(image, image_opts, options, console.ui())
    text = console.renderer(output_format, Boot, output)(Boot(image, result))
    console.write(text, None if screenshot is not None else output)
    return 0 if result.came_up else _NOT_UP
