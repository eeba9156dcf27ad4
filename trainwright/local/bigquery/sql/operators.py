"""Operators and conditionals of typed expressions.

Source: BigQuery documentation, "Operators" and "Conditional expressions" (2026-11-25).
"""

from trainwright.local.bigquery.sql import functions
from trainwright.local.bigquery.sql.scope import Expr, supertype
from trainwright.local.bigquery.types import BOOL, FLOAT64, INT64, NUMERIC, STRING

NAMES = ("ARRAY_CONCAT", "COALESCE", "CONCAT", "GREATEST", "IFNULL", "LEAST", "NULLIF")
_NUMBERS = ("INT64", "NUMERIC", "FLOAT64")


def arithmetic(operator: str, left: Expr, right: Expr) -> Expr:
    """`+`, `-`, `*` or `/` of two numbers; None of them NULL-typed alone decides the type.

    Raises:
        InvalidQuery: They are no numbers.
    """
    kind = supertype([left, right], f"operator {operator}") or INT64
    if kind.kind not in _NUMBERS:
        raise functions.no_match(f"operator {operator}", [left, right])
    if operator == "/" and kind == INT64:
        kind = FLOAT64
    a, b = left.to(kind).sql, right.to(kind).sql
    if operator == "/":
        b = f"bq_nonzero({b})"
    sql = f"{a} {operator} {b}"
    if kind == FLOAT64:
        return Expr(f"bq_finite2({sql}, {a}, {right.to(kind).sql})", kind)
    return Expr(f"CAST({sql} AS DECIMAL(38,9))" if kind == NUMERIC else f"({sql})", kind)


def compared(operator: str, left: Expr, right: Expr) -> Expr:
    """`left operator right`, which is a BOOL.

    Raises:
        InvalidQuery: Their types cannot be compared.
    """
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
            f"(CASE WHEN {absent} THEN NULL WHEN {' OR '.join(floats)} THEN {nan}"
            f" ELSE {a} {operator} {b} END)",
            BOOL,
        )
    return Expr(f"({a} {operator} {b})", BOOL)


def joined(what: str, parts: list[Expr]) -> Expr:
    """Strings, bytes or arrays one behind the other.

    Raises:
        InvalidQuery: They are of other types, or of several.
    """
    kind = supertype(parts, what) or STRING
    if kind.kind not in ("STRING", "BYTES", "ARRAY"):
        raise functions.no_match(what, parts)
    if kind.kind == "ARRAY":
        if len(parts) != 2:
            parts = [parts[0], joined(what, parts[1:])]
        a, b = (each.sql for each in parts)
        return Expr(f"(CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL ELSE list_concat({a}, {b}) END)", kind)
    return Expr(f"({' || '.join(each.to(kind).sql for each in parts)})", kind)


def chosen(what: str, branches: list[tuple[str, Expr]], otherwise: Expr) -> Expr:
    """CASE: the value of the first condition that holds.

    Raises:
        InvalidQuery: The values have no type in common.
    """
    kind = supertype([*(value for _, value in branches), otherwise], what)
    convert = (lambda each: each.sql) if kind is None else (lambda each: each.to(kind).sql)
    when = " ".join(f"WHEN {condition} THEN {convert(value)}" for condition, value in branches)
    return Expr(f"(CASE {when} ELSE {convert(otherwise)} END)", kind)


def conditional(name: str, arguments: list[Expr]) -> Expr | None:
    """A call of a function whose arguments have only their type in common; None when it is none.

    Raises:
        InvalidQuery: They have none in common.
    """
    if name in ("CONCAT", "ARRAY_CONCAT") and arguments:
        result = joined(name, arguments)
        if (result.type is not None and result.type.kind == "ARRAY") != (name == "ARRAY_CONCAT"):
            raise functions.no_match(name, arguments)
        return result
    if name not in NAMES or not arguments:
        return None
    if name in ("IFNULL", "NULLIF") and len(arguments) != 2:
        raise functions.no_match(name, arguments)
    kind = supertype(arguments, name)
    parts = [each.sql if kind is None else each.to(kind).sql for each in arguments]
    if name in ("COALESCE", "IFNULL"):
        return Expr(f"coalesce({', '.join(parts)})", kind)
    if name == "NULLIF":
        equal = compared("=", arguments[0], arguments[1]).sql
        return Expr(f"(CASE WHEN {equal} THEN NULL ELSE {parts[0]} END)", kind)
    empty = " OR ".join(f"{part} IS NULL" for part in parts)
    word = name.lower()
    if kind == FLOAT64:
        empty_or_nan = " OR ".join(f"isnan({part})" for part in parts)
        nan = f"WHEN {empty_or_nan} THEN CAST('nan' AS DOUBLE) "
    else:
        nan = ""
    return Expr(f"(CASE WHEN {empty} THEN NULL {nan}ELSE {word}({', '.join(parts)}) END)", kind)
