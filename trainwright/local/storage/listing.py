"""The objects of a bucket in Cloud Storage's order, page by page, read from the folder itself.

Source: Cloud Storage JSON API reference, "Objects: list", and "List objects and prefixes using glob".
"""

import base64
import binascii
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainwright.local.storage.database import Identity
from trainwright.local.storage.errors import Invalid
from trainwright.local.storage.files import crosses_link
from trainwright.local.storage.names import object_problem


@dataclass(frozen=True)
class Selection:
    """Which part of a bucket a listing is about.

    Args:
        prefix: Names start with it.
        delimiter: Names that hold it behind the prefix are folded into prefixes; "": no folding.
        trailing_delimiter: Whether an object that is such a prefix itself is listed as an object as well.
        lower: Names are not below it.
        upper: Names are below it; "": no bound.
        glob: Names match this pattern (see `glob_pattern`).
        limit: At most so many names and prefixes in a page; at least 1.
    """

    prefix: str = ""
    delimiter: str = ""
    trailing_delimiter: bool = False
    lower: str = ""
    upper: str = ""
    glob: str = ""
    limit: int = 1000


@dataclass
class Page:
    """Names and prefixes in order; `rest` is the `lower` of the next page, None after the last."""

    names: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    rest: str | None = None


class Walk:
    """Iterates over the names of a bucket in order, without entering folders that cannot matter.

    Args:
        folder: The bucket's folder.
        placeholders: Inodes of the folders of folder placeholders, by name.
        prefix: Only names that start with it.
        lower: Only names that are not below it. It may be raised while the iteration is under way.
    """

    def __init__(self, folder: Path, placeholders: Mapping[str, int], prefix: str, lower: str) -> None:
        self.lower = lower
        self._folder = folder
        self._placeholders = placeholders
        self._prefix = prefix

    def __iter__(self) -> Iterator[str]:
        start = self._prefix[: self._prefix.rfind("/") + 1]
        if start and object_problem(start):  # such as "../": no object's name starts so
            return
        path = self._folder / start if start else self._folder
        if not path.is_symlink() and not crosses_link(self._folder, path):
            yield from self._inside(path, start)

    def _inside(self, path: Path, name: str) -> Iterator[str]:
        if name in self._placeholders and self._wanted(name) and self._placeholders[name] == _inode(path):
            yield name
        for key in sorted(_keys(path)):
            if key.endswith("/"):
                if self._may_hold(name + key):
                    yield from self._inside(path / key, name + key)
            elif self._wanted(name + key) and not object_problem(name + key):
                yield name + key

    def _wanted(self, name: str) -> bool:
        return name >= self.lower and name.startswith(self._prefix)

    def _may_hold(self, folder: str) -> bool:
        if not folder.startswith(self._prefix) and not self._prefix.startswith(folder):
            return False
        return after(folder) > self.lower


def page(walk: Walk, selection: Selection) -> Page:
    """Reads one page.

    Args:
        walk: Over the selection's prefix, from its lower bound.
        selection: What to list.
    """
    found = Page()
    matcher = glob_pattern(selection.glob) if selection.glob else None
    rest = ""
    for name in walk:
        if selection.upper and name >= selection.upper:
            break
        if matcher is not None and not matcher.fullmatch(name):
            continue
        if len(found.names) + len(found.prefixes) >= selection.limit:
            found.rest = rest
            break
        cut = name.find(selection.delimiter, len(selection.prefix)) if selection.delimiter else -1
        if cut < 0:
            found.names.append(name)
            rest = name + "\0"
            continue
        group = name[: cut + len(selection.delimiter)]
        found.prefixes.append(group)
        if selection.trailing_delimiter and name == group:
            found.names.append(name)
        walk.lower = rest = after(group)
    return found


def after(prefix: str) -> str:
    """The least string that is above every string that starts with `prefix` (which is not empty)."""
    head = prefix.rstrip(chr(sys.maxunicode))
    return head[:-1] + chr(ord(head[-1]) + 1) if head else prefix + chr(sys.maxunicode)


def write_token(rest: str) -> str:
    """The page token that stands for a lower bound."""
    return base64.urlsafe_b64encode(rest.encode("utf-8", "surrogatepass")).decode()


def read_token(token: str) -> str:
    """The lower bound that a page token stands for.

    Raises:
        Invalid: It is none of `write_token`.
    """
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeError):
        raise Invalid("Invalid value for pageToken: expected the nextPageToken of the page before") from None


def glob_pattern(glob: str) -> re.Pattern[str]:
    """The regular expression of a `matchGlob`: `*`, `**` (across "/"), `?`, `[abc]`, `[!a-z]`, `{one,two}`.

    Raises:
        Invalid: A bracket or brace is not closed.
    """
    pattern, depth, position = "", 0, 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if character == "*":
            across = glob.startswith("*", position)
            position += across
            pattern += ".*" if across else "[^/]*"
        elif character == "?":
            pattern += "[^/]"
        elif character == "[":
            end = glob.find("]", position + 1)
            if end < 0:
                raise Invalid(f"Invalid value for matchGlob: '{glob[:100]}': expected ']'")
            inner = (
                glob[position:end]
                .replace("\\", r"\\")
                .replace("[", r"\[")
                .replace("&", r"\&")
                .replace("~", r"\~")
            )
            pattern += f"[^{inner[1:]}]" if inner.startswith(("!", "^")) else f"[{inner}]"
            position = end + 1
        elif character == "{":
            depth += 1
            pattern += "(?:"
        elif character == "}" and depth:
            depth -= 1
            pattern += ")"
        else:
            pattern += "|" if character == "," and depth else re.escape(character)
    if depth:
        raise Invalid(f"Invalid value for matchGlob: '{glob[:100]}': expected '}}'")
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as problem:
        raise Invalid(f"Invalid value for matchGlob: '{glob[:100]}': {problem}") from None


def _keys(path: Path) -> list[str]:
    """The entries of a folder as parts of names, folders with "/" at the end; no links or devices."""
    keys = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    keys.append(entry.name + "/")
                elif entry.is_file(follow_symlinks=False):
                    keys.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []  # removed, or replaced by a file, since its parent was read
    return keys


def _inode(path: Path) -> int:
    try:
        return Identity.of_folder(path.stat()).inode
    except FileNotFoundError:
        return 0
