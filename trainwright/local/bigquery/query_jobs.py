"""What a query job does, in one transaction.

Source: BigQuery REST reference, "JobConfigurationQuery" and "JobStatistics2" (2026-11-25).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from trainwright.local.bigquery.catalog import Catalog
from trainwright.local.bigquery.destinations import Destination, write
from trainwright.local.bigquery.errors import Duplicate, Invalid, InvalidQuery, NotFound
from trainwright.local.bigquery.names import TableName, check_dataset, check_table
from trainwright.local.bigquery.sql.dialect import parse
from trainwright.local.bigquery.sql.literals import parameter
from trainwright.local.bigquery.sql.queries import Queries
from trainwright.local.bigquery.sql.scope import Expr
from trainwright.local.bigquery.sql.statements import Definition, Mutation, translated
from trainwright.local.bigquery.types import INT64, Column, Type, array_of, named_type, schema_of

_LEFT_OUT = {
    "schemaUpdateOptions": "schema updates by a query",
    "tableDefinitions": "external tables",
    "userDefinedFunctionResources": "user-defined functions",
    "connectionProperties": "sessions",
    "createSession": "sessions",
    "scriptOptions": "scripts",
}


def run(catalog: Catalog, configuration: Mapping[str, Any], *, dry: bool) -> dict[str, Any]:
    """Runs a query and returns its statistics (JobStatistics2).

    Args:
        catalog: In the transaction.
        configuration: A JobConfigurationQuery, with a destination.
        dry: Whether it is only checked.

    Raises:
        BigQueryError: It cannot be run.
        duckdb.Error: It fails while it runs.
    """
    for key, what in _LEFT_OUT.items():
        if configuration.get(key):
            raise Invalid(f"{key}: local BigQuery does not have {what}")
    if configuration.get("useLegacySql", True):
        raise InvalidQuery("Legacy SQL is not supported by local BigQuery: set useLegacySql to false")
    named, positional = _parameters(configuration)
    queries = Queries(catalog, named, positional)
    node = parse(str(configuration.get("query") or ""))
    statement = translated(node, queries)
    if isinstance(statement, Mutation):
        return _mutate(catalog, statement, dry)
    if isinstance(statement, Definition):
        return _define(catalog, statement, dry)
    result = queries.query(node)
    statistics = _statistics(catalog, "SELECT", result.columns)
    catalog.cursor.execute(f"EXPLAIN {result.sql}")
    if not dry:
        destination = Destination.of(catalog, configuration, default_write="WRITE_EMPTY")
        write(catalog, destination, result.columns, result.sql)
    return statistics


def _statistics(catalog: Catalog, kind: str, columns: Sequence[Column] = ()) -> dict[str, Any]:
    processed = sum(catalog.size(name)[1] for name in catalog.read)
    billed = -(-processed // (1 << 20)) * (1 << 20)
    return {
        "statementType": kind,
        "totalBytesProcessed": str(processed),
        "totalBytesBilled": str(max(billed, 10 << 20) if processed else 0),  # "Pricing": at least 10 MB
        "cacheHit": False,
        "referencedTables": [name.reference(catalog.project) for name in catalog.read],
        **({"schema": schema_of(columns)} if columns else {}),
    }


def _mutate(catalog: Catalog, statement: Mutation, dry: bool) -> dict[str, Any]:
    statistics = _statistics(catalog, statement.kind)
    catalog.cursor.execute(f"EXPLAIN {statement.sql}")
    if dry:
        return statistics
    if statement.check and catalog.cursor.execute(statement.check).fetchone():
        raise InvalidQuery("UPDATE/MERGE must match at most one source row for each target row")
    done = catalog.cursor.execute(statement.sql).fetchone()
    count = int(done[0]) if done else 0
    catalog.touch(catalog.resolve(statement.parts))
    counted = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}
    if statement.kind in counted:
        statistics["dmlStats"] = {counted[statement.kind]: str(count)}
    if statement.kind != "TRUNCATE_TABLE":
        statistics["numDmlAffectedRows"] = str(count)
    return statistics


def _define(catalog: Catalog, statement: Definition, dry: bool) -> dict[str, Any]:
    statistics = _statistics(catalog, statement.kind)
    if statement.sql:
        catalog.cursor.execute(f"EXPLAIN {statement.sql}")
    if statement.kind.endswith("_SCHEMA"):
        operation = "" if dry else _define_schema(catalog, statement)
        return {**statistics, **({"ddlOperationPerformed": operation} if operation else {})}
    name = catalog.resolve(statement.parts)
    statistics["ddlTargetTable"] = name.reference(catalog.project)
    if not dry:
        statistics["ddlOperationPerformed"] = _define_table(catalog, statement, name)
    return statistics


def _define_table(catalog: Catalog, statement: Definition, name: TableName) -> str:
    existing = catalog.find(name)
    if statement.kind.startswith("DROP_"):
        wanted = statement.kind.removeprefix("DROP_")
        if existing is None and statement.lenient:
            return "SKIP"
        if catalog.table(name)["type"] != wanted:
            raise InvalidQuery(f"{catalog.project}:{name} is no {wanted}: DROP {wanted} does not drop it")
        catalog.delete_table(name)
        return "DROP"
    check_table(name.table)
    catalog.dataset(name.dataset)
    if existing is not None and statement.lenient:
        return "SKIP"
    if existing is not None and not statement.replace:
        raise Duplicate(f"Already Exists: Table {catalog.project}:{name}")
    if statement.view:
        view = {"query": statement.view, "useLegacySql": False}
        catalog.write_table(
            name, {**statement.attributes, "view": view, "schema": schema_of(statement.columns)}, ""
        )
        return "REPLACE" if existing else "CREATE"
    destination = Destination(name, "WRITE_TRUNCATE", "CREATE_IF_NEEDED", statement.attributes)
    if existing is not None and existing["type"] == "VIEW":
        catalog.delete_table(name)
    nothing = ", ".join(f"CAST(NULL AS {column.type.duckdb})" for column in statement.columns)
    write(catalog, destination, statement.columns, statement.sql or f"SELECT {nothing} WHERE FALSE")
    return "REPLACE" if existing else "CREATE"


def _define_schema(catalog: Catalog, statement: Definition) -> str:
    if len(statement.parts) > 1:
        catalog.check_project(statement.parts[0])
    name = statement.parts[-1]
    try:
        if statement.kind == "DROP_SCHEMA":
            catalog.delete_dataset(name, contents=statement.cascade)
            return "DROP"
        catalog.write_dataset(
            check_dataset(name), dataset_resource(catalog, name, statement.attributes), new=True
        )
    except (Duplicate, NotFound):
        if not statement.lenient:
            raise
        return "SKIP"
    return "CREATE"


def dataset_resource(catalog: Catalog, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A new dataset's resource.

    Args:
        catalog: Whose project it is.
        name: Its ID.
        given: Fields of the request.
    """
    now = str(int(time.time() * 1000))
    return {
        "location": "US",
        **{key: value for key, value in given.items() if value is not None},
        "datasetReference": {"projectId": catalog.project, "datasetId": name},
        "creationTime": now,
        "lastModifiedTime": now,
    }


