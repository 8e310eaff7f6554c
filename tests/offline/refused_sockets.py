"""Keeps a process from reaching another machine: loaded by each that tests run in, or start.

A refusal is that of a machine without a network, so lqtui behaves as it would there; and it is noted in
the file that `NOTES` names, so that the test fails even where lqtui takes it well.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

NOTES = "LQTUI_TESTS_REFUSED"
"""Names the file in which each refusal is noted."""
_TO_ADDRESS = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
_OF_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook that lets a process reach this machine alone."""
    if event in _TO_ADDRESS:
        address = arguments[1]
        if isinstance(address, tuple) and isinstance(address[0], str) and not _is_here(address[0]):
            _note(event, address[0])
            raise OSError(101, "Network is unreachable")
    elif event in _OF_NAME:
        name = arguments[0]
        if isinstance(name, bytes | bytearray):
            name = name.decode("ascii", "replace")
        if isinstance(name, str) and not (_is_here(name) or _is_address(name)):  # an address asks nobody
            _note(event, name)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _is_here(host: str) -> bool:
    if host in ("", "localhost", socket.gethostname()):
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _note(event: str, host: str) -> None:
    if notes := os.environ.get(NOTES):
        with open(notes, "a", encoding="utf-8") as file:  # noqa: PTH123 - loads nothing more than it needs
            file.write(f"{event} {host} by {' '.join(sys.orig_argv)[:200]}\n")


sys.addaudithook(refuse)
