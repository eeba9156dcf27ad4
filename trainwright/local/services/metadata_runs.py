"""Pipeline runs as ML metadata: what the engine wrote, seen as contexts, executions and events.

Nothing is stored twice. As on Vertex AI, a pipeline is a context of schema system.Pipeline named like the
pipeline, a run a context of schema system.PipelineRun named like the job, and a task an execution; the run
itself is the execution of schema system.Run whose `input:` metadata are the run's parameters (what
`aiplatform.get_pipeline_df` reads, google-cloud-aiplatform 1.165.1). Executions and artifacts belong to both
contexts (kubeflow/pipelines, backend/src/v2/metadata/client.go, CreateExecution, 2026-08-21). What a run put
out is what its pipeline returns: of other metrics `get_pipeline_df` shows nothing (GoogleCloudPlatform/
vertex-ai-samples issue 3839, 2025-02-15).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format, struct_pb2

from trainwright.local.services.resources import timestamp
from trainwright.local.store import Store

SCHEMA_VERSION = "0.0.1"
_JOBS = "/pipelineJobs/"
_STATES = {
    "PENDING": "NEW",
    "RUNNING": "RUNNING",
    "CANCEL_PENDING": "RUNNING",
    "CANCELLING": "RUNNING",
    "SUCCEEDED": "COMPLETE",
    "SKIPPED": "CACHED",
    "FAILED": "FAILED",
    "CANCELLED": "CANCELLED",
}


@dataclass(frozen=True, slots=True)
class Edge:
    """An event: an execution read an artifact, or wrote it.

    Attributes:
        execution: Resource name.
        artifact: Resource name.
        type: "INPUT" or "OUTPUT".
        time: Unix seconds.
    """

    execution: str
    artifact: str
    type: str
    time: float


@dataclass(frozen=True, slots=True)
class _Job:
    """What never changes of a pipeline job."""

    name: str
    pipeline: str
    created: float


class PipelineRuns:
    """The contexts, executions and events of all pipeline jobs in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: dict[str, _Job] = {}
        self._tasks_by_id: dict[str, str] | None = None
        store.subscribe(self._changed)

    def contexts(self, metadata_store: str) -> list[v1.Context]:
        """The contexts of all pipelines and runs of a metadata store's location."""
        runs = self._runs(metadata_store)
        pipelines: dict[str, float] = {}
        for job in runs:
            pipelines[job.pipeline] = min(job.created, pipelines.get(job.pipeline, job.created))
        found = {
            name: _pipeline_context(metadata_store, name, created) for name, created in pipelines.items()
        }
        return [*(found | {_id(job.name): _run_context(metadata_store, job) for job in runs}).values()]

    def context(self, name: str) -> v1.Context | None:
        """The context of that name, if it is a pipeline's or a run's."""
        metadata_store, _, identifier = name.partition("/contexts/")
        job = self._job(_location(metadata_store) + _JOBS + identifier)
        if job:
            return _run_context(metadata_store, job)
        created = [job.created for job in self._runs(metadata_store) if job.pipeline == identifier]
        return _pipeline_context(metadata_store, identifier, min(created)) if created else None

    def context_children(self, name: str) -> list[str]:
        """The names of the contexts of a pipeline's runs."""
        metadata_store = name.partition("/contexts/")[0]
        found = [_run_context(metadata_store, job) for job in self._runs(metadata_store)]
        return [context.name for context in found if name in context.parent_contexts]

    def context_members(self, name: str) -> set[str]:
        """The names of the executions and artifacts that belong to a pipeline's or a run's context."""
        metadata_store, _, identifier = name.partition("/contexts/")
        runs = [job for job in self._runs(metadata_store) if identifier in (job.pipeline, _id(job.name))]
        members: set[str] = set()
        for job in runs:
            for task in self._tasks(job.name):
                members.add(execution_name(metadata_store, task))
                members |= {edge.artifact for edge in edges(metadata_store, task)}
        return members

    def execution(self, name: str) -> v1.Execution | None:
        """The execution of that name, if it is a task's."""
        found = self._task(name)
        return task_execution(*found) if found else None

    def execution_edges(self, name: str) -> list[Edge]:
        """The events of an execution that is a task's."""
        found = self._task(name)
        return [*edges(found[0].partition(_JOBS)[0] + "/metadataStores/default", found[1])] if found else []

    def executions(self, metadata_store: str) -> list[v1.Execution]:
        """The executions of all tasks of a metadata store's location."""
        return [
            task_execution(job.name, task)
            for job in self._runs(metadata_store)
            for task in self._tasks(job.name)
        ]

    def all_edges(self, metadata_store: str) -> Iterator[Edge]:
        """The events of all tasks of a metadata store's location."""
        for job in self._runs(metadata_store):
            for task in self._tasks(job.name):
                yield from edges(metadata_store, task)

    def _task(self, name: str) -> tuple[str, dict[str, Any]] | None:
        """The job's name and the task that an execution's name means."""
        metadata_store, _, identifier = name.partition("/executions/")
        if not _is_default(metadata_store):
            return None
        if self._tasks_by_id is None:
            self._tasks_by_id = {}  # from here on, what is written meanwhile comes in by itself
            names = self._store.names("pipelineTask")
            self._tasks_by_id |= {_id(task): task for task in names}
        record = self._store.read(self._tasks_by_id.get(identifier, ""))
        if record is None or not record.name.startswith(_location(metadata_store) + _JOBS):
            return None
        content = record.json()
        return (record.name.partition("/tasks/")[0], content) if has_execution(content) else None

    def _changed(self, name: str) -> None:
        self._jobs.pop(name, None)
        if self._tasks_by_id is not None and "/tasks/" in name:
            self._tasks_by_id[_id(name)] = name

    def _tasks(self, job: str) -> list[dict[str, Any]]:
        """The tasks of a job that have an execution."""
        tasks = [record.json() for record in self._store.list("pipelineTask", f"{job}/tasks/")]
        return [task for task in tasks if has_execution(task)]

    def _runs(self, metadata_store: str) -> list[_Job]:
        if not _is_default(metadata_store):
            return []
        jobs = [
            self._job(name) for name in self._store.names("pipelineJob", _location(metadata_store) + _JOBS)
        ]
        return sorted((job for job in jobs if job), key=lambda job: job.created)

    def _job(self, name: str) -> _Job | None:
        if name in self._jobs:
            return self._jobs[name]
        record = self._store.read(name)
        if record is None or record.kind != "pipelineJob":
            return None
        job = job_facts(v1.PipelineJob.deserialize(record.payload))
        self._jobs[name] = job
        return job


