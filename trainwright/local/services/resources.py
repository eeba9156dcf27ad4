"""Resources as protos in the store: what every service does in the same way."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from google.api_core.exceptions import InvalidArgument, NotFound
from google.protobuf import json_format, timestamp_pb2

from trainwright.local.services.filters import compile_filter, ordered, page
from trainwright.local.store import Store

Message = TypeVar("Message")


class Resources(Generic[Message]):
    """The resources of one kind.

    Args:
        store: Where they are.
        kind: Their kind in the store.
        message_type: The proto-plus class, e.g. `aiplatform_v1.CustomJob`.
        present: Turns the stored message into what callers see (adds the state); the identity when absent.
    """

    def __init__(
        self, store: Store, kind: str, message_type: Any, present: Callable[[Message], Message] | None = None
    ) -> None:
        self._store = store
        self._kind = kind
        self._type = message_type
        self._present = present or (lambda message: message)

    def find(self, name: str) -> Message | None:
        """The stored message, or None."""
        record = self._store.read(name)
        return self._type.deserialize(record.payload) if record and record.kind == self._kind else None

    def get(self, name: str) -> Message:
        """The resource as callers see it.

        Raises:
            NotFound: There is none of that name.
        """
        message = self.find(name)
        if message is None:
            raise NotFound(f"{self._type.__name__} {name!r} was not found")
        return self._present(message)

    def save(self, name: str, message: Message) -> None:
        """Writes the message under its name."""
        self._store.write(name, self._kind, self._type.serialize(message))

    def all(self, prefix: str) -> list[Message]:
        """Every stored message whose name begins with `prefix`, oldest first."""
        return [self._type.deserialize(record.payload) for record in self._store.list(self._kind, prefix)]

    def page(self, messages: Sequence[Message], request: Any) -> tuple[list[Message], str]:
        """Filter, order and page of a List request over stored messages, and the next page's token.

        Raises:
            InvalidArgument: The filter, the order or the token is not valid.
        """
        matches = compile_filter(request.filter)
        seen = [self._present(message) for message in messages]
        views = {id(message): view(message) for message in seen}
        kept = [message for message in seen if matches(views[id(message)])]
        order_by = getattr(request, "order_by", "")
        in_order = ordered(kept, order_by, lambda message: views[id(message)])
        return page(in_order, request.page_size, request.page_token, f"{request.filter}|{order_by}")


def view(message: Any) -> dict:
    """The message as JSON with snake_case keys and enum names: what filters and orders look at."""
    return json_format.MessageToDict(type(message).pb(message), preserving_proto_field_name=True)


def timestamp(seconds: float | None) -> timestamp_pb2.Timestamp | None:
    """Unix seconds as a proto timestamp; None stays None."""
    if seconds is None:
        return None
    value = timestamp_pb2.Timestamp()
    value.FromNanoseconds(int(seconds * 1e9))
    return value


def etag(message: Any) -> str:
    """An etag that changes with the content."""
    return hashlib.sha256(type(message).serialize(message)).hexdigest()[:16]


def change(message: Any, changes: Any, paths: Sequence[str], mutable: Sequence[str]) -> None:
    """Applies an update request to a message, as AIP-134 says.

    Args:
        message: Is changed.
        changes: What the caller sent.
        paths: The update mask. Empty: every mutable field that is set in `changes`; `*`: every mutable field.
        mutable: The fields that callers may change.

    Raises:
        InvalidArgument: A path is none of the mutable fields.
    """
    wanted: Sequence[str] = paths
    if "*" in paths:
        wanted = mutable
    elif not paths:
        given = {field.name for field, _ in type(changes).pb(changes).ListFields()}
        wanted = [field for field in mutable if field in given]
    for path in wanted:
        if path not in mutable:
            allowed = ", ".join(mutable)
            raise InvalidArgument(f"update_mask {path!r}: cannot be changed; can be changed: {allowed}")
        target, source = type(message).pb(message), type(changes).pb(changes)
        target.ClearField(path)
        given_fields = type(source)()
        given_fields.CopyFrom(source)
        for field, _ in source.ListFields():
            if field.name != path:
                given_fields.ClearField(field.name)
        target.MergeFrom(given_fields)
