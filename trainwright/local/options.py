"""What the user may choose about a local Vertex AI: plain values that every room may read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Options:
    """The choices, with their defaults; the keys of `[local]` in `trainwright.toml` are the same.

    Attributes:
        images: What stands for container images that are not known here: "python" or "host" by image.
        runtime: "process" runs tasks and replicas as processes of this machine; "docker" or "podman" in their
            images, but for those that `images` names.
        preempt_every: Seconds after which every spot job is preempted, again and again; None for never.
        smtp: The server that notifications are sent through, as `execution.mail.Mailer` takes it; None keeps
            them in the folder `outbox` of the state folder.
        automl_seconds: Most wall-clock seconds of an AutoML training, however large its budget; above 0.
        automl_models: How many models an AutoML training tries, in place of seconds: the same data then give
            the same model. 0: as many as there is time for.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    runtime: str = "process"
    preempt_every: float | None = None
    smtp: Mapping[str, Any] | None = None
    automl_seconds: float = 60.0
    automl_models: int = 0
