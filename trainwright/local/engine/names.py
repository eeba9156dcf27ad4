"""Ids, resource names, paths and placeholder values of a run and its tasks.

Every id is a hash of what it names, so that a run that is continued after a crash finds its tasks' files
again.
"""

import datetime
import hashlib
import uuid
from pathlib import Path

from trainwright.local.engine.dialect import Dialect
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


def item_name(run: PipelineRun, path: str, output: str, index: int) -> str:
    """The resource name of one of the artifacts of a task's output that is a list."""
    return artifact_name(run, path, output, str(index))


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


def workspace(state: Path, run: PipelineRun) -> Path:
    """The folder that the tasks of a run share while it lasts.

    A pipeline's workspace is open-source KFP's (`dsl.WorkspaceConfig`, a volume there); Vertex AI has none.
    """
    return state.absolute() / "work" / run.job_id / "workspace"


def in_workspace(folder: Path, storage: Path, uri: str) -> Path:
    """Where in the workspace an importer puts what a URI stands for.

    As kfp looks for it in a task (kfp/dsl/types/artifact_types.py, 2.17.0, `Artifact._get_path`): below
    `.artifacts`, at the path that it would have outside.

    Args:
        folder: The workspace.
        storage: The folder in which each bucket is a folder.
        uri: gs://BUCKET/OBJECT, or an absolute path.

    Raises:
        OutsideStorage: As `local_path`.
    """
    return folder / ".artifacts" / str(local_path(storage.resolve(), uri)).lstrip("/")


def run_values(run: PipelineRun, workspace_path: str = "") -> dict[str, str]:
    """What the placeholders of a run stand for, by name without the leading "$.".

    Names: kfp.dsl and google_cloud_pipeline_components._placeholders (2.22.0, 2025-11-10). On Vertex AI the
    job's name is its id, which `PipelineJob.get` takes, not the display name as in open-source KFP.

    Args:
        run: The run, whose spec has been read.
        workspace_path: The run's workspace; "" where there is none yet.
    """
    scheduled = run.create_time if run.schedule_time is None else run.schedule_time
    return _identity(run) | {
        "workspace_path": workspace_path,
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


def _identity(run: PipelineRun) -> dict[str, str]:
    if run.dialect is Dialect.VERTEX:
        names = (run.job_id, run.name, numeric_id(run.name))
    else:
        identity = uuid.uuid5(uuid.NAMESPACE_URL, run.name)
        # The workflow is named after the pipeline, and five characters that tell runs apart.
        names = (run.display_name, f"{run.spec['pipelineInfo']['name']}-{identity.hex[:5]}", str(identity))
    return dict(
        zip(("pipeline_job_name", "pipeline_job_resource_name", "pipeline_job_uuid"), names, strict=True)
    )


def task_values(run: PipelineRun, key: str, path: str) -> dict[str, str]:
    """What the placeholders of one task stand for."""
    return {"pipeline_task_name": key, "pipeline_task_uuid": task_id(run, path)}


def _rfc3339(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
