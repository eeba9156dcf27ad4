"""Artifacts, contexts and executions: what may be done with each of them alone."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format, struct_pb2

from trainwright.local.services.filters import Functions, compile_filter, fields_of, ordered, page
from trainwright.local.services.metadata_runs import SCHEMA_VERSION
from trainwright.local.services.names import new_id
from trainwright.local.services.resources import change, timestamp, view
from trainwright.local.store import Store

Node = TypeVar("Node", v1.Artifact, v1.Context, v1.Execution)

# 4 to 128 characters of a-z, 0-9, - (reference of MetadataService.CreateArtifact, 2026-11); the SDK's
# `Artifact.create` (google-cloud-aiplatform 1.165.1) allows _ as well.
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{3,127}")
_MAX_METADATA_BYTES = 200_000  # reference of Artifact.metadata, 2026-11: "should not exceed 200KB"
_FILTERED = ("name", "display_name", "schema_title", "create_time", "update_time", "metadata")


@dataclass(frozen=True)
class NodeType:
    """One of the three types of nodes.

    Attributes:
        kind: Of its records in the store: "artifact", "context" or "execution".
        message: The proto-plus class.
        encode: A message as a record's payload.
        decode: The reverse.
        mutable: The fields that callers may change.
        filtered: The fields that filters may name.
    """

    kind: str
    message: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    mutable: tuple[str, ...]
    filtered: tuple[str, ...]

    def collection(self, metadata_store: str) -> str:
        """What the names of a metadata store's nodes of this type begin with."""
        return f"{metadata_store}/{self.kind}s/"


