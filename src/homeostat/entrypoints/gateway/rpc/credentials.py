"""The gateway's certificate for gRPC; it can be renewed while the server runs."""

from __future__ import annotations

import grpc

from homeostat.entrypoints.gateway.server import Certificate


class Credentials:
    """What connections are shown; raises ConfigError if the certificate cannot be used.

    Parameters
    ----------
    certificate : Certificate
    """

    def __init__(self, certificate: Certificate) -> None:
        self._certificate, self._shown = certificate, certificate.read()
        self._fresh = False

    def renew(self) -> None:
        """Show new connections what is in the files now; raises ConfigError if that is bad."""
        self._shown, self._fresh = self._certificate.read(), True

    def for_server(self) -> grpc.ServerCredentials:
        """Return the credentials that a server takes."""
        return grpc.dynamic_ssl_server_credentials(self._now(), self._news)

    def _now(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([self._shown])

    def _news(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what has to be shown from now on; gRPC asks at each connection."""
        fresh, self._fresh = self._fresh, False
        return self._now() if fresh else None
