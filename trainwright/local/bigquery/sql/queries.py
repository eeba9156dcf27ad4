"""SELECT and what is around it: WITH, FROM, joins, UNNEST, GROUP BY, set operations, ORDER BY.

Names are resolved here, not by DuckDB: `*` is expanded, and every column is written with its relation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql import aggregates, pivots, relations
from trainwright.local.bigquery.sql.expressions import Expressions
from trainwright.local.bigquery.sql.scope import (
    Expr,
    Relation,
    Scope,
    fields_of,
    only,
    supertype,
    unsupported,
)
from trainwright.local.bigquery.types import INT64, Column, Type, quoted

_SELECT_PARTS = (
    "expressions", "from_", "joins", "where", "group", "having", "qualify", "windows", "order", "limit",
    "offset", "distinct", "with_", "kind",
)  # fmt: skip
_SET_PARTS = ("this", "expression", "distinct", "with_", "order", "limit", "offset")


@dataclass(frozen=True)
class Source:
    """A table or view that a query reads.

    Args:
        columns: Its columns.
        sql: DuckDB SQL that stands in FROM; "" for a view.
        view: The GoogleSQL of a view; "" for a table.
    """

    columns: tuple[Column, ...]
    sql: str = ""
    view: str = ""


class Tables(Protocol):
    """Finds what table names mean."""

    def source(self, parts: Sequence[str]) -> Source:
        """The table that `project.dataset.table` or less of it names; raises NotFound or InvalidQuery."""

    def wildcard(self, parts: Sequence[str]) -> tuple[tuple[Column, ...], Sequence[tuple[str, str]]]:
        """For a name that ends in `*`: the columns, and per table its suffix and DuckDB SQL."""


@dataclass(frozen=True)
class Translated:
    """A query: DuckDB SQL and the columns that it gives."""

    sql: str
    columns: tuple[Column, ...]


class Queries:
    """Translates queries.

    Args:
        tables: Finds tables.
        named: Query parameters by lower-case name.
        positional: Query parameters in order.
        depth: How many views this one is inside of.
    """

    def __init__(
        self,
        tables: Tables,
        named: Mapping[str, Expr] | None = None,
        positional: list[Expr] | None = None,
        depth: int = 0,
    ) -> None:
        self.tables = tables
        self.expressions = Expressions(self, named or {}, positional or [])
        self.depth = depth
        self._common: list[dict[str, tuple[Column, ...]]] = []
        self._names = 0

    def query(self, node: exp.Expression) -> Translated:
        """A whole query, as it would be put into a table.

        Raises:
            InvalidQuery: It is wrong or not supported.
        """
        sql, columns = self.subquery(node, None)
        return Translated(sql, columns)

    def subquery(self, node: exp.Expression, outer: Scope | None) -> tuple[str, tuple[Column, ...]]:
        """A query inside of another, which may use the other's columns; its SQL and columns."""
        while isinstance(node, exp.Subquery) and not node.args.get("alias"):
            only(node, "this", "with_")
            node = node.this
        with_ = node.args.get("with_")
        definitions = self._with(with_, outer) if with_ is not None else ""
        try:
            if isinstance(node, exp.Select):
                sql, columns = self._select(node, outer)
            elif isinstance(node, exp.SetOperation):
                sql, columns = self._set_operation(node, outer)
            else:
                raise unsupported(node)
        finally:
            if with_ is not None:
                self._common.pop()
        _refuse_duplicates(columns)
        return definitions + sql, columns

    def common(self, name: str) -> tuple[Column, ...] | None:
        """The columns of a WITH query of that name, or None."""
        for level in reversed(self._common):
            if name.lower() in level:
                return level[name.lower()]
        return None

    def new_name(self) -> str:
        """A relation name that no query uses."""
        self._names += 1
        return f"_relation_{self._names}"

    def _with(self, node: exp.With, outer: Scope | None) -> str:
        if node.args.get("recursive"):
            raise InvalidQuery("WITH RECURSIVE is not supported by local BigQuery")
        self._common.append({})
        parts = []
        for item in node.expressions:
            only(item, "this", "alias")
            if item.args["alias"].args.get("columns"):
                raise unsupported(item)
            sql, columns = self.subquery(item.this, outer)
            self._common[-1][item.alias.lower()] = columns
            parts.append(f"{quoted(item.alias.lower())} AS ({sql})")
        return f"WITH {', '.join(parts)} "

    def _select(self, node: exp.Select, outer: Scope | None) -> tuple[str, tuple[Column, ...]]:
        only(node, *_SELECT_PARTS)
        scope = Scope(outer=outer)
        source = relations.from_clause(self, node, scope)
        scope.windows = {each.name.lower(): each for each in node.args.get("windows") or []}
        items = self._projections(node, scope)
        aliases = {name.lower(): value for name, value in items}
        columns = tuple(Column(name, value.type or INT64) for name, value in items)
        distinct = node.args.get("distinct")
        if distinct is not None:
            only(distinct)
        listed = ", ".join(f"{_typed(value)} AS {quoted(name)}" for name, value in items)
        parts = [f"SELECT {'DISTINCT ' if distinct is not None else ''}{listed}", source]
        if where := node.args.get("where"):
            parts.append("WHERE " + self.expressions.boolean(where.this, scope, "WHERE clause"))
        if group := node.args.get("group"):
            parts.append(self._group_by(group, scope, items))
        visible = replace(scope, aliases=aliases)
        if having := node.args.get("having"):
            self._refuse_ambiguous(having, scope, aliases)
            parts.append("HAVING " + self.expressions.boolean(having.this, visible, "HAVING clause"))
        if qualify := node.args.get("qualify"):
            parts.append("QUALIFY " + self.expressions.boolean(qualify.this, visible, "QUALIFY clause"))
        parts.append(self._tail(node, visible, items))
        sql = " ".join(part for part in parts if part)
        kind = node.args.get("kind")
        if kind is None:
            return sql, columns
        return self._as_struct(str(kind), sql, columns)

    def _as_struct(self, kind: str, sql: str, columns: tuple[Column, ...]) -> tuple[str, tuple[Column, ...]]:
        if kind.upper() != "STRUCT":
            raise InvalidQuery(f"SELECT AS {kind} is not supported by local BigQuery")
        name = self.new_name()
        packed = ", ".join(f"{quoted(c.name)} := {quoted(name)}.{quoted(c.name)}" for c in columns)
        wrapped = f'SELECT struct_pack({packed}) AS "value" FROM ({sql}) AS {quoted(name)}'
        return wrapped, (Column("value", Type("STRUCT", fields=columns)),)

    def _projections(self, node: exp.Select, scope: Scope) -> list[tuple[str, Expr]]:
        items: list[tuple[str, Expr]] = []
        unnamed = 0
        for each in node.expressions:
            star = _star(each)
            if star is not None:
                items += self._expanded(each, star, scope)
                continue
            value = self.expressions.translate(each.this if isinstance(each, exp.Alias) else each, scope)
            if isinstance(each, exp.Alias):
                name = each.alias
            elif isinstance(each, (exp.Column, exp.Dot)):
                name = each.name or each.expression.name
            else:
                name, unnamed = f"f{unnamed}_", unnamed + 1
            items.append((name, value))
        if not items:
            raise InvalidQuery("SELECT list must not be empty")
        return items

    def _expanded(self, node: exp.Expression, star: exp.Star, scope: Scope) -> list[tuple[str, Expr]]:
        only(star, "except_", "replace")
        if isinstance(node, exp.Star):
            items = relations.all_columns(scope)
        elif isinstance(node, exp.Column):
            parts = [part.name for part in node.parts[:-1]]
            named = [r for r in scope.relations if r.alias.lower() == parts[0].lower()]
            if len(parts) == 1 and named:
                items = relations.columns_of(named[0])
            else:
                items = _fields(scope.resolve(parts))
        else:
            items = _fields(self.expressions.translate(node.this, scope))
        if not items:
            raise InvalidQuery("SELECT * must have a FROM clause")
        left_out = {each.name.lower() for each in star.args.get("except_") or []}
        known = {name.lower() for name, _ in items}
        replaced = {each.alias.lower(): each.this for each in star.args.get("replace") or []}
        for name in (*left_out, *replaced):
            if name not in known:
                raise InvalidQuery(f"Column {name} in SELECT * EXCEPT or REPLACE list does not exist")
        return [
            (name, self.expressions.translate(replaced[name.lower()], scope))
            if name.lower() in replaced
            else (name, value)
            for name, value in items
            if name.lower() not in left_out
        ]

    def _group_by(self, group: exp.Group, scope: Scope, items: list[tuple[str, Expr]]) -> str:
        only(group, "expressions", "all")
        if group.args.get("all"):
            return "GROUP BY ALL"
        names = [name.lower() for name, _ in items]
        parts = []
        for each in group.expressions:
            if isinstance(each, exp.Literal) and not each.is_string:
                parts.append(str(_position(each, len(items), "GROUP BY")))
            elif isinstance(each, exp.Column) and len(each.parts) == 1 and each.name.lower() in names:
                position = names.index(each.name.lower())
                self._refuse_ambiguous(each, scope, {names[position]: items[position][1]})
                parts.append(str(position + 1))
            else:
                parts.append(self.expressions.translate(each, scope).sql)
        return "GROUP BY " + ", ".join(parts)

    @staticmethod
    def _refuse_ambiguous(node: exp.Expression, scope: Scope, aliases: Mapping[str, Expr]) -> None:
        """Refuses names that a column and another alias of the select list share."""
        for column in node.find_all(exp.Column):
            name = column.name.lower()
            if len(column.parts) != 1 or name not in aliases:
                continue
            try:
                found = replace(scope, outer=None).resolve([name])
            except InvalidQuery:
                continue
            if found.sql != aliases[name].sql:
                raise InvalidQuery(
                    f"Column name {column.name} is ambiguous: a column and an alias of the select list"
                )

    def _tail(self, node: exp.Expression, scope: Scope, items: list[tuple[str, Expr]]) -> str:
        """ORDER BY, LIMIT and OFFSET."""
        parts = []
        names = [name.lower() for name, _ in items]
        if order := node.args.get("order"):
            ordered = []
            for each in order.expressions:
                inner = each.this
                if isinstance(inner, exp.Literal) and not inner.is_string:
                    sql = str(_position(inner, len(items), "ORDER BY"))
                elif isinstance(inner, exp.Column) and len(inner.parts) == 1 and inner.name.lower() in names:
                    sql = str(names.index(inner.name.lower()) + 1)
                else:
                    sql = self.expressions.translate(inner, scope).sql
                ordered.append(aggregates.ordering(each, sql))
            parts.append("ORDER BY " + ", ".join(ordered))
        for word in ("limit", "offset"):
            if clause := node.args.get(word):
                only(clause, "expression")
                parts.append(f"{word.upper()} {self.expressions.translate(clause.expression, Scope()).sql}")
        return " ".join(parts)

    def _set_operation(self, node: exp.SetOperation, outer: Scope | None) -> tuple[str, tuple[Column, ...]]:
        only(node, *_SET_PARTS)
        word = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}[type(node)]
        if word != "UNION" and not node.args.get("distinct"):
            raise InvalidQuery(f"{word} ALL is not supported: use {word} DISTINCT")
        sides = [self.subquery(each, outer) for each in (node.this, node.expression)]
        (_, left_columns), (_, right_columns) = sides
        if len(left_columns) != len(right_columns):
            raise InvalidQuery(f"Queries in {word} have mismatched column count")
        columns = []
        for a, b in zip(left_columns, right_columns, strict=True):
            kind = supertype([Expr("", a.type), Expr("", b.type)], f"{word} of column {a.name}")
            columns.append(Column(a.name, kind or INT64))
        both = [self._as_columns(sql, given, columns) for sql, given in sides]
        if node.args.get("distinct"):
            joined = f"{both[0]} {word} {both[1]}"
        else:
            joined = f"{both[0]} {word} ALL {both[1]}"
        items = [(column.name, Expr(quoted(column.name), column.type)) for column in columns]
        scope = Scope(aliases={name.lower(): value for name, value in items})
        tail = self._tail(node, scope, items)
        return f"{joined} {tail}".strip(), tuple(columns)

    def _as_columns(self, sql: str, given: tuple[Column, ...], wanted: list[Column]) -> str:
        if [each.type for each in given] == [each.type for each in wanted]:
            return f"({sql})"
        name = quoted(self.new_name())
        pairs = zip(given, wanted, strict=True)
        listed = ", ".join(
            f"CAST({name}.{quoted(a.name)} AS {b.type.duckdb}) AS {quoted(b.name)}" for a, b in pairs
        )
        return f"(SELECT {listed} FROM ({sql}) AS {name})"

    def pivoted(self, relation: Relation, sql: str, pivot: exp.Pivot) -> tuple[str, Relation]:
        """A FROM item behind PIVOT."""
        return pivots.pivoted(self, relation, sql, pivot)


def _typed(value: Expr) -> str:
    return value.sql if value.type is not None else "CAST(NULL AS BIGINT)"


def _star(node: exp.Expression) -> exp.Star | None:
    if isinstance(node, exp.Star):
        return node
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
        return node.this
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Star):
        return node.expression
    return None


def _fields(value: Expr) -> list[tuple[str, Expr]]:
    if value.type is None or value.type.kind != "STRUCT":
        raise InvalidQuery(f"Dot-star is not supported for type {value.type}")
    return [(field.name, fields_of(value, [field.name])) for field in value.type.fields]


def _position(node: exp.Literal, count: int, clause: str) -> int:
    position = int(node.this) if node.this.isdigit() else 0
    if not 1 <= position <= count:
        raise InvalidQuery(f"{clause} is out of SELECT column number range: {node.this}")
    return position


def _refuse_duplicates(columns: tuple[Column, ...]) -> None:
    names = [column.name.lower() for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidQuery(
            "Duplicate column names in the result are not supported. Found duplicate(s): " + ", ".join(twice)
        )
