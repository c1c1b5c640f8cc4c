"""cloud-init: its configuration, whether boot starts it, where it gets its data, and what it knows already.

Sources: cloud-init's documentation (*Boot stages*, *Datasources*, *NoCloud*, *ConfigDrive*), its generator
and ``tools/ds-identify``, ``cloudinit/util.py`` (read_conf_d), ``cloudinit/sources/DataSourceNoCloud.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.formats.cloud_config import MAX_SIZE_BYTES, Value, merged, parse_yaml
from guestrepair.formats.words import word_set
from guestrepair.guest.devices import BlockDevices
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.fact import Unreadable, attempt, fact, parsed
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import Systemd

PROGRAM = GuestPath("/usr/bin/cloud-init")
MAIN = GuestPath("/etc/cloud/cloud.cfg")
CONFIG_DIRECTORY = GuestPath("/etc/cloud/cloud.cfg.d")
IDENTIFY = GuestPath("/etc/cloud/ds-identify.cfg")
DISABLED, ENABLED = GuestPath("/etc/cloud/cloud-init.disabled"), GuestPath("/etc/cloud/cloud-init.enabled")
SEEDS = tuple(GuestPath("/var/lib/cloud/seed") / name for name in ("nocloud", "nocloud-net"))
CACHED_ID = GuestPath("/var/lib/cloud/data/instance-id")
INSTANCE = GuestPath("/var/lib/cloud/instance")
GENERATORS = tuple(
    GuestPath(folder) / "cloud-init-generator"
    for folder in ("/usr/lib/systemd/system-generators", "/lib/systemd/system-generators")
)
TARGET = "cloud-init.target"
UNITS = (
    TARGET,
    "cloud-init-local.service",
    "cloud-init.service",
    "cloud-init-network.service",
    "cloud-init-main.service",
    "cloud-config.service",
    "cloud-final.service",
)
_PYTHONS = (GuestPath("/usr/lib/python3"), GuestPath("/usr/lib"))
_DATASOURCES = word_set(
    """Akamai AliYun AltCloud Azure Bigstep CloudCIX CloudSigma CloudStack ConfigDrive DigitalOcean Ec2
    Exoscale GCE Hetzner IBMCloud LXD MAAS NoCloud NoCloudNet None NWCS OpenNebula OpenStack Oracle OVF
    RbxCloud Scaleway SmartOS UpCloud VMware Vultr WSL"""
)
_LABELS = {"cidata": "NoCloud", "config-2": "ConfigDrive"}
_MAX_FILES = 256


@dataclass(frozen=True, slots=True)
class CloudFile:
    """One file: its name, its bytes, and its value (unreadable: it is no YAML)."""

    path: GuestPath
    data: bytes
    value: Value | Unreadable


@dataclass(frozen=True, slots=True)
class Seed:
    """Data for an instance that is among the disks: the datasource that reads it, and where it lies.

    ``instance_id`` and ``user_data`` are None where they cannot be seen (a volume that is not mounted).
    """

    datasource: str
    where: str
    instance_id: str | None = None
    user_data: CloudFile | None = None
    meta_data: CloudFile | None = None


class CloudInit:
    """What cloud-init of one guest is told."""

    def __init__(self, guest: Guest, systemd: Systemd, boot_loader: BootLoader, block: BlockDevices) -> None:
        self._guest, self._systemd, self._boot_loader, self._block = guest, systemd, boot_loader, block

    @fact
    def is_installed(self) -> bool:
        """True when there is a cloud-init."""
        return self._guest.exists(PROGRAM)

    @fact
    def files(self) -> tuple[CloudFile | Unreadable, ...]:
        """cloud.cfg, then cloud.cfg.d by name: what comes later wins."""
        paths = [MAIN, *self._guest.glob(CONFIG_DIRECTORY, "*.cfg")]
        found = [attempt(partial(self._file, path), path) for path in paths[:_MAX_FILES]]
        if len(paths) > _MAX_FILES:
            found.append(Unreadable(str(CONFIG_DIRECTORY), f"more than {_MAX_FILES} files"))
        return tuple(file for file in found if file is not None)

    def _file(self, path: GuestPath) -> CloudFile | None:
        if not self._guest.is_file(path):
            return None
        data = self._guest.read(path, limit_bytes=MAX_SIZE_BYTES)
        return CloudFile(path, data, attempt(partial(parsed, parse_yaml, data, path), path))

    @fact
    def settings(self) -> dict[str, Value]:
        """All files put together; one that is no YAML counts for nothing, as cloud-init has it.

        Raises:
            GuestReadError: one of them cannot be read.
        """
        found: dict[str, Value] = {}
        for file in reversed(self.files):  # from the last one, which stays, to the first
            if isinstance(file, Unreadable):
                raise file.error
            if isinstance(file.value, dict):
                found = merged(found, file.value)
        return found

    @fact
    def datasource_list(self) -> tuple[str, ...] | None:
        """The datasources that it may use, in order; None where all that it knows are."""
        value = self.settings.get("datasource_list")
        if isinstance(value, str):
            value = [word.strip(" []'\"") for word in value.split(",")]
        return tuple(str(name) for name in value) if isinstance(value, list) else None

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """Datasources of the list that are neither cloud-init's own nor a module of this guest."""
        unknown = [name for name in self.datasource_list or () if name not in _DATASOURCES]
        unknown = [name for name in unknown if not any(self._has_module(name, top) for top in _PYTHONS)]
        where = next(
            (f.path for f in reversed(self.files) if isinstance(f, CloudFile) and _lists_datasources(f)), MAIN
        )
        return tuple(Strange(where, 0, name, "a datasource of cloud-init") for name in unknown[:_MAX_FILES])

    def _has_module(self, name: str, top: GuestPath) -> bool:
        if not name.isidentifier():
            return False
        places = (folder / "cloudinit/sources" for folder in self._guest.glob(top, "*-packages"))
        below = (p / "site-packages/cloudinit/sources" for p in self._guest.glob(top, "python3.*"))
        return any(self._guest.exists(place / f"DataSource{name}.py") for place in (*places, *below))

    # --- whether it runs ----------------------------------------------------------------

    @fact
    def disabled_by(self) -> str:
        """What keeps it from running at the next boot: a file, a parameter, a unit; "" when nothing does."""
        lines = [line.cmdline for line in self._boot_loader.lines if not line.is_rescue]
        words = {line.get("cloud-init") for line in lines}
        if words == {"disabled"}:
            return "cloud-init=disabled on the kernel's command line"
        if words != {"enabled"} and not self._guest.exists(ENABLED) and self._guest.exists(DISABLED):
            return str(DISABLED)
        for name in UNITS:
            mask = self._systemd.masked_by(name)
            if mask is not None:
                return str(mask)
        if self._systemd.installed and not self._is_started:
            return f"no generator of its own, and nothing that starts {TARGET} or its services"
        return ""

    @property
    def _is_started(self) -> bool:
        if any(map(self._guest.exists, GENERATORS)):
            return True
        started = self._systemd.started_at_boot
        return any(name in started for name in UNITS)

    # --- data -----------------------------------------------------------------------------

    @fact
    def seeds(self) -> tuple[Seed, ...]:
        """Data for an instance on the guest's own disks."""
        return tuple(self._seeds())

    def _seeds(self) -> Iterator[Seed]:
        for folder in SEEDS:
            meta, user = self._file(folder / "meta-data"), self._file(folder / "user-data")
            if meta is not None and user is not None:
                yield Seed("NoCloud", str(folder), _instance_id(meta), user, meta)
        for device in self._block.filesystems():
            datasource = _LABELS.get(device.label.lower())
            if datasource is not None:
                yield Seed(datasource, device.name)

    @fact
    def cached_instance_id(self) -> str | None:
        """The instance that it has set up already; None where it has set up none."""
        data = self._guest.read_if_there(CACHED_ID)
        text = (data or b"").decode("utf-8", "replace").strip()
        return text or None

    @fact
    def expected_datasource(self) -> str:
        """The datasource of the next boot as far as the disks decide it; "" where the platform does.

        A list with one name is not looked into further (ds-identify, *single entry in datasource_list*).
        """
        allowed = self.datasource_list
        names = [name for name in (allowed or ("ConfigDrive", "NoCloud")) if name != "None"]
        if allowed is not None and len(names) == 1:
            return names[0]
        local = {seed.datasource for seed in self.seeds}
        return next((name for name in names if name in local), "")


def _lists_datasources(file: CloudFile) -> bool:
    return isinstance(file.value, dict) and "datasource_list" in file.value


def _instance_id(meta: CloudFile) -> str | None:
    if isinstance(meta.value, dict):
        value = meta.value.get("instance-id", meta.value.get("instance_id"))
        return None if value is None else str(value)
    return None
