"""Whole runs: compiled by kfp, run as processes."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple  # noqa: UP035 - what kfp 2.17 reads

import pytest
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from trainwright.local.engine.outputs import MAX_OUTPUT_BYTES

from .conftest import PROJECT, Rooms, compiled, is_alive, make_run, until


@dsl.container_component
def shell(script: str, out: dsl.OutputPath(str), text: str = ""):
    """Runs a script with the output's path in $0 and a text in $1."""
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c"], args=[script, out, text])


@dsl.container_component
def write(text: str, data: Output[Dataset]):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-c", 'printf "%s" "$0" > "$1"'], args=[text, data.path]
    )


@dsl.container_component
def read(data: Input[Dataset], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="alpine", command=["cp"], args=[data.path, out])


@dsl.container_component
def number(value: int, out: dsl.OutputPath(int)):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c", 'echo "$0" > "$1"'], args=[value, out])


ECHO = 'printf "%s" "$1" > "$0"'


@dsl.component
def received(
    integers: list,
    struct: dict,
    rate: float,
    count: int,
    text: str,
    unset: str = None,  # noqa: RUF013
    flag: bool = True,
) -> str:
    import json

    return json.dumps([integers, struct, rate, count, text, unset, flag])


@dsl.component
def make() -> NamedTuple("Made", [("numbers", list), ("struct", dict)]):
    from collections import namedtuple

    return namedtuple("Made", "numbers struct")([1, 2], {"a": 1, "b": [3, 0.5]})


@dsl.pipeline
def nested(numbers: list, struct: dict, count: int = 7, rate: float = 2.0) -> str:
    return received(integers=numbers, struct=struct, rate=rate, count=count, text=f"{count} of {rate}").output


@dsl.pipeline(name="values")
def values() -> str:
    made = make()
    return nested(numbers=made.outputs["numbers"], struct=made.outputs["struct"]).output


def test_python_components_see_integers_as_integers_at_any_depth(rooms):
    ended = rooms.run(values, "values")
    assert ended.state == "SUCCEEDED", ended
    expected = [[1, 2], {"a": 1, "b": [3, 0.5]}, 2, 7, "7 of 2", None, True]
    assert json.dumps(json.loads(ended.outputs["Output"])) == json.dumps(expected)
    task = ended.tasks["nested/received"]
    assert task["parentTaskId"] == ended.tasks["nested"]["taskId"]
    assert ended.tasks["nested"]["parentTaskId"] == ended.tasks[""]["taskId"]
    assert task["createTime"] <= task["startTime"] <= task["endTime"]
    assert Path(task["logPath"]).is_file()


@dsl.pipeline(name="placeholders")
def placeholders(user: str, items: list = ["{{$.pipeline_root}}"]) -> str:  # noqa: B006
    text = "|".join(
        [
            dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
            dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
            dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
            "{{$.pipeline_google_cloud_project_id}}/{{$.pipeline_google_cloud_location}}",
            "{{$.pipeline_service_account}}|{{$.pipeline_network}}|{{$.pipeline_encryption_key_name}}",
        ]
    )
    return received(
        integers=items,
        struct={"at": {"{{$.pipeline_job_name}}": ["{{$.pipeline_root}}"]}},
        rate=1.5,
        count=1,
        text=f"{user}|{text}",
    ).output


def test_placeholders_stand_for_the_runs_values_but_not_in_what_users_give(rooms):
    ended = rooms.run(placeholders, "names", parameters={"user": "{{$.pipeline_root}}"})
    assert ended.state == "SUCCEEDED", ended
    items, struct, *_, text, _, _ = json.loads(ended.outputs["Output"])
    assert items == ["gs://bucket/root"]
    assert struct == {"at": {"names": ["gs://bucket/root"]}}
    name = f"{PROJECT}/pipelineJobs/names"
    assert text == (
        f"{{{{$.pipeline_root}}}}|names|{name}|received|2023-11-14T22:13:20Z|my-project/us-central1"
        "|robot@my-project.iam.gserviceaccount.com||"
    )


@dsl.pipeline(name="environment")
def environment() -> str:
    task = shell(script='echo "$OWN $VERTEX_AI_PIPELINES_RUN_LABELS $CLOUD_ML_PROJECT_ID" | tee "$0"')
    task.set_env_variable("OWN", "in {{$.pipeline_google_cloud_location}}")
    return task.outputs["out"]


