"""Programs of this host, run inside the appliance: the filesystem checkers with options of our choice.

libguestfs can run e2fsck only with repair allowed and throws its words away,
and it has no backup superblock, no ``fsck.fat -n``. So the host's own checkers
(the same that the appliance is built from), the libraries they need and a shell
are put into a directory of the appliance's root once a launch, and run from
there by the loader that lies beside them. Nothing of the guest runs: the guest
is never mounted where these programs look.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.appliance.handle import Machine, reading
from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import GuestReadError

DIRECTORY = "/toolbox"
SCRATCH = "/scratch"
"""For copies of metadata: on the appliance's own root, which is on disk, while the programs are in memory."""
MAX_OUTPUT_BYTES = 16 * 1024
TIMEOUT_SECONDS = 1800
"""For one checker: a terabyte under software emulation takes long, a loop takes for ever."""

_BASE = {
    # program: the package that has it, for the error message
    "dash": "dash",
    "head": "coreutils",
    "rm": "coreutils",
    "timeout": "coreutils",
}
CHECKERS = {
    "e2fsck": "e2fsprogs",
    "e2image": "e2fsprogs",
    "xfs_repair": "xfsprogs",
    "btrfs": "btrfs-progs",
    "fsck.fat": "dosfstools",
}
_SHELLS = ("dash", "bash")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_DRIVE = re.compile(r"/dev/sd([a-z]+)(\d*)\Z")


def drive_label(device: str) -> str:
    """The label under which a drive is added, so that it can be told from the appliance's own disk."""
    return "disk" + device.removeprefix("/dev/sd")


def inner_name(device: str) -> str:
    """The device's name for a program in the appliance, where ``/dev/sda`` may be another disk."""
    match = _DRIVE.match(device)
    return device if match is None else f"/dev/disk/guestfs/disk{match[1]}{match[2]}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit status of a script, and the first part of what it printed."""

    status: int
    output: str


@dataclass(slots=True)
class Toolbox:
    """Programs (the checkers, unless told) in one running appliance; uploaded at the first use.

    ``directory`` is theirs alone, and may hold files for them to read and to write.
    """

    machine: Machine
    programs: Mapping[str, str] = field(default_factory=lambda: CHECKERS)
    directory: str = DIRECTORY
    _programs: dict[str, str] = field(default_factory=dict)
    _loader: str = ""

    def run(self, device: str, script: str, *, needs: Iterable[str]) -> Outcome:
        """Run a shell script in which ``{NAME}`` stands for a program and ``$DEV`` for the device.

        ``$TMP`` is an empty directory. Standard error is part of the output.

        Raises:
            GuestReadError: a program is not installed on this host, or nothing could be run.
        """
        self.prepare(device)
        for name in needs:
            if name not in self._programs:
                raise GuestReadError(
                    device,
                    f"{name} is not installed on this host",
                    hint=f"install {_BASE.get(name) or self.programs[name]}",
                )
        commands = {name: self._command(name) for name in self._programs}
        body = re.sub(r"\{([a-z0-9_.]+)\}", lambda m: commands[m[1]], script)
        whole = (
            f"DEV={shlex.quote(inner_name(device))}; TMP={SCRATCH}\n"
            "cd $TMP || exit 99\n"
            f"( {body} ) >{self.directory}/out 2>&1 </dev/null; status=$?\n"
            f"{commands['rm']} -rf $TMP/*\n"
            f"{commands['head']} -c {MAX_OUTPUT_BYTES} {self.directory}/out; echo; echo status=$status\n"
        )
        with reading(device):
            answer = self.machine.handle().command([*self._arguments("dash"), "-c", whole])
        text, _, status = answer.rpartition("status=")
        if not status.strip().isdecimal():
            raise GuestReadError(device, "the checker did not run to its end")
        return Outcome(int(status), text.strip().replace(inner_name(device), device))

    def prepare(self, device: str) -> None:
        """Have the programs and their directory in the appliance; ``device`` is for the error's words.

        Raises:
            GuestReadError: they could not be brought there.
        """
        with reading(device):
            handle = self.machine.handle()
            if self._loader and self.directory in handle.mountpoints().values():
                return  # still there; whoever unmounts everything takes it along
        found = _host_programs((*_BASE, *self.programs))
        libraries = _libraries(found.values())
        loader = next((name for name in libraries if name.startswith("ld")), "")
        if "dash" not in found or not loader:
            raise GuestReadError(device, "no shell of this host can be run in the appliance")
        with temporary_file() as archive:
            try:
                with tarfile.open(archive, "w") as tar:
                    for name, path in (*_placed("bin", found), *_placed("lib", libraries)):
                        tar.add(os.path.realpath(path), arcname=name, recursive=False)
            except OSError as error:
                reason = f"this host's programs cannot be packed for the appliance: {error.strerror}"
                raise GuestReadError(device, reason) from error
            self._upload(archive, device)
        self._programs = {name: f"{self.directory}/bin/{name}" for name in found}
        self._loader = f"{self.directory}/lib/{loader}"

    def _upload(self, archive: Path, device: str) -> None:
        # /dev and its like: libguestfs binds the appliance's own there while a program runs.
        for directory in (self.directory, SCRATCH, "/dev", "/proc", "/sys"):
            with contextlib.suppress(GuestReadError), reading(directory):
                self.machine.handle().mkmountpoint(directory)  # it may be there from before
        with reading(device):
            # libguestfs runs nothing while nothing is mounted. tmpfs takes no device, only a name for one.
            self.machine.handle().mount_vfs("mode=0700", "tmpfs", "/dev/sda", self.directory)
            self.machine.handle().tar_in(str(archive), self.directory)

    def _arguments(self, name: str) -> list[str]:
        return [self._loader, "--library-path", f"{self.directory}/lib", self._programs[name]]

    def _command(self, name: str) -> str:
        return " ".join(self._arguments(name))


def _placed(folder: str, files: dict[str, str]) -> Iterator[tuple[str, str]]:
    return ((f"{folder}/{name}", path) for name, path in files.items())


def _host_programs(names: Iterable[str]) -> dict[str, str]:
    found = {name: shutil.which(name, path=_PATH) for name in names}
    found["dash"] = next((p for p in (shutil.which(s, path=_PATH) for s in _SHELLS) if p), None)
    return {name: path for name, path in found.items() if path}


def _libraries(programs: Iterable[str]) -> dict[str, str]:
    """The shared libraries of the host's own programs, by base name, with the loader; none without ldd(1)."""
    try:
        listed = subprocess.run(["ldd", *programs], check=False, capture_output=True, text=True).stdout
    except OSError:
        return {}
    paths = re.findall(r"(/\S+) \(0x", listed)
    return {Path(path).name: path for path in paths}
