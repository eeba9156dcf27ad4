"""What a run or task is set to: resources, task configuration, workspace, dialect; and lists of artifacts."""

import json
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from .conftest import compiled, make_run, until

PASSED = [dsl.TaskConfigField.RESOURCES, dsl.TaskConfigField.ENV]
APPLIED = [dsl.TaskConfigPassthrough(field=field, apply_to_task=True) for field in PASSED]


@dsl.component
def text(x: str) -> str:
    return x


@dsl.component(task_config_passthroughs=[*PASSED, dsl.TaskConfigField.KUBERNETES_TOLERATIONS])
def told(config: dsl.TaskConfig) -> str:
    import json
    import os

    return json.dumps([config.resources, config.env, config.tolerations, os.environ.get("SETTING")])


@dsl.component(task_config_passthroughs=APPLIED)
def told_and_set(config: dsl.TaskConfig) -> str:
    import json
    import os

    return json.dumps([config.resources, config.env, config.tolerations, os.environ.get("SETTING")])


@dsl.pipeline
def configured(memory: str = "16Gi", cpu: str = "2") -> str:
    outputs = []
    for component in (told, told_and_set):
        task = component().set_cpu_limit(text(x=cpu).output).set_memory_limit(memory).set_cpu_request("500m")
        task.set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1)
        task.set_env_variable("SETTING", "on in {{$.pipeline_google_cloud_location}}")
        outputs.append(task.output)
    return text(x=f"{outputs[0]}|{outputs[1]}").output


def test_resources_are_resolved_shown_and_told_to_who_asks(rooms):
    ended = rooms.run(configured, "configured")
    assert ended.state == "SUCCEEDED", ended
    told_only, both = (json.loads(part) for part in ended.outputs["Output"].split("|"))
    limits = {"cpu": "2", "memory": "16Gi", "NVIDIA_TESLA_T4": "1"}
    environment = [{"name": "SETTING", "value": "on in us-central1"}]
    assert told_only == [{"limits": limits, "requests": {"cpu": "500m"}}, environment, None, None]
    assert both == [*told_only[:3], "on in us-central1"]
    shown = {"cpuRequest": "500m", "cpuLimit": "2", "memoryLimit": "16Gi"}
    assert ended.tasks["told"]["resources"] == {}, "they are for what the task starts"
    assert ended.tasks["told-and-set"]["resources"] == {
        **shown,
        "accelerator": {"type": "NVIDIA_TESLA_T4", "count": "1"},
    }
    again = rooms.run(configured, "configured-again")
    assert again.states["told"] == again.states["told-and-set"] == "SKIPPED"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cpu": "two"}, "resources.cpuLimit: found 'two', expected vCPUs"),
        ({"cpu": "97"}, "resources.cpuLimit: 97, a pipeline step on Vertex AI has at most 96 vCPUs"),
        ({"memory": "1Ti"}, "resources.memoryLimit: 1Ti, a pipeline step on Vertex AI has at most 624 GB"),
    ],
)
def test_a_resource_that_comes_with_the_run_is_checked_before_its_task(rooms, parameters, message):
    ended = rooms.run(configured, f"wrong-{parameters}", parameters=parameters)
    assert ended.states["told-and-set"] == "FAILED"
    assert ended.tasks["told-and-set"]["attempts"] == 0
    assert message in ended.error
    assert ended.error.startswith("task 'told-and-set' could not start")
    if "expected" not in message:
        given = {"parameters": parameters, "labels": {"trainwright-dialect": "kfp"}}
        assert rooms.run(configured, f"kfp-{parameters}", **given).state == "SUCCEEDED"


@dsl.component
def write(x: str, data: Output[Dataset]):
    from pathlib import Path

    Path(data.path).mkdir()
    Path(data.path, "part").write_text(x)


@dsl.component
def put(folder: str) -> str:
    with open(f"{folder}/file", "w") as file:
        file.write("shared")
    return folder


