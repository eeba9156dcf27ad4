"""What a file cannot carry: the metadata of buckets, objects and unfinished uploads, in one SQLite file.

A row of `objects` belongs to one content of one file, known by inode, modification time and size. The row of
a new content is written before the file takes its place, and the rows of older contents are removed after. So
whatever instant the process is killed at, the file that is there finds the row that was made for it.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import stat_result
from pathlib import Path
from typing import Any, Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, metageneration INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    attributes TEXT NOT NULL, policy TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL,
    inode INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    generation INTEGER NOT NULL, metageneration INTEGER NOT NULL, md5 BLOB, crc32c INTEGER,
    created REAL NOT NULL, updated REAL NOT NULL, attributes TEXT NOT NULL,
    PRIMARY KEY (bucket, name, inode, mtime_ns, size)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS placeholders ON objects (bucket, name, inode) WHERE substr(name, -1) = '/';
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL,
    created REAL NOT NULL, generation INTEGER
) WITHOUT ROWID;
"""

_INTEGER = 2**63 - 1  # the largest of SQLite; some file systems use all 64 bits for inodes
_THIS_CONTENT = "inode = ? AND mtime_ns = ? AND size = ?"


@dataclass(frozen=True)
class Identity:
    """One content of one file, as far as `stat` can tell contents apart."""

    inode: int
    mtime_ns: int
    size: int

    @classmethod
    def of(cls, status: stat_result) -> Self:
        """The identity of the file that `os.stat` described."""
        return cls(status.st_ino & _INTEGER, status.st_mtime_ns, status.st_size)

    @classmethod
    def of_folder(cls, status: stat_result) -> Self:
        """The identity of a folder placeholder: its time changes with its content and is left out."""
        return cls(status.st_ino & _INTEGER, 0, 0)


@dataclass(frozen=True)
class StoredObject:
    """An object's version: what it is called, which content it is, and what was said about it.

    `md5` and `crc32c` are None until somebody asks for those of a file that another process wrote; `md5`
    stays None for a composed object, as on Google's side. Times are Unix seconds.
    """

    bucket: str
    name: str
    identity: Identity
    generation: int
    metageneration: int
    md5: bytes | None
    crc32c: int | None
    created: float
    updated: float
    attributes: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.identity.size


@dataclass(frozen=True)
class StoredBucket:
    """A bucket's metadata. Times are Unix seconds."""

    name: str
    metageneration: int
    created: float
    updated: float
    attributes: dict[str, Any]
    policy: dict[str, Any] | None = None


@dataclass(frozen=True)
class StoredUpload:
    """A resumable upload session; `generation` is that of the finished object, None before."""

    id: str
    bucket: str
    name: str
    request: dict[str, Any]
    created: float = field(default_factory=time.time)
    generation: int | None = None


