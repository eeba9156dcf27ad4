"""What a run of a compiled pipeline costs, task by task, with the assumption behind every number.

Machine hours times price (`trainwright.authoring.prices`: on demand, spot and flex start with the
management fee), AutoML budgets, tuning trials, and the fee of a run. Not counted: storage, BigQuery,
endpoints, network, retries, and what the cache saves.

Sources: Vertex AI price page, read 2026-09 (run 0.03 USD, AutoML by node hour); pipeline steps are billed as
training; the rest in `trainwright/authoring/catalogue/compute.json`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.authoring.compute import accelerator_name, catalogue, machine_types, sources
from trainwright.authoring.errors import Impossible
from trainwright.authoring.machines import Machine
from trainwright.authoring.prices import DEFAULT_DISK_GB, Price, disk_price, price
from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.jobs import Job, Pool, job_of
from trainwright.compiling.resources import cpus, gigabytes, number, own_resources
from trainwright.compiling.tasks import Task, tasks
from trainwright.errors import UserError
from trainwright.nearest import nearest

STEP_HOURS = 0.1
"""Assumed of a step whose duration is not known: six minutes, most of which Vertex AI takes to start it."""
JOB_HOURS = 1.0
"""Assumed of a training job, or of one trial, whose duration is not known."""
STEP_MACHINE = "e2-standard-4"
"""Machine of a step without limits (Vertex AI documentation, "Machine types for pipelines", 2026-08-22)."""

_AUTOML = {
    "AutoMLTabularTrainingJob": ("tabular", 1_000),
    "AutoMLImageTrainingJob": ("image", 192_000),
}
_DETECTION_BUDGET = 216_000
_NO_OWN_BILL = (
    "TabularDataset",
    "ImageDataset",
    "TimeSeriesDataset",
    "UploadModel",
    "VertexNotificationEmail",
)


@dataclass(frozen=True)
class Line:
    """What a part of a run costs.

    Attributes:
        task: Path of the task; empty for the run's fee.
        what: What is paid for.
        hours: How long, of one machine or trial; None where it is not billed by time.
        usd: In USD; None where no source has the price.
        assumptions: What was assumed.
    """

    task: str
    what: str
    hours: float | None
    usd: float | None
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run costs.

    Attributes:
        lines: By task, in the pipeline's order; the fee last.
        location: Region of the prices.
        sources: Where the prices come from, with dates.
    """

    lines: tuple[Line, ...]
    location: str
    sources: str

    @property
    def usd(self) -> float:
        """The sum of what is known, in USD."""
        return sum(line.usd for line in self.lines if line.usd is not None)

    @property
    def unknown(self) -> tuple[Line, ...]:
        """What is not in the sum."""
        return tuple(line for line in self.lines if line.usd is None)


def estimate(
    spec: Mapping[str, Any],
    *,
    location: str,
    parameters: Mapping[str, Any] | None = None,
    hours: Mapping[str, float] | None = None,
    measured: Mapping[str, float] | None = None,
) -> Estimate:
    """Estimates the cost of a run.

    Args:
        spec: The PipelineSpec.
        location: Region of the run.
        parameters: Values of the run's parameters.
        hours: How long tasks take, by path, in hours; of a tuning job, how long one trial takes.
        measured: The same, measured in earlier runs; `hours` wins over it.

    Raises:
        UserError: `hours` names no task of the pipeline.
    """
    placeholders = {"{{$.pipeline_google_cloud_location}}": location}
    every = tasks(spec, parameters=parameters, placeholders=placeholders)
    found = [task for task in every if not task.is_group]
    known = {task.path for task in found}
    for path in hours or {}:
        if path not in known:
            raise UserError(f"hours of {path}: no task of the pipeline, {nearest(path, known)}")
    counted = _Count(location, hours or {}, measured or {})
    lines = [line for task in found if task.container for line in counted.task(task)]
    prices = catalogue()["prices"]
    fee = Line("", "the run", None, prices["pipeline_run_usd"], ("pipeline fee, price page, 2026-09",))
    return Estimate((*lines, fee), location, sources())


