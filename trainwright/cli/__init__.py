"""The `trainwright` command: one module per group of verbs.

The modules import click and nothing heavy: what a verb needs is imported when it runs, so that
`trainwright --help` answers at once.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import click

from trainwright import __version__
from trainwright.cli.catalog import catalog
from trainwright.cli.check import check
from trainwright.cli.compile import compile_
from trainwright.cli.compute import compute
from trainwright.cli.cost import cost
from trainwright.cli.lint import lint
from trainwright.cli.local import local
from trainwright.cli.output import Output
from trainwright.cli.runs import runs
from trainwright.cli.submit import run, submit
from trainwright.errors import TaskFailed, UserError

EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Reusable components for Vertex AI Pipelines, and a local Vertex AI that runs the same compiled YAML."""


for command in (compile_, submit, run, runs, local, catalog, compute, lint, cost, check):
    cli.add_command(command)


def main() -> None:
    """The console script."""
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: What follows `trainwright` on the command line.

    Returns:
        The exit status: 0 done, 1 a task failed (or a check did), 2 a user's mistake, 130 interrupted.
    """
    _quieten()
    logging.raiseExceptions = (
        False  # a log that cannot be written, as on a full disk, is no traceback's worth
    )
    own = list(arguments)
    own = own[: own.index("--")] if "--" in own else own
    output = Output(as_json="--json" in own)
    try:
        result = cli.main(args=list(arguments), prog_name="trainwright", standalone_mode=False, obj=output)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        help_ = f" See `{context.command_path} --help`." if context is not None else ""
        output.fail(" ".join(error.format_message().split()) + help_)
        return EXIT_USER_ERROR
    except click.Abort:  # what click makes of Ctrl-C
        output.fail("interrupted")
        return EXIT_INTERRUPTED
    except UserError as error:
        output.fail(str(error))
        return EXIT_USER_ERROR
    except TaskFailed as error:
        output.fail(str(error))
        return EXIT_FAILED
    except Exception as error:
        if os.environ.get("TRAINWRIGHT_DEBUG") == "1":
            raise
        output.fail(_unexpected(error))
        return EXIT_FAILED
    finally:
        output.close()


def _unexpected(error: Exception) -> str:
    from trainwright.vertex.errors import Unreachable

    message = " ".join(str(error).split())
    if isinstance(error, Unreachable):
        return message
    return f"internal error: {type(error).__name__}: {message} (TRAINWRIGHT_DEBUG=1 shows where)"


class _OneLine(logging.Formatter):
    """A log record as one line, without traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats a record."""
        lines = record.getMessage().splitlines() or [""]
        cause = f": {record.exc_info[1]}".splitlines()[0] if record.exc_info and record.exc_info[1] else ""
        return f"{record.levelname.lower()}: {lines[0]}{cause}"


def _quieten() -> None:
    """Keeps libraries' chatter out of our output.

    Google's SDK logs to standard output unless a logger above its own has a stream handler already
    (google-cloud-aiplatform 1.165 and 2.7, `base.py`, `Logger`).
    """
    if os.environ.get("TRAINWRIGHT_DEBUG") == "1":
        return
    warnings.filterwarnings("ignore")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logger = logging.getLogger("google")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.WARNING)
        handler.setFormatter(_OneLine())
        logger.addHandler(handler)
        logger.propagate = False
