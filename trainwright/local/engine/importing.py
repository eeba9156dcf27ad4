"""Importers: an artifact of something that exists already."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from trainwright.local.engine.inputs import InputError
from trainwright.local.engine.names import in_workspace, local_path
from trainwright.local.engine.outcomes import IN_WORKSPACE, Artifact, Inputs
from trainwright.local.engine.placeholders import PlaceholderError, resolved
from trainwright.local.engine.spec import Importer
from trainwright.local.engine.values import text


def imported(importer: Importer, name: str, inputs: Inputs, names: Mapping[str, str]) -> Artifact:
    """The artifact that an importer makes.

    Args:
        importer: What to import.
        name: The artifact's resource name, if it is new.
        inputs: The importer task's inputs.
        names: Values of placeholders.

    Raises:
        InputError: The URI is empty, or a placeholder stands for nothing.
    """
    parameters = {**inputs.defaults, **inputs.parameters}

    def sibling(other: str) -> object:
        if parameters.get(other) is None:
            raise PlaceholderError(f"input {other!r} has no value")
        return parameters[other]

    try:
        uri = text(sibling(importer.uri_parameter)) if importer.uri_parameter else importer.uri
        uri = resolved(uri, names, sibling) if not importer.uri_parameter else uri
        metadata = resolved(dict(importer.metadata), names, sibling)
    except PlaceholderError as error:
        raise InputError(str(error)) from None
    if not uri:
        raise InputError("the URI to import is empty")
    if importer.to_workspace:
        metadata |= {IN_WORKSPACE: True}
    return Artifact(
        name, uri, importer.schema_title, importer.schema_version, metadata, display_name="artifact"
    )


def download(uri: str, workspace: Path, storage: Path) -> None:
    """Copies what is imported into the run's workspace (kfp.dsl.importer, `download_to_workspace`).

    Args:
        uri: gs://BUCKET/OBJECT of local storage, or an absolute path.
        workspace: The run's workspace.
        storage: The folder in which each bucket is a folder.

    Raises:
        InputError: There is nothing at the URI.
        OutsideStorage: It is not in local storage.
        OSError: It cannot be copied.
    """
    source, target = local_path(storage, uri), in_workspace(workspace, storage, uri)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        raise InputError(f"downloadToWorkspace: there is nothing at {uri!r}")


def identity(artifact: Artifact) -> str:
    """The record under which an import is remembered, to be reused by an importer with `reimport` false.

    The same is what has the same type, URI and metadata (kubeflow/pipelines,
    backend/src/v2/component/importer_launcher.go, 2026-08-21).
    """
    content = [artifact.schema_title, artifact.schema_version, artifact.uri, dict(artifact.metadata)]
    return f"cache/import/{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"
