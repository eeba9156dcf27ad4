"""Runs of pipelines as plain values: what `google.cloud.aiplatform.PipelineJob` shows of them."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trainwright.settings import Environment
from trainwright.vertex.errors import google_errors

if TYPE_CHECKING:
    from google.cloud import aiplatform_v1 as v1
    from google.cloud.aiplatform import PipelineJob
    from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
    from google.cloud.aiplatform_v1.types import PipelineTaskDetail

_ANSWER_SECONDS = 60.0
SUCCEEDED = "PIPELINE_STATE_SUCCEEDED"
ENDED = {SUCCEEDED, "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}
# States of google.cloud.aiplatform.v1.PipelineTaskDetail.
TASK_ENDED = {"SUCCEEDED", "CANCELLED", "FAILED", "SKIPPED", "NOT_TRIGGERED"}


@dataclass(frozen=True)
class Artifact:
    """An artifact that a task made: its URI, schema title (`system.Metrics`) and metadata."""

    uri: str
    schema: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """A task of a run.

    Attributes:
        id: Vertex AI's number of it.
        name: Its name in the pipeline.
        path: Its name after those of the nested pipelines, loops and conditions that it is in: `train/fit`.
        depth: In how many of them it is.
        state: A state's name of PipelineTaskDetail, such as `RUNNING`; `SKIPPED` came from the cache.
        started: When it started, if it did.
        ended: When it ended, if it did.
        error: Why it failed, else empty.
        parameters: Output parameters.
        artifacts: Output artifacts.
        is_group: Whether other tasks are in it.
        job: The custom job that ran its container on Vertex AI, else empty.
        title: Its display name in the pipeline; its name where there is none.
    """

    id: str
    name: str
    path: str
    depth: int
    state: str
    started: datetime | None
    ended: datetime | None
    error: str
    parameters: Mapping[str, Any]
    artifacts: Mapping[str, tuple[Artifact, ...]]
    is_group: bool = False
    job: str = ""
    title: str = ""

    @property
    def cached(self) -> bool:
        """Whether its outputs came from the cache."""
        return self.state == "SKIPPED"

    @property
    def seconds(self) -> float | None:
        """How long it ran, up to now if it runs still."""
        return _seconds(self.started, self.ended)


@dataclass(frozen=True)
class Run:
    """A run of a pipeline, as it was at one moment.

    Attributes:
        name: Its resource name.
        pipeline: The pipeline's name.
        state: A PipelineState's name, such as `PIPELINE_STATE_RUNNING`.
        created: When it was created.
        started: When it started, if it did.
        ended: When it ended, if it did.
        error: Why it failed, else empty.
        tasks: Its tasks without the pipeline itself, each after the one that it is in.
        outputs: The pipeline's outputs: a parameter's value, an Artifact or a tuple of them.
        root: The `gs://` folder below which it writes.
    """

    name: str
    pipeline: str
    state: str
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    error: str
    tasks: tuple[Task, ...]
    outputs: Mapping[str, Any]
    root: str = ""

    @property
    def id(self) -> str:
        """The last part of its resource name."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it ran, up to now if it runs still."""
        return _seconds(self.started, self.ended)


@dataclass(frozen=True)
class Handle:
    """A run that exists, as far as it can be looked at and cancelled.

    `google.cloud.aiplatform.PipelineJob` is that too, but to import it takes twice as long as its client.
    """

    api_client: "PipelineServiceClient"
    resource_name: str

    def cancel(self) -> None:
        """Asks Vertex AI to stop the run; returns at once."""
        self.api_client.cancel_pipeline_job(name=self.resource_name, timeout=_ANSWER_SECONDS)


def find(name: str, environment: Environment) -> Handle:
    """Finds a run.

    Args:
        name: Its id, or its whole resource name.
        environment: Where it is.

    Raises:
        UserError: There is none of that name.
    """
    full = name if "/" in name else f"{_parent(environment)}/pipelineJobs/{name}"
    with google_errors(f"run {name}"):
        client = _client(environment)
        found = client.get_pipeline_job(name=full, timeout=_ANSWER_SECONDS)
    return Handle(client, found.name)


def listing(environment: Environment, *, pipeline: str | None = None) -> list[Run]:
    """Lists the runs of an environment, the newest first.

    Args:
        environment: Where they are.
        pipeline: Only those whose display name is this one.
    """
    request = {
        "parent": _parent(environment),
        "filter": f'display_name="{pipeline}"' if pipeline else "",
        "order_by": "create_time desc",
    }
    with google_errors(f"runs of {environment.name}"):
        jobs = _client(environment).list_pipeline_jobs(request=request, timeout=_ANSWER_SECONDS)
        return [describe(job) for job in jobs]


def look(job: "PipelineJob | Handle") -> Run:
    """Asks Vertex AI how a run is now.

    Not by the properties of PipelineJob: when an answer fails they try again for two minutes, without a word
    (google-cloud-aiplatform 1.165 and 2.7, `base.py`, `_DEFAULT_RETRY`).
    """
    return describe(job.api_client.get_pipeline_job(name=job.resource_name, timeout=_ANSWER_SECONDS))


def _client(environment: Environment) -> "PipelineServiceClient":
    from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient

    return PipelineServiceClient(
        client_options={"api_endpoint": f"{environment.location}-aiplatform.googleapis.com"}
    )


def _parent(environment: Environment) -> str:
    return f"projects/{environment.project}/locations/{environment.location}"


