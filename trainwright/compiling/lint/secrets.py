"""Rules of secrets: a compiled pipeline is stored, copied and shown in the console."""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject, texts

KEY = Rule(
    "secret",
    "error",
    "No key or token stands in the YAML",
    "The YAML goes into repositories, buckets and the console, where everybody who may look at runs may"
    " read it.",
    "Take it out, revoke it, and let the task read Secret Manager by its service account.",
)
NAMED = Rule(
    "secret-name",
    "warning",
    "What is named as a secret has no value in the YAML",
    "A constant of `password` or `token` is mostly one that works. Otherwise as for secret.",
    "Let the task read Secret Manager by its service account, or rename what is no secret.",
)
RULES = (KEY, NAMED)

# Forms that are all but sure, each from its maker's documentation (2026). A message never holds the text.
_FORMS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Google OAuth secret": re.compile(r"\bGOCSPX-[0-9A-Za-z_-]{28}\b"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{60,})\b"),
    "a Hugging Face token": re.compile(r"\bhf_[0-9A-Za-z]{34}\b"),
    "an OpenAI key": re.compile(r"\bsk-(?:proj-)?[0-9A-Za-z_-]{40,}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{20,}\b"),
    "a Slack webhook": re.compile(r"hooks\.slack\.com/services/T[0-9A-Z]+/B[0-9A-Z]+/[0-9A-Za-z]+"),
    "a password in a URL": re.compile(
        r"\b[a-z][a-z0-9+]{0,20}://[^/\s:@{}$]{1,200}:[^/\s:@{}$]{1,200}@[^/\s]"
    ),
}
_NAME = re.compile(r"(^|_)(password|passwd|secret|token|api_?key|private_key|credentials?)$", re.IGNORECASE)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks constants, environment variables and commands."""
    for name, value, location, task in subject.constants():
        path = task.path if task is not None else ""
        yield from _forms("\n".join(texts(value)), f"{name} holds", location, path)
        yield from _named(name, value, location, path)
    for task in subject.executed:
        location = (*task.executor_location, "container")
        words = [*(task.container.get("command") or []), *(task.container.get("args") or [])]
        text = "\n".join(word for word in words if isinstance(word, str))
        yield from _forms(text, "the command holds", location, task.path)
        yield from _environment(task.container, (*location, "env"), task.path)
    for task, job in subject.jobs:
        for pool in job.pools:
            yield from _environment(pool.container, task.location, task.path)


def _environment(container: Mapping[str, Any], location: tuple[str, ...], task: str) -> Iterator[Finding]:
    for variable in container.get("env") or []:
        if isinstance(variable, dict):
            name, value = str(variable.get("name", "")), variable.get("value", "")
            yield from _forms(str(value), f"{name} holds", location, task)
            yield from _named(name, value, location, task)


def _forms(text: str, what: str, location: tuple[str, ...], task: str) -> Iterator[Finding]:
    for form in _forms_in(text):
        yield KEY.found(f"{what} what looks like {form}", location, task=task)


@functools.lru_cache(maxsize=4096)  # the same sources stand in many pipelines, and each in every environment
def _forms_in(text: str) -> tuple[str, ...]:
    return tuple(form for form, pattern in _FORMS.items() if pattern.search(text))


def _named(name: str, value: Any, location: tuple[str, ...], task: str) -> Iterator[Finding]:
    # A path in Secret Manager names a secret and is none.
    is_reference = isinstance(value, str) and value.startswith(("projects/", "gs://"))
    if _NAME.search(name) and isinstance(value, str) and value and not is_runtime(value) and not is_reference:
        yield NAMED.found(f"{name} has a value", location, task=task)
