"""Rows as the REST API writes and reads them.

Source: BigQuery REST reference, "tabledata.list" and "DataFormatOptions"; "Data types" (2026-11-25).
"""

from collections.abc import Sequence
from typing import Any

import duckdb

from trainwright.local.bigquery.errors import Invalid, InvalidQuery
from trainwright.local.bigquery.sql.casts import cast
from trainwright.local.bigquery.sql.scope import Expr, text
from trainwright.local.bigquery.types import STRING, Column, Type, quoted

_WRITTEN = {
    "INT64": "CAST({0} AS VARCHAR)",
    "FLOAT64": "CAST({0} AS VARCHAR)",
    "NUMERIC": "bq_numeric_text({0})",
    "BOOL": "CAST({0} AS VARCHAR)",
    "STRING": "{0}",
    "BYTES": "to_base64({0})",
    "DATE": "CAST({0} AS VARCHAR)",
    "DATETIME": "replace(bq_long_text({0}), ' ', 'T')",
    "TIME": "bq_long_time({0})",
    "TIMESTAMP": "CAST(epoch_us({0}) AS VARCHAR)",
    "JSON": "CAST({0} AS VARCHAR)",
}
_FLOATS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def rows(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[Column],
    *,
    start: int,
    limit: int,
    int_timestamps: bool,
) -> list[dict[str, Any]]:
    """Rows of a table, in the order in which they were written.

    Args:
        cursor: Reads them.
        table: The table's DuckDB name.
        columns: Those of the answer.
        start: How many rows to leave out.
        limit: At most so many rows.
        int_timestamps: Whether timestamps are integers of microseconds, or seconds with a fraction.
    """
    listed = ", ".join(_written(quoted(column.name), column.type, 0) for column in columns)
    sql = f"SELECT {listed} FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT ?"
    if start and _has_gaps(cursor, table):
        sql = f"SELECT {listed} FROM {table} ORDER BY rowid LIMIT ? OFFSET ?"
        found = cursor.execute(sql, [limit, start]).fetchall()
    else:
        found = cursor.execute(sql, [start, limit]).fetchall()
    return [
        {"f": [{"v": _cell(v, c.type, int_timestamps)} for v, c in zip(row, columns, strict=True)]}
        for row in found
    ]


def _has_gaps(cursor: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether rows were deleted, so that a row's number is not its position."""
    last = cursor.execute(f"SELECT max(rowid) + 1, count(*) FROM {table}").fetchone()
    return last is not None and last[0] is not None and last[0] != last[1]


def _written(sql: str, kind: Type, depth: int) -> str:
    """DuckDB SQL that gives a value as text, or as lists and structs of text."""
    if kind.element is not None:
        item = f"_e{depth}"
        return f"list_transform({sql}, lambda {item}: {_written(item, kind.element, depth + 1)})"
    if kind.kind == "STRUCT":
        fields = ", ".join(
            f"{quoted(f.name)} := {_written(f'struct_extract({sql}, {text(f.name)})', f.type, depth)}"
            for f in kind.fields
        )
        return f"CASE WHEN {sql} IS NULL THEN NULL ELSE struct_pack({fields}) END"
    if kind.kind not in _WRITTEN:
        raise InvalidQuery(f"A result of type {kind} is not supported by local BigQuery")
    return _WRITTEN[kind.kind].format(sql)


def _cell(value: Any, kind: Type, int_timestamps: bool) -> Any:
    if kind.element is not None:
        return [{"v": _cell(each, kind.element, int_timestamps)} for each in value or []]
    if value is None:
        return None
    if kind.kind == "STRUCT":
        return {"f": [{"v": _cell(value[f.name], f.type, int_timestamps)} for f in kind.fields]}
    if kind.kind == "FLOAT64":
        return _FLOATS.get(value, value)
    if kind.kind == "TIMESTAMP" and not int_timestamps:
        micros = int(value)
        sign = "-" if micros < 0 else ""
        return f"{sign}{abs(micros) // 10**6}.{abs(micros) % 10**6:06d}"
    return value


def from_json(sql: str, kind: Type, depth: int = 0) -> str:
    """DuckDB SQL that reads a value of a type from JSON, as loads and insertAll give it.

    Args:
        sql: An expression of DuckDB's type JSON.
        kind: The type.
        depth: How many arrays it is inside of.
    """
    if kind.element is not None:
        item = f"_j{depth}"
        inner = from_json(item, kind.element, depth + 1)
        listed = f"list_transform(CAST({sql} AS JSON[]), lambda {item}: {inner})"
        return f"(CASE WHEN coalesce(json_type({sql}), 'NULL') = 'NULL' THEN [] ELSE {listed} END)"
    if kind.kind == "STRUCT":
        fields = ", ".join(
            f"{quoted(f.name)} := {from_json(f'json_extract({sql}, {_path(f.name)})', f.type, depth)}"
            for f in kind.fields
        )
        absent = f"coalesce(json_type({sql}), 'NULL') = 'NULL'"
        return f"(CASE WHEN {absent} THEN NULL ELSE struct_pack({fields}) END)"
    if kind.kind == "JSON":
        return (
            f"(CASE WHEN json_type({sql}) = 'VARCHAR' THEN CAST(json_extract_string({sql}, '$') AS JSON)"
            f" WHEN json_type({sql}) <> 'NULL' THEN {sql} END)"
        )
    plain = f"(CASE WHEN json_type({sql}) <> 'NULL' THEN json_extract_string({sql}, '$') END)"
    return from_text(plain, kind)


def from_text(sql: str, kind: Type) -> str:
    """DuckDB SQL that reads a value of a type from text, as in a CSV file or a JSON string."""
    if kind == STRING:
        return sql
    if kind.kind == "BYTES":
        return f"from_base64({sql})"
    if kind.kind == "JSON":
        return f"CAST({sql} AS JSON)"
    if kind.kind == "BOOL":
        return (
            f"(CASE WHEN lower({sql}) IN ('true', 't', 'yes', 'y', '1') THEN TRUE"
            f" WHEN lower({sql}) IN ('false', 'f', 'no', 'n', '0') THEN FALSE"
            f" WHEN {sql} IS NOT NULL THEN bq_error('Bad bool value: ' || {sql}) END)"
        )
    if kind.kind == "INT64":  # JSON writes some integers as 1.0
        sql = f"regexp_replace({sql}, '\\.0+$', '')"
    if kind.kind == "TIMESTAMP":  # a number is seconds since 1970; "UTC" is written by exports
        numeric = f"regexp_full_match({sql}, '-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?')"
        seconds = (
            f"make_timestamp(CAST(round(TRY_CAST({sql} AS DOUBLE) * 1000000) AS BIGINT)) AT TIME ZONE 'UTC'"
        )
        return f"(CASE WHEN {numeric} THEN {seconds} ELSE {cast(Expr(sql, STRING), kind).sql} END)"
    if kind.element is not None or kind.kind == "STRUCT":
        raise Invalid(f"A value of type {kind} cannot be read from text")
    return cast(Expr(sql, STRING), kind).sql


def _path(name: str) -> str:
    """A JSON path of DuckDB to a field."""
    escaped = name.replace('"', '\\"')
    return text(f'$."{escaped}"')
