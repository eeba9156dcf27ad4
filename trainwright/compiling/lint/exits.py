"""Rules of exit handlers, which compile easily and surprise when they are needed."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainwright.compiling.jobs import job_of
from trainwright.compiling.lint.findings import Finding, Rule, milder
from trainwright.compiling.lint.subject import Subject
from trainwright.compiling.tasks import Task

CACHED = Rule(
    "exit-cached",
    "warning",
    "An exit task is not served from the cache",
    "Without the run's final status among its inputs, an exit task of the second run has the same key as"
    " that of the first: the message is not sent, the clean-up is not done.",
    "`task.set_caching_options(False)`, or take `dsl.PipelineTaskFinalStatus`.",
)
LOOP = Rule(
    "exit-in-loop",
    "warning",
    "No exit handler is inside a loop",
    "It compiles, and fails when it is submitted or runs (kubeflow/pipelines#9386, #12390).",
    "Put the loop inside the exit handler.",
)
OUTPUT = Rule(
    "exit-needs-output",
    "warning",
    "An exit task needs no output of the tasks that it waits for",
    "When these fail there is no output, and the exit task that should say so fails too, or is not started.",
    "Give it what it needs by the pipeline's parameters and the final status; or give the input a default.",
)
RECIPIENTS = Rule(
    "notification-recipients",
    "error",
    "A notification goes to one to three addresses",
    'VertexNotificationEmailOp takes at most three recipients. Vertex AI documentation, "Configure email'
    ' notifications", 2026-08-22.',
    "Send to a mailing list.",
)
RULES = (CACHED, LOOP, OUTPUT, RECIPIENTS)

_MAX_RECIPIENTS = 3


def check(subject: Subject) -> Iterator[Finding]:
    """Checks exit tasks and notifications."""
    by_path = {task.path: task for task in subject.tasks}
    for task in subject.tasks:
        if task.is_exit and not task.is_group:
            yield from _exit(task, by_path)
        job = job_of(task)
        if job is not None and job.kind == "VertexNotificationEmail":
            yield from _recipients(task)


def _exit(task: Task, by_path: Mapping[str, Task]) -> Iterator[Finding]:
    given = (task.definition.get("inputs") or {}).get("parameters") or {}
    has_status = any("taskFinalStatus" in source for source in given.values())
    if task.is_cached and not has_status:
        message = "cached: the second run's is not executed"
        yield CACHED.found(message, (*task.location, "cachingOptions"), task=task.path)
    waited = task.definition.get("dependentTasks") or []
    around = task.path.rpartition("/")[0]
    if _is_handler(task, by_path) and around:
        parts = around.split("/")
        for depth in range(len(parts)):
            outer = by_path["/".join(parts[: depth + 1])]
            if "parameterIterator" in outer.definition or "artifactIterator" in outer.definition:
                yield LOOP.found(f"inside the loop {outer.name}", task.location, task=task.path)
    for name, source in sorted(_all_inputs(task).items()):
        producer = (source.get("taskOutputParameter") or source.get("taskOutputArtifact") or {}).get(
            "producerTask"
        )
        if producer in waited and not _has_default(task, name):
            message = f"input {name} is an output of {producer}, which may have failed"
            yield OUTPUT.found(message, task.location, task=task.path)


def _is_handler(task: Task, by_path: Mapping[str, Task]) -> bool:
    """Whether it waits for an exit handler's group, not for a task whose failure it ignores."""
    prefix = task.path.rpartition("/")[0]
    names = task.definition.get("dependentTasks") or []
    paths = (f"{prefix}/{name}" if prefix else name for name in names)
    return any(path in by_path and by_path[path].is_group for path in paths)


def _all_inputs(task: Task) -> dict[str, Any]:
    inputs = task.definition.get("inputs") or {}
    return {**(inputs.get("parameters") or {}), **(inputs.get("artifacts") or {})}


def _has_default(task: Task, name: str) -> bool:
    definitions = task.component.get("inputDefinitions") or {}
    declared = (
        (definitions.get("parameters") or {}).get(name)
        or (definitions.get("artifacts") or {}).get(name)
        or {}
    )
    return bool(declared.get("isOptional") or "defaultValue" in declared)


def _recipients(task: Task) -> Iterator[Finding]:
    recipients = task.inputs.get("recipients")
    if not isinstance(recipients, list):
        return
    location = (*task.location, "inputs", "parameters", "recipients")
    if not 1 <= len(recipients) <= _MAX_RECIPIENTS:
        message = f"{len(recipients)} recipients, expected 1 to {_MAX_RECIPIENTS}"
        yield RECIPIENTS.found(message, location, task=task.path)
    for address in recipients:
        if isinstance(address, str) and "{{" not in address and address.count("@") != 1:
            message = f"recipient {address!r}, expected an e-mail address"
            yield milder(RECIPIENTS.found(message, location, task=task.path))
