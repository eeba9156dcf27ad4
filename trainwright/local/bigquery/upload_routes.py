"""Load jobs that bring their file along: in one request, or resumably.

Source: BigQuery documentation, "Loading data with a POST request" and "Resumable uploads" (2026-11-25).
"""

import json
import re
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.bigquery.bigquery import BigQuery
from trainwright.local.bigquery.errors import Invalid, NotFound
from trainwright.local.bigquery.exchange import answer, base_of, in_thread, json_of
from trainwright.local.bigquery.job_routes import JobRoutes
from trainwright.local.storage.exchange import stream_into
from trainwright.local.storage.files import StagedFile
from trainwright.local.storage.related import RelatedParts
from trainwright.local.storage.uploads import parse_content_range

_SESSION = re.compile(r"upload-[0-9a-f]{32}")


class UploadRoutes:
    """The ways to upload.

    A resumable session is two files in the staging folder: what has arrived, and the job that it is for.

    Args:
        bigquery: The jobs.
        jobs: Starts them.
    """

    def __init__(self, bigquery: BigQuery, jobs: JobRoutes) -> None:
        self._bigquery = bigquery
        self._jobs = jobs

    async def post(self, request: Request) -> Response:
        """jobs.insert by `uploadType`."""
        kind = request.query_params.get("uploadType")
        if "upload_id" in request.query_params:
            return await self.resume(request)
        if kind == "multipart":
            return await self._multipart(request)
        if kind == "resumable":
            return await self._start(request)
        raise Invalid(f"Invalid value for uploadType: '{(kind or '')[:50]}': expected multipart or resumable")

    async def resume(self, request: Request) -> Response:
        """A part of a resumable upload, or the question how much has arrived."""
        session = await in_thread(self._session, request)
        wanted = parse_content_range(request.headers.get("content-range"))
        staged = await in_thread(StagedFile, session)
        try:
            if wanted.first is not None:
                if wanted.first != staged.size:
                    raise Invalid(f"The upload goes on at byte {staged.size}, not at {wanted.first}")
                rest = await stream_into(request, staged.write)
                await in_thread(staged.write, rest)
        finally:
            await in_thread(staged.close)
        whole = "content-range" not in request.headers
        if not whole and (wanted.total is None or staged.size < wanted.total):
            headers = {"range": f"bytes=0-{staged.size - 1}"} if staged.size else {}
            return Response(status_code=308, headers=headers)
        return answer(request, await in_thread(self._finish, request, session))

    async def _multipart(self, request: Request) -> Response:
        parts = RelatedParts(request.headers.get("content-type", ""))
        path = await in_thread(self._new_file)
        staged = StagedFile(path)
        try:
            rest = await stream_into(request, lambda block: staged.write(parts.feed(block)))
            await in_thread(staged.write, parts.feed(rest) + parts.finish())
            await in_thread(staged.finish)
            job = await in_thread(self._jobs.start, request, parts.resource, path)
        except BaseException:
            staged.discard()
            raise
        return answer(request, job)

    async def _start(self, request: Request) -> Response:
        resource = await json_of(request)
        if "load" not in (resource.get("configuration") or {}):
            raise Invalid("Only a load job can bring a file along")

        def work() -> Path:
            session = self._new_file()
            _job_file(session).write_text(json.dumps(resource), encoding="utf-8")
            return session

        session = await in_thread(work)
        project = request.path_params["project"]
        base = base_of(request).replace("/bigquery/v2", "/upload/bigquery/v2")
        location = f"{base}/projects/{project}/jobs?uploadType=resumable&upload_id={session.name}"
        return Response(headers={"location": location, "x-guploader-uploadid": session.name})

    def _new_file(self) -> Path:
        return self._bigquery.staging / f"upload-{secrets.token_hex(16)}"

    def _session(self, request: Request) -> Path:
        name = request.query_params.get("upload_id", "")
        session = self._bigquery.staging / name
        if not _SESSION.fullmatch(name) or not _job_file(session).exists():
            raise NotFound("No such upload session: it has ended, or never was")
        return session

    def _finish(self, request: Request, session: Path) -> dict[str, Any]:
        session.touch()
        resource = json.loads(_job_file(session).read_text(encoding="utf-8"))
        job = self._jobs.start(request, resource, session)
        _job_file(session).unlink(missing_ok=True)
        return job


def _job_file(session: Path) -> Path:
    return session.with_name(f"{session.name}.job")
