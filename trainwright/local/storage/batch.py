"""Several requests about metadata in one.

Source: Cloud Storage documentation, "Batch requests".
"""

import secrets
from collections.abc import MutableMapping
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from trainwright.local.storage.errors import Invalid, NotImplementedHere
from trainwright.local.storage.exchange import BASE, body_of

_CALLS = 1000  # what google-cloud-storage 3.17.1 packs into one batch (`Batch._MAX_BATCH_SIZE`)


class BatchRoute:
    """Runs the requests of a batch one after the other.

    Args:
        routes: What answers them.
        token: The path prefix that a client's URLs carry, and that requests in a batch may carry as well.
    """

    def __init__(self, routes: ASGIApp, token: str) -> None:
        self._routes = routes
        self._prefix = f"/{token}/"

    async def post(self, request: Request) -> Response:
        """Answers each part with a part."""
        message = Message()
        message["Content-Type"] = request.headers.get("content-type", "")
        boundary = message.get_param("boundary")
        if not isinstance(boundary, str) or not boundary:
            raise Invalid("Missing multipart boundary in the Content-Type header")
        parts = (b"\n" + await body_of(request)).split(b"\n--" + boundary.encode())[1:]
        calls = [part for part in parts if not part.startswith(b"--")]
        if len(calls) > _CALLS:
            raise Invalid(f"The batch holds {len(calls)} calls, expected at most {_CALLS}.")
        mark = f"batch_{secrets.token_hex(16)}"
        answers = [await self._part(request, call, number) for number, call in enumerate(calls, start=1)]
        body = b"".join(f"--{mark}\r\n".encode() + each for each in answers) + f"--{mark}--\r\n".encode()
        # Not quoted: gcsfs 2026.10 takes everything behind "boundary=" for the boundary.
        return Response(body, media_type=f"multipart/mixed; boundary={mark}")

    async def _part(self, outer: Request, part: bytes, number: int) -> bytes:
        outer_head, _, inner = part.replace(b"\r\n", b"\n").partition(b"\n\n")
        head, _, body = inner.partition(b"\n\n")
        request_line, *header_lines = head.strip().split(b"\n")
        words = request_line.split()
        if len(words) != 3:
            raise Invalid(f"Failed to parse the request of call {number} of the batch")
        headers = _headers(header_lines)
        status, answer_headers, content = await self._call(
            outer, words[0], words[1], headers, body.rstrip(b"\n")
        )
        identity = _headers(outer_head.split(b"\n")).get(b"content-id", b"<%d>" % number)
        lines = [
            b"Content-Type: application/http",
            b"Content-ID: <response-" + identity.strip(b"<>") + b">",
            b"",
            f"HTTP/1.1 {status} {_phrase(status)}".encode(),
            *(name + b": " + value for name, value in answer_headers),
            b"",
            content,
            b"",
        ]
        return b"\r\n".join(lines)

    async def _call(
        self, outer: Request, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Sends one request through the routes, in this process."""
        url = urlsplit(target.decode("ascii", "replace"))
        path = "/" + url.path.removeprefix(self._prefix).lstrip("/")
        if path.startswith(("/upload/", "/download/", "/batch")) or "alt=media" in url.query:
            raise NotImplementedHere("A batch can hold neither uploads nor downloads nor batches.")
        scope: MutableMapping[str, Any] = {
            **{
                key: outer.scope[key]
                for key in ("type", "asgi", "http_version", "scheme", "server", "client", BASE)
            },
            "method": method.decode("ascii", "replace").upper(),
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": url.query.encode(),
            "headers": list(headers.items()),
            "state": {},
        }
        status, answer_headers, content = 500, [], b""

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status, answer_headers, content
            if message["type"] == "http.response.start":
                status, answer_headers = message["status"], list(message["headers"])
            else:
                content += message.get("body", b"")

        await self._routes(scope, receive, send)
        return status, answer_headers, content


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in lines if b":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _phrase(status: int) -> str:
    return {200: "OK", 204: "No Content"}.get(status, "Error")
