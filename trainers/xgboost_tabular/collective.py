"""XGBoost's own collective over the replicas of a job, and what follows when one of them is lost.

Rules found by trial (xgboost 3.2.0 and 3.4.1): the communicator's context manager is not used, since its exit
talks to a tracker that may be dead, with growing waits; the tracker's port is waited for in Python; all
timeouts are set, since the defaults are far too long. There is no recovery inside the library. So a replica
that loses another becomes a new process in its own place and meets the others again, also the one that the
platform restarts; the newest checkpoint is where all of them go on.
"""

import json
import os
import socket
import sys
import threading
import time
from typing import Any

import numpy
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

from ..cluster import Cluster, wait_for_port
from ..runtime import UserError, log

_MEET_SECONDS = 300
"""How long replicas wait for one another: machines of one job start minutes apart."""
_SILENCE_SECONDS = 120
"""How long a replica may say nothing before the others take it for lost."""
_LOST_SINCE = "TRAINER_LOST_SINCE"


class Collective:
    """The replicas that boost together; of one alone, every method is local and costs nothing.

    Args:
        cluster: Who they are.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._tracker: RabitTracker | None = None

    def meet(self) -> None:
        """Returns when every replica is there.

        Raises:
            UserError: One does not come within five minutes.
            xgboost.core.XGBoostError: One was lost meanwhile.
        """
        cluster = self.cluster
        if not cluster.is_distributed:
            return
        if cluster.is_primary:
            self._start_tracker()
        else:
            wait_for_port(cluster.host, cluster.port, _MEET_SECONDS)
        log("INFO", f"replica {cluster.rank} of {cluster.size} waits for the others")
        with _limit(_MEET_SECONDS, f"not all of the {cluster.size} replicas came"):
            collective.init(
                dmlc_communicator="rabit",
                dmlc_tracker_uri=socket.gethostbyname(cluster.host),
                dmlc_tracker_port=cluster.port,
                dmlc_task_id=f"{cluster.rank:06d}",
                dmlc_retry=3,
                dmlc_timeout=_SILENCE_SECONDS,
            )
        if collective.get_world_size() != cluster.size:
            raise UserError(f"{collective.get_world_size()} replicas came, CLUSTER_SPEC names {cluster.size}")

    def part(self) -> None:
        """Ends the collective, once all is done."""
        if self.cluster.is_distributed:
            collective.finalize()

    def of_primary(self, value: Any) -> Any:
        """The primary replica's value, in every replica."""
        return collective.broadcast([value], 0)[0] if self.cluster.is_distributed else value

    def total(self, *numbers: float) -> list[float]:
        """The sums over all replicas."""
        if not self.cluster.is_distributed:
            return list(numbers)
        return collective.allreduce(numpy.array(numbers, dtype=numpy.float64), collective.Op.SUM).tolist()

    def progressed(self) -> None:
        """Says that the replicas work together again, so that a loss counts anew."""
        os.environ.pop(_LOST_SINCE, None)

    def begin_anew(self, error: xgboost.core.XGBoostError) -> None:
        """Becomes a new process of the same program that meets the others; does not return.

        Raises:
            UserError: No round was finished since a replica was lost five minutes ago.
        """
        since = float(os.environ.setdefault(_LOST_SINCE, str(time.time())))
        if time.time() - since > _MEET_SECONDS:
            raise UserError(
                f"a replica was lost and did not come back within {_MEET_SECONDS} s: {_reason(error)}"
            )
        log("WARNING", "a replica was lost: meeting the others again, to go on from the last checkpoint")
        time.sleep(0.5)  # until those who listened have noticed too
        sys.stdout.flush()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the library's sockets would be inherited, with the port
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the very words that started this process

    def _start_tracker(self) -> None:
        deadline = time.monotonic() + _SILENCE_SECONDS
        address = socket.gethostbyname(self.cluster.host)
        while True:
            try:
                self._tracker = RabitTracker(
                    self.cluster.size, address, self.cluster.port, sortby="task", timeout=_MEET_SECONDS
                )
                self._tracker.start()
                return
            except xgboost.core.XGBoostError as error:
                # The port is free some seconds after the process that was in this place has ended.
                if time.monotonic() > deadline:
                    where = f"{address}:{self.cluster.port}"
                    raise UserError(
                        f"the primary replica cannot listen on {where}: {_reason(error)}"
                    ) from None
                time.sleep(0.5)


def _reason(error: xgboost.core.XGBoostError) -> str:
    """The innermost of the causes that the library lists, without its stack trace."""
    lines = str(error).partition("Stack trace:")[0].strip().splitlines()
    return lines[-1].rpartition("]: ")[2] if lines else type(error).__name__


class _limit:  # noqa: N801 - reads as a word of the `with` statement
    """Ends the process when what is inside takes longer: the library cannot be interrupted there."""

    def __init__(self, seconds: float, message: str) -> None:
        self._timer = threading.Timer(seconds, self._end, [f"{message} within {seconds:.0f} s"])
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    @staticmethod
    def _end(message: str) -> None:
        print(json.dumps({"severity": "ERROR", "message": message}), flush=True)
        os._exit(1)
