"""The worker pools of a custom job as typed values; they render to `worker_pool_specs` of the API.

    worker_pool_specs(
        WorkerPool(Machine("g2-standard-12"), Container("…/trainer@sha256:…", args=[f"--rounds={rounds}"])),
        workers=WorkerPool(Machine("g2-standard-12"), Container("…/trainer@sha256:…"), replica_count=3),
    )

Rules: Vertex AI documentation, "Distributed training" and "Configure compute resources", 2026-08-22.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.authoring.compute import machine_types
from trainwright.authoring.containers import Container, PythonPackage
from trainwright.authoring.errors import Impossible
from trainwright.authoring.machines import Machine
from trainwright.authoring.runtime import is_runtime
from trainwright.nearest import nearest

DISK_TYPES = ("pd-ssd", "pd-standard", "hyperdisk-balanced")
MIN_DISK_GB, MAX_DISK_GB = 100, 64_000
"""Sizes of a boot disk, in GB."""


@dataclass(frozen=True)
class Disk:
    """A replica's boot disk: `DiskSpec` of the API (v1).

    Attributes:
        size_gb: 100 to 64,000.
        type: "pd-ssd", "pd-standard" or "hyperdisk-balanced".

    Raises:
        Impossible: There is no such disk.
    """

    size_gb: Any = MIN_DISK_GB
    type: Any = "pd-ssd"

    def __post_init__(self) -> None:
        """Checks the values."""
        if not is_runtime(self.type) and self.type not in DISK_TYPES:
            raise Impossible(f"disk type {self.type!r}, {nearest(str(self.type), DISK_TYPES)}")
        if is_runtime(self.size_gb):
            return
        if type(self.size_gb) is not int or not MIN_DISK_GB <= self.size_gb <= MAX_DISK_GB:
            raise Impossible(f"disk of {self.size_gb} GB, expected {MIN_DISK_GB} to {MAX_DISK_GB:,}")

    def disk_spec(self) -> dict[str, Any]:
        """The `disk_spec` of a worker pool."""
        return {"boot_disk_type": self.type, "boot_disk_size_gb": self.size_gb}


@dataclass(frozen=True)
class WorkerPool:
    """Replicas that are alike: `WorkerPoolSpec` of the API (v1).

    Attributes:
        machine: Of each replica.
        container: What each runs: a Container, a PythonPackage, or a `container_spec` as a dict, such as
            `Program.container_spec` gives.
        replica_count: 1 or more.
        disk: Boot disk; the machine's own default unless given.

    Raises:
        Impossible: There can be no such pool.
    """

    machine: Machine
    container: Container | PythonPackage | Mapping[str, Any]
    replica_count: Any = 1
    disk: Disk | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        if is_runtime(self.replica_count):
            return
        if type(self.replica_count) is not int or self.replica_count < 1:
            raise Impossible(f"replica_count {self.replica_count!r}, expected 1 or more")
        if is_tpu(self.machine) and self.replica_count != 1:
            raise Impossible(
                f"replica_count {self.replica_count} of {self.machine.machine_type}: a TPU job has one"
                " replica, however many machines its topology has"
            )

    def worker_pool_spec(self) -> dict[str, Any]:
        """One of the `worker_pool_specs` of a job."""
        spec: dict[str, Any] = {
            "machine_spec": self.machine.machine_spec(),
            "replica_count": self.replica_count,
        }
        if isinstance(self.container, Container):
            spec["container_spec"] = self.container.container_spec()
        elif isinstance(self.container, PythonPackage):
            spec["python_package_spec"] = self.container.python_package_spec()
        else:
            spec["container_spec"] = dict(self.container)
        if self.disk is not None:
            spec["disk_spec"] = self.disk.disk_spec()
        return spec


def worker_pool_specs(
    primary: WorkerPool,
    *,
    workers: WorkerPool | None = None,
    parameter_servers: WorkerPool | None = None,
    reduction_servers: WorkerPool | None = None,
    evaluators: WorkerPool | None = None,
    strategy: str = "STANDARD",
    location: str | None = None,
) -> list[dict[str, Any]]:
    """Renders the pools of a job in the order that the API has them.

    Args:
        primary: One replica, the chief.
        workers: The second pool.
        parameter_servers: The third pool, or
        reduction_servers: the third pool as Reduction Server.
        evaluators: The fourth pool.
        strategy: "STANDARD", "SPOT" or "FLEX_START": checked against the machines; it goes into the job's
            `scheduling`, not into the pools.
        location: Region to check the machines against, where it is known.

    Returns:
        `worker_pool_specs`; a pool that is skipped is `{}`, as the API wants it.

    Raises:
        Impossible: The pools cannot be together.
    """
    if parameter_servers is not None and reduction_servers is not None:
        raise Impossible("parameter_servers and reduction_servers: the third pool can be only one of them")
    pools = [primary, workers, parameter_servers or reduction_servers, evaluators]
    while pools[-1] is None:
        pools.pop()
    if not is_runtime(primary.replica_count) and primary.replica_count != 1:
        raise Impossible(f"replica_count {primary.replica_count} of the primary pool, expected 1")
    present = [pool for pool in pools if pool is not None]
    for pool in present:
        if is_tpu(pool.machine) and len(present) > 1:
            raise Impossible(f"{len(present)} pools with {pool.machine.machine_type}: a TPU job has one pool")
        pool.machine.check(location=location, strategy=strategy)
    if not is_runtime(strategy) and strategy == "FLEX_START" and len({pool.machine for pool in present}) > 1:
        raise Impossible("FLEX_START with different machines: all pools of such a job have the same machine")
    return [{} if pool is None else pool.worker_pool_spec() for pool in pools]


def is_tpu(machine: Machine) -> bool:
    """Whether a machine is a TPU's, as far as is known now."""
    if is_runtime(machine.machine_type):
        return False
    known = machine_types().get(machine.machine_type)
    return known is not None and (known.tpu is not None or known.name == "cloud-tpu")
