"""How many processes that use the processor may run at once."""

import threading
from collections import deque
from collections.abc import Callable

_LOOK_AGAIN = 0.5


class Slots:
    """Slots, handed on in the order in which they were asked for. Methods may be called from any thread.

    Args:
        number: How many there are.
    """

    def __init__(self, number: int) -> None:
        self._lock = threading.Lock()
        self._number = number
        self._free = number
        self._waiting: deque[tuple[threading.Event, int]] = deque()

    def share(self, wanted: int) -> int:
        """How many slots a group that must run at once counts for: never all, so that others go on beside it.

        Args:
            wanted: The number of processes in the group.
        """
        return min(wanted, max(1, self._number - 1))

    def take(self, is_over: Callable[[], bool], number: int = 1) -> bool:
        """Waits for a slot.

        Args:
            is_over: Asked twice a second: True ends the waiting.
            number: How many to take as soon as one is free. Those that are not are taken in advance from the
                next that are given back: groups that waited for all of theirs could wait for one another.

        Returns:
            False when the waiting was ended, and no slot was taken.
        """
        turn = threading.Event()
        with self._lock:
            if self._free > 0:
                self._free -= number
                return True
            self._waiting.append((turn, number))
        # Each waits for an event of its own: on one condition all would wake at every end of a process.
        while True:
            handed = turn.wait(_LOOK_AGAIN)
            if is_over():
                if not self._leave(turn):
                    self.give(number)
                return False
            if handed:
                return True

    def give(self, number: int = 1) -> None:
        """Gives slots back."""
        with self._lock:
            self._free += number
            while self._waiting and self._free > 0:
                turn, wanted = self._waiting.popleft()
                self._free -= wanted
                turn.set()

    def wake(self) -> None:
        """Lets all who wait look at once whether it is over for them, which it must be."""
        with self._lock:
            for turn, _ in self._waiting:
                turn.set()

    def _leave(self, turn: threading.Event) -> bool:
        """Ends the waiting; False when a slot has been handed over."""
        with self._lock:
            kept = [(other, number) for other, number in self._waiting if other is not turn]
            left = len(kept) < len(self._waiting)
            self._waiting = deque(kept)
            return left
