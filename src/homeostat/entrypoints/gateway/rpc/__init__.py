"""The Open Inference Protocol over gRPC."""

from homeostat.entrypoints.gateway.rpc.server import serving

__all__ = ["serving"]
