"""Macros of DuckDB for what BigQuery does otherwise; made anew whenever the database is opened."""

import duckdb
from duckdb.sqltypes import SQLNULL, VARCHAR

# Unicode White_Space; DuckDB's trim() without a set takes spaces alone.
_WHITE = "".join(
    map(chr, [9, 10, 11, 12, 13, 32, 133, 160, 5760, *range(8192, 8203), 8232, 8233, 8239, 8287, 12288])
)

_MACROS = (
    "bq_nonzero(b) AS CASE WHEN b = 0 THEN bq_error('division by zero') ELSE b END",
    # BigQuery refuses results that overflow; DuckDB makes them infinite.
    "bq_finite(r, a, name) AS CASE WHEN isinf(r) AND NOT isinf(a) THEN"
    " bq_error('Floating point error in function: ' || name) ELSE r END",
    "bq_finite2(r, a, b) AS CASE WHEN isinf(r) AND NOT isinf(a) AND NOT isinf(b) THEN"
    " bq_error('Floating point overflow') ELSE r END",
    "bq_power(a, b) AS CASE WHEN (a < 0 AND isfinite(a) AND isfinite(b) AND b <> floor(b))"
    " OR (a = 0 AND b < 0) THEN bq_error('Floating point error in function: POW')"
    " ELSE bq_finite2(pow(a, b), a, b) END",
    "bq_natural(n, name) AS CASE WHEN n < 0 THEN"
    " bq_error('Second argument in ' || name || '() cannot be negative') ELSE n END",
    "bq_nonempty(s, name) AS CASE WHEN s = '' THEN"
    " bq_error('Third argument in ' || name || '() cannot be empty') ELSE s END",
    f"bq_white() AS '{_WHITE}'",
    "bq_start(s, p) AS CASE WHEN p = 0 OR p < -length(s) THEN 1 ELSE p END",
    "bq_substr(s, p) AS substring(s, bq_start(s, p))",
    "bq_substr_length(s, p, n) AS CASE WHEN n < 0 THEN"
    " bq_error('Third argument in SUBSTR() cannot be negative') ELSE substring(s, bq_start(s, p), n) END",
    "bq_float_text(x) AS CASE WHEN isnan(x) THEN 'NaN' WHEN isinf(x) THEN"
    " CASE WHEN x > 0 THEN 'inf' ELSE '-inf' END WHEN x = 0 THEN '0'"
    " WHEN CAST(printf('%.15g', x) AS DOUBLE) = x THEN printf('%.15g', x)"
    " ELSE printf('%.17g', x) END",
    "bq_numeric_text(x) AS CASE WHEN contains(CAST(x AS VARCHAR), '.') THEN"
    " rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.') ELSE CAST(x AS VARCHAR) END",
    "bq_fraction(us) AS CASE WHEN us = 0 THEN '' WHEN us % 1000 = 0 THEN printf('.%03d', us // 1000)"
    " ELSE printf('.%06d', us) END",
    "bq_datetime_text(t) AS strftime(t, '%Y-%m-%d %H:%M:%S') || bq_fraction(microsecond(t) % 1000000)",
    "bq_time_text(t) AS left(CAST(t AS VARCHAR), 8) || bq_fraction(microsecond(t) % 1000000)",
    "bq_long_text(t) AS strftime(t, '%Y-%m-%d %H:%M:%S') || CASE WHEN microsecond(t) % 1000000 = 0 THEN ''"
    " ELSE printf('.%06d', microsecond(t) % 1000000) END",
    "bq_long_time(t) AS left(CAST(t AS VARCHAR), 8) || CASE WHEN microsecond(t) % 1000000 = 0 THEN ''"
    " ELSE printf('.%06d', microsecond(t) % 1000000) END",
    "bq_floor_divide(a, b) AS CAST(CASE WHEN a % b < 0 THEN a // b - 1 ELSE a // b END AS BIGINT)",
    "bq_days(d) AS CAST(date_diff('day', DATE '1970-01-01', d) AS BIGINT)",
    "bq_week(d, shift) AS bq_floor_divide(bq_days(d) + shift, 7)",
    "bq_in(x, a) AS CASE WHEN a IS NULL OR len(a) = 0 THEN FALSE WHEN x IS NULL THEN NULL"
    " WHEN list_contains(a, x) THEN TRUE WHEN len(a) > list_count(a) THEN NULL ELSE FALSE END",
    "bq_item(a, n, shown) AS CASE WHEN n < 1 OR n > len(a) THEN"
    " bq_error('Array index ' || shown || ' is out of bounds') ELSE a[n] END",
    "bq_safe_item(a, n) AS CASE WHEN n < 1 OR n > len(a) THEN NULL ELSE a[n] END",
)


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the macros and functions in the database, where every cursor sees them."""
    # DuckDB's own error() counts as volatile, which windows and TRY do not take.
    connection.create_function("bq_error", _fail, [VARCHAR], SQLNULL)
    for macro in _MACROS:
        connection.execute(f"CREATE OR REPLACE MACRO {macro}")


def _fail(message: str) -> None:
    raise ValueError(message)
