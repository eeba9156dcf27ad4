"""Puts rows into a table by the rules of `writeDisposition` and `createDisposition`.

Source: BigQuery REST reference, "JobConfigurationQuery" and "JobConfigurationLoad" (2026-11-25).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.local.bigquery.catalog import RESULTS, Catalog
from trainwright.local.bigquery.errors import Duplicate, Invalid, NotFound
from trainwright.local.bigquery.names import TableName, check_table, table_name
from trainwright.local.bigquery.types import Column, coerces, columns_of, quoted, schema_of

_WRITE = ("WRITE_APPEND", "WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA")
_CREATE = ("CREATE_IF_NEEDED", "CREATE_NEVER")


@dataclass(frozen=True)
class Destination:
    """Where a job writes.

    Args:
        name: The table.
        write: What becomes of the rows that are there.
        create: Whether the table may be made.
        attributes: Fields of a table that is made or replaced: partitioning, labels, description.
    """

    name: TableName
    write: str
    create: str
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, catalog: Catalog, configuration: Mapping[str, Any], *, default_write: str) -> "Destination":
        """Reads it from a job's configuration.

        Raises:
            Invalid: A disposition or name is wrong.
            NotFound: The table is in another project.
        """
        reference = configuration.get("destinationTable") or {}
        catalog.check_project(str(reference.get("projectId", catalog.project)))
        name = table_name(reference)
        if name.dataset != RESULTS:
            check_table(name.table)
        write = str(configuration.get("writeDisposition") or default_write)
        create = str(configuration.get("createDisposition") or _CREATE[0])
        if write not in _WRITE or create not in _CREATE:
            raise Invalid(f"Invalid disposition {write}, {create}: expected one of {_WRITE} and of {_CREATE}")
        kept = ("timePartitioning", "rangePartitioning", "clustering")
        attributes = {key: configuration[key] for key in kept if configuration.get(key)}
        attributes |= configuration.get("destinationTableProperties") or {}
        return cls(name, write, create, attributes)


def write(catalog: Catalog, destination: Destination, columns: Sequence[Column], sql: str) -> int:
    """Puts the rows of a query into a table and returns how many.

    Args:
        catalog: In the transaction.
        destination: Where to.
        columns: What the query gives, in order.
        sql: DuckDB SQL.

    Raises:
        NotFound: The dataset is not there, or the table is not and must not be made.
        Duplicate: The table is not empty and must be.
        Invalid: The columns do not go into the table.
    """
    name = destination.name
    existing = catalog.find(name)
    if existing is None:
        if destination.create == "CREATE_NEVER":
            catalog.table(name)
            raise NotFound(f"Not found: Table {catalog.project}:{name}")
        physical = catalog.create(name, destination.attributes, columns)
        return insert(catalog, physical, columns, sql)
    if existing["type"] == "VIEW":
        raise Invalid(f"{catalog.project}:{name} is a view, which cannot be written")
    physical = catalog.physical(name)
    if destination.write == "WRITE_TRUNCATE":
        kept = {
            k: v
            for k, v in existing.items()
            if k in ("creationTime", "description", "labels", "friendlyName")
        }
        physical = catalog.new_rows(columns)
        count = insert(catalog, physical, columns, sql)
        catalog.write_table(name, {**kept, **destination.attributes, "schema": schema_of(columns)}, physical)
        return count
    if destination.write == "WRITE_TRUNCATE_DATA":
        catalog.cursor.execute(f"DELETE FROM {physical}")
    elif destination.write == "WRITE_EMPTY":
        filled = catalog.cursor.execute(f"SELECT 1 FROM {physical} LIMIT 1").fetchone()
        if filled:
            raise Duplicate(f"Already Exists: Table {catalog.project}:{name}")
    there = columns_of(existing["schema"])
    if not there:  # made without a schema
        physical = catalog.new_rows(columns)
        catalog.write_table(name, {**existing, "schema": schema_of(columns)}, physical)
        return insert(catalog, physical, columns, sql)
    _check_fit(catalog, name, there, columns)
    count = insert(catalog, physical, columns, sql)
    catalog.touch(name)
    return count


def _check_fit(catalog: Catalog, name: TableName, there: Sequence[Column], columns: Sequence[Column]) -> None:
    known = {column.name.lower(): column for column in there}
    for column in columns:
        target = known.get(column.name.lower())
        problem = ""
        if target is None:
            problem = f"Cannot add fields (field: {column.name})"
        elif not coerces(column.type, target.type):
            problem = f"Field {column.name} has changed type from {target.type} to {column.type}"
        if problem:
            raise Invalid(f"Provided Schema does not match Table {catalog.project}:{name}. {problem}")


def insert(catalog: Catalog, physical: str, columns: Sequence[Column], sql: str) -> int:
    """Adds the rows of a query to rows that are there; returns how many."""
    listed = ", ".join(quoted(column.name) for column in columns)
    done = catalog.cursor.execute(f"INSERT INTO {physical} ({listed}) {sql}").fetchone()
    return int(done[0]) if done else 0
