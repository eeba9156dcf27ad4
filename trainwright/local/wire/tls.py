"""A throw-away certificate authority, so that clients may speak TLS to googleapis.com and reach this process.

The authority's key never leaves memory, and its certificate is constrained to googleapis.com: whoever steals
the bundle of certificates can impersonate nobody, and not even this process could impersonate another domain.
"""

import datetime
import logging
import os
import ssl
import tempfile
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

_log = logging.getLogger(__name__)


class Authority:
    """Issues a certificate for each Google API host that a client connects to.

    Args:
        folder: Where a leaf's key may lie for the instant in which OpenSSL reads it; of mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trainwright local Vertex AI")])
        self._certificate = self._sign_authority()
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def certificate(self) -> bytes:
        """The authority's certificate, PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    def server_context(self, host: str) -> ssl.SSLContext:
        """The server side of TLS for `host`, offering HTTP/1.1 and HTTP/2."""
        if host not in self._contexts:
            if len(self._contexts) >= _MAX_HOSTS:
                self._contexts.clear()
            self._contexts[host] = self._make_context(host)
        return self._contexts[host]

    def _make_context(self, host: str) -> ssl.SSLContext:
        leaf = self._sign_leaf(host).public_bytes(Encoding.PEM)
        key = self._leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # HTTP/1.1 first: curl offers both, and REST is answered there; gRPC offers h2 alone.
        context.set_alpn_protocols(["http/1.1", "h2"])
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".leaf.")
        try:
            with os.fdopen(handle, "wb") as file:  # the ssl module reads keys from files only
                file.write(key + leaf)
            context.load_cert_chain(name)
        finally:
            Path(name).unlink()
        return context

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

    def _sign_leaf(self, host: str) -> x509.Certificate:
        public = self._leaf_key.public_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        return (
            self._builder(subject)
            .public_key(public)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


def write_bundle(path: Path, authority: Authority, roots: str | None) -> None:
    """Writes the certificates that a client shall trust: the usual roots and `authority`.

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
    write_private(path, usual.rstrip(b"\n") + b"\n" + authority.certificate)


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
