"""The inputs of a task, resolved from the enclosing DAG's inputs and the other tasks' outputs.

Order: value of the source, then the expression selector, then the declared type, then placeholders in
constants, then defaults. (kubeflow/pipelines, backend/src/v2/driver/resolve.go, 2026-08-21.)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trainwright.local.engine.dialect import Dialect
from trainwright.local.engine.expressions import ExpressionError, selected
from trainwright.local.engine.loop_items import fields_of
from trainwright.local.engine.outcomes import Artifact, Failure, Inputs, Outputs, State
from trainwright.local.engine.placeholders import PlaceholderError, needs_siblings, resolved
from trainwright.local.engine.resources import (
    NO_RESOURCES,
    ResourceError,
    Resources,
    resolved_resources,
)
from trainwright.local.engine.spec import (
    UNSET,
    Component,
    ComponentInput,
    Constant,
    Container,
    FinalStatus,
    Iterator,
    ParameterDefinition,
    ParameterInput,
    Task,
    TaskOutput,
)
from trainwright.local.engine.values import WrongType, converted


class InputError(ValueError):
    """An input has no value, one of the wrong type, or an expression that fails. The task fails."""


class Producer(Protocol):
    """A task whose outputs others take."""

    @property
    def state(self) -> State:
        """Its final state."""

    @property
    def outputs(self) -> Outputs:
        """What there is of its outputs, whatever the state."""

    @property
    def failure(self) -> Failure | None:
        """Why it did not succeed."""


def resolve(
    task: Task,
    component: Component,
    enclosing: Inputs,
    producers: Mapping[str, Producer],
    names: Mapping[str, str],
    dialect: Dialect,
) -> Inputs:
    """The inputs of a task whose upstream tasks have ended.

    Args:
        task: The task.
        component: What it runs.
        enclosing: The inputs of the DAG that it is part of.
        producers: The tasks of that DAG.
        names: Values of placeholders.
        dialect: Says what a final status looks like.

    Raises:
        InputError: An input cannot be had.
    """
    sources = _Sources(enclosing, producers, names, dialect)
    values: dict[str, Any] = {}
    constants: list[str] = []
    for name, given in task.parameters.items():
        if isinstance(given.source, Constant) and needs_siblings(given.source.value):
            constants.append(name)
        else:
            values[name] = _parameter(name, given, component, sources, values)
    for name in constants:
        values[name] = _parameter(name, task.parameters[name], component, sources, values)
    artifacts = {}
    for name, source in task.artifacts.items():
        found = _artifacts(source, enclosing, producers)
        if found is not None:
            artifacts[name] = found
    item = task.iterator.item_input if task.iterator else ""
    return complete(component, values, artifacts, names, later=item)


def complete(
    component: Component,
    values: Mapping[str, Any],
    artifacts: Mapping[str, tuple[Artifact, ...]],
    names: Mapping[str, str],
    *,
    later: str = "",
) -> Inputs:
    """Adds defaults, and checks that an executor has all it requires.

    Args:
        component: Whose inputs they are.
        values: Parameters by name; None = no value.
        artifacts: Artifacts by name.
        names: Values of placeholders, which defaults may hold.
        later: An input that an iteration will add.

    Raises:
        InputError: A required input has no value.
    """
    parameters = {name: value for name, value in values.items() if value is not None}
    defaults: dict[str, Any] = {}
    for name, definition in component.input_parameters.items():
        if name in parameters or name == later:
            continue
        if definition.default is not UNSET:
            default = _default(name, definition, names)
            keep_out = component.dag is None and default == definition.default
            (defaults if keep_out else parameters)[name] = default
        elif component.dag is not None:
            parameters[name] = None
        elif not definition.optional:
            raise InputError(f"input {name!r} has no value")
    if component.dag is None:
        _check_artifacts(component, artifacts, later)
    return Inputs(parameters, dict(artifacts), defaults)


def items_of(iterator: Iterator, inputs: Inputs) -> tuple[Any, ...]:
    """What a ParallelFor iterates over: JSON values, or artifacts.

    Raises:
        InputError: Its input holds no list.
    """
    if iterator.raw is not None:
        return iterator.raw
    if iterator.over_artifacts:
        return inputs.artifacts.get(iterator.input, ())
    value = inputs.parameters.get(iterator.input, inputs.defaults.get(iterator.input))
    if isinstance(value, str):  # a list may come as JSON text
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise InputError(
                f"the items in input {iterator.input!r} are no list, nor JSON text of one"
            ) from None
    if not isinstance(value, list):
        raise InputError(f"the items in input {iterator.input!r} are no list")
    return tuple(value)


def with_item(component: Component, inputs: Inputs, name: str, item: Any) -> Inputs:
    """The inputs of one iteration over parameter values.

    Raises:
        InputError: The item is not of the type of the component's input.
    """
    lost = {
        field: value
        for field, value in fields_of(component, name, item).items()
        if inputs.parameters.get(field) is None
    }
    values = {
        key: value if value is None else _converted(key, value, definition)
        for key, value in {**lost, name: item}.items()
        if (definition := component.input_parameters.get(key))
    }
    return Inputs({**inputs.parameters, name: item, **values}, inputs.artifacts, inputs.defaults)


def with_artifact(inputs: Inputs, name: str, item: Artifact) -> Inputs:
    """The inputs of one iteration over artifacts."""
    return Inputs(inputs.parameters, {**inputs.artifacts, name: (item,)}, inputs.defaults)


@dataclass(frozen=True, slots=True)
class _Sources:
    """What an input's value may be taken from."""

    enclosing: Inputs
    producers: Mapping[str, Producer]
    names: Mapping[str, str]
    dialect: Dialect


