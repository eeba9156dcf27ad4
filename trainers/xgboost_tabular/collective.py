"""XGBoost's own collective over the replicas of a job, and what follows when one of them is lost.

Rules found by trial (xgboost 3.2.0 and 3.4.1): the communicator's context manager is not used, since its exit
talks to a tracker that may be dead, with growing waits; the tracker's port is waited for in Python; all
timeouts are set, since the defaults are far too long. There is no recovery inside the library: a replica that
loses another begins anew (`cluster.begin_anew`).
"""

import socket
import time
from typing import Any

import numpy
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

from ..cluster import MEET_SECONDS, SILENCE_SECONDS, Cluster, meeting, wait_for_port
from ..runtime import UserError, log


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
            wait_for_port(cluster.host, cluster.port, MEET_SECONDS)
        log("INFO", f"replica {cluster.rank} of {cluster.size} waits for the others")
        with meeting(MEET_SECONDS, f"not all of the {cluster.size} replicas came"):
            collective.init(
                dmlc_communicator="rabit",
                dmlc_tracker_uri=socket.gethostbyname(cluster.host),
                dmlc_tracker_port=cluster.port,
                dmlc_task_id=f"{cluster.rank:06d}",
                dmlc_retry=3,
                dmlc_timeout=SILENCE_SECONDS,
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

    def _start_tracker(self) -> None:
        deadline = time.monotonic() + SILENCE_SECONDS
        address = socket.gethostbyname(self.cluster.host)
        while True:
            try:
                self._tracker = RabitTracker(
                    self.cluster.size, address, self.cluster.port, sortby="task", timeout=MEET_SECONDS
                )
                self._tracker.start()
                return
            except xgboost.core.XGBoostError as error:
                # The port is free some seconds after the process that was in this place has ended.
                if time.monotonic() > deadline:
                    where = f"{address}:{self.cluster.port}"
                    raise UserError(
                        f"the primary replica cannot listen on {where}: {reason_of(error)}"
                    ) from None
                time.sleep(0.5)


def reason_of(error: xgboost.core.XGBoostError) -> str:
    """The innermost of the causes that the library lists, without its stack trace."""
    lines = str(error).partition("Stack trace:")[0].strip().splitlines()
    return lines[-1].rpartition("]: ")[2] if lines else type(error).__name__
