"""What Vertex AI accepts as a CustomJobSpec. The first mistake is one line that names the field.

Specs are CustomJobSpec as camelCase JSON (google-cloud-aiplatform 1.165.1, types/custom_job.py, which limits
the variables too). Sources of the other rules, all of 2026-08-22: the docs' "Distributed training" (pools),
"Configure compute resources" (disks, accelerators, TPUs), "Create a Python training application for a
prebuilt container" (packages, arguments), "Schedule training jobs based on resource availability" (flex
start), "Use reservations", "Mount a Network File System share", "Set up TensorBoard".

What says where machines come from and what they may reach (machineSpec, reservations, persistentResourceId,
network, serviceAccount) is checked and has no effect here: every replica runs on this machine. What puts
files into the container that this machine does not have is refused.
"""

import ipaddress
import re
from typing import Any

_DAYS_7 = 604_800.0
_MOST_POOLS = 4
_MOST_VARIABLES = 100
_MOST_PACKAGES = 100
_MOST_CHARACTERS_OF_ARGUMENTS = 100_000
_DISK_TYPES = ("pd-ssd", "pd-standard", "hyperdisk-balanced")
_DISK_GIGABYTES = range(100, 64_001)
_FLEX_START_ACCELERATORS = ("L4", "A100", "H100", "H200", "B200")
_REDUCTION_SERVER = re.compile(
    r"(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai-restricted/training/reductionserver(?:[:@].+)?"
)
# Fields that put files into the container which are not there on this machine.
_ABSENT = {"nfsMounts": "a network file system", "lustreMounts": "a Lustre file system"}


def check(spec: dict) -> None:
    """Says what Vertex AI would refuse, and what cannot be there on this machine.

    Args:
        spec: CustomJobSpec as camelCase JSON.

    Raises:
        ValueError: One line that names the field, what was found and what was expected.
    """
    pools = spec.get("workerPoolSpecs") or [{}]
    if len(pools) > _MOST_POOLS:
        raise ValueError(f"workerPoolSpecs: {len(pools)} pools; expected at most {_MOST_POOLS}")
    if not pools[0]:
        raise ValueError("workerPoolSpecs[0]: empty; expected the pool of the primary replica")
    for number, pool in enumerate(pools):
        if pool:
            _check_pool(pool, number)
    _check_scheduling(spec, [pool for pool in pools if pool])
    machines = [pool.get("machineSpec", {}) for pool in pools]
    _check_reservations(spec, machines)
    if _is_tpu(machines[0]) and sum(map(bool, pools)) > 1:
        raise ValueError("workerPoolSpecs: several pools with a TPU; expected one pool with one replica")
    output_directory_of(spec)
    if spec.get("network") and spec.get("pscInterfaceConfig"):
        raise ValueError("pscInterfaceConfig: set together with network; expected one of them")
    if spec.get("tensorboard"):
        for field in ("serviceAccount", "baseOutputDirectory"):
            if not spec.get(field):
                raise ValueError(f"{field}: empty; a job with a tensorboard needs one")


def count_of(pool: dict, number: int) -> int:
    """How many replicas a pool has: 1 for the primary's when it does not say, as there is no other number."""
    return int(pool.get("replicaCount", 1 if number == 0 else 0))


def timeout_of(spec: dict) -> float:
    """Seconds that the job may run; 7 days unless the spec says otherwise.

    Raises:
        ValueError: It is no duration such as "3600s".
    """
    return _seconds(spec, "timeout") or _DAYS_7


def output_directory_of(spec: dict) -> str:
    """The job's base output directory without its last slash; empty when there is none.

    Raises:
        ValueError: It is not in Cloud Storage.
    """
    uri = spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "")
    if uri and not re.fullmatch(r"gs://[^/]+(?:/.*)?", uri):
        raise ValueError(f"baseOutputDirectory.outputUriPrefix: {uri!r}; expected gs://BUCKET/PATH")
    return uri.rstrip("/")


def is_spot(spec: dict) -> bool:
    """Whether the job's machines may be preempted."""
    return spec.get("scheduling", {}).get("strategy") == "SPOT"


