"""The command as a process, where no Vertex AI is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
MAIN = "from trainwright.cli import main; main()"
PIPELINE = """
from kfp import dsl

@dsl.component(base_image="python:3.11-slim")
def add(a: int, b: float = 2.0) -> float:
    return a + b

@dsl.pipeline(name="sums", description="Sums up.")
def sums(first: int, flag: bool = True) -> float:
    return add(a=first).output
"""


def trainwright(folder: Path, *arguments: str, code: str = MAIN) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRAINWRIGHT_")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(HOUSE)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a compiled pipeline of their own and settings."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(PIPELINE)
    (folder / "trainwright.toml").write_text(
        '[environments.prod]\nproject = "acme-ml"\nlocation = "us-central1"\nbucket = "acme-ml"\n'
    )
    (folder / "text.json").write_text('{"first": "1"}')
    assert trainwright(folder, "compile", "mine.py").returncode == 0
    return folder


def test_help_loads_neither_kfp_nor_googles_clients(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom trainwright.cli import execute\nstatus = execute(sys.argv[1:])\n"
        # A namespace package's .pth file makes an empty google.cloud at the interpreter's start.
        "found = set(sys.modules) - {'google', 'google.cloud'}\n"
        "print([name for name in sorted(found) if name.split('.')[0] in"
        " ('kfp', 'google', 'grpc', 'pydantic', 'rich', 'yaml')])\nsys.exit(status)"
    )
    for verb in (
        (),
        ("submit",),
        ("runs", "list"),
        ("local",),
        ("compile",),
        ("catalog",),
        ("compute",),
        ("lint",),
    ):
        done = trainwright(tmp_path, *verb, "--help", code=code)
        assert done.returncode == 0
        assert done.stdout.splitlines()[-1] == "[]"
        assert done.stdout.startswith("Usage: trainwright")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "sum"), "error: sum: no compiled pipeline of that name in "),
        (("run", "none.yaml"), "error: none.yaml: no such file"),
        (("run", "mine.py"), "error: mine.py: expected a compiled pipeline; compile it first"),
        (("run", "sums"), "missing required parameter: first (NUMBER_INTEGER)"),
        (("run", "sums", "--param", "frist=1"), "unknown parameter 'frist'"),
        (("run", "sums", "--param", "first=1.5"), 'error: --param first: found "1.5", expected an integer'),
        (("run", "sums", "--params", "text.json"), 'error: text.json: first: found "1", expected an integer'),
        (("run", "sums", "--params", "none.json"), "error: --params none.json: no such file"),
        (("submit", "sums", "--env", "prd", "--param", "first=1"), "error: --env prd: unknown environment"),
        (("submit", "sums"), "Missing option '--env'"),
        (("run", "sums", "--parm", "first=1"), "No such option"),
        (("catalog", "sum"), "error: sum: unknown pipeline or component, nearest is 'sums'"),
        (("compile", "ingst"), "error: ingst: unknown pipeline or component, nearest is 'ingest'"),
        (("local", "env"), "error: local Vertex is down for "),
        (("bogus",), "error: No such command 'bogus'."),
    ],
)
def test_a_users_mistake_is_a_line_and_status_2_and_creates_nothing(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = trainwright(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (folder / ".trainwright").exists()


def test_with_json_a_users_mistake_is_an_object_too(folder: Path) -> None:
    for arguments in (
        ("run", "sums", "--json"),
        ("run", "--json"),
        ("runs", "list", "--env", "prd", "--json"),
    ):
        done = trainwright(folder, *arguments)
        assert done.returncode == 2
        found = json.loads(done.stdout)
        assert f"error: {found['error']}" == done.stderr.splitlines()[-1]
        assert (found["name"], found["state"], found["outputs"], found["tasks"]) == (None, None, {}, [])


def test_check_passes_when_current_and_prints_a_diff_when_not(folder: Path, tmp_path: Path) -> None:
    output = ("--output", str(tmp_path))
    assert trainwright(folder, "compile", "mine.py", *output).returncode == 0
    assert trainwright(folder, "compile", "mine.py", "--check", *output).returncode == 0
    path = tmp_path / "pipelines" / "sums.yaml"
    path.write_text(path.read_text().replace("2.0", "3.0"))
    done = trainwright(folder, "compile", "mine.py", "--check", *output)
    assert done.returncode == 1
    assert "-          defaultValue: 3.0\n+          defaultValue: 2.0\n" in done.stdout
    path.unlink()
    done = trainwright(folder, "compile", "mine.py", "--check", *output)
    assert done.returncode == 1
    assert done.stdout.startswith("missing: compiled/pipelines/sums.yaml")


def test_compiling_the_library_in_a_users_folder_leaves_their_own_pipelines(folder: Path) -> None:
    assert trainwright(folder, "compile", "ingest").returncode == 0
    assert (folder / "compiled" / "pipelines" / "sums.yaml").is_file()


def test_the_catalog_shows_inputs_and_outputs(folder: Path) -> None:
    done = trainwright(folder, "catalog", "sums")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:2] == ["pipeline sums", "Sums up."]
    assert "first NUMBER_INTEGER required" in lines
    assert "flag BOOLEAN default true" in lines
    assert "Output NUMBER_DOUBLE" in lines
    found = json.loads(trainwright(folder, "catalog", "--json").stdout)
    (sums,) = (pipeline for pipeline in found["pipelines"] if pipeline["name"] == "sums")
    assert sums["inputs"]["flag"]["default"] is True
    assert sums["outputs"] == {"Output": {"parameter": "NUMBER_DOUBLE"}}


def test_the_cloud_is_refused_in_a_shell_whose_clients_talk_to_local_vertex(folder: Path) -> None:
    code = f"import os; os.environ['TRAINWRIGHT_OUTSIDE'] = '{{}}'; {MAIN}"
    done = trainwright(folder, "submit", "sums", "--env", "prod", "--param", "first=1", code=code)
    assert done.returncode == 2
    assert "error: --env prod: this shell's Google clients talk to local Vertex" in done.stderr


def test_an_error_of_ours_is_a_line_and_a_traceback_only_on_request(folder: Path) -> None:
    broken = f"import trainwright.compiling.spec as spec; spec.read_pipeline = None; {MAIN}"
    done = trainwright(folder, "run", "sums", code=broken)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: internal error: TypeError: ")
    assert "Traceback" not in done.stderr
    done = trainwright(
        folder, "run", "sums", code=f"import os; os.environ['TRAINWRIGHT_DEBUG'] = '1'; {broken}"
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
