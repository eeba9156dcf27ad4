"""Rules of images: the same every time, and still there."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from trainwright.authoring.containers import find_prebuilt, unknown_prebuilt
from trainwright.authoring.runtime import is_runtime
from trainwright.compiling.lint.findings import Finding, Rule
from trainwright.compiling.lint.subject import Subject, texts
from trainwright.compiling.tasks import Task

DIGEST = Rule(
    "image-digest",
    "warning",
    "An image is named with its digest",
    "A tag moves: the same YAML runs other code tomorrow, and the cache does not notice, for its key holds"
    " the name only.",
    "Write `image@sha256:…`; `docker buildx imagetools inspect IMAGE` or Artifact Registry shows the digest.",
)
ENDED = Rule(
    "image-ended",
    "error",
    "A prebuilt image is still available",
    "After the end of its availability a prebuilt image is no longer there and new jobs that use it may be"
    " refused. By 2026-10-23 that holds for every prebuilt TensorFlow, PyTorch, scikit-learn and XGBoost"
    ' training image. Vertex AI documentation, "Prebuilt containers" and "Framework support policy",'
    " 2026-08-22.",
    "Use an image of your own, or `trainwright.authoring.programs.Program`, which carries its source in"
    " the YAML and needs none.",
)
ENDING = Rule(
    "image-ending",
    "warning",
    "A prebuilt image is still supported",
    "After the end of support an image gets no more fixes; within 90 days of the end of its availability"
    " it is time to move. Sources: as for image-ended.",
    "Use a newer one of the message's framework, or an image of your own.",
)
RULES = (DIGEST, ENDED, ENDING)

# Google's own, versioned by tag and not to be had otherwise: launchers, and prebuilt images (`:latest` only).
_TAGGED_BY_GOOGLE = re.compile(r"^(gcr\.io/ml-pipeline/|[a-z-]+-docker\.pkg\.dev/vertex-ai(-restricted)?/)")
_WARN_BEFORE = timedelta(days=90)


def check(subject: Subject) -> Iterator[Finding]:
    """Checks the images of tasks, of jobs, and those that are parameters."""
    seen: set[str] = set()
    for image, location, task in _images(subject):
        if image in seen:
            continue
        seen.add(image)
        yield from _image(image, location, task, subject)


def _image(image: str, location: tuple[str, ...], task: str, subject: Subject) -> Iterator[Finding]:
    prebuilt = find_prebuilt(image)
    if prebuilt is not None:
        problem = prebuilt.problem(subject.today)
        if problem is not None:
            yield ENDED.found(problem, location, task=task)
            return
        ends = prebuilt.end_of_availability
        if prebuilt.end_of_support is not None and subject.today >= prebuilt.end_of_support:
            ended = prebuilt.end_of_support
            message = f"{prebuilt.name} is past the end of its support, {ended}; it is there until {ends}"
            yield ENDING.found(message, location, task=task)
        elif ends is not None and subject.today + _WARN_BEFORE >= ends:
            yield ENDING.found(f"{prebuilt.name} is there until {ends} only", location, task=task)
        return
    unknown = unknown_prebuilt(image)
    if unknown is not None:
        yield ENDING.found(unknown, location, task=task)
    elif "@sha256:" not in image and not _TAGGED_BY_GOOGLE.match(image):
        tag = image.rpartition("/")[2].partition(":")[2]
        moving = "its tag moves" if tag and tag != "latest" else "it is whatever is newest"
        yield DIGEST.found(f"image {image} has no digest: {moving}", location, task=task)


def _images(subject: Subject) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for task in subject.executed:
        image = task.container.get("image")
        if isinstance(image, str) and image and not is_runtime(image):
            yield image, (*task.executor_location, "container", "image"), task.path
    for task, job in subject.jobs:
        for pool in job.pools:
            image = pool.container.get("image_uri")
            if isinstance(image, str) and image and not is_runtime(image):
                yield image, _given(task, "worker_pool_specs"), task.path
    for name, value, location, task_or_none in subject.constants():
        if "image" in name:
            for text in _image_texts(value):
                yield text, location, task_or_none.path if task_or_none is not None else ""


def _image_texts(value: Any) -> Iterator[str]:
    for text in texts(value):
        if re.match(r"^[a-z0-9.-]+(:[0-9]+)?/[^\s]+$", text) and not is_runtime(text):
            yield text


def _given(task: Task, name: str) -> tuple[str, ...]:
    given = (task.definition.get("inputs") or {}).get("parameters") or {}
    return (*task.location, "inputs", "parameters", name) if name in given else task.location