class _Count:
    def __init__(self, location: str, hours: Mapping[str, float], measured: Mapping[str, float]) -> None:
        self._location = location
        self._hours = hours
        self._measured = measured

    def task(self, task: Task) -> Iterable[Line]:
        """The lines of one task."""
        job = job_of(task)
        repeated = _repetition(task)
        if job is None:
            yield self._step(task, STEP_HOURS, repeated)
            return
        if job.has_pools:
            yield from self._job(task, job, repeated)
        elif job.kind.startswith("AutoML"):
            yield self._automl(task, job, repeated)
        elif job.kind not in _NO_OWN_BILL:
            yield Line(task.path, job.kind, None, None, ("its own bill is not counted",))
        # A launcher is a step that waits for its job.
        waits = _automl_hours(job) if job.kind.startswith("AutoML") else None
        default = waits if waits is not None else JOB_HOURS if job.has_pools else STEP_HOURS
        yield self._step(task, default, repeated, launches=job)

    def _duration(self, task: Task, default: float, rounds: int = 1) -> tuple[float, str]:
        """How long a task takes, or one round of a tuning task, and how that is known."""
        if task.path in self._hours:
            return self._hours[task.path], "duration given"
        if task.path in self._measured:
            return self._measured[task.path] / rounds, "duration measured in earlier runs"
        return default, "duration assumed (--hours)"

    def _step(
        self, task: Task, default: float, repeated: tuple[int, str], launches: Job | None = None
    ) -> Line:
        trials, rounds = _trials(launches)
        hours, how = self._duration(task, default, rounds)
        if launches is not None and launches.is_tuning:
            hours *= rounds
            how = f"{how}; waits for {trials} trials in {rounds} rounds"
        machine, why = _step_machine(task)
        if machine is None:
            return Line(task.path, "step", hours, None, (why,))
        found = price(machine, location=self._location)
        what = f"step on {_described(machine)}" if launches is None else f"launcher on {_described(machine)}"
        usd = None if found.usd_per_hour is None else found.usd_per_hour * hours * repeated[0]
        return Line(task.path, what, hours, usd, _assumed(how, why, found.assumption, repeated[1]))

    def _job(self, task: Task, job: Job, repeated: tuple[int, str]) -> Iterable[Line]:
        trials, rounds = _trials(job)
        hours, how = self._duration(task, JOB_HOURS, rounds)
        times, note = repeated
        if job.is_tuning:
            known = _whole(job.fields.get("max_trial_count")) is not None
            how = f"{how} of each trial{'' if known else ', whose number is known at run time only: 1'}"
        persistent = job.fields.get("persistent_resource_id")
        if persistent and not is_runtime(persistent):
            reason = "runs on a persistent resource, which is billed while it is there"
            yield Line(task.path, job.kind, hours, 0.0, (reason,))
            return
        if not job.pools:
            yield Line(task.path, job.kind, hours, None, ("its worker pools are known at run time only",))
        for pool in job.pools:
            if pool.spec:
                yield self._pool(task, job, pool, hours, how, trials * times, note)

    def _pool(self, task: Task, job: Job, pool: Pool, hours: float, how: str, times: int, note: str) -> Line:
        replicas = pool.replica_count if isinstance(pool.replica_count, int) else None
        strategy = job.strategy if not is_runtime(job.strategy) else "STANDARD"
        try:
            machine = pool.machine()
            found = price(machine, location=self._location, strategy=strategy)
        except Impossible as error:
            return Line(task.path, job.kind, hours, None, (str(error),))
        disk = self._disk(pool)
        counted = f"{replicas or 1} x {_described(machine)} {strategy}"
        what = f"{times} x {counted}" if times > 1 else counted
        unsure = "" if replicas is not None else "replicas known at run time only, counted as 1"
        if found.usd_per_hour is None:
            return Line(task.path, what, hours, None, (found.assumption,))
        hourly = found.usd_per_hour + (disk.usd_per_hour or 0.0)
        usd = hourly * hours * (replicas or 1) * times
        return Line(
            task.path, what, hours, usd, _assumed(how, found.assumption, disk.assumption, unsure, note)
        )

    def _disk(self, pool: Pool) -> Price:
        found = pool.spec.get("disk_spec")
        disk = found if isinstance(found, dict) else {}
        size, kind = disk.get("boot_disk_size_gb"), disk.get("boot_disk_type")
        return disk_price(
            kind if isinstance(kind, str) and kind and not is_runtime(kind) else "pd-ssd",
            size if isinstance(size, int | float) and size else DEFAULT_DISK_GB,
            location=self._location,
        )

    def _automl(self, task: Task, job: Job, repeated: tuple[int, str]) -> Line:
        kind = _automl_kind(job)
        prices = catalogue()["prices"]
        node_hours = _automl_hours(job)
        hourly = prices["automl_usd_per_node_hour"].get(kind)
        if hourly is None or node_hours is None:
            why = "no price is known" if hourly is None else "its budget is known at run time only"
            return Line(task.path, job.kind, None, None, (why,))
        what = f"{node_hours:g} node hours of AutoML {kind}"
        own = job.fields.get("budget_milli_node_hours") is not None
        assumed = _assumed(
            f"the whole {'budget' if own else 'default budget'} is used",
            f"{hourly} USD a node hour, {prices['automl_source']}",
            repeated[1],
        )
        return Line(task.path, what, None, hourly * node_hours * repeated[0], assumed)


