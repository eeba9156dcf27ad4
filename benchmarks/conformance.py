"""Runs pipelines that others compiled, through the front door of one local Vertex AI, and prints one table.

    make conformance          (or: python benchmarks/conformance.py [FOLDER] [--dialect vertex] [--only TEXT])

FOLDER holds `cases.yaml` and `pipelines/ID.yaml`; it is `$TRAINWRIGHT_CONFORMANCE`, or `shared/conformance`
beside the repository, unless given. Of each case it says `args` (parameter values; `@WORK@` in one stands for
a fresh folder; a value with `__artifact__` is an input artifact of that type with that text), `expect`
(`succeeded`, `failed` by design, or `refused` before the run), and `output` where the right value of the
pipeline's output `Output` is known.

Every case goes the way of `trainwright submit`: the file is read and its parameters are checked, then
`google.cloud.aiplatform.PipelineJob` creates the run over the wire. A case that ends otherwise than expected
is `failed`, or `refused` where it should have run; both make the exit status 1, and so does a table without
cases. The pipelines are open-source Kubeflow's and a few assert what only that says, so the runs ask for its
dialect (the label `trainwright-dialect`); `--dialect vertex` shows where Vertex AI's differs.
"""

import argparse
import dataclasses
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainwright.compiling.parameters import resolve, resolve_artifacts
from trainwright.compiling.spec import read_pipeline
from trainwright.errors import UserError
from trainwright.local.server import BUCKET, LocalVertex
from trainwright.settings import LOCAL, LOCAL_DEFAULTS, Environment

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 240.0
# Runs at once: enough to keep two processors busy while clients wait.
AT_ONCE = 4
# What a refusal has to name: a field by its path in the file.
_FIELD = re.compile(r"\b(platforms|deploymentSpec|components|root)\.[\w.'-]+")


@dataclass(frozen=True)
class Result:
    """How a case came out: `passed`, `failed` or `refused`; `expected` says whether that is right."""

    case: str
    kind: str
    result: str
    expected: bool
    reason: str
    seconds: float


def default_folder() -> Path:
    """Where the cases are unless the command says otherwise."""
    given = os.environ.get("TRAINWRIGHT_CONFORMANCE")
    return Path(given) if given else REPOSITORY.parent / "shared" / "conformance"


def read_cases(folder: Path) -> list[dict[str, Any]]:
    """The cases of a folder; none when it has no `cases.yaml`."""
    path = folder / "cases.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else []


def run_cases(cases: list[dict[str, Any]], folder: Path, dialect: str) -> Iterator[Result]:
    """Runs cases on a local Vertex AI of their own; gives the results in the order of the cases.

    Google's clients of this process talk to it from then on.
    """
    environment = Environment.model_validate(
        {**LOCAL_DEFAULTS, "name": LOCAL, "labels": {"trainwright-dialect": dialect}}
    )
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as work,
        LocalVertex(Path(work) / "state") as vertex,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        os.environ.update(vertex.environment())
        # A handler of ours keeps Google's SDK from telling each run's story on standard output.
        quiet = logging.StreamHandler()
        quiet.setLevel(logging.WARNING)
        logging.getLogger("google").addHandler(quiet)
        from google.cloud import aiplatform  # noqa: F401 - once, before the threads need it

        yield from pool.map(lambda case: _run_case(case, folder, environment, Path(work)), cases)


def _run_case(case: Mapping[str, Any], folder: Path, environment: Environment, work: Path) -> Result:
    start = time.monotonic()
    try:
        outcome, reason, output = _outcome(case, folder, environment, work)
    except Exception as error:  # one case must not keep the others from the table
        outcome, reason, output = "crashed", f"{type(error).__name__}: {error}", None
    expected = outcome == case["expect"]
    if outcome == "refused":
        result = "refused"
        expected = expected and _FIELD.search(reason) is not None
    elif expected and "output" in case and output != case["output"]:
        result, expected = "failed", False
        reason = f"Output is {json.dumps(output)}, expected {json.dumps(case['output'])}"
    else:
        result = "passed" if expected else "failed"
    line = " ".join(reason.split())
    return Result(case["id"], case.get("kind", ""), result, expected, line, time.monotonic() - start)