def test_a_task_has_its_own_variables_and_those_of_vertex(rooms):
    ended = rooms.run(environment, "environment")
    assert ended.outputs["Output"].startswith("in us-central1 {")
    assert '"team": "churn"' in ended.outputs["Output"]
    assert ended.outputs["Output"].endswith(" 100000000001\n")
    assert "us-central1" in Path(ended.tasks["shell"]["logPath"]).read_text()


@dsl.pipeline(name="caching")
def caching(text: str, value: str = "1") -> str:
    made = write(text=text)
    counted = read(data=made.outputs["data"])
    fresh = shell(script=ECHO, text=counted.outputs["out"]).set_caching_options(False)
    changed = shell(script=ECHO, text="same").set_env_variable("VALUE", "{{$.inputs.parameters['text']}}")
    keyed = shell(script=ECHO, text=value).set_caching_options(True, cache_key="fixed").after(changed)
    keyed.after(fresh)
    return fresh.outputs["out"]


def test_caching_is_keyed_as_on_vertex(rooms):
    spec = compiled(caching)
    first = rooms.run(spec, "first", parameters={"text": "a"})
    assert first.state == "SUCCEEDED", first
    again = rooms.run(spec, "again", parameters={"text": "a", "value": "2"})
    hits = {path for path, state in again.states.items() if state == "SKIPPED"}
    assert hits == {"write", "read", "shell-2", "shell-3"}
    assert again.outputs == first.outputs == {"Output": "a"}
    assert again.tasks["write"]["outputs"] == first.tasks["write"]["outputs"]
    assert again.tasks["write"]["cacheHit"]
    assert again.tasks["write"]["attempts"] == 0
    other = rooms.run(spec, "other", parameters={"text": "b"})
    assert other.states["write"] == other.states["read"] == "SUCCEEDED"
    renamed = json.loads(json.dumps(spec).replace('"name": "caching"', '"name": "renamed"'))
    assert rooms.run(renamed, "renamed", parameters={"text": "a"}).states["write"] == "SUCCEEDED"
    changed = json.loads(json.dumps(spec).replace('"VALUE"', '"OTHER"'))
    ended = rooms.run(changed, "changed", parameters={"text": "a"})
    assert (ended.states["shell-2"], ended.states["read"]) == ("SUCCEEDED", "SKIPPED")


@dsl.pipeline(name="retries")
def retries(folder: str):
    flaky = 'cat "$0" && exit 9; echo left > "$0"; echo . >> "$1/tries"; [ $(wc -l < "$1/tries") = 3 ]'
    shell(script=flaky, text=folder).set_retry(3, backoff_duration="0s")
    shell(script="echo it broke; echo really >&2; exit 3").set_retry(1)


def test_a_failed_task_is_tried_again_from_scratch_and_then_says_why(rooms, tmp_path):
    ended = rooms.run(retries, "retries", parameters={"folder": str(tmp_path)})
    assert ended.state == "FAILED"
    assert (ended.states["shell"], ended.tasks["shell"]["attempts"]) == ("SUCCEEDED", 3)
    assert (ended.states["shell-2"], ended.tasks["shell-2"]["attempts"]) == ("FAILED", 2)
    log = ended.tasks["shell-2"]["logPath"]
    assert ended.error == f"task 'shell-2' failed with exit code 3: it broke | really; log: {log}"
    assert ended.tasks["shell-2"]["error"] == {"code": 9, "message": ended.error}


@dsl.component
def report(status: dsl.PipelineTaskFinalStatus, path: str):
    with open(path, "w") as file:
        file.write(f"{status.state}|{status.pipeline_task_name}|{status.error_message}")


@dsl.pipeline(name="exits")
def exits(path: str, script: str = "exit 4"):
    with dsl.ExitHandler(report(path=path)):
        first = shell(script=script)
        shell(script=ECHO, text="x").after(first)
    shell(script=ECHO, text="beside")


