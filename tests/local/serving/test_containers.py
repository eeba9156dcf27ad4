"""What a model's container gets, without running it."""

from pathlib import Path

import pytest

from trainwright.local.serving.containers import PREBUILT_PROGRAM, Served, check, container_of

PREBUILT = "us-docker.pkg.dev/vertex-ai/prediction"


def container(spec: dict, artifact_uri: str = "", machine: dict | None = None, is_real: bool = False):
    served = Served(spec, artifact_uri, "12", "34", "100", machine or {})
    return container_of(served, 4711, Path("/gcs-root"), is_real=is_real)


def test_the_container_gets_what_the_documentation_lists():
    made = container(
        {"imageUri": "python:3.11-slim"},
        "gs://bucket/model/",
        {"machineType": "n1-standard-2", "acceleratorType": "T4"},
    )
    assert made.environment == {
        "AIP_ACCELERATOR_TYPE": "T4",
        "AIP_DEPLOYED_MODEL_ID": "34",
        "AIP_ENDPOINT_ID": "12",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_HEALTH_ROUTE": "/v1/endpoints/12/deployedModels/34",
        "AIP_HTTP_PORT": "4711",
        "AIP_MACHINE_TYPE": "n1-standard-2",
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_MODEL_NAME": "12",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/12/deployedModels/34:predict",
        "AIP_PROJECT_NUMBER": "100",
        "AIP_STORAGE_URI": "gs://bucket/model",
        "AIP_VERSION_NAME": "34",
        "HOST": "127.0.0.1",
        "UVICORN_HOST": "127.0.0.1",
    }


def test_references_to_variables_are_expanded_in_order():
    made = container(
        {
            "imageUri": "i",
            "command": [
                "serve",
                "--port=$(AIP_HTTP_PORT)",
                "$$(AIP_HTTP_PORT)",
                "$(NOTHING)",
                "$AIP_HTTP_PORT",
            ],
            "args": ["$(B)"],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)$(C)"},
                {"name": "C", "value": "3"},
            ],
            "predictRoute": "predict",
            "healthRoute": "/h",
        }
    )
    assert made.command == ("serve", "--port=4711", "$(AIP_HTTP_PORT)", "$(NOTHING)", "$AIP_HTTP_PORT")
    assert made.args == ("1$(C)",)
    assert (made.predict_route, made.health_route) == ("/predict", "/h")


def test_a_prebuilt_image_runs_the_program_that_stands_for_its_entry_point():
    made = container({"imageUri": f"{PREBUILT}/xgboost-cpu.2-1:latest"}, "gs://bucket/m")
    assert made.command == ("python3", "-P", str(PREBUILT_PROGRAM), "xgboost", "/gcs-root/bucket/m")
    own = container({"imageUri": f"{PREBUILT}/xgboost-cpu.2-1:latest", "command": ["serve"]}, "gs://bucket/m")
    assert own.command == ("serve",)
    assert (
        container({"imageUri": f"{PREBUILT}/xgboost-cpu.2-1:latest"}, "gs://bucket/m", is_real=True).command
        == ()
    )


@pytest.mark.parametrize(
    ("spec", "artifact_uri", "reason"),
    [
        ({}, "", "imageUri: empty"),
        ({"imageUri": f"{PREBUILT}/tf2-cpu.2-15:latest"}, "gs://bucket/m", "serve tf2 by"),
        ({"imageUri": f"{PREBUILT}/sklearn-cpu.1-6:latest"}, "", "artifactUri: empty"),
        ({"imageUri": "i", "command": ["x"], "invokeRoutePrefix": "/*"}, "", "invokeRoutePrefix"),
        ({"imageUri": "i", "command": ["x"]}, "gs://bucket/../x", "'..' segment"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_runs(spec, artifact_uri, reason):
    with pytest.raises(ValueError, match=reason):
        check(spec, artifact_uri, is_real=False)
