"""What a load job does: files of CSV, JSON lines or Parquet to rows.

Source: BigQuery documentation, "Loading CSV data", "Loading JSON data" and "Loading Parquet data"
(2026-11-25).
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwright.local.bigquery.catalog import Catalog
from trainwright.local.bigquery.destinations import Destination, write
from trainwright.local.bigquery.errors import Invalid, NotImplementedHere
from trainwright.local.bigquery.sql.scope import text
from trainwright.local.bigquery.types import Column, Type, array_of, coerces, columns_of, named_type, quoted
from trainwright.local.bigquery.values import from_json, from_text

_LEFT_OUT = (
    "schemaUpdateOptions", "hivePartitioningOptions", "projectionFields", "columnNameCharacterMap",
    "fileSetSpecType", "jsonExtension", "referenceFileSchemaUri", "preserveAsciiControlCharacters",
)  # fmt: skip
_NO_NULL = "\x01no null\x01"  # what no field of a file is: DuckDB would make empty ones NULL
_SNIFFED = {
    "BIGINT": "INT64", "DOUBLE": "FLOAT64", "BOOLEAN": "BOOL", "VARCHAR": "STRING", "DATE": "DATE",
    "TIME": "TIME", "TIMESTAMP": "TIMESTAMP", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "UUID": "STRING",
    "JSON": "STRING", "UBIGINT": "INT64", "HUGEINT": "STRING",
}  # fmt: skip
_PARQUET = {
    "TINYINT": "INT64", "SMALLINT": "INT64", "INTEGER": "INT64", "BIGINT": "INT64", "UTINYINT": "INT64",
    "USMALLINT": "INT64", "UINTEGER": "INT64", "UBIGINT": "INT64", "FLOAT": "FLOAT64", "DOUBLE": "FLOAT64",
    "BOOLEAN": "BOOL", "VARCHAR": "STRING", "BLOB": "BYTES", "DATE": "DATE", "TIME": "TIME", "JSON": "JSON",
    "TIMESTAMP": "DATETIME", "TIMESTAMP_NS": "DATETIME", "TIMESTAMP_MS": "DATETIME",
    "TIMESTAMP_S": "DATETIME",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIME_NS": "TIME", "TIMESTAMP_TZ_NS": "TIMESTAMP",
}  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


def run(catalog: Catalog, configuration: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """Loads files and returns the statistics (JobStatistics3).

    Args:
        catalog: In the transaction.
        configuration: A JobConfigurationLoad.
        files: What to load.

    Raises:
        BigQueryError: They cannot be loaded.
        duckdb.Error: A value is none of its column's type.
    """
    for key in _LEFT_OUT:
        if configuration.get(key):
            raise NotImplementedHere(f"configuration.load.{key} is not supported by local BigQuery")
    if int(configuration.get("maxBadRecords") or 0):
        raise NotImplementedHere("maxBadRecords above 0 is not supported by local BigQuery")
    destination = Destination.of(catalog, configuration, default_write="WRITE_APPEND")
    schema = _schema(catalog, configuration, destination)
    kind = str(configuration.get("sourceFormat") or "CSV")
    reader = {"CSV": _csv, "NEWLINE_DELIMITED_JSON": _json, "PARQUET": _parquet}.get(kind)
    if reader is None:
        raise NotImplementedHere(
            f"sourceFormat {kind} is not supported by local BigQuery:"
            " expected CSV, NEWLINE_DELIMITED_JSON or PARQUET"
        )
    columns, sql = reader(catalog, configuration, files, schema)
    count = write(catalog, destination, columns, sql)
    size = sum(file.stat().st_size for file in files)
    return {
        "inputFiles": str(len(files)),
        "inputFileBytes": str(size),
        "outputRows": str(count),
        "outputBytes": str(catalog.size(destination.name)[1]),
        "badRecords": "0",
    }


def _schema(
    catalog: Catalog, configuration: Mapping[str, Any], destination: Destination
) -> tuple[Column, ...]:
    """The columns that are given, else those of the table that is there."""
    given = columns_of(configuration.get("schema") or {})
    existing = catalog.find(destination.name)
    if (
        given
        or existing is None
        or (destination.write == "WRITE_TRUNCATE" and configuration.get("autodetect"))
    ):
        return given
    return columns_of(existing.get("schema", {}))


def _listed(files: Sequence[Path]) -> str:
    return "[" + ", ".join(text(str(file)) for file in files) + "]"


def _compression(file: Path) -> str:
    with file.open("rb") as stream:
        return "gzip" if stream.read(2) == b"\x1f\x8b" else "none"


def _csv(
    catalog: Catalog, configuration: Mapping[str, Any], files: Sequence[Path], schema: tuple[Column, ...]
) -> tuple[Sequence[Column], str]:
    if str(configuration.get("encoding") or "UTF-8").upper() not in ("UTF-8", "UTF8"):
        raise NotImplementedHere(
            "CSV files in another encoding than UTF-8 are not supported by local BigQuery"
        )
    delimiter = {"tab": "\t", "\\t": "\t"}.get(str(configuration.get("fieldDelimiter") or ","))
    delimiter = delimiter or str(configuration.get("fieldDelimiter") or ",")
    quote = configuration.get("quote")
    quote = '"' if quote is None else str(quote)
    skip = int(configuration.get("skipLeadingRows") or 0)
    options = {
        "delim": text(delimiter),
        "quote": text(quote),
        "escape": text(quote),
        "compression": text(_compression(files[0])),
        "nullstr": text(_NO_NULL),
        "strict_mode": "true",
        "null_padding": "true" if configuration.get("allowJaggedRows") else "false",
    }
    if not schema:
        if not configuration.get("autodetect"):
            raise Invalid("Schema has no fields: give a schema, or autodetect")
        schema, header = _sniffed(catalog, files[0], options, skip)
        skip = max(skip, header)
    for column in schema:
        if column.type.kind in ("STRUCT", "ARRAY"):
            raise Invalid(f"Field {column.name}: a CSV file cannot hold {column.type}")
    names = ", ".join(f"{text(column.name)}: 'VARCHAR'" for column in schema)
    given = ", ".join(f"{key} = {value}" for key, value in options.items())
    given += f", header = false, skip = {skip}, columns = {{{names}}}, auto_detect = false"
    source = f"read_csv({_listed(files)}, {given})"
    marker = str(configuration.get("nullMarker") or "")
    listed = ", ".join(
        f"{_csv_value(quoted(column.name), column.type, marker)} AS {quoted(column.name)}"
        for column in schema
    )
    return schema, f"SELECT {listed} FROM {source}"


def _csv_value(name: str, kind: Type, marker: str) -> str:
    """A field's value: empty ones are NULL unless they are text, or another marker is set."""
    if marker or kind.kind != "STRING":
        name = f"nullif({name}, {text(marker)})"
    return from_text(name, kind)


