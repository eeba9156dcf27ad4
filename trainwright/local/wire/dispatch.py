"""From a request message to a service's answer, with the long poll in between.

Google Cloud Pipeline Components' launchers sleep 20 s between two looks at a job. Their calls are therefore
held until there is an end to report; everyone else gets the state of the moment, as from Vertex AI.
"""

import asyncio
import contextlib
import inspect
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from google.api_core import exceptions
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from trainwright.local.store import Store

from .routes import Method, Routes

_GCPC = "google-cloud-pipeline-components"
_JOB_STATES = ("JobState", "PipelineState")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "PAUSED", "EXPIRED", "PARTIALLY_SUCCEEDED")
# A held call looks again after this even if no record of its own changed, as its client would have.
_LOOK_AGAIN = 20.0
_THREADS = 16
_GET_OPERATION = "google.longrunning.Operations/GetOperation"
_WAIT_OPERATION = "google.longrunning.Operations/WaitOperation"
_FIELD = re.compile(r"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?::| .*?:) ")
_LOCATION = re.compile(r"projects/[^/]+/locations/([^/]+)")

_log = logging.getLogger(__name__)

_Operation: Any = operations_pb2.Operation
_GetOperationRequest: Any = operations_pb2.GetOperationRequest


@dataclass(frozen=True)
class Context:
    """What a service may want to know of a call besides its request.

    Attributes:
        method: "google.cloud.aiplatform.v1.JobService/CreateCustomJob", for v1beta1 too.
        version: "v1" or "v1beta1": what the client spoke.
        location: The region that the request names, else the default one.
        user_agent: x-goog-api-client and User-Agent, in that order.
        response_headers: The service may put headers of its answer here; over gRPC they are initial metadata.
    """

    method: str
    version: str
    location: str
    user_agent: str
    response_headers: dict[str, str] = field(default_factory=dict)


