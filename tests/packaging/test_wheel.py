"""The wheel, installed where nothing else of ours is: what another team gets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def constraints(folder: Path) -> Path:
    """The versions of the lock, without hashes, so that the environments below hold what we test with."""
    path = folder / "constraints.txt"
    lock = (REPOSITORY / "requirements.lock").read_text()
    path.write_text("\n".join(re.findall(r"^[a-z0-9.-]+==[^\\\n]+", lock, re.MULTILINE)))
    return path


def uv(*arguments: str | Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, REPOSITORY],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel and its core dependencies: no extras."""
    folder = tmp_path_factory.mktemp("empty")
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--constraint", constraints(folder), wheel)
    return python


def run(python: Path, *arguments: str, cwd: Path) -> str:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [python, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_component_that_the_readme_names_can_be_imported(python, tmp_path):
    text = (REPOSITORY / "README.md").read_text()
    imports = re.findall(r"^from trainwright\.\S+ import .+$", text, re.MULTILINE)
    assert len(imports) >= 5, "the README shows how each stage is imported"
    run(python, "-c", "\n".join(imports), cwd=tmp_path)


def test_the_command_lists_the_components_of_the_wheel(python, tmp_path):
    listed = run(python, "-m", "trainwright", "catalog", cwd=tmp_path)
    for name in ("ingest", "split", "train_xgboost_tabular", "compare_models", "tabular_custom"):
        assert name in listed.replace("-", "_")


def test_nothing_that_is_not_ours_is_in_the_wheel(wheel):
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], check=True, capture_output=True, text=True
    ).stdout
    tops = {line.split("/")[0] for line in names.splitlines()[1:]}
    assert all(top.startswith("trainwright") for top in tops), tops
    assert "trainwright/components/data/split.py" in names
    assert "trainwright/trainers/xgboost_tabular/" in names


def test_a_pipeline_is_submitted_with_the_second_major_version_of_the_sdk(wheel, tmp_path):
    """GCPC caps google-cloud-aiplatform below 2; our own code must not."""
    uv("venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    overrides = tmp_path / "overrides.txt"
    overrides.write_text("google-cloud-pipeline-components; python_version < '3'\n")
    held = tmp_path / "held.txt"
    kept = constraints(tmp_path).read_text().splitlines()
    held.write_text("\n".join(line for line in kept if "aiplatform" not in line))
    uv(
        *("pip", "install", "--quiet", "--python", python, "--override", overrides, "--constraint", held),
        *(f"trainwright[local] @ {wheel.as_uri()}", "google-cloud-aiplatform==2.7.0"),
    )
    source = (
        "from kfp import compiler, dsl\n"
        "@dsl.component\n"
        "def double(number: int) -> int:\n"
        "    return 2 * number\n"
        "@dsl.pipeline\n"
        "def doubling(number: int) -> int:\n"
        "    return double(number=number).output\n"
        "compiler.Compiler().compile(doubling, 'doubling.yaml')\n"
        "import google.cloud.aiplatform as aiplatform; print(aiplatform.__version__)\n"
    )
    (tmp_path / "doubling.py").write_text(source)  # KFP reads the source of a component from its file
    assert run(python, "doubling.py", cwd=tmp_path).startswith("2.7")
    options = ("--env", "local", "--wait", "--json", "--param", "number=21")
    answer = run(python, "-m", "trainwright", "submit", "doubling.yaml", *options, cwd=tmp_path)
    assert '"Output": 42' in answer