def job_facts(job: v1.PipelineJob) -> _Job:
    """What the contexts of a job are made of."""
    message: Any = v1.PipelineJob.pb(job)
    pipeline = message.pipeline_spec.fields["pipelineInfo"].struct_value.fields["name"].string_value
    return _Job(message.name, pipeline, message.create_time.ToMicroseconds() / 1e6)


def job_contexts(job: v1.PipelineJob) -> tuple[v1.Context, v1.Context]:
    """The context of a job's pipeline and that of its run."""
    facts = job_facts(job)
    metadata_store = f"{job.name.partition(_JOBS)[0]}/metadataStores/default"
    return (
        _pipeline_context(metadata_store, facts.pipeline, facts.created),
        _run_context(metadata_store, facts),
    )


def has_execution(task: dict[str, Any]) -> bool:
    """Whether a task was ever due; one that was not triggered has no execution."""
    return task["state"] in _STATES


def execution_name(metadata_store: str, task: dict[str, Any]) -> str:
    """The name of a task's execution."""
    return f"{metadata_store}/executions/{task['taskId']}"


def task_execution(job: str, task: dict[str, Any]) -> v1.Execution:
    """A "pipelineTask" record as an execution.

    Args:
        job: The job's resource name.
        task: The record's content.
    """
    metadata_store = f"{job.partition(_JOBS)[0]}/metadataStores/default"
    values = {f"input:{name}": value for name, value in task["inputs"]["parameters"].items()}
    values |= {f"output:{name}": value for name, value in task["outputs"]["parameters"].items()}
    schema = "system.DagExecution" if task.get("isDag") else "system.ContainerExecution"
    updated = task["endTime"] or task["startTime"] or task["createTime"]
    return v1.Execution(
        name=execution_name(metadata_store, task),
        display_name=task["taskName"] if task["path"] else _id(job),
        state=v1.Execution.State[_STATES[task["state"]]],
        schema_title=schema if task["path"] else "system.Run",
        schema_version=SCHEMA_VERSION,
        metadata=json_format.ParseDict(values, struct_pb2.Struct()),
        create_time=timestamp(task["createTime"]),
        update_time=timestamp(updated),
    )


def edges(metadata_store: str, task: dict[str, Any]) -> Iterator[Edge]:
    """The events of a task: one for each artifact that it read or wrote."""
    execution = execution_name(metadata_store, task)
    began = task["startTime"] or task["createTime"]
    for artifact in _artifacts(task["inputs"]):
        yield Edge(execution, artifact, "INPUT", began)
    for artifact in _artifacts(task["outputs"]):
        yield Edge(execution, artifact, "OUTPUT", task["endTime"] or began)


def _artifacts(values: dict[str, Any]) -> Iterable[str]:
    return dict.fromkeys(name for names in values["artifacts"].values() for name in names)


def _pipeline_context(metadata_store: str, pipeline: str, created: float) -> v1.Context:
    return _context(metadata_store, pipeline, "system.Pipeline", created)


def _run_context(metadata_store: str, job: _Job) -> v1.Context:
    identifier = _id(job.name)
    # A job may be named like its pipeline: then there is but one context.
    parents = [f"{metadata_store}/contexts/{job.pipeline}"] if job.pipeline != identifier else []
    return _context(metadata_store, identifier, "system.PipelineRun", job.created, parents)


def _context(
    metadata_store: str, identifier: str, schema: str, created: float, parents: Iterable[str] = ()
) -> v1.Context:
    # Not by proto-plus, which would take most of the time of a list of jobs.
    message = v1.Context.pb()(
        name=f"{metadata_store}/contexts/{identifier}",
        display_name=identifier,
        schema_title=schema,
        schema_version=SCHEMA_VERSION,
        parent_contexts=parents,
        create_time=timestamp(created),
        update_time=timestamp(created),
        metadata=struct_pb2.Struct(),
    )
    return v1.Context.wrap(message)


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _location(metadata_store: str) -> str:
    return metadata_store.partition("/metadataStores/")[0]


def _is_default(metadata_store: str) -> bool:
    """Vertex AI Pipelines writes to the metadata store `default` of its location, and to no other."""
    return metadata_store.endswith("/metadataStores/default")
