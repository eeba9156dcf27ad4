"""Reading what a task that exited with 0 left behind.

executor_output.json wins; a parameter that it lacks is read from its file. (kubeflow/pipelines,
backend/src/v2/component/launcher_v2.go, 2026-08-21.)
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwright.local.engine.names import OutsideStorage, item_name, local_path
from trainwright.local.engine.outcomes import Artifact, Outputs
from trainwright.local.engine.pipeline_run import PipelineRun
from trainwright.local.engine.spec import Component
from trainwright.local.engine.values import WrongType, checked, normalise, parsed

# Vertex AI, "Quotas and limits", 2026-08-22: JSON of a task's output parameters and artifacts.
MAX_OUTPUT_BYTES = 131_072
# Of an official op: what it made on Google Cloud. One that makes nothing may declare it and not write it, as
# GetVertexDatasetOp does (google-cloud-pipeline-components 2.22.0).
_RESOURCES = "gcp_resources"


class BadOutput(ValueError):
    """A task exited with 0 but an output is missing, malformed or too large. The task fails."""


def collect(
    run: PipelineRun,
    path: str,
    component: Component,
    executor_input: Mapping[str, Any],
    artifacts: Mapping[str, Artifact],
    storage: Path,
    scratch: Path | None,
) -> Outputs:
    """The outputs of a task.

    Args:
        run: The run.
        path: The task's path in it; both name the artifacts of a list.
        component: Declares the outputs.
        executor_input: Says where they were to be written.
        artifacts: The artifacts as they were planned.
        storage: The folder in which each bucket is a folder.
        scratch: The task's working directory, which a relative custom path starts from; None if it ran in a
            container, whose files are gone.

    Raises:
        BadOutput: An output cannot be had.
    """
    written = _executor_output(Path(executor_input["outputs"]["outputFile"]))
    values = written.get("parameterValues") or {}
    runtime = written.get("artifacts") or {}
    if not isinstance(values, dict) or not isinstance(runtime, dict):
        raise BadOutput("executor_output.json: parameterValues and artifacts have to be maps")
    parameters = {}
    for name, definition in component.output_parameters.items():
        try:
            if values.get(name) is not None:
                parameters[name] = checked(values[name], definition.type)
            else:
                file = Path(executor_input["outputs"]["parameters"][name]["outputFile"])
                if name == _RESOURCES and not file.exists():
                    continue
                parameters[name] = parsed(_content(file, name), definition.type)
        except WrongType as error:
            raise BadOutput(f"output {name!r}: {error}") from None
    made = {}
    for name, artifact in artifacts.items():
        items = _items(runtime.get(name), name)
        if component.output_artifacts[name].is_list:
            planned = [
                dataclasses.replace(artifact, name=item_name(run, path, name, index))
                for index in range(len(items))
            ]
            made[name] = tuple(
                _artifact(item, written, storage, scratch)
                for item, written in zip(planned, items, strict=True)
            )
        else:
            made[name] = (_artifact(artifact, items[0], storage, scratch) if items else artifact,)
    outputs = Outputs(parameters, made)
    size = len(
        json.dumps([parameters, [[item.runtime() for item in items] for items in made.values()]]).encode()
    )
    if size > MAX_OUTPUT_BYTES:
        raise BadOutput(
            f"its outputs take {size:,} bytes; Vertex AI allows {MAX_OUTPUT_BYTES:,} bytes for a task's "
            "output parameters and artifacts: write large values to an artifact"
        )
    return outputs


def _executor_output(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadOutput(f"executor_output.json is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise BadOutput("executor_output.json is no JSON object")
    return content


def _content(path: Path, name: str) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise BadOutput(f"output {name!r} was not written") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadOutput(f"output {name!r} cannot be read: {error}") from None


def _items(written: Any, name: str) -> list[dict[str, Any]]:
    items = written.get("artifacts") if isinstance(written, dict) else None
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadOutput(f"executor_output.json: artifact {name!r} is malformed")
    return items


def _artifact(planned: Artifact, found: Mapping[str, Any], storage: Path, scratch: Path | None) -> Artifact:
    try:
        metadata = normalise({**planned.metadata, **(found.get("metadata") or {})})
    except (TypeError, WrongType) as error:
        raise BadOutput(f"metadata of artifact {planned.display_name!r}: {error}") from None
    found_type = found.get("type")
    kind: dict[str, Any] = found_type if isinstance(found_type, dict) else {}
    artifact = dataclasses.replace(
        planned,
        uri=_uri(str(found.get("uri") or planned.uri), storage),
        metadata=metadata,
        schema_title=kind.get("schemaTitle") or planned.schema_title,
        schema_version=kind.get("schemaVersion") or planned.schema_version,
    )
    custom = found.get("customPath") or found.get("custom_path")
    if custom and scratch is None:
        raise BadOutput(
            f"artifact {artifact.display_name!r}: its custom path {str(custom)!r} is in the container, which"
            " is not copied from: write to artifact.path instead"
        )
    if custom and scratch is not None:
        _copy(scratch / str(custom), artifact, storage)
    return artifact


def _uri(uri: str, storage: Path) -> str:
    prefix = f"{storage}/"
    return f"gs://{uri.removeprefix(prefix)}" if uri.startswith(prefix) else uri


def _copy(source: Path, artifact: Artifact, storage: Path) -> None:
    try:
        target = local_path(storage, artifact.uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    except (OSError, OutsideStorage) as error:
        raise BadOutput(
            f"artifact {artifact.display_name!r} cannot be copied from its custom path: {error}"
        ) from None
