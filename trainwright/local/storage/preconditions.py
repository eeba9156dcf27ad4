"""Preconditions of a request: which version of an object it is meant for. Pure.

Source: Cloud Storage documentation, "Request preconditions".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from trainwright.local.storage.errors import Invalid, NotModified, PreconditionFailed


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """The integer that a query parameter holds; None when it is absent.

    Raises:
        Invalid: It holds something else.
    """
    value = query.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise Invalid(f"Invalid value for {name}: '{value[:50]}': expected an integer") from None


@dataclass(frozen=True)
class Preconditions:
    """The four comparisons that a request can ask for; None: not asked.

    Args:
        generation_match: The version must have this generation; 0: the object must not exist.
        generation_not_match: It must have another generation; 0: the object must exist.
        metageneration_match: The version's metadata must have this generation.
        metageneration_not_match: It must have another one.
    """

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], subject: str = "") -> Self:
        """Reads them from query parameters.

        Args:
            query: The request's parameters.
            subject: "" for `ifGenerationMatch` and its like, "Source" for `ifSourceGenerationMatch`.

        Raises:
            Invalid: One of them is no integer.
        """
        return cls(
            whole_number(query, f"if{subject}GenerationMatch"),
            whole_number(query, f"if{subject}GenerationNotMatch"),
            whole_number(query, f"if{subject}MetagenerationMatch"),
            whole_number(query, f"if{subject}MetagenerationNotMatch"),
        )

    def check(self, generation: int, metageneration: int, *, reading: bool = False) -> None:
        """Compares them with the live version.

        Args:
            generation: Of the live version; 0: there is none.
            metageneration: Of the live version; 0: there is none.
            reading: True for a request that changes nothing: a `NotMatch` that fails is then no error but
                304.

        Raises:
            PreconditionFailed: One does not hold.
            NotModified: A `NotMatch` does not hold and `reading` is set.
        """
        if self.generation_match not in (None, generation):
            raise PreconditionFailed
        if self.metageneration_match not in (None, metageneration):
            raise PreconditionFailed
        if generation == self.generation_not_match or (
            generation and metageneration == self.metageneration_not_match
        ):
            raise NotModified if reading else PreconditionFailed
