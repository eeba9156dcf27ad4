"""Runs batch prediction jobs: a model server of their own, the rows of files to it, its answers to files."""

import base64
import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from trainwright.local.serving import instances
from trainwright.local.serving.containers import Served
from trainwright.local.serving.deployments import DEPLOYMENT_SECONDS, Deployments
from trainwright.local.serving.instances import Instance, InstanceConfig, Malformed
from trainwright.local.serving.model_server import ModelServer, ServerFailed
from trainwright.local.storage import names
from trainwright.local.storage.directories import folder_of, publish
from trainwright.local.store import Store

_logger = logging.getLogger(__name__)
BATCH_SIZE = 64
"""Instances to a request unless the job says otherwise (ManualBatchTuningParameters, 1.165.1)."""
_ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
_REQUEST_SECONDS = 600.0
_NOTE_SECONDS = 1.0
_ATTEMPTS = 3
_INVALID_ARGUMENT, _NOT_FOUND, _INTERNAL = 3, 5, 13  # of google.rpc.Code


@dataclass(frozen=True)
class BatchPrediction:
    """What a job is to do.

    Args:
        name: projects/P/locations/L/batchPredictionJobs/ID.
        served: The model.
        uris: gs:// files of the input; may contain wildcards.
        instances_format: One of `instances.FORMATS`.
        instance_config: How rows become instances.
        parameters: Sent with every request; None: none.
        batch_size: Instances to a request.
        directory: gs:// directory of the output, made by the job.
    """

    name: str
    served: Served
    uris: tuple[str, ...]
    instances_format: str
    instance_config: InstanceConfig
    parameters: Any
    batch_size: int
    directory: str


@dataclass
class _Job:
    """A job that has not ended. `lock` orders its state changes; `cancelled` also means "being closed"."""

    task: BatchPrediction
    lock: threading.Lock = field(default_factory=threading.Lock)
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: bool = False
    successful: int = 0
    failed: int = 0
    noted: float = 0.0


class _Cancelled(Exception):
    """The job was cancelled, or is being closed."""


