"""Custom jobs: validation, states, lists, cancellation, deletion."""

import time

import pytest
from google.cloud import aiplatform

SERVICE = "JobService"


def spec(command, machine="n1-standard-4", **container):
    container = {"image_uri": "python:3.11-slim", "command": ["sh", "-c", command], **container}
    pool = {"machine_spec": {"machine_type": machine}, "replica_count": 1, "container_spec": container}
    return {"worker_pool_specs": [pool]}


def ended(call, name, seconds=300):
    deadline = time.monotonic() + seconds
    while True:
        job = call(SERVICE, "get_custom_job", name=name)
        if job.state.name.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
            return job
        assert time.monotonic() < deadline, f"{name} is {job.state.name}"
        time.sleep(0.1)


def test_a_job_succeeds_or_fails_and_is_listed_and_deleted(call, parent, unique):
    made = {}
    for command, wanted in (("true", "JOB_STATE_SUCCEEDED"), ("exit 3", "JOB_STATE_FAILED")):
        request = {"display_name": unique, "job_spec": spec(command), "labels": {"suite": unique}}
        request["job_spec"]["scheduling"] = {"disable_retries": True}
        name = call(SERVICE, "create_custom_job", parent=parent, custom_job=request).name
        job = ended(call, name)
        assert job.state.name == wanted
        assert (job.error.code != 0) == (wanted == "JOB_STATE_FAILED")
        assert job.create_time <= job.start_time <= job.end_time
        made[wanted] = name
    for state, name in made.items():
        text = f'labels.suite={unique} AND state="{state}"'
        page = call(SERVICE, "list_custom_jobs", parent=parent, filter=text)
        assert [job.name for job in page.custom_jobs] == [name]
    page = call(SERVICE, "list_custom_jobs", parent=parent, filter=f'display_name="{unique}"', page_size=1)
    assert page.next_page_token and len(page.custom_jobs) == 1
    for name in made.values():
        call.result(call(SERVICE, "delete_custom_job", name=name))
        with call.refuses("NOT_FOUND"):
            call(SERVICE, "get_custom_job", name=name)


def test_a_running_job_is_cancelled(call, parent, unique):
    request = {"display_name": unique, "job_spec": spec("sleep 300")}
    name = call(SERVICE, "create_custom_job", parent=parent, custom_job=request).name
    with call.refuses("FAILED_PRECONDITION"):
        call.result(call(SERVICE, "delete_custom_job", name=name))
    call(SERVICE, "cancel_custom_job", name=name)
    assert ended(call, name).state.name == "JOB_STATE_CANCELLED"
    call.result(call(SERVICE, "delete_custom_job", name=name))


@pytest.mark.parametrize(
    "change",
    [
        {"display_name": ""},
        {"display_name": "x" * 129},
        {"labels": {"key!": "x"}},
        {"job_spec": {"worker_pool_specs": []}},
    ],
    ids=("no_name", "long_name", "label", "no_pool"),
)
def test_what_is_not_valid_is_refused(call, parent, unique, change):
    request = {"display_name": unique, "job_spec": spec("true")} | change
    with call.refuses("INVALID_ARGUMENT"):
        call(SERVICE, "create_custom_job", parent=parent, custom_job=request)


def test_v1beta1(beta, parent, unique):
    request = {"display_name": unique, "job_spec": spec("true")}
    name = beta(SERVICE, "create_custom_job", parent=parent, custom_job=request).name
    assert ended(beta, name).state.name == "JOB_STATE_SUCCEEDED"
    beta(SERVICE, "delete_custom_job", name=name).result(timeout=60)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_sdk(project, location, bucket, unique, transport):
    aiplatform.init(
        project=project, location=location, staging_bucket=f"gs://{bucket}", api_transport=transport
    )
    job = aiplatform.CustomJob(display_name=unique, **spec("true"))
    job.submit()
    deadline = time.monotonic() + 300
    while not job.state.name.endswith(("SUCCEEDED", "FAILED")):
        assert time.monotonic() < deadline, job.state
        time.sleep(0.1)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert [each.name for each in aiplatform.CustomJob.list(filter=f'display_name="{unique}"')] == [job.name]
    job.delete()
