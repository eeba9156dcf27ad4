"""What AutoML tabular training asks for: its inputs checked, and as the local engine's config.

AutoMlTablesInputs (google-cloud-aiplatform 1.165.1), and the limits of "AutoML tabular" in the documentation
of 2026-08-22.
"""

from typing import Any

from google.cloud import aiplatform_v1 as v1

_OBJECTIVES = {
    "classification": (
        "maximize-au-roc",
        "minimize-log-loss",
        "maximize-au-prc",
        "maximize-precision-at-recall",
        "maximize-recall-at-precision",
    ),
    "regression": ("minimize-rmse", "minimize-mae", "minimize-rmsle"),
}
_KINDS = ("auto", "numeric", "categorical", "timestamp", "text")
_ARRAYS = ("repeatedNumeric", "repeatedCategorical", "repeatedText")
_LEAST_BUDGET, _MOST_BUDGET = 1_000, 72_000
_LEAST_COLUMNS, _MOST_COLUMNS = 2, 1_000


class AutoMLTabular:
    """`automl_tabular_1.0.0.yaml`; an `AutoMLKind`."""

    module = "train"

    def check(self, inputs: dict[str, Any], columns: list[str] | None) -> None:
        """As in `AutoMLKind`."""
        if columns is None:
            raise ValueError("input_data_config.dataset_id: expected a tabular Dataset")
        where = "training_task_inputs"
        kind, target = inputs.get("predictionType"), inputs.get("targetColumn")
        if kind not in _OBJECTIVES:
            raise ValueError(f"{where}.predictionType {kind!r}: expected one of {', '.join(_OBJECTIVES)}")
        if _objective(inputs) not in ("", *_OBJECTIVES[kind]):
            known = ", ".join(_OBJECTIVES[kind])
            raise ValueError(
                f"{where}.optimizationObjective {_objective(inputs)!r}: for {kind} expected one of {known}"
            )
        for name, objective in (("Recall", "precision-at-recall"), ("Precision", "recall-at-precision")):
            value = inputs.get(f"optimizationObjective{name}Value", -1)
            if _objective(inputs) == f"maximize-{objective}" and not 0 <= float(value) <= 1:
                raise ValueError(f"{where}.optimizationObjective{name}Value: expected 0 to 1")
        budget = inputs.get("trainBudgetMilliNodeHours", 0)
        if not _LEAST_BUDGET <= float(budget) <= _MOST_BUDGET:
            raise ValueError(
                f"{where}.trainBudgetMilliNodeHours {float(budget):g}: expected {_LEAST_BUDGET} to"
                f" {_MOST_BUDGET}"
            )
        if inputs.get("exportEvaluatedDataItemsConfig"):
            raise ValueError(
                f"{where}.exportEvaluatedDataItemsConfig: local Vertex exports no evaluated items to BigQuery"
            )
        _check_transformations(inputs, columns, where)
        if target not in columns:
            raise ValueError(_no_column(f"{where}.targetColumn", target, columns))
        weight = inputs.get("weightColumnName")
        if weight and weight not in columns:
            raise ValueError(_no_column(f"{where}.weightColumnName", weight, columns))

    def config(self, inputs: dict[str, Any], data: v1.InputDataConfig) -> dict[str, Any]:
        """As in `AutoMLKind`: see `automl.train.Config`."""
        return {
            "target": inputs["targetColumn"],
            "kind": inputs["predictionType"],
            "objective": _objective(inputs),
            "columns": _columns(inputs),
            "weight": inputs.get("weightColumnName", ""),
            "recall": float(inputs.get("optimizationObjectiveRecallValue", 0)),
            "precision": float(inputs.get("optimizationObjectivePrecisionValue", 0)),
            "has_folds": "predefined_split" not in data and "timestamp_split" not in data,
            "stops_early": not inputs.get("disableEarlyStopping"),
        }

    def hours(self, inputs: dict[str, Any]) -> float:
        """As in `AutoMLKind`."""
        return float(inputs["trainBudgetMilliNodeHours"]) / 1000

    def metrics_schema(self, inputs: dict[str, Any]) -> str:
        """As in `AutoMLKind`."""
        return f"{inputs['predictionType']}_metrics_1.0.0.yaml"


def _objective(inputs: dict[str, Any]) -> str:
    """The objective; of a classification "", when nothing is said: the number of classes then decides."""
    default = {"classification": "", "regression": "minimize-rmse"}
    return str(inputs.get("optimizationObjective") or default[inputs["predictionType"]])


def _columns(inputs: dict[str, Any]) -> dict[str, str]:
    """Kind of each feature column."""
    found = {}
    for transformation in inputs.get("transformations") or []:
        ((kind, options),) = transformation.items()
        found[options.get("columnName") or options.get("column_name") or ""] = kind
    return found


def _check_transformations(inputs: dict[str, Any], columns: list[str], where: str) -> None:
    for number, transformation in enumerate(inputs.get("transformations") or []):
        at = f"{where}.transformations[{number}]"
        ((kind, options),) = transformation.items() if _is_one(transformation) else (("", None),)
        if not isinstance(options, dict):
            raise ValueError(f"{at}: expected one of {', '.join(_KINDS)} with a columnName")
        if kind in _ARRAYS:
            raise ValueError(f"{at}: {kind} is for arrays, which a CSV file has none of")
        if kind not in _KINDS:
            raise ValueError(f"{at}: {kind!r}; expected one of {', '.join(_KINDS)}")
        name = options.get("columnName") or options.get("column_name")
        if name not in columns:
            raise ValueError(_no_column(f"{at}.{kind}.columnName", name, columns))
        if name == inputs.get("targetColumn"):
            raise ValueError(f"{at}.{kind}.columnName {name!r}: is the target column")
    count = len(_columns(inputs)) + 1
    if not _LEAST_COLUMNS <= count <= _MOST_COLUMNS:
        raise ValueError(
            f"{where}.transformations: {count} columns with the target; expected {_LEAST_COLUMNS} to"
            f" {_MOST_COLUMNS:,}"
        )


def _is_one(transformation: Any) -> bool:
    return isinstance(transformation, dict) and len(transformation) == 1


def _no_column(field: str, name: Any, columns: list[str]) -> str:
    return f"{field} {name!r}: no such column in the Dataset; there are: {', '.join(columns[:20])}"
