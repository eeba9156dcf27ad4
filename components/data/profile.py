"""What is in a dataset: statistics for programs, a page for people."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from trainwright.authoring.images import DUCKDB, PYTHON_IMAGE

# ruff: noqa: S608 - SQL holds only our own expressions and quoted names


@dsl.component(base_image=PYTHON_IMAGE, packages_to_install=[DUCKDB])
def profile(dataset: Input[Dataset], statistics: Output[Artifact], report: Output[HTML]) -> None:
    """Describes every column: type, nulls, distinct values, distribution, most frequent values.

    Args:
        dataset: Parquet, one file or a folder of files.
        statistics: JSON: `rows`, and `columns`, a list of `name`, `type` (DuckDB's), `nulls` (rows),
            `null_share` (0 to 1), `distinct` (exact), `min` and `max` (numbers as numbers, all else as text),
            `top` (the 10 most frequent, `value` and `count`; empty where more than 10 are all different) and,
            for numbers, `mean`, `std` (of the population), `quantiles` (of "0.05", "0.25", "0.5", "0.75" and
            "0.95"), `histogram` (20 bins of equal width from `min` on: `to`, `count`) and `not_finite` (rows
            with NaN or infinity, which the other numbers leave out).
        report: The same as an HTML page that loads nothing from elsewhere.

    Raises:
        duckdb.Error: `dataset` is no readable Parquet.
    """
    import glob
    import json
    from html import escape
    from pathlib import Path

    import duckdb

    files = glob.escape(dataset.path) + ("/*.parquet" if Path(dataset.path).is_dir() else "")
    connection = duckdb.connect()
    # One thread: the order in which floating-point numbers are added up decides their last digits.
    connection.execute("SET threads = 1")
    connection.read_parquet(files, hive_partitioning=False).create_view("data")
    [(rows,)] = connection.execute("SELECT count(*) FROM data").fetchall()
    numbers = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = ", ".join(f"'{share}': quantile_cont(number, {share})" for share in shares)
    of_all = "count(*) - count(value) AS nulls, nulls / count(*) AS null_share, "
    of_all += 'count(DISTINCT value) AS "distinct"'
    of_text = "min(value)::VARCHAR AS min, max(value)::VARCHAR AS max"
    of_number = f"""min(number) AS min, max(number) AS max, avg(number) AS mean, stddev_pop(number) AS std,
        {{{quantiles}}} AS quantiles, count(value) - count(number) AS not_finite"""
    histogram = "SELECT histogram(number, equi_width_bins(?, ?, 20, false)) FROM one"
    frequent = "SELECT value::VARCHAR, count(*) FROM one WHERE value NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"

    columns = []
    for name, kind, *_ in connection.execute("DESCRIBE FROM data").fetchall():
        column = '"' + name.replace('"', '""') + '"'
        is_number = kind.removeprefix("U").startswith(numbers) and not kind.endswith("]")
        number = f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END" if is_number else "NULL"
        connection.execute(
            f"CREATE OR REPLACE VIEW one AS SELECT {column} AS value, {number} AS number FROM data"
        )
        measures = f"SELECT {of_all}, {of_number if is_number else of_text} FROM one"
        [(measured,)] = connection.execute(f"SELECT to_json(m) FROM ({measures}) AS m").fetchall()
        about = {"name": name, "type": kind, **json.loads(measured), "top": []}
        if about["distinct"] <= 10 or about["distinct"] < rows - about["nulls"]:
            found = connection.execute(f"{frequent} LIMIT 10").fetchall()
            about["top"] = [{"value": value, "count": count} for value, count in found]
        if is_number and about["min"] is not None and about["min"] < about["max"]:
            [(bins,)] = connection.execute(histogram, [about["min"], about["max"]]).fetchall()
            about["histogram"] = [{"to": to, "count": count} for to, count in bins.items()]
        columns.append(about)
    Path(statistics.path).write_text(
        json.dumps({"rows": rows, "columns": columns}, indent=1) + "\n", encoding="utf-8"
    )

    bar = '<rect x="{}" y="{:.1f}" width="9" height="{:.1f}"><title>up to {:,.6g}: {:,} rows</title></rect>'
    line = '<tr><td>{}<td class="share"><i style="width:{:.1%}"></i><td>{:,}'
    cards = []
    for about in columns:
        facts = f"{about['nulls']:,} null ({about['null_share']:.1%}) · {about['distinct']:,} distinct"
        if about.get("mean") is not None:
            facts += " · {min:,.6g} to {max:,.6g} · mean {mean:,.4g} ± {std:,.4g}".format(**about)
        elif about["type"] != "VARCHAR" and about["min"] is not None:
            facts += f" · {escape(about['min'][:40])} to {escape(about['max'][:40])}"
        items, bars = about["top"], ""
        if about["distinct"] > 10 and "histogram" in about:
            items = about["histogram"]
        highest = max((item["count"] for item in items), default=0)
        for place, item in enumerate(items):
            share = item["count"] / highest
            if "to" in item:
                bars += bar.format(10 * place, 60 - 60 * share, 60 * share, item["to"], item["count"])
            else:
                bars += line.format(escape(item["value"][:40]), share, item["count"])
        drawing = f'<svg viewBox="0 0 200 60" preserveAspectRatio="none">{bars}</svg>'
        cards.append(
            f"<section><h2>{escape(about['name'])} <small>{escape(about['type'])}</small></h2>"
            f'<p class="share null"><i style="width:{about["null_share"]:.1%}"></i></p><p>{facts}</p>'
            f"{drawing if bars.startswith('<rect') else f'<table>{bars}</table>'}</section>"
        )
    style = """
:root { color-scheme: light dark; --line: #8884; --bar: #4c78a8; --null: #e45756; }
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; } small, p { color: #888; font-weight: normal; }
p { margin: .4rem 0; } svg { fill: var(--bar); height: 5rem; width: 100%; }
table { border-spacing: 0; width: 100%; } td { padding-right: .4rem; } td + td + td { text-align: right; }
.share { width: 45%; } .share i { background: var(--bar); display: block; height: .7rem; border-radius: 2px; }
.null { background: var(--line); width: 100%; } .null i { background: var(--null); height: .25rem; }
"""
    Path(report.path).write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Profile</title><style>{style}</style>'
        f"<h1>{rows:,} rows, {len(columns):,} columns</h1><main>{''.join(cards)}</main></html>\n",
        encoding="utf-8",
    )
