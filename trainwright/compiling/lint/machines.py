"""Rules of machines: what is asked for must be there, together, in that region, by that strategy."""

from collections.abc import Iterator
from typing import Any

from trainwright.authoring.compute import accelerator_name, accelerators, machine_types
from trainwright.authoring.machines import problems
from trainwright.authoring.runtime import is_runtime
from trainwright.authoring.worker_pools import DISK_TYPES, MAX_DISK_GB, MIN_DISK_GB
from trainwright.compiling.jobs import Job, Pool
from trainwright.compiling.lint.findings import Finding, Rule, milder
from trainwright.compiling.lint.subject import Subject
from trainwright.compiling.resources import cpus, gigabytes, number, own_resources
from trainwright.compiling.tasks import Task
from trainwright.nearest import nearest

_SOURCE = 'Vertex AI documentation, "Configure compute resources for training", 2026-08-22.'

MACHINE = Rule(
    "machine",
    "error",
    "Machine type, accelerator and count exist together",
    "Vertex AI accepts exact pairs only: an n1-standard-32 takes 2 or 4 T4, not 1. It finds a wrong one"
    f" minutes after the submission, when the tasks before it are paid for. {_SOURCE}",
    "Use what the message names. `trainwright compute show MACHINE` shows what a machine type takes;"
    " `trainwright.authoring.machines.Machine` refuses a wrong pair when it is written.",
)
REGION = Rule(
    "machine-region",
    "error",
    "The accelerator is in the region for training",
    "A job for an accelerator that its region does not have never starts: it waits in the queue. Vertex AI"
    ' documentation, "Locations", 2026-08-22.',
    "Run in a region that has it, or use another accelerator.",
)
STRATEGY = Rule(
    "machine-strategy",
    "error",
    "The machine can be had by the scheduling strategy",
    "Flex start is for certain GPUs only, single H100s cannot be had on demand, TPU slices of several"
    ' machines not as spot. Vertex AI documentation, "Use Spot VMs" and "Dynamic Workload Scheduler",'
    " 2026-08-22; H100: Google Cloud blog, 2025-08.",
    "Use a strategy that the message names.",
)
POOLS = Rule(
    "worker-pools",
    "error",
    "Worker pools are as Vertex AI wants them",
    "The first pool has one replica, there are at most four, a TPU job has one pool of one replica, flex"
    ' start wants the same machine in all. Vertex AI documentation, "Distributed training", 2026-08-22;'
    f" {_SOURCE}",
    "`trainwright.authoring.worker_pools.worker_pool_specs` refuses wrong pools when they are written.",
)
LAUNCHER = Rule(
    "resources-on-launcher",
    "warning",
    "CPU, memory and accelerators are asked for by the job, not by the task that launches it",
    "`set_cpu_limit` and `set_accelerator_type` on a task made from a custom job change the machine of its"
    " launcher, which only waits; the training gets nothing of it, and the launcher costs more.",
    "Give `machine_type` and `accelerator_type` to the custom job instead.",
)
TASK = Rule(
    "task-resources",
    "error",
    "A task's own limits are ones that Vertex AI Pipelines has",
    "At most 96 CPUs and 624 GB; accelerators by the API's names. Vertex AI documentation, \"Machine types"
    ' for pipelines", 2026-08-22.',
    "Use smaller limits, or a custom job, whose machines are larger.",
)
PARAMETER = Rule(
    "resources-as-parameters",
    "warning",
    "A task's limits are constants",
    "kfp 2.17 writes only the new fields (`resourceCpuLimit`) for a limit that is a pipeline parameter;"
    " whether Vertex AI reads them is not documented, so the task may get its default machine (tried"
    " 2026-11-23).",
    "Use a constant, or a custom job, whose machine_type may be a parameter.",
)
RULES = (MACHINE, REGION, STRATEGY, POOLS, LAUNCHER, TASK, PARAMETER)

