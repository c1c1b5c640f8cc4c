"""A program for the appliance that has its kernel make new random numbers at once.

Machines that are resumed from one saved state would all draw the same: what is written to /dev/urandom
counts only when the kernel next reseeds itself, seconds later. The appliance has no program that asks
for it at once, nor an interpreter or compiler. So this is one: two system calls, for Linux on x86-64 only.

Sources: random(4), RNDRESEEDCRNG (Linux 4.17); elf(5); the AMD64 supplement to the System V ABI, A.2.1.
"""

from __future__ import annotations

import os
import struct

NAME = "guestrepair-reseed"

_ADDRESS = 0x400000
_HEADERS_BYTES = 64 + 56
_CODE = bytes.fromhex(
    "b810000000"  # mov eax, 16      ioctl(
    "31ff"  # xor edi, edi                 0,
    "be07520000"  # mov esi, 0x5207        RNDRESEEDCRNG,
    "31d2"  # xor edx, edx                 0)
    "0f05"  # syscall
    "89c7"  # mov edi, eax
    "f7df"  # neg edi            exit(-answer): 0, or the error's number
    "b83c000000"  # mov eax, 60
    "0f05"  # syscall
)


def program() -> bytes | None:
    """The program, an ELF file; its standard input is to be /dev/urandom. None for this kind of machine.

    Its exit status is 0 where the kernel did it, which takes CAP_SYS_ADMIN, and else the error's number.
    """
    if os.uname().machine != "x86_64":
        return None
    size = _HEADERS_BYTES + len(_CODE)
    header = struct.pack(
        "<4s12sHHIQQQIHHHHHH",
        b"\x7fELF", b"\x02\x01\x01", 2, 62, 1, _ADDRESS + _HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 64, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)
    return header + segment + _CODE
