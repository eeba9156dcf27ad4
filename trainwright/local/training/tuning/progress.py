"""What a hyperparameter tuning job does next: a function of its study and trials."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainwright.local.training.tuning.stopping import study_is_over
from trainwright.local.training.tuning.study import Study
from trainwright.local.training.tuning.trials import Trial


@dataclass(frozen=True)
class Decision:
    """What to do next.

    Attributes:
        wanted: How many trials to start.
        interrupt: Whether to end those that run.
        over: Whether no trial may be started from now on, whatever happens to the others.
        state: The JobState that the job has ended in; empty while it goes on.
        error: Why it FAILED.
    """

    wanted: int = 0
    interrupt: bool = False
    over: bool = False
    state: str = ""
    error: str = ""


def decide(
    study: Study,
    trials: Sequence[Trial],
    *,
    cancelled: bool,
    over: bool,
    began: float,
    now: float,
) -> Decision:
    """Decides.

    Args:
        study: Of the job.
        trials: All of its trials, as suggested.
        cancelled: Whether somebody has cancelled the job.
        over: Whether an earlier decision, or the end of a grid, has ruled out further trials.
        began: Unix seconds, when the job was created.
        now: Unix seconds.
    """
    running = sum(not trial.has_ended for trial in trials)
    if cancelled:
        return Decision(interrupt=True, over=True, state="" if running else "JOB_STATE_CANCELLED")
    failed = [trial for trial in trials if trial.failed]
    if len(failed) >= study.max_failed_trial_count:
        error = _error(failed)
        return Decision(interrupt=True, over=True, state="" if running else "JOB_STATE_FAILED", error=error)
    stopped = study_is_over(study.stopping, study.metrics, trials, began=began, now=now)
    if over or stopped or len(trials) >= study.max_trial_count:
        return Decision(
            interrupt=stopped and study.stopping.should_stop_asap,
            over=True,
            state="" if running else "JOB_STATE_SUCCEEDED",
        )
    left = study.max_trial_count - len(trials)
    return Decision(wanted=max(0, min(study.parallel_trial_count - running, left)))


def _error(failed: Sequence[Trial]) -> str:
    first = failed[0]
    if len(failed) == 1:
        return f"Trial {first.id} failed: {first.infeasible_reason}"
    return f"{len(failed)} trials failed; the first was trial {first.id}: {first.infeasible_reason}"