_MAX_CPUS = 96
_MAX_GB = 624
_COUNTS = (1, 2, 4, 8, 16)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks the machines of jobs and tasks."""
    for task, job in subject.jobs:
        if job.has_pools:
            yield from _job(task, job, subject)
        if own_resources(task):
            names = ", ".join(sorted(map(str, own_resources(task))))
            yield LAUNCHER.found(
                f"{names} on the task that launches a {job.kind}: the job does not get it",
                (*task.executor_location, "container", "resources"),
                task=task.path,
            )
    launchers = {task.executor_location for task, _ in subject.jobs}
    for task in subject.executed:
        if task.executor_location not in launchers:
            yield from _task(task)


def _job(task: Task, job: Job, subject: Subject) -> Iterator[Finding]:
    location = _where(task)
    for index, pool in enumerate(job.pools):
        if pool.spec:
            yield from _pool(task, job, pool, index, subject)
    present = [pool for pool in job.pools if pool.spec]
    if len(job.pools) > 4:
        yield POOLS.found(f"{len(job.pools)} worker pools, expected at most 4", location, task=task.path)
    if job.pools and isinstance(job.pools[0].replica_count, int) and job.pools[0].replica_count != 1:
        found = job.pools[0].replica_count
        yield POOLS.found(f"{found} replicas in the first worker pool, expected 1", location, task=task.path)
    tpus = [pool for pool in present if _is_tpu(pool)]
    if tpus and (len(present) > 1 or tpus[0].replica_count not in (1, None)):
        yield POOLS.found(
            "a TPU job of several pools or replicas, expected one of one", location, task=task.path
        )
    machines = {str(sorted(pool.machine_spec.items())) for pool in present}
    if job.strategy == "FLEX_START" and len(machines) > 1 and not any(is_runtime(text) for text in machines):
        yield POOLS.found("FLEX_START with different machines, expected one kind", location, task=task.path)


def _pool(task: Task, job: Job, pool: Pool, index: int, subject: Subject) -> Iterator[Finding]:
    if not pool.machine_spec:
        return
    where = f"worker pool {index}: "
    arguments = (pool.machine_spec.get("machine_type"), pool.accelerator, pool.accelerator_count)
    topology = pool.machine_spec.get("tpu_topology") or None
    if topology is None and _is_tpu(pool):  # Vertex AI takes the machine's own topology
        topology = "{{$.default}}"
    wrong = problems(*arguments, tpu_topology=topology, today=subject.today)
    for problem in wrong:
        yield MACHINE.found(f"{where}{problem}", _where(task), task=task.path)
    if wrong:
        return
    persistent = job.fields.get("persistent_resource_id")
    if not persistent or is_runtime(persistent):
        strategy = job.strategy
        for problem in problems(*arguments, tpu_topology=topology, strategy=strategy, today=subject.today):
            yield STRATEGY.found(f"{where}{problem}", _where(task), task=task.path)
    location = job.fields.get("location")
    for problem in problems(*arguments, tpu_topology=topology, location=location, today=subject.today):
        yield REGION.found(f"{where}{problem}", _where(task), task=task.path)
    yield from _disk(task, pool, where)


def _disk(task: Task, pool: Pool, where: str) -> Iterator[Finding]:
    disk = pool.spec.get("disk_spec")
    if not isinstance(disk, dict):
        return
    kind, size = disk.get("boot_disk_type"), disk.get("boot_disk_size_gb")
    if kind and not is_runtime(kind) and kind not in DISK_TYPES:
        message = f"{where}disk type {kind!r}, {nearest(str(kind), DISK_TYPES)}"
        yield POOLS.found(message, _where(task), task=task.path)
    if isinstance(size, int | float) and size and not MIN_DISK_GB <= size <= MAX_DISK_GB:
        message = f"{where}disk of {size:g} GB, expected {MIN_DISK_GB} to {MAX_DISK_GB:,}"
        yield POOLS.found(message, _where(task), task=task.path)


def _task(task: Task) -> Iterator[Finding]:
    resources = own_resources(task)
    location = (*task.executor_location, "container", "resources")
    parameters = sorted(name for name, value in resources.items() if is_runtime(value))
    if parameters:
        message = f"{', '.join(parameters)} of a task known at run time only, expected a constant"
        yield PARAMETER.found(message, location, task=task.path)
    limit = cpus(resources)
    if limit is not None and limit > _MAX_CPUS:
        yield TASK.found(f"CPU limit {limit:g}, expected at most {_MAX_CPUS}", location, task=task.path)
    memory = gigabytes(resources)
    if memory is not None and memory > _MAX_GB:
        message = f"memory limit {memory:g} GB, expected at most {_MAX_GB}"
        yield TASK.found(message, location, task=task.path)
    accelerator = resources.get("accelerator")
    if isinstance(accelerator, dict):
        yield from _accelerator(task, accelerator, location)


def _accelerator(task: Task, accelerator: dict[str, Any], location: tuple[str, ...]) -> Iterator[Finding]:
    kind = accelerator.get("resourceType") or accelerator.get("type")
    count = number(accelerator.get("resourceCount", accelerator.get("count")))
    if isinstance(kind, str) and kind and not is_runtime(kind):
        name = accelerator_name(kind)
        if name in accelerators() and accelerators()[name].end_of_support is None:
            if name != kind:
                yield TASK.found(f"accelerator {kind!r}, expected {name!r}", location, task=task.path)
        elif "." in kind or "/" in kind:  # a Kubernetes resource: right there, unknown to Vertex AI
            message = f"accelerator {kind!r} is Kubernetes' name, expected one such as 'NVIDIA_TESLA_T4'"
            yield milder(TASK.found(message, location, task=task.path))
        else:
            yield TASK.found(problems("n1-standard-4", kind, 1)[0], location, task=task.path)
    if count is not None and count not in (0, *_COUNTS):
        nearer = min(_COUNTS, key=lambda each: abs(each - count))
        message = f"{count:g} accelerators, expected 1, 2, 4, 8 or 16; nearest is {nearer}"
        yield TASK.found(message, location, task=task.path)


def _where(task: Task) -> tuple[str, ...]:
    given = (task.definition.get("inputs") or {}).get("parameters") or {}
    if "worker_pool_specs" in given:
        return (*task.location, "inputs", "parameters", "worker_pool_specs")
    return task.location


def _is_tpu(pool: Pool) -> bool:
    name = pool.machine_spec.get("machine_type")
    known = machine_types().get(name) if isinstance(name, str) else None
    return known is not None and (known.tpu is not None or known.name == "cloud-tpu")
