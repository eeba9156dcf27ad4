"""The environment variables by which unmodified clients reach local Vertex AI, and what lay outside.

gRPC takes grpc_proxy before https_proxy, and user and password from its URL (gRPC Core, "Default HTTP Proxy
Mapper User Guide", https://grpc.github.io/grpc/core/md_doc_core_default_http_proxy_mapper.html, 2026-11-23).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

_OUTSIDE = "TRAINWRIGHT_OUTSIDE"
_LOOPBACK = "localhost,127.0.0.1,::1"
_BUNDLE_VARIABLES = (
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
)
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "grpc_proxy")
_NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy", "no_grpc_proxy")


@dataclass(frozen=True)
class Outside:
    """How this process itself would reach the internet.

    Attributes:
        proxy: The user's own HTTPS proxy as a URL, or "".
        no_proxy: Hosts that are reached without it, comma separated.
        roots: A PEM file of roots that the user's environment names, or "".
    """

    proxy: str
    no_proxy: str
    roots: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Outside":
        """Reads it from an environment.

        An environment that is itself a client's of a local Vertex AI (a shell after `trainwright local env`)
        carries what was outside of that one; its own proxy may be long gone.
        """
        if _OUTSIDE in environment:
            return cls(**json.loads(environment[_OUTSIDE]))
        return cls(
            proxy=environment.get("https_proxy") or environment.get("HTTPS_PROXY") or "",
            no_proxy=environment.get("no_proxy") or environment.get("NO_PROXY") or "",
            roots=environment.get("SSL_CERT_FILE") or environment.get("REQUESTS_CA_BUNDLE") or "",
        )

    def proxy_for(self, host: str) -> str:
        """The proxy's URL for a connection to `host`; "" for a direct one."""
        if not self.proxy or proxy_bypass_environment(host, {"no": self.no_proxy}):
            return ""
        return self.proxy


def client_environment(
    *,
    outside: Outside,
    token: str,
    proxy_port: int,
    http_port: int,
    key_file: Path,
    bundle: Path,
    project: str,
    location: str,
) -> dict[str, str]:
    """The variables that make a process a client of local Vertex AI, to be laid over its environment.

    The user's NO_PROXY is left out on purpose: `.googleapis.com` in it would send clients to the real Google.

    Args:
        outside: What is kept for a local Vertex AI that is started below this one.
        token: The secret of the proxy and of the storage address.
        proxy_port: Of the CONNECT proxy.
        http_port: Of the HTTP server.
        key_file: The service account JSON.
        bundle: The CA bundle.
        project: The project's ID.
        location: The region.
    """
    proxy = f"http://trainwright:{token}@127.0.0.1:{proxy_port}"
    return {
        **dict.fromkeys(_PROXY_VARIABLES, proxy),
        **dict.fromkeys(_NO_PROXY_VARIABLES, _LOOPBACK),
        **dict.fromkeys(_BUNDLE_VARIABLES, str(bundle)),
        "GOOGLE_APPLICATION_CREDENTIALS": str(key_file),
        "GOOGLE_CLOUD_PROJECT": project,
        "GOOGLE_CLOUD_REGION": location,
        "GOOGLE_CLOUD_LOCATION": location,
        # Device certificates would send clients to *.mtls.googleapis.com with a key that is not ours.
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "false",
        "GOOGLE_API_USE_MTLS_ENDPOINT": "never",
        "NO_GCE_CHECK": "true",
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_AI_REGION": location,
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(key_file),
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{http_port}/{token}",
        # gcsfs otherwise asks Storage Control by gRPC at the emulator's port: 55 s of stall a bucket.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "PYTHONDONTWRITEBYTECODE": "",
        _OUTSIDE: json.dumps(asdict(outside)),
    }
