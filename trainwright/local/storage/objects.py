"""Operations on objects, each one step against all other requests.

A request holds the lock of each object it changes from the check of its preconditions to the commit; contents
are read and written outside of it. Other processes know no lock: each of their writes is simply a new
version.
"""

import contextlib
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from trainwright.local.storage import files, listing, names
from trainwright.local.storage.attributes import object_attributes, patched_object, replaced_object
from trainwright.local.storage.database import Database, Identity, StoredObject
from trainwright.local.storage.errors import Invalid, NotFound
from trainwright.local.storage.locks import Locks
from trainwright.local.storage.preconditions import Preconditions
from trainwright.local.storage.versions import Versions

_SOURCES = 32  # Cloud Storage JSON API reference, "Objects: compose"
# A file clock ticks every few milliseconds: a later write within the tick does not show in `mtime_ns`.
_SETTLED_NS = 100_000_000
_NONE = Preconditions()


@dataclass(frozen=True)
class Checksums:
    """The checksums that a request states for its content, in base64; None: not stated."""

    md5: str | None = None
    crc32c: str | None = None

    def check(self, digests: files.Digests) -> None:
        """Compares them with those of what arrived.

        Raises:
            Invalid: One differs.
        """
        crc32c, md5 = files.crc32c_text(digests.crc32c), files.md5_text(digests.md5)
        if self.crc32c not in (None, crc32c):
            raise Invalid(f'Provided CRC32C "{self.crc32c}" doesn\'t match calculated CRC32C "{crc32c}".')
        if self.md5 not in (None, md5):
            raise Invalid(f'Provided MD5 hash "{self.md5}" doesn\'t match calculated MD5 hash "{md5}".')


@dataclass(frozen=True)
class Target:
    """The object that a request is about, and when it may be: `generation` None means whichever is live."""

    bucket: str
    name: str
    generation: int | None = None
    preconditions: Preconditions = _NONE


