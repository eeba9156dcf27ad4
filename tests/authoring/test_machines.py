from datetime import date
from typing import Any

import pytest
from kfp import dsl

from trainwright.authoring.compute import accelerators, machine_types, topologies
from trainwright.authoring.errors import Impossible
from trainwright.authoring.machines import Machine, problems
from trainwright.authoring.prices import disk_price, price

BEFORE_THE_END = date(2026, 9, 14)


@pytest.mark.parametrize(
    ("machine", "spec"),
    [
        (Machine("e2-standard-8"), {"machine_type": "e2-standard-8"}),
        (
            Machine("a2-highgpu-1g"),
            {
                "machine_type": "a2-highgpu-1g",
                "accelerator_type": "NVIDIA_TESLA_A100",
                "accelerator_count": 1,
            },
        ),
        (
            Machine("n1-standard-8", accelerator="T4", count=2),
            {"machine_type": "n1-standard-8", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 2},
        ),
        (
            Machine("ct5lp-hightpu-4t", tpu_topology="4x4"),
            {"machine_type": "ct5lp-hightpu-4t", "tpu_topology": "4x4"},
        ),
    ],
)
def test_a_machine_renders_to_the_message_of_the_api(machine: Machine, spec: dict[str, Any]) -> None:
    from google.cloud.aiplatform_v1.types import MachineSpec

    assert machine.machine_spec() == spec
    message = MachineSpec(spec)
    assert message.machine_type == machine.machine_type
    assert message.accelerator_count == spec.get("accelerator_count", 0)
    assert eval(repr(machine)) == machine


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a2-highgpu-1",), "none of Vertex AI custom training, nearest is 'a2-highgpu-1g'"),
        (("c3-standard-4",), "machine type 'c3-standard-4' is none of"),
        (("n1-standard-8", "T4", 3), "it takes exactly 1 or 2 or 4; nearest is 2"),
        (("n1-standard-32", "T4", 1), "it takes exactly 2 or 4; nearest is 2"),
        (("n1-standard-64", "V100", 4), "it takes exactly 8; nearest is 8"),
        (("g2-standard-24", "L4", 1), "it takes exactly 2"),
        (("g2-standard-4", "T4", 1), "it has 1 x NVIDIA_L4; NVIDIA_TESLA_T4 is on n1-standard-4"),
        (("e2-standard-4", "T4", 1), "it takes none; NVIDIA_TESLA_T4 is on n1-standard-4"),
        (("n1-standard-4", "K80", 1), "NVIDIA_TESLA_K80 is no longer there (end of support 2024-05-01)"),
        (("n1-standard-4", "P100", 1), "NVIDIA_TESLA_P100 is no longer there (end of support 2026-09-15)"),
        (("n1-standard-4", "NOT_A_GPU", 1), "accelerator 'NOT_A_GPU' is unknown to Vertex AI"),
        (("n1-standard-4", None, 2), "accelerator count 2 without an accelerator type"),
        (("ct5lp-hightpu-1t", None, None, "4x4"), "ct5lp-hightpu-1t with tpu_topology '4x4': it takes 1x1"),
        (("ct5lp-hightpu-1t", "TPU_V5_LITEPOD", 1), "its TPU comes with the machine type"),
        (("e2-standard-4", None, None, "2x2"), "it has no TPU"),
        (("cloud-tpu", "TPU_V2", 16), "it takes 8, or 32 and multiples of it; nearest is 8"),
    ],
)
def test_what_cannot_be_is_an_error_with_the_nearest_that_can(
    arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(Impossible) as raised:
        Machine(*arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("machine", "where", "message"),
    [
        (Machine("a3-highgpu-1g"), {"strategy": "STANDARD"}, "it is had by SPOT or FLEX_START only"),
        (Machine("a4x-highgpu-4g"), {"strategy": "SPOT"}, "it needs a reservation"),
        (Machine("e2-standard-4"), {"strategy": "FLEX_START"}, "it is for NVIDIA_L4"),
        (Machine("e2-standard-4"), {"strategy": "BANANA"}, "strategy 'BANANA' is unknown"),
        (Machine("e2-standard-4"), {"strategy": "LOW_COST"}, "deprecated: use SPOT"),
        (
            Machine("ct5lp-hightpu-4t", tpu_topology="4x4"),
            {"strategy": "SPOT"},
            "no TPU slice of several machines; nearest is 2x2",
        ),
        (Machine("a2-highgpu-1g"), {"location": "europe-west1"}, "nearest is 'europe-west4'"),
        (Machine("ct5lp-hightpu-4t"), {"location": "europe-west4"}, "TPU_V5E is not in europe-west4"),
    ],
)
def test_regions_and_strategies_that_cannot_be(machine: Machine, where: dict[str, str], message: str) -> None:
    with pytest.raises(Impossible) as raised:
        machine.check(**where)
    assert message in str(raised.value)


def test_every_machine_of_the_catalogue_can_be_written() -> None:
    assert len(machine_types()) == 117
    for name, known in machine_types().items():
        if name == "cloud-tpu":
            continue
        assert Machine(name).machine_spec()["machine_type"] == name
        for accelerator, counts in known.accelerators.items():
            for count in counts:
                assert problems(name, accelerator, count, today=BEFORE_THE_END) == []
        for found in topologies(name):
            assert problems(name, tpu_topology=found.topology) == []


def test_the_accelerators_are_those_of_the_api() -> None:
    from google.cloud.aiplatform_v1.types import AcceleratorType

    named = set(accelerators()) - {"TPU_V6E", "TPU_7X"}
    assert named == {kind.name for kind in AcceleratorType} - {"ACCELERATOR_TYPE_UNSPECIFIED"}


def test_a_pipeline_parameter_is_left_for_the_run() -> None:
    seen: list[dict[str, Any]] = []

    @dsl.component(base_image="python:3.11-slim")
    def job(spec: dict) -> str:
        return str(spec)

    @dsl.pipeline(name="p")
    def pipeline(machine_type: str, accelerator: str = "NVIDIA_L4", count: int = 1) -> None:
        seen.append(Machine(machine_type, accelerator=accelerator, count=count).machine_spec())
        job(spec=seen[-1])

    constant = pipeline.pipeline_spec.root.dag.tasks["job"].inputs.parameters["spec"].runtime_value.constant
    assert constant.struct_value["machine_type"].startswith("{{$.inputs.parameters")
    with pytest.raises(Impossible, match="n1-standard-4 with 3 x"):
        Machine("n1-standard-4", accelerator="T4", count=3)


# By hand, from the price page and an invoice that the sources name (USD an hour).
@pytest.mark.parametrize(
    ("machine", "location", "strategy", "usd"),
    [
        (Machine("n1-standard-4"), "us-central1", "STANDARD", 0.21849885),
        (Machine("e2-standard-4"), "us-central1", "STANDARD", 0.154126276),
        (Machine("a3-highgpu-8g"), "us-central1", "STANDARD", 101.0074),
        (Machine("a3-highgpu-8g"), "us-central1", "SPOT", 63.7844),
        (Machine("a3-highgpu-8g"), "europe-west4", "SPOT", 60.8914),
        (Machine("n1-standard-8", "T4", 1), "us-central1", "STANDARD", 0.4370 + 0.4025),
        (Machine("n1-standard-8", "T4", 2), "us-central1", "SPOT", 0.1910 + 2 * 0.2440),
        (Machine("ct5lp-hightpu-8t"), "us-central1", "STANDARD", 8 * 1.38),
        (Machine("cloud-tpu", "TPU_V2", 32), "us-central1", "STANDARD", 4 * 5.175),
    ],
)
def test_prices_follow_the_rules(machine: Machine, location: str, strategy: str, usd: float) -> None:
    found = price(machine, location=location, strategy=strategy)
    assert found.usd_per_hour == pytest.approx(usd, rel=2e-4)
    assert "2026-07-30" in found.assumption


def test_a_price_that_no_source_has_is_unknown_and_a_region_without_says_whose_it_took() -> None:
    assert price(Machine("a4-highgpu-8g"), location="us-central1").usd_per_hour is None
    assert price(Machine("a2-highgpu-1g"), location="us-central1", strategy="FLEX_START").usd_per_hour is None
    # The invoice of 2025-08 says 52.03: ours takes vCPU and memory at the on-demand price, and says so.
    flex = price(Machine("a3-highgpu-8g"), location="us-central1", strategy="FLEX_START")
    assert 52.03 <= (flex.usd_per_hour or 0) <= 58
    assert flex.assumption.startswith("at most")
    elsewhere = price(Machine("e2-standard-4"), location="europe-west1")
    assert elsewhere.usd_per_hour == price(Machine("e2-standard-4"), location="europe-west4").usd_per_hour
    assert "none is known for europe-west1" in elsewhere.assumption
    assert (disk_price("pd-ssd", 100, location="us-central1").usd_per_hour or 0) * 730 == pytest.approx(19.55)
