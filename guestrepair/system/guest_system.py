"""All that is known of how one guest is set up, each part read when it is first asked for."""

from __future__ import annotations

from guestrepair.formats.dpkg_alternatives import Alternative
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import Package, PackageDatabase
from guestrepair.system.account_files import AccountFiles
from guestrepair.system.accounts import Accounts
from guestrepair.system.addresses import NamedAddresses
from guestrepair.system.alternatives import read_alternatives
from guestrepair.system.audit import Audit
from guestrepair.system.boot_drivers import BootDrivers, of_default_entry
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.boot_programs import BootPrograms, find_boot_programs
from guestrepair.system.built_in import BuiltIn
from guestrepair.system.clock import Clock
from guestrepair.system.cloud_init import CloudInit
from guestrepair.system.contents import Contents
from guestrepair.system.drivers import Drivers
from guestrepair.system.fact import Unreadable, fact
from guestrepair.system.file_contents import FileContents
from guestrepair.system.files import Files
from guestrepair.system.filesystems import Filesystems
from guestrepair.system.firewall.firewall import Firewall
from guestrepair.system.first_boot import FirstBoot
from guestrepair.system.free_space import FreeSpace
from guestrepair.system.hosts_access import AccessFile, read_hosts_access
from guestrepair.system.initramfs_tools import ModulesPolicy, read_modules_policy
from guestrepair.system.kernel_settings import KernelSettings
from guestrepair.system.kernels import Kernels
from guestrepair.system.leftovers import Leftovers
from guestrepair.system.libraries import Libraries
from guestrepair.system.limits import Limits
from guestrepair.system.login_rules import LoginRules
from guestrepair.system.logs import Logs
from guestrepair.system.machine_id import MachineId
from guestrepair.system.mounts import Mounts
from guestrepair.system.needs import Needs
from guestrepair.system.network import Network
from guestrepair.system.package_runs import PackageRuns
from guestrepair.system.packaged import Packaged
from guestrepair.system.pam import Pam
from guestrepair.system.partitions import Partitions
from guestrepair.system.readers import Readers
from guestrepair.system.root_needs import Need, root_needs
from guestrepair.system.selinux import Selinux
from guestrepair.system.sshd.instances import Instances, find_instances
from guestrepair.system.sshd.sshd import Sshd, find_sshds
from guestrepair.system.sudoers import Sudoers
from guestrepair.system.support import Support, support_of
from guestrepair.system.systemd import Systemd
from guestrepair.system.time_sync import TimeSync
from guestrepair.system.tmpfiles import Tmpfiles
from guestrepair.system.usrmerge import BrokenLink, as_if_linked, broken_links


