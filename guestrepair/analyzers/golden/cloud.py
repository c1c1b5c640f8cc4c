"""What cloud-init knows of the machine that the image was made on, and what it wrote for it."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Check, Context, Rule
from guestrepair.analyzers.golden.folding import folded, removed
from guestrepair.model import Change, Effect, Finding, GuestPath, Repair, Safety, Severity
from guestrepair.system.guest_system import System

STATE = Rule(
    name="golden/cloud-init-state",
    summary="cloud-init has set up a machine from this image already",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/var/lib/cloud holds an instance: its data, and which modules have run.",
    why="The instance's data hold keys and passwords of its user data; where the new machine gets no id of"
    " its own, cloud-init takes it for the old one and sets up nothing.",
    repair="Remove what it keeps of instances, as cloud-init clean does. Review: seeds on the disk stay.",
    example="/var/lib/cloud/instances/i-0abc/user-data.txt",
    sources=("cloud-init documentation, clean", "cloud-init documentation, First boot determination"),
)
GENERATED = Rule(
    name="golden/cloud-init-generated",
    summary="what cloud-init wrote for another machine is in the image",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Network configuration, an sshd_config.d file or sudo rules that cloud-init writes.",
    why="They bind every copy to the network card, addresses and users of the machine that they were made"
    " for.",
    repair="Remove them, and cloud-init's state, so that it writes them again; by hand where boot does not"
    " start cloud-init: then nothing writes them again, and a copy has no network.",
    example="/etc/netplan/50-cloud-init.yaml",
    sources=("cloud-init documentation, Network configuration", "cloud-init documentation, clean --configs"),
)
RULES = (STATE, GENERATED)
_CLOUD = GuestPath("/var/lib/cloud")


def forget_instance(system: System) -> tuple[Change, ...]:
    """The changes after which cloud-init knows of no instance."""
    return tuple(removed(file) for file in system.leftovers.of("cloud-state").files if file.is_plain)


def check_state(context: Context) -> Iterator[Finding]:
    """cloud-init-state."""
    yield from folded(
        STATE,
        context.system.leftovers.of("cloud-state").files,
        "cloud-init's state of the machine that the image was made on",
        Repair("remove the state", Safety.REVIEW, forget_instance(context.system)),
        place=_CLOUD,
    )


def check_generated(context: Context) -> Iterator[Finding]:
    """cloud-init-generated."""
    system = context.system
    for kind, says in (
        ("cloud-network", "network configuration that cloud-init wrote for one machine"),
        ("cloud-access", "rules for logins that cloud-init wrote for one machine"),
    ):
        files = system.leftovers.of(kind).files
        changes = tuple(removed(file) for file in files if file.is_plain)
        repair = Repair(
            "decide about them: boot does not start cloud-init, nothing writes them again", Safety.MANUAL
        )
        if files and system.first_boot.cloud_init_runs:
            words = "remove them and cloud-init's state: it writes them again"
            repair = Repair(words, Safety.REVIEW, (*changes, *forget_instance(system)))
        yield from folded(GENERATED, files, says, repair)


CHECKS: tuple[Check, ...] = (check_state, check_generated)
