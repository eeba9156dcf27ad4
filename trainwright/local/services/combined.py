"""One service of Vertex AI whose methods are spread over several classes."""

from typing import Any


class Combined:
    """Has the methods of all its parts: `JobService` holds one class for each kind of job.

    Args:
        parts: Objects with a method for each RPC in snake_case; no two have the same.
    """

    def __init__(self, *parts: object) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        for part in self._parts:
            if hasattr(part, name):
                return getattr(part, name)
        raise AttributeError(name)
