"""What every route does with requests and answers: where the client is, bodies, threads."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.storage.errors import ApiError, Invalid
from trainwright.local.storage.files import BLOCK
from trainwright.local.storage.preconditions import whole_number
from trainwright.local.storage.resources import select

BASE = "trainwright.storage.base"  # key in the ASGI scope: see `base_of`
_PAGE = 1000  # Cloud Storage JSON API reference, "Objects: list"
_BODY_BYTES = 8 << 20  # of a request that is read whole: metadata and batches
# Not the event loop's own threads: calls that wait for long elsewhere in the process must not delay storage.
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="storage")

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


async def in_thread(
    function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Calls a function that blocks, in one of the threads for storage."""
    call = asyncio.get_running_loop().run_in_executor(_THREADS, lambda: function(*args, **kwargs))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])  # it uses files that the caller is about to close
        raise


def base_of(request: Request) -> str:
    """How the client reached this server: scheme, host and path prefix, without "/" at the end."""
    return str(request.scope[BASE])


def path_part(request: Request, name: str) -> str:
    """A decoded part of the path: a bucket's or object's name.

    Raises:
        Invalid: It is no UTF-8.
    """
    try:
        return unquote(request.path_params[name], errors="strict")
    except UnicodeDecodeError:
        raise Invalid(f"Invalid {name} name: expected UTF-8") from None


def answer(
    request: Request, resource: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer, cut down to what the request's `fields` asks for."""
    body = json.dumps(select(resource, request.query_params.get("fields"))).encode()
    return Response(body, media_type="application/json; charset=UTF-8", headers=dict(headers or {}))


def refusal(error: ApiError) -> Response:
    """The answer for an error; 304 has no body."""
    if error.status == 304:
        return Response(status_code=304)
    return Response(
        json.dumps(error.body()).encode(), error.status, media_type="application/json; charset=UTF-8"
    )


async def body_of(request: Request) -> bytes:
    """The whole body of a request that carries no content of an object.

    Raises:
        Invalid: It is longer than such a body can be.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise Invalid(f"The request's body is longer than {_BODY_BYTES} bytes.")
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object; no bytes stand for an empty one.

    Raises:
        Invalid: It is none.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("Parse Error: expected JSON") from None
    if not isinstance(value, dict):
        raise Invalid("Parse Error: expected a JSON object")
    return value


def page_limit(query: Mapping[str, str]) -> int:
    """How many entries a page of a listing may have: `maxResults`, at most 1000, the default as well.

    Raises:
        Invalid: It is no number above 0.
    """
    limit = whole_number(query, "maxResults")
    if limit is not None and limit < 0:
        raise Invalid(f"Invalid value for maxResults: {limit}: expected 1 to {_PAGE}")
    return min(limit or _PAGE, _PAGE)


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body; see `parse_object`."""
    return parse_object(await body_of(request))


async def stream_into(request: Request, write: Callable[[bytes], object]) -> bytes:
    """Hands a request's body on in blocks, in threads, and returns the rest, less than a block.

    While one block is written the next one is received.
    """
    chunks: list[bytes] = []
    size = 0
    writing: asyncio.Task[object] | None = None
    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size >= BLOCK:
                if writing is not None:
                    await writing
                writing = asyncio.create_task(in_thread(write, b"".join(chunks)))
                chunks, size = [], 0
    finally:
        if writing is not None:
            await writing
    return b"".join(chunks)
