"""Names of buckets and objects against paths, as a table and over arbitrary text."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainwright.local.storage import InvalidName, Storage, names

ROOT = Path("/srv/storage")
SEGMENTS = st.lists(
    st.sampled_from(["a", "b c", "..", ".", "", "é", "x" * 255, "x" * 256, "\0", "~", "\\"]), max_size=5
)


@given(st.one_of(st.text(), SEGMENTS.map("/".join)))
@example("../x")
@example("/etc/passwd")
@example("a/..")
@example("folder/")
@example("\ud800")
@example("a\u2025/..")
def test_an_accepted_name_is_a_path_below_the_bucket_and_comes_back(name):
    if names.object_problem(name):
        with pytest.raises(InvalidName) as refused:
            names.object_path(ROOT, "bucket", name)
        assert "\n" not in str(refused.value)
        str(refused.value).encode()
        return
    path = names.object_path(ROOT, "bucket", name)
    assert os.path.normpath(path) == str(path)
    assert path.is_relative_to(ROOT / "bucket")
    assert path != ROOT / "bucket"
    assert names.object_name(ROOT, path) == ("bucket", name.removesuffix("/"))
    assert names.parse_uri(f"gs://bucket/{name}") == ("bucket", name)


@given(st.text(alphabet="abc019-_./G", min_size=0, max_size=80))
def test_an_accepted_bucket_is_one_folder(name):
    if names.bucket_problem(name) is None:
        assert names.bucket_folder(ROOT, name).parent == ROOT
        assert not name.startswith(".")


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Upper", "-x-", "x_", "a..b", "10.0.0.1", "goog-x", "my-google", "..", "a/b", ""]
)
def test_bad_buckets(name):
    with pytest.raises(InvalidName, match="Invalid bucket name"):
        names.check_bucket(name)


@pytest.mark.parametrize(
    "uri", ["", "bucket/x", "s3://bucket/x", "gs://", "gs:///x", "gs://bucket/../x", "gs://Bucket/x"]
)
def test_bad_uris(uri, tmp_path):
    storage = Storage(tmp_path / "storage", tmp_path / "storage.sqlite", project_number="1")
    with pytest.raises(ValueError, match=r"^Invalid URI: [^\n]*$"):
        storage.path(uri)


def test_paths_of_uris(tmp_path):
    storage = Storage(tmp_path / "storage", tmp_path / "storage.sqlite", project_number="1")
    assert storage.path("gs://bucket/a/b.txt") == storage.root / "bucket/a/b.txt"
    assert storage.path("gs://bucket/a/") == storage.root / "bucket/a"
    assert storage.path("gs://bucket") == storage.path("gs://bucket/") == storage.root / "bucket"
    assert list(storage.list_buckets()) == []
    storage.create_bucket("bucket")
    storage.create_bucket("bucket")
    assert list(storage.list_buckets()) == ["bucket"]
