"""Pipeline jobs: creation, states, lists, cancellation, batches and deletion."""

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform

SERVICE = "PipelineService"


def test_a_job_is_created_once_runs_and_is_deleted(
    call, parent, pipeline_job, unique, number, location, ended
):
    made = call(
        SERVICE, "create_pipeline_job", parent=parent, pipeline_job=pipeline_job, pipeline_job_id=unique
    )
    assert made.name == f"projects/{number}/locations/{location}/pipelineJobs/{unique}"
    assert made.create_time
    with call.refuses("ALREADY_EXISTS"):
        call(SERVICE, "create_pipeline_job", parent=parent, pipeline_job=pipeline_job, pipeline_job_id=unique)
    job = ended(made.name)
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED"
    assert job.start_time <= job.end_time
    by_id = call(SERVICE, "get_pipeline_job", name=f"{parent}/pipelineJobs/{unique}")
    assert by_id.name == made.name
    assert {task.task_name for task in by_id.job_detail.task_details} >= {"step"}
    call.result(call(SERVICE, "delete_pipeline_job", name=made.name))
    for method in ("get_pipeline_job", "delete_pipeline_job", "cancel_pipeline_job"):
        with call.refuses("NOT_FOUND"):
            call(SERVICE, method, name=made.name)


@pytest.mark.parametrize(
    "change",
    [
        {"runtime_config": {"gcs_output_directory": "/tmp/x"}},
        {"display_name": "x" * 129},
        {"labels": {"Upper": "x"}},
        {"labels": {"key": "x" * 65}},
        {"labels": {f"key{number}": "x" for number in range(65)}},
    ],
    ids=("output", "display_name", "label_case", "label_length", "label_count"),
)
def test_what_is_not_valid_is_refused_with_the_field(call, parent, pipeline_job, change):
    with call.refuses("INVALID_ARGUMENT") as refused:
        call(SERVICE, "create_pipeline_job", parent=parent, pipeline_job=pipeline_job | change)
    assert next(iter(change)) in str(refused.value)
    assert "BadRequest" in str(refused.value.details) or "field" in str(refused.value.details)


def test_ids_have_a_form(call, parent, pipeline_job):
    for wrong in ("Upper", "under_score", "-first", "x" * 129):
        with call.refuses("INVALID_ARGUMENT"):
            call(
                SERVICE,
                "create_pipeline_job",
                parent=parent,
                pipeline_job=pipeline_job,
                pipeline_job_id=wrong,
            )


def test_lists_filter_order_page_and_mask(call, grpc, parent, pipeline_job, unique, ended):
    names = []
    for number in range(3):
        request = pipeline_job | {"display_name": f"{unique}-{number}"}
        names.append(grpc(SERVICE, "create_pipeline_job", parent=parent, pipeline_job=request).name)
    for name in names:
        ended(name)

    def found(text, **more):
        page = call(SERVICE, "list_pipeline_jobs", parent=parent, filter=text, **more)
        return [job.display_name.removeprefix(f"{unique}-") for job in page.pipeline_jobs]

    ours = f'labels.suite="{unique}"'
    assert found(ours) == ["2", "1", "0"]
    assert found(ours, order_by="create_time") == ["0", "1", "2"]
    assert found(ours, order_by="create_time desc, end_time") == ["2", "1", "0"]
    assert found(f'{ours} AND display_name="{unique}-1"') == ["1"]
    assert found(f'{ours} AND (display_name="{unique}-1" OR display_name="{unique}-2")') == ["2", "1"]
    assert found(f'{ours} AND NOT display_name="{unique}-1"') == ["2", "0"]
    assert found(f'{ours} AND display_name:"*-1"') == ["1"]
    assert found(f'{ours} AND pipeline_name="fidelity"') == ["2", "1", "0"]
    assert found(f'{ours} AND state="PIPELINE_STATE_FAILED"') == []
    assert found(f'{ours} AND state!="PIPELINE_STATE_FAILED" AND labels.suite:*') == ["2", "1", "0"]
    assert found(f'{ours} AND create_time<"2020-01-01T00:00:00Z"') == []
    page = call(SERVICE, "list_pipeline_jobs", parent=parent, filter=ours, page_size=2)
    assert len(page.pipeline_jobs) == 2
    token = page.next_page_token
    rest = call(SERVICE, "list_pipeline_jobs", parent=parent, filter=ours, page_size=2, page_token=token)
    assert len(rest.pipeline_jobs) == 1 and not rest.next_page_token
    fields = {"paths": ["name", "display_name"]}
    masked = call(SERVICE, "list_pipeline_jobs", parent=parent, filter=ours, read_mask=fields).pipeline_jobs
    assert masked[0].display_name and not masked[0].pipeline_spec and not masked[0].create_time
    batch = call(SERVICE, "batch_delete_pipeline_jobs", parent=parent, names=names)
    assert {job.name for job in call.result(batch).pipeline_jobs} == set(names)
    assert found(ours) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"page_token": "no-token"},
        {"page_size": -1},
        {"filter": "display_name="},
        {"order_by": "create_time sideways"},
        {"read_mask": {"paths": ["bogus"]}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_list_that_makes_no_sense_is_refused(call, parent, wrong):
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "list_pipeline_jobs", parent=parent, **wrong)


