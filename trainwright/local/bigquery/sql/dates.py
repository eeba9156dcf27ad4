"""Functions of dates and times that take a date part or a format.

Source: BigQuery documentation, "Date functions", "Datetime functions", "Timestamp functions" and "Format
elements" (2026-11-25).
"""

from collections.abc import Callable, Sequence

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.functions import no_match
from trainwright.local.bigquery.sql.scope import Expr, text, unsupported
from trainwright.local.bigquery.types import DATE, DATETIME, INT64, STRING, TIME, TIMESTAMP, Type, array_of

_KINDS = {"DATE": DATE, "DATETIME": DATETIME, "TIMESTAMP": TIMESTAMP, "TIME": TIME}
# Days between Thursday, 1970-01-01 and the week's first day before it.
_WEEK_SHIFTS = {
    "SUNDAY": 4, "MONDAY": 3, "TUESDAY": 2, "WEDNESDAY": 1, "THURSDAY": 0, "FRIDAY": 6, "SATURDAY": 5,
}  # fmt: skip
_DATE_PARTS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
_TIME_PARTS = {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR"}
_MICROSECONDS = {
    "MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 10**6, "MINUTE": 60 * 10**6, "HOUR": 3600 * 10**6,
    "DAY": 86400 * 10**6,
}  # fmt: skip
_EXTRACTED = {
    "DAYOFWEEK": "(dayofweek({0}) + 1)",
    "DAY": "day({0})",
    "DAYOFYEAR": "dayofyear({0})",
    "WEEK": "((dayofyear({0}) + 6 - dayofweek({0})) // 7)",
    "ISOWEEK": "week({0})",
    "MONTH": "month({0})",
    "QUARTER": "quarter({0})",
    "YEAR": "year({0})",
    "ISOYEAR": "isoyear({0})",
    "HOUR": "hour({0})",
    "MINUTE": "minute({0})",
    "SECOND": "second({0})",
    "MILLISECOND": "(millisecond({0}) % 1000)",
    "MICROSECOND": "(microsecond({0}) % 1000000)",
}
# Format elements that strftime and strptime of DuckDB read as BigQuery does.
_ELEMENTS = {letter: f"%{letter}" for letter in "YmdHIMSjybBaApUWGVuw%"}
_ELEMENTS |= {"F": "%Y-%m-%d", "T": "%H:%M:%S", "D": "%m/%d/%y", "R": "%H:%M", "h": "%b"}
_PARSED = set("YmdHIMSjybBpFTDR%")


def date_part(node: exp.Expression) -> str:
    """The date part that a node names: DAY, WEEK, WEEK(MONDAY) ..."""
    if isinstance(node, exp.Anonymous) and len(node.expressions) == 1:
        return f"{str(node.this).upper()}({node.expressions[0].name.upper()})"
    return node.name.upper()


def add(name: str, value: Expr, interval: exp.Expression, amount: Expr) -> Expr:
    """`DATE_ADD(value, INTERVAL amount part)` and its kin; the name ends in _ADD or _SUB.

    Raises:
        InvalidQuery: The part does not go with the type.
    """
    kind, _, operation = name.rpartition("_")
    target = _argument(name, value, _KINDS[kind])
    part = date_part(interval.args["unit"])
    allowed = {"DATE": _DATE_PARTS, "DATETIME": _DATE_PARTS | _TIME_PARTS, "TIME": _TIME_PARTS}.get(
        kind, _TIME_PARTS | {"DAY"}
    )
    if part not in allowed:
        raise InvalidQuery(f"{name} does not support the {part} date part")
    sign = "+" if operation == "ADD" else "-"
    sql = f"{target.sql} {sign} {interval_sql(part, amount)}"
    if target.type == TIMESTAMP:  # no days of 23 hours: BigQuery adds 24 hours, and the session is in UTC
        return Expr(f"({sql})", TIMESTAMP)
    assert target.type is not None
    return Expr(f"CAST({sql} AS {target.type.duckdb})", target.type)


def interval_sql(part: str, amount: Expr) -> str:
    """An interval as DuckDB writes it.

    Raises:
        InvalidQuery: There is no such part, or the amount is no INT64.
    """
    if part not in _DATE_PARTS | _TIME_PARTS:
        raise InvalidQuery(f"INTERVAL with the part {part} is not supported by local BigQuery")
    if not amount.fits(INT64):
        raise InvalidQuery(f"INTERVAL of {amount.type} is not supported by local BigQuery: expected INT64")
    return f"to_{part.lower()}s({amount.to(INT64).sql})"


def difference(name: str, end: Expr, start: Expr, part: str) -> Expr:
    """`DATE_DIFF(end, start, part)` and its kin.

    Raises:
        InvalidQuery: The part does not go with the type.
    """
    kind = _KINDS[name.removesuffix("_DIFF")]
    a, b = _argument(name, end, kind).sql, _argument(name, start, kind).sql
    if kind in (TIMESTAMP, TIME):
        if part not in _MICROSECONDS or (kind == TIME and part == "DAY"):
            raise InvalidQuery(f"{name} does not support the {part} date part")
        if kind == TIMESTAMP:  # whole parts in between, not boundaries crossed
            return Expr(f"((epoch_us({a}) - epoch_us({b})) // {_MICROSECONDS[part]})", INT64)
    elif part.startswith("WEEK") or part == "ISOWEEK":
        shift = _week_shift(part)
        return Expr(f"(bq_week({a}, {shift}) - bq_week({b}, {shift}))", INT64)
    elif part == "ISOYEAR":
        return Expr(f"CAST(isoyear({a}) - isoyear({b}) AS BIGINT)", INT64)
    elif part not in _DATE_PARTS | (_TIME_PARTS if kind == DATETIME else set()):
        raise InvalidQuery(f"{name} does not support the {part} date part")
    return Expr(f"CAST(date_diff('{part.lower()}', {b}, {a}) AS BIGINT)", INT64)


def truncated(name: str, value: Expr, part: str, zone: Expr | None) -> Expr:
    """`DATE_TRUNC(value, part)` and its kin; `zone` is TIMESTAMP_TRUNC's third argument.

    Raises:
        InvalidQuery: The part does not go with the type.
    """
    kind = value.type if value.type in (DATE, DATETIME, TIMESTAMP) else _KINDS[name.removesuffix("_TRUNC")]
    argument = _argument(name, value, kind)
    sql = argument.sql
    where = "'UTC'" if zone is None else zone.sql
    if kind == TIMESTAMP:
        sql = f"({sql} AT TIME ZONE {where})"
    if part.startswith("WEEK") or part == "ISOWEEK":
        day = f"CAST({sql} AS DATE)"
        days = f"(bq_days({day}) + {_week_shift(part)} - 7 * bq_week({day}, {_week_shift(part)}))"
        sql = f"({day} - to_days({days}))"
    elif part == "ISOYEAR":
        sql = f"date_trunc('week', make_date(isoyear({sql}), 1, 4))"
    elif part in _DATE_PARTS | (_TIME_PARTS if kind != DATE else set()):
        sql = f"date_trunc('{part.lower()}', {sql})"
    else:
        raise InvalidQuery(f"{name} does not support the {part} date part")
    if kind == TIMESTAMP:
        return Expr(f"(CAST({sql} AS TIMESTAMP) AT TIME ZONE {where})", kind)
    return Expr(f"CAST({sql} AS {kind.duckdb})", kind)


def extracted(part: str, value: Expr, zone: Expr | None) -> Expr:
    """`EXTRACT(part FROM value [AT TIME ZONE zone])`.

    Raises:
        InvalidQuery: The part does not go with the type.
    """
    if value.type not in (DATE, DATETIME, TIMESTAMP, TIME):
        raise no_match(f"EXTRACT of {part}", [value])
    sql = value.sql
    if value.type == TIMESTAMP:
        sql = f"({sql} AT TIME ZONE {zone.sql if zone else chr(39) + 'UTC' + chr(39)})"
    elif zone is not None:
        raise InvalidQuery(f"EXTRACT from {value.type} does not support AT TIME ZONE")
    if part in ("DATE", "TIME") and value.type in (DATETIME, TIMESTAMP):
        return Expr(f"CAST({sql} AS {part})", _KINDS[part])
    if part.startswith("WEEK("):
        shift = (_week_shift(part) + 3) % 7  # dayofweek is 0 on Sunday; 0 on the week's first day is wanted
        first = f"((dayofweek({sql}) + {shift}) % 7)"
        return Expr(f"CAST((dayofyear({sql}) + 6 - {first}) // 7 AS BIGINT)", INT64)
    wrong = (part in _TIME_PARTS and value.type == DATE) or (part not in _TIME_PARTS and value.type == TIME)
    if part not in _EXTRACTED or wrong:
        raise InvalidQuery(f"EXTRACT from {value.type} does not support the {part} date part")
    return Expr(f"CAST({_EXTRACTED[part].format(sql)} AS BIGINT)", INT64)


def last_day(value: Expr, part: str) -> Expr:
    """`LAST_DAY(value[, part])`."""
    day = value if value.type in (DATE, DATETIME) else _argument("LAST_DAY", value, DATE)
    start = truncated("DATE_TRUNC", Expr(f"CAST({day.sql} AS DATE)", DATE), part, None).sql
    length = {"MONTH": "to_months(1)", "QUARTER": "to_months(3)", "YEAR": "to_years(1)"}.get(
        part, "to_days(7)"
    )
    return Expr(f"CAST({start} + {length} - to_days(1) AS DATE)", DATE)


def date_array(arguments: Sequence[Expr], interval: str) -> Expr:
    """`GENERATE_DATE_ARRAY(start, end[, INTERVAL n part])`."""
    start, end = (_argument("GENERATE_DATE_ARRAY", each, DATE).sql for each in arguments)
    return Expr(f"CAST(generate_series({start}, {end}, {interval}) AS DATE[])", array_of(DATE))


def formatted(name: str, layout: exp.Expression, value: Expr, zone: Expr | None) -> Expr:
    """`FORMAT_DATE(layout, value)` and its kin; the layout must be a literal."""
    kind = _KINDS[name.removeprefix("FORMAT_")]
    sql = _argument(name, value, kind).sql
    if kind == TIMESTAMP:
        sql = f"{sql} AT TIME ZONE {zone.sql if zone else chr(39) + 'UTC' + chr(39)}"
    elif kind == TIME:
        sql = f"DATE '1970-01-01' + {sql}"
    return Expr(f"strftime({sql}, {text(_layout(name, layout, set(_ELEMENTS)))})", STRING)


def parsed(name: str, layout: exp.Expression, value: Expr, zone: Expr | None) -> Expr:
    """`PARSE_DATE(layout, value)` and its kin; the layout must be a literal."""
    kind = _KINDS[name.removeprefix("PARSE_")]
    if not value.fits(STRING):
        raise no_match(name, [value])
    sql = f"strptime({value.sql}, {text(_layout(name, layout, _PARSED))})"
    if kind == TIMESTAMP:
        return Expr(f"({sql} AT TIME ZONE {zone.sql if zone else chr(39) + 'UTC' + chr(39)})", kind)
    return Expr(f"CAST({sql} AS {kind.duckdb})", kind)


def _layout(name: str, node: exp.Expression, allowed: set[str]) -> str:
    if not (isinstance(node, exp.Literal) and node.is_string):
        raise InvalidQuery(f"{name} is supported by local BigQuery with a literal format only")
    written, result, position = node.this, "", 0
    while position < len(written):
        character = written[position]
        if character == "%":
            position += 1
            letter = written[position : position + 1]
            if letter not in allowed:
                raise InvalidQuery(f"{name}: the format element %{letter} is not supported by local BigQuery")
            character = _ELEMENTS[letter]
        result += character
        position += 1
    return result


def _week_shift(part: str) -> int:
    day = {"WEEK": "SUNDAY", "ISOWEEK": "MONDAY"}.get(part) or part.removeprefix("WEEK(").removesuffix(")")
    if day not in _WEEK_SHIFTS:
        raise InvalidQuery(f"A valid date part name is required but found {part}")
    return _WEEK_SHIFTS[day]


def _argument(name: str, value: Expr, kind: Type) -> Expr:
    if not value.fits(kind):
        raise no_match(name, [value])
    return value.to(kind)


NAMES = (
    *(f"{kind}_{verb}" for kind in _KINDS for verb in ("ADD", "SUB", "DIFF")),
    *(f"{kind}_TRUNC" for kind in _KINDS if kind != "TIME"),
    *(f"{verb}_{kind}" for kind in _KINDS for verb in ("FORMAT", "PARSE")),
    "EXTRACT",
    "GENERATE_DATE_ARRAY",
    "LAST_DAY",
)

Translate = Callable[[exp.Expression], Expr]


def call(name: str, arguments: Sequence[exp.Expression], translate: Translate) -> Expr | None:
    """A call of a function of this module; None when it is none.

    Raises:
        InvalidQuery: The arguments are wrong.
    """
    base, _, operation = name.rpartition("_")
    count = len(arguments)
    if operation in ("ADD", "SUB") and base in _KINDS and count == 2:
        value, interval = arguments
        if not isinstance(interval, exp.Interval):
            raise unsupported(interval)
        return add(name, translate(value), interval, interval_amount(interval, translate))
    if operation == "DIFF" and base in _KINDS and count == 3:
        return difference(name, translate(arguments[0]), translate(arguments[1]), date_part(arguments[2]))
    if operation == "TRUNC" and base in _KINDS and base != "TIME" and count in (2, 3):
        zone = translate(arguments[2]) if count == 3 else None
        return truncated(name, translate(arguments[0]), date_part(arguments[1]), zone)
    verb, _, kind = name.partition("_")
    if verb in ("FORMAT", "PARSE") and kind in _KINDS and count in (2, 3):
        zone = translate(arguments[2]) if count == 3 and kind == "TIMESTAMP" else None
        return (formatted if verb == "FORMAT" else parsed)(name, arguments[0], translate(arguments[1]), zone)
    if name == "LAST_DAY" and count in (1, 2):
        return last_day(translate(arguments[0]), date_part(arguments[1]) if count == 2 else "MONTH")
    if name == "GENERATE_DATE_ARRAY" and count in (2, 3):
        step = "to_days(1)"
        if count == 3:
            if not isinstance(arguments[2], exp.Interval):
                raise unsupported(arguments[2])
            amount = interval_amount(arguments[2], translate)
            step = interval_sql(date_part(arguments[2].args["unit"]), amount)
        return date_array([translate(each) for each in arguments[:2]], step)
    return None


def interval_amount(interval: exp.Interval, translate: Translate) -> Expr:
    """The number of an interval; sqlglot keeps a literal one as a string."""
    amount = interval.this
    if isinstance(amount, exp.Literal) and amount.is_string:
        if not amount.this.lstrip("-").isdigit():
            raise unsupported(interval)
        return Expr(f"CAST({amount.this} AS BIGINT)", INT64, literal=True)
    return translate(amount)
