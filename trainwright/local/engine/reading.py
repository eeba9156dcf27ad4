"""From the compiled JSON to `spec.Spec`: every field is read, refused by name, or reported as unknown."""

import re
from typing import Any

from trainwright.local.engine.dags import read_dag, verify
from trainwright.local.engine.fields import Field, nearest
from trainwright.local.engine.loop_items import mended
from trainwright.local.engine.resources import Resources
from trainwright.local.engine.spec import (
    UNSET,
    ArtifactDefinition,
    Component,
    Container,
    Importer,
    ParameterDefinition,
    Spec,
    SpecError,
)
from trainwright.local.engine.values import PARAMETER_TYPES, WrongType, checked, is_of_type, normalise

# `type` of schema 2.0.0, which Google's published templates still use.
_LEGACY_TYPES = {"INT": "NUMBER_INTEGER", "DOUBLE": "NUMBER_DOUBLE", "STRING": "STRING"}
# Images of kfp-kubernetes that only its backend knows: they make or delete a PersistentVolumeClaim.
_KUBERNETES_IMAGES = re.compile(r"argostub/(createpvc|deletepvc)(:.*)?")

# TaskConfigPassthroughType of pipeline_spec.proto (2026-08-21). Kubernetes' have nothing to tell here.
_PASSTHROUGHS = (
    "RESOURCES",
    "ENV",
    "KUBERNETES_AFFINITY",
    "KUBERNETES_TOLERATIONS",
    "KUBERNETES_NODE_SELECTOR",
    "KUBERNETES_VOLUMES",
)
# Fields of the compiled spec, each with its older one, whose memory is in GB.
_QUANTITIES = {
    "cpu_request": ("resourceCpuRequest", "cpuRequest", ""),
    "cpu_limit": ("resourceCpuLimit", "cpuLimit", ""),
    "memory_request": ("resourceMemoryRequest", "memoryRequest", "G"),
    "memory_limit": ("resourceMemoryLimit", "memoryLimit", "G"),
}


def read(pipeline: Any) -> Spec:
    """Reads and checks a pipeline spec.

    Args:
        pipeline: PipelineSpec as a JSON object, camelCase as the compiler writes it.

    Raises:
        SpecError: A field is missing, of the wrong type, unknown, not supported, or refers to nothing.
    """
    try:
        return _read(pipeline)
    except RecursionError:
        raise SpecError("the pipeline spec is nested too deeply") from None


def _read(pipeline: Any) -> Spec:
    if not isinstance(pipeline, dict):
        raise Field(pipeline, "pipeline spec").wrong("a map")
    known = {
        "pipelineInfo",
        "deploymentSpec",
        "sdkVersion",
        "schemaVersion",
        "components",
        "root",
        "defaultPipelineRoot",
    }
    for key in pipeline:
        if key not in known:
            raise SpecError(f"{key}: unknown field of a pipeline spec{nearest(str(key), known)}")
    top = {key: Field(value, key) for key, value in pipeline.items() if value is not None}
    version = top.get("schemaVersion", Field("", "schemaVersion")).text()
    if not version.startswith("2."):
        raise SpecError(f"schemaVersion: found {version!r}, expected 2.0.0 or 2.1.0: compile with kfp 2")
    information = _required(top, "pipelineInfo").message({"name", "displayName", "description"})
    components = {
        name: _component(name, field)
        for name, field in top.get("components", Field({}, "components")).named().items()
    }
    deployment = top.get("deploymentSpec", Field({}, "deploymentSpec")).message({"executors"})
    executors = {
        name: _executor(field)
        for name, field in deployment.get("executors", Field({}, "deploymentSpec.executors")).named().items()
    }
    name = information["name"].name() if "name" in information else ""
    if not name:
        raise SpecError("pipelineInfo.name: missing")
    root = _component("root", _required(top, "root"))
    spec = Spec(name, root, mended(root, components), executors)
    verify(spec)
    return spec


def _required(fields: dict[str, Field], name: str) -> Field:
    if name not in fields:
        raise SpecError(f"{name}: missing from the pipeline spec")
    return fields[name]


