"""cloud-init: what it will do at the next boot, and which of its files it cannot read.

Judged are its configuration, whether boot starts it, and data for an instance that lies on the disks given
(seed directories, volumes labelled cidata and config-2). What a cloud's own service would hand out cannot be
seen in an image: nothing is said of it. Silent where cloud-init is not installed.
"""

from __future__ import annotations

from guestrepair.analyzers.base import Analyzer
from guestrepair.analyzers.cloud.config import BAD_CONFIG, check_config
from guestrepair.analyzers.cloud.next_boot import (
    DISABLED,
    WILL_OVERWRITE,
    WRONG_DATASOURCE,
    check_datasource,
    check_disabled,
    check_overwriting,
)

ANALYZER = Analyzer(
    name="cloud",
    summary="what cloud-init will do at the next boot, and whether it can read its configuration",
    rules=(BAD_CONFIG, DISABLED, WILL_OVERWRITE, WRONG_DATASOURCE),
    checks=(check_config, check_disabled, check_datasource, check_overwriting),
)
