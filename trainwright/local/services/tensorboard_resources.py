"""TensorBoard's instances, experiments, runs and time series as records in the store.

Each is a record under its name, below the name of what it is in.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

from google.api_core.exceptions import AlreadyExists, InvalidArgument
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.names import Project
from trainwright.local.services.resources import (
    Resources,
    change,
    check_etag,
    check_labels,
    check_mask,
    etag,
    masked,
    timestamp,
)
from trainwright.local.services.tensorboard_points import Points
from trainwright.local.store import Store

_KINDS = {
    v1.Tensorboard: "tensorboard",
    v1.TensorboardExperiment: "tensorboardExperiment",
    v1.TensorboardRun: "tensorboardRun",
    v1.TensorboardTimeSeries: "tensorboardTimeSeries",
}


class TensorboardResources:
    """The resources of TensorBoard, whatever their type; types are proto-plus classes.

    Attributes:
        lock: Held by whoever reads resources to write them.
        points: The data points of the time series.
    """

    def __init__(self, store: Store, project: Project) -> None:
        self.lock = threading.RLock()
        self.points = Points(store)
        self._store = store
        self._project = project
        self._resources: dict[type, Resources[Any]] = {
            message: Resources(store, kind, message, self._presented) for message, kind in _KINDS.items()
        }

    def get(self, message: Any, name: str) -> Any:
        """The resource of that name, with the project's id or number in it.

        Raises:
            NotFound: There is none.
        """
        return self._resources[message].get(self._project.canonical(name))

    def page(self, message: Any, prefix: str, request: Any) -> tuple[list[Any], str]:
        """A page of the resources whose names begin so, with the fields of the read mask only."""
        resources = self._resources[message]
        check_mask(message, request.read_mask)
        found, token = resources.page(resources.all(prefix), request)
        for each in found:
            message.pb(each).CopyFrom(masked(message.pb(each), request.read_mask))
        return found, token

    def find(self, message: Any, name: str) -> Any:
        """The resource as it is stored, or None; the name has the project's number."""
        return self._resources[message].find(name)

    def insert(self, messages: Sequence[Any]) -> None:
        """Records new resources, all of them or none.

        Raises:
            InvalidArgument: A display name that is required is empty, or one is longer than 128 characters.
            AlreadyExists: There is one of that name, or, of a run or time series, of that display name.
        """
        with self.lock:
            taken: set[str] = set()
            for message in messages:
                kind = _KINDS[type(message)]
                _check(message)
                if message.name in taken or self._store.read(message.name) is not None:
                    raise AlreadyExists(f"{type(message).__name__} {message.name!r} exists already")
                siblings = f"{message.name.rpartition('/')[0]}/"
                if kind in ("tensorboardRun", "tensorboardTimeSeries"):
                    used = {each.display_name for each in self._resources[type(message)].all(siblings)}
                    if message.display_name in used or siblings + message.display_name in taken:
                        raise AlreadyExists(
                            f"display_name {message.display_name!r}: there is one in {siblings!r}"
                        )
                taken |= {message.name, siblings + message.display_name}
                message.create_time = message.update_time = timestamp(time.time())
                message.etag = ""
            self._store.write_many(
                (each.name, _KINDS[type(each)], type(each).serialize(each)) for each in messages
            )

    def update(self, changes: Any, request: Any, mutable: Sequence[str]) -> Any:
        """Changes a resource.

        Raises:
            NotFound: There is none of that name.
            Aborted: The etag that was sent is not the present one.
            InvalidArgument: A field cannot be changed, or the display name is empty or too long.
        """
        message = type(changes)
        with self.lock:
            present = self.get(message, changes.name)
            check_etag(changes.etag, present.etag, present.name)
            stored: Any = self._resources[message].find(present.name)
            change(stored, changes, request.update_mask.paths, mutable)
            _check(stored)
            stored.update_time = timestamp(time.time())
            self._resources[message].save(present.name, stored)
        return self.get(message, present.name)

    def delete(self, message: Any, name: str) -> str:
        """Removes a resource with all that is below it, and returns its name.

        Raises:
            NotFound: There is none of that name.
        """
        name = self.get(message, name).name
        with self.lock:
            for kind in _KINDS.values():
                for below in self._store.names(kind, f"{name}/"):
                    self._store.delete(below)
            self.points.delete(name)
            self._store.delete(name)
        return name

    def only_default(self, tensorboard: v1.Tensorboard) -> None:
        """Takes the mark of the default instance from all others of the location."""
        if tensorboard.is_default:
            resources = self._resources[v1.Tensorboard]
            for other in resources.all(f"{tensorboard.name.rpartition('/')[0]}/"):
                if other.is_default and other.name != tensorboard.name:
                    other.is_default = False
                    resources.save(other.name, other)

    def _presented(self, message: Any) -> Any:
        message.etag = etag(message)
        if isinstance(message, v1.Tensorboard):
            message.run_count = len(self._store.names("tensorboardRun", f"{message.name}/"))
        return message


def _check(message: Any) -> None:
    least = 0 if isinstance(message, v1.TensorboardExperiment) else 1
    if not least <= len(message.display_name) <= 128:
        raise InvalidArgument(f"display_name {message.display_name!r}: expected {least} to 128 characters")
    if not isinstance(message, v1.TensorboardTimeSeries):
        check_labels(message.labels, "labels")
