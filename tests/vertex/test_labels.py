import pytest

from trainwright.errors import UserError
from trainwright.vertex.labels import read_labels


def test_labels_are_read() -> None:
    assert read_labels(["team=churn", "größe_1=", "a-b=7_x"]) == {
        "team": "churn",
        "größe_1": "",
        "a-b": "7_x",
    }


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["team"], "--label team: expected key=value"),
        (["=x"], "--label =x: expected key=value"),
        (["a=1", "a=2"], "--label a: given twice"),
        (["Team=x"], "found key 'Team', expected a letter"),
        (["1team=x"], "found key '1team', expected a letter"),
        (["team=a.b"], "found value 'a.b', expected lower-case"),
        (["team=Blue"], "found value 'Blue', expected lower-case"),
        ([f"team={'x' * 64}"], "at most 63"),
    ],
)
def test_what_google_cloud_would_refuse_is_a_users_mistake(assignments: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        read_labels(assignments)
    assert message in str(raised.value)
