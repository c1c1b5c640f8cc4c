"""Which qemu libguestfs would start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from guestrepair.appliance.handle import Handle
from guestrepair.errors import ApplianceError


def hypervisor(handle: Handle) -> Path:
    """The qemu that libguestfs would start, without links; LIBGUESTFS_HV may name one anywhere.

    Releases of libguestfs differ: 1.54 says where it is, 1.60 gives the name that it looks for in PATH.

    Raises:
        ApplianceError: it is not there.
    """
    named = handle.get_hv()
    found = shutil.which(named)
    if found is None:
        raise ApplianceError(
            f"there is no program {named}, which libguestfs would start",
            hint="install qemu-system-x86 (Debian) or qemu-system-x86-core (Fedora), or mend LIBGUESTFS_HV",
        )
    return Path(os.path.realpath(found))
