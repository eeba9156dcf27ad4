from pathlib import Path
from typing import Any

import pytest
import yaml

IMAGE = "europe-docker.pkg.dev/acme/trainers/churn@sha256:" + "0" * 64


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with one task of each kind, compiled by the real kfp, in which nothing is wrong."""
    from google_cloud_pipeline_components._placeholders import LOCATION_PLACEHOLDER, PROJECT_ID_PLACEHOLDER
    from google_cloud_pipeline_components.v1.automl.training_job import AutoMLTabularTrainingJobRunOp
    from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
    from google_cloud_pipeline_components.v1.dataset import TabularDatasetCreateOp
    from google_cloud_pipeline_components.v1.hyperparameter_tuning_job import HyperparameterTuningJobRunOp
    from google_cloud_pipeline_components.v1.vertex_notification_email import VertexNotificationEmailOp
    from kfp import compiler, dsl

    @dsl.component(base_image=IMAGE, packages_to_install=["pandas==3.1.1"])
    def step(source: str, version: str = "") -> str:
        return source + version

    pools = [
        {
            "machine_spec": {
                "machine_type": "g2-standard-12",
                "accelerator_type": "NVIDIA_L4",
                "accelerator_count": 1,
            },
            "replica_count": 1,
            "container_spec": {"image_uri": IMAGE, "args": ["--rounds=3"]},
        }
    ]

    @dsl.pipeline(name="sound")
    def sound(uri: str, machine_type: str = "e2-standard-8", trials: int = 20, labels: dict = {"team": "a"}):  # noqa: B006
        told = VertexNotificationEmailOp(recipients=["a@example.com"])
        told.set_caching_options(False)
        with dsl.ExitHandler(told, name="all"):
            read = step(source=uri).set_caching_options(False).set_cpu_limit("8").set_memory_limit("32G")
            dataset = TabularDatasetCreateOp(
                display_name="d",
                gcs_source=read.output,
                location=LOCATION_PLACEHOLDER,
                project=PROJECT_ID_PLACEHOLDER,
            )
            AutoMLTabularTrainingJobRunOp(
                display_name="a",
                dataset=dataset.outputs["dataset"],
                target_column="y",
                optimization_prediction_type="classification",
                budget_milli_node_hours=2000,
                project=PROJECT_ID_PLACEHOLDER,
                location=LOCATION_PLACEHOLDER,
            )
            CustomTrainingJobOp(
                display_name="c",
                worker_pool_specs=pools,
                base_output_directory=read.output,
                timeout="3600s",
                labels=labels,
            )
            with dsl.ParallelFor(["a", "b"]) as item:
                step(source=item, version=read.output)
            HyperparameterTuningJobRunOp(
                display_name="t",
                base_output_directory=read.output,
                worker_pool_specs=[{**pools[0], "machine_spec": {"machine_type": machine_type}}],
                study_spec_metrics=[{"metric_id": "auc", "goal": "MAXIMIZE"}],
                study_spec_parameters=[],
                max_trial_count=trials,
                parallel_trial_count=5,
                location=LOCATION_PLACEHOLDER,
            )

    path = tmp_path_factory.mktemp("sound") / "sound.yaml"
    compiler.Compiler().compile(sound, str(path))
    return path


@pytest.fixture(scope="session")
def sound_spec(sound: Path) -> dict[str, Any]:
    """Its PipelineSpec."""
    spec: dict[str, Any] = yaml.safe_load(sound.read_text())
    return spec
