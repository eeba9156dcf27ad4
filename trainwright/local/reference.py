"""Writes `docs/local-vertex.md`: the methods of the services of local Vertex AI, and which are served.

    python -m trainwright.local.reference docs/local-vertex.md [--check]

`--check` writes nothing and ends with status 1 when the file is not what would be written.
"""

import argparse
import sys
import tempfile
from pathlib import Path

_HEAD = """\
# What local Vertex AI serves

Generated from the code by `make docs`. A method that is served answers over gRPC and REST, in `v1` and in
`v1beta1`; every other method of Vertex AI answers `UNIMPLEMENTED` and names itself. Cloud Storage's JSON API
and BigQuery's REST API are served beside these.
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


def reference() -> str:
    """The page: a table per service with its methods, served or not."""
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
    for name in sorted(served):
        methods = Routes([name]).methods()
        rows = []
        for method in sorted(methods, key=lambda method: method.full_name):
            answers = hasattr(served[name], method.function) and not method.streaming
            rows.append(f"| `{method.full_name.partition('/')[2]}` | {'yes' if answers else 'no'} |")
        package = methods[0].full_name.partition("/")[0]
        parts.append("\n".join([f"## {package}", "", "| method | served |", "|---|---|", *rows, ""]))
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
    arguments = parser.parse_args()
    text = reference()
    if not arguments.check:
        arguments.path.write_text(text, encoding="utf-8")
        return 0
    if not arguments.path.is_file() or arguments.path.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{arguments.path} is not current: run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
