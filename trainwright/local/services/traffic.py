"""Traffic splits of endpoints: pure functions.

The rules: reference of Endpoint.traffic_split, DeployModelRequest and UndeployModelRequest
(google-cloud-aiplatform 1.165.1).
"""

from collections.abc import Collection, Mapping

from google.api_core.exceptions import FailedPrecondition, InvalidArgument

PLACEHOLDER = "0"
"""Stands in a DeployModelRequest for the model that it deploys."""


def checked(split: Mapping[str, int], deployed: Collection[str]) -> dict[str, int]:
    """A split without its zeros.

    Args:
        split: Percent by id of a deployed model; empty: no traffic is accepted.
        deployed: The ids that there are.

    Raises:
        InvalidArgument: An id is not deployed, a part is out of range, or the sum is not 100.
    """
    for name, percent in split.items():
        if name not in deployed:
            known = ", ".join(sorted(deployed)) or "none"
            raise InvalidArgument(
                f"traffic_split: {name!r} is no deployed model of the endpoint; there are: {known}"
            )
        if not 0 <= percent <= 100:
            raise InvalidArgument(f"traffic_split[{name!r}]: {percent}; expected 0 to 100")
    if split and sum(split.values()) != 100:
        raise InvalidArgument(f"traffic_split: adds up to {sum(split.values())}; expected 100")
    return {name: percent for name, percent in split.items() if percent}


def after_deploying(
    current: Mapping[str, int], wanted: Mapping[str, int], deployed: Collection[str], new: str
) -> dict[str, int]:
    """The split once a model has been deployed.

    Args:
        current: The endpoint's.
        wanted: The request's; empty: nothing changes.
        deployed: The ids that were there.
        new: The id of the model that is deployed.

    Raises:
        InvalidArgument: The request's split is not valid.
    """
    if not wanted:
        return dict(current)
    if PLACEHOLDER in wanted and new in wanted:
        raise InvalidArgument(f'traffic_split: has both "0" and {new!r}, which mean the same model')
    named = {new if name == PLACEHOLDER else name: percent for name, percent in wanted.items()}
    return checked(named, {*deployed, new})


def after_undeploying(
    current: Mapping[str, int], wanted: Mapping[str, int], deployed: Collection[str], gone: str
) -> dict[str, int]:
    """The split once a model has been undeployed.

    Args:
        current: The endpoint's.
        wanted: The request's; empty: nothing changes.
        deployed: The ids that were there.
        gone: The id of the model that is undeployed.

    Raises:
        InvalidArgument: The request's split is not valid.
        FailedPrecondition: The model would still have traffic.
    """
    rest = set(deployed) - {gone}
    if not rest:
        return {}
    split = checked(wanted or current, deployed)
    if split.get(gone):
        raise FailedPrecondition(
            f"deployed model {gone!r} has {split[gone]} % of the endpoint's traffic:"
            " give it to others by traffic_split"
        )
    return split


def chosen(split: Mapping[str, int], point: float) -> str | None:
    """The deployed model that gets a request; None when the endpoint accepts no traffic.

    Args:
        split: Adds up to 100, or is empty.
        point: At random, from 0 to below 100.
    """
    reached = 0.0
    for name, percent in sorted(split.items()):
        reached += percent
        if point < reached:
            return name
    return None
