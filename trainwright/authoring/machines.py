"""Machines of Vertex AI custom training as typed values: what cannot be is an error when it is written.

    Machine("e2-standard-8")
    Machine("a2-highgpu-1g")                                 # its one A100 is understood
    Machine("n1-standard-8", accelerator="T4", count=2)
    Machine("ct5lp-hightpu-4t", tpu_topology="4x4")
    Machine(machine_type)                                    # a pipeline parameter: checked by `check`

The rules are those of the Vertex AI documentation, "Configure compute resources for training", "Locations",
"Use Spot VMs" and "Dynamic Workload Scheduler", as of 2026-08-22.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from trainwright.authoring.compute import (
    MachineType,
    accelerator_name,
    accelerators,
    catalogue,
    machine_types,
    regions_with,
    topologies,
)
from trainwright.authoring.errors import Impossible
from trainwright.authoring.runtime import is_runtime
from trainwright.nearest import nearest

STRATEGIES = ("STANDARD", "SPOT", "FLEX_START")
_DEPRECATED_STRATEGIES = {"ON_DEMAND": "STANDARD", "LOW_COST": "SPOT"}
# What the API calls a value that is not set.
_UNSET = ("", "ACCELERATOR_TYPE_UNSPECIFIED", "STRATEGY_UNSPECIFIED", None)


@dataclass(frozen=True, repr=False)
class Machine:
    """One machine of a worker pool: `MachineSpec` of the API (v1).

    Attributes:
        machine_type: Such as "n1-standard-8".
        accelerator: The API's name or a short one: "NVIDIA_TESLA_T4", "T4". Understood where the machine
            type has one always.
        count: How many accelerators: an exact number that the machine type takes.
        tpu_topology: Such as "2x4", for ct5lp, ct6e and tpu7x machines of more than one topology.

    Each may be a pipeline parameter or a task's output; what is not known now is not checked now.

    Raises:
        Impossible: Vertex AI has no such machine.
    """

    machine_type: Any
    accelerator: Any = None
    count: Any = None
    tpu_topology: Any = None

    def __post_init__(self) -> None:
        """Completes what the machine type implies and checks the rest."""
        if isinstance(self.accelerator, str) and not is_runtime(self.accelerator):
            object.__setattr__(self, "accelerator", accelerator_name(self.accelerator))
        self._complete()
        found = problems(self.machine_type, self.accelerator, self.count, tpu_topology=self.tpu_topology)
        if found:
            raise Impossible(found[0])

    def __repr__(self) -> str:
        """As it would be written."""
        given = [repr(self.machine_type)]
        given += [
            f"{item.name}={getattr(self, item.name)!r}"
            for item in dataclasses.fields(self)[1:]
            if getattr(self, item.name) is not None
        ]
        return f"Machine({', '.join(given)})"

    def _complete(self) -> None:
        machine = machine_types().get(self.machine_type) if isinstance(self.machine_type, str) else None
        if machine is None:
            return
        if machine.fixed and self.accelerator is None and self.count is None:
            ((name, counts),) = machine.accelerators.items()
            object.__setattr__(self, "accelerator", name)
            object.__setattr__(self, "count", counts[0])
        elif self.accelerator is not None and self.count is None and not is_runtime(self.accelerator):
            counts = machine.accelerators.get(self.accelerator, ())
            if len(counts) == 1 or 1 in counts:
                object.__setattr__(self, "count", counts[0])
        if machine.tpu is not None and self.tpu_topology is None:
            single = [found for found in topologies(machine.name) if found.vms == 1]
            object.__setattr__(self, "tpu_topology", single[0].topology)

    def check(self, *, location: str | None = None, strategy: str | None = None) -> None:
        """Checks that the machine can be had in a region and by a scheduling strategy.

        Args:
            location: Region, such as "europe-west4".
            strategy: "STANDARD", "SPOT" or "FLEX_START".

        Raises:
            Impossible: It cannot; the message names the nearest that can.
        """
        found = problems(
            self.machine_type,
            self.accelerator,
            self.count,
            tpu_topology=self.tpu_topology,
            location=location,
            strategy=strategy,
        )
        if found:
            raise Impossible(found[0])

    def machine_spec(self) -> dict[str, Any]:
        """The `machine_spec` of a worker pool (API v1, `MachineSpec`)."""
        spec = {"machine_type": self.machine_type}
        if self.accelerator is not None:
            spec |= {"accelerator_type": self.accelerator, "accelerator_count": self.count}
        if self.tpu_topology is not None:
            spec["tpu_topology"] = self.tpu_topology
        return spec


def problems(
    machine_type: Any,
    accelerator: Any = None,
    count: Any = None,
    *,
    tpu_topology: Any = None,
    location: Any = None,
    strategy: Any = None,
    today: date | None = None,
) -> list[str]:
    """Says why a machine cannot be had; what is known at run time only is left out of account.

    Args:
        machine_type: Name of the machine type.
        accelerator: The API's name of the accelerator.
        count: How many.
        tpu_topology: Such as "2x4".
        location: Region.
        strategy: Scheduling strategy.
        today: Day on which an accelerator's end of support counts; today unless given.

    Returns:
        One line for each reason, the most telling first; empty if it can be had as far as is known.
    """
    machine = machine_types().get(machine_type) if isinstance(machine_type, str) else None
    if machine is None and not is_runtime(machine_type):
        known = nearest(str(machine_type), machine_types()) if machine_type else "none is given"
        if known.startswith("known:"):
            known = "`trainwright compute list` shows them all"
        return [f"machine type {machine_type!r} is none of Vertex AI custom training, {known}"]
    accelerator = None if accelerator in _UNSET else accelerator
    count = None if count in (None, 0) and accelerator is None else count
    found: list[str] = []
    if accelerator is not None and not is_runtime(accelerator):
        found += _accelerator_problems(accelerator, today or date.today())
    if machine is not None and not found:
        found += _pair_problems(machine, accelerator, count)
        found += _topology_problems(machine, tpu_topology)
    if strategy not in _UNSET and not is_runtime(strategy):
        found += _strategy_problems(machine, accelerator, tpu_topology, str(strategy))
    if location not in _UNSET and not is_runtime(location) and not found:
        found += _location_problems(machine, accelerator, str(location))
    return found


def _accelerator_problems(accelerator: Any, today: date) -> list[str]:
    known = accelerators().get(accelerator) if isinstance(accelerator, str) else None
    if known is None:
        names = [name for name, entry in accelerators().items() if not entry.end_of_support]
        short = accelerator_name(str(accelerator))
        hint = f"nearest is {short!r}" if short in accelerators() else nearest(str(accelerator), names)
        return [f"accelerator {accelerator!r} is unknown to Vertex AI, {hint}"]
    if known.end_of_support is not None and today >= known.end_of_support:
        # What took the place of the Keplers and Pascals: the cheapest GPU that N1 takes still.
        return [
            f"{accelerator} is no longer there (end of support {known.end_of_support});"
            " nearest is 'NVIDIA_TESLA_T4'"
        ]
    return []


def _pair_problems(machine: MachineType, accelerator: Any, count: Any) -> list[str]:
    if is_runtime(accelerator) or is_runtime(count):
        return []
    if machine.name == "cloud-tpu":
        return _cloud_tpu_problems(accelerator, count)
    if accelerator is None:
        if machine.fixed and count is not None:
            return [f"{machine.name} with {count} accelerators of no type: {_takes(machine)}"]
        if machine.fixed:
            return [f"{machine.name} without accelerator: {_takes(machine)}"]
        return [] if count is None else [f"accelerator count {count} without an accelerator type"]
    if machine.tpu is not None:
        return [
            f"{machine.name} with {accelerator}: its TPU comes with the machine type; set tpu_topology only"
        ]
    counts = machine.accelerators.get(accelerator)
    if counts is None:
        return [f"{machine.name} with {accelerator}: {_takes(machine)}; {_machines_with(accelerator)}"]
    if type(count) is not int or count not in counts:
        nearer = min(counts, key=lambda each: abs(each - count) if isinstance(count, int) else each)
        allowed = " or ".join(str(each) for each in counts)
        return [
            f"{machine.name} with {count} x {accelerator}: it takes exactly {allowed}; nearest is {nearer}"
        ]
    return []


def _takes(machine: MachineType) -> str:
    usable = [name for name in machine.accelerators if accelerators()[name].end_of_support is None]
    if not usable:
        return "it takes none"
    counted = (f"{' or '.join(map(str, machine.accelerators[name]))} x {name}" for name in usable)
    return f"it has {next(counted)}" if machine.fixed else f"it takes {', '.join(counted)}"


def _machines_with(accelerator: str) -> str:
    names = [name for name, machine in machine_types().items() if accelerator in machine.accelerators]
    if not names:
        return f"no machine type of custom training has {accelerator}"
    shown = names if len(names) <= 4 else [*names[:3], "…"]
    return f"{accelerator} is on {', '.join(shown)}"


def _cloud_tpu_problems(accelerator: Any, count: Any) -> list[str]:
    if accelerator not in ("TPU_V2", "TPU_V3"):
        return [f"cloud-tpu with {accelerator}: it takes TPU_V2 or TPU_V3"]
    if type(count) is int and (count == 8 or (count >= 32 and count % 32 == 0)):
        return []
    return [f"cloud-tpu with {count} x {accelerator}: it takes 8, or 32 and multiples of it; nearest is 8"]


def _topology_problems(machine: MachineType, topology: Any) -> list[str]:
    if topology in _UNSET:
        return [f"{machine.name} without tpu_topology: it takes {_topology_names(machine)}"] * bool(
            machine.tpu
        )
    if machine.tpu is None:
        return [f"{machine.name} with tpu_topology {topology!r}: it has no TPU"]
    known = {found.topology for found in topologies(machine.name)}
    if is_runtime(topology) or topology in known:
        return []
    return [f"{machine.name} with tpu_topology {topology!r}: it takes {_topology_names(machine)}"]


def _topology_names(machine: MachineType) -> str:
    return ", ".join(found.topology for found in topologies(machine.name))


def _strategy_problems(
    machine: MachineType | None, accelerator: Any, topology: Any, strategy: str
) -> list[str]:
    if strategy in _DEPRECATED_STRATEGIES:
        return [f"strategy {strategy} is deprecated: use {_DEPRECATED_STRATEGIES[strategy]}"]
    if strategy not in STRATEGIES:
        return [f"strategy {strategy!r} is unknown to Vertex AI, {nearest(strategy, STRATEGIES)}"]
    if machine is None:
        return []
    if machine.strategies == ("RESERVATION",):
        return [] if strategy == "STANDARD" else [f"{machine.name} by {strategy}: it needs a reservation"]
    if machine.strategies is not None and strategy not in machine.strategies:
        return [f"{machine.name} by {strategy}: it is had by {' or '.join(machine.strategies)} only"]
    if strategy == "SPOT" and any(
        found.vms > 1 for found in topologies(machine.name) if found.topology == topology
    ):
        single = [found.topology for found in topologies(machine.name) if found.vms == 1]
        return [
            f"{machine.name} {topology} by SPOT: no TPU slice of several machines; nearest is {single[0]}"
        ]
    if strategy == "FLEX_START" and not is_runtime(accelerator):
        scheduling = catalogue()["scheduling"]
        allowed = (*scheduling["flex_start_accelerators"], *scheduling["flex_start_unsure"])
        if accelerator not in allowed:
            has = accelerator or "no accelerator"
            return [f"{machine.name} with {has} by FLEX_START: it is for {', '.join(allowed)} only"]
    return []


def _location_problems(machine: MachineType | None, accelerator: Any, location: str) -> list[str]:
    wanted = machine.tpu if machine is not None and machine.tpu else accelerator
    if wanted is None or is_runtime(wanted):
        return []
    there = regions_with(wanted)
    if location in there:
        return []
    return [f"{wanted} is not in {location} for training, {_nearest_region(location, there)}"]


def _nearest_region(location: str, candidates: Iterable[str]) -> str:
    """The candidate on the same continent, which shares the name's first part, else all of them."""
    there = list(candidates)
    if not there:
        return "nor in any other region"
    continent = location.partition("-")[0]
    same = [region for region in there if region.startswith(f"{continent}-")]
    return f"nearest is {(same or there)[0]!r}" + (f" (also {', '.join(same[1:4])})" if same[1:] else "")
