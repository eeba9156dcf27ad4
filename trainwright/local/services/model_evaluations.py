"""`google.cloud.aiplatform.v1.ModelService`, the part for evaluations of models and their slices.

An evaluation belongs to a version of a model: `…/models/ID@N/evaluations/E`, a slice to an evaluation. What
names them may leave the version out, which means the default one.
"""

import re
import time
from typing import Any

from google.api_core.exceptions import InvalidArgument
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.models import Models
from trainwright.local.services.names import new_id
from trainwright.local.services.resources import Resources, timestamp
from trainwright.local.store import Store

_NAME = re.compile(r"(?P<model>.+/models/[^/]+)(?P<rest>/evaluations/[^/]+(?:/slices/[^/]+)?)")
# As the launcher of Google Cloud Pipeline Components 2.22.0 says (import_model_evaluation.py).
_MOST_SLICES = 50


class ModelEvaluations:
    """Imports and shows evaluations, their slices, and the annotations that were evaluated."""

    def __init__(self, *, store: Store, models: Models) -> None:
        self._store = store
        self._models = models
        self._evaluations: Resources[v1.ModelEvaluation] = Resources(
            store, "modelEvaluation", v1.ModelEvaluation
        )
        self._slices: Resources[v1.ModelEvaluationSlice] = Resources(
            store, "modelEvaluationSlice", v1.ModelEvaluationSlice
        )

    def import_model_evaluation(
        self, request: v1.ImportModelEvaluationRequest, context: Any
    ) -> v1.ModelEvaluation:
        """Records an evaluation of a version.

        Raises:
            NotFound: There is no such model.
            InvalidArgument: It has no metrics, or no schema for them.
        """
        evaluation = request.model_evaluation
        _check_metrics(evaluation, "model_evaluation")
        evaluation.name = f"{self._version(request.parent)}/evaluations/{new_id()}"
        evaluation.create_time = timestamp(time.time())
        self._evaluations.save(evaluation.name, evaluation)
        return evaluation

    def get_model_evaluation(self, request: v1.GetModelEvaluationRequest, context: Any) -> v1.ModelEvaluation:
        """The evaluation of that name."""
        return self._evaluations.get(self._canonical(request.name))

    def list_model_evaluations(
        self, request: v1.ListModelEvaluationsRequest, context: Any
    ) -> v1.ListModelEvaluationsResponse:
        """The evaluations of a version, newest first."""
        evaluations = self._evaluations.all(f"{self._version(request.parent)}/evaluations/")
        found, token = self._evaluations.page(evaluations, request)
        return v1.ListModelEvaluationsResponse(model_evaluations=found, next_page_token=token)

    def batch_import_model_evaluation_slices(
        self, request: v1.BatchImportModelEvaluationSlicesRequest, context: Any
    ) -> v1.BatchImportModelEvaluationSlicesResponse:
        """Records slices of an evaluation, all or none.

        Raises:
            NotFound: There is no such evaluation.
            InvalidArgument: There are none or too many, or one has no metrics.
        """
        parent = self._evaluations.get(self._canonical(request.parent)).name
        slices = request.model_evaluation_slices
        if not 0 < len(slices) <= _MOST_SLICES:
            raise InvalidArgument(f"model_evaluation_slices: {len(slices)}; expected 1 to {_MOST_SLICES}")
        now = timestamp(time.time())
        for number, part in enumerate(slices):
            _check_metrics(part, f"model_evaluation_slices[{number}]")
            part.name, part.create_time = f"{parent}/slices/{new_id()}", now
        self._store.write_many(
            (part.name, "modelEvaluationSlice", v1.ModelEvaluationSlice.serialize(part)) for part in slices
        )
        return v1.BatchImportModelEvaluationSlicesResponse(
            imported_model_evaluation_slices=[part.name for part in slices]
        )

    def get_model_evaluation_slice(
        self, request: v1.GetModelEvaluationSliceRequest, context: Any
    ) -> v1.ModelEvaluationSlice:
        """The slice of that name."""
        return self._slices.get(self._canonical(request.name))

    def list_model_evaluation_slices(
        self, request: v1.ListModelEvaluationSlicesRequest, context: Any
    ) -> v1.ListModelEvaluationSlicesResponse:
        """The slices of an evaluation, newest first."""
        parent = self._evaluations.get(self._canonical(request.parent)).name
        found, token = self._slices.page(self._slices.all(f"{parent}/slices/"), request)
        return v1.ListModelEvaluationSlicesResponse(model_evaluation_slices=found, next_page_token=token)

    def batch_import_evaluated_annotations(
        self, request: v1.BatchImportEvaluatedAnnotationsRequest, context: Any
    ) -> v1.BatchImportEvaluatedAnnotationsResponse:
        """Records annotations that were evaluated for a slice, all or none.

        Raises:
            NotFound: There is no such slice.
        """
        parent = self._slices.get(self._canonical(request.parent)).name
        annotations = request.evaluated_annotations
        self._store.write_many(
            (
                f"{parent}/annotations/{new_id()}",
                "evaluatedAnnotation",
                v1.EvaluatedAnnotation.serialize(annotation),
            )
            for annotation in annotations
        )
        return v1.BatchImportEvaluatedAnnotationsResponse(
            imported_evaluated_annotations_count=len(annotations)
        )

    def _version(self, name: str) -> str:
        model = self._models.resolve(name)
        return f"{model.name}@{model.version_id}"

    def _canonical(self, name: str) -> str:
        found = _NAME.fullmatch(name)
        if not found:
            raise InvalidArgument(f"resource name {name!r}: expected …/models/MODEL/evaluations/EVALUATION")
        return f"{self._version(found['model'])}{found['rest']}"


def _check_metrics(part: v1.ModelEvaluation | v1.ModelEvaluationSlice, where: str) -> None:
    if not type(part).pb(part).HasField("metrics"):
        raise InvalidArgument(f"{where}.metrics: empty; expected the metrics of {where}.metrics_schema_uri")
    if not part.metrics_schema_uri:
        raise InvalidArgument(f"{where}.metrics_schema_uri: empty; expected the schema of the metrics")
