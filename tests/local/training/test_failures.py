"""What follows the end of a replica and a preemption, as documented."""

import pytest

from trainwright.local.training.failures import Step, after_preemption, step_after

ALONE, ALL, RETRY, FAIL = Step.RESTART_REPLICA, Step.RESTART_ALL, Step.RETRY_JOB, Step.FAIL


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "restarts", "retries", "step"),
    [
        (1, False, 0, 0, FAIL),
        (2, False, 0, 0, FAIL),
        (6, False, 0, 0, RETRY),
        (134, False, 0, 2, RETRY),
        (139, False, 0, 3, FAIL),
        (-6, False, 0, 0, RETRY),
        (-11, False, 0, 3, FAIL),
        (-9, False, 0, 0, ALONE),
        (137, False, 4, 3, ALONE),
        (143, False, 0, 0, ALONE),
        (-15, False, 5, 0, RETRY),
        (-9, False, 5, 3, FAIL),
        (-9, True, 0, 0, FAIL),
        (137, True, 0, 0, FAIL),
    ],
)
def test_steps(exit_code: int, out_of_memory: bool, restarts: int, retries: int, step: Step) -> None:
    def found(**scheduling: bool) -> Step:
        return step_after(
            exit_code,
            ran_out_of_memory=out_of_memory,
            restarts=restarts,
            retries=retries,
            spec={"scheduling": scheduling},
        )

    assert found() is step
    assert found(restartJobOnWorkerRestart=True) is (ALL if step is ALONE else step)
    assert found(disableRetries=True, restartJobOnWorkerRestart=True) is FAIL


def test_preemptions() -> None:
    assert after_preemption(6, location="europe-west4", spec={}) is None
    failure = after_preemption(7, location="europe-west4", spec={})
    assert failure is not None and failure.code == 8
    assert failure.message.startswith("STOCKOUT: the job's spot machines were preempted 7 times.")
    assert "region: europe-west4" in failure.message
