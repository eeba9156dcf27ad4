"""`google.cloud.aiplatform.v1.ModelService`, the part that writes models to Cloud Storage."""

import hashlib
import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.api_core.exceptions import FailedPrecondition, InvalidArgument, MethodNotImplemented
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.models import Models
from trainwright.local.services.operations import Operations
from trainwright.local.storage.directories import copy_directory, folder_of


class ModelExports:
    """Copies the artifacts of a model to a directory of their own.

    Args:
        models: Knows the models.
        operations: An export is one that takes time.
        state: The state folder.
    """

    def __init__(self, *, models: Models, operations: Operations, state: Path) -> None:
        self._models = models
        self._operations = operations
        self._gcs_root = state / "storage"
        self._staging = state / "work" / "exports"
        operations.register("exportModel", self._export)

    def export_model(self, request: v1.ExportModelRequest, context: Any) -> Any:
        """Begins to copy the artifacts of a version.

        Raises:
            NotFound: There is no such model.
            InvalidArgument: The format or the destination is not valid.
            FailedPrecondition: The model has no artifacts.
            MethodNotImplemented: Its image is to be exported.
        """
        model = self._models.resolve(request.name)
        config = request.output_config
        formats = {known.id for known in model.supported_export_formats}
        if config.image_destination.output_uri:
            raise MethodNotImplemented("output_config.image_destination: local Vertex AI has no registry")
        if not formats:
            raise FailedPrecondition(f"Model {model.name!r} cannot be exported: it has no artifact_uri")
        if config.export_format_id and config.export_format_id not in formats:
            known = ", ".join(sorted(formats))
            raise InvalidArgument(
                f"output_config.export_format_id {config.export_format_id!r}: expected {known}"
            )
        now = datetime.now(UTC)
        title = re.sub(r"[^A-Za-z0-9_-]", "_", model.display_name)
        # Reference of ExportModelRequest.OutputConfig.artifact_destination (1.165.1).
        name = f"model-export-{title}-{now.strftime('%Y-%m-%dT%H:%M:%S')}.{now.microsecond // 1000:03d}Z"
        target = f"{config.artifact_destination.output_uri_prefix.rstrip('/')}/{name}"
        try:
            folder_of(self._gcs_root, target)
        except ValueError as error:
            raise InvalidArgument(f"output_config.artifact_destination: {error}") from None
        metadata = v1.ExportModelOperationMetadata(
            output_info=v1.ExportModelOperationMetadata.OutputInfo(artifact_output_uri=target)
        )
        asked = json.dumps({"source": model.artifact_uri, "target": target}).encode()
        return self._operations.begin(model.name, "exportModel", asked, metadata)

    def _export(self, asked: bytes, cancelled: threading.Event) -> v1.ExportModelResponse:
        """The work of exportModel."""
        told = json.loads(asked)
        try:
            self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging = self._staging / hashlib.sha256(asked).hexdigest()[:24]
            copy_directory(self._gcs_root, told["source"], told["target"], staging)
        except (OSError, ValueError) as error:
            raise FailedPrecondition(f"The model was not exported: {error}") from None
        return v1.ExportModelResponse()
