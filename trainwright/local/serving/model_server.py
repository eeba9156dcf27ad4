"""A running model server: one process that is kept healthy, and requests to it."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3

from trainwright.local.execution import (
    EnvironmentFailed,
    Executor,
    Running,
    StartCancelled,
    UnknownImage,
    Work,
)
from trainwright.local.serving.containers import Container

_logger = logging.getLogger(__name__)
_HOST = "127.0.0.1"
# Vertex AI looks every 10 s, and stops sending requests after 4 looks in vain (documentation, "Custom
# container requirements", 2026-08-22). A server that only just starts is looked at more often.
_LOOK_SECONDS = 10.0
_UNHEALTHY_LOOKS = 4
_STARTING_LOOK_SECONDS = 0.05
_MOST_BACK_OFF = 60.0
_GRACE_SECONDS = 10.0
_REPLACED_SECONDS = 5.0


class ServerFailed(Exception):
    """A model server does not run, or is not healthy; the message says why and where its log is."""


@dataclass(frozen=True)
class Reply:
    """What a model server answered: the HTTP status, the headers and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ModelServer:
    """A model server process: started, looked after, and started again when it dies.

    Between two starts after failures it waits 1, 2, 4 … 60 s, as Kubernetes does.

    Args:
        executor: Runs the process.
        name: For messages.
        container: Makes the container for a port.
        wanted_port: The port that the model names, which its program may not ask AIP_HTTP_PORT for: it gets
            this one when it is free. None: any.
        log_path: Where the process writes.
        scratch: Its working directory.
        deployment_seconds: How long a start may take until the server is healthy.
    """

    def __init__(
        self,
        *,
        executor: Executor,
        name: str,
        container: Callable[[int], Container],
        wanted_port: int | None,
        log_path: Path,
        scratch: Path,
        deployment_seconds: float,
    ) -> None:
        self._executor = executor
        self._name = name
        self._container_for = container
        self._wanted_port = wanted_port
        self._log_path = log_path
        self._scratch = scratch
        self._deployment_seconds = deployment_seconds
        self._state = threading.Condition()
        self._container: Container | None = None  # of the healthy process
        self._failure = ""
        self._stopping = threading.Event()
        self._running: Running | None = None
        # No proxy and no environment: it is on this machine.
        self._http = urllib3.PoolManager(maxsize=32, retries=False)
        self._thread = threading.Thread(target=self._conduct, name=f"model-server-{name}", daemon=True)
        self._thread.start()

    def wait_healthy(self, timeout: float, cancelled: threading.Event | None = None) -> None:
        """Waits until the server is healthy.

        Args:
            timeout: Seconds.
            cancelled: Ends the waiting when it is set.

        Raises:
            ServerFailed: It failed, is stopped, or is not healthy in time.
        """
        self._healthy(time.monotonic() + timeout, cancelled)

    def post(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        """Sends a request to the predict route; where the server has just died, after its restart.

        Args:
            body: As it is.
            headers: As they are.
            timeout: Seconds for all of it.

        Raises:
            ServerFailed: The server is not healthy, or breaks the connection.
            TimeoutError: There is no answer in time.
        """
        end = time.monotonic() + timeout
        while True:
            container = self._healthy(end, None)
            try:
                return self._send(container, body, headers, end)
            except urllib3.exceptions.NewConnectionError as error:
                # Nothing listens, nothing was sent: the process has ended, which is about to be noticed here.
                if not self._is_replaced(container):
                    raise ServerFailed(f"{self._name}: {error}; log: {self._log_path}") from None
            except urllib3.exceptions.TimeoutError:
                raise TimeoutError(f"{self._name} did not answer within {timeout:g} s") from None
            except urllib3.exceptions.HTTPError as error:
                raise ServerFailed(f"{self._name} broke off: {error}; log: {self._log_path}") from None

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Ends the process: SIGTERM, SIGKILL after the grace; returns when it is gone.

        Args:
            grace: Seconds.
        """
        self._stopping.set()
        with self._state:
            running = self._running
            self._state.notify_all()
        if running is not None:
            running.terminate(grace)
        self._thread.join(grace + _GRACE_SECONDS)
        self._http.clear()

    def _healthy(self, end: float, cancelled: threading.Event | None) -> Container:
        """The container of the healthy process; waits for it while it is being started."""
        with self._state:
            while True:
                if self._stopping.is_set() or (cancelled is not None and cancelled.is_set()):
                    raise ServerFailed(f"{self._name} is being stopped")
                if self._container is not None:
                    return self._container
                if self._failure:
                    raise ServerFailed(self._failure)
                left = end - time.monotonic()
                if left <= 0:
                    raise ServerFailed(f"{self._name} is not healthy yet; log: {self._log_path}")
                self._state.wait(min(left, 0.5))

    def _is_replaced(self, container: Container) -> bool:
        """Whether a process is known to have ended, within a few seconds."""
        with self._state:
            return self._state.wait_for(lambda: self._container is not container, _REPLACED_SECONDS)

    def _send(self, container: Container, body: bytes, headers: Mapping[str, str], end: float) -> Reply:
        answer = self._http.request(
            "POST",
            f"http://{_HOST}:{container.port}{container.predict_route}",
            body=body,
            headers=dict(headers),
            timeout=urllib3.Timeout(total=max(0.001, end - time.monotonic())),
            redirect=False,
        )
        return Reply(answer.status, dict(answer.headers), answer.data)

    def _conduct(self) -> None:
        """The thread: one process after another, until the server is stopped."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                failure = self._serve()
            except StartCancelled:
                return
            except (EnvironmentFailed, UnknownImage, OSError) as error:
                failure = f"{self._name} could not be started: {error}"
            except Exception as error:  # a fault of ours must be seen, not leave callers waiting
                _logger.exception("model server %s", self._name)
                failure = f"{self._name}: {type(error).__name__}: {error}"
            if self._stopping.is_set():
                return
            # One that had served for a while is started again at once.
            failures = 0 if not failure and time.monotonic() - began > _MOST_BACK_OFF else failures + 1
            if failures > 1 or failure:
                self._set(failure=failure or f"{self._name} keeps ending; log: {self._log_path}")
                self._stopping.wait(min(2.0 ** max(0, failures - 2), _MOST_BACK_OFF))
            self._set()

    def _serve(self) -> str:
        """One process from its start to its end; why it never was healthy, "" when it was."""
        with _port(self._wanted_port) as port:
            return self._serve_at(self._container_for(port))

    def _serve_at(self, container: Container) -> str:
        work = Work(
            name=self._name,
            image=container.image,
            command=container.command,
            args=container.args,
            environment=container.environment,
            log_path=self._log_path,
            scratch=self._scratch,
        )
        running = self._executor.start(work, self._stopping, has_slot=True)
        with self._state:
            self._running = running
        if self._stopping.is_set():  # between the start and here
            running.terminate(0.0)
        try:
            if failure := self._become_healthy(container, running):
                return failure
            self._set(container=container)
            self._look_after(container, running)
            return ""
        finally:
            self._set()
            running.terminate(0.0)
            running.wait(_GRACE_SECONDS)

    def _become_healthy(self, container: Container, running: Running) -> str:
        """Waits for the first good health check; why there was none, else ""."""
        end = time.monotonic() + self._deployment_seconds
        while not self._stopping.is_set():
            if outcome := running.wait(_STARTING_LOOK_SECONDS):
                said = f" {outcome.said};" if outcome.said else ""
                return (
                    f"{self._name} ended with exit code {outcome.exit_code} before it was healthy;{said}"
                    f" log: {self._log_path}"
                )
            if self._is_healthy(container):
                return ""
            if time.monotonic() > end:
                return (
                    f"{self._name} never became ready: GET {container.health_route} on port {container.port}"
                    f" (AIP_HTTP_PORT) did not answer 200 within {self._deployment_seconds:g} s;"
                    f" log: {self._log_path}"
                )
        return ""

    def _look_after(self, container: Container, running: Running) -> None:
        """Looks at the health of a process until it ends."""
        bad = 0
        while running.wait(_LOOK_SECONDS) is None:
            bad = 0 if self._is_healthy(container) else bad + 1
            if bad >= _UNHEALTHY_LOOKS:
                self._set(failure=f"{self._name} is unhealthy; log: {self._log_path}")
            else:
                self._set(container=container)

    def _is_healthy(self, container: Container) -> bool:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            url = f"http://{_HOST}:{container.port}{container.health_route}"
            return self._http.request("GET", url, timeout=_LOOK_SECONDS, redirect=False).status == 200
        return False

    def _set(self, container: Container | None = None, failure: str = "") -> None:
        with self._state:
            self._container, self._failure = container, failure
            self._state.notify_all()


_ports_lock = threading.Lock()
_taken_ports: set[int] = set()


@contextlib.contextmanager
def _port(wanted: int | None) -> Iterator[int]:
    """A port where nothing listens and that no other model server of this process gets meanwhile."""
    with _ports_lock:
        port = _free_port(wanted) if wanted and wanted not in _taken_ports else None
        while port is None or port in _taken_ports:
            port = _free_port(0)
        _taken_ports.add(port)
    try:
        yield port
    finally:
        with _ports_lock:
            _taken_ports.discard(port)


def _free_port(port: int) -> int | None:
    """The port, or any free one for 0; None when something listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
