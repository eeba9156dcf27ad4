"""Arrays and structs that a query writes out.

Source: BigQuery documentation, "Data types", "Constructing an array", "Constructing a struct" (2026-11-25).
"""

from typing import TYPE_CHECKING

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.scope import Expr, Scope, supertype
from trainwright.local.bigquery.types import INT64, Column, Type, array_of, quoted

if TYPE_CHECKING:
    from trainwright.local.bigquery.sql.expressions import Expressions


def constructed(expressions: "Expressions", node: exp.Expression, target: Type, scope: Scope) -> Expr:
    """An expression where a value of `target` is wanted: constructors take its field names."""
    if isinstance(node, (exp.Struct, exp.Tuple)) and target.kind == "STRUCT":
        return _typed_struct(expressions, node, target, scope)
    if isinstance(node, exp.Array) and target.element is not None:
        items = [constructed(expressions, each, target.element, scope).sql for each in node.expressions]
        return Expr(f"CAST([{', '.join(items)}] AS {target.duckdb})", target)
    value = expressions.translate(node, scope)
    if not value.fits(target):
        raise InvalidQuery(f"Constructor: a value of type {value.type} cannot be coerced to {target}")
    return value.to(target)


def _typed_struct(expressions: "Expressions", node: exp.Expression, target: Type, scope: Scope) -> Expr:
    values = [each.this if isinstance(each, exp.Alias) else each for each in node.expressions]
    values = [each.expression if isinstance(each, exp.PropertyEQ) else each for each in values]
    if len(values) != len(target.fields):
        raise InvalidQuery(
            f"STRUCT type has {len(target.fields)} fields but constructor call has {len(values)}"
        )
    pairs = zip(target.fields, values, strict=True)
    items = [f"{quoted(f.name)} := {constructed(expressions, v, f.type, scope).sql}" for f, v in pairs]
    return Expr(f"CAST(struct_pack({', '.join(items)}) AS {target.duckdb})", target)


def array(expressions: "Expressions", node: exp.Array, scope: Scope) -> Expr:
    """`[a, b, ...]`, or `ARRAY(SELECT ...)`.

    Raises:
        InvalidQuery: The elements have no type in common, or are arrays.
    """
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
        sql, columns = expressions.queries.subquery(node.expressions[0], scope)
        if len(columns) != 1:
            raise InvalidQuery("ARRAY subquery cannot have more than one column: use SELECT AS STRUCT")
        return Expr(f"ARRAY({sql})", array_of(columns[0].type))
    first = node.expressions[0] if node.expressions else None
    items: list[Expr] = []
    for each in node.expressions:
        if isinstance(each, (exp.Tuple, exp.Struct)) and each is not first and items[0].type is not None:
            items.append(
                constructed(expressions, each, items[0].type, scope)
            )  # fields are named by the first
        elif isinstance(each, exp.Anonymous) and each.name.upper() == "STRUCT" and items and items[0].type:
            items.append(constructed(expressions, _as_struct(each), items[0].type, scope))
        else:
            items.append(expressions.translate(each, scope))
    element = supertype(items, "array constructor") or INT64
    if element.kind == "ARRAY":
        raise InvalidQuery("Cannot construct array with element type ARRAY: nested arrays are not supported")
    kind = array_of(element)
    return Expr(f"CAST([{', '.join(each.to(element).sql for each in items)}] AS {kind.duckdb})", kind)


def struct(expressions: "Expressions", node: exp.Expression, scope: Scope) -> Expr:
    """`STRUCT(a AS name, ...)`.

    Raises:
        InvalidQuery: It has no fields, or two of one name.
    """
    fields, items = [], []
    for number, each in enumerate(node.expressions, 1):
        named = isinstance(each, (exp.Alias, exp.PropertyEQ))
        inner = (each.expression if isinstance(each, exp.PropertyEQ) else each.this) if named else each
        value = expressions.translate(inner, scope)
        if isinstance(each, exp.Alias):
            name = each.alias
        elif named:
            name = each.this.name
        else:
            name = inner.name if isinstance(inner, (exp.Column, exp.Dot)) else f"_field_{number}"
        kind = value.type or INT64
        fields.append(Column(name, kind))
        items.append(f"{quoted(name)} := {value.to(kind).sql}")
    if not fields or len({each.name.lower() for each in fields}) < len(fields):
        raise InvalidQuery("STRUCT with no or with duplicate field names is not supported by local BigQuery")
    return Expr(f"struct_pack({', '.join(items)})", Type("STRUCT", fields=tuple(fields)))


def _as_struct(node: exp.Anonymous) -> exp.Struct:
    return exp.Struct(expressions=[each.copy() for each in node.expressions])
