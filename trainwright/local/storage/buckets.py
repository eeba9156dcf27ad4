"""Operations on buckets: a bucket is a folder below the root whose name a bucket can have."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainwright.local.storage import files, names
from trainwright.local.storage.attributes import bucket_attributes, patched_bucket, replaced_bucket
from trainwright.local.storage.database import Database, StoredBucket
from trainwright.local.storage.errors import Conflict, NotFound
from trainwright.local.storage.locks import Locks
from trainwright.local.storage.objects import Objects
from trainwright.local.storage.preconditions import Preconditions

_NONE = Preconditions()


class Buckets:
    """All buckets. Methods block; any thread may call them.

    Args:
        root: Folder of the buckets.
        database: The metadata.
        objects: The buckets' objects.
    """

    def __init__(self, root: Path, database: Database, objects: Objects) -> None:
        self._root = root
        self._database = database
        self._objects = objects
        self._locks = Locks()

    def create(self, name: str, resource: Mapping[str, Any]) -> StoredBucket:
        """Makes a bucket.

        Raises:
            InvalidName: No bucket can be called so.
            Conflict: There is one of that name.
            Invalid: A field is malformed.
            NotImplementedHere: A field asks for what local Cloud Storage cannot do.
        """
        folder = names.bucket_folder(self._root, name)
        attributes = bucket_attributes(resource)
        with self._locks.hold((name, "")):
            try:
                folder.mkdir()
            except FileExistsError:
                raise Conflict(
                    "Your previous request to create the named bucket succeeded and you already own it."
                ) from None
            now = time.time()
            bucket = StoredBucket(name, 1, now, now, attributes)
            self._database.write_bucket(bucket)
            return bucket

    def get(self, name: str, preconditions: Preconditions = _NONE, *, reading: bool = False) -> StoredBucket:
        """The bucket's metadata; that of a folder which another process made is made now.

        Raises:
            InvalidName: No bucket can be called so.
            NotFound: There is none of that name.
            PreconditionFailed: A precondition on its metadata does not hold.
            NotModified: The same, for a `NotMatch` when `reading`.
        """
        folder = names.bucket_folder(self._root, name)
        if folder.is_symlink() or not folder.is_dir():
            raise NotFound("The specified bucket does not exist.")
        bucket = self._database.bucket(name)
        if bucket is None:
            made = folder.stat().st_mtime
            bucket = StoredBucket(name, 1, made, made, bucket_attributes({}))
            self._database.write_bucket(bucket)
        preconditions.check(bucket.metageneration, bucket.metageneration, reading=reading)
        return bucket

    def names(self) -> Sequence[str]:
        """The names of all buckets, in order."""
        entries = (entry for entry in self._root.iterdir() if entry.is_dir() and not entry.is_symlink())
        return sorted(entry.name for entry in entries if names.bucket_problem(entry.name) is None)

    def update(
        self, name: str, resource: Mapping[str, Any], preconditions: Preconditions = _NONE, *, merge: bool
    ) -> StoredBucket:
        """Changes a bucket's metadata.

        Args:
            name: The bucket.
            resource: The request's fields.
            preconditions: On the metadata that is replaced.
            merge: True for PATCH (the fields that are given), False for PUT (all of them).

        Raises:
            ApiError: As `get` and `create`.
        """
        change = patched_bucket if merge else replaced_bucket
        with self._locks.hold((name, "")):
            bucket = self.get(name, preconditions)
            return self._write(bucket, attributes=change(bucket.attributes, resource))

    def set_policy(self, name: str, policy: dict[str, Any]) -> StoredBucket:
        """Keeps an IAM policy with the bucket; it has no effect: whoever has the token may do everything."""
        with self._locks.hold((name, "")):
            return self._write(self.get(name), policy=policy)

    def delete(self, name: str, preconditions: Preconditions = _NONE) -> None:
        """Removes a bucket without objects.

        Raises:
            Conflict: It holds objects, or files that are none.
            NotFound: There is none of that name.
        """
        with self._locks.hold((name, "")):
            self.get(name, preconditions)
            folder = names.bucket_folder(self._root, name)
            if self._objects.any_in(name) or not files.remove_empty_folders(folder):
                raise Conflict("The bucket you tried to delete is not empty.")
            self._database.forget_bucket(name)

    def _write(self, bucket: StoredBucket, **changes: Any) -> StoredBucket:
        changed = replace(bucket, metageneration=bucket.metageneration + 1, updated=time.time(), **changes)
        self._database.write_bucket(changed)
        return changed