def _sniffed(
    catalog: Catalog, file: Path, options: Mapping[str, str], skip: int
) -> tuple[tuple[Column, ...], int]:
    """Columns by the look of a file, and how many rows its header takes."""
    given = ", ".join(
        f"{key} = {value}"
        for key, value in options.items()
        if key in ("delim", "quote", "escape", "compression")
    )
    header = ", header = true" if skip else ""  # the last row that is skipped has the names
    given += f", skip = {max(skip - 1, 0)}{header}"
    sql = f"SELECT Columns, HasHeader FROM sniff_csv({text(str(file))}, {given})"
    found = catalog.cursor.execute(sql).fetchone()
    assert found is not None
    listed, has_header = found
    columns = []
    for number, each in enumerate(listed):
        name = (
            re.sub(r"\W", "_", str(each["name"]))
            if has_header
            else f"{_letters(each['type'])}_field_{number}"
        )
        name = f"_{name}" if name[:1].isdigit() else name
        columns.append(Column(name, named_type(_SNIFFED.get(str(each["type"]), "STRING"))))
    return tuple(columns), 1 if has_header and not skip else 0


def _letters(kind: object) -> str:
    return {"INT64": "int64", "FLOAT64": "double", "BOOL": "bool"}.get(
        _SNIFFED.get(str(kind), "STRING"), _SNIFFED.get(str(kind), "STRING").lower()
    )


def _json(
    catalog: Catalog, configuration: Mapping[str, Any], files: Sequence[Path], schema: tuple[Column, ...]
) -> tuple[Sequence[Column], str]:
    compression = _compression(files[0])
    options = f"compression = '{compression}', maximum_object_size = 104857600"
    source = f"read_ndjson_objects({_listed(files)}, {options})"
    if not schema:
        if not configuration.get("autodetect"):
            raise Invalid("Schema has no fields: give a schema, or autodetect")
        schema = _structure(catalog, source)
    if not configuration.get("ignoreUnknownValues"):
        known = ", ".join(text(column.name.lower()) for column in schema)
        # DuckDB's json_keys gives the names of an object's fields.
        sql = (
            f"SELECT key FROM (SELECT unnest(json_keys(json)) AS key FROM {source})"
            f" WHERE lower(key) NOT IN ({known}) LIMIT 1"
        )
        unknown = catalog.cursor.execute(sql).fetchone()
        if unknown:
            raise Invalid(f"JSON parsing error: No such field: {unknown[0]}")
    return schema, json_rows(schema, source)


