"""Recommends machines for a workload, after the rules of the field.

Classic machine learning (scikit-learn, XGBoost, LightGBM) runs on CPUs, and boosted trees on a GPU when the
table is large; deep learning runs on GPUs; large TensorFlow and JAX matrix work on TPUs; spot only with
checkpoints.

What is estimated, and by what:

- Memory of a model in training: 16 bytes a parameter for weights, gradients and Adam's moments, in single or
  mixed precision (Rajbhandari et al., "ZeRO", 2019, section 3.1); activations of one example: 2 % of the
  weights, an assumption: measure one batch.
- Memory of a table: 8 bytes a cell, three times (data, the framework's copy, working memory); a job has 60 %
  of its machine's (Vertex AI documentation, "Understand the training service", 2026-08-22).
- Time: 6 operations a parameter and example (Kaplan et al., "Scaling laws", 2020) at 35 % of the peak.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from trainwright.authoring.compute import accelerators, machine_types, price_entry, topologies
from trainwright.authoring.errors import Impossible
from trainwright.authoring.machines import STRATEGIES, Machine, problems
from trainwright.authoring.prices import Price, price
from trainwright.nearest import nearest

CLASSIC = ("scikit-learn", "xgboost", "lightgbm")
DEEP = ("pytorch", "tensorflow", "jax")
PRECISIONS = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a weight by precision."""

_BYTES_PER_CELL = 8 * 3
_USABLE_MEMORY = 0.6
_BYTES_PER_PARAMETER = 16
_ACTIVATIONS_PER_EXAMPLE = 0.02
_UTILISATION = 0.35
_LEAST_HEADROOM = 0.2
# A table from which boosted trees gain by a GPU, and a model from which TPUs pay: rules of thumb.
_LARGE_TABLE_CELLS = 5e8
_LARGE_MODEL = 3e8

# Peak teraflops of half precision and of single, without sparsity: data sheets of NVIDIA and Google, 2026.
_PEAK = {
    "NVIDIA_TESLA_T4": (65, 8.1),
    "NVIDIA_TESLA_V100": (125, 15.7),
    "NVIDIA_L4": (121, 30.3),
    "NVIDIA_TESLA_A100": (312, 19.5),
    "NVIDIA_A100_80GB": (312, 19.5),
    "NVIDIA_H100_80GB": (989, 67),
    "TPU_V5E": (197, 49),
    "TPU_V6E": (918, 229),
}
# From small to large; a machine of each kind and size that is sold.
_GPU_MACHINES: Sequence[tuple[str, str, int]] = (
    ("n1-standard-8", "NVIDIA_TESLA_T4", 1),
    ("g2-standard-8", "NVIDIA_L4", 1),
    ("n1-standard-8", "NVIDIA_TESLA_V100", 1),
    ("a2-highgpu-1g", "NVIDIA_TESLA_A100", 1),
    ("g2-standard-24", "NVIDIA_L4", 2),
    ("a2-ultragpu-1g", "NVIDIA_A100_80GB", 1),
    ("g2-standard-48", "NVIDIA_L4", 4),
    ("a3-highgpu-1g", "NVIDIA_H100_80GB", 1),
    ("g2-standard-96", "NVIDIA_L4", 8),
    ("a2-highgpu-4g", "NVIDIA_TESLA_A100", 4),
    ("a2-ultragpu-4g", "NVIDIA_A100_80GB", 4),
    ("a2-highgpu-8g", "NVIDIA_TESLA_A100", 8),
    ("a3-highgpu-4g", "NVIDIA_H100_80GB", 4),
    ("a2-ultragpu-8g", "NVIDIA_A100_80GB", 8),
    ("a3-highgpu-8g", "NVIDIA_H100_80GB", 8),
)
_CPU_FAMILIES = ("e2-standard", "e2-highmem", "n2-standard", "n2-highmem", "m1-ultramem")


@dataclass(frozen=True)
class Workload:
    """What is known of a training.

    Attributes:
        framework: "scikit-learn", "xgboost", "lightgbm", "pytorch", "tensorflow" or "jax".
        parameters: Of a model for deep learning.
        rows: Of the table, or examples that the model sees in all its epochs.
        columns: Of the table.
        precision: "fp32", "bf16" or "fp16".
        batch: Examples in a batch, on one machine.
        deadline_hours: Longest time that the training may take.
        budget_usd: Most that it may cost.
        regions: Where it may run.
        checkpoints: Whether it goes on from a checkpoint after a preemption.
    """

    framework: str
    parameters: float | None = None
    rows: float | None = None
    columns: float | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    batch: int = 1
    deadline_hours: float | None = None
    budget_usd: float | None = None
    regions: tuple[str, ...] = ("us-central1",)
    checkpoints: bool = False

    def __post_init__(self) -> None:
        """Checks that enough is known.

        Raises:
            Impossible: The framework is unknown, or the size is not given.
        """
        if self.framework not in (*CLASSIC, *DEEP):
            raise Impossible(f"framework {self.framework!r}, {nearest(self.framework, (*CLASSIC, *DEEP))}")
        if self.precision not in PRECISIONS:
            raise Impossible(f"precision {self.precision!r}, {nearest(self.precision, PRECISIONS)}")
        if self.framework in CLASSIC and (not self.rows or not self.columns):
            raise Impossible(f"{self.framework} needs rows and columns of the table")
        if self.framework in DEEP and not self.parameters:
            raise Impossible(f"{self.framework} needs the number of parameters of the model")


