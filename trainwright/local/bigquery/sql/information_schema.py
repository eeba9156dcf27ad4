"""`INFORMATION_SCHEMA.SCHEMATA`, `dataset.INFORMATION_SCHEMA.TABLES` and `.COLUMNS`.

Source: BigQuery documentation, "Introduction to INFORMATION_SCHEMA" (2026-11-25); the columns that are left
out of these views are refused as unknown names.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.queries import Source
from trainwright.local.bigquery.sql.scope import text
from trainwright.local.bigquery.types import INT64, STRING, TIMESTAMP, Column, columns_of, quoted

_SCHEMATA = (
    Column("catalog_name", STRING),
    Column("schema_name", STRING),
    Column("creation_time", TIMESTAMP),
    Column("location", STRING),
)
_TABLES = (
    Column("table_catalog", STRING),
    Column("table_schema", STRING),
    Column("table_name", STRING),
    Column("table_type", STRING),
    Column("creation_time", TIMESTAMP),
)
_COLUMNS = (
    Column("table_catalog", STRING),
    Column("table_schema", STRING),
    Column("table_name", STRING),
    Column("column_name", STRING),
    Column("ordinal_position", INT64),
    Column("is_nullable", STRING),
    Column("data_type", STRING),
)


class Listing(Protocol):
    """What the views are made of."""

    project: str

    def datasets(self) -> list[dict[str, Any]]:
        """All datasets."""

    def dataset(self, name: str) -> dict[str, Any]:
        """One, or NotFound."""

    def tables(self, dataset: str) -> list[dict[str, Any]]:
        """The tables of a dataset."""

    def check_project(self, project: str) -> None:
        """Refuses another project."""


def source(listing: Listing, parts: Sequence[str]) -> Source:
    """One of the views.

    Args:
        listing: Datasets and tables.
        parts: The name, such as `dataset`, `INFORMATION_SCHEMA`, `TABLES`.

    Raises:
        InvalidQuery: Local BigQuery has no such view.
    """
    place = [part.upper() for part in parts].index("INFORMATION_SCHEMA")
    view, before = ".".join(parts[place + 1 :]).upper(), list(parts[:place])
    if view == "SCHEMATA" and len(before) <= 1:
        made = [
            (listing.project, d["datasetReference"]["datasetId"], int(d["creationTime"]), d["location"])
            for d in listing.datasets()
        ]
        return _values(_SCHEMATA, made)
    if view not in ("TABLES", "COLUMNS") or not before:
        raise InvalidQuery(
            f"{'.'.join(parts)} is not supported by local BigQuery: expected SCHEMATA, or TABLES or"
            " COLUMNS of a dataset"
        )
    if len(before) == 2:
        listing.check_project(before[0])
    dataset = before[-1]
    listing.dataset(dataset)
    rows: list[tuple[Any, ...]] = []
    for table in listing.tables(dataset):
        name = table["tableReference"]["tableId"]
        if view == "TABLES":
            kind = "VIEW" if table["type"] == "VIEW" else "BASE TABLE"
            rows.append((listing.project, dataset, name, kind, int(table["creationTime"])))
            continue
        for number, column in enumerate(columns_of(table.get("schema", {})), 1):
            nullable = "NO" if column.required else "YES"
            rows.append((listing.project, dataset, name, column.name, number, nullable, str(column.type)))
    return _values(_TABLES if view == "TABLES" else _COLUMNS, rows)


def _values(columns: tuple[Column, ...], rows: list[tuple[Any, ...]]) -> Source:
    def value(item: Any, column: Column) -> str:
        if column.type == TIMESTAMP:
            return f"make_timestamp({int(item) * 1000}) AT TIME ZONE 'UTC'"
        return text(item) if column.type == STRING else str(int(item))

    selects = []
    for row in rows or [tuple(0 if c.type != STRING else "" for c in columns)]:
        pairs = zip(row, columns, strict=True)
        items = (f"CAST({value(v, c)} AS {c.type.duckdb}) AS {quoted(c.name)}" for v, c in pairs)
        selects.append(f"SELECT {', '.join(items)}{'' if rows else ' WHERE FALSE'}")
    return Source(columns, sql=f"({' UNION ALL '.join(selects)})")
