"""Conducts training pipelines: export the data, run the job, upload the model, attach its evaluation.

Each step is begun only when the one before is in the pipeline's "run" record, and each does what was done
before at most once: the export writes the same files, the job has a name that the pipeline's decides, and an
uploaded model names the pipeline that it is from. So a pipeline goes on after kill -9 without a second job
or model.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.jobs import has_ended
from trainwright.local.services.models import Models
from trainwright.local.services.operations import run_record
from trainwright.local.services.resources import timestamp
from trainwright.local.services.training_tasks import TrainingTask
from trainwright.local.store import Store
from trainwright.local.training.exports import Exported

_logger = logging.getLogger(__name__)
_INVALID, _INTERNAL = 3, 13

Export = Callable[[v1.TrainingPipeline, str], Exported]
"""From a pipeline and a folder to its Dataset's data in it."""


class _Ended(Exception):
    """The pipeline ended otherwise than well: its state and its google.rpc.Status."""

    def __init__(self, state: str, code: int = 0, message: str = "") -> None:
        self.state = state
        self.error = {"code": code, "message": message} if message else None


class _Closing(Exception):
    """Local Vertex stops; the pipeline goes on at the next start."""


@dataclass
class _Run:
    """A pipeline that has not ended. `lock` orders the changes of its record, and what follows from them."""

    pipeline: v1.TrainingPipeline
    task: TrainingTask
    lock: threading.RLock = field(default_factory=threading.RLock)
    changed: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    started: bool = False


