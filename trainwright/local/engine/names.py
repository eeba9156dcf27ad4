"""Ids, resource names, paths and placeholder values of a run and its tasks.

Every id is a hash of what it names, so that a run that is continued after a crash finds its tasks' files
again.
"""

import datetime
import hashlib
from pathlib import Path

from trainwright.local.engine.pipeline_run import PipelineRun

_GS = "gs://"


class OutsideStorage(ValueError):
    """A URI leads out of the folder that holds the buckets."""


def numeric_id(*parts: str) -> str:
    """A positive 63-bit number in decimal, as Vertex AI's ids are, made of nothing but the parts."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return str((int.from_bytes(digest[:8]) >> 1) | (1 << 61))


def task_id(run: PipelineRun, path: str) -> str:
    """The id of the task at a path of a run."""
    return numeric_id(run.name, "task", path)


def task_record(run: PipelineRun, path: str) -> str:
    """The name of a task's record in the store."""
    return f"{run.name}/tasks/{task_id(run, path)}"


def artifact_name(run: PipelineRun, *parts: str) -> str:
    """The resource name of an artifact that a task of the run makes."""
    store = f"projects/{run.project_number}/locations/{run.location}/metadataStores/default"
    return f"{store}/artifacts/{numeric_id(run.name, 'artifact', *parts)}"


def task_root(run: PipelineRun, name: str, path: str) -> str:
    """The URI below which a task's outputs lie: ROOT/PROJECT_NUMBER/JOB_ID/TASK_NAME_TASK_ID."""
    root = run.pipeline_root.rstrip("/")
    return f"{root}/{run.project_number}/{run.job_id}/{name}_{task_id(run, path)}"


def local_path(storage: Path, uri: str) -> Path:
    """The file behind a URI.

    Args:
        storage: The folder in which each bucket is a folder.
        uri: gs://BUCKET/OBJECT, or an absolute path.

    Raises:
        OutsideStorage: Another scheme, or the object's name climbs out of its bucket.
    """
    if not uri.startswith(_GS):
        if uri.startswith("/"):
            return Path(uri)
        raise OutsideStorage(f"{uri!r} is not in local storage: expected gs://BUCKET/OBJECT")
    bucket, _, name = uri.removeprefix(_GS).partition("/")
    if not bucket or bucket in {".", ".."} or ".." in name.split("/") or "\0" in uri:
        raise OutsideStorage(f"{uri!r} is no object of a bucket")
    return storage / bucket / name


def log_path(state: Path, run: PipelineRun, path: str) -> Path:
    """The log of the task at a path of a run."""
    name = path.replace("/", ".")
    if len(name.encode()) > 200:  # a file name has at most 255 bytes
        name = f"{name.encode()[:160].decode(errors='ignore')}-{task_id(run, path)}"
    return state / "logs" / "pipelineJobs" / run.job_id / f"{name}.log"


def run_values(run: PipelineRun) -> dict[str, str]:
    """What the placeholders of a run stand for, by name without the leading "$.".

    Names: kfp.dsl and google_cloud_pipeline_components._placeholders (2.22.0, 2025-11-10). On Vertex AI the
        job's name is its
    id, which `PipelineJob.get` takes, not the display name as in open-source KFP.
    """
    scheduled = run.create_time if run.schedule_time is None else run.schedule_time
    return {
        "pipeline_job_name": run.job_id,
        "pipeline_job_resource_name": run.name,
        "pipeline_job_uuid": numeric_id(run.name),
        "pipeline_job_create_time_utc": _rfc3339(run.create_time),
        "pipeline_job_schedule_time_utc": _rfc3339(scheduled),
        "pipeline_job_schedule_time_utc_placeholder": _rfc3339(scheduled),
        "pipeline_root": run.pipeline_root,
        "pipeline_google_cloud_project_id": run.project,
        "pipeline_google_cloud_location": run.location,
        "pipeline_service_account": run.service_account,
        "pipeline_network": run.network,
        "pipeline_persistent_resource_id": "",
        "pipeline_encryption_key_name": run.encryption_key,
    }


def task_values(run: PipelineRun, key: str, path: str) -> dict[str, str]:
    """What the placeholders of one task stand for."""
    return {"pipeline_task_name": key, "pipeline_task_uuid": task_id(run, path)}


def _rfc3339(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
