"""Which version of an object is live: the file that is there, and the metadata that belongs to that content.

The folder is the truth. A file that another process wrote is an object from the first look on, with a
generation that stays until the file changes; a file that is gone is no object, whatever the metadata says.
"""

import mimetypes
import time
from pathlib import Path
from typing import Any, BinaryIO

from trainwright.local.storage import files, names
from trainwright.local.storage.database import Database, Identity, StoredObject
from trainwright.local.storage.errors import Conflict, Invalid, NotFound

DEFAULT_TYPE = "application/octet-stream"
_LAST_TIME = 253402300799.0  # the end of the year 9999: RFC 3339 can write no later one


class Versions:
    """Looks up and replaces live versions. The caller holds the object's lock, save for `open`.

    Args:
        root: Folder of the buckets, without symbolic links in its path.
        database: The metadata.
    """

    def __init__(self, root: Path, database: Database) -> None:
        self._root = root
        self._database = database

    def folder(self, bucket: str) -> Path:
        """The folder of an existing bucket.

        Raises:
            InvalidName: No bucket can be called so.
            NotFound: There is none.
        """
        folder = names.bucket_folder(self._root, bucket)
        if folder.is_symlink() or not folder.is_dir():
            raise NotFound("The specified bucket does not exist.")
        return folder

    def open(self, bucket: str, name: str) -> tuple[BinaryIO, Identity] | None:
        """The object's file, open, and which content it is; None without one or for a placeholder."""
        folder = self.folder(bucket)
        if name.endswith("/") or names.object_problem(name):
            return None
        return files.open_object(folder, names.object_path(self._root, bucket, name))

    def current(self, bucket: str, name: str) -> StoredObject | None:
        """The live version, if there is one."""
        if name.endswith("/"):
            return self._placeholder(bucket, name)
        opened = self.open(bucket, name)
        if opened is None:
            return None
        opened[0].close()
        return self.known(bucket, name, opened[1])

    def known(self, bucket: str, name: str, identity: Identity) -> StoredObject:
        """The metadata of a content that is there; made now if another process wrote it."""
        stored = self._database.object(bucket, name, identity)
        if stored is not None:
            return stored
        written = min(max(identity.mtime_ns / 1e9, 0.0), _LAST_TIME)
        kind, encoding = mimetypes.guess_type(name)
        attributes = {"contentType": kind if kind and not encoding else DEFAULT_TYPE}
        generation = self._database.next_generation()
        stored = StoredObject(bucket, name, identity, generation, 1, None, None, written, written, attributes)
        self._database.write_object(stored)
        self._database.keep_only(bucket, name, identity)
        return stored

    def publish(
        self,
        bucket: str,
        name: str,
        staged: files.StagedFile,
        attributes: dict[str, Any],
        *,
        md5: bytes | None,
    ) -> StoredObject:
        """Makes a staged content the live version.

        Args:
            bucket: An existing bucket.
            name: A valid name.
            staged: The content; moved away.
            attributes: The new version's attributes.
            md5: Of the content; None for a composed object, which has none on Google's side.

        Raises:
            NotFound: The bucket is gone.
            Invalid: A folder placeholder has content, or a symbolic link leads out of the bucket.
            Conflict: Another object's name rules this one out.
        """
        path = names.object_path(self._root, bucket, name)
        if name.endswith("/"):
            if staged.size:
                raise Invalid(
                    f"Cannot store gs://{bucket}/{names.shown(name)}: local Cloud Storage keeps a name that"
                    " ends in '/' as a folder, which has no content of its own."
                )
            files.make_folders(self.folder(bucket), path)
            identity = Identity.of_folder(path.stat())
        else:
            identity = staged.finish()
        now = time.time()
        generation = self._database.next_generation()
        attributes = {"contentType": DEFAULT_TYPE, **attributes}
        crc32c = staged.digests.crc32c
        stored = StoredObject(bucket, name, identity, generation, 1, md5, crc32c, now, now, attributes)
        if name.endswith("/"):
            self._database.write_object(stored)
            self._database.keep_only(bucket, name, identity)
        else:
            self.place(staged.path, stored)
        return stored

    def place(self, file: Path, stored: StoredObject) -> None:
        """Moves a file to where the version belongs, its metadata first; raises as `publish`."""
        folder = self.folder(stored.bucket)
        path = names.object_path(self._root, stored.bucket, stored.name)
        if path.is_dir() and self._database.placeholders(stored.bucket, stored.name + "/"):
            raise Conflict(files.in_the_way(folder, path, "a folder placeholder is stored below that name"))
        self._database.write_object(stored)
        try:
            files.place(file, folder, path)
        except BaseException:
            self._database.forget_object(stored.bucket, stored.name, stored.identity)
            raise
        self._database.keep_only(stored.bucket, stored.name, stored.identity)

    def remove(self, bucket: str, name: str) -> None:
        """Removes the live version. A placeholder's folder stays: it may hold objects."""
        if not name.endswith("/"):
            names.object_path(self._root, bucket, name).unlink(missing_ok=True)
        self._database.forget_object(bucket, name)

    def path(self, bucket: str, name: str) -> Path:
        """The file of an object."""
        return names.object_path(self._root, bucket, name)

    def _placeholder(self, bucket: str, name: str) -> StoredObject | None:
        folder = self.folder(bucket)
        if names.object_problem(name):
            return None
        path = names.object_path(self._root, bucket, name)
        if path.is_symlink() or not path.is_dir() or files.crosses_link(folder, path):
            return None
        return self._database.object(bucket, name, Identity.of_folder(path.stat()))
