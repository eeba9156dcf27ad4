"""The folder is the truth: other processes' files, links, a killed server, a full disk."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import requests
from google.api_core import exceptions

from trainwright.local.storage import Storage
from trainwright.local.storage.listing import Selection
from trainwright.local.storage.objects import Checksums, Target


def test_files_written_from_outside_are_objects(cloud, bucket):
    path = cloud.root / "bucket/outside/table.csv"
    path.parent.mkdir()
    path.write_text("x\n1\n")
    blob = bucket.get_blob("outside/table.csv")
    assert (blob.size, blob.content_type, blob.metageneration) == (4, "text/csv", 1)
    assert blob.download_as_bytes(checksum="crc32c") == b"x\n1\n"
    assert bucket.get_blob("outside/table.csv").generation == blob.generation
    blob.metadata = {"kept": "while unchanged"}
    blob.patch()
    assert bucket.get_blob("outside/table.csv").metadata == {"kept": "while unchanged"}
    path.write_text("x\n1\n2\n")
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("mine", if_generation_match=blob.generation)
    changed = bucket.get_blob("outside/table.csv")
    assert changed.generation > blob.generation
    assert changed.metadata is None
    assert [each.name for each in bucket.list_blobs(prefix="outside/")] == ["outside/table.csv"]
    path.unlink()
    assert not bucket.blob("outside/table.csv").exists()
    assert list(bucket.list_blobs(prefix="outside/")) == []
    (cloud.root / "folder-bucket").mkdir()
    assert cloud.client().get_bucket("folder-bucket").project_number == 100000000001


def test_links_and_devices_are_no_objects(cloud, bucket, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = cloud.root / "bucket/links"
    folder.mkdir()
    (folder / "file").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    (cloud.root / "linked-bucket").symlink_to(tmp_path)
    for name in ("links/file", "links/folder/secret", "links/pipe", "links/folder/"):
        assert not bucket.blob(name).exists()
        with pytest.raises(exceptions.NotFound):
            bucket.blob(name).download_as_bytes()
    assert list(bucket.list_blobs(prefix="links/")) == []
    assert list(bucket.list_blobs(prefix="links/folder/")) == []
    with pytest.raises(exceptions.BadRequest, match="symbolic link"):
        bucket.blob("links/folder/new").upload_from_string("x")
    with pytest.raises(exceptions.BadRequest, match="symbolic link"):
        bucket.blob("links/folder/deep/new").upload_from_string("x")
    with pytest.raises(exceptions.NotFound):
        cloud.client().bucket("linked-bucket").blob("secret").download_as_bytes()
    assert sorted(tmp_path.iterdir()) == [secret]
    bucket.blob("links/file").upload_from_string("replaces the link")
    assert secret.read_text() == "secret"


def test_metadata_and_sessions_survive_a_restart(tmp_path):
    arguments = (tmp_path / "storage", tmp_path / "storage.sqlite")
    storage = Storage(*arguments, project_number="1")
    storage.create_bucket("bucket")
    with storage.objects.stage() as staged:
        staged.write(b"content")
        stored = storage.objects.insert(Target("bucket", "a"), staged, {"metadata": {"key": "value"}})
    session = storage.uploads.start(Target("bucket", "b"), {}, Checksums(), None, {})
    storage.uploads.staged(session).write(b"half")
    (tmp_path / "storage/.staging/left-behind").write_text("by a killed process")
    storage.close()
    again = Storage(*arguments, project_number="1")
    assert again.objects.get(Target("bucket", "a")) == stored
    assert [file.name for file in (tmp_path / "storage/.staging").iterdir()] == [session]
    staged = again.uploads.staged(session)
    assert staged.size == 4
    staged.write(b" and half")
    finished = again.uploads.finish(again.uploads.get(session), Checksums())
    assert (tmp_path / "storage/bucket/b").read_bytes() == b"half and half"
    assert again.uploads.finished(again.uploads.get(session)) == finished


KILLED = """
    import sys
    from pathlib import Path
    from trainwright.local.storage import Storage
    from trainwright.local.storage.objects import Target
    storage = Storage(Path(sys.argv[1]), Path(sys.argv[2]), project_number="1")
    storage.create_bucket("bucket")
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        with storage.objects.stage() as staged:
            staged.write(str(number).encode() * 1000)
            target = Target("bucket", f"o{number % 3}")
            storage.objects.insert(target, staged, {"metadata": {"number": str(number)}})
"""


def test_a_kill_leaves_whole_objects_with_their_own_metadata(tmp_path):
    folders = [tmp_path / "storage", tmp_path / "storage.sqlite"]
    for delay in (0.05, 0.11, 0.17):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), *map(str, folders)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        storage = Storage(*folders, project_number="1")
        found, _ = storage.objects.list("bucket", Selection())
        assert found
        for stored in found:
            content = storage.path(f"gs://bucket/{stored.name}").read_bytes().decode()
            assert content == stored.attributes["metadata"]["number"] * 1000
        assert list((folders[0] / ".staging").iterdir()) == []
        storage.close()


FULL = """
    import resource, signal, socket, sys
    from pathlib import Path
    import uvicorn
    from trainwright.local.storage import Storage, storage_app
    storage = Storage(Path(sys.argv[1]), Path(sys.argv[2]), project_number="1")
    storage.create_bucket("bucket")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(storage_app(storage, token="t"), log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])
"""


def test_a_write_that_the_disk_refuses_is_reported_at_once_and_leaves_nothing(tmp_path):
    """The kernel's limit for files stands for a full disk: the same failing write, without root."""
    root = tmp_path / "storage"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FULL), str(root), str(tmp_path / "storage.sqlite")],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        url = f"http://127.0.0.1:{port}/t/upload/storage/v1/b/bucket/o?name=a&uploadType="
        ok = requests.post(url + "media", b"x" * 1000, timeout=10)
        assert ok.status_code == 200
        refused = requests.post(url + "media", b"y" * (3 << 20), timeout=10)
        assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (
            507,
            "insufficientStorage",
        )
        assert "cannot write" in refused.json()["error"]["message"]
        session = requests.post(url + "resumable", timeout=10).headers["location"]
        assert requests.put(session, b"y" * (3 << 20), timeout=10).status_code == 507
        assert requests.put(session, headers={"content-range": "bytes */*"}, timeout=10).status_code == 404
        assert (root / "bucket/a").read_bytes() == b"x" * 1000
        assert list((root / ".staging").iterdir()) == []
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()
