"""Directories of gs:// as folders, for those who work on whole directories."""

import shutil
from pathlib import Path

from trainwright.local.storage import names


def folder_of(root: Path, uri: str) -> Path:
    """The folder of `gs://BUCKET/PATH`, whether it exists or not.

    Args:
        root: Holds one folder per bucket.
        uri: With or without a slash at its end.

    Raises:
        InvalidName: (a ValueError) It is no such URI.
    """
    bucket, name = names.parse_uri(uri)
    return names.object_path(root, bucket, name) if name else names.bucket_folder(root, bucket)


def copy_directory(root: Path, source: str, target: str, staging: Path) -> None:
    """Copies all objects below one directory to another, which appears as a whole or not at all.

    Args:
        root: Holds one folder per bucket.
        source: gs:// directory.
        target: gs:// directory; what is there already is replaced.
        staging: A folder of the same file system for the unfinished copy; removed.

    Raises:
        InvalidName: (a ValueError) One is no such URI.
        OSError: There is no such directory, the target's bucket is not there, or the disk is full.
    """
    origin = folder_of(root, source)
    if not origin.is_dir():
        raise FileNotFoundError(f"there is no directory {source}")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        shutil.copytree(origin, staging, symlinks=True)
        publish(root, staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish(root: Path, folder: Path, uri: str) -> None:
    """Moves a folder of the same file system to where it is a directory of gs://, in place of what was there.

    Raises:
        InvalidName: (a ValueError) `uri` is no gs:// URI.
        OSError: There is no such bucket, or it cannot be moved.
    """
    bucket, _ = names.parse_uri(uri)
    if not names.bucket_folder(root, bucket).is_dir():
        raise FileNotFoundError(f"there is no bucket {bucket!r}")
    target = folder_of(root, uri)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    folder.replace(target)
