"""The functions of GoogleSQL that local BigQuery has: signatures and DuckDB SQL.

A line is `NAME(PARAMETER, ...) RESULT = SQL`, with `{0}` for the first argument. A call is matched like in
BigQuery: the overload whose parameters its arguments fit with the fewest coercions. N stands for INT64,
NUMERIC and FLOAT64 in turn, S for STRING and BYTES, T for any one type. Where DuckDB has a function of the
same name, it was compared with BigQuery's documentation ("Functions", 2026-11-25): what differs is written
out, or left out of this table and so refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.scope import Expr
from trainwright.local.bigquery.types import Type, array_of, named_type

_TABLE = r"""
ABS(N) N = abs({0})
SIGN(INT64) INT64 = CAST(sign({0}) AS BIGINT)
SIGN(NUMERIC) NUMERIC = CAST(sign({0}) AS DECIMAL(38,9))
SIGN(FLOAT64) FLOAT64 = CAST(CASE WHEN isnan({0}) THEN {0} ELSE sign({0}) END AS DOUBLE)
ROUND(FLOAT64) FLOAT64 = round({0})
ROUND(NUMERIC) NUMERIC = CAST(round({0}) AS DECIMAL(38,9))
ROUND(FLOAT64, INT64) FLOAT64 = round({0}, CAST({1} AS INTEGER))
CEIL(FLOAT64) FLOAT64 = ceil({0})
CEIL(NUMERIC) NUMERIC = CAST(ceil({0}) AS DECIMAL(38,9))
CEILING(FLOAT64) FLOAT64 = ceil({0})
CEILING(NUMERIC) NUMERIC = CAST(ceil({0}) AS DECIMAL(38,9))
FLOOR(FLOAT64) FLOAT64 = floor({0})
FLOOR(NUMERIC) NUMERIC = CAST(floor({0}) AS DECIMAL(38,9))
TRUNC(FLOAT64) FLOAT64 = trunc({0})
TRUNC(NUMERIC) NUMERIC = CAST(trunc({0}) AS DECIMAL(38,9))
SQRT(FLOAT64) FLOAT64 = CASE WHEN {0} < 0 THEN bq_error('Argument to SQRT cannot be negative') ELSE sqrt({0}) END
EXP(FLOAT64) FLOAT64 = bq_finite(exp({0}), {0}, 'EXP')
LN(FLOAT64) FLOAT64 = CASE WHEN {0} <= 0 THEN bq_error('Argument to LN must be positive') ELSE ln({0}) END
LOG(FLOAT64) FLOAT64 = CASE WHEN {0} <= 0 THEN bq_error('Argument to LOG must be positive') ELSE ln({0}) END
LOG(FLOAT64, FLOAT64) FLOAT64 = CASE WHEN {0} <= 0 OR {1} <= 0 OR {1} = 1 THEN bq_error('Arguments to LOG must be positive, the base not 1') ELSE ln({0}) / ln({1}) END
LOG10(FLOAT64) FLOAT64 = CASE WHEN {0} <= 0 THEN bq_error('Argument to LOG10 must be positive') ELSE log10({0}) END
POW(FLOAT64, FLOAT64) FLOAT64 = bq_power({0}, {1})
POWER(FLOAT64, FLOAT64) FLOAT64 = bq_power({0}, {1})
SIN(FLOAT64) FLOAT64 = sin({0})
COS(FLOAT64) FLOAT64 = cos({0})
TAN(FLOAT64) FLOAT64 = tan({0})
ASIN(FLOAT64) FLOAT64 = asin({0})
ACOS(FLOAT64) FLOAT64 = acos({0})
ATAN(FLOAT64) FLOAT64 = atan({0})
ATAN2(FLOAT64, FLOAT64) FLOAT64 = atan2({0}, {1})
IS_NAN(FLOAT64) BOOL = isnan({0})
IS_INF(FLOAT64) BOOL = isinf({0})
MOD(INT64, INT64) INT64 = {0} % bq_nonzero({1})
MOD(NUMERIC, NUMERIC) NUMERIC = CAST({0} % bq_nonzero({1}) AS DECIMAL(38,9))
DIV(INT64, INT64) INT64 = {0} // bq_nonzero({1})
IEEE_DIVIDE(FLOAT64, FLOAT64) FLOAT64 = {0} / {1}
SAFE_DIVIDE(FLOAT64, FLOAT64) FLOAT64 = CASE WHEN {1} = 0 THEN NULL ELSE {0} / {1} END
SAFE_NEGATE(INT64) INT64 = CASE WHEN {0} = -9223372036854775808 THEN NULL ELSE -{0} END
RAND() FLOAT64 = random()
GENERATE_UUID() STRING = CAST(uuid() AS VARCHAR)

