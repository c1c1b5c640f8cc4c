"""Booting a throw-away overlay under qemu, and telling how far it came."""

from guestrepair.boot.outcome import BootReport, Milestone, Outcome, Stage
from guestrepair.boot.prove import BootOptions, prove

__all__ = ["BootOptions", "BootReport", "Milestone", "Outcome", "Stage", "prove"]
