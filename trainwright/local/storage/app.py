"""The JSON API of Cloud Storage as an ASGI application: who may ask, and which method answers."""

import hmac
import sqlite3
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trainwright.local.storage.batch import BatchRoute
from trainwright.local.storage.bucket_routes import BucketRoutes
from trainwright.local.storage.errors import (
    ApiError,
    Invalid,
    NotImplementedHere,
    RangeNotSatisfiable,
    Required,
    from_failure,
)
from trainwright.local.storage.exchange import BASE, refusal
from trainwright.local.storage.names import InvalidName
from trainwright.local.storage.object_routes import ObjectRoutes
from trainwright.local.storage.storage import Storage
from trainwright.local.storage.upload_routes import UploadRoutes

_BUCKETS = "/storage/v1/b"
_BUCKET = _BUCKETS + "/{bucket}"
_OBJECTS = _BUCKET + "/o"
_OBJECT = _OBJECTS + "/{object}"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def storage_app(storage: Storage, *, token: str) -> ASGIApp:
    """The JSON API under `/<token>/storage/v1`, `/<token>/upload`, `/<token>/download` and `/<token>/batch`.

    A request whose ASGI scope has `scope["state"]["authenticated"]` set to True (its sender has been checked)
    may leave the token out; every other request without the token is answered with 401. Object names are read
    from `scope["raw_path"]`, since "/" within them is percent-encoded. URLs in answers (`mediaLink`, the
    session of a resumable upload) lead back the way the request came: same scheme, `Host` and prefix.

    Args:
        storage: The buckets.
        token: Not empty, without "/".
    """
    routes = _routes(storage, token)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await routes(scope, receive, send)
            return
        try:
            inner = _admitted(scope, token)
        except ApiError as error:
            await refusal(error)(scope, receive, send)
            return
        await routes(inner, receive, send)

    return app


def _admitted(scope: Scope, token: str) -> Scope:
    """The scope of a request that may be answered, with the path behind the token, still percent-encoded.

    Raises:
        Required: It carries no token.
    """
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    first, _, rest = raw.decode("ascii", "replace").lstrip("/").partition("/")
    prefixed = hmac.compare_digest(first.encode(), token.encode())
    if not prefixed and (scope.get("state") or {}).get("authenticated") is not True:
        raise Required("Anonymous caller: the request does not carry the token of this local Cloud Storage.")
    path = "/" + (rest.lstrip("/") if prefixed else f"{first}/{rest}" if rest else first)
    base = _origin(scope) + (f"/{token}" if prefixed else "")
    return {**scope, "path": path, "raw_path": path.encode(), "root_path": "", BASE: base}


def _origin(scope: Scope) -> str:
    """Scheme and host by which the client reached this server."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    if not host:
        address, port = scope.get("server") or ("127.0.0.1", 80)
        host = f"{address}:{port}"
    # A proxy that ends TLS for Google's hosts may pass requests on without it.
    scheme = "https" if host.partition(":")[0].endswith(".googleapis.com") else scope.get("scheme", "http")
    return f"{scheme}://{host}"


def _routes(storage: Storage, token: str) -> Starlette:
    buckets, objects, uploads = BucketRoutes(storage), ObjectRoutes(storage), UploadRoutes(storage)
    upload = "/upload" + _OBJECTS
    app = Starlette(
        routes=[
            Route(_BUCKETS, buckets.list, methods=["GET"]),
            Route(_BUCKETS, buckets.insert, methods=["POST"]),
            Route(_BUCKET, buckets.get, methods=["GET"]),
            Route(_BUCKET, buckets.patch, methods=["PATCH"]),
            Route(_BUCKET, buckets.put, methods=["PUT"]),
            Route(_BUCKET, buckets.delete, methods=["DELETE"]),
            Route(_BUCKET + "/iam", buckets.get_policy, methods=["GET"]),
            Route(_BUCKET + "/iam", buckets.set_policy, methods=["PUT"]),
            Route(_BUCKET + "/iam/testPermissions", buckets.test_permissions, methods=["GET"]),
            Route(_OBJECTS, objects.list, methods=["GET"]),
            Route(_OBJECT, objects.get, methods=["GET"]),
            Route(_OBJECT, objects.patch, methods=["PATCH"]),
            Route(_OBJECT, objects.put, methods=["PUT"]),
            Route(_OBJECT, objects.delete, methods=["DELETE"]),
            Route("/download" + _OBJECT, objects.download, methods=["GET"]),
            Route(_OBJECT + "/compose", objects.compose, methods=["POST"]),
            Route(_OBJECT + "/copyTo/b/{to_bucket}/o/{to_object}", objects.copy, methods=["POST"]),
            Route(_OBJECT + "/rewriteTo/b/{to_bucket}/o/{to_object}", objects.rewrite, methods=["POST"]),
            Route(_OBJECT + "/moveTo/o/{to_object}", objects.move, methods=["POST"]),
            Route(upload, uploads.post, methods=["POST"]),
            Route(upload, uploads.resume, methods=["PUT"]),
            Route(upload, uploads.cancel, methods=["DELETE"]),
        ],
        exception_handlers={
            ApiError: _refuse,
            InvalidName: _refuse,
            OSError: _refuse,
            sqlite3.Error: _refuse,
            ClientDisconnect: _refuse,
        },
    )
    batch = BatchRoute(app, token)
    app.router.routes += [
        Route("/batch", batch.post, methods=["POST"]),
        Route("/batch/storage/v1", batch.post, methods=["POST"]),
        Route("/{rest:path}", _unknown, methods=_METHODS),
    ]
    return app


async def _refuse(request: Request, failure: Exception) -> Response:
    if isinstance(failure, ClientDisconnect):
        return Response(status_code=499)  # nobody is there to read it
    if isinstance(failure, InvalidName):
        failure = Invalid(str(failure))
    if isinstance(failure, OSError | sqlite3.Error):
        failure = from_failure(failure)
    assert isinstance(failure, ApiError)  # the handlers are registered for nothing else
    answer = refusal(failure)
    if isinstance(failure, RangeNotSatisfiable):
        answer.headers["content-range"] = f"bytes */{failure.size}"
    return answer


async def _unknown(request: Request) -> Response:
    path: Any = request.scope["path"]
    raise NotImplementedHere(f"Local Cloud Storage does not implement {request.method} {str(path)[:200]}")