class Database:
    """The metadata. Any thread may call; a call has committed when it returns.

    Args:
        path: The SQLite file; made when absent, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        self._generation = int(self._rows("SELECT COALESCE(MAX(generation), 0) FROM objects")[0][0])

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self._connection.close()

    def next_generation(self) -> int:
        """A number above all that were given out: the time in microseconds, as Google's generations are."""
        with self._lock:
            self._generation = max(time.time_ns() // 1000, self._generation + 1)
            return self._generation

    def bucket(self, name: str) -> StoredBucket | None:
        """The metadata of a bucket, if it has some."""
        rows = self._rows(
            "SELECT metageneration, created, updated, attributes, policy FROM buckets WHERE name = ?",
            name,
        )
        if not rows:
            return None
        metageneration, created, updated, attributes, policy = rows[0]
        found = json.loads(policy) if policy else None
        return StoredBucket(name, metageneration, created, updated, json.loads(attributes), found)

    def write_bucket(self, bucket: StoredBucket) -> None:
        """Writes a bucket's metadata, new or not."""
        self._rows(
            "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?)",
            bucket.name,
            bucket.metageneration,
            bucket.created,
            bucket.updated,
            json.dumps(bucket.attributes),
            json.dumps(bucket.policy) if bucket.policy is not None else None,
        )

    def forget_bucket(self, name: str) -> None:
        """Removes the metadata of a bucket and of everything in it."""
        with self._lock:
            self._rows("DELETE FROM objects WHERE bucket = ?", name)
            self._rows("DELETE FROM buckets WHERE name = ?", name)

    def object(self, bucket: str, name: str, identity: Identity) -> StoredObject | None:
        """The metadata of this content of the object, if it has some."""
        rows = self._rows(
            "SELECT generation, metageneration, md5, crc32c, created, updated, attributes FROM objects"  # noqa: S608
            f" WHERE bucket = ? AND name = ? AND {_THIS_CONTENT}",
            *(bucket, name, identity.inode, identity.mtime_ns, identity.size),
        )
        if not rows:
            return None
        generation, metageneration, md5, crc32c, created, updated, attributes = rows[0]
        known = json.loads(attributes)
        return StoredObject(
            bucket, name, identity, generation, metageneration, md5, crc32c, created, updated, known
        )

    def write_object(self, stored: StoredObject) -> None:
        """Writes the metadata of one content of an object, beside that of its other contents."""
        identity = stored.identity
        self._rows(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(stored.bucket, stored.name, identity.inode, identity.mtime_ns, identity.size),
            *(stored.generation, stored.metageneration, stored.md5, stored.crc32c),
            *(stored.created, stored.updated, json.dumps(stored.attributes)),
        )

    def write_digests(self, stored: StoredObject, md5: bytes, crc32c: int) -> None:
        """Remembers the checksums of one content of an object; no other column changes."""
        identity = stored.identity
        self._rows(
            f"UPDATE objects SET md5 = ?, crc32c = ? WHERE bucket = ? AND name = ? AND {_THIS_CONTENT}",  # noqa: S608
            *(md5, crc32c, stored.bucket, stored.name, identity.inode, identity.mtime_ns, identity.size),
        )

    def keep_only(self, bucket: str, name: str, identity: Identity) -> None:
        """Removes the metadata of all other contents of the object."""
        self._rows(
            f"DELETE FROM objects WHERE bucket = ? AND name = ? AND NOT ({_THIS_CONTENT})",  # noqa: S608
            *(bucket, name, identity.inode, identity.mtime_ns, identity.size),
        )

    def forget_object(self, bucket: str, name: str, identity: Identity | None = None) -> None:
        """Removes the metadata of one content of an object, or without `identity` of all."""
        if identity is None:
            self._rows("DELETE FROM objects WHERE bucket = ? AND name = ?", bucket, name)
        else:
            self._rows(
                f"DELETE FROM objects WHERE bucket = ? AND name = ? AND {_THIS_CONTENT}",  # noqa: S608
                *(bucket, name, identity.inode, identity.mtime_ns, identity.size),
            )

    def placeholders(self, bucket: str, prefix: str) -> dict[str, int]:
        """The inodes of the folders of the bucket's placeholders whose names start with `prefix`."""
        rows = self._rows(
            "SELECT name, inode FROM objects WHERE bucket = ? AND name >= ? AND substr(name, 1, ?) = ?"
            " AND substr(name, -1) = '/'",
            *(bucket, prefix, len(prefix), prefix),
        )
        return dict(rows)

    def upload(self, id: str) -> StoredUpload | None:  # noqa: A002
        """The session of that id, if there is one."""
        rows = self._rows(
            "SELECT id, bucket, name, request, created, generation FROM uploads WHERE id = ?", id
        )
        if not rows:
            return None
        row = rows[0]
        return StoredUpload(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5])

    def write_upload(self, upload: StoredUpload) -> None:
        """Writes a session, new or not."""
        self._rows(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?)",
            *(
                upload.id,
                upload.bucket,
                upload.name,
                json.dumps(upload.request),
                upload.created,
                upload.generation,
            ),
        )

    def forget_upload(self, id: str) -> None:  # noqa: A002
        """Removes a session."""
        self._rows("DELETE FROM uploads WHERE id = ?", id)

    def forget_uploads_before(self, created: float) -> None:
        """Removes the sessions that were started before that time."""
        self._rows("DELETE FROM uploads WHERE created < ?", created)

    def unfinished_uploads(self) -> set[str]:
        """The ids of the sessions that can still go on."""
        return {row[0] for row in self._rows("SELECT id FROM uploads WHERE generation IS NULL")}

    def _rows(self, statement: str, *values: str | float | bytes | None) -> Sequence[tuple]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()
