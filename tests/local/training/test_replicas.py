"""What job specs are read as, and which are refused with the field's name."""

import json

import pytest

from trainwright.local.training.failures import restarts_after
from trainwright.local.training.replicas import replica_of, timeout_of, vertex_environment

CONTAINER = {"imageUri": "python:3.11-slim", "command": ["python3"], "args": ["-c", "pass"]}
PACKAGE = {
    "executorImageUri": "us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-6:latest",
    "packageUris": ["gs://bucket/a folder/trainer-1.0.tar.gz"],
    "pythonModule": "trainer.task",
    "args": ["--epochs=3"],
}


def job(pool: dict, **fields) -> dict:
    return {"workerPoolSpecs": [{"replicaCount": "1", **pool}], **fields}


def test_container() -> None:
    spec = job({"containerSpec": {**CONTAINER, "env": [{"name": "A", "value": "1"}, {"name": "B"}]}})
    replica = replica_of(spec)
    assert (replica.image, replica.command, replica.args) == (
        "python:3.11-slim",
        ("python3",),
        ("-c", "pass"),
    )
    assert replica.environment == {"A": "1", "B": ""}
    assert timeout_of(spec) == 604_800


def test_python_package() -> None:
    replica = replica_of(job({"pythonPackageSpec": PACKAGE}))
    assert replica.image == PACKAGE["executorImageUri"]
    assert "'/gcs/bucket/a folder/trainer-1.0.tar.gz'" in replica.command[2]
    assert replica.command[3:] == ("python3", "-m", "trainer.task")
    assert replica.args == ("--epochs=3",)


def test_environment_of_a_single_replica() -> None:
    spec = job({"containerSpec": CONTAINER}, baseOutputDirectory={"outputUriPrefix": "gs://bucket/run/"})
    environment = vertex_environment(
        spec, project_number="123", location="europe-west4", job_id="456", port=2222
    )
    cluster = json.loads(environment.pop("CLUSTER_SPEC"))
    assert cluster == {
        "cluster": {"workerpool0": ["127.0.0.1:2222"]},
        "environment": "cloud",
        "task": {"type": "workerpool0", "index": 0},
        "job": spec,
    }
    assert environment == {
        "AIP_MODEL_DIR": "gs://bucket/run/model/",
        "AIP_CHECKPOINT_DIR": "gs://bucket/run/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": "gs://bucket/run/logs/",
        "CLOUD_ML_PROJECT_ID": "123",
        "CLOUD_ML_REGION": "europe-west4",
        "CLOUD_ML_JOB_ID": "456",
    }


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "workerPoolSpecs[0]: empty"),
        ({"workerPoolSpecs": [{}]}, "workerPoolSpecs[0]: empty"),
        (job({}), "either containerSpec or pythonPackageSpec"),
        (job({"containerSpec": CONTAINER, "pythonPackageSpec": PACKAGE}), "either containerSpec or"),
        (job({"containerSpec": CONTAINER, "replicaCount": "2"}), "[0].replicaCount: 2; expected 1"),
        (job({"containerSpec": {"command": ["x"]}}), "workerPoolSpecs[0].containerSpec.imageUri: empty"),
        (job({"containerSpec": {**CONTAINER, "env": [{"value": "1"}]}}), "env name ''"),
        (job({"containerSpec": CONTAINER, "nfsMounts": [{"server": "x"}]}), "workerPoolSpecs[0].nfsMounts"),
        (job({"containerSpec": CONTAINER}, persistentResourceId="x"), "persistentResourceId"),
        (job({"pythonPackageSpec": {**PACKAGE, "packageUris": []}}), "pythonPackageSpec.packageUris: empty"),
        (job({"pythonPackageSpec": {**PACKAGE, "packageUris": ["a.whl"]}}), "packageUris: 'a.whl'; expected gs://"),
        (
            {"workerPoolSpecs": [{"containerSpec": CONTAINER}, {}, {"replicaCount": "3", "x": 1}]},
            "workerPoolSpecs[2].replicaCount: 3; local Vertex runs one replica",
        ),
    ],
)  # fmt: skip
def test_refused(spec: dict, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        replica_of(spec)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_skipped_pools_are_no_pools() -> None:
    spec = {"workerPoolSpecs": [{"containerSpec": CONTAINER}, {}, {}]}
    assert replica_of(spec).image == CONTAINER["imageUri"]


def test_timeout() -> None:
    assert timeout_of({"scheduling": {"timeout": "1.5s"}}) == 1.5
    with pytest.raises(ValueError, match=r"scheduling.timeout: '3 hours'"):
        timeout_of({"scheduling": {"timeout": "3 hours"}})


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "restarts"),
    [(1, False, 0), (2, False, 0), (6, False, 3), (134, False, 3), (139, False, 3), (-6, False, 3),
     (-11, False, 3), (-9, False, 5), (137, False, 5), (-15, False, 5), (-9, True, 0), (137, True, 0)],
)  # fmt: skip
def test_restarts(exit_code: int, out_of_memory: bool, restarts: int) -> None:
    assert restarts_after(exit_code, ran_out_of_memory=out_of_memory, spec={}) == restarts
    never = {"scheduling": {"disableRetries": True}}
    assert restarts_after(exit_code, ran_out_of_memory=out_of_memory, spec=never) == 0
