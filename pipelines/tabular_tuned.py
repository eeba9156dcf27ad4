"""Tunes and retrains a classifier on a table and puts it into use if it beats the one that is.

 1. Note which files there are, so that the rest is served from the cache until they change.
 2. Ingest them into one Parquet dataset.
 3. Validate it against rules; the run ends here when one does not hold.
 4. Split it into train, validation and test rows.
 5. Prepare features: fitted on the train rows alone.
 6. Tune: a hyperparameter tuning job whose trials are compared on the validation rows.
 7. Train gradient-boosted trees with the best hyperparameters in a custom job.
 8. Predict the test rows with the new model, the challenger, and evaluate it: metrics, curves, slices.
 9. Report: one HTML page.
10. Find the champion, the default version in the model registry.
11. Predict and evaluate it on the same test rows, and compare the two. Without one, the challenger wins.
12. Register the challenger as a new version, as the default one if it won.
"""

from typing import NamedTuple

from google_cloud_pipeline_components._placeholders import LOCATION_PLACEHOLDER, PROJECT_ID_PLACEHOLDER
from google_cloud_pipeline_components.types.artifact_types import VertexModel
from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Metrics, Model

from trainwright.components.data.features import prepare_features
from trainwright.components.data.fingerprint import fingerprint_source
from trainwright.components.data.ingest import ingest
from trainwright.components.data.split import split
from trainwright.components.data.validate import read_rules, validate
from trainwright.components.evaluation.classification import evaluate_classification
from trainwright.components.evaluation.comparison import compare_models
from trainwright.components.evaluation.predict import predict_tabular
from trainwright.components.evaluation.report import report_classification
from trainwright.components.models.register import find_champion, register_model
from trainwright.components.training.custom import XGBOOST_TABULAR_SERVER, train_xgboost_tabular
from trainwright.components.tuning.xgboost_tabular import SEARCH_SPACE, tune_xgboost_tabular

# ruff: noqa: B006 - KFP reads the defaults, nothing changes them


class TunedRetraining(NamedTuple):
    """What the pipeline gives."""

    verdict: str
    challenger_wins: bool
    version: str
    registered: VertexModel
    model: Model
    test_metrics: Metrics
    classification_metrics: ClassificationMetrics
    evaluation: Artifact
    report: HTML
    best_hyperparameters: dict
    best_metric: float
    trials: Dataset
    tuning_report: HTML


