"""CAST and SAFE_CAST: where DuckDB's conversions are not BigQuery's, the difference is written out.

Source: BigQuery documentation, "Conversion functions" (2026-11-25).
"""

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.scope import Expr
from trainwright.local.bigquery.types import Type, coerces

_INT = r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)"
_FLOAT = r"(?i)[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)"
_NUMERIC = r"(?i)[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?"
_DATE = r"[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}"
_TIME = r"[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,6})?"
_DATETIME = rf"{_DATE}([ Tt]{_TIME})?"
_TIMESTAMP = rf"{_DATE}([ Tt]{_TIME})?( ?[zZ]| ?[+-][0-9]{{1,2}}(:[0-9]{{2}})?| [A-Za-z_]+(/[A-Za-z_]+)*)?"
# STRING to a type: what it must look like. DuckDB reads more than that, and some of it differently.
_SHAPES = {
    "INT64": _INT,
    "FLOAT64": _FLOAT,
    "NUMERIC": _NUMERIC,
    "BOOL": "(?i)true|false",
    "DATE": _DATE,
    "DATETIME": _DATETIME,
    "TIME": _TIME,
    "TIMESTAMP": _TIMESTAMP,
}
_PLAIN = {
    ("INT64", "FLOAT64"), ("INT64", "NUMERIC"), ("INT64", "BOOL"), ("BOOL", "INT64"), ("INT64", "STRING"),
    ("BOOL", "STRING"), ("NUMERIC", "FLOAT64"), ("NUMERIC", "INT64"), ("DATE", "STRING"),
    ("DATE", "DATETIME"),
    ("DATE", "TIMESTAMP"), ("DATETIME", "DATE"), ("DATETIME", "TIME"), ("DATETIME", "TIMESTAMP"),
    ("TIMESTAMP", "DATE"), ("TIMESTAMP", "TIME"), ("TIMESTAMP", "DATETIME"), ("FLOAT64", "NUMERIC"),
}  # fmt: skip
_TEXTS = {
    "FLOAT64": "bq_float_text({0})",
    "NUMERIC": "bq_numeric_text({0})",
    "BYTES": "decode({0})",
    "DATETIME": "bq_datetime_text({0})",
    "TIME": "bq_time_text({0})",
    "TIMESTAMP": "bq_datetime_text({0} AT TIME ZONE 'UTC') || '+00'",
}


def cast(value: Expr, target: Type, *, safe: bool = False) -> Expr:
    """`CAST(value AS target)`.

    Args:
        value: What to convert.
        target: Its type afterwards.
        safe: Whether a value that cannot be converted becomes NULL instead of an error.

    Raises:
        InvalidQuery: BigQuery has no such conversion, or local BigQuery has not.
    """
    word = "TRY_CAST" if safe else "CAST"
    if value.type is None or value.type == target:
        return Expr(f"CAST({value.sql} AS {target.duckdb})", target)
    source, goal, sql = value.type.kind, target.kind, value.sql
    if source == "STRING" and goal in _SHAPES:
        return Expr(_from_text(sql, target, safe), target)
    if source == "STRING" and goal == "BYTES":
        return Expr(f"encode({sql})", target)
    if goal == "STRING" and source in _TEXTS and not (safe and source == "BYTES"):
        return Expr(f"({_TEXTS[source].format(sql)})", target)
    if (source, goal) == ("FLOAT64", "INT64"):  # half away from zero; DuckDB rounds half to even
        return Expr(f"{word}(round({sql}) AS BIGINT)", target)
    if (source, goal) in _PLAIN or (source in ("ARRAY", "STRUCT") and coerces(value.type, target)):
        return Expr(f"{word}({sql} AS {target.duckdb})", target)
    raise InvalidQuery(f"Invalid cast from {value.type} to {target}")


def _from_text(sql: str, target: Type, safe: bool) -> str:
    shape = _SHAPES[target.kind]
    word = "TRY_CAST" if safe else "CAST"
    trimmed = f"trim({sql})" if target.kind in ("INT64", "FLOAT64", "NUMERIC") else sql
    converted = f"{word}({trimmed} AS {target.duckdb})"
    if target.kind == "DATETIME":
        converted = f"{word}(replace({sql}, 't', 'T') AS TIMESTAMP)"
    otherwise = "NULL"
    if not safe:
        bad = {"INT64": "int64", "FLOAT64": "double", "BOOL": "bool"}.get(target.kind, target.kind)
        wrong = (
            f"bq_error('Bad {bad} value: ' || {sql})"
            if bad.islower()
            else (f"bq_error('Invalid {target.kind.lower()}: ''' || {sql} || '''')")
        )
        otherwise = f"CASE WHEN {sql} IS NOT NULL THEN {wrong} END"
    return f"(CASE WHEN regexp_full_match({trimmed}, '{shape}') THEN {converted} ELSE {otherwise} END)"
