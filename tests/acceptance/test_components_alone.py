"""Every component, from its YAML alone, in an environment that has its packages and no trainwright.

The inputs are those of runs of `tabular_custom`, `tabular_tuned` and a user's `judging`; what runs is the
command that stands in the YAML.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from trainwright.authoring import images
from trainwright.components.training.custom import XGBOOST_TABULAR

HOUSE = Path(__file__).parents[2]
COMPILED = HOUSE / "compiled"
# The environment has these, and no file of this repository on its path. PyTorch is the trainer's alone.
_PINS = sorted(
    getattr(images, name) for name in vars(images) if name.isupper() and name not in ("PYTHON_IMAGE", "TORCH")
)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    lock = (HOUSE / "requirements.lock").read_text()
    (folder / "constraints.txt").write_text(
        "\n".join(re.findall(r"^[a-z0-9.-]+==[^\\\n]+", lock, re.MULTILINE))
    )
    uv = Path(sys.executable).with_name("uv")
    python = folder / "venv" / "bin" / "python"
    for arguments in (
        ("venv", "--quiet", "--seed", "--python", sys.executable, folder / "venv"),
        ("pip", "install", "--quiet", "--python", python, "--constraint", folder / "constraints.txt",
         "kfp==2.17.0", *_PINS),
    ):  # fmt: skip
        done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def client(shell):
    """The variables of local Vertex's clients, and nothing else of ours."""
    variables = dict(shell.as_client().variables)
    names = ("PATH", "HOME", "PIP_FIND_LINKS", "PIP_INDEX_URL")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**variables, **kept, "PIP_NO_INDEX": "1"}


def _functions(pipeline):
    """The function behind each task of a compiled pipeline, by the task's name."""
    spec = yaml.safe_load(pipeline.read_text())
    executors = spec["deploymentSpec"]["executors"]
    for dag in (spec["root"], *spec["components"].values()):
        for name, task in dag.get("dag", {}).get("tasks", {}).items():
            label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
            args = executors[label].get("container", {}).get("args", []) if label else []
            if "--function_to_execute" in args:
                yield name, args[args.index("--function_to_execute") + 1]


@pytest.fixture(scope="module")
def runs(shell, churn, tmp_path_factory):
    """The compiled pipelines whose runs used the components, and the runs' ids."""
    folder = tmp_path_factory.mktemp("images")
    scores = {f"score_{name}": [0.9, 0.1] if name == "cat" else [0.1, 0.9] for name in ("cat", "dog")}
    table = pyarrow.table({"label": ["cat", "dog"], "prediction": ["cat", "dog"], **scores})
    pyarrow.parquet.write_table(table, folder / "predictions.parquet")
    (folder / "model.json").write_text(json.dumps({"classes": ["cat", "dog"]}))
    judged = shell("run", "judging", "--param", f"folder={folder}")
    few = ("--param", "max_trial_count=2", "--param", "rounds=20")
    tuned = shell.in_house()("run", "tabular_tuned", "--params", "pipelines/tabular_tuned.churn.json", *few)
    found = {COMPILED / "pipelines" / "tabular_custom.yaml": churn.id}
    for pipeline, done in (
        (shell.folder / "compiled" / "pipelines" / "judging.yaml", judged),
        (COMPILED / "pipelines" / "tabular_tuned.yaml", tuned),
    ):
        assert done.status == 0, done.err
        found[pipeline] = done.out.split()[1]
    return found


@pytest.fixture(scope="module")
def recorded(shell, runs):
    """The ExecutorInput of each function in the runs, with objects as the files that they are here."""
    storage = shell.state / "storage"
    inputs = {}
    for pipeline, run in reversed(runs.items()):
        for task, function in _functions(pipeline):
            for file in storage.glob(f"*/**/{run}/{task}_*/executor_input.json"):
                text = file.read_text()
                if function != "register_model":  # a model is registered by its address, and not opened
                    text = text.replace("gs://", f"{storage}/")
                inputs[function] = json.loads(text)
    return inputs


def test_every_component_runs_by_its_own_command(python, client, recorded, tmp_path):
    (tmp_path / "inputs.json").write_text(json.dumps(recorded))
    arguments = (COMPILED / "components", tmp_path / "inputs.json", tmp_path / "work")
    done = subprocess.run(
        [python, "-P", Path(__file__).with_name("alone.py"), *arguments],
        cwd=tmp_path, env=client, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["files"] == sorted(file.stem for file in (COMPILED / "components").rglob("*.yaml"))
    assert len(found["said"]) >= len(found["files"]) - 1
    assert {name: said for name, said in found["said"].items() if said} == {}


def test_the_trainer_runs_by_the_command_of_its_worker_pool(python, client, recorded, tmp_path):
    inputs = recorded["training_inputs"]["inputs"]["artifacts"]
    uris = {name: inputs[name]["artifacts"][0]["uri"] for name in ("train", "validation", "transform")}
    options = [*(f"--{name}={uri}" for name, uri in uris.items()), "--rounds=20"]
    container = XGBOOST_TABULAR.container_spec(options)
    compiled = (COMPILED / "components" / "training" / "train_xgboost_tabular.yaml").read_text()
    assert "trainers/xgboost_tabular/__main__.py" in compiled
    path = f"{python.parent}{os.pathsep}{client['PATH']}"
    folders = {"AIP_MODEL_DIR": f"{tmp_path}/model/", "AIP_CHECKPOINT_DIR": f"{tmp_path}/checkpoints/"}
    done = subprocess.run(
        [*container["command"], *container["args"]],
        cwd=tmp_path, env=client | folders | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"model.ubj", "model.json", "transform.json"} <= {
        file.name for file in (tmp_path / "model").iterdir()
    }
