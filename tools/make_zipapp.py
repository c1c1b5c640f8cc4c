"""Makes dist/guestrepair.pyz: the tool and its libraries in pure Python, in one file that any python3 starts.

``python tools/make_zipapp.py DESTINATION``. What is bound to a host's C libraries stays outside: it comes
from the distribution's packages, or is done without (docs/hosts.md). The same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

BUNDLED = ("click>=8.1,<9", "tabulate>=0.8.9,<1")
"""As in pyproject.toml; the other dependencies are C."""


def main(destination: Path) -> None:
    """Write the archive, executable."""
    checkout = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--no-compile", "--target", tree, checkout, *BUNDLED], check=True)
        files = {
            path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()
        }
    kept = {name: data for name, data in sorted(files.items()) if _belongs(name)}
    kept["__main__.py"] = (checkout / "tools/zipapp_main.py").read_bytes()
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + data for name, data in kept.items())).hexdigest()
    kept["digest"] = digest[:32].encode()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with destination.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in kept.items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    destination.chmod(0o755)
    print(destination)


def _belongs(name: str) -> bool:
    """Whether a file goes in: not what pip says of an installation, nor its start scripts."""
    if name.endswith((".so", ".pyd")):
        raise SystemExit(f"zipapp: {name} is not pure Python")
    return not name.startswith("bin/") and not name.endswith(
        ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
