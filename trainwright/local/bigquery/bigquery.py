"""BigQuery over one DuckDB database, opened when it is first used."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.local.storage import Storage

if TYPE_CHECKING:
    from trainwright.local.bigquery.catalog import Catalog
    from trainwright.local.bigquery.database import Database
    from trainwright.local.bigquery.jobs import Jobs


class BigQuery:
    """The datasets, tables and jobs of one project. Any thread may use it; one process at a time.

    DuckDB and sqlglot are imported, and the database opened, by the first call that needs them.

    Args:
        folder: Folder of the database, `<state>/bigquery`; made when absent.
        storage: Where `gs://` files are.
        project: The project's ID.
        project_number: The project's number, which may stand for its ID.
    """

    def __init__(self, folder: Path, storage: Storage, *, project: str, project_number: str) -> None:
        self.project = project
        self.project_number = project_number
        self._folder = folder
        self._storage = storage
        self._opening = threading.Lock()
        self._opened: tuple[Database, Jobs] | None = None

    @property
    def jobs(self) -> "Jobs":
        """All jobs."""
        return self._open()[1]

    @property
    def staging(self) -> Path:
        """The folder of files under way."""
        return self._open()[0].staging

    @contextmanager
    def reading(self) -> "Iterator[Catalog]":
        """The datasets and tables as they are now."""
        from trainwright.local.bigquery.catalog import Catalog

        with self._open()[0].transaction() as cursor:
            yield Catalog(cursor, self.project, self.project_number)

    @contextmanager
    def changing(self) -> "Iterator[Catalog]":
        """The datasets and tables, to be changed; nothing is when the block raises."""
        from trainwright.local.bigquery.catalog import Catalog

        with self._open()[0].change() as cursor:
            yield Catalog(cursor, self.project, self.project_number)

    def run(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Runs a job to its end and returns it.

        Args:
            configuration: A JobConfiguration of the REST API.

        Raises:
            BigQueryError: It failed.
        """
        from trainwright.local.bigquery.jobs import failure

        job = self.jobs.insert({"configuration": configuration})
        identifier = job["jobReference"]["jobId"]
        while job["status"]["state"] != "DONE":
            job = self.jobs.wait(identifier, 60.0)
        error = failure(job)
        if error is not None:
            raise error
        return job

    def export_table(self, table: str, uri: str, *, file_format: str = "PARQUET") -> str:
        """Writes a table to Cloud Storage and returns the URI of its one file.

        Args:
            table: `dataset.table`, `project.dataset.table` or `bq://` before it.
            uri: `gs://bucket/object`, with at most one `*`.
            file_format: PARQUET, CSV or NEWLINE_DELIMITED_JSON.

        Raises:
            BigQueryError: There is no such table or bucket, or the format cannot hold its types.
        """
        extract = {
            "sourceTable": self._reference(table),
            "destinationUris": [uri],
            "destinationFormat": file_format,
        }
        self.run({"extract": extract})
        return uri.replace("*", "000000000000")

    def load_table(
        self,
        table: str,
        uris: list[str],
        *,
        file_format: str = "PARQUET",
        write_disposition: str = "WRITE_TRUNCATE",
    ) -> int:
        """Loads files of Cloud Storage into a table, made when absent, and returns the number of rows.

        Args:
            table: As for `export_table`; its dataset must be there.
            uris: `gs://bucket/object`, each with at most one `*`.
            file_format: PARQUET, CSV or NEWLINE_DELIMITED_JSON; the latter two with their types detected.
            write_disposition: WRITE_TRUNCATE, WRITE_APPEND or WRITE_EMPTY.

        Raises:
            BigQueryError: There is no such file or dataset, or the files cannot be read.
        """
        load = {
            "destinationTable": self._reference(table),
            "sourceUris": uris,
            "sourceFormat": file_format,
            "autodetect": file_format != "PARQUET",
            "writeDisposition": write_disposition,
        }
        if file_format == "CSV":
            load["skipLeadingRows"] = "1"
        return int(self.run({"load": load})["statistics"]["load"]["outputRows"])

    def close(self) -> None:
        """Stops running jobs and closes the database; jobs that had not ended go on at the next start."""
        with self._opening:
            if self._opened is not None:
                database, jobs = self._opened
                jobs.close()
                database.close()
                self._opened = None

    def _reference(self, table: str) -> dict[str, str]:
        from trainwright.local.bigquery.errors import Invalid

        parts = table.removeprefix("bq://").replace(":", ".").split(".")
        if len(parts) not in (2, 3):
            raise Invalid(f"Invalid table: {table}: expected dataset.table or project.dataset.table")
        project = parts[0] if len(parts) == 3 else self.project
        return {"projectId": project, "datasetId": parts[-2], "tableId": parts[-1]}

    def _open(self) -> "tuple[Database, Jobs]":
        with self._opening:
            if self._opened is None:
                from trainwright.local.bigquery.database import Database
                from trainwright.local.bigquery.files import Files
                from trainwright.local.bigquery.jobs import Jobs

                database = Database(self._folder, [self._storage.root])
                files = Files(self._storage, database.staging)
                jobs = Jobs(database, files, self.project, self.project_number)
                self._opened = database, jobs
                jobs.resume()
            return self._opened
