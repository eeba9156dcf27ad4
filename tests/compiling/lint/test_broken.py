"""A sound pipeline, broken in one place at a time: each is found, by the right rule, with the right words."""

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from trainwright.compiling.cost import estimate
from trainwright.compiling.lint.check import lint, lint_document, rules
from trainwright.compiling.lint.document import read_document

Spec = dict[str, Any]
TODAY = date(2026, 11, 25)


def _inside(spec: Spec) -> Spec:
    tasks: Spec = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    return tasks


def _given(spec: Spec, task: str, name: str, value: Any) -> None:
    _inside(spec)[task]["inputs"]["parameters"][name] = {"runtimeValue": {"constant": value}}


def _pools(spec: Spec) -> list[Spec]:
    source = _inside(spec)["custom-training-job"]["inputs"]["parameters"]["worker_pool_specs"]
    pools: list[Spec] = source["runtimeValue"]["constant"]
    return pools


def _machine(**changed: Any) -> Callable[[Spec], None]:
    return lambda spec: _pools(spec)[0]["machine_spec"].update(changed)


def _container(**changed: Any) -> Callable[[Spec], None]:
    return lambda spec: _pools(spec)[0]["container_spec"].update(changed)


def _job(name: str, value: Any) -> Callable[[Spec], None]:
    return lambda spec: _given(spec, "custom-training-job", name, value)


def _tuning(name: str, value: Any) -> Callable[[Spec], None]:
    return lambda spec: _given(spec, "hyperparameter-tuning-job", name, value)


