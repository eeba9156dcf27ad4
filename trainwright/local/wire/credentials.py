"""The service account of local Vertex AI: its key file, its access tokens, and the check on every request.

Two kinds of credential arrive, both from google-auth: clients generated for gRPC and REST sign a JWT with the
account's key themselves (https://google.aip.dev/auth/4111, read 2026-11-23), and those on `requests` trade a
signed assertion for an access token at the key file's `token_uri` (RFC 7523). Nothing else is let in.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from google.rpc import error_details_pb2

from .private_files import write_private

_CLOCK_SKEW = 60
# "If you are calling a Google API, the exp claim must be set no more than 1 hour in the future":
# https://github.com/googleapis/google-auth-library-java/pull/516, 2021-01-12.
_LONGEST_JWT = 3600
_TOKEN_LIFETIME = 3600
# A client signs one JWT an hour for each service; to check it at every call would be a third of the cost.
_MOST_VERIFIED = 1000
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class CredentialRefused(Exception):
    """The request has no credential that this process issued; the message says what is wrong with it.

    Attributes:
        details: google.rpc.ErrorInfo with a reason of google.api.ErrorReason, as all Google APIs give it.
    """

    def __init__(self, message: str, reason: str = "ACCESS_TOKEN_TYPE_UNSUPPORTED") -> None:
        super().__init__(message)
        self.details = [error_details_pb2.ErrorInfo(reason=reason, domain="googleapis.com")]


class GrantRefused(Exception):
    """The token endpoint refuses; `error` is the code of RFC 6749 section 5.2, the message describes it."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


class ServiceAccount:
    """A service account that only this state folder knows.

    The key is kept over restarts, so that a shell with an earlier environment goes on working.

    Args:
        key_file: The service account JSON; written, mode 0600, and an earlier key in it reused.
        project: The project's ID.
        token_uri: The address of our token endpoint.
        secret: Signs access tokens; whoever knows it is let in.
    """

    def __init__(self, key_file: Path, *, project: str, token_uri: str, secret: str) -> None:
        self.email = f"trainwright@{project}.iam.gserviceaccount.com"
        self._secret = secret.encode()
        key = _read_key(key_file) or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._public_key = key.public_key()
        self._verified: dict[str, tuple[float, dict[str, Any]]] = {}
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        content = {
            "type": "service_account",
            "project_id": project,
            "private_key_id": hashlib.sha256(pem.encode()).hexdigest()[:40],
            "private_key": pem,
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }
        write_private(key_file, json.dumps(content, indent=2).encode())

    def check(self, authorization: str | None) -> None:
        """Accepts the value of an Authorization header, or raises.

        Raises:
            CredentialRefused: There is none, or it is neither an access token of ours nor a JWT by our key.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise CredentialRefused("no bearer token in the Authorization header", "CREDENTIALS_MISSING")
        if token.count(".") == 2 and not token.startswith("trainwright."):
            self._check_jwt(token)
        else:
            self._check_access_token(token)

    def has_signed(self, account: str, signature: bytes, text: str) -> bool:
        """Whether the account of that e-mail address is this one, and has signed a text so (RSA, SHA-256)."""
        try:
            self._public_key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return account == self.email

    def grant(self, form: dict[str, str]) -> dict[str, Any]:
        """Answers the token endpoint: an access token for a signed assertion.

        Args:
            form: The fields of the posted form.

        Raises:
            GrantRefused: Another grant, a bad assertion, or an ID token was asked for.
        """
        if form.get("grant_type") != _GRANT_TYPE:
            raise GrantRefused("unsupported_grant_type", f"only {_GRANT_TYPE} is known")
        try:
            claims = self._check_jwt(form.get("assertion", ""))
        except CredentialRefused as error:
            raise GrantRefused("invalid_grant", str(error)) from None
        if "target_audience" in claims:
            raise GrantRefused("invalid_request", "local Vertex AI issues no ID tokens")
        expiry = f"{int(time.time()) + _TOKEN_LIFETIME}"
        token = f"trainwright.{expiry}.{self._sign(expiry)}"
        return {"access_token": token, "expires_in": _TOKEN_LIFETIME, "token_type": "Bearer"}

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, f"access token {text}".encode(), hashlib.sha256).hexdigest()

    def _check_access_token(self, token: str) -> None:
        prefix, _, rest = token.partition(".")
        expiry, _, signature = rest.partition(".")
        if prefix != "trainwright" or not hmac.compare_digest(
            signature.encode(), self._sign(expiry).encode()
        ):
            raise CredentialRefused("the access token is not one that this local Vertex AI issued")
        if int(expiry) < time.time():
            raise CredentialRefused("the access token has expired", "ACCESS_TOKEN_EXPIRED")

    def _check_jwt(self, token: str) -> dict[str, Any]:
        """The claims of a JWT; of one that was seen before, nothing but its end is looked at again."""
        known = self._verified.get(token)
        if known is not None and known[0] >= time.time() - _CLOCK_SKEW:
            return known[1]
        claims = self._verify_jwt(token)
        if len(self._verified) >= _MOST_VERIFIED:
            self._verified.clear()
        self._verified[token] = (claims["exp"], claims)
        return claims

    def _verify_jwt(self, token: str) -> dict[str, Any]:
        header, claims, signature, signed = _split_jwt(token)
        if header.get("alg") != "RS256":
            raise CredentialRefused(f"the JWT is signed with {header.get('alg')!r}, not RS256")
        try:
            self._public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise CredentialRefused("the JWT is not signed by this local Vertex AI's key") from None
        issued, expires, now = claims.get("iat"), claims.get("exp"), time.time()
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise CredentialRefused("the JWT has no iat or no exp")
        if expires < now - _CLOCK_SKEW:
            raise CredentialRefused("the JWT has expired", "ACCESS_TOKEN_EXPIRED")
        if issued > now + _CLOCK_SKEW or expires - issued > _LONGEST_JWT + _CLOCK_SKEW:
            raise CredentialRefused("the JWT is from the future or valid for more than an hour")
        if claims.get("iss") != self.email:
            raise CredentialRefused(f"the JWT's issuer is not {self.email}")
        return claims


def _split_jwt(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, signature and the signed bytes of a compact JWT (RFC 7519)."""
    try:
        header, claims, signature = (_decode(part) for part in token.split("."))
        fields = json.loads(header), json.loads(claims)
    except (ValueError, binascii.Error):
        raise CredentialRefused("the token is no JWT") from None
    if not all(isinstance(field, dict) for field in fields):
        raise CredentialRefused("the token is no JWT")
    return fields[0], fields[1], signature, token.rpartition(".")[0].encode()


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _read_key(path: Path) -> rsa.RSAPrivateKey | None:
    try:
        key = load_pem_private_key(json.loads(path.read_bytes())["private_key"].encode(), password=None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # none yet, or damaged: a new one is as good
    return key if isinstance(key, rsa.RSAPrivateKey) else None