@dsl.component
def get(path: str) -> str:
    return open(path).read()


@dsl.component
def uri_of(data: Input[Dataset]) -> str:
    return data.uri


@dsl.component
def changed(data: Input[Dataset]) -> str:
    """Changes the copy in the workspace, not what was imported."""
    with open(f"{data.path}/part", "a") as file:
        file.write("+")
    return data.path


@dsl.container_component
def copied(data: Input[Dataset], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-c", 'cat "$0/part" > "$1"'], args=[data.path, out]
    )


WORKSPACE = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))


@dsl.pipeline(name="workspace", pipeline_config=WORKSPACE)
def workspace() -> str:
    folder = put(folder=dsl.WORKSPACE_PATH_PLACEHOLDER)
    shared = get(path=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/file").after(folder)
    uri = uri_of(data=write(x="imported").outputs["data"])
    imported = dsl.importer(artifact_uri=uri.output, artifact_class=Dataset, download_to_workspace=True)
    path = changed(data=imported.output)
    text_of = copied(data=imported.output).after(path)
    return text(x=f"{folder.output} {shared.output} {text_of.outputs['out']}").output


def test_tasks_of_a_run_share_a_workspace(rooms):
    for number in range(2):  # the second run finds nothing of the first's in its own
        ended = rooms.run(workspace, f"workspace-{number}")
        assert ended.state == "SUCCEEDED", ended
        folder, shared, imported = ended.outputs["Output"].split()
        assert (shared, imported) == ("shared", "imported+")
        assert folder.endswith(f"/work/workspace-{number}/workspace")
        assert ended.states["put"] == "SUCCEEDED"
        until(lambda: not Path(folder).exists())  # noqa: B023 - it lasts as long as the run
        source = rooms.storage / ended.tasks["uri-of"]["outputs"]["parameters"]["Output"].removeprefix(
            "gs://"
        )
        assert (source / "part").read_text() == "imported"


def test_an_import_of_nothing_into_the_workspace_fails(rooms):
    spec = compiled(workspace)
    importer = spec["deploymentSpec"]["executors"]["exec-importer"]["importer"]
    importer["artifactUri"] = {"constant": "gs://bucket/nothing"}
    ended = rooms.run(spec, "nothing")
    assert "downloadToWorkspace: there is nothing at 'gs://bucket/nothing'" in ended.error


@dsl.container_component
def failing(script: str):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c"], args=[script])


@dsl.pipeline
def parallel_failures():
    with dsl.ParallelFor(["0", "0.4", "0.5"], parallelism=0) as seconds:
        failing(script=f"sleep {seconds}; echo broke after {seconds}; exit 3")
        failing(script="sleep 0.6")


def test_a_failed_runs_message_names_the_first_failure_and_counts_the_others(rooms):
    ended = rooms.run(parallel_failures, "parallel-failures")
    assert ended.state == "FAILED"
    assert ended.error.startswith(
        "task 'for-loop-2[0]/failing' failed with exit code 3: broke after 0; log: "
    )
    assert ended.error.endswith(" (and 2 other tasks failed after it)")
    assert ended.tasks["for-loop-2"]["error"]["message"] == ended.error
    assert "broke after 0.4" in ended.tasks["for-loop-2[1]"]["error"]["message"]


LIST = """
import json, sys
given, outputs = json.loads(sys.argv[1]), {}
for name, artifacts in given["outputs"]["artifacts"].items():
    planned = artifacts["artifacts"][0]
    uris = [planned["uri"] + "/" + str(i) for i in range(int(sys.argv[2]))]
    made = [{**planned, "uri": uri, "metadata": {"i": i}} for i, uri in enumerate(uris)]
    outputs[name] = {"artifacts": made}
open(given["outputs"]["outputFile"], "w").write(json.dumps({"artifacts": outputs}))
"""


def list_pipeline(count: int) -> dict:
    artifact = {"artifactType": {"schemaTitle": "system.Dataset"}, "isArtifactList": True}
    command = {"image": "python:3.11", "command": ["python3", "-c", LIST, "{{$}}", str(count)]}
    loop = {
        "componentRef": {"name": "comp-use"},
        "inputs": {
            "artifacts": {
                "all": {"taskOutputArtifact": {"producerTask": "make", "outputArtifactKey": "parts"}}
            }
        },
        "artifactIterator": {"items": {"inputArtifact": "all"}, "itemInput": "one"},
    }
    use = {
        "image": "alpine",
        "command": ["sh", "-c", 'printf "%s" "$0" > "$1"'],
        "args": ["{{$.inputs.artifacts['one'].metadata['i']}}", "{{$.outputs.parameters['i'].output_file}}"],
    }
    one = {key: value for key, value in artifact.items() if key != "isArtifactList"}
    return {
        "pipelineInfo": {"name": "lists"},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {
            "executors": {"exec-make": {"container": command}, "exec-use": {"container": use}}
        },
        "components": {
            "comp-make": {
                "executorLabel": "exec-make",
                "outputDefinitions": {"artifacts": {"parts": artifact}},
            },
            "comp-use": {
                "executorLabel": "exec-use",
                "inputDefinitions": {"artifacts": {"one": one}},
                "outputDefinitions": {"parameters": {"i": {"parameterType": "NUMBER_INTEGER"}}},
            },
        },
        "root": {
            "dag": {
                "tasks": {
                    "make": {"componentRef": {"name": "comp-make"}, "cachingOptions": {"enableCache": True}},
                    "use": loop,
                },
                "outputs": {
                    "parameters": {
                        "Output": {
                            "valueFromParameter": {"producerSubtask": "use", "outputParameterKey": "i"}
                        }
                    }
                },
            },
            "outputDefinitions": {"parameters": {"Output": {"parameterType": "LIST"}}},
        },
    }


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_task_may_make_a_list_of_artifacts(rooms, count):
    for attempt in ("first", "again"):
        ended = rooms.run(list_pipeline(count), f"list-{count}-{attempt}")
        assert ended.state == "SUCCEEDED", ended
        assert ended.outputs["Output"] == list(range(count))
    assert ended.states["make"] == "SKIPPED"
    names = ended.tasks["make"]["outputs"]["artifacts"]["parts"]
    assert [rooms.artifact(name)["uri"][-8:] for name in names] == [f"/parts/{i}" for i in range(count)]


@dsl.pipeline(name="named")
def named() -> str:
    return text(x="{{$.pipeline_job_name}}|{{$.pipeline_job_resource_name}}|{{$.pipeline_job_uuid}}").output


def test_names_are_those_of_the_dialect(rooms):
    on_vertex = rooms.run(named, "on-vertex").outputs["Output"].split("|")
    name = make_run({}, "on-vertex").name
    assert on_vertex[:2] == ["on-vertex", name]
    assert on_vertex[2].isdecimal()
    run = rooms.run(named, "on-kfp", labels={"trainwright-dialect": "kfp"})
    display, workflow, identity = run.outputs["Output"].split("|")
    assert (display, workflow) == ("A run", f"named-{identity[:5]}")


def test_the_cache_of_open_source_kfp_does_not_see_variables(rooms):
    def with_variable(value: str) -> dict:
        spec = compiled(named)
        spec["deploymentSpec"]["executors"]["exec-text"]["container"]["env"] = [{"name": "V", "value": value}]
        spec["root"]["dag"]["tasks"]["text"]["inputs"]["parameters"]["x"]["runtimeValue"]["constant"] = "x"
        return spec

    for dialect, expected in (("vertex", "SUCCEEDED"), ("kfp", "SKIPPED")):
        labels = {"trainwright-dialect": dialect}
        rooms.run(with_variable("1"), f"{dialect}-1", labels=labels)
        assert rooms.run(with_variable("2"), f"{dialect}-2", labels=labels).states["text"] == expected
