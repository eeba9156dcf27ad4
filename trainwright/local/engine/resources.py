"""What a container asks of its machine: kept, shown and checked, though this machine is what it is."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainwright.local.engine.dialect import Dialect

# Vertex AI, "Configure machine types for pipeline steps", 2026-08-22: what a step can ask for without a
# custom job. Memory in GB of 10**9 bytes, the unit of the compiled `memoryLimit`.
MAX_VCPUS = 96
MAX_MEMORY_GB = 624

# As Kubernetes writes quantities; kfp.dsl.PipelineTask accepts a part of them (2.17.0).
_CPU = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(m?)")
_MEMORY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([KMGTPE]i?|k|m|)")
_COUNT = re.compile(r"\d{1,9}")
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "K": 1e3} | {
    f"{letter}{suffix}": float(base**power)
    for power, letter in enumerate("KMGTPE", 1)
    for suffix, base in (("", 1000), ("i", 1024))
}


class ResourceError(ValueError):
    """A quantity that is none, or more than a step can have. One line that names the field."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Quantities as text, "" where nothing is asked for. Until they are resolved they may be placeholders."""

    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""
    accelerator_type: str = ""
    accelerator_count: str = ""

    def record(self) -> dict[str, Any]:
        """What is asked for, as a task's record shows it."""
        names = {"cpu_request": "cpuRequest", "cpu_limit": "cpuLimit"}
        names |= {"memory_request": "memoryRequest", "memory_limit": "memoryLimit"}
        shown: dict[str, Any] = {
            shown: getattr(self, name) for name, shown in names.items() if getattr(self, name)
        }
        if self.accelerator_type:
            shown["accelerator"] = {"type": self.accelerator_type, "count": self.accelerator_count or "1"}
        return shown

    def kubernetes(self) -> dict[str, dict[str, str]]:
        """As `resources` of a Kubernetes container: what a `dsl.TaskConfig` holds."""
        limits = {"cpu": self.cpu_limit, "memory": self.memory_limit}
        if self.accelerator_type:
            limits[self.accelerator_type] = self.accelerator_count or "1"
        requests = {"cpu": self.cpu_request, "memory": self.memory_request}
        groups = {"limits": limits, "requests": requests}
        return {
            group: found
            for group, quantities in groups.items()
            if (found := {name: quantity for name, quantity in quantities.items() if quantity})
        }

    def check(self, dialect: Dialect) -> None:
        """Checks what is resolved; what still holds a placeholder is left for the task.

        Raises:
            ResourceError: Not a quantity, or more than a step of that dialect can have.
        """
        _in_vcpus("cpuRequest", self.cpu_request)
        _in_gigabytes("memoryRequest", self.memory_request)
        vcpus = _in_vcpus("cpuLimit", self.cpu_limit)
        gigabytes = _in_gigabytes("memoryLimit", self.memory_limit)
        count = self.accelerator_count
        if count and not _is_open(count) and not _COUNT.fullmatch(count):
            raise ResourceError(f"accelerator.resourceCount: found {count[:60]!r}, expected a whole number")
        if dialect is not Dialect.VERTEX:
            return
        hint = "use a custom job (CustomTrainingJobOp) for a larger machine"
        if vcpus > MAX_VCPUS:
            raise ResourceError(
                f"cpuLimit: {self.cpu_limit}, a pipeline step on Vertex AI has at most"
                f" {MAX_VCPUS} vCPUs; {hint}"
            )
        if gigabytes > MAX_MEMORY_GB:
            raise ResourceError(
                f"memoryLimit: {self.memory_limit}, a pipeline step on Vertex AI has at most"
                f" {MAX_MEMORY_GB} GB of memory; {hint}"
            )


NO_RESOURCES = Resources()


def resolved_resources(resources: Resources, resolve: Callable[[str], str]) -> Resources:
    """The resources with placeholders replaced.

    Args:
        resources: As written in the spec.
        resolve: Replaces the placeholders of one text.
    """
    return Resources(
        **{item.name: resolve(getattr(resources, item.name)) for item in dataclasses.fields(resources)}
    )


def _is_open(quantity: str) -> bool:
    return "{{$" in quantity


def _in_vcpus(name: str, quantity: str) -> float:
    if not quantity or _is_open(quantity):
        return 0.0
    match = _CPU.fullmatch(quantity)
    if not match:
        raise ResourceError(f"{name}: found {quantity[:60]!r}, expected vCPUs such as '2', '0.5' or '500m'")
    return float(match[1]) * _FACTORS[match[2]]


def _in_gigabytes(name: str, quantity: str) -> float:
    if not quantity or _is_open(quantity):
        return 0.0
    match = _MEMORY.fullmatch(quantity)
    if not match:
        raise ResourceError(f"{name}: found {quantity[:60]!r}, expected memory such as '16G' or '512Mi'")
    return float(match[1]) * _FACTORS[match[2]] / 1e9
