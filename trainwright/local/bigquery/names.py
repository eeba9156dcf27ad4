"""Names of datasets, tables and jobs.

Source: BigQuery REST reference, "Dataset", "Table" and "JobReference" (2026-11-25).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.local.bigquery.errors import Invalid

_DATASET = re.compile(r"\w{1,1024}", re.ASCII)
_TABLE = re.compile(r"[\w\- ]{1,1024}")
_JOB = re.compile(r"[\w-]{1,1024}", re.ASCII)


@dataclass(frozen=True, order=True)
class TableName:
    """A table of this project."""

    dataset: str
    table: str

    def reference(self, project: str) -> dict[str, str]:
        """The TableReference."""
        return {"projectId": project, "datasetId": self.dataset, "tableId": self.table}

    def __str__(self) -> str:
        return f"{self.dataset}.{self.table}"


def check_dataset(name: str) -> str:
    """Returns a new dataset's ID.

    Raises:
        Invalid: It cannot be one.
    """
    if not _DATASET.fullmatch(name) or name.startswith("_"):
        raise Invalid(f'Invalid dataset ID "{name[:100]}": expected letters, digits and _, the first no _')
    return name


def check_table(name: str) -> str:
    """Returns a new table's ID.

    Raises:
        Invalid: It cannot be one.
    """
    if "$" in name:
        raise Invalid(f'Partition decorators are not supported by local BigQuery: "{name[:100]}"')
    if not _TABLE.fullmatch(name) or name != name.strip():
        raise Invalid(f'Invalid table ID "{name[:100]}": expected letters, digits, _, - and spaces')
    return name


def check_job(name: str) -> str:
    """Returns a new job's ID.

    Raises:
        Invalid: It cannot be one.
    """
    if not _JOB.fullmatch(name):
        raise Invalid(f'Invalid job ID "{name[:100]}": expected letters, digits, _ and -')
    return name


def table_name(reference: Mapping[str, Any]) -> TableName:
    """The table of a TableReference.

    Raises:
        Invalid: A part is missing.
    """
    dataset, table = reference.get("datasetId"), reference.get("tableId")
    if not isinstance(dataset, str) or not isinstance(table, str) or not dataset or not table:
        raise Invalid("Required parameter is missing: datasetId and tableId of a table reference")
    return TableName(dataset, table)
