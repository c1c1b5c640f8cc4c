"""The floor: what it costs to open a disk with bare libguestfs, and to do nothing with it.

Run as a program: ``floor.py IMAGE FORMAT DEVICE tcg|kvm``. Launch, mount read-only, close.
"""

from __future__ import annotations

import sys

import guestfs


def main(image: str, image_format: str, device: str, acceleration: str) -> None:
    """Open and close one image."""
    handle = guestfs.GuestFS(python_return_dict=True)
    handle.set_backend("direct")
    if acceleration == "tcg":
        handle.set_backend_setting("force_tcg", "1")
    handle.set_smp(2)
    handle.add_drive_opts(image, readonly=True, format=image_format)
    handle.launch()
    handle.mount_ro(device, "/")
    handle.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
