"""Requests about datasets, tables and their rows.

Source: BigQuery REST reference, "datasets", "tables" and "tabledata" (2026-11-25).
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trainwright.local.bigquery.bigquery import BigQuery
from trainwright.local.bigquery.catalog import RESULTS, Catalog
from trainwright.local.bigquery.errors import Invalid, NotImplementedHere
from trainwright.local.bigquery.exchange import (
    answer,
    base_of,
    check_etag,
    etag,
    in_thread,
    json_of,
    page_size,
    position_of,
    token_of,
    truth,
    whole,
)
from trainwright.local.bigquery.names import TableName, check_dataset, check_table
from trainwright.local.bigquery.query_jobs import dataset_resource
from trainwright.local.bigquery.sql.dialect import parse
from trainwright.local.bigquery.sql.queries import Queries
from trainwright.local.bigquery.table_rows import insert_rows, row_page, selected
from trainwright.local.bigquery.types import Column, columns_of, quoted, schema_of

_DATASET_FIELDS = {
    "description", "friendlyName", "labels", "access", "location", "defaultTableExpirationMs",
    "defaultPartitionExpirationMs", "defaultCollation", "maxTimeTravelHours", "storageBillingModel",
}  # fmt: skip
_TABLE_FIELDS = {
    "description", "friendlyName", "labels", "timePartitioning", "rangePartitioning", "clustering",
    "expirationTime", "requirePartitionFilter",
}  # fmt: skip
_OTHER_TABLES = ("externalDataConfiguration", "materializedView", "snapshotDefinition", "cloneDefinition")
_PAGE = 1000


class TableRoutes:
    """One method per operation.

    Args:
        bigquery: The datasets and tables.
    """

    def __init__(self, bigquery: BigQuery) -> None:
        self._bigquery = bigquery

    async def list_datasets(self, request: Request) -> Response:
        """datasets.list."""

        def work() -> dict[str, Any]:
            with self._bigquery.reading() as catalog:
                self._check_project(request, catalog)
                listed = [self._dataset(request, each) for each in catalog.datasets()]
            kept = ("kind", "id", "datasetReference", "labels", "friendlyName", "location")
            items = [{key: each[key] for key in kept if key in each} for each in listed]
            return {"kind": "bigquery#datasetList", **_page(request, items, "datasets")}

        return answer(request, await in_thread(work))

    async def insert_dataset(self, request: Request) -> Response:
        """datasets.insert."""
        body = await json_of(request)

        def work() -> dict[str, Any]:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                name = check_dataset(str((body.get("datasetReference") or {}).get("datasetId") or ""))
                given = {key: value for key, value in body.items() if key in _DATASET_FIELDS}
                catalog.write_dataset(name, dataset_resource(catalog, name, given), new=True)
                return self._dataset(request, catalog.dataset(name))

        return answer(request, await in_thread(work))

    async def get_dataset(self, request: Request) -> Response:
        """datasets.get."""

        def work() -> dict[str, Any]:
            with self._bigquery.reading() as catalog:
                self._check_project(request, catalog)
                return self._dataset(request, catalog.dataset(request.path_params["dataset"]))

        return answer(request, await in_thread(work))

    async def update_dataset(self, request: Request) -> Response:
        """datasets.patch and datasets.update."""
        body = await json_of(request)

        def work() -> dict[str, Any]:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                name = request.path_params["dataset"]
                found = catalog.dataset(name)
                check_etag(request, found)
                fields = _DATASET_FIELDS - {"location"}
                changed = _changed(found, body, fields, merge=request.method == "PATCH")
                changed["lastModifiedTime"] = dataset_resource(catalog, name, {})["lastModifiedTime"]
                catalog.write_dataset(name, changed, new=False)
                return self._dataset(request, changed)

        return answer(request, await in_thread(work))

    async def delete_dataset(self, request: Request) -> Response:
        """datasets.delete."""

        def work() -> None:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                contents = truth(request.query_params.get("deleteContents"))
                catalog.delete_dataset(request.path_params["dataset"], contents=contents)

        await in_thread(work)
        return Response(status_code=204)

    async def list_tables(self, request: Request) -> Response:
        """tables.list."""

        def work() -> dict[str, Any]:
            with self._bigquery.reading() as catalog:
                self._check_project(request, catalog)
                dataset = request.path_params["dataset"]
                catalog.dataset(dataset)
                listed = catalog.tables(dataset)
            items = []
            kept = ("type", "tableReference", "labels", "creationTime", "timePartitioning", "clustering")
            for each in listed:
                item = {key: each[key] for key in kept if key in each}
                identifier = f"{self._bigquery.project}:{dataset}.{each['tableReference']['tableId']}"
                items.append({"kind": "bigquery#table", "id": identifier, **item})
            return {
                "kind": "bigquery#tableList",
                **_page(request, items, "tables"),
                "totalItems": len(items),
            }

        return answer(request, await in_thread(work))

    async def insert_table(self, request: Request) -> Response:
        """tables.insert."""
        body = await json_of(request)

        def work() -> dict[str, Any]:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                for key in _OTHER_TABLES:
                    if body.get(key):
                        raise NotImplementedHere(f"{key} is not supported by local BigQuery")
                table = check_table(str((body.get("tableReference") or {}).get("tableId") or ""))
                name = TableName(request.path_params["dataset"], table)
                given = {key: value for key, value in body.items() if key in _TABLE_FIELDS}
                if view := body.get("view"):
                    catalog.check_new(name)
                    catalog.write_table(name, {**given, **_view(catalog, view)}, "")
                else:
                    catalog.create(name, given, columns_of(body.get("schema") or {}))
                return self._table(request, catalog, name)

        return answer(request, await in_thread(work))

    async def get_table(self, request: Request) -> Response:
        """tables.get."""

        def work() -> dict[str, Any]:
            with self._bigquery.reading() as catalog:
                self._check_project(request, catalog)
                return self._table(request, catalog, _name(request))

        return answer(request, await in_thread(work))

    async def update_table(self, request: Request) -> Response:
        """tables.patch and tables.update."""
        body = await json_of(request)

        def work() -> dict[str, Any]:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                name = _name(request)
                found = catalog.table(name)
                check_etag(request, found)
                changed = _changed(found, body, _TABLE_FIELDS, merge=request.method == "PATCH")
                if found["type"] == "VIEW":
                    if body.get("view"):
                        changed |= _view(catalog, body["view"])
                    catalog.write_table(name, changed, "")
                else:
                    if body.get("schema"):
                        changed["schema"] = _altered(catalog, name, columns_of(body["schema"]))
                    catalog.write_table(name, changed, catalog.physical(name))
                return self._table(request, catalog, name)

        return answer(request, await in_thread(work))

    async def delete_table(self, request: Request) -> Response:
        """tables.delete."""

        def work() -> None:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                catalog.delete_table(_name(request))

        await in_thread(work)
        return Response(status_code=204)

    async def list_rows(self, request: Request) -> Response:
        """tabledata.list."""
        query = request.query_params

        def work() -> dict[str, Any]:
            with self._bigquery.reading() as catalog:
                self._check_project(request, catalog)
                name = _name(request)
                resource = catalog.table(name)
                if resource["type"] == "VIEW":
                    raise Invalid(f"Cannot list a table of type VIEW: {catalog.project}:{name}")
                columns = selected(columns_of(resource["schema"]), query.get("selectedFields"))
                start = position_of(query.get("pageToken"))
                if start is None:
                    start = whole(query.get("startIndex"), "startIndex", 0)
                ints = truth(query.get("formatOptions.useInt64Timestamp"))
                page = row_page(
                    catalog,
                    name,
                    columns,
                    start=start,
                    limit=page_size(query.get("maxResults")),
                    int_timestamps=ints,
                )
            return {"kind": "bigquery#tableDataList", "etag": etag(resource), **page}

        return answer(request, await in_thread(work))

    async def insert_all(self, request: Request) -> Response:
        """tabledata.insertAll."""
        body = await json_of(request)

        def work() -> dict[str, Any]:
            with self._bigquery.changing() as catalog:
                self._check_project(request, catalog)
                name = _name(request)
                errors = insert_rows(catalog, name, body, self._bigquery.staging)
            kind = {"kind": "bigquery#tableDataInsertAllResponse"}
            return {**kind, "insertErrors": errors} if errors else kind

        return answer(request, await in_thread(work))

    def _check_project(self, request: Request, catalog: Catalog) -> None:
        catalog.check_project(request.path_params["project"])

    def _dataset(self, request: Request, resource: Mapping[str, Any]) -> dict[str, Any]:
        name = resource["datasetReference"]["datasetId"]
        return {
            "kind": "bigquery#dataset",
            "etag": etag(resource),
            "id": f"{self._bigquery.project}:{name}",
            "selfLink": f"{base_of(request)}/projects/{self._bigquery.project}/datasets/{name}",
            **resource,
        }

    def _table(self, request: Request, catalog: Catalog, name: TableName) -> dict[str, Any]:
        resource = catalog.table(name)
        count, size = catalog.size(name)
        location = "US" if name.dataset == RESULTS else catalog.dataset(name.dataset)["location"]
        path = f"projects/{catalog.project}/datasets/{name.dataset}/tables/{name.table}"
        shown = {key: value for key, value in resource.items() if key != "schema"}
        if resource.get("schema", {}).get("fields"):
            shown["schema"] = resource["schema"]
        return {
            "kind": "bigquery#table",
            "etag": etag(resource),
            "id": f"{catalog.project}:{name}",
            "selfLink": f"{base_of(request)}/{path}",
            "location": location,
            "numRows": str(count),
            "numBytes": str(size),
            "numLongTermBytes": "0",
            **shown,
        }


def _name(request: Request) -> TableName:
    return TableName(request.path_params["dataset"], request.path_params["table"])


def _page(request: Request, items: list[dict[str, Any]], key: str) -> dict[str, Any]:
    start = position_of(request.query_params.get("pageToken")) or 0
    limit = whole(request.query_params.get("maxResults"), "maxResults", _PAGE, _PAGE) or _PAGE
    page: dict[str, Any] = {key: items[start : start + limit]}
    if start + limit < len(items):
        page["nextPageToken"] = token_of(start + limit)
    return page


def _changed(
    found: Mapping[str, Any], body: Mapping[str, Any], fields: set[str], *, merge: bool
) -> dict[str, Any]:
    """A resource with the fields of a request; a null removes one, and PUT those that are not given."""
    changed = dict(found)
    for field in fields:
        if field in body or not merge:
            value = body.get(field)
            if field == "labels" and merge and isinstance(value, dict):
                both = {**found.get("labels", {}), **value}
                value = {name: each for name, each in both.items() if each is not None}
            changed.pop(field, None)
            if value is not None:
                changed[field] = value
    return changed


def _view(catalog: Catalog, view: Mapping[str, Any]) -> dict[str, Any]:
    if view.get("useLegacySql", True):
        raise Invalid("Legacy SQL is not supported by local BigQuery: set useLegacySql to false")
    columns = Queries(catalog).query(parse(str(view.get("query") or ""))).columns
    kept = {"query": str(view["query"]), "useLegacySql": False}
    return {"view": kept, "schema": schema_of(columns)}


def _altered(catalog: Catalog, name: TableName, columns: tuple[Column, ...]) -> dict[str, Any]:
    """The schema of a table after columns were added, or their modes relaxed."""
    physical = catalog.physical(name)
    there = {column.name.lower(): column for column in columns_of(catalog.table(name)["schema"])}
    for column in columns:
        old = there.pop(column.name.lower(), None)
        if old is None:
            if column.required:
                raise Invalid(f"Cannot add required fields to an existing schema. (field: {column.name})")
            catalog.cursor.execute(
                f"ALTER TABLE {physical} ADD COLUMN {quoted(column.name)} {column.type.duckdb}"
            )
        elif old.type != column.type or (column.required and not old.required):
            raise Invalid(
                f"Field {column.name} has changed type or mode, which is not supported by local BigQuery"
            )
        elif old.required and not column.required:
            catalog.cursor.execute(f"ALTER TABLE {physical} ALTER COLUMN {quoted(old.name)} DROP NOT NULL")
    if there:
        raise Invalid(f"Field {next(iter(there.values())).name} is missing in new schema")
    return schema_of(columns)
