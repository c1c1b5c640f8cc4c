"""What guestrepair.pyz begins with: unpacks it where only we can write, once a version, and runs it there.

It cannot run out of the archive: readers of what is hostile are processes of their own, started as files,
and a cage is told in which directory the tool lies. Pythons too old for the tool must be able to
read this: no annotation here means anything to them.
"""

import os
import sys

NEEDED = {
    "nbd": ("python3-libnbd", "python3-libnbd"),
    "parted": ("python3-parted", "python3-pyparted"),
    "yaml": ("python3-yaml", "python3-pyyaml"),
    "cryptography": ("python3-cryptography", "python3-cryptography"),
}
"""Modules that are tied to this host's libraries, with their packages of Debian and of Fedora. Without
libguestfs's the tool runs (``--host-only``), and says itself what it lacks."""

CANNOT_LOOK = 3
"""The exit status where nothing could be examined."""


def main() -> None:
    """Never returns."""
    if sys.version_info < (3, 11):  # noqa: UP036 - zipapps are started by whatever python3 is first
        found = ".".join(map(str, sys.version_info[:2]))
        _stop(
            f"needs Python 3.11 or newer, and this is {found}; see docs/hosts.md, or use a host that has one"
        )
    missing = [] if sys.argv[1:2] == ["doctor"] else _missing()
    if missing:
        debian, fedora = (" ".join(NEEDED[name][of] for name in missing) for of in (0, 1))
        _stop(
            f"Python cannot import {', '.join(missing)}\n"
            f"Hint: apt install {debian} (Debian, Ubuntu), dnf install {fedora} (Fedora, RHEL)"
        )
    try:
        place = _unpacked()
    except OSError as error:
        _stop(f"cannot unpack itself: {error}\nHint: name a directory of your own alone in XDG_CACHE_HOME")
    archive = os.path.abspath(sys.path[0])
    for name in [name for name in sys.modules if name.partition(".")[0] == "guestrepair"]:
        del sys.modules[name]  # it came from the archive
    sys.path[:] = [place, *(entry for entry in sys.path if os.path.abspath(entry) != archive)]
    from guestrepair.cli.entry import run

    run()


def _stop(message: str) -> None:
    sys.stderr.write("guestrepair: " + message + "\n")
    sys.exit(CANNOT_LOOK)


def _missing() -> "list[str]":
    from importlib.util import find_spec

    return [name for name in NEEDED if find_spec(name) is None]


def _unpacked() -> str:
    """Where the archive's content lies, by its digest: another user could not have put it there.

    Raises:
        OSError: there is no such place, or no space.
    """
    from guestrepair.ownership import own_path

    digest = __loader__.get_data("digest").decode()  # type: ignore[name-defined] # zipimport's
    parent = os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "guestrepair", "zipapp"
    )
    parent = own_path(parent, make_directories=True)
    place = os.path.join(parent, digest)
    if not os.path.isdir(place):
        _unpack(place, parent)
    return own_path(place)


def _unpack(place: str, parent: str) -> None:
    """All of it or nothing: another run may be doing the same."""
    import shutil
    import tempfile
    import zipfile

    sys.stderr.write("guestrepair: unpacking into " + place + " (once)\n")
    part = tempfile.mkdtemp(prefix=".part-", dir=parent)
    try:
        umask = os.umask(0o077)
        with zipfile.ZipFile(sys.path[0]) as archive:
            archive.extractall(part)  # its names are those of tools/make_zipapp.py
        os.umask(umask)
        try:
            os.rename(part, place)
        except OSError:
            if not os.path.isdir(place):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


if __name__ == "__main__":
    main()
