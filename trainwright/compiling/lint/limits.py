"""Rules of sizes and counts: Vertex AI's limits, as far as a file shows them."""

from collections.abc import Iterator
from typing import Any

from trainwright.authoring.containers import MAX_ENV, MAX_PACKAGE_URIS
from trainwright.authoring.programs import MAX_CHARACTERS
from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.jobs import DEFAULT_TIMEOUT_SECONDS, Job
from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject
from trainwright.compiling.tasks import Task

_QUOTAS = 'Vertex AI documentation, "Quotas and limits", 2026-08-22.'

TASKS = Rule(
    "too-many-tasks",
    "error",
    "A run has at most 10,000 tasks, and a task at most 100 artifacts",
    f"Vertex AI ends or refuses a run beyond. {_QUOTAS}",
    "Do more in one task; loop over fewer, larger items.",
)
JOB = Rule(
    "job-limits",
    "error",
    "A job keeps to Vertex AI's limits",
    "At most 7 days, 100,000 characters of arguments, 100 environment variables and packages a pool. API"
    f' v1 and "Create a Python training application for a prebuilt container", 2026-08-22; {_QUOTAS}',
    "Use what the message names.",
)
TRIALS = Rule(
    "tuning-trials",
    "error",
    "A tuning job's counts of trials go together",
    "At least one trial, no more at a time than in all, and no more failures than trials. API v1,"
    " `HyperparameterTuningJob`.",
    "Use counts that go together; ten trials a hyperparameter is the usual least.",
)
BUDGET = Rule(
    "automl-budget",
    "error",
    "An AutoML budget is within its bounds",
    "In milli node hours: tables and forecasting 1,000 to 72,000, image classification 8,000 to 800,000,"
    ' object detection 20,000 to 900,000. Vertex AI documentation, "AutoML training overview", 2026-08-22.',
    "Use a budget within the bounds: 1,000 is one node hour.",
)
RULES = (TASKS, JOB, TRIALS, BUDGET)

_MAX_TASKS = 10_000
_MAX_ARTIFACTS = 100
_BUDGETS = {
    "AutoMLTabularTrainingJob": (1_000, 72_000),
    "AutoMLForecastingTrainingJob": (1_000, 72_000),
    "AutoMLImageTrainingJob": (8_000, 800_000),
}
_DETECTION_BUDGET = (20_000, 900_000)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks counts and sizes."""
    runs = sum(task.iterations or 1 for task in subject.tasks if not task.is_group)
    if runs > _MAX_TASKS:
        yield TASKS.found(f"{runs:,} tasks in a run, expected at most {_MAX_TASKS:,}", ("root", "dag"))
    for task in subject.tasks:
        if not task.is_group:
            yield from _artifacts(task)
    for task, job in subject.jobs:
        if job.has_pools:
            yield from _job(task, job)
        if job.is_tuning:
            yield from _trials(task, job)
        if "budget_milli_node_hours" in job.fields:
            yield from _budget(task, job)


def _artifacts(task: Task) -> Iterator[Finding]:
    count = sum(
        len((task.component.get(side) or {}).get("artifacts") or {})
        for side in ("inputDefinitions", "outputDefinitions")
    )
    if count > _MAX_ARTIFACTS:
        message = f"{count} input and output artifacts, expected at most {_MAX_ARTIFACTS}"
        yield TASKS.found(message, task.location, task=task.path)


def _job(task: Task, job: Job) -> Iterator[Finding]:
    seconds = job.timeout_seconds
    timeout = job.scheduling.get("timeout")
    if seconds is None and not is_runtime(timeout):
        message = f"timeout {timeout!r}, expected seconds with an s, such as '3600s'"
        yield JOB.found(message, task.location, task=task.path)
    if seconds is not None and seconds > DEFAULT_TIMEOUT_SECONDS:
        message = f"timeout {timeout}, expected at most {DEFAULT_TIMEOUT_SECONDS}s (7 days)"
        yield JOB.found(message, task.location, task=task.path)
    for number, pool in enumerate(job.pools):
        where = f"worker pool {number}: "
        for message in _sizes(pool.container):
            yield JOB.found(f"{where}{message}", task.location, task=task.path)
        if pool.spec and not pool.container and not is_runtime(pool.spec):
            message = f"{where}neither container_spec nor python_package_spec"
            yield JOB.found(message, task.location, task=task.path)


def _sizes(container: Any) -> Iterator[str]:
    arguments = container.get("args") or []
    size = sum(len(str(argument)) for argument in arguments)
    if size > MAX_CHARACTERS:
        yield f"{size:,} characters of arguments, expected at most {MAX_CHARACTERS:,}"
    if len(container.get("env") or []) > MAX_ENV:
        yield f"{len(container['env'])} environment variables, expected at most {MAX_ENV}"
    if len(container.get("package_uris") or []) > MAX_PACKAGE_URIS:
        yield f"{len(container['package_uris'])} packages, expected at most {MAX_PACKAGE_URIS}"


def _trials(task: Task, job: Job) -> Iterator[Finding]:
    most = _count(job.fields.get("max_trial_count"))
    parallel = _count(job.fields.get("parallel_trial_count"))
    failed = _count(job.fields.get("max_failed_trial_count"))
    for name, value in (("max_trial_count", most), ("parallel_trial_count", parallel)):
        if value is not None and value < 1:
            yield TRIALS.found(f"{name} {value:g}, expected 1 or more", task.location, task=task.path)
    if most is not None and parallel is not None and parallel > most >= 1:
        message = f"parallel_trial_count {parallel:g} above max_trial_count {most:g}"
        yield TRIALS.found(message, task.location, task=task.path)
    if most is not None and failed is not None and failed > most >= 1:
        message = f"max_failed_trial_count {failed:g} above max_trial_count {most:g}"
        yield TRIALS.found(message, task.location, task=task.path)


def _budget(task: Task, job: Job) -> Iterator[Finding]:
    budget = _count(job.fields["budget_milli_node_hours"])
    bounds = _BUDGETS.get(job.kind)
    if job.fields.get("prediction_type") == "object_detection":
        bounds = _DETECTION_BUDGET
    if bounds is None or budget is None or bounds[0] <= budget <= bounds[1]:
        return
    nearer = min(bounds, key=lambda each: abs(each - budget))
    message = (
        f"budget_milli_node_hours {budget:g}, expected {bounds[0]:,} to {bounds[1]:,}; nearest is {nearer:,}"
    )
    yield BUDGET.found(message, (*task.location, "inputs", "parameters"), task=task.path)


def _count(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
