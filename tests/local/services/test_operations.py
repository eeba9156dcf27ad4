"""Operations that take time, over the store that a killed process leaves."""

import threading
import time

import pytest
from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2

from trainwright.local.services.names import Project
from trainwright.local.services.operations import Cancelled, Operations
from trainwright.local.store import Store

ENDPOINT = "projects/1/locations/us-central1/endpoints/2"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "s")
    yield store
    store.close()


def operations_over(store, worker):
    operations = Operations(store, Project("p", "1"))
    operations.register("work", worker)
    return operations


def begin(operations, asked=b"asked"):
    return operations.begin(ENDPOINT, "work", asked, v1.DeployModelOperationMetadata())


def ended(operations, name):
    deadline = time.monotonic() + 10
    while not (found := operations.get_operation(operations_pb2.GetOperationRequest(name=name), None)).done:
        assert time.monotonic() < deadline, "never"
        time.sleep(0.01)
    return found


def waits(asked, cancelled):
    cancelled.wait(10)
    raise Cancelled


def answers(asked, cancelled):
    return v1.Endpoint(display_name=asked.decode())


def fails(asked, cancelled):
    raise InvalidArgument("no such thing")


def breaks(asked, cancelled):
    raise RuntimeError("a fault")


def test_an_operation_is_not_done_until_its_work_is(store):
    release = threading.Event()

    def worker(asked, cancelled):
        release.wait(10)
        return answers(asked, cancelled)

    operations = operations_over(store, worker)
    begun = begin(operations)
    assert not begun.done
    assert operations.running(ENDPOINT) == [begun.name]
    with pytest.raises(FailedPrecondition, match="not done"):
        operations.delete_operation(operations_pb2.DeleteOperationRequest(name=begun.name), None)
    release.set()
    found, endpoint = ended(operations, begun.name), v1.Endpoint.pb()()
    assert found.response.Unpack(endpoint)
    assert endpoint.display_name == "asked"
    assert operations.running(ENDPOINT) == []


@pytest.mark.parametrize(("worker", "code"), [(fails, 3), (breaks, 13)])
def test_a_failure_ends_the_operation_with_its_code(store, worker, code):
    operations = operations_over(store, worker)
    assert ended(operations, begin(operations).name).error.code == code


def test_a_cancelled_operation_ends_with_cancelled(store):
    operations = operations_over(store, waits)
    name = begin(operations).name
    operations.cancel_operation(operations_pb2.CancelOperationRequest(name=name), None)
    assert ended(operations, name).error.code == 1


def test_what_had_not_ended_is_worked_on_again_by_the_next_process(store):
    first = operations_over(store, waits)
    name, cancelled = begin(first).name, begin(first, b"other").name
    first.close()
    assert not first.get_operation(operations_pb2.GetOperationRequest(name=name), None).done
    first.cancel_operation(operations_pb2.CancelOperationRequest(name=cancelled), None)

    def worker(asked, cancelled):
        if cancelled.is_set():
            raise Cancelled
        return answers(asked, cancelled)

    second = operations_over(store, worker)
    second.resume()
    assert ended(second, name).response.Is(v1.Endpoint.pb().DESCRIPTOR)
    assert ended(second, cancelled).error.code == 1
