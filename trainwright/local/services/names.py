"""Resource names: reading them, making them, and the one project that they all belong to."""

import re
import secrets
from dataclasses import dataclass

from google.api_core.exceptions import InvalidArgument

_LOCATION = re.compile(r"projects/([^/]+)/locations/([^/]+)(/.*)?$")
_RESOURCE_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")


@dataclass(frozen=True)
class Project:
    """The project of a local Vertex AI. Every project id names it, so that no pipeline has to be changed.

    Attributes:
        id: What `GetProject` answers, and the value of the project placeholder.
        number: What stands in resource names, as on Vertex AI, whatever form the caller used.
    """

    id: str
    number: str

    def canonical(self, name: str) -> str:
        """The name with the project's number in it, whether it came with an id or a number.

        Raises:
            InvalidArgument: The name does not begin with projects/…/locations/….
        """
        match = _LOCATION.match(name)
        if not match:
            raise InvalidArgument(f"resource name {name!r}: expected projects/PROJECT/locations/LOCATION/…")
        return f"projects/{self.number}/locations/{match[2]}{match[3] or ''}"


def location_of(name: str) -> str:
    """The location in a resource name."""
    match = _LOCATION.match(name)
    if not match:
        raise InvalidArgument(f"resource name {name!r}: expected projects/PROJECT/locations/LOCATION/…")
    return match[2]


def new_id() -> str:
    """A resource id like those Vertex AI gives: 19 decimal digits."""
    return str(secrets.randbelow(9 * 10**18) + 10**18)


def checked_id(given: str, field: str) -> str:
    """The id that a caller chose, or a new one.

    Raises:
        InvalidArgument: Not of the form `[a-z][-a-z0-9]{0,127}` (reference of
            PipelineService.CreatePipelineJob).
    """
    if not given:
        return new_id()
    if not _RESOURCE_ID.fullmatch(given):
        raise InvalidArgument(f"{field} {given!r}: expected a letter and up to 127 of a-z, 0-9, -")
    return given
