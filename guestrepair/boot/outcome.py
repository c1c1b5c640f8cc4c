"""What a boot came to: plain frozen data."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Outcome(enum.StrEnum):
    """Where a boot ended."""

    LOGIN = "login"
    READ_ONLY = "login-read-only-root"
    EMERGENCY = "emergency-mode"
    RESCUE = "rescue-mode"
    INITRAMFS_SHELL = "initramfs-shell"
    PANIC = "kernel-panic"
    PASSPHRASE = "waits-for-passphrase"  # noqa: S105  # what it waits for, not one
    LOADER_SHELL = "boot-loader-shell"
    NOT_BOOTABLE = "nothing-bootable"
    STOPPED = "stopped"
    TIMEOUT = "time-limit"

    @property
    def words(self) -> str:
        """The outcome in a sentence's words."""
        return _WORDS[self]


_WORDS = {
    Outcome.LOGIN: "reached the login prompt",
    Outcome.READ_ONLY: "reached the login prompt, with a root filesystem that stayed read-only",
    Outcome.EMERGENCY: "ended in emergency mode",
    Outcome.RESCUE: "ended in rescue mode",
    Outcome.INITRAMFS_SHELL: "ended in the initramfs's shell",
    Outcome.PANIC: "ended in a kernel panic",
    Outcome.PASSPHRASE: "waits for the passphrase of an encrypted disk",
    Outcome.LOADER_SHELL: "ended at the boot loader's own prompt",
    Outcome.NOT_BOOTABLE: "the firmware found nothing to boot",
    Outcome.STOPPED: "the machine switched itself off or restarted",
    Outcome.TIMEOUT: "came no further within the time limit",
}


class Stage(enum.StrEnum):
    """A point that a boot passes, in the order of the road."""

    FIRMWARE = "firmware"
    LOADER = "boot loader"
    KERNEL = "kernel"
    INITRAMFS = "initramfs"
    ROOT = "root mounted"
    SYSTEM = "service manager"
    LOGIN = "login prompt"
    SSH = "ssh banner"


@dataclass(frozen=True, slots=True)
class Milestone:
    """A stage, the seconds after power-on at which it was seen, and the line that showed it."""

    stage: Stage
    seconds: float
    line: str


@dataclass(frozen=True, slots=True)
class ConsoleVerdict:
    """What a console's text says; ``outcome`` is None while the boot is still going on.

    ``detail`` is the line that decided it. ``failed_units`` are the units that the service manager
    gave up on, in the order of its messages.
    """

    outcome: Outcome | None
    detail: str = ""
    failed_units: tuple[str, ...] = ()
    milestones: tuple[Milestone, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BootReport:
    """One boot of a throw-away overlay.

    ``ssh_banner`` is what sshd said first (None: not asked), empty when it did not answer.
    ``console_tail`` is the end of the console, for a person to read; it comes from the guest.
    """

    outcome: Outcome
    detail: str
    failed_units: tuple[str, ...]
    milestones: tuple[Milestone, ...]
    seconds: float
    firmware: str
    acceleration: str
    serial_console_added: bool = False
    ssh_banner: str | None = None
    screenshot: str = ""
    console_tail: tuple[str, ...] = ()

    @property
    def reached_login(self) -> bool:
        """A login prompt, on a root filesystem that can be written to as far as the console tells."""
        return self.outcome is Outcome.LOGIN

    @property
    def came_up(self) -> bool:
        """Login reached, and sshd answering where that was asked."""
        return self.reached_login and self.ssh_banner != ""

    @property
    def summary(self) -> str:
        """One line: the outcome, the line that decided it, and what failed."""
        text = self.outcome.words
        if self.reached_login and self.ssh_banner == "":
            text += ", but sshd does not answer"
        if self.detail and not self.reached_login:
            text += f": {self.detail}"
        if self.failed_units:
            text += f" (failed: {', '.join(self.failed_units[:5])})"
        return text

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "outcome": self.outcome.value,
            "came_up": self.came_up,
            "summary": self.summary,
            "detail": self.detail,
            "failed_units": list(self.failed_units),
            "milestones": [
                {"stage": m.stage.value, "seconds": round(m.seconds, 1), "line": m.line}
                for m in self.milestones
            ],
            "seconds": round(self.seconds, 1),
            "firmware": self.firmware,
            "acceleration": self.acceleration,
            "serial_console_added": self.serial_console_added,
            "ssh_banner": self.ssh_banner,
            "screenshot": self.screenshot,
            "console_tail": list(self.console_tail),
        }
