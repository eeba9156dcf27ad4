"""BigQuery's types: as schemas, as DuckDB columns, and which takes the place of which.

Source: BigQuery documentation, "Data types" and "Conversion rules" (2026-11-25).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.local.bigquery.errors import Invalid

_DUCKDB = {
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    "BOOL": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "INTERVAL": "INTERVAL",
    "JSON": "JSON",
}
# Names in schemas of the REST API, which kept legacy SQL's.
_REST = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_ALIASES = {
    "INTEGER": "INT64",
    "INT": "INT64",
    "SMALLINT": "INT64",
    "BIGINT": "INT64",
    "TINYINT": "INT64",
    "BYTEINT": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "RECORD": "STRUCT",
}
_FIELD_NAME = re.compile(r"[^\W\d][\w -]{0,299}")


@dataclass(frozen=True)
class Type:
    """A type of GoogleSQL.

    Args:
        kind: INT64, FLOAT64, NUMERIC, BOOL, STRING, BYTES, DATE, DATETIME, TIME, TIMESTAMP, INTERVAL, JSON,
            ARRAY or STRUCT.
        element: Of an array.
        fields: Of a struct.
    """

    kind: str
    element: "Type | None" = None
    fields: "tuple[Column, ...]" = ()

    def __str__(self) -> str:
        if self.kind == "ARRAY":
            return f"ARRAY<{self.element}>"
        if self.kind == "STRUCT":
            return f"STRUCT<{', '.join(f'{field.name} {field.type}' for field in self.fields)}>"
        return self.kind

    @property
    def duckdb(self) -> str:
        """The type of a DuckDB column for it."""
        if self.kind == "ARRAY":
            assert self.element is not None
            return f"{self.element.duckdb}[]"
        if self.kind == "STRUCT":
            return (
                f"STRUCT({', '.join(f'{quoted(field.name)} {field.type.duckdb}' for field in self.fields)})"
            )
        return _DUCKDB[self.kind]


@dataclass(frozen=True)
class Column:
    """A named column or field; `required` and `description` matter in tables alone."""

    name: str
    type: Type
    required: bool = False
    description: str = ""


INT64, FLOAT64, NUMERIC, BOOL = Type("INT64"), Type("FLOAT64"), Type("NUMERIC"), Type("BOOL")
STRING, BYTES, JSON = Type("STRING"), Type("BYTES"), Type("JSON")
DATE, DATETIME, TIME, TIMESTAMP = Type("DATE"), Type("DATETIME"), Type("TIME"), Type("TIMESTAMP")
INTERVAL = Type("INTERVAL")
_COERCED = {
    ("INT64", "NUMERIC"),
    ("INT64", "FLOAT64"),
    ("NUMERIC", "FLOAT64"),
    ("DATE", "DATETIME"),
}


def array_of(element: Type) -> Type:
    """The array of a type."""
    return Type("ARRAY", element=element)


def coerces(source: Type, target: Type) -> bool:
    """Whether a value of one type is taken for another without a cast."""
    if source == target or (source.kind, target.kind) in _COERCED:
        return True
    if source.kind == target.kind == "STRUCT":
        pairs = zip(source.fields, target.fields, strict=False)
        return len(source.fields) == len(target.fields) and all(coerces(a.type, b.type) for a, b in pairs)
    if source.kind == target.kind == "ARRAY":
        assert source.element is not None and target.element is not None
        return source.element.kind == "STRUCT" and coerces(source.element, target.element)
    return False


def quoted(name: str) -> str:
    """A name as an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def named_type(name: str) -> Type:
    """The simple type of a name.

    Raises:
        Invalid: Local BigQuery has no such type.
    """
    kind = _ALIASES.get(name.upper(), name.upper())
    if kind not in _DUCKDB:
        raise Invalid(f"Unsupported type: {name}: local BigQuery has {', '.join(sorted(_DUCKDB))}")
    return Type(kind)


def columns_of(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a TableSchema.

    Raises:
        Invalid: A field is malformed.
    """
    fields = schema.get("fields") or []
    columns = tuple(_column(field) for field in fields)
    names = [column.name.lower() for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise Invalid(f"Field {name} already exists in schema")
    return columns


def check_field(name: str) -> None:
    """Refuses a name that no column of a table can have.

    Raises:
        Invalid: It breaks a naming rule.
    """
    if not _FIELD_NAME.fullmatch(name):
        raise Invalid(f'Invalid field name "{name[:100]}": expected a letter or _, then letters, digits, _')


def _column(field: Mapping[str, Any]) -> Column:
    name, kind = str(field.get("name", "")), str(field.get("type", ""))
    check_field(name)
    mode = str(field.get("mode") or "NULLABLE").upper()
    if mode not in ("NULLABLE", "REQUIRED", "REPEATED"):
        raise Invalid(f"Field {name}: invalid mode {mode}: expected NULLABLE, REQUIRED or REPEATED")
    if kind.upper() in ("RECORD", "STRUCT"):
        fields = columns_of(field)
        if not fields:
            raise Invalid(f"Field {name} is type RECORD but has no schema")
        base = Type("STRUCT", fields=fields)
    else:
        base = named_type(kind)
    described = str(field.get("description") or "")
    return Column(name, array_of(base) if mode == "REPEATED" else base, mode == "REQUIRED", described)


def schema_of(columns: Sequence[Column]) -> dict[str, Any]:
    """The TableSchema of columns."""
    return {"fields": [_field(column) for column in columns]}


def _field(column: Column) -> dict[str, Any]:
    base = column.type.element if column.type.kind == "ARRAY" else column.type
    assert base is not None
    mode = "REPEATED" if base is not column.type else "REQUIRED" if column.required else "NULLABLE"
    field: dict[str, Any] = {"name": column.name, "type": _REST.get(base.kind, base.kind), "mode": mode}
    if base.kind == "STRUCT":
        field |= schema_of(base.fields)
    if column.description:
        field["description"] = column.description
    return field
