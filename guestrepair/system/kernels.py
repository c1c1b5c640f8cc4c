"""Kernels, their modules and their initramfs images: which are installed, and are they whole?

Sources: depmod(8); Linux Documentation/arch/x86/boot.rst and
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from guestrepair.formats import initramfs, kernel_image
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader.places import KERNELS
from guestrepair.system.fact import Unreadable, attempt, fact, known

_MODULES_FOLDERS = (GuestPath("/lib/modules"), GuestPath("/usr/lib/modules"))
_BOOT = GuestPath("/boot")
_INITRAMFS = ("initrd.img-{}", "initramfs-{}.img", "initramfs-{}", "initrd-{}")
_INDEX = ("modules.dep", "modules.dep.bin")
_MAX_KERNELS = 256
_MAX_COPY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel's file: what is wrong with it ("" when nothing is), and the release that it says it is.

    ``is_known`` is false for a file that begins as no kind of kernel that is known here.
    """

    path: GuestPath
    size_bytes: int
    problem: str
    release: str
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Initramfs:
    """An initramfs image: what is wrong with it ("" when nothing is), and what it is made of.

    ``image`` says where its main archive begins and how it is compressed.
    """

    path: GuestPath
    size_bytes: int
    image: initramfs.Image

    @property
    def problem(self) -> str:
        """What is wrong with it; empty when nothing is."""
        return self.image.problem


@dataclass(frozen=True, slots=True)
class InstalledKernel:
    """One release, by the names of its files: each None where it has none."""

    release: str
    modules: GuestPath | None
    image: GuestPath | None
    initramfs: GuestPath | None


class Kernels:
    """The kernels of one guest. Large files are looked at when something is asked of them, and once."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._images: dict[GuestPath, KernelImage | Unreadable | None] = {}
        self._initramfs: dict[GuestPath, Initramfs | Unreadable | None] = {}

    # --- files ----------------------------------------------------------------------------

    def image(self, path: GuestPath) -> KernelImage | None:
        """The state of a kernel's file; None when there is no such file.

        Raises:
            GuestReadError: it cannot be read.
        """
        if path not in self._images:
            self._images[path] = attempt(partial(self._image, path), path)
        return known(self._images[path])

    def _image(self, path: GuestPath) -> KernelImage | None:
        found = self._regular(path)
        if found is None:
            return None
        real, size = found
        head = self._guest.read_range(real, 0, kernel_image.HEAD_BYTES) if size else b""
        return KernelImage(
            path,
            size,
            kernel_image.problem(head, size),
            kernel_image.version(head),
            kernel_image.is_known(head),
        )

    def initramfs(self, path: GuestPath) -> Initramfs | None:
        """The state of an initramfs image, all of it; None when there is no such file.

        Raises:
            GuestReadError: it cannot be read, or has more parts than are looked at.
        """
        if path not in self._initramfs:
            self._initramfs[path] = attempt(partial(self._initramfs_at, path), path)
        return known(self._initramfs[path])

    def _initramfs_at(self, path: GuestPath) -> Initramfs | None:
        found = self._regular(path)
        if found is None:
            return None
        real, size = found
        return Initramfs(path, size, initramfs.examine(partial(self._guest.read_range, real), size))

    def _regular(self, path: GuestPath) -> tuple[GuestPath, int] | None:
        """Where a regular file really is, and its size."""
        real = self._guest.resolve(path)
        found = None if real is None else self._guest.lstat(real)
        return None if real is None or found is None or not found.is_file else (real, found.size_bytes)

    def content(self, path: GuestPath) -> bytes | None:
        """The bytes of a kernel's file, for what would replace it; None when nothing is there.

        Raises:
            GuestReadError: it cannot be read, or is larger than any kernel.
        """
        return self._guest.read_if_there(path, limit_bytes=_MAX_COPY_BYTES)

    def kept_copy(self, release: str) -> tuple[GuestPath, bytes] | None:
        """The whole kernel that its package keeps among the modules, and its bytes; None without one.

        Raises:
            GuestReadError: it cannot be read.
        """
        if not _is_release(release):
            return None
        copy = self.modules_folder / release / "vmlinuz"
        image = self.image(copy)
        if image is None or image.problem or not 0 < image.size_bytes <= _MAX_COPY_BYTES:
            return None
        content = self.content(copy)
        return None if content is None else (copy, content)

    # --- releases --------------------------------------------------------------------------

    @fact
    def installed(self) -> tuple[InstalledKernel, ...]:
        """Every release that has modules or an image in /boot, sorted by name; at most some hundred."""
        images: dict[str, GuestPath] = {}
        for pattern in KERNELS:
            for path in self._guest.glob(_BOOT, pattern):
                release = path.name.partition("-")[2]
                if _is_release(release):
                    images.setdefault(release, path)
        releases = sorted({*self._with_modules, *images})[:_MAX_KERNELS]
        return tuple(
            InstalledKernel(
                release,
                self.modules_folder / release if release in self._with_modules else None,
                images.get(release),
                next((p for n in _INITRAMFS if self._guest.is_file(p := _BOOT / n.format(release))), None),
            )
            for release in releases
        )

    @fact
    def modules_folder(self) -> GuestPath:
        """What holds a directory for each release, whether it is there or not."""
        return next((p for p in _MODULES_FOLDERS if self._guest.is_directory(p)), _MODULES_FOLDERS[0])

    @fact
    def _with_modules(self) -> tuple[str, ...]:
        folder = self.modules_folder
        return self._guest.listdir(folder)[:_MAX_KERNELS] if self._guest.is_directory(folder) else ()

    def modules(self, release: str) -> GuestPath | None:
        """The directory of a release's modules; None when it is not there."""
        directory = self.modules_folder / release
        return directory if _is_release(release) and self._guest.is_directory(directory) else None

    def has_index(self, release: str) -> bool:
        """True when there is an index of its modules, which modprobe finds them by."""
        return any(
            found is not None and found.is_file and found.size_bytes > 0
            for found in (self._guest.stat(self.modules_folder / release / name) for name in _INDEX)
        )


def _is_release(name: str) -> bool:
    return bool(name) and "/" not in name and name not in {".", ".."}
