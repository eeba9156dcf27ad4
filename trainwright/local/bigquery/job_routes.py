"""Requests about jobs and query results.

Source: BigQuery REST reference, "jobs" (2026-11-25).
"""

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.bigquery.bigquery import BigQuery
from trainwright.local.bigquery.errors import Invalid, NotFound
from trainwright.local.bigquery.exchange import (
    answer,
    base_of,
    in_thread,
    json_of,
    page_size,
    position_of,
    token_of,
    truth,
    whole,
)
from trainwright.local.bigquery.jobs import failure
from trainwright.local.bigquery.names import table_name
from trainwright.local.bigquery.table_rows import row_page
from trainwright.local.bigquery.types import columns_of

# A job that is done this soon is answered as done, and spares its client a second of sleep.
_PATIENCE = 1.0
_TIMEOUT_MS = 10_000  # BigQuery REST reference, "Method: jobs.query", timeoutMs
_LONGEST_MS = 200_000
_QUERY_FIELDS = (
    "query", "defaultDataset", "parameterMode", "queryParameters", "useLegacySql", "useQueryCache",
    "maximumBytesBilled", "connectionProperties", "createSession", "destinationEncryptionConfiguration",
)  # fmt: skip


class JobRoutes:
    """One method per operation.

    Args:
        bigquery: The jobs and their tables.
    """

    def __init__(self, bigquery: BigQuery) -> None:
        self._bigquery = bigquery

    async def insert(self, request: Request) -> Response:
        """jobs.insert."""
        body = await json_of(request)
        return answer(request, await in_thread(self.start, request, body))

    def start(self, request: Request, body: Mapping[str, Any], upload: Any = None) -> dict[str, Any]:
        """Starts a job and gives it a moment to end."""
        self._check_project(request)
        job = self._bigquery.jobs.insert(body, upload)
        if job["status"]["state"] != "DONE":
            job = self._bigquery.jobs.wait(job["jobReference"]["jobId"], _PATIENCE)
        return self._job(request, job)

    async def get(self, request: Request) -> Response:
        """jobs.get."""

        def work() -> dict[str, Any]:
            self._check_project(request)
            location = request.query_params.get("location", "")
            return self._job(request, self._bigquery.jobs.get(request.path_params["job"], location))

        return answer(request, await in_thread(work))

    async def list(self, request: Request) -> Response:
        """jobs.list."""
        query = request.query_params

        def work() -> dict[str, Any]:
            self._check_project(request)
            jobs, last = self._bigquery.jobs.list(
                state=query.get("stateFilter", ""),
                limit=whole(query.get("maxResults"), "maxResults", 50, 1000) or 50,
                before=position_of(query.get("pageToken")),
            )
            items = []
            for each in jobs:
                job = self._job(request, each)
                job["state"] = job["status"]["state"]
                if "errorResult" in job["status"]:
                    job["errorResult"] = job["status"]["errorResult"]
                items.append(job)
            page: dict[str, Any] = {"kind": "bigquery#jobList", "jobs": items}
            if last is not None:
                page["nextPageToken"] = token_of(last)
            return page

        return answer(request, await in_thread(work))

    async def cancel(self, request: Request) -> Response:
        """jobs.cancel."""

        def work() -> dict[str, Any]:
            self._check_project(request)
            location = request.query_params.get("location", "")
            job = self._bigquery.jobs.cancel(request.path_params["job"], location)
            return {"kind": "bigquery#jobCancelResponse", "job": self._job(request, job)}

        return answer(request, await in_thread(work))

    async def delete(self, request: Request) -> Response:
        """jobs.delete."""

        def work() -> None:
            self._check_project(request)
            self._bigquery.jobs.delete(request.path_params["job"], request.query_params.get("location", ""))

        await in_thread(work)
        return Response(status_code=204)

    async def query(self, request: Request) -> Response:
        """jobs.query."""
        body = await json_of(request)

        def work() -> dict[str, Any]:
            self._check_project(request)
            inner = {key: body[key] for key in _QUERY_FIELDS if body.get(key) is not None}
            configuration = {
                "query": inner,
                "labels": body.get("labels"),
                "dryRun": truth(body.get("dryRun")),
            }
            configuration = {key: value for key, value in configuration.items() if value}
            reference = {"location": body["location"]} if body.get("location") else {}
            job = self._bigquery.jobs.insert({"configuration": configuration, "jobReference": reference})
            if truth(body.get("dryRun")):
                return _dry_answer(job)
            return self._results(
                job["jobReference"]["jobId"],
                body,
                start=0,
                int_timestamps=truth((body.get("formatOptions") or {}).get("useInt64Timestamp")),
                kind="bigquery#queryResponse",
            )

        return answer(request, await in_thread(work))

    async def results(self, request: Request) -> Response:
        """jobs.getQueryResults."""
        query = request.query_params

        def work() -> dict[str, Any]:
            self._check_project(request)
            job = self._bigquery.jobs.get(request.path_params["job"], query.get("location", ""))
            if "query" not in job["configuration"]:
                raise Invalid(f"Job {request.path_params['job']} is no query")
            start = position_of(query.get("pageToken"))
            if start is None:
                start = whole(query.get("startIndex"), "startIndex", 0)
            return self._results(
                job["jobReference"]["jobId"],
                query,
                start=start,
                int_timestamps=truth(query.get("formatOptions.useInt64Timestamp")),
                kind="bigquery#getQueryResultsResponse",
            )

        return answer(request, await in_thread(work))

    def _results(
        self, job_id: str, given: Mapping[str, Any], *, start: int, int_timestamps: bool, kind: str
    ) -> dict[str, Any]:
        timeout = whole(given.get("timeoutMs"), "timeoutMs", _TIMEOUT_MS, _LONGEST_MS)
        job = self._bigquery.jobs.wait(job_id, timeout / 1000)
        result: dict[str, Any] = {"kind": kind, "jobReference": job["jobReference"], "jobComplete": False}
        if job["status"]["state"] != "DONE":
            return result
        error = failure(job)
        if error is not None:
            raise error
        statistics = job["statistics"]["query"]
        result |= {"jobComplete": True, "cacheHit": False, "etag": job_id}
        result["totalBytesProcessed"] = statistics["totalBytesProcessed"]
        for key in ("numDmlAffectedRows", "dmlStats"):
            if key in statistics:
                result[key] = statistics[key]
        if statistics["statementType"] != "SELECT":
            return {**result, "totalRows": statistics.get("numDmlAffectedRows", "0")}
        destination = table_name(job["configuration"]["query"]["destinationTable"])
        columns = columns_of(statistics["schema"])
        result["schema"] = statistics["schema"]
        limit = page_size(given.get("maxResults"))
        with self._bigquery.reading() as catalog:
            if catalog.find(destination) is None:
                raise NotFound(f"Not found: Table {catalog.project}:{destination}: the result has expired")
            page = row_page(
                catalog, destination, columns, start=start, limit=limit, int_timestamps=int_timestamps
            )
        return {**result, **page}

    def _check_project(self, request: Request) -> None:
        project = request.path_params["project"]
        if project not in (self._bigquery.project, self._bigquery.project_number):
            raise NotFound(f"Not found: Project {project}: local BigQuery has {self._bigquery.project}")

    def _job(self, request: Request, job: Mapping[str, Any]) -> dict[str, Any]:
        reference = job["jobReference"]
        shown = {"kind": "bigquery#job", "etag": str(int(time.time() * 1000)), **job}
        if "jobId" in reference:
            project, location, name = reference["projectId"], reference["location"], reference["jobId"]
            shown["id"] = f"{project}:{location}.{name}"
            shown["selfLink"] = f"{base_of(request)}/projects/{project}/jobs/{name}?location={location}"
        return shown


def _dry_answer(job: Mapping[str, Any]) -> dict[str, Any]:
    statistics = job["statistics"]["query"]
    return {
        "kind": "bigquery#queryResponse",
        "jobReference": job["jobReference"],
        "jobComplete": True,
        "totalBytesProcessed": statistics["totalBytesProcessed"],
        "cacheHit": False,
        **({"schema": statistics["schema"]} if "schema" in statistics else {}),
    }
