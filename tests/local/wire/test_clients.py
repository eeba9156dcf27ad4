"""Google's unmodified clients, each in a process that has only Wire.environment()."""

import json

PARENT = "projects/trainwright-local/locations/us-central1"

_SDK = """
from google.api_core import exceptions
from google.cloud import aiplatform, resourcemanager
for transport in ("grpc", "rest"):
    aiplatform.init(api_transport=transport)
    job = aiplatform.CustomJob(display_name="fit", staging_bucket="gs://b", worker_pool_specs=[
        {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 2,
         "container_spec": {"image_uri": "python:3.11-slim", "args": ["--x", "1"]}}])
    job.submit()
    spec = aiplatform.CustomJob.get(job.resource_name).gca_resource.job_spec.worker_pool_specs[0]
    show(job.state.name, spec.replica_count, list(spec.container_spec.args))
    job.cancel()
    show(aiplatform.CustomJob.get(job.resource_name).state.name)
    try:
        aiplatform.CustomJob.get("999")
    except exceptions.NotFound as error:
        show(error.message, *error.details)
    model = aiplatform.Model.upload(display_name="churn", serving_container_image_uri="i", labels={"a": "b"})
    show(model.resource_name, model.labels)
    show(model.update(description="it predicts").gca_resource.description)
    for fails in (job.delete, lambda: aiplatform.Featurestore.create("store")):
        try:
            fails()
        except exceptions.GoogleAPICallError as error:
            show(type(error).__name__, error.message)
    show(resourcemanager.ProjectsClient(transport=transport).get_project(name="projects/p").name)
"""


def test_the_sdk_over_grpc_and_over_rest_see_the_same_vertex(client):
    lines = client(_SDK)
    assert len(lines) == 16
    for over_grpc, over_rest in zip(lines[:8], lines[8:], strict=True):
        if over_grpc != over_rest:
            # the REST client puts the request before the message, and leaves details as JSON
            assert over_grpc.split(" ", 1)[1].partition(" resource_name")[0] in over_rest
    assert lines[:2] == ["JOB_STATE_RUNNING 2 ['--x', '1']", "JOB_STATE_CANCELLED"]
    missing = f"{PARENT}/customJobs/999"
    assert lines[2].startswith(f'CustomJob {missing} is not found resource_name: "{missing}"')
    assert "'@type': 'type.googleapis.com/google.rpc.ResourceInfo'" in lines[10]
    assert lines[3:5] == [f"{PARENT}/models/1 {{'a': 'b'}}", "it predicts"]
    method = "google.cloud.aiplatform.v1.JobService/DeleteCustomJob"
    assert lines[5] == f"InternalServerError {method}: RuntimeError: the disk is on fire"
    method = "google.cloud.aiplatform.v1.FeaturestoreService/CreateFeaturestore"
    assert lines[6] == f"MethodNotImplemented {method} is not implemented by local Vertex AI"
    assert lines[7] == "projects/100000000001"


def test_v1beta1_is_answered_in_v1beta1(client, vertex):
    lines = client(
        """
        from google.api_core import exceptions
        from google.cloud import aiplatform_v1beta1 as beta
        parent = "projects/trainwright-local/locations/europe-west4"
        options = {"api_endpoint": "europe-west4-aiplatform.googleapis.com"}
        for transport in ("grpc", "rest"):
            jobs = beta.JobServiceClient(client_options=options, transport=transport)
            job = jobs.create_custom_job(parent=parent, custom_job=beta.CustomJob(display_name="fit"))
            show(type(job).__module__, job.state.name)
            models = beta.ModelServiceClient(client_options=options, transport=transport)
            operation = models.upload_model(parent=parent, model=beta.Model(display_name="churn"))
            show(type(operation.result()).__module__)
            show(models.transport.operations_client.get_operation(operation.operation.name).response.type_url)
        spec = beta.CustomJobSpec(worker_pool_specs=[{"machine_spec": {"min_gpu_driver_version": "1"}}])
        for client in (beta.JobServiceClient(client_options=options), jobs):
            try:
                client.create_custom_job(parent=parent, custom_job=beta.CustomJob(job_spec=spec))
            except exceptions.GoogleAPICallError as error:
                show(error.message)
        """
    )
    answers = [
        "google.cloud.aiplatform_v1beta1.types.custom_job JOB_STATE_RUNNING",
        "google.cloud.aiplatform_v1beta1.types.model_service",
        "type.googleapis.com/google.cloud.aiplatform.v1beta1.UploadModelResponse",
    ]
    assert lines[:6] == answers * 2
    assert lines[6].startswith("local Vertex AI knows MachineSpec as in v1, which has no field number")
    assert "minGpuDriverVersion" in lines[7]
    context = vertex.JobService.contexts[-1]
    assert context.method == "google.cloud.aiplatform.v1.JobService/CreateCustomJob"
    assert (context.version, context.location) == ("v1beta1", "europe-west4")
    assert "gapic/" in context.user_agent


def test_requests_with_adc_speaks_rest_in_any_case(client):
    status, snake, listed, error = client(
        """
        import google.auth, json
        from google.auth.transport.requests import AuthorizedSession
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        session = AuthorizedSession(credentials)
        jobs = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/customJobs"
        spec = {"worker_pool_specs": [{"machine_spec": {"machineType": "m", "accelerator_type": 8}}]}
        answer = session.post(jobs, json={"display_name": "fit", "jobSpec": spec})
        show(answer.status_code)
        show(json.dumps(answer.json()))
        show(len(session.get(jobs, params={"pageSize": 1, "$alt": "json"}).json()["customJobs"]))
        show(json.dumps(session.post(jobs, json={"displayNam": "fit"}).json()))
        """
    )
    assert status == "200"
    job = json.loads(snake)
    assert job["displayName"] == "fit"
    assert job["state"] == "JOB_STATE_RUNNING"
    machine = {"machineType": "m", "acceleratorType": "NVIDIA_TESLA_A100"}
    assert job["jobSpec"]["workerPoolSpecs"][0]["machineSpec"] == machine
    assert listed == "1"
    error = json.loads(error)["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert "displayNam" in error["message"]
