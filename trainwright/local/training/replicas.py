"""What a CustomJobSpec asks for, as plain values: its replicas with their commands."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from trainwright.local.training.specs import count_of, is_reduction_server

# Workers reach a Reduction Server by a plug-in of NCCL, which there is not without GPUs on several machines.
_NO_REDUCTION = "local Vertex: no GPU here asks for a Reduction Server; this replica stands idle"


@dataclass(frozen=True)
class Replica:
    """One container of a job.

    Args:
        pool: The position of its worker pool in the spec.
        index: Its number in the pool, from 0.
        image: What it would run in.
        command: With the installation of its Python packages, if any, in front.
        args: What follows the command.
        environment: The variables of the spec.
    """

    pool: int
    index: int
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """As Vertex AI names it in messages and logs: "workerpool1-0"."""
        return f"workerpool{self.pool}-{self.index}"

    @property
    def is_primary(self) -> bool:
        """Whether its end is that of the job."""
        return self.pool == 0


def replicas_of(spec: dict) -> tuple[Replica, ...]:
    """The replicas that a job consists of, the primary one first.

    Args:
        spec: CustomJobSpec as camelCase JSON, checked.
    """
    return tuple(
        _replica(pool, number, index)
        for number, pool in enumerate(spec["workerPoolSpecs"])
        if pool
        for index in range(count_of(pool, number))
    )


def _replica(pool: dict, number: int, index: int) -> Replica:
    container, package = pool.get("containerSpec", {}), pool.get("pythonPackageSpec", {})
    variables = {entry["name"]: entry.get("value", "") for entry in (container or package).get("env", [])}
    if is_reduction_server(pool):
        command = ("sh", "-c", f'echo "{_NO_REDUCTION}"; exec sleep infinity')
        return Replica(number, index, "alpine", command, (), variables)
    args = tuple((container or package).get("args", ()))
    if container:
        return Replica(
            number, index, container["imageUri"], tuple(container.get("command", ())), args, variables
        )
    command = (*_installation(package["packageUris"]), "python3", "-m", package["pythonModule"])
    return Replica(number, index, package["executorImageUri"], command, args, variables)


def _installation(uris: list[str]) -> tuple[str, ...]:
    paths = " ".join(shlex.quote("/gcs/" + uri.removeprefix("gs://")) for uri in uris)
    return "sh", "-ec", f'python3 -m pip install --quiet {paths} && "$0" "$@"'