@pytest.mark.parametrize(
    ("script", "state", "said"),
    [
        ("exit 4", "FAILED", "FAILED|exit-handler-1|task 'exit-handler-1/shell' failed with exit code 4"),
        ('echo > "$0"', "SUCCEEDED", "SUCCEEDED|exit-handler-1|None"),
    ],
)
def test_an_exit_handler_runs_after_all_and_hears_how_it_ended(rooms, tmp_path, script, state, said):
    parameters = {"path": str(tmp_path / "status"), "script": script}
    ended = rooms.run(exits, f"exits-{state.lower()}", parameters=parameters)
    assert ended.state == state
    assert ended.states["report"] == "SUCCEEDED"
    assert ended.states["exit-handler-1/shell-2"] == (
        "SUCCEEDED" if state == "SUCCEEDED" else "NOT_TRIGGERED"
    )
    assert (tmp_path / "status").read_text().startswith(said)


@dsl.pipeline(name="ignoring")
def ignoring(script: str = "exit 1") -> str:
    bad = shell(script=script)
    return shell(script=ECHO, text="went on").after(bad).ignore_upstream_failure().outputs["out"]


def test_a_task_may_ignore_that_another_failed(rooms):
    ended = rooms.run(ignoring, "ignoring")
    assert ended.state == "FAILED"
    assert ended.states["shell-2"] == "SUCCEEDED"
    assert ended.outputs == {"Output": "went on"}


@dsl.pipeline
def branches(which: str) -> str:
    with dsl.If(which == "it's"):
        one = shell(script=ECHO, text="one")
    with dsl.Elif(which == "two"):
        two = shell(script=ECHO, text="two")
    with dsl.Else():
        three = shell(script=ECHO, text="three")
    return dsl.OneOf(one.outputs["out"], two.outputs["out"], three.outputs["out"])


@dsl.pipeline
def artifact_branches(count: int) -> Dataset:
    with dsl.If(count > 1):
        many = write(text="many")
    with dsl.Else():
        few = write(text="few")
    return dsl.OneOf(many.outputs["data"], few.outputs["data"])


@dsl.pipeline(name="branching")
def branching(which: str, count: int) -> str:
    text = branches(which=which).output
    data = artifact_branches(count=count).output
    return shell(script=ECHO, text=f"{text} {read(data=data).outputs['out']}").outputs["out"]


def test_one_branch_runs_and_its_output_goes_on(rooms):
    spec = json.loads(json.dumps(compiled(branching)).replace("'it's'", "'one'"))
    for which, count, expected in (("two", 2, "two many"), ("other", 1, "three few"), ("one", 1, "one few")):
        ended = rooms.run(spec, f"branching-{which}", parameters={"which": which, "count": count})
        assert (ended.state, ended.outputs) == ("SUCCEEDED", {"Output": expected}), ended


def test_a_condition_that_is_no_expression_fails_its_task(rooms):
    # The compiler does not escape the quote in the string that it compares with.
    ended = rooms.run(branching, "quoted", parameters={"which": "x", "count": 1})
    assert ended.state == "FAILED"
    assert "is no CEL expression" in ended.error


@dsl.pipeline
def write_all(names: list) -> List[Dataset]:  # noqa: UP006
    with dsl.ParallelFor(names) as name:
        data = write(text=name)
    return dsl.Collected(data.outputs["data"])


@dsl.pipeline(name="loops")
def loops(names: list, path: str) -> list:
    with dsl.ParallelFor(names, parallelism=2) as name:
        busy = shell(script=f"echo start >> $1; sleep 0.1; echo stop >> $1; {ECHO}", text=path)
        with dsl.ParallelFor([{"k": 1}, {"k": 2}]) as item:
            inner = number(value=item.k).after(busy)
            read(data=write(text=name).outputs["data"])
    with dsl.ParallelFor(write_all(names=names).output) as one:
        read(data=one)
    return dsl.Collected(inner.outputs["out"])


def test_loops_keep_their_limit_order_and_items(rooms, tmp_path):
    parameters = {"names": ["a", "b", "c"], "path": str(tmp_path / "log")}
    ended = rooms.run(loops, "loops", parameters=parameters)
    assert ended.state == "SUCCEEDED", ended
    assert ended.outputs["Output"] == [[1, 2], [1, 2], [1, 2]]
    count = most = 0
    for line in (tmp_path / "log").read_text().split():
        count += 1 if line == "start" else -1
        most = max(most, count)
    assert 1 <= most <= 2
    reads = {
        path: task["outputs"]["parameters"].get("out") for path, task in ended.tasks.items() if "read" in path
    }
    assert [text for path, text in reads.items() if path.startswith("for-loop-1[1]/")] == ["b", "b"]
    over_artifacts = [text for path, text in reads.items() if path.count("[") == 1]
    assert sorted(over_artifacts) == ["a", "b", "c"]
    empty = rooms.run(loops, "empty", parameters={"names": [], "path": ""})
    assert (empty.state, empty.outputs["Output"]) == ("SUCCEEDED", [])


