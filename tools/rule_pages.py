"""Write docs/rules/*.md from the rules' declarations; with --check, only say whether they are up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from guestrepair.analyzers.base import all_analyzers
from guestrepair.report.rules import markdown


def main(arguments: list[str]) -> int:
    """Write or check the pages in the directory given; the exit status."""
    check = "--check" in arguments
    directory = Path(next(a for a in arguments if not a.startswith("-")))
    directory.mkdir(parents=True, exist_ok=True)
    stale = []
    for analyzer in all_analyzers():
        path, text = directory / f"{analyzer.name}.md", markdown(analyzer)
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if not check:
                path.write_text(text)
    if stale:
        print(("stale: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
