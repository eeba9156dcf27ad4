"""The files that load and extract jobs read and write: `gs://` URIs and staged uploads."""

from collections.abc import Sequence
from pathlib import Path

from trainwright.local.bigquery.errors import Invalid, NotFound
from trainwright.local.storage import InvalidName, Storage
from trainwright.local.storage import names as storage_names
from trainwright.local.storage.attributes import object_attributes
from trainwright.local.storage.errors import ApiError
from trainwright.local.storage.files import StagedFile
from trainwright.local.storage.listing import Selection
from trainwright.local.storage.objects import Target


class Files:
    """The objects of local Cloud Storage as files.

    Args:
        storage: The buckets.
        staging: A folder for files under way, on the same file system.
    """

    def __init__(self, storage: Storage, staging: Path) -> None:
        self._storage = storage
        self._staging = staging

    def sources(self, uris: Sequence[str]) -> list[Path]:
        """The files of URIs, each with at most one `*`.

        Raises:
            Invalid: A URI is malformed.
            NotFound: It names nothing.
        """
        found: list[Path] = []
        for uri in uris:
            found += self._matching(uri) if "*" in uri else [self._one(uri)]
        return found

    def publish(self, file: Path, uri: str, content_type: str) -> None:
        """Makes a staged file the object of a URI.

        Raises:
            Invalid: The URI is malformed.
            NotFound: The bucket is not there.
        """
        try:
            bucket, name = storage_names.parse_uri(uri)
            with StagedFile(file) as staged:
                attributes = object_attributes({"contentType": content_type})
                self._storage.objects.insert(Target(bucket, name), staged, attributes)
        except InvalidName as error:
            raise Invalid(str(error)) from None
        except ApiError as error:
            raise (NotFound if error.status == 404 else Invalid)(f"{uri}: {error.message}") from None

    def _one(self, uri: str) -> Path:
        try:
            bucket, name = storage_names.parse_uri(uri)
            self._storage.objects.get(Target(bucket, name), digests=False)
            return self._storage.path(uri)
        except InvalidName as error:
            raise Invalid(str(error)) from None
        except ApiError as error:
            raise NotFound(f"Not found: URI {uri}: {error.message}") from None

    def _matching(self, uri: str) -> list[Path]:
        before, _, after = uri.partition("*")
        if "*" in after:
            raise Invalid(f"Invalid URI: {uri}: expected at most one *")
        bucket, _, prefix = before.removeprefix("gs://").partition("/")
        if not uri.startswith("gs://") or not bucket or "/" not in before.removeprefix("gs://"):
            raise Invalid(f"Invalid URI: {uri}: expected gs://<bucket>/<object>")
        names: list[str] = []
        lower = ""
        try:
            while True:
                selection = Selection(prefix=prefix, lower=lower)
                stored, page = self._storage.objects.list(bucket, selection, digests=False)
                names += [each.name for each in stored]
                if page.rest is None:
                    break
                lower = page.rest
        except (InvalidName, ApiError) as error:
            raise NotFound(f"Not found: URI {uri}: {error}") from None
        kept = [name for name in names if len(name) >= len(prefix + after) and name.endswith(after)]
        if not kept:
            raise NotFound(f"Not found: URI {uri}")
        return [self._storage.path(f"gs://{bucket}/{name}") for name in kept if not name.endswith("/")]
