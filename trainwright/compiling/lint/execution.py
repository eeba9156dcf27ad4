"""Rules of how tasks run: caching, spot, time limits, retries."""

import functools
import re
from collections.abc import Iterator
from typing import Any

from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.jobs import DEFAULT_TIMEOUT_SECONDS, Job, job_of
from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject
from trainwright.compiling.tasks import Task

CACHE = Rule(
    "cache-moving-data",
    "warning",
    "What reads data that moves is not served from the cache",
    "The cache's key holds parameters and artifacts, not what is behind a URI, a table or a clock, and it"
    " has no end: a weekly retraining reads new rows, and gets last month's from the cache"
    " (kubeflow/pipelines#4857, #6578).",
    "`task.set_caching_options(False)`, or give the task something that changes with the data, as"
    " `fingerprint_source` does for `ingest`.",
)
SPOT = Rule(
    "spot-checkpoint",
    "warning",
    "A spot job has a directory to keep checkpoints in",
    "A spot machine is taken away at any time and the job begun anew, up to six times; without"
    ' `base_output_directory` there is no AIP_CHECKPOINT_DIR and all is lost. Vertex AI documentation, "Use'
    ' Spot VMs", 2026-08-22.',
    "Give `base_output_directory`, and a program that goes on from AIP_CHECKPOINT_DIR.",
)
TIMEOUT = Rule(
    "gpu-timeout",
    "warning",
    "What runs on accelerators has a time limit of its own",
    "The default is 7 days (API v1, `Scheduling.timeout`): a program that hangs costs a week of GPUs.",
    "Give `timeout` to the custom job, as short as can be.",
)
RETRY = Rule(
    "retry-not-repeatable",
    "warning",
    "Only what can be repeated is retried",
    "A retry runs the task from its beginning: what was created or sent once is created or sent again.",
    "Remove `set_retry`, or make the task find what it made before.",
)
RULES = (CACHE, SPOT, TIMEOUT, RETRY)

_SOURCE_NAME = re.compile(
    r"^(gcs_source(_uris?)?|bigquery_source(_input_uri)?|bq_source|source|sources|data_uri|query|sql)$"
)
_EXTERNAL = re.compile(r"^(gs://|/gcs/|bq://|https?://)|^\s*(select|with)\s", re.IGNORECASE)
_CLOCK = re.compile(
    r"\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(|\bCURRENT_(DATE|TIMESTAMP|DATETIME)\b", re.IGNORECASE
)
_WRITING_SQL = re.compile(r"^\s*(insert|update|delete|merge)\s", re.IGNORECASE)
# Launchers of google-cloud-pipeline-components 2.22 that make or send something new each time.
_NOT_REPEATABLE = {
    "UploadModel": "a model version",
    "CreateEndpoint": "an endpoint",
    "DeployModel": "a deployment",
    "VertexNotificationEmail": "an e-mail",
    "CustomJob": "a job",
    "HyperparameterTuningJob": "a job",
    "BatchPredictionJob": "a job",
    "TabularDataset": "a dataset",
    "ImageDataset": "a dataset",
    "TimeSeriesDataset": "a dataset",
}
# A launcher finds its job again by its `gcp_resources` after a restart, but not in a retry.
_PAID_AGAIN = ("a job",)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks tasks and jobs."""
    for task in subject.tasks:
        if task.is_cached and not task.is_group and not task.is_exit:
            yield from _caching(task)
        yield from _retries(task)
        if task.container:
            yield from _task_timeout(task)
    for task, job in subject.jobs:
        if job.has_pools:
            yield from _spot(task, job)
            yield from _timeout(task, job)


def _caching(task: Task) -> Iterator[Finding]:
    location = (*task.location, "cachingOptions")
    clock = next((found for text in _sources(task) if (found := _clock(text))), None)
    if clock is not None:
        message = f"cached, and what it computes depends on {clock}"
        yield CACHE.found(message, location, task=task.path)
        return
    # What comes from another task changes with the data, as far as that is for the pipeline's author to know.
    upstream = any(origin == "upstream" for origin in task.origins.values())
    if upstream or (task.definition.get("inputs") or {}).get("artifacts"):
        return
    for name, value in task.inputs.items():
        if task.origins[name] == "default" or value in ("", None, [], {}):
            continue
        if _SOURCE_NAME.match(name) and (is_runtime(value) or _is_external(value)):
            yield CACHE.found(f"cached, and reads {name}, whose data may move", location, task=task.path)
            return


@functools.lru_cache(maxsize=4096)  # the same sources stand in many pipelines
def _clock(text: str) -> str | None:
    match = _CLOCK.search(text)
    return match[0].rstrip("(") if match is not None else None


def _is_external(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(item, str) and _EXTERNAL.search(item) for item in values)


def _sources(task: Task) -> Iterator[str]:
    """The task's program, if it stands in its command, and its query."""
    command = task.container.get("command") or []
    if command and isinstance(command[-1], str) and "def " in command[-1]:
        yield command[-1]
    for name in ("query", "sql"):
        value = task.inputs.get(name)
        if isinstance(value, str):
            yield value


def _retries(task: Task) -> Iterator[Finding]:
    count = (task.definition.get("retryPolicy") or {}).get("maxRetryCount", 0)
    if not isinstance(count, int | float) or count <= 0:
        return
    location = (*task.location, "retryPolicy")
    job = job_of(task)
    made = _NOT_REPEATABLE.get(job.kind) if job is not None else None
    if made is not None:
        paid = ", which is paid for again" if made in _PAID_AGAIN else ""
        message = f"{count:g} retries of a task that makes {made} each time{paid}"
        yield RETRY.found(message, location, task=task.path)
    query = task.inputs.get("query")
    if isinstance(query, str) and _WRITING_SQL.match(query):
        yield RETRY.found(f"{count:g} retries of a query that writes", location, task=task.path)


def _spot(task: Task, job: Job) -> Iterator[Finding]:
    if job.strategy == "SPOT" and not job.fields.get("base_output_directory"):
        yield SPOT.found("SPOT without base_output_directory", task.location, task=task.path)


def _timeout(task: Task, job: Job) -> Iterator[Finding]:
    accelerators = sorted({pool.accelerator for pool in job.pools if isinstance(pool.accelerator, str)})
    tpu = [pool for pool in job.pools if pool.machine_spec.get("tpu_topology")]
    seconds = job.timeout_seconds
    if (accelerators or tpu) and seconds is not None and seconds >= DEFAULT_TIMEOUT_SECONDS:
        what = accelerators[0] if accelerators and not is_runtime(accelerators[0]) else "an accelerator"
        cannot = "; the official tuning op cannot carry one" if job.is_tuning else ""
        message = f"a job on {what} without a timeout of its own: 7 days{cannot}"
        yield TIMEOUT.found(message, task.location, task=task.path)


def _task_timeout(task: Task) -> Iterator[Finding]:
    resources = task.container.get("resources") or {}
    if isinstance(resources, dict) and resources.get("accelerator") and job_of(task) is None:
        location = (*task.executor_location, "container", "resources")
        message = "a task on an accelerator, which can have no timeout: Vertex AI ends it after 7 days"
        yield TIMEOUT.found(message, location, task=task.path)