UPPER(STRING) STRING = upper({0})
LOWER(STRING) STRING = lower({0})
LENGTH(STRING) INT64 = length({0})
LENGTH(BYTES) INT64 = octet_length({0})
CHAR_LENGTH(STRING) INT64 = length({0})
CHARACTER_LENGTH(STRING) INT64 = length({0})
BYTE_LENGTH(STRING) INT64 = octet_length(encode({0}))
BYTE_LENGTH(BYTES) INT64 = octet_length({0})
OCTET_LENGTH(STRING) INT64 = octet_length(encode({0}))
OCTET_LENGTH(BYTES) INT64 = octet_length({0})
SUBSTR(STRING, INT64) STRING = bq_substr({0}, {1})
SUBSTR(STRING, INT64, INT64) STRING = bq_substr_length({0}, {1}, {2})
SUBSTRING(STRING, INT64) STRING = bq_substr({0}, {1})
SUBSTRING(STRING, INT64, INT64) STRING = bq_substr_length({0}, {1}, {2})
LEFT(STRING, INT64) STRING = left({0}, bq_natural({1}, 'LEFT'))
RIGHT(STRING, INT64) STRING = right({0}, bq_natural({1}, 'RIGHT'))
TRIM(STRING) STRING = trim({0}, bq_white())
LTRIM(STRING) STRING = ltrim({0}, bq_white())
RTRIM(STRING) STRING = rtrim({0}, bq_white())
TRIM(STRING, STRING) STRING = trim({0}, {1})
LTRIM(STRING, STRING) STRING = ltrim({0}, {1})
RTRIM(STRING, STRING) STRING = rtrim({0}, {1})
REPLACE(STRING, STRING, STRING) STRING = replace({0}, {1}, {2})
REPEAT(STRING, INT64) STRING = repeat({0}, bq_natural({1}, 'REPEAT'))
STARTS_WITH(STRING, STRING) BOOL = starts_with({0}, {1})
ENDS_WITH(STRING, STRING) BOOL = ends_with({0}, {1})
STRPOS(STRING, STRING) INT64 = instr({0}, {1})
INSTR(STRING, STRING) INT64 = instr({0}, {1})
LPAD(STRING, INT64) STRING = lpad({0}, CAST(bq_natural({1}, 'LPAD') AS INTEGER), ' ')
RPAD(STRING, INT64) STRING = rpad({0}, CAST(bq_natural({1}, 'RPAD') AS INTEGER), ' ')
LPAD(STRING, INT64, STRING) STRING = lpad({0}, CAST(bq_natural({1}, 'LPAD') AS INTEGER), bq_nonempty({2}, 'LPAD'))
RPAD(STRING, INT64, STRING) STRING = rpad({0}, CAST(bq_natural({1}, 'RPAD') AS INTEGER), bq_nonempty({2}, 'RPAD'))
SPLIT(STRING) ARRAY<STRING> = string_split({0}, ',')
SPLIT(STRING, STRING) ARRAY<STRING> = string_split({0}, {1})
ASCII(STRING) INT64 = CAST(CASE WHEN {0} = '' THEN 0 ELSE ascii({0}) END AS BIGINT)
UNICODE(STRING) INT64 = CAST(CASE WHEN {0} = '' THEN 0 ELSE unicode({0}) END AS BIGINT)
TO_HEX(BYTES) STRING = lower(hex({0}))
FROM_HEX(STRING) BYTES = unhex({0})
TO_BASE64(BYTES) STRING = to_base64({0})
FROM_BASE64(STRING) BYTES = from_base64({0})
MD5(S) BYTES = unhex(md5({0}))
SHA1(S) BYTES = unhex(sha1({0}))
SHA256(S) BYTES = unhex(sha256({0}))
FARM_FINGERPRINT(STRING) INT64 = bq_farm_text({0})
FARM_FINGERPRINT(BYTES) INT64 = bq_farm_bytes({0})