@dsl.pipeline(
    name="tabular-tuned",
    description="Tunes and retrains a classifier and puts it into use if it beats the one that is.",
)
def tabular_tuned(
    source: str,
    label: str,
    model_name: str,
    positive_class: str = "",
    file_format: str = "auto",
    rules: dict = {},
    key: str = "",
    split_method: str = "hash",
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    time_column: str = "",
    exclude: list = [],
    search_space: list = SEARCH_SPACE,
    tuning_metric: str = "logloss",
    max_trial_count: int = 30,
    parallel_trial_count: int = 2,
    max_failed_trial_count: int = 0,
    algorithm: str = "ALGORITHM_UNSPECIFIED",
    automated_stopping: str = "NONE",
    study_stopping: dict = {},
    rounds: int = 1000,
    early_stopping_rounds: int = 50,
    checkpoint_every: int = 50,
    report_every: int = 10,
    seed: int = 0,
    machine_type: str = "e2-standard-4",
    strategy: str = "STANDARD",
    threshold: float = 0.5,
    slice_columns: list = [],
    metric: str = "auRoc",
    higher_is_better: bool = True,
    minimum_gain: float = 0.0,
    serving_image: str = "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest",
    labels: dict = {},
) -> TunedRetraining:
    """Tunes and retrains a classifier on a table and puts it into use if it beats the one that is.

    Args:
        source: CSV, JSON Lines or Parquet: a file, a folder or a glob, as a gs:// URI.
        label: Column to predict, with two values.
        model_name: Display name of the model in the registry.
        positive_class: The label's value that is predicted, as text; empty: the greater one in order.
        file_format: "csv", "jsonl", "parquet" or "auto".
        rules: What must hold of the data; see `read_rules`.
        key: Column that identifies an entity, such as a customer: its rows fall on one side of the split.
        split_method: "hash", "stratified" or "time"; see `split`.
        validation_fraction: Share of the rows that trials are compared on and trainings stop by.
        test_fraction: Share of the rows that the models are compared on.
        time_column: Column to split by, for "time".
        exclude: Columns that are not features: keys, times, what is known only after the fact.
        search_space: The hyperparameters that are searched, and their values; see `tune_xgboost_tabular`.
        tuning_metric: "logloss" or "auc" on the validation rows: what a training stops by, and what the
            trials are compared by.
        max_trial_count: Trials in all; about ten for each hyperparameter.
        parallel_trial_count: Trials at a time.
        max_failed_trial_count: Failed trials that the tuning bears.
        algorithm: "ALGORITHM_UNSPECIFIED" (Bayesian), "RANDOM_SEARCH" or "GRID_SEARCH".
        automated_stopping: Which rule ends trials that promise little: "NONE", "MEDIAN", "DECAY_CURVE" or
            "CONVEX". They compare trials at the same number of trees, to the disadvantage of low
            learning rates.
        study_stopping: When the tuning ends before its last trial; see `tune_hyperparameters`.
        rounds: Most trees.
        early_stopping_rounds: Stops after so many rounds without a better metric on the validation rows.
        checkpoint_every: Rounds between two checkpoints.
        report_every: Rounds between two measurements of a trial.
        seed: Of the trainings' random draws.
        machine_type: Machine of each trial and of the training.
        strategy: "STANDARD", "SPOT" or "FLEX_START", for both.
        threshold: Score from which a row counts as positive.
        slice_columns: Columns whose values are evaluated one by one.
        metric: What the two models are compared by.
        higher_is_better: False for metrics such as logLoss.
        minimum_gain: Least improvement for a new default version.
        serving_image: Container image of the model version; see `register_model`.
        labels: Labels of the two jobs and the model version.
    """
    # 1. Which files there are
    files = fingerprint_source(source=source).set_display_name("Note the source's version")
    files.set_caching_options(False)

    # 2. Ingest
    ingested = ingest(source=source, source_version=files.output, file_format=file_format)
    ingested.set_display_name("Ingest")

    # 3. Validate
    checks = read_rules(rules=rules, label=label).set_display_name("Read the rules")
    validated = validate(dataset=ingested.outputs["dataset"], checks=checks.output)
    validated.set_display_name("Validate")

    # 4. Split
    sides = split(
        dataset=ingested.outputs["dataset"],
        key=key,
        method=split_method,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        label=label,
        time_column=time_column,
    )
    sides.set_display_name("Split").after(validated)

    # 5. Prepare features
    features = prepare_features(
        train=sides.outputs["train"],
        validation=sides.outputs["validation"],
        label=label,
        positive_class=positive_class,
        exclude=exclude,
    ).set_display_name("Prepare features")

    # 6. Tune
    tuning = tune_xgboost_tabular(
        train=features.outputs["train_features"],
        validation=features.outputs["validation_features"],
        transform=features.outputs["transform"],
        search_space=search_space,
        rounds=rounds,
        metric=tuning_metric,
        early_stopping_rounds=early_stopping_rounds,
        checkpoint_every=checkpoint_every,
        report_every=report_every,
        seed=seed,
        max_trial_count=max_trial_count,
        parallel_trial_count=parallel_trial_count,
        max_failed_trial_count=max_failed_trial_count,
        algorithm=algorithm,
        automated_stopping=automated_stopping,
        study_stopping=study_stopping,
        display_name=model_name,
        machine_type=machine_type,
        strategy=strategy,
        labels=labels,
    ).set_display_name("Tune")

    # 7. Train with the best
    training = train_xgboost_tabular(
        train=features.outputs["train_features"],
        validation=features.outputs["validation_features"],
        transform=features.outputs["transform"],
        max_depth=tuning.outputs["max_depth"],
        learning_rate=tuning.outputs["learning_rate"],
        min_child_weight=tuning.outputs["min_child_weight"],
        subsample=tuning.outputs["subsample"],
        colsample_bytree=tuning.outputs["colsample_bytree"],
        reg_lambda=tuning.outputs["reg_lambda"],
        rounds=tuning.outputs["rounds"],
        metric=tuning_metric,
        early_stopping_rounds=early_stopping_rounds,
        checkpoint_every=checkpoint_every,
        report_every=report_every,
        seed=seed,
        display_name=model_name,
        machine_type=machine_type,
        strategy=strategy,
        labels=labels,
    ).set_display_name("Train with the best")

    # 8. Predict the test rows and evaluate
    predicted = predict_tabular(model=training.outputs["model"], dataset=sides.outputs["test"])
    predicted.set_display_name("Predict test rows")
    evaluated = evaluate_classification(
        predictions=predicted.outputs["predictions"], slice_columns=slice_columns, threshold=threshold
    ).set_display_name("Evaluate")

    # 9. Report
    reported = report_classification(evaluation=evaluated.outputs["evaluation"], title=model_name)
    reported.set_display_name("Report")

    # 10. Find the champion
    champion = find_champion(
        model_name=model_name, project=PROJECT_ID_PLACEHOLDER, location=LOCATION_PLACEHOLDER
    ).set_display_name("Find the champion")
    champion.set_caching_options(False)  # the registry changes

    # 11. Compare
    with dsl.If(champion.outputs["found"] == True, name="champion-found"):  # noqa: E712 - KFP reads the comparison
        # Imported by its address, it is the same artifact in every run, so that its evaluation is cached.
        champion_model = dsl.importer(artifact_uri=champion.outputs["uri"], artifact_class=Model)
        champion_model.set_display_name("Import the champion")
        champion_predicted = predict_tabular(model=champion_model.output, dataset=sides.outputs["test"])
        champion_predicted.set_display_name("Predict test rows with the champion")
        champion_evaluated = evaluate_classification(
            predictions=champion_predicted.outputs["predictions"],
            slice_columns=slice_columns,
            threshold=threshold,
        ).set_display_name("Evaluate the champion")
        against_champion = compare_models(
            challenger=evaluated.outputs["evaluation"],
            champion=champion_evaluated.outputs["evaluation"],
            metric=metric,
            higher_is_better=higher_is_better,
            minimum_gain=minimum_gain,
        ).set_display_name("Compare with the champion")
    with dsl.Else(name="no-champion"):
        unopposed = compare_models(
            challenger=evaluated.outputs["evaluation"],
            metric=metric,
            higher_is_better=higher_is_better,
            minimum_gain=minimum_gain,
        ).set_display_name("Compare with none")
    challenger_wins = dsl.OneOf(
        against_champion.outputs["challenger_wins"], unopposed.outputs["challenger_wins"]
    )
    verdict = dsl.OneOf(against_champion.outputs["verdict"], unopposed.outputs["verdict"])

    # 12. Register
    registration = register_model(
        model=training.outputs["model"],
        model_name=model_name,
        promote=challenger_wins,
        description=verdict,
        labels=labels,
        serving_image=serving_image,
        serving_command=XGBOOST_TABULAR_SERVER.command(),
        project=PROJECT_ID_PLACEHOLDER,
        location=LOCATION_PLACEHOLDER,
    ).set_display_name("Register")
    registration.set_caching_options(False)  # it finds its own version again

    return TunedRetraining(
        verdict=verdict,
        challenger_wins=challenger_wins,
        version=registration.outputs["version"],
        registered=registration.outputs["registered"],
        model=training.outputs["model"],
        test_metrics=evaluated.outputs["metrics"],
        classification_metrics=evaluated.outputs["classification_metrics"],
        evaluation=evaluated.outputs["evaluation"],
        report=reported.outputs["report"],
        best_hyperparameters=tuning.outputs["best_hyperparameters"],
        best_metric=tuning.outputs["best_metric"],
        trials=tuning.outputs["trials"],
        tuning_report=tuning.outputs["report"],
    )
