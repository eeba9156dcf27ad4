"""Which job specs are refused, with the field's name, and what the others are read as."""

import pytest

from trainwright.local.training.replicas import replicas_of
from trainwright.local.training.specs import check, timeout_of

MACHINE = {"machineType": "n1-standard-4"}
A100 = {"machineType": "a2-highgpu-1g", "acceleratorType": "NVIDIA_TESLA_A100", "acceleratorCount": 1}
CONTAINER = {"imageUri": "python:3.11-slim", "command": ["python3"], "args": ["-c", "pass"]}
PACKAGE = {
    "executorImageUri": "us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-6:latest",
    "packageUris": ["gs://bucket/a folder/trainer-1.0.tar.gz"],
    "pythonModule": "trainer.task",
    "args": ["--epochs=3"],
}
REDUCTION = {"imageUri": "europe-docker.pkg.dev/vertex-ai-restricted/training/reductionserver:latest"}


def pool(count: int = 1, **fields) -> dict:
    task = {} if {"containerSpec", "pythonPackageSpec"} & set(fields) else {"containerSpec": CONTAINER}
    return {"replicaCount": str(count), "machineSpec": MACHINE, **task, **fields}


def job(*pools: dict, **fields) -> dict:
    return {"workerPoolSpecs": list(pools or (pool(),)), **fields}


def test_container() -> None:
    spec = job(pool(containerSpec={**CONTAINER, "env": [{"name": "A", "value": "1"}, {"name": "B"}]}))
    check(spec)
    (replica,) = replicas_of(spec)
    assert (replica.name, replica.image) == ("workerpool0-0", "python:3.11-slim")
    assert (replica.command, replica.args) == (("python3",), ("-c", "pass"))
    assert replica.environment == {"A": "1", "B": ""}
    assert timeout_of(spec) == 604_800


def test_python_package() -> None:
    spec = job(pool(pythonPackageSpec=PACKAGE))
    check(spec)
    (replica,) = replicas_of(spec)
    assert replica.image == PACKAGE["executorImageUri"]
    assert "'/gcs/bucket/a folder/trainer-1.0.tar.gz'" in replica.command[2]
    assert replica.command[3:] == ("python3", "-m", "trainer.task")
    assert replica.args == ("--epochs=3",)


def test_pools() -> None:
    spec = job(pool(), pool(2), {}, pool())
    check(spec)
    names = [replica.name for replica in replicas_of(spec)]
    assert names == ["workerpool0-0", "workerpool1-0", "workerpool1-1", "workerpool3-0"]


def test_reduction_servers_stand_idle() -> None:
    spec = job(pool(), pool(2), pool(3, containerSpec=REDUCTION))
    check(spec)
    assert all("exec sleep infinity" in replica.command[2] for replica in replicas_of(spec)[3:])


@pytest.mark.parametrize(
    "fields",
    [
        {"persistentResourceId": "machines", "network": "projects/1/global/networks/n"},
        {"scheduling": {"strategy": "SPOT", "restartJobOnWorkerRestart": True, "maxWaitDuration": "86400s"}},
        {"tensorboard": "t", "serviceAccount": "a@b", "baseOutputDirectory": {"outputUriPrefix": "gs://b/run"}},
    ],
)  # fmt: skip
def test_accepted(fields: dict) -> None:
    check(job(pool(diskSpec={"bootDiskType": "pd-standard", "bootDiskSizeGb": 64_000}), **fields))


SPECIFIC = {"reservationAffinityType": "SPECIFIC_RESERVATION", "key": "k", "values": ["v"]}
FLEX = {"scheduling": {"strategy": "FLEX_START"}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "workerPoolSpecs[0]: empty"),
        (job({}, pool()), "workerPoolSpecs[0]: empty"),
        (job(*[pool()] * 5), "workerPoolSpecs: 5 pools; expected at most 4"),
        (job({"machineSpec": MACHINE}), "workerPoolSpecs[0]: expected either containerSpec or"),
        (job(pool(containerSpec=CONTAINER, pythonPackageSpec=PACKAGE)), "either containerSpec or"),
        (job(pool(2)), "workerPoolSpecs[0].replicaCount: 2; expected 1"),
        (job(pool(), pool(0)), "workerPoolSpecs[1].replicaCount: 0; expected 1 or more, or {} to skip"),
        (job(pool(machineSpec={})), "workerPoolSpecs[0].machineSpec.machineType: empty"),
        (job(pool(), pool(machineSpec={**MACHINE, "acceleratorCount": 1})), "[1].machineSpec.accel"),
        (job(pool(machineSpec={**A100, "acceleratorCount": 0})), "acceleratorCount: 0; expected 1 or more"),
        (job(pool(diskSpec={"bootDiskSizeGb": 99})), "diskSpec.bootDiskSizeGb: 99; expected 100 to 64000"),
        (job(pool(diskSpec={"bootDiskType": "ssd"})), "bootDiskType: 'ssd'; expected one of pd-ssd,"),
        (job(pool(containerSpec={"command": ["x"]})), "workerPoolSpecs[0].containerSpec.imageUri: empty"),
        (job(pool(containerSpec={**CONTAINER, "args": ["x" * 100_001]})), "containerSpec.args: 1000"),
        (job(pool(containerSpec={**CONTAINER, "env": [{"value": "1"}]})), "containerSpec.env: name ''"),
        (job(pool(containerSpec={**CONTAINER, "env": [{"name": "A"}] * 101})), "101 variables; expected at"),
        (job(pool(nfsMounts=[{"server": "x", "path": "/a"}])), "nfsMounts.server: 'x'; expected an IP"),
        (job(pool(nfsMounts=[{"server": "10.0.0.1", "path": "/a", "mountPoint": "a"}])),
         "workerPoolSpecs[0].nfsMounts: local Vertex cannot mount a network file system"),
        (job(pool(pythonPackageSpec={**PACKAGE, "packageUris": []})), "packageUris: empty"),
        (job(pool(pythonPackageSpec={**PACKAGE, "packageUris": ["a.whl"]})), "'a.whl'; expected gs://"),
        (job(pool(containerSpec=REDUCTION)), "Reduction Server; expected in the third pool"),
        (job(scheduling={"timeout": "3 hours"}), "scheduling.timeout: '3 hours'; expected seconds"),
        (job(**FLEX), "FLEX_START with accelerator ''; expected one of L4, A100"),
        (job(pool(machineSpec=A100), pool(), **FLEX), "workerPoolSpecs[1].machineSpec: not that of"),
        (job(pool(machineSpec={**MACHINE, "reservationAffinity": SPECIFIC}), persistentResourceId="x"),
         "workerPoolSpecs[0].machineSpec.reservationAffinity: SPECIFIC_RESERVATION; a job with a persistent"),
        (job(baseOutputDirectory={"outputUriPrefix": "/tmp"}), "outputUriPrefix: '/tmp'; expected gs://"),
        (job(pool(machineSpec={"machineType": "ct5lp-hightpu-4t", "tpuTopology": "2x2"}), pool()),
         "workerPoolSpecs: several pools with a TPU; expected one pool with one replica"),
        (job(network="n", pscInterfaceConfig={"networkAttachment": "a"}), "pscInterfaceConfig: set together"),
        (job(tensorboard="t"), "serviceAccount: empty; a job with a tensorboard needs one"),
    ],
)  # fmt: skip
def test_refused(spec: dict, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        check(spec)
    assert said in str(caught.value) and "\n" not in str(caught.value)