@dataclass(frozen=True)
class Choice:
    """A machine that is recommended.

    Attributes:
        machine: The machine.
        location: The first of the regions that has it.
        strategies: Those to use: spot only where the training goes on from checkpoints.
        needed_gb: Estimate of the memory that the workload needs, on the accelerators or the machine.
        memory_gb: What there is of it.
        prices: USD an hour by every strategy that it can be had by.
        hours: Estimate of the time, where the number of examples is given.
        reason: Why, in a sentence.
    """

    machine: Machine
    location: str
    strategies: tuple[str, ...]
    needed_gb: float
    memory_gb: float
    prices: dict[str, Price]
    hours: float | None
    reason: str

    @property
    def headroom(self) -> float:
        """Share of the memory that stays free."""
        return 1 - self.needed_gb / self.memory_gb


def recommend(workload: Workload) -> list[Choice]:
    """Recommends two or three machines, the cheapest first.

    Raises:
        Impossible: No machine of the catalogue fits the memory, the regions, the deadline and the budget.
    """
    candidates = _classic(workload) if workload.framework in CLASSIC else _deep(workload)
    fitting = [choice for choice in candidates if _affordable(choice, workload)]
    if not fitting:
        if candidates:
            raise Impossible(_why_not(candidates, workload))
        raise Impossible(
            f"no single machine in {', '.join(workload.regions)} has the {_needed(workload):,.0f} GB:"
            " train on several (worker pools)"
        )
    return sorted(_best(fitting), key=lambda choice: _cost(choice) or 0.0)


def _best(choices: list[Choice]) -> list[Choice]:
    """The cheapest, the fastest that costs no more than three times of it, and the best of another kind."""
    ordered = sorted(choices, key=lambda choice: _cost(choice) or 0.0)
    chosen = [ordered[0]]
    for choice in sorted(ordered[1:], key=lambda choice: (choice.hours or 0.0, _cost(choice) or 0.0)):
        other_kind = {_kind(other) for other in chosen}
        affordable = (_cost(choice) or 0.0) <= 3 * (_cost(ordered[0]) or 0.0)
        is_tpu = choice.machine.tpu_topology is not None  # asked for by the framework: shown at any price
        if len(chosen) < 3 and _kind(choice) not in other_kind and (affordable or is_tpu):
            chosen.append(choice)
    for choice in ordered[1:]:
        if len(chosen) < 2 and choice not in chosen:
            chosen.append(choice)
    return chosen


def _kind(choice: Choice) -> str:
    tpu = machine_types()[choice.machine.machine_type].tpu
    return tpu or choice.machine.accelerator or "CPU"


def _cheapest(choice: Choice) -> float | None:
    known = [choice.prices[strategy].usd_per_hour for strategy in choice.strategies]
    return min((amount for amount in known if amount is not None), default=None)


def _cost(choice: Choice) -> float | None:
    hourly = _cheapest(choice)
    return None if hourly is None else hourly * (choice.hours or 1.0)


def _affordable(choice: Choice, workload: Workload) -> bool:
    hourly = _cheapest(choice)
    if hourly is None:
        return False
    hours = choice.hours
    if workload.deadline_hours is not None and hours is not None and hours > workload.deadline_hours:
        return False
    spent = hourly * (hours if hours is not None else workload.deadline_hours or 0.0)
    return workload.budget_usd is None or spent <= workload.budget_usd


def _why_not(candidates: list[Choice], workload: Workload) -> str:
    timed = [choice for choice in candidates if choice.hours is not None and _cost(choice) is not None]
    if not timed:
        return f"no machine that fits costs at most {workload.budget_usd} USD by the deadline"
    fastest = min(timed, key=lambda choice: choice.hours or 0.0)
    cheapest = min(timed, key=lambda choice: _cost(choice) or 0.0)
    return (
        f"no single machine does it: the fastest, {fastest.machine.machine_type}, takes about"
        f" {fastest.hours:.1f} h, the cheapest, {cheapest.machine.machine_type}, costs about"
        f" {_cost(cheapest):.2f} USD"
    )


def _needed(workload: Workload) -> float:
    """GB that the training needs, on the accelerators or in the machine's memory."""
    if workload.framework in CLASSIC:
        return (workload.rows or 0) * (workload.columns or 0) * _BYTES_PER_CELL / 1e9
    parameters = workload.parameters or 0
    activations = parameters * PRECISIONS[workload.precision] * _ACTIVATIONS_PER_EXAMPLE * workload.batch
    return (parameters * _BYTES_PER_PARAMETER + activations) / 1e9


