"""The tasks of a compiled pipeline, with their inputs as far as these are known before a run.

A value that the run will make is text with a placeholder, so that `is_runtime` knows it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainwright.authoring.runtime import is_runtime

UNKNOWN = "{{$.unknown_before_the_run}}"
"""Stands for a value that the run will make."""

Origin = Literal["constant", "default", "run", "pipeline", "upstream"]
"""Where an input comes from: the pipeline's author, the component's default, the run itself by a placeholder
(`{{$.pipeline_google_cloud_location}}`), the run's parameters, a task."""

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']*)'\](?:\['[^']*'\])?\}\}")
# A spec can hold a component inside itself only by mistake; no real one nests deeper, or has more tasks:
# Vertex AI ends a run at 10,000.
_DEEPEST = 50
MOST = 20_000
"""Most tasks that are looked at."""


@dataclass(frozen=True)
class Task:
    """A task of a compiled pipeline.

    Attributes:
        path: Its name after those of the tasks that it is in: `train/custom-training-job`.
        name: Its name in its own dag.
        location: The keys that lead to it in the document.
        definition: Its PipelineTaskSpec.
        component: Its ComponentSpec.
        executor: Its ExecutorSpec; None for a task that holds others.
        executor_location: The keys that lead to its executor.
        inputs: Parameter values by name; text with a placeholder where only the run will know.
        origins: Where each comes from.
        iterations: How often it runs in one run; None where a loop's length is known at run time only.
        conditional: Whether a condition may leave it out.
    """

    path: str
    name: str
    location: tuple[str, ...]
    definition: Mapping[str, Any]
    component: Mapping[str, Any]
    executor: Mapping[str, Any] | None
    executor_location: tuple[str, ...]
    inputs: Mapping[str, Any]
    origins: Mapping[str, Origin]
    iterations: int | None
    conditional: bool

    @property
    def is_group(self) -> bool:
        """Whether it holds other tasks."""
        return "dag" in self.component

    @property
    def container(self) -> Mapping[str, Any]:
        """Its PipelineContainerSpec; empty for a group, an importer and the like."""
        return (self.executor or {}).get("container") or {}

    @property
    def is_cached(self) -> bool:
        """Whether the cache may serve it."""
        return bool((self.definition.get("cachingOptions") or {}).get("enableCache"))

    @property
    def is_exit(self) -> bool:
        """Whether it runs however the tasks before it ended: an exit handler's, or one with final status."""
        policy = self.definition.get("triggerPolicy") or {}
        return policy.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"


def tasks(
    spec: Mapping[str, Any],
    *,
    parameters: Mapping[str, Any] | None = None,
    placeholders: Mapping[str, str] | None = None,
) -> list[Task]:
    """Walks through a pipeline, into its nested pipelines, conditions and loops.

    Args:
        spec: The PipelineSpec.
        parameters: Values of the run's parameters; where there is none the pipeline's default counts.
        placeholders: Values of the run's own placeholders, such as `{{$.pipeline_google_cloud_location}}`.

    Returns:
        The tasks, each after the one that it is in, at most MOST.
    """
    root = spec["root"]
    values: dict[str, Any] = {}
    for name, definition in ((root.get("inputDefinitions") or {}).get("parameters") or {}).items():
        values[name] = (parameters or {}).get(name, definition.get("defaultValue", UNKNOWN))
    walk = _Walk(spec, placeholders or {})
    origins: dict[str, Origin] = dict.fromkeys(values, "pipeline")
    found = walk.dag(root, ("root",), "", values, origins, iterations=1, conditional=False, depth=0)
    return list(itertools.islice(found, MOST))


class _Walk:
    def __init__(self, spec: Mapping[str, Any], placeholders: Mapping[str, str]) -> None:
        self._components = spec.get("components") or {}
        self._executors = (spec.get("deploymentSpec") or {}).get("executors") or {}
        self._placeholders = placeholders

    def dag(
        self,
        component: Mapping[str, Any],
        location: tuple[str, ...],
        path: str,
        values: Mapping[str, Any],
        origins: Mapping[str, Origin],
        *,
        iterations: int | None,
        conditional: bool,
        depth: int,
    ) -> Iterator[Task]:
        if depth > _DEEPEST:
            return
        for name, definition in ((component.get("dag") or {}).get("tasks") or {}).items():
            reference = (definition.get("componentRef") or {}).get("name", "")
            inner = self._components.get(reference) or {}
            label = inner.get("executorLabel", "")
            inputs, sources = self._inputs(definition, inner, values, origins)
            times = _times(definition, inputs, iterations)
            may_miss = conditional or "condition" in (definition.get("triggerPolicy") or {})
            task = Task(
                f"{path}/{name}" if path else name,
                name,
                (*location, "dag", "tasks", name),
                definition,
                inner,
                self._executors.get(label) if label else None,
                ("deploymentSpec", "executors", label),
                inputs,
                sources,
                times,
                may_miss,
            )
            yield task
            if task.is_group:
                yield from self.dag(
                    inner,
                    ("components", reference),
                    task.path,
                    inputs,
                    sources,
                    iterations=times,
                    conditional=may_miss,
                    depth=depth + 1,
                )

    def _inputs(
        self,
        definition: Mapping[str, Any],
        component: Mapping[str, Any],
        outer: Mapping[str, Any],
        outer_origins: Mapping[str, Origin],
    ) -> tuple[dict[str, Any], dict[str, Origin]]:
        given = (definition.get("inputs") or {}).get("parameters") or {}
        declared = (component.get("inputDefinitions") or {}).get("parameters") or {}
        inputs: dict[str, Any] = {}
        origins: dict[str, Origin] = {}
        for name, source in given.items():
            inputs[name], origins[name] = _given(source, outer, outer_origins)
        for name, declaration in declared.items():
            if name not in inputs and "defaultValue" in declaration:
                inputs[name], origins[name] = declaration["defaultValue"], "default"
        item = (definition.get("parameterIterator") or {}).get("itemInput")
        if item:
            inputs[item], origins[item] = UNKNOWN, "upstream"
        for name, value in inputs.items():
            if isinstance(value, str) and value.startswith("{{$.pipeline_"):
                origins[name] = "run"
        filled = {name: self.fill(value, inputs) for name, value in inputs.items()}
        return filled, origins

    def fill(self, value: Any, inputs: Mapping[str, Any]) -> Any:
        """Puts what is known into the placeholders of a constant."""
        if isinstance(value, dict):
            return {key: self.fill(item, inputs) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, inputs) for item in value]
        if not isinstance(value, str) or "{{" not in value:
            return value
        whole = _PLACEHOLDER.fullmatch(value)
        if whole is not None:
            found = inputs.get(whole[1], value)
            return value if found == value else found
        text = _PLACEHOLDER.sub(lambda match: _as_text(inputs.get(match[1], match[0]), match[0]), value)
        for placeholder, known in self._placeholders.items():
            text = text.replace(placeholder, known)
        return text


