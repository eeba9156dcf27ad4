"""Starts processes: finds what a command is, what it needs, and the fork server that has it."""

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from trainwright.local.execution.commands import (
    Command,
    Component,
    Installation,
    Launcher,
    PlainCommand,
    understand,
)
from trainwright.local.execution.containers import Container, Containers, NoContainerEngine
from trainwright.local.execution.environments import EnvironmentFailed, Environments, distributions
from trainwright.local.execution.images import (
    Runtime,
    UnknownImage,
    is_mapped,
    private_image,
    runtime_of,
    shell_of,
)
from trainwright.local.execution.overlay import Overlay, Overlays
from trainwright.local.execution.running import Running, StartCancelled, Work
from trainwright.local.execution.server_pool import ServerPool
from trainwright.local.execution.servers import ForkServer, ForkServerFailed
from trainwright.local.execution.slots import Slots
from trainwright.local.execution.survivors import ProcessLock
from trainwright.local.execution.variables import basic, inherited

_SDK = "google-cloud-aiplatform"

# Variables that no library reads while it is imported: set by local Vertex itself, not by the task's author.
_NOT_FOR_LIBRARIES = ("VERTEX_AI_", "CLOUD_ML_", "AIP_", "KFP_", "CLUSTER_SPEC")


@dataclass(frozen=True)
class _Place:
    """Where a work runs: by which fork server, with which packages imported, above which environment."""

    interpreter: Path
    profile: str
    preloads: tuple[str, ...]
    takes_slot: bool
    in_container: bool = False

    @property
    def server_interpreter(self) -> Path:
        """Who forks: a command that brings its own program needs no other Python than this one."""
        return Path(sys.executable) if self.profile == "host" else self.interpreter


