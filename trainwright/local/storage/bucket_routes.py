"""Requests about buckets."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.storage import listing
from trainwright.local.storage.database import StoredBucket
from trainwright.local.storage.errors import Invalid
from trainwright.local.storage.exchange import answer, base_of, in_thread, json_of, page_limit, path_part
from trainwright.local.storage.preconditions import Preconditions
from trainwright.local.storage.resources import bucket_resource, policy_resource
from trainwright.local.storage.storage import Storage


class BucketRoutes:
    """One method per operation of the JSON API; see its reference, "Buckets".

    Args:
        storage: The buckets.
    """

    def __init__(self, storage: Storage) -> None:
        self._buckets = storage.buckets
        self._project_number = storage.project_number

    async def list(self, request: Request) -> Response:
        """Buckets: list. There is one project, so that `project` chooses nothing."""
        query = request.query_params
        if not query.get("project"):
            raise Invalid("Required parameter: project")
        after = listing.read_token(query.get("pageToken", ""))
        limit = page_limit(query)
        names = [name for name in await in_thread(self._buckets.names) if name >= after]
        names = [name for name in names if name.startswith(query.get("prefix", ""))]
        body: dict[str, object] = {"kind": "storage#buckets"}
        if names:
            buckets = [await in_thread(self._buckets.get, name) for name in names[:limit]]
            body["items"] = [self._resource(request, bucket) for bucket in buckets]
        if len(names) > limit:
            body["nextPageToken"] = listing.write_token(names[limit])
        return answer(request, body)

    async def insert(self, request: Request) -> Response:
        """Buckets: insert."""
        if not request.query_params.get("project"):
            raise Invalid("Required parameter: project")
        body = await json_of(request)
        if not isinstance(body.get("name"), str):
            raise Invalid("Required: a bucket's name")
        return self._answer(request, await in_thread(self._buckets.create, body["name"], body))

    async def get(self, request: Request) -> Response:
        """Buckets: get."""
        conditions = Preconditions.of(request.query_params)
        bucket = await in_thread(self._buckets.get, path_part(request, "bucket"), conditions, reading=True)
        return self._answer(request, bucket)

    async def patch(self, request: Request) -> Response:
        """Buckets: patch."""
        return await self._update(request, merge=True)

    async def put(self, request: Request) -> Response:
        """Buckets: update."""
        return await self._update(request, merge=False)

    async def delete(self, request: Request) -> Response:
        """Buckets: delete."""
        conditions = Preconditions.of(request.query_params)
        await in_thread(self._buckets.delete, path_part(request, "bucket"), conditions)
        return Response(status_code=204)

    async def get_policy(self, request: Request) -> Response:
        """Buckets: getIamPolicy."""
        return answer(
            request, policy_resource(await in_thread(self._buckets.get, path_part(request, "bucket")))
        )

    async def set_policy(self, request: Request) -> Response:
        """Buckets: setIamPolicy. The policy is kept, and has no effect."""
        body = await json_of(request)
        policy: dict[str, Any] = {name: body[name] for name in ("version", "bindings") if name in body}
        bucket = await in_thread(self._buckets.set_policy, path_part(request, "bucket"), policy)
        return answer(request, policy_resource(bucket))

    async def test_permissions(self, request: Request) -> Response:
        """Buckets: testIamPermissions: who has the token has them all."""
        await in_thread(self._buckets.get, path_part(request, "bucket"))
        permissions = request.query_params.getlist("permissions")
        return answer(request, {"kind": "storage#testIamPermissionsResponse", "permissions": permissions})

    async def _update(self, request: Request, *, merge: bool) -> Response:
        conditions = Preconditions.of(request.query_params)
        body = await json_of(request)
        name = path_part(request, "bucket")
        return self._answer(
            request, await in_thread(self._buckets.update, name, body, conditions, merge=merge)
        )

    def _resource(self, request: Request, bucket: StoredBucket) -> dict[str, object]:
        return bucket_resource(bucket, base_of(request), self._project_number)

    def _answer(self, request: Request, bucket: StoredBucket) -> Response:
        return answer(request, self._resource(request, bucket))
