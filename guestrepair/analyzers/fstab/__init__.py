"""/etc/fstab, with crypttab, mount units and the boot loader: is everything there that boot waits for?

A wrong line stops the boot in emergency mode or leaves the root filesystem read-only. The right source is
worked out from evidence on the disks (system/mounts/evidence.py) and never guessed: exactly one filesystem
must fit. Repairs touch the bytes of the wrong field only. Limits: what is on disks that were not given cannot
be judged, nor can names that only the machine knows (by-id, by-path, multipath): that is said, line by line.
A line that waits for the network (_netdev) stops no boot: what is wrong with it is a warning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks import (
    device_name,
    encoding,
    files,
    mapped,
    missing,
    overlay,
    root,
    source,
    target,
    type_and_options,
    units,
    unjudged,
    words,
)
from guestrepair.analyzers.fstab.combine import MALFORMED_LINE, combined
from guestrepair.errors import GuestReadError
from guestrepair.model import Effect, Finding, Inconclusive, Severity
from guestrepair.system.mounts import Mounts

_OF_LINES = (
    source.check_sources,
    unjudged.check_unjudged,
    mapped.check_mapper,
    type_and_options.check_types,
    overlay.check_overlays,
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
    yield from combined(context.system.mounts, list(_softened(context.system.mounts, found)))


def _softened(mounts: Mounts, results: Iterable[Finding | Inconclusive]) -> Iterator[Finding | Inconclusive]:
    """Boot goes on without the lines that wait for the network, whatever is wrong with them."""
    remote = {str(edits.subject(j.spec)): j.spec for j in mounts.judged if j.spec.is_remote}
    for result in results:
        if isinstance(result, Finding) and result.severity is Severity.ERROR and result.subject in remote:
            # A type of the network on a local disk's filesystem is a slip, and not a network volume.
            by_type = remote[result.subject].option("_netdev") is None
            if not (by_type and result.rule == type_and_options.WRONG_TYPE.name):
                effect = result.effect.at_most(Effect.DEGRADES)
                result = dataclasses.replace(result, severity=Severity.WARNING, effect=effect)  # noqa: PLW2901
        yield result


def check_unread(context: Context) -> Iterator[Inconclusive]:
    """What might have told more and cannot be read."""
    for each in context.system.mounts.unread:
        yield Inconclusive("fstab", each.error.message)


ANALYZER = Analyzer(
    name="fstab",
    summary="mounts, swap and encrypted devices that boot waits for",
    rules=(
        missing.MISSING, MALFORMED_LINE, encoding.BAD_ENCODING, source.SOURCE_NOT_FOUND,
        source.SOURCE_NOT_FOUND_OPTIONAL, unjudged.SOURCE_UNKNOWN, device_name.DEVICE_NAME,
        source.WRONG_TAG, source.AMBIGUOUS_SOURCE,
        source.WRONG_SOURCE, type_and_options.WRONG_TYPE, type_and_options.UNSUPPORTED_TYPE,
        type_and_options.BAD_OPTION, target.TARGET_MISSING, target.DUPLICATE_TARGET, target.ORDER,
        target.RESERVED_TARGET, target.PASSNO, target.NETDEV, files.BIND_SOURCE, mapped.UNMAPPED,
        units.MOUNT_UNIT, root.ROOT_MISMATCH, words.NOT_UNDERSTOOD,
    ),
    checks=(
        missing.check_missing, mapped.check_crypttab, check_table, units.check_units, words.check_words,
        check_unread,
    ),
    late=True,
)  # fmt: skip
