"""Lists as Google's APIs give them: filter (AIP-160), order_by (AIP-132) and page tokens (AIP-158).

Pure functions over the JSON form of resources. The grammar follows AIP-160 (google.aip.dev/160). The one
function that Vertex AI documents is `in_context("…")` (reference of MetadataService.ListArtifacts, 2026-11).
"""

import base64
import binascii
import datetime
import fnmatch
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from google.api_core.exceptions import InvalidArgument

Item = TypeVar("Item")
Predicate = Callable[[dict], bool]
Functions = Mapping[str, Callable[..., Predicate]]

_GRAMMAR = r"""
start: expression?
?expression: sequence ("AND" sequence)*
?sequence: factor+
?factor: term ("OR" term)*
?term: (NOT | MINUS)? simple
?simple: "(" expression ")" -> group
       | call
       | restriction
call: FUNCTION (argument ("," argument)*)? ")"
argument: STRING | BARE
restriction: member (COMPARATOR value)?
member: NAME ("." (NAME | STRING))*
value: STRING | NAME_VALUE | NAME
NOT: "NOT"
MINUS: "-"
COMPARATOR: "<=" | ">=" | "!=" | "=" | "<" | ">" | ":"
STRING: /"(\\.|[^"\\])*"/ | /'(\\.|[^'\\])*'/
FUNCTION.2: /(?!(AND|OR|NOT)\()[A-Za-z_][A-Za-z0-9_]*\(/
BARE: /[^\s()"',]+/
NAME: /(?!(AND|OR|NOT)\b)[A-Za-z_][A-Za-z0-9_\-]*/
NAME_VALUE.2: /(?<=[=<>:])\s*(?!["'(\s])[^\s()"']+/
%ignore /\s+/
"""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@lru_cache(maxsize=1)
def _parser() -> Any:
    from lark import Lark

    return Lark(_GRAMMAR, parser="earley", lexer="dynamic")


def compile_filter(text: str, functions: Functions | None = None) -> Predicate:
    """A filter expression as a test on a resource's JSON (snake_case keys, enums by name).

    Args:
        text: For example `display_name="churn" AND (state=X OR labels.team:*)`. Empty: every resource.
        functions: By name; each makes a test of its argument, like the context in `in_context("…")`.

    Raises:
        InvalidArgument: The expression does not follow AIP-160, or calls another function.
    """
    if not text.strip():
        return lambda resource: True
    return _predicate(_parsed(text), functions or {})


def expression(text: str) -> Any:
    """The parsed expression, for `selection`; None of an empty one.

    Raises:
        InvalidArgument: The expression does not follow AIP-160.
    """
    return _parsed(text) if text.strip() else None


def comparison(node: Any) -> tuple[list[str], str, str]:
    """Field, comparator and value of a restriction that has all three."""
    return _path(node), str(node.children[1]), _unquote(str(node.children[2].children[0]).strip())


def fields_of(text: str) -> set[str]:
    """The fields that an expression compares, e.g. {"labels"} for `labels.team:*`; bare words are none.

    Raises:
        InvalidArgument: The expression does not follow AIP-160.
    """
    if not text.strip():
        return set()
    restrictions = [*_parsed(text).find_data("restriction")]
    return {_path(node)[0] for node in restrictions if len(node.children) > 1}


def required_calls(text: str, function: str) -> list[str]:
    """The first arguments of the calls of a function that every match satisfies: those that AND alone joins.

    Raises:
        InvalidArgument: The expression does not follow AIP-160.
    """
    return [*_required(_parsed(text), function)] if text.strip() else []


def _required(node: Any, function: str) -> Iterable[str]:
    if node.data in ("expression", "sequence", "group"):
        for child in node.children:
            yield from _required(child, function)
    elif node.data == "call":
        name, *arguments = _call(node)
        if name == function and arguments:
            yield arguments[0]


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    from lark.exceptions import LarkError

    # System labels are documented without quotes, which AIP-160 wants around a name with "." or "/" in it.
    text = re.sub(r"labels\.(aiplatform\.googleapis\.com/\w+)", r'labels."\1"', text)
    try:
        return _parser().parse(text).children[0]
    except LarkError:
        raise InvalidArgument(f'filter {text!r}: not an AIP-160 expression like display_name="x"') from None


def _predicate(node: Any, functions: Functions) -> Predicate:
    if node.data in ("expression", "sequence", "group"):
        parts = [_predicate(child, functions) for child in node.children]
        return lambda resource: all(part(resource) for part in parts)
    if node.data == "factor":
        parts = [_predicate(child, functions) for child in node.children]
        return lambda resource: any(part(resource) for part in parts)
    if node.data == "term":
        inner = _predicate(node.children[-1], functions)
        return lambda resource: not inner(resource)
    if node.data == "call":
        name, *arguments = _call(node)
        if name not in functions or len(arguments) != 1:
            known = ", ".join(f'{known}("…")' for known in functions) or "none"
            raise InvalidArgument(f"filter: {name}({', '.join(arguments)}): functions here: {known}")
        return functions[name](arguments[0])
    return _restriction(node)


def _call(node: Any) -> list[str]:
    """The function's name and its arguments."""
    name, *arguments = node.children
    return [str(name)[:-1], *(_unquote(str(argument.children[0])) for argument in arguments)]


def _path(node: Any) -> list[str]:
    return [_unquote(str(part)) for part in node.children[0].children]


