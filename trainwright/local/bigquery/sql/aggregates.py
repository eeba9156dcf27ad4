"""Aggregate and window functions.

Source: BigQuery documentation, "Aggregate functions", "Approximate aggregate functions", "Numbering
functions", "Navigation functions" and "Window function calls" (2026-11-25).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.functions import no_match
from trainwright.local.bigquery.sql.scope import Expr, Scope, only, unsupported
from trainwright.local.bigquery.types import BOOL, FLOAT64, INT64, NUMERIC, STRING, Type, array_of

if TYPE_CHECKING:
    from trainwright.local.bigquery.sql.expressions import Expressions

_STATISTICS = {
    "STDDEV": "stddev_samp", "STDDEV_SAMP": "stddev_samp", "STDDEV_POP": "stddev_pop", "VARIANCE": "var_samp",
    "VAR_SAMP": "var_samp", "VAR_POP": "var_pop",
}  # fmt: skip
_PAIRS = {"CORR": "corr", "COVAR_POP": "covar_pop", "COVAR_SAMP": "covar_samp"}
_RANKS = {
    "ROW_NUMBER": INT64, "RANK": INT64, "DENSE_RANK": INT64, "PERCENT_RANK": FLOAT64, "CUME_DIST": FLOAT64,
}  # fmt: skip
_NAVIGATION = {"LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE", "NTILE"}
_PERCENTILES = {"PERCENTILE_CONT": "quantile_cont", "PERCENTILE_DISC": "quantile_disc"}
_AGGREGATES = {
    "COUNT", "COUNTIF", "SUM", "AVG", "MIN", "MAX", "ANY_VALUE", "ARRAY_AGG", "STRING_AGG", "LOGICAL_AND",
    "LOGICAL_OR", "APPROX_COUNT_DISTINCT", "APPROX_QUANTILES", "MAX_BY", "MIN_BY", *_STATISTICS, *_PAIRS,
}  # fmt: skip
_ONLY_OVER = {*_RANKS, *_NAVIGATION, *_PERCENTILES}
NAMES = _AGGREGATES | _ONLY_OVER
_ORDERED = {"MIN", "MAX"}


@dataclass(frozen=True)
class _Call:
    """A call taken apart: its arguments, and what stands beside them in the parentheses."""

    name: str
    arguments: list[exp.Expression]
    distinct: bool = False
    nulls: str = ""
    order: exp.Order | None = None
    limit: exp.Expression | None = None
    having: exp.HavingMax | None = None


def is_aggregate(name: str) -> bool:
    """Whether a function aggregates, or needs OVER."""
    return name in NAMES


def translated(node: exp.Expression, scope: Scope, expressions: "Expressions") -> Expr:
    """An aggregate call, or one with OVER.

    Raises:
        InvalidQuery: It is wrong or not supported.
    """
    over = ""
    nulls = ""
    if isinstance(node, exp.Window):
        over = " " + _over(node, scope, expressions)
        node = node.this
    if isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
        nulls = "IGNORE NULLS" if isinstance(node, exp.IgnoreNulls) else "RESPECT NULLS"
        node = node.this
    call = _taken_apart(node, nulls)
    if call.name in _ONLY_OVER and not over:
        raise InvalidQuery(f"{call.name} requires an OVER clause")
    if not is_aggregate(call.name):
        raise InvalidQuery(f"Window function not found, or not supported by local BigQuery: {call.name}")
    if over and (call.order is not None or call.limit is not None or call.having is not None):
        raise InvalidQuery(f"{call.name} with ORDER BY, LIMIT or HAVING inside and OVER is not supported")
    if over and call.distinct and " ORDER BY " in over:
        raise InvalidQuery("Window ORDER BY is not allowed if DISTINCT is specified")
    return _Translation(call, over, scope, expressions).result()


def _taken_apart(node: exp.Expression, nulls: str) -> _Call:
    if isinstance(node, exp.GroupConcat):
        name, arguments = "STRING_AGG", [node.this]
        if node.args.get("separator") is not None:
            arguments.append(node.args["separator"])
    elif isinstance(node, exp.Anonymous):
        name, arguments = str(node.this).upper(), list(node.expressions)
    else:
        raise unsupported(node)
    distinct, order, limit, having = False, None, None, None
    # sqlglot hangs ORDER BY and LIMIT of the call on its last, or (STRING_AGG) its first argument.
    for position, inner in enumerate(arguments):
        while isinstance(inner, (exp.Limit, exp.Order, exp.IgnoreNulls, exp.RespectNulls, exp.HavingMax)):
            if isinstance(inner, exp.Limit):
                limit = inner.expression
            elif isinstance(inner, exp.Order):
                order = inner
            elif isinstance(inner, exp.HavingMax):
                having = inner
            else:
                nulls = "IGNORE NULLS" if isinstance(inner, exp.IgnoreNulls) else "RESPECT NULLS"
            inner = inner.this
        arguments[position] = inner
    if arguments and isinstance(arguments[0], exp.Distinct):
        only(arguments[0], "expressions")
        distinct = True
        arguments = [*arguments[0].expressions, *arguments[1:]]
        if arguments and isinstance(arguments[0], (exp.Order, exp.Limit)):
            raise unsupported(node)
    return _Call(name, arguments, distinct, nulls, order, limit, having)


class _Translation:
    """One call."""

    def __init__(self, call: _Call, over: str, scope: Scope, expressions: "Expressions") -> None:
        self._call = call
        self._over = over
        self._scope = scope
        self._expressions = expressions
        is_star = [isinstance(each, exp.Star) for each in call.arguments]
        self._values = [] if any(is_star) else [expressions.translate(a, scope) for a in call.arguments]
        self._star = any(is_star)

    def result(self) -> Expr:
        """The translated call."""
        name, count = self._call.name, len(self._values)
        simple: dict[str, tuple[int, Callable[[], Expr]]] = {
            "COUNTIF": (1, self._countif),
            "SUM": (1, self._sum),
            "AVG": (1, self._avg),
            "MIN": (1, self._extreme),
            "MAX": (1, self._extreme),
            "LOGICAL_AND": (1, lambda: self._logical("bool_and")),
            "LOGICAL_OR": (1, lambda: self._logical("bool_or")),
            "ANY_VALUE": (1, self._any_value),
            "ARRAY_AGG": (1, self._array_agg),
            "APPROX_COUNT_DISTINCT": (1, self._approx_count),
            "APPROX_QUANTILES": (2, self._approx_quantiles),
            "MAX_BY": (2, lambda: self._plain("arg_max_null", 2, self._values[0].type)),
            "MIN_BY": (2, lambda: self._plain("arg_min_null", 2, self._values[0].type)),
        }
        if name == "COUNT":
            return self._count()
        if name == "STRING_AGG" and count in (1, 2):
            return self._string_agg()
        if name in _RANKS and count == 0:
            return Expr(f"({name.lower()}(){self._over})", _RANKS[name])
        if name in _NAVIGATION:
            return self._navigation()
        if name in _PERCENTILES and count == 2:
            return self._percentile()
        if name in _STATISTICS and count == 1 and self._values[0].fits(FLOAT64):
            return self._plain(_STATISTICS[name], 1, FLOAT64, [self._values[0].to(FLOAT64)])
        if name in _PAIRS and count == 2 and all(each.fits(FLOAT64) for each in self._values):
            return self._plain(_PAIRS[name], 2, FLOAT64, [each.to(FLOAT64) for each in self._values])
        if name in simple and count == simple[name][0]:
            return simple[name][1]()
        raise no_match(name, self._values)

    def _inside(self, values: Sequence[Expr], *, ordered: bool = False, extra: str = "") -> str:
        """What stands in the parentheses; refuses what the function cannot carry."""
        if self._call.having is not None or (self._call.limit is not None and not ordered):
            raise InvalidQuery(
                f"{self._call.name} with HAVING or LIMIT inside is not supported by local BigQuery"
            )
        distinct = "DISTINCT " if self._call.distinct else ""
        order = ""
        if self._call.order is not None:
            if not ordered:
                raise InvalidQuery(f"{self._call.name} does not support ORDER BY in arguments")
            order = " " + order_by(self._call.order.expressions, self._scope, self._expressions)
        return f"{distinct}{', '.join(each.sql for each in values)}{extra}{order}"

    def _plain(
        self, function: str, count: int, kind: Type | None, values: Sequence[Expr] | None = None
    ) -> Expr:
        if self._call.nulls:
            raise InvalidQuery(
                f"{self._call.name} with {self._call.nulls} is not supported by local BigQuery"
            )
        given = self._values[:count] if values is None else values
        return Expr(f"({function}({self._inside(given)}){self._over})", kind)

    def _count(self) -> Expr:
        if self._star or (not self._values and not self._call.arguments):
            if self._call.distinct:
                raise InvalidQuery("COUNT(*) cannot be used with DISTINCT")
            return Expr(f"(count(*){self._over})", INT64)
        if len(self._values) != 1:
            raise no_match("COUNT", self._values)
        return self._plain("count", 1, INT64)

    def _countif(self) -> Expr:
        if not self._values[0].fits(BOOL):
            raise no_match("COUNTIF", self._values)
        return self._plain("count", 1, INT64, [Expr(f"CASE WHEN {self._values[0].sql} THEN 1 END", INT64)])

    def _number(self) -> Type:
        kind = self._values[0].type
        if kind not in (INT64, FLOAT64, NUMERIC):
            raise no_match(self._call.name, self._values)
        return kind

    def _sum(self) -> Expr:
        kind = self._number()
        total = self._plain("sum", 1, kind).sql
        return Expr(f"CAST({total} AS {kind.duckdb})", kind)

    def _avg(self) -> Expr:
        kind = self._number()
        if kind != NUMERIC:
            return self._plain("avg", 1, FLOAT64)
        total, count = self._plain("sum", 1, kind).sql, self._plain("count", 1, kind).sql
        return Expr(f"CAST({total} / nullif({count}, 0) AS DECIMAL(38,9))", NUMERIC)

    def _extreme(self) -> Expr:
        kind = self._values[0].type
        if kind is None or kind.kind in ("ARRAY", "STRUCT", "JSON"):
            raise no_match(self._call.name, self._values)
        plain = self._plain(self._call.name.lower(), 1, kind)
        if kind != FLOAT64:
            return plain
        nan = f"coalesce(bool_or(isnan({self._values[0].sql})){self._over}, FALSE)"
        return Expr(f"(CASE WHEN {nan} THEN CAST('nan' AS DOUBLE) ELSE {plain.sql} END)", kind)

    def _logical(self, function: str) -> Expr:
        if not self._values[0].fits(BOOL):
            raise no_match(self._call.name, self._values)
        return self._plain(function, 1, BOOL)

    def _any_value(self) -> Expr:
        having = self._call.having
        if having is None:
            return self._plain("any_value", 1, self._values[0].type)
        key = self._expressions.translate(having.expression, self._scope)
        function = "arg_max_null" if having.args.get("max") else "arg_min_null"
        return Expr(f"{function}({self._values[0].sql}, {key.sql})", self._values[0].type)

    def _array_agg(self) -> Expr:
        element = self._values[0].type or INT64
        if element.kind == "ARRAY":
            raise InvalidQuery("The argument to ARRAY_AGG must not be an array type")
        value = self._values[0].sql
        kept = f" FILTER ({value} IS NOT NULL)" if self._call.nulls == "IGNORE NULLS" else ""
        listed = f"list({self._inside(self._values, ordered=True)}){kept}{self._over}"
        if self._call.limit is not None:
            listed = f"list_slice({listed}, 1, {int(self._call.limit.name)})"
        return Expr(f"({listed})", array_of(element))

    def _string_agg(self) -> Expr:
        if not all(each.fits(STRING) for each in self._values):
            raise no_match("STRING_AGG", self._values)
        if self._call.limit is not None:
            raise InvalidQuery("STRING_AGG with LIMIT is not supported by local BigQuery")
        separator = ", ','" if len(self._values) == 1 else ""
        return Expr(
            f"(string_agg({self._inside(self._values, ordered=True, extra=separator)}){self._over})", STRING
        )

    def _approx_count(self) -> Expr:
        """Exact, which is one of the answers that BigQuery may give."""
        return Expr(f"(count(DISTINCT {self._values[0].sql}){self._over})", INT64)

    def _approx_quantiles(self) -> Expr:
        """Exact, which is one of the answers that BigQuery may give."""
        number = self._call.arguments[1]
        if not (isinstance(number, exp.Literal) and number.this.isdigit() and 0 < int(number.this) <= 10000):
            raise InvalidQuery("The second argument of APPROX_QUANTILES must be a literal from 1 to 10000")
        kind = self._values[0].type
        if kind is None or kind.kind in ("ARRAY", "STRUCT", "JSON", "BYTES") or self._over:
            raise no_match("APPROX_QUANTILES", self._values)
        steps = ", ".join(str(n / int(number.this)) for n in range(int(number.this) + 1))
        distinct = "DISTINCT " if self._call.distinct else ""
        nulls = "" if self._call.nulls in ("", "IGNORE NULLS") else None
        if nulls is None:
            raise InvalidQuery("APPROX_QUANTILES with RESPECT NULLS is not supported by local BigQuery")
        return Expr(f"quantile_disc({distinct}{self._values[0].sql}, [{steps}])", array_of(kind))

    def _percentile(self) -> Expr:
        place = self._call.arguments[1]
        function = _PERCENTILES[self._call.name]
        if not isinstance(place, exp.Literal):
            raise InvalidQuery(f"The second argument of {self._call.name} must be a literal")
        kind = FLOAT64 if function == "quantile_cont" else self._values[0].type
        value = self._values[0].to(FLOAT64) if kind == FLOAT64 else self._values[0]
        if not value.fits(FLOAT64) or self._call.nulls:
            raise InvalidQuery(
                f"{self._call.name} of {self._values[0].type} or with {self._call.nulls or 'NULLS'}"
                " is not supported by local BigQuery"
            )
        return Expr(f"({function}({value.sql}, {float(place.this)}){self._over})", kind)

    def _navigation(self) -> Expr:
        name, values = self._call.name, list(self._values)
        if name == "NTILE":
            return self._plain("ntile", 1, INT64)
        most = {"LAG": 3, "LEAD": 3, "NTH_VALUE": 2}.get(name, 1)
        if not 1 <= len(values) <= most or (name == "NTH_VALUE" and len(values) != 2):
            raise no_match(name, values)
        kind = values[0].type or INT64
        if len(values) == 3:
            values[2] = values[2].to(kind)
        nulls = f" {self._call.nulls}" if self._call.nulls else ""
        if nulls and name in ("LAG", "LEAD"):
            raise InvalidQuery(f"{name} does not support {nulls.strip()}")
        return Expr(f"({name.lower()}({', '.join(each.sql for each in values)}{nulls}){self._over})", kind)


def order_by(nodes: Sequence[exp.Expression], scope: Scope, expressions: "Expressions") -> str:
    """ORDER BY with where NULLs come written out: first when ascending, last when descending."""
    parts = []
    for node in nodes:
        if not isinstance(node, exp.Ordered):
            raise unsupported(node)
        parts.append(ordering(node, expressions.translate(node.this, scope).sql))
    return "ORDER BY " + ", ".join(parts)


def ordering(node: exp.Ordered, sql: str) -> str:
    """One item of ORDER BY, its expression translated."""
    only(node, "this", "desc", "nulls_first")
    direction = "DESC" if node.args.get("desc") else "ASC"
    return f"{sql} {direction} NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"


def _over(node: exp.Window, scope: Scope, expressions: "Expressions") -> str:
    only(node, "this", "partition_by", "order", "spec", "alias", "over")
    partition, order, spec = node.args.get("partition_by"), node.args.get("order"), node.args.get("spec")
    name = node.args.get("alias")
    while name is not None:
        window = scope.windows.get(name.name.lower())
        if window is None:
            raise InvalidQuery(f"Unrecognized window alias {name.name}")
        partition, order = partition or window.args.get("partition_by"), order or window.args.get("order")
        spec, name = spec or window.args.get("spec"), window.args.get("alias")
    parts = []
    if partition:
        parts.append(
            "PARTITION BY " + ", ".join(expressions.translate(each, scope).sql for each in partition)
        )
    if order is not None:
        parts.append(order_by(order.expressions, scope, expressions))
    if spec is not None:
        parts.append(_frame(spec, scope, expressions))
    return f"OVER ({' '.join(parts)})"


def _frame(spec: exp.WindowSpec, scope: Scope, expressions: "Expressions") -> str:
    only(spec, "kind", "start", "start_side", "end", "end_side")

    def bound(which: str) -> str:
        value, side = spec.args.get(which), spec.args.get(f"{which}_side") or ""
        if isinstance(value, exp.Expression):
            value = expressions.translate(value, scope).sql
        return f"{value} {side}".strip() if value else "CURRENT ROW"

    return f"{spec.args['kind']} BETWEEN {bound('start')} AND {bound('end')}"
