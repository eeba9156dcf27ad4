"""Reading untrusted JSON field by field, with errors that say where."""

import difflib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from trainwright.local.engine.spec import SpecError

_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)s")
# A name becomes part of paths and of file names.
_NAME = re.compile(r"[^/\\\x00-\x1f]{1,200}")


@dataclass(frozen=True, slots=True)
class Field:
    """A JSON value and the path at which it stands in the spec."""

    value: Any
    path: str

    def wrong(self, expected: str) -> SpecError:
        """The error that says what stands here and what was expected."""
        written = json.dumps(self.value, ensure_ascii=False, default=str)
        found = written if len(written) <= 60 else written[:57] + "..."
        return SpecError(f"{self.path}: found {found}, expected {expected}")

    def entries(self) -> "dict[str, Field]":
        """The entries of a map with free keys; none when absent."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict) or not all(isinstance(key, str) for key in self.value):
            raise self.wrong("a map")
        return {key: Field(value, f"{self.path}.{key}") for key, value in self.value.items()}

    def named(self) -> "dict[str, Field]":
        """Like `entries`, for keys that are names of tasks, inputs or outputs."""
        entries = self.entries()
        for key in entries:
            if not _NAME.fullmatch(key) or key in {".", ".."}:
                raise SpecError(f"{self.path}: {key[:60]!r} cannot be a name (1 to 200 characters, no slash)")
        return entries

    def message(self, known: Collection[str], refused: Collection[str] = ()) -> "dict[str, Field]":
        """The fields of a message.

        Args:
            known: Fields that are read.
            refused: Fields that exist but that local Vertex AI does not implement.

        Raises:
            SpecError: A refused field is set, or there is a field of another name.
        """
        entries = {key: entry for key, entry in self.entries().items() if entry.value is not None}
        for key, entry in entries.items():
            if key in refused and entry.value not in (False, [], {}, ""):
                raise SpecError(f"{entry.path}: not supported by local Vertex AI")
            if key not in known and key not in refused:
                raise SpecError(f"{entry.path}: unknown field{nearest(key, known)}")
        return entries

    def items(self) -> "list[Field]":
        """The items of a list; none when absent."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Field(value, f"{self.path}[{index}]") for index, value in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        return self.value

    def name(self) -> str:
        """A string that is not empty."""
        if not self.text():
            raise self.wrong("a name")
        return self.text()

    def flag(self) -> bool:
        """A boolean."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def number(self) -> float:
        """A number that is not negative. The SDK sends every number as a double."""
        if (
            isinstance(self.value, bool)
            or not isinstance(self.value, int | float)
            or not 0 <= self.value < 2**53
        ):
            raise self.wrong("a number from 0 on")
        return float(self.value)

    def count(self) -> int:
        """An integer from 0 on; 3.0 is one."""
        if not self.number().is_integer():
            raise self.wrong("an integer from 0 on")
        return int(self.number())

    def duration(self) -> float:
        """Seconds of a protobuf duration ("3.5s")."""
        match = _DURATION.fullmatch(self.value) if isinstance(self.value, str) else None
        if not match:
            raise self.wrong('a duration such as "3.5s"')
        return float(match[1])


def one_of(entries: "dict[str, Field]", names: Collection[str], where: Field) -> Field:
    """The one field that is set of a oneof.

    Raises:
        SpecError: None or several are.
    """
    found = [entries[name] for name in names if name in entries]
    if len(found) != 1:
        raise SpecError(f"{where.path}: expected exactly one of {', '.join(names)}; found {len(found)}")
    return found[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """What to add to a message about an unknown name: the nearest known one, or all when there are few."""
    candidates = list(known)
    close = difflib.get_close_matches(name, candidates, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if candidates and len(candidates) <= 12:
        return f"; there are: {', '.join(sorted(candidates))}"
    return ""