def _automl_kind(job: Job) -> str:
    kind = _AUTOML.get(job.kind, (job.kind, 0))[0]
    return "image_edge" if kind == "image" and "MOBILE" in str(job.fields.get("model_type", "")) else kind


def _automl_hours(job: Job) -> float | None:
    """The node hours that an AutoML training may use; None where only the run will know."""
    default = _AUTOML.get(job.kind, ("", 1_000))[1]
    if job.fields.get("prediction_type") == "object_detection":
        default = _DETECTION_BUDGET
    budget = job.fields.get("budget_milli_node_hours")
    if budget is None:
        return default / 1000
    return float(budget) / 1000 if isinstance(budget, int | float) else None


def _step_machine(task: Task) -> tuple[Machine | None, str]:
    """The machine that Vertex AI will choose for a step: the cheapest that has what it asks for."""
    resources = own_resources(task)
    if not resources:
        return Machine(STEP_MACHINE), ""
    least_cpus, least_gb = cpus(resources) or 0, gigabytes(resources) or 0
    wanted = resources.get("accelerator") or {}
    kind = wanted.get("resourceType") or wanted.get("type")
    count = int(number(wanted.get("resourceCount", wanted.get("count"))) or 1)
    if is_runtime(resources):
        return None, "its limits are known at run time only"
    accelerator = accelerator_name(kind) if kind else None
    fitting: list[tuple[float, Machine]] = []
    for known in machine_types().values():
        if (known.vcpus or 0) < least_cpus or (known.memory_gb or 0) < least_gb:
            continue
        if accelerator is None and (known.fixed or known.tpu or known.family not in ("e2", "n1")):
            continue
        if accelerator is not None and count not in known.accelerators.get(accelerator, ()):
            continue
        machine = Machine(known.name, accelerator, count if accelerator else None)
        hourly = price(machine, location="us-central1").usd_per_hour
        if hourly is not None:
            fitting.append((hourly, machine))
    if not fitting:
        return None, "no machine of the catalogue has its limits"
    _, cheapest = min(fitting, key=lambda pair: pair[0])
    return cheapest, "the cheapest machine with its limits; Vertex AI chooses"


def _trials(job: Job | None) -> tuple[int, int]:
    """How many trials a tuning job has, and in how many rounds they run; 1 and 1 for any other."""
    if job is None or not job.is_tuning:
        return 1, 1
    trials = _whole(job.fields.get("max_trial_count")) or 1
    parallel = _whole(job.fields.get("parallel_trial_count")) or 1
    return trials, -(-trials // max(1, parallel))


def _repetition(task: Task) -> tuple[int, str]:
    """How often a task is counted, and what that assumes."""
    if task.iterations is None:
        return 1, "in a loop of unknown length: counted once"
    note = f"{task.iterations} times in loops" if task.iterations > 1 else ""
    if task.conditional:
        note = f"{note}; counted though a condition may leave it out".removeprefix("; ")
    return task.iterations, note


def _described(machine: Machine) -> str:
    accelerator = f" + {machine.count} x {machine.accelerator}" if machine.accelerator else ""
    topology = f" {machine.tpu_topology}" if machine.tpu_topology else ""
    return f"{machine.machine_type}{accelerator}{topology}"


def _assumed(*parts: str) -> tuple[str, ...]:
    return tuple(part for part in parts if part)


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and math.isfinite(value) else None


def runs_a_month(cron: str) -> float:
    """How often a schedule fires in a month, on average over a year.

    Args:
        cron: As Vertex AI takes it: five fields, `TZ=…` or `CRON_TZ=…` before them allowed.

    Raises:
        UserError: It is no cron expression.
    """
    from datetime import UTC, datetime, timedelta

    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError as error:
        raise UserError(f"--cron needs the extra: pip install 'trainwright[local]' ({error})") from error
    fields = cron.split()
    if fields and fields[0].startswith(("TZ=", "CRON_TZ=")):
        fields = fields[1:]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    try:
        if len(fields) != 5:
            raise CronSimError(f"{len(fields)} fields")
        fires = CronSim(" ".join(fields), start)
    except CronSimError as error:
        raise UserError(
            f"--cron {cron!r}: found {error}, expected five fields such as '0 3 * * 1'"
        ) from error
    most, count, last = 10_000, 0, start
    for fire in fires:
        if count == most or fire >= start + timedelta(days=365):
            break
        count, last = count + 1, fire
    if count < most:
        return count / 12
    return count * (365 * 86_400 / (last - start).total_seconds()) / 12
