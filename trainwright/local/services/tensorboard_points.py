"""The data points of TensorBoard's time series.

A point is a record under its time series' name and its step, so that to log a step is one small write, and a
step that is written again replaces what was there. The bytes of images and graphs (blobs) are not among them:
clients put those into Cloud Storage, and points hold their ids.
"""

import random
from collections.abc import Sequence

from google.api_core.exceptions import InvalidArgument
from google.cloud import aiplatform_v1 as v1

from trainwright.local.services.resources import view
from trainwright.local.store import Store

_MAX_WRITE = 5000  # reference of WriteTensorboardRunDataRequest.time_series_data, 2026-11
_FIELDS = {"SCALAR": "scalar", "TENSOR": "tensor", "BLOB_SEQUENCE": "blobs"}
_KIND = "tensorboardPoint"


class Points:
    """The data points of all time series."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, series: str) -> list[v1.TimeSeriesDataPoint]:
        """The points of a time series, in the order of their steps."""
        records = sorted(self._store.list(_KIND, f"{series}/points/"), key=lambda record: record.name)
        return [v1.TimeSeriesDataPoint.deserialize(record.payload) for record in records]

    def write(self, data: Sequence[tuple[v1.TensorboardTimeSeries, v1.TimeSeriesData]]) -> None:
        """Writes points with what is known of their time series (the last step, the last time).

        Args:
            data: Each with its time series, the same object for the same one. The caller lets nobody else
                change those meanwhile.

        Raises:
            InvalidArgument: More than 5,000 points, or one not of its time series' type; nothing was written.
        """
        count = sum(len(each.values) for _, each in data)
        if count > _MAX_WRITE:
            raise InvalidArgument(f"time_series_data: {count:,} points; expected {_MAX_WRITE:,} at most")
        rows = []
        for series, each in data:
            if each.value_type != series.value_type:
                expected, found = series.value_type.name, each.value_type.name
                raise InvalidArgument(f"value_type of {series.display_name!r}: {found}; expected {expected}")
            for point in each.values:
                _check(series, point)
                name = f"{series.name}/points/{point.step + 2**63:020d}"  # names sort as steps do
                rows.append((name, _KIND, v1.TimeSeriesDataPoint.serialize(point)))
                _note(series, point)
        described = {series.name: series for series, _ in data}.values()
        rows += [
            (each.name, "tensorboardTimeSeries", v1.TensorboardTimeSeries.serialize(each))
            for each in described
        ]
        self._store.write_many(rows)

    def delete(self, prefix: str) -> None:
        """Removes the points of everything below a resource."""
        for name in self._store.names(_KIND, f"{prefix}/"):
            self._store.delete(name)

    def size(self, prefix: str) -> int:
        """The bytes of the points of everything below a resource."""
        return sum(len(record.payload) for record in self._store.list(_KIND, f"{prefix}/"))


def sampled(points: list[v1.TimeSeriesDataPoint], limit: int) -> list[v1.TimeSeriesDataPoint]:
    """All points if there are no more than the limit, else so many at random, with the last one among them.

    The last step is where a client that logs goes on, so it is never left out. The choice is the same each
    time.
    """
    if len(points) <= limit:
        return points
    chosen = random.Random(0).sample(range(len(points) - 1), limit - 1)  # noqa: S311
    return [points[index] for index in [*sorted(chosen), -1]]


def point_view(point: v1.TimeSeriesDataPoint) -> dict:
    """A point as filters and orders see it."""
    return view(point) | {"step": point.step}  # JSON has 64-bit numbers as text


def _check(series: v1.TensorboardTimeSeries, point: v1.TimeSeriesDataPoint) -> None:
    found = v1.TimeSeriesDataPoint.pb(point).WhichOneof("value")
    expected = _FIELDS[series.value_type.name]
    if found != expected:
        raise InvalidArgument(f"step {point.step} of {series.display_name!r}: {found}; expected {expected}")


def _note(series: v1.TensorboardTimeSeries, point: v1.TimeSeriesDataPoint) -> None:
    """Brings what a time series tells of its points up to date."""
    known = series.metadata
    known.max_step = max(known.max_step, point.step)
    if known.max_wall_time is None or point.wall_time > known.max_wall_time:
        known.max_wall_time = point.wall_time
    known.max_blob_sequence_length = max(known.max_blob_sequence_length, len(point.blobs.values))
