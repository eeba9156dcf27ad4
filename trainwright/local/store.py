"""Everything that local Vertex AI knows, in one SQLite file.

The contract that other rooms rely on:

* A call returns after its change is committed (WAL, synchronous=NORMAL: it survives kill -9 of the process at
  any instant; only a power cut can lose the last commits). Nobody acts on a state that is not in the store.
* A record is bytes under a resource name. Who writes which kind is fixed: services write the resources they
  serve (`pipelineJob`, `customJob`, `model`, `operation`), the engine writes `pipelineTask`, `artifact`,
  `cache` and a pipeline's `run`, training writes `trial` and the `run` of custom and tuning jobs. So no two
  rooms race for a record.
* `version` grows by one at every write of a name; events are append-only and numbered over the whole store.
* What a list filters and orders by is kept beside the record of a kind that was given to `summarize`, in the
  same transaction: a summary is never older than its record.
* All methods may be called from any thread. Subscribers are called in the writing thread, after the commit.
"""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    version INTEGER NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS records_by_kind ON records (kind, name);
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    time REAL NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_name ON events (name, sequence);
CREATE TABLE IF NOT EXISTS summaries (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    display_name TEXT,
    state TEXT,
    create_time INTEGER,
    start_time INTEGER,
    end_time INTEGER,
    update_time INTEGER,
    labels TEXT,
    pipeline_name TEXT,
    template_uri TEXT,
    schedule_name TEXT,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS summarized (kind TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# A job's state is in the record of its run, which another room writes: it must outlast writes of the job.
_OF_RUN = ("state", "start_time", "end_time", "update_time")

_WRITE = """
INSERT INTO records (name, kind, payload, version, created, updated) VALUES (?, ?, ?, 1, ?, ?)
ON CONFLICT (name) DO UPDATE SET payload = excluded.payload, kind = excluded.kind,
    version = records.version + 1, updated = excluded.updated
"""

_COLUMNS = "name, kind, payload, version, created, updated"

Summary = dict[str, str | int | None]


@dataclass(frozen=True)
class Record:
    """One resource: its name, its kind, its bytes, how often it was written, and when (Unix seconds)."""

    name: str
    kind: str
    payload: bytes
    version: int
    created: float
    updated: float

    def json(self) -> dict:
        """The payload of a record whose kind is written as JSON."""
        return json.loads(self.payload)


@dataclass(frozen=True)
class Event:
    """One entry of the append-only log of a resource."""

    sequence: int
    name: str
    time: float
    payload: dict


class Store:
    """The records and events of one state folder; see the module's docstring for the contract.

    Args:
        path: The SQLite file; made when absent, readable by its owner only.

    Raises:
        sqlite3.OperationalError: The file cannot be opened or written (full disk:
            "database or disk is full").
        sqlite3.DatabaseError: The file is no SQLite database.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._lock = threading.RLock()
        self._subscribers: list[Callable[[str], None]] = []
        self._of_record: dict[str, Callable[[bytes], Summary]] = {}
        self._of_run: dict[str, Callable[[bytes], Summary]] = {}
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def create(self, name: str, kind: str, payload: bytes) -> Record:
        """Writes a new record.

        Raises:
            FileExistsError: There is a record of that name.
        """
        now = time.time()
        with self._transaction():
            try:
                self._connection.execute(
                    f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, 1, ?, ?)",  # noqa: S608
                    (name, kind, payload, now, now),
                )
            except sqlite3.IntegrityError:
                raise FileExistsError(name) from None
            self._write_summary(name, kind, payload)
        self._notify([name])
        return Record(name, kind, payload, 1, now, now)

    def write(self, name: str, kind: str, payload: bytes) -> Record:
        """Writes a record, new or not, and returns it."""
        self.write_many([(name, kind, payload)])
        record = self.read(name)
        if record is None:  # deleted by another thread in between
            now = time.time()
            return Record(name, kind, payload, 1, now, now)
        return record

    def write_many(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Writes several records (name, kind, payload) in one transaction: all of them or none."""
        now = time.time()
        values = [(name, kind, payload, now, now) for name, kind, payload in rows]
        with self._transaction():
            self._connection.executemany(_WRITE, values)
            for value in values:
                self._write_summary(*value[:3])
        self._notify([value[0] for value in values])

    def read(self, name: str) -> Record | None:
        """The record of that name, or None."""
        with self._lock:
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM records WHERE name = ?",  # noqa: S608
                (name,),
            ).fetchone()
        return Record(*row) if row else None

    def list(self, kind: str, prefix: str = "") -> Sequence[Record]:
        """The records of a kind whose name starts with `prefix`, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND name >= ? AND name < ? ORDER BY sequence",  # noqa: S608
                (kind, prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return [Record(*row) for row in rows]

    def is_empty(self) -> bool:
        """Whether there is no record."""
        with self._lock:
            return self._connection.execute("SELECT 1 FROM records LIMIT 1").fetchone() is None

    def names(self, kind: str, prefix: str = "") -> Sequence[str]:
        """The names of the records of a kind that start with `prefix`, in alphabetical order."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT name FROM records WHERE kind = ? AND name >= ? AND name < ? ORDER BY name",
                (kind, prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return [row[0] for row in rows]

    def delete(self, name: str) -> bool:
        """Removes a record; False when there was none."""
        return bool(self.delete_many([name]))

    def delete_many(self, names: Iterable[str]) -> Sequence[str]:
        """Removes several records in one transaction; returns the names of those that were there."""
        with self._transaction():
            removed = []
            for name in names:
                if self._connection.execute("DELETE FROM records WHERE name = ?", (name,)).rowcount > 0:
                    removed.append(name)
                for kind in self._of_record:
                    self._connection.execute(
                        "DELETE FROM summaries WHERE kind = ? AND name = ?", (kind, name)
                    )
        self._notify(removed)
        return removed

    def read_many(self, names: Sequence[str]) -> Sequence[Record | None]:
        """The records of those names, in their order; None where there is none."""
        query = f"SELECT {_COLUMNS} FROM records WHERE name = ?"  # noqa: S608
        with self._lock:
            rows = [self._connection.execute(query, (name,)).fetchone() for name in names]
        return [Record(*row) if row else None for row in rows]

    def summarize(
        self,
        kind: str,
        of_record: Callable[[bytes], Summary],
        of_run: Callable[[bytes], Summary] | None = None,
    ) -> None:
        """Keeps a summary beside every record of a kind, for `select`.

        Args:
            kind: Of the records.
            of_record: Columns of the summary, from the record's payload.
            of_run: Columns that come from the record `NAME/run`, from its payload: state and times.
        """
        self._of_record[kind] = of_record
        if of_run is not None:
            self._of_run[kind] = of_run
        with self._transaction():
            if self._connection.execute("SELECT 1 FROM summarized WHERE kind = ?", (kind,)).fetchone():
                return
            query = (
                "SELECT name, payload, (SELECT payload FROM records WHERE name = job.name || '/run')"
                " FROM records AS job WHERE kind = ?"
            )
            for name, payload, run in self._connection.execute(query, (kind,)).fetchall():
                self._write_summary(name, kind, payload)
                if run is not None:
                    self._write_summary(f"{name}/run", "run", run)
            self._connection.execute("INSERT INTO summarized VALUES (?)", (kind,))

    def select(
        self,
        kind: str,
        prefix: str,
        condition: str,
        values: Sequence[str | int],
        order: str,
        page: slice,
    ) -> Sequence[str]:
        """The names of the records of a kind whose summary meets a condition.

        Args:
            kind: One that was given to `summarize`.
            prefix: Names start with it.
            condition: SQL over the columns of `summaries`, with a `?` for each of `values`.
            values: The values in the condition.
            order: SQL: what to order by. Where that is equal, the oldest is first.
            page: Which of them, from `start` to before `stop`.
        """
        query = (
            f"SELECT name FROM summaries WHERE kind = ? AND name >= ? AND name < ? AND ({condition})"  # noqa: S608
            f" ORDER BY {order}, sequence LIMIT ? OFFSET ?"
        )
        with self._lock:
            rows = self._connection.execute(
                query, (kind, prefix, prefix + "\U0010ffff", *values, page.stop - page.start, page.start)
            ).fetchall()
        return [row[0] for row in rows]

    def append(self, name: str, payload: dict) -> int:
        """Adds an event to the log of `name` and returns its number."""
        with self._lock:
            cursor = self._connection.execute(
                "INSERT INTO events (name, time, payload) VALUES (?, ?, ?)",
                (name, time.time(), json.dumps(payload)),
            )
        return int(cursor.lastrowid or 0)

    def events(self, name: str, after: int = 0) -> Sequence[Event]:
        """The events of `name` with a number above `after`, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT sequence, name, time, payload FROM events WHERE name = ? AND sequence > ?"
                " ORDER BY sequence",
                (name, after),
            ).fetchall()
        return [Event(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Calls `callback(name)` after each commit that touches `name`; returns what ends it."""
        with self._lock:
            self._subscribers.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.remove(callback)

        return unsubscribe

    def close(self) -> None:
        """Ends the connection; later calls raise sqlite3.ProgrammingError."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is executed within it, or nothing."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def _write_summary(self, name: str, kind: str, payload: bytes) -> None:
        if kind in self._of_record:
            columns = self._of_record[kind](payload)
            changed = [each for each in columns if kind not in self._of_run or each not in _OF_RUN]
            self._connection.execute(
                f"INSERT INTO summaries (kind, name, sequence, {', '.join(columns)})"  # noqa: S608
                " SELECT kind, name, sequence" + ", ?" * len(columns) + " FROM records WHERE name = ?"
                " ON CONFLICT (kind, name) DO UPDATE SET "
                + ", ".join(f"{each} = excluded.{each}" for each in changed),
                (*columns.values(), name),
            )
        if kind == "run":
            for job_kind, of_run in self._of_run.items():
                columns = of_run(payload)
                if columns:
                    self._connection.execute(
                        f"UPDATE summaries SET {', '.join(f'{each} = ?' for each in columns)}"  # noqa: S608
                        " WHERE kind = ? AND name = ?",
                        (*columns.values(), job_kind, name.removesuffix("/run")),
                    )

    def _notify(self, names: Iterable[str]) -> None:
        with self._lock:
            subscribers = list(self._subscribers)
        for name in names:
            for subscriber in subscribers:
                subscriber(name)
