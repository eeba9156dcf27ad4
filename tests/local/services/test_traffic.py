import pytest
from google.api_core.exceptions import FailedPrecondition, InvalidArgument

from trainwright.local.services.traffic import after_deploying, after_undeploying, checked, chosen


@pytest.mark.parametrize(
    ("current", "wanted", "deployed", "expected"),
    [
        ({}, {"0": 100}, [], {"9": 100}),
        ({"1": 100}, {}, ["1"], {"1": 100}),
        ({"1": 100}, {"0": 30, "1": 70}, ["1"], {"1": 70, "9": 30}),
        ({"1": 100}, {"9": 100, "1": 0}, ["1"], {"9": 100}),
    ],
)
def test_a_deployment_replaces_the_split_and_the_placeholder_is_the_new_model(
    current, wanted, deployed, expected
):
    assert after_deploying(current, wanted, deployed, "9") == expected


@pytest.mark.parametrize(
    ("current", "wanted", "deployed", "expected"),
    [
        ({"1": 100}, {}, ["1"], {}),
        ({"2": 100}, {}, ["1", "2"], {"2": 100}),
        ({"1": 50, "2": 50}, {"2": 100}, ["1", "2"], {"2": 100}),
    ],
)
def test_a_model_without_traffic_can_be_undeployed(current, wanted, deployed, expected):
    assert after_undeploying(current, wanted, deployed, "1") == expected


def test_traffic_must_be_given_to_others_first():
    with pytest.raises(FailedPrecondition, match="50 %"):
        after_undeploying({"1": 50, "2": 50}, {}, ["1", "2"], "1")


@pytest.mark.parametrize(
    ("split", "reason"),
    [({"1": 99}, "adds up to 99"), ({"3": 100}, "no deployed model"), ({"1": 101, "2": -1}, "0 to 100")],
)
def test_a_split_adds_up_to_100_over_models_that_are_there(split, reason):
    with pytest.raises(InvalidArgument, match=reason):
        checked(split, ["1", "2"])


def test_requests_are_shared_out_by_percent():
    split = {"1": 25, "2": 75}
    assert [chosen(split, point) for point in (0, 24.9, 25, 99.9)] == ["1", "1", "2", "2"]
    assert chosen({}, 0) is None
