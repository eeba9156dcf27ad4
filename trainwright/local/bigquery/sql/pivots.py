"""PIVOT as aggregation of the rows that have each value.

Source: BigQuery documentation, "Query syntax", "PIVOT operator" (2026-11-25).
"""

from typing import TYPE_CHECKING

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.scope import Relation, Scope, only, unsupported
from trainwright.local.bigquery.types import INT64, Column, quoted

if TYPE_CHECKING:
    from trainwright.local.bigquery.sql.queries import Queries


def pivoted(queries: "Queries", relation: Relation, sql: str, pivot: exp.Pivot) -> tuple[str, Relation]:
    """A FROM item behind PIVOT: its SQL and relation.

    Args:
        queries: Translates expressions.
        relation: What is pivoted.
        sql: Its SQL.
        pivot: The operator.

    Raises:
        InvalidQuery: It is wrong, or UNPIVOT.
    """
    only(pivot, "expressions", "fields", "alias", "columns", "prefixed_pivot_columns", "pivot_column_naming")
    fields = pivot.args.get("fields") or []
    if pivot.args.get("unpivot") or len(fields) != 1 or not isinstance(fields[0], exp.In):
        raise unsupported(pivot)
    scope = Scope(relations=[relation])
    key = fields[0].this
    taken = {key.name.lower()}
    selected: list[tuple[str, str, Column]] = []
    for value in fields[0].expressions:
        condition = exp.EQ(this=key.copy(), expression=_value(value))
        for aggregate in pivot.expressions:
            call = aggregate.this if isinstance(aggregate, exp.Alias) else aggregate
            taken |= {column.name.lower() for column in call.find_all(exp.Column)}
            translated = queries.expressions.translate(_only_where(call, condition), scope)
            prefix = f"{aggregate.alias}_" if isinstance(aggregate, exp.Alias) else ""
            name = prefix + _name(value)
            selected.append((translated.sql, name, Column(name, translated.type or INT64)))
    kept = [column for column in relation.columns if column.name.lower() not in taken]
    listed = [f"{relation.sql(column)} AS {quoted(column.name)}" for column in kept]
    listed += [f"{each} AS {quoted(name)}" for each, name, _ in selected]
    grouped = f" GROUP BY {', '.join(str(n) for n in range(1, len(kept) + 1))}" if kept else ""
    alias = pivot.alias or queries.new_name()
    inner = f"(SELECT {', '.join(listed)} FROM {sql} AS {quoted(relation.alias)}{grouped})"
    return inner, Relation(alias, (*kept, *(column for _, _, column in selected)))


def _value(node: exp.Expression) -> exp.Expression:
    inner = node.this if isinstance(node, (exp.Alias, exp.PivotAlias)) else node
    return inner.copy()


def _name(node: exp.Expression) -> str:
    if isinstance(node, (exp.Alias, exp.PivotAlias)):
        alias = node.args["alias"]
        return alias.name if isinstance(alias, exp.Expression) else str(alias)
    if isinstance(node, exp.Literal):
        return node.this if node.is_string else f"_{node.this}"
    raise InvalidQuery("PIVOT is supported by local BigQuery with literal values, or values with an alias")


def _only_where(call: exp.Expression, condition: exp.Expression) -> exp.Expression:
    """The aggregate of the rows that meet a condition."""
    if not isinstance(call, exp.Anonymous) or not call.expressions:
        raise unsupported(call)
    if isinstance(call.expressions[0], exp.Star):
        return exp.Anonymous(this="COUNTIF", expressions=[condition.copy()])
    if (
        str(call.this).upper() not in ("SUM", "AVG", "MIN", "MAX", "COUNT", "ANY_VALUE")
        or len(call.expressions) != 1
    ):
        raise unsupported(call)
    chosen = exp.If(this=condition.copy(), true=call.expressions[0].copy(), false=exp.Null())
    return exp.Anonymous(this=call.this, expressions=[chosen])
