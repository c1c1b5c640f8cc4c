"""What lies on a guest's disks for cloud-init to make an instance of: seed directories and volumes.

Sources: cloud-init's documentation (*NoCloud*, *ConfigDrive*), ``tools/ds-identify``,
``cloudinit/sources/DataSourceNoCloud.py`` and ``DataSourceConfigDrive.py``, ``sources/helpers/openstack.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from guestrepair.formats.cloud_config import UserData, Value, kind_of, parse_yaml
from guestrepair.formats.yaml_nodes import MAX_SIZE_BYTES
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, parsed

NO_CLOUD, CONFIG_DRIVE = "NoCloud", "ConfigDrive"
NO_CLOUD_SEEDS = tuple(GuestPath("/var/lib/cloud/seed") / name for name in ("nocloud", "nocloud-net"))
CONFIG_DRIVE_SEEDS = (GuestPath("/config-drive"), GuestPath("/var/lib/cloud/seed/config_drive"))
_LOCAL = ("/", "file://")
_LABELS = {"cidata": NO_CLOUD, "CIDATA": NO_CLOUD, "config-2": CONFIG_DRIVE, "CONFIG-2": CONFIG_DRIVE}
_READ_BY_NO_CLOUD = frozenset({"vfat", "iso9660"})
_NAMES: Mapping[str, tuple[str, str, str]] = {
    NO_CLOUD: ("meta-data", "user-data", "network-config"),
    CONFIG_DRIVE: (
        "openstack/latest/meta_data.json",
        "openstack/latest/user_data",
        "openstack/latest/network_data.json",
    ),
}
_NEEDED = {NO_CLOUD: ("meta-data", "user-data"), CONFIG_DRIVE: ("openstack/latest/meta_data.json",)}


@dataclass(frozen=True, slots=True)
class CloudFile:
    """One file: its name, its bytes, and its value (unreadable: it is no YAML).

    ``device``: the volume that it is on where that is not mounted; ``path`` is in there then. ``inline``: it
    is a text within a setting of the file.
    """

    path: GuestPath
    data: bytes
    value: Value | Unreadable
    device: str = ""
    inline: bool = False

    @property
    def mapping(self) -> Mapping[str, Value]:
        """The value where it is a mapping; nothing where cloud-init passes over it."""
        return self.value if isinstance(self.value, dict) else {}


@dataclass(frozen=True, slots=True)
class Seed:
    """Data for an instance: the datasource that reads it, where it lies, what is in it.

    ``instance_id`` is None where nothing says so, ``unread`` is why its content could not be seen.
    ``missing`` are files without which the datasource does not take it. ``elsewhere``: where it says that
    the rest is to be had from (``seedfrom``).
    """

    datasource: str
    where: str
    instance_id: str | None = None
    user_data: CloudFile | None = None
    meta_data: CloudFile | None = None
    network: CloudFile | None = None
    unread: str = ""
    missing: tuple[str, ...] = ()
    elsewhere: str = ""
    hostname: str = ""
    is_told: bool = False
    """By the kernel's command line."""

    @property
    def is_taken(self) -> bool:
        """True where the datasource takes it, or may (nobody could look)."""
        return not self.missing

    @property
    def is_remote(self) -> bool:
        """True where the rest of it is to be had over the network."""
        return bool(self.elsewhere) and not self.elsewhere.startswith(_LOCAL)


@dataclass(frozen=True, slots=True)
class Coming:
    """All seeds of one datasource put together, as it does: the instance of the next boot."""

    seeds: tuple[Seed, ...] = field(default=())

    @property
    def instance_id(self) -> str | None:
        """The first seed that names one has it; None where that cannot be told."""
        for seed in self.seeds:
            if seed.instance_id is not None:
                return seed.instance_id
            if seed.unread:
                return None
        if any(seed.is_remote for seed in self.seeds):
            return None
        return "nocloud" if self.seeds and self.seeds[0].datasource == NO_CLOUD else None

    @property
    def hostname(self) -> str:
        """The host name that the data gives; "" without one."""
        return next((seed.hostname for seed in self.seeds if seed.hostname), "")

    @property
    def user_data(self) -> CloudFile | None:
        """The last one counts; None where that cannot be seen."""
        if any(seed.is_remote for seed in self.seeds):
            return None
        return next((s.user_data for s in reversed(self.seeds) if s.user_data is not None), None)

    @property
    def network(self) -> CloudFile | None:
        """The last one counts."""
        return next((s.network for s in reversed(self.seeds) if s.network is not None), None)

    @property
    def settings(self) -> Mapping[str, Value]:
        """What the user-data sets; nothing where it is no cloud-config."""
        user = self.user_data
        return user.mapping if user is not None and kind_of(user.data) is UserData.CONFIG else {}