def _parameters(configuration: Mapping[str, Any]) -> tuple[dict[str, Expr], list[Expr]]:
    named: dict[str, Expr] = {}
    positional: list[Expr] = []
    for each in configuration.get("queryParameters") or []:
        kind = _parameter_type(each.get("parameterType") or {})
        value = parameter(_parameter_value(each.get("parameterValue") or {}, kind), kind)
        if each.get("name"):
            named[str(each["name"]).lower()] = value
        else:
            positional.append(value)
    return named, positional


def _parameter_type(given: Mapping[str, Any]) -> Type:
    kind = str(given.get("type", "")).upper()
    if kind == "ARRAY":
        return array_of(_parameter_type(given.get("arrayType") or {}))
    if kind in ("STRUCT", "RECORD"):
        fields = [
            Column(each.get("name", ""), _parameter_type(each["type"])) for each in given["structTypes"]
        ]
        return Type("STRUCT", fields=tuple(fields))
    return named_type(kind) if kind else INT64


def _parameter_value(given: Mapping[str, Any], kind: Type) -> Any:
    if kind.element is not None:
        return [_parameter_value(each, kind.element) for each in given.get("arrayValues") or []]
    if kind.kind == "STRUCT":
        values = given.get("structValues") or {}
        return {
            field.name: _parameter_value(values.get(field.name) or {}, field.type) for field in kind.fields
        }
    value = given.get("value")
    return None if value is None else str(value)
