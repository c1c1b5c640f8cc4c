"""What must not be found: the tables that distributions and clouds ship, and all that is odd but right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount
from guestrepair.model import Inconclusive
from tests.unit.analyzers.fstab_guest import (
    DATA,
    ESP,
    GONE,
    HEALTHY,
    HOME,
    ROOT,
    SWAP,
    analyze,
    device,
    findings,
    guest,
    part,
    repaired,
    rules,
    usual,
)

ESP_PART = part(15, "vfat", ESP, label="UEFI", part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b")


def cloud(label: str = "cloudimg-rootfs", content: str = "ext4") -> list[BlockDevice]:
    return [part(1, content, ROOT, label=label, partuuid=GONE), ESP_PART, part(14, "", "")]


TABLES = {
    "ubuntu cloud": (
        (
            "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,errors=remount-ro\t0 "
            "1\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n"
        ),
        cloud(),
    ),
    "ubuntu azure": (
        (
            f"# CLOUD_IMG: This file was created/modified by the Cloud Image build process\n"
            f"UUID={ROOT}\t/\t ext4\tdefaults,discard\t0 1\nUUID={ESP} /boot/efi vfat defaults,discard 0 0\n"
            "/dev/disk/cloud/azure_resource-part1\t/mnt\tauto\t"
            "defaults,nofail,x-systemd.requires=cloud-init.service,_netdev,comment=cloudconfig\t0\t2\n"
        ),
        cloud(),
    ),
    "debian cloud": (
        (
            f"PARTUUID={GONE} / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1\n"
            f"UUID={ESP} /boot/efi vfat defaults 0 0\n"
        ),
        cloud(),
    ),
    "amazon linux 2": (
        "#\nLABEL=/     /           xfs    defaults,noatime  1   1\n",
        cloud("/", "xfs"),
    ),
    "amazon linux 2023": (
        (
            f"#\nUUID={ROOT}     /           xfs    defaults,noatime  1   1\n"
            f"UUID={ESP}        /boot/efi       vfat    "
            "defaults,noatime,uid=0,gid=0,umask=0077,shortname=winnt,"
            "x-systemd.automount 0 2\n"
        ),
        cloud("/", "xfs"),
    ),
    "nixos": (
        "/dev/disk/by-label/nixos / ext4 defaults 0 1\n/dev/disk/by-uuid/"
        + ESP
        + " /boot vfat fmask=0077 0 2\n",
        cloud("nixos"),
    ),
    "old debian with pseudo filesystems": (
        (
            f"proc /proc proc defaults 0 0\nUUID={ROOT} / ext3 errors=remount-ro 0 1\n"
            "/dev/scd0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n/dev/fd0 "
            "/media/floppy0 auto rw,user,noauto 0 0\n"
            "tmpfs /tmp tmpfs defaults,noatime,mode=1777 0 0\ndevpts /dev/pts devpts gid=5,mode=620 0 0\n"
            "sysfs /sys sysfs defaults 0 0\nnone /dev/shm tmpfs defaults 0 0\n"
        ),
        cloud(content="ext3"),
    ),
    "alpine": (
        (
            f"UUID={ROOT}\t/\text4\trw,relatime 0 "
            f"1\nUUID={ESP}\t/boot/efi\tvfat\trw,relatime,fmask=0022,dmask=0022,"
            "codepage=437,iocharset=utf8,shortname=mixed,errors=remount-ro 0 2\n"
            "/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n/dev/usbdisk\t/media/usb\tvfat\tnoauto\t0 0\n"
            "tmpfs\t/tmp\ttmpfs\tnosuid,nodev\t0\t0\n"
        ),
        cloud(),
    ),
    "raspberry": (
        (
            f"proc            /proc           proc    defaults          0       0\nPARTUUID={GONE}  /  ext4"
            "    defaults,noatime  0       1\n# a swapfile is not a swap partition, no line here\n"
        ),
        cloud(),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_shipped(name: str) -> None:
    text, devices = TABLES[name]
    made = guest(text, devices, root="/dev/sda1")
    assert rules(made) == []
    assert repaired(made) == text


def test_fedora() -> None:
    devices = [
        part(1, "vfat", ESP, part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
        part(2, "ext4", HOME),
        part(3, "btrfs", ROOT, subvolumes=("root", "home", "var/lib/machines")),
    ]
    text = (
        f"\n#\n# /etc/fstab\n# Created by anaconda\n#\n"
        f"UUID={ROOT} /                       btrfs   subvol=root,compress=zstd:1 0 0\n"
        f"UUID={HOME} /boot                   ext4    defaults        1 2\n"
        f"UUID={ESP}          /boot/efi               vfat    umask=0077,shortname=winnt 0 2\n"
        f"UUID={ROOT} /home                   btrfs   subvol=home,compress=zstd:1 0 0\n"
    )
    made = guest(text, devices)
    made.mounts = (Mount("/dev/sda3", "/", "btrfs", subvolume="root"),)
    made.directory("/boot/efi")
    assert rules(made) == []


def test_suse() -> None:
    names = ("var", "usr/local", "srv", "root", "opt", "home", "boot/grub2/x86_64-efi", "boot/grub2/i386-pc")
    devices = [
        part(
            2,
            "btrfs",
            ROOT,
            subvolumes=("@", "@/.snapshots", "@/.snapshots/1/snapshot", *(f"@/{n}" for n in names)),
        ),
        part(1, "vfat", ESP),
        part(3, "swap", SWAP),
    ]
    text = f"UUID={ROOT}  /                       btrfs  defaults                      0  0\n"
    text += "".join(f"UUID={ROOT}  /{n}  btrfs  subvol=/@/{n}  0  0\n" for n in names)
    text += f"UUID={ESP}  /boot/efi vfat utf8  0  2\nUUID={SWAP}  swap  swap  defaults  0  0\n"
    text += f"UUID={ROOT}  /.snapshots  btrfs  subvol=/@/.snapshots  0  0\n"
    made = guest(text, devices, root="/dev/sda2")
    made.mounts = (Mount("/dev/sda2", "/", "btrfs", subvolume="@/.snapshots/1/snapshot"),)
    for name in (*names, ".snapshots"):
        made.directory(f"/{name}")
    assert rules(made) == []


def test_rhel_on_lvm() -> None:
    def volume(name: str, content: str, uuid: str) -> BlockDevice:
        return device(
            f"/dev/rhel_my-host/{name}", content, uuid, kind=DeviceKind.LOGICAL_VOLUME, parents=("/dev/sda3",)
        )

    devices = [
        part(1, "vfat", ESP),
        part(2, "xfs", HOME),
        part(3, "LVM2_member", "x"),
        volume("root", "xfs", ROOT),
        volume("swap", "swap", SWAP),
    ]
    text = (
        "/dev/mapper/rhel_my--host-root /                       xfs     defaults        0 0\n"
        f"UUID={HOME} /boot                   xfs     defaults        0 0\n"
        f"UUID={ESP}          /boot/efi               vfat    umask=0077,shortname=winnt 0 2\n"
        "/dev/mapper/rhel_my--host-swap none                    swap    defaults        0 0\n"
    )
    assert rules(guest(text, devices, root="/dev/rhel_my-host/root")) == []


ODD_BUT_RIGHT = [
    "UUID=" + GONE + " /data ext4 defaults,nofail 0 2",
    "/dev/vdb /mnt auto defaults,nofail,x-systemd.requires=cloud-init.service,comment=cloudconfig 0 2",
    "/dev/xvdb /mnt auto defaults,nofail,comment=cloudconfig 0 2",
    "/srv /data none bind 0 0",
    "/srv /data none defaults,rbind,x-systemd.requires-mounts-for=/srv 0 0",
    "tmpfs /run/lock tmpfs nodev,nosuid 0 0",
    "tmpfs /tmp tmpfs size=2G 0 0",
    "nas:/export/home /mnt nfs4 defaults,_netdev 0 0",
    "nas:/export/home /mnt nfs rw,hard,intr 0 0",
    "//server/share /mnt cifs credentials=/root/.smb,uid=1000,iocharset=utf8 0 0",
    "share /mnt 9p trans=virtio,version=9p2000.L,rw 0 0",
    "shared /mnt virtiofs defaults 0 0",
    "tank/data /mnt zfs defaults 0 0",
    "user@host:/dir /mnt fuse.sshfs noauto,x-systemd.automount,_netdev 0 0",
    "overlay /mnt overlay lowerdir=/a,upperdir=/b,workdir=/c 0 0",
    r"/srv/my\040files /data none bind 0 0",
    "hugetlbfs /dev/hugepages hugetlbfs mode=1770 0 0",
    "/dev/sdb1 /media/usb auto noauto,user 0 0",
    "/dev/disk/by-id/google-data-disk /data ext4 discard,defaults,nofail 0 2",
    "/dev/disk/by-id/scsi-0QEMU_x-part3 /data ext4 nofail 0 2",
    "/dev/mapper/mpatha1 /data xfs defaults,_netdev 0 0",
    "/dev/nbd0 /data ext4 defaults 0 0",
    f"UUID={DATA} /data ext4 defaults 0 2 # with a comment behind all six fields",
    f"UUID={DATA} /data ext4 x-systemd.device-timeout=1min,x-systemd.makefs,x-gvfs-show 0 2",
    f'UUID="{DATA}" /data auto defaults 0 2',
    f"UUID={DATA}    /data/    ext4",
    f"   UUID={DATA} /data ext4 defaults 0 2",
]


@pytest.mark.parametrize("line", ODD_BUT_RIGHT)
def test_odd_but_right(line: str) -> None:
    text = f"{HEALTHY}{line}\n"
    made = guest(text, [*usual(), part(5, "ext4", DATA)])
    for path in ("/srv/my files", "/a", "/b", "/c"):
        made.directory(path)
    assert rules(made) == []
    assert repaired(made) == text


def test_a_btrfs_root_mounted_again_at_its_top() -> None:
    devices = [part(3, "btrfs", ROOT, subvolumes=("@",))]
    text = f"UUID={ROOT} / btrfs subvol=@ 0 0\nUUID={ROOT} /mnt btrfs subvolid=5,noauto 0 0\n"
    assert rules(guest(text, devices)) == []


def test_encrypted_swap_made_anew_at_each_boot() -> None:
    made = guest(HEALTHY.replace(f"UUID={SWAP}", "/dev/mapper/cryptswap1"))
    made.file(
        "/etc/crypttab", f"cryptswap1 UUID={GONE} /dev/urandom swap,offset=1024,cipher=aes-xts-plain64\n"
    )
    assert rules(made) == []


def test_labels_with_blanks_as_udev_writes_them() -> None:
    devices = [*usual(), part(5, "ext4", DATA, label="my data")]
    made = guest(HEALTHY + "/dev/disk/by-label/my\\x20data /data ext4 defaults 0 2\n", devices)
    assert rules(made) == []


# --- hostile bytes ------------------------------------------------------------------

_SOURCES = [*(f"UUID={u}" for u in (ROOT, ESP, SWAP, DATA, GONE)), "/dev/sda3", "/dev/vdb1", "LABEL=x"]
_TYPES = ["ext4", "xfs", "vfat", "btrfs", "auto", "nfs", "swap", 'TYPE="ext4"']
_OTHERS = ["/", "/data", "/data/x", "/usr", "none", "0", "1", "2", "#", "/dev/mapper/a-b", "\0", "\r", "é"]
_OPTIONS = ["defaults", "nofail", "bind", "errors=remount-ro"]
_WORDS = st.sampled_from([*_SOURCES, *_TYPES, *_OTHERS, *_OPTIONS])
_TABLE = st.lists(st.lists(_WORDS, max_size=7).map(" ".join), max_size=6).map("\n".join)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_TABLE, st.booleans())
@example(text=f"UUID={DATA} swap ext4 /data UUID={DATA}", ends=False)
@example(text=f"UUID={DATA} swap UUID={DATA} /data", ends=True)
def test_any_table_is_judged_and_its_repair_holds(text: str, ends: bool) -> None:
    made = guest((text + "\n" * ends).encode(), [*usual(), part(5, "ext4", DATA, label="data")])
    found, _ = analyze(made)
    before = {(f.rule, f.subject) for f in found}
    after = repaired(made)
    made.file("/etc/fstab", after)
    again, _ = analyze(made)
    safe = {(f.rule, f.subject) for f in found if f.repair and f.repair.safety == "safe"}
    left = {(f.rule, f.subject) for f in again}
    assert not {f for f in safe & left if f[0] not in {"fstab/order", "fstab/target-missing"}}
    for finding in again:
        if finding.severity != "note" and finding.rule != "fstab/order":
            assert (finding.rule, finding.subject) in before


@given(st.binary(max_size=200), st.binary(max_size=100), st.binary(max_size=200))
def test_any_bytes(table: bytes, crypttab: bytes, grub: bytes) -> None:
    made = guest(table)
    made.file("/etc/crypttab", crypttab)
    made.file("/boot/grub/grub.cfg", grub)
    made.file("/etc/fstab.old", table[::-1])
    found, inconclusive = analyze(made)
    assert all(f.rule.startswith("fstab/") for f in found)
    assert all(isinstance(i, Inconclusive) for i in inconclusive)


@pytest.mark.corpus
@pytest.mark.skipif(not os.environ.get("CORPUS"), reason="CORPUS names no folder of published tables")
def test_published_tables() -> None:
    for path in sorted((Path(os.environ["CORPUS"]) / "fstab").iterdir()):
        found = findings(guest(path.read_bytes()))
        malformed = [f for f in found if f.rule == "fstab/malformed-line"]
        assert len(malformed) == (2 if path.name == "fstab.broken" else 0), path.name
