"""The CONNECT proxy: who may use it, what it ends, what it lets through untouched, and how it stops."""

import base64
import contextlib
import datetime
import errno
import functools
import http.server
import ipaddress
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import urllib.parse
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_INDEX_HOST = "127.0.0.2"  # loopback, but no host of NO_PROXY


def _connect(url, head):
    """A raw connection to the proxy of a proxy URL, and the first line and rest of its answer to a head."""
    address = urllib.parse.urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    connection.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(4096)
        if not data:
            break
        answer += data
    return connection, answer.decode()


def _head(url, target):
    login = base64.b64encode(f"x:{urllib.parse.urlsplit(url).password}".encode()).decode()
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {login}\r\n\r\n"


def test_the_proxy_wants_the_token_and_connect_and_a_target(vertex):
    url = vertex.wire.environment()["https_proxy"]
    wrong = "CONNECT aiplatform.googleapis.com:443 HTTP/1.1\r\nProxy-Authorization: Basic {}\r\n\r\n"
    good = base64.b64encode(b"x:token-of-the-test").decode()
    for head, status in (
        ("CONNECT aiplatform.googleapis.com:443 HTTP/1.1\r\n\r\n", "407"),
        (wrong.format(base64.b64encode(b"x:token-of-the-tes").decode()), "407"),
        (wrong.format("é"), "407"),
        (wrong.format(good).replace("CONNECT", "GET"), "405"),
        (wrong.format(good).replace(":443", ""), "400"),
        (wrong.format(good).replace(":443", ":99999"), "400"),
        (wrong.format(good).replace("aiplatform.googleapis.com:443", "127.0.0.1:1"), "502"),
        (wrong.format(good + "=" * 70000), "431"),
    ):
        connection, answer = _connect(url, head)
        connection.close()
        assert answer.startswith(f"HTTP/1.1 {status} ")


