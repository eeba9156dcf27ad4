"""The Vertex AI jobs that a pipeline's tasks start: what their launchers will ask for, as far as it is known.

The official launchers (google-cloud-pipeline-components 2.22) carry the request as `--type` and
`--payload`, a JSON text with placeholders, or name a class of the SDK as `--cls_name`. A component of one's
own that takes `worker_pool_specs` is understood by its parameters.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright.authoring.machines import Machine
from trainwright.compiling.tasks import UNKNOWN, Task

DEFAULT_TIMEOUT_SECONDS = 604_800
"""Vertex AI's own longest time of a job: 7 days (API v1, `Scheduling.timeout`)."""

_ANY_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']*)'\]\}\}")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOBS_WITH_POOLS = ("CustomJob", "HyperparameterTuningJob", "HyperparameterTuningJobWithMetrics")


@dataclass(frozen=True)
class Pool:
    """A worker pool of a job, as its request says it; `spec` is empty for a pool that is skipped."""

    spec: Mapping[str, Any]

    @property
    def machine_spec(self) -> Mapping[str, Any]:
        """Its machine."""
        found = self.spec.get("machine_spec")
        return found if isinstance(found, dict) else {}

    @property
    def replica_count(self) -> Any:
        """How many replicas; an integer, or text where only the run will know."""
        return _whole(self.spec.get("replica_count", 1))

    @property
    def accelerator_count(self) -> Any:
        """How many accelerators a replica has; None where none is asked for."""
        return _whole(self.machine_spec.get("accelerator_count"))

    @property
    def accelerator(self) -> Any:
        """The accelerator's name; None where there is none."""
        found = self.machine_spec.get("accelerator_type")
        return None if found in ("", "ACCELERATOR_TYPE_UNSPECIFIED") else found

    @property
    def container(self) -> Mapping[str, Any]:
        """The container, or the Python package with its executor image as `image_uri`."""
        container = self.spec.get("container_spec")
        if isinstance(container, dict):
            return _with_lists(container)
        package = self.spec.get("python_package_spec")
        if isinstance(package, dict):
            return {**_with_lists(package), "image_uri": package.get("executor_image_uri", "")}
        return {}

    def machine(self) -> Machine:
        """The machine as a value.

        Raises:
            Impossible: Vertex AI has no such machine.
        """
        return Machine(
            self.machine_spec.get("machine_type", UNKNOWN),
            self.accelerator,
            self.accelerator_count or None,
            self.machine_spec.get("tpu_topology") or None,
        )


@dataclass(frozen=True)
class Job:
    """What a task asks of Vertex AI.

    Attributes:
        kind: The launcher's type or the SDK's class: `CustomJob`, `AutoMLTabularTrainingJob`, `UploadModel`.
        pools: The worker pools; empty where they are not known or there are none.
        scheduling: Such as strategy and timeout.
        fields: The rest of the request, flat: location, project, base_output_directory, labels, trials.
    """

    kind: str
    pools: tuple[Pool, ...] = ()
    scheduling: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_pools(self) -> bool:
        """Whether it is a custom job or tuning job."""
        return self.kind in _JOBS_WITH_POOLS

    @property
    def is_tuning(self) -> bool:
        """Whether its pools run once for every trial."""
        return self.kind.startswith("HyperparameterTuningJob")

    @property
    def strategy(self) -> Any:
        """Scheduling strategy; Vertex AI's default where none is asked for."""
        return self.scheduling.get("strategy") or "STANDARD"

    @property
    def timeout_seconds(self) -> float | None:
        """The longest time that it may run; None where only the run will know."""
        text = self.scheduling.get("timeout")
        if text in (None, ""):
            return DEFAULT_TIMEOUT_SECONDS
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)s", str(text))
        return float(match[1]) if match else None


