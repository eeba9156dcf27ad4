"""Resumable uploads: sessions that survive a lost connection and a restart of the server.

What has arrived is the file `<staging>/<session id>`; its size is what a status query answers. Source: Cloud
Storage documentation, "Perform resumable uploads".
"""

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainwright.local.storage.database import Database, StoredObject, StoredUpload
from trainwright.local.storage.errors import Invalid, NotFound
from trainwright.local.storage.files import StagedFile
from trainwright.local.storage.objects import Checksums, Objects, Target
from trainwright.local.storage.preconditions import Preconditions

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True)
class ContentRange:
    """Which part of an upload a request carries.

    Args:
        first: Offset of its first byte; None: it carries nothing and asks what has arrived.
        last: Offset of its last byte; None: as many as come.
        total: Size of the whole upload; None: not known yet.
    """

    first: int | None
    last: int | None = None
    total: int | None = None


def parse_content_range(header: str | None) -> ContentRange:
    """Reads a `Content-Range` header; without one a request carries the whole upload.

    Raises:
        Invalid: It has no such form, or its numbers contradict each other.
    """
    if header is None:
        return ContentRange(0)
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise Invalid(f"Failed to parse Content-Range header: '{header[:100]}'")
    first, last, total = (int(part) if part and part != "*" else None for part in match.groups())
    if first is not None and last is not None and (last < first or (total is not None and last >= total)):
        raise Invalid(f"Failed to parse Content-Range header: '{header[:100]}'")
    return ContentRange(first, last, total)


class Uploads:
    """All sessions. Methods block; of one session, one request at a time may call them.

    Args:
        staging: Folder of what has arrived.
        database: The sessions.
        objects: Where finished uploads go.
    """

    def __init__(self, staging: Path, database: Database, objects: Objects) -> None:
        self._staging = staging
        self._database = database
        self._objects = objects
        self._guard = threading.Lock()
        self._staged: dict[str, StagedFile] = {}

    def start(
        self,
        target: Target,
        attributes: dict[str, Any],
        checksums: Checksums,
        size: int | None,
        query: Mapping[str, str],
    ) -> str:
        """Opens a session and returns its id.

        Args:
            target: The object to make. Its preconditions are read from `query` again when the upload is
                finished.
            attributes: See `attributes.object_attributes`.
            checksums: What the content must have.
            size: What it must be long, if that is known.
            query: The parameters of the request that starts the upload.

        Raises:
            ApiError: The object could not be written, see `Objects.check_writable`.
        """
        self._objects.check_writable(target)
        upload = StoredUpload(
            secrets.token_urlsafe(32),
            target.bucket,
            target.name,
            {
                "attributes": attributes,
                "md5": checksums.md5,
                "crc32c": checksums.crc32c,
                "size": size,
                "preconditions": {name: value for name, value in query.items() if name.startswith("if")},
            },
        )
        self._database.write_upload(upload)
        return upload.id

    def get(self, id: str) -> StoredUpload:  # noqa: A002
        """The session.

        Raises:
            NotFound: There is none of that id: never, not any more, or cancelled.
        """
        upload = self._database.upload(id)
        if upload is None:
            raise NotFound("No such upload session: it has ended, was cancelled, or never was.")
        return upload

    def staged(self, id: str) -> StagedFile:  # noqa: A002
        """What has arrived in an unfinished session."""
        with self._guard:
            staged = self._staged.get(id)
        if staged is None:
            staged = StagedFile(self._staging / id)  # reads what was there before a restart
            with self._guard:
                self._staged[id] = staged
        return staged

    def finish(self, upload: StoredUpload, checksums: Checksums) -> StoredObject:
        """Makes what has arrived the object.

        The session ends, also when the object is refused.

        Args:
            upload: The session.
            checksums: Those of the last request, beside those of the first.

        Raises:
            ApiError: As `Objects.insert`.
        """
        request = upload.request
        target = Target(upload.bucket, upload.name, None, Preconditions.of(request["preconditions"]))
        stated = Checksums(checksums.md5 or request["md5"], checksums.crc32c or request["crc32c"])
        try:
            with self.staged(upload.id) as staged:
                stored = self._objects.insert(target, staged, request["attributes"], stated)
        except BaseException:
            self.cancel(upload.id)
            raise
        self._database.write_upload(replace(upload, generation=stored.generation))
        with self._guard:
            self._staged.pop(upload.id, None)
        return stored

    def finished(self, upload: StoredUpload) -> StoredObject:
        """The object of a finished session, for a client that missed the answer.

        Raises:
            NotFound: It has been replaced or removed since.
        """
        return self._objects.get(Target(upload.bucket, upload.name, upload.generation))

    def cancel(self, id: str) -> None:  # noqa: A002
        """Ends a session and removes what has arrived."""
        with self._guard:
            staged = self._staged.pop(id, None) or StagedFile(self._staging / id)
        staged.discard()
        self._database.forget_upload(id)
