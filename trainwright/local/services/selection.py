"""Filter and order of a List request as SQL over the store's summaries, where they can be said in it.

Of 50,000 jobs only those on the page are then read. The meaning is that of `filters`, which answers for what
cannot be translated: fields that summaries lack, functions, bare words.
"""

import datetime
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf import timestamp_pb2

from trainwright.local.services.filters import clauses, comparison, expression
from trainwright.local.store import Summary

_TEXTS = ("display_name", "state", "pipeline_name", "template_uri", "schedule_name")
_TIMES = ("create_time", "start_time", "end_time", "update_time")
# Labels stand in one column as KEY=VALUE between separators that no label can hold.
_BETWEEN, _EQUALS = "\x1f", "\x1e"


@dataclass(frozen=True)
class Selection:
    """SQL over the columns of `summaries`.

    Attributes:
        condition: With a `?` for each of `values`.
        values: In the order of the question marks.
        order: What stands behind ORDER BY.
    """

    condition: str
    values: tuple[str | int, ...]
    order: str


class _Untranslatable(Exception):
    """SQL over summaries cannot say this."""


def selection(filter: str, order_by: str) -> Selection | None:  # noqa: A002
    """The SQL of a filter (AIP-160) and an order (AIP-132), or None when they go beyond the summaries.

    Raises:
        InvalidArgument: The filter or the order is malformed.
    """
    tree = expression(filter)
    order = []
    try:
        for path, descending in clauses(order_by):
            if len(path) != 1 or path[0] not in (*_TEXTS, *_TIMES):
                return None
            order.append(f"{path[0]} {'DESC' if descending else 'ASC'}")
        condition, values = ("1", []) if tree is None else _condition(tree)
    except _Untranslatable:
        return None
    return Selection(condition, tuple(values), ", ".join(order))


def summary(message: Any) -> Summary:
    """The columns of a resource.

    Args:
        message: A protobuf message (not proto-plus) with a display name, times and labels.
    """
    labels = "".join(f"{key}{_EQUALS}{value}{_BETWEEN}" for key, value in sorted(message.labels.items()))
    return {
        "display_name": message.display_name,
        "labels": _BETWEEN + labels,
        "create_time": message.create_time.ToMicroseconds(),
        "update_time": message.update_time.ToMicroseconds(),
    }


def microseconds(seconds: float | None) -> int | None:
    """Unix seconds as a time in a summary, rounded as protobuf and JSON do for the resource itself."""
    if seconds is None:
        return None
    time = timestamp_pb2.Timestamp()
    time.FromNanoseconds(int(seconds * 1e9))
    return time.ToMicroseconds()


def _condition(node: Any) -> tuple[str, list[str | int]]:
    if node.data in ("expression", "sequence", "group", "factor"):
        parts = [_condition(child) for child in node.children]
        joined = (" OR " if node.data == "factor" else " AND ").join(f"({part[0]})" for part in parts)
        return joined, [value for part in parts for value in part[1]]
    if node.data == "term":
        inner, values = _condition(node.children[-1])
        return f"NOT ({inner})", values
    if node.data != "restriction" or len(node.children) == 1:
        raise _Untranslatable
    path, comparator, wanted = comparison(node)
    field = _snake(path[0])
    if field == "labels" and comparator in ("=", "!=", ":"):
        return _label(path[1:], comparator, wanted)
    if len(path) == 1 and field in _TIMES:
        return _time(field, comparator, wanted)
    if len(path) == 1 and field in _TEXTS and comparator in ("=", "!=", ":"):
        return _text(field, comparator, wanted)
    raise _Untranslatable


def _text(field: str, comparator: str, wanted: str) -> tuple[str, list[str | int]]:
    column = f"coalesce({field}, '')"
    if comparator == ":" and wanted == "*":
        return f"{column} != ''", []
    no = "NOT " if comparator == "!=" else ""
    if "*" in wanted:
        return f"{no}({column} GLOB ?)", [re.sub(r"([\[?])", r"[\1]", wanted)]
    return f"{no}({column} = ?)", [wanted]


def _time(field: str, comparator: str, wanted: str) -> tuple[str, list[str | int]]:
    if comparator == ":":
        if wanted != "*":
            raise _Untranslatable
        return f"{field} IS NOT NULL", []
    try:
        moment = datetime.datetime.fromisoformat(wanted)
    except ValueError:
        raise _Untranslatable from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    value = since // datetime.timedelta(microseconds=1)
    if comparator == "!=":
        return f"coalesce({field} != ?, 1)", [value]
    return f"coalesce({field} {comparator} ?, 0)", [value]


def _label(path: list[str], comparator: str, wanted: str) -> tuple[str, list[str | int]]:
    """`labels.key=value`, `labels.key:*` and `labels:key`."""
    if not path and comparator == ":":
        path, wanted = [wanted], "*"
        if wanted == path[0]:
            return f"labels != '{_BETWEEN}'", []
    elif len(path) != 1 or (comparator != ":" and "*" in wanted):
        raise _Untranslatable
    if wanted == "*":
        sought = f"{_BETWEEN}{path[0]}{_EQUALS}"
    elif not wanted or "*" in wanted:
        raise _Untranslatable
    else:
        sought = f"{_BETWEEN}{path[0]}{_EQUALS}{wanted}{_BETWEEN}"
    return f"instr(labels, ?) {'=' if comparator == '!=' else '>'} 0", [sought]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", lambda match: "_" + match[1].lower(), name)
