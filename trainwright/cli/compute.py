"""`trainwright compute`: the machines of Vertex AI custom training, their prices, and which to take."""

from typing import TYPE_CHECKING, Any

import click

from trainwright.cli.output import Output
from trainwright.errors import UserError

if TYPE_CHECKING:
    from trainwright.authoring.compute import MachineType
    from trainwright.authoring.machines import Machine
    from trainwright.authoring.recommend import Choice

_JSON = click.option("--json", "as_json", is_flag=True, help="Standard output is one JSON object.")
_LOCATION = click.option(
    "--location", default="us-central1", show_default=True, metavar="REGION", help="Region of the prices."
)


@click.group()
def compute() -> None:
    """Machines of Vertex AI custom training: what there is, what it costs, which to take."""


@compute.command("list")
@click.option("--accelerator", metavar="NAME", help="Only machines that take it: `T4`, `NVIDIA_L4`.")
@click.option("--family", metavar="NAME", help="Only this family: `n1`, `a2`.")
@_LOCATION
@_JSON
@click.pass_obj
def list_(output: Output, accelerator: str | None, family: str | None, location: str, as_json: bool) -> None:
    """List machine types with accelerators and prices."""
    from trainwright.authoring.compute import accelerator_name, accelerators, machine_types, sources
    from trainwright.nearest import nearest

    wanted = accelerator_name(accelerator) if accelerator else None
    if wanted is not None and wanted not in accelerators():
        raise UserError(f"--accelerator {accelerator}: unknown, {nearest(wanted, accelerators())}")
    families = {found.family for found in machine_types().values()}
    if family is not None and family not in families:
        raise UserError(f"--family {family}: unknown, {nearest(family, families)}")
    found = [
        machine
        for machine in machine_types().values()
        if family in (None, machine.family)
        and (wanted is None or wanted in machine.accelerators or wanted == machine.tpu)
    ]
    if output.as_json:
        output.emit(
            {"sources": sources(), "machine_types": [_as_json(machine, location) for machine in found]}
        )
        return
    click.echo(
        f"{'machine type':<20} {'vCPU':>5} {'GB':>7} {'USD/h':>9} {'spot':>9}  accelerators ({location})"
    )
    for machine in found:
        prices = [_shown_price(machine, location, strategy) for strategy in ("STANDARD", "SPOT")]
        vcpus, memory = machine.vcpus or "", f"{machine.memory_gb:g}" if machine.memory_gb else ""
        line = f"{machine.name:<20} {vcpus:>5} {memory:>7} {prices[0]:>9} {prices[1]:>9}  {_taken(machine)}"
        click.echo(line.rstrip())
    click.echo(f"Prices without attached accelerators and disk; {sources()}.")


@compute.command()
@click.argument("machine_type", metavar="MACHINE")
@click.option("--accelerator", metavar="NAME", help="An accelerator to attach: `T4`.")
@click.option("--count", type=int, metavar="N", help="How many.")
@click.option("--tpu-topology", metavar="AxB", help="Of a TPU: `2x4`.")
@_JSON
@click.pass_obj
def show(
    output: Output,
    machine_type: str,
    accelerator: str | None,
    count: int | None,
    tpu_topology: str | None,
    as_json: bool,
) -> None:
    """Show a machine type: what it takes, where it is, what it costs and by which rule."""
    from trainwright.authoring.compute import machine_types, sources, topologies
    from trainwright.authoring.errors import Impossible
    from trainwright.authoring.machines import Machine

    try:
        machine = Machine(machine_type, accelerator=accelerator, count=count, tpu_topology=tpu_topology)
    except Impossible as error:
        raise UserError(str(error)) from error
    known = machine_types()[machine.machine_type]
    slices = [f"{found.topology} ({found.chips} chips)" for found in topologies(known.name)]
    prices = _prices(machine)
    if output.as_json:
        document = {
            **_as_json(known, "us-central1"),
            "machine_spec": machine.machine_spec(),
            "topologies": slices,
        }
        output.emit({**document, "prices": prices, "sources": sources()})
        return
    click.echo(f"{machine!r}")
    size = f"{known.vcpus} vCPU, {known.memory_gb:g} GB" if known.vcpus else "size of the host unknown"
    click.echo(f"  {size}; {_taken(known) or 'no accelerator'}")
    if slices:
        click.echo(f"  topologies: {', '.join(slices)}")
    where = _where(machine)
    click.echo(
        f"  regions: {', '.join(where) if where else 'every region of custom training that has the family'}"
    )
    for row in prices:
        amount = f"{row['usd_per_hour']:.4f} USD/h" if row["usd_per_hour"] is not None else "unknown"
        click.echo(f"  {row['location']:<13} {row['strategy']:<11} {amount:<18} {row['assumption']}")
    click.echo(f"  {sources()}")


