"""Profile: numbers that can be checked by hand, and a page that loads nothing and escapes everything."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
from kfp.dsl import HTML, Artifact, Dataset

from trainwright.components.data.profile import profile, report_profile

ROWS = """SELECT i AS id, CASE WHEN i < 25 THEN NULL ELSE i / 2.0 END AS half, i % 4 = 0 AS flag,
    CASE WHEN i = 0 THEN 'nan'::DOUBLE WHEN i = 1 THEN 'inf'::DOUBLE ELSE 1 END AS odd, NULL AS nothing,
    DATE '2026-01-01' + i::INTEGER AS day, [i] AS list, '<script>alert(' || i % 3 || ')</script>' AS "<b>&""'"
    FROM range(100) t(i)"""


@pytest.fixture
def profiled(tmp_path: Path) -> tuple[dict, str]:
    duckdb.sql(ROWS).write_parquet(str(tmp_path / "part-00000.parquet"))
    statistics, report = Artifact(uri=str(tmp_path / "s")), HTML(uri=str(tmp_path / "r"))
    profile.python_func(Dataset(uri=str(tmp_path / "part-00000.parquet")), statistics)
    report_profile.python_func(statistics, report, title="Customers <all>")
    assert report.uri == str(tmp_path / "r.html")
    return json.loads(Path(statistics.path).read_text()), Path(report.path).read_text()


def test_statistics(profiled: tuple[dict, str]) -> None:
    statistics, _ = profiled
    assert statistics["rows"] == 100
    columns = {column["name"]: column for column in statistics["columns"]}
    number = columns["id"]
    assert (number["min"], number["max"], number["mean"], number["distinct"]) == (0, 99, 49.5, 100)
    assert number["std"] == pytest.approx((9999 / 12) ** 0.5)
    assert number["quantiles"] == pytest.approx(
        {"0.05": 4.95, "0.25": 24.75, "0.5": 49.5, "0.75": 74.25, "0.95": 94.05}
    )
    assert [item["count"] for item in number["histogram"]] == [5] * 20
    assert number["histogram"][-1]["to"] == 99
    assert number["top"] == []
    assert (columns["half"]["nulls"], columns["half"]["null_share"]) == (25, 0.25)
    assert columns["flag"]["top"] == [{"value": "false", "count": 75}, {"value": "true", "count": 25}]
    assert (columns["odd"]["not_finite"], columns["odd"]["mean"]) == (2, 1)
    assert (columns["nothing"]["distinct"], columns["nothing"]["nulls"]) == (0, 100)
    assert (columns["day"]["min"], columns["day"]["max"]) == ("2026-01-01", "2026-04-10")


def test_page_is_self_contained_and_escaped(profiled: tuple[dict, str]) -> None:
    _, page = profiled
    tags, texts = [], []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.handle_data = texts.append
    parser.feed(page)
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "b"}
    assert not any({"src", "href", "onclick", "onerror"} & set(attributes) for _, attributes in tags)
    assert "url(" not in page and "@import" not in page and "http" not in page
    assert "<script>alert(0)</script>" in texts
    assert any(text.startswith("<b>&\"'") for text in texts)
    assert page.count("<section>") == 8
    assert "Customers <all>" in texts and "100 rows, 8 columns" in texts
    assert sum(text.endswith("2 not finite") for text in texts) == 1
    sizes = [float(size) for size in re.findall(r"(?:width|height):([\d.]+)%\"", page)]
    assert len(sizes) > 40 and max(sizes) == 100


def test_same_bytes_again(tmp_path: Path) -> None:
    query = "SELECT hash(i) / 1e9 AS x, i % 1000 AS g FROM range(300000) t(i)"
    duckdb.sql(query).write_parquet(str(tmp_path / "part-00000.parquet"))
    pages = []
    for name in ("one", "two"):
        out = Artifact(uri=str(tmp_path / name)), HTML(uri=str(tmp_path / name))
        profile.python_func(Dataset(uri=str(tmp_path)), out[0])
        report_profile.python_func(*out)
        pages.append([Path(artifact.path).read_bytes() for artifact in out])
    assert pages[0] == pages[1]