class System:
    """The facts of one guest; ``packages`` is None where it has no package database that can be read."""

    def __init__(self, guest: Guest, packages: PackageDatabase | None = None) -> None:
        self._guest = guest
        self.packages = packages

    @property
    def os(self) -> OperatingSystem:
        """Which system it is."""
        return self._guest.os

    @property
    def block(self) -> BlockDevices:
        """What is on its disks."""
        return self._guest.block

    @property
    def mounted(self) -> tuple[Mount, ...]:
        """What is mounted where, for this examination."""
        return self._guest.mounts

    @property
    def unmounted(self) -> tuple[tuple[str, str], ...]:
        """Mount points of the guest that could not be mounted, each with the reason."""
        return self._guest.unmounted

    @fact
    def broken_links(self) -> tuple[BrokenLink, ...]:
        """The links of a merged /usr that are missing or wrong."""
        return broken_links(self._guest, self.packages)

    @fact
    def view(self) -> Guest:
        """The guest as it will be once those links are whole: for system/ and packages/, not for rules."""
        return as_if_linked(self._guest, self.broken_links)

    @fact
    def account_files(self) -> AccountFiles:
        """passwd, shadow and group as they lie on the disk."""
        return AccountFiles(self.view)

    @fact
    def accounts(self) -> Accounts:
        """Its accounts and groups."""
        return Accounts(self.view, self.account_files)

    @fact
    def addresses(self) -> NamedAddresses:
        """The addresses that its network configuration names."""
        return NamedAddresses(self.view)

    @fact
    def alternatives(self) -> tuple[Alternative | Unreadable, ...]:
        """What update-alternatives keeps; none where nothing keeps them."""
        return tuple(read_alternatives(self.view))

    @fact
    def boot_drivers(self) -> BootDrivers | None:
        """What the default entry's kernel and initramfs can drive; None where one of them is not whole."""
        return of_default_entry(self.boot_loader, self.kernels, self.drivers)

    @fact
    def audit(self) -> Audit:
        """Its audit daemon."""
        return Audit(self.view, self.systemd)

    @fact
    def boot_loader(self) -> BootLoader:
        """Its boot loader: configurations, entries, and the loader's own parts."""
        return BootLoader(self.view)

    @fact
    def boot_packages(self) -> frozenset[Package]:
        """The packages whose files boot and login need; none without a database that can be read."""
        if self.packages is None:
            return frozenset()
        paths = (*self.boot_programs.paths, *self.libraries.of_boot.files)
        owners = self.packages.lookup_many(map(str, paths))
        return frozenset(file.package for files in owners.values() for file in files)

    @fact
    def boot_programs(self) -> BootPrograms:
        """The programs and modules without which it does not boot or nobody logs in."""
        return find_boot_programs(self.view)

    @fact
    def clock(self) -> Clock:
        """Its time zone."""
        return Clock(self.view)

    @fact
    def built_in(self) -> BuiltIn:
        """What its kernels and initramfs images were made with."""
        return BuiltIn(self.view)

    @fact
    def cloud_init(self) -> CloudInit:
        """cloud-init: its configuration, its data, and whether boot starts it."""
        return CloudInit(self.view, self.systemd, self.boot_loader)

    @fact
    def contents(self) -> Contents:
        """What packaged files hold, against what the database says."""
        return Contents(self.view)

    @fact
    def drivers(self) -> Drivers:
        """The modules of its kernels."""
        return Drivers(self.view)

    @fact
    def file_contents(self) -> FileContents:
        """What any of its files hold, as far as somebody asks for it."""
        return FileContents(self.view)

    @fact
    def files(self) -> Files:
        """What lies at the paths of the guest."""
        return Files(self.view)

    @fact
    def filesystems(self) -> Filesystems:
        """What its filesystems' bytes, checkers and sizes tell."""
        return Filesystems(self._guest)

    @fact
    def firewall(self) -> Firewall:
        """The packet filter that it loads at boot."""
        return Firewall(self)

    @fact
    def first_boot(self) -> FirstBoot:
        """What a copy of it is given when it boots for the first time."""
        return FirstBoot(self)

    @fact
    def free_space(self) -> FreeSpace:
        """What its image keeps in the free space of its filesystems."""
        return FreeSpace(self._guest)

    @fact
    def hosts_access(self) -> tuple[AccessFile, ...]:
        """The rules of TCP wrappers."""
        return read_hosts_access(self.view)

    @fact
    def kernel_settings(self) -> KernelSettings:
        """What the kernel is told at boot beside its command line."""
        return KernelSettings(self.view, self.systemd, self.logs)

    @fact
    def initramfs_modules(self) -> ModulesPolicy | None:
        """Which modules initramfs-tools puts into its images; None where nothing says so."""
        return read_modules_policy(self.view)

    @fact
    def kernels(self) -> Kernels:
        """Its kernels, their modules and initramfs images."""
        return Kernels(self.view)

    @fact
    def leftovers(self) -> Leftovers:
        """What it has left on its disk that belongs to this machine alone."""
        return Leftovers(self.view, self.accounts)

    @fact
    def libraries(self) -> Libraries:
        """Which libraries programs are loaded with."""
        return Libraries(self.view, self.boot_programs)

    @fact
    def login_rules(self) -> LoginRules:
        """The lists of accounts that PAM modules ask."""
        return LoginRules(self.view)

    @fact
    def limits(self) -> Limits:
        """Its resource limits."""
        return Limits(self.view, self.pam, self.kernel_settings)

    @fact
    def logs(self) -> Logs:
        """What its programs logged."""
        return Logs(self.view)

    @fact
    def machine_id(self) -> MachineId:
        """The identity of the machine."""
        return MachineId(self.view)

    @fact
    def mounts(self) -> Mounts:
        """What fstab, crypttab and mount units name, and what they mean."""
        return Mounts(self.view, self.systemd, self.boot_loader, self.account_files)

    @fact
    def needs(self) -> Needs:
        """What boot and what login cannot do without."""
        return Needs(self.boot_programs, self.libraries)

    @fact
    def network(self) -> Network:
        """What its network cards get at boot."""
        return Network(self.view, self.systemd, self.boot_loader, self.cloud_init)

    @fact
    def owner_names(self) -> AccountNames:
        """What the numbers of owners and groups of files are called."""
        return AccountNames(self.view)

    @fact
    def package_runs(self) -> PackageRuns:
        """What the runs of its package managers left."""
        return PackageRuns(self.view)

    @fact
    def packaged(self) -> Packaged | None:
        """The packaged files by the names where they lie; None without a database that can be read."""
        return None if self.packages is None else Packaged(self.packages, self.files)

    @fact
    def pam(self) -> Pam:
        """Its PAM services."""
        return Pam(self.view)

    @fact
    def partitions(self) -> Partitions:
        """The partition tables of its disks."""
        return Partitions(self._guest)

    @fact
    def readers(self) -> Readers:
        """What reads its filesystems while it boots."""
        return Readers(self.packages)

    @fact
    def root_needs(self) -> tuple[Need, ...]:
        """The drivers and programs without which its root filesystem is mounted nowhere."""
        return root_needs(self.mounted, self.block)

    @fact
    def selinux(self) -> Selinux:
        """SELinux: configuration, policies, labels."""
        return Selinux(self.view, self.boot_loader)

    @fact
    def sshd(self) -> Sshd | None:
        """Its sshd, the first where boot starts several; None where none is installed."""
        return self.sshds[0] if self.sshds else None

    @fact
    def sshd_instances(self) -> Instances:
        """The units that start an sshd at boot."""
        return find_instances(self.view, self.systemd)

    @fact
    def sshds(self) -> tuple[Sshd, ...]:
        """Every sshd that boot starts, the packaged one where it starts none; () where none is installed."""
        return tuple(find_sshds(self))

    @fact
    def sudoers(self) -> Sudoers:
        """sudo's configuration."""
        return Sudoers(self.view, self.packages)

    @fact
    def support(self) -> Support:
        """Until when its release gets security updates."""
        return support_of(self.os)

    @fact
    def systemd(self) -> Systemd:
        """Its units."""
        return Systemd(self.view)

    @fact
    def time_sync(self) -> TimeSync:
        """What keeps its clock right."""
        return TimeSync(self)

    @fact
    def tmpfiles(self) -> Tmpfiles:
        """What systemd-tmpfiles does at boot."""
        return Tmpfiles(self.view)

    def unmounted_above(self, path: GuestPath) -> str:
        """The mount point over a path that could not be mounted here, with the reason; else empty."""
        for target, reason in self.unmounted:
            mount = GuestPath(target)
            if mount == path or mount in path.parents:
                return f"{target} is not mounted here ({reason})"
        return ""
