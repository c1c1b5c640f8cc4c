"""Partition tables with bytes changed wherever something is read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guestrepair.disk.tables import PartitionTable, TableError
from tests.unit.disk.test_tables import MIB, gpt, overwrite, table


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_tables_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    image = gpt(tmp_path)
    for _ in range(data.draw(st.integers(1, 6))):
        where = data.draw(st.sampled_from([0, 440, 446, 512, 540, 584, 1024, 1152, 64 * MIB - 512]))
        overwrite(image, where + data.draw(st.integers(0, 60)), data.draw(st.binary(min_size=1, max_size=16)))
    with suppress(TableError):
        assert isinstance(table(image), PartitionTable)
