"""The model servers of deployed models, one for each."""

import threading
from collections.abc import Mapping
from pathlib import Path

from trainwright.local.execution import Executor, UnknownImage
from trainwright.local.serving.containers import Served, check, container_of, port_of
from trainwright.local.serving.model_server import ModelServer, Reply, ServerFailed

# Longest that a server may take to be healthy when the model does not say (`deploymentTimeout`).
DEPLOYMENT_SECONDS = 1800.0


class Deployments:
    """Model servers by deployed model. All methods may be called from any thread.

    A server is started by `deploy`, and after a restart of the process that serves by the first request to
    it. When it dies it is started again.

    Args:
        executor: Runs the servers.
        state: The state folder.
    """

    def __init__(self, *, executor: Executor, state: Path) -> None:
        self._executor = executor
        self._state = state
        self._lock = threading.Lock()
        self._servers: dict[tuple[str, str], ModelServer] = {}
        self._undeployed: set[tuple[str, str]] = set()
        self._closed = False

    def check(self, spec: dict, artifact_uri: str) -> None:
        """Says what can be known before a model is served.

        Args:
            spec: ModelContainerSpec as camelCase JSON.
            artifact_uri: Of the model.

        Raises:
            ValueError: It is not valid or cannot run here; one line that names the field.
        """
        is_real = self._executor.runs_in_container(spec.get("imageUri", ""))
        check(spec, artifact_uri, is_real=is_real)
        served = Served(spec, artifact_uri, "0", "0", "0")
        container = container_of(served, 8080, self._state / "storage", is_real=is_real)
        try:
            self._executor.check(container.image, (*container.command, *container.args))
        except UnknownImage as error:
            raise ValueError(f"containerSpec: {error}") from None

    def deploy(self, served: Served, cancelled: threading.Event) -> None:
        """Starts a model server and waits until it is healthy.

        Args:
            served: The model, checked.
            cancelled: Ends the waiting, and the server, when it is set.

        Raises:
            ServerFailed: It ended, never was healthy, or was cancelled; nothing is left of it.
        """
        with self._lock:
            self._undeployed.discard((served.endpoint_id, served.deployed_model_id))
        server = self._server(served)
        try:
            server.wait_healthy(_deployment_seconds(served.spec), cancelled)
        except BaseException:
            self.undeploy(served.endpoint_id, served.deployed_model_id)
            raise

    def post(self, served: Served, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        """Sends a request to the predict route of a deployed model.

        Args:
            served: The model as it was deployed.
            body: As it is.
            headers: As they are.
            timeout: Seconds, the start of the server included when it does not run.

        Raises:
            ServerFailed: The server is not healthy, or breaks the connection.
            TimeoutError: There is no answer in time.
        """
        return self._server(served).post(body, headers, timeout)

    def undeploy(self, endpoint_id: str, deployed_model_id: str) -> None:
        """Ends the server of a deployed model; returns when it is gone."""
        with self._lock:
            # A request that was on its way must not start it again.
            self._undeployed.add((endpoint_id, deployed_model_id))
            server = self._servers.pop((endpoint_id, deployed_model_id), None)
        if server is not None:
            server.stop()

    def start_job(self, served: Served) -> ModelServer:
        """Starts a server that serves one batch prediction job; whoever asked stops it.

        Args:
            served: The model, checked; `endpoint_id` is the job's.
        """
        return self._new_server(served, "batchPredictionJobs")

    def close(self) -> None:
        """Ends all servers; what is deployed stays deployed."""
        with self._lock:
            self._closed = True
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.stop(0.0)

    def _server(self, served: Served) -> ModelServer:
        key = (served.endpoint_id, served.deployed_model_id)
        with self._lock:
            if key in self._undeployed:
                raise ServerFailed(f"model server {served.deployed_model_id} has been undeployed")
            if key not in self._servers:
                self._servers[key] = self._new_server(served, "endpoints")
                if self._closed:
                    self._servers[key].stop(0.0)
            return self._servers[key]

    def _new_server(self, served: Served, kind: str) -> ModelServer:
        place = Path(kind, served.endpoint_id)
        is_real = self._executor.runs_in_container(served.spec["imageUri"])
        name = f"model server {served.deployed_model_id}" if kind == "endpoints" else "model server"
        return ModelServer(
            executor=self._executor,
            name=name,
            container=lambda port: container_of(served, port, self._state / "storage", is_real=is_real),
            wanted_port=port_of(served.spec),
            log_path=self._state / "logs" / place / f"{served.deployed_model_id}.log",
            scratch=self._state / "work" / place / served.deployed_model_id,
            deployment_seconds=_deployment_seconds(served.spec),
        )


def _deployment_seconds(spec: dict) -> float:
    return float(str(spec.get("deploymentTimeout", f"{DEPLOYMENT_SECONDS}s"))[:-1])
