"""The methods of Vertex AI, read from the SDK's own generated modules.

A service's transport class for gRPC knows each method's full name and its request and response types; the one
for REST knows the HTTP bindings. Both are asked here, once, for the services that are served. v1beta1 has the
same methods under another prefix, so it needs no table of its own.
"""

import importlib
import importlib.util
import pkgutil
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .transcode import Template

_PACKAGES = ("google.cloud.aiplatform_v1", "google.cloud.resourcemanager_v3")
_VERSION_PREFIX = re.compile(r"^/(v1|v1beta1|ui)/")
_OPERATIONS = "google.longrunning.Operations"
_REHEARSAL = "trainwright.local.Rehearsal"
_LOCATIONS = "google.cloud.location.Locations"
_MIXINS = ("/google.longrunning.", "/google.cloud.location.", "/google.iam.")


@dataclass(frozen=True)
class Binding:
    """One HTTP form of a method: verb, path, and the field that is the body ("*": the request; "": none)."""

    verb: str
    template: Template
    body: str


@dataclass(frozen=True)
class Method:
    """One RPC.

    Attributes:
        full_name: "google.cloud.aiplatform.v1.JobService/CreateCustomJob".
        request: A proto-plus class, or a protobuf one for google.longrunning.
        response: Likewise.
        bindings: Its HTTP forms.
        streaming: Whether it streams in either direction; such methods are not served.
    """

    full_name: str
    request: type
    response: type
    bindings: tuple[Binding, ...]
    streaming: bool

    @property
    def service(self) -> str:
        """The name under which the service object is handed in: "JobService"."""
        return self.full_name.split("/")[0].rpartition(".")[2]

    @property
    def function(self) -> str:
        """The service object's method: "create_custom_job"."""
        return _snake(self.full_name.split("/")[1])


class Routes:
    """The table for some services; read at the first use, since the SDK's modules take half a second.

    Args:
        services: Their names, such as "JobService", "Operations", "Projects"; gone through at the first use.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._by_name: dict[str, Method] | None = None
        self._by_verb: dict[str, list[tuple[Binding, Method]]] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether the table has been read, so that asking it takes no time."""
        return self._by_name is not None

    def load(self) -> None:
        """Reads the table unless it has been read.

        Raises:
            ValueError: A service is none of the SDK's.
        """
        if self._by_name is not None:
            return
        with self._lock:
            if self._by_name is not None:
                return
            methods = [method for service in self._services for method in _read_service(service)]
            for method in methods:
                for binding in method.bindings:
                    self._by_verb.setdefault(binding.verb, []).append((binding, method))
            for rows in self._by_verb.values():
                # `models/*:listVersions` before `models/*`, which would take the verb for a part of the ID.
                rows.sort(key=lambda row: not row[0].template.has_custom_verb)
            self._by_name = {method.full_name: method for method in methods}

    def methods(self) -> list[Method]:
        """Every method of the services."""
        self.load()
        assert self._by_name is not None
        return list(self._by_name.values())

    def by_name(self, full_name: str) -> Method | None:
        """The method of a gRPC path without its leading slash; v1beta1 finds v1's."""
        self.load()
        assert self._by_name is not None
        return self._by_name.get(full_name.replace(".v1beta1.", ".v1.", 1))

    def by_path(self, verb: str, path: str) -> tuple[Method, Binding, dict[str, str]] | None:
        """The method for a verb and a percent-encoded path, with the values of the path's variables."""
        self.load()
        canonical = _VERSION_PREFIX.sub("/v1/", path)
        for binding, method in self._by_verb.get(verb, ()):
            variables = binding.template.match(canonical)
            if variables is not None:
                return method, binding, variables
        return None


def unserved_method(verb: str, path: str) -> str | None:
    """The full name of the method that Google would serve at `path`, whichever service it belongs to."""
    canonical = _VERSION_PREFIX.sub("/v1/", path)
    for package in _PACKAGES:
        folder = importlib.import_module(f"{package}.services")
        for module in pkgutil.iter_modules(folder.__path__):
            for method in _read_module(f"{package}.services.{module.name}"):
                for binding in method.bindings:
                    if binding.verb == verb and binding.template.match(canonical) is not None:
                        return method.full_name
    return None


def _read_service(service: str) -> list[Method]:
    if service == "Operations":
        return _operations()
    if service == "Rehearsal":
        return _rehearsal()
    if service == "Locations":
        return _locations()
    for package in _PACKAGES:
        name = f"{package}.services.{_snake(service)}"
        importlib.import_module(package)
        if importlib.util.find_spec(name) is not None:
            return _read_module(name)
    raise ValueError(f"{service} is no service of {' or '.join(_PACKAGES)}")


