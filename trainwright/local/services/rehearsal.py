"""What a local Vertex AI can be asked for and the real one cannot: to take the machines of a job away."""

from typing import Any

from google.api_core.exceptions import FailedPrecondition, InvalidArgument, NotFound
from google.protobuf import empty_pb2

from trainwright.local.services.names import Project
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs as Training


class Rehearsal:
    """`trainwright.local.Rehearsal`: the service behind `trainwright local preempt`."""

    def __init__(self, *, store: Store, training: Training, project: Project) -> None:
        self._store = store
        self._training = training
        self._project = project

    def preempt(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Preempts a spot job, or one of its replicas: `…/customJobs/ID` or `…/customJobs/ID/replicas/NAME`.

        Raises:
            NotFound: There is no such job.
            InvalidArgument: It has no such replica.
            FailedPrecondition: It is not running, or no spot job.
        """
        name, _, replica = self._project.canonical(request.name).partition("/replicas/")
        running = self._training.running()
        if name not in running and self._store.read(name) is None:
            known = ", ".join(each.rpartition("/")[2] for each in running) or "none"
            raise NotFound(f"no custom job {name.rpartition('/')[2]!r}; running: {known}")
        try:
            self._training.preempt(name, replica or None)
        except LookupError as error:
            raise InvalidArgument(
                f"no replica {replica!r}; expected one of {', '.join(error.args[0])}"
            ) from None
        except ValueError as error:
            raise FailedPrecondition(str(error)) from None
        return empty_pb2.Empty()
