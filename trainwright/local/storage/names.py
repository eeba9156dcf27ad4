"""Names of buckets and objects, and the files that they are: pure functions.

The object `runs/7/model.ubj` of the bucket `churn` is the file `<root>/churn/runs/7/model.ubj`. A name that
ends in "/" is a folder placeholder: the folder itself. Names that are legal in Cloud Storage but cannot be a
path below the bucket's folder (an empty, `.` or `..` segment, a segment over 255 bytes) are refused with a
line that says so.

Sources: Cloud Storage documentation, "About Cloud Storage buckets" and "About Cloud Storage objects"
(naming), both as of January 2026.
"""

import re
from pathlib import Path
from urllib.parse import quote

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_NAME_BYTES = 1024
_SEGMENT_BYTES = 255  # NAME_MAX of the file systems of Linux and macOS


class InvalidName(ValueError):
    """A name that no bucket or object of local Cloud Storage can have; the message is one line."""


def bucket_problem(name: str) -> str | None:
    """What is wrong with a bucket's name, or None."""
    if not _BUCKET.fullmatch(name):
        return (
            "expected 3 to 63 lower-case letters, digits, '-', '_' or '.', a letter or digit first and last"
        )
    if any(not 1 <= len(part) <= 63 for part in name.split(".")):
        return "expected parts of 1 to 63 characters between the dots"
    if _ADDRESS.fullmatch(name):
        return "expected a name that is no IP address"
    if name.startswith("goog") or "google" in name:
        return "expected a name that neither starts with 'goog' nor holds 'google'"
    return None


def object_problem(name: str) -> str | None:
    """What is wrong with an object's name, or None when it can be a file (or, ending in "/", a folder)."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "expected valid Unicode"
    if not 1 <= size <= _NAME_BYTES:
        return f"expected 1 to {_NAME_BYTES} bytes of UTF-8, found {size}"
    if any(character in name for character in "\r\n\0"):
        return "expected no carriage return, line feed or NUL"
    if name.startswith(".well-known/acme-challenge/"):
        return "expected it not to start with '.well-known/acme-challenge/'"
    return _path_problem(name)


def _path_problem(name: str) -> str | None:
    segments = name.removesuffix("/").split("/")
    if "" in segments:
        return "local Cloud Storage keeps objects as files: expected no empty segment (leading or double '/')"
    if "." in segments or ".." in segments:
        return "local Cloud Storage keeps objects as files: expected no '.' or '..' segment"
    if any(len(segment.encode()) > _SEGMENT_BYTES for segment in segments):
        return (
            f"local Cloud Storage keeps objects as files: expected segments of at most {_SEGMENT_BYTES} bytes"
        )
    return None


def check_bucket(name: str) -> str:
    """Returns the bucket's name.

    Raises:
        InvalidName: It breaks a naming rule.
    """
    if problem := bucket_problem(name):
        raise InvalidName(f"Invalid bucket name: '{shown(name)}': {problem}")
    return name


def check_object(name: str) -> str:
    """Returns the object's name.

    Raises:
        InvalidName: It breaks a naming rule, or cannot be a path below the bucket's folder.
    """
    if problem := object_problem(name):
        raise InvalidName(f"Invalid object name: '{shown(name)}': {problem}")
    return name


def bucket_folder(root: Path, bucket: str) -> Path:
    """The folder of a bucket.

    Raises:
        InvalidName: See `check_bucket`.
    """
    return root / check_bucket(bucket)


def object_path(root: Path, bucket: str, name: str) -> Path:
    """The file (or, for a placeholder, the folder) of an object; always below `<root>/<bucket>/`.

    Raises:
        InvalidName: See `check_bucket` and `check_object`.
    """
    return bucket_folder(root, bucket) / check_object(name)


def object_name(root: Path, path: Path) -> tuple[str, str] | None:
    """Bucket and object of a file below `root`; None when it is no object's file."""
    if not path.is_relative_to(root):
        return None
    bucket, _, name = path.relative_to(root).as_posix().partition("/")
    if bucket_problem(bucket) or object_problem(name):
        return None
    return bucket, name


def parse_uri(uri: str) -> tuple[str, str]:
    """Splits `gs://bucket/object` into its two names; the object is "" in `gs://bucket` and `gs://bucket/`.

    Raises:
        InvalidName: It is no such URI, or a name in it breaks a rule.
    """
    if not uri.startswith("gs://"):
        raise InvalidName(f"Invalid URI: '{shown(uri)}': expected gs://<bucket>/<object>")
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    try:
        return check_bucket(bucket), check_object(name) if name else ""
    except InvalidName as problem:
        raise InvalidName(f"Invalid URI: '{shown(uri)}': {problem}") from None


def shown(name: str) -> str:
    """The name as it may stand in a one-line message: control characters escaped, at most 200 characters."""
    visible = "".join(
        character if character.isprintable() else quote(character, errors="replace") for character in name
    )
    return visible if len(visible) <= 200 else visible[:197] + "..."
