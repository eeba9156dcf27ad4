"""Types as queries write them, and query parameters as literals."""

from sqlglot import exp

from trainwright.local.bigquery.errors import Invalid, InvalidQuery
from trainwright.local.bigquery.sql.casts import cast
from trainwright.local.bigquery.sql.scope import Expr, text, unsupported
from trainwright.local.bigquery.types import BYTES, JSON, STRING, Column, Type, array_of, quoted

_CASTS = {
    "BIGINT": "INT64", "INT": "INT64", "DOUBLE": "FLOAT64", "FLOAT": "FLOAT64", "TEXT": "STRING",
    "VARCHAR": "STRING", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC", "BINARY": "BYTES", "VARBINARY": "BYTES",
    "DATE": "DATE", "DATETIME": "DATETIME", "TIMESTAMP": "DATETIME", "TIMESTAMPTZ": "TIMESTAMP",
    "TIME": "TIME",
    "JSON": "JSON", "SMALLINT": "INT64", "TINYINT": "INT64",
}  # fmt: skip


def read_type(node: exp.DataType) -> Type:
    """A type as it stands in a query.

    Raises:
        InvalidQuery: Local BigQuery has none such.
    """
    kind = node.this.value if hasattr(node.this, "value") else str(node.this)
    if kind == "ARRAY" and len(node.expressions) == 1:
        return array_of(read_type(node.expressions[0]))
    if kind == "STRUCT":
        return Type(
            "STRUCT", fields=tuple(_read_field(n, each) for n, each in enumerate(node.expressions, 1))
        )
    if kind not in _CASTS or node.expressions:
        raise InvalidQuery(f"The type {node.sql(dialect='bigquery')} is not supported by local BigQuery")
    return Type(_CASTS[kind])


def _read_field(number: int, node: exp.Expression) -> Column:
    if isinstance(node, exp.ColumnDef):
        return Column(node.name, read_type(node.args["kind"]))
    if isinstance(node, exp.DataType):
        return Column(f"_field_{number}", read_type(node))
    raise unsupported(node)


def parameter(value: object, kind: Type) -> Expr:
    """A query parameter as a literal.

    Args:
        value: Its text, None, a list of such or a dict by field.
        kind: Its type.

    Raises:
        Invalid: The value is none of its type.
    """
    return Expr(_parameter_sql(value, kind), kind, literal=kind.kind not in ("ARRAY", "STRUCT"))


def _parameter_sql(value: object, kind: Type) -> str:
    if value is None:
        return f"CAST(NULL AS {kind.duckdb})"
    if kind.element is not None and isinstance(value, list):
        return f"CAST([{', '.join(_parameter_sql(v, kind.element) for v in value)}] AS {kind.duckdb})"
    if kind.kind == "STRUCT" and isinstance(value, dict):
        items = [f"{quoted(f.name)} := {_parameter_sql(value.get(f.name), f.type)}" for f in kind.fields]
        return f"struct_pack({', '.join(items)})"
    if not isinstance(value, str):
        raise Invalid(f"Query parameter: expected a value of type {kind}")
    if kind == STRING:
        return f"CAST({text(value)} AS VARCHAR)"
    if kind == BYTES:
        return f"from_base64({text(value)})"
    return cast(Expr(text(value), STRING), kind).sql if kind != JSON else f"CAST({text(value)} AS JSON)"