def _outcome(
    case: Mapping[str, Any], folder: Path, environment: Environment, work: Path
) -> tuple[str, str, Any]:
    """`succeeded`, `failed`, `refused` or a state's name; why; and the pipeline's output `Output`."""
    from trainwright.vertex.runs import look
    from trainwright.vertex.submit import submit

    own = work / "cases" / case["id"]
    own.mkdir(parents=True)
    try:
        pipeline = read_pipeline(folder / "pipelines" / f"{case['id']}.yaml")
        values, artifacts = _arguments(case, own)
        parameter_file = own / "parameters.json"
        parameter_file.write_text(json.dumps(values))
        job = submit(
            pipeline,
            environment,
            parameters=resolve(pipeline, (), parameter_file),
            artifacts=resolve_artifacts(pipeline, artifacts),
        )
    except UserError as error:
        return "refused", str(error).replace(f"{folder}/", ""), None
    run = look(job)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not run.has_ended:
        if time.monotonic() > deadline:
            job.cancel()
            states = ", ".join(f"{task.path}: {task.state}" for task in run.tasks)
            return "unfinished", f"not ended after {LIMIT_SECONDS:.0f} s: {states}", None
        time.sleep(0.1)
        run = look(job)
    return run.state.removeprefix("PIPELINE_STATE_").lower(), run.error, run.outputs.get("Output")


def _arguments(case: Mapping[str, Any], own: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A case's parameter values, and its input artifacts as `trainwright submit --artifact` takes them."""
    values, artifacts = {}, []
    for name, value in case["args"].items():
        if isinstance(value, dict) and "__artifact__" in value:
            artifacts.append(f"{name}={_artifact(case['id'], name, value)}")
        else:
            values[name] = json.loads(json.dumps(value).replace("@WORK@", str(own)))
    return values, tuple(artifacts)


def _artifact(case: str, name: str, value: Mapping[str, Any]) -> str:
    """Uploads an input artifact's text and creates its resource; gives the id."""
    from google.cloud import aiplatform, storage

    text = next((str(item) for key, item in value.items() if key != "__artifact__"), "")
    blob = storage.Client(project=LOCAL_DEFAULTS["project"]).bucket(BUCKET).blob(f"cases/{case}/{name}")
    blob.upload_from_string(text)
    artifact = aiplatform.Artifact.create(
        schema_title=value["__artifact__"],
        uri=f"gs://{BUCKET}/{blob.name}",
        display_name=name,
        project=LOCAL_DEFAULTS["project"],
        location=LOCAL_DEFAULTS["location"],
    )
    return artifact.name


def print_table(results: list[Result], seconds: float) -> None:
    """Prints the table and its totals."""
    width = max(len(result.case) for result in results)
    kinds = max(len(result.kind) for result in results)
    for result in results:
        wrong = "" if result.expected else "  NOT AS EXPECTED:"
        reason = result.reason if len(result.reason) <= 240 else f"{result.reason[:237]}..."
        line = f"{result.case:{width}}  {result.kind:{kinds}}  {result.seconds:5.1f} s  {result.result:7}"
        print(f"{line}{wrong}  {reason}".rstrip())
    counts = Counter((result.result, result.expected) for result in results)
    as_expected = sum(result.expected for result in results)
    print(
        f"{len(results)} cases: {counts['passed', True]} passed, {counts['failed', False]} failed,"
        f" {counts['refused', True]} refused as expected, {counts['refused', False]} refused wrongly;"
        f" {as_expected} of {len(results)} as expected, in {seconds:.0f} s"
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Run compiled pipelines with known outcomes.")
    parser.add_argument("folder", nargs="?", type=Path, default=default_folder())
    parser.add_argument("--dialect", choices=["kfp", "vertex"], default="kfp")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose id contains TEXT")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON list instead")
    arguments = parser.parse_args()
    cases = [case for case in read_cases(arguments.folder) if arguments.only in case["id"]]
    if not cases:
        print(
            f"error: {arguments.folder}/cases.yaml holds no such case: nothing was checked", file=sys.stderr
        )
        return 1
    start = time.monotonic()
    results = list(run_cases(cases, arguments.folder, arguments.dialect))
    if arguments.json:
        print(json.dumps([dataclasses.asdict(result) for result in results]))
    else:
        print_table(results, time.monotonic() - start)
    return 0 if all(result.expected for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
