"""Messages to resources: one module per service of Vertex AI, put together over one store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwright.local.engine import Engine
from trainwright.local.execution import Executor
from trainwright.local.options import Options
from trainwright.local.services.automl_images import AutoMLImages
from trainwright.local.services.automl_tabular import AutoMLTabular
from trainwright.local.services.automl_tasks import AutoMLTask
from trainwright.local.services.batch_prediction_jobs import BatchPredictionJobs
from trainwright.local.services.combined import Combined
from trainwright.local.services.custom_jobs import CustomJobs
from trainwright.local.services.datasets import Datasets
from trainwright.local.services.endpoints import Endpoints
from trainwright.local.services.hyperparameter_tuning_jobs import HyperparameterTuningJobs
from trainwright.local.services.locations import Locations
from trainwright.local.services.metadata import Metadata
from trainwright.local.services.metadata_lineage import Lineage
from trainwright.local.services.metadata_runs import PipelineRuns
from trainwright.local.services.model_evaluations import ModelEvaluations
from trainwright.local.services.model_exports import ModelExports
from trainwright.local.services.models import Models
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.services.pipeline_jobs import PipelineJobs
from trainwright.local.services.predictions import Predictions
from trainwright.local.services.projects import Projects
from trainwright.local.services.rehearsal import Rehearsal
from trainwright.local.services.scheduler import Clock, SystemClock
from trainwright.local.services.schedules import Schedules
from trainwright.local.services.tensorboards import Tensorboards
from trainwright.local.services.training_pipelines import TrainingPipelines
from trainwright.local.services.training_tasks import DEFINITIONS, CustomTask
from trainwright.local.serving import BatchPredictions, Deployments
from trainwright.local.storage import PlainObjects
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs as Training
from trainwright.local.training import HyperparameterTuningJobs as Tuning


class Services:
    """All services of a local Vertex AI, and the engine, training and serving that do the work behind them.

    Args:
        store: Holds every resource.
        state: The state folder.
        project: Id of the project.
        project_number: Number of the project, which stands in resource names.
        client_environment: Variables for the processes of tasks and replicas; may be filled until `resume`.
        bucket: Where what Vertex AI keeps in storage of its own is kept.
        options: What the user chose; the defaults when absent.
        clock: What schedules go by; the computer's when absent.
    """

    def __init__(
        self,
        *,
        store: Store,
        state: Path,
        project: str,
        project_number: str,
        client_environment: Mapping[str, str],
        bucket: str,
        options: Options | None = None,
        clock: Clock | None = None,
    ) -> None:
        options = options or Options()
        named = Project(project, project_number)
        self._make_rooms(store, state, client_environment, options)
        self._operations = operations = Operations(store, named)
        common: dict[str, Any] = {"store": store, "operations": operations, "project": named}
        models = Models(**common)
        objects = PlainObjects(state / "storage")
        datasets = Datasets(objects=objects, **common)
        self._make_jobs(models, common)
        self._make_training_pipelines(models, datasets, objects, bucket, options, common)
        runs = PipelineRuns(store)
        lineage = Lineage(store, runs)
        self._pipeline_jobs = PipelineJobs(engine=self._engine, lineage=lineage, **common)
        self._schedules = Schedules(pipeline_jobs=self._pipeline_jobs, clock=clock or SystemClock(), **common)
        endpoints = Endpoints(deployments=self._deployments, models=models, **common)
        self._predictions = Predictions(endpoints=endpoints, deployments=self._deployments)
        self.by_name: dict[str, object] = {
            "EndpointService": endpoints,
            "JobService": Combined(self._custom_jobs, self._tuning_jobs, self._batch_prediction_jobs),
            "PipelineService": Combined(self._pipeline_jobs, self._training_pipelines),
            "ScheduleService": self._schedules,
            "DatasetService": datasets,
            "MetadataService": Metadata(runs=runs, lineage=lineage, **common),
            "ModelService": Combined(
                models,
                ModelExports(models=models, operations=operations, state=state),
                ModelEvaluations(store=store, models=models),
            ),
            "PredictionService": self._predictions,
            "TensorboardService": Tensorboards(**common),
            "Operations": operations,
            "Locations": Locations(named),
            "Projects": Projects(named),
            "Rehearsal": Rehearsal(store=store, training=self._training, project=named),
        }

    def _make_rooms(
        self, store: Store, state: Path, client_environment: Mapping[str, str], options: Options
    ) -> None:
        """What does the work behind the services."""
        self._executor = Executor(
            state=state,
            client_environment=client_environment,
            gcs_root=state / "storage",
            images=options.images,
            runtime=options.runtime,
        )
        self._training = Training(
            store=store, executor=self._executor, state=state, preempt_every=options.preempt_every
        )
        self._tuning = Tuning(store=store, custom_jobs=self._training, state=state)
        self._deployments = Deployments(executor=self._executor, state=state)
        self._batch = BatchPredictions(store=store, deployments=self._deployments, state=state)
        self._engine = Engine(store=store, executor=self._executor, state=state, smtp=options.smtp)

    def _make_jobs(self, models: Models, common: Mapping[str, Any]) -> None:
        self._custom_jobs = CustomJobs(training=self._training, **common)
        self._tuning_jobs = HyperparameterTuningJobs(training=self._tuning, **common)
        self._batch_prediction_jobs = BatchPredictionJobs(predictions=self._batch, models=models, **common)

    def _make_training_pipelines(
        self,
        models: Models,
        datasets: Datasets,
        objects: PlainObjects,
        bucket: str,
        options: Options,
        common: Mapping[str, Any],
    ) -> None:
        automl: dict[str, Any] = {
            "store": common["store"],
            "training": self._training,
            "objects": objects,
            "project_number": common["project"].number,
            "bucket": bucket,
            "seconds": options.automl_seconds,
            "models": options.automl_models,
        }
        self._training_pipelines = TrainingPipelines(
            datasets=datasets,
            models=models,
            tasks={
                f"{DEFINITIONS}custom_task_1.0.0.yaml": CustomTask(self._custom_jobs, objects),
                f"{DEFINITIONS}automl_tabular_1.0.0.yaml": AutoMLTask(AutoMLTabular(), **automl),
                f"{DEFINITIONS}automl_image_classification_1.0.0.yaml": AutoMLTask(AutoMLImages(), **automl),
            },
            **common,
        )

    def resume(self) -> None:
        """Goes on with every job, run and schedule that the process before this one had not ended."""
        self._executor.warm()
        self._operations.resume()
        self._custom_jobs.resume()
        self._tuning_jobs.resume()
        self._batch_prediction_jobs.resume()
        self._training_pipelines.resume()
        self._pipeline_jobs.resume()
        self._schedules.start()

    def close(self) -> None:
        """Ends the processes. What has not ended goes on at the next start."""
        self._schedules.close()
        self._predictions.close()
        self._operations.close()
        self._batch.close()
        self._deployments.close()
        self._training_pipelines.close()
        self._engine.close()
        self._tuning.close()
        self._training.close()
        self._executor.close()
