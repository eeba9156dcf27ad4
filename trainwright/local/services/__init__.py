"""Messages to resources: one module per service of Vertex AI, put together over one store."""

from collections.abc import Mapping
from pathlib import Path

from trainwright.local.engine import Engine
from trainwright.local.execution import Executor
from trainwright.local.options import Options
from trainwright.local.services.combined import Combined
from trainwright.local.services.custom_jobs import CustomJobs
from trainwright.local.services.locations import Locations
from trainwright.local.services.metadata import Metadata
from trainwright.local.services.metadata_lineage import Lineage
from trainwright.local.services.metadata_runs import PipelineRuns
from trainwright.local.services.models import Models
from trainwright.local.services.names import Project
from trainwright.local.services.operations import Operations
from trainwright.local.services.pipeline_jobs import PipelineJobs
from trainwright.local.services.projects import Projects
from trainwright.local.services.rehearsal import Rehearsal
from trainwright.local.services.scheduler import Clock, SystemClock
from trainwright.local.services.schedules import Schedules
from trainwright.local.services.tensorboards import Tensorboards
from trainwright.local.store import Store
from trainwright.local.training import CustomJobs as Training


class Services:
    """All services of a local Vertex AI, and the engine and training that do the work behind them.

    Args:
        store: Holds every resource.
        state: The state folder.
        project: Id of the project.
        project_number: Number of the project, which stands in resource names.
        client_environment: Variables for the processes of tasks and replicas; may be filled until `resume`.
        options: What the user chose; the defaults when absent.
        clock: What schedules go by; the computer's when absent.
    """

    def __init__(
        self,
        *,
        store: Store,
        state: Path,
        project: str,
        project_number: str,
        client_environment: Mapping[str, str],
        options: Options | None = None,
        clock: Clock | None = None,
    ) -> None:
        options = options or Options()
        self._executor = Executor(
            state=state,
            client_environment=client_environment,
            gcs_root=state / "storage",
            images=options.images,
            runtime=options.runtime,
        )
        self._engine = Engine(store=store, executor=self._executor, state=state)
        self._training = Training(
            store=store, executor=self._executor, state=state, preempt_every=options.preempt_every
        )
        named = Project(project, project_number)
        operations = Operations(store, named)
        self._custom_jobs = CustomJobs(
            store=store, training=self._training, operations=operations, project=named
        )
        runs = PipelineRuns(store)
        lineage = Lineage(store, runs)
        self._pipeline_jobs = PipelineJobs(
            store=store, engine=self._engine, operations=operations, project=named, lineage=lineage
        )
        self._schedules = Schedules(
            store=store,
            pipeline_jobs=self._pipeline_jobs,
            operations=operations,
            project=named,
            clock=clock or SystemClock(),
        )
        self.by_name: dict[str, object] = {
            "JobService": Combined(self._custom_jobs),
            "PipelineService": self._pipeline_jobs,
            "ScheduleService": self._schedules,
            "MetadataService": Metadata(
                store=store, operations=operations, project=named, runs=runs, lineage=lineage
            ),
            "ModelService": Models(store=store, operations=operations, project=named),
            "TensorboardService": Tensorboards(store=store, operations=operations, project=named),
            "Operations": operations,
            "Locations": Locations(named),
            "Projects": Projects(named),
            "Rehearsal": Rehearsal(store=store, training=self._training, project=named),
        }

    def resume(self) -> None:
        """Goes on with every job, run and schedule that the process before this one had not ended."""
        self._executor.warm()
        self._custom_jobs.resume()
        self._pipeline_jobs.resume()
        self._schedules.start()

    def close(self) -> None:
        """Ends the processes. What has not ended goes on at the next start."""
        self._schedules.close()
        self._engine.close()
        self._training.close()
        self._executor.close()
