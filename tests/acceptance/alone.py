"""Runs the components of compiled YAML files, each by its own command, where there is no trainwright.

    python alone.py COMPILED INPUTS WORK

COMPILED is a folder of component YAML files. INPUTS is JSON: for each function the ExecutorInput of a run.
Prints a JSON object: for each function of each file, what went wrong, or "".
"""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from kfp import components


def executors(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lightweight components in a file: the function's name and the container."""
    found = []
    for executor in yaml.safe_load(file.read_text())["deploymentSpec"]["executors"].values():
        container = executor.get("container", {})
        args = container.get("args", [])
        if "--function_to_execute" in args:
            found.append((args[args.index("--function_to_execute") + 1], container))
    return found


def elsewhere(executor_input: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same input with the outputs in a folder of their own."""
    outputs = executor_input["outputs"]
    parameters = {name: {"outputFile": str(folder / name)} for name in outputs.get("parameters", {})}
    artifacts = {
        name: {"artifacts": [item | {"uri": str(folder / name)} for item in found["artifacts"]]}
        for name, found in outputs.get("artifacts", {}).items()
    }
    result = {"outputFile": str(folder / "output.json"), "parameters": parameters, "artifacts": artifacts}
    return executor_input | {"outputs": result}


def run(function: str, container: dict[str, Any], executor_input: dict[str, Any], folder: Path) -> str:
    """Runs a component; gives what went wrong."""
    folder.mkdir(parents=True)
    given = elsewhere(executor_input, folder)
    words = [*container["command"], *container["args"]]
    words = [word.replace("{{$}}", json.dumps(given)) for word in words]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return done.stderr[-2000:]
    made = json.loads((folder / "output.json").read_text()) if (folder / "output.json").exists() else {}
    missing = given["outputs"]["artifacts"].keys() - made.get("artifacts", {}).keys()
    missing |= given["outputs"]["parameters"].keys() - {path.name for path in folder.iterdir()}
    missing -= made.get("parameterValues", {}).keys()
    return f"{function} put out no {sorted(missing)}" if missing else ""


def main(compiled: str, inputs: str, work: str) -> None:
    """Runs everything, two at a time."""
    if importlib.util.find_spec("trainwright") is not None:
        raise SystemExit("trainwright is installed here")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    recorded = json.loads(Path(inputs).read_text())
    files = sorted(Path(compiled).rglob("*.yaml"), key=lambda file: file.stem)
    for file in files:
        components.load_component_from_file(str(file))
    found = [(file.stem, name, container) for file in files for name, container in executors(file)]
    # A component that is also part of a graph component is the same: it runs once.
    different = {json.dumps([name, container]): (name, container) for _, name, container in found}

    def attempt(item: tuple[int, tuple[str, dict[str, Any]]]) -> str:
        number, (name, container) = item
        if name not in recorded:
            return "no run has used it"
        return run(name, container, recorded[name], Path(work) / str(number))

    with ThreadPoolExecutor(2) as threads:
        results = dict(zip(different, threads.map(attempt, enumerate(different.values())), strict=True))
    said = {f"{stem}/{name}": results[json.dumps([name, container])] for stem, name, container in found}
    sys.stdout.write(json.dumps({"files": [file.stem for file in files], "said": said}))


if __name__ == "__main__":
    main(*sys.argv[1:])
