"""Reads a compiled pipeline: any PipelineSpec in YAML or JSON, whoever compiled it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwright.errors import UserError

# KFP's ParameterSpec has no default value for "no default": a value that no YAML holds says so.
NO_DEFAULT: Any = object()

# Parameter types of PipelineSpec 2.0 and their successors in 2.1 (KFP's pipeline_spec.proto, PrimitiveType).
_OLD_TYPES = {"INT": "NUMBER_INTEGER", "DOUBLE": "NUMBER_DOUBLE", "STRING": "STRING"}

# Where a pod runs, how its image is pulled, how large its shared memory is (a machine's own is larger):
# nothing that a task computes depends on it.
_SCHEDULING = {
    "enabledSharedMemory",
    "imagePullPolicy",
    "imagePullSecret",
    "nodeAffinity",
    "nodeSelector",
    "podAffinity",
    "tolerations",
}
# When a run's pods are cleaned up.
_CLEANING = {"resourceTtlOnCompletion", "resourceTtlOnSuccess", "resourceTtlOnFailure"}
# How many runs of the pipeline, or of all that share a lock, there may be at once.
_CONCURRENCY = {"maxActiveRuns", "mutexName", "pipelineRunParallelism", "semaphoreKey"}
# A folder that a run's tasks share (kfp.dsl.WorkspaceConfig): local Vertex has it too.
_WORKSPACE = "pipelineConfig.workspace"
# May be absent at run time by Kubernetes' own rules when they say `optional: true`.
_OPTIONAL = {"configMapAsEnv", "configMapAsVolume", "secretAsEnv", "secretAsVolume"}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline's or component's interface.

    `type` is one of KFP's ParameterType names: STRING, NUMBER_INTEGER, NUMBER_DOUBLE, BOOLEAN, LIST, STRUCT
    or TASK_FINAL_STATUS. `default` is NO_DEFAULT where there is none. `literals` are the allowed values, if
    they are limited.
    """

    name: str
    type: str
    optional: bool = False
    default: Any = NO_DEFAULT
    description: str = ""
    literals: tuple[Any, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a run must be given a value."""
        return not self.optional and self.default is NO_DEFAULT


@dataclass(frozen=True)
class ArtifactSlot:
    """An artifact of a pipeline's or component's interface; `schema` is such as `system.Dataset`."""

    name: str
    schema: str
    optional: bool = False
    is_list: bool = False
    description: str = ""


@dataclass(frozen=True)
class Interface:
    """What goes into a compiled pipeline or component, and what comes out of it."""

    name: str
    description: str
    parameters: Mapping[str, Parameter]
    artifacts: Mapping[str, ArtifactSlot]
    output_parameters: Mapping[str, Parameter]
    output_artifacts: Mapping[str, ArtifactSlot]


@dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline as it was read.

    Attributes:
        path: The file.
        spec: The PipelineSpec, parsed.
        interface: Its inputs and outputs.
        documents: How many YAML documents the file has; more than one cannot be given to the SDK as it is.
        notes: What a user should know before the run, one line each.
        given: Names of parameters whose values the file itself gives (a PipelineJob's `runtimeConfig`).
    """

    path: Path
    spec: dict[str, Any]
    interface: Interface
    documents: int = 1
    notes: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()


def read_pipeline(path: Path) -> CompiledPipeline:
    """Reads a compiled pipeline.

    A second YAML document (KFP writes Kubernetes' settings there) is accepted when nothing that the
    pipeline computes depends on it: `google.cloud.aiplatform.PipelineJob` itself reads one document only and
    raises on two (google-cloud-aiplatform 1.165 and 2.7, `utils/yaml_utils.py`).

    Args:
        path: YAML or JSON of a PipelineSpec, or of a PipelineJob that holds one as `pipelineSpec`.

    Raises:
        UserError: The file is absent, is no YAML, is no compiled pipeline, or needs Kubernetes.
    """
    text = read_text(path)
    documents = _parse_documents(path, text)
    if not documents:
        raise UserError(f"{path}: empty, expected a compiled pipeline")
    first = documents[0]
    if not isinstance(first, dict):
        raise UserError(f"{path}: holds {_kind(first)}, expected a compiled pipeline (a mapping)")
    spec = first.get("pipelineSpec", first)
    check_spec(path, first if not isinstance(spec, dict) else spec)
    notes = platform_notes(path, documents[1:])
    described = interface(spec, description=_header_description(text))
    return CompiledPipeline(path, spec, described, len(documents), notes, given_parameters(path, first))


def interface(spec: Mapping[str, Any], *, description: str = "") -> Interface:
    """Takes the interface out of a PipelineSpec: that of its root component.

    Args:
        spec: The PipelineSpec.
        description: Used where the spec has none of its own.
    """
    root = spec["root"]
    inputs = root.get("inputDefinitions") or {}
    outputs = root.get("outputDefinitions") or {}
    information = spec["pipelineInfo"]
    return Interface(
        name=information["name"],
        description=information.get("description") or description,
        parameters=_parameters(inputs),
        artifacts=_artifacts(inputs),
        output_parameters=_parameters(outputs),
        output_artifacts=_artifacts(outputs),
    )


def given_parameters(path: Path, document: Mapping[str, Any]) -> frozenset[str]:
    """The names of parameters whose values a file itself gives: those of a PipelineJob's `runtimeConfig`.

    Raises:
        UserError: It is a PipelineJob without one.
    """
    if "pipelineSpec" not in document:
        return frozenset()
    config = document.get("runtimeConfig")
    if not isinstance(config, dict):
        raise UserError(
            f"{path}: a PipelineJob without runtimeConfig, expected one with it or a PipelineSpec alone"
        )
    return frozenset(config.get("parameterValues") or config.get("parameters") or {})


def _parameters(definitions: Mapping[str, Any]) -> dict[str, Parameter]:
    return {
        name: Parameter(
            name=name,
            type=definition.get("parameterType") or _OLD_TYPES.get(definition.get("type", ""), "STRING"),
            optional=bool(definition.get("isOptional", False)),
            default=_default(definition),
            description=definition.get("description", ""),
            literals=tuple(definition.get("literals", ())),
        )
        for name, definition in sorted((definitions.get("parameters") or {}).items())
    }


def _default(definition: Mapping[str, Any]) -> Any:
    default = definition.get("defaultValue", NO_DEFAULT)
    # KFP writes an integer's default as a double: 50.0.
    is_integer = definition.get("parameterType") == "NUMBER_INTEGER" and isinstance(default, float)
    return int(default) if is_integer else default


def _artifacts(definitions: Mapping[str, Any]) -> dict[str, ArtifactSlot]:
    return {
        name: ArtifactSlot(
            name=name,
            schema=(definition.get("artifactType") or {}).get("schemaTitle", "system.Artifact"),
            optional=bool(definition.get("isOptional", False)),
            is_list=bool(definition.get("isArtifactList", False)),
            description=definition.get("description", ""),
        )
        for name, definition in sorted((definitions.get("artifacts") or {}).items())
    }


def _header_description(text: str) -> str:
    """The description in KFP's comment at the top: a component's is nowhere else."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("# Description: "):
            lines.append(line.removeprefix("# Description: "))
        elif lines and line.startswith("#              "):
            lines.append(line.removeprefix("#").strip())
        elif lines or not line.startswith("#"):
            break
    return "\n".join(lines)


def read_text(path: Path) -> str:
    """Reads a file's text.

    Raises:
        UserError: It is absent, a folder, not UTF-8 or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, expected a compiled pipeline (.yaml or .json)") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text, expected a compiled pipeline") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _parse_documents(path: Path, text: str) -> list[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: not YAML{where}: {problem}") from error


def check_spec(path: Path, spec: Mapping[str, Any]) -> None:
    """Checks that a mapping is a PipelineSpec of a version that is known.

    Raises:
        UserError: It is something else.
    """
    if "implementation" in spec:
        raise UserError(f"{path}: a KFP 1 component, expected a compiled pipeline (compile one that uses it)")
    if spec.get("kind") == "Workflow":
        raise UserError(f"{path}: an Argo workflow of KFP 1, expected a pipeline compiled by KFP 2")
    if spec.get("kind") in ("Pipeline", "PipelineVersion"):
        raise UserError(f"{path}: a Kubernetes manifest, expected a pipeline compiled without it")
    for key in ("pipelineInfo", "root", "schemaVersion", "deploymentSpec", "components"):
        if key not in spec:
            raise UserError(f"{path}: no {key!r} in it, expected a compiled pipeline")
    version = str(spec["schemaVersion"])
    if not re.fullmatch(r"2\.[01]\.\d+", version):
        raise UserError(f"{path}: schemaVersion {version}, expected 2.0.x or 2.1.x")
    information, root = spec["pipelineInfo"], spec["root"]
    if not isinstance(information, dict) or not isinstance(information.get("name"), str):
        raise UserError(f"{path}: no pipelineInfo.name in it, expected a compiled pipeline")
    if not isinstance(root, dict) or not isinstance(root.get("dag"), dict):
        raise UserError(f"{path}: no root.dag in it, expected a compiled pipeline")


def platform_notes(path: Path, documents: list[Any]) -> tuple[str, ...]:
    """What the documents after the first ask for and Vertex AI leaves out; raises where a task needs it.

    Fields: kubernetes_platform/proto/kubernetes_executor_config.proto of kubeflow/pipelines (2026-08-21).
    """
    dispensable: set[str] = set()
    workspace: set[str] = set()
    for document in documents:
        if not document:
            continue
        if not isinstance(document, dict) or set(document) != {"platforms"}:
            raise UserError(
                f"{path}: a second YAML document that is no `platforms:`, expected one pipeline a file"
            )
        for platform, settings in (document["platforms"] or {}).items():
            for where, name, value in _platform_settings(settings or {}):
                if not _is_dispensable(name, value) and where + name != _WORKSPACE:
                    raise UserError(
                        f"{path}: platforms.{platform}.{where}{name}: only Kubernetes can do this,"
                        " and Vertex AI has nothing like it"
                    )
                (workspace if where + name == _WORKSPACE else dispensable).add(name)
    notes = []
    if dispensable:
        left_out = ", ".join(sorted(dispensable))
        notes.append(f"{path}: left out, for Vertex AI has nothing like it: Kubernetes' {left_out}")
    if workspace:
        notes.append(f"{path}: local Vertex gives each run a workspace, Vertex AI has nothing like it")
    return tuple(notes)


def _platform_settings(settings: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []
    executors = (settings.get("deploymentSpec") or {}).get("executors") or {}
    for executor, config in executors.items():
        where = f"deploymentSpec.executors.{executor}."
        found += [(where, name, value) for name, value in (config or {}).items()]
    pipeline_config = settings.get("pipelineConfig") or {}
    found += [("pipelineConfig.", name, value) for name, value in pipeline_config.items()]
    return found


def _is_dispensable(name: str, value: Any) -> bool:
    if not value or name in _SCHEDULING or name in _CLEANING or name in _CONCURRENCY:
        return True
    return name in _OPTIONAL and all(isinstance(item, dict) and item.get("optional") for item in value)


def _kind(value: object) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(value), "a plain value")
