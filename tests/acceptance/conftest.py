"""A user's folder and shell, and one local Vertex for the tests that share it: real processes only."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

HOUSE = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from trainwright.cli import main; main()")
PROJECT = "projects/100000000001/locations/us-central1"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """A user's shell: the folder it is in, the state folder, and what else is in its environment."""

    folder: Path
    state: Path
    house: bool = False
    variables: tuple[tuple[str, str], ...] = ()

    def start(self, *arguments: str, command: tuple[str, ...] = COMMAND) -> subprocess.Popen[str]:
        """Starts `trainwright ARGUMENTS`, or another command, in a process group of its own."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TRAINWRIGHT_")
        }
        environment |= {"TRAINWRIGHT_STATE": str(self.state), "PYTHONPATH": str(HOUSE)}
        environment |= {"PYTHONDONTWRITEBYTECODE": "", **dict(self.variables)}
        return subprocess.Popen(
            [*command, *arguments],
            cwd=HOUSE if self.house else self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __call__(self, *arguments: str, command: tuple[str, ...] = COMMAND) -> Done:
        """Runs it to its end."""
        return self.end(self.start(*arguments, command=command))

    def end(self, process: subprocess.Popen[str]) -> Done:
        out, err = process.communicate(timeout=240)
        return Done(process.returncode, out, err)

    def at_once(self, *commands: tuple[str, ...]) -> list[Done]:
        """Runs several commands at the same time."""
        return [self.end(process) for process in [self.start(*arguments) for arguments in commands]]

    def elsewhere(self, state: Path) -> "Shell":
        """The same shell with another state folder."""
        return replace(self, state=state)

    def in_house(self) -> "Shell":
        """The same shell in the repository."""
        return replace(self, house=True)

    def as_client(self) -> "Shell":
        """The same shell after `eval "$(trainwright local env)"`."""
        done = self("local", "env")
        assert done.status == 0, done.err
        read = "import json, os; print(json.dumps(dict(os.environ)))"
        exported = subprocess.run(
            ["sh", "-c", f"{done.out}\nexec \"$0\" -c '{read}'", sys.executable],
            env={}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return replace(self, variables=tuple(json.loads(exported.stdout).items()))

    def runs(self) -> list[str]:
        """The names of the runs that there are."""
        done = self("runs", "list", "--limit", "1000", "--json")
        assert done.status == 0, done.err
        return [run["name"] for run in done.json()["runs"]]


def until(condition: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> Any:
    """Waits for something to become true, and gives it."""
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def waits() -> Callable[..., Any]:
    return until


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder with compiled pipelines, and no local Vertex that is up."""
    folder = tmp_path_factory.mktemp("user")
    shell = Shell(folder, folder / ".trainwright")
    source = Path(__file__).with_name("users_pipelines.py")
    done = shell("compile", str(source), "--output", str(folder / "compiled"))
    assert done.status == 0, done.err
    return shell


@pytest.fixture(scope="session")
def shell(user: Shell) -> Iterator[Shell]:
    """The same folder, with a local Vertex that is up."""
    done = user("local", "up")
    assert done.status == 0, done.err
    yield user
    assert user("local", "down").status == 0


@dataclass(frozen=True)
class Churn:
    """The churn model, retrained by `trainwright run`: the run's name, and what was shown of it."""

    name: str
    shown: str

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]


@pytest.fixture(scope="session")
def churn(shell: Shell) -> Churn:
    data = ("-m", "examples.data", "churn", "gs://trainwright-local/data")
    done = shell.in_house().as_client()(command=(sys.executable, *data))
    assert done.status == 0, done.err
    done = shell.in_house()("run", "tabular_custom", "--params", "pipelines/tabular_custom.churn.json")
    assert done.status == 0, done.err
    return Churn(f"{PROJECT}/pipelineJobs/{done.out.split()[1]}", done.out)