class Executor:
    """Runs works as processes of this machine.

    Args:
        state: The state folder; environments are kept in it.
        client_environment: Variables that let Google's clients reach local Vertex; read whenever a process
            starts.
        gcs_root: The folder that stands for `gs://`, one folder per bucket.
        slots: How many processes may run at once that use the processor; one more than there are processors
            if None. Launchers, and components that require the Vertex AI SDK, mostly wait for other works
            and take none.
        images: What stands for images that are not known here: "python" or "host" by image.
        runtime: "process", or the container engine ("docker", "podman") that runs every image but those.

    All methods may be called from any thread.

    Raises:
        NoContainerEngine: (an OSError) `runtime` names an engine that is not there.
        RuntimeError: This is not Linux, whose process control keeps the promise that nothing is left running.
        ProcessesLeft: Processes of an earlier executor of the same folder do not end.
    """

    def __init__(
        self,
        *,
        state: Path,
        client_environment: Mapping[str, str],
        gcs_root: Path,
        slots: int | None = None,
        images: Mapping[str, str] | None = None,
        runtime: str = "process",
    ) -> None:
        if sys.platform != "linux":
            raise RuntimeError(
                f"local Vertex runs tasks on Linux only, and this is {sys.platform}: use WSL 2 or a container"
            )
        state, gcs_root = state.resolve(), gcs_root.resolve()
        self._lock_of_processes = ProcessLock(state / "processes.lock")
        self._environments = Environments(
            state / "environments", gcs_root, self._lock_of_processes.descriptor
        )
        self._overlays = Overlays(state / "work" / "overlays")
        self._gcs_root = gcs_root
        self._home = state / "work" / "home"
        self._images = dict(images or {})
        self._client_environment = client_environment
        self._servers = ServerPool(self._base_environment, gcs_root, self._lock_of_processes.descriptor)
        self._closed = threading.Event()
        # One more than processors: they would be idle while a task is prepared or its end is recorded.
        self._slots = Slots(slots or (os.cpu_count() or 1) + 1)
        self._preparing = ThreadPoolExecutor(2, thread_name_prefix="prepare")
        gcs_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_contained = runtime != "process"
        self._containers = Containers(runtime, state=state, gcs_root=gcs_root) if is_contained else None

    def check(self, image: str, command: Iterable[str]) -> None:
        """Says before anything is started whether an image has a counterpart here.

        Args:
            image: The container image.
            command: Its command and arguments.

        Raises:
            UnknownImage: It has none.
        """
        if not self.runs_in_container(image):
            runtime_of(image, understand(tuple(command)).program, self._images)

    def private_image(self, image: str, words: Sequence[str]) -> str:
        """The image of Google's that a container needs and that cannot be had here; "" when there is none.

        Args:
            image: The container image.
            words: Its command and arguments.
        """
        return "" if self._containers is not None else private_image(image, words, self._images)

    def runs_in_container(self, image: str) -> bool:
        """Whether an image itself runs, and not what stands for it here."""
        return self._containers is not None and not is_mapped(image, self._images)

    def prepare(self, works: Iterable[Work], is_over: Callable[[], bool] = lambda: False) -> None:
        """Begins to make environments and start fork servers for these works; does not wait, never fails.

        Args:
            works: What is going to be started.
            is_over: Asked a few times a second; True when nobody is going to start them any more.
        """
        seen = set()
        for work in works:
            if self.runs_in_container(work.image):
                continue
            command = understand((*work.command, *work.args))
            with contextlib.suppress(UnknownImage):
                runtime, installations = self._needs(work.image, command)
                key = (runtime, installations, type(command.program), self._is_bare(work))
                if key not in seen:
                    seen.add(key)
                    with contextlib.suppress(RuntimeError):  # closed
                        self._preparing.submit(self._prepare, work, is_over)

    def warm(self) -> None:
        """Begins to start the fork server of lightweight components, so that the first task finds it."""
        with contextlib.suppress(RuntimeError):  # closed
            self._preparing.submit(self._warm)

    def _warm(self) -> None:
        place = _Place(Path(sys.executable), "component", (), takes_slot=True)
        with contextlib.suppress(ForkServerFailed, StartCancelled):
            self._server(place)

    def _prepare(self, work: Work, is_over: Callable[[], bool]) -> None:
        with contextlib.suppress(EnvironmentFailed, ForkServerFailed, StartCancelled):
            command = understand((*work.command, *work.args))
            place = self._place(work.image, command, lambda: self._closed.is_set() or is_over())
            self._server(place, work)

    def make_ready(self, work: Work, cancelled: threading.Event) -> bool:
        """Makes the environment of a work, and waits for it.

        Args:
            work: What is going to be started.
            cancelled: Ends the waiting when it is set.

        Returns:
            Whether the work will take a slot.

        Raises:
            UnknownImage, EnvironmentFailed, StartCancelled: As in `start`.
        """
        command = understand((*work.command, *work.args))
        return self._place(work.image, command, lambda: self._is_over(cancelled)).takes_slot

    @contextlib.contextmanager
    def slots(self, number: int, cancelled: threading.Event) -> Iterator[None]:
        """Holds slots for works that must all run at the same time, as long as the context lasts.

        Waits for one free slot, not for all: groups must not wait for one another. However many they are,
        another work finds a slot beside them.

        Args:
            number: How many of the works take one.
            cancelled: Ends the waiting when it is set.

        Raises:
            StartCancelled: Cancelled or closed while it waited.
        """
        held = self._slots.share(number) if number else 0
        if held and not self._slots.take(lambda: self._is_over(cancelled), held):
            raise StartCancelled("while it waited for a slot")
        try:
            yield
        finally:
            if held:
                self._slots.give(held)

    def start(
        self, work: Work, cancelled: threading.Event | None = None, *, has_slot: bool = False
    ) -> Running:
        """Starts a work's process; waits for its environment, when that must be made, and for a free slot.

        Args:
            work: What to run.
            cancelled: Ends the waiting when it is set.
            has_slot: Whether the caller holds a slot for it, by `slots`, or it needs none, as a server that
                mostly waits for requests.

        Raises:
            UnknownImage: Its image has no local counterpart.
            EnvironmentFailed: Its packages cannot be installed, or its environment cannot run.
            StartCancelled: Cancelled or closed while it waited.
            OSError: Its log or its working directory cannot be written.
        """
        command = understand((*work.command, *work.args))

        def is_over() -> bool:
            return self._is_over(cancelled)

        place = self._place(work.image, command, is_over)
        if has_slot:
            place = replace(place, takes_slot=False)
        if is_over():
            raise StartCancelled(work.name)
        if place.takes_slot and not self._slots.take(is_over):
            raise StartCancelled(work.name)
        try:
            return self._start(work, command, place)
        except BaseException:
            if place.takes_slot:
                self._slots.give()
            raise

    def close(self) -> None:
        """Kills every process; works that wait for their start raise StartCancelled."""
        self._closed.set()
        self._preparing.shutdown(wait=False, cancel_futures=True)
        self._slots.wake()
        self._servers.close()
        if self._containers is not None:
            with contextlib.suppress(NoContainerEngine):  # its containers have ended with it
                self._containers.remove_all()
        self._lock_of_processes.close()

    def _is_over(self, cancelled: threading.Event | None) -> bool:
        return self._closed.is_set() or (cancelled is not None and cancelled.is_set())

    def _needs(self, image: str, command: Command) -> tuple[Runtime, tuple[Installation, ...]]:
        runtime, contents = runtime_of(image, command.program, self._images)
        # What the command installs itself takes the place of the image's own version.
        replaced = distributions(command.installations)
        kept = tuple(item for item in contents if not {*distributions([Installation((item,))])} & {*replaced})
        of_image = (Installation(kept),) if kept else ()
        return runtime, of_image + command.installations

    def _place(self, image: str, command: Command, is_over: Callable[[], bool]) -> _Place:
        if self.runs_in_container(image):
            waits = isinstance(command.program, Launcher) or _SDK in distributions(command.installations)
            return _Place(Path(sys.executable), "host", (), takes_slot=not waits, in_container=True)
        runtime, installations = self._needs(image, command)
        # A shell on this machine gets the running environment too: its `pip` must have somewhere harmless
        # to go.
        wanted = installations if runtime == "python" else ()
        try:
            interpreter = self._environments.make(wanted, is_over)
        except EnvironmentFailed:
            if is_over():
                raise StartCancelled("while packages were installed") from None
            raise
        names = distributions(installations)
        is_running_environment = interpreter == self._environments.make(())
        uses_sdk = isinstance(command.program, Launcher) or _SDK in names
        profile = "host"
        if isinstance(command.program, (Component, Launcher)):
            profile = "google" if uses_sdk and is_running_environment else "component"
        return _Place(interpreter, profile, names if profile != "host" else (), takes_slot=not uses_sdk)

    def _is_bare(self, work: Work) -> bool:
        """Whether the author sets variables, which libraries may read while they are imported."""
        return any(not name.startswith(_NOT_FOR_LIBRARIES) for name in work.environment)

    def _server(self, place: _Place, work: Work | None = None) -> ForkServer:
        bare = work is not None and self._is_bare(work)
        return self._servers.get(place.server_interpreter, place.profile, place.preloads, bare=bare)

    def _start(self, work: Work, command: Command, place: _Place) -> Running:
        work.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        work.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        work.log_path.touch(mode=0o600)
        if self._containers is not None and place.in_container:
            return self._contain(work, place, self._containers)
        overlay = self._overlays.take(place.interpreter)
        try:
            running = self._fork(work, place, self._request(work, command, place, overlay))
        except BaseException:
            self._overlays.give_back(overlay)
            raise
        running.when_ended(lambda: self._end(place, overlay))
        return running

    def _contain(self, work: Work, place: _Place, containers: Containers) -> Running:
        container = containers.of(work, {"PYTHONUNBUFFERED": "1", **self._client_environment})
        environment = {**inherited(self._home), **containers.client_environment(), **container.environment}
        request = {"argv": list(container.argv), "environment": environment}
        running = self._fork(work, place, request)
        running.in_container = True
        running.when_ended(lambda: self._end_container(place, container, containers))
        return running

    def _end_container(self, place: _Place, container: Container, containers: Containers) -> None:
        if place.takes_slot:
            self._slots.give()
        with contextlib.suppress(RuntimeError):  # closed: the next start removes it
            self._preparing.submit(containers.remove, container.name)

    def _end(self, place: _Place, overlay: Overlay) -> None:
        if place.takes_slot:
            self._slots.give()
        if not self._overlays.give_back(overlay):
            with contextlib.suppress(RuntimeError):  # closed: the next start removes it
                self._preparing.submit(shutil.rmtree, overlay.folder, ignore_errors=True)

    def _request(self, work: Work, command: Command, place: _Place, overlay: Overlay) -> dict:
        environment = self._environment(work, place, overlay)
        if isinstance(command.program, Component):
            environment["_KFP_RUNTIME"] = "true"  # as the component's shell line says
        return {"environment": environment, **_program(work.image, command.program, overlay)}

    def _fork(self, work: Work, place: _Place, request: dict) -> Running:
        where = {"directory": str(work.scratch.resolve()), "log": str(work.log_path.resolve())}
        for attempt in range(3):
            try:
                server = self._server(place, work)
                if attempt == 0 and not server.shows_gcs and not place.in_container:
                    self._note_missing_gcs(work)
                return server.start(request | where, work.log_path)
            except ForkServerFailed as error:
                failure = error  # it was retired or killed between the two lines: once more with another
        raise EnvironmentFailed(str(failure))

    def _note_missing_gcs(self, work: Work) -> None:
        texts = (*work.command, *work.args, *work.environment.values())
        if any("/gcs/" in text for text in texts):
            with open(work.log_path, "a", encoding="utf-8") as log:
                log.write(
                    "local Vertex: /gcs is not there, because this kernel allows no user namespaces:"
                    " use kfp artifacts or a Cloud Storage client instead\n"
                )

    def _base_environment(self) -> dict[str, str]:
        return {**basic(self._home), **self._client_environment}

    def _environment(self, work: Work, place: _Place, overlay: Overlay) -> dict[str, str]:
        environment = {**self._base_environment(), **work.environment}
        path = os.pathsep.join((str(place.interpreter.parent), environment.get("PATH", os.defpath)))
        return {**environment, **overlay.environment(path)}


def _program(image: str, program: Component | Launcher | PlainCommand, overlay: Overlay) -> dict:
    """What the start message says of a program."""
    if isinstance(program, PlainCommand):
        # Without words the image's own would run: a shell or a Python that reads nothing, in all that are
        # mapped.
        return {"argv": list(shell_of(image, program.words)) or ["sh"]}
    python = {"executable": str(overlay.interpreter), "packages": str(overlay.packages)}
    if isinstance(program, Component):
        return {"component": program.source, "arguments": list(program.arguments), **python}
    return {"launcher": program.module, "arguments": list(program.arguments), **python}
