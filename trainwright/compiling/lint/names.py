"""Rules of names, labels and the form of the file."""

import ast
import re
from collections.abc import Iterator
from typing import Any

from trainwright.authoring.labels import label_problem
from trainwright.compiling.lint.findings import Finding, Rule, milder
from trainwright.compiling.lint.subject import Subject, texts
from trainwright.compiling.tasks import Task

DOCUMENTS = Rule(
    "two-documents",
    "warning",
    "The file is one YAML document",
    "kfp writes Kubernetes' settings and `PipelineConfig` as a second document, which Vertex AI has"
    " nothing like; `aiplatform.PipelineJob` itself raises ComposerError on such a file"
    " (google-cloud-aiplatform 1.165 and 2.7). It is an error where a task depends on what Kubernetes alone"
    " can do.",
    "Leave kfp-kubernetes and PipelineConfig out; `trainwright submit` leaves out what nothing depends on.",
)
NAME = Rule(
    "pipeline-name",
    "error",
    "The pipeline's name makes a job id",
    "A job's id is `[a-z][-a-z0-9]{0,127}`, and the SDK makes it of the name and fifteen characters of"
    " time (google-cloud-aiplatform 1.165, `pipeline_jobs.py`).",
    "Use lower-case letters, digits and hyphens, a letter first, at most 112 characters.",
)
LABELS = Rule(
    "labels",
    "error",
    "Labels are ones that Google Cloud takes",
    "Keys of 1 to 63 characters that begin with a letter, values of up to 63; lower-case letters, digits,"
    ' _ and -; at most 64. Google Cloud, "Requirements for labels", 2026-08; API v1.',
    "Use what the message names.",
)
COLLISION = Rule(
    "custom-job-parameter",
    "error",
    "A component that is made a custom job has no parameter named as one of the job's fields",
    "`create_custom_training_job_from_component` puts both into one list: a component's own `labels` or"
    " `timeout` takes the place of the job's (google-cloud-pipeline-components 2.22, tried 2026-11-23).",
    "Rename the component's parameter.",
)
RULES = (DOCUMENTS, NAME, LABELS, COLLISION)

_LONGEST_NAME = 112
_MAX_LABELS = 64
# Parameters of CustomTrainingJobOp (google-cloud-pipeline-components 2.22).
_JOB_FIELDS = {
    "base_output_directory",
    "display_name",
    "enable_web_access",
    "encryption_spec_key_name",
    "labels",
    "location",
    "max_wait_duration",
    "network",
    "persistent_resource_id",
    "project",
    "psc_interface_config",
    "reserved_ip_ranges",
    "restart_job_on_worker_restart",
    "service_account",
    "strategy",
    "tensorboard",
    "timeout",
    "worker_pool_specs",
}


def check(subject: Subject) -> Iterator[Finding]:
    """Checks the file's form, names and labels."""
    problem = subject.document.platform_problem
    if subject.document.documents > 1:
        finding = DOCUMENTS.found(problem or f"{subject.document.documents} YAML documents, expected one")
        yield Finding(finding.rule, "error" if problem else "warning", finding.message)
    yield from _name(subject.spec["pipelineInfo"]["name"])
    for name, value, location, task in subject.constants():
        if name == "labels" or name.endswith("_labels"):
            yield from _labels(value, location, task.path if task is not None else "")
    for task, job in subject.jobs:
        if job.kind == "CustomJob":
            yield from _collision(task)


def _name(name: str) -> Iterator[Finding]:
    location = ("pipelineInfo", "name")
    usable = re.sub("[^-0-9a-z]+", "-", name.lower()).strip("-")
    if not usable or not usable[0].isalpha():
        yield NAME.found(f"name {name!r}, expected one that begins with a letter", location)
    elif len(usable) > _LONGEST_NAME:
        yield NAME.found(f"name of {len(usable)} characters, expected at most {_LONGEST_NAME}", location)
    elif usable != name:
        yield milder(NAME.found(f"name {name!r} becomes {usable!r} in the job's id", location))


def _labels(value: Any, location: tuple[str, ...], task: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        return
    if len(value) > _MAX_LABELS:
        yield LABELS.found(f"{len(value)} labels, expected at most {_MAX_LABELS}", location, task=task)
    for key, text in value.items():
        problem = label_problem(str(key), text)
        if problem is not None:
            yield LABELS.found(problem, location, task=task)


def _collision(task: Task) -> Iterator[Finding]:
    """A component that was made a custom job has its source in its default worker pool."""
    definitions = (task.component.get("inputDefinitions") or {}).get("parameters") or {}
    default = (definitions.get("worker_pool_specs") or {}).get("defaultValue")
    for text in texts(default):
        if "def " not in text or "kfp" not in text:
            continue
        names = _parameters(text)
        for name in sorted(names & _JOB_FIELDS):
            message = f"the component's parameter {name!r} takes the place of the custom job's"
            yield COLLISION.found(message, task.location, task=task.path)


def _parameters(source: str) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {argument.arg for function in functions[-1:] for argument in function.args.args}