def _restriction(node: Any) -> Predicate:
    path = _path(node)
    if len(node.children) == 1:  # a bare word: any text field that contains it
        word = path[0].lower()
        return lambda resource: any(word in str(value).lower() for value in resource.values())
    path, comparator, wanted = comparison(node)
    return lambda resource: _compare(_member(resource, path), comparator, wanted)


def _unquote(text: str) -> str:
    if text[:1] in "\"'" and text[-1:] == text[:1] and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _member(resource: Any, path: Sequence[str]) -> Any:
    for part in path:
        if not isinstance(resource, dict):
            return None
        snake = re.sub(r"(?<!^)([A-Z])", lambda match: "_" + match[1].lower(), part)
        resource = resource.get(part, resource.get(snake))
    return resource


def _compare(found: Any, comparator: str, wanted: str) -> bool:
    if isinstance(found, list):
        return any(_compare(item, comparator, wanted) for item in found)
    if comparator == ":":
        if wanted == "*":
            return found not in (None, {})  # an absent text is None; a label may be there and empty
        return wanted in found if isinstance(found, dict) else _equal(found, wanted)
    if comparator in ("=", "!="):
        return _equal(found, wanted) == (comparator == "=")
    if found is None:
        return False
    left, right = _comparable(found, wanted)
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[comparator]


def _equal(found: Any, wanted: str) -> bool:
    if isinstance(found, bool):
        return str(found).lower() == wanted.lower()
    if isinstance(found, (int, float)):
        left, right = _comparable(found, wanted)
        return left == right
    text = "" if found is None else str(found)
    if _TIME.match(text) and "*" not in wanted:
        left, right = _comparable(text, wanted)
        return left == right
    if "*" in wanted:
        return fnmatch.fnmatchcase(text, re.sub(r"([\[?])", r"[\1]", wanted))
    return text == wanted


def _comparable(found: Any, wanted: str) -> tuple[Any, Any]:
    if isinstance(found, (int, float)):
        try:
            return float(found), float(wanted)
        except ValueError:
            raise InvalidArgument(f"filter: {wanted!r} is no number") from None
    if _TIME.match(str(found)):
        try:
            return _time(str(found)), _time(wanted)
        except ValueError:
            pass
    return str(found), wanted


def _time(text: str) -> datetime.datetime:
    """An RFC 3339 time; without an offset it is in UTC."""
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def ordered(items: Sequence[Item], order_by: str, view: Callable[[Item], dict]) -> list[Item]:
    """The items in the order asked for, e.g. `create_time desc, display_name`; newest first when not given.

    Raises:
        InvalidArgument: A direction other than asc or desc.
    """
    result = list(items)
    for path, descending in reversed(clauses(order_by)):
        result.sort(key=lambda item: _rank(_member(view(item), path)), reverse=descending)
    return result


def clauses(order_by: str) -> list[tuple[list[str], bool]]:
    """The fields to order by, each as a path, and whether its order is descending.

    Raises:
        InvalidArgument: A clause is no field, or its direction neither asc nor desc.
    """
    found = []
    for clause in (order_by.strip() or "create_time desc").split(","):
        words = clause.split()
        if not 1 <= len(words) <= 2 or words[1:] not in ([], ["asc"], ["desc"]):
            raise InvalidArgument(f"order_by {order_by!r}: expected FIELD [asc|desc], …")
        found.append((words[0].split("."), words[1:] == ["desc"]))
    return found


def _rank(value: Any) -> tuple[float, str]:
    """Where a value stands in an order: what is absent, numbers, text; a time by when it is."""
    if isinstance(value, (int, float)):
        return (float(value), "")
    if isinstance(value, str) and _TIME.match(value):
        try:
            return (math.inf, _time(value).astimezone(datetime.UTC).isoformat(timespec="microseconds"))
        except ValueError:
            pass
    return (-math.inf, "") if value is None else (math.inf, str(value))


def page(
    items: Sequence[Item],
    page_size: int,
    page_token: str,
    question: str,
    *,
    default: int = 100,
    most: int = 1000,
) -> tuple[list[Item], str]:
    """One page and the token of the next one ("" when there is none).

    Args:
        items: All results.
        page_size: At most this many; 0: `default`; more than `most`: that many, as AIP-158 allows.
        page_token: From the previous page.
        question: What was asked (filter and order): a token of another question is refused.
        default: The size when the caller leaves it to the service.
        most: The largest size.

    Raises:
        InvalidArgument: The token is not one of ours, or of another question, or the size is negative.
    """
    start, end = window(page_size, page_token, question, default=default, most=most)
    return list(items[start:end]), next_token(end, question) if end < len(items) else ""


def window(
    page_size: int, page_token: str, question: str, *, default: int = 100, most: int = 1000
) -> tuple[int, int]:
    """Where a page begins and ends among all results; arguments and errors as of `page`."""
    if page_size < 0:
        raise InvalidArgument(f"page_size {page_size}: expected 0 or more")
    start = 0
    if page_token:
        try:
            start, asked = json.loads(base64.urlsafe_b64decode(page_token.encode()))
        except (ValueError, TypeError, binascii.Error):
            raise InvalidArgument(f"page_token {page_token!r}: not a token of this list") from None
        if not isinstance(start, int) or start < 0:
            raise InvalidArgument(f"page_token {page_token!r}: not a token of this list")
        if asked != question:
            raise InvalidArgument("page_token: belongs to a list with another filter or order")
    return start, start + min(page_size or default, most)


def next_token(end: int, question: str) -> str:
    """The token of the page that begins at `end`."""
    return base64.urlsafe_b64encode(json.dumps([end, question]).encode()).decode()
