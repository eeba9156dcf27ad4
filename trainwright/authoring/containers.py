"""Containers of training jobs as typed values, and the catalogue of Vertex AI's prebuilt images with dates.

By 2026-10-23 every prebuilt TensorFlow, PyTorch, scikit-learn and XGBoost training image of the documentation
(2026-08-22) is past the end of its availability; only Ray's are not. The way out is an image of one's own, or
a `trainwright.authoring.programs.Program`, which needs no image at all.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from trainwright.authoring.errors import Impossible
from trainwright.authoring.runtime import is_runtime
from trainwright.nearest import nearest

MAX_ENV = 100
"""Most environment variables of a container (Vertex AI API v1, `PythonPackageSpec`, 2026-08-19)."""
MAX_PACKAGE_URIS = 100
"""Most Python packages of a job (Vertex AI API v1, `PythonPackageSpec.package_uris`, 2026-08-19)."""
_PREBUILT = re.compile(
    r"^(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai/(?P<kind>training|prediction)/(?P<image>[^:@]+)(?P<tag>.*)$"
)
# gcr.io names of before 2023; the images behind them are the oldest of all.
_OLD_PREBUILT = re.compile(
    r"^gcr\.io/cloud-(?:aiplatform|ml-public)/(?P<kind>training|prediction)/(?P<image>[^:@]+)"
)
_WAY_OUT = {
    "training": "use an image of your own, or trainwright.authoring.programs.Program, which needs none",
    "prediction": "use an image of your own",
}


@dataclass(frozen=True)
class PrebuiltImage:
    """A prebuilt container image of Vertex AI.

    Attributes:
        kind: "training" or "prediction".
        name: Such as `tf-cpu.2-17.py310`.
        framework: Such as "TensorFlow".
        version: Of the framework.
        accelerator: "CPU", "GPU", "CPU or GPU" or "TPU".
        end_of_support: The day from which it is no longer updated; None where there is none.
        end_of_availability: The day from which it is no longer there; None where there is none.
    """

    kind: Literal["training", "prediction"]
    name: str
    framework: str
    version: str
    accelerator: str
    end_of_support: date | None
    end_of_availability: date | None

    def uri(self, region: Literal["us", "europe", "asia"] = "us") -> str:
        """Its URI in one of the three multi-regions. `:latest` is the only tag that is supported."""
        return f"{region}-docker.pkg.dev/vertex-ai/{self.kind}/{self.name}:latest"

    def problem(self, today: date | None = None) -> str | None:
        """Says that it is past the end of its availability, with the date and the way out; else None."""
        end = self.end_of_availability
        if end is None or (today or date.today()) < end:
            return None
        names = [
            found.name
            for found in prebuilt_images(self.kind)
            if found.framework == self.framework
            and (found.end_of_availability or date.max) > (today or date.today())
        ]
        other = f"{nearest(self.name, names)}, or " if names else ""
        return (
            f"{self.kind} image {self.name} ({self.framework} {self.version}) is past the end of its"
            f" availability, {end}: {other}{_WAY_OUT[self.kind]}"
        )


@dataclass(frozen=True)
class Container:
    """A container that runs a training job's replica: `ContainerSpec` of the API (v1).

    Attributes:
        image_uri: An image; one of Vertex AI's prebuilt training images must still be available.
        command: Replaces the image's entry point.
        args: Arguments; pipeline parameters may stand in them.
        env: Environment variables, at most 100.

    Raises:
        Impossible: The image is past the end of its availability, or a value is not what it must be.
    """

    image_uri: Any
    command: Sequence[Any] = ()
    args: Sequence[Any] = ()
    env: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the values."""
        _check_image(self.image_uri)
        _check_env(self.env)
        for name in ("command", "args"):
            if isinstance(getattr(self, name), str):
                raise Impossible(f"{name} is the text {getattr(self, name)!r}, expected a list of texts")

    def container_spec(self) -> dict[str, Any]:
        """The `container_spec` of a worker pool."""
        spec: dict[str, Any] = {"image_uri": self.image_uri}
        if self.command:
            spec["command"] = list(self.command)
        if self.args:
            spec["args"] = list(self.args)
        if self.env:
            spec["env"] = _env(self.env)
        return spec


