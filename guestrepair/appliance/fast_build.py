"""An appliance of our own that starts faster, built once from the host's libguestfs into the cache.

It is libguestfs's appliance with an edited start script (see ``start_script``),
built by the host's supermin, and kept as a fixed appliance so that nothing has to
be checked or built at a launch. The cache's key covers all that goes into it:
libguestfs's version and files, the kernels, and the state of the package database,
for the appliance is made of the host's packages. Whatever fails here, the stock
appliance is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.appliance import init_script as start_script
from guestrepair.appliance import reseeding
from guestrepair.appliance.cache import cache_directory, is_sound

BUILD_SECONDS = 300.0
_OLD_SECONDS = 24 * 3600
"""An appliance of another key that was not used for so long is removed."""

_POLL_SECONDS = 0.05
_PREFIX = "appliance-"
_DATABASES = ("/var/lib/dpkg/status", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/var/lib/pacman/local")


_BROKEN_ARCHIVE = (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError)
"""What Python raises for an archive that is cut off or damaged."""


class _UnfitError(Exception):
    """This host's libguestfs cannot be made faster this way."""


@dataclass(frozen=True, slots=True)
class FastAppliance:
    """A fixed appliance (guestfs(3)) in ``directory``: libguestfs's path, once it is built."""

    directory: Path

    @property
    def built(self) -> bool:
        """True when it is there, whole, and each file of it is ours and nobody else's to write to."""
        if not (self.directory / "README.fixed").exists():
            return False
        # What another command has just put away or renamed is nobody's to believe.
        files = self.directory.iterdir()
        return is_sound(self.directory) and all(is_sound(p) or not os.path.lexists(p) for p in files)

    @property
    def given_up(self) -> bool:
        """True when it could not be built or launched in the last day."""
        try:
            return time.time() - (self.directory / "unusable").stat().st_mtime < _OLD_SECONDS
        except OSError:
            return False

    @property
    def proven(self) -> bool:
        """True when it was launched before."""
        return (self.directory / "proven").exists()

    def prove(self) -> None:
        """Remember that it can be launched."""
        self._mark("proven")

    def give_up(self) -> None:
        """Remember that it cannot be had: it is not tried again for a day."""
        self._mark("unusable")

    def failed(self) -> None:
        """It did not start where the stock one did: once may be a moment's problem, twice gives it up."""
        if (self.directory / "failed").exists():
            self.give_up()
        else:
            self._mark("failed")

    def _mark(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, exist_ok=True)
            (self.directory / name).touch(mode=0o600)


def fast_appliance(
    search_path: str,
    version: str,
    progress: Callable[[str], None],
    wanted: Callable[[], bool] = lambda: True,
) -> FastAppliance | None:
    """The fast appliance for this host, built now when the cache has none; None when it cannot be had.

    ``search_path`` and ``version`` are libguestfs's; ``wanted`` is false once nobody needs it any more, and
    whoever waits for it may then kill supermin. Never raises for what the host lacks.
    A cache that is not ours alone is not used; ``progress`` is told why.
    """
    try:
        stock = _stock(search_path)
        directory = cache_directory() / f"{_PREFIX}{_key(stock, version)}"
        appliance = FastAppliance(directory)
        if appliance.given_up:
            return None
        if not appliance.built:
            _prepare(stock, appliance, progress, wanted)
        with contextlib.suppress(OSError):
            os.utime(directory)
    except PermissionError as error:
        progress(f"no prepared appliance, libguestfs's own is used: {error.strerror}")
        return None
    except (OSError, _UnfitError, subprocess.SubprocessError, *_BROKEN_ARCHIVE):
        return None
    return appliance


def _stock(search_path: str) -> Path:
    """The folder that libguestfs itself would build its appliance from.

    Raises:
        _UnfitError: it uses a fixed appliance, or none that is made from a folder.
    """
    for part in search_path.split(":"):
        directory = Path(part or ".")
        if (directory / "supermin.d").is_dir():
            return directory / "supermin.d"
        if (directory / "README.fixed").exists():
            break
    raise _UnfitError


