"""What extract and copy jobs do.

Source: BigQuery documentation, "Exporting table data" and "Managing tables" (2026-11-25).
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwright.local.bigquery.catalog import Catalog
from trainwright.local.bigquery.destinations import Destination, write
from trainwright.local.bigquery.errors import Invalid, NotImplementedHere
from trainwright.local.bigquery.files import Files
from trainwright.local.bigquery.names import TableName, table_name
from trainwright.local.bigquery.sql.scope import text
from trainwright.local.bigquery.types import Column, Type, columns_of, quoted

_FORMATS = {
    "CSV": "text/csv", "NEWLINE_DELIMITED_JSON": "application/json", "PARQUET": "application/octet-stream",
}  # fmt: skip
_CSV = {
    "FLOAT64": "bq_float_text({0})",
    "NUMERIC": "bq_numeric_text({0})",
    "BYTES": "to_base64({0})",
    "DATETIME": "replace(bq_datetime_text({0}), ' ', 'T')",
    "TIME": "bq_time_text({0})",
    "TIMESTAMP": "bq_datetime_text({0} AT TIME ZONE 'UTC') || ' UTC'",
    "JSON": "CAST({0} AS VARCHAR)",
}
_JSON = {**_CSV, "INT64": "CAST({0} AS VARCHAR)", "FLOAT64": "{0}", "JSON": "{0}"}


def extract(
    catalog: Catalog, configuration: Mapping[str, Any], files: Files, staging: Path
) -> dict[str, Any]:
    """Writes a table to Cloud Storage and returns the statistics (JobStatistics4).

    Args:
        catalog: In the transaction.
        configuration: A JobConfigurationExtract.
        files: Cloud Storage.
        staging: Where files are made before they are put in place.

    Raises:
        BigQueryError: It cannot be written.
    """
    if configuration.get("sourceModel"):
        raise NotImplementedHere("sourceModel: local BigQuery has no models")
    uris = [str(each) for each in configuration.get("destinationUris") or []]
    if not uris:
        raise Invalid("Required parameter is missing: destinationUris")
    kind = str(configuration.get("destinationFormat") or "CSV")
    compression = str(configuration.get("compression") or "NONE").upper()
    if kind not in _FORMATS:
        raise NotImplementedHere(f"destinationFormat {kind}: expected {', '.join(_FORMATS)}")
    reference = configuration.get("sourceTable") or {}
    catalog.check_project(str(reference.get("projectId", catalog.project)))
    name = table_name(reference)
    columns = columns_of(catalog.table(name).get("schema", {}))
    source = catalog.physical(name)
    file = staging / f"extract-{secrets.token_hex(8)}"
    options = _options(kind, compression, configuration)
    listed = ", ".join(f"{_written(quoted(c.name), c.type, kind)} AS {quoted(c.name)}" for c in columns)
    try:
        catalog.cursor.execute(
            f"COPY (SELECT {listed} FROM {source} ORDER BY rowid) TO {text(str(file))} ({options})"
        )
        # One file holds all: the first URI's. BigQuery writes an empty one where it has more URIs than parts.
        uri = uris[0].replace("*", "000000000000")
        files.publish(file, uri, _FORMATS[kind] if compression != "GZIP" else "application/gzip")
    finally:
        file.unlink(missing_ok=True)
    counts = ["1", *("0" for _ in uris[1:])]
    rows, size = catalog.size(name)
    return {"destinationUriFileCounts": counts, "inputBytes": str(size), "outputRows": str(rows)}


def _options(kind: str, compression: str, configuration: Mapping[str, Any]) -> str:
    if kind == "PARQUET":
        known = {"NONE": "uncompressed", "SNAPPY": "snappy", "GZIP": "gzip", "ZSTD": "zstd"}
        if compression not in known:
            raise Invalid(f"compression {compression}: expected {', '.join(known)}")
        return f"FORMAT parquet, COMPRESSION {known[compression]}"
    if compression not in ("NONE", "GZIP"):
        raise Invalid(f"compression {compression}: expected NONE or GZIP")
    packed = f", COMPRESSION {compression.lower()}"
    if kind == "NEWLINE_DELIMITED_JSON":
        return f"FORMAT json{packed}"
    delimiter = {"tab": "\t", "\\t": "\t"}.get(str(configuration.get("fieldDelimiter") or ","))
    delimiter = delimiter or str(configuration.get("fieldDelimiter") or ",")
    header = "true" if configuration.get("printHeader", True) else "false"
    return f"FORMAT csv, HEADER {header}, DELIMITER {text(delimiter)}{packed}"


def _written(sql: str, kind: Type, format_name: str, depth: int = 0) -> str:
    """A value as the file's format has it."""
    if format_name == "PARQUET":
        return f"CAST({sql} AS VARCHAR)" if kind.kind == "JSON" else sql
    if kind.element is not None or kind.kind == "STRUCT":
        if format_name == "CSV":
            raise Invalid("Operation cannot be performed on a nested schema: export it as JSON or Parquet")
        if kind.element is not None:
            item = f"_e{depth}"
            inner = _written(item, kind.element, format_name, depth + 1)
            return f"coalesce(list_transform({sql}, lambda {item}: {inner}), [])"
        fields = ", ".join(
            f"{quoted(f.name)} := {_written(part, f.type, format_name, depth)}"
            for f, part in ((f, f"struct_extract({sql}, {text(f.name)})") for f in kind.fields)
        )
        return f"CASE WHEN {sql} IS NOT NULL THEN struct_pack({fields}) END"
    return (_CSV if format_name == "CSV" else _JSON).get(kind.kind, "{0}").format(sql)


def copy(catalog: Catalog, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Copies tables into one and returns the statistics (JobStatistics5).

    Raises:
        BigQueryError: They cannot be copied.
    """
    operation = str(configuration.get("operationType") or "COPY")
    if operation not in ("COPY", "OPERATION_TYPE_UNSPECIFIED"):
        raise NotImplementedHere(
            f"operationType {operation} is not supported by local BigQuery: expected COPY"
        )
    references = configuration.get("sourceTables") or [configuration.get("sourceTable") or {}]
    names: list[TableName] = []
    for reference in references:
        catalog.check_project(str(reference.get("projectId", catalog.project)))
        names.append(table_name(reference))
    columns: Sequence[Column] = columns_of(catalog.table(names[0]).get("schema", {}))
    listed = ", ".join(quoted(column.name) for column in columns)
    selects = [f"SELECT {listed} FROM {catalog.physical(name)}" for name in names]
    destination = Destination.of(catalog, configuration, default_write="WRITE_EMPTY")
    rows = write(catalog, destination, columns, " UNION ALL ".join(selects))
    return {"copiedRows": str(rows), "copiedLogicalBytes": str(sum(catalog.size(name)[1] for name in names))}
