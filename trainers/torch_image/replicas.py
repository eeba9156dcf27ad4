"""The replicas of a job as torch's process group: gloo on CPU, NCCL on GPU."""

import contextlib
import datetime
import socket
from collections.abc import Sequence

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..cluster import MEET_SECONDS, SILENCE_SECONDS, Cluster, meeting
from ..runtime import log

_LOST = ("gloo", "nccl", "connection", "timed out", "timeout", "store")


class Replicas:
    """The replicas that train together; of one alone, every method is local.

    Args:
        cluster: Who they are.
        device: What this replica computes on.
    """

    def __init__(self, cluster: Cluster, device: torch.device) -> None:
        self.cluster = cluster
        self._device = device

    def meet(self) -> None:
        """Returns when every replica is there; ends the process when one has not come in five minutes."""
        cluster = self.cluster
        if not cluster.is_distributed:
            return
        log("INFO", f"replica {cluster.rank} of {cluster.size} waits for the others")
        with meeting(MEET_SECONDS, f"not all of the {cluster.size} replicas came"):
            distributed.init_process_group(
                "nccl" if self._device.type == "cuda" else "gloo",
                init_method=f"tcp://{socket.gethostbyname(cluster.host)}:{cluster.port}",
                rank=cluster.rank,
                world_size=cluster.size,
                timeout=datetime.timedelta(seconds=SILENCE_SECONDS),
            )

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network, whose gradients are averaged over the replicas."""
        return DistributedDataParallel(network) if self.cluster.is_distributed else network

    def without_exchange(self, network: nn.Module, *, when: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients stay here while more are added to them; `when` says whether more are to come."""
        if when and isinstance(network, DistributedDataParallel):
            return network.no_sync()
        return contextlib.nullcontext()

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums over all replicas."""
        return self._reduced(numbers, distributed.ReduceOp.SUM)

    def greatest(self, number: float) -> float:
        """The greatest over all replicas."""
        return self._reduced([number], distributed.ReduceOp.MAX)[0]

    def of_primary(self, value: object) -> object:
        """The primary replica's value, in every replica: tensors, numbers, texts, lists and dicts of them."""
        if not self.cluster.is_distributed:
            return value
        box = [value]
        distributed.broadcast_object_list(box, 0, device=self._device)
        return box[0]

    def _reduced(self, numbers: Sequence[float], how: distributed.ReduceOp.RedOpType) -> list[float]:
        if not self.cluster.is_distributed:
            return list(numbers)
        tensor = torch.tensor(list(numbers), dtype=torch.float64, device=self._device)
        distributed.all_reduce(tensor, how)
        return [float(number) for number in tensor.tolist()]


def tells_a_loss(error: RuntimeError) -> bool:
    """Whether an error of torch means that another replica has gone."""
    if isinstance(error, distributed.DistError):
        return True
    text = str(error).lower()
    return any(word in text for word in _LOST)
