"""Versions in the model registry that a run put there."""

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainwright.errors import UserError
from trainwright.vertex.errors import Unreachable, google_errors

if TYPE_CHECKING:
    from trainwright.vertex.runs import Artifact, Run

MODEL_SCHEMA = "google.VertexModel"
_MODEL_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/models/[^/]+")


@dataclass(frozen=True)
class Version:
    """A version of a model: `projects/…/models/ID@VERSION`, the model's display name and its aliases."""

    name: str
    model: str
    number: str
    aliases: tuple[str, ...]

    @property
    def is_default(self) -> bool:
        """Whether it is the one that is in use."""
        return "default" in self.aliases


def version_name(artifact: "Artifact") -> str:
    """The resource name, with its version if it is known, that a google.VertexModel artifact stands for."""
    name = str(artifact.metadata.get("resourceName") or artifact.uri.partition("/v1/")[2] or artifact.uri)
    version = artifact.metadata.get("modelVersionId") or artifact.metadata.get("versionId")
    return name if "@" in name or not version else f"{name}@{version}"


def registered(run: "Run") -> dict[str, Version]:
    """Looks up the versions that a run's tasks put out, by name; one that is gone is not among them."""
    names = {
        version_name(artifact)
        for task in run.tasks
        for artifacts in task.artifacts.values()
        for artifact in artifacts
        if artifact.schema == MODEL_SCHEMA
    }
    found: dict[str, Version] = {}
    for name in sorted(name for name in names if _MODEL_NAME.fullmatch(name)):
        with contextlib.suppress(UserError, Unreachable):
            found[name] = _version(name)
    return found


def _version(name: str) -> Version:
    with google_errors(name):
        from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient

        location = name.split("/")[3]
        client = ModelServiceClient(client_options={"api_endpoint": f"{location}-aiplatform.googleapis.com"})
        model = client.get_model(name=name, timeout=60.0)
        return Version(name, model.display_name, model.version_id, tuple(model.version_aliases))
