"""The FROM clause: tables, WITH queries, subqueries, UNNEST and joins."""

from typing import TYPE_CHECKING

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.dialect import parse
from trainwright.local.bigquery.sql.scope import Expr, Relation, Scope, only, supertype, text, unsupported
from trainwright.local.bigquery.types import INT64, STRING, Column, quoted

if TYPE_CHECKING:
    from trainwright.local.bigquery.sql.queries import Queries

_VIEWS_DEEP = 16  # BigQuery documentation, "Quotas and limits": nested views (2026-11-25)
_VALUE = "_value"


def from_clause(queries: "Queries", node: exp.Select, scope: Scope) -> str:
    """`FROM ...` of a query, "" without one; its relations are put into the scope.

    Raises:
        InvalidQuery: It is wrong or not supported.
    """
    source = node.args.get("from_")
    if source is None:
        if node.args.get("joins"):
            raise unsupported(node)
        return ""
    only(source, "this")
    sql = _item(queries, source.this, scope)
    for join in [*(source.this.args.get("joins") or []), *(node.args.get("joins") or [])]:
        sql += " " + _join(queries, join, scope)
    return f"FROM {sql}"


def all_columns(scope: Scope) -> list[tuple[str, Expr]]:
    """What `*` stands for: the columns of USING first, then the others in order."""
    merged = [(value_name, value) for value_name, value in scope.merged.items()]
    named = {
        name: column.name for r in scope.relations for column in r.columns for name in [column.name.lower()]
    }
    items = [(named.get(name, name), value) for name, value in merged]
    for relation in scope.relations:
        items += [(n, v) for n, v in columns_of(relation) if n.lower() not in scope.merged]
    return items


def columns_of(relation: Relation) -> list[tuple[str, Expr]]:
    """The columns of a relation that `*` shows."""
    return [(column.name, Expr(relation.sql(column), column.type)) for column in relation.columns]


def _item(queries: "Queries", node: exp.Expression, scope: Scope) -> str:
    """One FROM item; its relation is added to the scope."""
    if isinstance(node, exp.Unnest):
        sql, relation = _unnest(queries, node, scope)
    elif isinstance(node, exp.Table):
        sql, relation = _table(queries, node, scope)
    elif isinstance(node, exp.Subquery):
        only(node, "this", "alias", "pivots", "joins")
        inner, columns = queries.subquery(node.this, _around(scope))
        relation = Relation(node.alias or queries.new_name(), columns)
        sql = f"({inner})"
    else:
        raise unsupported(node)
    for pivot in node.args.get("pivots") or []:
        sql, relation = queries.pivoted(relation, sql, pivot)
    if any(each.alias.lower() == relation.alias.lower() for each in scope.relations):
        raise InvalidQuery(f"Duplicate table alias {relation.alias} in the same FROM clause")
    scope.relations.append(relation)
    return f"{sql} AS {quoted(relation.alias)}"


def _around(scope: Scope) -> Scope | None:
    """What a subquery in FROM sees: the query around, not its neighbours."""
    return scope.outer


def _table(queries: "Queries", node: exp.Table, scope: Scope) -> tuple[str, Relation]:
    only(node, "this", "db", "catalog", "alias", "pivots", "joins")
    if not isinstance(node.this, exp.Identifier):
        raise unsupported(node.this)
    parts = [part for each in node.parts for part in each.name.split(".")]
    alias = node.alias or parts[-1]
    if node.args.get("alias") and node.args["alias"].args.get("columns"):
        raise unsupported(node)
    if len(parts) == 1 and (columns := queries.common(parts[0])) is not None:
        return quoted(parts[0].lower()), Relation(alias, columns)
    if len(parts) > 1 and any(r.alias.lower() == parts[0].lower() for r in scope.relations):
        return _unnested(queries, scope.resolve(parts), alias, None)  # FROM t, t.items
    if parts[-1].endswith("*"):
        return _wildcard(queries, parts, node.alias or queries.new_name())
    source = queries.tables.source(parts)
    if not source.view:
        return source.sql, Relation(alias, source.columns)
    if queries.depth >= _VIEWS_DEEP:
        raise InvalidQuery(f"The view {'.'.join(parts)} is nested more than {_VIEWS_DEEP} levels deep")
    inside = type(queries)(queries.tables, depth=queries.depth + 1)
    translated = inside.query(parse(source.view))
    return f"({translated.sql})", Relation(alias, translated.columns)


def _wildcard(queries: "Queries", parts: list[str], alias: str) -> tuple[str, Relation]:
    columns, tables = queries.tables.wildcard(parts)
    listed = ", ".join(quoted(column.name) for column in columns)
    selects = [f'SELECT {listed}, {text(suffix)} AS "_TABLE_SUFFIX" FROM {sql}' for suffix, sql in tables]
    hidden = (Column("_TABLE_SUFFIX", STRING),)
    return f"({' UNION ALL '.join(selects)})", Relation(alias, columns, hidden)


