"""Tabular data of a Dataset: CSV files on Cloud Storage, read row by row.

Rules of TabularDatasource (google-cloud-aiplatform 1.165.1, datasets/_datasources.py): the first line is the
header; of several files, the header is that of the lexicographically first, and the others have exactly the
same one or none.
"""

import csv
from collections.abc import Iterator, Sequence

from trainwright.local.storage import PlainObjects


class DataError(ValueError):
    """Data that cannot be used; one line that names the file and the row or column."""


class Table:
    """A table in one or more CSV files.

    Args:
        objects: Where the files are.
        uris: `gs://` URIs, with or without wildcards.

    Attributes:
        columns: Names of the columns, in order.

    Raises:
        DataError: A file is not there, or the header is missing, repeats a name or has an empty one.
    """

    def __init__(self, objects: PlainObjects, uris: Sequence[str]) -> None:
        self._objects = objects
        try:
            self._uris = sorted({found for uri in uris for found in objects.matching(uri)})
        except ValueError as error:
            raise DataError(str(error)) from None
        self.columns = next(self._raw(self._uris[0]), (0, []))[1]
        where = f"{self._uris[0]}: row 1 (the header)"
        if not self.columns:
            raise DataError(f"{where}: empty; expected the names of the columns")
        for number, name in enumerate(self.columns, 1):
            if not name.strip():
                raise DataError(f"{where}: column {number} has no name")
            if self.columns.index(name) != number - 1:
                raise DataError(f"{where}: column {name!r} is there twice")

    def index(self, column: str, field: str) -> int:
        """The position of a column.

        Args:
            column: Its name.
            field: What asked for it, for the message.

        Raises:
            DataError: There is none of that name.
        """
        if column not in self.columns:
            known = ", ".join(self.columns[:20])
            raise DataError(f"{field} {column!r}: no such column in {self._uris[0]}; there are: {known}")
        return self.columns.index(column)

    def rows(self) -> Iterator[list[str]]:
        """The rows after the header, in order.

        Raises:
            DataError: A row has more or fewer values than the header, or is no UTF-8 text.
        """
        for uri in self._uris:
            for number, (line, row) in enumerate(self._raw(uri)):
                if number == 0 and row == self.columns:
                    continue
                if len(row) != len(self.columns):
                    found = f"{len(row)} values; expected {len(self.columns)}, as in the header"
                    raise DataError(f"{uri}: row {number + 1} (line {line}): {found}")
                yield row

    def _raw(self, uri: str) -> Iterator[tuple[int, list[str]]]:
        """Rows with the number of the line at which each ends; empty lines are none."""
        try:
            with self._objects.open_text(uri) as text:
                reader = csv.reader(text, strict=True)
                for row in reader:
                    if row:
                        yield reader.line_num, row
        except UnicodeDecodeError as error:
            raise DataError(f"{uri}: byte {error.object[error.start]:#04x} is no UTF-8 text") from None
        except csv.Error as error:
            raise DataError(f"{uri}: line {reader.line_num}: {error}") from None
