"""Requests that carry the content of an object: in one piece, with its metadata, or resumably.

Sources: Cloud Storage JSON API reference, "Objects: insert"; Cloud Storage documentation, "Perform resumable
uploads".
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.storage.attributes import object_attributes
from trainwright.local.storage.database import StoredObject, StoredUpload
from trainwright.local.storage.errors import Invalid
from trainwright.local.storage.exchange import answer, base_of, in_thread, json_of, path_part, stream_into
from trainwright.local.storage.files import StagedFile
from trainwright.local.storage.object_routes import refuse_keys
from trainwright.local.storage.objects import Checksums, Target
from trainwright.local.storage.preconditions import Preconditions, whole_number
from trainwright.local.storage.related import RelatedParts
from trainwright.local.storage.resources import object_resource
from trainwright.local.storage.storage import Storage
from trainwright.local.storage.uploads import ContentRange, parse_content_range

# Such an object is written sooner than another thread could begin; larger ones would hold up other requests.
_SMALL = 16384


class UploadRoutes:
    """The ways to upload.

    Args:
        storage: The buckets.
    """

    def __init__(self, storage: Storage) -> None:
        self._objects = storage.objects
        self._uploads = storage.uploads
        self._sessions: dict[str, tuple[asyncio.Lock, int]] = {}

    async def post(self, request: Request) -> Response:
        """Objects: insert, by `uploadType`; with `upload_id` a part of a resumable upload."""
        refuse_keys(request)
        kind = request.query_params.get("uploadType")
        if "upload_id" in request.query_params:
            return await self.resume(request)
        if kind == "media":
            return await self._simple(request)
        if kind == "multipart":
            return await self._multipart(request)
        if kind == "resumable":
            return await self._start(request)
        raise Invalid(
            f"Invalid value for uploadType: '{(kind or '')[:50]}': expected media, multipart or resumable"
        )

    async def resume(self, request: Request) -> Response:
        """A part of a resumable upload, or the question how much has arrived."""
        wanted = parse_content_range(request.headers.get("content-range"))
        async with self._session(request) as upload:
            if upload.generation is not None:
                stored = await in_thread(self._uploads.finished, upload)
                return answer(request, object_resource(stored, base_of(request)))
            declared = upload.request["size"]
            if None not in (declared, wanted.total) and declared != wanted.total:
                raise Invalid(f"The upload was announced with {declared} bytes, not {wanted.total}.")
            staged = await in_thread(self._uploads.staged, upload.id)
            if wanted.first is not None:
                await self._receive(request, upload, staged, wanted)
            whole = "content-range" not in request.headers
            if not whole and (wanted.total is None or staged.size < wanted.total):
                return _incomplete(staged)
            if staged.size != (wanted.total if wanted.total is not None else declared or staged.size):
                raise Invalid(f"{staged.size} bytes have arrived of an upload of {wanted.total or declared}.")
            stored = await in_thread(self._uploads.finish, upload, _stated(request))
        return answer(request, object_resource(stored, base_of(request)))

    async def cancel(self, request: Request) -> Response:
        """Ends a resumable upload; answered with 499, as by Google."""
        async with self._session(request) as upload:
            await in_thread(self._uploads.cancel, upload.id)
        return Response(status_code=499)

    async def _simple(self, request: Request) -> Response:
        resource = {"contentEncoding": request.query_params.get("contentEncoding")}
        target = _target(request, {})
        attributes = _attributes(resource, request.headers.get("content-type"))
        with self._objects.stage() as staged:
            rest = await stream_into(request, staged.write)
            if not staged.size and len(rest) <= _SMALL:
                stored = self._insert(staged, rest, target, attributes, _stated(request))
            else:
                stored = await in_thread(self._insert, staged, rest, target, attributes, _stated(request))
        return answer(request, object_resource(stored, base_of(request)))

    async def _multipart(self, request: Request) -> Response:
        parts = RelatedParts(request.headers.get("content-type", ""))
        with self._objects.stage() as staged:
            rest = await stream_into(request, lambda block: staged.write(parts.feed(block)))
            rest = parts.feed(rest) + parts.finish()
            target = _target(request, parts.resource)
            attributes = _attributes(parts.resource, parts.content_type)
            checksums = _stated(request, parts.resource)
            stored = await in_thread(self._insert, staged, rest, target, attributes, checksums)
        return answer(request, object_resource(stored, base_of(request)))

    def _insert(
        self,
        staged: StagedFile,
        rest: bytes,
        target: Target,
        attributes: dict[str, Any],
        checksums: Checksums,
    ) -> StoredObject:
        staged.write(rest)
        return self._objects.insert(target, staged, attributes, checksums)

    async def _start(self, request: Request) -> Response:
        resource = await json_of(request)
        target = _target(request, resource)
        attributes = _attributes(resource, request.headers.get("x-upload-content-type"))
        size = whole_number(request.headers, "x-upload-content-length")
        checksums = _stated(request, resource)
        upload_id = await in_thread(
            self._uploads.start, target, attributes, checksums, size, request.query_params
        )
        query = URL(scope=request.scope).include_query_params(upload_id=upload_id).query
        location = f"{base_of(request)}/upload/storage/v1/b/{target.bucket}/o?{query}"
        return Response(headers={"location": location, "x-guploader-uploadid": upload_id})

    async def _receive(
        self, request: Request, upload: StoredUpload, staged: StagedFile, wanted: ContentRange
    ) -> None:
        """Appends what is new in a request's body; on a full disk the session ends, so that its bytes go."""
        length = request.headers.get("content-length")
        if wanted.last is not None and length not in (None, str(wanted.last + 1 - (wanted.first or 0))):
            raise Invalid(f"The body's {length} bytes are not those of Content-Range.")
        skip = staged.size - (wanted.first or 0)
        if skip < 0:
            raise Invalid(f"The upload goes on at byte {staged.size}, not at {wanted.first}.")

        def write(block: bytes) -> None:
            nonlocal skip
            skipped = min(skip, len(block))
            skip -= skipped
            staged.write(block[skipped:])

        try:
            try:
                await in_thread(write, await stream_into(request, write))
            finally:
                await in_thread(staged.close)
        except OSError:
            await in_thread(self._uploads.cancel, upload.id)
            raise

    @asynccontextmanager
    async def _session(self, request: Request) -> AsyncIterator[StoredUpload]:
        """The request's session, which no other request uses meanwhile."""
        upload_id = request.query_params.get("upload_id", "")
        lock, users = self._sessions.get(upload_id, (asyncio.Lock(), 0))
        self._sessions[upload_id] = lock, users + 1
        try:
            async with lock:
                yield await in_thread(self._uploads.get, upload_id)
        finally:
            users = self._sessions[upload_id][1] - 1
            if users:
                self._sessions[upload_id] = lock, users
            else:
                del self._sessions[upload_id]


def _incomplete(staged: StagedFile) -> Response:
    headers = {"range": f"bytes=0-{staged.size - 1}"} if staged.size else {}
    return Response(status_code=308, headers=headers)


def _target(request: Request, resource: Mapping[str, Any]) -> Target:
    query = request.query_params
    name = query.get("name") or resource.get("name")
    if not isinstance(name, str) or not name:
        raise Invalid("Required: an object's name")
    return Target(path_part(request, "bucket"), name, None, Preconditions.of(query))


def _attributes(resource: Mapping[str, Any], content_type: str | None) -> dict[str, Any]:
    return object_attributes({**resource, "contentType": resource.get("contentType") or content_type})


def _stated(request: Request, resource: Mapping[str, Any] | None = None) -> Checksums:
    """The checksums in the metadata, in `X-Goog-Hash` or in `Content-MD5`."""
    found = {"md5": request.headers.get("content-md5")}
    for part in request.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        found[kind] = value or None
    given = resource or {}
    return Checksums(given.get("md5Hash") or found.get("md5"), given.get("crc32c") or found.get("crc32c"))
