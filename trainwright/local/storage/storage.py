"""Cloud Storage over a folder: its buckets, objects and uploads."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from trainwright.local.storage import names
from trainwright.local.storage.buckets import Buckets
from trainwright.local.storage.database import Database
from trainwright.local.storage.errors import Conflict
from trainwright.local.storage.objects import Objects
from trainwright.local.storage.uploads import Uploads

_SESSION_SECONDS = (
    7 * 24 * 3600.0
)  # Cloud Storage documentation, "Resumable uploads": a session ends after a week


class Storage:
    """The buckets below a folder. Any thread may use it; one process at a time.

    Args:
        root: Folder of the buckets, made when absent. An object is the plain file `<root>/<bucket>/<object>`.
        database: SQLite file of the metadata, made when absent.
        project_number: The project that all buckets belong to.

    Attributes:
        buckets: Operations on buckets.
        objects: Operations on objects.
        uploads: Resumable upload sessions.

    Raises:
        OSError: A folder or file cannot be made.
        sqlite3.DatabaseError: `database` is no SQLite database.
    """

    def __init__(self, root: Path, database: Path, *, project_number: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = Path(os.path.realpath(root))
        self.project_number = project_number
        staging = (
            self.root / ".staging"
        )  # no bucket's name starts with a dot; same file system as the buckets
        staging.mkdir(mode=0o700, exist_ok=True)
        self._database = Database(database)
        self.objects = Objects(self.root, staging, self._database)
        self.buckets = Buckets(self.root, self._database, self.objects)
        self.uploads = Uploads(staging, self._database, self.objects)
        self._sweep(staging)

    def create_bucket(self, name: str, location: str = "US-CENTRAL1") -> None:
        """Makes a bucket, if there is none of that name.

        Args:
            name: The bucket's name.
            location: A region or multi-region; kept with the bucket, without effect.

        Raises:
            InvalidName: No bucket can be called so.
        """
        with contextlib.suppress(Conflict):
            self.buckets.create(name, {"location": location})

    def list_buckets(self) -> Sequence[str]:
        """The names of all buckets, in order."""
        return self.buckets.names()

    def path(self, uri: str) -> Path:
        """The file of `gs://bucket/object`, or the folder of `gs://bucket` and `gs://bucket/folder/`.

        Whether it exists is not asked.

        Raises:
            InvalidName: (a ValueError) It is no such URI, or it names what cannot be a file below the bucket.
        """
        bucket, name = names.parse_uri(uri)
        return names.object_path(self.root, bucket, name) if name else names.bucket_folder(self.root, bucket)

    def close(self) -> None:
        """Ends the use of the metadata; later calls fail."""
        self._database.close()

    def _sweep(self, staging: Path) -> None:
        """Removes what a killed process left behind, and upload sessions that nobody goes on with."""
        self._database.forget_uploads_before(time.time() - _SESSION_SECONDS)
        unfinished = self._database.unfinished_uploads()
        for file in staging.iterdir():
            if file.name not in unfinished:
                file.unlink(missing_ok=True)
