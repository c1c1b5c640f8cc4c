"""A program of its own: print what libparted reads from a file, as JSON on standard output.

Run as ``python -I -S parted_reader.py FILE DIRECTORY…``, the directories being those that
hold Python's packages. libparted is C and ends the process
where one of its assertions fails; the bytes it is given here come from a guest.
So it runs in a child with limits on time, memory and writing, and imports
nothing of this project.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

_CPU_SECONDS = 5
_MEMORY_BYTES = 1024 * 1024 * 1024
_MAX_PARTITIONS = 1024


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _read(path: str) -> dict[str, Any]:
    import _ped
    import parted

    remarks: list[str] = []

    def answer(_kind: int, options: int, message: str) -> int:
        # Nothing is ever written: a question whether to fix is answered with "ignore".
        remarks.append(" ".join(message.split()))
        for choice in (_ped.EXCEPTION_RESOLVE_IGNORE, _ped.EXCEPTION_RESOLVE_OK, _ped.EXCEPTION_RESOLVE_NO):
            if options & choice:
                return int(choice)
        return int(_ped.EXCEPTION_RESOLVE_CANCEL)

    parted.register_exn_handler(answer)
    try:
        disk = parted.newDisk(parted.getDevice(path))
    except (
        parted.IOException,
        parted.DiskException,
        parted.DeviceException,
        parted.PartedException,
    ) as error:
        return {"label": "", "partitions": [], "remarks": [*remarks, str(error)]}
    partitions = [_partition(disk, part) for part in disk.partitions[:_MAX_PARTITIONS]]
    return {"label": disk.type, "partitions": partitions, "remarks": remarks}


def _partition(disk: Any, part: Any) -> dict[str, Any]:
    import parted

    return {
        "number": part.number,
        "start": part.geometry.start,
        "length": part.geometry.length,
        "name": part.name or "" if disk.supportsFeature(parted.DISK_TYPE_PARTITION_NAME) else "",
        "flags": [f.strip() for f in part.getFlagsAsString().split(",") if f.strip()],
        "extended": bool(part.type & parted.PARTITION_EXTENDED),
    }


if __name__ == "__main__":
    _limit()
    sys.path.extend(sys.argv[2:])
    print(json.dumps(_read(sys.argv[1])))
