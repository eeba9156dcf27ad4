"""Every data component compiles, loads back the same, and runs from the source in its YAML alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kfp import compiler, components, dsl

from trainwright.components.data.features import apply_features, fit_features, prepare_features
from trainwright.components.data.fingerprint import fingerprint_source
from trainwright.components.data.ingest import ingest
from trainwright.components.data.profile import profile, report_profile
from trainwright.components.data.split import split
from trainwright.components.data.validate import read_rules, validate

COMPONENTS = [fingerprint_source, ingest, profile, report_profile, read_rules, validate, split, fit_features]
COMPONENTS += [apply_features, prepare_features]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_compiles_and_loads_back(tmp_path: Path, component: dsl.base_component.BaseComponent) -> None:
    file = tmp_path / "component.yaml"
    compiler.Compiler().compile(component, str(file))
    loaded = components.load_component_from_file(str(file))
    assert loaded.component_spec.inputs == component.component_spec.inputs
    assert loaded.component_spec.outputs == component.component_spec.outputs
    definition = yaml.safe_load(file.read_text())["root"]
    inputs = [item for kind in definition["inputDefinitions"].values() for item in kind.values()]
    assert inputs and all(item.get("description") for item in inputs)


def from_yaml(folder: Path, component: dsl.base_component.BaseComponent) -> Callable:
    """The component's function, made from nothing but the source in its YAML, as KFP's executor does."""
    file = folder / f"{component.name}.yaml"
    compiler.Compiler().compile(component, str(file))
    (executor,) = yaml.safe_load(file.read_text())["deploymentSpec"]["executors"].values()
    source = executor["container"]["command"][-1]
    assert "trainwright" not in source
    names: dict = {}
    exec(compile(source, file.name, "exec"), names)
    return names[component.python_func.__name__]


def test_the_chain_runs_from_the_yaml_alone(tmp_path: Path) -> None:
    lines = [
        "id,age,plan,churn",
        *(f"c{i},{i % 70},{'AB'[i % 2]},{'yes' if i % 3 else 'no'}" for i in range(600)),
    ]
    (tmp_path / "customers.csv").write_text("\n".join(lines))
    source = str(tmp_path / "*.csv")
    a = {
        name: dsl.Dataset(uri=str(tmp_path / name))
        for name in ("all", "train", "validation", "test", "tf", "vf")
    }
    files = {name: dsl.Artifact(uri=str(tmp_path / name)) for name in ("statistics", "checks", "transform")}
    version = from_yaml(tmp_path, fingerprint_source)(source)
    from_yaml(tmp_path, ingest)(a["all"], source, version)
    from_yaml(tmp_path, profile)(a["all"], files["statistics"])
    from_yaml(tmp_path, report_profile)(files["statistics"], dsl.HTML(uri=str(tmp_path / "page")))
    rules = {"columns": {"age": {"type": "integer", "min": 0}}}
    from_yaml(tmp_path, validate)(a["all"], from_yaml(tmp_path, read_rules)(rules, "churn"), files["checks"])
    from_yaml(tmp_path, split)(a["all"], a["train"], a["validation"], a["test"], "id")
    from_yaml(tmp_path, fit_features)(a["train"], files["transform"], "churn", "yes", ["id"])
    for rows, features in (("train", "tf"), ("validation", "vf")):
        from_yaml(tmp_path, apply_features)(a[rows], files["transform"], a[features])
    transform = json.loads(Path(files["transform"].path).read_text())
    assert {column["name"] for column in transform["columns"]} == {"age", "plan=A", "plan=B"}
    assert a["tf"].metadata["rows"] + a["vf"].metadata["rows"] + a["test"].metadata["rows"] == 600