def _component(name: str, field: Field) -> Component:
    entries = field.message(
        {"inputDefinitions", "outputDefinitions", "dag", "executorLabel", "taskConfigPassthroughs"},
        {"singlePlatformSpecs"},
    )
    inputs = entries.get("inputDefinitions", Field({}, "")).message({"artifacts", "parameters"})
    outputs = entries.get("outputDefinitions", Field({}, "")).message({"artifacts", "parameters"})
    if ("dag" in entries) == ("executorLabel" in entries):
        raise SpecError(f"{field.path}: expected either dag or executorLabel")
    none = Field({}, "")
    return Component(
        name=name,
        input_parameters={k: _parameter(v) for k, v in inputs.get("parameters", none).named().items()},
        input_artifacts={k: _artifact(v) for k, v in inputs.get("artifacts", none).named().items()},
        output_parameters={k: _parameter(v) for k, v in outputs.get("parameters", none).named().items()},
        output_artifacts={k: _artifact(v) for k, v in outputs.get("artifacts", none).named().items()},
        dag=read_dag(entries["dag"]) if "dag" in entries else None,
        executor=entries["executorLabel"].name() if "executorLabel" in entries else "",
        passthroughs=_passthroughs(entries.get("taskConfigPassthroughs", Field(None, ""))),
    )


def _passthroughs(field: Field) -> dict[str, bool]:
    found = {}
    for item in field.items():
        entries = item.message({"field", "applyToTask"})
        if "field" not in entries or entries["field"].value not in _PASSTHROUGHS:
            raise item.wrong(f"a field that is one of {', '.join(_PASSTHROUGHS)}")
        found[entries["field"].text()] = entries["applyToTask"].flag() if "applyToTask" in entries else False
    return found


def _parameter(field: Field) -> ParameterDefinition:
    entries = field.message(
        {"type", "parameterType", "defaultValue", "isOptional", "description", "literals"}
    )
    if "parameterType" in entries:
        kind = entries["parameterType"].text()
    else:
        kind = _LEGACY_TYPES.get(entries["type"].text(), "") if "type" in entries else ""
    if kind not in PARAMETER_TYPES:
        raise SpecError(f"{field.path}: unknown parameter type{nearest(kind, PARAMETER_TYPES)}")
    default: Any = UNSET
    if "defaultValue" in entries:
        default = entries["defaultValue"].value
        # A placeholder may stand for a value of any type until the run resolves it.
        if not (isinstance(default, str) and "{{$" in default):
            try:
                default = checked(default, kind)
            except WrongType as error:
                raise SpecError(f"{field.path}.defaultValue: {error}") from None
    literals = tuple(normalise(item.value) for item in entries.get("literals", Field(None, "")).items())
    if any(not is_of_type(literal, kind) for literal in literals):
        raise entries["literals"].wrong(f"values of type {kind}")
    optional = entries["isOptional"].flag() if "isOptional" in entries else False
    return ParameterDefinition(kind, optional or default is not UNSET, default, literals)


def _artifact(field: Field) -> ArtifactDefinition:
    known = {"artifactType", "isArtifactList", "isOptional", "description", "metadata"}
    entries = field.message(known, {"properties", "customProperties"})
    title, version = _schema(entries.get("artifactType", Field({}, field.path)))
    return ArtifactDefinition(
        title,
        version,
        is_list=entries["isArtifactList"].flag() if "isArtifactList" in entries else False,
        optional=entries["isOptional"].flag() if "isOptional" in entries else False,
        metadata=_struct(entries["metadata"]) if "metadata" in entries else {},
    )


def _schema(field: Field) -> tuple[str, str]:
    entries = field.message({"schemaTitle", "schemaVersion", "instanceSchema"}, {"schemaUri"})
    title = entries["schemaTitle"].text() if "schemaTitle" in entries else "system.Artifact"
    if "instanceSchema" in entries and "schemaTitle" not in entries:
        # Schema 2.0.0 wrote the type as YAML text whose first entry is the title.
        match = re.search(r"^title:\s*(\S+)", entries["instanceSchema"].text(), re.MULTILINE)
        title = match[1].replace("kfp.", "system.", 1) if match else title
    return title, entries["schemaVersion"].text() if "schemaVersion" in entries else "0.0.1"


