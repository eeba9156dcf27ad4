"""Lists as Google's APIs give them: filter (AIP-160), order_by (AIP-132) and page tokens (AIP-158).

Pure functions over the JSON form of resources. The grammar follows AIP-160 (google.aip.dev/160); its function
calls are left out, as Vertex AI documents none.
"""

import base64
import binascii
import fnmatch
import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from google.api_core.exceptions import InvalidArgument

Item = TypeVar("Item")
Predicate = Callable[[dict], bool]

_GRAMMAR = r"""
start: expression?
?expression: sequence ("AND" sequence)*
?sequence: factor+
?factor: term ("OR" term)*
?term: (NOT | MINUS)? simple
?simple: "(" expression ")" -> group
       | restriction
restriction: member (COMPARATOR value)?
member: NAME ("." (NAME | STRING))*
value: STRING | NAME_VALUE | NAME
NOT: "NOT"
MINUS: "-"
COMPARATOR: "<=" | ">=" | "!=" | "=" | "<" | ">" | ":"
STRING: /"(\\.|[^"\\])*"/ | /'(\\.|[^'\\])*'/
NAME: /(?!(AND|OR|NOT)\b)[A-Za-z_][A-Za-z0-9_\-]*/
NAME_VALUE.2: /(?<=[=<>:])\s*(?!["'(\s])[^\s()"']+/
%ignore /\s+/
"""
_MAX_PAGE = 1000


@lru_cache(maxsize=1)
def _parser() -> Any:
    from lark import Lark

    return Lark(_GRAMMAR, parser="earley", lexer="dynamic")


def compile_filter(text: str) -> Predicate:
    """A filter expression as a test on a resource's JSON (snake_case keys, enums by name).

    Args:
        text: For example `display_name="churn" AND (state=X OR labels.team:*)`. Empty: every resource.

    Raises:
        InvalidArgument: The expression does not follow AIP-160.
    """
    if not text.strip():
        return lambda resource: True
    from lark.exceptions import LarkError

    try:
        tree = _parser().parse(text)
    except LarkError:
        raise InvalidArgument(f'filter {text!r}: not an AIP-160 expression like display_name="x"') from None
    return _predicate(tree.children[0])


def _predicate(node: Any) -> Predicate:
    if node.data in ("expression", "sequence", "group"):
        parts = [_predicate(child) for child in node.children]
        return lambda resource: all(part(resource) for part in parts)
    if node.data == "factor":
        parts = [_predicate(child) for child in node.children]
        return lambda resource: any(part(resource) for part in parts)
    if node.data == "term":
        inner = _predicate(node.children[-1])
        return lambda resource: not inner(resource)
    return _restriction(node)


def _restriction(node: Any) -> Predicate:
    path = [_unquote(str(part)) for part in node.children[0].children]
    if len(node.children) == 1:  # a bare word: any text field that contains it
        word = path[0].lower()
        return lambda resource: any(word in str(value).lower() for value in resource.values())
    comparator = str(node.children[1])
    wanted = _unquote(str(node.children[2].children[0]).strip())
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
            return found not in (None, "", {})
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
    if "*" in wanted:
        return fnmatch.fnmatchcase(text, re.sub(r"([\[?])", r"[\1]", wanted))
    return text == wanted


def _comparable(found: Any, wanted: str) -> tuple[Any, Any]:
    if isinstance(found, (int, float)):
        try:
            return float(found), float(wanted)
        except ValueError:
            raise InvalidArgument(f"filter: {wanted!r} is no number") from None
    return str(found), wanted  # RFC 3339 times in UTC compare as text


def ordered(items: Sequence[Item], order_by: str, view: Callable[[Item], dict]) -> list[Item]:
    """The items in the order asked for, e.g. `create_time desc, display_name`; newest first when not given.

    Raises:
        InvalidArgument: A direction other than asc or desc.
    """
    result = list(items)
    for clause in reversed(
        [part.strip() for part in (order_by or "create_time desc").split(",") if part.strip()]
    ):
        field, _, direction = clause.partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc"):
            raise InvalidArgument(f"order_by {order_by!r}: expected FIELD [asc|desc], …")
        path = field.split(".")
        result.sort(
            key=lambda item: "" if (value := _member(view(item), path)) is None else str(value),
            reverse=direction.strip().lower() == "desc",
        )
    return result


def page(items: Sequence[Item], page_size: int, page_token: str, question: str) -> tuple[list[Item], str]:
    """One page and the token of the next one ("" when there is none).

    Args:
        items: All results.
        page_size: At most this many; 0 = 100; more than 1,000 is 1,000, as AIP-158 allows.
        page_token: From the previous page.
        question: What was asked (filter and order): a token of another question is refused.

    Raises:
        InvalidArgument: The token is not one of ours, or of another question, or the size is negative.
    """
    if page_size < 0:
        raise InvalidArgument(f"page_size {page_size}: expected 0 or more")
    start = 0
    if page_token:
        try:
            start, asked = json.loads(base64.urlsafe_b64decode(page_token.encode()))
        except (ValueError, TypeError, binascii.Error):
            raise InvalidArgument(f"page_token {page_token!r}: not a token of this list") from None
        if asked != question:
            raise InvalidArgument("page_token: belongs to a list with another filter or order")
    end = start + min(page_size or 100, _MAX_PAGE)
    more = end < len(items)
    token = base64.urlsafe_b64encode(json.dumps([end, question]).encode()).decode() if more else ""
    return list(items[start:end]), token
