"""The command against a real local Vertex: runs from the first line of progress to the last line of a log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
COMMAND = "from trainwright.cli import main; main()"
# Several commands in one process, which imports Google's SDK once: it takes seconds.
COMMANDS = """
import contextlib, io, json, sys
from trainwright.cli import execute
done = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = execute(arguments)
    done.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""
PIPELINE = """
from kfp import dsl
from kfp.dsl import HTML, Metrics, Output

@dsl.component(base_image="python:3.11-slim")
def measure(first: int, report: Output[HTML], metrics: Output[Metrics]) -> float:
    metrics.log_metric("accuracy", first / 4)
    with open(report.path, "w") as file:
        file.write("<p>report</p>")
    return first / 4

@dsl.component(base_image="python:3.11-slim")
def judge(accuracy: float) -> str:
    print(f"accuracy is {accuracy}")
    return "promoted" if accuracy > 0.5 else "rejected"

@dsl.component(base_image="python:3.11-slim")
def stop(code: int, seconds: float, marker: str):
    import pathlib, sys, time
    # Once it has been interrupted and started again, it ends at once.
    if marker and pathlib.Path(marker).exists():
        return
    if marker:
        pathlib.Path(marker).touch()
    print("about to stop")
    time.sleep(seconds)
    sys.exit(code)

@dsl.pipeline(name="verdict")
def verdict(first: int, names: list = ["a"]) -> str:
    one = measure(first=first)
    return judge(accuracy=one.outputs["Output"]).output

@dsl.pipeline(name="stopping")
def stopping(code: int = 0, seconds: float = 0.0, marker: str = ""):
    stop(code=code, seconds=seconds, marker=marker)
"""


class Shell:
    """A user's shell in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".trainwright"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TRAINWRIGHT_")}
        self.environment["PYTHONPATH"] = str(HOUSE)

    def start(self, *arguments: str, code: str = COMMAND) -> subprocess.Popen[str]:
        """Starts a command in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def several(self, *commands: tuple[str, ...]) -> list[tuple[int, str, str]]:
        """Runs commands one after the other; gives the status and both outputs of each."""
        out, err = self.start(json.dumps(commands), code=COMMANDS).communicate()
        assert out, err
        return [(status, stdout, stderr) for status, stdout, stderr in json.loads(out)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("user"))
    (shell.folder / "mine.py").write_text(PIPELINE)
    assert shell("compile", "mine.py").returncode == 0
    yield shell
    shell("local", "down")


def _words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_run_shows_its_tasks_and_what_it_came_to_and_a_second_one_is_cached(shell: Shell) -> None:
    first = shell("run", "verdict", "--param", "first=3")
    assert first.returncode == 0, first.stderr
    lines = _words(first.stdout)
    assert any(line.startswith("SUCCEEDED") and line.endswith("measure") for line in lines)
    for line in ("metrics measure", "accuracy 0.75", "Output promoted"):
        assert line in lines
    report = Path(lines[-1].split(maxsplit=1)[1])
    assert report.read_text() == "<p>report</p>"

    second = shell("run", "verdict", "--param", "first=3", "--json")
    assert second.returncode == 0, second.stderr
    found = json.loads(second.stdout)
    assert (found["state"], found["error"]) == ("PIPELINE_STATE_SUCCEEDED", None)
    assert found["outputs"] == {"Output": "promoted"}
    assert {task["name"]: task["cached"] for task in found["tasks"]} == {"measure": True, "judge": True}
    assert "from the cache" in second.stderr

    third = json.loads(shell("run", "verdict", "--param", "first=3", "--no-cache", "--json").stdout)
    assert {task["cached"] for task in third["tasks"]} == {False}

    cost = json.loads(shell("cost", "verdict", "--param", "first=3", "--measured", "--json").stdout)
    steps = {line["task"]: line for line in cost["lines"] if line["task"]}
    assert set(steps) == {"measure", "judge"}
    for step in steps.values():
        assert "duration measured in earlier runs" in step["assumptions"]
        assert 0 < step["hours"] < 0.1