def configured(
    component: Component, container: Container, inputs: Inputs, names: Mapping[str, str], dialect: Dialect
) -> tuple[Resources, Inputs]:
    """What a task asks of its machine, and its inputs with the task configuration that they ask for.

    A component may want to be told its settings instead of having them applied to itself, because it starts a
    job elsewhere that is to have them (kfp.dsl.TaskConfig; kubeflow/pipelines,
    backend/src/v2/driver/driver.go, 2026-08-21).

    Args:
        component: May have inputs of type TASK_CONFIG.
        container: What it runs.
        inputs: Its inputs.
        names: Values of placeholders.
        dialect: Whose limits a step has.

    Raises:
        InputError: A quantity is none, or more than a step can have; or a placeholder stands for nothing.
    """
    wanted = [name for name, item in component.input_parameters.items() if item.type == "TASK_CONFIG"]
    if not wanted and container.resources == NO_RESOURCES:
        return NO_RESOURCES, inputs
    values = {**inputs.defaults, **inputs.parameters}

    def sibling(other: str) -> Any:
        if values.get(other) is None:
            raise PlaceholderError(f"input {other!r} has no value")
        return values[other]

    try:
        resources = resolved_resources(container.resources, lambda text: resolved(text, names, sibling))
        own = resources if component.applies("RESOURCES") else NO_RESOURCES
        own.check(dialect)
        if not wanted:
            return own, inputs
        config: dict[str, Any] = {}
        if "RESOURCES" in component.passthroughs:
            config["resources"] = resources.kubernetes()
        if "ENV" in component.passthroughs:
            config["env"] = [
                {"name": name, "value": resolved(value, names, sibling)}
                for name, value in container.environment
            ]
    except ResourceError as error:
        raise InputError(f"resources.{error}") from None
    except PlaceholderError as error:
        raise InputError(f"resources or environment: {error}") from None
    told = {**inputs.parameters, **dict.fromkeys(wanted, config)}
    return own, Inputs(told, inputs.artifacts, inputs.defaults)


def _parameter(
    name: str,
    given: ParameterInput,
    component: Component,
    sources: _Sources,
    siblings: Mapping[str, Any],
) -> Any:
    def sibling(other: str) -> Any:
        if siblings.get(other) is None:
            raise PlaceholderError(f"the placeholder of input {other!r} has no value to stand for")
        return siblings[other]

    try:
        value = _sourced(given, sources)
        if isinstance(given.source, Constant):
            value = resolved(value, sources.names, sibling)
        if value is not None and given.selector:
            value = selected(given.selector, value)
    except (ExpressionError, PlaceholderError) as error:
        raise InputError(f"input {name!r}: {error}") from None
    definition = component.input_parameters.get(name)
    return value if definition is None or value is None else _converted(name, value, definition)


def _sourced(given: ParameterInput, sources: _Sources) -> Any:
    match given.source:
        case Constant(value):
            return value
        case ComponentInput(name):
            return sources.enclosing.parameters.get(name)
        case TaskOutput(task, key):
            return sources.producers[task].outputs.parameters.get(key)
        case FinalStatus(task):
            return _final_status(task, sources)


def _final_status(task: str, sources: _Sources) -> dict[str, Any]:
    # PipelineTaskFinalStatus in pipeline_spec.proto; field names as on the wire. Open-source KFP sends the
    # state of ML Metadata and never an error (backend/src/v2/driver/resolve.go, 2026-08-21).
    producer = sources.producers[task]
    on_vertex = sources.dialect is Dialect.VERTEX
    failure = producer.failure if on_vertex else None
    succeeded = "SUCCEEDED" if on_vertex else "COMPLETE"
    return {
        "state": succeeded if producer.state.is_success else producer.state.value,
        "error": {"code": failure.code, "message": failure.message} if failure else {},
        "pipelineJobResourceName": sources.names["pipeline_job_resource_name"],
        "pipelineTaskName": task,
    }


def _converted(name: str, value: Any, definition: ParameterDefinition) -> Any:
    try:
        value = converted(value, definition.type)
    except WrongType as error:
        raise InputError(f"input {name!r}: {error}") from None
    if definition.literals and value not in definition.literals:
        raise InputError(f"input {name!r}: {value!r} is none of {list(definition.literals)}")
    return value


def _default(name: str, definition: ParameterDefinition, names: Mapping[str, str]) -> Any:
    def no_sibling(other: str) -> Any:
        raise PlaceholderError(f"a default cannot refer to input {other!r}")

    try:
        value = resolved(definition.default, names, no_sibling)
    except PlaceholderError as error:
        raise InputError(f"default of input {name!r}: {error}") from None
    return _converted(name, value, definition)


def _artifacts(
    source: ComponentInput | TaskOutput, enclosing: Inputs, producers: Mapping[str, Producer]
) -> tuple[Artifact, ...] | None:
    if isinstance(source, ComponentInput):
        return enclosing.artifacts.get(source.name)
    return producers[source.task].outputs.artifacts.get(source.key)


def _check_artifacts(component: Component, artifacts: Mapping[str, tuple[Artifact, ...]], later: str) -> None:
    for name, definition in component.input_artifacts.items():
        if name == later:
            continue
        if name not in artifacts:
            if not definition.optional:
                raise InputError(f"input artifact {name!r} has no value")
        elif not definition.is_list and len(artifacts[name]) != 1:
            raise InputError(f"input artifact {name!r} takes one artifact, there are {len(artifacts[name])}")
