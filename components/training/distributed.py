"""Training over several replicas, as a Vertex AI custom job with two worker pools."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input

from trainwright.components.training.custom import (
    XGBOOST_TABULAR,
    Training,
    trained_model,
    training_inputs,
    training_job,
    worker_pools,
)


@dsl.pipeline(
    name="train-xgboost-tabular-distributed",
    description="Gradient-boosted trees for a label of two classes, trained by several replicas together.",
)
def train_xgboost_tabular_distributed(
    train: Input[Dataset],
    validation: Input[Dataset],
    transform: Input[Artifact],
    worker_count: int = 2,
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
    display_name: str = "train-xgboost-tabular-distributed",
    machine_type: str = "e2-standard-4",
    worker_machine_type: str = "e2-standard-4",
    strategy: str = "STANDARD",
    timeout: str = "86400s",
    max_wait_duration: str = "86400s",
    restart_job_on_worker_restart: bool = False,
    labels: dict = {},  # noqa: B006 - KFP reads the default, nothing changes it
) -> Training:
    """Trains gradient-boosted trees over several replicas that each hold a part of the training rows.

    Of use when the rows do not fit into one machine or one takes too long; below some million rows the
    exchange between the replicas costs more than it gives. A replica that is lost and restarted is met again
    by the others, which go on from the newest checkpoint to the same model.

    Args:
        train: Prepared rows to train on, Parquet; see `prepare_features`. Each replica reads its part of the
            files, or of the rows when there are fewer files than replicas.
        validation: Prepared rows that decide when to stop.
        transform: The fitted feature transform; it goes into the model directory.
        worker_count: Replicas beside the primary one, 1 or more.
        max_depth: Levels of a tree, 1 or more.
        learning_rate: Weight of each tree, above 0, at most 1.
        min_child_weight: Least sum of the hessian in a leaf, 0 or more; larger is more cautious.
        subsample: Fraction of the rows that each tree sees, above 0, at most 1.
        colsample_bytree: Fraction of the columns that each tree sees, above 0, at most 1.
        reg_lambda: L2 penalty of the leaves, 0 or more.
        rounds: Most trees, 1 or more.
        metric: What early stopping watches on the validation rows: "logloss" or "auc".
        early_stopping_rounds: Stops after so many rounds without a better metric; 0 never stops.
        checkpoint_every: Rounds between two checkpoints, 1 or more.
        report_every: Rounds between two reports of the metrics on train and validation rows, 1 or more.
        seed: The same seed, data and number of threads give the same model, byte for byte.
        display_name: Name of the custom job.
        machine_type: Machine of the primary replica.
        worker_machine_type: Machine of each other replica; the slowest one sets the pace.
        strategy: "STANDARD", "SPOT" or "FLEX_START" (Vertex AI API v1, `Scheduling.Strategy`).
        timeout: Longest time that the job may run, in seconds with an "s".
        max_wait_duration: Longest time that a FLEX_START job waits for its machine, in seconds with an "s".
        restart_job_on_worker_restart: Whether a replica that is restarted restarts the whole job.
        labels: Labels of the custom job.

    Returns:
        `model`: the model directory (model.ubj, model.json, transform.json). `metrics`: on the validation
        rows after the best round. `gcp_resources`: the custom job.
    """
    hyperparameters = [
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
    inputs = training_inputs(
        train=train,
        validation=validation,
        transform=transform,
        job=[XGBOOST_TABULAR.fingerprint, machine_type, worker_machine_type, worker_count, *hyperparameters],
    ).set_display_name("Fix the training's directory")
    data = [
        f"--train={inputs.outputs['train_uri']}",
        f"--validation={inputs.outputs['validation_uri']}",
        f"--transform={inputs.outputs['transform_uri']}",
    ]
    pools = worker_pools(
        container_spec=XGBOOST_TABULAR.container_spec([*data, *hyperparameters]),
        machine_type=machine_type,
        worker_count=worker_count,
        worker_machine_type=worker_machine_type,
    ).set_display_name("Describe the worker pools")
    job = training_job(
        display_name=display_name,
        worker_pool_specs=pools.output,
        base_output_directory=inputs.outputs["directory_uri"],
        strategy=strategy,
        timeout=timeout,
        max_wait_duration=max_wait_duration,
        restart_job_on_worker_restart=restart_job_on_worker_restart,
        labels=labels,
    )
    described = trained_model(
        directory=inputs.outputs["directory_uri"], job=job.outputs["gcp_resources"]
    ).set_display_name("Describe the trained model")
    return Training(
        model=described.outputs["model"],
        metrics=described.outputs["metrics"],
        gcp_resources=job.outputs["gcp_resources"],
    )
