import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import dsl
from kfp.dsl import Dataset, Input

from trainwright.local.engine.check import prepared
from trainwright.local.engine.reading import read
from trainwright.local.engine.spec import SpecError

from .conftest import compiled, make_run


@dsl.container_component
def show(text: str, data: Input[Dataset], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-c", 'printf "%s" "$0" > "$1"'], args=[text, out]
    )


@dsl.pipeline
def inner(text: str, data: Input[Dataset]) -> str:
    return show(text=text, data=data).output


@dsl.pipeline(name="everything")
def everything(rate: float, data: Input[Dataset], rows: int = 3, names: list = ["a"], strict: bool = True):  # noqa: B006
    first = inner(text="x", data=data)
    with dsl.If(rows > 2):
        show(text=f"{rows} rows", data=data).set_retry(2)
    with dsl.ParallelFor(names, parallelism=2) as name:
        looped = show(text=name, data=data)
    inner(text=first.output, data=data).after(looped)
    dsl.importer(artifact_uri="gs://b/x", artifact_class=Dataset, metadata={"k": first.output})


@pytest.fixture(scope="module")
def spec():
    return compiled(everything)


def refusal(run) -> str:
    with pytest.raises(ValueError) as error:
        prepared(run, lambda name: None)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rate": 0.1, "row": 3}, "parameter 'row': unknown; did you mean 'rows'?"),
        ({}, "parameter 'rate': missing (NUMBER_DOUBLE)"),
        ({"rate": None}, "parameter 'rate': missing (NUMBER_DOUBLE)"),
        ({"rate": "1"}, "parameter 'rate': \"1\" is not a number (NUMBER_DOUBLE)"),
        ({"rate": 1, "rows": True}, "parameter 'rows': true is not an integer (NUMBER_INTEGER)"),
        ({"rate": 1, "rows": 2.5}, "parameter 'rows': 2.5 is not an integer (NUMBER_INTEGER)"),
        ({"rate": 1, "names": "a"}, "parameter 'names': \"a\" is not a list (LIST)"),
        ({"rate": 1, "strict": 1}, "parameter 'strict': 1 is not true or false (BOOLEAN)"),
        ({"rate": 1, "rows": 3.0}, "input artifact 'data': missing (system.Dataset)"),
    ],
)
def test_parameters_are_checked_before_the_run(spec, parameters, message):
    assert refusal(make_run(spec, parameters=parameters)) == message


def test_artifacts_and_fields_of_the_run_are_checked(spec):
    given = {"parameters": {"rate": 1}}
    assert "no artifact 'x'" in refusal(make_run(spec, **given, input_artifacts={"data": "x"}))
    assert "did you mean 'data'?" in refusal(make_run(spec, **given, input_artifacts={"dat": "x"}))
    assert "FAIL_SLOW or FAIL_FAST" in refusal(make_run(spec, **given, failure_policy="SLOW"))
    assert "gs://BUCKET/OBJECT" in refusal(make_run(spec, **given, pipeline_root="s3://b"))


def changed(spec: dict, path: str, value: object) -> dict:
    spec = copy.deepcopy(spec)
    *parents, last = path.split("/")
    place = spec
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return spec


CONTAINER = "deploymentSpec/executors/exec-show/container"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schemaVersion", "1.0", "schemaVersion: found '1.0', expected 2.0.0 or 2.1.0"),
        ("root/dag/tasks/inner/componentRef/name", "comp-iner", "did you mean 'comp-inner'?"),
        ("root/dag/tasks/inner/dependentTasks", ["inner-2"], "these tasks wait for one another"),
        ("root/dag/tasks/inner/dependentTasks", ["iner"], "depends on task 'iner', which is not there"),
        ("root/dag/tasks/inner/retry", {}, "root.dag.tasks.inner.retry: unknown field"),
        (
            "components/comp-inner/dag/tasks/again",
            {"componentRef": {"name": "comp-inner"}},
            "contains itself",
        ),
        (
            "components/comp-show/taskConfigPassthroughs",
            [{"field": "DISKS"}],
            "taskConfigPassthroughs[0]: found",
        ),
        (
            "components/comp-show/singlePlatformSpecs",
            [{"platform": "kubernetes"}],
            "singlePlatformSpecs: not",
        ),
        (f"{CONTAINER}/lifecycle", {"preCacheCheck": {}}, "container.lifecycle: not supported"),
        (
            f"{CONTAINER}/image",
            "argostub/createpvc",
            "container.image: argostub/createpvc makes Kubernetes volumes",
        ),
        (f"{CONTAINER}/env", [{"name": "A=B"}], "env[0]"),
        ("deploymentSpec/executors/exec-show/customJob", {"a": 1}, "customJob: not supported"),
        (
            "deploymentSpec/executors/exec-importer/importer/downloadToWorkspace",
            "yes",
            "downloadToWorkspace: found",
        ),
        (
            "root/inputDefinitions/parameters/rate/parameterType",
            "NUMBER",
            "unknown parameter type; did you mean",
        ),
        ("root/dag/tasks/..", {}, "cannot be a name"),
    ],
)
def test_what_cannot_run_is_refused_by_the_fields_name(spec, path, value, message):
    assert message in refusal(make_run(changed(spec, path, value)))


