"""Hyperparameter tuning of the tabular trainer."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics

from trainwright.authoring.images import PYTHON_IMAGE
from trainwright.authoring.search_spaces import Double, Integer, study_spec_parameters
from trainwright.components.training.custom import XGBOOST_TABULAR
from trainwright.components.tuning.hyperparameters import tune_hyperparameters

# ruff: noqa: B006 - KFP reads the defaults, nothing changes them

SEARCH_SPACE = study_spec_parameters(
    {
        "learning_rate": Double(0.01, 0.3, scale="log"),
        "max_depth": Integer(2, 8),
        "min_child_weight": Double(0.5, 50.0, scale="log"),
        "subsample": Double(0.5, 1.0),
        "colsample_bytree": Double(0.4, 1.0),
        "reg_lambda": Double(0.1, 100.0, scale="log"),
    }
)
"""Where good values of the trainer's hyperparameters lie for tables of some thousand rows and more."""


@dsl.component(base_image=PYTHON_IMAGE)
def xgboost_tabular_study(
    train: Input[Dataset],
    validation: Input[Dataset],
    transform: Input[Artifact],
    search_space: list,
    metric: str,
) -> NamedTuple(  # type: ignore[valid-type]
    "XgboostTabularStudy",
    [("train_uri", str), ("validation_uri", str), ("transform_uri", str), ("metric_id", str), ("goal", str)],
):
    """Says how the tabular trainer is tuned: by which of its metrics, and on which data.

    Args:
        train: Rows to train on.
        validation: Rows to stop and to compare by.
        transform: The fitted feature transform.
        search_space: As of `tune_hyperparameters`.
        metric: "logloss" or "auc".

    Returns:
        The URIs of the data; `metric_id`, as the trainer reports the metric, and its `goal`.

    Raises:
        ValueError: The metric is none of the trainer's, or a parameter none of its hyperparameters.
    """
    import difflib

    goals = {"logloss": "MINIMIZE", "auc": "MAXIMIZE"}
    if metric not in goals:
        raise ValueError(f"metric {metric!r}: expected {' or '.join(goals)}")
    tuned = ["max_depth", "learning_rate", "min_child_weight", "subsample", "colsample_bytree", "reg_lambda"]
    tuned += ["rounds"]
    pending = list(search_space)
    while pending:
        spec = pending.pop()
        name = spec.get("parameter_id") or spec.get("parameterId") or ""
        if name not in tuned:
            nearest = difflib.get_close_matches(name, tuned, 1, 0)
            raise ValueError(
                f"search_space: {name!r} is no hyperparameter of the tabular trainer; nearest: {nearest[0]!r}"
            )
        children = spec.get("conditional_parameter_specs") or spec.get("conditionalParameterSpecs") or []
        pending += [child.get("parameter_spec") or child["parameterSpec"] for child in children]
    return (train.uri, validation.uri, transform.uri, f"validation_{metric}", goals[metric])


@dsl.component(base_image=PYTHON_IMAGE)
def xgboost_tabular_hyperparameters(
    best: dict,
    max_depth: int,
    learning_rate: float,
    min_child_weight: float,
    subsample: float,
    colsample_bytree: float,
    reg_lambda: float,
    rounds: int,
) -> NamedTuple(  # type: ignore[valid-type]
    "XgboostTabularHyperparameters",
    [
        ("max_depth", int),
        ("learning_rate", float),
        ("min_child_weight", float),
        ("subsample", float),
        ("colsample_bytree", float),
        ("reg_lambda", float),
        ("rounds", int),
    ],
):
    """Splits the best hyperparameters into typed values, as `train_xgboost_tabular` takes them.

    Args:
        best: `best_hyperparameters` of a tuning.
        max_depth: Where it was not tuned.
        learning_rate: Likewise.
        min_child_weight: Likewise.
        subsample: Likewise.
        colsample_bytree: Likewise.
        reg_lambda: Likewise.
        rounds: Likewise.

    Returns:
        Each by its name.
    """
    return (
        int(best.get("max_depth", max_depth)),
        float(best.get("learning_rate", learning_rate)),
        float(best.get("min_child_weight", min_child_weight)),
        float(best.get("subsample", subsample)),
        float(best.get("colsample_bytree", colsample_bytree)),
        float(best.get("reg_lambda", reg_lambda)),
        int(best.get("rounds", rounds)),
    )


