import pytest
from google.api_core.exceptions import Aborted, AlreadyExists, InvalidArgument, NotFound
from google.cloud import aiplatform_v1 as v1
from google.protobuf import field_mask_pb2
from hypothesis import given
from hypothesis import strategies as st

from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.services.tensorboard_points import sampled
from trainwright.local.services.tensorboards import Tensorboards
from trainwright.local.store import Store

PARENT = "projects/any-project/locations/us-central1"
SCALAR = v1.TensorboardTimeSeries.ValueType.SCALAR


@pytest.fixture
def service(tmp_path):
    store = Store(tmp_path / "s")
    project = Project("trainwright-local", "100000000001")
    yield Tensorboards(store=store, operations=Operations(store, project), project=project)
    store.close()


def tensorboard(service, **fields):
    request = v1.CreateTensorboardRequest(
        parent=PARENT, tensorboard=v1.Tensorboard(display_name="t", **fields)
    )
    answer = v1.Tensorboard.pb()()
    assert service.create_tensorboard(request, None).response.Unpack(answer)
    return answer.name


def experiment(service, parent, name="exp"):
    request = v1.CreateTensorboardExperimentRequest(parent=parent, tensorboard_experiment_id=name)
    return service.create_tensorboard_experiment(request, None).name


def run(service, parent, name="run", display_name="run"):
    request = v1.CreateTensorboardRunRequest(
        parent=parent, tensorboard_run=v1.TensorboardRun(display_name=display_name), tensorboard_run_id=name
    )
    return service.create_tensorboard_run(request, None).name


def series(service, parent, display_name="loss", value_type=SCALAR):
    request = v1.CreateTensorboardTimeSeriesRequest(
        parent=parent,
        tensorboard_time_series=v1.TensorboardTimeSeries(display_name=display_name, value_type=value_type),
    )
    return service.create_tensorboard_time_series(request, None).name


def write(service, name, values, value_type=SCALAR):
    parent, _, identifier = name.rpartition("/timeSeries/")
    points = [v1.TimeSeriesDataPoint(step=step, scalar={"value": value}) for step, value in values.items()]
    data = v1.TimeSeriesData(tensorboard_time_series_id=identifier, value_type=value_type, values=points)
    request = v1.WriteTensorboardRunDataRequest(tensorboard_run=parent, time_series_data=[data])
    service.write_tensorboard_run_data(request, None)


def read(service, name, **fields):
    request = v1.ReadTensorboardTimeSeriesDataRequest(tensorboard_time_series=name, **fields)
    data = service.read_tensorboard_time_series_data(request, None).time_series_data
    return {point.step: point.scalar.value for point in data.values}


@pytest.fixture
def loss(service):
    return series(service, run(service, experiment(service, tensorboard(service))))


def test_steps_come_back_in_order_and_a_rewritten_one_counts_once(service, loss):
    write(service, loss, {10: 1.0, 9: 2.0, -1: 3.0})
    write(service, loss, {9: 5.0})
    assert [*read(service, loss).items()] == [(-1, 3.0), (9, 5.0), (10, 1.0)]
    assert read(service, loss, filter="step > 9") == {10: 1.0}
    request = v1.GetTensorboardTimeSeriesRequest(name=loss.replace("100000000001", "any"))
    assert service.get_tensorboard_time_series(request, None).metadata.max_step == 10
    for order_by, expected in (("", [-1, 9, 10]), ("step desc", [10, 9, -1])):
        request = v1.ExportTensorboardTimeSeriesDataRequest(
            tensorboard_time_series=loss, order_by=order_by, page_size=2
        )
        first = service.export_tensorboard_time_series_data(request, None)
        request.page_token = first.next_page_token
        rest = service.export_tensorboard_time_series_data(request, None)
        points = [*first.time_series_data_points, *rest.time_series_data_points]
        assert [point.step for point in points] == expected
        assert not rest.next_page_token


def test_of_many_points_some_are_read(service, loss):
    write(service, loss, {step: float(step) for step in range(1500)})
    assert len(read(service, loss)) == 1000
    assert len(read(service, loss, max_data_points=-1)) == 1500
    assert [*read(service, loss, max_data_points=2)][-1] == 1499
    with pytest.raises(InvalidArgument, match="max_data_points"):
        read(service, loss, max_data_points=10_001)
    request = v1.ReadTensorboardSizeRequest(tensorboard=loss.partition("/experiments/")[0])
    assert service.read_tensorboard_size(request, None).storage_size_byte > 1500


@given(st.integers(0, 60), st.integers(1, 40))
def test_a_sample_is_in_order_and_ends_with_the_last(count, limit):
    points = [v1.TimeSeriesDataPoint(step=step) for step in range(count)]
    steps = [point.step for point in sampled(points, limit)]
    assert len(steps) == min(count, limit)
    assert steps == sorted(set(steps))
    assert steps[-1:] == [point.step for point in points[-1:]]