def test_a_failed_task_is_named_with_its_exit_code_last_lines_and_log(shell: Shell) -> None:
    done = shell("run", "stopping", "--param", "code=3", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["state"] == "PIPELINE_STATE_FAILED"
    assert found["tasks"][0]["state"] == "FAILED"
    assert found["error"].splitlines()[0] == "task 'stop' failed with exit code 3: about to stop"
    log = Path(found["error"].splitlines()[-1].removeprefix("  log: "))
    assert "about to stop" in log.read_text()
    assert "Traceback" not in done.stderr


def test_what_local_vertex_refuses_is_a_users_mistake(shell: Shell) -> None:
    compiled = (shell.folder / "compiled" / "pipelines" / "verdict.yaml").read_text()
    (shell.folder / "unknown.yaml").write_text(compiled.replace("name: comp-judge", "name: comp-nothing"))
    done = shell("run", "unknown.yaml", "--param", "first=1")
    assert done.returncode == 2
    assert "comp-nothing" in done.stderr.splitlines()[-1]


def test_exec_runs_a_command_whose_clients_talk_to_local_vertex(shell: Shell) -> None:
    program = (
        "import sys\nfrom google.cloud import storage\n"
        "print([bucket.name for bucket in storage.Client().list_buckets()])\nsys.exit(7)"
    )
    done = shell("local", "exec", "--", sys.executable, "-c", program)
    assert done.returncode == 7, done.stderr
    assert "trainwright-local" in done.stdout
    assert shell("local", "exec", "--", "no-such-command").returncode == 2


def test_an_interrupted_run_goes_on_where_it_was(shell: Shell, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    process = shell.start("run", "stopping", "--param", "seconds=600", "--param", f"marker={marker}")
    _until(marker.exists, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on where it was with `trainwright local up`" in err
    assert "Traceback" not in err

    assert shell("local", "up").returncode == 0
    newest: dict[str, str] = {}
    while newest.get("state") in (None, "PIPELINE_STATE_RUNNING"):
        newest = json.loads(shell("runs", "list", "--limit", "1", "--json").stdout)["runs"][0]
    assert newest["state"] == "PIPELINE_STATE_SUCCEEDED"
    assert newest["name"].rsplit("/", 1)[1] in err
    assert shell("local", "down").returncode == 0


def test_a_run_that_is_not_waited_for_goes_on_and_can_be_looked_at_and_cancelled(shell: Shell) -> None:
    submitted = shell("submit", "stopping", "--env", "local", "--param", "seconds=600", "--json")
    assert submitted.returncode == 0, submitted.stderr
    assert "local Vertex is up" in submitted.stderr
    name = json.loads(submitted.stdout)["name"].rsplit("/", 1)[1]
    log = shell.state / "logs" / "pipelineJobs" / name / "stop.log"
    _until(lambda: log.exists() and "about to stop" in log.read_text())

    status, environment, listed, logs, no_task, cancelled, again, shown, missing = shell.several(
        ("local", "status"),
        ("local", "env"),
        ("runs", "list"),
        ("runs", "logs", name, "stop"),
        ("runs", "logs", name, "stp"),
        ("runs", "cancel", name),
        ("runs", "cancel", name),
        ("runs", "show", name),
        ("runs", "show", "nothing-of-that-name"),
    )
    assert status[0] == 0
    assert "is up" in status[1]
    exports = dict(line.removeprefix("export ").split("=", 1) for line in environment[1].splitlines())
    assert exports["GOOGLE_CLOUD_PROJECT"] == "trainwright-local"
    assert _words(listed[1])[0].startswith(f"{name} RUNNING")
    assert "about to stop" in logs[1]
    assert (no_task[0], "nearest is 'stop'" in no_task[2]) == (2, True)
    assert cancelled[:2] == (0, f"run {name} CANCELLED\n")
    assert (again[0], "has ended already (CANCELLED)" in again[2]) == (2, True)
    assert f"run {name} was cancelled" in shown[1]
    assert (missing[0], missing[1], missing[2].count("\n")) == (2, "", 1)

    assert shell("local", "down").returncode == 0
    assert shell("local", "status").returncode == 1
    assert shell("local", "down").stdout.startswith("local Vertex was not up")


def test_a_state_folder_of_another_version_is_refused(shell: Shell, tmp_path: Path) -> None:
    other = Shell(tmp_path)
    other.state.mkdir()
    (other.state / "VERSION").write_text("99")
    for arguments in (("local", "up"), ("local", "exec", "--", "true"), ("runs", "list")):
        done = other(*arguments)
        assert done.returncode == 2
        assert "'99'" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def _until(condition, process: "subprocess.Popen[str] | None" = None) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
