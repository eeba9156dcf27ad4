"""Real containers instead of processes: `runtime = "docker"` (or "podman", which takes the same words).

The engine's own client runs in the foreground as the task's process, so that its log, its exit code and its
end are the container's. A container outlives a client that is killed, so each is removed when its client has
ended, and those of a local Vertex that was killed are removed before the next one starts anything.

Chosen over the `docker` Python package: what the user's shell reaches (contexts, rootless engines, podman,
credentials of registries) is reached by the client without a word of ours.
"""

import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainwright.local.execution.running import Work

_LABEL = "trainwright.state"
_ANSWER_SECONDS = 30.0
# How the client finds its engine and the credentials of registries; the rest of a task's environment is ours.
_OF_CLIENT = ("DOCKER_", "CONTAINER_", "CONTAINERS_", "XDG_RUNTIME_DIR", "BUILDAH_", "REGISTRY_AUTH_FILE")
# Where kfp looks for Cloud Storage and for the workspace (kfp/dsl/types/artifact_types.py, 2.17.0).
_GCS, _WORKSPACE = "/gcs", "/kfp-workspace"


class NoContainerEngine(OSError):
    """The engine's client is not there, or no engine answers it; one line."""


@dataclass(frozen=True)
class Container:
    """A container to be: its name, the client's words that run it, and the variables these name."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]


class Containers:
    """The containers of one state folder.

    Args:
        program: "docker" or "podman".
        state: The state folder. What tasks read and write below it has the same path in a container.
        gcs_root: The folder that stands for `gs://`; also `/gcs` in a container.

    Raises:
        NoContainerEngine: It cannot run containers.
    """

    def __init__(self, program: str, *, state: Path, gcs_root: Path) -> None:
        found = shutil.which(program)
        if found is None:
            raise NoContainerEngine(f"runtime {program!r}: there is no program of this name on the PATH")
        self._program = found
        self._gcs_root = gcs_root
        self._credentials = state / "credentials"
        self._credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._identity = hashlib.sha256(str(state).encode()).hexdigest()[:16]
        self.remove_all()

    def of(self, work: Work, variables: Mapping[str, str]) -> Container:
        """The container that runs a work: network and user of this machine, the folders that tasks share.

        Args:
            work: What to run. Its working directory is the image's own, as on Vertex AI.
            variables: Environment variables beside the work's.
        """
        name = f"trainwright-{uuid.uuid4().hex[:16]}"
        environment = {**variables, **work.environment}
        words = [self._program, "run", "--name", name, "--label", f"{_LABEL}={self._identity}"]
        words += ["--network", "host"]  # local Vertex listens on the loopback of this machine
        if os.getuid():  # what it writes belongs to the user, who is root in few images
            words += ["--user", f"{os.getuid()}:{os.getgid()}"]
        folders = [(self._gcs_root, str(self._gcs_root), ""), (self._gcs_root, _GCS, "")]
        folders += [(self._credentials, str(self._credentials), ",readonly")]
        if workspace := environment.get("KFP_WORKSPACE_PATH"):
            folders += [(Path(workspace), workspace, ""), (Path(workspace), _WORKSPACE, "")]
        if metrics := environment.get("CLOUD_ML_HP_METRIC_FILE"):  # local Vertex reads what a trial reports
            folders.append((Path(metrics).parent, str(Path(metrics).parent), ""))
        for source, target, how in folders:
            words += ["--mount", f"type=bind,source={source},target={target}{how}"]
        for variable in sorted(environment):  # without values: others can read the words of a process
            words += ["--env", variable]
        if work.command:  # as in Kubernetes: `command` stands for the entry point, `args` for its arguments
            words += ["--entrypoint", work.command[0]]
        return Container(name, (*words, work.image, *work.command[1:], *work.args), environment)

    def client_environment(self) -> dict[str, str]:
        """The variables of this process that the engine's client needs."""
        found = {name: value for name, value in os.environ.items() if name.startswith(_OF_CLIENT)}
        # A task's home is not the user's, where the client would look for contexts and credentials.
        return {"DOCKER_CONFIG": str(Path.home() / ".docker"), **found}

    def remove(self, name: str) -> None:
        """Ends a container and removes it, if it is there."""
        self._call("rm", "--force", "--volumes", name)

    def remove_all(self) -> None:
        """Ends and removes every container of this state folder.

        Raises:
            NoContainerEngine: No engine answers.
        """
        left = self._call("ps", "--all", "--quiet", "--filter", f"label={_LABEL}={self._identity}")
        if left.returncode:
            said = (left.stderr.strip().splitlines() or ["no answer"])[-1]
            raise NoContainerEngine(f"runtime {Path(self._program).name!r}: no engine answers: {said}")
        if names := left.stdout.split():
            self._call("rm", "--force", "--volumes", *names)

    def _call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [self._program, *words]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_ANSWER_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 1, "", str(error))
