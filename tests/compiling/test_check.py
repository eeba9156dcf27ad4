"""Settings that are wrong for a sound pipeline: each is found, with the right words."""

from datetime import date
from pathlib import Path

import pytest

from trainwright.compiling.check import Cell, check, stray_settings
from trainwright.errors import UserError
from trainwright.settings import read_environments

TODAY = date(2026, 11, 25)
PROD = '[environments.prod]\nproject = "acme"\nlocation = "{location}"\nbucket = "acme-ml"\n'
HERE = "environments.prod"


def _cells(sound: Path, folder: Path, text: str, location: str = "us-central1") -> dict[str, Cell]:
    path = folder / "trainwright.toml"
    path.write_text(PROD.format(location=location) + text)
    environments = read_environments(path)
    mistakes = stray_settings(environments, {"sound"})
    if mistakes:
        raise UserError(mistakes[0])
    return {cell.environment: cell for cell in check([sound], environments, today=TODAY)}


def test_a_sound_pipeline_with_sound_settings_may_be_submitted(sound: Path, tmp_path: Path) -> None:
    cells = _cells(sound, tmp_path, f'[{HERE}.parameters.sound]\nuri = "gs://a/b"\n')
    assert (cells["prod"].reasons, cells["prod"].needs, cells["prod"].warnings) == ((), (), 0)
    assert cells["local"].needs == ("uri",)
    assert (cells["prod"].usd or 0) > 42
    assert cells["prod"].unknown == ()


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        (
            f"[{HERE}.parameters.sound]\ntrials = '20'",
            "us-central1",
            'trials: found "20", expected an integer',
        ),
        (
            f"[{HERE}.parameters.sound]\ntrials = 20.0",
            "us-central1",
            "trials: found 20.0, expected an integer",
        ),
        (f"[{HERE}.parameters.sound]\nuri = 1", "us-central1", "sound.uri: found 1, expected a string"),
        (f"[{HERE}.parameters.sound]\nlabels = ['a']", "us-central1", "expected a JSON object (STRUCT)"),
        (f"[{HERE}.parameters.sound]\nurl = 'a'", "us-central1", "unknown parameter 'url' of"),
        (
            f"[{HERE}.parameters.sound]\nmachine_type = 'n1-standard-3'",
            "us-central1",
            "worker pool 0: machine type 'n1-standard-3' is none of",
        ),
        (
            f"[{HERE}.parameters.sound]\ntrials = 3",
            "us-central1",
            "parallel_trial_count 5 above max_trial_count 3",
        ),
        ("", "europe-west1", "machine-region: task exit-handler-1/custom-training-job"),
        ("max_cost = 20.0", "us-central1", "USD, above max_cost 20 of environments.prod"),
        (f"[{HERE}.hours.sound]\n'exit-handler-1/stp' = 1.0", "us-central1", "no task of the pipeline"),
    ],
)
def test_a_wrong_setting_is_a_reason(
    sound: Path, tmp_path: Path, text: str, location: str, message: str
) -> None:
    cells = _cells(sound, tmp_path, text, location)
    assert any(message in reason for reason in cells["prod"].reasons), cells["prod"].reasons
    assert cells["local"].reasons == ()


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("", "europe-west44", "'europe-west44' is no region, nearest is 'europe-west4'"),
        (f"[{HERE}.parameters.sund]\na = 1", "us-central1", "parameters.sund: no pipeline of that name"),
        (f"[{HERE}.hours.sund]\na = 1.0", "us-central1", "hours.sund: no pipeline of that name"),
        ("labels = { Team = 'a' }", "us-central1", "labels: label 'Team', expected a letter"),
        ("max_cost = 0", "us-central1", "prod.max_cost: found 0, should be greater than 0"),
        ("max_costs = 1", "us-central1", "prod.max_costs: unknown key, nearest is 'max_cost'"),
        (f"[{HERE}.hours.sound]\nstep = -1.0", "us-central1", "found -1.0, should be greater than or equal"),
        ("[[lint.allow]]\nrule = 'machine'", "us-central1", "lint: missing allow.0.reason"),
        ("[[lint.allow]]\nrule = 'machine'\nreason = 'meant'", "us-central1", "at least 10 characters"),
        ("[lint]\nallows = []", "us-central1", "lint.allows: unknown key, nearest is 'allow'"),
    ],
)
def test_settings_that_fit_nothing_are_refused(
    sound: Path, tmp_path: Path, text: str, location: str, message: str
) -> None:
    from trainwright.settings import find_lint

    with pytest.raises(UserError) as raised:
        _cells(sound, tmp_path, text, location)
        find_lint(folder=tmp_path)
    assert message in str(raised.value)


def test_every_mistake_is_said_and_other_environments_are_not_touched(sound: Path, tmp_path: Path) -> None:
    text = f"[{HERE}.parameters.sound]\nuri = 1\ntrials = true\nmachine_type = 'x'\n"
    reasons = _cells(sound, tmp_path, text)["prod"].reasons
    assert len(reasons) == 3
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    (cell,) = check([broken], {"prod": read_environments(tmp_path / "trainwright.toml")["prod"]})
    assert "not YAML" in cell.reasons[0]
