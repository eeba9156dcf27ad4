"""Expressions of GoogleSQL: operators, literals, constructors, conditionals, and the way to functions."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sqlglot import exp

from trainwright.local.bigquery.errors import Invalid, InvalidQuery
from trainwright.local.bigquery.sql import aggregates, dates, functions, patterns
from trainwright.local.bigquery.sql.casts import cast
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
    Column,
    Type,
    array_of,
    named_type,
    quoted,
)

if TYPE_CHECKING:
    from trainwright.local.bigquery.sql.queries import Queries

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_BITS = {
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
}
_CASTS = {
    "BIGINT": "INT64", "INT": "INT64", "DOUBLE": "FLOAT64", "FLOAT": "FLOAT64", "TEXT": "STRING",
    "VARCHAR": "STRING", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC", "BINARY": "BYTES", "VARBINARY": "BYTES",
    "DATE": "DATE", "DATETIME": "DATETIME", "TIMESTAMP": "DATETIME", "TIMESTAMPTZ": "TIMESTAMP", "TIME": "TIME",
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
        return Type("STRUCT", fields=tuple(_read_field(n, each) for n, each in enumerate(node.expressions, 1)))
    if kind not in _CASTS or node.expressions:
        raise InvalidQuery(f"The type {node.sql(dialect='bigquery')} is not supported by local BigQuery")
    return Type(_CASTS[kind])


def _read_field(number: int, node: exp.Expression) -> Column:
    if isinstance(node, exp.ColumnDef):
        return Column(node.name, read_type(node.args["kind"]))
    if isinstance(node, exp.DataType):
        return Column(f"_field_{number}", read_type(node))
    raise unsupported(node)


class Expressions:
    """Translates expressions.

    Args:
        queries: Translates subqueries.
        named: Query parameters by lower-case name.
        positional: Query parameters in order.
    """

    def __init__(self, queries: "Queries", named: Mapping[str, Expr], positional: list[Expr]) -> None:
        self._queries = queries
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
            exp.Array: self._array,
            exp.Struct: self._struct,
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
        return functions.arithmetic(operator, left, right)

    def _bits(self, node: exp.Binary, scope: Scope) -> Expr:
        left, right = self.translate(node.this, scope), self.translate(node.expression, scope)
        if not (left.fits(INT64) and right.fits(INT64)):
            raise functions.no_match(f"operator {_BITS[type(node)]}", [left, right])
        return Expr(f"({left.sql} {_BITS[type(node)]} {right.sql})", INT64)

    def _concatenation(self, node: exp.DPipe, scope: Scope) -> Expr:
        parts = [self.translate(node.this, scope), self.translate(node.expression, scope)]
        return self._joined("operator ||", parts)

    @staticmethod
    def _joined(what: str, parts: list[Expr]) -> Expr:
        kind = supertype(parts, what) or STRING
        if kind.kind not in ("STRING", "BYTES", "ARRAY"):
            raise functions.no_match(what, parts)
        if kind.kind == "ARRAY":
            if len(parts) != 2:
                parts = [parts[0], Expressions._joined(what, parts[1:])]
            a, b = (each.sql for each in parts)
            return Expr(f"(CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL ELSE list_concat({a}, {b}) END)", kind)
        return Expr(f"({' || '.join(each.to(kind).sql for each in parts)})", kind)

    def _comparison(self, node: exp.Binary, scope: Scope) -> Expr:
        only(node, "this", "expression")
        operator = _COMPARISONS[type(node)]
        return self._compared(operator, self.translate(node.this, scope), self.translate(node.expression, scope))

    @staticmethod
    def _compared(operator: str, left: Expr, right: Expr) -> Expr:
        kind = supertype([left, right], f"operator {operator}")
        if kind is None:
            return Expr("CAST(NULL AS BOOLEAN)", BOOL)
        if kind.kind in ("JSON", "ARRAY") or (kind.kind == "STRUCT" and operator not in ("=", "<>")):
            raise functions.no_match(f"operator {operator}", [left, right])
        a, b = left.to(kind).sql, right.to(kind).sql
        floats = [f"isnan({each.sql})" for each in (left, right) if each.type == FLOAT64 and not each.literal]
        if floats:  # in BigQuery NaN equals nothing and is neither more nor less; in DuckDB it is the greatest
            nan = "TRUE" if operator == "<>" else "FALSE"
            absent = f"{a} IS NULL OR {b} IS NULL"
            return Expr(
                f"(CASE WHEN {absent} THEN NULL WHEN {' OR '.join(floats)} THEN {nan} ELSE {a} {operator} {b} END)",
                BOOL,
            )
        return Expr(f"({a} {operator} {b})", BOOL)

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
        parts = (self._compared(">=", value, low), self._compared("<=", value, high))
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
            sql, columns = self._queries.subquery(inner, scope)
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
                condition = self._compared("=", subject, self.translate(branch.this, scope)).sql
            branches.append((condition, self.translate(branch.args["true"], scope)))
        default = node.args.get("default")
        otherwise = self.translate(default, scope) if default is not None else Expr("NULL", None)
        return self._chosen("CASE", branches, otherwise)

    def _if(self, node: exp.If, scope: Scope) -> Expr:
        condition = self.boolean(node.this, scope, "The first argument of IF")
        no = node.args.get("false")
        if no is None:
            raise functions.no_match("IF", [])
        branches = [(condition, self.translate(node.args["true"], scope))]
        return self._chosen("IF", branches, self.translate(no, scope))

    @staticmethod
    def _chosen(what: str, branches: list[tuple[str, Expr]], otherwise: Expr) -> Expr:
        kind = supertype([*(value for _, value in branches), otherwise], what)
        convert = (lambda each: each.sql) if kind is None else (lambda each: each.to(kind).sql)
        when = " ".join(f"WHEN {condition} THEN {convert(value)}" for condition, value in branches)
        return Expr(f"(CASE {when} ELSE {convert(otherwise)} END)", kind)

    def _cast(self, node: exp.Cast, scope: Scope) -> Expr:
        only(node, "this", "to", "safe")
        target = read_type(node.args["to"])
        inner = node.this
        if isinstance(inner, (exp.Struct, exp.Array)):  # STRUCT<...>(...) and ARRAY<...>[...]
            return self.constructed(inner, target, scope)
        return cast(self.translate(inner, scope), target, safe=isinstance(node, exp.TryCast))

    def constructed(self, node: exp.Expression, target: Type, scope: Scope) -> Expr:
        """An expression where a value of `target` is wanted: constructors take its field names."""
        if isinstance(node, (exp.Struct, exp.Tuple)) and target.kind == "STRUCT":
            return self._typed_struct(node, target, scope)
        if isinstance(node, exp.Array) and target.element is not None:
            items = [self.constructed(each, target.element, scope).sql for each in node.expressions]
            return Expr(f"CAST([{', '.join(items)}] AS {target.duckdb})", target)
        value = self.translate(node, scope)
        if not value.fits(target):
            raise InvalidQuery(f"Constructor: a value of type {value.type} cannot be coerced to {target}")
        return value.to(target)

    def _typed_struct(self, node: exp.Expression, target: Type, scope: Scope) -> Expr:
        values = [each.this if isinstance(each, exp.Alias) else each for each in node.expressions]
        values = [each.expression if isinstance(each, exp.PropertyEQ) else each for each in values]
        if len(values) != len(target.fields):
            raise InvalidQuery(f"STRUCT type has {len(target.fields)} fields but constructor call has {len(values)}")
        pairs = zip(target.fields, values, strict=True)
        items = [f"{quoted(f.name)} := {self.constructed(v, f.type, scope).sql}" for f, v in pairs]
        return Expr(f"CAST(struct_pack({', '.join(items)}) AS {target.duckdb})", target)

    def _json(self, node: exp.ParseJSON, scope: Scope) -> Expr:
        return Expr(f"CAST({self.translate(node.this, scope).sql} AS JSON)", JSON)

    def _extract(self, node: exp.Extract, scope: Scope) -> Expr:
        source, zone = node.expression, None
        if isinstance(source, exp.AtTimeZone):
            zone, source = self.translate(source.args["zone"], scope), source.this
        return dates.extracted(dates.date_part(node.this), self.translate(source, scope), zone)

    def _array(self, node: exp.Array, scope: Scope) -> Expr:
        if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
            sql, columns = self._queries.subquery(node.expressions[0], scope)
            if len(columns) != 1:
                raise InvalidQuery("ARRAY subquery cannot have more than one column: use SELECT AS STRUCT")
            return Expr(f"ARRAY({sql})", array_of(columns[0].type))
        first = node.expressions[0] if node.expressions else None
        items: list[Expr] = []
        for each in node.expressions:
            if isinstance(each, (exp.Tuple, exp.Struct)) and each is not first and items[0].type is not None:
                items.append(self.constructed(each, items[0].type, scope))  # fields are named by the first
            elif isinstance(each, exp.Anonymous) and each.name.upper() == "STRUCT" and items and items[0].type:
                items.append(self.constructed(_as_struct(each), items[0].type, scope))
            else:
                items.append(self.translate(each, scope))
        element = supertype(items, "array constructor") or INT64
        if element.kind == "ARRAY":
            raise InvalidQuery("Cannot construct array with element type ARRAY: nested arrays are not supported")
        array = array_of(element)
        return Expr(f"CAST([{', '.join(each.to(element).sql for each in items)}] AS {array.duckdb})", array)

    def _struct(self, node: exp.Expression, scope: Scope) -> Expr:
        fields, items = [], []
        for number, each in enumerate(node.expressions, 1):
            named = isinstance(each, (exp.Alias, exp.PropertyEQ))
            inner = (each.expression if isinstance(each, exp.PropertyEQ) else each.this) if named else each
            value = self.translate(inner, scope)
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
        return Expr(f"(EXISTS ({self._queries.subquery(inner, scope)[0]}))", BOOL)

    def _subquery(self, node: exp.Expression, scope: Scope) -> Expr:
        inner = node.this if isinstance(node, exp.Subquery) else node
        if isinstance(inner, exp.Subquery):
            return self._subquery(inner, scope)
        sql, columns = self._queries.subquery(inner, scope)
        if len(columns) != 1:
            raise InvalidQuery("Scalar subquery cannot have more than one column unless using SELECT AS STRUCT")
        return Expr(f"({sql})", columns[0].type)

    def _interval(self, node: exp.Interval, scope: Scope) -> Expr:
        amount = dates.interval_amount(node, lambda each: self.translate(each, scope))
        return Expr(dates.interval_sql(dates.date_part(node.args["unit"]), amount), INTERVAL)

    def _aggregate(self, node: exp.Expression, scope: Scope) -> Expr:
        return aggregates.translated(node, scope, self)

    def _safe(self, node: exp.SafeFunc, scope: Scope) -> Expr:
        """`SAFE.f(...)`; DuckDB's TRY takes no function that may raise an error of its own."""
        inner = self.translate(node.this, scope)
        if "error(" in inner.sql or "bq_" in inner.sql:
            raise InvalidQuery(f"SAFE.{node.this.name.upper()} is not supported by local BigQuery")
        return Expr(f"TRY({inner.sql})", inner.type)

    def _call(self, node: exp.Anonymous, scope: Scope) -> Expr:
        name = str(node.this).upper()
        if aggregates.is_aggregate(name):
            return aggregates.translated(node, scope, self)
        if name == "STRUCT":
            return self._struct(node, scope)
        found = dates.call(name, node.expressions, lambda each: self.translate(each, scope))
        if found is not None:
            return found
        found = patterns.call(name, node.expressions, lambda each: self.translate(each, scope))
        if found is not None:
            return found
        arguments = [self.translate(each, scope) for each in node.expressions]
        found = self._conditional(name, arguments) or functions.call(name, arguments)
        if found is None:
            raise InvalidQuery(f"Function not found, or not supported by local BigQuery: {name}")
        return found

    def _conditional(self, name: str, arguments: list[Expr]) -> Expr | None:
        """Functions of arguments that have only their type in common."""
        if name in ("CONCAT", "ARRAY_CONCAT") and arguments:
            joined = self._joined(name, arguments)
            if (joined.type is not None and joined.type.kind == "ARRAY") != (name == "ARRAY_CONCAT"):
                raise functions.no_match(name, arguments)
            return joined
        if name not in ("COALESCE", "IFNULL", "NULLIF", "GREATEST", "LEAST") or not arguments:
            return None
        if name in ("IFNULL", "NULLIF") and len(arguments) != 2:
            raise functions.no_match(name, arguments)
        kind = supertype(arguments, name)
        parts = [each.sql if kind is None else each.to(kind).sql for each in arguments]
        if name in ("COALESCE", "IFNULL"):
            return Expr(f"coalesce({', '.join(parts)})", kind)
        if name == "NULLIF":
            equal = self._compared("=", arguments[0], arguments[1]).sql
            return Expr(f"(CASE WHEN {equal} THEN NULL ELSE {parts[0]} END)", kind)
        empty = " OR ".join(f"{part} IS NULL" for part in parts)
        word = name.lower()
        if kind == FLOAT64:
            empty_or_nan = " OR ".join(f"isnan({part})" for part in parts)
            nan = f"WHEN {empty_or_nan} THEN CAST('nan' AS DOUBLE) "
        else:
            nan = ""
        return Expr(f"(CASE WHEN {empty} THEN NULL {nan}ELSE {word}({', '.join(parts)}) END)", kind)


def _as_struct(node: exp.Anonymous) -> exp.Struct:
    return exp.Struct(expressions=[each.copy() for each in node.expressions])


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
