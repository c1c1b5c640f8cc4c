"""Whether the guest fits the platforms that were named: their firmware, hardware, and what else they require.

What it finds: what ``guestrepair explain --platform NAME`` lists, as far as no other analyzer judges it
(drivers of disks are judged by ``boot``, pinned cards by ``network``, datasources by ``cloud``). Why it
matters: an import fails after hours of upload, or the machine starts and nobody reaches it.

Evidence: the system's facts, each beside the page that requires it. One finding names all platforms that ask
the same. Repairs are for a person: words on the command line are ``review``, all else is explained with its
commands. Limits: what a fact cannot tell is inconclusive, and that platform has no verdict. It runs only
where a platform is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import AnalysisOptions, Analyzer, Context
from guestrepair.analyzers.platform import access, cards, command_line, container, disk, firmware
from guestrepair.analyzers.platform.asking import NAME
from guestrepair.model import Inconclusive


def unknown(context: Context) -> Iterator[Inconclusive]:
    """Say what of a machine's description is not understood."""
    for platform in context.platforms:
        for what in platform.unknown:
            yield Inconclusive(NAME, f"{platform.name}: {what}", platforms=(platform.name,))


def _is_asked(options: AnalysisOptions) -> bool:
    return bool(options.platforms) or options.machine is not None


ANALYZER = Analyzer(
    name=NAME,
    summary="what the named platforms require: firmware, drivers, console, container, agent, access",
    rules=(
        *firmware.RULES,
        *cards.RULES,
        *command_line.RULES,
        *container.RULES,
        *disk.RULES,
        *access.RULES,
    ),
    checks=(
        firmware.check,
        cards.check,
        *command_line.CHECKS,
        container.check,
        *disk.CHECKS,
        *access.CHECKS,
        unknown,
    ),
    late=True,  # the EFI system partition and the boot menu are asked for
    runs=_is_asked,
)