def test_alpn_gives_h2_to_grpc_only(vertex):
    environment = vertex.wire.environment()
    for offered, chosen in ((["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), ([], None)):
        target = "us-central1-aiplatform.googleapis.com:443"
        connection, _ = _connect(environment["https_proxy"], _head(environment["https_proxy"], target))
        context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if offered:
            context.set_alpn_protocols(offered)
        with context.wrap_socket(connection, server_hostname=target.partition(":")[0]) as tls:
            assert tls.selected_alpn_protocol() == chosen
            if chosen != "h2":
                tls.sendall(b"GET /v1/x HTTP/1.1\r\nHost: aiplatform.googleapis.com\r\n\r\n")
                assert tls.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_tunnel_is_half_closed_like_the_connection_it_stands_for(vertex):
    url = vertex.wire.environment()["https_proxy"]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def count_until_the_end():
            connection, _ = listener.accept()
            with connection:
                total = 0
                while data := connection.recv(65536):
                    total += len(data)
                connection.sendall(f"{total} bytes".encode())

        thread = threading.Thread(target=count_until_the_end)
        thread.start()
        connection, answer = _connect(url, _head(url, f"127.0.0.1:{listener.getsockname()[1]}"))
        assert answer.startswith("HTTP/1.1 200 ")
        connection.sendall(b"x" * 1_000_000)
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").read() == b"1000000 bytes"
        connection.close()
        thread.join()


@pytest.fixture
def package_index(tmp_path):
    """A package index on TLS, with a CA of its own; yields its address and the CA's file."""
    folder = tmp_path / "index" / "simple" / "tinypackage"
    folder.mkdir(parents=True)
    wheel = folder / "tinypackage-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "tinypackage-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinypackage\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    certificate = _self_signed(tmp_path / "index.pem")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "index")
    server = http.server.ThreadingHTTPServer((_INDEX_HOST, 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://{_INDEX_HOST}:{server.server_port}/simple", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def _self_signed(path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "index")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_INDEX_HOST))])
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def test_pip_goes_through_with_the_users_own_roots_and_proxy(
    vertex, other_vertex, package_index, monkeypatch, tmp_path
):
    index, roots = package_index
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    monkeypatch.setenv("https_proxy", vertex.wire.environment()["https_proxy"])  # the user's own proxy
    monkeypatch.setenv("no_proxy", ".googleapis.com")
    behind = other_vertex()
    behind.wire.start()
    environment = behind.wire.environment()
    assert "googleapis" not in environment["no_proxy"]
    base = {"PATH": os.environ["PATH"]} | environment
    command = [sys.executable, "-m", "pip", "--isolated", "download", "--no-deps", "--retries", "0"]
    command += ["--cert", environment["PIP_CERT"], "-i", index, "-d", str(tmp_path), "tinypackage"]
    subprocess.run(command, env=base, check=True, capture_output=True)
    assert (tmp_path / "tinypackage-1.0-py3-none-any.whl").exists()
    wrong = environment["https_proxy"].replace("token-of", "no-token-of")
    refused = subprocess.run(
        command, env=base | {"https_proxy": wrong, "HTTPS_PROXY": wrong}, capture_output=True
    )
    assert refused.returncode != 0  # so the download before did go through the proxy
    if shutil.which("curl"):
        url = "https://aiplatform.googleapis.com/v1/x"
        for address, expected in ((index + "/tinypackage/", "200"), (url, "401")):
            status = subprocess.run(
                ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", address],
                env=base,
                capture_output=True,
                text=True,
            )
            assert status.stdout == expected


def test_an_outer_proxy_that_refuses_is_named(vertex, other_vertex, monkeypatch):
    outer = vertex.wire.environment()["https_proxy"].replace("token-of", "no-token-of")
    monkeypatch.setenv("https_proxy", outer)
    behind = other_vertex()
    behind.wire.start()
    url = behind.wire.environment()["https_proxy"]
    connection, answer = _connect(url, _head(url, "example.com:443"))
    with connection:
        assert answer.startswith("HTTP/1.1 502 ")
        assert "the outer proxy answered: HTTP/1.1 407" in answer + connection.makefile().read()


def test_a_wire_started_from_a_clients_shell_does_not_chain_to_the_old_one(vertex, other_vertex, monkeypatch):
    for name, value in vertex.wire.environment().items():
        monkeypatch.setenv(name, value)
    nested = other_vertex()
    nested.wire.start()
    mine, theirs = nested.wire.environment(), vertex.wire.environment()
    assert mine["https_proxy"] != theirs["https_proxy"]
    assert mine["TRAINWRIGHT_OUTSIDE"] == theirs["TRAINWRIGHT_OUTSIDE"]
    bundles = [Path(environment["SSL_CERT_FILE"]).read_text() for environment in (mine, theirs)]
    assert bundles[0].count("BEGIN CERTIFICATE") == bundles[1].count("BEGIN CERTIFICATE")


def test_a_port_in_use_is_named_and_stop_closes_the_doors(other_vertex):
    port = _two_free_ports()
    vertex = other_vertex(port=port)
    vertex.wire.start()
    url = vertex.wire.environment()["https_proxy"]
    with pytest.raises(OSError, match=f"127.0.0.1:{port} is in use") as caught:
        other_vertex(port=port).wire.start()
    assert caught.value.errno == errno.EADDRINUSE
    open_connection, _ = _connect(url, _head(url, "storage.googleapis.com:443"))
    vertex.wire.stop()
    with contextlib.suppress(ConnectionError):
        assert open_connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    again = other_vertex(port=port)
    again.wire.start()
    assert again.wire.environment()["https_proxy"] == url


def test_only_loopback_is_bound(vertex):
    ours = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the folder's own
            ours.add(str(each.readlink()))
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in ours:  # 0A: it listens
                listening[int(port, 16)] = address
    urls = (vertex.wire.environment()[name] for name in ("https_proxy", "STORAGE_EMULATOR_HOST"))
    assert {urllib.parse.urlsplit(url).port for url in urls} <= listening.keys()
    # 127.0.0.1 in the kernel's notation, and as an IPv6 socket has it, which is gRPC's.
    assert set(listening.values()) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_nothing_secret_can_be_read_by_others_and_the_authoritys_key_is_not_on_disk(vertex):
    folder = vertex.folder / "credentials"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "key.json": 0o600,
        "bundle.pem": 0o600,
        "server.pem": 0o600,
        "ports": 0o600,
    }
    assert "PRIVATE" not in (folder / "bundle.pem").read_text()
    kept = (folder / "server.pem").read_bytes()
    leaf, signer = x509.load_pem_x509_certificates(kept)
    leaf.verify_directly_issued_by(signer)
    assert kept.count(b"PRIVATE KEY-----\n") == 2  # one key, between its first and its last line
    key = load_pem_private_key(kept, password=None)
    assert key.public_key() == leaf.public_key() != signer.public_key()


def _two_free_ports() -> int:
    """The first of two neighbours: the proxy takes it, the HTTP server the next one."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
    raise AssertionError("no two free ports")
