"""The tables of mount options against the parameters that the kernel declares (Linux 6.12 to 6.16)."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.fstab.options import bad_options

# ext4_param_specs, xfs_fs_parameters, btrfs_fs_parameters, fat_param_spec; a value where one is due.
KERNEL = {
    "ext4": """
        bsddf minixdf grpid bsdgroups nogrpid sysvgroups resgid=0 resuid=0 sb=1 errors=panic nouid32
        debug oldalloc orlov user_xattr acl norecovery noload bh nobh commit=5 min_batch_time=0
        max_batch_time=1 journal_dev=1 journal_path=/dev/x journal_checksum nojournal_checksum
        journal_async_commit abort data=ordered data_err=abort usrjquota=x grpjquota=x jqfmt=vfsv1
        grpquota quota noquota usrquota prjquota barrier barrier=1 nobarrier i_version dax
        dax=always stripe=1 delalloc nodelalloc warn_on_error nowarn_on_error
        debug_want_extra_isize=1 mblk_io_submit nomblk_io_submit block_validity noblock_validity
        inode_readahead_blks=32 journal_ioprio=3 auto_da_alloc auto_da_alloc=1 noauto_da_alloc
        dioread_nolock nodioread_nolock dioread_lock discard nodiscard init_itable init_itable=10
        noinit_itable max_dir_size_kb=1 test_dummy_encryption inlinecrypt nombcache no_mbcache
        prefetch_block_bitmaps no_prefetch_block_bitmaps mb_optimize_scan=1 check=none nocheck
        reservation noreservation journal=1
        """,
    "xfs": """
        logbufs=8 logbsize=32k logdev=/dev/x rtdev=/dev/x wsync noalign swalloc sunit=1 swidth=1
        nouuid grpid nogrpid bsdgroups sysvgroups allocsize=64k norecovery inode64 inode32 ikeep
        noikeep largeio nolargeio attr2 noattr2 filestreams quota noquota usrquota grpquota prjquota
        uquota gquota pquota uqnoenforce gqnoenforce pqnoenforce qnoenforce discard nodiscard dax
        dax=inode max_open_zones=1 lifetime nolifetime max_atomic_write=4k
        """,
    "btrfs": """
        acl noacl autodefrag noautodefrag barrier nobarrier clear_cache commit=30 compress
        compress=zstd:3 compress-force compress-force=lzo datacow nodatacow datasum nodatasum
        degraded device=/dev/x discard nodiscard discard=async fatal_errors=bug flushoncommit
        noflushoncommit max_inline=0 metadata_ratio=1 rescan_uuid_tree skip_balance space_cache
        nospace_cache space_cache=v2 ssd nossd ssd_spread nossd_spread subvol=@ subvolid=5
        thread_pool=4 treelog notreelog user_subvol_rm_allowed rescue=all nologreplay usebackuproot
        norecovery enospc_debug noenospc_debug fragment=data ref_verify ref_tracker
        """,
    "vfat": """
        check=n uid=0 gid=0 umask=077 dmask=077 fmask=077 allow_utime=20 codepage=437 usefree nocase
        quiet showexec debug sys_immutable flush tz=UTC time_offset=60 errors=continue discard nfs
        nfs=stale_rw dos1xfloppy conv=b fat=32 blocksize=512 cvf_format=x cvf_options=x posix
        shortname=mixed utf8 utf8=1 uni_xlate nonumtail iocharset=utf8 rodir
        """,
    "msdos": "dots nodots dotsOK=yes check=r",
}
CASES = [(fs_type, option) for fs_type, options in KERNEL.items() for option in options.split()]


@pytest.mark.parametrize(("fs_type", "option"), CASES)
def test_what_the_kernel_takes_is_never_bad(fs_type: str, option: str) -> None:
    assert bad_options(fs_type, (option, "ro")) == ()


@pytest.mark.parametrize(
    ("fs_type", "options", "bad"),
    [
        ("xfs", ("norecovery",), True),
        ("xfs", ("ro", "norecovery", "rw"), True),
        ("xfs", ("rw", "norecovery", "ro"), False),
        ("btrfs", ("nologreplay",), True),
        ("btrfs", ("rescue=all", "ro"), False),
        ("ext4", ("norecovery",), False),
    ],
)
def test_a_log_that_is_not_read_is_for_reading_only(
    fs_type: str, options: tuple[str, ...], *, bad: bool
) -> None:
    assert [b.option for b in bad_options(fs_type, options)] == [
        o for o in options if bad and o.startswith("no")
    ]


@pytest.mark.parametrize(
    ("fs_type", "option", "right"),
    [
        ("xfs", "uqota", None),
        ("xfs", "gqota", "gquota"),
        ("xfs", "pqota", "pquota"),
        ("ext4", "journal_cheksum", "journal_checksum"),
        ("btrfs", "comprss=zstd", "compress=zstd"),
        ("vfat", "unmask=077", "umask=077"),
        ("xfs", "errors=remount-ro", None),
        ("vfat", "subvol=@", None),
        # A correction that would be refused in its turn is none, or is corrected as well.
        ("ext4", "/data", None),
        ("ext4", "daat=orderd", "data=ordered"),
    ],
)
def test_what_no_kernel_takes_is_bad(fs_type: str, option: str, right: str | None) -> None:
    (bad,) = bad_options(fs_type, (option,))
    assert (bad.option, bad.instead) == (option, right)
