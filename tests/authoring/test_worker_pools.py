from typing import Any

import pytest

from trainwright.authoring.containers import Container, PythonPackage, find_prebuilt, prebuilt_image
from trainwright.authoring.errors import Impossible
from trainwright.authoring.machines import Machine
from trainwright.authoring.worker_pools import Disk, WorkerPool, worker_pool_specs

IMAGE = "europe-docker.pkg.dev/acme/trainers/churn@sha256:" + "0" * 64
L4 = Machine("g2-standard-12")


def test_pools_render_to_the_messages_of_the_api() -> None:
    from google.cloud.aiplatform_v1.types import WorkerPoolSpec

    specs = worker_pool_specs(
        WorkerPool(L4, Container(IMAGE, args=["--rounds=3"], env={"A": "b"}), disk=Disk(200)),
        parameter_servers=WorkerPool(Machine("n1-highcpu-16"), Container(IMAGE), replica_count=2),
    )
    assert specs[1] == {}
    first, _, third = (WorkerPoolSpec(spec) for spec in specs)
    assert (first.machine_spec.accelerator_type.name, first.machine_spec.accelerator_count) == (
        "NVIDIA_L4",
        1,
    )
    assert (first.disk_spec.boot_disk_size_gb, first.container_spec.env[0].value) == (200, "b")
    assert third.replica_count == 2
    packaged = WorkerPool(
        L4,
        PythonPackage(
            prebuilt_image("training", "Ray").uri("europe"), ["gs://b/p-1.tar.gz"], "p.task", args=["--a=1"]
        ),
    )
    message = WorkerPoolSpec(packaged.worker_pool_spec())
    assert message.python_package_spec.python_module == "p.task"


def _pool(machine: Machine = L4, **given: Any) -> WorkerPool:
    return WorkerPool(machine, Container(IMAGE), **given)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: worker_pool_specs(_pool(replica_count=2)), "replica_count 2 of the primary pool"),
        (lambda: _pool(replica_count=0), "replica_count 0, expected 1 or more"),
        (lambda: _pool(Machine("ct5lp-hightpu-4t"), replica_count=2), "a TPU job has one replica"),
        (
            lambda: worker_pool_specs(_pool(Machine("ct5lp-hightpu-4t")), workers=_pool()),
            "a TPU job has one pool",
        ),
        (
            lambda: worker_pool_specs(
                _pool(), workers=_pool(Machine("g2-standard-24")), strategy="FLEX_START"
            ),
            "all pools of such a job have the same machine",
        ),
        (
            lambda: worker_pool_specs(_pool(), parameter_servers=_pool(), reduction_servers=_pool()),
            "the third pool can be only one of them",
        ),
        (lambda: worker_pool_specs(_pool(), location="europe-west1"), "NVIDIA_L4 is not in europe-west1"),
        (lambda: Disk(50), "disk of 50 GB, expected 100 to 64,000"),
        (lambda: Disk(type="pd-sdd"), "disk type 'pd-sdd', nearest is 'pd-ssd'"),
        (lambda: Container(IMAGE, args="--a"), "args is the text '--a', expected a list"),
        (lambda: Container(IMAGE, env={"a-b": "1"}), "environment variable 'a-b'"),
        (
            lambda: Container("us-docker.pkg.dev/vertex-ai/training/tf-gpu.2-17.py310:latest"),
            "past the end of its availability, 2026-07-11: use an image of your own, or",
        ),
        (
            lambda: Container("us-docker.pkg.dev/vertex-ai/training/tf-gpu.2-99:latest"),
            "no prebuilt training image of that name",
        ),
        (lambda: prebuilt_image("training", "XGBoost"), "past the end of its availability, 2026-07-11"),
        (lambda: prebuilt_image("prediction", "xgbost"), "nearest is 'XGBoost'"),
        (lambda: PythonPackage(IMAGE, [], "m"), "0 package_uris"),
        (lambda: PythonPackage(IMAGE, ["http://x"], "m"), "expected one that begins with gs://"),
    ],
)
def test_what_cannot_be_together_is_refused(build: Any, message: str) -> None:
    with pytest.raises(Impossible) as raised:
        build()
    assert message in str(raised.value)


def test_prebuilt_images_are_known_by_all_their_names() -> None:
    found = find_prebuilt("asia-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest")
    assert found is not None
    assert (found.framework, found.kind, str(found.end_of_availability)) == (
        "XGBoost",
        "prediction",
        "2027-01-14",
    )
    old = find_prebuilt("gcr.io/cloud-aiplatform/training/tf-cpu.2-3:latest")
    assert old is not None
    assert (old.problem() or "").endswith("Program, which needs none")
    assert find_prebuilt("python:3.11-slim") is None
