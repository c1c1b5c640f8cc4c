"""The commands of GRUB's scripts and the keys of boot loader entries, to tell which of a file's are neither.

GRUB prints an error for a command that it does not have, and goes on with the next one; a loader passes over
a key that it does not know. Sources: the GNU GRUB manual, *The list of commands*; grub-core/*/*.c,
grub_register_command(); the UAPI group's Boot Loader Specification, *Type #1*; Fedora's blscfg.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.formats.bootloader.entries import key_lines
from guestrepair.formats.bootloader.lexer import Statement, statements
from guestrepair.formats.words import word_set

_COMMANDS = word_set(
    """. [ [[ acpi authenticate background_color background_image badram blocklist blscfg boot break
    btrfs-info btrfs-mount-subvol btrfs-list-subvols cat cbmemc chainloader clear cmosclean cmosdump
    cmosset cmostest cmp cmdline_serial configfile continue coreboot_boottime cpuid crc cryptomount
    cutmem date devicetree distrust_certificate distrust_hash drivemap dump echo efi-watchdog
    efitextmode efivar eval exit export extract_entries_configfile extract_entries_source
    extract_legacy_entries_configfile extract_legacy_entries_source extract_syslinux_entries_configfile
    extract_syslinux_entries_source false fakebios fallback find_config_file fix_video freedos
    functional_test fwconfig fwsetup gcry_test getenv getkey gettext gptsync gfxmode halt hashsum hdparm
    hello help hexdump hiddenentry import inb increment initrd initrd16 initrdefi inl insmod inw json
    keymap keystatus kfreebsd kfreebsd_loadenv kfreebsd_module kfreebsd_module_elf knetbsd
    knetbsd_module knetbsd_module_elf kopenbsd kopenbsd_ramdisk legacy_configfile legacy_initrd
    legacy_initrd_nounzip legacy_kernel legacy_password legacy_source linux linux16 linuxefi
    list_certificates list_env list_hashes list_trusted load_env load_video loadbios loadfont loopback
    ls lsacpi lsapm lscoreboot lsefi lsefimmap lsefisystab lsfonts lsmmap lsmod lspci lssal
    luks2_keypair macppcbless mactelbless md5_hash_test md5sum menuentry minicmd module module2
    multiboot multiboot2 nativedisk net_add_addr net_add_dns net_add_route net_bootp net_bootp6 net_dhcp
    net_del_addr net_del_dns net_del_route net_get_dhcp_option net_ipv6_autoconf net_ls_addr
    net_ls_cards net_ls_dns net_ls_routes net_nslookup net_set_vlan normal normal_exit ntldr outb outl
    outw parttool password password_pbkdf2 pcidump plan9 play probe pxechainloader pxe_unload random
    read read_byte read_dword read_word reboot recordfail regexp resizegpt return rmmod save_env
    savedefault search search.file search.fs_label search.fs_uuid search_fs_label search_fs_uuid
    search_label sendkey serial set setparams setpci sha1sum sha256sum sha512sum shift sleep smbios
    source spkmodem srclist strlen submenu suspend syslinux_configfile syslinux_source terminal_input
    terminal_output terminfo test test_blockarg testload testspeed time tpm2_key_protector_init
    tpm2_key_protector_clear true trust trust_certificate truecrypt uefi unset uppermem usb usbtest
    vbeinfo vbetest verify_detached version versioncmd videoinfo videotest wrmsr rdmsr write_byte
    write_dword write_word xen_hypervisor xen_module xen_xsm xnu_devprop_load xnu_kernel xnu_kernel64
    xnu_kext xnu_kextdir xnu_mkext xnu_ramdisk xnu_resume xnu_splash zfs-bootfs zfs-info zfskey"""
)
_OPENS = frozenset({"if", "elif", "while", "until", "!", "then", "else", "do"})
_BLOCKS = frozenset({"menuentry", "submenu", "function"})
_SYNTAX = frozenset({"fi", "done", "for", "function", "menuentry", "submenu", "{", "}", "in"})
_KEYS = word_set(
    """title version machine-id sort-key linux linux16 linuxefi initrd initrd16 initrdefi efi uki uki-url
    profile options devicetree devicetree-overlay architecture id grub_users grub_arg grub_class
    grub_hotkey early_initrd blsdir extra"""
)


def unknown_commands(data: bytes) -> Iterator[tuple[int, str]]:
    """(line, name) of each command of a grub.cfg that GRUB does not have and the file does not define.

    Raises:
        FormatError: too large, or an unclosed quote.
    """
    found = list(statements(data))
    own = {s.words[1].text.rstrip("(){") for s in found if s.name == "function" and len(s.words) > 1}
    for statement in found:
        for name in _names(statement):
            plain = not (name in _COMMANDS or name in _SYNTAX or name in own)
            if plain and "=" not in name and "$" not in name:
                yield statement.line, name


def _names(statement: Statement) -> Iterator[str]:
    """The command of a statement: behind words that only introduce one, and behind an opening brace."""
    at_start = True
    for word in statement.words:
        if word.text == "{":
            at_start = True
        elif at_start and word.text not in _OPENS:
            yield word.text
            if word.text not in _BLOCKS:
                return  # what follows are its arguments
            at_start = False


def unknown_keys(data: bytes) -> Iterator[tuple[int, str]]:
    """(line, key) of each line of a boot loader entry that no loader knows; ``x-`` keys are anybody's.

    Raises:
        FormatError: too large, or more lines than any real entry.
    """
    for line in key_lines(data):
        if line.key not in _KEYS and not line.key.startswith(("x-", "#")):
            yield line.line, line.key
