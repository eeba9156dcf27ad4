"""A disk that fills up: the run waits with a clear line, nothing is half written, and goes on with space."""

import contextlib
import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kfp import dsl

_HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = _module("conftest")
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True, check=False
        ).returncode
        != 0,
        reason="this kernel allows no user namespaces, so there is no small disk",
    ),
]


def test_a_run_waits_for_space_and_goes_on(vertices: Callable, tmp_path: Path) -> None:
    mark = _module("disturbed_pipeline").mark

    @dsl.pipeline(name="filling")
    def filling(folder: str):
        number: Any = 3
        for _ in range(8):
            number = mark(
                folder=folder, task=dsl.PIPELINE_TASK_ID_PLACEHOLDER, number=number, seconds=0.2
            ).output

    vertex = vertices("filling", megabytes=24)
    vertex.start()
    template = support.compiled(filling, tmp_path)
    vertex.submit(template, "filling")
    support.until(lambda: len(vertex.lines()) >= 2, vertex.said)
    filler = vertex.seen / "storage" / "trainwright-local" / "filler"
    _fill(filler)

    # A task whose own files no longer fit fails; what is decided then cannot be recorded, and is waited for.
    support.until(
        lambda: "its state cannot be written: database or disk is full" in vertex.said(), vertex.said
    )
    filler.unlink()
    state = vertex.wait("filling")
    tasks = vertex.tasks("filling").values()
    assert {task["state"] for task in tasks} <= {"SUCCEEDED", "FAILED", "NOT_TRIGGERED"}
    # The reason is not always there: the log that would hold it is on the same disk.
    assert state == "SUCCEEDED" or "failed with exit code" in vertex.run("filling")["error"]["message"]
    vertex.submit(template, "again")
    assert vertex.wait("again") == "SUCCEEDED"
    assert vertex.query("PRAGMA integrity_check") == [["ok"]]
    assert "Traceback" not in vertex.said()


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
