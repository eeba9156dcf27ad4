"""Everything that local Vertex AI knows, in one SQLite file.

The contract that other rooms rely on:

* A call returns after its change is committed (WAL, synchronous=NORMAL: it survives kill -9 of the process at
  any instant; only a power cut can lose the last commits). Nobody acts on a state that is not in the store.
* A record is bytes under a resource name. Who writes which kind is fixed: services write the resources they
  serve (`pipelineJob`, `customJob`, `model`, `operation`), the engine writes `pipelineTask`, `artifact`,
  `cache` and a pipeline's `run`, training writes `trial` and the `run` of custom and tuning jobs. So no two
  rooms race for a record.
* `version` grows by one at every write of a name; events are append-only and numbered over the whole store.
* All methods may be called from any thread. Subscribers are called in the writing thread, after the commit.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
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
"""

_WRITE = """
INSERT INTO records (name, kind, payload, version, created, updated) VALUES (?, ?, ?, 1, ?, ?)
ON CONFLICT (name) DO UPDATE SET payload = excluded.payload, kind = excluded.kind,
    version = records.version + 1, updated = excluded.updated
"""

_COLUMNS = "name, kind, payload, version, created, updated"


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
        with self._lock:
            try:
                self._connection.execute(
                    f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, 1, ?, ?)",  # noqa: S608
                    (name, kind, payload, now, now),
                )
            except sqlite3.IntegrityError:
                raise FileExistsError(name) from None
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
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_WRITE, values)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise
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
        with self._lock:
            removed = self._connection.execute("DELETE FROM records WHERE name = ?", (name,)).rowcount > 0
        if removed:
            self._notify([name])
        return removed

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

    def _notify(self, names: Iterable[str]) -> None:
        with self._lock:
            subscribers = list(self._subscribers)
        for name in names:
            for subscriber in subscribers:
                subscriber(name)
