"""When a task need not run: the key of its result."""

import hashlib
import json
from typing import Any

from trainwright.local.engine.dialect import Dialect
from trainwright.local.engine.outcomes import Inputs
from trainwright.local.engine.spec import Component, Container, Task


def fingerprint(
    pipeline: str,
    task: Task,
    component: Component,
    container: Container,
    inputs: Inputs,
    dialect: Dialect,
) -> str:
    """The key of a task's result in the cache.

    As Vertex AI documents it ("Configure execution caching", 2026-08-22): the inputs' values and artifact
    ids, the output definitions, and image, command, arguments and environment of the component, within
    pipelines of the same name. Open-source KFP leaves the environment out (kubeflow/pipelines,
    backend/src/v2/cacheutils/cache.go, 2026-08-21). An own cache key (`set_caching_options(cache_key=...)`)
    stands for all of that but the pipeline and the component.

    Args:
        pipeline: The pipeline's name.
        task: May have an own cache key.
        component: Its outputs.
        container: Its command, with placeholders as they are written.
        inputs: Resolved inputs.
        dialect: Whose key.
    """
    if task.cache_key:
        return _hash([pipeline, component.name, task.cache_key])
    content: dict[str, Any] = {
        "pipeline": pipeline,
        "parameters": {
            name: value
            for name, value in {**inputs.defaults, **inputs.parameters}.items()
            if not _is_configuration(component, name)
        },
        "artifacts": {name: [item.name for item in items] for name, items in inputs.artifacts.items()},
        "outputParameters": {name: item.type for name, item in component.output_parameters.items()},
        "outputArtifacts": {
            name: [item.schema_title, item.schema_version, dict(item.metadata)]
            for name, item in component.output_artifacts.items()
        },
        "image": container.image,
        "command": container.command,
        "args": container.args,
    }
    if dialect is Dialect.VERTEX:
        content["env"] = container.environment
    return _hash(content)


def entry(key: str) -> str:
    """The name of the store's record for a key."""
    return f"cache/{key}"


def _is_configuration(component: Component, name: str) -> bool:
    # Where a task runs is no part of what it computes.
    definition = component.input_parameters.get(name)
    return definition is not None and definition.type == "TASK_CONFIG"


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
