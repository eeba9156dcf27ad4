"""What is in a dataset: statistics for programs, a page for people."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: S608 - SQL holds only our own expressions and quoted names


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def profile(dataset: Input[Dataset], statistics: Output[Artifact]) -> None:
    """Describes every column: type, nulls, distinct values, distribution, most frequent values.

    Args:
        dataset: Parquet, one file or a folder of files.
        statistics: JSON: `rows`, and `columns`, a list of `name`, `type` (DuckDB's), `nulls` (rows),
            `null_share` (0 to 1), `distinct` (exact), `min` and `max` (numbers as numbers, all else as text),
            `top` (the 10 most frequent, `value` and `count`; empty where more than 10 are all different) and,
            for numbers, `mean`, `std` (of the population), `quantiles` (of "0.05", "0.25", "0.5", "0.75" and
            "0.95"), `histogram` (20 bins of equal width from `min` on: `to`, `count`) and `not_finite` (rows
            with NaN or infinity, which the other numbers leave out). `report_profile` makes a page of it.

    Raises:
        duckdb.Error: `dataset` is no readable Parquet.
    """
    import glob
    import json
    from pathlib import Path

    import duckdb

    numbers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = ", ".join(f"'{share}': quantile_cont(number, {share})" for share in shares)
    of_all = "count(*) - count(value) AS nulls, nulls / count(*) AS null_share, "
    of_all += 'count(DISTINCT value) AS "distinct"'
    of_text = "min(value)::VARCHAR AS min, max(value)::VARCHAR AS max"
    of_number = f"""min(number) AS min, max(number) AS max, avg(number) AS mean, stddev_pop(number) AS std,
        {{{quantiles}}} AS quantiles, count(value) - count(number) AS not_finite"""
    frequent = "SELECT value::VARCHAR, count(*) FROM one WHERE value NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    histogram = "SELECT histogram(number, equi_width_bins(?, ?, 20, false)) FROM one"

    # One thread: the order in which floating-point numbers are added up decides their last digits.
    connection = duckdb.connect(config={"threads": 1})
    files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
    data = connection.read_parquet(files, hive_partitioning=False)
    rows, columns = len(data), []
    for name, kind in zip(data.columns, map(str, data.types), strict=True):
        column = '"' + name.replace('"', '""') + '"'
        is_number = kind.removeprefix("U").startswith(numbers) and not kind.endswith("]")
        number = f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END" if is_number else "NULL"
        data.project(f"{column} AS value, {number} AS number").create_view("one")
        measures = f"SELECT {of_all}, {of_number if is_number else of_text} FROM one"
        [(measured,)] = connection.execute(f"SELECT to_json(m) FROM ({measures}) AS m").fetchall()
        about = {"name": name, "type": kind, **json.loads(measured), "top": []}
        if about["distinct"] <= 10 or about["distinct"] < rows - about["nulls"]:
            top = connection.execute(f"{frequent} LIMIT 10").fetchall()
            about["top"] = [{"value": value, "count": count} for value, count in top]
        if is_number and about["min"] is not None and about["min"] < about["max"]:
            [(bins,)] = connection.execute(histogram, [about["min"], about["max"]]).fetchall()
            about["histogram"] = [{"to": to, "count": count} for to, count in bins.items()]
        columns.append(about)
    found = {"rows": rows, "columns": columns}
    Path(statistics.path).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@dsl.component(base_image=PYTHON_IMAGE)
def report_profile(statistics: Input[Artifact], report: Output[HTML], title: str = "Profile") -> None:
    """Draws statistics as one HTML file that needs nothing else: no network, no script, the same bytes.

    Args:
        statistics: JSON of `profile`.
        report: A card for each column: type, nulls, range, and its distribution or most frequent values.
        title: Heading of the report.
    """
    import json
    from html import escape
    from pathlib import Path

    bar = '<i style="height:{:.1%}" title="up to {:,.6g}: {:,} rows"></i>'
    line = '<tr><td>{}<td class="share"><i style="width:{:.1%}"></i><td>{:,}'
    found = json.loads(Path(statistics.path).read_text(encoding="utf-8"))
    cards = []
    for about in found["columns"]:
        facts = f"{about['nulls']:,} null ({about['null_share']:.1%}) · {about['distinct']:,} distinct"
        if about.get("mean") is not None:
            facts += f" · {about['min']:,.6g} to {about['max']:,.6g} · "
            facts += (
                f"median {about['quantiles']['0.5']:,.4g} · mean {about['mean']:,.4g} ± {about['std']:,.4g}"
            )
        elif about["type"] != "VARCHAR" and about["min"] is not None:
            facts += f" · {escape(about['min'][:40])} to {escape(about['max'][:40])}"
        if about.get("not_finite"):
            facts += f" · {about['not_finite']:,} not finite"
        bins = about["histogram"] if about["distinct"] > 10 and "histogram" in about else []
        highest = max((item["count"] for item in bins or about["top"]), default=0)
        bars = [bar.format(item["count"] / highest, item["to"], item["count"]) for item in bins]
        top = [(escape(item["value"][:40]), item["count"]) for item in about["top"]]
        lines = [line.format(value, count / highest, count) for value, count in top]
        drawn = f'<div class="bars">{"".join(bars)}</div>' if bins else f"<table>{''.join(lines)}</table>"
        cards.append(
            f"<section><h2>{escape(about['name'])} <small>{escape(about['type'])}</small></h2><p>{facts}</p>"
            f'<p class="nulls"><i style="width:{about["null_share"]:.1%}"></i></p>{drawn}</section>'
        )
    style = """
        :root { color-scheme: light dark; --line: #8884; --bar: #4c78a8; --null: #e45756 }
        body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
        main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)) }
        section { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem }
        h1, h2 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere } h2 { font-size: 1rem }
        small, p { color: #888; font-weight: 400; margin: .4rem 0 }
        i { background: var(--bar); border-radius: 2px; display: block }
        .bars { align-items: flex-end; display: flex; gap: 1px; height: 5rem } .bars i { flex: 1 }
        table { border-spacing: 0; width: 100% } td { padding: 0 .4rem } td:last-child { text-align: right }
        .share { width: 45% } .share i { height: .7rem }
        .nulls { background: var(--line) } .nulls i { background: var(--null); height: .25rem }
    """
    heading = f"<h1>{escape(title)}</h1><p>{found['rows']:,} rows, {len(cards):,} columns</p>"
    report.uri += ".html"  # a browser and Cloud Storage tell the type by it
    Path(report.path).write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style>{heading}<main>{''.join(cards)}</main></html>\n",
        encoding="utf-8",
    )
