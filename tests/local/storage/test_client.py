"""Google's own client, unmodified, against the server."""

import base64
import gzip
import hashlib
import io
import os
import threading

import google_crc32c
import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage as google_storage

MIB = 1 << 20


def base64_md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_buckets(cloud, client):
    made = client.create_bucket("second-bucket", location="europe-west4")
    assert (made.location, made.project_number, made.storage_class) == (
        "EUROPE-WEST4",
        100000000001,
        "STANDARD",
    )
    assert (cloud.root / "second-bucket").is_dir()
    made.labels = {"team": "churn"}
    made.patch()
    assert client.get_bucket("second-bucket").labels == {"team": "churn"}
    assert client.get_bucket("second-bucket").time_created is not None
    assert [each.name for each in client.list_buckets(prefix="second")] == ["second-bucket"]
    assert [each.name for each in client.list_buckets(max_results=1)] == ["bucket"]
    with pytest.raises(exceptions.Conflict):
        client.create_bucket("second-bucket")
    policy = made.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"allUsers"}})
    made.set_iam_policy(policy)
    assert len(made.get_iam_policy().bindings) == 1
    assert made.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    made.blob("a/b").upload_from_string("x")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        made.delete()
    made.delete(force=True)
    assert not (cloud.root / "second-bucket").exists()
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("second-bucket")
    with pytest.raises(exceptions.MethodNotImplemented, match="versioning"):
        versioned = client.bucket("third-bucket")
        versioned.versioning_enabled = True
        versioned.create()
    assert not (cloud.root / "third-bucket").exists()