class Objects:
    """The objects of all buckets. Methods block; any thread may call them.

    Every method raises `NotFound` for a bucket, object or generation that is not there, `PreconditionFailed`
    for a precondition that does not hold, and `InvalidName` for a bucket's name that cannot be one. An
    object's name that cannot be a file is `InvalidName` where it would be written and `NotFound` where it
    would be read.

    Args:
        root: Folder of the buckets, without symbolic links in its path.
        staging: Folder for contents under way, on the same file system.
        database: The metadata.
    """

    def __init__(self, root: Path, staging: Path, database: Database) -> None:
        self._staging = staging
        self._database = database
        self._versions = Versions(root, database)
        self._locks = Locks()

    def stage(self) -> files.StagedFile:
        """A content that is about to arrive."""
        return files.StagedFile.new(self._staging)

    def get(self, target: Target, *, reading: bool = False, digests: bool = True) -> StoredObject:
        """The live version.

        Args:
            target: Which object.
            reading: True to answer a `NotMatch` precondition that does not hold with `NotModified`.
            digests: Whether checksums that are not known yet are read from the file.
        """
        with self._locks.hold((target.bucket, target.name)):
            stored = self._live(target, reading=reading)
        return self._with_digests(stored) if digests else stored

    def open(self, target: Target, *, reading: bool = False) -> tuple[StoredObject, BinaryIO]:
        """The live version and its content, which stays readable when the object is replaced; see `get`.

        A content of one block at most is in memory already.

        The checksums of a file that another process wrote are left unknown if nobody asked for them before: a
        reader need not wait for them.
        """
        with self._locks.hold((target.bucket, target.name)):
            opened = self._versions.open(target.bucket, target.name)
            if opened is None:
                return self._live(target, reading=reading), io.BytesIO()
            file, identity = opened
            with contextlib.ExitStack() as on_error:
                on_error.callback(file.close)
                stored = self._versions.known(target.bucket, target.name, identity)
                _check(target, stored, reading=reading)
                if stored.size > files.BLOCK:
                    on_error.pop_all()
                    return stored, file
                return stored, io.BytesIO(file.read(stored.size))

    def list(
        self, bucket: str, selection: listing.Selection, *, digests: bool = True
    ) -> tuple[Sequence[StoredObject], listing.Page]:
        """One page of a bucket: its objects (see `get`), and the page with prefixes and what is left.

        Raises:
            Invalid: The selection's glob is malformed.
        """
        folder = self._versions.folder(bucket)
        placeholders = self._database.placeholders(bucket, selection.prefix)
        page = listing.page(listing.Walk(folder, placeholders, selection.prefix, selection.lower), selection)
        found = []
        for name in page.names:
            with contextlib.suppress(NotFound):  # removed since
                found.append(self.get(Target(bucket, name), digests=digests))
        return found, page

    def insert(
        self,
        target: Target,
        staged: files.StagedFile,
        attributes: dict[str, Any],
        checksums: Checksums = Checksums(),
    ) -> StoredObject:
        """Makes a staged content the object.

        Args:
            target: The object; preconditions are on the version that is replaced.
            staged: The content; moved away.
            attributes: See `attributes.object_attributes`.
            checksums: What the content must have.

        Raises:
            Invalid: A checksum differs, or a folder placeholder has content.
            Conflict: Another object's name rules this one out.
        """
        self.check_writable(target)
        checksums.check(staged.digests)
        with self._locks.hold((target.bucket, target.name)):
            self._check_replaced(target)
            md5 = staged.digests.md5
            return self._versions.publish(target.bucket, target.name, staged, attributes, md5=md5)

    def check_writable(self, target: Target) -> None:
        """Raises what `insert` would raise for the names alone, before a content is on its way."""
        self._versions.folder(target.bucket)
        names.check_object(target.name)

    def update(self, target: Target, resource: Mapping[str, Any], *, merge: bool) -> StoredObject:
        """Changes an object's metadata; its content and generation stay.

        Args:
            target: The object.
            resource: The request's fields.
            merge: True for PATCH (the fields that are given), False for PUT (all of them).

        Raises:
            Invalid: A field is malformed.
            NotImplementedHere: A field asks for what local Cloud Storage cannot do.
        """
        with self._locks.hold((target.bucket, target.name)):
            stored = self._live(target)
            attributes = (patched_object if merge else replaced_object)(stored.attributes, resource)
            changed = replace(
                stored, attributes=attributes, metageneration=stored.metageneration + 1, updated=time.time()
            )
            self._database.write_object(changed)
        return self._with_digests(changed)

    def delete(self, target: Target) -> None:
        """Removes an object."""
        with self._locks.hold((target.bucket, target.name)):
            self._live(target)
            self._versions.remove(target.bucket, target.name)

    def copy(self, source: Target, target: Target, resource: Mapping[str, Any]) -> StoredObject:
        """Copies content and metadata to another name or bucket, or onto itself.

        Args:
            source: What to copy.
            target: Where to.
            resource: The copy's metadata in place of the source's; without writable fields: the source's.

        Raises:
            ApiError: As `insert`.
        """
        self.check_writable(target)
        given = object_attributes(resource)
        with self.stage() as staged:
            original = self._append(staged, source)
            if given:
                attributes = {"contentType": original.attributes["contentType"], **given}
            else:
                attributes = {
                    name: value for name, value in original.attributes.items() if name != "componentCount"
                }
            return self.insert(target, staged, attributes)

    def compose(
        self,
        sources: Sequence[Target],
        target: Target,
        attributes: dict[str, Any],
        *,
        delete_sources: bool = False,
    ) -> StoredObject:
        """Makes an object of the contents of 1 to 32 others, in order.

        Args:
            sources: What to read.
            target: What to make; may be one of the sources.
            attributes: See `attributes.object_attributes`.
            delete_sources: Whether the versions that were read are removed at the end.

        Raises:
            ApiError: As `insert`.
        """
        if not 1 <= len(sources) <= _SOURCES:
            raise Invalid(
                f"The number of source components provided ({len(sources)}) is not 1 to {_SOURCES}."
            )
        self.check_writable(target)
        with self.stage() as staged:
            originals = [self._append(staged, source) for source in sources]
            components = sum(int(original.attributes.get("componentCount", 1)) for original in originals)
            with self._locks.hold((target.bucket, target.name)):
                self._check_replaced(target)
                attributes = {**attributes, "componentCount": components}
                composed = self._versions.publish(target.bucket, target.name, staged, attributes, md5=None)
        for original in originals if delete_sources else ():
            with contextlib.suppress(NotFound):  # replaced since, perhaps by the composed object
                self.delete(Target(original.bucket, original.name, original.generation))
        return composed

    def move(self, source: Target, target: Target) -> StoredObject:
        """Renames an object within its bucket in one step; raises as `insert`."""
        self.check_writable(target)
        if source.name.endswith("/") or target.name.endswith("/"):
            raise Invalid("Local Cloud Storage cannot move a folder placeholder: copy and delete it instead.")
        if source.name == target.name:
            raise Invalid("Cannot move an object to its own name.")
        with self._locks.hold((source.bucket, source.name), (target.bucket, target.name)):
            stored = self._live(source)
            self._check_replaced(target)
            now = time.time()
            generation = self._database.next_generation()
            moved = replace(
                stored, name=target.name, generation=generation, metageneration=1, created=now, updated=now
            )
            self._versions.place(self._versions.path(source.bucket, source.name), moved)
            self._database.forget_object(source.bucket, source.name)
        return self._with_digests(moved)

    def any_in(self, bucket: str) -> bool:
        """Whether the bucket holds an object."""
        placeholders = self._database.placeholders(bucket, "")
        return any(True for _ in listing.Walk(self._versions.folder(bucket), placeholders, "", ""))

    def _live(self, target: Target, *, reading: bool = False) -> StoredObject:
        stored = self._versions.current(target.bucket, target.name)
        if stored is None:
            raise NotFound(f"No such object: {target.bucket}/{names.shown(target.name)}")
        _check(target, stored, reading=reading)
        return stored

    def _check_replaced(self, target: Target) -> None:
        current = self._versions.current(target.bucket, target.name)
        generation, metageneration = (current.generation, current.metageneration) if current else (0, 0)
        target.preconditions.check(generation, metageneration)

    def _append(self, staged: files.StagedFile, source: Target) -> StoredObject:
        original, file = self.open(source)
        with file:
            while block := file.read(files.BLOCK):
                staged.write(block)
        return original

    def _with_digests(self, stored: StoredObject) -> StoredObject:
        """The same version with its checksums, read from the file if they are not known yet.

        A file that changes while it is read gets none: they would be wrong a moment later.
        """
        opened = self._versions.open(stored.bucket, stored.name) if stored.crc32c is None else None
        if opened is None:
            return stored
        digests = files.Digests()
        with opened[0] as file:
            while block := file.read(files.BLOCK):
                digests.update(block)
            if not opened[1] == stored.identity == Identity.of(os.fstat(file.fileno())):
                return stored
        if time.time_ns() - stored.identity.mtime_ns > _SETTLED_NS:
            self._database.write_digests(stored, digests.md5, digests.crc32c)
        return replace(stored, md5=digests.md5, crc32c=digests.crc32c)


def _check(target: Target, stored: StoredObject, *, reading: bool) -> None:
    if target.generation not in (None, stored.generation):
        raise NotFound(f"No such object: {target.bucket}/{names.shown(target.name)}#{target.generation}")
    target.preconditions.check(stored.generation, stored.metageneration, reading=reading)
