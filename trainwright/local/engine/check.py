"""What can be known of a run before it starts."""

import json
from collections.abc import Callable
from pathlib import Path

from trainwright.local.engine.dialect import Dialect
from trainwright.local.engine.fields import nearest
from trainwright.local.engine.inputs import InputError, complete
from trainwright.local.engine.names import OutsideStorage, local_path, run_values, task_values
from trainwright.local.engine.outcomes import Artifact, Inputs
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.reading import read
from trainwright.local.engine.resources import ResourceError
from trainwright.local.engine.spec import Component, Container, Spec
from trainwright.local.engine.values import WrongType, checked


class BadRun(ValueError):
    """A run that cannot start: a parameter, an artifact or a field of it is wrong. One line."""


def prepared(
    run: PipelineRun, artifact: Callable[[str], Artifact | None], workspace_path: str = ""
) -> tuple[Spec, Inputs]:
    """Reads and checks a run.

    Args:
        run: The run.
        artifact: Finds an artifact by its resource name.
        workspace_path: The run's workspace, for placeholders in defaults.

    Returns:
        The spec and the root's inputs, with defaults.

    Raises:
        ValueError: In one line: where, what was found, what was expected.
    """
    try:
        return _prepared(run, artifact, workspace_path)
    except ValueError as error:
        line = " ".join(str(error).split())
        raise BadRun(line if len(line) <= 500 else f"{line[:400]} ... {line[-95:]}") from None


def _prepared(
    run: PipelineRun, artifact: Callable[[str], Artifact | None], workspace_path: str
) -> tuple[Spec, Inputs]:
    _check_json("pipeline spec", run.spec)
    _check_json("parameters", run.parameters)
    spec = read(run.spec)
    _check_resources(spec, run.dialect)
    if run.failure_policy not in {"FAIL_SLOW", "FAIL_FAST"}:
        raise BadRun(f"failure_policy: found {run.failure_policy!r}, expected FAIL_SLOW or FAIL_FAST")
    try:
        local_path(Path("/"), run.pipeline_root)
    except OutsideStorage as error:
        raise BadRun(f"pipeline root: {error}") from None
    parameters = _parameters(run, spec.root)
    artifacts = _artifacts(run, spec.root, artifact)
    names = run_values(run, workspace_path) | task_values(run, spec.name, "")
    try:
        return spec, complete(spec.root, parameters, artifacts, names)
    except InputError as error:
        raise BadRun(str(error)) from None


def _check_json(what: str, value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:  # half a surrogate pair cannot be encoded
        raise BadRun(f"{what}: no JSON: {error}") from None


def _check_resources(spec: Spec, dialect: Dialect) -> None:
    for component in spec.components.values():
        executor = spec.executors.get(component.executor)
        if isinstance(executor, Container) and component.applies("RESOURCES"):
            try:
                executor.resources.check(dialect)
            except ResourceError as error:
                where = f"deploymentSpec.executors.{component.executor}.container.resources"
                raise BadRun(f"{where}.{error}") from None


def _parameters(run: PipelineRun, root: Component) -> dict[str, object]:
    known = root.input_parameters
    for name in run.parameters:
        if name not in known:
            none = "" if known else "; the pipeline takes no parameters"
            raise BadRun(f"parameter {name!r}: unknown{nearest(name, known)}{none}")
    given = {}
    for name, definition in known.items():
        value = run.parameters.get(name)
        if value is None:
            if not definition.optional:
                raise BadRun(f"parameter {name!r}: missing ({definition.type})")
            continue
        try:
            given[name] = checked(value, definition.type)
        except WrongType as error:
            raise BadRun(f"parameter {name!r}: {error}") from None
        if definition.literals and given[name] not in definition.literals:
            raise BadRun(f"parameter {name!r}: {value!r} is none of {list(definition.literals)}")
    return given


def _artifacts(
    run: PipelineRun, root: Component, artifact: Callable[[str], Artifact | None]
) -> dict[str, tuple[Artifact, ...]]:
    known = root.input_artifacts
    for name in run.input_artifacts:
        if name not in known:
            raise BadRun(f"input artifact {name!r}: unknown{nearest(name, known)}")
    found: dict[str, tuple[Artifact, ...]] = {}
    store = f"projects/{run.project_number}/locations/{run.location}/metadataStores/default"
    for name, definition in known.items():
        given = run.input_artifacts.get(name)
        if given is None:
            if not definition.optional:
                raise BadRun(f"input artifact {name!r}: missing ({definition.schema_title})")
            continue
        item = artifact(given if "/" in given else f"{store}/artifacts/{given}")
        if item is None:
            raise BadRun(f"input artifact {name!r}: there is no artifact {given!r}")
        found[name] = (item,)
    return found
