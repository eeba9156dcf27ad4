"""The rows of tables, page by page, and rows that are added one by one.

Source: BigQuery REST reference, "tabledata" (2026-11-25).
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from trainwright.local.bigquery.catalog import Catalog
from trainwright.local.bigquery.destinations import insert
from trainwright.local.bigquery.errors import Invalid, NotImplementedHere
from trainwright.local.bigquery.exchange import token_of
from trainwright.local.bigquery.jobs import from_duckdb
from trainwright.local.bigquery.load_jobs import json_rows
from trainwright.local.bigquery.names import TableName
from trainwright.local.bigquery.sql.scope import text
from trainwright.local.bigquery.types import Column, columns_of
from trainwright.local.bigquery.values import rows


def row_page(
    catalog: Catalog,
    name: TableName,
    columns: tuple[Column, ...],
    *,
    start: int,
    limit: int,
    int_timestamps: bool,
) -> dict[str, Any]:
    """One page of a table's rows: `rows`, `totalRows` and `pageToken`."""
    physical = catalog.physical(name)
    counted = catalog.cursor.execute(f"SELECT count(*) FROM {physical}").fetchone()
    total = counted[0] if counted else 0
    page: dict[str, Any] = {"totalRows": str(total)}
    if limit:
        page["rows"] = rows(
            catalog.cursor, physical, columns, start=start, limit=limit, int_timestamps=int_timestamps
        )
        if start + limit < total:
            page["pageToken"] = token_of(start + limit)
    return page


def selected(columns: tuple[Column, ...], fields: str | None) -> tuple[Column, ...]:
    """The columns that `selectedFields` names, all without it.

    Raises:
        Invalid: There is no such column.
    """
    if not fields:
        return columns
    wanted = {field.strip().lower() for field in fields.split(",")}
    known = {column.name.lower() for column in columns}
    for name in wanted - known:
        raise Invalid(f"No such field: {name}", "selectedFields")
    return tuple(column for column in columns if column.name.lower() in wanted)


def insert_rows(
    catalog: Catalog, name: TableName, body: Mapping[str, Any], staging: Path
) -> list[dict[str, Any]]:
    """Adds rows; returns what is wrong with them, in which case none is added.

    Args:
        catalog: In the transaction.
        name: The table.
        body: A request of tabledata.insertAll.
        staging: A folder for a file under way.

    Raises:
        BigQueryError: The table is not there, or a value is none of its column's type.
    """
    columns = columns_of(catalog.table(name).get("schema", {}))
    physical = catalog.physical(name)
    if body.get("templateSuffix"):
        raise NotImplementedHere("templateSuffix is not supported by local BigQuery")
    given = [each.get("json") or {} for each in body.get("rows") or []]
    if not given:
        raise Invalid("No rows present in the request.")
    known = {column.name.lower() for column in columns}
    errors = []
    for index, row in enumerate(given):
        unknown = [key for key in row if key.lower() not in known]
        if unknown and not body.get("ignoreUnknownValues"):
            error = {"reason": "invalid", "location": unknown[0], "message": f"no such field: {unknown[0]}."}
            errors.append({"index": index, "errors": [error]})
    if errors:
        return errors
    names = {column.name.lower(): column.name for column in columns}
    lines = [json.dumps({names[k.lower()]: v for k, v in row.items() if k.lower() in names}) for row in given]
    file = staging / f"rows-{secrets.token_hex(8)}"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        source = f"read_ndjson_objects([{text(str(file))}], maximum_object_size = 104857600)"
        insert(catalog, physical, columns, json_rows(columns, source))
        catalog.touch(name)
    except duckdb.Error as error:
        raise from_duckdb(error, is_query=False) from None
    finally:
        file.unlink(missing_ok=True)
    return []