class Nodes(Generic[Node]):
    """The nodes of one type.

    Args:
        store: Where they are.
        node_type: Their type.
        derived: The node of a name that a pipeline run is, or None.
        all_derived: All such nodes of a metadata store.
        present: Completes a node for callers.
        children: The names of a context's children, which filters may name though the message lacks them.
    """

    def __init__(
        self,
        store: Store,
        node_type: NodeType,
        *,
        derived: Callable[[str], Node | None] = lambda name: None,
        all_derived: Callable[[str], Iterable[Node]] = lambda metadata_store: (),
        present: Callable[[Node], Node] = lambda node: node,
        children: Callable[[str], list[str]] = lambda name: [],
    ) -> None:
        self._store = store
        self._type = node_type
        self._derived = derived
        self._all_derived = all_derived
        self._present = present
        self._children = children
        self._lock = threading.RLock()

    def find(self, name: str) -> Node | None:
        """The node as callers see it, or None."""
        record = self._store.read(name)
        stored = self._type.decode(record.payload) if record and record.kind == self._type.kind else None
        return self._seen(stored, self._derived(name))

    def get(self, name: str) -> Node:
        """The node as callers see it.

        Raises:
            NotFound: There is none of that name.
        """
        node = self.find(name)
        if node is None:
            raise NotFound(f"{self._type.message.__name__} {name!r} was not found")
        return node

    def all(self, metadata_store: str) -> list[Node]:
        """Every node of a metadata store, as callers see it."""
        records = self._store.list(self._type.kind, self._type.collection(metadata_store))
        stored = {record.name: self._type.decode(record.payload) for record in records}
        derived = {node.name: node for node in self._all_derived(metadata_store)}
        nodes = (self._seen(stored.get(name), derived.get(name)) for name in {**derived, **stored})
        return [node for node in nodes if node is not None]

    def create(self, metadata_store: str, node: Node, given_id: str) -> Node:
        """Records a new node.

        Raises:
            InvalidArgument: The id or a field is malformed.
            AlreadyExists: There is a node of that id.
        """
        identifier = given_id or new_id()
        if not _ID.fullmatch(identifier):
            raise InvalidArgument(
                f"{self._type.kind}_id {identifier!r}: expected 4 to 128 of a-z, 0-9, _, -; no - or _ first"
            )
        _check(node)
        node.name = self._type.collection(metadata_store) + identifier
        node.schema_version = node.schema_version or (SCHEMA_VERSION if node.schema_title else "")
        node.create_time = node.update_time = timestamp(time.time())
        with self._lock:
            try:
                if self._derived(node.name) is not None:
                    raise FileExistsError
                self._store.create(node.name, self._type.kind, self._type.encode(node))
            except FileExistsError:
                found = type(node).__name__
                raise AlreadyExists(f"{found} {node.name!r} exists already") from None
        return self.get(node.name)

    def update(self, name: str, changes: Node, paths: Sequence[str], allow_missing: bool) -> Node:
        """Changes a node.

        Raises:
            NotFound: There is none, and `allow_missing` is false.
            Aborted: The etag that was sent is not the present one. The SDK's `Context.update` knows this
                message and tries again.
            InvalidArgument: A field cannot be changed or is malformed.
            FailedPrecondition: The state of a pipeline's task was to be changed.
        """
        with self._lock:
            node = self.find(name)
            if node is None and allow_missing:
                parent, _, identifier = name.partition(f"/{self._type.kind}s/")
                return self.create(parent, changes, identifier)
            node = node or self.get(name)
            if changes.etag and changes.etag != node.etag:
                raise Aborted(
                    f"Specified {type(node).__name__} `etag`: `{changes.etag}` does not match server `etag`:"
                    f" `{node.etag}`"
                )
            change(node, changes, paths, self._type.mutable)
            _check(node)
            derived = self._derived(name)
            if derived is not None and getattr(derived, "state", None) != getattr(node, "state", None):
                raise FailedPrecondition(f"state of {name!r}: is that of a pipeline's task")
            # An etag is the time of the last change in microseconds, so two changes must not share one.
            node.update_time = timestamp(max(time.time(), node.update_time.timestamp() + 2e-6))
            self._store.write(name, self._type.kind, self._type.encode(node))
        return self.get(name)

    def delete(self, name: str, given_etag: str = "") -> None:
        """Removes a node.

        Raises:
            NotFound: There is none.
            FailedPrecondition: The etag that was sent is not the present one, or it is a pipeline's.
        """
        with self._lock:
            node = self.get(name)
            if given_etag and given_etag != node.etag:
                raise FailedPrecondition(f"etag {given_etag!r} of {name!r}: the present one is {node.etag!r}")
            if self.is_derived(name):
                raise FailedPrecondition(f"{name!r} is part of a pipeline job: delete the job")
            self._store.delete(name)

    def is_derived(self, name: str) -> bool:
        """Whether a node is a pipeline, a run or a task and so cannot be deleted by itself."""
        return self._derived(name) is not None

    def matching(self, nodes: Sequence[Node], text: str, functions: Functions) -> list[Node]:
        """The nodes that a filter lets through.

        Raises:
            InvalidArgument: It is no filter, or names a field that cannot be filtered by.
        """
        if not text.strip():
            return [*nodes]
        fields = {re.sub(r"(?<!^)(?=[A-Z])", "_", field).lower() for field in fields_of(text)}
        for field in fields.difference(self._type.filtered):
            expected = ", ".join(self._type.filtered)
            raise InvalidArgument(f"filter: field {field!r}: expected one of {expected}")
        matches = compile_filter(text, functions)
        views = [_filter_view(node) for node in nodes]
        if "child_contexts" in fields:
            for seen in views:
                seen["child_contexts"] = self._children(seen["name"])
        return [node for node, seen in zip(nodes, views, strict=True) if matches(seen)]

    def page(self, nodes: Sequence[Node], request: Any, functions: Functions) -> tuple[list[Node], str]:
        """Filter, order and page of a List request over nodes, and the next page's token."""
        kept = self.matching(nodes, request.filter, functions)
        in_order = ordered(kept, request.order_by, view)
        question = f"{request.filter}|{request.order_by}"
        return page(in_order, request.page_size, request.page_token, question)

    def _seen(self, stored: Node | None, derived: Node | None) -> Node | None:
        node = stored if derived is None or stored is None else _overlaid(derived, stored)
        node = node if node is not None else derived
        if node is None:
            return None
        node = self._present(node)
        if "metadata" not in node:
            node.metadata = {}  # the SDK's `metadata` fails on a node without
        node.etag = str(round(node.update_time.timestamp() * 1e6))
        return node


