"""boot: a throw-away overlay of the image under qemu, and how far it came."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from guestrepair.appliance.acceleration import acceleration
from guestrepair.boot import BootOptions, BootReport, prove
from guestrepair.disk import throwaway
from guestrepair.disk.attach.location import ImageName
from guestrepair.operations import opening
from guestrepair.operations.examined import examined
from guestrepair.operations.options import ImageOptions, UserInterface


def boot(path: ImageName, image_options: ImageOptions, options: BootOptions, ui: UserInterface) -> BootReport:
    """Boot the image's guest with all its disks; the images are only read.

    Raises:
        ImageError: and its kinds, when an image cannot be opened.
        BootError: qemu cannot be started.
    """
    verdict = acceleration()
    if verdict.fresh and verdict.reason:
        ui.note(f"software emulation is used, which is slow: {verdict.reason}")
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(examined(path, image_options)).images
        for warning in opening.warn_of_interruption(images[0]):
            ui.note(warning)
        overlays = [stack.enter_context(throwaway(image)).path for image in images]
        chosen = replace(options, progress=ui.progress, acceleration=verdict.acceleration)
        return prove(overlays[0], further=overlays[1:], options=chosen)