def _unnest(queries: "Queries", node: exp.Unnest, scope: Scope) -> tuple[str, Relation]:
    only(node, "expressions", "alias", "offset", "pivots", "joins")
    if len(node.expressions) != 1:
        raise unsupported(node)
    array = queries.expressions.translate(node.expressions[0], scope)
    alias = node.args.get("alias")
    names = [each.name for each in (alias.args.get("columns") or [])] if alias is not None else []
    name = (alias.name if alias is not None else "") or (names[0] if names else "")
    offset = node.args.get("offset")
    counter = None if not offset else offset.name if isinstance(offset, exp.Expression) else "offset"
    return _unnested(queries, array, name, counter)


def _unnested(queries: "Queries", array: Expr, alias: str, counter: str | None) -> tuple[str, Relation]:
    """The rows of an array.

    Args:
        queries: Gives new names.
        array: What to unnest.
        alias: The name of the relation, and of its value; "" for none.
        counter: The name of the column of WITH OFFSET, or None.
    """
    if array.type is None or array.type.element is None:
        raise InvalidQuery(
            f"Values referenced in UNNEST must be arrays. UNNEST contains expression of type {array.type}"
        )
    element = array.type.element
    offsets = [Column(counter, INT64)] if counter else []
    index = f", generate_subscripts({array.sql}, 1) - 1 AS {quoted(counter)}" if counter else ""
    if element.kind != "STRUCT":
        value = Column(alias or "f0_", element)
        relation = Relation(alias or queries.new_name(), (value, *offsets), value=value.name)
        return f"(SELECT unnest({array.sql}) AS {quoted(value.name)}{index})", relation
    name = quoted(queries.new_name())
    listed = [f"struct_extract({name}.{_VALUE}, {text(f.name)}) AS {quoted(f.name)}" for f in element.fields]
    listed += [f"{name}.{_VALUE}", *(f"{name}.{quoted(each.name)}" for each in offsets)]
    sql = f"(SELECT {', '.join(listed)} FROM (SELECT unnest({array.sql}) AS {_VALUE}{index}) AS {name})"
    hidden = (Column(_VALUE, element),)
    return sql, Relation(alias or queries.new_name(), (*element.fields, *offsets), hidden, value=_VALUE)


def _join(queries: "Queries", node: exp.Join, scope: Scope) -> str:
    only(node, "this", "kind", "side", "on", "using")
    side, kind = (node.args.get("side") or "").upper(), (node.args.get("kind") or "").upper()
    if kind not in ("", "INNER", "OUTER", "CROSS") or side not in ("", "LEFT", "RIGHT", "FULL"):
        raise unsupported(node)
    before = list(scope.relations)
    lateral = "LATERAL " if _is_array(node.this, scope) else ""
    item = _item(queries, node.this, scope)
    if using := node.args.get("using"):
        condition = _using(scope, before, [each.name for each in using], side)
        return f"{side or 'INNER'} JOIN {lateral}{item} ON {condition}"
    if on := node.args.get("on"):
        condition = queries.expressions.boolean(on, scope, "JOIN ON clause")
        return f"{side or 'INNER'} JOIN {lateral}{item} ON {condition}"
    if lateral and side == "LEFT":
        return f"LEFT JOIN LATERAL {item} ON TRUE"
    if side or (kind in ("INNER", "OUTER") and not lateral):
        raise InvalidQuery(f"{side or kind} JOIN must have an immediately following ON or USING clause")
    return f"CROSS JOIN {lateral}{item}"


def _is_array(node: exp.Expression, scope: Scope) -> bool:
    """Whether a FROM item is an array, which may be of the relations before it."""
    if isinstance(node, exp.Unnest):
        return True
    first = node.parts[0].name.lower() if isinstance(node, exp.Table) and node.args.get("db") else ""
    return any(relation.alias.lower() == first for relation in scope.relations)


def _using(scope: Scope, before: list[Relation], names: list[str], side: str) -> str:
    right = scope.relations[-1]
    conditions = []
    for name in names:
        column = right.find(name)
        left = scope.merged.get(name.lower()) or Scope(relations=before).resolve([name])
        if column is None:
            raise InvalidQuery(f"Column {name} in USING clause not found on right side of join")
        other = Expr(right.sql(column), column.type)
        kind = supertype([left, other], "USING") or INT64
        a, b = left.to(kind).sql, other.to(kind).sql
        conditions.append(f"{a} = {b}")
        merged = {"RIGHT": b, "FULL": f"coalesce({a}, {b})"}.get(side, a)
        scope.merged[name.lower()] = Expr(merged, kind)
    return " AND ".join(conditions)