@compute.command()
@click.option(
    "--framework",
    required=True,
    metavar="NAME",
    help="scikit-learn, xgboost, lightgbm, pytorch, tensorflow or jax.",
)
@click.option("--parameters", type=float, metavar="N", help="Parameters of the model: `7e9`.")
@click.option("--rows", type=float, metavar="N", help="Rows of the table, or examples of all epochs.")
@click.option("--columns", type=float, metavar="N", help="Columns of the table.")
@click.option("--precision", default="fp32", show_default=True, metavar="NAME", help="fp32, bf16 or fp16.")
@click.option("--batch", type=click.IntRange(1), default=1, metavar="N", help="Examples in a batch.")
@click.option("--deadline", "deadline_hours", type=float, metavar="HOURS", help="Longest time.")
@click.option("--budget", "budget_usd", type=float, metavar="USD", help="Most that it may cost.")
@click.option(
    "--region", "regions", multiple=True, metavar="REGION", help="Where it may run; us-central1 unless given."
)
@click.option(
    "--checkpoints", is_flag=True, help="It goes on from checkpoints, so spot machines may be used."
)
@_JSON
@click.pass_obj
def recommend(output: Output, as_json: bool, **known: Any) -> None:
    """Recommend two or three machines for a workload, with headroom, prices and the reason."""
    from trainwright.authoring.errors import Impossible
    from trainwright.authoring.recommend import Workload
    from trainwright.authoring.recommend import recommend as recommend_

    regions = known.pop("regions") or ("us-central1",)
    try:
        choices = recommend_(Workload(**known, regions=tuple(regions)))
    except Impossible as error:
        raise UserError(str(error)) from error
    if output.as_json:
        output.emit({"choices": [_choice_as_json(choice) for choice in choices]})
        return
    for number, choice in enumerate(choices, start=1):
        click.echo(f"{number}. {choice.machine!r} in {choice.location}")
        click.echo(f"   {choice.reason}")
        took = f"; about {choice.hours:.1f} h" if choice.hours is not None else ""
        memory = f"about {choice.needed_gb:.1f} of {choice.memory_gb:g} GB, {choice.headroom:.0%} free"
        click.echo(f"   memory: {memory}{took}")
        for strategy, found in choice.prices.items():
            amount = f"{found.usd_per_hour:.2f} USD/h" if found.usd_per_hour is not None else "unknown"
            click.echo(f"   {strategy:<11} {amount:<13} {found.assumption}")


def _taken(machine: "MachineType") -> str:
    if machine.tpu:
        return machine.tpu
    shown = (f"{'/'.join(map(str, counts))} x {name}" for name, counts in machine.accelerators.items())
    return ", ".join(shown)


def _shown_price(machine: "MachineType", location: str, strategy: str) -> str:
    found = _price(machine, location, strategy)
    return f"{found:.4f}" if found is not None else "-"


def _price(machine: "MachineType", location: str, strategy: str) -> float | None:
    from trainwright.authoring.machines import Machine, problems
    from trainwright.authoring.prices import price

    if machine.name == "cloud-tpu":
        return None
    built = Machine(machine.name)
    if problems(
        built.machine_type, built.accelerator, built.count, tpu_topology=built.tpu_topology, strategy=strategy
    ):
        return None
    return price(built, location=location, strategy=strategy).usd_per_hour


def _where(machine: "Machine") -> list[str]:
    from trainwright.authoring.compute import machine_types, regions_with

    wanted = machine_types()[machine.machine_type].tpu or machine.accelerator
    return regions_with(wanted) if wanted else []


def _prices(machine: "Machine") -> list[dict[str, Any]]:
    from trainwright.authoring.machines import STRATEGIES, problems
    from trainwright.authoring.prices import price

    rows: list[dict[str, Any]] = []
    for location in ("us-central1", "europe-west4"):
        for strategy in STRATEGIES:
            reasons = problems(
                machine.machine_type,
                machine.accelerator,
                machine.count,
                tpu_topology=machine.tpu_topology,
                location=location,
                strategy=strategy,
            )
            found = price(machine, location=location, strategy=strategy)
            rows.append(
                {
                    "location": location,
                    "strategy": strategy,
                    "usd_per_hour": None if reasons else found.usd_per_hour,
                    "assumption": reasons[0] if reasons else found.assumption,
                }
            )
    return rows


def _as_json(machine: "MachineType", location: str) -> dict[str, Any]:
    return {
        "name": machine.name,
        "family": machine.family,
        "vcpus": machine.vcpus,
        "memory_gb": machine.memory_gb,
        "accelerators": {name: list(counts) for name, counts in machine.accelerators.items()},
        "tpu": machine.tpu,
        "usd_per_hour": {
            strategy: _price(machine, location, strategy) for strategy in ("STANDARD", "SPOT", "FLEX_START")
        },
    }


def _choice_as_json(choice: "Choice") -> dict[str, Any]:
    return {
        "machine_spec": choice.machine.machine_spec(),
        "location": choice.location,
        "needed_gb": choice.needed_gb,
        "memory_gb": choice.memory_gb,
        "headroom": choice.headroom,
        "hours": choice.hours,
        "prices": {
            strategy: {"usd_per_hour": found.usd_per_hour, "assumption": found.assumption}
            for strategy, found in choice.prices.items()
        },
        "reason": choice.reason,
    }
