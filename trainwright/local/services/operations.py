"""`google.longrunning.Operations`: local Vertex answers with operations that are done already."""

import json
import time
from typing import Any

from google.api_core.exceptions import NotFound
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, timestamp_pb2

from trainwright.local.services.names import Project, new_id
from trainwright.local.services.selection import microseconds
from trainwright.local.store import Store, Summary


class Operations:
    """The operations of all services.

    Args:
        store: Keeps each operation under its name.
        project: For the number in names.
    """

    def __init__(self, store: Store, project: Project) -> None:
        self._store = store
        self._project = project

    def done(self, resource: str, response: Any, metadata: Any) -> operations_pb2.Operation:
        """Records and returns a finished operation on `resource`.

        Args:
            resource: Name of the resource it worked on; the operation's name begins with it.
            response: Proto (plus) message, the result.
            metadata: Proto-plus message with a field `generic_metadata`.
        """
        now = timestamp_pb2.Timestamp()
        now.FromNanoseconds(time.time_ns())
        metadata.generic_metadata.create_time = now
        metadata.generic_metadata.update_time = now
        operation = operations_pb2.Operation(
            name=f"{resource.partition('@')[0]}/operations/{new_id()}", done=True
        )
        operation.response.CopyFrom(_packed(response))
        operation.metadata.CopyFrom(_packed(metadata))
        self._store.create(operation.name, "operation", operation.SerializeToString())
        return operation

    def get_operation(self, request: Any, context: Any) -> operations_pb2.Operation:
        """The operation of that name."""
        return self._read(request.name)

    def wait_operation(self, request: Any, context: Any) -> operations_pb2.Operation:
        """The operation of that name: all are done."""
        return self._read(request.name)

    def list_operations(self, request: Any, context: Any) -> operations_pb2.ListOperationsResponse:
        """The operations below a resource, oldest first."""
        records = self._store.list("operation", self._project.canonical(request.name))
        return operations_pb2.ListOperationsResponse(
            operations=[operations_pb2.Operation.FromString(record.payload) for record in records]
        )

    def cancel_operation(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Nothing to do: every operation is done."""
        self._read(request.name)
        return empty_pb2.Empty()

    def delete_operation(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Forgets the operation, not what it did."""
        self._read(request.name)
        self._store.delete(self._project.canonical(request.name))
        return empty_pb2.Empty()

    def _read(self, name: str) -> operations_pb2.Operation:
        record = self._store.read(self._project.canonical(name))
        if record is None or record.kind != "operation":
            raise NotFound(f"operation {name!r} was not found")
        return operations_pb2.Operation.FromString(record.payload)


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(getattr(type(message), "pb", lambda plain: plain)(message))
    return packed


def run_record(store: Store, name: str) -> dict:
    """The state that the engine or training keeps of a job; empty before it began (kind "run")."""
    record = store.read(f"{name}/run")
    return json.loads(record.payload) if record else {}


def run_summary(payload: bytes) -> Summary:
    """What a job's run record adds to the job's summary: the same as callers see."""
    run = json.loads(payload)
    found: Summary = {
        "state": run.get("state") or None,
        "start_time": microseconds(run.get("startTime")),
        "end_time": microseconds(run.get("endTime")),
        "update_time": microseconds(run.get("endTime") or run.get("startTime")),
    }
    return {column: value for column, value in found.items() if value is not None}
