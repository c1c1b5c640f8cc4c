"""All checks, in the order of the report."""

from __future__ import annotations

import platform

from guestrepair.doctor.appliance import appliance_checks, appliance_directory
from guestrepair.doctor.host import place_checks, safety_checks
from guestrepair.doctor.model import HostReport
from guestrepair.doctor.modules import extra_module_checks, python_checks
from guestrepair.doctor.programs import filesystem_checks, option_checks, qemu_checks
from guestrepair.host_packages import os_release


def examine_host() -> HostReport:
    """Look at this host; nothing on it is changed, but that a verdict on KVM is kept in the cache.

    It takes a second or two, and up to ten more where KVM is tried for the first time.
    """
    appliance = appliance_directory()
    return HostReport(
        system=os_release().get("PRETTY_NAME", "") or platform.system(),
        python=platform.python_version(),
        checks=(
            *python_checks(),
            *qemu_checks(),
            *appliance_checks(appliance),
            *filesystem_checks(appliance),
            *safety_checks(),
            *place_checks(),
            *option_checks(),
            *extra_module_checks(),
        ),
    )
