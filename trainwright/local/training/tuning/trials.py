"""Trials and what they measured, as plain values; also as JSON, which is how they stand in the store."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from trainwright.local.training.tuning.space import Value

REQUESTED, ACTIVE, STOPPING, SUCCEEDED, INFEASIBLE = (
    "REQUESTED",
    "ACTIVE",
    "STOPPING",
    "SUCCEEDED",
    "INFEASIBLE",
)
"""States of aiplatform_v1.Trial."""


@dataclass(frozen=True)
class Measurement:
    """What a trial reported at one point.

    Attributes:
        step: The global_step of the report, 0 when there was none.
        seconds: How long the trial had been running.
        metrics: Values by metric_id, finite numbers.
    """

    step: int
    seconds: float
    metrics: Mapping[str, float]

    def at(self, by_seconds: bool) -> float:
        """Where it is on the trial's curve: after so many seconds or, otherwise, steps."""
        return self.seconds if by_seconds else float(self.step)


@dataclass(frozen=True)
class Trial:
    """One trial of a study.

    Attributes:
        id: "1", "2" … in the order in which they were suggested.
        custom_job: Name of the job that runs it.
        parameters: Values by parameter_id.
        state: Of aiplatform_v1.Trial.
        measurements: In the order of steps, then of time.
        final: The measurement that counts; there is none before it SUCCEEDED.
        start: Unix seconds, when its job began to run.
        end: Unix seconds, when it SUCCEEDED or became INFEASIBLE.
        infeasible_reason: Why it is INFEASIBLE.
        failed: Whether it is INFEASIBLE for its own fault, not for being stopped with the study.
        stopped: Whether it was ended early and what it has measured counts.
        predicted: Whether its last measurement is a prediction.
    """

    id: str
    custom_job: str
    parameters: Mapping[str, Value]
    state: str = REQUESTED
    measurements: tuple[Measurement, ...] = ()
    final: Measurement | None = None
    start: float | None = None
    end: float | None = None
    infeasible_reason: str = ""
    failed: bool = False
    stopped: bool = False
    predicted: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state in (SUCCEEDED, INFEASIBLE)

    def json(self) -> dict:
        """As plain values, the way `trial_of` reads them."""
        return dataclasses.asdict(self)


def trial_of(plain: dict) -> Trial:
    """The trial that `Trial.json` has written."""
    measurements = tuple(Measurement(**each) for each in plain["measurements"])
    final = Measurement(**plain["final"]) if plain["final"] else None
    return Trial(**{**plain, "measurements": measurements, "final": final})
