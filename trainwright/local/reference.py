"""Writes `docs/local-vertex.md`: the methods of local Vertex AI, which are served, and what exercises them.

    python -m trainwright.local.reference docs/local-vertex.md [--check] [--tests tests]

`--check` writes nothing and ends with status 1 when the file is not what would be written.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

_HEAD = """\
# What local Vertex AI serves

Generated from the code by `make docs`. A method that is served answers over gRPC and REST, in `v1` and in
`v1beta1`; every other method of Vertex AI answers `UNIMPLEMENTED` and names itself. Cloud Storage's JSON API
and BigQuery's REST API are served beside these.

The last column names the programs in `tests/fidelity/programs`, which are written against Google's clients
alone and run against the real service as well (`VERTEX_FIDELITY=cloud`); of a method that none of them calls,
the tests in `tests/local/services` and `tests/local/training`.
"""

_BIGQUERY = """\
## BigQuery

`bigquery.googleapis.com` and `www.googleapis.com/bigquery/v2`: datasets (insert, get, list, patch, update,
delete), tables (the same), tabledata (list, insertAll), jobs (insert, get, list, cancel, delete, query,
getQueryResults; uploads in one request or resumably). Query, load (CSV, JSON lines, Parquet), extract (the
same) and copy jobs. Reads go over REST: clients fall back to it when `google-cloud-bigquery-storage` is not
installed.

GoogleSQL is typed and translated to DuckDB: a query has BigQuery's answer, or fails with `invalidQuery` and
the name of what is missing. One difference is known: `NaN` sorts behind all numbers, not before them. Missing
are BigQuery ML, scripts, routines, `BIGNUMERIC`, `GEOGRAPHY`, `RANGE`, recursive `WITH`, `ROLLUP`, `UNPIVOT`,
`TABLESAMPLE`, time travel, partition decorators and pseudo columns,
and every function that is not in this list:

"""

# `.create_model(…)`, `"create_model"` and the like, but no `def create_model`.
_CALL = re.compile(r"""[."']([a-z][a-z0-9_]*)\b""")


def calls(tests: Path) -> dict[str, list[str]]:
    """Which tests call a method, by its name in snake_case: programs of `fidelity`, else tests of services.

    Args:
        tests: The folder of the tests.
    """
    found: dict[str, list[str]] = {}
    for folder, pattern in (
        ("fidelity/programs", "check_*.py"),
        ("local/services", "test_*.py"),
        ("local/training", "test_*.py"),
    ):
        earlier = set(found)
        for path in sorted((tests / folder).rglob(pattern)):
            for name in sorted(set(_CALL.findall(path.read_text(encoding="utf-8"))) - earlier):
                found.setdefault(name, []).append(path.stem)
    return found


def reference(tests: Path) -> str:
    """The page: a table per service with its methods, served or not, and the tests that call them.

    Args:
        tests: The folder of the tests.
    """
    from trainwright.local.services import Services
    from trainwright.local.store import Store
    from trainwright.local.wire.routes import Routes

    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        store = Store(state / "store.sqlite")
        services = Services(
            store=store, state=state, project="p", project_number="1", client_environment={}, bucket="b"
        )
        served = dict(services.by_name)
        services.close()
        store.close()
    parts = [_HEAD]
    callers = calls(tests)
    for name in sorted(served):
        methods = Routes([name]).methods()
        rows = []
        for method in sorted(methods, key=lambda method: method.full_name):
            answers = hasattr(served[name], method.function) and not method.streaming
            exercised = ", ".join(f"`{name}`" for name in callers.get(method.function, ())) if answers else ""
            served_text = "yes" if answers else "no"
            rows.append(f"| `{method.full_name.partition('/')[2]}` | {served_text} | {exercised} |")
        package = methods[0].full_name.partition("/")[0]
        parts.append(
            "\n".join([f"## {package}", "", "| method | served | exercised by |", "|---|---|---|", *rows, ""])
        )
    parts.append(_BIGQUERY + ", ".join(f"`{name}`" for name in _functions()) + "\n")
    return "\n".join(parts)


def _functions() -> list[str]:
    """The functions of GoogleSQL that local BigQuery has."""
    from trainwright.local.bigquery.sql import aggregates, dates, functions, operators, patterns

    return sorted({*aggregates.NAMES, *dates.NAMES, *functions.SIGNATURES, *operators.NAMES, *patterns.NAMES})


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Write the reference of local Vertex AI's methods.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tests", type=Path, default=Path("tests"), help="the folder of the tests")
    arguments = parser.parse_args()
    text = reference(arguments.tests)
    if not arguments.check:
        arguments.path.write_text(text, encoding="utf-8")
        return 0
    if not arguments.path.is_file() or arguments.path.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{arguments.path} is not current: run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
