"""Jobs: accepted when they are in the database, run in threads, done in one transaction with their effect.

Source: BigQuery REST reference, "Job" and "Method: jobs.insert" (2026-11-25).
"""

import contextlib
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from trainwright.local.bigquery import extract_jobs, load_jobs, query_jobs
from trainwright.local.bigquery.catalog import RESULTS, Catalog
from trainwright.local.bigquery.database import Database, one, read
from trainwright.local.bigquery.errors import (
    BigQueryError,
    Duplicate,
    Invalid,
    InvalidQuery,
    NotFound,
    ResourcesExceeded,
    Stopped,
    from_proto,
)
from trainwright.local.bigquery.files import Files
from trainwright.local.bigquery.names import check_job
from trainwright.local.bigquery.sql.dialect import parse

_KINDS = ("query", "load", "extract", "copy")
_WORKERS = 4
_ATTEMPTS = 5
_RESULT_SECONDS = 24 * 3600.0  # BigQuery documentation, "Using cached query results": about 24 hours
_PREFIXES = ("Invalid Input Error: ", "Conversion Error: ", "Out of Range Error: ", "Constraint Error: ")

_RAISED = re.compile(r"^Python exception occurred while executing the UDF: \w+: ")

_log = logging.getLogger(__name__)


class Jobs:
    """All jobs of a database.

    Args:
        database: Keeps them and what they change.
        files: Cloud Storage.
        project: The project's ID.
        number: The project's number.
    """

    def __init__(self, database: Database, files: Files, project: str, number: str) -> None:
        self._database = database
        self._files = files
        self._project = project
        self._number = number
        self._workers = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="bigquery-job")
        self._done = threading.Condition()
        self._running: dict[str, duckdb.DuckDBPyConnection | None] = {}
        self._cancelled: set[str] = set()
        self._is_closing = False

    def resume(self) -> None:
        """Goes on with what a killed process left, and removes results that nobody can ask for any more."""
        with self._database.change() as cursor:
            catalog = self._catalog(cursor)
            for table in catalog.tables(RESULTS):
                if time.time() - int(table["creationTime"]) / 1000 > _RESULT_SECONDS:
                    catalog.delete_table(query_jobs.TableName(RESULTS, table["tableReference"]["tableId"]))
            left = cursor.execute(
                "SELECT id, resource FROM catalog.jobs WHERE state <> 'DONE' ORDER BY number"
            ).fetchall()
        self._database.sweep({read(resource).get("upload", "") for _, resource in left})
        for job, _ in left:
            self._submit(job)

    def insert(self, job: Mapping[str, Any], upload: Path | None = None) -> dict[str, Any]:
        """Accepts a job and starts it; a dry run is answered at once, and kept nowhere.

        Args:
            job: The request.
            upload: The file that a load job brings along.

        Raises:
            BigQueryError: It cannot be accepted, or its dry run fails.
        """
        resource = self._accepted(job)
        configuration = resource["configuration"]
        if configuration.get("dryRun"):
            return self._dry(resource)
        if upload is not None:
            resource["upload"] = upload.name
        identifier = resource["jobReference"]["jobId"]
        with self._database.change() as cursor:
            if one(cursor, "SELECT 1 FROM catalog.jobs WHERE id = ?", identifier):
                raise Duplicate(
                    f"Already Exists: Job {self._project}:{resource['jobReference']['location']}.{identifier}"
                )
            cursor.execute(
                "INSERT INTO catalog.jobs VALUES (?, nextval('catalog.numbers'), ?, 'RUNNING', ?)",
                [identifier, time.time(), json.dumps(resource)],
            )
        self._submit(identifier)
        return shown(resource)

    def get(self, identifier: str, location: str = "") -> dict[str, Any]:
        """A job.

        Raises:
            NotFound: There is none of that ID in that location.
        """
        return shown(self._read(identifier, location))

    def list(self, *, state: str, limit: int, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
        """Jobs, the newest first, and the number of the last one when there are more.

        Args:
            state: `done`, `running`, `pending`, or "" for all.
            limit: At most so many.
            before: Only jobs with a lower number.
        """
        wanted = {"": "", "done": "DONE", "running": "RUNNING", "pending": "PENDING"}.get(state.lower())
        if wanted is None:
            raise Invalid(f"Invalid value for stateFilter: {state}: expected done, pending or running")
        with self._database.transaction() as cursor:
            found = cursor.execute(
                "SELECT number, resource FROM catalog.jobs WHERE (? = '' OR state = ?)"
                " AND (? IS NULL OR number < ?) ORDER BY number DESC LIMIT ?",
                [wanted, wanted, before, before, limit + 1],
            ).fetchall()
        more = found[limit - 1][0] if len(found) > limit else None
        return [shown(read(row[1])) for row in found[:limit]], more

    def wait(self, identifier: str, seconds: float, location: str = "") -> dict[str, Any]:
        """A job once it is done, or as it is after some seconds.

        Raises:
            NotFound: There is none.
        """
        with self._done:
            self._done.wait_for(lambda: identifier not in self._running, timeout=seconds)
        return self.get(identifier, location)

    def cancel(self, identifier: str, location: str = "") -> dict[str, Any]:
        """Stops a job that runs; one that is done stays as it is.

        Raises:
            NotFound: There is none.
        """
        resource = self._read(identifier, location)
        with self._done:
            if identifier in self._running:
                self._cancelled.add(identifier)
                cursor = self._running[identifier]
                if cursor is not None:
                    cursor.interrupt()
        return shown(resource)

    def delete(self, identifier: str, location: str = "") -> None:
        """Removes the record of a job that is done.

        Raises:
            NotFound: There is none.
            Invalid: It runs.
        """
        if self._read(identifier, location)["status"]["state"] != "DONE":
            raise Invalid(f"Cannot delete job {identifier}: it is still running")
        with self._database.change() as cursor:
            cursor.execute("DELETE FROM catalog.jobs WHERE id = ?", [identifier])

    def close(self) -> None:
        """Stops what runs; it is run again at the next start."""
        with self._done:
            self._is_closing = True
            for cursor in self._running.values():
                if cursor is not None:
                    cursor.interrupt()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _read(self, identifier: str, location: str) -> dict[str, Any]:
        with self._database.transaction() as cursor:
            row = one(cursor, "SELECT resource FROM catalog.jobs WHERE id = ?", identifier)
        resource = read(row[0]) if row is not None else None
        if resource is None or (
            location and location.lower() != resource["jobReference"]["location"].lower()
        ):
            raise NotFound(f"Not found: Job {self._project}:{location or 'US'}.{identifier}")
        return resource

    def _accepted(self, job: Mapping[str, Any]) -> dict[str, Any]:
        configuration = dict(job.get("configuration") or {})
        kinds = [kind for kind in _KINDS if kind in configuration]
        if len(kinds) != 1 or not isinstance(configuration[kinds[0]], dict):
            raise Invalid(f"Job configuration must contain exactly one of {', '.join(_KINDS)}")
        kind = kinds[0]
        reference = job.get("jobReference") or {}
        identifier = check_job(str(reference.get("jobId") or f"job_{secrets.token_urlsafe(18)}"))
        inner = configuration[kind] = dict(configuration[kind])
        if kind == "query" and not configuration.get("dryRun") and not inner.get("destinationTable"):
            with contextlib.suppress(BigQueryError):  # said by the job itself
                if isinstance(parse(str(inner.get("query") or "")), exp.Query):
                    inner["destinationTable"] = {
                        "projectId": self._project,
                        "datasetId": RESULTS,
                        "tableId": f"anon{secrets.token_hex(16)}",
                    }
        configuration["jobType"] = kind.upper()
        now = _milliseconds()
        return {
            "jobReference": {
                "projectId": self._project,
                "jobId": identifier,
                "location": str(reference.get("location") or self._location(kind, inner)),
            },
            "configuration": configuration,
            "status": {"state": "RUNNING"},
            "statistics": {"creationTime": now, "startTime": now},
        }

    def _location(self, kind: str, inner: Mapping[str, Any]) -> str:
        """The location of the dataset that a job names, as BigQuery finds out."""
        names = {"query": ("defaultDataset", "destinationTable"), "extract": ("sourceTable",)}
        with self._database.transaction() as cursor:
            catalog = self._catalog(cursor)
            for key in names.get(kind, ("destinationTable",)):
                dataset = str((inner.get(key) or {}).get("datasetId") or "")
                with contextlib.suppress(NotFound):
                    return str(catalog.dataset(dataset)["location"])
            with contextlib.suppress(BigQueryError):
                for table in parse(str(inner.get("query") or "")).find_all(exp.Table):
                    parts = [part for each in table.parts for part in each.name.split(".")]
                    with contextlib.suppress(NotFound):
                        if len(parts) > 1:
                            return str(catalog.dataset(parts[-2])["location"])
        return "US"

    def _catalog(self, cursor: duckdb.DuckDBPyConnection, dataset: str = "", location: str = "") -> Catalog:
        return Catalog(cursor, self._project, self._number, dataset, location)

    def _submit(self, identifier: str) -> None:
        with self._done:
            self._running[identifier] = None
        self._workers.submit(self._run, identifier)

    def _run(self, identifier: str) -> None:
        try:
            resource = self._read(identifier, "")
            try:
                self._attempt(resource)
            except BigQueryError as error:
                if self._is_closing:  # interrupted by this process, not by its user
                    return
                self._fail(resource, error)
            if upload := resource.get("upload"):
                (self._database.staging / upload).unlink(missing_ok=True)
        except Exception:
            if identifier not in self._running:
                raise
            _log.exception("BigQuery job %s", identifier)
        finally:
            with self._done:
                self._running.pop(identifier, None)
                self._cancelled.discard(identifier)
                self._done.notify_all()

    def _attempt(self, resource: dict[str, Any]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                return self._execute(resource)
            except duckdb.TransactionException as error:
                if attempt == _ATTEMPTS - 1:
                    raise BigQueryError(str(error)) from None
            except duckdb.Error as error:
                is_query = "query" in resource["configuration"]
                raise from_duckdb(error, is_query=is_query) from None
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                _log.exception("BigQuery job %s", resource["jobReference"]["jobId"])
                raise Invalid(f"The job is malformed: {type(error).__name__}: {error}") from None
        return None

    def _execute(self, resource: dict[str, Any]) -> None:
        """Runs a job and notes that it is done, in one transaction."""
        identifier, configuration = resource["jobReference"]["jobId"], resource["configuration"]
        open_transaction = (
            self._database.transaction if self._only_reads(configuration) else self._database.change
        )
        with open_transaction() as cursor:
            with self._done:
                if identifier in self._cancelled:
                    raise Stopped("Job execution was cancelled: User requested cancellation")
                self._running[identifier] = cursor
            self._perform(resource, cursor, dry=False)
            resource["status"] = {"state": "DONE"}
            resource["statistics"]["endTime"] = _milliseconds()
            self._write(cursor, resource)

    @staticmethod
    def _only_reads(configuration: Mapping[str, Any]) -> bool:
        """Whether a job changes nothing but its own result, so that others need not wait for it."""
        reference = (configuration.get("query") or {}).get("destinationTable") or {}
        return reference.get("datasetId") == RESULTS

    def _perform(self, resource: dict[str, Any], cursor: duckdb.DuckDBPyConnection, *, dry: bool) -> None:
        configuration, statistics = resource["configuration"], resource["statistics"]
        location = resource["jobReference"]["location"]
        if "query" in configuration:
            query = configuration["query"]
            default = query.get("defaultDataset") or {}
            catalog = self._catalog(cursor, str(default.get("datasetId") or ""), location)
            catalog.check_project(str(default.get("projectId") or self._project))
            done = query_jobs.run(catalog, query, dry=dry)
            statistics["query"] = done
            statistics["totalBytesProcessed"] = done["totalBytesProcessed"]
            target = done.get("ddlTargetTable")
            if target is not None and done["statementType"].startswith("CREATE_TABLE"):
                query.setdefault("destinationTable", target)
            return
        catalog = self._catalog(cursor, location=location)
        if "load" in configuration:
            uris = configuration["load"].get("sourceUris") or []
            uploaded = [self._database.staging / resource["upload"]] if "upload" in resource else []
            if not uris and not uploaded:
                raise Invalid("Required parameter is missing: sourceUris")
            files = uploaded or self._files.sources([str(uri) for uri in uris])
            statistics["load"] = load_jobs.run(catalog, configuration["load"], files)
        elif "extract" in configuration:
            staging = self._database.staging
            statistics["extract"] = extract_jobs.extract(
                catalog, configuration["extract"], self._files, staging
            )
        else:
            statistics["copy"] = extract_jobs.copy(catalog, configuration["copy"])

    def _dry(self, resource: dict[str, Any]) -> dict[str, Any]:
        if "query" not in resource["configuration"]:
            raise Invalid("dryRun is supported for query jobs only")
        try:
            with self._database.transaction() as cursor:
                self._perform(resource, cursor, dry=True)
        except duckdb.Error as error:
            raise from_duckdb(error, is_query=True) from None
        resource["status"] = {"state": "DONE"}
        del resource["jobReference"]["jobId"]
        return resource

    def _fail(self, resource: dict[str, Any], error: BigQueryError) -> None:
        if resource["jobReference"]["jobId"] in self._cancelled:
            error = Stopped("Job execution was cancelled: User requested cancellation")
        resource["status"] = {"state": "DONE", "errorResult": error.proto(), "errors": [error.proto()]}
        resource["statistics"]["endTime"] = _milliseconds()
        with self._database.transaction() as cursor:
            self._write(cursor, resource)

    @staticmethod
    def _write(cursor: duckdb.DuckDBPyConnection, resource: Mapping[str, Any]) -> None:
        cursor.execute(
            "UPDATE catalog.jobs SET state = ?, resource = ? WHERE id = ?",
            [resource["status"]["state"], json.dumps(resource), resource["jobReference"]["jobId"]],
        )


def shown(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A job as clients see it."""
    return {key: value for key, value in resource.items() if key != "upload"}


def failure(resource: Mapping[str, Any]) -> BigQueryError | None:
    """Why a job failed, or None."""
    error = resource["status"].get("errorResult")
    return from_proto(error) if error else None


def from_duckdb(error: duckdb.Error, *, is_query: bool) -> BigQueryError:
    """The answer for a statement that DuckDB could not run."""
    message = str(error).partition("\nLINE ")[0].strip()
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    message = _RAISED.sub("", message)
    if isinstance(error, duckdb.OutOfMemoryException):
        return ResourcesExceeded(f"Resources exceeded during query execution: {message}")
    if isinstance(error, duckdb.InterruptException):
        return Stopped("Job execution was cancelled")
    if isinstance(error, duckdb.IOException):  # a full disk; clients would repeat a backendError for minutes
        return ResourcesExceeded(f"local BigQuery cannot read or write: {message}")
    if isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return BigQueryError(f"local BigQuery: {message}")
    return InvalidQuery(message) if is_query else Invalid(message)


def _milliseconds() -> str:
    return str(int(time.time() * 1000))
