"""Arrow IPC files (also called Feather) and streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from homeostat.adapters.datasets.parts import Job, slices
from homeostat.adapters.datasets.places import Place
from homeostat.domain.errors import DataError

_FILE, _OLD = b"ARROW1", b"FEA1"


class ArrowPart:
    """An Arrow file or stream; the file of a local disk is mapped, not read."""

    rows = None
    guessed = False

    def __init__(self, place: Place) -> None:
        self.place = place
        with place.reading(), place.open() as source:
            start = source.read(len(_FILE))
        if start.startswith(_OLD):
            raise DataError(
                f"{place.name} is a Feather file of version 1, which is no longer read; "
                f"write it again as version 2"
            )
        self._is_file = start == _FILE
        with place.reading():
            self.schema: pa.Schema = self._reader(()).schema

    def as_text(self) -> ArrowPart:
        """Return this file: its types are known."""
        return self

    def jobs(self, columns: Sequence[str]) -> Iterator[Job]:
        """Divide by record batches, and those by columns if they are long."""
        start = 0
        for table, share in self._tables(columns):
            yield from slices(table, start, share)
            start += table.num_rows

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Read the record batches, cut where they are longer."""
        for table, _ in self._tables(columns):
            for at in range(0, table.num_rows, rows):
                yield table.slice(at, rows)

    def _tables(self, columns: Sequence[str]) -> Iterator[tuple[pa.Table, float]]:
        with self.place.reading():
            reader = self._reader(columns)
            if isinstance(reader, pa.RecordBatchFileReader):
                count = reader.num_record_batches
                batches = (reader.get_batch(i) for i in range(count))
            else:
                count, batches = 0, (batch for batch in reader)
            for batch in batches:
                table = pa.Table.from_batches([batch]).select(list(columns))
                yield table, 1 / count if count else table.nbytes / max(1, self.place.size)

    def _reader(self, columns: Sequence[str]) -> pa.RecordBatchFileReader | pa.RecordBatchReader:
        local = self.place.local
        source = pa.memory_map(str(local)) if local else self.place.open()
        if not self._is_file:
            return pa.ipc.open_stream(source)
        indices = (
            [i for i, name in enumerate(self.schema.names) if name in columns] if columns else None
        )
        return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=indices))
