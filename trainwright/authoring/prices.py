"""What a machine of Vertex AI custom training costs an hour, with the assumption behind every number.

Rules, checked against the Vertex AI price page of 2026-09 (n1, e2) and an invoice of 2025-08 (a3):

- On demand: 1.15 times Compute Engine's price of vCPU, memory and GPU; local SSD is not charged.
- Spot and flex start: Compute Engine's spot or flex-start price of the machine with its local SSD, and a
  management fee of 15 % of the on-demand price, which does not shrink with the discount.
- Boot disk: 1.15 times Compute Engine's price, by the hour.

Prices are known for us-central1 and europe-west4; for another region the nearer of the two stands in, and the
assumption says so.
"""

from dataclasses import dataclass
from typing import Any

from trainwright.authoring.compute import MachineType, catalogue, machine_types, price_entry, topologies
from trainwright.authoring.machines import Machine
from trainwright.authoring.runtime import is_runtime

DEFAULT_DISK_GB = 100
_EUROPE = "europe-west4"
_AMERICA = "us-central1"


@dataclass(frozen=True)
class Price:
    """A price of one machine: USD an hour, or None where no source has it, and what was assumed."""

    usd_per_hour: float | None
    assumption: str


def price(machine: Machine, *, location: str, strategy: str = "STANDARD") -> Price:
    """The price of one machine an hour, without its boot disk.

    Args:
        machine: A machine of which everything is known.
        location: Region.
        strategy: "STANDARD", "SPOT" or "FLEX_START".
    """
    if is_runtime(machine.machine_type) or is_runtime(machine.accelerator) or is_runtime(machine.count):
        return Price(None, "the machine is known at run time only")
    machine_type = machine_types()[machine.machine_type]
    region = _AMERICA if not location.startswith("europe") else _EUROPE
    parts = _parts(machine, machine_type, region)
    dated = catalogue()["prices"]["prices_date"]
    where = "" if region == location else f", price of {region} (none is known for {location})"
    if parts is None:
        return Price(None, f"no price of {machine.machine_type} in {region} is known ({dated})")
    on_demand, spot, _ = parts
    multiplier = catalogue()["prices"]["on_demand_multiplier"]
    fee = catalogue()["prices"]["management_fee"] * on_demand
    unsure = "" if machine_type.price_is_exact else "; the rule is unchecked for this family"
    if strategy == "SPOT":
        if spot is None:
            return Price(None, f"no spot price of {machine.machine_type} in {region} is known ({dated})")
        return Price(spot + fee, f"spot {spot:.4f} + 15 % fee {fee:.4f}, {dated}{where}{unsure}")
    if strategy == "FLEX_START":
        return _flex_start(machine, parts, region, f"{dated}{where}")
    return Price(multiplier * on_demand, f"1.15 x {on_demand:.4f}, {dated}{where}{unsure}")


def disk_price(disk_type: str, size_gb: float, *, location: str) -> Price:
    """The price of a boot disk an hour: `pd-ssd` or `pd-standard`; `hyperdisk-balanced` has none known."""
    prices = catalogue()["prices"]
    region = _AMERICA if not location.startswith("europe") else _EUROPE
    monthly = prices["boot_disk_usd_per_gb_month"].get(disk_type, {}).get(region)
    if monthly is None:
        return Price(None, f"no price of {disk_type} is known")
    hourly = prices["on_demand_multiplier"] * monthly * size_gb / prices["hours_per_month"]
    return Price(hourly, f"{size_gb:g} GB {disk_type}, 1.15 x {monthly} a GB and month of 730 h")


def _parts(
    machine: Machine, machine_type: MachineType, region: str
) -> tuple[float, float | None, float] | None:
    """Compute Engine's on-demand price without local SSD, spot price with it, and local SSD."""
    if machine_type.tpu is not None:
        chips = _chips(machine)
        return _units(machine_type.tpu, chips, region)
    if machine_type.name == "cloud-tpu":  # its price is that of a board of eight cores
        return _units(machine.accelerator, machine.count / 8, region)
    prices = machine_type.gce_usd_per_hour.get(region)
    if prices is None:
        return None
    ssd = prices.get("local_ssd", 0.0)
    if machine.accelerator is None or machine_type.fixed:
        return prices["on_demand"] - ssd, prices["spot"], ssd
    units = _units(machine.accelerator, machine.count, region)
    if units is None:
        return None
    spot = None if units[1] is None else prices["spot"] + units[1]
    return prices["on_demand"] - ssd + units[0], spot, ssd


def _units(accelerator: str, count: float, region: str) -> tuple[float, float | None, float] | None:
    entry = price_entry(accelerator)
    prices = entry.gce_usd_per_hour.get(region) if entry is not None else None
    if prices is None or prices["on_demand"] is None:
        return None
    spot = prices.get("spot")
    return count * prices["on_demand"], None if spot is None else count * spot, 0.0


def _chips(machine: Machine) -> int:
    slices: list[Any] = topologies(machine.machine_type)
    return next((found.chips for found in slices if found.topology == machine.tpu_topology), slices[0].chips)


def _flex_start(machine: Machine, parts: tuple[float, float | None, float], region: str, dated: str) -> Price:
    """Compute Engine's flex-start price is known of some GPUs; vCPU and memory are taken at on demand's."""
    on_demand, _, local_ssd = parts
    entry = price_entry(machine.accelerator) if machine.accelerator else None
    unit = entry.gce_usd_per_hour.get(region, {}).get("on_demand") if entry is not None else None
    if entry is None or entry.gce_flex_start_usd_per_hour is None or unit is None:
        return Price(None, f"no flex-start price of {machine.machine_type} is known ({dated})")
    fee = catalogue()["prices"]["management_fee"] * on_demand
    gpus = machine.count * entry.gce_flex_start_usd_per_hour
    rest = on_demand - machine.count * unit + local_ssd
    return Price(
        gpus + rest + fee,
        f"at most: GPUs {gpus:.4f} + vCPU, memory and local SSD at on demand's {rest:.4f}"
        f" + 15 % fee {fee:.4f}, {dated}",
    )
