"""Objects read and written as the plain files that they are, for the rooms above.

Such a write is a new version of the object, as one by any other process.
"""

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from trainwright.local.storage import files, names
from trainwright.local.storage.errors import ApiError


class PlainObjects:
    """The objects below the folder of the buckets.

    Args:
        root: The folder, as `Storage` has it.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def matching(self, uri: str) -> list[str]:
        """The objects that a URI means, in order: itself, or those that its wildcards match.

        Args:
            uri: `gs://bucket/object`; `*` stands for any characters but "/", `**` for folders, `?` for one
                character (Cloud Storage documentation, "URI wildcards", 2026-01).

        Raises:
            ValueError: It is no such URI, or no object is there; one line.
        """
        bucket, name = names.parse_uri(uri)
        folder = names.bucket_folder(self._root, bucket)
        if any(character in name for character in "*?["):
            found = sorted(path for path in folder.glob(name) if path.is_file())
        else:
            found = [path for path in [names.object_path(self._root, bucket, name)] if path.is_file()]
        if not found:
            raise ValueError(f"{uri}: there is no such object")
        return [f"gs://{bucket}/{path.relative_to(folder).as_posix()}" for path in found]

    def below(self, uri: str) -> list[str]:
        """The objects whose names begin with a folder's, in order; none when it is not there."""
        bucket, name = names.parse_uri(uri.rstrip("/"))
        folder = names.bucket_folder(self._root, bucket)
        found = sorted(path for path in (folder / name).rglob("*") if path.is_file())
        return [f"gs://{bucket}/{path.relative_to(folder).as_posix()}" for path in found]

    def read(self, uri: str) -> bytes:
        """The content of an object.

        Raises:
            ValueError: There is no such object.
        """
        bucket, name = names.parse_uri(uri)
        folder = names.bucket_folder(self._root, bucket)
        opened = files.open_object(folder, folder / names.check_object(name))
        if opened is None:
            raise ValueError(f"{uri}: there is no such object")
        with opened[0] as file:
            return file.read()

    @contextlib.contextmanager
    def open_text(self, uri: str) -> Iterator[TextIO]:
        """An object to read as UTF-8, with or without a byte order mark; line ends are left as they are.

        Raises:
            ValueError: There is no such object.
        """
        bucket, name = names.parse_uri(uri)
        folder = names.bucket_folder(self._root, bucket)
        opened = files.open_object(folder, folder / names.check_object(name))
        if opened is None:
            raise ValueError(f"{uri}: there is no such object")
        with io.TextIOWrapper(io.BufferedReader(opened[0]), encoding="utf-8-sig", newline="") as text:  # type: ignore[type-var]
            yield text

    def write(self, uri: str, content: bytes) -> None:
        """Writes an object in one step.

        Raises:
            ValueError: As in `writing`.
        """
        with self.writing(uri) as file:
            file.buffer.write(content)

    @contextlib.contextmanager
    def writing(self, uri: str) -> Iterator[TextIO]:
        """An object to write as UTF-8; it is there, whole, when the block ends without an error.

        Raises:
            ValueError: No such object can be, or its bucket does not exist; one line.
        """
        bucket, name = names.parse_uri(uri)
        path = names.object_path(self._root, bucket, name)
        staged = self._root / ".staging" / secrets.token_hex(16)
        staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with staged.open("w", encoding="utf-8", newline="") as file:
                yield file
            files.place(staged, names.bucket_folder(self._root, bucket), path)
        except ApiError as error:
            raise ValueError(f"{uri}: {error}") from None
        finally:
            staged.unlink(missing_ok=True)