def _given(
    source: Mapping[str, Any], outer: Mapping[str, Any], origins: Mapping[str, Origin]
) -> tuple[Any, Origin]:
    if "componentInputParameter" in source:
        name = source["componentInputParameter"]
        if source.get("parameterExpressionSelector"):
            return UNKNOWN, origins.get(name, "upstream")
        return outer.get(name, UNKNOWN), origins.get(name, "pipeline")
    runtime = source.get("runtimeValue") or {}
    if "constant" in runtime:
        return runtime["constant"], "constant"
    if "constantValue" in runtime:  # PipelineSpec 2.0
        return next(iter((runtime["constantValue"] or {}).values()), None), "constant"
    if "runtimeParameter" in runtime:
        return outer.get(runtime["runtimeParameter"], UNKNOWN), "pipeline"
    return UNKNOWN, "upstream"


def _times(definition: Mapping[str, Any], inputs: Mapping[str, Any], iterations: int | None) -> int | None:
    iterator = definition.get("parameterIterator") or definition.get("artifactIterator")
    if iterator is None or iterations is None:
        return iterations
    items = iterator.get("items") or {}
    values = items.get("raw", inputs.get(items.get("inputParameter", ""), UNKNOWN))
    if isinstance(values, str) and not is_runtime(values):
        values = _json(values)
    return iterations * len(values) if isinstance(values, list) else None


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return None


def _as_text(value: Any, placeholder: str) -> str:
    import json

    if value is None:
        return ""
    if isinstance(value, str):
        return placeholder if value == UNKNOWN else value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)
