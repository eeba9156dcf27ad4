from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud import aiplatform_v1 as v1
from google.rpc import status_pb2

from trainwright.errors import UserError
from trainwright.vertex.errors import Unreachable, google_errors
from trainwright.vertex.runs import Artifact, describe, failed_tasks

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _detail(number: int, name: str, parent: int, state: str, **rest: object) -> v1.PipelineTaskDetail:
    return v1.PipelineTaskDetail(
        task_id=number,
        task_name=name,
        parent_task_id=parent,
        state=v1.PipelineTaskDetail.State[state],
        start_time=START,
        end_time=START + timedelta(seconds=2.5),
        **rest,
    )


def _metrics(**metadata: object) -> v1.PipelineTaskDetail.ArtifactList:
    artifact = v1.Artifact(uri="gs://b/m", schema_title="system.Metrics", metadata=metadata)
    return v1.PipelineTaskDetail.ArtifactList(artifacts=[artifact])


def _job(*details: v1.PipelineTaskDetail, state: str = "SUCCEEDED") -> v1.PipelineJob:
    outputs = {"loss": {"parameterType": "NUMBER_DOUBLE"}, "names": {"parameterType": "LIST"}}
    return v1.PipelineJob(
        name="projects/1/locations/us-central1/pipelineJobs/p-1",
        state=v1.PipelineState[f"PIPELINE_STATE_{state}"],
        pipeline_spec={
            "pipelineInfo": {"name": "p"},
            "root": {"outputDefinitions": {"parameters": outputs}},
        },
        job_detail=v1.PipelineJobDetail(task_details=details),
    )


def test_a_task_has_the_title_that_its_pipeline_gives_it_in_groups_too() -> None:
    def task(component: str, name: str) -> dict[str, object]:
        return {"componentRef": {"name": component}, "taskInfo": {"name": name}}

    job = _job(
        _detail(1, "p", 0, "SUCCEEDED"),
        _detail(2, "train", 1, "SUCCEEDED"),
        _detail(3, "train-0", 2, "SUCCEEDED"),
        _detail(4, "fit", 3, "SUCCEEDED"),
        _detail(5, "other", 3, "SUCCEEDED"),
    )
    job.pipeline_spec = {
        "pipelineInfo": {"name": "p"},
        "root": {"dag": {"tasks": {"train": task("comp-train", "Train each")}}},
        "components": {"comp-train": {"dag": {"tasks": {"fit": task("comp-fit", "Fit trees")}}}},
    }
    assert [task.title for task in describe(job).tasks] == ["Train each", "train-0", "Fit trees", "other"]


def test_tasks_come_after_the_group_that_they_are_in_and_the_pipeline_itself_is_none() -> None:
    run = describe(
        _job(
            _detail(1, "p", 0, "SUCCEEDED"),
            _detail(3, "fit", 2, "SUCCEEDED"),
            _detail(4, "report", 1, "SKIPPED"),
            _detail(2, "train", 1, "SUCCEEDED"),
        )
    )
    assert (run.id, run.pipeline, run.has_ended) == ("p-1", "p", True)
    assert [(task.path, task.depth, task.is_group) for task in run.tasks] == [
        ("report", 0, False),
        ("train", 0, True),
        ("train/fit", 1, False),
    ]
    assert run.tasks[0].cached
    assert run.tasks[0].seconds == 2.5


def test_a_component_that_runs_as_a_pipeline_of_its_own_name_keeps_its_task() -> None:
    run = describe(
        _job(_detail(1, "split", 0, "RUNNING"), _detail(2, "split", 1, "RUNNING"), state="RUNNING")
    )
    assert [task.path for task in run.tasks] == ["split"]


def test_a_single_task_is_no_pipeline() -> None:
    run = describe(_job(_detail(1, "split", 0, "RUNNING"), state="RUNNING"))
    assert [task.path for task in run.tasks] == ["split"]


def test_outputs_have_their_declared_types() -> None:
    execution = v1.Execution(
        metadata={"output:loss": 2.0, "output:count": 3.0, "output:names": '["a"]', "input:x": 1.0}
    )
    run = describe(
        _job(
            _detail(1, "p", 0, "SUCCEEDED", execution=execution, outputs={"m": _metrics(auc=0.5, rows=7.0)}),
            _detail(2, "a", 1, "SUCCEEDED"),
        )
    )
    assert dict(run.outputs) == {
        "loss": 2.0,
        "count": 3,
        "names": ["a"],
        "m": Artifact("gs://b/m", "system.Metrics", {"auc": 0.5, "rows": 7}),
    }
    assert isinstance(run.outputs["loss"], float)
    assert isinstance(run.outputs["m"].metadata["rows"], int)


def test_the_tasks_that_failed_by_themselves_are_found() -> None:
    error = status_pb2.Status(code=9, message="exit code 3")
    run = describe(
        _job(
            _detail(1, "p", 0, "FAILED"),
            _detail(2, "train", 1, "FAILED"),
            _detail(3, "fit", 2, "FAILED", error=error),
            _detail(4, "report", 1, "NOT_TRIGGERED"),
            state="FAILED",
        )
    )
    assert [(task.path, task.error) for task in failed_tasks(run.tasks)] == [("train/fit", "exit code 3")]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (api.InvalidArgument("parameter x:\n wrong"), UserError, "run r: parameter x: wrong"),
        (api.NotFound("no such run"), UserError, "run r: no such run"),
        (api.MethodNotImplemented("ListFoo"), UserError, "run r: ListFoo"),
        (api.ServiceUnavailable("gone"), Unreachable, "run r: gone"),
        (auth.DefaultCredentialsError("none"), UserError, "run r: no Google credentials: run `gcloud auth"),
        (auth.TransportError("no route"), Unreachable, "run r: Vertex AI cannot be reached: no route"),
    ],
)
def test_what_googles_clients_raise_is_said_in_one_line(
    raised: Exception, expected: type[Exception], message: str
) -> None:
    with pytest.raises(expected) as found, google_errors("run r"):
        raise raised
    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)
