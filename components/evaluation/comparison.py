"""Whether a new model replaces the one in use."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input

from trainwright.authoring.images import PYTHON_IMAGE


@dsl.component(base_image=PYTHON_IMAGE)
def compare_models(
    challenger: Input[Artifact],
    champion: Input[Artifact] = None,
    metric: str = "auRoc",
    higher_is_better: bool = True,
    minimum_gain: float = 0.0,
) -> NamedTuple("Comparison", [("challenger_wins", bool), ("verdict", str)]):  # type: ignore[valid-type]
    """Decides by one metric on the same test rows whether the challenger replaces the champion.

    The challenger wins when it is better, and better by at least the minimum gain; a tie keeps the champion.

    Args:
        challenger: Evaluation of the new model, by `evaluate_classification`.
        champion: Evaluation of the model in use on the same rows; without one, the challenger wins.
        metric: Name in the evaluations' `metrics`.
        higher_is_better: False for metrics such as logLoss.
        minimum_gain: Least improvement, in the metric's unit, 0 or more.

    Returns:
        `challenger_wins`, and `verdict`, one sentence with the numbers.

    Raises:
        ValueError: The metric is missing in an evaluation, the evaluations are of different test rows or
            classes, or the minimum gain is negative.
    """
    import json
    from pathlib import Path

    def value_of(evaluation: dict, role: str) -> float:
        if metric not in evaluation["metrics"]:
            there = ", ".join(sorted(evaluation["metrics"]))
            raise ValueError(f"metric {metric!r} is not in the evaluation of the {role}; there are: {there}")
        return evaluation["metrics"][metric]

    if minimum_gain < 0:
        raise ValueError(f"minimum_gain {minimum_gain}: expected 0 or more")
    new = json.loads(Path(challenger.path).read_text(encoding="utf-8"))
    new_value = value_of(new, "challenger")
    if champion is None:
        return (True, f"The challenger wins with {metric} {new_value:.4f}: there is no champion yet.")
    old = json.loads(Path(champion.path).read_text(encoding="utf-8"))
    old_value = value_of(old, "champion")
    for key in ("label", "positive_class", "test_fingerprint"):
        if new[key] != old[key]:
            found = f"{new[key]!r} and {old[key]!r}"
            raise ValueError(
                f"challenger and champion differ in {key}, {found}; expected the same test rows and class"
            )
    gain = new_value - old_value if higher_is_better else old_value - new_value
    wins = gain > 0 and gain >= minimum_gain
    outcome = "The challenger wins" if wins else "The champion stays"
    verdict = f"{outcome}: {metric} {new_value:.4f} against {old_value:.4f}, gain {gain:+.4f}"
    return (wins, f"{verdict}, needed {minimum_gain:g}." if minimum_gain else f"{verdict}.")
