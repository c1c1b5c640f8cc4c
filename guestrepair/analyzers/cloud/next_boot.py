"""disabled, wrong-datasource, will-overwrite: what cloud-init will do at the next boot."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.cloud_config import UserData, Value, kind_of, merged
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Severity, Subject
from guestrepair.platforms.model import asked, of_kind
from guestrepair.platforms.parameters import Datasource
from guestrepair.system.cloud_init import CACHED_ID, MAIN, CloudInit
from guestrepair.system.cloud_seeds import Coming, Seed
from guestrepair.system.network.model import Manager

DISABLED = Rule(
    name="cloud/disabled",
    summary="cloud-init is installed and does not run at the next boot",
    severities=(Severity.NOTE, Severity.WARNING),
    effect=Effect.DEGRADES,
    what="A file, the kernel's command line or a mask keeps cloud-init from running. A warning where data for"
    " an instance lies on the disks: somebody expects it to be read.",
    why="Keys, users, host name and network of the instance are not set up.",
    repair="None: it may be wanted. Remove what the message names to have it run.",
    example="touch /etc/cloud/cloud-init.disabled",
    sources=("cloud-init documentation, How to disable cloud-init", "cloud-init-generator"),
)
WRONG_DATASOURCE = Rule(
    name="cloud/wrong-datasource",
    summary="cloud-init is not told to use the data that lies on the disks",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    what="There is a seed directory, or a volume labelled cidata or config-2, and datasource_list does not"
    " name the datasource that would read it; or a platform was named, and none of its datasources is in"
    " that list.",
    why="cloud-init finds no data (or waits for a service that is not there): no user and no key is set up.",
    repair="None: add the datasource to datasource_list in a file of /etc/cloud/cloud.cfg.d.",
    example="datasource_list: [ Azure ]",
    sources=("cloud-init documentation, Datasources", "ds-identify"),
)
WILL_OVERWRITE = Rule(
    name="cloud/will-overwrite",
    summary="cloud-init will take the next boot for that of a new instance",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    what="The instance-id of the data on the disks is another one than that of the instance that was set up."
    " A note where the data sends it elsewhere for the rest (seedfrom a web address), which cannot be seen.",
    why="Host keys are made again; host name, users' keys and passwords, and the network's configuration are"
    " written again as the data says. Each of them is named, as far as the data shows it.",
    repair="None: it may be wanted. Give the data the old instance-id to keep what is there.",
    example="/var/lib/cloud/data/instance-id: i-1; meta-data: instance-id: i-2",
    sources=("cloud-init documentation, First boot determination",),
)


def check_disabled(context: Context) -> Iterator[Finding]:
    """disabled."""
    cloud = context.system.cloud_init
    if not cloud.is_installed or not cloud.disabled_by:
        return
    by, seeds = cloud.disabled_by, cloud.seeds
    subject = Subject.of_path(GuestPath(by if by.startswith("/") else str(MAIN)))
    waiting = f", and {seeds[0].where} holds data for it" if seeds else ""
    yield DISABLED.finding(
        subject,
        f"cloud-init does not run at the next boot: {by}{waiting}",
        severity=Severity.WARNING if seeds else Severity.NOTE,
        evidence=(Evidence(by, "keeps cloud-init from running"), *map(_seed, seeds)),
    )


def check_datasource(context: Context) -> Iterator[Finding]:
    """wrong-datasource: that of the data on the disks, else those of the platforms that were named."""
    cloud = context.system.cloud_init
    if not cloud.is_installed or cloud.disabled_by:
        return
    identify, allowed = cloud.identify, cloud.datasource_list
    if identify.datasource and identify.mode in {"search", "report"}:
        allowed = (identify.datasource,)
    if allowed is None:
        return
    # What the command line asks for is up to the release: newer ones take it for an order.
    seeds = {seed.datasource: seed.where for seed in cloud.seeds if seed.is_taken and not seed.is_told}
    needs = [f"{where} needs {name}" for name, where in seeds.items()][:1]
    if set(seeds) & set(allowed):
        needs = []
    of_platforms = [
        (each.platforms, source.any)
        for each, source in of_kind(asked(context.platforms, WRONG_DATASOURCE.name), Datasource)
        if not set(source.any) & set(allowed)
    ]
    needs += [f"{', '.join(who)} needs {' or '.join(sources)}" for who, sources in of_platforms]
    if needs:
        yield WRONG_DATASOURCE.finding(
            Subject.of_path(cloud.listed_in),
            f"cloud-init may use {', '.join(allowed) or 'no datasource'}, and {'; '.join(needs)}",
            evidence=(
                Evidence("datasource_list", ", ".join(allowed), "; ".join(needs)),
                *map(_seed, cloud.seeds),
            ),
            platforms=tuple(name for who, _ in of_platforms for name in who),
        )


def check_overwriting(context: Context) -> Iterator[Finding]:
    """will-overwrite."""
    cloud = context.system.cloud_init
    if not cloud.is_installed or cloud.disabled_by or cloud.keeps_instance:
        return
    cached, coming = cloud.cached_instance_id, cloud.coming
    if cached is None or not coming.seeds:
        return
    remote = next((seed for seed in coming.seeds if seed.is_remote), None)
    if coming.instance_id is None and remote is not None:
        yield WILL_OVERWRITE.finding(
            Subject.of_path(CACHED_ID),
            f"cloud-init knows the instance {cached}; {remote.where} sends it to {remote.elsewhere} for its"
            " data, and whether that is of another instance cannot be seen here",
            severity=Severity.NOTE,
            evidence=(Evidence(remote.where, f"seedfrom {remote.elsewhere}"),),
        )
    if coming.instance_id is None or coming.instance_id == cached:
        return
    seed = next((s for s in coming.seeds if s.instance_id is not None), coming.seeds[0])
    written = list(_rewritten(context, cloud, coming))
    yield WILL_OVERWRITE.finding(
        Subject.of_path(CACHED_ID),
        f"cloud-init knows the instance {cached}, and {seed.where} is of {coming.instance_id}: at the"
        f" next boot {', '.join(written)} are written again",
        severity=Severity.WARNING,
        evidence=(
            Evidence(str(CACHED_ID), cached, coming.instance_id),
            *(_seed(each) for each in coming.seeds),
        ),
    )


def _rewritten(context: Context, cloud: CloudInit, coming: Coming) -> Iterator[str]:
    """What the modules of a first boot write, by file where that is known."""
    settings = merged(dict(coming.settings), cloud.settings)
    if settings.get("ssh_deletekeys", True) is not False:
        yield "host keys (/etc/ssh/ssh_host_*)"
    if settings.get("preserve_hostname") is not True:
        name = settings.get("fqdn") or settings.get("hostname") or coming.hostname
        yield f"the host name (/etc/hostname: {name})" if name else "the host name"
    network = cloud.settings.get("network")
    if not (isinstance(network, dict) and network.get("config") == "disabled"):
        yield f"the network's configuration ({_rendered(context)})"
    if settings.get("manage_etc_hosts") not in (None, False):
        yield "/etc/hosts"
    mounts = _items(settings.get("mounts"))
    if mounts:
        yield f"/etc/fstab ({', '.join(_first(each) for each in mounts[:_MAX_NAMED])})"
    yield f"keys and passwords of {', '.join(_users(settings)) or 'users'}"
    files = [_text_of(each, "path") for each in _items(settings.get("write_files"))]
    yield from [name for name in files if name][:_MAX_NAMED]
    user = coming.user_data
    if user is not None and kind_of(user.data) not in {UserData.CONFIG, UserData.EMPTY, UserData.UNKNOWN}:
        yield f"what its user-data ({kind_of(user.data)}) writes"


_MAX_NAMED = 10
_RENDERED = {
    Manager.NETPLAN: "/etc/netplan/50-cloud-init.yaml",
    Manager.IFUPDOWN: "/etc/network/interfaces.d/50-cloud-init",
    Manager.INITSCRIPTS: "/etc/sysconfig/network-scripts/ifcfg-*",
    Manager.WICKED: "/etc/sysconfig/network/ifcfg-*",
    Manager.NETWORK_MANAGER: "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
    Manager.NETWORKD: "/etc/systemd/network/10-cloud-init-*.network",
}


def _rendered(context: Context) -> str:
    """The files of the first manager that is there; cloud-init asks for them in about this order."""
    programs = context.system.network.programs
    return next((files for manager, files in _RENDERED.items() if programs[manager].installed), "its files")


def _items(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _first(value: Value) -> str:
    """The name of a line of ``mounts``: where it is mounted, or what."""
    words = [str(each) for each in _items(value)[:2]]
    return words[-1] if words else str(value)


def _text_of(value: Value, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _users(settings: dict[str, Value]) -> list[str]:
    """Who gets keys or a password: the users of the data, and the image's own for ``default``."""
    info = settings.get("system_info")
    own = info.get("default_user") if isinstance(info, dict) else None
    default = _text_of(own, "name") or "its default user"
    listed = _items(settings.get("users")) or ["default"]
    names = [default if each == "default" else _text_of(each, "name") or str(each) for each in listed]
    if settings.get("disable_root") is not False:
        names.append("root (keys are locked)")
    return list(dict.fromkeys(name for name in names if len(name) < _MAX_NAME))[:_MAX_NAMED]


_MAX_NAME = 64


def _seed(seed: Seed) -> Evidence:
    return Evidence(seed.where, f"data for {seed.datasource}")