def _struct(field: Field) -> dict[str, Any]:
    field.entries()
    try:
        return normalise(field.value)
    except WrongType as error:
        raise SpecError(f"{field.path}: {error}") from None


def _executor(field: Field) -> Container | Importer:
    entries = field.message({"container", "importer"}, {"resolver", "customJob"})
    if ("container" in entries) == ("importer" in entries):
        raise SpecError(f"{field.path}: expected either container or importer")
    return _container(entries["container"]) if "container" in entries else _importer(entries["importer"])


def _container(field: Field) -> Container:
    entries = field.message({"image", "command", "args", "env", "resources"}, {"lifecycle"})
    if "image" not in entries:
        raise SpecError(f"{field.path}.image: missing")
    image = entries["image"].name()
    if _KUBERNETES_IMAGES.fullmatch(image):
        raise SpecError(
            f"{field.path}.image: {image} makes Kubernetes volumes, which local Vertex AI has not"
        )
    environment = []
    for item in entries.get("env", Field(None, "")).items():
        variable = item.message({"name", "value"})
        if "name" not in variable or "=" in variable["name"].name() or "\0" in variable["name"].text():
            raise item.wrong("a name and a value")
        environment.append((variable["name"].name(), variable["value"].text() if "value" in variable else ""))
    return Container(
        image=image,
        command=tuple(item.text() for item in entries.get("command", Field(None, "")).items()),
        args=tuple(item.text() for item in entries.get("args", Field(None, "")).items()),
        environment=tuple(environment),
        resources=_resources(entries.get("resources", Field(None, ""))),
    )


def _resources(field: Field) -> Resources:
    known = {name for new, old, _ in _QUANTITIES.values() for name in (new, old)}
    entries = field.message({*known, "accelerator"})
    found = {}
    for name, (new, old, unit) in _QUANTITIES.items():
        if new in entries:
            found[name] = entries[new].text()
        elif old in entries and entries[old].number():
            found[name] = f"{entries[old].number():.9g}{unit}"
    accelerator = entries.get("accelerator", Field(None, "")).message(
        {"type", "count", "resourceType", "resourceCount"}
    )
    for name, (new, old) in {
        "accelerator_type": ("resourceType", "type"),
        "accelerator_count": ("resourceCount", "count"),
    }.items():
        chosen = accelerator.get(new, accelerator.get(old))
        if chosen is not None:
            # A count is an int64, which JSON has as text or as a number.
            found[name] = chosen.text() if isinstance(chosen.value, str) else str(chosen.count())
    return Resources(**found)


def _importer(field: Field) -> Importer:
    entries = field.message({"artifactUri", "typeSchema", "metadata", "reimport", "downloadToWorkspace"})
    if "artifactUri" not in entries:
        raise SpecError(f"{field.path}.artifactUri: missing")
    uri = entries["artifactUri"].message({"constant", "constantValue", "runtimeParameter"})
    constant = uri.get("constant")
    if "constantValue" in uri:
        constant = uri["constantValue"].message({"stringValue"}).get("stringValue")
    if (constant is None) == ("runtimeParameter" not in uri):
        raise entries["artifactUri"].wrong("either constant or runtimeParameter")
    title, version = _schema(entries.get("typeSchema", Field({}, field.path)))
    return Importer(
        uri=constant.text() if constant else "",
        uri_parameter=uri["runtimeParameter"].name() if "runtimeParameter" in uri else "",
        schema_title=title,
        schema_version=version,
        metadata=_struct(entries["metadata"]) if "metadata" in entries else {},
        reimport=entries["reimport"].flag() if "reimport" in entries else False,
        to_workspace=entries["downloadToWorkspace"].flag() if "downloadToWorkspace" in entries else False,
    )
