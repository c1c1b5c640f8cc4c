"""cloud-init: its configuration, whether boot starts it, where it gets its data, and what it knows already.

Sources: cloud-init's documentation (*Boot stages*, *Datasources*, *NoCloud*, *ConfigDrive*), its generator
and ``tools/ds-identify``, ``cloudinit/util.py`` (read_conf_d), ``cloudinit/sources/DataSourceNoCloud.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.formats.cloud_config import Value, merged, parse_identify
from guestrepair.formats.words import word_set
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.cloud_seeds import (
    NO_CLOUD,
    CloudFile,
    Coming,
    Seed,
    followed,
    in_directories,
    in_settings,
    on_command_line,
    on_volumes,
    read_file,
)
from guestrepair.system.fact import Unreadable, attempt, fact, parsed
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import Systemd

PROGRAM = GuestPath("/usr/bin/cloud-init")
MAIN = GuestPath("/etc/cloud/cloud.cfg")
CONFIG_DIRECTORY = GuestPath("/etc/cloud/cloud.cfg.d")
IDENTIFY = GuestPath("/etc/cloud/ds-identify.cfg")
DISABLED, ENABLED = GuestPath("/etc/cloud/cloud-init.disabled"), GuestPath("/etc/cloud/cloud-init.enabled")
CACHED_ID = GuestPath("/var/lib/cloud/data/instance-id")
KEPT = GuestPath("/var/lib/cloud/instance/manual-clean")
GENERATORS = tuple(
    GuestPath(folder) / "cloud-init-generator"
    for folder in ("/usr/lib/systemd/system-generators", "/lib/systemd/system-generators")
)
_IDENTIFIERS = tuple(
    GuestPath(folder) / "cloud-init/ds-identify" for folder in ("/usr/lib", "/usr/libexec", "/lib")
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
_MAX_FILES = 256
_MAX_SCRIPT_BYTES = 1024 * 1024
_WITH_DMI = frozenset({"", "x86_64", "i386", "i486", "i586", "i686"})


@dataclass(frozen=True, slots=True)
class Identify:
    """What ds-identify is told: a datasource, and its policy.

    ``mode`` is ``search``, ``report``, ``enabled`` (every datasource is tried) or ``disabled``;
    ``if_nothing`` is true where cloud-init runs all the same when no datasource is found.
    """

    datasource: str = ""
    mode: str = "search"
    if_nothing: bool = False
    place: str = str(IDENTIFY)


class CloudInit:
    """What cloud-init of one guest is told."""

    def __init__(self, guest: Guest, systemd: Systemd, boot_loader: BootLoader) -> None:
        self._guest, self._systemd, self._boot_loader = guest, systemd, boot_loader

    @fact
    def is_installed(self) -> bool:
        """True when there is a cloud-init."""
        return self._guest.exists(PROGRAM)

    @fact
    def files(self) -> tuple[CloudFile | Unreadable, ...]:
        """cloud.cfg, then cloud.cfg.d by name: what comes later wins."""
        paths = [MAIN, *self._guest.glob(CONFIG_DIRECTORY, "*.cfg")]
        found = [attempt(partial(read_file, self._guest, path), path) for path in paths[:_MAX_FILES]]
        if len(paths) > _MAX_FILES:
            found.append(Unreadable(str(CONFIG_DIRECTORY), f"more than {_MAX_FILES} files"))
        return tuple(file for file in found if file is not None)

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
        if self.identify.mode == "disabled":
            return f"{self.identify.place}"
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

    # --- ds-identify ------------------------------------------------------------------------

    @fact
    def _parameters(self) -> tuple[str, dict[str, str]]:
        """Place and parameters of the entry that is booted unless told otherwise; one of all that agree."""
        default = self._boot_loader.default
        entry = None if default is None else default.entry
        if entry is not None:
            return entry.place, {p.name: p.value or "" for p in entry.entry.cmdline.parameters}
        lines = [line for line in self._boot_loader.lines if not line.is_rescue]
        if not lines:
            return "", {}
        every = [{(p.name, p.value or "") for p in line.cmdline.parameters} for line in lines]
        return lines[0].place, dict(set.intersection(*every))

    @fact
    def _identifier(self) -> GuestPath | None:
        """ds-identify, where the generator asks it."""
        if not any(map(self._guest.exists, GENERATORS)):
            return None
        return next((path for path in _IDENTIFIERS if self._guest.is_file(path)), None)

    @fact
    def identify(self) -> Identify:
        """What ds-identify is told by its file and by the kernel's command line; the latter wins.

        Raises:
            GuestReadError: its file cannot be read.
        """
        data = self._guest.read_if_there(IDENTIFY)
        said = {} if data is None else parsed(parse_identify, data, IDENTIFY)
        place, given = self._parameters
        policy, where = said.get("policy", ""), str(IDENTIFY)
        if "ci.di.policy" in given:
            policy, where = given["ci.di.policy"], f"ci.di.policy={given['ci.di.policy']} in {place}"
        mode, if_nothing = "search", self._guest.os.arch not in _WITH_DMI
        for word in policy.split(","):
            if word in {"enabled", "disabled", "search", "report"}:
                mode = word
            elif word in {"notfound=enabled", "notfound=disabled"}:
                if_nothing = word == "notfound=enabled"
        datasource = next(
            (given[k] for k in ("ci.datasource", "ci.ds") if k in given), said.get("datasource")
        )
        if self._identifier is None:
            mode = "enabled"
        return Identify(datasource or "", mode, if_nothing or mode in {"enabled", "report"}, where)

    # --- data -----------------------------------------------------------------------------

    @fact
    def seeds(self) -> tuple[Seed, ...]:
        """Data for an instance on the guest's own disks, in the order in which it is put together."""
        return tuple(self._seeds())

    def _seeds(self) -> Iterator[Seed]:
        place, given = self._parameters
        told = on_command_line(given.get("ds", ""), place)
        own = in_settings(self.settings, str(self._place_of("datasource")))
        found = [
            *([told] if told is not None else []),
            *in_directories(self._guest),
            *([own] if own is not None else []),
            *on_volumes(self._guest),
        ]
        yield from found
        yield from followed(self._guest, found)

    def _place_of(self, key: str) -> GuestPath:
        """The last file that says it: it is the one that counts."""
        naming = [f.path for f in self.files if isinstance(f, CloudFile) and key in f.mapping]
        return naming[-1] if naming else MAIN

    @property
    def listed_in(self) -> GuestPath:
        """The file whose datasource_list counts."""
        return self._place_of("datasource_list")

    @fact
    def coming(self) -> Coming:
        """The instance that the data on the disks makes at the next boot; empty where they do not decide."""
        expected = self.expected_datasource
        return Coming(tuple(s for s in self.seeds if s.datasource == expected and s.is_taken))

    @fact
    def keeps_instance(self) -> bool:
        """True where the instance that was set up stays, whatever data there is."""
        return self.settings.get("manual_cache_clean") is True or self._guest.exists(KEPT)

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
        names = [name for name in (allowed or ("ConfigDrive", NO_CLOUD)) if name != "None"]
        if self.identify.datasource and self.identify.mode in {"search", "report"}:
            return self.identify.datasource
        if allowed is not None and len(names) == 1:
            return names[0]
        local = {seed.datasource for seed in self.seeds if seed.is_taken and self._is_seen(seed)}
        return next((name for name in names if name in local), "")

    def _is_seen(self, seed: Seed) -> bool:
        """False for a bare ``seedfrom`` of the configuration, which an older ds-identify passes over."""
        if self.identify.mode == "enabled" or self._identifier is None or not seed.elsewhere:
            return True
        if seed.where != str(self._place_of("datasource")) or seed.user_data is not None:
            return True
        return b"seedfrom" in self._guest.read(self._identifier, limit_bytes=_MAX_SCRIPT_BYTES)


def _lists_datasources(file: CloudFile) -> bool:
    return isinstance(file.value, dict) and "datasource_list" in file.value