def _default(name: str, value: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["root"]["inputDefinitions"]["parameters"][name].update(defaultValue=value)


def _executor(**changed: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["deploymentSpec"]["executors"]["exec-step"]["container"].update(changed)


def _step(**changed: Any) -> Callable[[Spec], None]:
    return lambda spec: _inside(spec)["step"].update(changed)


def _more_pools(*machines: Spec, **changed: Any) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        pools = _pools(spec)
        for machine in machines:
            pools.append({**copy.deepcopy(pools[0]), "machine_spec": machine})
        for name, value in changed.items():
            _given(spec, "custom-training-job", name, value)

    return change


def _command(text: str) -> Callable[[Spec], None]:
    return _executor(command=["sh", "-c", text])


def _source(text: str) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        spec["deploymentSpec"]["executors"]["exec-step"]["container"]["command"][-1] += text
        _inside(spec)["step"]["cachingOptions"] = {"enableCache": True}

    return change


def _in_loop(spec: Spec) -> None:
    inner = _inside(spec)["for-loop-3"]["componentRef"]["name"]
    root = spec["root"]["dag"]["tasks"]
    handler, told = root.pop("exit-handler-1"), root.pop("vertex-pipelines-notification-email")
    spec["components"]["comp-outer"] = {"dag": {"tasks": {"exit-handler-1": handler, "told": told}}}
    root["loop"] = {
        "componentRef": {"name": "comp-outer"},
        "parameterIterator": {"itemInput": "i", "items": {"raw": '["a"]'}},
    }
    assert inner in spec["components"]


def _needs_output(spec: Spec) -> None:
    task = spec["root"]["dag"]["tasks"]["vertex-pipelines-notification-email"]
    source = {"taskOutputParameter": {"producerTask": "exit-handler-1", "outputParameterKey": "Output"}}
    task["inputs"]["parameters"]["recipients"] = source


def _cached_exit(spec: Spec) -> None:
    """An exit task that does not look at the final status, which is another in each run."""
    exit_task = {**_inside(spec)["step"], "dependentTasks": ["exit-handler-1"]}
    exit_task["inputs"] = {"parameters": {"source": {"runtimeValue": {"constant": "done"}}}}
    exit_task["cachingOptions"] = {"enableCache": True}
    spec["root"]["dag"]["tasks"]["done"] = {
        **exit_task,
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    }


def _recipients(*addresses: str) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        task = spec["root"]["dag"]["tasks"]["vertex-pipelines-notification-email"]
        task["inputs"]["parameters"]["recipients"]["runtimeValue"]["constant"] = list(addresses)

    return change


def _automl(budget: int) -> Callable[[Spec], None]:
    return lambda spec: _given(spec, "automl-tabular-training-job", "budget_milli_node_hours", budget)


def _launcher(job: str, **container: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["deploymentSpec"]["executors"][f"exec-{job}"]["container"].update(container)


def _class(name: str) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        command = spec["deploymentSpec"]["executors"]["exec-tabular-dataset-create"]["container"]["command"]
        command[command.index("TabularDataset")] = name

    return change


def _many_artifacts(spec: Spec) -> None:
    artifacts = {f"a{number}": {"artifactType": {"schemaTitle": "system.Artifact"}} for number in range(101)}
    spec["components"]["comp-step"]["outputDefinitions"] = {"artifacts": artifacts}


def _many_iterations(spec: Spec) -> None:
    _inside(spec)["for-loop-3"]["parameterIterator"]["items"]["raw"] = json.dumps(["a"] * 10_001)


def _wrapped(spec: Spec) -> None:
    definitions = spec["components"]["comp-custom-training-job"]["inputDefinitions"]["parameters"]
    source = "import kfp\nfrom kfp import dsl\n\ndef train(x: str, timeout: str):\n    pass\n"
    definitions["worker_pool_specs"]["defaultValue"] = [
        {"container_spec": {"command": ["sh", "-c", "", "sh", "-ec", "", source]}}
    ]


L4_1 = {"machine_type": "g2-standard-12", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}
OLD_IMAGE = "us-docker.pkg.dev/vertex-ai/training/xgboost-cpu.2-1:latest"
INSTALL = "python3 -m pip install --quiet 'pandas' 'numpy>=2' && \"$0\" \"$@\""

SMALL = "pipelineInfo: {name: p}\nroot: {dag: {}}\nschemaVersion: 2.1.0\ndeploymentSpec: {}\n"
ITSELF = (
    SMALL.replace("{dag: {}}", "{dag: {}, inputDefinitions: {parameters: {a: {defaultValue: &v {v: *v}}}}}")
    + "components: {}"
)

BROKEN: list[tuple[Callable[[Spec], None], str, str]] = [
    (_machine(machine_type="g2-standard-1"), "machine", "'g2-standard-1' is none of Vertex AI custom"),
    (_machine(machine_type="c3-standard-8"), "machine", "nearest is 'c2-standard-8'"),
    (_machine(accelerator_count=2), "machine", "takes exactly 1; nearest is 1"),
    (_machine(accelerator_type="NVIDIA_TESLA_T4"), "machine", "it has 1 x NVIDIA_L4"),
    (_machine(accelerator_type="NOT_A_GPU"), "machine", "accelerator 'NOT_A_GPU' is unknown"),
    (
        _machine(machine_type="n1-standard-8", accelerator_type="NVIDIA_TESLA_P100"),
        "machine",
        "NVIDIA_TESLA_P100 is no longer there",
    ),
    (_default("machine_type", "n1-standard-1"), "machine", "'n1-standard-1' is none of"),
    (_job("location", "europe-west1"), "machine-region", "NVIDIA_L4 is not in europe-west1 for training"),
    (_job("strategy", "BANANA"), "machine-strategy", "strategy 'BANANA' is unknown"),
    (_job("strategy", "LOW_COST"), "machine-strategy", "deprecated: use SPOT"),
    (
        lambda spec: _pools(spec)[0].update(
            machine_spec={
                "machine_type": "a3-highgpu-1g",
                "accelerator_type": "NVIDIA_H100_80GB",
                "accelerator_count": 1,
            }
        ),
        "machine-strategy",
        "it is had by SPOT or FLEX_START only",
    ),
    (lambda spec: _pools(spec)[0].update(replica_count=2), "worker-pools", "2 replicas in the first worker"),
    (_more_pools(*[L4_1] * 4), "worker-pools", "5 worker pools, expected at most 4"),
    (
        _more_pools({"machine_type": "ct5lp-hightpu-4t", "tpu_topology": "2x2"}),
        "worker-pools",
        "a TPU job of several pools",
    ),
    (
        _more_pools({**L4_1, "machine_type": "g2-standard-8"}, strategy="FLEX_START"),
        "worker-pools",
        "FLEX_START with different machines",
    ),
    (
        lambda spec: _pools(spec)[0].update(disk_spec={"boot_disk_type": "pd-sdd"}),
        "worker-pools",
        "nearest is 'pd-ssd'",
    ),
    (
        lambda spec: _pools(spec)[0].update(disk_spec={"boot_disk_size_gb": 50}),
        "worker-pools",
        "disk of 50 GB, expected 100",
    ),
    (
        _launcher("custom-training-job", resources={"cpuLimit": 4.0}),
        "resources-on-launcher",
        "cpuLimit on the task that launches a CustomJob",
    ),
    (
        _executor(resources={"resourceCpuLimit": "128"}),
        "task-resources",
        "CPU limit 128, expected at most 96",
    ),
    (
        _executor(resources={"resourceMemoryLimit": "1000G"}),
        "task-resources",
        "memory limit 1000 GB, expected at most 624",
    ),
    (
        _executor(resources={"accelerator": {"resourceType": "NVIDIA_TESLA_T44", "resourceCount": "1"}}),
        "task-resources",
        "nearest is 'NVIDIA_TESLA_T4'",
    ),
    (
        _executor(resources={"accelerator": {"resourceType": "NVIDIA_L4", "resourceCount": "3"}}),
        "task-resources",
        "3 accelerators, expected 1, 2, 4, 8 or 16",
    ),
    (
        _executor(resources={"resourceCpuLimit": "{{$.inputs.parameters['cpus']}}"}),
        "resources-as-parameters",
        "resourceCpuLimit of a task known at run time only",
    ),
    (_tuning("location", "us-central1"), "location-fixed", "location 'us-central1' by a constant"),
    (
        lambda spec: _inside(spec)["hyperparameter-tuning-job"]["inputs"]["parameters"].pop("location"),
        "location-fixed",
        "location 'us-central1' by the component's default",
    ),
    (_tuning("project", "acme-ml"), "project-fixed", "project 'acme-ml', expected the run's"),
    (_job("network", "projects/12/global/networks/n"), "project-fixed", "names the project '12'"),
    (lambda spec: spec.update(defaultPipelineRoot="gs://acme/root"), "bucket-fixed", "defaultPipelineRoot"),
    (_job("base_output_directory", "gs://acme/out"), "bucket-fixed", "names the bucket 'acme'"),
    (_default("uri", "gs://acme/data.csv"), "bucket-fixed", "default of uri names the bucket 'acme'"),
    (_executor(args=["--out", "gs://acme/out"]), "bucket-fixed", "an argument names the bucket 'acme'"),
    (
        _job("service_account", "t@acme.iam.gserviceaccount.com"),
        "account-fixed",
        "names the account 't@acme.iam",
    ),
    (_executor(image="python:3.11"), "image-digest", "image python:3.11 has no digest: its tag moves"),
    (_executor(image="ghcr.io/acme/tool"), "image-digest", "it is whatever is newest"),
    (_container(image_uri="ghcr.io/acme/t:1"), "image-digest", "image ghcr.io/acme/t:1 has no digest"),
    (_container(image_uri=OLD_IMAGE), "image-ended", "past the end of its availability, 2026-07-11"),
    (_executor(image=OLD_IMAGE.replace("xgboost-cpu.2-1", "tf-gpu.2-17.py310")), "image-ended", "2026-07-11"),
    (
        _container(image_uri="us-docker.pkg.dev/vertex-ai/training/ray-cpu.2-47.py311:latest"),
        "image-ending",
        "past the end of its support, 2026-07-28; it is there until 2027-07-28",
    ),
    (_command(INSTALL), "package-unpinned", "installs numpy>=2, pandas of any version"),
    (
        _container(command=["bash", "-c", "pip install torch==2.*"]),
        "package-unpinned",
        "installs torch==2.* of any version",
    ),
    (_step(cachingOptions={"enableCache": True}), "cache-moving-data", "cached, and reads source"),
    (_source("\n    datetime.now()\n"), "cache-moving-data", "depends on datetime.now"),
    (
        lambda spec: (_job("strategy", "SPOT")(spec), _job("base_output_directory", "")(spec)),
        "spot-checkpoint",
        "SPOT without base_output_directory",
    ),
    (_job("timeout", "604800s"), "gpu-timeout", "a job on NVIDIA_L4 without a timeout of its own"),
    (
        lambda spec: _inside(spec)["custom-training-job"].update(retryPolicy={"maxRetryCount": 3}),
        "retry-not-repeatable",
        "3 retries of a task that makes a job each time",
    ),
    (_cached_exit, "exit-cached", "the second run's is not executed"),
    (_in_loop, "exit-in-loop", "inside the loop loop"),
    (_needs_output, "exit-needs-output", "input recipients is an output of exit-handler-1"),
    (_recipients(*["a@example.com"] * 4), "notification-recipients", "4 recipients, expected 1 to 3"),
    (lambda spec: spec["pipelineInfo"].update(name="9"), "pipeline-name", "begins with a letter"),
    (lambda spec: spec["pipelineInfo"].update(name="a" * 120), "pipeline-name", "name of 120 characters"),
    (_default("labels", {"Team": "a"}), "labels", "label 'Team', expected a letter, then lower-case"),
    (_job("labels", {"team": "A B"}), "labels", "label team: 'A B', expected lower-case"),
    (_job("labels", {"team": 1}), "labels", "label team: 1 is no text"),
    (_wrapped, "custom-job-parameter", "parameter 'timeout' takes the place of the custom job's"),
    (_many_iterations, "too-many-tasks", "tasks in a run, expected at most 10,000"),
    (_many_artifacts, "too-many-tasks", "101 input and output artifacts, expected at most 100"),
    (_job("timeout", "8 days"), "job-limits", "timeout '8 days', expected seconds with an s"),
    (_job("timeout", "700000s"), "job-limits", "timeout 700000s, expected at most 604800s (7 days)"),
    (_container(args=["x" * 100_001]), "job-limits", "100,001 characters of arguments"),
    (_container(env=[{"name": "a", "value": "b"}] * 101), "job-limits", "101 environment variables"),
    (
        _tuning("parallel_trial_count", 30),
        "tuning-trials",
        "parallel_trial_count 30 above max_trial_count 20",
    ),
    (_tuning("max_trial_count", 0), "tuning-trials", "max_trial_count 0, expected 1 or more"),
    (_automl(500), "automl-budget", "500, expected 1,000 to 72,000; nearest is 1,000"),
    (_default("uri", "AIza" + "x" * 35), "secret", "uri holds what looks like a Google API key"),
    (_executor(env=[{"name": "K", "value": "AKIA" + "A" * 16}]), "secret", "an AWS access key"),
    (_executor(env=[{"name": "DB_PASSWORD", "value": "hunter2"}]), "secret-name", "DB_PASSWORD has a value"),
    (_container(env=[{"name": "API_TOKEN", "value": "x"}]), "secret-name", "API_TOKEN has a value"),
    (_class("TextDataset"), "service-ended", "AutoML for text was shut down on 2025-06-15"),
    (_class("Featurestore"), "service-ended", "Feature Store (Legacy) is shut down on 2027-02-17"),
]


def _write(spec: Spec, folder: Path) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps(spec))
    return path


def test_the_sound_pipeline_is_clean(sound: Path) -> None:
    assert [finding.message for finding in lint_document(read_document(sound), today=TODAY)] == []


@pytest.mark.parametrize(("change", "rule", "message"), BROKEN, ids=lambda value: str(value)[:40])
def test_a_broken_pipeline_is_found(
    sound_spec: Spec, tmp_path: Path, change: Callable[[Spec], None], rule: str, message: str
) -> None:
    spec = copy.deepcopy(sound_spec)
    change(spec)
    found = lint_document(read_document(_write(spec, tmp_path)), today=TODAY)
    assert rule in {finding.rule for finding in found}, [finding.message for finding in found]
    matching = [finding for finding in found if message in finding.message]
    assert {finding.rule for finding in matching} == {rule}, [finding.message for finding in found]


def test_every_rule_is_broken_once() -> None:
    assert {rule for _, rule, _ in BROKEN} | {"two-documents", "unreadable"} == set(rules())


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        ("a: [", "unreadable", "not YAML at line 2"),
        ("a: 1", "unreadable", "no 'pipelineInfo' in it"),
        ("- 1", "unreadable", "holds no mapping"),
        (SMALL + "components: []", "unreadable", "components: found a list, expected a mapping"),
        (ITSELF, "unreadable", "nested too deeply, or in itself"),
        ("name: x\nimplementation: {}", "unreadable", "a KFP 1 component"),
        ("SOUND\n---\nplatforms: {kubernetes: {}}", "two-documents", "2 YAML documents, expected one"),
        (
            "SOUND\n---\nplatforms: {kubernetes: {deploymentSpec: {executors: {e: {pvcMount: [{}]}}}}}",
            "two-documents",
            "pvcMount: only Kubernetes can do this",
        ),
    ],
)
def test_a_broken_file_is_found(sound: Path, tmp_path: Path, text: str, rule: str, message: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text.replace("SOUND", sound.read_text()))
    (finding,) = lint([path], today=TODAY).findings
    assert (finding.rule, message in finding.message) == (rule, True), finding.message


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((*path, key), *_places(item, (*path, key)))]


def test_a_damaged_pipeline_is_found_or_clean_but_never_an_exception(
    sound_spec: Spec, tmp_path: Path
) -> None:
    draw = random.Random(7)
    places = [place for place in _places(sound_spec) if len(place) > 1 and place[0] != "pipelineInfo"]
    path = _write(sound_spec, tmp_path)
    document = read_document(path)
    unreadable = 0
    for _ in range(400):
        spec = copy.deepcopy(sound_spec)
        *outer, last = draw.choice(places)
        inside: Any = spec
        for key in outer:
            inside = inside[key]
        inside[last] = draw.choice([None, [], {}, "x", 1, True, [1], {"a": 1}, ["a", None], float("nan")])
        found = lint_document(replace(document, spec=spec), location="europe-west4", today=TODAY)
        if any(finding.rule == "unreadable" for finding in found):
            unreadable += 1
        else:
            assert estimate(spec, location="europe-west4").usd > 0
    assert 40 < unreadable < 360
