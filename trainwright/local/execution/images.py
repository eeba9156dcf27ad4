"""Which container images have a local counterpart, since no container engine is used.

A Python image is the Python environment that local Vertex makes; an image that is only a shell is the shell
of this machine. No other image is run as something that it is not: it fails, and the message says how to
map it.
"""

import re
from collections.abc import Mapping
from typing import Literal

from trainwright.local.execution.commands import Component, Launcher, PlainCommand

Runtime = Literal["python", "host"]

_HOST_IMAGES = {
    "alpine", "almalinux", "amazonlinux", "bash", "busybox", "centos", "debian", "fedora", "rockylinux",
    "ubuntu", "ubi8", "ubi9", "ubi-minimal",
}  # fmt: skip
_GCPC_IMAGE = "google-cloud-pipeline-components"

# Prebuilt training images, https://cloud.google.com/vertex-ai/docs/training/pre-built-containers
# (2026-08-22): FRAMEWORK-DEVICE.MAJOR-MINOR[.pyXYZ].
_PREBUILT = re.compile(
    r"(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai/training/"
    r"(?P<framework>tf|pytorch|sklearn|xgboost)-(?:cpu|gpu|xla)\.(?P<major>\d+)-(?P<minor>\d+)(?:\.py\d+)?"
)
# Part of each, by the same page; their other packages are left to the trainer, which says so when it misses
# one.
_PREBUILT_CONTENTS = ("google-cloud-storage", "pandas")
_FRAMEWORKS = {"tf": "tensorflow", "pytorch": "torch", "sklearn": "scikit-learn", "xgboost": "xgboost"}


class UnknownImage(Exception):
    """An image that has no local counterpart; one line that says how to give it one."""


def runtime_of(
    image: str, program: Component | Launcher | PlainCommand, images: Mapping[str, str]
) -> tuple[Runtime, tuple[str, ...]]:
    """What stands for a container image here.

    Args:
        image: As in the compiled pipeline or the worker pool.
        program: What runs in it. A lightweight component or a launcher brings or names all that it
            needs, so any image will do.
        images: The user's own answers, image (with or without its tag) to "python" or "host".

    Returns:
        "python" or "host", and the packages that such a Python image is known to hold.

    Raises:
        UnknownImage: Nothing here stands for it.
        ValueError: `images` maps it to another word.
    """
    name = _without_tag(image)
    mapped = images.get(image, images.get(name))
    if mapped is not None:
        if mapped not in ("python", "host"):
            raise ValueError(f"images: {image!r} is mapped to {mapped!r}; expected 'python' or 'host'")
        return ("python" if mapped == "python" else "host"), ()
    if isinstance(program, (Component, Launcher)):
        return "python", ()
    last = name.rpartition("/")[2]
    if last in ("python", _GCPC_IMAGE) or re.fullmatch(r"python-3\d+", last):
        return "python", ()
    if last in _HOST_IMAGES:
        return "host", ()
    if prebuilt := _PREBUILT.fullmatch(name):
        framework = _FRAMEWORKS[prebuilt["framework"]]
        version = f"{prebuilt['major']}.{prebuilt['minor']}.*"
        return "python", (f"{framework}=={version}", *_PREBUILT_CONTENTS)
    raise UnknownImage(
        f"image {image!r} cannot be run here: there is no container engine and no local counterpart is known;"
        f' say what stands for it with images = {{"{name}" = "python"}}, or "host" for this machine\'s shell'
    )


def _without_tag(image: str) -> str:
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]
