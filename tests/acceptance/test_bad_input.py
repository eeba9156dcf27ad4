"""A user's mistake is one line, before anything is created; a failure of a task names the task and why."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

# A mistake by what it is: the command, and what the line must say.
_MISTAKES = {
    "unknown pipeline": (("run", "addng"), "error: addng: no compiled pipeline .+ nearest is 'adding'"),
    "missing parameter": (("run", "adding"), r"missing required parameter: first \(NUMBER_INTEGER\)"),
    "unknown parameter": (("run", "adding", "--param", "frist=1"), "unknown parameter 'frist' .+'first'"),
    "wrong type": (("run", "adding", "--param", "first=one"), 'first: found "one", expected an integer'),
    "text for a number": (
        ("run", "adding", "--params", "text.json"),
        r'text.json: first: found "1", expected an integer',
    ),
    "absent file": (("run", "adding", "--params", "none.json"), "--params none.json: no such file"),
    "no JSON": (("run", "adding", "--params", "broken.json"), "--params broken.json: not JSON at line 1: "),
    "a key twice": (("run", "adding", "--params", "twice.json"), "twice.json: key 'first' twice"),
    "unknown environment": (
        ("submit", "adding", "--env", "prd", "--param", "first=1"),
        r"--env prd: unknown environment \(.+trainwright.toml\), nearest is 'prod'",
    ),
    "no environment": (("submit", "adding"), "Missing option '--env'. See `trainwright submit --help`."),
    "bad label": (("run", "adding", "--param", "first=1", "--label", "Team=a"), "found key 'Team'"),
    "another port": (("local", "up", "--port", "34567"), "--port 34567: local Vertex is up already .+ down"),
    "unknown option": (("run", "adding", "--parm", "first=1"), "No such option '?--parm"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(shell, tmp_path_factory):
    """Every mistake, made in a folder of its own on the shared local Vertex; the runs before and after."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "compiled").symlink_to(shell.folder / "compiled")
    (folder / "text.json").write_text('{"first": "1"}')
    (folder / "broken.json").write_text("{first: 1}")
    (folder / "twice.json").write_text('{"first": 1, "first": 2}')
    (folder / "trainwright.toml").write_text(
        '[environments.prod]\nproject = "acme"\nlocation = "us-central1"\nbucket = "acme"\n'
    )
    there = replace(shell, folder=folder)
    before = shell.runs()
    with ThreadPoolExecutor(4) as threads:
        done = threads.map(lambda mistake: there(*mistake[0]), _MISTAKES.values())
        found = dict(zip(_MISTAKES, done, strict=True))
    return found, before, shell.runs()


@pytest.mark.parametrize("mistake", _MISTAKES)
def test_a_mistake_is_one_line_with_status_2(mistakes, mistake):
    done = mistakes[0][mistake]
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert re.search(_MISTAKES[mistake][1], line), line


def test_mistakes_create_nothing(mistakes):
    _, before, after = mistakes
    assert before == after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[environment.prod]\nproject = "x"', "unknown key 'environment', nearest is 'environments'"),
        ('[local]\nimage = { a = "host" }', "local.image: unknown key, nearest is 'images'"),
    ],
)
def test_an_unknown_setting_is_a_mistake_too(shell, tmp_path, text, message):
    (tmp_path / "trainwright.toml").write_text(text)
    done = replace(shell, folder=tmp_path)("runs", "list")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"error: {tmp_path / 'trainwright.toml'}: {message}\n"


def _pool(script: str) -> str:
    container = {"image_uri": "python:3.11-slim", "command": ["sh", "-c", script]}
    machine = {"machine_type": "n1-standard-4"}
    return json.dumps([{"machine_spec": machine, "replica_count": "1", "container_spec": container}])


def _table(folder: Path, name: str, text: str) -> tuple[str, ...]:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "data.csv").write_text(text)
    return _source(f"{folder / name}/*.csv")


def _source(source: str) -> tuple[str, ...]:
    parameters = (f"source={source}", "label=churn", "model_name=none")
    return ("tabular_custom", *(word for item in parameters for word in ("--param", item)))


