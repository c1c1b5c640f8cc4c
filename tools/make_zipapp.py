"""Makes dist/guestrepair.pyz: the tool and its libraries in pure Python, in one file that any python3 starts.

``python tools/make_zipapp.py DESTINATION``, with the Python of .venv, whose click and tabulate go in. What is
bound to a host's C libraries stays outside: it comes from the distribution's packages, or is done without
(docs/hosts.md). The same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from importlib import metadata
from pathlib import Path

BUNDLED = ("click", "tabulate")
"""The other dependencies are C, or come with what is."""

CHECKOUT = Path(__file__).parents[1]


def main(destination: Path) -> None:
    """Write the archive, executable."""
    files = dict(sorted((_of_the_tool() | _of_libraries()).items()))
    digest = hashlib.sha256(b"".join(_sealed(name, data) for name, data in files.items())).hexdigest()
    files["digest"] = digest[:32].encode()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    destination.chmod(0o755)
    print(destination)


def _sealed(name: str, data: bytes) -> bytes:
    return b"%d %d " % (len(name), len(data)) + name.encode() + data


def _of_the_tool() -> dict[str, bytes]:
    package = CHECKOUT / "guestrepair"
    paths = [path for path in package.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    files = {path.relative_to(CHECKOUT).as_posix(): path.read_bytes() for path in paths}
    return files | {
        "__main__.py": (CHECKOUT / "tools/zipapp_main.py").read_bytes(),
        "LICENSE": (CHECKOUT / "LICENSE").read_bytes(),
    }


def _of_libraries() -> dict[str, bytes]:
    """Their modules, and their licences."""
    files = {}
    for library in BUNDLED:
        for entry in metadata.files(library) or ():
            name = entry.as_posix()
            if name.endswith((".so", ".pyd")):
                raise SystemExit(f"zipapp: {name} of {library} is not pure Python")
            licence = ".dist-info/" in name and ("LICEN" in name.upper() or name.endswith("/METADATA"))
            if licence or (name.endswith((".py", ".typed")) and not name.startswith("..")):
                files[name] = Path(str(entry.locate())).read_bytes()
    return files


if __name__ == "__main__":
    main(Path(sys.argv[1]))
