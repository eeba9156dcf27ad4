"""The file side of objects: contents staged outside the buckets, put into place in one step, read back."""

import base64
import contextlib
import errno
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO, Self

import google_crc32c

from trainwright.local.storage.database import Identity
from trainwright.local.storage.errors import Conflict, Invalid, NotFound
from trainwright.local.storage.names import shown

BLOCK = 1 << 20  # bytes per read and write of a stream
_ATTEMPTS = 16  # of putting a file into a folder that others keep removing
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}  # ELOOP: a link; ENXIO: a socket


class Digests:
    """MD5 and CRC32C of a stream, the two checksums that Cloud Storage keeps."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = 0

    def update(self, data: bytes | memoryview) -> None:
        """Adds the next bytes."""
        self._md5.update(data)
        # It takes bytes alone: a copy only where it was given a part of some.
        self._crc32c = google_crc32c.extend(self._crc32c, data if isinstance(data, bytes) else bytes(data))

    @property
    def md5(self) -> bytes:
        """The 16 bytes."""
        return self._md5.digest()

    @property
    def crc32c(self) -> int:
        """The 32-bit number."""
        return self._crc32c


def md5_text(md5: bytes) -> str:
    """An MD5 as Cloud Storage writes it: base64."""
    return base64.b64encode(md5).decode()


def crc32c_text(crc32c: int) -> str:
    """A CRC32C as Cloud Storage writes it: base64 of the four bytes, the highest first."""
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


class StagedFile:
    """A content that is not an object yet: a file outside the buckets, and its checksums so far.

    Nothing is on the disk before the first `write` or `finish`. As a context manager it removes the file at
    the end, unless the file has been moved away into a bucket.

    Args:
        path: The file; what it holds already is read for the checksums.
        is_new: Whether it is known that there is no such file.
    """

    def __init__(self, path: Path, *, is_new: bool = False) -> None:
        self.path = path
        self.size = 0
        self.digests = Digests()
        self._descriptor: int | None = None
        if is_new:
            return
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            while block := file.read(BLOCK):
                self.digests.update(block)
                self.size += len(block)

    @classmethod
    def new(cls, folder: Path) -> Self:
        """A staged file without content in `folder`."""
        return cls(folder / secrets.token_hex(16), is_new=True)

    def write(self, data: bytes) -> None:
        """Appends; after an OSError (full disk) `size` and the checksums are those of what the file holds."""
        rest = data
        while rest:
            written = os.write(self._open(), rest)
            self.digests.update(rest if written == len(rest) else rest[:written])
            self.size += written
            rest = rest[written:]

    def finish(self) -> Identity:
        """Closes the file, made by now if it is empty, and returns which content it is."""
        identity = Identity.of(os.fstat(self._open()))
        self.close()
        return identity

    def close(self) -> None:
        """Closes the file; a later `write` goes on at its end."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Closes and removes the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666
            )
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def crosses_link(folder: Path, path: Path) -> bool:
    """Whether a symbolic link stands between a bucket's folder and the file, which then may be anywhere.

    Args:
        folder: The bucket's folder, without links in its own path.
        path: The file's path, below it.
    """
    return path.parent != folder and os.path.realpath(path.parent) != str(path.parent)


def open_object(folder: Path, path: Path) -> tuple[BinaryIO, Identity] | None:
    """Opens a regular file below a bucket's folder for reading; None when there is none (or only a link)."""
    if crosses_link(folder, path):
        return None
    try:
        # O_NONBLOCK: a pipe that somebody left in the folder must not hold this thread.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        if failure.errno in _NO_FILE:
            return None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb", buffering=0), Identity.of(status)


def place(staged: Path, folder: Path, path: Path) -> None:
    """Moves a staged file (or another object's file) to its object's path, making the folders in between.

    Args:
        staged: The file; on the same file system.
        folder: The bucket's folder, never made here.
        path: The object's path, below it; what is there is replaced in one step.

    Raises:
        NotFound: The bucket is gone.
        Conflict: A folder with objects, or an object where a folder is needed, is in the way.
        Invalid: A symbolic link leads out of the bucket.
    """
    for _ in range(_ATTEMPTS):
        make_folders(folder, path.parent)
        try:
            staged.replace(path)
        except FileNotFoundError:  # somebody removed a folder, or the other object's file, meanwhile
            if not staged.exists():
                raise NotFound(f"No such object: {shown(staged.name)} was removed meanwhile.") from None
            continue
        except (IsADirectoryError, NotADirectoryError):
            if path.is_dir() and not path.is_symlink() and remove_empty_folders(path):
                continue
            raise Conflict(in_the_way(folder, path, "other objects are stored below that name")) from None
        return
    raise Conflict(in_the_way(folder, path, "its folder is removed by another process again and again"))


def make_folders(folder: Path, path: Path) -> None:
    """Makes the folder `path` and those between it and the bucket's `folder`; raises as `place` does."""
    if not folder.is_dir():
        raise NotFound("The specified bucket does not exist.")
    if os.path.realpath(path) != str(path):
        raise Invalid(in_the_way(folder, path, "a symbolic link leads out of the bucket there"))
    for _ in range(_ATTEMPTS):
        missing = []
        while path != folder and not path.is_dir():
            missing.append(path)
            path = path.parent
        try:
            for each in reversed(missing):
                each.mkdir(exist_ok=True)
                path = each
        except FileNotFoundError:
            path = missing[0]
            continue
        except (FileExistsError, NotADirectoryError):
            raise Conflict(
                in_the_way(folder, missing[0], "an object has the name of one of its folders")
            ) from None
        return


def remove_empty_folders(path: Path) -> bool:
    """Removes a folder if it holds nothing but folders that hold nothing; says whether it is gone."""
    for parent, folders, files in os.walk(path, topdown=False):
        if files:
            return False
        for each in folders:
            with contextlib.suppress(OSError):
                Path(parent, each).rmdir()
    with contextlib.suppress(FileNotFoundError):
        try:
            path.rmdir()
        except OSError:
            return False
    return True


def in_the_way(folder: Path, path: Path, why: str) -> str:
    """The line that says why a path below a bucket's folder cannot be an object's file."""
    name = shown(f"{folder.name}/{path.relative_to(folder).as_posix()}")
    return f"Cannot store gs://{name}: local Cloud Storage keeps objects as plain files, and {why}."