class BatchPredictions:
    """The batch prediction jobs of local Vertex AI.

    Every state is in the job's "run" record before anything follows from it. A job whose record has not ended
    begins again by `start`; its output appears as a whole when it has ended, so nothing is written twice.

    Args:
        store: Where the records are.
        deployments: Starts the model servers.
        state: The state folder.
    """

    def __init__(self, *, store: Store, deployments: Deployments, state: Path) -> None:
        self._store = store
        self._deployments = deployments
        self._state = state
        self._gcs_root = state / "storage"
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def check(self, task: BatchPrediction) -> None:
        """Says what can be known before a job is created.

        Raises:
            ValueError: It is not valid or cannot run here; one line that names the field.
        """
        self._deployments.check(task.served.spec, task.served.artifact_uri)
        instances.check(task.instance_config, task.instances_format)
        if not task.uris:
            raise ValueError("inputConfig.gcsSource.uris: empty; expected gs:// files")
        for uri in (*task.uris, task.directory):
            names.parse_uri(uri)

    def start(self, task: BatchPrediction) -> None:
        """Starts a job, or starts it again after a restart of the serving process; returns at once."""
        run = self._run(task.name)
        with self._lock:
            if self._closed or task.name in self._jobs or run.get("state") in _ENDED:
                return
            job = self._jobs[task.name] = _Job(task)
        if not run:
            self._write(job, "JOB_STATE_PENDING")
        thread = threading.Thread(target=self._conduct, args=(job,), name="batch-prediction", daemon=True)
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
        thread.start()

    def fail(self, name: str, message: str) -> None:
        """Ends a job that cannot be started again, because its model has been deleted."""
        run = {**self._run(name), "state": "JOB_STATE_FAILED", "endTime": time.time()}
        run["error"] = _status(_NOT_FOUND, message)
        self._store.write(f"{name}/run", "run", json.dumps(run).encode())

    def cancel(self, name: str) -> None:
        """Ends a job and its model server; one that has ended stays as it is."""
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            return
        with job.lock:
            if not job.ended and not job.cancelled.is_set():
                self._write(job, "JOB_STATE_CANCELLING")
                job.cancelled.set()

    def close(self) -> None:
        """Ends the model servers without ending the jobs, which begin again at their next start."""
        with self._lock:
            self._closed = True
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            job.cancelled.set()
        for thread in threads:
            thread.join(10.0)

    def _conduct(self, job: _Job) -> None:
        """A job's thread: from its record's state to an ended one, unless all is being closed."""
        state, error = "JOB_STATE_FAILED", None
        try:
            if self._run(job.task.name).get("state") == "JOB_STATE_CANCELLING":
                job.cancelled.set()
                raise _Cancelled
            self._predict(job)
            if job.failed and not job.successful:
                error = (_INVALID_ARGUMENT, f"All {job.failed} instances failed: see {job.task.directory}")
            else:
                state = "JOB_STATE_SUCCEEDED"
        except _Cancelled:
            state = "JOB_STATE_CANCELLED"
        except (ServerFailed, OSError, ValueError) as failure:
            error = (_INVALID_ARGUMENT, str(failure))
        except Exception as failure:  # a fault of ours must end the job, not leave it running for ever
            _logger.exception("batch prediction job %s", job.task.name)
            error = (_INTERNAL, f"{type(failure).__name__}: {failure}")
        with job.lock:
            job.ended = True
            if not self._closed:
                if job.cancelled.is_set():
                    state, error = "JOB_STATE_CANCELLED", None
                self._write(job, state, error)
        with self._lock:
            self._jobs.pop(job.task.name, None)

    def _predict(self, job: _Job) -> None:
        """Does the job: all rows through a model server, then the output to its directory."""
        task = job.task
        job_id = task.name.rpartition("/")[2]
        work = self._state / "work" / "batchPredictionJobs" / job_id / "output"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700, parents=True)
        files = self._files(task.uris)
        bucket = names.bucket_folder(self._gcs_root, names.parse_uri(task.directory)[0])
        if not bucket.is_dir():
            raise ValueError(f"outputConfig.gcsDestination: there is no bucket {bucket.name!r}")
        server = self._deployments.start_job(task.served)
        try:
            self._wait(job, server)
            with job.lock:
                if job.cancelled.is_set():
                    raise _Cancelled
                self._write(job, "JOB_STATE_RUNNING")
            kinds = ("results", "errors_stats")
            results, errors = (work / f"prediction.{kind}-00000-of-00001" for kind in kinds)
            with results.open("w", encoding="utf-8") as good, errors.open("w", encoding="utf-8") as bad:
                for batch in instances.batches(self._rows(files, task), task.batch_size):
                    if job.cancelled.is_set():
                        raise _Cancelled
                    self._one_batch(job, server, batch, good, bad)
        finally:
            server.stop()
        publish(self._gcs_root, work, task.directory)  # a directory of this job's before a kill is replaced
        shutil.rmtree(work.parent, ignore_errors=True)

    def _wait(self, job: _Job, server: ModelServer) -> None:
        try:
            server.wait_healthy(DEPLOYMENT_SECONDS, job.cancelled)
        except ServerFailed:
            if job.cancelled.is_set():
                raise _Cancelled from None
            raise

    def _one_batch(
        self, job: _Job, server: ModelServer, rows: list[Instance | Malformed], good: IO[str], bad: IO[str]
    ) -> None:
        """Predicts the instances of one request, and writes each to one of the two files."""
        sent = [row for row in rows if isinstance(row, Instance)]
        for row in rows:
            if isinstance(row, Malformed):
                _write_line(bad, {"instance": None, "error": _status(_INVALID_ARGUMENT, str(row))})
                job.failed += 1
        if sent:
            predictions, error = self._answers(job, server, sent)
            if error:
                for row in sent:
                    _write_line(bad, {**row.shown, "error": _status(_INVALID_ARGUMENT, error)})
                job.failed += len(sent)
            else:
                for row, prediction in zip(sent, predictions, strict=True):
                    _write_line(good, {**row.shown, "prediction": prediction})
                job.successful += len(sent)
        if time.monotonic() - job.noted > _NOTE_SECONDS:
            job.noted = time.monotonic()
            with job.lock:
                if not job.cancelled.is_set():
                    self._write(job, "JOB_STATE_RUNNING")

    def _answers(self, job: _Job, server: ModelServer, sent: list[Instance]) -> tuple[list, str]:
        """The predictions of one request, or why there are none."""
        content: dict[str, Any] = {"instances": [instance.sent for instance in sent]}
        if job.task.parameters is not None:
            content["parameters"] = job.task.parameters
        body = json.dumps(content).encode()
        for attempt in range(_ATTEMPTS):
            try:
                reply = server.post(body, {"Content-Type": "application/json"}, _REQUEST_SECONDS)
                break
            except (ServerFailed, TimeoutError) as error:
                if attempt + 1 == _ATTEMPTS:
                    return [], str(error)
                if job.cancelled.wait(2.0**attempt):
                    raise _Cancelled from None
        text = reply.body.decode(errors="replace")
        if reply.status != 200:
            return [], f"the model server answered {reply.status}: {text[:500]}"
        try:
            predictions = json.loads(text)["predictions"]
        except (ValueError, KeyError, TypeError):
            return [], f'the model server answered {text[:200]!r}; expected a JSON object with "predictions"'
        if not isinstance(predictions, list) or len(predictions) != len(sent):
            return [], f"the model server did not answer one prediction for each of {len(sent)} instances"
        return predictions, ""

    def _files(self, uris: tuple[str, ...]) -> list[Path]:
        """The files of the input, in order.

        Raises:
            ValueError: A URI names none.
        """
        found = []
        for uri in uris:
            bucket, name = names.parse_uri(uri)
            folder = names.bucket_folder(self._gcs_root, bucket)
            # Wildcards as `gcloud storage` has them; a file of that very name goes first.
            paths = [folder / name] if (folder / name).is_file() else sorted(folder.glob(name or "**/*"))
            files = [path for path in paths if path.is_file()]
            if not files:
                raise ValueError(f"inputConfig.gcsSource: there is no file {uri}")
            found += files
        return found

    def _rows(self, files: list[Path], task: BatchPrediction) -> Iterator[Instance | Malformed]:
        for path in files:
            with path.open(encoding="utf-8", newline="") as lines:
                if task.instances_format == "jsonl":
                    yield from instances.read_jsonl(lines, task.instance_config)
                elif task.instances_format == "csv":
                    yield from instances.read_csv(lines, task.instance_config)
                else:
                    yield from (self._of_file(line.strip()) for line in lines if line.strip())

    def _of_file(self, uri: str) -> Instance | Malformed:
        """The instance of a line of a file-list: the file's content."""
        try:
            content = folder_of(self._gcs_root, uri).read_bytes()
        except (OSError, ValueError) as error:
            return Malformed(f"{uri[:200]}: {getattr(error, 'strerror', None) or error}")
        return Instance({"b64": base64.b64encode(content).decode()}, {"instance": uri})

    def _run(self, name: str) -> dict[str, Any]:
        record = self._store.read(f"{name}/run")
        return json.loads(record.payload) if record else {}

    def _write(self, job: _Job, state: str, error: tuple[int, str] | None = None) -> None:
        before, now = self._run(job.task.name), time.time()
        is_over = state in _ENDED
        run = {
            "state": state,
            "startTime": before.get("startTime") or (now if state == "JOB_STATE_RUNNING" else None),
            "endTime": now if is_over else None,
            "error": _status(*error) if error else None,
            "successfulCount": job.successful,
            "failedCount": job.failed,
            "outputDirectory": job.task.directory if state == "JOB_STATE_SUCCEEDED" or job.failed else "",
        }
        self._store.write(f"{job.task.name}/run", "run", json.dumps(run).encode())


def _status(code: int, message: str) -> dict:
    return {"code": code, "message": message}


def _write_line(file: IO[str], content: dict) -> None:
    file.write(json.dumps(content, ensure_ascii=False) + "\n")
