"""PipelineSpec as plain data: what `reading.py` makes of the compiled JSON and everything else works on.

Names and meanings are those of kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto (2026-08-21).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright.local.engine.resources import Resources

UNSET = object()
"""Stands for "no default": null is a default that somebody may have written."""


class SpecError(ValueError):
    """The spec is damaged or asks for what cannot be done here. One line that names the field."""


@dataclass(frozen=True, slots=True)
class ParameterDefinition:
    """An input or output parameter of a component."""

    type: str
    optional: bool = False
    default: Any = UNSET
    literals: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtifactDefinition:
    """An input or output artifact of a component."""

    schema_title: str
    schema_version: str
    is_list: bool = False
    optional: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the spec; strings in it may hold placeholders."""

    value: Any


@dataclass(frozen=True, slots=True)
class ComponentInput:
    """An input of the enclosing DAG."""

    name: str


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """An output of another task of the same DAG."""

    task: str
    key: str


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """How another task of the same DAG ended."""

    task: str


@dataclass(frozen=True, slots=True)
class ParameterInput:
    """Where a task's input parameter comes from, and the CEL expression that is applied to it ("" = none)."""

    source: Constant | ComponentInput | TaskOutput | FinalStatus
    selector: str = ""


@dataclass(frozen=True, slots=True)
class Iterator:
    """A ParallelFor: the task runs once for each item.

    Attributes:
        item_input: The component's input that an item goes to.
        raw: The items, when they are written in the spec.
        input: Otherwise the task's input that holds them.
        over_artifacts: The input holds artifacts rather than parameter values.
        limit: How many iterations may run at once; 0 = all.
    """

    item_input: str
    raw: tuple[Any, ...] | None
    input: str
    over_artifacts: bool
    limit: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed task runs again; durations in seconds."""

    max_retry_count: int
    backoff_duration: float
    backoff_factor: float
    backoff_max_duration: float

    def delay(self, attempts: int) -> float | None:
        """Seconds to wait after `attempts` failed attempts, or None when there is to be no further one.

        The maximum is one for all waits together (pipeline_spec.proto, RetryPolicy.backoff_max_duration).
        """
        if attempts > self.max_retry_count:
            return None
        waited = 0.0
        delay = 0.0
        for attempt in range(attempts):
            waited += delay
            delay = min(
                self.backoff_duration * self.backoff_factor**attempt, self.backoff_max_duration - waited
            )
        return max(delay, 0.0)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a DAG. `dependencies` are the declared ones and every producer that an input names."""

    key: str
    name: str
    component: str
    parameters: Mapping[str, ParameterInput]
    artifacts: Mapping[str, ComponentInput | TaskOutput]
    dependencies: frozenset[str]
    condition: str
    runs_after_failure: bool
    cached: bool
    cache_key: str
    retry: RetryPolicy | None
    iterator: Iterator | None

    @property
    def is_exit_task(self) -> bool:
        """Whether it is the task of an exit handler, which runs whatever became of the rest.

        The compiler writes the same trigger strategy for `ignore_upstream_failure`; what tells them apart is
        the final status or the dependency on an exit handler's group.
        """
        reports = any(isinstance(given.source, FinalStatus) for given in self.parameters.values())
        follows = any(name.startswith("exit-handler-") for name in self.dependencies)
        return self.runs_after_failure and (reports or follows)


@dataclass(frozen=True, slots=True)
class ParameterOutput:
    """An output parameter of a DAG: of one task, or of whichever of several branches ran."""

    selectors: tuple[TaskOutput, ...]
    one_of: bool


@dataclass(frozen=True, slots=True)
class Dag:
    """The tasks of a component and where its outputs come from. `dependents` inverts the dependencies."""

    tasks: Mapping[str, Task]
    dependents: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, ParameterOutput]
    artifacts: Mapping[str, tuple[TaskOutput, ...]]


@dataclass(frozen=True, slots=True)
class Component:
    """A component: its interface, and either a DAG or the label of an executor.

    `passthroughs` are the settings that its TASK_CONFIG input is told, each with whether it applies to the
    task itself too.
    """

    name: str
    input_parameters: Mapping[str, ParameterDefinition]
    input_artifacts: Mapping[str, ArtifactDefinition]
    output_parameters: Mapping[str, ParameterDefinition]
    output_artifacts: Mapping[str, ArtifactDefinition]
    dag: Dag | None
    executor: str
    passthroughs: Mapping[str, bool] = field(default_factory=dict)

    def applies(self, setting: str) -> bool:
        """Whether a setting of the task's machine is the task's own, and not only told to it.

        Args:
            setting: "RESOURCES" or "ENV", as in TaskConfigPassthroughType.
        """
        return self.passthroughs.get(setting, True)


@dataclass(frozen=True, slots=True)
class Container:
    """An executor that runs a command in an image."""

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    resources: Resources


@dataclass(frozen=True, slots=True)
class Importer:
    """An executor that makes an artifact of something that exists already.

    Attributes:
        uri: A constant, or
        uri_parameter: the component's input that holds the URI.
        to_workspace: What is imported is copied to the run's workspace, where tasks then find it.
    """

    uri: str
    uri_parameter: str
    schema_title: str
    schema_version: str
    metadata: Mapping[str, Any]
    reimport: bool
    to_workspace: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole pipeline."""

    name: str
    root: Component
    components: Mapping[str, Component]
    executors: Mapping[str, Container | Importer]