def _classic(workload: Workload) -> list[Choice]:
    cells = (workload.rows or 0) * (workload.columns or 0)
    needed = _needed(workload)
    choices: list[Choice] = []
    for family in _CPU_FAMILIES:
        names = [name for name in machine_types() if name.startswith(f"{family}-")]
        for name in sorted(names, key=lambda each: machine_types()[each].vcpus or 0):
            memory = (machine_types()[name].memory_gb or 0) * _USABLE_MEMORY
            if memory * (1 - _LEAST_HEADROOM) >= needed and (machine_types()[name].vcpus or 0) >= 4:
                reason = (
                    f"{workload.framework} on a table of {cells:,.0f} cells is classic machine learning:"
                    f" CPUs; the smallest {family} with the memory"
                )
                choices += _choices(Machine(name), needed, memory, None, reason, workload)
                break
    if workload.framework in ("xgboost", "lightgbm") and cells >= _LARGE_TABLE_CELLS:
        for name, accelerator, count in _GPU_MACHINES:
            memory = count * (accelerators()[accelerator].memory_gb or 0)
            if (
                memory * (1 - _LEAST_HEADROOM) >= needed / 2
            ):  # the GPU holds the quantized copy, 4 bytes a cell
                reason = (
                    f"boosted trees on {cells:,.0f} cells gain by a GPU; the smallest that holds the table"
                )
                machine = Machine(name, accelerator, count)
                choices += _choices(machine, needed / 2, memory, None, reason, workload)
                break
    return _one_of_each_price(choices)


def _one_of_each_price(choices: list[Choice]) -> list[Choice]:
    """CPU families are alternatives of one kind: the cheapest, and the next with twice its memory or more."""
    cpu = sorted(
        (choice for choice in choices if choice.machine.accelerator is None),
        key=lambda choice: _cheapest(choice) or 0.0,
    )
    return cpu[:2] + [choice for choice in choices if choice.machine.accelerator is not None]


def _deep(workload: Workload) -> list[Choice]:
    parameters = workload.parameters or 0
    needed = _needed(workload)
    choices: list[Choice] = []
    for name, accelerator, count in _GPU_MACHINES:
        memory = count * (accelerators()[accelerator].memory_gb or 0)
        if memory * (1 - _LEAST_HEADROOM) >= needed:
            reason = (
                f"deep learning of {parameters:,.0f} parameters: GPUs; {count} x {accelerator} holds about"
                f" {needed:.1f} GB of weights, gradients, optimizer and activations"
            )
            hours = _hours(accelerator, count, workload)
            choices += _choices(Machine(name, accelerator, count), needed, memory, hours, reason, workload)
    if workload.framework in ("tensorflow", "jax") and parameters >= _LARGE_MODEL:
        choices += _tpus(workload, needed)
    return choices


def _tpus(workload: Workload, needed: float) -> list[Choice]:
    choices: list[Choice] = []
    # Vertex AI documentation, 2026-08-22: TensorFlow runs on no TPU from v6e on.
    families = ("ct5lp", "ct6e") if workload.framework == "jax" else ("ct5lp",)
    for machine_type in machine_types().values():
        if machine_type.family not in families or machine_type.tpu is None:
            continue
        entry = price_entry(machine_type.tpu)
        for found in topologies(machine_type.name):
            memory = found.chips * ((entry.memory_gb if entry else None) or 0)
            if found.vms == 1 and memory * (1 - _LEAST_HEADROOM) >= needed:
                reason = (
                    f"large {workload.framework} matrix work of {workload.parameters:,.0f} parameters:"
                    f" {found.chips} TPU chips hold about {needed:.1f} GB"
                )
                machine = Machine(machine_type.name, tpu_topology=found.topology)
                hours = _hours(machine_type.tpu, found.chips, workload)
                choices += _choices(machine, needed, memory, hours, reason, workload)
    return choices


def _hours(accelerator: str, count: int, workload: Workload) -> float | None:
    if workload.rows is None or accelerator not in _PEAK:
        return None
    half, single = _PEAK[accelerator]
    teraflops = (single if workload.precision == "fp32" else half) * count * _UTILISATION
    return 6 * (workload.parameters or 0) * workload.rows / (teraflops * 1e12) / 3600


def _choices(
    machine: Machine, needed: float, memory: float, hours: float | None, reason: str, workload: Workload
) -> list[Choice]:
    """The choice in the first region that has the machine; none if no region does."""
    for location in workload.regions:
        strategies = tuple(_strategies(machine, location))
        if strategies:
            prices = {each: price(machine, location=location, strategy=each) for each in strategies}
            spot = "" if workload.checkpoints or "SPOT" not in strategies else "; spot only with checkpoints"
            usable = tuple(each for each in strategies if each != "SPOT" or workload.checkpoints)
            return [Choice(machine, location, usable, needed, memory, prices, hours, reason + spot)]
    return []


def _strategies(machine: Machine, location: str) -> Iterable[str]:
    for strategy in STRATEGIES:
        if not problems(
            machine.machine_type,
            machine.accelerator,
            machine.count,
            tpu_topology=machine.tpu_topology,
            location=location,
            strategy=strategy,
        ):
            yield strategy