_ROWS = "".join(f"{number},{number % 7}\n" for number in range(200))
_EXITED = "task 'custom-training-job' failed with exit code 1: The replica workerpool0-0 exited"
_RAISED = "failed with exit code 1: ValueError:"
# What a task can die of, and what the first line says.
_FAILURES = {
    "package": "task 'need' failed: cannot install no-such-package-trainwright==1: .+",
    "component": f"task 'refuse' {_RAISED} the text 'abc' will not do: expected another",
    "image": "task 'ask' failed: image 'ghcr.io/acme/tool:1' cannot be run here: .+ map it in"
    r' trainwright.toml: \[local\] images = \{ "ghcr.io/acme/tool" = "python" \}.+',
    "trainer": f"{_EXITED} with a non-zero status of 3. the trainer says no",
    "killed": f"{_EXITED} with a non-zero status of 137. about to die",
    "absent": f"task 'fingerprint-source' {_RAISED} .+: no file there",
    "empty": rf"task 'ingest' {_RAISED} .+data.csv: empty file \(0 bytes\)",
    "no target": f"task 'validate.*' {_RAISED} .*churn.*no such.*column.*",
    "one class": f"task 'validate.*' {_RAISED} .*churn: classes.*1 classes.*",
}


@pytest.fixture(scope="module")
def failures(shell, tmp_path_factory):
    """Every failure, each from `trainwright run`, some at the same time."""
    folder = tmp_path_factory.mktemp("tables")
    trainer, killed = _pool("echo the trainer says no; exit 3"), _pool("echo about to die; kill -9 $$")
    commands = {
        "package": (shell, ("needing",)),
        "component": (shell, ("refusing", "--param", "text=abc")),
        "image": (shell, ("asking",)),
        "trainer": (shell, ("training", "--param", f"worker_pool_specs={trainer}")),
        "killed": (shell, ("training", "--param", f"worker_pool_specs={killed}")),
        "absent": (shell.in_house(), _source(f"{folder}/none/*.csv")),
        "empty": (shell.in_house(), _table(folder, "empty", "")),
        "no target": (shell.in_house(), _table(folder, "no-target", f"id,age\n{_ROWS}")),
        "one class": (
            shell.in_house(),
            _table(folder, "one-class", "id,age,churn\n" + _ROWS.replace("\n", ",yes\n")),
        ),
    }  # fmt: skip
    with ThreadPoolExecutor(3) as threads:
        done = threads.map(lambda command: command[0]("run", *command[1], "--json"), commands.values())
        return dict(zip(commands, done, strict=True))


@pytest.mark.parametrize("failure", _FAILURES)
def test_a_failed_task_is_named_with_its_reason_and_log(failures, failure):
    done = failures[failure]
    assert done.status == 1, done.err
    assert "Traceback" not in done.err.partition("error: ")[0]
    found = done.json()
    assert found["state"] == "PIPELINE_STATE_FAILED"
    reason, *more = found["error"].splitlines()
    assert re.fullmatch(_FAILURES[failure], reason), reason
    assert f"error: {found['error']}\n" in done.err
    if failure == "image":
        return  # nothing ran, so there is no log
    log = Path(more[-1].removeprefix("  log: "))
    assert log.is_file()
    if "exit code" in reason and "replica" not in reason:
        assert more[0] == "  last lines of its log:"
        assert not any("executor_input" in line or '"outputFile"' in line for line in more)
        assert any("ValueError: " in line for line in more)


def test_the_log_of_a_trainer_stands_before_that_of_its_launcher(failures):
    for failure in ("trainer", "killed"):
        lines = failures[failure].json()["error"].splitlines()
        assert [Path(line.split()[1]).parts[-3] for line in lines[-2:]] == ["customJobs", "pipelineJobs"]
    assert "    local Vertex: workerpool0-0 ended with -9; restart 5" in lines


def test_a_check_that_checked_nothing_fails(user, tmp_path):
    done = replace(user, folder=tmp_path)("compile", "--check")
    assert done.status == 1
    assert "missing: compiled/pipelines/tabular_custom.yaml" in done.out
    assert "are not current: run `trainwright compile`" in done.err
    assert not list(tmp_path.iterdir())
