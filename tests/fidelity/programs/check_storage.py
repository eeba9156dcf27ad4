"""Cloud Storage by its own client, gcsfs, by what reads through fsspec, and by signed URLs."""

import datetime
import os
import time

import duckdb
import gcsfs
import pandas
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import Signing
from google.cloud import storage


@pytest.fixture
def files(bucket, unique):
    """A client's bucket; what lies below `unique` is deleted at the end."""
    client = storage.Client()
    yield client.bucket(bucket)
    for blob in client.list_blobs(bucket, prefix=f"{unique}/"):
        blob.delete()


@pytest.fixture(scope="module")
def file_system():
    is_local = "STORAGE_EMULATOR_HOST" in os.environ
    return gcsfs.GCSFileSystem(token="anon" if is_local else "google_default", skip_instance_cache=True)


def test_generations_decide_who_writes(files, unique):
    blob = files.blob(f"{unique}/a.txt")
    blob.upload_from_string("one", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("two", if_generation_match=0)
    first = blob.generation
    blob.upload_from_string("two", if_generation_match=first)
    assert blob.generation > first
    assert blob.download_as_bytes() == b"two"
    with pytest.raises(exceptions.NotFound):
        files.blob(f"{unique}/absent").reload()
    with pytest.raises(exceptions.Conflict):
        storage.Client().create_bucket(files.name)


def test_lists(files, unique):
    for name in ("a/1", "a/2", "b/1", "c"):
        files.blob(f"{unique}/{name}").upload_from_string(name)
    page = files.client.list_blobs(files, prefix=f"{unique}/", delimiter="/")
    assert [blob.name for blob in page] == [f"{unique}/c"]
    assert page.prefixes == {f"{unique}/a/", f"{unique}/b/"}
    paged = files.client.list_blobs(files, prefix=f"{unique}/", page_size=3)
    assert [len(list(each)) for each in paged.pages] == [3, 1]


def test_gcsfs_duckdb_and_pandas_read_what_the_others_wrote(files, file_system, unique):
    frame = pandas.DataFrame(
        {"customer": range(1000), "churned": [number % 3 == 0 for number in range(1000)]}
    )
    path = f"{files.name}/{unique}/frame.parquet"
    with file_system.open(path, "wb") as file:
        frame.to_parquet(file)
    assert files.blob(f"{unique}/frame.parquet").exists()
    assert pandas.read_parquet(file_system.open(path)).equals(frame)
    connection = duckdb.connect()
    connection.register_filesystem(file_system)
    (churned,) = connection.execute(f"SELECT sum(churned::int) FROM read_parquet('gcs://{path}')").fetchone()
    assert churned == 334
    assert file_system.find(f"{files.name}/{unique}") == [path]


@pytest.mark.parametrize("version", ["v2", "v4"])
def test_signed_urls(files, unique, credentials, version):
    if not isinstance(credentials, Signing):
        pytest.skip("the credentials cannot sign")

    def signed(name, method, **more):
        options = {"expiration": datetime.timedelta(minutes=5)} | more
        blob = files.blob(f"{unique}/{name}")
        return blob.generate_signed_url(version=version, method=method, credentials=credentials, **options)

    put = signed("a b", "PUT", content_type="text/plain")
    plain = {"content-type": "text/plain"}
    assert requests.put(put, data=b"signed", headers=plain, timeout=30).status_code == 200
    get = signed("a b", "GET")
    assert requests.get(get, timeout=30).content == b"signed"
    assert requests.get(get, headers={"range": "bytes=1-2"}, timeout=30).content == b"ig"
    assert requests.get(signed("absent", "GET"), timeout=30).status_code == 404
    assert requests.delete(get, timeout=30).status_code == 403
    assert requests.put(put, data=b"x", headers={"content-type": "text/html"}, timeout=30).status_code == 403
    assert requests.get(get.replace("a%20b", "other"), timeout=30).status_code == 403
    assert requests.get(get[:-4] + "abcd", timeout=30).status_code in (400, 403)
    soon = signed("a b", "GET", expiration=datetime.timedelta(seconds=1))
    deadline = time.monotonic() + 20
    while (answer := requests.get(soon, timeout=30)).status_code == 200:
        assert time.monotonic() < deadline, "it is good for a second only"
    assert answer.status_code == 400 and "ExpiredToken" in answer.text
    assert requests.delete(signed("a b", "DELETE"), timeout=30).status_code == 204
    assert not files.blob(f"{unique}/a b").exists()
