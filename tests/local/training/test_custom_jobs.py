"""Custom jobs as real processes, from queued to ended, through cancellation, loss and restart."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trainwright.local.execution import Work

NAME = "projects/trainwright-local/locations/us-central1/customJobs/77"
IMAGE = "python:3.11-slim"
POOL = {"replicaCount": "1", "machineSpec": {"machineType": "n1-standard-4"}}


def program(text: str, **fields) -> dict:
    """A job that runs a Python program; `BUCKET` is the folder of the bucket."""
    pool = {
        **POOL,
        "containerSpec": {
            "imageUri": IMAGE,
            "command": ["python3", "-c", text],
            "env": [{"name": "MINE", "value": "yes"}],
        },
    }
    return {
        "workerPoolSpecs": [pool],
        "baseOutputDirectory": {"outputUriPrefix": "gs://bucket/run"},
        **fields,
    }


def path_of(room, name: str) -> str:
    return repr(str(room.state / "storage" / "bucket" / name))


def test_success(room) -> None:
    room.start(
        program(
            "import os, json; print('training')\n"
            f"open({path_of(room, 'seen')}, 'w').write(json.dumps(dict(os.environ)))"
        )
    )
    run = room.wait_for("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED")
    assert run["state"] == "JOB_STATE_SUCCEEDED" and run["error"] is None
    assert room.states == [f"JOB_STATE_{state}" for state in ("QUEUED", "PENDING", "RUNNING", "SUCCEEDED")]
    assert run["startTime"] <= run["endTime"]
    seen = json.loads(room.wait_for_file("seen"))
    assert (seen["MINE"], seen["CLIENT"]) == ("yes", "local")
    assert seen["AIP_MODEL_DIR"] == "gs://bucket/run/model/"
    assert (seen["CLOUD_ML_PROJECT_ID"], seen["CLOUD_ML_JOB_ID"]) == ("100000000001", "77")
    assert "TF_CONFIG" not in seen and "VERTEX_AI_PIPELINES_RUN_LABELS" not in seen
    assert room.log() == "training\n"


def test_user_error_fails_at_once(room) -> None:
    room.start(program("print('about to fail'); import sys; sys.exit(3)"))
    run = room.wait_for("JOB_STATE_FAILED")
    log = room.state / "logs" / "customJobs" / "77" / "workerpool0-0.log"
    assert run["error"] == {
        "code": 3,
        "message": f"The replica workerpool0-0 exited with a non-zero status of 3. about to fail; log: {log}",
    }
    assert room.log() == "about to fail\n"  # once: no restart


def test_crash_is_tried_again_three_times(room) -> None:
    room.start(program("import os; print('try', flush=True); os.abort()"))
    run = room.wait_for("JOB_STATE_FAILED")
    assert room.log().count("try\n") == 4
    assert "non-zero status of 134" in run["error"]["message"]


def test_lost_replica_goes_on_from_its_checkpoint(room) -> None:
    checkpoint = path_of(room, "checkpoint")
    room.start(
        program(
            f"import os, signal; step = os.path.exists({checkpoint})\n"
            "assert not os.path.exists('local'); open('local', 'w').close()\n"
            f"open({checkpoint}, 'w').write('1')\n"
            "print('resumed' if step else 'fresh', flush=True)\n"
            "step or os.kill(os.getpid(), signal.SIGKILL)"
        )
    )
    room.wait_for("JOB_STATE_SUCCEEDED")
    assert [line for line in room.log().splitlines() if "restart" not in line] == ["fresh", "resumed"]


def test_cancel(room) -> None:
    room.start(
        program(
            "import signal, sys, time\n"
            f"def stop(*_): open({path_of(room, 'stopped')}, 'w').write('yes'); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, stop)\n"
            f"open({path_of(room, 'ready')}, 'w').write('yes'); time.sleep(300)"
        )
    )
    room.wait_for_file("ready")
    room.jobs.cancel(NAME)
    run = room.wait_for("JOB_STATE_CANCELLED")
    assert room.states[-2:] == ["JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"]
    assert run["error"] is None
    assert room.wait_for_file("stopped") == "yes"
    room.jobs.cancel(NAME)
    assert room.run["state"] == "JOB_STATE_CANCELLED"


def test_cancel_before_there_is_a_process(open_room: Callable, tmp_path: Path) -> None:
    room = open_room(slots=1)
    work = Work("busy", "alpine", ("sleep", "300"), (), {}, tmp_path / "log", tmp_path / "scratch")
    room.executor.start(work)
    room.start(program("print('never')"))
    room.wait_for("JOB_STATE_PENDING")
    room.jobs.cancel(NAME)
    room.wait_for("JOB_STATE_CANCELLED")
    assert room.log() == ""


def test_timeout(room) -> None:
    room.start(program("import time; time.sleep(300)", scheduling={"timeout": "0.5s"}))
    run = room.wait_for("JOB_STATE_FAILED")
    assert run["error"]["code"] == 4
    assert "timeout of 0.5 s" in run["error"]["message"]


def test_goes_on_after_the_serving_process_ended(open_room: Callable) -> None:
    first = open_room()
    spec = program(
        f"import os, time; again = os.path.exists({path_of(first, 'checkpoint')})\n"
        f"open({path_of(first, 'checkpoint')}, 'w').write('1')\n"
        "time.sleep(0 if again else 300)"
    )
    first.start(spec)
    first.wait_for_file("checkpoint")
    began = first.wait_for("JOB_STATE_RUNNING")["startTime"]
    first.close()
    second = open_room()
    assert second.run["state"] == "JOB_STATE_RUNNING"
    second.start(spec)
    assert second.wait_for("JOB_STATE_SUCCEEDED")["startTime"] == began
    second.start(spec)  # ended: nothing happens
    assert second.states[-1] == "JOB_STATE_SUCCEEDED" and not second.jobs._jobs


def test_python_package(room) -> None:
    path = room.state / "storage" / "bucket" / "trainer-1.0-py3-none-any.whl"
    info = "trainer-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trainer/__init__.py", "")
        archive.writestr("trainer/task.py", "import sys; print('trained with', sys.argv[1:])")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: trainer\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "trainer/__init__.py,,\ntrainer/task.py,,\n")
    package = {
        "executorImageUri": IMAGE,
        "packageUris": ["gs://bucket/trainer-1.0-py3-none-any.whl"],
        "pythonModule": "trainer.task",
        "args": ["--epochs=3"],
    }
    room.start({"workerPoolSpecs": [{**POOL, "pythonPackageSpec": package}]})
    room.wait_for("JOB_STATE_SUCCEEDED")
    assert room.log() == "trained with ['--epochs=3']\n"


def test_package_that_is_not_there(room) -> None:
    package = {
        "executorImageUri": IMAGE,
        "packageUris": ["gs://bucket/none-1.0-py3-none-any.whl"],
        "pythonModule": "none",
    }
    room.start({"workerPoolSpecs": [{**POOL, "pythonPackageSpec": package}]})
    error = room.wait_for("JOB_STATE_FAILED")["error"]
    assert error["code"] == 3 and "none-1.0-py3-none-any.whl" in error["message"]


def test_unknown_image_is_refused(room) -> None:
    spec = {
        "workerPoolSpecs": [{**POOL, "containerSpec": {"imageUri": "europe-docker.pkg.dev/p/r/trainer:1"}}]
    }
    with pytest.raises(
        ValueError, match=r"workerPoolSpecs\[0\]: image 'europe-docker.pkg.dev/p/r/trainer:1'"
    ):
        room.jobs.check(spec)
