"""Functions whose pattern, path or format must be known to be translated: regular expressions, JSON, FORMAT.

Both BigQuery and DuckDB match with RE2. Source: BigQuery documentation, "String functions" and "JSON
functions" (2026-11-25).
"""

import re
from collections.abc import Callable, Sequence

from sqlglot import exp

from trainwright.local.bigquery.errors import InvalidQuery
from trainwright.local.bigquery.sql.functions import no_match
from trainwright.local.bigquery.sql.scope import Expr, text
from trainwright.local.bigquery.types import BOOL, FLOAT64, INT64, JSON, STRING, array_of

_REGEXPS = ("REGEXP_CONTAINS", "REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_REPLACE", "REGEXP_SUBSTR")
_JSONS = ("JSON_EXTRACT_SCALAR", "JSON_QUERY", "JSON_VALUE")
NAMES = (*_REGEXPS, *_JSONS, "FORMAT")
_GROUP = re.compile(r"(?<!\\)(?:\\\\)*\((?!\?)|(?<!\\)(?:\\\\)*\(\?P<")
_OPTIONAL_GROUP = re.compile(r"\)[?*]|\)\{0|\|")
_PATH = re.compile(r"\$(\.[A-Za-z_]\w*|\[\d+\])*")
_FORMAT = re.compile(r"%(?:%|0?\d*d|(?:\.\d+)?f|s|t)")

Translate = Callable[[exp.Expression], Expr]


def call(name: str, arguments: Sequence[exp.Expression], translate: Translate) -> Expr | None:
    """A call of a function of this module; None when it is none.

    Raises:
        InvalidQuery: The arguments are wrong, or the pattern is no literal where it must be.
    """
    if name in _REGEXPS:
        return _regexp(name, arguments, translate)
    if name in _JSONS:
        return _json(name, arguments, translate)
    if name == "FORMAT":
        return _format(arguments, translate)
    return None


def _regexp(name: str, arguments: Sequence[exp.Expression], translate: Translate) -> Expr:
    expected = 3 if name == "REGEXP_REPLACE" else 2
    values = [translate(each) for each in arguments]
    if len(values) != expected or not all(each.fits(STRING) for each in values):
        raise no_match(name, values)
    subject, pattern = values[0].sql, values[1].sql
    if name == "REGEXP_CONTAINS":
        return Expr(f"regexp_matches({subject}, {pattern})", BOOL)
    if name == "REGEXP_REPLACE":
        _check_replacement(arguments[2])
        return Expr(f"regexp_replace({subject}, {pattern}, {values[2].sql}, 'g')", STRING)
    group = _group(name, arguments[1])
    if name == "REGEXP_EXTRACT_ALL":
        return Expr(f"regexp_extract_all({subject}, {pattern}, {group})", array_of(STRING))
    matched = f"regexp_matches({subject}, {pattern})"
    return Expr(f"(CASE WHEN {matched} THEN regexp_extract({subject}, {pattern}, {group}) END)", STRING)


def _check_replacement(node: exp.Expression) -> None:
    written = _literal(node)
    if written is None or re.search(r"\\(?![0-9\\])", written):
        raise InvalidQuery(
            "REGEXP_REPLACE is supported by local BigQuery with a literal replacement of \\0 to \\9"
        )


def _group(name: str, node: exp.Expression) -> int:
    """The group that the function returns: the only one, or the whole match."""
    written = _literal(node)
    if written is None:
        raise InvalidQuery(f"{name} is supported by local BigQuery with a literal pattern only")
    groups = len(_GROUP.findall(re.sub(r"\[(?:\\.|[^\]\\])*\]", "", written)))
    if groups > 1:
        raise InvalidQuery("Regular expression has more than 1 capturing group")
    if groups and _OPTIONAL_GROUP.search(written):
        raise InvalidQuery(f"{name} with a group that may not take part in the match is not supported")
    return groups


def _literal(node: exp.Expression) -> str | None:
    if isinstance(node, exp.RawString) or (isinstance(node, exp.Literal) and node.is_string):
        return str(node.this)
    return None


def _json(name: str, arguments: Sequence[exp.Expression], translate: Translate) -> Expr:
    values = [translate(each) for each in arguments]
    path = "$" if len(arguments) == 1 else _literal(arguments[1])
    if len(values) not in (1, 2) or values[0].type not in (STRING, JSON) or path is None:
        raise no_match(name, values)
    if not _PATH.fullmatch(path):
        raise InvalidQuery(
            f"{name}: the path {path[:80]} is not supported by local BigQuery: expected $.name[0]"
        )
    source, place = f"CAST({values[0].sql} AS JSON)", text(path)
    if values[0].type == STRING:  # malformed text is NULL
        source = f"TRY_CAST({values[0].sql} AS JSON)"
    if name == "JSON_QUERY":
        found = f"json_extract({source}, {place})"
        if values[0].type == JSON:
            return Expr(found, JSON)
        return Expr(f"(CASE WHEN json_type({found}) <> 'NULL' THEN CAST({found} AS VARCHAR) END)", STRING)
    kind = f"json_type({source}, {place})"
    scalar = f"json_extract_string({source}, {place})"
    return Expr(f"(CASE WHEN {kind} NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN {scalar} END)", STRING)


def _format(arguments: Sequence[exp.Expression], translate: Translate) -> Expr:
    layout = _literal(arguments[0]) if arguments else None
    values = [translate(each) for each in arguments[1:]]
    if layout is None:
        raise InvalidQuery("FORMAT is supported by local BigQuery with a literal format only")
    pieces: list[str] = []
    remaining, position = list(values), 0
    for match in _FORMAT.finditer(layout):
        _plain(layout[position : match.start()], pieces)
        position = match.end()
        if match.group() == "%%":
            pieces.append("'%'")
            continue
        if not remaining:
            raise InvalidQuery("Too few arguments to FORMAT for pattern " + repr(layout))
        pieces.append(_piece(match.group(), remaining.pop(0)))
    _plain(layout[position:], pieces)
    if remaining:
        raise InvalidQuery("Too many arguments to FORMAT for pattern " + repr(layout))
    return Expr(f"({' || '.join(pieces) or chr(39) * 2})", STRING)


def _plain(between: str, pieces: list[str]) -> None:
    if "%" in between:
        raise InvalidQuery(
            f"FORMAT with {between[between.index('%') :][:10]} is not supported by local BigQuery"
        )
    if between:
        pieces.append(text(between))


def _piece(specifier: str, value: Expr) -> str:
    letter = specifier[-1]
    if letter == "d" and value.type == INT64:
        printed = f"printf('{specifier}', {value.sql})"
    elif letter == "f" and value.type == FLOAT64:
        finite = f"printf('{specifier if '.' in specifier else '%.6f'}', {value.sql})"
        printed = (
            f"CASE WHEN isfinite({value.sql}) THEN {finite} ELSE lower(CAST({value.sql} AS VARCHAR)) END"
        )
    elif specifier in ("%s", "%t") and value.type == STRING:
        printed = value.sql
    elif specifier == "%t" and value.type == INT64:
        printed = f"CAST({value.sql} AS VARCHAR)"
    else:
        raise InvalidQuery(f"FORMAT of {specifier} with {value.type} is not supported by local BigQuery")
    return f"coalesce({printed}, 'NULL')"
