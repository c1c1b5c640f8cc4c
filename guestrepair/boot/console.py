"""Reading a machine's serial console: how far did the boot come, and what stopped it?

A pure classifier. The texts that it looks for are those of SeaBIOS, OVMF
(MdeModulePkg BdsDxe), GRUB 2 (grub-core/kern/rescue_reader.c, normal/main.c),
the Linux kernel (kernel/panic.c), initramfs-tools (scripts/functions), dracut
(modules.d/98dracut-systemd) and systemd (units/emergency.service.in, src/core/job.c).
Everything comes from the guest: it may be of any length and hold anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from guestrepair.boot.outcome import ConsoleVerdict, Milestone, Outcome, Stage

MAX_LINE = 400
"""Characters kept of one line."""

MAX_UNITS = 50
MAX_TAIL = 40

_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*(?:[ -/]*[@-~])?"  # CSI: colours, cursor; may be cut short by systemd
    rb"|\x1b\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)"  # OSC: titles
    rb"|\x1b[ -/]*[0-~]"
)

_STAGES: tuple[tuple[Stage, re.Pattern[str]], ...] = (
    (Stage.FIRMWARE, re.compile(r"^SeaBIOS \(version|^BdsDxe: (?:loading|starting)|^Booting from ")),
    (
        Stage.LOADER,
        re.compile(
            r"Welcome to GRUB!|^GRUB loading|GNU GRUB +version|^Loading Linux |^ *Booting [`']"
            r"|^(?:SYS|ISO|EXT)LINUX "
        ),
    ),
    (Stage.KERNEL, re.compile(r"\] Linux version |^Linux version |^EFI stub: ")),
    (
        Stage.INITRAMFS,
        re.compile(r"^Loading, please wait|^Begin: |\] Run /init as init process|dracut-|Running in initrd"),
    ),
    (
        Stage.ROOT,
        re.compile(
            r"EXT[234]-fs \([^)]+\): mounted filesystem|XFS \([^)]+\): Ending clean mount"
            r"|BTRFS info .*: (?:using|disk space)|Running /scripts/local-bottom"
            r"|Reached target initrd-root-fs|\] VFS: Mounted root"
        ),
    ),
    (
        Stage.SYSTEM,
        re.compile(
            r"^Welcome to (?!GRUB|emergency|rescue)\S|systemd\[1\]: (?:Hostname set|Queued start job)"
            r"|^INIT: version|OpenRC .* is starting"
        ),
    ),
)

_LOGIN = re.compile(r"^[\w.()-]{1,70} login:\s*$")
_ENDS: tuple[tuple[Outcome, re.Pattern[str]], ...] = (
    (Outcome.PANIC, re.compile(r"Kernel panic - not syncing")),
    (
        Outcome.INITRAMFS_SHELL,
        re.compile(r"^\(initramfs\)|Dropping to a shell!|rdsosreport\.txt|^dracut:/#"),
    ),
    (
        Outcome.EMERGENCY,
        re.compile(r"You are in emergency mode|Reached target emergency\.target|^Welcome to emergency mode"),
    ),
    (
        Outcome.RESCUE,
        re.compile(r"You are in rescue mode|Reached target rescue\.target|^Welcome to rescue mode"),
    ),
    (
        Outcome.PASSPHRASE,
        re.compile(r"^Please (?:unlock disk|enter passphrase for disk)|^Enter passphrase for "),
    ),
    (
        Outcome.LOADER_SHELL,
        re.compile(
            r"^grub rescue>|^grub>|^Entering rescue mode\.\.\.|^boot:\s*$"
            # The entry failed: GRUB says so, and goes back to its menu for ever.
            r"|^error: you need to load the kernel first"
        ),
    ),
    (
        Outcome.NOT_BOOTABLE,
        re.compile(
            r"^No bootable device|Boot failed: not a bootable disk|No bootable option or device was found"
            r"|^UEFI Interactive Shell|^Shell>"
        ),
    ),
)

# On a narrow console systemd cuts the middle out of a name ("systemd-re…ount Root and …"), so by its end.
_ROOT_STAYED_READ_ONLY = re.compile(r"Failed to start .*(?:remount-fs\.service|Root and Kernel File Systems)")
_FAILED = re.compile(
    r"^(?:\[(?:FAILED|DEPEND|\s*TIME\s*)\]|(?:\[[ \d.]+\] )?systemd\[1\]:)\s*"
    r"(?:Failed to (?:start|mount|activate|listen on)|Dependency failed for|Timed out waiting for device)\s+"
    r"(?P<what>.+?)\.?$"
)
_REASON = re.compile(r"ALERT! |error: |Cannot open root device|No working init found|Attempted to kill init")


@dataclass(slots=True)
class Console:
    """The text of one console, fed as it comes; :meth:`verdict` may be asked at any time.

    At most one unfinished line and the findings are kept: a guest that prints without end costs nothing.
    """

    _rest: bytes = b""
    _milestones: dict[Stage, Milestone] = field(default_factory=dict)
    _outcome: Outcome | None = None
    _detail: str = ""
    _reason: str = ""
    _read_only: bool = False
    _units: dict[str, None] = field(default_factory=dict)
    _tail: list[str] = field(default_factory=list)

    def feed(self, data: bytes, seconds: float) -> None:
        """Take what the console printed up to ``seconds`` after power-on."""
        # Any run of line ends is one: empty lines say nothing, and a run of CR alone is looked at once.
        *lines, rest = re.split(rb"[\r\n]+", self._rest + data)
        for line in lines:
            self._line(_plain(line), seconds)
        # The last line counts too, as a prompt has no end; but only its end is kept for later.
        self._rest = rest[-4 * MAX_LINE :]
        if rest:
            self._look_for_end(_plain(self._rest), seconds)

    def verdict(self) -> ConsoleVerdict:
        """What the text says so far."""
        outcome, detail = self._outcome, self._detail
        if outcome is Outcome.LOGIN and self._read_only:
            outcome = Outcome.READ_ONLY
        if outcome in {Outcome.INITRAMFS_SHELL, Outcome.LOADER_SHELL} and self._reason:
            detail = self._reason
        order = list(Stage)
        milestones = sorted(self._milestones.values(), key=lambda m: order.index(m.stage))
        return ConsoleVerdict(outcome, detail, tuple(self._units), tuple(milestones))

    def reached(self, stage: Stage) -> bool:
        """True when that stage was seen."""
        return stage in self._milestones

    def tail(self) -> tuple[str, ...]:
        """The last lines that were not empty."""
        last = _plain(self._rest)
        return (*self._tail, *([last] if last.strip() else []))[-MAX_TAIL:]

    def _line(self, line: str, seconds: float) -> None:
        if not line.strip():
            return
        self._tail.append(line)
        del self._tail[:-MAX_TAIL]
        for stage, pattern in _STAGES:
            if stage not in self._milestones and pattern.search(line):
                self._milestones[stage] = Milestone(stage, seconds, line.strip())
        self._look_for_end(line, seconds)
        self._note_failure(line)

    def _look_for_end(self, line: str, seconds: float) -> None:
        if self._outcome is None and _LOGIN.match(line):
            self._outcome, self._detail = Outcome.LOGIN, line.strip()
            self._milestones[Stage.LOGIN] = Milestone(Stage.LOGIN, seconds, line.strip())
        for outcome, pattern in _ENDS:
            # A panic ends whatever was thought before; the others only what had not ended.
            undecided = self._outcome is None or (outcome, self._outcome) == (Outcome.PANIC, Outcome.LOGIN)
            if undecided and pattern.search(line):
                self._outcome, self._detail = outcome, line.strip()
                return

    def _note_failure(self, line: str) -> None:
        if _ROOT_STAYED_READ_ONLY.search(line):
            self._read_only = True
        if _REASON.search(line) and not self._reason:
            self._reason = line.strip()
        failed = _FAILED.match(line.strip())
        if failed and len(self._units) < MAX_UNITS:
            self._units.setdefault(_unit(failed["what"]))


def _unit(what: str) -> str:
    """What failed, from "unit.service - Description" (systemd 250 and later) or the description alone.

    Of a name that systemd shortened to fit the line, the description says more.
    """
    name, _, description = what.partition(" - ")
    return description if "…" in name and description else name


def _plain(line: bytes) -> str:
    """A line's text: escape sequences gone, other control characters too, cut to a sane length."""
    text = _ESCAPES.sub(b"", line[: 8 * MAX_LINE]).decode("utf-8", errors="replace").replace("…[0m", "…")
    return "".join(c for c in text if c.isprintable() or c == " ")[:MAX_LINE]


def classify(text: bytes) -> ConsoleVerdict:
    """The verdict on a whole console text, times unknown."""
    console = Console()
    console.feed(text, 0.0)
    return console.verdict()