def describe(resource: "v1.PipelineJob") -> Run:
    """Makes a plain value of a run's resource."""
    details = list(resource.job_detail.task_details)
    root = _root(details)
    spec = _plain(type(resource).pb(resource).pipeline_spec)
    declared = (spec.get("root", {}).get("outputDefinitions") or {}).get("parameters") or {}
    return Run(
        name=resource.name,
        pipeline=spec.get("pipelineInfo", {}).get("name") or resource.display_name,
        state=resource.state.name,
        created=_time(resource.create_time),
        started=_time(resource.start_time),
        ended=_time(resource.end_time),
        error=resource.error.message if resource.error else "",
        tasks=tuple(_tasks(details, root, spec)),
        outputs=_outputs(root, declared) if root is not None else {},
        root=resource.runtime_config.gcs_output_directory,
    )


def _root(details: list["PipelineTaskDetail"]) -> "PipelineTaskDetail | None":
    """The pipeline itself: Vertex AI lists it among its tasks, as the one that is in no other."""
    outermost = [detail for detail in details if not detail.parent_task_id]
    if len(outermost) != 1:
        return None
    is_group = outermost[0].execution.schema_title in ("system.Run", "system.DagExecution")
    return outermost[0] if len(details) > 1 or is_group else None


def _tasks(
    details: list["PipelineTaskDetail"], root: "PipelineTaskDetail | None", spec: Mapping[str, Any]
) -> Iterator[Task]:
    children: dict[int, list[PipelineTaskDetail]] = {}
    for detail in details:
        if detail is not root:
            children.setdefault(detail.parent_task_id, []).append(detail)
    components = spec.get("components") or {}

    def walk(parent: int, path: str, depth: int, group: Mapping[str, Any]) -> Iterator[Task]:
        declared = (group.get("dag") or {}).get("tasks") or {}
        for detail in children.get(parent, ()):
            own = detail.task_unique_name or (f"{path}/{detail.task_name}" if path else detail.task_name)
            task = declared.get(detail.task_name)
            title = (task or {}).get("taskInfo", {}).get("name") or detail.task_name
            yield _task(detail, own, depth, title, is_group=detail.task_id in children)
            # The iterations of a loop stand between it and its tasks, and are not in the spec.
            inner = components.get(task["componentRef"]["name"], {}) if task else group
            yield from walk(detail.task_id, own, depth + 1, inner)

    yield from walk(root.task_id if root is not None else 0, "", 0, spec.get("root") or {})


def _task(detail: "PipelineTaskDetail", path: str, depth: int, title: str, *, is_group: bool) -> Task:
    return Task(
        id=str(detail.task_id),
        name=detail.task_name,
        path=path,
        depth=depth,
        state=detail.state.name,
        started=_time(detail.start_time),
        ended=_time(detail.end_time),
        error=detail.error.message if detail.error else "",
        parameters=_output_parameters(detail),
        artifacts=_artifacts(detail),
        is_group=is_group,
        job=detail.executor_detail.container_detail.main_job or detail.executor_detail.custom_job_detail.job,
        title=title,
    )


def _output_parameters(detail: "PipelineTaskDetail") -> dict[str, Any]:
    metadata = _plain(type(detail).pb(detail).execution.metadata)
    return {
        name.removeprefix("output:"): value for name, value in metadata.items() if name.startswith("output:")
    }


def _artifacts(detail: "PipelineTaskDetail") -> dict[str, tuple[Artifact, ...]]:
    return {
        name: tuple(
            Artifact(artifact.uri, artifact.schema_title, _plain(artifact.metadata))
            for artifact in artifacts.artifacts
        )
        for name, artifacts in type(detail).pb(detail).outputs.items()
    }


def _outputs(root: "PipelineTaskDetail", declared: Mapping[str, Any]) -> dict[str, Any]:
    outputs: dict[str, Any] = {
        name: _as_declared(value, declared.get(name, {}).get("parameterType", ""))
        for name, value in _output_parameters(root).items()
    }
    for name, artifacts in _artifacts(root).items():
        outputs[name] = artifacts[0] if len(artifacts) == 1 else artifacts
    return outputs


def _as_declared(value: Any, kind: str) -> Any:
    if kind == "NUMBER_DOUBLE" and isinstance(value, int):
        return float(value)
    if kind in ("LIST", "STRUCT") and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _plain(struct: Any) -> Any:
    """A google.protobuf.Struct as a plain dict. It has one kind of number: whole ones become integers."""
    return {key: _plain_value(value) for key, value in sorted(struct.fields.items())}


def _plain_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [_plain_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    return getattr(value, kind) if kind not in (None, "null_value") else None


def _time(moment: Any) -> datetime | None:
    return datetime.fromtimestamp(moment.timestamp(), UTC) if moment else None


def _seconds(started: datetime | None, ended: datetime | None) -> float | None:
    if started is None:
        return None
    return max(0.0, ((ended or datetime.now(UTC)) - started).total_seconds())


def failed_tasks(tasks: Iterable[Task]) -> list[Task]:
    """The tasks that failed by themselves, in order of their end; else the group that did."""
    failed = sorted(
        (task for task in tasks if task.state == "FAILED"),
        key=lambda task: (task.ended is None, task.ended or datetime.min.replace(tzinfo=UTC)),
    )
    return [task for task in failed if not task.is_group] or failed[:1]
