"""The compute that Vertex AI custom training has: machine types, accelerators, TPU topologies, regions.

The data stand in `catalogue/compute.json` with their sources and dates, and are read when first asked for.
Machine types: Vertex AI documentation, "Configure compute resources for training", 2026-08-22. Prices: Cloud
Billing Catalog, 2026-07-30, for two regions (see `trainwright.authoring.prices`).
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

# What users and kfp call accelerators, beside the names of the API's AcceleratorType (v1, 2026-08-19).
_SHORT_NAMES = {
    "T4": "NVIDIA_TESLA_T4",
    "V100": "NVIDIA_TESLA_V100",
    "P100": "NVIDIA_TESLA_P100",
    "P4": "NVIDIA_TESLA_P4",
    "K80": "NVIDIA_TESLA_K80",
    "L4": "NVIDIA_L4",
    "A100": "NVIDIA_TESLA_A100",
    "A100_40GB": "NVIDIA_TESLA_A100",
    "A100_80GB": "NVIDIA_A100_80GB",
    "H100": "NVIDIA_H100_80GB",
    "H100_80GB": "NVIDIA_H100_80GB",
    "H100_MEGA": "NVIDIA_H100_MEGA_80GB",
    "H200": "NVIDIA_H200_141GB",
    "B200": "NVIDIA_B200",
    "GB200": "NVIDIA_GB200",
    "RTX_PRO_6000": "NVIDIA_RTX_PRO_6000",
}
# The region table's names of the TPUs that the machine type alone chooses.
_TPU_OF_FAMILY = {"ct5lp": "TPU_V5E", "ct6e": "TPU_V6E", "tpu7x": "TPU_7X"}
_PRICE_KEY = {"TPU_V5E": "TPU_V5_LITEPOD"}


@dataclass(frozen=True)
class Accelerator:
    """A GPU or TPU.

    Attributes:
        name: Its AcceleratorType in the API, such as NVIDIA_L4; TPU_V5E, TPU_V6E and TPU_7X have none.
        memory_gb: Memory of one, in GB; None where the sources do not say.
        end_of_support: The day from which it is no longer there, if that is known.
        gce_usd_per_hour: Compute Engine's price of one by region and `on_demand` or `spot`, where it is sold
            apart from the machine.
        gce_flex_start_usd_per_hour: Compute Engine's flex-start price of one.
    """

    name: str
    memory_gb: float | None
    end_of_support: date | None = None
    gce_usd_per_hour: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    gce_flex_start_usd_per_hour: float | None = None


@dataclass(frozen=True)
class MachineType:
    """A machine type that custom training accepts.

    Attributes:
        name: Such as `n1-standard-8`.
        family: Such as `n1`.
        vcpus: Virtual CPUs; None for `cloud-tpu`, whose host is not said.
        memory_gb: Memory in GB.
        accelerators: Counts that it takes, by accelerator; exact, not a maximum.
        fixed: Whether it always has its accelerators; else they are attached or not.
        strategies: What it can be had by; None means by every strategy that its accelerator allows.
        gce_usd_per_hour: Compute Engine's prices by region: `on_demand`, `spot` and the part of both that
            is `local_ssd`; accelerators are included in a fixed one's.
        price_is_exact: Whether Vertex AI's price of this family was checked against its bill or page.
    """

    name: str
    family: str
    vcpus: int | None
    memory_gb: float | None
    accelerators: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fixed: bool = False
    strategies: tuple[str, ...] | None = None
    gce_usd_per_hour: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    price_is_exact: bool = False

    @property
    def tpu(self) -> str | None:
        """The TPU that the machine type alone chooses, as the region table calls it; else None."""
        return _TPU_OF_FAMILY.get(self.family)


@dataclass(frozen=True)
class Topology:
    """A TPU slice: `topology` such as `2x4`, of so many chips, on so many machines of a type."""

    machine_type: str
    topology: str
    chips: int
    vms: int


def machine_types() -> Mapping[str, MachineType]:
    """Every machine type that custom training accepts, by name."""
    return _machine_types()


def accelerators() -> Mapping[str, Accelerator]:
    """Every accelerator that the API or the region table knows, by name."""
    return _accelerators()


def topologies(machine_type: str) -> list[Topology]:
    """The TPU slices that a machine type makes, smallest first; none if it has no TPU."""
    return [found for found in _topologies() if found.machine_type == machine_type]


def regions() -> Mapping[str, frozenset[str]]:
    """The accelerators that custom training has, by region.

    Vertex AI documentation, "Locations", 2026-08-22, without what it marks as not for training.
    """
    return _regions()


def locations() -> list[str]:
    """Every region that Vertex AI has (google-cloud-aiplatform 1.165.1, `SUPPORTED_REGIONS`)."""
    names: list[str] = _document()["locations"]["names"]
    return names


def regions_with(accelerator: str) -> list[str]:
    """The regions where custom training has an accelerator, by name."""
    return sorted(region for region, there in regions().items() if accelerator in there)


def accelerator_name(name: str) -> str:
    """The API's name of an accelerator that may be called by its short one: `T4` is `NVIDIA_TESLA_T4`."""
    return _SHORT_NAMES.get(name.upper().replace("-", "_").replace(" ", "_"), name)


def price_entry(accelerator: str) -> Accelerator | None:
    """The accelerator whose price one named in the region table has."""
    return accelerators().get(_PRICE_KEY.get(accelerator, accelerator))


def catalogue() -> Mapping[str, Any]:
    """The catalogue as it stands in the file: `meta` (sources and dates), `prices`, `scheduling` and data."""
    return _document()


def sources() -> str:
    """Where the machine types and prices come from, with dates, as one line."""
    meta, prices = _document()["meta"], _document()["prices"]
    return (
        f"machine types of the Vertex AI documentation of 2026-08-22, prices of the Cloud Billing Catalog of"
        f" {prices['prices_date']}, put together {meta['date']}"
    )


@functools.cache
def _document() -> dict[str, Any]:
    path = Path(__file__).parent / "catalogue" / "compute.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@functools.cache
def _accelerators() -> dict[str, Accelerator]:
    return {
        name: Accelerator(
            name,
            entry["memory_gb"],
            date.fromisoformat(entry["end_of_support"]) if "end_of_support" in entry else None,
            entry.get("gce_usd_per_hour", {}),
            entry.get("gce_flex_start_usd_per_hour"),
        )
        for name, entry in _document()["accelerators"].items()
    }


@functools.cache
def _machine_types() -> dict[str, MachineType]:
    return {
        name: MachineType(
            name,
            entry["family"],
            entry["vcpus"],
            entry["memory_gb"],
            {kind: tuple(counts) for kind, counts in entry.get("accelerators", {}).items()},
            entry.get("fixed", False),
            tuple(entry["strategies"]) if "strategies" in entry else None,
            entry.get("gce_usd_per_hour", {}),
            entry["price_evidence"] == "exact",
        )
        for name, entry in _document()["machine_types"].items()
    }


@functools.cache
def _topologies() -> list[Topology]:
    return [Topology(**entry) for entry in _document()["tpu_topologies"]]


@functools.cache
def _regions() -> dict[str, frozenset[str]]:
    return {region: frozenset(there) for region, there in _document()["regions"].items()}