@dataclass(frozen=True)
class PythonPackage:
    """Python packages that a prebuilt image runs: `PythonPackageSpec` of the API (v1).

    Attributes:
        executor_image_uri: A prebuilt training image of Vertex AI.
        package_uris: gs:// URIs of the packages, 1 to 100.
        module: What is run, as in `python -m MODULE`.
        args: Arguments; pipeline parameters may stand in them.
        env: Environment variables, at most 100.

    Raises:
        Impossible: The image is past the end of its availability, or a value is not what it must be.
    """

    executor_image_uri: Any
    package_uris: Sequence[Any]
    module: Any
    args: Sequence[Any] = ()
    env: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the values."""
        _check_image(self.executor_image_uri)
        _check_env(self.env)
        if not 1 <= len(self.package_uris) <= MAX_PACKAGE_URIS:
            raise Impossible(f"{len(self.package_uris)} package_uris, expected 1 to {MAX_PACKAGE_URIS}")
        for uri in self.package_uris:
            if not is_runtime(uri) and not str(uri).startswith("gs://"):
                raise Impossible(f"package URI {uri!r}, expected one that begins with gs://")

    def python_package_spec(self) -> dict[str, Any]:
        """The `python_package_spec` of a worker pool."""
        spec: dict[str, Any] = {
            "executor_image_uri": self.executor_image_uri,
            "package_uris": list(self.package_uris),
            "python_module": self.module,
        }
        if self.args:
            spec["args"] = list(self.args)
        if self.env:
            spec["env"] = _env(self.env)
        return spec


def prebuilt_images(kind: Literal["training", "prediction"]) -> list[PrebuiltImage]:
    """The prebuilt images of the documentation (2026-08-22), past the end of their availability or not."""
    return list(_prebuilt()[kind].values())


def find_prebuilt(image_uri: Any) -> PrebuiltImage | None:
    """The prebuilt image that a URI names; None for any other image, or one known at run time only."""
    if not isinstance(image_uri, str) or is_runtime(image_uri):
        return None
    match = _PREBUILT.match(image_uri) or _OLD_PREBUILT.match(image_uri)
    return _prebuilt()[match["kind"]].get(match["image"]) if match else None


def unknown_prebuilt(image_uri: str) -> str | None:
    """Says that a URI beside the prebuilt images names none that the documentation has; else None."""
    match = _PREBUILT.match(image_uri)
    if match is None or match["image"] in _prebuilt()[match["kind"]]:
        return None
    return f"{image_uri}: no prebuilt {match['kind']} image of that name, " + nearest(
        match["image"], [found.name for found in prebuilt_images(_kind(match["kind"]))]
    )


def prebuilt_image(
    kind: Literal["training", "prediction"],
    framework: str,
    *,
    version: str | None = None,
    accelerator: Literal["CPU", "GPU", "TPU"] = "CPU",
) -> PrebuiltImage:
    """Chooses a prebuilt image by framework; the newest version unless one is given.

    Args:
        kind: "training" or "prediction".
        framework: "TensorFlow", "PyTorch", "scikit-learn", "XGBoost" or "Ray".
        version: Such as "2.4".
        accelerator: What it is for.

    Raises:
        Impossible: There is none, or it is past the end of its availability.
    """
    found = [
        image
        for image in prebuilt_images(kind)
        if image.framework.casefold() == framework.casefold()
        and accelerator in image.accelerator.split(" or ")
    ]
    if not found:
        frameworks = {image.framework for image in prebuilt_images(kind)}
        raise Impossible(
            f"{kind} image of {framework} for {accelerator}: none, {nearest(framework, frameworks)}"
        )
    versions = [image.version for image in found]
    if version is not None and version not in versions:
        raise Impossible(
            f"{kind} image of {framework} {version} for {accelerator}: none, {nearest(version, versions)}"
        )
    chosen = max(
        (image for image in found if version in (None, image.version)),
        key=lambda image: (image.end_of_availability or date.max, _version(image.version)),
    )
    problem = chosen.problem()
    if problem is not None:
        raise Impossible(problem)
    return chosen


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _kind(text: str) -> Literal["training", "prediction"]:
    return "training" if text == "training" else "prediction"


def _check_image(image_uri: Any) -> None:
    if is_runtime(image_uri):
        return
    if not image_uri or not isinstance(image_uri, str) or re.search(r"\s", image_uri):
        raise Impossible(f"image {image_uri!r}, expected the URI of a container image")
    prebuilt = find_prebuilt(image_uri)
    problem = prebuilt.problem() if prebuilt is not None else unknown_prebuilt(image_uri)
    if problem is not None:
        raise Impossible(problem)


def _check_env(env: Mapping[str, Any]) -> None:
    if len(env) > MAX_ENV:
        raise Impossible(f"{len(env)} environment variables, expected at most {MAX_ENV}")
    for name in env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Impossible(f"environment variable {name!r}, expected letters, digits and _")


def _env(env: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in env.items()]


@functools.cache
def _prebuilt() -> dict[str, dict[str, PrebuiltImage]]:
    path = Path(__file__).parent / "catalogue" / "containers.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        kind: {
            name: PrebuiltImage(
                _kind(kind),
                name,
                entry["framework"],
                entry["version"],
                entry["accelerator"],
                date.fromisoformat(entry["end_of_support"]) if entry["end_of_support"] else None,
                date.fromisoformat(entry["end_of_availability"]) if entry["end_of_availability"] else None,
            )
            for name, entry in document[kind].items()
        }
        for kind in ("training", "prediction")
    }