def test_small_object_and_its_metadata(cloud, bucket):
    blob = bucket.blob("runs/1/metrics.json")
    blob.metadata = {"stage": "test"}
    blob.cache_control = "no-store"
    blob.content_disposition = 'attachment; filename="métrique.json"'
    blob.upload_from_string('{"auRoc": 0.8}', content_type="application/json")
    assert (cloud.root / "bucket/runs/1/metrics.json").read_text() == '{"auRoc": 0.8}'
    again = bucket.get_blob("runs/1/metrics.json")
    assert again.generation == blob.generation
    assert again.content_type == "application/json"
    assert again.metadata == {"stage": "test"}
    assert again.content_disposition == 'attachment; filename="métrique.json"'
    assert again.download_as_text() == '{"auRoc": 0.8}'
    assert again.md5_hash == base64_md5(b'{"auRoc": 0.8}')
    again.metadata = {"owner": "me"}
    again.patch()
    assert again.metadata == {"stage": "test", "owner": "me"}
    assert (again.metageneration, again.generation) == (2, blob.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        again.patch(if_metageneration_match=1)
    again.metadata = {"stage": None}
    again.update()
    assert not again.metadata
    again.delete()
    assert not again.exists()
    assert not (cloud.root / "bucket/runs/1/metrics.json").exists()
    with pytest.raises(exceptions.NotFound, match="No such object: bucket/runs/1/metrics"):
        bucket.blob("runs/1/metrics.json").download_as_bytes()


def test_resumable_upload_of_30_mb_in_chunks_and_ranged_downloads(cloud, bucket):
    content = os.urandom(30 * MIB + 17)
    blob = bucket.blob("big/model.bin", chunk_size=2 * MIB)
    blob.upload_from_file(io.BytesIO(content), checksum="crc32c")
    assert (cloud.root / "bucket/big/model.bin").read_bytes() == content
    assert blob.size == len(content)
    plain = bucket.blob("big/model.bin")
    assert plain.download_as_bytes(checksum="md5") == content
    assert plain.download_as_bytes(start=5 * MIB, end=5 * MIB + 9) == content[5 * MIB : 5 * MIB + 10]
    assert plain.download_as_bytes(start=-7, raw_download=True) == content[-7:]
    chunked = bucket.blob("big/model.bin", chunk_size=8 * MIB)
    assert chunked.download_as_bytes() == content
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        plain.download_as_bytes(start=len(content) + 5)
    assert list((cloud.root / ".staging").iterdir()) == []


def test_open_for_writing_and_reading(bucket):
    lines = [f"line {number}\n" for number in range(50_000)]
    with bucket.blob("text/lines.txt").open("w", chunk_size=256 * 1024) as file:
        file.writelines(lines)
    with bucket.blob("text/lines.txt").open("r") as file:
        assert file.readlines() == lines
    with bucket.blob("text/lines.txt").open("rb") as file:
        file.seek(-7, io.SEEK_END)
        assert file.read() == b" 49999\n"
    with bucket.blob("text/empty").open("wb"):
        pass
    assert bucket.blob("text/empty").download_as_bytes() == b""


def test_wrong_checksums_are_refused(cloud, bucket):
    blob = bucket.blob("checked")
    blob.md5_hash = base64_md5(b"something else")
    with pytest.raises(exceptions.BadRequest, match="MD5"):
        blob.upload_from_string(b"content", checksum=None)
    blob = bucket.blob("checked")
    blob.crc32c = "AAAAAA=="
    with pytest.raises(exceptions.BadRequest, match="CRC32C"):
        blob.upload_from_file(io.BytesIO(b"content"), checksum=None)
    url = f"{cloud.url}/upload/storage/v1/b/bucket/o?uploadType=media&name=checked"
    refused = requests.post(url, b"content", headers={"x-goog-hash": "crc32c=AAAAAA=="}, timeout=10)
    assert refused.status_code == 400
    right = google_crc32c.Checksum(b"content").digest()
    hash_header = {"x-goog-hash": f"crc32c={base64.b64encode(right).decode()}"}
    assert not bucket.blob("checked").exists()
    assert requests.post(url, b"content", headers=hash_header, timeout=10).status_code == 200
    assert bucket.blob("checked").exists()


def test_listing(bucket):
    names = ["l/a", "l/a-", "l/a.txt", "l/a/1", "l/a/2/x", "l/b/", "l/b/3", "l/é", "l/z"]
    names[0] = "l/A"  # "l/a" itself is a folder
    for name in names:
        bucket.blob(name).upload_from_string("")
    listed = [blob.name for blob in bucket.list_blobs(prefix="l/")]
    assert listed == sorted(names)

    def page_through(**options):
        pages = bucket.list_blobs(page_size=2, **options)
        items = []
        for page in pages.pages:
            items.append([blob.name for blob in page])
        assert all(len(page) <= 2 for page in items)
        return [name for page in items for name in page], pages.prefixes

    assert page_through(prefix="l/") == (sorted(names), set())
    assert page_through(prefix="l/", delimiter="/") == (
        ["l/A", "l/a-", "l/a.txt", "l/z", "l/é"],
        {"l/a/", "l/b/"},
    )
    assert page_through(prefix="l/", delimiter="a")[1] == {"l/a"}
    with_folders = bucket.list_blobs(prefix="l/", delimiter="/", include_trailing_delimiter=True)
    assert "l/b/" in [blob.name for blob in with_folders]
    bounded = bucket.list_blobs(start_offset="l/a.txt", end_offset="l/b/3")
    assert [blob.name for blob in bounded] == ["l/a.txt", "l/a/1", "l/a/2/x", "l/b/"]
    assert [blob.name for blob in bucket.list_blobs(match_glob="l/**/[0-2x]")] == ["l/a/1", "l/a/2/x"]
    assert [blob.name for blob in bucket.list_blobs(match_glob="l/{A,z}")] == ["l/A", "l/z"]
    assert list(bucket.list_blobs(prefix="../")) == []


def test_one_of_64_creators_wins(cloud):
    wins, losses = [], []
    start = threading.Barrier(64)

    def create(number: int) -> None:
        blob = cloud.client().bucket("bucket").blob("race/created")
        start.wait()
        try:
            blob.upload_from_string(str(number), if_generation_match=0)
            wins.append(number)
        except exceptions.PreconditionFailed:
            losses.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wins), len(losses)) == (1, 63)
    assert (cloud.root / "bucket/race/created").read_text() == str(wins[0])


