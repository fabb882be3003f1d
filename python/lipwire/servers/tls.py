"""TLS for every port: certificate files that may change while the server runs, and what a client trusts.

A certificate is renewed by replacing its files. Each handshake looks whether they have changed, and takes the new ones
if they are whole and fit; else the old one stays, and the log says so. Open connections keep theirs.
"""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument

logger = logging.getLogger("lipwire.tls")

State = tuple[tuple[int, int, int], ...]
"""Of the files: device-wide number, size and time of the last change, each."""


class Certificate:
    """What a server shows.

    Args:
        cert: PEM file: the certificate, and those between it and the root. key: PEM file of its key; None = in `cert`.

    Attributes:
        context: for servers; TLS 1.2 or newer (RFC 9325).

    Raises:
        InvalidArgument: a file cannot be read, or they do not fit.
    """

    def __init__(self, cert: str | Path, key: str | Path | None = None) -> None:
        self._cert, self._key = Path(cert), Path(key or cert)
        self._state = self._look()
        try:
            self.context = self._current = self._load()
        except (OSError, ValueError) as exc:
            files = f"tls_cert {self._cert}" + ("" if self._key == self._cert else f", tls_key {self._key}")
            raise InvalidArgument(f"{files}: {_reason(exc)}") from exc
        self.context.sni_callback = self._choose

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A password would be asked for on the terminal, and a server has none.
        context.load_cert_chain(self._cert, self._key, password=_no_password)
        return context

    def _look(self) -> State | None:
        try:
            found = [os.stat(path) for path in (self._cert, self._key)]
        except OSError:
            return None
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake, also without a name (server_name, RFC 6066)."""
        self.refresh()
        connection.context = self._current

    def refresh(self) -> None:
        """Takes the files if they have changed."""
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self._current = self._load()
        except (OSError, ValueError) as exc:
            logger.error("the new TLS certificate is of no use, the old one stays: %s: %s", self._cert, _reason(exc))
        else:
            logger.info("a new TLS certificate: %s", self._cert)


def trust(ca: str | Path | None = None) -> ssl.SSLContext:
    """What a client trusts: the certificates of a PEM file, or what the system trusts. SSL_CERT_FILE says where that
    is, as everywhere.

    Raises:
        InvalidArgument: there is no certificate in the file.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else os.fspath(ca))
    except OSError as exc:  # ssl.SSLError is one
        raise InvalidArgument(f"--ca {ca}: {_reason(exc)}") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate will do
    return context


def trust_ourselves(cert: str | Path) -> ssl.SSLContext:
    """For a client in the server's own process, which reaches it at 127.0.0.1: the server's certificate alone is
    trusted, whatever names it has."""
    context = trust(cert)
    context.check_hostname = False
    return context


def _no_password(*_: Any) -> bytes:
    raise ValueError("the key is encrypted; a server needs it in the clear")


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return f"no certificate and key that fit together ({exc.reason or exc})"
    return str(getattr(exc, "strerror", None) or exc)
