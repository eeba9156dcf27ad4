import pytest

from trainwright.authoring.errors import Impossible
from trainwright.authoring.recommend import Workload, recommend


def _kinds(workload: Workload) -> list[str]:
    return [choice.machine.accelerator or choice.machine.machine_type for choice in recommend(workload)]


def test_classic_machine_learning_is_for_cpus_and_a_large_table_may_have_a_gpu() -> None:
    small = recommend(Workload("scikit-learn", rows=1e5, columns=50))
    assert 2 <= len(small) <= 3
    assert all(choice.machine.accelerator is None for choice in small)
    assert "classic machine learning: CPUs" in small[0].reason
    assert "NVIDIA_TESLA_T4" in _kinds(Workload("xgboost", rows=1e7, columns=100))


def test_deep_learning_is_for_gpus_that_hold_it_with_headroom() -> None:
    choices = recommend(Workload("pytorch", parameters=3e9, precision="bf16"))
    for choice in choices:
        assert choice.machine.accelerator is not None
        assert choice.memory_gb >= choice.needed_gb >= 48  # 16 bytes a parameter
        assert choice.headroom >= 0.2
        assert "STANDARD" in choice.prices or "SPOT" in choice.prices


def test_large_jax_work_may_have_tpus_and_tensorflow_none_from_v6e_on() -> None:
    jax = _kinds(Workload("jax", parameters=1e9, precision="bf16", regions=("us-central1",)))
    assert any(name.startswith("ct") for name in jax)
    tensorflow = _kinds(Workload("tensorflow", parameters=1e9, regions=("europe-west4",)))
    assert not any(name.startswith("ct") for name in tensorflow)  # v5e is not for training there


def test_spot_is_used_with_checkpoints_only() -> None:
    without = recommend(Workload("pytorch", parameters=1e8))
    assert all("SPOT" not in choice.strategies and "SPOT" in choice.prices for choice in without)
    assert "spot only with checkpoints" in without[0].reason
    assert "SPOT" in recommend(Workload("pytorch", parameters=1e8, checkpoints=True))[0].strategies


def test_deadline_and_budget_choose_and_what_cannot_be_says_what_could() -> None:
    relaxed = recommend(Workload("pytorch", parameters=3e8, rows=1e9, precision="bf16"))
    pressed = recommend(Workload("pytorch", parameters=3e8, rows=1e9, precision="bf16", deadline_hours=1))
    assert max(choice.hours or 0 for choice in relaxed) > 1
    assert all((choice.hours or 9) <= 1 for choice in pressed)
    with pytest.raises(Impossible, match=r"the fastest, .*, takes about"):
        recommend(Workload("pytorch", parameters=3e9, rows=1e10, deadline_hours=1))
    with pytest.raises(Impossible, match="train on several"):
        recommend(Workload("pytorch", parameters=1e12))
    with pytest.raises(Impossible, match="nearest is 'pytorch'"):
        Workload("pytorh", parameters=1)
    with pytest.raises(Impossible, match="rows and columns"):
        Workload("xgboost", rows=1)
