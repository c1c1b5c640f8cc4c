"""cloud-init: what it will do at the next boot, and which of its files it cannot read.

Judged are its configuration, whether boot starts it, and data for an instance that lies on the disks given
(seed directories, volumes labelled cidata and config-2). What a cloud's own service would hand out cannot be
seen in an image: nothing is said of it. Silent where cloud-init is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.cloud.config import BAD_CONFIG, check_config
from guestrepair.analyzers.cloud.next_boot import (
    DISABLED,
    WILL_OVERWRITE,
    WRONG_DATASOURCE,
    check_datasource,
    check_disabled,
    check_overwriting,
)
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding

NOT_UNDERSTOOD = not_understood(
    "cloud",
    "A name in datasource_list that is neither a datasource of cloud-init nor a module of this guest.",
    example="datasource_list: [ NoCluod, None ]",
    sources=("cloud-init documentation, Datasources",),
)


def check_words(context: Context) -> Iterator[Finding]:
    """not-understood; silent where cloud-init is not installed."""
    if context.system.cloud_init.is_installed:
        yield from notes(NOT_UNDERSTOOD, context.system.cloud_init.strange)


ANALYZER = Analyzer(
    name="cloud",
    summary="what cloud-init will do at the next boot, and whether it can read its configuration",
    rules=(BAD_CONFIG, DISABLED, WILL_OVERWRITE, WRONG_DATASOURCE, NOT_UNDERSTOOD),
    checks=(check_config, check_disabled, check_datasource, check_overwriting, check_words),
    late=True,  # the boot menu may be asked, and what of it lies on the EFI system partition
)
