"""A throw-away certificate authority, so that clients may speak TLS to googleapis.com and reach this process.

The authority's key never leaves memory, and its certificate is constrained to googleapis.com: whoever steals
the bundle of certificates can impersonate nobody, and not even this process could impersonate another domain.

Clients that run on while this process is killed and started again have read the bundle long ago. So one
certificate, for the hosts that Google's clients use, is kept in the state folder with its key, and beside it
the certificate of the authority that signed it, whose key is gone for ever.
"""

import datetime
import logging
import os
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .private_files import write_private

_LIFETIME = datetime.timedelta(days=365)  # both are made anew at every start
_MAX_HOSTS = 256
_KEPT_HOSTS = ("googleapis.com", "*.googleapis.com", "*.storage.googleapis.com", "*.mtls.googleapis.com")
_LEAST_LEFT = datetime.timedelta(days=30)  # of a kept certificate that is used once more

_log = logging.getLogger(__name__)


class Authority:
    """Issues a certificate for each Google API host that a client connects to.

    Args:
        folder: Of mode 0700. In it lies `server.pem`, the certificate that is kept and its key, and for the
            instant in which OpenSSL reads it the key of another.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = folder / "server.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trainwright local Vertex AI")])
        self._certificate = self._sign_authority()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._signer_of_kept = _kept_signer(self._kept) or self._keep()
        self._kept_context = _context(self._kept)

    @property
    def certificates(self) -> bytes:
        """What clients shall trust, PEM: this authority and the one that signed the kept certificate."""
        ours = self._certificate.public_bytes(Encoding.PEM)
        return ours if ours == self._signer_of_kept else ours + self._signer_of_kept

    def server_context(self, host: str) -> ssl.SSLContext:
        """The server side of TLS for `host`, offering HTTP/1.1 and HTTP/2."""
        if host in _KEPT_HOSTS or f"*.{host.partition('.')[2]}" in _KEPT_HOSTS:
            return self._kept_context
        if host not in self._contexts:
            if len(self._contexts) >= _MAX_HOSTS:
                self._contexts.clear()
            self._contexts[host] = self._make_context(host)
        return self._contexts[host]

    def _make_context(self, host: str) -> ssl.SSLContext:
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".leaf.")
        try:
            with os.fdopen(handle, "wb") as file:  # the ssl module reads keys from files only
                file.write(self._leaf((host,)))
            return _context(Path(name))
        finally:
            Path(name).unlink()

    def _keep(self) -> bytes:
        """Makes the certificate that is kept; returns that of its signer, which is this authority."""
        signer = self._certificate.public_bytes(Encoding.PEM)
        write_private(self._kept, self._leaf(_KEPT_HOSTS) + signer)
        return signer

    def _leaf(self, hosts: Sequence[str]) -> bytes:
        """A key and a certificate for some hosts, PEM."""
        key = self._leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self._sign_leaf(hosts).public_bytes(Encoding.PEM)

    def _builder(self, subject: x509.Name) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + _LIFETIME)
        )

    def _sign_authority(self) -> x509.Certificate:
        public = self._key.public_key()
        google_only = x509.NameConstraints([x509.DNSName("googleapis.com")], excluded_subtrees=None)
        return (
            self._builder(self._name)
            .public_key(public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(google_only, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _sign_leaf(self, hosts: Sequence[str]) -> x509.Certificate:
        public = self._leaf_key.public_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
        names = [x509.DNSName(host) for host in hosts]
        return (
            self._builder(subject)
            .public_key(public)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


def _kept_signer(path: Path) -> bytes | None:
    """The certificate of who signed the kept one, PEM; None when none is kept, or not for long any more."""
    try:
        leaf, signer = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    if leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC) < _LEAST_LEFT:
        return None
    return signer.public_bytes(Encoding.PEM)


def _context(path: Path) -> ssl.SSLContext:
    """The server side of TLS with the key and certificates in a file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # HTTP/1.1 first: curl offers both, and REST is answered there; gRPC offers h2 alone.
    context.set_alpn_protocols(["http/1.1", "h2"])
    context.load_cert_chain(path)
    return context


def write_bundle(path: Path, authority: Authority, roots: str | None) -> None:
    """Writes the certificates that a client shall trust: the usual roots and those of `authority`.

    The usual roots must be in it, for pip and everything else that reaches the real internet by the proxy.

    Args:
        path: The bundle; mode 0600.
        authority: Ours.
        roots: A PEM file that the surrounding environment names as its roots, or None for certifi's.
    """
    try:
        usual = Path(roots or certifi.where()).read_bytes()
    except OSError as error:
        _log.warning("the CA bundle %s cannot be read (%s); certifi's is used", roots, error.strerror)
        usual = Path(certifi.where()).read_bytes()
    write_private(path, usual.rstrip(b"\n") + b"\n" + authority.certificates)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