def test_what_does_not_fit_is_refused_and_nothing_of_it_written(service, loss):
    with pytest.raises(InvalidArgument, match="expected SCALAR"):
        write(service, loss, {1: 1.0}, v1.TensorboardTimeSeries.ValueType.TENSOR)
    with pytest.raises(NotFound):
        write(service, loss + "x", {1: 1.0})
    with pytest.raises(InvalidArgument, match="5,000"):
        write(service, loss, dict.fromkeys(range(5001), 1.0))
    tensors = series(
        service, loss.partition("/timeSeries/")[0], "w", v1.TensorboardTimeSeries.ValueType.TENSOR
    )
    with pytest.raises(InvalidArgument, match="scalar; expected tensor"):
        write(service, tensors, {1: 1.0}, v1.TensorboardTimeSeries.ValueType.TENSOR)
    assert read(service, loss) == read(service, tensors) == {}


def test_batches_are_written_whole_or_not_at_all(service):
    parent = experiment(service, tensorboard(service))

    def batch(*names):
        requests = [
            v1.CreateTensorboardRunRequest(
                parent=parent, tensorboard_run=v1.TensorboardRun(display_name=name), tensorboard_run_id=name
            )
            for name in names
        ]
        request = v1.BatchCreateTensorboardRunsRequest(parent=parent, requests=requests)
        return service.batch_create_tensorboard_runs(request, None).tensorboard_runs

    assert [each.name for each in batch("a", "b")] == [f"{parent}/runs/a", f"{parent}/runs/b"]
    for names in (("c", "a"), ("d", "d")):
        with pytest.raises(AlreadyExists):
            batch(*names)
    listed = service.list_tensorboard_runs(
        v1.ListTensorboardRunsRequest(parent=parent), None
    ).tensorboard_runs
    assert {each.display_name for each in listed} == {"a", "b"}
    two = [series(service, f"{parent}/runs/{name}") for name in "ab"]
    data = [
        v1.WriteTensorboardRunDataRequest(
            tensorboard_run=name.partition("/timeSeries/")[0],
            time_series_data=[
                v1.TimeSeriesData(
                    tensorboard_time_series_id=name.rpartition("/")[2],
                    value_type=SCALAR,
                    values=[v1.TimeSeriesDataPoint(step=step, scalar={"value": 1.0})],
                )
                for step in (2, 1)
            ],
        )
        for name in two
    ]
    request = v1.WriteTensorboardExperimentDataRequest(
        tensorboard_experiment=parent, write_run_data_requests=data
    )
    service.write_tensorboard_experiment_data(request, None)
    request = v1.BatchReadTensorboardTimeSeriesDataRequest(
        tensorboard=parent.partition("/experiments/")[0], time_series=two
    )
    answer = service.batch_read_tensorboard_time_series_data(request, None).time_series_data
    assert [[point.step for point in each.values] for each in answer] == [[1, 2], [1, 2]]
    request.tensorboard = tensorboard(service)
    with pytest.raises(InvalidArgument, match="is none of"):
        service.batch_read_tensorboard_time_series_data(request, None)


def test_names_and_display_names_are_unique_where_documented(service):
    parent = experiment(service, tensorboard(service))
    run(service, parent)
    for taken in ({}, {"name": "other"}):
        with pytest.raises(AlreadyExists):
            run(service, parent, **taken)
    with pytest.raises(InvalidArgument, match="tensorboard_run_id"):
        run(service, parent, name="Run_1")
    with pytest.raises(InvalidArgument, match="display_name"):
        run(service, parent, name="other", display_name="")
    with pytest.raises(NotFound):
        run(service, parent + "x")


def test_one_instance_is_the_default(service):
    first, second = tensorboard(service, is_default=True), tensorboard(service, is_default=True)

    def default():
        request = v1.ListTensorboardsRequest(parent=PARENT, filter="is_default=true")
        return [each.name for each in service.list_tensorboards(request, None).tensorboards]

    assert default() == [second]
    mask = field_mask_pb2.FieldMask(paths=["is_default"])
    changes = v1.Tensorboard(name=first, is_default=True)
    service.update_tensorboard(v1.UpdateTensorboardRequest(tensorboard=changes, update_mask=mask), None)
    assert default() == [first]


def test_etags_masks_and_deletion(service, loss):
    name = loss.partition("/experiments/")[0]
    before = service.get_tensorboard(v1.GetTensorboardRequest(name=name), None)
    assert before.run_count == 1
    changes = v1.Tensorboard(name=name, description="d", display_name="", etag=before.etag)
    mask = field_mask_pb2.FieldMask(paths=["description"])
    request = v1.UpdateTensorboardRequest(tensorboard=changes, update_mask=mask)
    service.update_tensorboard(request, None)
    with pytest.raises(Aborted):
        service.update_tensorboard(request, None)
    request = v1.ListTensorboardsRequest(parent=PARENT, read_mask={"paths": ["name"]})
    found = service.list_tensorboards(request, None).tensorboards
    assert [(each.name, each.display_name) for each in found] == [(name, "")]
    write(service, loss, {1: 1.0})
    service.delete_tensorboard(v1.DeleteTensorboardRequest(name=name), None)
    for lost in (lambda: read(service, loss), lambda: write(service, loss, {2: 1.0})):
        with pytest.raises(NotFound):
            lost()