def test_compare_and_swap_loses_no_increment(cloud, bucket):
    bucket.blob("race/counter").upload_from_string("0")

    def increment(times: int) -> None:
        mine = cloud.client().bucket("bucket")
        for _ in range(times):
            while True:
                blob = mine.get_blob("race/counter")
                try:
                    value = int(blob.download_as_bytes(if_generation_match=blob.generation))
                    mine.blob("race/counter").upload_from_string(
                        str(value + 1), if_generation_match=blob.generation
                    )
                    break
                except (exceptions.PreconditionFailed, exceptions.NotFound):
                    continue

    threads = [threading.Thread(target=increment, args=(4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.blob("race/counter").download_as_bytes() == b"16"


def test_preconditions(bucket):
    blob = bucket.blob("conditions")
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("x", if_generation_not_match=0)
    blob.upload_from_string("one", if_generation_match=0)
    first = blob.generation
    for refused in (
        lambda: blob.delete(if_generation_match=first + 1),
        lambda: blob.delete(if_metageneration_not_match=1),
        lambda: bucket.blob("conditions").compose([blob], if_generation_match=0),
        lambda: bucket.copy_blob(blob, bucket, "copied", if_source_generation_match=1),
        lambda: bucket.copy_blob(blob, bucket, "conditions", if_generation_match=0),
        lambda: bucket.move_blob(blob, "moved", if_source_generation_match=1),
        lambda: bucket.blob("composed").compose([blob], if_source_generation_match=[7]),
        lambda: blob.download_as_bytes(if_generation_match=1),
        lambda: blob.upload_from_file(io.BytesIO(b"r"), if_generation_match=first - 1),
    ):
        with pytest.raises(exceptions.PreconditionFailed):
            refused()
    with pytest.raises(exceptions.GoogleAPICallError) as unmodified:
        bucket.blob("conditions").reload(if_generation_not_match=first)
    assert unmodified.value.code == 304
    blob.upload_from_string("two", if_generation_match=first)
    assert blob.generation > first
    assert bucket.blob("conditions", generation=first).exists() is False
    assert bucket.blob("conditions").download_as_bytes() == b"two"


def test_copy_rewrite_compose_move_and_batch(cloud, client, bucket):
    client.create_bucket("other-bucket")
    other = client.bucket("other-bucket")
    one = bucket.blob("c/one")
    one.metadata = {"key": "value"}
    one.upload_from_string("1" * 1000, content_type="text/plain")
    two = bucket.blob("c/two")
    two.upload_from_string("2")
    copied = bucket.copy_blob(one, other, "deep/copy")
    assert copied.metadata == {"key": "value"}
    assert copied.content_type == "text/plain"
    rewritten = other.blob("rewritten")
    assert rewritten.rewrite(one) == (None, 1000, 1000)
    two.update_storage_class("NEARLINE")
    assert bucket.get_blob("c/two").storage_class == "NEARLINE"
    composed = bucket.blob("c/both")
    composed.content_type = "text/plain"
    composed.compose([one, two])
    assert composed.download_as_bytes() == b"1" * 1000 + b"2"
    assert (composed.component_count, composed.md5_hash) == (2, None)
    with pytest.raises(exceptions.NotFound):
        composed.compose([bucket.blob("c/none")])
    parts = [bucket.blob(f"c/part{number}") for number in range(3)]
    for part in parts:
        part.upload_from_string(part.name[-1])
    parts[0].compose(parts, delete_source_objects=True)  # onto its own first part
    assert parts[0].download_as_bytes() == b"012"
    assert [blob.name for blob in bucket.list_blobs(prefix="c/part")] == ["c/part0"]
    moved = bucket.move_blob(two, "c/three")
    assert moved.size == 1
    assert not two.exists()
    assert (cloud.root / "bucket/c/three").read_text() == "2"
    assert bucket.rename_blob(moved, "c/four").name == "c/four"
    with client.batch():
        one.metadata = {"key": "ü"}
        one.patch()
        bucket.blob("c/four").delete()
    assert bucket.get_blob("c/one").metadata == {"key": "ü"}
    assert not bucket.blob("c/four").exists()
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.blob("c/none").delete()
        bucket.blob("c/both").delete()
    assert not bucket.blob("c/both").exists()


def test_gzip_content(cloud, bucket):
    text = b"compressible " * 10_000 + bytes(5 * MIB)
    blob = bucket.blob("zipped.txt")
    blob.content_encoding = "gzip"
    blob.upload_from_string(
        gzip.compress(text[:1000]) + gzip.compress(text[1000:]), content_type="text/plain"
    )
    assert bucket.blob("zipped.txt").download_as_bytes() == text
    assert gzip.decompress(bucket.blob("zipped.txt").download_as_bytes(raw_download=True)) == text
    plain = cloud.request("GET", "/token-of-the-test/storage/v1/b/bucket/o/zipped.txt?alt=media")
    assert "content-encoding" not in plain.headers
    assert plain.content == text


@pytest.mark.parametrize(
    "name",
    [
        "ü/ñ/日本語 🎉",
        "a b+c&d=e?f#g%2F",
        "...",
        "a/..b",
        "'quotes\"",
        "back\\slash",
        "tab\tin",
        "~",
        "-rf",
        "x" * 255,
    ],
)
def test_odd_names_are_plain_files(cloud, bucket, name):
    bucket.blob(f"odd/{name}").upload_from_string(name)
    assert (cloud.root / "bucket/odd" / name).read_text() == name
    assert bucket.blob(f"odd/{name}").download_as_text() == name
    assert name in [blob.name.removeprefix("odd/") for blob in bucket.list_blobs(prefix="odd/")]
    bucket.blob(f"odd/{name}").delete()


@pytest.mark.parametrize(
    "name",
    ["/absolute", "a//b", "../out", "a/../../out", "a/./b", "n\0ul", "line\nfeed", "y" * 256, "z/" * 600],
)
def test_names_that_cannot_be_files_are_refused(cloud, bucket, name):
    before = sorted(cloud.root.parent.rglob("*"))
    with pytest.raises(exceptions.BadRequest, match="Invalid object name"):
        bucket.blob(name).upload_from_string("x")
    with pytest.raises(exceptions.BadRequest, match="Invalid object name"):
        bucket.blob(name).upload_from_file(io.BytesIO(b"x"))
    assert sorted(cloud.root.parent.rglob("*")) == before
    assert not bucket.blob(name).exists()


def test_files_and_folders_in_each_others_way(cloud, bucket):
    bucket.blob("way/a/b").upload_from_string("x")
    with pytest.raises(exceptions.Conflict, match="plain files"):
        bucket.blob("way/a").upload_from_string("y")
    with pytest.raises(exceptions.Conflict, match="plain files"):
        bucket.blob("way/a/b/c").upload_from_string("y")
    bucket.blob("way/a/b").delete()
    bucket.blob("way/a").upload_from_string("now it can be a file")
    assert (cloud.root / "bucket/way/a").is_file()
    bucket.blob("way/folder/").upload_from_string("")
    assert bucket.blob("way/folder/").exists()
    assert bucket.blob("way/folder/").download_as_bytes() == b""
    assert (cloud.root / "bucket/way/folder").is_dir()
    with pytest.raises(exceptions.BadRequest, match="folder"):
        bucket.blob("way/folder/").upload_from_string("content")
    with pytest.raises(exceptions.Conflict, match="placeholder"):
        bucket.blob("way/folder").upload_from_string("content")
    bucket.blob("way/folder/").delete()
    assert not bucket.blob("way/folder/").exists()
    assert list(bucket.list_blobs(prefix="way/folder")) == []


def test_a_missing_bucket(client):
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        client.bucket("no-such-bucket").blob("x").upload_from_string("x")
    with pytest.raises(exceptions.NotFound):
        list(client.list_blobs("no-such-bucket"))


def test_what_is_not_implemented_says_so(client, bucket):
    with pytest.raises(exceptions.MethodNotImplemented, match="does not implement"):
        list(bucket.list_notifications())
    blob = bucket.blob("held")
    blob.upload_from_string("x")
    blob.temporary_hold = True
    with pytest.raises(exceptions.MethodNotImplemented, match="temporaryHold"):
        blob.patch()
    with pytest.raises(exceptions.MethodNotImplemented, match="encrypt"):
        google_storage.Blob("key", bucket, encryption_key=b"k" * 32).upload_from_string("x")