def _key(stock: Path, version: str) -> str:
    state = hashlib.sha256(f"{start_script.VERSION}\0{version}\0{os.uname().machine}\0".encode())
    for path in sorted(stock.iterdir()):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    looked_at = [Path(name) for name in _DATABASES]
    for parent, pattern in (("/boot", "vmlinu*"), ("/lib/modules", "*"), ("/lib/modules", "*/modules.dep")):
        looked_at += sorted(Path(parent).glob(pattern))
    for path in looked_at:
        with contextlib.suppress(OSError):
            status = path.stat()
            state.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\0".encode())
    return state.hexdigest()[:24]


@contextlib.contextmanager
def _locked(path: Path, wanted: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock on a file, as soon as nobody else does.

    Raises:
        _UnfitError: nobody wants it any more.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not wanted():
                    raise _UnfitError from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(lock)


def _prepare(
    stock: Path, appliance: FastAppliance, progress: Callable[[str], None], wanted: Callable[[], bool]
) -> None:
    """Have it built, by us or by whoever is at it.

    Raises:
        OSError, subprocess.SubprocessError, _UnfitError, those of a broken archive: it cannot be built.
    """
    cache = appliance.directory.parent
    with _locked(cache / "appliance.lock", wanted):
        if appliance.given_up:  # by whoever tried it meanwhile
            raise _UnfitError
        if not appliance.built:
            progress("preparing a faster appliance (once; it takes some seconds)")
            _build_or_give_up(stock, appliance, wanted)
            _tidy(cache, appliance.directory)


def _build_or_give_up(stock: Path, appliance: FastAppliance, wanted: Callable[[], bool]) -> None:
    """Build it; what keeps it from being built is raised, and remembered unless it was wanted no longer.

    Raises:
        OSError, subprocess.SubprocessError, _UnfitError, those of a broken archive: as it came.
    """
    try:
        _build(stock, appliance.directory)
    except Exception:
        if wanted():
            appliance.give_up()
        raise


def _build(stock: Path, directory: Path) -> None:
    """Build into a folder of another name and rename it: it is whole, or it is not there.

    Raises:
        OSError, subprocess.SubprocessError, _UnfitError, those of a broken archive: it cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix=".building-", dir=directory.parent) as work:
        own, out = Path(work) / "supermin.d", Path(work) / "out"
        shutil.copytree(stock, own)
        (own / "init.tar.gz").write_bytes(_edited((stock / "init.tar.gz").read_bytes()))
        command = ["supermin", "--build", "--copy-kernel", "-f", "ext2", "--host-cpu", os.uname().machine]
        subprocess.run(
            [*command, str(own), "-o", str(out)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BUILD_SECONDS,
            check=True,
        )
        if not all((out / name).exists() for name in ("kernel", "initrd", "root")):
            raise _UnfitError
        initrd = out / "initrd"
        initrd.write_bytes(start_script.with_fewer_modules(initrd.read_bytes()))
        (out / "README.fixed").write_text("libguestfs's appliance with a trimmed start script\n")
        out.chmod(0o700)
        for file in out.iterdir():
            file.chmod(0o600)  # whatever the umask: what others can write to is not launched
        _make_way(directory)
        out.rename(directory)


def _make_way(directory: Path) -> None:
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
    shutil.rmtree(directory, ignore_errors=True)


def _edited(archive: bytes) -> bytes:
    """The archive with the start script, trimmed.

    Raises:
        _UnfitError: the script is not as it was known.
        tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError: the archive is broken.
    """
    edited = False
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as old,
        tarfile.open(fileobj=out, mode="w:gz") as new,
    ):
        for member in old:
            content = old.extractfile(member)
            data = b"" if content is None else content.read()
            if member.name.removeprefix("./") == "init":
                script = start_script.trimmed(data.decode())
                if script is None:
                    raise _UnfitError
                data, edited = script.encode(), True
                member.size = len(data)
            new.addfile(member, io.BytesIO(data) if member.isreg() else None)
        program = reseeding.program()
        if program is not None:
            member = tarfile.TarInfo(reseeding.NAME)
            member.mode, member.size = 0o755, len(program)
            new.addfile(member, io.BytesIO(program))
    if not edited:
        raise _UnfitError
    return out.getvalue()


def _tidy(cache: Path, current: Path) -> None:
    """Remove appliances of other keys that nobody used of late, and what a killed build left."""
    before = time.time() - _OLD_SECONDS
    for path in (*cache.glob(f"{_PREFIX}*"), *cache.glob(".building-*")):
        if path != current and path.is_dir() and path.stat().st_mtime < before:
            shutil.rmtree(path, ignore_errors=True)
