"""ingest and fingerprint_source on real files, well and badly made."""

import gzip
import os
from pathlib import Path

import duckdb
import pytest
from kfp.dsl import Dataset

from trainwright.components.data.fingerprint import fingerprint_source
from trainwright.components.data.ingest import ingest


def ingested(folder: Path, source: str, **arguments: str) -> Dataset:
    dataset = Dataset(name="dataset", uri=str(folder / "out" / "dataset"))
    ingest.python_func(dataset=dataset, source=source, **arguments)
    return dataset


def rows_of(dataset: Dataset) -> list[tuple]:
    return duckdb.read_parquet(f"{dataset.path}/*.parquet").fetchall()


def test_csv_keeps_rows_types_and_order(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text('name,id,day\n"Doe, J",3,2026-01-02\n')
    (tmp_path / "a.csv").write_text("id,name,day\n1,O'Brien,2026-01-01\n2,,2026-01-03\n")
    (tmp_path / "_SUCCESS").write_text("")
    dataset = ingested(tmp_path, str(tmp_path / "*.csv"), source_version="v1")
    assert [row[:2] for row in rows_of(dataset)] == [(1, "O'Brien"), (2, None), (3, "Doe, J")]
    assert dataset.metadata == {
        "rows": 3,
        "columns": ["id", "name", "day"],
        "schema": {"id": "BIGINT", "name": "VARCHAR", "day": "DATE"},
        "format": "parquet",
        "source": str(tmp_path / "*.csv"),
        "source_version": "v1",
        "files": 2,
    }


def test_codes_and_words_stay_text(tmp_path: Path) -> None:
    late = "\n".join(["code,zip,churn,on,n", *["1,01067,yes,true,1"] * 30_000, "x,1,no,false,2"])
    (tmp_path / "codes.csv").write_text(late)
    dataset = ingested(tmp_path, str(tmp_path / "codes.csv"))
    assert list(dataset.metadata["schema"].values()) == ["VARCHAR"] * 4 + ["BIGINT"]
    assert rows_of(dataset)[::30_000] == [("1", "01067", "yes", "true", 1), ("x", "1", "no", "false", 2)]


def test_json_lines_and_parquet_and_gz(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"id": 1}\n{"id": 2, "tag": "x"}\n')
    assert rows_of(ingested(tmp_path, str(tmp_path / "one.jsonl"))) == [(1, None), (2, "x")]
    duckdb.sql("SELECT 7 AS id").write_parquet(str(tmp_path / "two.parquet"))
    assert rows_of(ingested(tmp_path, str(tmp_path / "two.parquet"))) == [(7,)]
    (tmp_path / "three.csv.gz").write_bytes(gzip.compress(b"id;n\n1;2\n"))
    assert rows_of(ingested(tmp_path, str(tmp_path / "three.csv.gz"), delimiter=";")) == [(1, 2)]


def test_folders_globs_and_glob_characters_in_names(tmp_path: Path) -> None:
    deep = tmp_path / "year=[2026]" / "month=01"
    deep.mkdir(parents=True)
    (deep / "a[1].csv").write_text("id\n1\n")
    (deep.parent / "b.csv").write_text("id\n2\n")
    for source in (str(deep.parent), str(tmp_path / "**" / "*.csv")):
        assert sorted(rows_of(ingested(tmp_path, source))) == [(1,), (2,)]


def test_gs_address_is_read_through_kfp_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfp.dsl.types.artifact_types._GCS_LOCAL_MOUNT_PREFIX", f"{tmp_path}/")
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "a.csv").write_text("id\n1\n")
    assert rows_of(ingested(tmp_path, "gs://bucket/*.csv")) == [(1,)]
    assert fingerprint_source.python_func("gs://bucket/*.csv")


BAD = [
    ({}, "*.csv", {}, r"no file there"),
    ({"a.csv": b""}, "a.csv", {}, r"a\.csv: empty file \(0 bytes\)"),
    ({"a.csv": b"id,n\n"}, "a.csv", {}, r"no row in a\.csv"),
    (
        {"a.csv": b"id,n\n1\n2,3,4\n"},
        "a.csv",
        {},
        r"a\.csv: cannot be read as csv: rows of different lengths",
    ),
    (
        {"a.csv": b"id,n\n" + b"1,2\n" * 30_000 + b"1,2,3\n"},
        "a.csv",
        {},
        r"a\.csv: .* Line: 30002 .*Found: 3",
    ),
    ({"a.csv": b"id;n\n1;2,5\n"}, "a.csv", {}, r"not separated by ','"),
    ({"a.csv": b"name,n\nM\xfcller,1\n"}, "a.csv", {}, r"a\.csv: .*utf-8"),
    ({"a.parquet": b"no parquet at all"}, "a.parquet", {}, r"a\.parquet: cannot be read as parquet"),
    ({"a.jsonl": b'{"id": 1}\nhello\n'}, "a.jsonl", {}, r"a\.jsonl: cannot be read as jsonl: .*Malformed"),
    ({"a.jsonl": b"1\n2\n"}, "a.jsonl", {}, r"a\.jsonl: cannot be read as jsonl: .*records"),
    ({"a.csv": b"id\n1\n", "b.jsonl": b'{"id": 1}\n'}, "*", {}, r"b\.jsonl is jsonl, but .*a\.csv is csv"),
    (
        {"a.csv": b"id,n\n1,2\n", "b.csv": b"id,m\n1,2\n"},
        "*",
        {},
        r"b\.csv: other columns than .*a\.csv.*: m, n",
    ),
    ({"a.xlsx": b"PK"}, "*", {}, r"a\.xlsx: unknown format '\.xlsx'; expected one of \.csv"),
    ({"a.csv": b"id\n1\n"}, "*", {"file_format": "xml"}, r"unknown format 'xml'"),
]


@pytest.mark.parametrize(("files", "source", "arguments", "message"), BAD)
def test_bad_source_is_named_in_one_line(
    tmp_path: Path, files: dict, source: str, arguments: dict, message: str
) -> None:
    (tmp_path / "in").mkdir()
    for name, content in files.items():
        (tmp_path / "in" / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        ingested(tmp_path, str(tmp_path / "in" / source), **arguments)
    assert "\n" not in str(raised.value)


def test_fingerprint_follows_names_and_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("id\n1\n")
    version = fingerprint_source.python_func(str(tmp_path / "one"))
    assert len(version) == 64
    assert fingerprint_source.python_func(str(tmp_path / "two" / "*.csv")) == version
    os.utime(tmp_path / "one" / "a.csv", (1, 1))
    assert fingerprint_source.python_func(str(tmp_path / "one")) == version
    seen = {version, fingerprint_source.python_func(str(tmp_path / "one"), read_contents=False)}
    os.utime(tmp_path / "one" / "a.csv", (2, 2))
    seen.add(fingerprint_source.python_func(str(tmp_path / "one"), read_contents=False))
    (tmp_path / "one" / "a.csv").write_text("id\n2\n")
    seen.add(fingerprint_source.python_func(str(tmp_path / "one")))
    (tmp_path / "one" / "b.csv").write_text("id\n2\n")
    seen.add(fingerprint_source.python_func(str(tmp_path / "one")))
    (tmp_path / "one" / "b.csv").rename(tmp_path / "one" / "c.csv")
    seen.add(fingerprint_source.python_func(str(tmp_path / "one")))
    assert len(seen) == 6
    with pytest.raises(ValueError, match=r"source .*nothing\.csv: no file there"):
        fingerprint_source.python_func(str(tmp_path / "nothing.csv"))
