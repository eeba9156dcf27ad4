"""Datasets and tables: what is known of them, and where their rows are.

Everything here runs in a transaction of the caller's. A table's rows are in `data.t<n>`, whatever its name:
names differ in case alone, and a table is replaced by pointing to other rows.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from trainwright.local.bigquery.database import one, read
from trainwright.local.bigquery.errors import Duplicate, InvalidQuery, NotFound, ResourceInUse
from trainwright.local.bigquery.names import TableName
from trainwright.local.bigquery.sql import information_schema
from trainwright.local.bigquery.sql.queries import Source
from trainwright.local.bigquery.sql.scope import text
from trainwright.local.bigquery.types import Column, Type, check_field, columns_of, quoted, schema_of

RESULTS = "_results"  # the hidden dataset of query results without a destination
_FIXED_BYTES = {
    "INT64": 8, "FLOAT64": 8, "NUMERIC": 16, "BOOL": 1, "DATE": 8, "DATETIME": 8, "TIME": 8, "TIMESTAMP": 8,
}  # fmt: skip


class Catalog:
    """The datasets and tables as one transaction sees them.

    Args:
        cursor: In the transaction.
        project: ID of the one project.
        number: Its number, which may stand for the ID.
        default_dataset: Of table names without one.
        location: Where a query runs; it must be that of the datasets it names. "" for anywhere.

    Attributes:
        read: The tables that were asked for by `source` and `wildcard`.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        project: str,
        number: str,
        default_dataset: str = "",
        location: str = "",
    ) -> None:
        self.cursor = cursor
        self.project = project
        self.read: list[TableName] = []
        self._number = number
        self._default_dataset = default_dataset
        self._location = location

    def check_project(self, project: str) -> None:
        """Refuses another project.

        Raises:
            NotFound: It is not the one that local BigQuery has.
        """
        if project not in (self.project, self._number):
            raise NotFound(f"Not found: Project {project}: local BigQuery has {self.project}")

    def datasets(self) -> list[dict[str, Any]]:
        """All datasets, by name."""
        found = self.cursor.execute("SELECT resource FROM catalog.datasets ORDER BY id").fetchall()
        return [read(row[0]) for row in found]

    def dataset(self, name: str) -> dict[str, Any]:
        """A dataset's resource.

        Raises:
            NotFound: There is none, or it is in another location than the query.
        """
        row = one(self.cursor, "SELECT resource FROM catalog.datasets WHERE id = ?", name)
        if row is None:
            raise NotFound(f"Not found: Dataset {self.project}:{name}")
        resource = read(row[0])
        if self._location and resource["location"].lower() != self._location.lower():
            raise NotFound(
                f"Not found: Dataset {self.project}:{name} was not found in location {self._location}:"
                f" it is in {resource['location']}"
            )
        return resource

    def write_dataset(self, name: str, resource: Mapping[str, Any], *, new: bool) -> None:
        """Keeps a dataset's resource.

        Raises:
            Duplicate: It is to be new, and is there.
        """
        if new and one(self.cursor, "SELECT 1 FROM catalog.datasets WHERE id = ?", name):
            raise Duplicate(f"Already Exists: Dataset {self.project}:{name}")
        self.cursor.execute("DELETE FROM catalog.datasets WHERE id = ?", [name])
        self.cursor.execute("INSERT INTO catalog.datasets VALUES (?, ?)", [name, json.dumps(resource)])

    def delete_dataset(self, name: str, *, contents: bool) -> None:
        """Removes a dataset.

        Args:
            name: Its ID.
            contents: Whether its tables go with it.

        Raises:
            NotFound: There is none.
            ResourceInUse: It has tables, which do not go with it.
        """
        self.dataset(name)
        tables = self.tables(name)
        if tables and not contents:
            raise ResourceInUse(f"Dataset {self.project}:{name} is still in use")
        for table in tables:
            self.delete_table(TableName(name, table["tableReference"]["tableId"]))
        self.cursor.execute("DELETE FROM catalog.datasets WHERE id = ?", [name])

    def tables(self, dataset: str) -> list[dict[str, Any]]:
        """The tables of a dataset, by name."""
        found = self.cursor.execute(
            "SELECT resource FROM catalog.tables WHERE dataset = ? ORDER BY id", [dataset]
        ).fetchall()
        return [read(row[0]) for row in found]

    def find(self, name: TableName) -> dict[str, Any] | None:
        """A table's resource, or None."""
        row = one(
            self.cursor,
            "SELECT resource FROM catalog.tables WHERE dataset = ? AND id = ?",
            name.dataset,
            name.table,
        )
        return read(row[0]) if row is not None else None

    def table(self, name: TableName) -> dict[str, Any]:
        """A table's resource.

        Raises:
            NotFound: There is none, or not its dataset.
        """
        found = self.find(name)
        if found is None:
            if name.dataset != RESULTS:
                self.dataset(name.dataset)
            raise NotFound(f"Not found: Table {self.project}:{name}")
        return found

    def physical(self, name: TableName) -> str:
        """The DuckDB name of a table's rows.

        Raises:
            NotFound: There is no such table.
            InvalidQuery: It is a view.
        """
        row = one(
            self.cursor,
            "SELECT physical FROM catalog.tables WHERE dataset = ? AND id = ?",
            name.dataset,
            name.table,
        )
        if row is None:
            self.table(name)
        if row is None or not row[0]:
            raise InvalidQuery(f"{self.project}:{name} is a view, expected a table")
        return str(row[0])

    def create(self, name: TableName, resource: Mapping[str, Any], columns: Sequence[Column]) -> str:
        """Makes an empty table and returns the DuckDB name of its rows.

        Raises:
            NotFound: The dataset is not there.
            Duplicate: The table is.
        """
        self.check_new(name)
        physical = self.new_rows(columns)
        self.write_table(name, {**resource, "schema": schema_of(columns)}, physical)
        return physical

    def check_new(self, name: TableName) -> None:
        """Refuses the name of a table that is there; raises as `create`."""
        if name.dataset != RESULTS:
            self.dataset(name.dataset)
        if self.find(name) is not None:
            raise Duplicate(f"Already Exists: Table {self.project}:{name}")

    def new_rows(self, columns: Sequence[Column]) -> str:
        """Makes room for a table's rows; returns its DuckDB name.

        Raises:
            Invalid: A column cannot be called so.
        """
        for column in columns:
            check_field(column.name)
        row = one(self.cursor, "SELECT nextval('catalog.numbers')")
        assert row is not None
        physical = f"data.t{row[0]}"
        listed = ", ".join(
            f"{quoted(c.name)} {c.type.duckdb}{' NOT NULL' if c.required else ''}" for c in columns
        )
        # A table without a schema has no columns in BigQuery; DuckDB wants one.
        self.cursor.execute(f"CREATE TABLE {physical} ({listed or '_no_columns BOOLEAN'})")
        return physical

    def write_table(self, name: TableName, resource: Mapping[str, Any], physical: str) -> None:
        """Keeps a table's resource and where its rows are; rows that were there before are dropped."""
        old = one(
            self.cursor,
            "SELECT physical FROM catalog.tables WHERE dataset = ? AND id = ?",
            name.dataset,
            name.table,
        )
        if old is not None:
            self.cursor.execute(
                "DELETE FROM catalog.tables WHERE dataset = ? AND id = ?", [name.dataset, name.table]
            )
            if old[0] and old[0] != physical:
                self.cursor.execute(f"DROP TABLE {old[0]}")
        now = int(time.time() * 1000)
        made = {"creationTime": str(now), "type": "TABLE" if physical else "VIEW"}
        kept = {
            **made,
            **resource,
            "lastModifiedTime": str(now),
            "tableReference": name.reference(self.project),
        }
        self.cursor.execute(
            "INSERT INTO catalog.tables VALUES (?, ?, ?, ?, ?)",
            [name.dataset, name.table, physical, now, json.dumps(kept)],
        )

    def touch(self, name: TableName) -> None:
        """Notes that a table's rows have changed."""
        self.write_table(name, self.table(name), self.physical(name))

    def delete_table(self, name: TableName) -> None:
        """Removes a table or view.

        Raises:
            NotFound: There is none.
        """
        self.table(name)
        row = one(
            self.cursor,
            "SELECT physical FROM catalog.tables WHERE dataset = ? AND id = ?",
            name.dataset,
            name.table,
        )
        self.cursor.execute(
            "DELETE FROM catalog.tables WHERE dataset = ? AND id = ?", [name.dataset, name.table]
        )
        if row is not None and row[0]:
            self.cursor.execute(f"DROP TABLE {row[0]}")

    def size(self, name: TableName) -> tuple[int, int]:
        """Rows, and logical bytes as BigQuery counts them ("Data types", "Data type sizes", 2026-11-25)."""
        resource = self.table(name)
        if resource["type"] == "VIEW":
            return 0, 0
        columns = columns_of(resource["schema"])
        sizes = " + ".join(f"coalesce({_bytes(quoted(c.name), c.type)}, 0)" for c in columns) or "0"
        row = one(self.cursor, f"SELECT count(*), coalesce(sum({sizes}), 0) FROM {self.physical(name)}")
        assert row is not None
        return int(row[0]), int(row[1])

    def resolve(self, parts: Sequence[str]) -> TableName:
        """The table that a name in a query means.

        Raises:
            NotFound: It is in another project.
            InvalidQuery: It has no dataset, or is no table name.
        """
        if len(parts) == 1 and self._default_dataset:
            return TableName(self._default_dataset, parts[0])
        if len(parts) == 1:
            raise InvalidQuery(f'Table "{parts[0]}" must be qualified with a dataset (e.g. dataset.table)')
        if len(parts) > 3:
            raise InvalidQuery(f"Invalid table name: {'.'.join(parts)}")
        if len(parts) == 3:
            self.check_project(parts[0])
        return TableName(parts[-2], parts[-1])

    def source(self, parts: Sequence[str]) -> Source:
        """What a table name in FROM means; see `queries.Tables`."""
        upper = [part.upper() for part in parts]
        if "INFORMATION_SCHEMA" in upper:
            return information_schema.source(self, parts)
        name = self.resolve(parts)
        if name.dataset != RESULTS:
            self.dataset(name.dataset)
        resource = self.find(name)
        if resource is None:
            raise NotFound(
                f"Not found: Table {self.project}:{name} was not found in location {self._location or 'US'}"
            )
        if name not in self.read:
            self.read.append(name)
        columns = columns_of(resource.get("schema", {}))
        if resource["type"] == "VIEW":
            return Source(columns, view=resource["view"]["query"])
        if not columns:
            raise InvalidQuery(f"Table {self.project}:{name} does not have a schema")
        return Source(columns, sql=self.physical(name))

    def wildcard(self, parts: Sequence[str]) -> tuple[tuple[Column, ...], Sequence[tuple[str, str]]]:
        """The tables whose names start alike, with the newest one's schema; see `queries.Tables`."""
        pattern = self.resolve(parts)
        prefix = pattern.table[:-1]
        self.dataset(pattern.dataset)
        found = self.cursor.execute(
            "SELECT id, physical, resource FROM catalog.tables WHERE dataset = ? AND starts_with(id, ?)"
            " AND physical <> '' ORDER BY id",
            [pattern.dataset, prefix],
        ).fetchall()
        if not found:
            raise NotFound(f"{self.project}:{pattern} does not match any table")
        resources = [read(row[2]) for row in found]
        columns = columns_of(max(resources, key=lambda each: int(each["creationTime"]))["schema"])
        wanted = {column.name.lower(): column.type for column in columns}
        for row, resource in zip(found, resources, strict=True):
            has = {column.name.lower(): column.type for column in columns_of(resource["schema"])}
            if any(has.get(name) != kind for name, kind in wanted.items()):
                raise InvalidQuery(
                    f"Wildcard table {pattern}: {row[0]} lacks a column of the newest table, or has it with"
                    " another type, which is not supported by local BigQuery"
                )
            self.read.append(TableName(pattern.dataset, row[0]))
        return columns, [(row[0][len(prefix) :], row[1]) for row in found]


def _bytes(sql: str, kind: Type, depth: int = 0) -> str:
    if kind.kind == "STRING":
        return f"2 + octet_length(encode({sql}))"
    if kind.kind == "BYTES":
        return f"2 + octet_length({sql})"
    if kind.kind == "JSON":
        return f"octet_length(encode(CAST({sql} AS VARCHAR)))"
    if kind.element is not None:
        item = f"_b{depth}"
        inner = _bytes(item, kind.element, depth + 1)
        return f"coalesce(list_sum(list_transform({sql}, lambda {item}: coalesce({inner}, 0))), 0)"
    if kind.kind == "STRUCT":
        names = ((f"struct_extract({sql}, {text(f.name)})", f.type) for f in kind.fields)
        return "(" + " + ".join(f"coalesce({_bytes(name, each, depth)}, 0)" for name, each in names) + ")"
    return f"CASE WHEN {sql} IS NULL THEN 0 ELSE {_FIXED_BYTES[kind.kind]} END"
