"""What a CustomJobSpec asks for, as plain values: one replica, its command and its environment.

Specs are CustomJobSpec as camelCase JSON (google-cloud-aiplatform 1.165.1, types/custom_job.py).
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

NAME = "workerpool0-0"
"""The only replica, as Vertex AI names it in messages and logs."""

_DAYS_7 = 604_800.0
# Fields that put files into the container which are not there on this machine, and a machine that is not.
_ABSENT = {"nfsMounts": "a network file system", "lustreMounts": "a Lustre file system"}


@dataclass(frozen=True)
class Replica:
    """One container of a job.

    Args:
        image: What it would run in.
        command: With the installation of its Python packages, if any, in front.
        args: What follows the command.
        environment: The variables of the spec.
    """

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: Mapping[str, str]


def replica_of(spec: dict) -> Replica:
    """The replica that a job consists of.

    Raises:
        ValueError: The spec is not valid, or asks for what cannot run here; one line that names the field.
    """
    pool = _only_pool(spec)
    container, package = pool.get("containerSpec", {}), pool.get("pythonPackageSpec", {})
    where = "workerPoolSpecs[0]"
    if bool(container) == bool(package):
        raise ValueError(f"{where}: expected either containerSpec or pythonPackageSpec")
    environment = _variables((container or package).get("env", []), where)
    if container:
        image = _text(container, "imageUri", f"{where}.containerSpec")
        return Replica(
            image, tuple(container.get("command", ())), tuple(container.get("args", ())), environment
        )
    where += ".pythonPackageSpec"
    image, module = _text(package, "executorImageUri", where), _text(package, "pythonModule", where)
    command = (*_installation(package.get("packageUris", ()), where), "python3", "-m", module)
    return Replica(image, command, tuple(package.get("args", ())), environment)


def timeout_of(spec: dict) -> float:
    """Seconds that the job may run; 7 days unless the spec says otherwise.

    Raises:
        ValueError: It is no duration such as "3600s".
    """
    text = spec.get("scheduling", {}).get("timeout")
    if text is None:
        return _DAYS_7
    if not re.fullmatch(r"\d+(?:\.\d+)?s", str(text)):
        raise ValueError(f'scheduling.timeout: {text!r}; expected seconds such as "3600s"')
    return float(text[:-1]) or _DAYS_7


def output_directory_of(spec: dict) -> str:
    """The job's base output directory without its last slash; empty when there is none.

    Raises:
        ValueError: It is not in Cloud Storage.
    """
    uri = spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "")
    if uri and not re.fullmatch(r"gs://[^/]+(?:/.*)?", uri):
        raise ValueError(f"baseOutputDirectory.outputUriPrefix: {uri!r}; expected gs://BUCKET/PATH")
    return uri.rstrip("/")


def vertex_environment(
    spec: dict, *, project_number: str, location: str, job_id: str, port: int
) -> dict[str, str]:
    """The variables that Vertex AI sets in the container of the only replica of a job.

    AIP_*: CustomJobSpec.base_output_directory (google-cloud-aiplatform 1.165.1). CLOUD_ML_PROJECT_ID is the
    project's number (docs, "Prepare training code", 2026-08-22). CLUSTER_SPEC is on every replica, TF_CONFIG
    on those of distributed jobs only (docs, "Distributed training", 2026-08-22). AIP_EXPERIMENT_*: what the
    SDK's Experiments go by inside a job (metadata/constants.py of google-cloud-aiplatform 1.165.1).

    Args:
        spec: The job's.
        project_number: Decimal digits.
        location: Such as us-central1.
        job_id: The last part of the job's name.
        port: A free port of this machine; on Vertex AI it is 2222 of a host of its own.
    """
    environment = {
        "CLOUD_ML_PROJECT_ID": project_number,
        "CLOUD_ML_REGION": location,
        "CLOUD_ML_JOB_ID": job_id,
        "CLUSTER_SPEC": json.dumps(
            {
                "cluster": {"workerpool0": [f"127.0.0.1:{port}"]},
                "environment": "cloud",
                "task": {"type": "workerpool0", "index": 0},
                "job": spec,
            }
        ),
    }
    if base := output_directory_of(spec):
        environment["AIP_MODEL_DIR"] = f"{base}/model/"
        environment["AIP_CHECKPOINT_DIR"] = f"{base}/checkpoints/"
        environment["AIP_TENSORBOARD_LOG_DIR"] = f"{base}/logs/"
    if experiment := spec.get("experiment"):
        environment["AIP_EXPERIMENT_NAME"] = experiment
    if experiment_run := spec.get("experimentRun"):
        environment["AIP_EXPERIMENT_RUN_NAME"] = experiment_run
    return environment


def _only_pool(spec: dict) -> dict:
    pools = spec.get("workerPoolSpecs") or [{}]
    if not pools[0]:
        raise ValueError("workerPoolSpecs[0]: empty; expected the pool of the primary replica")
    for number, pool in enumerate(pools):
        count = int(pool.get("replicaCount", 1 if number == 0 else 0))
        if number == 0 and count != 1:
            raise ValueError(f"workerPoolSpecs[0].replicaCount: {count}; expected 1, the primary replica")
        if number > 0 and count > 0:
            raise ValueError(
                f"workerPoolSpecs[{number}].replicaCount: {count}; local Vertex runs one replica for now"
            )
    if spec.get("persistentResourceId"):
        raise ValueError("persistentResourceId: local Vertex has no persistent resources")
    for field, what in _ABSENT.items():
        if pools[0].get(field):
            raise ValueError(f"workerPoolSpecs[0].{field}: local Vertex cannot mount {what}")
    return pools[0]


def _installation(uris: list[str], where: str) -> tuple[str, ...]:
    if not uris:
        raise ValueError(f"{where}.packageUris: empty; expected at least one gs://BUCKET/PACKAGE")
    for uri in uris:
        if not re.fullmatch(r"gs://[^/]+/.+", uri):
            raise ValueError(f"{where}.packageUris: {uri!r}; expected gs://BUCKET/PACKAGE")
    paths = " ".join(shlex.quote("/gcs/" + uri.removeprefix("gs://")) for uri in uris)
    return "sh", "-ec", f'python3 -m pip install --quiet {paths} && "$0" "$@"'


def _variables(entries: list[dict], where: str) -> dict[str, str]:
    variables = {}
    for entry in entries:
        name = entry.get("name", "")
        if not name or "=" in name or name in variables:
            raise ValueError(f"{where}: env name {name!r} is empty, repeated or holds a '='")
        variables[name] = entry.get("value", "")
    return variables


def _text(spec: dict, field: str, where: str) -> str:
    value = spec.get(field)
    if not value:
        raise ValueError(f"{where}.{field}: empty")
    return value
