"""Python's modules: the bindings of this host's libraries, and what comes from the Python Package Index.

Each is imported in a process of its own: a binding that does not fit its library may end the interpreter.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from guestrepair.doctor.model import Area, Check, State
from guestrepair.host_packages import binding_command, module_command, module_packages

_SECONDS = 20
_OLDEST = (3, 11)
_SCRIPT = """
import importlib, json, sys
path, name, version = json.loads(sys.argv[1])
if path is not None:
    sys.path[:] = path
try:
    m = importlib.import_module(name)
except ModuleNotFoundError as error:
    print(json.dumps({"missing": error.name == name or name.startswith(f"{error.name}."), "why": str(error)}))
else:
    print(json.dumps({"version": str(eval(version))}))
"""
_GUESTFS_VERSION = "'{major}.{minor}.{release}'.format(**m.GuestFS(python_return_dict=True).version())"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """``version``: an expression on the module m. A child's is imported by ``python -I`` (child_start.py)."""

    name: str
    version: str
    purpose: str
    needed: bool = True
    is_childs: bool = False


_BINDINGS = (
    _Module(name="guestfs", version=_GUESTFS_VERSION, purpose="all but --host-only, undo and explain"),
    _Module(name="nbd", version="m.NBD().get_version()", purpose="reading and writing any image"),
    _Module(
        name="parted", version="m.version()['pyparted']", purpose="reading partition tables", is_childs=True
    ),
    _Module(
        name="rpm",
        version="m.TransactionSet and m.hdr and m.__version__",  # PyPI has others of that name
        purpose="guests with rpm packages (RHEL, Fedora, SUSE and the like)",
        needed=False,
        is_childs=True,
    ),
)
_VERSION = "getattr(m, '__version__', 'there')"
_OF_OURS = (
    _Module(name="click", version=_VERSION, purpose="everything"),
    _Module(name="tabulate", version=_VERSION, purpose="everything"),
    _Module(name="cryptography", version=_VERSION, purpose="ssh host keys"),
    _Module(name="yaml", version=_VERSION, purpose="netplan and cloud-init"),
    _Module(
        name="lz4.frame", version=_VERSION, purpose="initramfs images and journals of some distributions"
    ),
    _Module(name="crc32c", version=_VERSION, purpose="speed, on ext4 and XFS", needed=False),
)
_ZSTD = ("compression.zstd", "backports.zstd", "zstandard")
"""Whichever is there: of Python itself from 3.14 on, the same for older ones, and what Debian has."""


def python_checks() -> Iterator[Check]:
    """The interpreter, and each module."""
    version = platform.python_version()
    old = sys.version_info < _OLDEST
    yield Check(
        area=Area.PYTHON,
        name="Python",
        state=State.BROKEN if old else State.OK,
        purpose="everything",
        needed=True,
        found=f"{version} ({sys.executable})",
        mend="use Python 3.11 or newer" if old else "",
    )
    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(_binding, _BINDINGS)
        yield from pool.map(_module_of_ours, _OF_OURS)
    yield _zstd()


def extra_module_checks() -> Iterator[Check]:
    """Modules that single options use."""
    dnf = _Module(
        name="dnf",
        version="m.const.VERSION",
        purpose="repair --fetch for guests with rpm packages",
        needed=False,
        is_childs=True,
    )
    yield _binding(dnf, area=Area.EXTRAS)


def _binding(module: _Module, *, area: Area = Area.PYTHON) -> Check:
    state, found = imported(module.name, module.version, is_childs=module.is_childs)
    return Check(
        area=area,
        name=module.name,
        state=state,
        purpose=module.purpose,
        needed=module.needed,
        found=found,
        mend="" if state is State.OK else binding_command(module.name),
        packages=(module.name,),
    )


def _module_of_ours(module: _Module, *, found_as: tuple[State, str] | None = None) -> Check:
    state, found = found_as or imported(module.name, module.version)
    top = module.name.partition(".")[0]
    return Check(
        area=Area.PYTHON,
        name=module.name,
        state=state,
        purpose=module.purpose,
        needed=module.needed,
        found=found,
        mend="" if state is State.OK else module_command(top),
        packages=module_packages(top),
    )


def _zstd() -> Check:
    """One of several modules will do."""
    wanted = _Module(name="backports.zstd", version="", purpose="initramfs images, journals, kernel modules")
    for name in _ZSTD:
        if imported(name, _VERSION)[0] is State.OK:
            return _module_of_ours(wanted, found_as=(State.OK, f"{name} is there"))
    return _module_of_ours(wanted, found_as=(State.MISSING, ""))


def imported(name: str, version: str, *, is_childs: bool = False) -> tuple[State, str]:
    """Whether a module can be imported, and its version or why not."""
    request = json.dumps([None if is_childs else sys.path, name, version])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", "-c", _SCRIPT, request],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return State.BROKEN, f"its import takes more than {_SECONDS} s"
    except (OSError, ValueError) as error:
        words = done.stderr.strip().splitlines() if isinstance(error, ValueError) else [str(error)]
        return State.BROKEN, words[-1] if words else f"its import ends Python ({done.returncode})"
    if "version" in answer:
        return State.OK, answer["version"]
    return (State.MISSING if answer["missing"] else State.BROKEN), answer["why"]
