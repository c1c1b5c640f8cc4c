"""What a kernel can drive before the root filesystem is there: built in, or in its initramfs.

The lists of modules that count are those inside of the initramfs; where it brings none, those of the guest.

Sources: modprobe(8), modules.dep(5), modprobe.d(5), dracut.cmdline(7), initramfs-tools(7), modules-load.d(5);
Linux Documentation/admin-guide/kernel-parameters.txt (module_blacklist).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from guestrepair.errors import GuestReadError
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.formats.modules import (
    is_module,
    module_name,
    parse_aliases,
    parse_builtin_aliases,
    parse_dependencies,
    parse_modprobe_conf,
    parse_modules_builtin,
)
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader, Entry
from guestrepair.system.drivers import Drivers
from guestrepair.system.fact import fact, parsed
from guestrepair.system.kernels import Initramfs, Kernels
from guestrepair.system.storage_buses import BUSES, MODALIASES, UNCERTAIN, Bus, Device, is_other_controller

_MODULE = re.compile(r"lib/modules/([^/]+)/(.+)\Z")
_NESTED = re.compile(r"(?:[^/]+/)?(squash|erofs)[^/]*\.(img|squashfs|erofs)\Z|squash/root\.img\Z")
_PROGRAMS = re.compile(r"(?:s?bin|lib/systemd)/([^/]+)\Z")
_BLACKLISTS = ("modprobe.blacklist", "rd.driver.blacklist", "rdblacklist")
_FORCED = (
    "rd.driver.pre",
    "rd.driver.post",
    "modules-load",
    "modules_load",
    "rd.modules-load",
    "rd.modules_load",
)


@dataclass(frozen=True, slots=True)
class Blocking:
    """What keeps a module from being loaded: where it is written, and how; ``wholly``: even by its name."""

    place: str
    how: str
    wholly: bool


class BootDrivers:
    """One kernel, and what is in its initramfs images together.

    ``release`` is what the kernel calls itself: it looks for modules under that name, and no other.
    """

    def __init__(
        self, drivers: Drivers, release: str, images: Sequence[Initramfs], cmdline: CommandLine, *, sure: bool
    ) -> None:
        self.release = release
        self.images = tuple(images)
        self._drivers = drivers
        self._cmdline = cmdline
        self._sure = sure

    @property
    def unlisted(self) -> str:
        """Why not all that is in the images is known; "" where it is."""
        for each in self.images:
            if each.image.unlisted:
                return f"{each.path}: {each.image.unlisted}"
            nested = next((n for n in each.image.names if _NESTED.match(n)), "")
            if nested:
                return f"{each.path}: the most of it is in {nested}, which is not looked into"
        return ""

    # --- what is inside --------------------------------------------------------------------

    @fact
    def _modules(self) -> Mapping[str, Mapping[str, str]]:
        """By release ("" where a module lies elsewhere) the modules inside: name to path."""
        found: dict[str, dict[str, str]] = {}
        for each in self.images:
            for name in filter(is_module, each.image.names):
                match = _MODULE.match(name)
                release, path = match.groups() if match else ("", name)
                found.setdefault(release, {})[module_name(path)] = path
        return found

    @fact
    def inside(self) -> Mapping[str, str]:
        """The modules inside that this kernel can load: name to path below its modules."""
        own = self._modules.get(self.release)
        if own is None and not self._sure:
            return {name: path for each in self._modules.values() for name, path in each.items()}
        return {**self._modules.get("", {}), **(own or {})}

    @fact
    def other_releases(self) -> tuple[str, ...]:
        """Other kernels' releases that modules inside are for."""
        return tuple(sorted(r for r in self._modules if r not in {"", self.release}))

    @fact
    def programs(self) -> frozenset[str]:
        """The names of programs inside."""
        names = (n for each in self.images for n in each.image.names)
        return frozenset(match[1] for match in map(_PROGRAMS.match, names) if match)

    def _list(self, name: str) -> tuple[GuestPath, bytes] | None:
        """One of the lists of modules inside."""
        path = f"lib/modules/{self.release}/{name}"
        return next(((e.path, e.image.files[path]) for e in self.images if path in e.image.files), None)

    @fact
    def builtin(self) -> frozenset[str]:
        """The drivers that are parts of the kernel.

        Raises:
            GuestReadError: no list says which those are.
        """
        own = self._list("modules.builtin")
        if own is not None:
            return parsed(parse_modules_builtin, own[1], own[0])
        found = self._drivers.builtin(self.release)
        if found is None:
            reason = "no such file: any driver may be built in"
            raise GuestReadError(f"/lib/modules/{self.release}/modules.builtin", reason)
        return found

    @fact
    def has_no_modules(self) -> bool:
        """No module is inside, and no list says what is built in: nothing is known of its drivers."""
        if self._modules or self._list("modules.builtin") is not None:
            return False
        return self._drivers.builtin(self.release) is None

    @fact
    def available(self) -> frozenset[str]:
        """The modules that there are for this kernel: inside, in the guest, or in the list inside alone."""
        return frozenset({*self.inside, *self._drivers.dependencies(self.release), *self._own_dependencies})

    @fact
    def _own_dependencies(self) -> Mapping[str, tuple[str, ...]]:
        own = self._list("modules.dep")
        return {} if own is None else parsed(parse_dependencies, own[1], own[0])

    def _needed(self, module: str) -> tuple[str, ...]:
        """A module and all that has to be loaded before it."""
        before = self._own_dependencies.get(module)
        if before is None:
            before = self._drivers.dependencies(self.release).get(module, ())
        return (module, *before)

    @fact
    def _aliases(self) -> Mapping[str, frozenset[str]]:
        own = self._list("modules.alias")
        of_modules = (
            parsed(partial(parse_aliases, devices=MODALIASES), own[1], own[0])
            if own is not None
            else self._drivers.aliases(self.release, MODALIASES)
        )
        info = self._list("modules.builtin.modinfo")
        of_builtin = (
            parsed(partial(parse_builtin_aliases, devices=MODALIASES), info[1], info[0]) if info else {}
        )
        return {m: of_modules.get(m, frozenset()) | of_builtin.get(m, frozenset()) for m in MODALIASES}

    # --- what is kept from being loaded ---------------------------------------------------------

    @fact
    def blocked(self) -> Mapping[str, Blocking]:
        """Modules that the initramfs does not load by itself, though they may be inside."""
        found: dict[str, Blocking] = {}
        for name, blocking in self._blocking():
            if name not in found or blocking.wholly:
                found[name] = blocking
        forced = self._forced
        return {name: b for name, b in found.items() if b.wholly or name not in forced}

    def _blocking(self) -> Iterator[tuple[str, Blocking]]:
        for parameter in self._cmdline.parameters:
            wholly = parameter.name == "module_blacklist"
            if wholly or parameter.name in _BLACKLISTS:
                for name in (parameter.value or "").split(","):
                    yield (
                        name.replace("-", "_"),
                        Blocking("the command line", f"{parameter.name}={name}", wholly),
                    )
        for path, where, data in self._files_in("modprobe.d"):
            for each in parsed(parse_modprobe_conf, data, where):
                place = f"{path}:{each.line} in {where}"
                yield each.name, Blocking(place, each.how, each.how != "blacklist")

    def _files_in(self, folder: str) -> Iterator[tuple[str, GuestPath, bytes]]:
        """The files of such a folder inside: one in /etc replaces one of the same name in /usr/lib."""
        seen: set[str] = set()
        for top in ("etc", "run", "lib"):
            prefix = f"{top}/{folder}/"
            for each in self.images:
                for path in sorted(p for p in each.image.files if p.startswith(prefix)):
                    if path.removeprefix(prefix) not in seen:
                        seen.add(path.removeprefix(prefix))
                        yield f"/{path}", each.path, each.image.files[path]

    @fact
    def _forced(self) -> AbstractSet[str]:
        """Modules that are loaded by their names, which a blacklist does not keep from it."""
        texts = [e.image.files["conf/modules"] for e in self.images if "conf/modules" in e.image.files]
        texts += [data for _, _, data in self._files_in("modules-load.d")]
        lines = [line.split() for text in texts for line in text.decode(errors="replace").splitlines()]
        names = {words[0] for words in lines if words and not words[0].startswith("#")}
        for parameter in self._cmdline.parameters:
            if parameter.name in _FORCED:
                names.update((parameter.value or "").split(","))
        return {name.replace("-", "_") for name in names}

    # --- what can be driven -------------------------------------------------------------------------

    def loads(self, module: str) -> bool:
        """Whether this module is at work before the root filesystem is needed, or can be."""
        if module in self.builtin:
            return True
        if module in self.blocked:
            return False
        return module in self.inside and all(self._is_there(each) for each in self._needed(module))

    def _is_there(self, module: str) -> bool:
        if module in self.builtin:
            return True
        blocking = self.blocked.get(module)
        return module in self.inside and not (blocking is not None and blocking.wholly)

    def _drivers_for(self, device: Device) -> AbstractSet[str]:
        return (self._aliases[device.modalias] - UNCERTAIN) | set(device.drivers)

    def drives(self, device: Device) -> bool:
        """Whether there is a driver for a device."""
        return any(self.loads(name) for name in self._drivers_for(device))

    def reaches(self, bus: Bus) -> bool:
        """Whether a disk on that bus would be seen."""
        return all(self.drives(device) for device in bus.devices)

    @fact
    def buses(self) -> tuple[Bus, ...]:
        """The common ways to a disk that are open."""
        return tuple(bus for bus in BUSES if self.reaches(bus))

    def missing(self, bus: Bus) -> tuple[str, ...]:
        """The modules that the guest has and the initramfs lacks for a bus; those blocked, too."""
        wanted = [n for d in bus.devices if not self.drives(d) for n in sorted(self._drivers_for(d))]
        needed = dict.fromkeys(n for w in wanted if w in self.available for n in self._needed(w))
        return tuple(n for n in needed if not self._is_there(n) or n in self.blocked)

    def could_reach(self, bus: Bus) -> bool:
        """Whether the bus would be reached with all the modules that the guest has for this kernel."""
        there = self.available | self.builtin
        return all(self._drivers_for(device) & there for device in bus.devices)

    @fact
    def other_controllers(self) -> tuple[str, ...]:
        """Modules inside for controllers that no virtual machine has, such as those of servers."""
        return tuple(
            sorted(n for n, path in self.inside.items() if not path.count("..") and is_other_controller(path))
        )