PARSE_JSON(STRING) JSON = CAST({0} AS JSON)

ARRAY_LENGTH(ARRAY) INT64 = len({0})
ARRAY_REVERSE(ARRAY) ARRAY0 = list_reverse({0})
ARRAY_TO_STRING(ARRAY<STRING>, STRING) STRING = CASE WHEN len({0}) = 0 THEN '' ELSE coalesce(array_to_string({0}, {1}), CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN '' END) END
GENERATE_ARRAY(INT64, INT64) ARRAY<INT64> = generate_series({0}, {1})
GENERATE_ARRAY(INT64, INT64, INT64) ARRAY<INT64> = generate_series({0}, {1}, bq_nonzero({2}))

DATE(INT64, INT64, INT64) DATE = make_date({0}, {1}, {2})
DATE(DATETIME) DATE = CAST({0} AS DATE)
DATE(TIMESTAMP) DATE = CAST({0} AS DATE)
DATE(TIMESTAMP, STRING) DATE = CAST({0} AT TIME ZONE {1} AS DATE)
DATETIME(INT64, INT64, INT64, INT64, INT64, INT64) DATETIME = make_timestamp({0}, {1}, {2}, {3}, {4}, CAST({5} AS DOUBLE))
DATETIME(DATE) DATETIME = CAST({0} AS TIMESTAMP)
DATETIME(TIMESTAMP) DATETIME = {0} AT TIME ZONE 'UTC'
DATETIME(TIMESTAMP, STRING) DATETIME = {0} AT TIME ZONE {1}
TIMESTAMP(DATETIME) TIMESTAMP = {0} AT TIME ZONE 'UTC'
TIMESTAMP(DATETIME, STRING) TIMESTAMP = {0} AT TIME ZONE {1}
TIMESTAMP(TIMESTAMP) TIMESTAMP = {0}
TIME(INT64, INT64, INT64) TIME = make_time({0}, {1}, CAST({2} AS DOUBLE))
TIME(DATETIME) TIME = CAST({0} AS TIME)
TIME(TIMESTAMP) TIME = CAST({0} AT TIME ZONE 'UTC' AS TIME)
STRING(TIMESTAMP) STRING = bq_datetime_text({0} AT TIME ZONE 'UTC') || '+00'
CURRENT_DATE() DATE = CAST(current_timestamp AT TIME ZONE 'UTC' AS DATE)
CURRENT_DATE(STRING) DATE = CAST(current_timestamp AT TIME ZONE {0} AS DATE)
CURRENT_DATETIME() DATETIME = current_timestamp AT TIME ZONE 'UTC'
CURRENT_DATETIME(STRING) DATETIME = current_timestamp AT TIME ZONE {0}
CURRENT_TIMESTAMP() TIMESTAMP = current_timestamp
CURRENT_TIME() TIME = CAST(current_timestamp AT TIME ZONE 'UTC' AS TIME)
UNIX_SECONDS(TIMESTAMP) INT64 = bq_floor_divide(epoch_us({0}), 1000000)
UNIX_MILLIS(TIMESTAMP) INT64 = bq_floor_divide(epoch_us({0}), 1000)
UNIX_MICROS(TIMESTAMP) INT64 = epoch_us({0})
UNIX_DATE(DATE) INT64 = bq_days({0})
DATE_FROM_UNIX_DATE(INT64) DATE = CAST(DATE '1970-01-01' + to_days({0}) AS DATE)
TIMESTAMP_SECONDS(INT64) TIMESTAMP = make_timestamp({0} * 1000000) AT TIME ZONE 'UTC'
TIMESTAMP_MILLIS(INT64) TIMESTAMP = make_timestamp({0} * 1000) AT TIME ZONE 'UTC'
TIMESTAMP_MICROS(INT64) TIMESTAMP = make_timestamp({0}) AT TIME ZONE 'UTC'
"""
_LINE = re.compile(r"(\w+)\(([^)]*)\) (\S+) = (.+)")
_NUMBERS = ("INT64", "NUMERIC", "FLOAT64")
_TEXTS = ("STRING", "BYTES")


@dataclass(frozen=True)
class Signature:
    """One overload: parameter types ("ARRAY": of anything), result type, and the SQL."""

    parameters: tuple[str, ...]
    result: str
    sql: str


def _read() -> dict[str, list[Signature]]:
    table: dict[str, list[Signature]] = {}
    for line in _TABLE.strip().splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        parameters = tuple(part.strip() for part in match[2].split(",") if part.strip())
        for letter, kinds in (("N", _NUMBERS), ("S", _TEXTS)):
            if letter in parameters:
                for kind in kinds:
                    replaced = tuple(kind if each == letter else each for each in parameters)
                    result = kind if match[3] == letter else match[3]
                    table.setdefault(match[1], []).append(Signature(replaced, result, match[4]))
                break
        else:
            table.setdefault(match[1], []).append(Signature(parameters, match[3], match[4]))
    return table


SIGNATURES = _read()


def call(name: str, arguments: Sequence[Expr]) -> Expr | None:
    """A call of a function in the table; None when it is not there.

    Raises:
        InvalidQuery: No overload takes these arguments.
    """
    overloads = SIGNATURES.get(name)
    if overloads is None:
        return None
    best: tuple[int, Signature] | None = None
    for signature in overloads:
        cost = _cost(signature, arguments)
        if cost is not None and (best is None or cost < best[0]):
            best = cost, signature
    if best is None:
        raise no_match(name, arguments)
    signature = best[1]
    given = [_converted(each, kind) for each, kind in zip(arguments, signature.parameters, strict=True)]
    result = given[0].type if signature.result == "ARRAY0" else parsed_type(signature.result)
    return Expr(f"({signature.sql.format(*[each.sql for each in given])})", result)


def no_match(name: str, arguments: Sequence[Expr]) -> InvalidQuery:
    """The refusal of a call whose arguments have the wrong types."""
    listed = ", ".join("NULL" if each.type is None else str(each.type) for each in arguments)
    found = f"for argument types: {listed}" if arguments else "without arguments"
    what = name if name.startswith("operator ") else f"function {name}"
    return InvalidQuery(f"No matching signature for {what} {found}, among those of local BigQuery")


def parsed_type(name: str) -> Type:
    """A type as the table writes it."""
    if name.startswith("ARRAY<"):
        return array_of(named_type(name[6:-1]))
    return named_type(name)


def _cost(signature: Signature, arguments: Sequence[Expr]) -> int | None:
    if len(arguments) != len(signature.parameters):
        return None
    cost = 0
    for argument, kind in zip(arguments, signature.parameters, strict=True):
        if kind == "ARRAY":
            if argument.type is None or argument.type.kind != "ARRAY":
                return None
            continue
        target = parsed_type(kind)
        if not argument.fits(target):
            return None
        if argument.type is not None and argument.type != target:
            cost += 1 + ("INT64", "NUMERIC", "FLOAT64").index(kind) if kind in _NUMBERS else 1
    return cost


def _converted(argument: Expr, kind: str) -> Expr:
    return argument if kind == "ARRAY" else argument.to(parsed_type(kind))
