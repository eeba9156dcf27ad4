"""Training as a Vertex AI custom job, from a program whose source stands in the compiled YAML."""

from pathlib import Path
from typing import Any, NamedTuple

from google_cloud_pipeline_components import _placeholders as placeholders
from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from trainwright.authoring.images import DUCKDB, PYARROW, PYTHON_IMAGE, STORAGE, TENSORBOARDX, XGBOOST
from trainwright.authoring.programs import Program

RUNTIME_FILES = (
    "trainers/__init__.py",
    "trainers/cluster.py",
    "trainers/reporting.py",
    "trainers/runtime.py",
)
"""What every trainer shares."""

XGBOOST_TABULAR = Program(
    module="trainers.xgboost_tabular",
    root=Path(__file__).parents[2],
    files=(*RUNTIME_FILES, "trainers/xgboost_tabular"),
    packages=(PYARROW, STORAGE, TENSORBOARDX, XGBOOST),
)
"""The program of `train_xgboost_tabular`; its arguments: `trainers.xgboost_tabular.__main__.Settings`."""

XGBOOST_TABULAR_SERVER = Program(
    module="trainers.xgboost_tabular_server",
    root=Path(__file__).parents[2],
    files=("trainers/__init__.py", "trainers/runtime.py", "trainers/xgboost_tabular_server.py"),
    packages=(DUCKDB, PYARROW, STORAGE, XGBOOST),
)
"""Serves what `train_xgboost_tabular` trains: for `serving_command` of `register_model`."""


@dsl.component(base_image=PYTHON_IMAGE)
def training_inputs(
    train: Input[Dataset],
    validation: Input[Dataset],
    transform: Input[Artifact],
    job: list,
    directory: Output[Artifact],
) -> NamedTuple(  # type: ignore[valid-type]
    "TrainingInputs",
    [("train_uri", str), ("validation_uri", str), ("transform_uri", str), ("directory_uri", str)],
):
    """Gives a training job the URIs of its inputs and an output directory of its own.

    The directory is this task's artifact, so it is cached with the task: the same training finds its own
    directory again, and a training that failed goes on from its checkpoints there.

    Args:
        train: Rows to train on.
        validation: Rows to stop by.
        transform: The fitted feature transform.
        job: All that the job depends on beside the data. Not read: it is here so that another job gets
            another directory instead of a cached one.
        directory: Where the job writes.

    Returns:
        The URIs of the inputs and of the directory.
    """
    return (train.uri, validation.uri, transform.uri, directory.uri)


@dsl.component(base_image=PYTHON_IMAGE)
def trained_model(directory: str, job: str, model: Output[Model], metrics: Output[Metrics]) -> None:
    """Describes the model directory that a training job wrote as a Model.

    Args:
        directory: The job's base output directory.
        job: The `gcp_resources` of the job that wrote it.
        model: `<directory>/model`, where the job wrote it; nothing is copied. Metadata: `framework`, `label`,
            `classes`, `metrics` of model.json and `training_job`, the job's address.
        metrics: The metrics of model.json.

    Raises:
        FileNotFoundError: The job wrote no model.json.
    """
    import json
    from pathlib import Path

    model.uri = f"{directory}/model"
    file = Path(model.path) / "model.json"
    if not file.is_file():
        raise FileNotFoundError(f"{model.uri}/model.json: the training job wrote no model")
    description = json.loads(file.read_text(encoding="utf-8"))
    model.metadata.update(description)
    resources = json.loads(job)["resources"] if job else []
    model.metadata["training_job"] = resources[0]["resourceUri"] if resources else ""
    for name, value in description["metrics"].items():
        metrics.log_metric(name, value)


