"""Sockets to messages: TLS, gRPC, REST and authentication, generated from the SDK's own GAPIC modules."""

from .dispatch import Context
from .server import Wire

__all__ = ["Context", "Wire"]
