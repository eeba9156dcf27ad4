"""Damaged specs end in one line or in a run that ends, never in a traceback or a hang."""

import contextlib
import copy
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from trainwright.local.engine import Engine, PipelineRun
from trainwright.local.execution import Work
from trainwright.local.execution.running import Outcome
from trainwright.local.store import Store

from .conftest import compiled, make_run

REPOSITORY = Path(__file__).resolve().parents[3]
MUTATIONS = 500
ENDS_SECONDS = 20.0


class Process:
    """A process that has ended when one looks."""

    in_container = False

    def wait(self, timeout: float | None = None) -> Outcome:
        return Outcome(0, ())

    def terminate(self, grace: float = 30.0) -> None:
        pass


class NoProcesses:
    """Takes works as an executor does, and in place of a process writes "1" to every output parameter."""

    def prepare(self, works: Iterable[Work], is_over: Callable[[], bool] = lambda: False) -> None:
        list(works)

    def private_image(self, image: str, words: Sequence[str]) -> str:
        return ""

    def start(self, work: Work, cancelled: threading.Event) -> Process:
        for argument in work.args:
            if argument.startswith('{"inputs"'):
                for output in json.loads(argument)["outputs"]["parameters"].values():
                    Path(output["outputFile"]).write_text("1")
        return Process()


@dsl.component
def text(value: str) -> str:
    return value


@dsl.component
def write(value: str, data: dsl.Output[dsl.Dataset]):
    Path(data.path).write_text(value)


@dsl.component
def join(data: dsl.Input[list[dsl.Dataset]]) -> str:
    return str(len(data))


@dsl.component
def clean(status: dsl.PipelineTaskFinalStatus):
    assert status


@dsl.pipeline
def chosen(value: str) -> str:
    with dsl.If(value == "1"):
        one = text(value="one").set_retry(2)
    with dsl.Else():
        other = text(value="other")
    return dsl.OneOf(one.output, other.output)


@dsl.pipeline(name="all-constructs")
def all_constructs(names: list = ["a", "b"], limit: str = "1G"):  # noqa: B006
    with dsl.ExitHandler(clean()):
        with dsl.ParallelFor(names, parallelism=1) as name:
            made = write(value=name)
        last = join(data=dsl.Collected(made.outputs["data"])).set_memory_limit(limit)
        dsl.importer(artifact_uri="gs://b/x", artifact_class=dsl.Dataset, metadata={"k": last.output})
        text(value=f"{chosen(value=last.output).output} of {last.output}").ignore_upstream_failure()


