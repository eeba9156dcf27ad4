"""The REST API of BigQuery as an ASGI application: which method answers.

Its requests come from the wire, which has checked their credentials. The routes, and with them DuckDB, are
imported by the first request.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from trainwright.local.bigquery.bigquery import BigQuery
from trainwright.local.bigquery.errors import BigQueryError, Invalid, NotImplementedHere, Required
from trainwright.local.bigquery.exchange import refusal
from trainwright.local.storage.errors import ApiError

if TYPE_CHECKING:
    from starlette.applications import Starlette

_log = logging.getLogger(__name__)
# What a body raises whose parts are of other types than the API's.
_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def bigquery_app(bigquery: BigQuery) -> ASGIApp:
    """The API under `/bigquery/v2` and `/upload/bigquery/v2`.

    A request is answered only when `scope["state"]["authenticated"]` is True: its sender has been checked.

    Args:
        bigquery: The datasets, tables and jobs.
    """
    routes: Starlette | None = None
    making = asyncio.Lock()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal routes
        if scope["type"] != "http":
            return
        if (scope.get("state") or {}).get("authenticated") is not True:
            await refusal(Required("Anonymous caller: the request carries no token"))(scope, receive, send)
            return
        async with making:
            if routes is None:
                routes = await asyncio.to_thread(_routes, bigquery)
        await routes(scope, receive, send)

    return app


def _routes(bigquery: BigQuery) -> "Starlette":
    import duckdb
    from starlette.applications import Starlette
    from starlette.routing import Route

    from trainwright.local.bigquery.job_routes import JobRoutes
    from trainwright.local.bigquery.table_routes import TableRoutes
    from trainwright.local.bigquery.upload_routes import UploadRoutes

    tables, jobs = TableRoutes(bigquery), JobRoutes(bigquery)
    uploads = UploadRoutes(bigquery, jobs)
    project = "/bigquery/v2/projects/{project}"
    datasets = f"{project}/datasets"
    dataset = datasets + "/{dataset}"
    table = dataset + "/tables/{table}"
    job = project + "/jobs/{job}"
    handlers: dict[Any, Any] = dict.fromkeys(
        (BigQueryError, ApiError, ClientDisconnect, OSError, duckdb.Error, *_MALFORMED), _refuse
    )
    return Starlette(
        routes=[
            Route(datasets, tables.list_datasets, methods=["GET"]),
            Route(datasets, tables.insert_dataset, methods=["POST"]),
            Route(dataset, tables.get_dataset, methods=["GET"]),
            Route(dataset, tables.update_dataset, methods=["PATCH", "PUT"]),
            Route(dataset, tables.delete_dataset, methods=["DELETE"]),
            Route(dataset + "/tables", tables.list_tables, methods=["GET"]),
            Route(dataset + "/tables", tables.insert_table, methods=["POST"]),
            Route(table, tables.get_table, methods=["GET"]),
            Route(table, tables.update_table, methods=["PATCH", "PUT"]),
            Route(table, tables.delete_table, methods=["DELETE"]),
            Route(table + "/data", tables.list_rows, methods=["GET"]),
            Route(table + "/insertAll", tables.insert_all, methods=["POST"]),
            Route(project + "/jobs", jobs.list, methods=["GET"]),
            Route(project + "/jobs", jobs.insert, methods=["POST"]),
            Route(job, jobs.get, methods=["GET"]),
            Route(job + "/cancel", jobs.cancel, methods=["POST"]),
            Route(job + "/delete", jobs.delete, methods=["DELETE"]),
            Route(project + "/queries", jobs.query, methods=["POST"]),
            Route(project + "/queries/{job}", jobs.results, methods=["GET"]),
            Route("/upload" + project + "/jobs", uploads.post, methods=["POST"]),
            Route("/upload" + project + "/jobs", uploads.resume, methods=["PUT"]),
            Route("/resumable/upload" + project + "/jobs", uploads.post, methods=["POST"]),
            Route("/resumable/upload" + project + "/jobs", uploads.resume, methods=["PUT"]),
            Route("/{rest:path}", _unknown, methods=_METHODS),
        ],
        exception_handlers=handlers,
    )


async def _refuse(request: Request, failure: Exception) -> Response:
    if isinstance(failure, ClientDisconnect):
        return Response(status_code=499)  # nobody is there to read it
    if isinstance(failure, ApiError):  # of storage's parts of an upload
        failure = Invalid(failure.message)
    if isinstance(failure, _MALFORMED):
        _log.warning("%s %s", request.method, request.url.path, exc_info=failure)
        failure = Invalid(f"The request is malformed: {type(failure).__name__}: {failure}")
    if not isinstance(failure, BigQueryError):
        failure = BigQueryError(f"local BigQuery: {type(failure).__name__}: {failure}")
    return refusal(failure)


async def _unknown(request: Request) -> Response:
    path = str(request.scope["path"])[:200]
    raise NotImplementedHere(f"local BigQuery does not implement {request.method} {path}")