class TrainingRuns:
    """The training pipelines that run, a thread for each.

    Args:
        store: Where the "run" records are.
        models: The registry.
        tasks: By training task definition.
        export: Exports the data of a pipeline's Dataset.
    """

    def __init__(
        self, *, store: Store, models: Models, tasks: Mapping[str, TrainingTask], export: Export
    ) -> None:
        self._store = store
        self._models = models
        self._tasks = tasks
        self._export = export
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._by_job: dict[str, _Run] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False
        store.subscribe(self._changed)

    def start(self, pipeline: v1.TrainingPipeline) -> None:
        """Starts a recorded pipeline, or goes on with one that has not ended; returns at once."""
        run = _Run(pipeline, self._tasks[pipeline.training_task_definition])
        with self._lock:
            if self._closed or pipeline.name in self._runs:
                return
            self._runs[pipeline.name] = run
            self._by_job[f"{run.task.job(pipeline)}/run"] = run
        name = f"training-pipeline-{pipeline.name.rpartition('/')[2]}"
        thread = threading.Thread(target=self._conduct, args=(run,), name=name, daemon=True)
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def cancel(self, name: str) -> None:
        """Asks a pipeline to stop; one that has ended, or whose model is being uploaded, stays as it is."""
        with self._lock:
            run = self._runs.get(name)
        if run is None:
            return
        with run.lock:
            record = run_record(self._store, name)
            if run.cancelled or record.get("uploading") or has_ended(record.get("state", "")):
                return
            run.cancelled = True
            self._write(run, state="PIPELINE_STATE_CANCELLING")
            if run.started:
                run.task.cancel(run.task.job(run.pipeline))
            run.changed.set()

    def close(self) -> None:
        """Leaves the pipelines as they are; they go on at the next start."""
        with self._lock:
            self._closed = True
            runs, threads = list(self._runs.values()), list(self._threads)
        for run in runs:
            run.changed.set()
        for thread in threads:
            thread.join(10.0)

    def _changed(self, name: str) -> None:
        """Called by the store after each commit."""
        if run := self._by_job.get(name):
            run.changed.set()

    def _conduct(self, run: _Run) -> None:
        """A pipeline's thread: to an ended state, unless all is being closed."""
        state, error = "PIPELINE_STATE_FAILED", None
        try:
            self._train(run)
            state = "PIPELINE_STATE_SUCCEEDED"
        except _Closing:
            return
        except _Ended as ended:
            state, error = ended.state, ended.error
        except (ValueError, GoogleAPICallError) as problem:
            message = problem.message if isinstance(problem, GoogleAPICallError) else str(problem)
            error = {"code": _INVALID, "message": message}
        except Exception as fault:  # ours; it must end the pipeline, not leave it running for ever
            if self._closed:
                return
            _logger.exception("training pipeline %s", run.pipeline.name)
            error = {"code": _INTERNAL, "message": f"{type(fault).__name__}: {fault}"}
        with run.lock:
            if run.cancelled and state != "PIPELINE_STATE_SUCCEEDED":
                state, error = "PIPELINE_STATE_CANCELLED", None
            self._write(run, state=state, error=error)
        with self._lock:
            self._runs.pop(run.pipeline.name, None)
            self._by_job.pop(f"{run.task.job(run.pipeline)}/run", None)

    def _train(self, run: _Run) -> None:
        pipeline, task = run.pipeline, run.task
        record = run_record(self._store, pipeline.name)
        if record.get("state") == "PIPELINE_STATE_CANCELLING":
            run.cancelled = True
        elif not record:
            self._write(run, state="PIPELINE_STATE_PENDING")
        exported = self._exported(run)
        if not record.get("uploading"):
            self._run_job(run, exported)
            with run.lock:
                self._stop_if_cancelled(run)
                self._write(run, uploading=True)
        model = task.model(pipeline, exported)
        if model is None:
            return
        uploaded = self._models.trained_by(pipeline.name) or self._upload(pipeline, model)
        if evaluation := task.evaluation(pipeline):
            # The model service shows evaluations of versions under the model's name.
            version = f"{uploaded.name}@{uploaded.version_id}"
            evaluation.create_time = timestamp(time.time())
            evaluation.name = f"{version}/evaluations/{pipeline.name.rpartition('/')[2]}"
            self._store.write(evaluation.name, "modelEvaluation", v1.ModelEvaluation.serialize(evaluation))
        self._write(run, model=uploaded.name, version=uploaded.version_id)

    def _exported(self, run: _Run) -> Exported | None:
        """The Dataset's data; written unless the job has them."""
        if not run.pipeline.input_data_config.dataset_id:
            return None
        known = run_record(self._store, run.pipeline.name).get("exported")
        if known:
            return Exported(**known)
        with run.lock:
            self._stop_if_cancelled(run)
        exported = self._export(run.pipeline, run.task.folder(run.pipeline))
        self._write(run, exported=vars(exported))
        return exported

    def _run_job(self, run: _Run, exported: Exported | None) -> None:
        """Runs the job to its end.

        Raises:
            _Ended: It did not end well.
            _Closing: Local Vertex stops.
        """
        job = run.task.job(run.pipeline)
        with run.lock:
            if not run.cancelled or run_record(self._store, job):
                run.task.start(run.pipeline, exported)
                run.started = True
                if run.cancelled:  # by a process that was killed before it could pass this on
                    run.task.cancel(job)
                else:
                    self._write(run, state="PIPELINE_STATE_RUNNING", job=job)
            else:
                raise _Ended("PIPELINE_STATE_CANCELLED")
        while True:
            run.changed.clear()
            if self._closed:
                raise _Closing
            ended = run_record(self._store, job)
            if has_ended(ended.get("state", "")):
                break
            run.changed.wait()
        if ended["state"] == "JOB_STATE_CANCELLED":
            raise _Ended("PIPELINE_STATE_CANCELLED")
        if ended["state"] == "JOB_STATE_FAILED":
            error = ended.get("error") or {"code": _INTERNAL, "message": "the job failed without an error"}
            raise _Ended("PIPELINE_STATE_FAILED", error["code"], error["message"])

    def _stop_if_cancelled(self, run: _Run) -> None:
        if self._closed:
            raise _Closing
        if run.cancelled:
            raise _Ended("PIPELINE_STATE_CANCELLED")

    def _upload(self, pipeline: v1.TrainingPipeline, model: v1.Model) -> v1.Model:
        """Uploads the model that the job left, as a new one or a version of `parent_model`."""
        model.training_pipeline = pipeline.name
        request = v1.UploadModelRequest(
            parent=pipeline.name.partition("/trainingPipelines/")[0],
            parent_model=pipeline.parent_model,
            model_id="" if pipeline.parent_model else pipeline.model_id,
            model=model,
        )
        self._models.upload_model(request, None)
        uploaded = self._models.trained_by(pipeline.name)
        if uploaded is None:
            raise ValueError("the model was deleted while it was uploaded")
        return uploaded

    def _write(self, run: _Run, **changes: Any) -> None:
        """Changes fields of the pipeline's "run" record."""
        name, now = run.pipeline.name, time.time()
        with run.lock:
            before = run_record(self._store, name)
            record = {"startTime": None, "endTime": None, "error": None, **before, **changes}
            if record["state"] == "PIPELINE_STATE_RUNNING" and not record["startTime"]:
                record["startTime"] = now
            if has_ended(record["state"]):
                record["endTime"] = now
            self._store.write(f"{name}/run", "run", json.dumps(record).encode())
