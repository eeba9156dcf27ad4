"""The limits of a task's own container, as kfp writes them."""

import re
from collections.abc import Mapping
from typing import Any

from trainwright.compiling.tasks import Task

_BYTES = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def own_resources(task: Task) -> dict[str, Any]:
    """The `resources` of a task's container; empty where nothing is asked for."""
    found = task.container.get("resources")
    return found if isinstance(found, dict) else {}


def number(value: Any) -> float | None:
    """A count or a limit of CPUs: 2.0, "2" or "1500m"; None where only the run will know."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(m?)", value) if isinstance(value, str) else None
    if match is None:
        return None
    return float(match[1]) / (1000 if match[2] else 1)


def cpus(resources: Mapping[str, Any]) -> float | None:
    """The CPU limit, in kfp's new field or its old one."""
    return number(resources.get("resourceCpuLimit", resources.get("cpuLimit")))


def gigabytes(resources: Mapping[str, Any]) -> float | None:
    """The memory limit in GB; kfp's old field has it as a number of them."""
    limit = resources.get("resourceMemoryLimit")
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?i?)B?", limit) if isinstance(limit, str) else None
    if match is not None and match[2] in _BYTES:
        return float(match[1]) * _BYTES[match[2]] / 1e9
    return number(resources.get("memoryLimit"))
