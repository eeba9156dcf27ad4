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
    """

    images: Mapping[str, str] = field(default_factory=dict)
    runtime: str = "process"
    preempt_every: float | None = None
    smtp: Mapping[str, Any] | None = None
