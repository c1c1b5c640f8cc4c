"""A hook of the wheel's build: manual pages go into it where ``make man`` has written them.

They are made from the commands' declarations, and so are not in the repository. pipx and the distributions'
packages then put them where man looks for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelData(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore] # hatchling gained types later
    """See the module; named in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the pages to what goes into the wheel; ``version`` is "standard" or "editable"."""
        if version != "standard":
            return
        data = f"{self.metadata.core.name}-{self.metadata.version}.data/data"
        for page in sorted(Path(self.root, "build/man").glob("*.[1-8]")):
            build_data["force_include"][str(page)] = f"{data}/share/man/man{page.suffix[1:]}/{page.name}"
