"""The HTTP application: REST of Vertex AI, access tokens, the way to storage and BigQuery."""

import asyncio
import hmac
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any

from google.api import httpbody_pb2
from google.api_core import exceptions
from google.protobuf.message import Message

from .credentials import CredentialRefused, GrantRefused, ServiceAccount
from .dispatch import Dispatcher, unimplemented
from .proxy import is_google_api
from .routes import Routes, unserved_method
from .signed_urls import checked_request, is_signed
from .transcode import enums_as_integers, error_json, parse_request, to_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_MAX_BODY = 64 * 1024 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BIGQUERY_PATHS = ("/bigquery/", "/upload/bigquery/", "/resumable/upload/bigquery/")
_STORAGE_PATHS = ("/storage/", "/upload/storage/", "/download/storage/", "/batch/storage/")


class HttpFrontend:
    """A raw ASGI application; sorts requests by host, after their credential was checked.

    Args:
        dispatcher: Calls the services.
        routes: The table of methods.
        account: Checks credentials and grants access tokens.
        storage_app: Serves Cloud Storage.
        bigquery_app: Serves BigQuery.
        token: The first segment of the path by which gcsfs and others without credentials reach storage.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        routes: Routes,
        account: ServiceAccount,
        storage_app: App,
        bigquery_app: App,
        token: str,
    ) -> None:
        self._dispatcher = dispatcher
        self._routes = routes
        self._account = account
        self._storage_app = storage_app
        self._bigquery_app = bigquery_app
        self._storage_key = f"/{token}/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; see the ASGI specification, version 3."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = urllib.parse.urlsplit(f"//{headers.get('host', '')}").hostname or ""
        try:
            await self._serve(host, headers, scope, receive, send)
        except exceptions.GoogleAPICallError as error:
            await _send(send, *error_json(error))
        except _Disconnected:
            pass

    async def _serve(
        self, host: str, headers: Mapping[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        path = scope["path"]
        if host not in _LOOPBACK and not is_google_api(host):
            raise exceptions.NotFound(f"local Vertex AI does not stand for the host {host!r}")
        storage_key = path[: len(self._storage_key)].encode()
        has_key = host in _LOOPBACK and hmac.compare_digest(storage_key, self._storage_key)
        query = scope["query_string"].decode("latin-1")
        if (has_key or host == "storage.googleapis.com") and is_signed(query):
            await self._storage_app(self._signed(scope, query, headers, has_key), receive, send)
            return
        if has_key:
            await self._storage_app(scope, receive, send)
            return
        if path == "/token" and (host in _LOOPBACK or host == "oauth2.googleapis.com"):
            await self._grant(receive, send)
            return
        try:
            self._account.check(headers.get("authorization"))
        except CredentialRefused as refusal:
            raise exceptions.Unauthenticated(f"Request refused: {refusal}", details=refusal.details) from None
        state = {**scope.get("state", {}), "authenticated": True}
        if _is_storage(host, path):
            await self._storage_app({**scope, "scheme": "https", "state": state}, receive, send)
        elif _is_bigquery(host, path):
            await self._bigquery_app({**scope, "state": state}, receive, send)
        elif host in _LOOPBACK or "aiplatform" in host or host.startswith("cloudresourcemanager."):
            await self._call(headers, scope, receive, send)
        elif host.startswith("iamcredentials."):
            # google-auth asks for the account's trust boundary in the background; there is none.
            raise exceptions.NotFound("local Vertex AI keeps no IAM credentials")
        else:
            raise exceptions.MethodNotImplemented(f"{host} is not served by local Vertex AI")

    def _signed(self, scope: Scope, query: str, headers: Mapping[str, str], has_key: bool) -> Scope:
        """The request of the JSON API that a signed URL stands for."""
        path = scope["raw_path"].decode("latin-1")
        path = path[len(self._storage_key) - 1 :] if has_key else path
        method, path, query = checked_request(scope["method"], path, query, headers, self._account.has_signed)
        state = {**scope.get("state", {}), "authenticated": True}
        raw = {"raw_path": path.encode(), "query_string": query.encode()}
        return {**scope, **raw, "method": method, "path": urllib.parse.unquote(path), "state": state}

    async def _grant(self, receive: Receive, send: Send) -> None:
        form = dict(urllib.parse.parse_qsl((await _read_body(receive)).decode("latin-1")))
        try:
            status, answer = 200, self._account.grant(form)
        except GrantRefused as refusal:
            status, answer = 400, {"error": refusal.error, "error_description": str(refusal)}
        await _send(send, status, json.dumps(answer).encode())

    async def _call(self, headers: Mapping[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        verb, path = scope["method"], scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        found = await self._dispatcher.lookup(self._routes.by_path, verb, path)
        if found is None or found[0].streaming:
            name = await self._dispatcher.lookup(unserved_method, verb, path)
            if name is None:
                raise exceptions.NotFound(f"{verb} {path} is no method that local Vertex AI knows")
            raise unimplemented(name)
        method, binding, variables = found
        request = parse_request(
            method.request,
            variables=variables,
            query=query,
            field_of_body=binding.body,
            body=await _read_body(receive),
            content_type=headers.get("content-type", ""),
        )
        version = "v1beta1" if path.startswith("/v1beta1/") else "v1"
        user_agent = f"{headers.get('x-goog-api-client', '')} {headers.get('user-agent', '')}"
        more: dict[str, str] = {}
        call = self._dispatcher.call(method, version, request, user_agent, response_headers=more)
        answer: Message = await _unless_disconnected(call, receive)
        if isinstance(answer, httpbody_pb2.HttpBody):  # its data is the body itself
            await _send(send, 200, answer.data, content_type=answer.content_type, headers=more)
            return
        version = self._dispatcher.spoken_version(answer, version)
        body = to_json(answer, version=version, integers=enums_as_integers(query))
        await _send(send, 200, body, headers=more)


class _Disconnected(Exception):
    """The client has gone; there is nobody to answer."""


def _is_storage(host: str, path: str) -> bool:
    if host == "www.googleapis.com":
        return path.startswith(_STORAGE_PATHS)
    return host == "storage.googleapis.com" or host.endswith(".storage.googleapis.com")


def _is_bigquery(host: str, path: str) -> bool:
    if host == "www.googleapis.com":
        return path.startswith(_BIGQUERY_PATHS)
    return host == "bigquery.googleapis.com"


async def _unless_disconnected(call: Coroutine[Any, Any, Message], receive: Receive) -> Message:
    """The call's answer; the call is given up, and a held one let go, when the client hangs up.

    Raises:
        _Disconnected: It did.
    """
    answer = asyncio.create_task(call)
    gone = asyncio.ensure_future(receive())  # the body has been read: what comes next is the disconnection
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise _Disconnected
    finally:
        answer.cancel()
        gone.cancel()


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            raise exceptions.InvalidArgument(f"the request's body is longer than {_MAX_BODY} bytes")
        if not message.get("more_body"):
            return bytes(body)


async def _send(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json; charset=UTF-8",
    headers: Mapping[str, str] | None = None,
) -> None:
    pairs = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
