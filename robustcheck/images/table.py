"""Tables of others, CSV, TSV or Parquet: their header, and only the columns that are asked for, within limits."""

from __future__ import annotations

import csv
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from robustcheck.errors import RobustcheckError
from robustcheck.limits import check
from robustcheck.regular_file import NotRegularFile, open_regular
from robustcheck.text import first_line, listed

Columns = list[list[Any]]
_ROWS_AT_ONCE = 65_536


class Table(Protocol):
    """A table whose rows are read when they are asked for."""

    header: list[str]

    def read(self, names: Sequence[str]) -> tuple[Columns, Sequence[int]]:
        """Return the values of some columns, and the line of each row, for errors.

        Raises RobustcheckError for rows that can't be read, and beyond the limits.
        """


def open_table(path: Path) -> Table:
    """Open a table by its suffix; RobustcheckError for a file that is none, or not regular."""
    return _Parquet(path) if path.suffix.lower() == ".parquet" else _Text(path)


class _Text:
    """CSV, or with the suffix .tsv tab-separated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._rows() as rows:
            first = next(rows, None)
        if first is None:
            raise RobustcheckError(
                f"{path} is empty: give a header such as path,label and a line for each image"
            )
        self.header = [name.strip() for name in first[0]]

    def read(self, names: Sequence[str]) -> tuple[Columns, Sequence[int]]:
        """Return the values of some columns, and the line of each row."""
        places = [self.header.index(name) for name in names]
        columns: Columns = [[] for _ in names]
        lines: list[int] = []
        with self._rows() as rows:
            next(rows)
            for row, line in rows:
                self._check_width(row, line)
                lines.append(line)
                for column, place in zip(columns, places, strict=True):
                    column.append(row[place])
                if len(lines) % _ROWS_AT_ONCE == 0:
                    check("table-rows", len(lines), f"{self._path} has")
        check("table-rows", len(lines), f"{self._path} has")
        return columns, lines

    def _check_width(self, row: Sequence[str], line: int) -> None:
        if len(row) != len(self.header):
            raise RobustcheckError(
                f"{self._path}, line {line} must have {len(self.header)} cells ({listed(self.header, 6)}), got {len(row)}: "
                "quote cells that contain the delimiter"
            )

    @contextmanager
    def _rows(self) -> Iterator[Iterator[tuple[list[str], int]]]:
        path = self._path
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        try:
            with open_regular(path) as file:
                check("table-bytes", file.seek(0, 2), f"{path} has")
                file.seek(0)
                text = TextIOWrapper(file, encoding="utf-8-sig", newline="")
                reader = csv.reader(text, delimiter=delimiter, strict=True)
                yield ((row, reader.line_num) for row in reader if row)
        except UnicodeDecodeError as error:
            raise RobustcheckError(
                f"{path} must be UTF-8 text, got byte {error.object[error.start]:#x} at {error.start}; save it as UTF-8"
            ) from None
        except NotRegularFile as error:
            raise RobustcheckError(f"{path} {error.strerror}: name a table") from None
        except (csv.Error, OSError) as error:
            raise RobustcheckError(
                f"{path} can't be read as a table: {error}; save it again as CSV"
            ) from None


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import ArrowException, BufferReader, parquet, types
        except ModuleNotFoundError:
            raise RobustcheckError(
                f"{path} needs pyarrow: pip install 'pytest-robustcheck[parquet]'"
            ) from None
        self._path, self._errors = path, (ArrowException, OSError, ValueError, KeyError, TypeError)
        self._parquet, self._reader = parquet, BufferReader
        with self._user_errors():
            schema = self._open().schema_arrow
        self.header = list(schema.names)
        self._texts = [field.name for field in schema if types.is_string(field.type)]

    def read(self, names: Sequence[str]) -> tuple[Columns, Sequence[int]]:
        """Return the values of some columns, and the number of each row."""
        with self._user_errors():
            file = self._open([name for name in names if name in self._texts])
            self._check_sizes(file.metadata, names)
            columns: Columns = [[] for _ in names]
            unpacked = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(names), use_threads=False):
                unpacked += batch.nbytes
                check("table-bytes", unpacked, f"{self._path}, unpacked, has at least")
                for column, name in zip(columns, names, strict=True):
                    column.extend(_values(batch.column(name)))
                check("table-rows", len(columns[0]), f"{self._path} has at least")
        return columns, range(1, len(columns[0]) + 1)

    def _open(self, dictionaries: Sequence[str] = ()) -> Any:
        """Open the file; repeated texts of some columns are read once each, as the file has them."""
        with open_regular(self._path) as file:
            # In memory: Arrow reads files in a thread of its own, which can abort a process that ends just then.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._parquet.ParquetFile(self._reader(mapped), read_dictionary=list(dictionaries))

    def _check_sizes(self, metadata: Any, names: Sequence[str]) -> None:
        check("table-rows", metadata.num_rows, f"{self._path} has")
        unpacked = 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            chunks = map(group.column, range(group.num_columns))
            unpacked += sum(
                max(chunk.total_uncompressed_size, 0)
                for chunk in chunks
                if chunk.path_in_schema.split(".")[0] in names
            )
        check("table-bytes", unpacked, f"{self._path}, unpacked, has")

    @contextmanager
    def _user_errors(self) -> Iterator[None]:
        try:
            yield
        except RobustcheckError:
            raise
        except NotRegularFile as error:
            raise RobustcheckError(f"{self._path} {error.strerror}: name a table") from None
        except self._errors as error:
            raise RobustcheckError(
                f"{self._path} can't be read as Parquet: {first_line(error)}; write it again"
            ) from None


def _values(array: Any) -> list[Any]:
    """Return the values of an Arrow array; equal texts of a dictionary are one object."""
    if not hasattr(array, "dictionary"):
        values: list[Any] = array.to_pylist()
        return values
    words = array.dictionary.to_pylist()
    return [None if index is None else words[index] for index in array.indices.to_pylist()]