def container(**resources: object) -> dict:
    return {"image": "alpine", "resources": resources}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"resourceCpuLimit": "128"}, "cpuLimit: 128, a pipeline step on Vertex AI has at most 96 vCPUs"),
        ({"cpuLimit": 96.5}, "cpuLimit: 96.5, a pipeline step on Vertex AI has at most 96 vCPUs"),
        ({"resourceMemoryLimit": "1Ti"}, "memoryLimit: 1Ti, a pipeline step on Vertex AI has at most 624 GB"),
        ({"memoryLimit": 624.1}, "memoryLimit: 624.1G, a pipeline step on Vertex AI has at most 624 GB"),
        ({"resourceCpuLimit": "two"}, "cpuLimit: found 'two', expected vCPUs such as '2', '0.5' or '500m'"),
        ({"resourceMemoryRequest": "2 GB"}, "memoryRequest: found '2 GB', expected memory such as '16G'"),
        (
            {"accelerator": {"resourceType": "gpu", "resourceCount": "x"}},
            "accelerator.resourceCount: found 'x'",
        ),
        ({"cpuLimits": 1.0}, "cpuLimits: unknown field; did you mean 'cpuLimit'?"),
        ({"cpuLimit": "1"}, 'cpuLimit: found "1", expected a number'),
    ],
)
def test_resources_are_checked_before_the_run(spec, resources, message):
    changed_spec = changed(spec, CONTAINER, container(**resources))
    expected = f"{CONTAINER.replace('/', '.')}.resources.{message}"
    assert refusal(make_run(changed_spec, parameters={"rate": 1})).startswith(expected)


@pytest.mark.parametrize(
    "resources",
    [
        {"cpuLimit": 96.0, "memoryLimit": 624.0, "resourceCpuLimit": "96", "resourceMemoryLimit": "581Gi"},
        {"resourceCpuLimit": "{{$.inputs.parameters['cpu']}}", "resourceCpuRequest": "500m"},
        {"accelerator": {"type": "NVIDIA_TESLA_T4", "count": "1"}},
        {"accelerator": {"count": 1.0, "resourceType": "{{$.inputs.parameters['gpu']}}"}},
    ],
)
def test_resources_that_a_step_can_have_are_accepted(spec, resources):
    changed_spec = changed(spec, CONTAINER, container(**resources))
    assert refusal(make_run(changed_spec, parameters={"rate": 1})).startswith("input artifact 'data'")


def test_a_machine_is_as_large_as_the_cluster_has_it_in_the_dialect_of_kfp(spec):
    large = changed(spec, CONTAINER, container(resourceCpuLimit="128", resourceMemoryLimit="2Ti"))
    run = make_run(large, parameters={"rate": 1}, labels={"trainwright-dialect": "kfp"})
    assert refusal(run).startswith("input artifact 'data'")
    unknown = make_run(spec, labels={"trainwright-dialect": "argo"})
    assert refusal(unknown) == "label trainwright-dialect: found 'argo', expected vertex or kfp"


@pytest.mark.parametrize(
    ("parameters", "line"),
    [({"rate": "\ud800"}, "parameters: no JSON"), ({"r" * 5000: 1}, "parameter 'rrr")],
)
def test_a_message_is_one_line_of_some_length(spec, parameters, line):
    message = refusal(make_run(spec, parameters=parameters))
    assert message.startswith(line)
    assert len(message) <= 500


def test_the_items_of_loops_that_the_compiler_hands_to_groups_in_vain_are_not_missed(spec):
    tasks = spec["root"]["dag"]["tasks"]
    group = next(name for name in tasks if name.startswith("for-loop"))
    vain = {"pipelinechannel--loop-item-param-9": {"componentInputParameter": "loop-item-param-9"}}
    given = {**tasks[group]["inputs"]["parameters"], **vain}
    assert read(changed(spec, f"root/dag/tasks/{group}/inputs/parameters", given))
    show = "components/comp-condition-1/dag/tasks/show/inputs/parameters"
    with pytest.raises(SpecError, match="comp-condition-1 has no input 'loop-item-param-9'"):
        read(changed(spec, show, vain))


def places(value: object, path: tuple = ()):
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


REPLACEMENTS = [None, "", "x", "{{$", "..", 0, -1, 1e300, True, [], ["x"], [[]], {}, {"name": "x"}, {"": ""}]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_spec_is_read_or_refused_in_one_line(spec, data):
    damaged = json.loads(json.dumps(spec))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(damaged))))
        if not path:
            damaged = data.draw(st.sampled_from(REPLACEMENTS))
            break
        place = damaged
        for key in path[:-1]:
            place = place[key]
        if data.draw(st.booleans()):
            place[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(REPLACEMENTS)))
        else:
            del place[path[-1]]
        if not isinstance(damaged, dict) or not damaged:
            break
    try:
        read(damaged)
    except SpecError as error:
        assert "\n" not in str(error)
