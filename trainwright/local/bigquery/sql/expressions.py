"""Expressions of GoogleSQL: operators, literals, constructors, conditionals, and the way to functions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql import aggregates, constructors, dates, functions, operators, patterns
from trainwright.local.bigquery.sql.casts import cast
from trainwright.local.bigquery.sql.literals import read_type
from trainwright.local.bigquery.sql.scope import Expr, Scope, fields_of, only, supertype, text, unsupported
from trainwright.local.bigquery.types import (
    BOOL,
    BYTES,
    DATE,
    FLOAT64,
    INT64,
    INTERVAL,
    JSON,
    STRING,
    named_type,
)

if TYPE_CHECKING:
    from trainwright.local.bigquery.sql.queries import Queries

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_SAFE = (
    exp.Column,
    exp.Literal,
    exp.RawString,
    exp.Neg,
    exp.Null,
    exp.Boolean,
    exp.Parameter,
    exp.Placeholder,
)
_BITS = {
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
}


class Expressions:
    """Translates expressions.

    Args:
        queries: Translates subqueries.
        named: Query parameters by lower-case name.
        positional: Query parameters in order.
    """

    def __init__(self, queries: "Queries", named: Mapping[str, Expr], positional: list[Expr]) -> None:
        self.queries = queries
        self._named = named
        self._positional = positional
        self._taken = 0
        self._handlers: dict[type, Callable[..., Expr]] = {
            exp.Literal: self._literal,
            exp.RawString: lambda node, scope: Expr(text(str(node.this)), STRING, literal=True),
            exp.ByteString: self._bytes,
            exp.Boolean: lambda node, scope: Expr("TRUE" if node.this else "FALSE", BOOL, literal=True),
            exp.Null: lambda node, scope: Expr("NULL", None, literal=True),
            exp.Paren: self._paren,
            exp.Column: self._column,
            exp.Dot: self._dot,
            exp.Parameter: self._parameter,
            exp.Placeholder: self._placeholder,
            exp.Neg: self._neg,
            exp.Not: self._not,
            exp.And: self._logical,
            exp.Or: self._logical,
            exp.DPipe: self._concatenation,
            exp.Is: self._is,
            exp.NullSafeEQ: self._distinct_from,
            exp.NullSafeNEQ: self._distinct_from,
            exp.Like: self._like,
            exp.Between: self._between,
            exp.In: self._in,
            exp.Case: self._case,
            exp.If: self._if,
            exp.Cast: self._cast,
            exp.TryCast: self._cast,
            exp.ParseJSON: self._json,
            exp.Extract: self._extract,
            exp.Array: partial(constructors.array, self),
            exp.Struct: partial(constructors.struct, self),
            exp.Bracket: self._bracket,
            exp.Exists: self._exists,
            exp.Subquery: self._subquery,
            exp.Select: self._subquery,
            exp.Interval: self._interval,
            exp.Anonymous: self._call,
            exp.SafeFunc: self._safe,
            exp.GroupConcat: self._aggregate,
            exp.Window: self._aggregate,
            exp.IgnoreNulls: self._aggregate,
            exp.RespectNulls: self._aggregate,
            **dict.fromkeys(_COMPARISONS, self._comparison),
            **dict.fromkeys(_ARITHMETIC, self._arithmetic),
            **dict.fromkeys(_BITS, self._bits),
        }

    def translate(self, node: exp.Expression, scope: Scope) -> Expr:
        """An expression in a scope.

        Raises:
            InvalidQuery: It is wrong or not supported.
        """
        handler = self._handlers.get(type(node))
        if handler is None:
            raise unsupported(node)
        return handler(node, scope)

    def boolean(self, node: exp.Expression, scope: Scope, where: str) -> str:
        """A condition's SQL."""
        condition = self.translate(node, scope)
        if not condition.fits(BOOL):
            raise InvalidQuery(f"{where} should return type BOOL, but returns {condition.type}")
        return condition.sql

    def _literal(self, node: exp.Literal, scope: Scope) -> Expr:
        if node.is_string:
            return Expr(text(node.this), STRING, literal=True)
        written = node.this.lower()
        if written.isdigit():
            if int(written) > 2**63:
                raise InvalidQuery(f"Invalid integer literal: {written}")
            return Expr(f"CAST({written} AS BIGINT)", INT64, literal=True)
        try:
            float(written)
        except ValueError:
            raise unsupported(node) from None
        return Expr(f"CAST('{written}' AS DOUBLE)", FLOAT64, literal=True)

    def _bytes(self, node: exp.ByteString, scope: Scope) -> Expr:
        if "\\" in str(node.this):
            raise InvalidQuery("Escapes in bytes literals are not supported by local BigQuery: use FROM_HEX")
        return Expr(f"encode({text(str(node.this))})", BYTES, literal=True)

    def _paren(self, node: exp.Paren, scope: Scope) -> Expr:
        inner = self.translate(node.this, scope)
        return Expr(f"({inner.sql})", inner.type, inner.literal)

    def _column(self, node: exp.Column, scope: Scope) -> Expr:
        parts = [part.name for part in node.parts]
        if len(parts) == 1 and not node.this.quoted and parts[0].upper() in functions.SIGNATURES:
            name = parts[0].upper()
            if name.startswith("CURRENT_"):  # may be written without parentheses
                return functions.call(name, []) or scope.resolve(parts)
        return scope.resolve(parts)

    def _dot(self, node: exp.Dot, scope: Scope) -> Expr:
        if not isinstance(node.expression, exp.Identifier):
            raise unsupported(node)
        return fields_of(self.translate(node.this, scope), [node.expression.name])

    def _parameter(self, node: exp.Parameter, scope: Scope) -> Expr:
        name = node.this.name if isinstance(node.this, exp.Expression) else str(node.this)
        if name.lower() not in self._named:
            raise InvalidQuery(f"Query parameter '{name}' not found")
        return self._named[name.lower()]

    def _placeholder(self, node: exp.Placeholder, scope: Scope) -> Expr:
        self._taken += 1
        if self._taken > len(self._positional):
            raise InvalidQuery("Query parameter number exceeds the positional parameters that were given")
        return self._positional[self._taken - 1]

    def _neg(self, node: exp.Neg, scope: Scope) -> Expr:
        value = self.translate(node.this, scope)
        if value.type is None or value.type.kind not in ("INT64", "FLOAT64", "NUMERIC"):
            raise functions.no_match("operator -", [value])
        if value.sql == "CAST(9223372036854775808 AS BIGINT)":
            return Expr("CAST(-9223372036854775808 AS BIGINT)", INT64, literal=True)
        return Expr(f"(-{value.sql})", value.type, value.literal)

    def _not(self, node: exp.Not, scope: Scope) -> Expr:
        return Expr(f"(NOT {self.boolean(node.this, scope, 'NOT')})", BOOL)

    def _logical(self, node: exp.Connector, scope: Scope) -> Expr:
        word = "AND" if isinstance(node, exp.And) else "OR"
        parts = [self.boolean(each, scope, word) for each in node.flatten(unnest=False)]
        return Expr(f"({f' {word} '.join(parts)})", BOOL)

    def _arithmetic(self, node: exp.Binary, scope: Scope) -> Expr:
        only(node, "this", "expression")
        operator = _ARITHMETIC[type(node)]
        left, right = self.translate(node.this, scope), self.translate(node.expression, scope)
        dates_of = [each for each in (left, right) if each.type is not None and each.type == DATE]
        if operator in "+-" and left.type == DATE and right.type == INT64:
            return Expr(f"CAST({left.sql} {operator} to_days({right.sql}) AS DATE)", DATE)
        if operator in "+-" and right.type == INTERVAL and left.type is not None:
            kind = named_type("DATETIME") if left.type == DATE else left.type
            if kind.kind in ("DATETIME", "TIMESTAMP"):
                return Expr(f"({left.sql} {operator} {right.sql})", kind)
        if dates_of or INTERVAL in (left.type, right.type):
            raise functions.no_match(f"operator {operator}", [left, right])
        return operators.arithmetic(operator, left, right)

    def _bits(self, node: exp.Binary, scope: Scope) -> Expr:
        left, right = self.translate(node.this, scope), self.translate(node.expression, scope)
        if not (left.fits(INT64) and right.fits(INT64)):
            raise functions.no_match(f"operator {_BITS[type(node)]}", [left, right])
        return Expr(f"({left.sql} {_BITS[type(node)]} {right.sql})", INT64)

    def _concatenation(self, node: exp.DPipe, scope: Scope) -> Expr:
        parts = [self.translate(node.this, scope), self.translate(node.expression, scope)]
        return operators.joined("operator ||", parts)

    def _comparison(self, node: exp.Binary, scope: Scope) -> Expr:
        only(node, "this", "expression")
        operator = _COMPARISONS[type(node)]
        return operators.compared(
            operator, self.translate(node.this, scope), self.translate(node.expression, scope)
        )

    def _is(self, node: exp.Is, scope: Scope) -> Expr:
        value = self.translate(node.this, scope)
        negated = isinstance(node.expression, exp.Not)
        right = node.expression.this if negated else node.expression
        word = "IS NOT" if negated else "IS"
        if isinstance(right, exp.Null):
            return Expr(f"({value.sql} {word} NULL)", BOOL)
        if isinstance(right, exp.Boolean) and value.fits(BOOL):
            return Expr(f"({value.sql} {word} {'TRUE' if right.this else 'FALSE'})", BOOL)
        raise unsupported(node)

    def _distinct_from(self, node: exp.Binary, scope: Scope) -> Expr:
        left, right = self.translate(node.this, scope), self.translate(node.expression, scope)
        kind = supertype([left, right], "operator IS DISTINCT FROM") or INT64
        word = "IS DISTINCT FROM" if isinstance(node, exp.NullSafeNEQ) else "IS NOT DISTINCT FROM"
        return Expr(f"({left.to(kind).sql} {word} {right.to(kind).sql})", BOOL)

    def _like(self, node: exp.Like, scope: Scope) -> Expr:
        only(node, "this", "expression")
        left, right = self.translate(node.this, scope), self.translate(node.expression, scope)
        if not (left.fits(STRING) and right.fits(STRING)):
            raise functions.no_match("operator LIKE", [left, right])
        return Expr(f"({left.sql} LIKE {right.sql} ESCAPE '\\')", BOOL)

    def _between(self, node: exp.Between, scope: Scope) -> Expr:
        only(node, "this", "low", "high")
        value = self.translate(node.this, scope)
        low, high = self.translate(node.args["low"], scope), self.translate(node.args["high"], scope)
        parts = (operators.compared(">=", value, low), operators.compared("<=", value, high))
        return Expr(f"({parts[0].sql} AND {parts[1].sql})", BOOL)

    def _in(self, node: exp.In, scope: Scope) -> Expr:
        only(node, "this", "expressions", "query", "unnest")
        value = self.translate(node.this, scope)
        if unnest := node.args.get("unnest"):
            array = self.translate(unnest.expressions[0], scope)
            if array.type is None or array.type.element is None:
                raise functions.no_match("operator IN UNNEST", [array])
            element = array.type.element
            if not value.fits(element):
                raise functions.no_match("operator IN UNNEST", [value, array])
            return Expr(f"bq_in({value.to(element).sql}, {array.sql})", BOOL)
        if query := node.args.get("query"):
            inner = query.this if isinstance(query, exp.Subquery) else query
            sql, columns = self.queries.subquery(inner, scope)
            if len(columns) != 1:
                raise InvalidQuery("Subquery of type IN must have only one output column")
            kind = supertype([value, Expr("", columns[0].type)], "operator IN") or INT64
            return Expr(f"({value.to(kind).sql} IN ({sql}))", BOOL)
        items = [self.translate(each, scope) for each in node.expressions]
        kind = supertype([value, *items], "operator IN") or INT64
        return Expr(f"({value.to(kind).sql} IN ({', '.join(each.to(kind).sql for each in items)}))", BOOL)

    def _case(self, node: exp.Case, scope: Scope) -> Expr:
        subject = self.translate(node.this, scope) if node.this is not None else None
        branches = []
        for branch in node.args["ifs"]:
            if subject is None:
                condition = self.boolean(branch.this, scope, "CASE condition")
            else:
                condition = operators.compared("=", subject, self.translate(branch.this, scope)).sql
            branches.append((condition, self.translate(branch.args["true"], scope)))
        default = node.args.get("default")
        otherwise = self.translate(default, scope) if default is not None else Expr("NULL", None)
        return operators.chosen("CASE", branches, otherwise)

    def _if(self, node: exp.If, scope: Scope) -> Expr:
        condition = self.boolean(node.this, scope, "The first argument of IF")
        no = node.args.get("false")
        if no is None:
            raise functions.no_match("IF", [])
        branches = [(condition, self.translate(node.args["true"], scope))]
        return operators.chosen("IF", branches, self.translate(no, scope))

    def _cast(self, node: exp.Cast, scope: Scope) -> Expr:
        only(node, "this", "to", "safe")
        target = read_type(node.args["to"])
        inner = node.this
        if isinstance(inner, (exp.Struct, exp.Array)):  # STRUCT<...>(...) and ARRAY<...>[...]
            return constructors.constructed(self, inner, target, scope)
        return cast(self.translate(inner, scope), target, safe=isinstance(node, exp.TryCast))

    def _json(self, node: exp.ParseJSON, scope: Scope) -> Expr:
        return Expr(f"CAST({self.translate(node.this, scope).sql} AS JSON)", JSON)

    def _extract(self, node: exp.Extract, scope: Scope) -> Expr:
        source, zone = node.expression, None
        if isinstance(source, exp.AtTimeZone):
            zone, source = self.translate(source.args["zone"], scope), source.this
        return dates.extracted(dates.date_part(node.this), self.translate(source, scope), zone)

    def _bracket(self, node: exp.Bracket, scope: Scope) -> Expr:
        only(node, "this", "expressions", "offset", "safe")
        array = self.translate(node.this, scope)
        index = self.translate(node.expressions[0], scope)
        if len(node.expressions) != 1 or array.type is None or array.type.element is None:
            raise unsupported(node)
        if not index.fits(INT64):
            raise InvalidQuery(f"Array position must be coercible to INT64, but has type {index.type}")
        first = node.args.get("offset")  # what the position counts from: 0 for OFFSET, 1 for ORDINAL
        position = index.sql if first == 1 else f"({index.sql} + 1)"
        if node.args.get("safe"):
            return Expr(f"bq_safe_item({array.sql}, {position})", array.type.element)
        return Expr(f"bq_item({array.sql}, {position}, {index.sql})", array.type.element)

    def _exists(self, node: exp.Exists, scope: Scope) -> Expr:
        inner = node.this.this if isinstance(node.this, exp.Subquery) else node.this
        return Expr(f"(EXISTS ({self.queries.subquery(inner, scope)[0]}))", BOOL)

    def _subquery(self, node: exp.Expression, scope: Scope) -> Expr:
        inner = node.this if isinstance(node, exp.Subquery) else node
        if isinstance(inner, exp.Subquery):
            return self._subquery(inner, scope)
        sql, columns = self.queries.subquery(inner, scope)
        if len(columns) != 1:
            raise InvalidQuery(
                "Scalar subquery cannot have more than one column unless using SELECT AS STRUCT"
            )
        return Expr(f"({sql})", columns[0].type)

    def _interval(self, node: exp.Interval, scope: Scope) -> Expr:
        amount = dates.interval_amount(node, lambda each: self.translate(each, scope))
        return Expr(dates.interval_sql(dates.date_part(node.args["unit"]), amount), INTERVAL)

    def _aggregate(self, node: exp.Expression, scope: Scope) -> Expr:
        return aggregates.translated(node, scope, self)

    def _safe(self, node: exp.SafeFunc, scope: Scope) -> Expr:
        """`SAFE.f(...)`. TRY covers the arguments as well, which in BigQuery may fail."""
        call = node.this
        if not isinstance(call, exp.Anonymous) or not all(
            isinstance(each, _SAFE) for each in call.expressions
        ):
            raise InvalidQuery(
                f"SAFE.{call.name.upper()} is supported by local BigQuery with columns and literals only"
            )
        inner = self.translate(call, scope)
        return Expr(f"TRY({inner.sql})", inner.type)

    def _call(self, node: exp.Anonymous, scope: Scope) -> Expr:
        name = str(node.this).upper()
        if aggregates.is_aggregate(name):
            return aggregates.translated(node, scope, self)
        if name == "STRUCT":
            return constructors.struct(self, node, scope)
        found = dates.call(name, node.expressions, lambda each: self.translate(each, scope))
        if found is not None:
            return found
        found = patterns.call(name, node.expressions, lambda each: self.translate(each, scope))
        if found is not None:
            return found
        arguments = [self.translate(each, scope) for each in node.expressions]
        found = operators.conditional(name, arguments) or functions.call(name, arguments)
        if found is None:
            raise InvalidQuery(f"Function not found, or not supported by local BigQuery: {name}")
        return found