def json_rows(schema: Sequence[Column], source: str) -> str:
    """DuckDB SQL that reads columns from a relation with a column `json`."""
    listed = ", ".join(
        f"{from_json(f'json_extract(json, {_path(c.name)})', c.type)} AS {quoted(c.name)}" for c in schema
    )
    return f"SELECT {listed} FROM {source}"


def _path(name: str) -> str:
    return text(f'$."{name}"')


def _structure(catalog: Catalog, source: str) -> tuple[Column, ...]:
    """Columns by the look of JSON objects."""
    row = catalog.cursor.execute(f"SELECT json_group_structure(json) FROM {source}").fetchone()
    found = json.loads(row[0]) if row and row[0] else {}
    return tuple(Column(name, _json_type(kind)) for name, kind in found.items())


def _json_type(kind: object) -> Type:
    if isinstance(kind, list):
        return array_of(_json_type(kind[0]))
    if isinstance(kind, dict):
        return Type("STRUCT", fields=tuple(Column(name, _json_type(each)) for name, each in kind.items()))
    return named_type(_SNIFFED.get(str(kind), "STRING"))


def _parquet(
    catalog: Catalog, configuration: Mapping[str, Any], files: Sequence[Path], schema: tuple[Column, ...]
) -> tuple[Sequence[Column], str]:
    source = f"read_parquet({_listed(files)}, union_by_name = true)"
    described = catalog.cursor.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    columns = []
    listed = []
    wanted = {column.name.lower(): column for column in schema}
    for name, written, *_ in described:
        kind = parquet_type(str(written), str(name))
        target = wanted.get(str(name).lower())
        if target is not None and _loads_as(kind, target.type):
            kind = target.type
        columns.append(Column(str(name), kind, target.required if target else False))
        listed.append(f"CAST({quoted(str(name))} AS {kind.duckdb}) AS {quoted(str(name))}")
    return columns, f"SELECT {', '.join(listed)} FROM {source}"


def _loads_as(kind: Type, target: Type) -> bool:
    """Whether a Parquet column of one type is read as another that the schema names."""
    if coerces(kind, target) or {kind.kind, target.kind} == {"DATETIME", "TIMESTAMP"}:
        return True
    if kind.element is not None and target.element is not None:
        return _loads_as(kind.element, target.element)
    if kind.kind == target.kind == "STRUCT" and len(kind.fields) == len(target.fields):
        return all(_loads_as(a.type, b.type) for a, b in zip(kind.fields, target.fields, strict=True))
    return (kind.kind, target.kind) in (("STRING", "JSON"), ("STRING", "BYTES"), ("BYTES", "STRING"))


def parquet_type(written: str, name: str) -> Type:
    """The type of a column that DuckDB reads from Parquet.

    Raises:
        Invalid: BigQuery's table has no such type.
    """
    if written.endswith("[]"):
        return array_of(parquet_type(written[:-2], name))
    if written.startswith("STRUCT("):
        fields = [Column(field, parquet_type(kind, name)) for field, kind in _struct_fields(written[7:-1])]
        return Type("STRUCT", fields=tuple(fields))
    if written.startswith("ENUM("):
        return named_type("STRING")
    if decimal := _DECIMAL.fullmatch(written):
        precision, scale = int(decimal[1]), int(decimal[2])
        if scale <= 9 and precision - scale <= 29:
            return named_type("NUMERIC")
    if written not in _PARQUET:
        raise Invalid(f"Field {name}: the Parquet type {written} is not supported by local BigQuery")
    return named_type(_PARQUET[written])


def _struct_fields(inside: str) -> list[tuple[str, str]]:
    """Name and type of each field in `a INTEGER, "b c" STRUCT(d VARCHAR)`."""
    parts, depth, start, is_quoted = [], 0, 0, False
    for position, character in enumerate(inside + ","):
        if character == '"':
            is_quoted = not is_quoted
        elif not is_quoted:
            depth += (character == "(") - (character == ")")
            if character == "," and depth == 0:
                parts.append(inside[start:position].strip())
                start = position + 1
    fields = []
    for part in parts:
        if part.startswith('"'):
            end = part.index('"', 1)
            fields.append((part[1:end], part[end + 1 :].strip()))
        else:
            name, _, kind = part.partition(" ")
            fields.append((name, kind))
    return fields
