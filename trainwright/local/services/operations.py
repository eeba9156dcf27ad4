"""`google.longrunning.Operations`: what callers may wait for.

Most operations of local Vertex are done when they are answered. One that takes time is begun: what was
asked is committed beside the operation, a thread does the work and commits what came of it, then the
operation ends. After kill -9 every operation that had not ended is worked on again, from what was asked; so
the work must be such that it can be done twice.
"""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from google.api_core.exceptions import FailedPrecondition, GoogleAPICallError, NotFound
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, timestamp_pb2
from google.rpc import code_pb2, status_pb2

from trainwright.local.services.names import Project, new_id
from trainwright.local.services.selection import microseconds
from trainwright.local.store import Store, Summary

_logger = logging.getLogger(__name__)
_CLOSE_SECONDS = 10.0


class Cancelled(Exception):
    """The work of an operation ended because it was cancelled, or because local Vertex stops."""


Worker = Callable[[bytes, threading.Event], Any]
"""Does the work of a kind of operation: from what `begin` was given, and an event that asks it to stop, to
the response, a proto (plus) message.

Raises Cancelled when it stopped, GoogleAPICallError for what is the caller's to know. It is called again for
the same operation when local Vertex was killed before the operation's end was in the store.
"""


class Operations:
    """The operations of all services. Methods may be called from any thread.

    Args:
        store: Keeps each operation under its name, and what one that runs was asked under `NAME/request`.
        project: For the number in names.
    """

    def __init__(self, store: Store, project: Project) -> None:
        self._store = store
        self._project = project
        self._workers: dict[str, Worker] = {}
        self._lock = threading.Lock()
        self._cancelled: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def done(self, resource: str, response: Any, metadata: Any) -> operations_pb2.Operation:
        """Records and returns a finished operation on `resource`.

        Args:
            resource: Name of the resource it worked on; the operation's name begins with it.
            response: Proto (plus) message, the result.
            metadata: Proto-plus message with a field `generic_metadata`.
        """
        operation = _new(resource, metadata)
        operation.done = True
        operation.response.CopyFrom(_packed(response))
        self._store.create(operation.name, "operation", operation.SerializeToString())
        return operation

    def register(self, kind: str, worker: Worker) -> None:
        """Says who does the work of a kind of operation; to be called before `resume`."""
        self._workers[kind] = worker

    def begin(self, resource: str, kind: str, request: bytes, metadata: Any) -> operations_pb2.Operation:
        """Records an operation that takes time, starts its work and returns at once.

        Args:
            resource: As in `done`.
            kind: Of a registered worker.
            request: What the worker gets, now and after a restart.
            metadata: As in `done`.
        """
        operation = _new(resource, metadata)
        asked = json.dumps({"kind": kind, "request": base64.b64encode(request).decode()}).encode()
        self._store.write_many(
            [
                (f"{operation.name}/request", "operationRequest", asked),
                (operation.name, "operation", operation.SerializeToString()),
            ]
        )
        self._start(operation.name, kind, request)
        return operation

    def running(self, resource: str) -> list[str]:
        """The names of the operations on `resource` that have not ended."""
        requests = self._store.names("operationRequest", f"{resource}/operations/")
        names = [request.removesuffix("/request") for request in requests]
        return [name for name in names if self._is_running(name)]

    def resume(self) -> None:
        """Works again on every operation that had not ended when the process before this one did."""
        for record in self._store.list("operationRequest"):
            asked, name = record.json(), record.name.removesuffix("/request")
            if self._is_running(name):
                self._start(name, asked["kind"], base64.b64decode(asked["request"]))
            else:  # killed between the operation's end and this
                self._store.delete(record.name)

    def close(self) -> None:
        """Stops the work; what has not ended goes on at the next start."""
        with self._lock:
            self._closed = True
            events, threads = list(self._cancelled.values()), list(self._threads)
        for event in events:
            event.set()
        for thread in threads:
            thread.join(_CLOSE_SECONDS)

    def get_operation(self, request: Any, context: Any) -> operations_pb2.Operation:
        """The operation of that name."""
        return self._read(request.name)

    def wait_operation(self, request: Any, context: Any) -> operations_pb2.Operation:
        """The operation of that name, as it is: the wire holds the call until it is done."""
        return self._read(request.name)

    def list_operations(self, request: Any, context: Any) -> operations_pb2.ListOperationsResponse:
        """The operations below a resource, oldest first."""
        records = self._store.list("operation", self._project.canonical(request.name))
        return operations_pb2.ListOperationsResponse(
            operations=[operations_pb2.Operation.FromString(record.payload) for record in records]
        )

    def cancel_operation(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Asks an operation to stop: it ends with CANCELLED unless it ends otherwise first."""
        name = self._read(request.name).name
        with self._lock:
            if name in self._cancelled:
                self._store.write(f"{name}/cancelled", "operationCancelled", b"")
                self._cancelled[name].set()
        return empty_pb2.Empty()

    def delete_operation(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Forgets an operation that is done, not what it did.

        Raises:
            FailedPrecondition: It is not done.
        """
        operation = self._read(request.name)
        if not operation.done:
            raise FailedPrecondition(f"operation {operation.name!r} is not done: cancel it first")
        self._store.delete(operation.name)
        return empty_pb2.Empty()

    def _read(self, name: str) -> operations_pb2.Operation:
        record = self._store.read(self._project.canonical(name))
        if record is None or record.kind != "operation":
            raise NotFound(f"operation {name!r} was not found")
        return operations_pb2.Operation.FromString(record.payload)

    def _start(self, name: str, kind: str, request: bytes) -> None:
        cancelled = threading.Event()
        if self._store.read(f"{name}/cancelled") is not None:  # asked for before a kill
            cancelled.set()
        thread = threading.Thread(
            target=self._conduct, args=(name, kind, request, cancelled), name=f"operation-{kind}", daemon=True
        )
        with self._lock:
            if self._closed:
                return
            self._cancelled[name] = cancelled
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def _conduct(self, name: str, kind: str, request: bytes, cancelled: threading.Event) -> None:
        """An operation's thread: its work, then its end in the store, unless all is being closed."""
        result = self._work(name, kind, request, cancelled)
        if result is None:
            return
        operation = self._read(name)
        if isinstance(result, status_pb2.Status):
            operation.error.CopyFrom(result)
        else:
            operation.response.CopyFrom(result)
        operation.done = True
        with self._lock:
            self._cancelled.pop(name, None)
        self._store.write(name, "operation", operation.SerializeToString())
        self._store.delete(f"{name}/request")
        self._store.delete(f"{name}/cancelled")

    def _work(
        self, name: str, kind: str, request: bytes, cancelled: threading.Event
    ) -> any_pb2.Any | status_pb2.Status | None:
        """What came of the work: a response or an error; None when it is to be done again later."""
        try:
            return _packed(self._workers[kind](request, cancelled))
        except Cancelled:
            status = status_pb2.Status(code=code_pb2.CANCELLED, message="The operation was cancelled.")
        except GoogleAPICallError as error:
            code = error.grpc_status_code.value[0] if error.grpc_status_code else code_pb2.UNKNOWN
            status = status_pb2.Status(code=code, message=error.message)
        except Exception as error:  # a fault of ours must end the operation, not leave it for ever
            if not self._closed:
                _logger.exception("operation %s", name)
            status = status_pb2.Status(code=code_pb2.INTERNAL, message=f"{type(error).__name__}: {error}")
        return None if self._closed else status

    def _is_running(self, name: str) -> bool:
        record = self._store.read(name)
        return record is not None and not operations_pb2.Operation.FromString(record.payload).done


def _new(resource: str, metadata: Any) -> operations_pb2.Operation:
    """An operation on `resource` that begins now, with its metadata."""
    now = timestamp_pb2.Timestamp()
    now.FromNanoseconds(time.time_ns())
    metadata.generic_metadata.create_time = now
    metadata.generic_metadata.update_time = now
    operation = operations_pb2.Operation(name=f"{resource.partition('@')[0]}/operations/{new_id()}")
    operation.metadata.CopyFrom(_packed(metadata))
    return operation


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
