"""`google.cloud.aiplatform.v1.TensorboardService`: instances, experiments, runs and their time series."""

import re
from collections.abc import Iterable
from typing import Any

from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.longrunning.operations_pb2 import Operation
from google.protobuf import empty_pb2

from trainwright.local.services.filters import compile_filter, ordered, page
from trainwright.local.services.names import Project, new_id
from trainwright.local.services.operations import Operations
from trainwright.local.services.tensorboard_points import point_view, sampled
from trainwright.local.services.tensorboard_resources import TensorboardResources
from trainwright.local.store import Store

# Reference of TensorboardService.CreateTensorboardRun and CreateTensorboardTimeSeries, 2026-11.
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_MAX_BATCH = 1000  # reference of BatchCreateTensorboardRunsRequest, 2026-11
_MOST_READ = 10_000  # reference of TensorboardService.ReadTensorboardTimeSeriesData, 2026-11
_MUTABLE = ("display_name", "description", "labels")


class Tensorboards:
    """The methods of TensorboardService.

    Left out are ReadTensorboardUsage (there are no users to count) and ReadTensorboardBlobData (it streams).
    """

    def __init__(self, *, store: Store, operations: Operations, project: Project) -> None:
        self._operations = operations
        self._project = project
        self._resources = TensorboardResources(store, project)

    def create_tensorboard(self, request: v1.CreateTensorboardRequest, context: Any) -> Operation:
        """Makes an instance; a default one takes that from the one before."""
        tensorboard = request.tensorboard
        tensorboard.name = f"{self._project.canonical(request.parent)}/tensorboards/{new_id()}"
        with self._resources.lock:
            self._resources.insert([tensorboard])
            self._resources.only_default(tensorboard)
        made = self._resources.get(v1.Tensorboard, tensorboard.name)
        return self._operations.done(made.name, made, v1.CreateTensorboardOperationMetadata())

    def get_tensorboard(self, request: v1.GetTensorboardRequest, context: Any) -> v1.Tensorboard:
        """An instance."""
        return self._resources.get(v1.Tensorboard, request.name)

    def list_tensorboards(
        self, request: v1.ListTensorboardsRequest, context: Any
    ) -> v1.ListTensorboardsResponse:
        """The instances of a location."""
        parent = self._project.canonical(request.parent)
        found, token = self._resources.page(v1.Tensorboard, f"{parent}/tensorboards/", request)
        return v1.ListTensorboardsResponse(tensorboards=found, next_page_token=token)

    def update_tensorboard(self, request: v1.UpdateTensorboardRequest, context: Any) -> Operation:
        """Changes an instance."""
        with self._resources.lock:
            made = self._resources.update(request.tensorboard, request, (*_MUTABLE, "is_default"))
            self._resources.only_default(made)
        return self._operations.done(made.name, made, v1.UpdateTensorboardOperationMetadata())

    def delete_tensorboard(self, request: v1.DeleteTensorboardRequest, context: Any) -> Operation:
        """Removes an instance with all that is in it."""
        return self._delete(v1.Tensorboard, request.name)

    def read_tensorboard_size(
        self, request: v1.ReadTensorboardSizeRequest, context: Any
    ) -> v1.ReadTensorboardSizeResponse:
        """The bytes that an instance's data points take."""
        tensorboard = self._resources.get(v1.Tensorboard, request.tensorboard)
        return v1.ReadTensorboardSizeResponse(storage_size_byte=self._resources.points.size(tensorboard.name))

    def create_tensorboard_experiment(
        self, request: v1.CreateTensorboardExperimentRequest, context: Any
    ) -> v1.TensorboardExperiment:
        """Makes an experiment of an instance."""
        parent = self._resources.get(v1.Tensorboard, request.parent).name
        experiment = request.tensorboard_experiment
        identifier = _checked(request.tensorboard_experiment_id, "tensorboard_experiment_id")
        experiment.name = f"{parent}/experiments/{identifier}"
        self._resources.insert([experiment])
        return self._resources.get(v1.TensorboardExperiment, experiment.name)

    def get_tensorboard_experiment(
        self, request: v1.GetTensorboardExperimentRequest, context: Any
    ) -> v1.TensorboardExperiment:
        """An experiment."""
        return self._resources.get(v1.TensorboardExperiment, request.name)

    def list_tensorboard_experiments(
        self, request: v1.ListTensorboardExperimentsRequest, context: Any
    ) -> v1.ListTensorboardExperimentsResponse:
        """The experiments of an instance."""
        parent = self._resources.get(v1.Tensorboard, request.parent).name
        found, token = self._resources.page(v1.TensorboardExperiment, f"{parent}/experiments/", request)
        return v1.ListTensorboardExperimentsResponse(tensorboard_experiments=found, next_page_token=token)

    def update_tensorboard_experiment(
        self, request: v1.UpdateTensorboardExperimentRequest, context: Any
    ) -> v1.TensorboardExperiment:
        """Changes an experiment."""
        return self._resources.update(request.tensorboard_experiment, request, _MUTABLE)

    def delete_tensorboard_experiment(
        self, request: v1.DeleteTensorboardExperimentRequest, context: Any
    ) -> Operation:
        """Removes an experiment with its runs."""
        return self._delete(v1.TensorboardExperiment, request.name)

    def create_tensorboard_run(
        self, request: v1.CreateTensorboardRunRequest, context: Any
    ) -> v1.TensorboardRun:
        """Makes a run of an experiment."""
        run = self._new_run(request)
        self._resources.insert([run])
        return self._resources.get(v1.TensorboardRun, run.name)

    def batch_create_tensorboard_runs(
        self, request: v1.BatchCreateTensorboardRunsRequest, context: Any
    ) -> v1.BatchCreateTensorboardRunsResponse:
        """Makes runs of an experiment: all of them or none."""
        _check_batch(self._project, request, lambda parent: parent)
        runs = [self._new_run(each) for each in request.requests]
        self._resources.insert(runs)
        return v1.BatchCreateTensorboardRunsResponse(
            tensorboard_runs=[self._resources.get(v1.TensorboardRun, run.name) for run in runs]
        )

    def get_tensorboard_run(self, request: v1.GetTensorboardRunRequest, context: Any) -> v1.TensorboardRun:
        """A run."""
        return self._resources.get(v1.TensorboardRun, request.name)

    def list_tensorboard_runs(
        self, request: v1.ListTensorboardRunsRequest, context: Any
    ) -> v1.ListTensorboardRunsResponse:
        """The runs of an experiment."""
        parent = self._resources.get(v1.TensorboardExperiment, request.parent).name
        found, token = self._resources.page(v1.TensorboardRun, f"{parent}/runs/", request)
        return v1.ListTensorboardRunsResponse(tensorboard_runs=found, next_page_token=token)

    def update_tensorboard_run(
        self, request: v1.UpdateTensorboardRunRequest, context: Any
    ) -> v1.TensorboardRun:
        """Changes a run."""
        return self._resources.update(request.tensorboard_run, request, _MUTABLE)

    def delete_tensorboard_run(self, request: v1.DeleteTensorboardRunRequest, context: Any) -> Operation:
        """Removes a run with its time series."""
        return self._delete(v1.TensorboardRun, request.name)

    def create_tensorboard_time_series(
        self, request: v1.CreateTensorboardTimeSeriesRequest, context: Any
    ) -> v1.TensorboardTimeSeries:
        """Makes a time series of a run."""
        series = self._new_series(request)
        self._resources.insert([series])
        return self._resources.get(v1.TensorboardTimeSeries, series.name)

    def batch_create_tensorboard_time_series(
        self, request: v1.BatchCreateTensorboardTimeSeriesRequest, context: Any
    ) -> v1.BatchCreateTensorboardTimeSeriesResponse:
        """Makes time series of an experiment's runs: all of them or none."""
        _check_batch(self._project, request, lambda parent: parent.partition("/runs/")[0])
        made = [self._new_series(each) for each in request.requests]
        self._resources.insert(made)
        return v1.BatchCreateTensorboardTimeSeriesResponse(
            tensorboard_time_series=[
                self._resources.get(v1.TensorboardTimeSeries, series.name) for series in made
            ]
        )

    def get_tensorboard_time_series(
        self, request: v1.GetTensorboardTimeSeriesRequest, context: Any
    ) -> v1.TensorboardTimeSeries:
        """A time series."""
        return self._resources.get(v1.TensorboardTimeSeries, request.name)

    def list_tensorboard_time_series(
        self, request: v1.ListTensorboardTimeSeriesRequest, context: Any
    ) -> v1.ListTensorboardTimeSeriesResponse:
        """The time series of a run."""
        parent = self._resources.get(v1.TensorboardRun, request.parent).name
        found, token = self._resources.page(v1.TensorboardTimeSeries, f"{parent}/timeSeries/", request)
        return v1.ListTensorboardTimeSeriesResponse(tensorboard_time_series=found, next_page_token=token)

    def update_tensorboard_time_series(
        self, request: v1.UpdateTensorboardTimeSeriesRequest, context: Any
    ) -> v1.TensorboardTimeSeries:
        """Changes a time series."""
        mutable = ("display_name", "description", "plugin_data")
        return self._resources.update(request.tensorboard_time_series, request, mutable)

    def delete_tensorboard_time_series(
        self, request: v1.DeleteTensorboardTimeSeriesRequest, context: Any
    ) -> Operation:
        """Removes a time series with its data points."""
        return self._delete(v1.TensorboardTimeSeries, request.name)

    def write_tensorboard_experiment_data(
        self, request: v1.WriteTensorboardExperimentDataRequest, context: Any
    ) -> v1.WriteTensorboardExperimentDataResponse:
        """Writes data points of several runs of an experiment: all of them or none."""
        experiment = self._resources.get(v1.TensorboardExperiment, request.tensorboard_experiment).name
        for each in request.write_run_data_requests:
            if not self._project.canonical(each.tensorboard_run).startswith(f"{experiment}/runs/"):
                raise InvalidArgument(f"tensorboard_run {each.tensorboard_run!r}: is none of {experiment!r}")
        self._write(request.write_run_data_requests)
        return v1.WriteTensorboardExperimentDataResponse()

    def write_tensorboard_run_data(
        self, request: v1.WriteTensorboardRunDataRequest, context: Any
    ) -> v1.WriteTensorboardRunDataResponse:
        """Writes data points of a run: all of them or none. A step that was written before is overwritten."""
        self._write([request])
        return v1.WriteTensorboardRunDataResponse()

    def read_tensorboard_time_series_data(
        self, request: v1.ReadTensorboardTimeSeriesDataRequest, context: Any
    ) -> v1.ReadTensorboardTimeSeriesDataResponse:
        """The data points of a time series; of many, some.

        Raises:
            InvalidArgument: `max_data_points` is neither -1 nor 0 (1,000) to 10,000, or the filter is none.
        """
        series = self._resources.get(v1.TensorboardTimeSeries, request.tensorboard_time_series)
        if not -1 <= request.max_data_points <= _MOST_READ:
            raise InvalidArgument(f"max_data_points {request.max_data_points}: expected -1 to {_MOST_READ:,}")
        matches = compile_filter(request.filter)
        points = [point for point in self._resources.points.read(series.name) if matches(point_view(point))]
        if request.max_data_points >= 0:
            points = sampled(points, request.max_data_points or 1000)
        return v1.ReadTensorboardTimeSeriesDataResponse(time_series_data=_data(series, points))

    def batch_read_tensorboard_time_series_data(
        self, request: v1.BatchReadTensorboardTimeSeriesDataRequest, context: Any
    ) -> v1.BatchReadTensorboardTimeSeriesDataResponse:
        """The data points of several time series of an instance; of many, some of each.

        Raises:
            InvalidArgument: A time series is of another instance.
        """
        tensorboard = self._resources.get(v1.Tensorboard, request.tensorboard).name
        answer = []
        for name in request.time_series:
            series = self._resources.get(v1.TensorboardTimeSeries, name)
            if not series.name.startswith(f"{tensorboard}/"):
                raise InvalidArgument(f"time_series {name!r}: is none of {tensorboard!r}")
            limit = 1000 if series.value_type == v1.TensorboardTimeSeries.ValueType.SCALAR else 100
            answer.append(_data(series, sampled(self._resources.points.read(series.name), limit)))
        return v1.BatchReadTensorboardTimeSeriesDataResponse(time_series_data=answer)

    def export_tensorboard_time_series_data(
        self, request: v1.ExportTensorboardTimeSeriesDataRequest, context: Any
    ) -> v1.ExportTensorboardTimeSeriesDataResponse:
        """All data points of a time series, in pages; in the order of their steps unless told otherwise."""
        series = self._resources.get(v1.TensorboardTimeSeries, request.tensorboard_time_series)
        matches = compile_filter(request.filter)
        points = [point for point in self._resources.points.read(series.name) if matches(point_view(point))]
        in_order = ordered(points, request.order_by or "step", point_view)
        question = f"{request.filter}|{request.order_by}"
        found, token = page(
            in_order, request.page_size, request.page_token, question, default=1000, most=10_000
        )
        return v1.ExportTensorboardTimeSeriesDataResponse(
            time_series_data_points=found, next_page_token=token
        )

    def _new_run(self, request: v1.CreateTensorboardRunRequest) -> v1.TensorboardRun:
        parent = self._resources.get(v1.TensorboardExperiment, request.parent).name
        run = request.tensorboard_run
        run.name = f"{parent}/runs/{_checked(request.tensorboard_run_id, 'tensorboard_run_id')}"
        return run

    def _new_series(self, request: v1.CreateTensorboardTimeSeriesRequest) -> v1.TensorboardTimeSeries:
        parent = self._resources.get(v1.TensorboardRun, request.parent).name
        series = request.tensorboard_time_series
        if not series.value_type:
            raise InvalidArgument("value_type: expected SCALAR, TENSOR or BLOB_SEQUENCE")
        identifier = request.tensorboard_time_series_id or new_id()
        series.name = f"{parent}/timeSeries/{_checked(identifier, 'tensorboard_time_series_id')}"
        return series

    def _delete(self, message: Any, name: str) -> Operation:
        deleted = self._resources.delete(message, name)
        return self._operations.done(deleted, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def _write(self, requests: Iterable[v1.WriteTensorboardRunDataRequest]) -> None:
        with self._resources.lock:
            data = []
            known: dict[str, v1.TensorboardTimeSeries] = {}
            for request in requests:
                run = self._resources.get(v1.TensorboardRun, request.tensorboard_run).name
                for each in request.time_series_data:
                    name = f"{run}/timeSeries/{each.tensorboard_time_series_id}"
                    if name not in known:
                        known[name] = self._resources.find(v1.TensorboardTimeSeries, name)
                    if known[name] is None:
                        raise NotFound(f"TensorboardTimeSeries {name!r} was not found")
                    data.append((known[name], each))
            self._resources.points.write(data)


def _checked(identifier: str, field: str) -> str:
    if not _ID.fullmatch(identifier):
        raise InvalidArgument(f"{field} {identifier!r}: expected 1 to 128 of a-z, 0-9 and -, no - first")
    return identifier


def _check_batch(project: Project, request: Any, above: Any) -> None:
    if len(request.requests) > _MAX_BATCH:
        raise InvalidArgument(f"requests: {len(request.requests):,}; expected {_MAX_BATCH:,} at most")
    for each in request.requests:
        if above(project.canonical(each.parent)) != project.canonical(request.parent):
            raise InvalidArgument(f"requests: parent {each.parent!r}: is not in {request.parent!r}")


def _data(series: v1.TensorboardTimeSeries, points: list[v1.TimeSeriesDataPoint]) -> v1.TimeSeriesData:
    return v1.TimeSeriesData(
        tensorboard_time_series_id=series.name.rpartition("/")[2],
        value_type=series.value_type,
        values=points,
    )
