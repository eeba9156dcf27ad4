"""What replicas are told of each other, to the byte, and the ports that they get."""

import json
import socket

import pytest

from trainwright.local.training.cluster import Ports, addresses_of, vertex_environment
from trainwright.local.training.replicas import replicas_of

POOL = {
    "replicaCount": "1",
    "machineSpec": {"machineType": "n1-standard-4"},
    "containerSpec": {"imageUri": "python:3.11-slim", "command": ["python3"]},
}
JOB = '"job":{"workerPoolSpecs":'
TEXT_OF_POOL = json.dumps(POOL, separators=(",", ":"))


def environment_of(number: int, *pools: dict, trial: str = "", **fields) -> dict[str, str]:
    spec = {"workerPoolSpecs": list(pools), **fields}
    replicas = replicas_of(spec)
    cluster = addresses_of(replicas, range(2222, 2222 + len(replicas)))
    return vertex_environment(
        spec,
        replicas[number],
        cluster,
        project_number="123",
        location="europe-west4",
        job_id="456",
        trial=trial,
    )


def test_a_single_replica() -> None:
    found = environment_of(0, POOL, {}, {}, baseOutputDirectory={"outputUriPrefix": "gs://bucket/run/"})
    assert found.pop("CLUSTER_SPEC") == (
        '{"cluster":{"workerpool0":["127.0.0.1:2222"]},"environment":"cloud","task":{"type":"workerpool0",'
        f'"index":0}},{JOB}[{TEXT_OF_POOL},{{}},{{}}],'
        '"baseOutputDirectory":{"outputUriPrefix":"gs://bucket/run/"}}}'
    )
    assert found == {
        "AIP_MODEL_DIR": "gs://bucket/run/model/",
        "AIP_CHECKPOINT_DIR": "gs://bucket/run/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": "gs://bucket/run/logs/",
        "CLOUD_ML_PROJECT_ID": "123",
        "CLOUD_ML_REGION": "europe-west4",
        "CLOUD_ML_JOB_ID": "456",
    }


def test_all_pools() -> None:
    two = {**POOL, "replicaCount": "2"}
    found = environment_of(2, POOL, two, POOL, POOL, trial="7")
    assert found["CLUSTER_SPEC"].startswith(
        '{"cluster":{"workerpool0":["127.0.0.1:2222"],"workerpool1":["127.0.0.1:2223","127.0.0.1:2224"],'
        '"workerpool2":["127.0.0.1:2225"],"workerpool3":["127.0.0.1:2226"]},"environment":"cloud",'
        f'"task":{{"type":"workerpool1","index":1,"trial":"7"}},{JOB}[{TEXT_OF_POOL},'
    )
    before, _, after = found["TF_CONFIG"].partition(JOB)
    assert before == (
        '{"cluster":{"chief":["127.0.0.1:2222"],"ps":["127.0.0.1:2225"],"worker":["127.0.0.1:2223",'
        '"127.0.0.1:2224"]},"environment":"cloud",'
    )
    assert after.endswith('},"task":{"cloud":"456","index":1,"trial":"7","type":"worker"}}')
    assert found["CLOUD_ML_TRIAL_ID"] == "7"


@pytest.mark.parametrize(("number", "kind"), [(0, "chief"), (1, "evaluator")])
def test_an_evaluator_is_not_in_the_cluster_of_tensorflow(number: int, kind: str) -> None:
    config = json.loads(environment_of(number, POOL, {}, {}, POOL)["TF_CONFIG"])
    assert config["cluster"] == {"chief": ["127.0.0.1:2222"]}
    assert config["task"] == {"cloud": "456", "index": 0, "type": kind}


def test_ports_are_free_and_given_once() -> None:
    ports = Ports()
    first, second = ports.take(50), ports.take(50)
    assert len({*first, *second}) == 100
    for port in first:
        with socket.create_server(("127.0.0.1", port)):
            pass
    ports.give_back(first)
    assert len(ports.take(50)) == 50
