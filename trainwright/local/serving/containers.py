"""What a model's container spec asks for, as plain values: a command and its environment.

Specs are ModelContainerSpec as camelCase JSON (google-cloud-aiplatform 1.165.1, types/model.py). What the
container is given: Vertex AI documentation, "Custom container requirements for inference", version 1.0.0,
2026-08-22.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainwright.local.storage.directories import folder_of

PREBUILT_PROGRAM = Path(__file__).with_name("prebuilt.py")
"""Stands for the entry point of Vertex AI's prebuilt prediction images."""

_PREBUILT = re.compile(
    r"(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai/prediction/"
    r"(?P<framework>[a-z0-9_]+)-(?:cpu|gpu|tpu)\.[\w-]+(?:[:@].*)?"
)
_SERVED_FRAMEWORKS = ("sklearn", "xgboost")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_ABSENT = {
    "invokeRoutePrefix": "custom inference routes (PredictionService.Invoke)",
    "grpcPorts": "prediction over gRPC",
}


@dataclass(frozen=True)
class Container:
    """One container that serves a model.

    Args:
        image: What it would run in.
        command: As words.
        args: What follows the command.
        environment: All that Vertex AI and the model set.
        port: Where it is to listen on 127.0.0.1.
        health_route: The path of health checks.
        predict_route: The path of predictions.
    """

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    health_route: str
    predict_route: str


@dataclass(frozen=True)
class Served:
    """A model as a model server gets it.

    Args:
        spec: Its container spec.
        artifact_uri: gs:// directory of its artifacts; empty: there is none.
        endpoint_id: Of the endpoint, or of the batch prediction job.
        deployed_model_id: Decimal digits.
        project_number: Decimal digits.
        machine: MachineSpec as camelCase JSON, as far as given.
    """

    spec: dict
    artifact_uri: str
    endpoint_id: str
    deployed_model_id: str
    project_number: str
    machine: dict = field(default_factory=dict)


def check(spec: dict, artifact_uri: str, *, is_real: bool) -> None:
    """Says what can be known before a model is served.

    Args:
        spec: The container spec.
        artifact_uri: Of the model.
        is_real: Whether its image runs, and not what stands for it here.

    Raises:
        ValueError: It is not valid or cannot run here; one line that names the field.
    """
    image = spec.get("imageUri", "")
    if not image:
        raise ValueError("containerSpec.imageUri: empty; expected the image that serves the model")
    for field_name, what in _ABSENT.items():
        if spec.get(field_name):
            raise ValueError(f"containerSpec.{field_name}: local Vertex has no {what}")
    framework = "" if is_real else _prebuilt_framework(spec)
    if framework and framework not in _SERVED_FRAMEWORKS:
        known = ", ".join(_SERVED_FRAMEWORKS)
        raise ValueError(
            f"containerSpec.imageUri: {image!r}: of the prebuilt prediction images local Vertex stands for"
            f" those of {known}; serve {framework} by containerSpec.command and args of your own"
        )
    if artifact_uri:
        folder_of(Path(), artifact_uri)
    if framework and not artifact_uri:
        raise ValueError(
            "artifactUri: empty; a prebuilt prediction image serves the artifacts that are there"
        )


def container_of(served: Served, port: int, gcs_root: Path, *, is_real: bool) -> Container:
    """The container of a model, checked.

    Args:
        served: The model.
        port: A free port of this machine; on Vertex AI it is the spec's on a host of its own.
        gcs_root: The folder that stands for gs://.
        is_real: Whether its image runs, and not what stands for it here.
    """
    spec = served.spec
    route = f"/v1/endpoints/{served.endpoint_id}/deployedModels/{served.deployed_model_id}"
    health_route = _path(spec.get("healthRoute") or route)
    predict_route = _path(spec.get("predictRoute") or f"{route}:predict")
    environment = {
        "AIP_DEPLOYED_MODEL_ID": served.deployed_model_id,
        "AIP_ENDPOINT_ID": served.endpoint_id,
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_HEALTH_ROUTE": health_route,
        "AIP_HTTP_PORT": str(port),
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_MODEL_NAME": served.endpoint_id,
        "AIP_PREDICT_ROUTE": predict_route,
        "AIP_PROJECT_NUMBER": served.project_number,
        "AIP_STORAGE_URI": served.artifact_uri.rstrip("/"),
        "AIP_VERSION_NAME": served.deployed_model_id,
    }
    # Not of Vertex AI, where a server listens on all addresses of a host of its own: servers that let their
    # address be set shall take loopback.
    environment.update(HOST="127.0.0.1", UVICORN_HOST="127.0.0.1")
    for variable, name in (("AIP_MACHINE_TYPE", "machineType"), ("AIP_ACCELERATOR_TYPE", "acceleratorType")):
        if value := served.machine.get(name):
            environment[variable] = value
    for entry in spec.get("env", []):
        environment[entry["name"]] = _expanded(entry.get("value", ""), environment)
    command = tuple(_expanded(word, environment) for word in spec.get("command", ()))
    args = tuple(_expanded(word, environment) for word in spec.get("args", ()))
    if not is_real and (framework := _prebuilt_framework(spec)):
        folder = folder_of(gcs_root, served.artifact_uri)
        # -P: the folder of the program is not one of modules.
        command = ("python3", "-P", str(PREBUILT_PROGRAM), framework, str(folder))
    return Container(spec["imageUri"], command, args, environment, port, health_route, predict_route)


def port_of(spec: dict) -> int | None:
    """The port that a container spec names; None when it names none."""
    ports = spec.get("ports") or [{}]
    return ports[0].get("containerPort")


def _prebuilt_framework(spec: dict) -> str:
    """The framework of a prebuilt prediction image whose own entry point is to run; "" for any other."""
    found = _PREBUILT.fullmatch(spec.get("imageUri", ""))
    return found["framework"] if found and not spec.get("command") and not spec.get("args") else ""


def _path(route: str) -> str:
    return route if route.startswith("/") else f"/{route}"


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` by its value where there is one, `$$` by `$`, as in Kubernetes."""
    return _REFERENCE.sub(
        lambda match: "$" if match[0] == "$$" else environment.get(match[1], match[0]), text
    )
