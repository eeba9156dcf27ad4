"""Requests about objects, save uploads."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.storage import listing
from trainwright.local.storage.attributes import object_attributes
from trainwright.local.storage.downloads import check_tags, content_answer
from trainwright.local.storage.errors import ApiError, Invalid, NotImplementedHere
from trainwright.local.storage.exchange import answer, base_of, in_thread, json_of, page_limit, path_part
from trainwright.local.storage.objects import Target
from trainwright.local.storage.preconditions import Preconditions, whole_number
from trainwright.local.storage.resources import object_etag, object_resource, select
from trainwright.local.storage.storage import Storage


class ObjectRoutes:
    """One method per operation of the JSON API; see its reference, "Objects".

    Args:
        storage: The buckets.
    """

    def __init__(self, storage: Storage) -> None:
        self._objects = storage.objects

    async def get(self, request: Request) -> Response:
        """Objects: get, of the metadata or with `alt=media` of the content."""
        if request.query_params.get("alt") == "media":
            return await self.download(request)
        stored = await in_thread(
            self._objects.get, _target(request), reading=True, digests=_wants_digests(request)
        )
        check_tags(request.headers, stored)
        return answer(request, object_resource(stored, base_of(request)), {"etag": object_etag(stored)})

    async def download(self, request: Request) -> Response:
        """Objects: get, of the content."""
        refuse_keys(request)
        # Not in a thread: a small object is in memory sooner than another thread could begin.
        stored, file = self._objects.open(_target(request), reading=True)
        try:
            check_tags(request.headers, stored)
            return await content_answer(stored, file, request.method, request.headers)
        except ApiError:
            file.close()
            raise

    async def list(self, request: Request) -> Response:
        """Objects: list. `versions` adds nothing: only live versions are kept."""
        query = request.query_params
        if _is_true(query, "softDeleted"):
            raise NotImplementedHere("Local Cloud Storage keeps no deleted objects: leave softDeleted out.")
        selection = listing.Selection(
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            trailing_delimiter=_is_true(query, "includeTrailingDelimiter"),
            lower=max(query.get("startOffset", ""), listing.read_token(query.get("pageToken", ""))),
            upper=query.get("endOffset", ""),
            glob=query.get("matchGlob", ""),
            limit=page_limit(query),
        )
        found, page = await in_thread(
            self._objects.list, path_part(request, "bucket"), selection, digests=_wants_digests(request)
        )
        body: dict[str, object] = {"kind": "storage#objects"}
        if found:
            body["items"] = [object_resource(stored, base_of(request)) for stored in found]
        if page.prefixes:
            body["prefixes"] = page.prefixes
        if page.rest is not None:
            body["nextPageToken"] = listing.write_token(page.rest)
        return answer(request, body)

    async def patch(self, request: Request) -> Response:
        """Objects: patch."""
        return await self._update(request, merge=True)

    async def put(self, request: Request) -> Response:
        """Objects: update."""
        return await self._update(request, merge=False)

    async def delete(self, request: Request) -> Response:
        """Objects: delete."""
        await in_thread(self._objects.delete, _target(request))
        return Response(status_code=204)

    async def compose(self, request: Request) -> Response:
        """Objects: compose."""
        refuse_keys(request)
        body = await json_of(request)
        target = _target(request)
        components = body.get("sourceObjects")
        if not isinstance(components, list):
            raise Invalid("Invalid value for sourceObjects: expected a list")
        sources = [_component(target.bucket, each) for each in components]
        attributes = object_attributes(_mapping(body, "destination"))
        consumed = body.get("deleteSourceObjects") is True
        stored = await in_thread(self._objects.compose, sources, target, attributes, delete_sources=consumed)
        return answer(request, object_resource(stored, base_of(request)))

    async def copy(self, request: Request) -> Response:
        """Objects: copy."""
        refuse_keys(request)
        body = await json_of(request)
        stored = await in_thread(self._objects.copy, _source(request), _destination(request), body)
        return answer(request, object_resource(stored, base_of(request)))

    async def rewrite(self, request: Request) -> Response:
        """Objects: rewrite, always done in one request."""
        refuse_keys(request)
        body = await json_of(request)
        stored = await in_thread(self._objects.copy, _source(request), _destination(request), body)
        done = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(stored.size),
            "objectSize": str(stored.size),
            "done": True,
            "resource": object_resource(stored, base_of(request)),
        }
        return answer(request, done)

    async def move(self, request: Request) -> Response:
        """Objects: move."""
        stored = await in_thread(self._objects.move, _source(request), _destination(request))
        return answer(request, object_resource(stored, base_of(request)))

    async def _update(self, request: Request, *, merge: bool) -> Response:
        body = await json_of(request)
        stored = await in_thread(self._objects.update, _target(request), body, merge=merge)
        return answer(request, object_resource(stored, base_of(request)))


def refuse_keys(request: Request) -> None:
    """Refuses what would have to be encrypted with a key of the user.

    Raises:
        NotImplementedHere: The request names such a key.
    """
    named = any(name.startswith("x-goog-encryption-") for name in request.headers)
    if named or any(request.query_params.get(name) for name in ("kmsKeyName", "destinationKmsKeyName")):
        raise NotImplementedHere(
            "Local Cloud Storage does not encrypt objects with keys of yours; leave the key out."
        )


def _mapping(resource: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = resource.get(name)
    if value is not None and not isinstance(value, dict):
        raise Invalid(f"Invalid value for {name}: expected an object")
    return value or {}


def _is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"  # google-cloud-storage writes Python's "True"


def _wants_digests(request: Request) -> bool:
    """Whether the answer will show checksums: those of another process's large file take their time."""
    both = {"md5Hash": "", "crc32c": ""}
    shown = str(select({**both, "items": [both]}, request.query_params.get("fields")))
    return "md5Hash" in shown or "crc32c" in shown


def _target(request: Request) -> Target:
    query = request.query_params
    bucket, name = path_part(request, "bucket"), path_part(request, "object")
    return Target(bucket, name, whole_number(query, "generation"), Preconditions.of(query))


def _source(request: Request) -> Target:
    query = request.query_params
    bucket, name = path_part(request, "bucket"), path_part(request, "object")
    return Target(bucket, name, whole_number(query, "sourceGeneration"), Preconditions.of(query, "Source"))


def _destination(request: Request) -> Target:
    bucket = path_part(request, "to_bucket" if "to_bucket" in request.path_params else "bucket")
    return Target(bucket, path_part(request, "to_object"), None, Preconditions.of(request.query_params))


def _component(bucket: str, source: object) -> Target:
    if not isinstance(source, dict) or not isinstance(source.get("name"), str):
        raise Invalid("Invalid value for sourceObjects: expected objects with a name")
    conditions = Preconditions.of(
        {
            name: str(value)
            for name, value in _mapping(source, "objectPreconditions").items()
            if value is not None
        }
    )
    texts = {"generation": str(source["generation"])} if source.get("generation") is not None else {}
    return Target(bucket, source["name"], whole_number(texts, "generation"), conditions)
