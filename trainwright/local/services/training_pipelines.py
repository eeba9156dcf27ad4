"""`google.cloud.aiplatform.v1.PipelineService`, the part for training pipelines."""

from collections.abc import Mapping
from typing import Any

from google.api_core.exceptions import InvalidArgument, MethodNotImplemented
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format

from trainwright.local.services.datasets import Datasets
from trainwright.local.services.interrupted import Interrupted
from trainwright.local.services.jobs import Jobs, has_ended
from trainwright.local.services.models import Models
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations, run_record
from trainwright.local.services.training_runs import TrainingRuns
from trainwright.local.services.training_tasks import DEFINITIONS, TrainingTask
from trainwright.local.store import Store
from trainwright.local.training.exports import Exported
from trainwright.local.training.splits import split_of

# Vertex AI documentation, "Deprecations", as of 2026-04-10.
_SHUT_DOWN = {
    "automl_text_": "AutoML Text was shut down on 2025-06-15; its replacement is prompting and tuning Gemini",
    "automl_video_": "AutoML Video was shut down on 2025-07-31; its replacement is tuning Gemini on video",
}


class TrainingPipelines:
    """Creates, shows, cancels and deletes training pipelines.

    Args:
        store: Holds them.
        datasets: Have the data that they train on.
        models: Where they upload.
        tasks: What they can do, by training task definition.
        operations: For deletion.
        project: Of the names.
    """

    def __init__(
        self,
        *,
        store: Store,
        datasets: Datasets,
        models: Models,
        tasks: Mapping[str, TrainingTask],
        operations: Operations,
        project: Project,
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._models = models
        self._tasks = tasks
        self._project = project
        self._interrupted = Interrupted(store)
        self._runs = TrainingRuns(store=store, models=models, tasks=tasks, export=self._export)
        self._pipelines: Jobs[v1.TrainingPipeline] = Jobs(
            store=store,
            operations=operations,
            project=project,
            message_type=v1.TrainingPipeline,
            first_state=v1.PipelineState.PIPELINE_STATE_PENDING,
        )

    def resume(self) -> None:
        """Goes on with every pipeline that had not ended when the process before this one did."""
        for pipeline in self._pipelines.unfinished():
            self._runs.start(pipeline)

    def close(self) -> None:
        """Leaves the pipelines as they are; they go on at the next start."""
        self._runs.close()

    def create_training_pipeline(
        self, request: v1.CreateTrainingPipelineRequest, context: Any
    ) -> v1.TrainingPipeline:
        """Checks, records and starts a pipeline.

        Raises:
            InvalidArgument: A field is not valid or cannot run here; nothing was created.
            NotFound: The Dataset or the parent model does not exist.
            AlreadyExists: There is a model of that `model_id`.
            MethodNotImplemented: Local Vertex has no such training task.
        """
        pipeline = v1.TrainingPipeline(request.training_pipeline)
        if not pipeline.display_name:
            raise InvalidArgument("training_pipeline.display_name: empty; expected 1 to 128 characters")
        task = self._task(pipeline.training_task_definition)
        self._pipelines.begin(pipeline, request.parent)
        if pipeline.parent_model:
            pipeline.parent_model = self._project.canonical(pipeline.parent_model).partition("@")[0]
        if "model_to_upload" in pipeline:
            self._models.check_names(
                pipeline.model_to_upload,
                parent=request.parent,
                parent_model=pipeline.parent_model,
                model_id=pipeline.model_id,
            )
        self._check_data(pipeline, task)
        if found := self._interrupted.lost(pipeline, self._pipelines.all(request.parent)):
            return self._presented(found)
        self._pipelines.record(pipeline)
        self._runs.start(pipeline)
        return self._presented(pipeline)

    def get_training_pipeline(
        self, request: v1.GetTrainingPipelineRequest, context: Any
    ) -> v1.TrainingPipeline:
        """The pipeline with its state, its job, its model and its error."""
        pipeline = self._presented(self._pipelines.get(request.name))
        if has_ended(pipeline.state.name):
            self._interrupted.note(pipeline.name)
        return pipeline

    def list_training_pipelines(
        self, request: v1.ListTrainingPipelinesRequest, context: Any
    ) -> v1.ListTrainingPipelinesResponse:
        """The pipelines of a location."""
        found, token = self._pipelines.page(request)
        shown = [self._presented(pipeline) for pipeline in found]
        return v1.ListTrainingPipelinesResponse(training_pipelines=shown, next_page_token=token)

    def cancel_training_pipeline(
        self, request: v1.CancelTrainingPipelineRequest, context: Any
    ) -> empty_pb2.Empty:
        """Asks a pipeline to stop; it is CANCELLED once its job is. One that has ended stays as it is."""
        return self._pipelines.cancel(request.name, self._runs.cancel)

    def delete_training_pipeline(self, request: v1.DeleteTrainingPipelineRequest, context: Any) -> Any:
        """Forgets a pipeline that has ended; its job, its model and what they wrote stay.

        Raises:
            FailedPrecondition: It is still running.
        """
        pipeline = self._pipelines.ended(request.name)
        # Of a job that is not listed: a listed one has a record elsewhere, which stays.
        runs = self._store.names("run", f"{pipeline.name}/jobs/")
        return self._pipelines.delete(pipeline, f"{pipeline.name}/seen", *runs)

    def _task(self, definition: str) -> TrainingTask:
        if task := self._tasks.get(definition):
            return task
        name = definition.removeprefix(DEFINITIONS)
        for prefix, reason in _SHUT_DOWN.items():
            if name.startswith(prefix):
                raise InvalidArgument(f"training_pipeline.training_task_definition {name}: {reason}")
        known = ", ".join(self._tasks)
        if definition.startswith(DEFINITIONS):
            raise MethodNotImplemented(
                f"training_pipeline.training_task_definition {name} is not implemented by local Vertex AI;"
                f" expected one of {known}"
            )
        raise InvalidArgument(
            f"training_pipeline.training_task_definition {definition!r}: expected one of {known}"
        )

    def _check_data(self, pipeline: v1.TrainingPipeline, task: TrainingTask) -> None:
        """Checks the data as far as their header tells, then what the task asks.

        Raises:
            InvalidArgument: They are not valid; one line.
            NotFound: There is no such Dataset.
        """
        data = pipeline.input_data_config
        if task.needs_dataset and not data.dataset_id:
            raise InvalidArgument("training_pipeline.input_data_config.dataset_id: empty")
        columns = None
        try:
            if data.dataset_id:
                columns = self._datasets.columns(self._dataset(pipeline))
                split = split_of(_plain(data))
                if columns is not None and split.key and split.key not in columns:
                    raise ValueError(f"{split.kind}Split.key {split.key!r}: no such column in the Dataset")
            task.check(pipeline, columns)
        except ValueError as error:
            raise InvalidArgument(f"training_pipeline.{error}") from None

    def _dataset(self, pipeline: v1.TrainingPipeline) -> str:
        location = pipeline.name.partition("/trainingPipelines/")[0]
        return f"{location}/datasets/{pipeline.input_data_config.dataset_id}"

    def _export(self, pipeline: v1.TrainingPipeline, folder: str) -> Exported:
        return self._datasets.export_for_training(
            self._dataset(pipeline), _plain(pipeline.input_data_config), folder
        )

    def _presented(self, pipeline: v1.TrainingPipeline) -> v1.TrainingPipeline:
        pipeline = self._pipelines.presented(pipeline)
        run = run_record(self._store, pipeline.name)
        if run.get("job"):
            task = self._tasks[pipeline.training_task_definition]
            pipeline.training_task_metadata = task.metadata(run["job"])
        if run.get("model"):
            pipeline.model_to_upload.name = run["model"]
            pipeline.model_to_upload.version_id = run["version"]
        return pipeline


def _plain(data: v1.InputDataConfig) -> dict:
    return json_format.MessageToDict(v1.InputDataConfig.pb(data))
