"""What is built into kernels and initramfs images beside the command line: arguments, a root of their own.

Sources: Linux init/Kconfig (CMDLINE, INITRAMFS_SOURCE); dracut.conf(5), ``hostonly_cmdline`` and
``kernel_cmdline``; initramfs.conf(5), ``ROOT``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from guestrepair.formats.kernel_config import MAX_SIZE_BYTES, parse_kernel_config
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact, parsed

_CONFIGS = ("/boot/config-{}", "/lib/modules/{}/config", "/usr/lib/modules/{}/config")
_DRACUT = tuple(map(GuestPath, ("/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf.d")))
_DRACUT_CONF = GuestPath("/etc/dracut.conf")
_DRACUT_PROGRAMS = tuple(map(GuestPath, ("/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut")))
_INITRAMFS_TOOLS = GuestPath("/etc/initramfs-tools")
_MAX_FILES = 64
_HOST_ONLY = re.compile(r"^[ \t]*hostonly_cmdline=[\"']?(yes|no)\b", re.MULTILINE)
_ARGUMENTS = re.compile(r"^[ \t]*kernel_cmdline\+?=(\"[^\"\n]*\"|'[^'\n]*'|\S+)", re.MULTILINE)
_ROOT = re.compile(r"(^|[\s\"'])root=\S")
_ROOT_SETTING = re.compile(r"^[ \t]*(?:export[ \t]+)?ROOT=[\"']?[^\s\"'#]", re.MULTILINE)


class BuiltIn:
    """What the kernels and initramfs images of one guest were made with."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._configs: dict[str, Mapping[str, str] | None] = {}

    def config(self, release: str) -> Mapping[str, str] | None:
        """How a kernel was configured; None where the guest does not keep it.

        Raises:
            GuestReadError: it is there and cannot be read.
        """
        if release not in self._configs:
            self._configs[release] = self._config(release)
        return self._configs[release]

    def _config(self, release: str) -> Mapping[str, str] | None:
        if not release or "/" in release:
            return None
        for path in (GuestPath(place.format(release)) for place in _CONFIGS):
            data = self._guest.read_if_there(path, limit_bytes=MAX_SIZE_BYTES)
            if data is not None:
                return parsed(parse_kernel_config, data, path)
        return None

    def has_arguments(self, release: str) -> bool:
        """True when the kernel brings arguments of its own.

        Raises:
            GuestReadError: its configuration is there and cannot be read.
        """
        return bool((self.config(release) or {}).get("CONFIG_CMDLINE"))

    def has_initramfs(self, release: str) -> bool:
        """True when files for an initramfs are linked into the kernel.

        Raises:
            GuestReadError: its configuration is there and cannot be read.
        """
        return bool((self.config(release) or {}).get("CONFIG_INITRAMFS_SOURCE"))

    @fact
    def uses_dracut(self) -> bool:
        """True when dracut makes the images."""
        return any(self._guest.is_file(path) for path in _DRACUT_PROGRAMS)

    @fact
    def uses_initramfs_tools(self) -> bool:
        """True when initramfs-tools makes the images."""
        return self._guest.is_file(GuestPath("/usr/sbin/update-initramfs"))

    @fact
    def names_root(self) -> bool | None:
        """True when what the images are made from has a root= in them, None when it may, False when not."""
        text = "\n".join(self._settings())
        if any(_ROOT.search(match[1]) for match in _ARGUMENTS.finditer(text)):
            return True
        tools = "\n".join(self._texts(_INITRAMFS_TOOLS / "conf.d", "*"))
        main = self._text(_INITRAMFS_TOOLS / "initramfs.conf")
        if _ROOT_SETTING.search(tools) or _ROOT_SETTING.search(main):
            return True
        host_only = _HOST_ONLY.findall(text)
        if host_only:
            return str(host_only[-1]) == "yes"
        return None if self.uses_dracut else False

    def _settings(self) -> Iterator[str]:
        """The texts of dracut's configuration, the last word last."""
        yield self._text(_DRACUT_CONF)
        for folder in _DRACUT:
            yield from self._texts(folder, "*.conf")

    def _texts(self, folder: GuestPath, names: str) -> Iterator[str]:
        for path in self._guest.glob(folder, names)[:_MAX_FILES]:
            if self._guest.is_file(path):
                yield self._text(path)

    def _text(self, path: GuestPath) -> str:
        return (self._guest.read_if_there(path) or b"").decode("utf-8", "replace")
