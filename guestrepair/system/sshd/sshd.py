"""All that is known of one guest's sshd, each part worked out when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from guestrepair.formats.sshd_config.parse import Config
from guestrepair.formats.sshd_config.settings import Settings
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Account, Accounts
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.files import Files, guest_path
from guestrepair.system.pam import PamCall, PamStack
from guestrepair.system.sshd.authorized_keys import KeyFile, authorized_keys_files, named_files, read_key_file
from guestrepair.system.sshd.command import environment_files
from guestrepair.system.sshd.config import TEMPLATES, config_path, read_config
from guestrepair.system.sshd.endpoints import Endpoint, Taken, endpoints_of, taken_by_others
from guestrepair.system.sshd.host_keys import HostKey, NamedKey, default_keys, read_host_key
from guestrepair.system.sshd.instances import SERVICES, Instance, other_starter
from guestrepair.system.sshd.key_policy import KeyPolicy
from guestrepair.system.sshd.keygen import KeyGeneration, whole
from guestrepair.system.sshd.privsep import Maker, PrivsepDirectory, find_directory, makers, normal_path
from guestrepair.system.sshd.programs import Libraries, Program, find_libraries, find_programs
from guestrepair.system.sshd.selinux_ports import allowed_ports
from guestrepair.system.sshd.server import Server, find_server
from guestrepair.system.sshd.user import UserDefinition, define_user
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import LoadedUnit

if TYPE_CHECKING:
    from guestrepair.system.guest_system import System

PRIVSEP_MANDATORY_SINCE = (7, 5)
INIT_SCRIPTS = tuple(GuestPath("/etc/init.d") / name for name in ("ssh", "sshd"))


class Sshd:
    """The facts of one guest's sshd. One that cannot be read raises GuestReadError in whoever asks for it."""

    def __init__(self, system: System, server: Server, instance: Instance) -> None:
        self.system = system
        self.server = server
        self.instance = instance
        self._key_files: dict[GuestPath, KeyFile | Unreadable | None] = {}

    @property
    def files(self) -> Files:
        """What lies at the paths of the guest."""
        return self.system.files

    @property
    def accounts(self) -> Accounts:
        """The accounts of the guest."""
        return self.system.accounts

    # --- how it is started --------------------------------------------------------------

    @property
    def peers(self) -> tuple[Sshd, ...]:
        """The other sshd instances that boot starts."""
        return tuple(each for each in self.system.sshds if each is not self)

    @property
    def name(self) -> str:
        """The unit that starts it."""
        services = self.instance.services
        return services[0].name if services else self.instance.name

    @property
    def title(self) -> str:
        """What to call it: sshd, and by its unit where that is not the packaged one."""
        return "sshd" if self.instance.packaged else f"sshd of {self.name}"

    @fact
    def strange(self) -> Strange | None:
        """The options on its command line that sshd is not known to have."""
        word = self.instance.command.strange if self.instance.command is not None else ""
        where = next((unit.path for unit in self.services_in_force), None) if word else None
        return None if where is None else Strange(where, 0, word, "options of sshd")

    @fact
    def services(self) -> tuple[LoadedUnit, ...]:
        """The services that start it, as systemd sees them (masked ones too)."""
        return tuple(unit for each in self.instance.services if (unit := whole(each)) is not None)

    @fact
    def vendor_services(self) -> tuple[LoadedUnit, ...]:
        """The services as their packages define them, whatever /etc puts in their place."""
        if not self.instance.packaged:
            return self.services
        loaded = (whole(self.system.systemd.vendor(name)) for name in SERVICES)
        return tuple(unit for unit in loaded if unit is not None and not unit.masked)

    @fact
    def other_starter(self) -> str:
        """What boot starts in its place, as far as a name or a script tells; "" where nothing is known."""
        return other_starter(self.system.view, self.system.systemd)

    @fact
    def services_in_force(self) -> tuple[LoadedUnit, ...]:
        """The services with their overrides; for one that is masked, what it will be once that is undone."""
        masked = {service.name for service in self.services if service.masked}
        return (
            *(service for service in self.services if not service.masked),
            *(service for service in self.vendor_services if service.name in masked),
        )

    @fact
    def init_scripts(self) -> tuple[tuple[GuestPath, str], ...]:
        """The init scripts that are there, with their text."""
        view = self.system.view
        found = ((path, view.read_if_there(path)) for path in INIT_SCRIPTS)
        return tuple((path, data.decode("utf-8", "replace")) for path, data in found if data is not None)

    # --- its configuration --------------------------------------------------------------

    @fact
    def config_path(self) -> GuestPath:
        """The configuration file that sshd reads."""
        _ = self.services  # a drop-in that cannot be read may name another
        return config_path(self.system.view, self.instance.command, self.server.paths)

    @fact
    def config(self) -> Config:
        """The configuration with its includes; that of an empty file where it is not there."""
        return read_config(
            self.system.view, self.config_path, self.instance.command, self.command_files, self.server
        )

    @fact
    def command_files(self) -> tuple[GuestPath, ...]:
        """The files that its command line is made of: environment files, drop-ins, the unit."""
        found: dict[GuestPath, None] = {}
        for service in self.services_in_force:
            found |= dict.fromkeys((*environment_files(service), *service.drop_ins[::-1], service.path))
        return tuple(found)

    @fact
    def settings(self) -> Settings:
        """What the configuration comes to."""
        return Settings(self.config)

    @fact
    def config_templates(self) -> tuple[tuple[GuestPath, bytes | Unreadable], ...]:
        """The copies of the packaged configuration that the guest has."""
        view = self.system.view
        found = ((path, attempt(partial(view.read_if_there, path))) for path in TEMPLATES)
        return tuple((path, data) for path, data in found if data is not None)

    # --- privilege separation -----------------------------------------------------------

    @fact
    def privsep_disabled(self) -> bool:
        """True when this sshd runs without privilege separation, which releases before 7.5 allow."""
        if self.server.release >= PRIVSEP_MANDATORY_SINCE:
            return False
        return self.settings.text("useprivilegeseparation", "yes").lower() == "no"

    @fact
    def privsep_directory(self) -> PrivsepDirectory:
        """The directory that sshd confines its unauthenticated part to."""
        return find_directory(self)

    @fact
    def privsep_place(self) -> GuestPath:
        """Where that directory really lies, the links of its parents followed."""
        return normal_path(self, self.privsep_directory.path)

    @fact
    def privsep_maker(self) -> Maker | None:
        """What makes that directory at boot, the first thing that does."""
        return next(makers(self, self.privsep_place), None)

    @fact
    def user(self) -> UserDefinition:
        """The privilege separation user as it should be."""
        return define_user(self.accounts, self.server.family, self.files.exists)

    # --- keys ---------------------------------------------------------------------------

    @fact
    def uses_key_agent(self) -> bool:
        """True when HostKeyAgent lends the private keys."""
        return self.settings.text("hostkeyagent", "none").lower() != "none"

    @fact
    def host_key_files(self) -> tuple[NamedKey, ...]:
        """The host keys that sshd tries."""
        named: dict[GuestPath, NamedKey] = {}
        for line in self.settings.every("hostkey"):
            if line.args and line.args[0].lower() != "none":
                path = guest_path(line.args[0])
                named.setdefault(path, NamedKey(path, line.place.file, line.place.line))
        return tuple(named.values()) or default_keys(self.server.release)

    @fact
    def host_keys(self) -> tuple[HostKey, ...]:
        """The same as they lie there."""
        return tuple(read_host_key(self.system.view, named) for named in self.host_key_files)

    @fact
    def key_generator(self) -> str:
        """What will make host keys that are missing when this guest boots next; "" when nothing does."""
        services = (*self.services, *(unit for peer in self.peers for unit in peer.services))
        return KeyGeneration(self.system.view, self.system.systemd, services).maker()

    def authorized_keys_files(self, account: Account) -> tuple[GuestPath, ...]:
        """Where sshd looks for the account's keys, whether there is something or not."""
        return authorized_keys_files(self.settings, account)

    def principals_files(self, account: Account) -> tuple[GuestPath, ...]:
        """The files that name the certificates' principals for the account; none where none is configured."""
        return named_files(self.settings, account, "authorizedprincipalsfile")

    def key_file(self, path: GuestPath) -> KeyFile | Unreadable | None:
        """What lies at one of these places; None where sshd finds no keys there."""
        if path not in self._key_files:
            read = partial(read_key_file, self.system.view, path, self.server.release)
            self._key_files[path] = attempt(read, path)
        return self._key_files[path]

    @fact
    def key_policy(self) -> KeyPolicy:
        """Which keys it refuses for their kind or size."""
        return KeyPolicy(self.settings, self.server)

    # --- where it listens ---------------------------------------------------------------

    @fact
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses and ports that it listens on."""
        return endpoints_of(self)

    @fact
    def taken(self) -> tuple[Taken, ...]:
        """What other units that boot starts listen on."""
        return taken_by_others(self)

    @fact
    def selinux_ports(self) -> frozenset[int]:
        """The ports that SELinux lets it have; empty where SELinux lets it have any."""
        return allowed_ports(self.system.view, self.system.selinux)

    # --- what a login needs -------------------------------------------------------------

    @fact
    def pam_service(self) -> str:
        """The name of its PAM service."""
        return self.settings.text("pamservicename") or "sshd"

    @fact
    def pam_stack(self) -> PamStack | None:
        """What PAM does for a login; None where sshd does not use PAM."""
        uses = self.settings.is_on("usepam", default=False)
        return self.system.pam.stack(self.pam_service) if uses else None

    @fact
    def pam_modules(self) -> tuple[tuple[PamCall, GuestPath | None], ...]:
        """Every call of a module, with the module's file (None: not there)."""
        calls = self.pam_stack.calls if self.pam_stack is not None else ()
        return tuple((call, self.system.pam.module_file(call.module.module)) for call in calls)

    @fact
    def programs(self) -> tuple[Program, ...]:
        """The programs that it consists of and starts."""
        return tuple(find_programs(self))

    @fact
    def libraries(self) -> Libraries:
        """What these programs and its PAM modules cannot load."""
        return find_libraries(self)


def find_sshds(system: System) -> Iterator[Sshd]:
    """Every sshd that boot starts, each with its program; the packaged one where boot starts none."""
    servers: dict[GuestPath | None, Server | None] = {}
    for instance in system.sshd_instances.found:
        command = instance.command
        named = command.binary if command is not None else None
        if named is not None and not instance.started and not system.files.is_file(named):
            named = None
        if named not in servers:
            servers[named] = find_server(system.view, system.packages, named)
        server = servers[named]
        if server is not None:
            yield Sshd(system, server, instance)
