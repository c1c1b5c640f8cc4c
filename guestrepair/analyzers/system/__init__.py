"""First of the system's own: what must be right before anything else can be.

What it finds: a broken default target or masked basic units, damaged passwd,
shadow and group, root without a shell, an SELinux policy that is not there, wrong
modes of what everything depends on, a sudoers that sudo refuses. Why it matters:
the boot stops, or comes up with nobody able to log in or to administer.

Evidence: the files themselves. Repairs touch one file each; modes and owners are
``safe``, whatever takes from an older copy or leaves a line out is ``review``.
Limits: what modules of PAM answer is taken as open where it hangs on more than the
configuration; modes of other packaged files are for the packages analyzer.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.system import (
    accounts,
    limits,
    logs,
    lookups,
    machine_id,
    modes,
    pam_flow,
    refused_units,
    selinux,
    selinux_labels,
    sudo,
    units,
    words,
)
from guestrepair.model import Inconclusive


def identity(context: Context) -> Iterator[Inconclusive]:
    """Say what of the system's own description could not be read: other rules go by it."""
    for reason in context.system.os.unread:
        yield Inconclusive("system", f"who this system is was not read in full: {reason}")


ANALYZER = Analyzer(
    name="system",
    summary="basic system: default target, accounts, root's shell, SELinux, modes, sudo",
    rules=(
        *units.RULES,
        *refused_units.RULES,
        *accounts.RULES,
        *lookups.RULES,
        *selinux.RULES,
        *modes.RULES,
        *sudo.RULES,
        *pam_flow.RULES,
        *limits.RULES,
        *logs.RULES,
        *machine_id.RULES,
        *selinux_labels.RULES,
        *words.RULES,
    ),
    checks=(
        identity,
        *units.CHECKS,
        refused_units.check,
        *accounts.CHECKS,
        lookups.check,
        selinux.check,
        modes.check,
        sudo.check,
        pam_flow.check,
        *limits.CHECKS,
        *logs.CHECKS,
        *machine_id.CHECKS,
        selinux_labels.check,
        *words.CHECKS,
    ),
)
