"""disabled, wrong-datasource, will-overwrite: what cloud-init will do at the next boot."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Severity, Subject
from guestrepair.system.cloud_init import CACHED_ID, MAIN, CloudFile, CloudInit, Seed

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
    " name the datasource that would read it.",
    why="cloud-init finds no data (or waits for a service that is not there): no user and no key is set up.",
    repair="None: add the datasource to datasource_list in a file of /etc/cloud/cloud.cfg.d.",
    example="datasource_list: [ Azure ]",
    sources=("cloud-init documentation, Datasources", "ds-identify"),
)
WILL_OVERWRITE = Rule(
    name="cloud/will-overwrite",
    summary="cloud-init will take the next boot for that of a new instance",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    what="The instance-id of the data on the disks is another one than that of the instance that was set up.",
    why="Host keys are made anew; host name, users' keys and passwords, and the network's configuration are"
    " written again as the data says.",
    repair="None: it may be wanted. Give the data the old instance-id to keep what is there.",
    example="/var/lib/cloud/data/instance-id: i-1; meta-data: instance-id: i-2",
    sources=("cloud-init documentation, First boot determination",),
)
DATASOURCES = {
    "alicloud": "AliYun",
    "aws": "Ec2",
    "azure": "Azure",
    "gcp": "GCE",
    "openstack": "OpenStack",
    "oci": "Oracle",
    "vmware": "VMware",
}
"""The datasource of each platform, for a check of a named one."""


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


def check_datasource(context: Context, platform: str = "") -> Iterator[Finding]:
    """wrong-datasource; with a platform's name, also whether its datasource may be used."""
    cloud = context.system.cloud_init
    if not cloud.is_installed or cloud.disabled_by:
        return
    allowed = cloud.datasource_list
    if allowed is None:
        return
    wanted = {seed.datasource: seed.where for seed in cloud.seeds}
    if platform in DATASOURCES:
        wanted.setdefault(DATASOURCES[platform], platform)
    if wanted and not set(wanted) & set(allowed):
        name, where = next(iter(wanted.items()))
        yield WRONG_DATASOURCE.finding(
            _where_listed(cloud),
            f"cloud-init may use {', '.join(allowed) or 'no datasource'}, and {where} needs {name}",
            evidence=(
                Evidence("datasource_list", ", ".join(allowed), f"{name} among them"),
                *map(_seed, cloud.seeds),
            ),
        )


def check_overwriting(context: Context) -> Iterator[Finding]:
    """will-overwrite."""
    cloud = context.system.cloud_init
    if not cloud.is_installed or cloud.disabled_by:
        return
    cached = cloud.cached_instance_id
    for seed in cloud.seeds:
        if cached is None or seed.instance_id is None or seed.instance_id == cached:
            continue
        if cloud.expected_datasource == seed.datasource:
            yield WILL_OVERWRITE.finding(
                Subject.of_path(CACHED_ID),
                f"cloud-init knows the instance {cached}, and {seed.where} is of {seed.instance_id}: at the"
                f" next boot {', '.join(_rewritten(cloud))} are written anew",
                evidence=(Evidence(str(CACHED_ID), cached, seed.instance_id), _seed(seed)),
            )
            return


def _rewritten(cloud: CloudInit) -> Iterator[str]:
    settings = cloud.settings
    if settings.get("ssh_deletekeys", True) is not False:
        yield "host keys"
    if settings.get("preserve_hostname") is not True:
        yield "the host name"
    network = settings.get("network")
    if not (isinstance(network, dict) and network.get("config") == "disabled"):
        yield "the network's configuration"
    if settings.get("manage_etc_hosts") not in (None, False):
        yield "/etc/hosts"
    yield "users' keys and passwords"


def _where_listed(cloud: CloudInit) -> Subject:
    """The last file that says datasource_list: it is the one that counts."""
    naming = [
        file.path
        for file in cloud.files
        if isinstance(file, CloudFile) and isinstance(file.value, dict) and "datasource_list" in file.value
    ]
    return Subject.of_path(naming[-1] if naming else MAIN)


def _seed(seed: Seed) -> Evidence:
    return Evidence(seed.where, f"data for {seed.datasource}")