class XgboostTabularTuning(NamedTuple):
    """What a tuning of the tabular trainer gives: the values to train with, and how they were found."""

    max_depth: int
    learning_rate: float
    min_child_weight: float
    subsample: float
    colsample_bytree: float
    reg_lambda: float
    rounds: int
    best_hyperparameters: dict
    best_metric: float
    best_trial: str
    trials: Dataset
    importance: dict
    report: HTML
    metrics: Metrics
    gcp_resources: str


@dsl.pipeline(
    name="tune-xgboost-tabular",
    description="Searches for the best hyperparameters of gradient-boosted trees for a label of two classes.",
)
def tune_xgboost_tabular(
    train: Input[Dataset],
    validation: Input[Dataset],
    transform: Input[Artifact],
    search_space: list = SEARCH_SPACE,
    max_depth: int = 3,
    learning_rate: float = 0.05,
    min_child_weight: float = 5.0,
    subsample: float = 0.8,
    colsample_bytree: float = 0.8,
    reg_lambda: float = 1.0,
    rounds: int = 1000,
    metric: str = "logloss",
    early_stopping_rounds: int = 50,
    checkpoint_every: int = 50,
    report_every: int = 10,
    seed: int = 0,
    max_trial_count: int = 30,
    parallel_trial_count: int = 2,
    max_failed_trial_count: int = 0,
    algorithm: str = "ALGORITHM_UNSPECIFIED",
    automated_stopping: str = "NONE",
    automated_stopping_settings: dict = {},
    study_stopping: dict = {},
    display_name: str = "tune-xgboost-tabular",
    machine_type: str = "e2-standard-4",
    strategy: str = "STANDARD",
    timeout: str = "86400s",
    max_wait_duration: str = "86400s",
    labels: dict = {},
) -> XgboostTabularTuning:
    """Searches for the best hyperparameters of gradient-boosted trees for a label of two classes.

    Each trial is a training as by `train_xgboost_tabular`: given the best values and the same of all else,
    that one trains the best trial's model again.

    Args:
        train: Prepared rows to train on, Parquet; see `prepare_features`.
        validation: Prepared rows that decide when to stop, and that the trials are compared on.
        transform: The fitted feature transform.
        search_space: What is searched, as of `tune_hyperparameters`: any of max_depth, learning_rate,
            min_child_weight, subsample, colsample_bytree, reg_lambda and rounds.
        max_depth: Levels of a tree, where it is not searched.
        learning_rate: Weight of each tree, likewise.
        min_child_weight: Least sum of the hessian in a leaf, likewise.
        subsample: Fraction of the rows that each tree sees, likewise.
        colsample_bytree: Fraction of the columns that each tree sees, likewise.
        reg_lambda: L2 penalty of the leaves, likewise.
        rounds: Most trees, likewise.
        metric: "logloss" or "auc" on the validation rows: what a trial stops by and is compared by.
        early_stopping_rounds: A trial ends after so many rounds without a better metric; 0: after its last.
        checkpoint_every: Rounds between two checkpoints, 1 or more.
        report_every: Rounds between two measurements of a trial, 1 or more.
        seed: Of every trial's random draws.
        max_trial_count: Trials in all, 1 or more.
        parallel_trial_count: Trials at a time; the fewer, the more each one learns from the others.
        max_failed_trial_count: Failed trials that the job bears; 0: the first one that fails ends the job.
        algorithm: "ALGORITHM_UNSPECIFIED" (Bayesian), "RANDOM_SEARCH" or "GRID_SEARCH" (not for doubles).
        automated_stopping: Which rule ends trials that promise little: "NONE", "MEDIAN", "DECAY_CURVE" or
            "CONVEX". They compare trials at the same number of trees, to the disadvantage of low
            learning rates.
        automated_stopping_settings: Of that rule; see `tune_hyperparameters`.
        study_stopping: When the study ends before its last trial; see `tune_hyperparameters`.
        display_name: Name of the job.
        machine_type: Machine of each trial.
        strategy: "STANDARD", "SPOT" or "FLEX_START" (Vertex AI API v1, `Scheduling.Strategy`).
        timeout: Longest time that a trial may run, in seconds with an "s".
        max_wait_duration: Longest time that a FLEX_START trial waits for its machine, likewise.
        labels: Of the job and its trials.

    Returns:
        The best hyperparameters by name, searched or not, to train with; and the outputs of
        `tune_hyperparameters`.
    """
    study = xgboost_tabular_study(
        train=train, validation=validation, transform=transform, search_space=search_space, metric=metric
    ).set_display_name("Describe the study")
    program = XGBOOST_TABULAR.container_spec(
        [
            f"--train={study.outputs['train_uri']}",
            f"--validation={study.outputs['validation_uri']}",
            f"--transform={study.outputs['transform_uri']}",
            f"--max_depth={max_depth}",
            f"--learning_rate={learning_rate}",
            f"--min_child_weight={min_child_weight}",
            f"--subsample={subsample}",
            f"--colsample_bytree={colsample_bytree}",
            f"--reg_lambda={reg_lambda}",
            f"--rounds={rounds}",
            f"--metric={metric}",
            f"--early_stopping_rounds={early_stopping_rounds}",
            f"--checkpoint_every={checkpoint_every}",
            f"--report_every={report_every}",
            f"--seed={seed}",
        ]
    )
    machine = {"machine_type": machine_type}
    tuning = tune_hyperparameters(
        worker_pool_specs=[{"machine_spec": machine, "replica_count": 1, "container_spec": program}],
        search_space=search_space,
        metric=study.outputs["metric_id"],
        goal=study.outputs["goal"],
        display_name=display_name,
        max_trial_count=max_trial_count,
        parallel_trial_count=parallel_trial_count,
        max_failed_trial_count=max_failed_trial_count,
        algorithm=algorithm,
        automated_stopping=automated_stopping,
        automated_stopping_settings=automated_stopping_settings,
        study_stopping=study_stopping,
        strategy=strategy,
        timeout=timeout,
        max_wait_duration=max_wait_duration,
        labels=labels,
    ).set_display_name("Tune")
    best = xgboost_tabular_hyperparameters(
        best=tuning.outputs["best_hyperparameters"],
        max_depth=max_depth,
        learning_rate=learning_rate,
        min_child_weight=min_child_weight,
        subsample=subsample,
        colsample_bytree=colsample_bytree,
        reg_lambda=reg_lambda,
        rounds=rounds,
    ).set_display_name("Take the best hyperparameters")
    return XgboostTabularTuning(
        max_depth=best.outputs["max_depth"],
        learning_rate=best.outputs["learning_rate"],
        min_child_weight=best.outputs["min_child_weight"],
        subsample=best.outputs["subsample"],
        colsample_bytree=best.outputs["colsample_bytree"],
        reg_lambda=best.outputs["reg_lambda"],
        rounds=best.outputs["rounds"],
        best_hyperparameters=tuning.outputs["best_hyperparameters"],
        best_metric=tuning.outputs["best_metric"],
        best_trial=tuning.outputs["best_trial"],
        trials=tuning.outputs["trials"],
        importance=tuning.outputs["importance"],
        report=tuning.outputs["report"],
        metrics=tuning.outputs["metrics"],
        gcp_resources=tuning.outputs["gcp_resources"],
    )