def is_reduction_server(pool: dict) -> bool:
    """Whether a pool runs Google's Reduction Server, which has an image of its own and no command."""
    image = pool.get("containerSpec", {}).get("imageUri", "")
    return _REDUCTION_SERVER.fullmatch(image) is not None


def _check_pool(pool: dict, number: int) -> None:
    where = f"workerPoolSpecs[{number}]"
    count = count_of(pool, number)
    if number == 0 and count != 1:
        raise ValueError(f"{where}.replicaCount: {count}; expected 1, the primary replica")
    if count < 1:
        raise ValueError(f"{where}.replicaCount: {count}; expected 1 or more, or {{}} to skip the pool")
    _check_machine(pool.get("machineSpec", {}), f"{where}.machineSpec")
    _check_disk(pool.get("diskSpec", {}), f"{where}.diskSpec")
    container, package = pool.get("containerSpec", {}), pool.get("pythonPackageSpec", {})
    if bool(container) == bool(package):
        raise ValueError(f"{where}: expected either containerSpec or pythonPackageSpec")
    if container:
        _check_container(container, f"{where}.containerSpec")
    else:
        _check_package(package, f"{where}.pythonPackageSpec")
    for mount in pool.get("nfsMounts", []):
        _check_nfs_mount(mount, f"{where}.nfsMounts")
    for field, what in _ABSENT.items():
        if pool.get(field):
            raise ValueError(f"{where}.{field}: local Vertex cannot mount {what}")
    if is_reduction_server(pool):
        if number != 2:
            raise ValueError(f"{where}.containerSpec.imageUri: Reduction Server; expected in the third pool")
        if pool["machineSpec"].get("acceleratorCount"):
            raise ValueError(f"{where}.machineSpec.acceleratorCount: Reduction Server uses none; expected 0")


def _check_machine(machine: dict, where: str) -> None:
    _text(machine, "machineType", where)
    count, kind = int(machine.get("acceleratorCount", 0)), machine.get("acceleratorType", "")
    has_kind = kind not in ("", "ACCELERATOR_TYPE_UNSPECIFIED")
    if count < 0 or (has_kind and not count):
        raise ValueError(f"{where}.acceleratorCount: {count}; expected 1 or more with an acceleratorType")
    if count and not has_kind:
        raise ValueError(f"{where}.acceleratorType: empty; expected one with {count} accelerators")
    if machine.get("gpuPartitionSize") and count != 1:
        raise ValueError(f"{where}.acceleratorCount: {count}; expected 1 with a gpuPartitionSize")
    affinity = machine.get("reservationAffinity", {})
    if affinity.get("reservationAffinityType") == "SPECIFIC_RESERVATION":
        _text(affinity, "key", f"{where}.reservationAffinity")
        _text(affinity, "values", f"{where}.reservationAffinity")


def _check_disk(disk: dict, where: str) -> None:
    kind = disk.get("bootDiskType", "pd-ssd")
    if kind not in _DISK_TYPES:
        raise ValueError(f"{where}.bootDiskType: {kind!r}; expected one of {', '.join(_DISK_TYPES)}")
    size = int(disk.get("bootDiskSizeGb", 100))
    if size not in _DISK_GIGABYTES:
        raise ValueError(f"{where}.bootDiskSizeGb: {size}; expected 100 to 64000")


def _check_container(container: dict, where: str) -> None:
    _text(container, "imageUri", where)
    _check_arguments([*container.get("command", ()), *container.get("args", ())], where)
    _check_variables(container.get("env", []), where)


def _check_package(package: dict, where: str) -> None:
    _text(package, "executorImageUri", where)
    _text(package, "pythonModule", where)
    uris = package.get("packageUris", ())
    if not 1 <= len(uris) <= _MOST_PACKAGES:
        found = len(uris) or "empty"
        raise ValueError(
            f"{where}.packageUris: {found}; expected 1 to {_MOST_PACKAGES} of gs://BUCKET/PACKAGE"
        )
    for uri in uris:
        if not re.fullmatch(r"gs://[^/]+/.+", uri):
            raise ValueError(f"{where}.packageUris: {uri!r}; expected gs://BUCKET/PACKAGE")
    _check_arguments(package.get("args", ()), where)
    _check_variables(package.get("env", []), where)