def _read_module(name: str) -> list[Method]:
    """The methods of one generated service module, without those it only mixes in (operations, locations)."""
    grpc_transport = _transport(f"{name}.transports.grpc", "GrpcTransport")
    rest_transport = _transport(f"{name}.transports.rest_base", "RestTransport")
    recorder = _Recorder()
    transport = object.__new__(grpc_transport)  # its __init__ would ask for credentials and open a channel
    vars(transport).update(_stubs={}, _logged_channel=recorder, _grpc_channel=recorder)
    methods = []
    for key, value in vars(grpc_transport).items():
        if not isinstance(value, property) or key in ("grpc_channel", "operations_client", "kind"):
            continue
        getattr(transport, key)
        if recorder.path.startswith(_MIXINS):
            continue
        request, response = value.fget.__annotations__["return"].__args__  # Callable[[request], response]
        full_name = recorder.path.lstrip("/")
        base: Any = getattr(rest_transport, f"_Base{full_name.split('/')[1]}", None)
        options = base._get_http_options() if hasattr(base, "_get_http_options") else []
        bindings = tuple(
            Binding(option["method"].upper(), Template(option["uri"]), option.get("body", ""))
            for option in options
        )
        methods.append(Method(full_name, request, response, bindings, recorder.streaming))
    if not methods:
        raise ValueError(f"{name} has no methods that can be read")
    return methods


def _transport(name: str, ending: str) -> Any:
    """The transport class that a generated module defines."""
    module = importlib.import_module(name)
    for value in vars(module).values():
        if isinstance(value, type) and value.__name__.endswith(ending) and value.__module__ == name:
            return value
    raise ValueError(f"{name} defines no class named *{ending}")


class _Recorder:
    """Takes the place of a channel and notes which method a transport would call."""

    path = ""
    streaming = False

    def unary_unary(self, path: str, **_: Any) -> None:
        self.path, self.streaming = path, False

    def unary_stream(self, path: str, **_: Any) -> None:
        self.path, self.streaming = path, True

    stream_unary = stream_stream = unary_stream


def _operations() -> list[Method]:
    """google.longrunning.Operations, whose names may lie below any resource."""
    from google.longrunning import operations_pb2
    from google.protobuf import empty_pb2

    pb: Any = operations_pb2
    empty = empty_pb2.Empty
    name = "{name=projects/**/operations/*}"
    rows = (
        ("GetOperation", pb.GetOperationRequest, pb.Operation, "GET", f"/v1/{name}", ""),
        ("ListOperations", pb.ListOperationsRequest, pb.ListOperationsResponse, "GET", _ALL_OPERATIONS, ""),
        ("CancelOperation", pb.CancelOperationRequest, empty, "POST", f"/v1/{name}:cancel", "*"),
        ("DeleteOperation", pb.DeleteOperationRequest, empty, "DELETE", f"/v1/{name}", ""),
        ("WaitOperation", pb.WaitOperationRequest, pb.Operation, "POST", f"/v1/{name}:wait", "*"),
    )
    return [
        Method(f"{_OPERATIONS}/{rpc}", request, response, (Binding(verb, Template(uri), body),), False)
        for rpc, request, response, verb, uri, body in rows
    ]


def _rehearsal() -> list[Method]:
    """What is asked of a local Vertex AI only, as methods beside Google's; a request is a name alone."""
    from google.longrunning import operations_pb2
    from google.protobuf import empty_pb2

    pb: Any = operations_pb2
    job = "projects/*/locations/*/customJobs/*"
    forms = tuple(
        Binding("POST", Template(f"/v1/{{name={each}}}:preempt"), "") for each in (f"{job}/replicas/*", job)
    )
    return [
        Method(f"{_REHEARSAL}/Preempt", pb.CancelOperationRequest, empty_pb2.Empty, forms, streaming=False)
    ]


def _locations() -> list[Method]:
    """google.cloud.location.Locations, which the generated modules mix in as well."""
    from google.cloud.location import locations_pb2

    pb: Any = locations_pb2
    one, all_of = "/v1/{name=projects/*/locations/*}", "/v1/{name=projects/*}/locations"
    rows = (
        ("GetLocation", pb.GetLocationRequest, pb.Location, one),
        ("ListLocations", pb.ListLocationsRequest, pb.ListLocationsResponse, all_of),
    )
    return [
        Method(f"{_LOCATIONS}/{rpc}", request, response, (Binding("GET", Template(uri), ""),), False)
        for rpc, request, response, uri in rows
    ]


_ALL_OPERATIONS = "/v1/{name=projects/**}/operations"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