@dsl.component
def custom(data: Output[Dataset], metrics: Output[dsl.Metrics]) -> None:
    from pathlib import Path

    Path("made/folder").mkdir(parents=True)
    Path("made/folder/part").write_text("content")
    data.custom_path = "made"
    data.metadata["rows"] = 3.0
    metrics.log_metric("auc", 0.9)


@dsl.pipeline(name="artifacts")
def artifacts(given: Input[Dataset]) -> NamedTuple("Out", [("data", Dataset), ("text", str)]):
    made = custom()
    copied = read(data=given)
    imported = dsl.importer(
        artifact_uri=copied.outputs["out"], artifact_class=Artifact, reimport=False,
        metadata={"from": "{{$.pipeline_job_name}}", copied.outputs["out"]: [copied.outputs["out"]]},
    )  # fmt: skip
    task = shell(script=ECHO, text="x").after(imported)
    return NamedTuple("Out", [("data", Dataset), ("text", str)])(made.outputs["data"], task.outputs["out"])


def test_artifacts_are_recorded_with_uri_type_and_metadata(rooms):
    name = f"{PROJECT}/metadataStores/default/artifacts/77"
    content = {"name": name, "displayName": "d", "uri": "gs://bucket/given", "schemaTitle": "system.Dataset"}
    content |= {"schemaVersion": "0.0.1", "metadata": {}, "state": "LIVE", "createTime": 0.0}
    rooms.store.write(name, "artifact", json.dumps(content).encode())
    (rooms.storage / "bucket").mkdir(parents=True, exist_ok=True)
    (rooms.storage / "bucket" / "given").write_text("gs://bucket/other")
    ended = rooms.run(artifacts, "artifacts", input_artifacts={"given": "77"})
    assert ended.state == "SUCCEEDED", ended
    data = rooms.artifact(ended.artifacts["data"][0])
    task = ended.tasks["custom"]
    assert data["uri"] == f"gs://bucket/root/100000000001/artifacts/custom_{task['taskId']}/data"
    assert data["schemaTitle"] == "system.Dataset"
    assert data["metadata"] == {"rows": 3}
    assert (rooms.storage / data["uri"].removeprefix("gs://") / "folder" / "part").read_text() == "content"
    assert rooms.artifact(task["outputs"]["artifacts"]["metrics"][0])["metadata"] == {"auc": 0.9}
    imported = rooms.artifact(ended.tasks["importer"]["outputs"]["artifacts"]["artifact"][0])
    assert imported["uri"] == "gs://bucket/other"
    assert imported["metadata"] == {"from": "artifacts", "gs://bucket/other": ["gs://bucket/other"]}


@dsl.pipeline(name="importing")
def importing(reimport: bool = False):
    dsl.importer(artifact_uri="gs://bucket/thing", artifact_class=Dataset, reimport=False)


def test_an_import_is_reused_unless_it_is_to_be_made_again(rooms):
    spec = compiled(importing)
    runs = [rooms.run(spec, f"import-{index}") for index in range(2)]
    importer = spec["deploymentSpec"]["executors"]["exec-importer"]["importer"]
    importer["reimport"] = True
    runs.append(rooms.run(spec, "import-2"))
    first, second, third = (run.tasks["importer"]["outputs"]["artifacts"]["artifact"] for run in runs)
    assert first == second != third


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f'head -c {MAX_OUTPUT_BYTES + 1} /dev/zero | tr "\\0" x > "$0"', "Vertex AI allows 131,072 bytes"),
        ("true", "output 'out' was not written"),
        ("kill -9 $$", "was killed by SIGKILL"),
    ],
)
def test_what_a_task_did_wrong_is_named(rooms, script, message):
    ended = rooms.run(ignoring, f"wrong-{len(script)}", parameters={"script": script})
    assert message in ended.error
    assert ended.error.startswith("task 'shell' ")