def of_default_entry(loader: BootLoader, kernels: Kernels, drivers: Drivers) -> BootDrivers | None:
    """What the default entry's kernel and initramfs can drive.

    None where that is not known: no default, no initramfs, a file that is not there or not whole.

    Raises:
        GuestReadError: one of the files cannot be read.
    """
    entry = loader.default.entry if loader.default is not None else None
    if entry is None or entry.entry.kernel is None or not entry.entry.initrds:
        return None
    kernel = loader.find(entry.entry.kernel, entry)
    paths = [loader.find(word, entry) for word in entry.entry.initrds]
    image = kernels.image(kernel) if kernel is not None else None
    found = [kernels.initramfs(path) for path in paths if path is not None]
    images = [each for each in found if each is not None and not each.problem]
    if image is None or len(images) < len(entry.entry.initrds):
        return None
    release = image.release or _named(entry, kernels)
    if not release:
        return None
    return BootDrivers(drivers, release, images, entry.entry.cmdline, sure=bool(image.release))


def _named(entry: Entry, kernels: Kernels) -> str:
    """The release by the names of things, where the kernel's file does not say it."""
    word = entry.entry.kernel
    named = GuestPath(word.text).name.partition("-")[2] if word is not None else ""
    possible = [v for v in (entry.entry.version, named) if v and "/" not in v]
    return next((v for v in possible if kernels.modules(v) is not None), possible[0] if possible else "")
