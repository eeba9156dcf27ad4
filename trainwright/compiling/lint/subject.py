"""What the rules look at: a pipeline's document, its tasks and the jobs that they start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.jobs import Job, job_of
from trainwright.compiling.lint.document import Document
from trainwright.compiling.tasks import Task, tasks


@dataclass(frozen=True)
class Subject:
    """One pipeline, in one environment if there is one.

    Attributes:
        document: The file.
        today: The day on which ends of support and availability count.
        parameters: Values of the run's parameters; the pipeline's defaults count for the rest.
        location: Region of the run, where it is known.
        project: Project of the run, where it is known.
    """

    document: Document
    today: date
    parameters: Mapping[str, Any] = field(default_factory=dict)
    location: str | None = None
    project: str | None = None

    @property
    def spec(self) -> Mapping[str, Any]:
        """The PipelineSpec."""
        return self.document.spec

    @cached_property
    def tasks(self) -> list[Task]:
        """Every task, groups included."""
        known = {
            "{{$.pipeline_google_cloud_location}}": self.location,
            "{{$.pipeline_google_cloud_project_id}}": self.project,
        }
        placeholders = {name: value for name, value in known.items() if value is not None}
        return tasks(self.spec, parameters=self.parameters, placeholders=placeholders)

    @cached_property
    def jobs(self) -> list[tuple[Task, Job]]:
        """The tasks that start a job of Vertex AI, with it."""
        return [(task, job) for task in self.tasks if (job := job_of(task)) is not None]

    @cached_property
    def executed(self) -> list[Task]:
        """The tasks that run a container: one for each executor, that is for each component in the file."""
        seen: dict[tuple[str, ...], Task] = {}
        for task in self.tasks:
            if task.container:
                seen.setdefault(task.executor_location, task)
        return list(seen.values())

    def constants(self) -> Iterator[tuple[str, Any, tuple[str, ...], Task | None]]:
        """What authors wrote into the pipeline: its parameters' defaults and its tasks' constants.

        Yields:
            Name, value, location in the document and the task; the task is None for a default.
        """
        root = self.spec["root"]
        for name, definition in ((root.get("inputDefinitions") or {}).get("parameters") or {}).items():
            if "defaultValue" in definition:
                location = ("root", "inputDefinitions", "parameters", name, "defaultValue")
                yield name, definition["defaultValue"], location, None
        for task in self.tasks:
            for name, origin in task.origins.items():
                if origin == "constant" and not is_runtime(task.inputs[name]):
                    yield name, task.inputs[name], (*task.location, "inputs", "parameters", name), task


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys of objects left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
