"""Tables of an image that claim to be many."""

from __future__ import annotations

import pytest

from guestrepair.disk.headers import Source, qcow2, qcow2_clusters
from guestrepair.errors import FormatError


def test_many_tables_in_few_bytes_cost_little() -> None:
    """An L1 table whose entries all lead to one L2 table of holes and clusters."""
    size = 1 << 16
    l1_entries = 4096
    header = qcow2.Header(
        version=3, cluster_bits=16, virtual_size_bytes=1 << 40, encryption=0, l1_entries=l1_entries,
        l1_offset=size, refcount_table_offset=0, refcount_table_clusters=1, refcount_order=4, snapshots=0,
        snapshots_offset=0, incompatible=0, backing_name="", backing_format=None, data_file=None,
    )  # fmt: skip
    table = b"".join(((size * 9) if n % 2 else 0).to_bytes(8, "big") for n in range(size // 8))
    l1 = (size * 2).to_bytes(8, "big") * l1_entries
    data = bytes(size) + l1.ljust(size, b"\0") + table
    source = Source.of(data)
    now = qcow2_clusters.active_map(header, source)
    with pytest.raises(FormatError, match="parts differ"):
        qcow2_clusters.other_clusters(header, source, now, qcow2_clusters.NOTHING)