def _overlaid(derived: Node, stored: Node) -> Node:
    """A pipeline's node with what users changed of it, or a node of theirs that had the name first."""
    if stored.schema_title != derived.schema_title:
        return stored
    derived.display_name, derived.description = stored.display_name, stored.description
    derived.labels = stored.labels
    derived.update_time = max(derived.update_time, stored.update_time)
    merged = type(stored).pb(stored).metadata
    merged.update(json_format.MessageToDict(type(derived).pb(derived).metadata))
    derived.metadata = merged
    return derived


def _check(node: Any) -> None:
    if len(node.display_name) > 128:
        raise InvalidArgument(f"display_name: {len(node.display_name)} characters; expected 128 at most")
    if len(node.labels) > 64:
        raise InvalidArgument(f"labels: {len(node.labels)}; expected 64 at most")
    metadata = type(node).pb(node).metadata
    try:
        json_format.MessageToDict(metadata)
    except (ValueError, json_format.Error):
        raise InvalidArgument("metadata: NaN or an infinity, which JSON cannot carry") from None
    size = metadata.ByteSize()
    if size > _MAX_METADATA_BYTES:
        raise InvalidArgument(f"metadata: {size:,} bytes; expected {_MAX_METADATA_BYTES:,} at most")


def _filter_view(node: Any) -> dict:
    """The node as filters see it: its metadata are reached by `metadata.FIELD.TYPE_value`."""
    seen = view(node)
    seen["metadata"] = {key: _typed(value) for key, value in seen.get("metadata", {}).items()}
    return seen


def _typed(value: Any) -> dict:
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, (int, float)):
        return {"number_value": value}
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, dict):
        return {"struct_value": {"fields": {key: _typed(item) for key, item in value.items()}}}
    if isinstance(value, list):
        return {"list_value": {"values": [_typed(item) for item in value]}}
    return {"null_value": "NULL_VALUE"}


def artifact_message(content: dict) -> v1.Artifact:
    """An "artifact" record, which the engine writes too, as a message."""
    return v1.Artifact(
        name=content["name"],
        display_name=content.get("displayName", ""),
        uri=content.get("uri", ""),
        labels=content.get("labels", {}),
        create_time=timestamp(content["createTime"]),
        update_time=timestamp(content.get("updateTime", content["createTime"])),
        state=v1.Artifact.State[content.get("state", "LIVE")],
        schema_title=content.get("schemaTitle", ""),
        schema_version=content.get("schemaVersion", ""),
        metadata=json_format.ParseDict(content.get("metadata", {}), struct_pb2.Struct()),
        description=content.get("description", ""),
    )


def _artifact_payload(artifact: v1.Artifact) -> bytes:
    content = {
        "name": artifact.name,
        "displayName": artifact.display_name,
        "uri": artifact.uri,
        "labels": dict(artifact.labels),
        "createTime": artifact.create_time.timestamp(),
        "updateTime": artifact.update_time.timestamp(),
        "state": artifact.state.name,
        "schemaTitle": artifact.schema_title,
        "schemaVersion": artifact.schema_version,
        "metadata": json_format.MessageToDict(v1.Artifact.pb(artifact).metadata),
        "description": artifact.description,
    }
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _context_payload(context: v1.Context) -> bytes:
    stored = v1.Context(context)
    stored.parent_contexts = []  # are links of their own
    return v1.Context.serialize(stored)


_MUTABLE = ("display_name", "labels", "metadata", "description")
ARTIFACT = NodeType(
    "artifact",
    v1.Artifact,
    _artifact_payload,
    lambda payload: artifact_message(json.loads(payload)),
    (*_MUTABLE, "uri", "state"),
    (*_FILTERED, "uri", "state"),
)
CONTEXT = NodeType(
    "context",
    v1.Context,
    _context_payload,
    v1.Context.deserialize,
    _MUTABLE,
    (*_FILTERED, "parent_contexts", "child_contexts"),
)
EXECUTION = NodeType(
    "execution",
    v1.Execution,
    v1.Execution.serialize,
    v1.Execution.deserialize,
    (*_MUTABLE, "state"),
    (*_FILTERED, "state"),
)