class Dispatcher:
    """Calls services. `call` runs in the event loop, the services' own methods in a few threads.

    A service's method that is a coroutine function runs in the event loop.

    Args:
        services: Objects by service name, with a method for each RPC in snake_case.
        store: Tells of changed records.
        routes: The table of methods.
        location: The default region.
    """

    def __init__(self, services: Mapping[str, object], store: Store, routes: Routes, location: str) -> None:
        self._services = services
        self._store = store
        self._routes = routes
        self._location = location
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vertex")
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._unsubscribe: Callable[[], None] = store.subscribe(self._changed)

    async def lookup(self, search: Callable[..., Any], *arguments: str) -> Any:
        """Asks the routes; in a thread while that may load the services and modules of the SDK.

        Raises:
            google.api_core.exceptions.InternalServerError: The services cannot be loaded.
        """
        if self._routes.is_loaded and getattr(search, "__self__", None) is self._routes:
            return search(*arguments)
        try:
            return await self._loop.run_in_executor(self._threads, search, *arguments)
        except exceptions.GoogleAPICallError:
            raise
        except Exception as error:
            _log.exception("the services cannot be loaded")
            raise exceptions.InternalServerError(f"{type(error).__name__}: {error}") from None

    async def call(
        self,
        method: Method,
        version: str,
        request: Any,
        user_agent: str,
        patience: float | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Any:
        """The answer to one request, as a protobuf message.

        Args:
            method: What is called.
            version: "v1" or "v1beta1".
            request: Of the method's request class.
            user_agent: x-goog-api-client and User-Agent.
            patience: For how many seconds the client will wait; None: for ever.
            response_headers: Takes the headers that the service wants with its answer.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: The service's own, or MethodNotImplemented, or
                InternalServerError for whatever else it raised.
        """
        location = location_of(request) or self._location
        headers = {} if response_headers is None else response_headers
        context = Context(method.full_name, version, location, user_agent, headers)
        if method.full_name == _WAIT_OPERATION:
            limits = [request.timeout.ToTimedelta().total_seconds()] if request.HasField("timeout") else []
            limits += [patience] if patience is not None else []
            return await self._hold_operation(request.name, context, min(limits, default=None))
        answer = await self._serve(method, request, context)
        if isinstance(answer, _Operation) and version == "v1beta1":
            # google.longrunning has no version in its name: later calls must find what the client speaks.
            self._store.write(f"{answer.name}/version", "operationVersion", version.encode())
        if _GCPC not in user_agent or _has_ended(answer):
            return answer
        if isinstance(answer, _Operation):
            return await self._hold_operation(answer.name, context, patience)
        if method.function.startswith("get_"):
            return await self._hold(answer.name, lambda: self._serve(method, request, context), patience)
        return answer

    def spoken_version(self, answer: Any, version: str) -> str:
        """The API version that an answer's packed types must name."""
        if version == "v1" and isinstance(answer, _Operation):
            record = self._store.read(f"{answer.name}/version")
            return record.payload.decode() if record else version
        return version

    async def _serve(self, method: Method, request: Any, context: Context) -> Any:
        function = getattr(self._services.get(method.service), method.function, None)
        if function is None or method.streaming:
            raise unimplemented(method.full_name.replace(".v1.", f".{context.version}.", 1))
        try:
            if inspect.iscoroutinefunction(function):  # it waits for others, and keeps no thread meanwhile
                answer = await function(request, context)
            else:
                answer = await self._loop.run_in_executor(self._threads, function, request, context)
            return _as_message(method, answer)
        except exceptions.InvalidArgument as error:
            raise _with_field(error, request) from None
        except exceptions.GoogleAPICallError:
            raise
        except Exception as error:
            _log.exception("%s failed", method.full_name)
            message = f"{method.full_name}: {type(error).__name__}: {error}"
            raise exceptions.InternalServerError(message) from None

    async def _hold_operation(self, name: str, context: Context, patience: float | None) -> Message:
        return await self._hold(name, lambda: self._get_operation(name, context), patience)

    async def _get_operation(self, name: str, context: Context) -> Message:
        method = await self.lookup(self._routes.by_name, _GET_OPERATION)
        if method is None:
            raise unimplemented(_GET_OPERATION)
        return await self._serve(method, _GetOperationRequest(name=name), context)

    async def _hold(self, name: str, read: Callable[[], Any], patience: float | None) -> Message:
        """Reads again at each change of the resource, until it has ended or patience has."""
        end = None if patience is None else self._loop.time() + patience
        with self._watch(name) as changed:
            while not self._stopping:
                changed.clear()
                answer = await read()
                left = _LOOK_AGAIN if end is None else min(_LOOK_AGAIN, end - self._loop.time())
                if _has_ended(answer) or left <= 0:
                    return answer
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await changed.wait()
        raise exceptions.ServiceUnavailable("local Vertex AI is stopping")

    @contextlib.contextmanager
    def _watch(self, name: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the resource's record, or that of its run, is committed."""
        changed = asyncio.Event()
        names = (name, f"{name}/run")
        with self._lock:
            for each in names:
                self._waiting.setdefault(each, set()).add(changed)
        try:
            yield changed
        finally:
            with self._lock:
                for each in names:
                    self._waiting[each].discard(changed)
                    if not self._waiting[each]:
                        del self._waiting[each]

    def _changed(self, name: str) -> None:
        """Called by the store in the thread that wrote."""
        with self._lock:
            for event in self._waiting.get(name, ()):
                self._loop.call_soon_threadsafe(event.set)

    def stop(self) -> None:
        """Ends every held call with UNAVAILABLE and takes no notice of the store any more."""
        self._unsubscribe()
        self._stopping = True
        with self._lock:
            for event in set().union(*self._waiting.values()):
                event.set()
        self._threads.shutdown(wait=False, cancel_futures=True)


def location_of(request: Any) -> str | None:
    """The region in the first resource name of a request: its own field, or the name of what it carries."""
    pb = getattr(type(request), "pb", None)
    message: Message = pb(request) if callable(pb) else request
    for _, value in message.ListFields():
        found = _LOCATION.match(str(getattr(value, "name", value)))
        if found:
            return found[1]
    return None


def _with_field(error: exceptions.InvalidArgument, request: Any) -> exceptions.InvalidArgument:
    """The error with google.rpc.BadRequest for the field that its message begins with, as on Vertex AI."""
    found = _FIELD.match(error.message)
    if error.details or found is None:
        return error
    pb = getattr(type(request), "pb", None)
    descriptor = (pb(request) if callable(pb) else request).DESCRIPTOR
    first = found[1].partition(".")[0]
    if first not in descriptor.fields_by_name:  # some messages leave out the name of the resource's own field
        resources = [field.message_type for field in descriptor.fields if field.message_type is not None]
        if not any(first in resource.fields_by_name for resource in resources):
            return error
    violation = error_details_pb2.BadRequest.FieldViolation(field=found[1], description=error.message)
    details = [error_details_pb2.BadRequest(field_violations=[violation])]
    return exceptions.InvalidArgument(error.message, details=details)


def unimplemented(full_name: str) -> exceptions.MethodNotImplemented:
    """The error for a method that nobody wrote."""
    return exceptions.MethodNotImplemented(f"{full_name} is not implemented by local Vertex AI")


def _as_message(method: Method, answer: Any) -> Message:
    """A service's answer as protobuf: proto-plus is unwrapped, and None stands for Empty.

    Raises:
        TypeError: It is not of the method's type.
    """
    if answer is None and method.response is empty_pb2.Empty:
        return empty_pb2.Empty()
    if not isinstance(answer, method.response):
        raise TypeError(f"the service answered {type(answer).__name__}, not {method.response.__name__}")
    pb = getattr(type(answer), "pb", None)
    return pb(answer) if callable(pb) else answer  # type: ignore[return-value]


def _has_ended(answer: Message) -> bool:
    """Whether there is nothing to wait for: a finished operation or job, or something that never runs."""
    if isinstance(answer, _Operation):
        return bool(answer.done)
    field = answer.DESCRIPTOR.fields_by_name.get("state")
    if field is None or field.enum_type is None or field.enum_type.name not in _JOB_STATES:
        return True
    state = field.enum_type.values_by_number.get(getattr(answer, "state"))  # noqa: B009
    return state is None or state.name.endswith(_ENDED)
