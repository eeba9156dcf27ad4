"""The DuckDB database that holds everything: tables, datasets, jobs.

A job's effect and its record as done are one transaction. So a job that a killed process left running has
done nothing, and is run again when the database is opened next.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from trainwright.local.bigquery.sql import farm_fingerprint, macros

MEMORY_LIMIT = "1GB"  # DuckDB spills what is more to the state folder
_SPILL_LIMIT = "20GB"
_SESSION_SECONDS = 7 * 24 * 3600.0  # BigQuery documentation, "Resumable uploads": a session ends after a week

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS catalog;
CREATE SCHEMA IF NOT EXISTS data;
CREATE SEQUENCE IF NOT EXISTS catalog.numbers;
CREATE TABLE IF NOT EXISTS catalog.datasets (id VARCHAR, resource VARCHAR);
CREATE TABLE IF NOT EXISTS catalog.tables (
    dataset VARCHAR, id VARCHAR, physical VARCHAR, changed BIGINT, resource VARCHAR
);
CREATE TABLE IF NOT EXISTS catalog.jobs (
    id VARCHAR, number BIGINT, created DOUBLE, state VARCHAR, resource VARCHAR
);
"""


class Database:
    """The database of one state folder.

    Args:
        folder: `<state>/bigquery`, made when absent.
        readable: Folders whose files queries of this room may read and write (those of Cloud Storage).

    Raises:
        duckdb.Error: The file cannot be opened.
    """

    def __init__(self, folder: Path, readable: list[Path]) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.staging = folder / "staging"
        self.staging.mkdir(mode=0o700, exist_ok=True)
        spill = folder / "spill"
        spill.mkdir(mode=0o700, exist_ok=True)
        path = folder / "bigquery.duckdb"
        self._connection = duckdb.connect(
            path,
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(spill),
                "max_temp_directory_size": _SPILL_LIMIT,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "preserve_insertion_order": "true",
            },
        )
        path.chmod(0o600)  # its log beside it is made anew again and again; the folder keeps others out
        # One change at a time; queries that only read go on beside it.
        self.changing = threading.RLock()
        self._connection.execute(_SCHEMA)
        farm_fingerprint.register(self._connection)
        macros.create(self._connection)
        allowed = ", ".join(f"'{str(each).replace(chr(39), chr(39) * 2)}'" for each in (folder, *readable))
        self._connection.execute(f"SET allowed_directories = [{allowed}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for a thread."""
        return self._connection.cursor()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction: committed at the end, rolled back after an error."""
        with contextlib.closing(self.cursor()) as cursor:
            cursor.begin()
            try:
                yield cursor
                cursor.commit()
            except BaseException:
                with contextlib.suppress(duckdb.Error):  # DuckDB has rolled back already
                    cursor.rollback()
                raise

    @contextlib.contextmanager
    def change(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction that may change datasets and tables: no other one does meanwhile."""
        with self.changing, self.transaction() as cursor:
            yield cursor

    def sweep(self, needed: set[str]) -> None:
        """Removes staged files that a killed process left behind, and uploads that nobody goes on with.

        Args:
            needed: Names of files that jobs still have to load.
        """
        for file in self.staging.iterdir():
            session = file.with_suffix(".job")
            is_upload = session.exists() and time.time() - session.stat().st_mtime < _SESSION_SECONDS
            if file.name not in needed and not is_upload:
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Ends the use of the database."""
        self._connection.close()


def one(cursor: duckdb.DuckDBPyConnection, sql: str, *values: object) -> tuple[Any, ...] | None:
    """The first row of a query, or None."""
    return cursor.execute(sql, list(values)).fetchone()


def read(text: str) -> dict[str, Any]:
    """A resource as it is kept."""
    return json.loads(text)
