"""The platforms' files: every one is read, every rule in it exists, and nothing misspelled is passed over."""

from __future__ import annotations

import datetime as dt

import pytest

from guestrepair.analyzers.base import all_rules
from guestrepair.cli.platforms import all_platforms, requirements
from guestrepair.errors import UsageError
from guestrepair.platforms.chosen import check_names, chosen
from guestrepair.platforms.load import load, names, parse_platform
from guestrepair.platforms.model import asked
from guestrepair.platforms.parameters import (
    KINDS,
    Agent,
    Firmware,
    NicDriver,
    Parameters,
    StorageDriver,
    is_proved_by_boots,
)

NAMES = {
    "kvm", "openstack", "aws-nitro", "aws-xen", "azure-gen1", "azure-gen2", "azure-nvme", "gce", "alibaba",
    "tencent", "huawei", "vmware", "virtualbox", "hyper-v",
}  # fmt: skip
ONE = """\
title = "a platform"
[[requirement]]
rule = "platform/console"
any = ["ttyS0"]
why = "because"
source = "https://example.org/a"
read = 2026-11-30
"""


def test_the_platforms_that_there_are() -> None:
    assert set(names()) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_file_is_whole_and_its_rules_exist(name: str) -> None:
    rules = all_rules()
    platform = load(name)
    assert platform.requirements
    for each in platform.requirements:
        assert each.rule in rules, each.rule
        assert each.severity is None or each.severity in rules[each.rule].severities, each
        assert len(each.why) > 10
        assert each.read is None or each.read <= dt.date(2026, 11, 30)
    for rule in ("boot/initramfs-lacks-driver", "platform/nic-driver", "platform/firmware"):
        assert platform.requires(rule)
    shown = requirements(platform)
    for each in platform.requirements:
        assert each.rule in shown
        assert each.source in shown
    assert name in all_platforms()


def test_every_rule_that_can_be_required_exists() -> None:
    assert set(KINDS) <= set(all_rules())
    own = {rule for rule in all_rules() if rule.startswith("platform/")}
    assert own <= set(KINDS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "a platform"\n', "", "title"),
        ("title", "titel", "titel is not known"),
        ("any", "anny", "takes no parameter anny"),
        ('any = ["ttyS0"]\n', "", "needs any"),
        ('["ttyS0"]', '"ttyS0"', "must be a list of words"),
        ('["ttyS0"]', "[]", "must be a list of words"),
        ('["ttyS0"]', '["tty S0"]', "is no word"),
        ("platform/console", "platform/consoles", "is no rule"),
        ("platform/console", "platform/firmware", "is none of bios, uefi"),
        ("platform/console", "platform/swap", "takes no parameter any"),
        ("https://example.org/a", "http://example.org/a", "https"),
        ("2026-11-30", '"2026-11-30"', "read must be"),
        ('why = "because"\n', "", "why is missing"),
        ("read =", 'severity = "bad"\nread =', "bad"),
        ("[[requirement]]", "[requirement]", "requirement"),
    ],
)
def test_what_is_not_understood_is_refused(old: str, new: str, said: str) -> None:
    assert parse_platform("a", ONE).requirements[0].rule == "platform/console"
    assert old in ONE
    with pytest.raises(ValueError, match=said):
        parse_platform("a", ONE.replace(old, new))


def test_a_requirement_stands_once() -> None:
    twice = ONE + ONE.partition("\n")[2]
    with pytest.raises(ValueError, match="twice"):
        parse_platform("a", twice)


def test_a_name_that_is_not_known_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="azure") as caught:
        check_names(("kvm", "azure"))
    assert "azure-gen2" in caught.value.hint
    assert check_names(("kvm", "gce", "kvm")) == ("kvm", "gce")


def test_what_several_ask_alike_is_asked_once() -> None:
    (cards,) = asked(chosen(("azure-gen1", "azure-gen2"), None), "platform/nic-driver")
    assert cards.platforms == ("azure-gen1", "azure-gen2")
    found = asked(chosen(("azure-gen1", "gce"), None), "platform/nic-driver")
    assert [each.platforms for each in found] == [("azure-gen1",), ("gce",), ("gce",)]


@pytest.mark.parametrize(
    ("parameters", "proved"),
    [
        (StorageDriver(any=("virtio-blk", "virtio-scsi")), True),
        (StorageDriver(any=("hyper-v",)), False),
        (NicDriver(any=("virtio-net",)), True),
        (NicDriver(any=("virtio-net", "ena")), False),
        (Firmware(any=("uefi",)), True),
        (Agent(any=("cloud-init",)), None),
    ],
)
def test_what_boots_prove_is_what_qemu_has(parameters: Parameters, *, proved: bool | None) -> None:
    assert is_proved_by_boots(parameters) is proved
