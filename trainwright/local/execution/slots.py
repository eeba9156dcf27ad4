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
        self._free = number
        self._waiting: deque[threading.Event] = deque()

    def take(self, is_over: Callable[[], bool]) -> bool:
        """Waits for a slot.

        Args:
            is_over: Asked twice a second: True ends the waiting.

        Returns:
            False when the waiting was ended, and no slot was taken.
        """
        turn = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(turn)
        # Each waits for an event of its own: on one condition all would wake at every end of a process.
        while True:
            handed = turn.wait(_LOOK_AGAIN)
            if is_over():
                if not self._leave(turn):
                    self.give()
                return False
            if handed:
                return True

    def give(self) -> None:
        """Gives a slot back."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def wake(self) -> None:
        """Lets all who wait look at once whether it is over for them, which it must be."""
        with self._lock:
            for turn in self._waiting:
                turn.set()

    def _leave(self, turn: threading.Event) -> bool:
        """Ends the waiting; False when a slot has been handed over."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return True
            return False
