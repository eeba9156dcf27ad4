"""Reading the DAGs of a spec, and the checks across components: references, cycles, recursion."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.local.engine.fields import Field, nearest, one_of
from trainwright.local.engine.loop_items import is_loop_item
from trainwright.local.engine.spec import (
    Component,
    ComponentInput,
    Constant,
    Dag,
    FinalStatus,
    Iterator,
    ParameterInput,
    ParameterOutput,
    RetryPolicy,
    Spec,
    SpecError,
    Task,
    TaskOutput,
)
from trainwright.local.engine.values import WrongType, normalise

_STRATEGIES = {
    "TRIGGER_STRATEGY_UNSPECIFIED": False,
    "ALL_UPSTREAM_TASKS_SUCCEEDED": False,
    "ALL_UPSTREAM_TASKS_COMPLETED": True,
}
_NONE = Field(None, "")


def read_dag(field: Field) -> Dag:
    """Reads a DagSpec; references to components are checked later, by `verify`."""
    entries = field.message({"tasks", "outputs"})
    tasks = {key: _task(key, task) for key, task in entries.get("tasks", _NONE).named().items()}
    dependents: dict[str, list[str]] = {key: [] for key in tasks}
    for task in tasks.values():
        for producer in sorted(task.dependencies):
            if producer not in tasks:
                raise SpecError(
                    f"{field.path}.tasks.{task.key}: depends on task {producer!r}, which is not there"
                    f"{nearest(producer, tasks)}"
                )
            dependents[producer].append(task.key)
    _refuse_cycles(tasks, dependents, field.path)
    outputs = entries.get("outputs", _NONE).message({"parameters", "artifacts"})
    return Dag(
        tasks,
        {key: tuple(names) for key, names in dependents.items()},
        {key: _parameter_output(output) for key, output in outputs.get("parameters", _NONE).named().items()},
        {key: _artifact_output(output) for key, output in outputs.get("artifacts", _NONE).named().items()},
    )


def _task(key: str, field: Field) -> Task:
    entries = field.message(
        {
            *("taskInfo", "inputs", "dependentTasks", "cachingOptions", "componentRef", "triggerPolicy"),
            *("artifactIterator", "parameterIterator", "retryPolicy", "iteratorPolicy"),
        }
    )
    inputs = entries.get("inputs", _NONE).message({"parameters", "artifacts"})
    parameters = {
        name: _parameter_input(given) for name, given in inputs.get("parameters", _NONE).named().items()
    }
    artifacts = {
        name: _artifact_input(given) for name, given in inputs.get("artifacts", _NONE).named().items()
    }
    declared = {item.name() for item in entries.get("dependentTasks", _NONE).items()}
    # The compiler may leave a producer out of dependentTasks; the backend adds it
    # (kubeflow/pipelines, backend/src/v2/compiler/argocompiler/dag.go, addImplicitDependencies, 2026-08-21).
    sources = [given.source for given in parameters.values()]
    implied = {source.task for source in sources if isinstance(source, TaskOutput | FinalStatus)}
    implied |= {source.task for source in artifacts.values() if isinstance(source, TaskOutput)}
    caching = entries.get("cachingOptions", _NONE).message({"enableCache", "cacheKey"})
    trigger = entries.get("triggerPolicy", _NONE).message({"condition", "strategy"})
    strategy = trigger["strategy"].text() if "strategy" in trigger else "TRIGGER_STRATEGY_UNSPECIFIED"
    if strategy not in _STRATEGIES:
        raise trigger["strategy"].wrong(" or ".join(_STRATEGIES))
    reference = entries.get("componentRef", _NONE).message({"name"})
    if "name" not in reference:
        raise SpecError(f"{field.path}.componentRef.name: missing")
    information = entries.get("taskInfo", _NONE).message({"name"})
    return Task(
        key=key,
        name=information["name"].text() if "name" in information else key,
        component=reference["name"].name(),
        parameters=parameters,
        artifacts=artifacts,
        dependencies=frozenset(declared | implied),
        condition=trigger["condition"].text() if "condition" in trigger else "",
        runs_after_failure=_STRATEGIES[strategy],
        cached=caching["enableCache"].flag() if "enableCache" in caching else False,
        cache_key=caching["cacheKey"].text() if "cacheKey" in caching else "",
        retry=_retry(entries["retryPolicy"]) if "retryPolicy" in entries else None,
        iterator=_iterator(field, entries),
    )


def _parameter_input(field: Field) -> ParameterInput:
    kinds = ("taskOutputParameter", "runtimeValue", "componentInputParameter", "taskFinalStatus")
    entries = field.message({*kinds, "parameterExpressionSelector"})
    chosen = one_of(entries, kinds, field)
    source: Constant | ComponentInput | TaskOutput | FinalStatus
    if "taskOutputParameter" in entries:
        source = _task_output(chosen, "producerTask", "outputParameterKey")
    elif "componentInputParameter" in entries:
        source = ComponentInput(chosen.name())
    elif "taskFinalStatus" in entries:
        producer = chosen.message({"producerTask"})
        source = FinalStatus(one_of(producer, ("producerTask",), chosen).name())
    else:
        source = Constant(_constant(chosen))
    selector = entries.get("parameterExpressionSelector")
    return ParameterInput(source, selector.text() if selector else "")


def _constant(field: Field) -> Any:
    # A constant null is written as such, so that the entries are read without dropping it.
    entries = field.entries()
    field.message({"constant", "constantValue"}, {"runtimeParameter"})
    if "constantValue" in entries:  # schema 2.0.0
        value = one_of(
            entries["constantValue"].message({"stringValue", "intValue", "doubleValue"}),
            ("stringValue", "intValue", "doubleValue"),
            field,
        )
        return (
            int(value.value)
            if value.path.endswith("intValue") and isinstance(value.value, str)
            else value.value
        )
    if "constant" not in entries:
        raise field.wrong("a constant")
    try:
        return normalise(entries["constant"].value)
    except WrongType as error:
        raise SpecError(f"{field.path}.constant: {error}") from None


def _artifact_input(field: Field) -> ComponentInput | TaskOutput:
    kinds = ("taskOutputArtifact", "componentInputArtifact")
    entries = field.message(set(kinds))
    chosen = one_of(entries, kinds, field)
    if "componentInputArtifact" in entries:
        return ComponentInput(chosen.name())
    return _task_output(chosen, "producerTask", "outputArtifactKey")


def _task_output(field: Field, task: str, key: str) -> TaskOutput:
    entries = field.message({task, key})
    if len(entries) != 2:
        raise field.wrong(f"{task} and {key}")
    return TaskOutput(entries[task].name(), entries[key].name())


def _parameter_output(field: Field) -> ParameterOutput:
    kinds = ("valueFromParameter", "valueFromOneof")
    entries = field.message(set(kinds))
    chosen = one_of(entries, kinds, field)
    if "valueFromParameter" in entries:
        return ParameterOutput((_task_output(chosen, "producerSubtask", "outputParameterKey"),), one_of=False)
    selectors = chosen.message({"parameterSelectors"}).get("parameterSelectors", _NONE).items()
    outputs = tuple(_task_output(item, "producerSubtask", "outputParameterKey") for item in selectors)
    return ParameterOutput(outputs, one_of=True)


def _artifact_output(field: Field) -> tuple[TaskOutput, ...]:
    selectors = field.message({"artifactSelectors"}).get("artifactSelectors", _NONE).items()
    return tuple(_task_output(item, "producerSubtask", "outputArtifactKey") for item in selectors)


def _retry(field: Field) -> RetryPolicy:
    # Defaults: pipeline_spec.proto, PipelineTaskSpec.RetryPolicy (2026-08-21).
    entries = field.message({"maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration"})
    return RetryPolicy(
        max_retry_count=entries["maxRetryCount"].count() if "maxRetryCount" in entries else 0,
        backoff_duration=entries["backoffDuration"].duration() if "backoffDuration" in entries else 0.0,
        backoff_factor=entries["backoffFactor"].number() if "backoffFactor" in entries else 2.0,
        backoff_max_duration=entries["backoffMaxDuration"].duration()
        if "backoffMaxDuration" in entries
        else 3600.0,
    )


def _iterator(task: Field, entries: dict[str, Field]) -> Iterator | None:
    policy = entries.get("iteratorPolicy", _NONE).message({"parallelismLimit"})
    limit = policy["parallelismLimit"].count() if "parallelismLimit" in policy else 0
    kinds = [name for name in ("parameterIterator", "artifactIterator") if name in entries]
    if not kinds:
        return None
    field = one_of(entries, ("parameterIterator", "artifactIterator"), task)
    over_artifacts = kinds[0] == "artifactIterator"
    known = {"inputArtifact"} if over_artifacts else {"raw", "inputParameter"}
    iterator = field.message({"items", "itemInput"})
    if len(iterator) != 2:
        raise field.wrong("items and itemInput")
    source = one_of(iterator["items"].message(known), sorted(known), iterator["items"])
    raw: tuple[Any, ...] | None = None
    if source.path.endswith(".raw"):
        try:
            raw = tuple(normalise(json.loads(source.text())))
        except (ValueError, TypeError, RecursionError):
            raise source.wrong("a list, written as JSON text") from None
        if not isinstance(json.loads(source.text()), list):
            raise source.wrong("a list, written as JSON text")
    return Iterator(
        iterator["itemInput"].name(), raw, "" if raw is not None else source.name(), over_artifacts, limit
    )


def _refuse_cycles(tasks: Mapping[str, Task], dependents: Mapping[str, list[str]], path: str) -> None:
    waiting = {key: len(task.dependencies) for key, task in tasks.items()}
    free = [key for key, count in waiting.items() if not count]
    done = 0
    while free:
        done += 1
        for key in dependents[free.pop()]:
            waiting[key] -= 1
            if not waiting[key]:
                free.append(key)
    if done < len(tasks):
        stuck = sorted(key for key, count in waiting.items() if count)
        raise SpecError(f"{path}.tasks: these tasks wait for one another: {', '.join(stuck[:5])}")


def verify(spec: Spec) -> None:
    """Checks what components say of one another.

    Raises:
        SpecError: A component, executor, input or output that is referred to does not exist, a component
            contains itself, or the root is no DAG.
    """
    if spec.root.dag is None:
        raise SpecError("root.dag: missing")
    for component in (spec.root, *spec.components.values()):
        if component.dag is None:
            if component.executor not in spec.executors:
                raise SpecError(
                    f"components.{component.name}.executorLabel: there is no executor {component.executor!r}"
                    f"{nearest(component.executor, spec.executors)}"
                )
        else:
            for task in component.dag.tasks.values():
                _verify_task(spec, component, task)
            _verify_outputs(spec, component)
    _refuse_recursion(spec)


def _verify_task(spec: Spec, owner: Component, task: Task) -> None:
    where = f"{_path(owner)}.dag.tasks.{task.key}"
    if task.component not in spec.components:
        raise SpecError(
            f"{where}.componentRef.name: no component {task.component!r}"
            f"{nearest(task.component, spec.components)}"
        )
    is_group = spec.components[task.component].dag is not None
    for name, given in task.parameters.items():
        place = f"{where}.inputs.parameters.{name}"
        _verify_source(spec, owner, place, given.source, _parameters_of, is_group)
    for name, source in task.artifacts.items():
        _verify_source(spec, owner, f"{where}.inputs.artifacts.{name}", source, _artifacts_of, is_group)
    iterator = task.iterator
    if iterator and iterator.raw is None:
        available = task.artifacts if iterator.over_artifacts else task.parameters
        if iterator.input not in available:
            raise SpecError(f"{where}: iterates over {iterator.input!r}, which is no input of the task")


def _parameters_of(component: Component) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return component.input_parameters, component.output_parameters


def _artifacts_of(component: Component) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return component.input_artifacts, component.output_artifacts


_Interface = Callable[[Component], tuple[Mapping[str, Any], Mapping[str, Any]]]


def _verify_source(
    spec: Spec, owner: Component, where: str, source: object, interface: _Interface, is_group: bool
) -> None:
    if isinstance(source, ComponentInput):
        inputs = interface(owner)[0]
        # A group around the loop does not need the item (`loop_items` says why it is named).
        if source.name not in inputs and not (is_group and is_loop_item(source.name)):
            raise SpecError(
                f"{where}: {owner.name} has no input {source.name!r}{nearest(source.name, inputs)}"
            )
    elif isinstance(source, TaskOutput):
        _verify_output(spec, owner, where, source, interface)


def _verify_output(
    spec: Spec, owner: Component, where: str, source: TaskOutput, interface: _Interface
) -> None:
    tasks = owner.dag.tasks if owner.dag else {}
    if source.task not in tasks:
        raise SpecError(f"{where}: no task {source.task!r} in {owner.name}{nearest(source.task, tasks)}")
    producer = spec.components.get(tasks[source.task].component)
    outputs = interface(producer)[1] if producer else {}
    if producer and source.key not in outputs:
        raise SpecError(
            f"{where}: task {source.task!r} has no output {source.key!r}{nearest(source.key, outputs)}"
        )


def _verify_outputs(spec: Spec, owner: Component) -> None:
    dag = owner.dag
    if dag is None:
        return
    for name, output in dag.parameters.items():
        for selector in output.selectors:
            _verify_output(
                spec, owner, f"{_path(owner)}.dag.outputs.parameters.{name}", selector, _parameters_of
            )
    for name, selectors in dag.artifacts.items():
        for selector in selectors:
            _verify_output(
                spec, owner, f"{_path(owner)}.dag.outputs.artifacts.{name}", selector, _artifacts_of
            )


def _refuse_recursion(spec: Spec) -> None:
    finished: set[str] = set()

    def visit(component: Component, above: tuple[str, ...]) -> None:
        if component.name in above:
            raise SpecError(f"components.{component.name}: contains itself; recursion is not supported")
        if component.name in finished or component.dag is None:
            return
        for task in component.dag.tasks.values():
            visit(spec.components[task.component], (*above, component.name))
        finished.add(component.name)

    visit(spec.root, ())
    for component in spec.components.values():
        visit(component, ())


def _path(component: Component) -> str:
    return "root" if component.name == "root" else f"components.{component.name}"