def test_a_larger_page_than_there_is_gets_what_there_is(call, parent):
    call(SERVICE, "list_pipeline_jobs", parent=parent, page_size=100_000)


def test_a_running_job_is_cancelled_before_it_is_deleted(call, parent, waiting_job, ended):
    name = call(SERVICE, "create_pipeline_job", parent=parent, pipeline_job=waiting_job).name
    with call.refuses("FAILED_PRECONDITION"):
        call.result(call(SERVICE, "delete_pipeline_job", name=name))
    with call.refuses("FAILED_PRECONDITION"):
        call.result(call(SERVICE, "batch_delete_pipeline_jobs", parent=parent, names=[name]))
    call(SERVICE, "cancel_pipeline_job", name=name)
    job = ended(name)
    assert job.state.name == "PIPELINE_STATE_CANCELLED"
    call(SERVICE, "cancel_pipeline_job", name=name)
    call.result(call(SERVICE, "delete_pipeline_job", name=name))


def test_batches_cancel_all_or_nothing(call, parent, waiting_job, ended, unique):
    name = call(SERVICE, "create_pipeline_job", parent=parent, pipeline_job=waiting_job).name
    for wrong in ([], [f"{parent}/pipelineJobs/a{number}" for number in range(33)]):
        with call.refuses("INVALID_ARGUMENT"):
            call.result(call(SERVICE, "batch_cancel_pipeline_jobs", parent=parent, names=wrong))
    with call.refuses("NOT_FOUND"):
        absent = f"{parent}/pipelineJobs/{unique}"
        call.result(call(SERVICE, "batch_cancel_pipeline_jobs", parent=parent, names=[name, absent]))
    cancelled = call.result(call(SERVICE, "batch_cancel_pipeline_jobs", parent=parent, names=[name]))
    assert [job.name for job in cancelled.pipeline_jobs] == [name]
    assert ended(name).state.name == "PIPELINE_STATE_CANCELLED"
    call.result(call(SERVICE, "delete_pipeline_job", name=name))


def test_v1beta1_is_the_same_job(beta, parent, pipeline_job, unique, ended):
    made = beta(
        SERVICE, "create_pipeline_job", parent=parent, pipeline_job=pipeline_job, pipeline_job_id=unique
    )
    assert type(made).__module__.startswith("google.cloud.aiplatform_v1beta1")
    ended(made.name)
    found = beta(SERVICE, "list_pipeline_jobs", parent=parent, filter=f'labels.suite="{unique}"')
    assert [job.name for job in found.pipeline_jobs] == [made.name]
    operation = beta(SERVICE, "delete_pipeline_job", name=made.name)
    operation.result(timeout=60)
    assert "v1beta1" in operation.operation.metadata.type_url


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_sdk(project, location, bucket, pipeline_job, unique, tmp_path, transport):
    import json

    aiplatform.init(project=project, location=location, api_transport=transport)
    template = tmp_path / "pipeline.json"
    template.write_text(json.dumps(pipeline_job["pipeline_spec"]))
    job = aiplatform.PipelineJob(
        display_name=unique,
        template_path=str(template),
        pipeline_root=f"gs://{bucket}/fidelity",
        labels={"suite": unique},
    )
    job.submit()
    job._block_until_complete()
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED"
    found = aiplatform.PipelineJob.list(filter=f'labels.suite="{unique}"', order_by="create_time desc")
    assert [each.name for each in found] == [job.name]
    simple = aiplatform.PipelineJob.list(filter=f'labels.suite="{unique}"', enable_simple_view=True)
    assert [each.name for each in simple] == [job.name]
    assert aiplatform.PipelineJob.get(job.resource_name).display_name == unique
    job.delete()
    with pytest.raises(exceptions.NotFound):
        aiplatform.PipelineJob.get(job.resource_name)
