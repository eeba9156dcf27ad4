"""Real executors on a fresh state folder, and real compiled components."""

import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kfp import compiler

from trainwright.local.execution import Executor, Work


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def executor(state: Path) -> Iterator[Executor]:
    executor = Executor(state=state, client_environment={}, gcs_root=state / "storage")
    yield executor
    executor.close()


@pytest.fixture
def command_work(state: Path) -> Callable[..., Work]:
    numbers = itertools.count()

    def make(*command: str, image: str = "alpine", environment: dict | None = None) -> Work:
        name = f"command-{next(numbers)}"
        return Work(
            name, image, command, (), environment or {}, state / "logs" / f"{name}.log", state / "work" / name
        )

    return make


@pytest.fixture
def component_work(state: Path, tmp_path: Path) -> Callable[..., tuple[Work, Path]]:
    """A work from a component, compiled, with its inputs; and the file of its executor output."""
    numbers = itertools.count()

    def make(
        component: object, *, inputs: dict | None = None, environment: dict | None = None
    ) -> tuple[Work, Path]:
        name = f"component-{next(numbers)}"
        compiler.Compiler().compile(component, str(tmp_path / "component.yaml"))
        spec = yaml.safe_load((tmp_path / "component.yaml").read_text())
        [executor_spec] = spec["deploymentSpec"]["executors"].values()
        container = executor_spec["container"]
        folder = state / "outputs" / name
        folder.mkdir(parents=True)
        executor_input = {
            "inputs": {"parameterValues": inputs or {}},
            "outputs": {
                "parameters": {"Output": {"outputFile": str(folder / "Output")}},
                "outputFile": str(folder / "executor_output.json"),
            },
        }
        args = tuple(word.replace("{{$}}", json.dumps(executor_input)) for word in container["args"])
        work = Work(
            name,
            container["image"],
            tuple(container["command"]),
            args,
            environment or {},
            state / "logs" / f"{name}.log",
            state / "work" / name,
        )
        return work, folder / "executor_output.json"

    return make


@pytest.fixture
def wheel() -> Callable[[Path, str, int], Path]:
    def make(folder: Path, name: str, answer: int) -> Path:
        """A wheel with a module of that name that has an `answer`."""
        info = f"{name}-1.0.dist-info"
        path = folder / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", f"answer = {answer}\n")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(
                f"{info}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(
                f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
            )
        return path

    return make
