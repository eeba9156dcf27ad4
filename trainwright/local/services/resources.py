"""Resources as protos in the store: what every service does in the same way."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from google.api_core.exceptions import Aborted, InvalidArgument, NotFound
from google.protobuf import field_mask_pb2, json_format, timestamp_pb2

from trainwright.local.services.filters import compile_filter, next_token, ordered, page, window
from trainwright.local.services.selection import selection
from trainwright.local.store import Store

Message = TypeVar("Message")

_MOST_LABELS = 64
_LABEL_LENGTH = 64
_STRUCT = "google.protobuf.Struct"
_SYSTEM_LABEL = "aiplatform.googleapis.com/"


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
        views = {id(message): _with_id(view(message)) for message in seen}
        kept = [message for message in seen if matches(views[id(message)])]
        order_by = getattr(request, "order_by", "")
        in_order = ordered(kept, order_by, lambda message: views[id(message)])
        return page(in_order, request.page_size, request.page_token, f"{request.filter}|{order_by}")

    def listed(self, prefix: str, request: Any) -> tuple[list[Message], str]:
        """As `page` over all resources whose names begin with `prefix`, of a kind that the store summarizes.

        Raises:
            InvalidArgument: The filter, the order or the token is not valid.
        """
        order_by = getattr(request, "order_by", "")
        chosen = selection(request.filter, order_by)
        if chosen is None:
            return self.page(self.all(prefix), request)
        question = f"{request.filter}|{order_by}"
        start, end = window(request.page_size, request.page_token, question)
        names = self._store.select(
            self._kind, prefix, chosen.condition, chosen.values, chosen.order, slice(start, end + 1)
        )
        token = next_token(end, question) if len(names) > end - start else ""
        records = self._store.read_many(names[: end - start])
        return [self._present(self._type.deserialize(each.payload)) for each in records if each], token


def _with_id(seen: dict) -> dict:
    """Adds the last segment of the name under the kind's own: filters of models know `model`, and so on."""
    parts: list[str] = seen.get("name", "").split("/")
    return {parts[-2].removesuffix("s"): parts[-1], **seen} if len(parts) > 1 else seen


def view(message: Any) -> dict:
    """The message as JSON with snake_case keys and enum names: what filters and orders look at."""
    return json_format.MessageToDict(type(message).pb(message), preserving_proto_field_name=True)


def check_mask(message_type: Any, mask: Any) -> None:
    """Checks a read mask against a proto-plus class.

    Raises:
        InvalidArgument: It names a field that there is not.
    """
    for path in mask.paths:
        descriptor = message_type.pb().DESCRIPTOR
        for part in path.split(".") if path != "*" else ():
            field = descriptor.fields_by_name.get(part) if descriptor is not None else None
            if field is None:
                raise InvalidArgument(f"read_mask {path!r}: is no field of {message_type.__name__}")
            descriptor = field.message_type
            if descriptor is not None and descriptor.full_name == _STRUCT:
                break  # the SDK asks for `pipeline_spec.pipeline_info`


def masked(message: Any, mask: Any) -> Any:
    """The part of a protobuf message that a read mask names (AIP-157); the whole for no mask or `*`."""
    if not mask.paths or "*" in mask.paths:
        return message
    part = type(message)()
    plain = field_mask_pb2.FieldMask()
    for path in mask.paths:
        field, _, key = path.partition(".")
        type_of_field = message.DESCRIPTOR.fields_by_name[field].message_type
        if not key or type_of_field is None or type_of_field.full_name != _STRUCT:
            plain.paths.append(path)
            continue
        given, wanted = getattr(message, field).fields, getattr(part, field).fields
        camel = re.sub("_([a-z])", lambda match: match[1].upper(), key)
        for each in {key, camel} & set(given):
            wanted[each].CopyFrom(given[each])
    plain.MergeMessage(message, part)
    return part


def timestamp(seconds: float | None) -> timestamp_pb2.Timestamp | None:
    """Unix seconds as a proto timestamp; None stays None."""
    if seconds is None:
        return None
    value = timestamp_pb2.Timestamp()
    value.FromNanoseconds(int(seconds * 1e9))
    return value


def check_labels(labels: Mapping[str, str], field: str) -> None:
    """Checks labels against the limits that the reference of every labelled resource names (2026-11).

    At most 64 that a user gave; keys and values of at most 64 characters: lower-case or international
    letters, digits, `_` and `-`. A key that begins with `aiplatform.googleapis.com/` is the system's.

    Raises:
        InvalidArgument: They do not keep to it; the message begins with `field`.
    """
    own = {key: value for key, value in labels.items() if not key.startswith(_SYSTEM_LABEL)}
    if len(own) > _MOST_LABELS:
        raise InvalidArgument(f"{field}: {len(own)} labels; expected {_MOST_LABELS} at most")
    for key, value in own.items():
        for text, least in ((key, 1), (value, 0)):
            plain = all(each in "_-" or (each.isalnum() and each == each.lower()) for each in text)
            if not (plain and least <= len(text) <= _LABEL_LENGTH):
                raise InvalidArgument(
                    f"{field}: {key!r}: {value!r}: expected up to {_LABEL_LENGTH} of a-z, 0-9, _ and -"
                )


def check_etag(given: str, present: str, name: str) -> None:
    """Refuses a change of what somebody else has changed since it was read; no etag means it does not matter.

    Raises:
        Aborted: The etags differ (AIP-154).
    """
    if given and given != present:
        raise Aborted(f"etag {given!r} of {name!r}: the present one is {present!r}")


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
