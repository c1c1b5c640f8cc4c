"""bad-config: files of cloud-init that it cannot read, or takes for nothing that it knows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import FormatError
from guestrepair.formats.cloud_config import UserData, kind_of, parse_yaml
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.cloud_init import MAIN, CloudInit
from guestrepair.system.cloud_seeds import CloudFile, Seed
from guestrepair.system.fact import Unreadable

BAD_CONFIG = Rule(
    name="cloud/bad-config",
    summary="cloud-init cannot read one of its files",
    severities=(Severity.WARNING, Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW,),
    what="A file of /etc/cloud, or the user-data, meta-data or network configuration of a seed directory or"
    " volume, is no YAML, or no mapping; or the user-data has no first line that says what it is"
    " (#cloud-config, #!…); or a volume labelled cidata or config-2 lacks a file without which it is no seed."
    " An error where it is cloud.cfg and no instance was set up yet; a note where cloud-init is disabled.",
    why="cloud-init logs a warning and goes on without the file: no user, no key, no network of it.",
    repair="#cloud-config as the first line where user-data is a mapping of its settings, for review."
    " YAML that is wrong has to be mended by somebody who knows what was meant.",
    example="users:\n\t- name: ann",
    sources=("cloud-init documentation, User-data formats", "cloudinit/util.py, load_yaml()"),
)
_LINE = re.compile(r"line (\d{1,9})")
_SETTINGS = frozenset(
    {
        "users", "ssh_authorized_keys", "packages", "runcmd", "write_files", "hostname", "fqdn", "chpasswd",
        "password", "ssh_pwauth", "bootcmd", "mounts", "package_update", "package_upgrade", "disable_root",
        "manage_etc_hosts", "growpart", "timezone", "locale", "ntp", "apt", "swap", "groups", "final_message",
        "power_state", "ssh_keys", "preserve_hostname",
    }
)  # fmt: skip


def check_config(context: Context) -> Iterator[Finding | Inconclusive]:
    """bad-config."""
    cloud = context.system.cloud_init
    if not cloud.is_installed:
        return
    for file in cloud.files:
        if isinstance(file, Unreadable):
            yield Inconclusive("cloud", file.error.message)
        else:
            yield from _configuration(cloud, file)
    for seed in cloud.seeds:
        yield from _seed(context, cloud, seed)


def _seed(context: Context, cloud: CloudInit, seed: Seed) -> Iterator[Finding | Inconclusive]:
    if seed.unread:
        yield Inconclusive(
            "cloud", f"{seed.where}: data for {seed.datasource}, not looked into: {seed.unread}"
        )
    if seed.missing:
        subject = (
            Subject.of_path(GuestPath(seed.where))
            if context.system.block.get(seed.where) is None
            else Subject.of_device(seed.where)
        )
        missing = ", ".join(seed.missing)
        yield BAD_CONFIG.finding(
            subject,
            f"{seed.where} is there for {seed.datasource}, which does not take it without {missing}",
            severity=Severity.NOTE if cloud.disabled_by else Severity.WARNING,
            evidence=(Evidence(seed.where, f"no {missing}", "a file of that name, even an empty one"),),
        )
    for file in (seed.meta_data, seed.network):
        if file is not None:
            yield from _no_mapping(cloud, file)
    if seed.user_data is not None:
        yield from _user_data(context, cloud, seed.user_data)


def _severity(cloud: CloudInit, path: GuestPath) -> Severity:
    if cloud.disabled_by:
        return Severity.NOTE
    first = path == MAIN and cloud.cached_instance_id is None
    return Severity.ERROR if first else Severity.WARNING


def _configuration(cloud: CloudInit, file: CloudFile) -> Iterator[Finding]:
    yield from _no_mapping(cloud, file)
    value = file.value.get("datasource_list") if isinstance(file.value, dict) else None
    if value is not None and not isinstance(value, list | str):
        yield _finding(
            cloud, file, "datasource_list is no list of names", "datasource_list: [ NoCloud, None ]"
        )


def _no_mapping(cloud: CloudInit, file: CloudFile) -> Iterator[Finding]:
    if isinstance(file.value, Unreadable):
        yield _finding(cloud, file, file.value.reason, "YAML")
    elif file.value is not None and not isinstance(file.value, dict):
        yield _finding(cloud, file, "no mapping of names to values", "NAME: VALUE lines")


def _user_data(context: Context, cloud: CloudInit, file: CloudFile) -> Iterator[Finding]:
    kind = kind_of(file.data)
    if kind is UserData.CONFIG:
        yield from _no_mapping(cloud, file)
    if kind is not UserData.UNKNOWN:
        return
    repair = None
    try:
        value = parse_yaml(file.data)
    except FormatError:
        value = None
    real = None if file.device or file.inline else context.system.files.resolve(file.path)
    if isinstance(value, dict) and _SETTINGS & value.keys() and real is not None:
        edit = Edit(offset=0, length=0, text=b"#cloud-config\n")
        change = EditFile(path=real, before=file.data, edits=(edit,))
        repair = Repair(f"begin {file.path} with #cloud-config", Safety.REVIEW, (change,))
    yield _finding(
        cloud,
        file,
        "its first line says nothing that cloud-init knows",
        "#cloud-config, #! or its like",
        repair,
    )


def _finding(
    cloud: CloudInit, file: CloudFile, observed: str, expected: str, repair: Repair | None = None
) -> Finding:
    line = _LINE.search(observed)
    if file.device:
        subject = Subject.of_device(file.device)
    else:
        subject = Subject.of_line(file.path, int(line[1])) if line else Subject.of_path(file.path)
    name = f"{file.path} on {file.device}" if file.device else str(file.path)
    return BAD_CONFIG.finding(
        subject,
        f"{name}: cloud-init cannot read it and goes on without it: {observed}",
        severity=_severity(cloud, file.path),
        evidence=(Evidence(str(subject), observed, expected),),
        repair=repair,
    )
