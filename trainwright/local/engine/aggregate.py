"""Outputs of groups of tasks: what a DAG passes on, and what a ParallelFor collects."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainwright.local.engine.inputs import Producer
from trainwright.local.engine.outcomes import Artifact, Outputs
from trainwright.local.engine.spec import Component, TaskOutput


class OutputError(ValueError):
    """A OneOf of which no branch ran, or more than one. `outputs` are the other outputs."""

    def __init__(self, message: str, outputs: Outputs) -> None:
        super().__init__(message)
        self.outputs = outputs


def dag_outputs(component: Component, tasks: Mapping[str, Producer]) -> Outputs:
    """The outputs of a DAG whose tasks have ended. What a task did not give is left out.

    Raises:
        OutputError: A OneOf cannot be decided (pipeline_spec.proto, DagOutputsSpec, 2026-08-21: several → the
            DAG fails).
    """
    dag = component.dag
    parameters: dict[str, Any] = {}
    artifacts: dict[str, tuple[Artifact, ...]] = {}
    problems: list[str] = []
    for name, output in dag.parameters.items() if dag else ():
        chosen = _chosen(name, output.selectors, tasks, problems) if output.one_of else output.selectors[0]
        if chosen and chosen.key in tasks[chosen.task].outputs.parameters:
            parameters[name] = tasks[chosen.task].outputs.parameters[chosen.key]
    for name, selectors in dag.artifacts.items() if dag else ():
        chosen = _chosen(name, selectors, tasks, problems) if len(selectors) != 1 else selectors[0]
        if chosen and chosen.key in tasks[chosen.task].outputs.artifacts:
            artifacts[name] = tasks[chosen.task].outputs.artifacts[chosen.key]
    outputs = Outputs(parameters, artifacts)
    if problems:
        raise OutputError("; ".join(problems), outputs)
    return outputs


def iterator_outputs(component: Component, iterations: Sequence[Producer]) -> Outputs:
    """What the iterations gave, in their order: parameters as lists, artifacts one after the other.

    An iteration that did not give an output (its producer's condition was false) is left out of that list. A
    list of lists stays one for parameters and is concatenated for artifacts (pipeline_spec.proto,
    ParameterIteratorSpec, 2026-08-21).
    """
    parameters = {
        name: [item.outputs.parameters[name] for item in iterations if name in item.outputs.parameters]
        for name in component.output_parameters
    }
    artifacts = {
        name: tuple(found for item in iterations for found in item.outputs.artifacts.get(name, ()))
        for name in component.output_artifacts
    }
    return Outputs(parameters, artifacts)


def _chosen(
    name: str, selectors: Sequence[TaskOutput], tasks: Mapping[str, Producer], problems: list[str]
) -> TaskOutput | None:
    ran = [selector for selector in selectors if tasks[selector.task].state.is_success]
    if len(ran) == 1:
        return ran[0]
    what = f"{len(ran)} branches" if ran else "no branch"
    problems.append(f"output {name!r} is that of the one branch that ran, but {what} did")
    return None