def test_an_image_without_a_counterpart_fails_its_task_at_once(rooms):
    spec = compiled(environment)
    container = next(iter(spec["deploymentSpec"]["executors"].values()))["container"]
    container |= {"image": "quay.io/nobody/knows", "command": ["serve"]}
    ended = rooms.run(spec, "image")
    assert ended.error.startswith("task 'shell' failed: image 'quay.io/nobody/knows' cannot be run here")


@dsl.pipeline(name="waiting")
def waiting(folder: str):
    shell(
        script='trap "echo stopped > $1/heard; exit 0" TERM; echo $$ > $1/pid; sleep 300 & wait', text=folder
    )
    later = shell(script="exit 1").set_retry(5, backoff_duration="600s")
    shell(script=ECHO).after(later)


def test_cancelling_ends_the_processes_and_tells_each_tasks_true_state(rooms, tmp_path):
    run = make_run(compiled(waiting), "cancelled", parameters={"folder": str(tmp_path)})
    rooms.engine.start(run)
    until(lambda: (tmp_path / "pid").exists() and rooms.tasks(run)["shell-2"]["attempts"] == 1)
    until(lambda: rooms.tasks(run)["shell-2"]["state"] == "PENDING")
    rooms.engine.cancel(run.name)
    ended = rooms.wait(run)
    assert ended.state == "CANCELLED"
    assert ended.states == {
        "": "CANCELLED",
        "shell": "CANCELLED",
        "shell-2": "CANCELLED",
        "shell-3": "NOT_TRIGGERED",
    }
    assert (tmp_path / "heard").exists(), "SIGTERM reached the process, whose exit code 0 is no success"
    assert not is_alive(int((tmp_path / "pid").read_text()))
    rooms.engine.start(run)
    assert rooms.tasks(run) == ended.tasks, "an ended run is left alone"


@dsl.pipeline(name="interrupted")
def interrupted(folder: str) -> list:
    first = shell(script=f'echo . >> "$1/first"; {ECHO}', text=folder).set_caching_options(False)
    # As a launcher does: it notes the remote job at once, and when it finds the note it resumes that job.
    resume = '[ -s "$0" ] && { echo resumed > "$1/second"; exit 0; }; '
    script = resume + 'echo noted > "$0"; echo $$ > "$1/pid"; sleep 300'
    second = shell(script=script, text=first.outputs["out"]).set_caching_options(False)
    with dsl.ParallelFor(["a", "b"]) as item:
        last = shell(script=ECHO, text=f"{item}{second.outputs['out']}")
    return dsl.Collected(last.outputs["out"])


SERVER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trainwright.local.engine import Engine, PipelineRun
from trainwright.local.execution import Executor
from trainwright.local.store import Store
state = Path(sys.argv[2])
store = Store(state / "store.sqlite")
executor = Executor(state=state, client_environment={}, gcs_root=state / "storage")
Engine(store=store, executor=executor, state=state).start(PipelineRun(**json.load(sys.stdin)))
sys.stdin.close()
import time; time.sleep(600)
"""


def test_a_run_goes_on_after_kill_9(tmp_path):
    state, folder = tmp_path / "state", tmp_path / "work"
    state.mkdir()
    folder.mkdir()
    run = make_run(compiled(interrupted), "interrupted", parameters={"folder": str(folder)})
    root = str(Path(__file__).resolve().parents[3])
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, root, str(state)], stdin=subprocess.PIPE, text=True
    )
    json.dump(vars(run), server.stdin)
    server.stdin.close()
    until(lambda: (folder / "pid").exists())
    server.send_signal(signal.SIGKILL)
    server.wait()
    rooms = Rooms(state)
    try:
        assert rooms.store.read(f"{run.name}/run").json()["state"] == "PIPELINE_STATE_RUNNING"
        rooms.engine.start(run)
        ended = rooms.wait(run)
    finally:
        rooms.close()
    assert ended.state == "SUCCEEDED", ended
    assert (folder / "first").read_text() == ".\n", "what had ended was not run again"
    assert (folder / "second").read_text() == "resumed\n", "what ran found what it had written"
    assert ended.outputs == {"Output": ["anoted\n", "bnoted\n"]}
