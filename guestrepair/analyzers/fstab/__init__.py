"""/etc/fstab, with crypttab, mount units and the boot loader: is everything there that boot waits for?

A wrong line stops the boot in emergency mode or leaves the root filesystem read-only. The right source is
worked out from evidence on the disks (system/mounts/evidence.py) and never guessed: exactly one filesystem
must fit. Repairs touch the bytes of the wrong field only. Limits: what is on disks that were not given cannot
be judged, nor can names that only the machine knows (by-id, by-path, multipath).
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.fstab.checks import (
    encoding,
    files,
    mapped,
    missing,
    root,
    source,
    target,
    type_and_options,
)
from guestrepair.analyzers.fstab.combine import MALFORMED_LINE, combined
from guestrepair.errors import GuestReadError
from guestrepair.model import Finding, Inconclusive

_OF_LINES = (
    source.check_sources,
    mapped.check_mapper,
    type_and_options.check_types,
    target.check_targets,
    files.check_files,
    root.check_root_line,
)


def check_table(context: Context) -> Iterator[Finding | Inconclusive]:
    """All rules on lines and on mount units; what belongs to one line is repaired as one."""
    found: list[Finding | Inconclusive] = []
    for check in _OF_LINES:
        try:
            found += check(context)
        except GuestReadError as error:  # each stands alone
            found.append(Inconclusive("fstab", error.message))
    yield from combined(context.system.mounts, found)


def check_unread(context: Context) -> Iterator[Inconclusive]:
    """What might have told more and cannot be read."""
    for each in context.system.mounts.unread:
        yield Inconclusive("fstab", each.error.message)


ANALYZER = Analyzer(
    name="fstab",
    summary="mounts, swap and encrypted devices that boot waits for",
    rules=(
        missing.MISSING, MALFORMED_LINE, encoding.BAD_ENCODING, source.SOURCE_NOT_FOUND,
        source.SOURCE_NOT_FOUND_OPTIONAL, source.DEVICE_NAME, source.WRONG_TAG, source.AMBIGUOUS_SOURCE,
        source.WRONG_SOURCE, type_and_options.WRONG_TYPE, type_and_options.UNSUPPORTED_TYPE,
        type_and_options.BAD_OPTION, target.TARGET_MISSING, target.DUPLICATE_TARGET, target.ORDER,
        target.RESERVED_TARGET, target.PASSNO, target.NETDEV, files.BIND_SOURCE, mapped.UNMAPPED,
        root.ROOT_MISMATCH,
    ),
    checks=(missing.check_missing, mapped.check_crypttab, check_table, check_unread),
    late=True,
)  # fmt: skip