@dsl.component(base_image=PYTHON_IMAGE)
def worker_pools(
    container_spec: dict,
    machine_type: str,
    accelerator_type: str = "",
    accelerator_count: int = 0,
    worker_count: int = 0,
    worker_machine_type: str = "",
) -> list:
    """Describes the worker pools of a job whose counts are not known before the run.

    A count that stands in `worker_pool_specs` as a pipeline parameter reaches the official launcher as text,
    which it refuses (google-cloud-pipeline-components 2.22.0): so the whole list is made by a task.

    Args:
        container_spec: What every replica runs (Vertex AI API v1, `ContainerSpec`).
        machine_type: Machine of the primary replica.
        accelerator_type: GPUs of every replica, such as "NVIDIA_TESLA_T4"; not read if there are none.
        accelerator_count: GPUs of every replica, 0 or more.
        worker_count: Replicas beside the primary one, 0 or more.
        worker_machine_type: Machine of each other replica; the primary one's if empty.

    Returns:
        `worker_pool_specs` of a custom job.

    Raises:
        ValueError: A count is below 0, or there are GPUs of no type.
    """
    if worker_count < 0 or accelerator_count < 0:
        raise ValueError(f"worker_count {worker_count}, accelerator_count {accelerator_count}: below 0")
    accelerator: dict[str, object] = {}
    if accelerator_count:
        if not accelerator_type:
            raise ValueError(f"accelerator_count {accelerator_count}: expected accelerator_type beside it")
        accelerator = {"accelerator_type": accelerator_type, "accelerator_count": accelerator_count}
    pools = [(machine_type, 1), (worker_machine_type or machine_type, worker_count)]
    return [
        {
            "machine_spec": {"machine_type": machine, **accelerator},
            "replica_count": count,
            "container_spec": container_spec,
        }
        for machine, count in pools
        if count
    ]


class Training(NamedTuple):
    """What a training gives."""

    model: Model
    metrics: Metrics
    gcp_resources: str


def training_job(**settings: Any) -> dsl.PipelineTask:
    """`CustomTrainingJobOp` as the account, in the network and with the key of the run that it is part of.

    Args:
        **settings: Of the op; its location and project are the run's as well, by its own defaults.
    """
    job = CustomTrainingJobOp(
        service_account=placeholders.SERVICE_ACCOUNT_PLACEHOLDER,
        network=placeholders.NETWORK_PLACEHOLDER,
        encryption_spec_key_name=placeholders.ENCRYPTION_SPEC_KMS_KEY_NAME_PLACEHOLDER,
        **settings,
    )
    return job.set_display_name("Train in a custom job")


@dsl.pipeline(
    name="train-xgboost-tabular",
    description="Gradient-boosted trees for a label of two classes, trained as a Vertex AI custom job.",
)
def train_xgboost_tabular(
    train: Input[Dataset],
    validation: Input[Dataset],
    transform: Input[Artifact],
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
    display_name: str = "train-xgboost-tabular",
    machine_type: str = "e2-standard-4",
    strategy: str = "STANDARD",
    timeout: str = "86400s",
    max_wait_duration: str = "86400s",
    restart_job_on_worker_restart: bool = False,
    labels: dict = {},  # noqa: B006 - KFP reads the default, nothing changes it
) -> Training:
    """Trains gradient-boosted trees for a label of two classes as a Vertex AI custom job.

    The job stops early, keeps checkpoints, and goes on from them to the same model after a preemption.

    Args:
        train: Prepared rows to train on, Parquet; see `prepare_features`.
        validation: Prepared rows that decide when to stop.
        transform: The fitted feature transform; it goes into the model directory.
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
        machine_type: Machine of the only replica.
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
        job=[XGBOOST_TABULAR.fingerprint, machine_type, *hyperparameters],
    ).set_display_name("Fix the training's directory")
    data = [
        f"--train={inputs.outputs['train_uri']}",
        f"--validation={inputs.outputs['validation_uri']}",
        f"--transform={inputs.outputs['transform_uri']}",
    ]
    job = training_job(
        display_name=display_name,
        worker_pool_specs=[
            {
                "machine_spec": {"machine_type": machine_type},
                "replica_count": 1,
                "container_spec": XGBOOST_TABULAR.container_spec([*data, *hyperparameters]),
            }
        ],
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