def _check_arguments(words: Any, where: str) -> None:
    total = sum(map(len, words))
    if total > _MOST_CHARACTERS_OF_ARGUMENTS:
        most = _MOST_CHARACTERS_OF_ARGUMENTS
        raise ValueError(f"{where}.args: {total} characters in all; expected at most {most}")


def _check_variables(entries: list[dict], where: str) -> None:
    if len(entries) > _MOST_VARIABLES:
        raise ValueError(f"{where}.env: {len(entries)} variables; expected at most {_MOST_VARIABLES}")
    names = [entry.get("name", "") for entry in entries]
    for number, name in enumerate(names):
        if not name or "=" in name or "\0" in name or name in names[:number]:
            raise ValueError(f"{where}.env: name {name!r} is empty, repeated or holds a '='")


def _check_nfs_mount(mount: dict, where: str) -> None:
    server = _text(mount, "server", where)
    try:
        ipaddress.ip_address(server)
    except ValueError:
        raise ValueError(f"{where}.server: {server!r}; expected an IP address") from None
    if not _text(mount, "path", where).startswith("/"):
        raise ValueError(f"{where}.path: {mount['path']!r}; expected a path that begins with /")
    _text(mount, "mountPoint", where)


def _check_scheduling(spec: dict, pools: list[dict]) -> None:
    timeout = timeout_of(spec)
    _seconds(spec, "maxWaitDuration")
    if spec.get("scheduling", {}).get("strategy") != "FLEX_START":
        return
    if timeout > _DAYS_7:
        raise ValueError(f"scheduling.timeout: {timeout:g} s; expected at most {_DAYS_7:g} with FLEX_START")
    machines = [pool["machineSpec"] for pool in pools]
    kind = machines[0].get("acceleratorType", "")
    if not any(name in kind.split("_") for name in _FLEX_START_ACCELERATORS):
        raise ValueError(
            f"scheduling.strategy: FLEX_START with accelerator {kind!r};"
            f" expected one of {', '.join(_FLEX_START_ACCELERATORS)}"
        )
    for number, pool in enumerate(spec["workerPoolSpecs"]):
        if pool and pool["machineSpec"] != machines[0]:
            raise ValueError(
                f"workerPoolSpecs[{number}].machineSpec: not that of workerPoolSpecs[0];"
                " expected the same in all pools with FLEX_START"
            )


def _is_tpu(machine: dict) -> bool:
    return bool(machine.get("tpuTopology")) or machine.get("machineType") == "cloud-tpu"


def _check_reservations(spec: dict, machines: list[dict]) -> None:
    """Reservations exclude flex start and persistent resources ("Use reservations", 2026-08-22)."""
    for number, machine in enumerate(machines):
        kind = machine.get("reservationAffinity", {}).get("reservationAffinityType", "NO_RESERVATION")
        if kind in ("NO_RESERVATION", "TYPE_UNSPECIFIED"):
            continue
        field = f"workerPoolSpecs[{number}].machineSpec.reservationAffinity"
        if spec.get("persistentResourceId"):
            raise ValueError(f"{field}: {kind}; a job with a persistentResourceId cannot use reservations")
        if spec.get("scheduling", {}).get("strategy") == "FLEX_START":
            raise ValueError(f"{field}: {kind}; a job with FLEX_START cannot use reservations")


def _seconds(spec: dict, field: str) -> float:
    text = str(spec.get("scheduling", {}).get(field, "0s"))
    if not re.fullmatch(r"\d+(?:\.\d+)?s", text):
        raise ValueError(f'scheduling.{field}: {text!r}; expected seconds such as "3600s"')
    return float(text[:-1])


def _text(spec: dict, field: str, where: str) -> Any:
    value = spec.get(field)
    if not value:
        raise ValueError(f"{where}.{field}: empty")
    return value
