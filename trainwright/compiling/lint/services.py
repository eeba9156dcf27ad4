"""Rules of services that are shut down or will be."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from trainwright.compiling.lint.findings import Finding, Rule, milder
from trainwright.compiling.lint.subject import Subject

SERVICE = Rule(
    "service-ended",
    "error",
    "No task uses a service that is shut down or will be",
    "The official components still export operations of services that are gone"
    ' (google-cloud-pipeline-components 2.22). Vertex AI documentation, "Vertex AI deprecations",'
    " 2026-04-10. A service that is still there is a warning.",
    "Use what the message names.",
)
RULES = (SERVICE,)


@dataclass(frozen=True)
class _Ended:
    """A service, how it shows in a file, and the day it is shut down: None if only its documentation is."""

    name: str
    shows: re.Pattern[str]
    shut_down: date | None
    instead: str


_ENDED = (
    _Ended(
        "AutoML for text",
        re.compile(r"^(AutoMLTextTrainingJob|TextDataset)$"),
        date(2025, 6, 15),
        "Gemini prompts and tuning",
    ),
    _Ended(
        "AutoML for video",
        re.compile(r"^(AutoMLVideoTrainingJob|VideoDataset)$"),
        date(2025, 7, 31),
        "Gemini video tuning",
    ),
    _Ended(
        "Feature Store (Legacy)",
        re.compile(r"^(Featurestore|EntityType|Feature)$"),
        date(2027, 2, 17),
        "Feature Store with BigQuery or Bigtable",
    ),
    _Ended("TabNet and Wide & Deep", re.compile(r"tabnet|wide-and-deep"), None, "a custom job"),
    _Ended(
        "PaLM, T5 and Llama 2 tuning (rlhf, rlaif)",
        re.compile(r"^(rlhf|rlaif|reinforcement-learning)-|text-bison"),
        date(2025, 4, 9),
        "tuning jobs of Gemini or open models",
    ),
)
_GENERATIVE = re.compile(
    r"^[ \t]*(?:from|import) vertexai\.(generative_models|language_models|vision_models)", re.MULTILINE
)
_EXPLANATION_SHUT_DOWN = date(2027, 3, 16)
_GENERATIVE_SHUT_DOWN = date(2026, 6, 24)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks launchers, components' names, sources and explanations."""
    kinds = {task.path: job.kind for task, job in subject.jobs}
    for task in subject.tasks:
        if task.is_group:
            continue
        shown = [kinds.get(task.path, ""), task.name]
        for service in _ENDED:
            if any(service.shows.search(text) for text in shown):
                yield _ended(
                    service.name, service.shut_down, service.instead, task.path, task.location, subject
                )
        if task.inputs.get("explanation_parameters") or task.inputs.get("explanation_metadata"):
            day = _EXPLANATION_SHUT_DOWN
            yield _ended("Vertex Explainable AI", day, "SHAP or LIME", task.path, task.location, subject)
        command = task.container.get("command") or []
        source = command[-1] if command and isinstance(command[-1], str) else ""
        if "vertexai." in source and _GENERATIVE.search(source):
            name = "the generative modules of the SDK"
            location = (*task.executor_location, "container", "command")
            yield _ended(name, _GENERATIVE_SHUT_DOWN, "google-genai", task.path, location, subject)


def _ended(
    name: str, shut_down: date | None, instead: str, task: str, location: tuple[str, ...], subject: Subject
) -> Finding:
    if shut_down is None:
        message = f"{name} is no longer documented: use {instead}"
        return milder(SERVICE.found(message, location, task=task))
    if subject.today >= shut_down:
        return SERVICE.found(f"{name} was shut down on {shut_down}: use {instead}", location, task=task)
    return milder(SERVICE.found(f"{name} is shut down on {shut_down}: use {instead}", location, task=task))
