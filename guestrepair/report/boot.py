"""The report of a boot."""

from __future__ import annotations

from tabulate import tabulate

from guestrepair import __version__
from guestrepair.report.data import Boot
from guestrepair.report.escape import json_text, printable

SCHEMA = "guestrepair.boot/1"
_TAIL_LINES = 12
_LINE_WIDTH = 90


def render_json(boot: Boot) -> str:
    """All of it as a JSON document."""
    document = {
        "schema": SCHEMA,
        "tool": {"name": "guestrepair", "version": __version__},
        "path": str(boot.path),
        **boot.result.to_json(),
    }
    return json_text(document)


def render(boot: Boot) -> str:
    """The milestones as a table, the verdict, and the end of the console where the guest did not come up."""
    image, result = boot.path, boot.result
    rows = [(f"{m.seconds:.1f} s", m.stage.value, printable(m.line)[:_LINE_WIDTH]) for m in result.milestones]
    lines = [f"{printable(str(image))}: booted by {result.firmware}, {result.acceleration.upper()}", ""]
    if rows:
        lines += [
            tabulate(rows, headers=("after", "reached", "console"), tablefmt="simple", disable_numparse=True),
            "",
        ]
    if result.serial_console_added:
        lines.append("The kernel has no serial console; one was added in the overlay.")
    if not result.came_up and result.console_tail:
        lines += ["The end of the console:"]
        lines += [f"  {printable(line)}" for line in result.console_tail[-_TAIL_LINES:]]
        lines.append("")
    lines.append(f"After {result.seconds:.0f} s: {printable(result.summary)}.")
    if result.ssh_banner:
        lines.append(f"sshd answers: {printable(result.ssh_banner)}")
    if result.screenshot:
        lines.append(f"Screen saved to {printable(result.screenshot)}.")
    return "\n".join(lines) + "\n"
