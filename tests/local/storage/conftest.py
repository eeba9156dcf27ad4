"""A real server of the storage room on a free loopback port, and real clients for it."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import uvicorn
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage

from trainwright.local.storage import Storage, storage_app

TOKEN = "token-of-the-test"
PROJECT_NUMBER = "100000000001"


@dataclass
class Cloud:
    """The server and where it is."""

    storage: Storage
    root: Path
    origin: str

    @property
    def url(self) -> str:
        return f"{self.origin}/{TOKEN}"

    def client(self) -> google_storage.Client:
        return google_storage.Client(
            project="trainwright-local",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.url},
        )

    def request(self, method: str, path: str, **kwargs: object) -> requests.Response:
        """Sends a path as it is: requests and urllib3 would tidy `..` away."""
        url = self.origin + path
        prepared = requests.Request(method, self.origin, **kwargs).prepare()
        prepared.url = url
        with requests.Session() as session:
            return session.send(prepared, timeout=30)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("state")
    storage = Storage(folder / "storage", folder / "storage.sqlite", project_number=PROJECT_NUMBER)
    storage.create_bucket("bucket")
    # With the protocol named, or asyncio leaves Nagle's algorithm on: 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    config = uvicorn.Config(storage_app(storage, token=TOKEN), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield Cloud(storage, folder / "storage", f"http://127.0.0.1:{listener.getsockname()[1]}")
    server.should_exit = True
    thread.join(20)
    listener.close()
    storage.close()


@pytest.fixture
def client(cloud: Cloud) -> google_storage.Client:
    return cloud.client()


@pytest.fixture
def bucket(client: google_storage.Client) -> google_storage.Bucket:
    return client.bucket("bucket")
