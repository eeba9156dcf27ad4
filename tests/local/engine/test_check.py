import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import dsl
from kfp.dsl import Dataset, Input

from trainwright.local.engine import check_platforms
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
            [{"field": "ENV"}],
            "taskConfigPassthroughs: not supported",
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
            True,
            "downloadToWorkspace: not",
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


def test_a_platform_document_is_refused_only_for_what_would_be_missed():
    def document(**settings) -> dict:
        return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-a": settings}}}}}

    check_platforms(
        document(tolerations=[{"key": "gpu"}], secretAsEnv=[{"secretName": "s", "optional": True}])
    )
    for unsupported in (
        {"secretAsEnv": [{"secretName": "s"}]},
        {"pvcMount": [{}]},
        {"podMetadata": {"labels": {"a": "b"}}},
    ):
        with pytest.raises(
            SpecError, match=rf"^platforms\.kubernetes\..*\.exec-a\.{next(iter(unsupported))}: "
        ):
            check_platforms(document(**unsupported))
    with pytest.raises(SpecError, match=r"platforms\.kubernetes\.pipelineConfig"):
        check_platforms({"platforms": {"kubernetes": {"pipelineConfig": {"workspace": {"size": "1Gi"}}}}})


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
            place[path[-1]] = data.draw(st.sampled_from(REPLACEMENTS))
        else:
            del place[path[-1]]
        if not isinstance(damaged, dict) or not damaged:
            break
    try:
        read(damaged)
    except SpecError as error:
        assert "\n" not in str(error)