def real_specs() -> list[dict]:
    """What the compiler made of the pipelines here, of the conformance cases, and of the one above."""
    folders = (REPOSITORY / "compiled", REPOSITORY.parent / "shared" / "conformance" / "pipelines")
    paths = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    documents = [next(yaml.load_all(path.read_text(), yaml.CSafeLoader)) for path in paths]
    specs = [document for document in documents if "pipelineInfo" in document]
    assert specs, "compiled/ holds pipelines"
    # A third of the damage is done to the one that has all constructs.
    return specs + [compiled(all_constructs)] * (len(specs) // 2 + 1)


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    if path and path[0] == "sdkVersion":
        return
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def at(spec: dict, path: tuple) -> object:
    for key in path:
        spec = spec[key]
    return spec


ODD = [
    *(None, "", "x", "{{$", "{{$.inputs.parameters['x']}}", "..", "a" * 5_000, "\0", "\ud800"),
    *(0, -1, 1e300, float("nan"), True, [], ["x"], [[]], {}, {"name": "x"}, {"": ""}),
]


LATE = {"runtimeValue", "triggerPolicy", "parameterIterator", "retryPolicy", "container", "cachingOptions",
        "outputs", "artifactUri", "inputs", "taskInfo"}  # fmt: skip


def damaged(spec: dict, chance: random.Random) -> dict:
    """The spec with one to three fields dropped, of another type, exchanged, or referring elsewhere."""
    spec = copy.deepcopy(spec)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        candidates = [path for path in places(spec) if path]
        if chance.random() < 0.4:  # what is only looked at when it is needed
            candidates = [path for path in candidates if LATE & set(path[:-1])]
        path = chance.choice(candidates)
        parent, value = at(spec, path[:-1]), at(spec, path)
        match chance.randrange(5):
            case 0:
                del parent[path[-1]]
            case 1:
                parent[path[-1]] = chance.choice(ODD)
            case 2:  # a type that is near
                parent[path[-1]] = [value] if chance.random() < 0.5 else str(value)
            case 3:  # another place's value: a reference to what is not meant, or a part twice
                parent[path[-1]] = copy.deepcopy(at(spec, chance.choice(list(places(spec)))))
            case 4:
                tie(spec, chance)
    return spec


def tie(spec: dict, chance: random.Random) -> None:
    """Makes tasks wait for others, or components contain others: often a cycle."""
    groups = [spec.get("root"), *(spec.get("components") or {}).values()] if isinstance(spec, dict) else []
    tasks = [group["dag"]["tasks"] for group in groups if isinstance(group, dict) and "tasks" in str(group)]
    chosen = chance.choice(tasks)
    task = chosen[chance.choice(list(chosen))]
    if chance.random() < 0.5:
        task["dependentTasks"] = chance.sample(list(chosen), chance.randint(1, len(chosen)))
    else:
        task["componentRef"] = {"name": chance.choice(list(spec["components"]))}


def arguments(spec: dict, chance: random.Random) -> dict:
    """Values for the parameters that the undamaged spec requires; now and then a wrong one."""
    values = {"STRING": "1", "BOOLEAN": True, "LIST": ["1"], "STRUCT": {}}
    values |= {"NUMBER_INTEGER": 1, "NUMBER_DOUBLE": 0.5}
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {
        name: values[definition["parameterType"]] if chance.random() > 0.02 else chance.choice(ODD)
        for name, definition in parameters.items()
        if not definition.get("isOptional")
    }


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[tuple[Engine, Store]]:
    store = Store(tmp_path / "store.sqlite")
    engine = Engine(store=store, executor=NoProcesses(), state=tmp_path)
    yield engine, store
    engine.close()
    store.close()


def ends(engine: Engine, store: Store, run: PipelineRun) -> dict:
    """Waits for the end of a run; one that waits for a retry is cancelled."""
    begin = time.monotonic()
    cancelled = False
    while not (record := store.read(f"{run.name}/run").json())["endTime"]:
        waited = time.monotonic() - begin
        assert waited < ENDS_SECONDS, f"it hangs: {run.spec}"
        if waited > 2.0 and not cancelled:
            engine.cancel(run.name)
            cancelled = True
        time.sleep(0.002)
    return record


def test_500_damaged_specs_end_in_one_line_or_in_a_run_that_ends(engine, caplog) -> None:
    engine, store = engine
    chance = random.Random(20_261_123)
    specs = real_specs()
    refused = succeeded = failed = 0
    caplog.set_level(logging.ERROR)
    for number in range(MUTATIONS):
        spec = None
        while spec is None:
            with contextlib.suppress(LookupError, TypeError, AttributeError):
                spec = damaged(specs[number % len(specs)], chance)  # unless it left nothing more to damage
        given = arguments(specs[number % len(specs)], chance)
        run = make_run(spec, f"damaged-{number}", parameters=given)
        try:
            engine.check(run)
        except ValueError as error:
            assert type(error) is not ValueError or str(error), error
            assert "\n" not in str(error) and 0 < len(str(error)) < 600, str(error)
            refused += 1
            continue
        engine.start(run)
        record = ends(engine, store, run)
        assert "internal error" not in json.dumps(record), record
        succeeded += record["state"] == "PIPELINE_STATE_SUCCEEDED"
        failed += record["state"] != "PIPELINE_STATE_SUCCEEDED"
    assert not caplog.records, caplog.records[0].getMessage()
    assert min(refused, succeeded, failed) > MUTATIONS / 100, (refused, succeeded, failed)
