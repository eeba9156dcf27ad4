"""What every route does with requests and answers."""

import asyncio
import base64
import json
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.bigquery.errors import BigQueryError, ConditionNotMet, Invalid
from trainwright.local.storage.resources import select

_BODY_BYTES = 64 << 20
_ROWS = 100_000  # of a page at most
# A request that waits for a job holds a thread; others must find one.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="bigquery")

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


async def in_thread(
    function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Calls a function that blocks, in one of the threads for BigQuery."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: function(*args, **kwargs))


def base_of(request: Request) -> str:
    """The URL of the API by which the client reached this server."""
    return f"https://{request.headers.get('host', 'bigquery.googleapis.com')}/bigquery/v2"


def answer(request: Request, resource: Mapping[str, Any]) -> Response:
    """A JSON answer, cut down to what the request's `fields` asks for."""
    body = json.dumps(select(resource, request.query_params.get("fields"))).encode()
    return Response(body, media_type="application/json; charset=UTF-8")


def refusal(error: BigQueryError) -> Response:
    """The answer for an error."""
    return Response(
        json.dumps(error.body()).encode(), error.status, media_type="application/json; charset=UTF-8"
    )


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        Invalid: It is none, or too long.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise Invalid(f"The request's body is longer than {_BODY_BYTES} bytes")
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Invalid("Parse Error: expected JSON") from None
    if not isinstance(value, dict):
        raise Invalid("Parse Error: expected a JSON object")
    return value


def whole(value: object, name: str, default: int, most: int | None = None) -> int:
    """A parameter that is a whole number, not below 0.

    Raises:
        Invalid: It is none.
    """
    if value in (None, ""):
        return default
    if not str(value).isdigit():
        raise Invalid(f"Invalid value for {name}: {str(value)[:50]}: expected a whole number", name)
    return min(int(str(value)), most) if most is not None else int(str(value))


def page_size(value: object) -> int:
    """`maxResults` of rows: at least 1."""
    return max(whole(value, "maxResults", _ROWS, _ROWS), 0)


def token_of(position: int) -> str:
    """The page token of a position."""
    return base64.urlsafe_b64encode(f"at {position}".encode()).decode()


def position_of(token: str | None) -> int | None:
    """The position that a page token stands for; None without one.

    Raises:
        Invalid: It is no page token.
    """
    if not token:
        return None
    try:
        word, _, number = base64.urlsafe_b64decode(token).decode().partition(" ")
        if word == "at":
            return int(number)
    except ValueError:
        pass
    raise Invalid("Invalid page token", "pageToken")


def truth(value: object) -> bool:
    """A boolean parameter of a query string or a body."""
    return value is True or str(value).lower() in ("true", "1")


def check_etag(request: Request, resource: Mapping[str, Any]) -> None:
    """Refuses a change whose `If-Match` is of another version.

    Raises:
        ConditionNotMet: It is.
    """
    wanted = request.headers.get("if-match")
    if wanted and wanted != "*" and wanted != etag(resource):
        raise ConditionNotMet("Precondition check failed: the etag is of another version")


def etag(resource: Mapping[str, Any]) -> str:
    """An entity tag of what a resource holds."""
    return base64.b64encode(
        zlib.crc32(json.dumps(resource, sort_keys=True).encode()).to_bytes(4, "big")
    ).decode()
