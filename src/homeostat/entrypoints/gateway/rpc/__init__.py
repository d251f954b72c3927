"""The Open Inference Protocol over gRPC."""

from homeostat.entrypoints.gateway.rpc.credentials import Credentials
from homeostat.entrypoints.gateway.rpc.server import Manner, serving

__all__ = ["Credentials", "Manner", "serving"]