def read_file(guest: Guest, path: GuestPath) -> CloudFile | None:
    """A file of the guest; None where there is none.

    Raises:
        GuestReadError: it cannot be read, or is larger than any real one.
    """
    if not guest.is_file(path):
        return None
    data = guest.read(path, limit_bytes=MAX_SIZE_BYTES)
    return CloudFile(path, data, attempt(partial(parsed, parse_yaml, data, path), path))


def in_directories(guest: Guest) -> Iterator[Seed]:
    """The seed directories that a datasource takes.

    Raises:
        GuestReadError: one of their files cannot be read.
    """
    for datasource, folders in ((NO_CLOUD, NO_CLOUD_SEEDS), (CONFIG_DRIVE, CONFIG_DRIVE_SEEDS)):
        for folder in folders:
            found = _seed(datasource, str(folder), partial(_below, guest, folder))
            if found.is_taken:
                yield found
                break  # the first that is whole is the one that is read


def _below(guest: Guest, folder: GuestPath, name: str) -> CloudFile | None:
    return read_file(guest, folder / name)


def on_volumes(guest: Guest) -> Iterator[Seed]:
    """The volumes that a datasource looks for by their label, whatever is on them."""
    for device in guest.block.filesystems():
        datasource = _LABELS.get(device.label, "")
        if not datasource or (datasource == NO_CLOUD and device.content not in _READ_BY_NO_CLOUD):
            continue
        found = attempt(partial(_on_volume, guest, datasource, device), device.name)
        if isinstance(found, Unreadable):
            found = Seed(datasource, device.name, unread=found.reason)
        yield found


def _on_volume(guest: Guest, datasource: str, device: BlockDevice) -> Seed:
    def file(name: str) -> CloudFile | None:
        data = guest.peek_file(device.name, name, limit_bytes=MAX_SIZE_BYTES)
        if data is None:
            return None
        value = attempt(partial(parsed, parse_yaml, data, name), f"{device.name}: {name}")
        return CloudFile(GuestPath("/") / name, data, value, device.name)

    return _seed(datasource, device.name, file)


def _seed(datasource: str, where: str, file: Callable[[str], CloudFile | None]) -> Seed:
    names = _NAMES[datasource]
    meta, user, network = (file(name) for name in names)
    files = dict(zip(names, (meta, user, network), strict=True))
    values = meta.mapping if meta is not None else {}
    identity = values.get("uuid") if datasource == CONFIG_DRIVE else values.get("instance-id")
    return Seed(
        datasource,
        where,
        None if identity is None else str(identity),
        user,
        meta,
        network if network is not None and network.data.strip() else None,
        missing=tuple(name for name in _NEEDED[datasource] if files[name] is None),
        elsewhere=_text(values.get("seedfrom")) if datasource == NO_CLOUD else "",
        hostname=_text(values.get("hostname" if datasource == CONFIG_DRIVE else "local-hostname")),
    )


def followed(guest: Guest, seeds: Iterable[Seed]) -> Iterator[Seed]:
    """The directories of the guest that ``seedfrom`` of these leads to.

    Raises:
        GuestReadError: one of their files cannot be read.
    """
    for seed in seeds:
        if seed.elsewhere and not seed.is_remote:
            start = seed.elsewhere.removeprefix("file://")

            def file(name: str, start: str = start) -> CloudFile | None:
                return read_file(guest, GuestPath(start + name))  # put together as text, as it does

            yield _seed(NO_CLOUD, start, file)


_SHORT = {"h": "local-hostname", "i": "instance-id", "s": "seedfrom"}


def on_command_line(word: str, place: str) -> Seed | None:
    """``ds=nocloud;i=ID;h=NAME;s=PLACE`` of the kernel's command line; None where it is of something else."""
    name, *pairs = word.split(";")
    if name not in {"nocloud", "nocloud-net"}:
        return None
    values = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        values[_SHORT.get(key, key)] = value
    return Seed(
        NO_CLOUD,
        place,
        values.get("instance-id") or None,
        elsewhere=values.get("seedfrom", ""),
        hostname=values.get("local-hostname", ""),
        is_told=True,
    )


def in_settings(settings: Mapping[str, Value], place: str) -> Seed | None:
    """``datasource: {NoCloud: …}`` with the data itself, or where it is to be had from."""
    sources = settings.get("datasource")
    own = sources.get(NO_CLOUD) if isinstance(sources, dict) else None
    if not isinstance(own, dict):
        return None
    elsewhere = _text(own.get("seedfrom"))
    meta, user = own.get("meta-data"), own.get("user-data")
    if not elsewhere and (meta is None or user is None):
        return None
    values = meta if isinstance(meta, dict) else {}
    identity = values.get("instance-id")
    data = user.encode() if isinstance(user, str) else b""
    inside = (
        CloudFile(
            GuestPath(place), data, attempt(partial(parsed, parse_yaml, data, place), place), inline=True
        )
        if user is not None
        else None
    )
    return Seed(
        NO_CLOUD,
        place,
        None if identity is None else str(identity),
        inside,
        elsewhere=elsewhere,
        hostname=_text(values.get("local-hostname")),
    )


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""