def job_of(task: Task) -> Job | None:
    """What a task asks of Vertex AI; None if it starts no job, as far as can be told."""
    arguments = task.container.get("args") or []
    command = [*(task.container.get("command") or []), *arguments]
    kind = _after(command, "--type")
    if isinstance(kind, str):
        payload = _after(arguments, "--payload")
        request = _request(payload, task.inputs) if isinstance(payload, str) else {}
        return _job(kind, request, task.inputs)
    class_name = _after(command, "--cls_name")
    if isinstance(class_name, str):
        return Job(class_name, fields=dict(task.inputs))
    if not task.is_group and "worker_pool_specs" in task.inputs:
        return _job(
            "HyperparameterTuningJob" if "max_trial_count" in task.inputs else "CustomJob", {}, task.inputs
        )
    return None


def _with_lists(container: Mapping[str, Any]) -> dict[str, Any]:
    """A container without those of its lists that are something else."""
    lists = ("command", "args", "env", "package_uris")
    return {key: value for key, value in container.items() if key not in lists or isinstance(value, list)}


def _job(kind: str, request: Mapping[str, Any], inputs: Mapping[str, Any]) -> Job:
    job_spec = request.get("job_spec") or request.get("trial_job_spec") or {}
    found = job_spec.get("worker_pool_specs", inputs.get("worker_pool_specs"))
    if isinstance(found, str):
        found = _parsed(found)
    pools = (
        tuple(Pool(pool if isinstance(pool, dict) else {}) for pool in found)
        if isinstance(found, list)
        else ()
    )
    scheduling = job_spec.get("scheduling") or {
        name: inputs[name] for name in ("strategy", "timeout", "max_wait_duration") if name in inputs
    }
    directory = (job_spec.get("base_output_directory") or {}).get("output_uri_prefix")
    fields = {**inputs, **{key: value for key, value in request.items() if not key.endswith("job_spec")}}
    if directory is not None:
        fields["base_output_directory"] = directory
    return Job(kind, tuple(Pool(_snake(pool.spec)) for pool in pools), _snake(scheduling), fields)


def _after(arguments: list[Any], flag: str) -> Any:
    for position, argument in enumerate(arguments[:-1]):
        if argument == flag:
            return arguments[position + 1]
    return None


def _request(payload: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A payload with what is known put in; empty where it is no JSON even then."""
    template = _parsed(payload) if '"Concat"' in payload[:20] else None
    text = _concatenated(template, inputs) if isinstance(template, dict) else _filled(payload, inputs)
    found = _parsed(text)
    return _snake(found) if isinstance(found, dict) else {}


def _concatenated(template: Any, inputs: Mapping[str, Any]) -> str:
    if isinstance(template, dict) and "Concat" in template:
        return _filled("".join(_concatenated_raw(item) for item in template["Concat"]), inputs)
    return _filled(_concatenated_raw(template), inputs)


def _concatenated_raw(template: Any) -> str:
    """The text of nested Concat and IfPresent; what is conditional is left out."""
    if isinstance(template, str):
        return template
    if isinstance(template, dict) and "Concat" in template:
        return "".join(_concatenated_raw(item) for item in template["Concat"])
    return ""


def _filled(text: str, inputs: Mapping[str, Any]) -> str:
    """Replaces placeholders: inside a JSON string by escaped text, elsewhere by a JSON value."""
    parts: list[str] = []
    position, quoted = 0, False
    for match in _ANY_PLACEHOLDER.finditer(text):
        before = text[position : match.start()]
        quoted ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        value = inputs.get(match[1])
        if quoted:
            written = value if isinstance(value, str) else "" if value is None else json.dumps(value)
            parts += [before, json.dumps(written)[1:-1]]
        else:
            parts += [before, json.dumps(value)]
        position = match.end()
    return "".join((*parts, text[position:]))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _snake(value: Any) -> Any:
    """The API's names as the SDK has them: `machineType` is `machine_type`; labels and env keep theirs."""
    if isinstance(value, dict):
        return {
            _SNAKE.sub("_", key).lower(): item if key in ("labels", "env") else _snake(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_snake(item) for item in value]
    return value


def _whole(value: Any) -> Any:
    """A number as KFP writes it, `1.0`, or an int64 as protobuf's JSON does, `"1"`, as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value
