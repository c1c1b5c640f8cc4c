"""Running qemu-img with limits, and turning what it says into errors of ours.

A hostile header may make qemu allocate or compute without end, so it runs with
a limit on memory, processor time and wall time (prlimit(1)), in a cage in which only the files of that image
can be opened, and, where it only reads, without the right to write to any file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import run_caged
from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.children import Limits
from guestrepair.disk.image import Format, JsonObject, Layer, block_node, json_name
from guestrepair.errors import ImageAccessError, ImageError, ImageInUseError
from guestrepair.host_packages import hint

MEMORY_BYTES = 2 << 30
OPEN_FILES = 1024
"""More than a chain of 32 layers and a VMDK of 64 extents have; what a process usually gets."""

CPU_SECONDS = 60
INFO_TIMEOUT_SECONDS = 30.0
CHECK_TIMEOUT_SECONDS = 600.0
LOCK_PATIENCE_SECONDS = 1.0

_LOCKED = re.compile(r'Failed to get (?:shared |exclusive )?"[\w ]+" lock|Failed to lock byte')
_PREFIX = re.compile(r"^qemu-[a-z]+: (?:Could not open '.*?': |Failed to blk_new_open '.*?': )?", re.DOTALL)


def run(
    program: str,
    *arguments: str,
    path: ImageName,
    cage: Cage,
    timeout_seconds: float = INFO_TIMEOUT_SECONDS,
    cpu_seconds: int = CPU_SECONDS,
    writes: bool = False,
    most_bytes: int | None = None,
    accepted: tuple[int, ...] = (0,),
) -> str:
    """Standard output of a qemu tool about the image ``path``, which can open what is in the cage alone.

    ``most_bytes``: no file that it writes becomes longer.

    Raises:
        ImageInUseError: another process holds qemu's lock on the image.
        ImageAccessError: the tool is not installed.
        ImageError: it failed, or ran into a limit; the message is qemu's reason in one line.
    """
    limits = Limits(
        memory_bytes=MEMORY_BYTES,
        cpu_seconds=cpu_seconds,
        file_bytes=most_bytes if writes else 0,
        files=OPEN_FILES,
    )
    command = [*limits.words(), program, *arguments]
    if shutil.which(program) is None:
        raise ImageAccessError(f"{program} is not installed", hint=hint(program))
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        done = _run_once(command, path, program, cage, timeout_seconds)
        if done.returncode in accepted:
            return done.stdout.decode(errors="replace")
        error = failure(program, path, done.returncode, done.stderr.decode(errors="replace"))
        # A machine or server that was just killed gives its locks back in a moment.
        if not isinstance(error, ImageInUseError) or time.monotonic() > deadline:
            raise error
        time.sleep(0.1)


def _run_once(
    command: list[str], path: ImageName, program: str, cage: Cage, timeout_seconds: float
) -> subprocess.CompletedProcess[bytes]:
    try:
        return run_caged(
            command, cage=cage, timeout_seconds=timeout_seconds, env={**os.environ, "LC_ALL": "C"}
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(
            f"{path}: {program} took more than {timeout_seconds:.0f} s over it, given up",
            hint="the image is damaged, or made to keep a reader busy",
        ) from error


def failure(program: str, path: ImageName, status: int, stderr: str) -> ImageError:
    """The error that stands for a failed qemu tool."""
    if _LOCKED.search(stderr):
        return ImageInUseError(
            f"{path}: in use by another process (qemu's lock)",
            hint="shut the machine down, or wait for the other program to end",
        )
    if "No space left on device" in stderr:
        return ImageAccessError(
            f"{path}: no space left on this host's disk for {program}",
            hint="free some space, or name another place with --state-dir DIR or TMPDIR",
        )
    if "is not a valid Unicode character" in stderr:
        return ImageError(f"{path}: its path is not UTF-8, and qemu opens no other", hint="rename it")
    if status < 0:
        return ImageError(
            f"{path}: {program} was ended by signal {-status} over it (its memory or time limit?)",
            hint="the image is damaged, or made to exhaust a reader",
        )
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("qemu: module ")]
    reason = _PREFIX.sub("", "\n".join(lines)).splitlines() or [f"exit status {status}"]
    printable = "".join(c if c.isprintable() else "?" for c in reason[0])[:300]
    hint = "check a copy of it: qemu-img check -r all"
    if "log that needs to be replayed" in printable:
        printable = "it was not closed cleanly and has a log that must be replayed"
        hint = f"replay it: qemu-img check -r all {path}"
    return ImageError(f"{path}: qemu cannot open it: {printable}", hint=hint)


def layer_name(layer: Layer) -> str:
    """The ``json:`` name of one layer alone, without what lies under it."""
    return json_name(block_node(layer, layer.path, layer.data_file, None))


def information(layer: Layer) -> JsonObject:
    """What ``qemu-img info`` says about one layer.

    Also the proof that qemu opens it, and that no other qemu writes to it.

    Raises:
        ImageError: and its kinds, as :func:`run`.
    """
    arguments = ("info", "--output=json", layer_name(layer))
    answer: JsonObject = json.loads(run("qemu-img", *arguments, path=layer.path, cage=Cage(read=layer.files)))
    return answer


def check(layer: Layer) -> JsonObject | None:
    """What ``qemu-img check`` counts in a qcow2, VDI, VHDX or VMDK; None for formats without a check.

    Raises:
        ImageError: and its kinds, as :func:`run`.
    """
    if layer.format not in (Format.QCOW2, Format.VDI, Format.VMDK, Format.VHDX):
        return None
    text = run(
        "qemu-img",
        "check",
        "--output=json",
        layer_name(layer),
        path=layer.path,
        cage=Cage(read=layer.files),
        timeout_seconds=CHECK_TIMEOUT_SECONDS,
        cpu_seconds=int(CHECK_TIMEOUT_SECONDS),
        accepted=(0, 2, 3, 63),
    )
    answer: JsonObject = json.loads(text) if text.strip() else {}
    return answer
