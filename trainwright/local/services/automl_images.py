"""What AutoML image classification asks for: its inputs checked, and as the local engine's config.

AutoMlImageClassificationInputs (google-cloud-aiplatform 1.165.1), and the limits of "AutoML image
classification" in the documentation of 2026-08-22.
"""

from typing import Any

from google.cloud import aiplatform_v1 as v1

_LEAST_BUDGET, _MOST_BUDGET, _DEFAULT_BUDGET = 8_000, 800_000, 192_000


class AutoMLImages:
    """`automl_image_classification_1.0.0.yaml`, one label an image; an `AutoMLKind`."""

    module = "train_images"

    def check(self, inputs: dict[str, Any], columns: list[str] | None) -> None:
        """As in `AutoMLKind`. The model type is not looked at: here there is one."""
        if columns is not None:
            raise ValueError("input_data_config.dataset_id: expected an image Dataset")
        if inputs.get("multiLabel"):
            raise ValueError("training_task_inputs.multiLabel: local Vertex trains single-label models only")
        for field in ("baseModelId", "uptrainBaseModelId"):
            if inputs.get(field):
                raise ValueError(f"training_task_inputs.{field}: local Vertex trains from the beginning only")
        budget = float(inputs.get("budgetMilliNodeHours", _DEFAULT_BUDGET))
        if not _LEAST_BUDGET <= budget <= _MOST_BUDGET:
            raise ValueError(
                f"training_task_inputs.budgetMilliNodeHours {budget:g}: expected {_LEAST_BUDGET} to"
                f" {_MOST_BUDGET}"
            )

    def config(self, inputs: dict[str, Any], data: v1.InputDataConfig) -> dict[str, Any]:
        """As in `AutoMLKind`: the engine needs nothing else."""
        return {}

    def hours(self, inputs: dict[str, Any]) -> float:
        """As in `AutoMLKind`."""
        return float(inputs.get("budgetMilliNodeHours", _DEFAULT_BUDGET)) / 1000

    def metrics_schema(self, inputs: dict[str, Any]) -> str:
        """As in `AutoMLKind`."""
        return "classification_metrics_1.0.0.yaml"
