"""What a forked child does: it becomes the task."""

import atexit
import contextlib
import importlib
import logging
import os
import runpy
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

# The variable by which a process that has left its parents can be told to belong to a task.
MARK = "TRAINWRIGHT_PROCESS"
_OUR_FOLDER = str(Path(__file__).parent)


def become(request: dict, gcs_root: str) -> int:
    """Runs what a `start` message asks for, in this process.

    Args:
        request: The message.
        gcs_root: What kfp's `/gcs/` prefix is replaced by: the setting has no environment variable
            (kfp/dsl/types/artifact_types.py, 2.17.0), so it is set where kfp reads it, at run time.

    Returns:
        The exit code. A command that could be executed does not return.
    """
    _redirect(request["log"])
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ[MARK] = request["id"]
    time.tzset()
    if "argv" in request:
        return _execute(request["argv"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.root.handlers.clear()  # a preloaded library may have set one, and basicConfig would do nothing
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # else all children draw the same numbers; `random` sees to itself
    if "kfp.dsl.types.artifact_types" in sys.modules:
        settings = vars(sys.modules["kfp.dsl.types.artifact_types"])
        settings["_GCS_LOCAL_MOUNT_PREFIX"] = gcs_root + "/"
        if workspace := os.environ.get("KFP_WORKSPACE_PATH"):  # the run's, in place of /kfp-workspace
            settings["WORKSPACE_MOUNT_PATH"] = workspace
    sys.executable = request["executable"]
    _extend_path(request["packages"])
    if "component" in request:
        return _call(_component, request["component"], request["arguments"])
    return _call(_launcher, request["launcher"], request["arguments"])


def _redirect(log: str) -> None:
    """Standard input from nowhere, standard output and error to the end of the log."""
    null = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for target, source in ((0, null), (1, file), (2, file)):
        os.dup2(source, target)
    os.close(null)
    os.close(file)
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]


def _extend_path(packages: str) -> None:
    """As `python -m` has it: the working directory first; the task's own packages before those below."""
    author = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:0] = [str(Path.cwd()), *(folder for folder in author if folder not in sys.path)]
    sites = [n for n, folder in enumerate(sys.path) if folder.endswith(("site-packages", "dist-packages"))]
    sys.path.insert(sites[0] if sites else len(sys.path), packages)


def _execute(argv: list[str]) -> int:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; a program expects the default
        signal.signal(number, signal.SIG_DFL)
    program = shutil.which(argv[0])
    if program is None:
        sys.stderr.write(f"{argv[0]}: not found\n")
        return 127  # as a shell does
    try:
        os.execv(program, argv)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return 126


def _component(source: str, arguments: list[str]) -> None:
    """What `python3 -m kfp.dsl.executor_main` does with the file that the component's shell line writes."""
    path = Path.cwd() / f"component-{os.getpid()}" / "ephemeral_component.py"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    executor_main = importlib.import_module("kfp.dsl.executor_main")
    sys.modules["__main__"] = executor_main  # multiprocessing looks for it by its name
    sys.argv = [str(executor_main.__file__), "--component_module_path", str(path), *arguments]
    executor_main.executor_main()


def _launcher(module: str, arguments: list[str]) -> None:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _call(function: Callable[..., None], *arguments: object) -> int:
    """Calls, and ends as an interpreter does: exit status, traceback, threads joined, exit handlers."""
    code = 0
    try:
        function(*arguments)
    except SystemExit as request:
        if isinstance(request.code, int):
            code = request.code & 0xFF
        elif request.code is not None:
            sys.stderr.write(f"{request.code}\n")
            code = 1
    except BaseException as error:
        code = 1
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OUR_FOLDER):
            frames = frames.tb_next
        error.__traceback__ = frames
        sys.excepthook(type(error), error, frames)
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does in a forked child
        atexit._run_exitfuncs()
    return code
