"""The offline guard: no socket of a Python process leaves this machine.

Python imports a module of this name at start, so with this folder on PYTHONPATH the guard also
holds in every child process, a notebook's kernel included; `tests/conftest.py` imports it by path.
A refusal is an ordinary network error (OSError, or gaierror for a name) that names the address, so
that code which handles a missing network is tested as it runs on a plane. Where OFFLINE_GUARD_LOG
names a file, each refusal is also written there: a download that is tried and swallowed shows.

What it cannot see: sockets opened outside Python's socket module (git, a browser, gRPC).
"""

import ipaddress
import os
import socket
from pathlib import Path

OURS = {"", "localhost", "localhost.localdomain", "ip6-localhost", "broadcasthost"}


def _is_here(host: object) -> bool:
    """Is it the loopback, the unspecified address, or this machine's own name?"""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    name = name.strip("[]").partition("%")[0].lower()
    if name in OURS or name.endswith(".localhost") or name == socket.gethostname().lower():
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _refusal(address: object) -> str:
    host, port = address[:2] if isinstance(address, tuple) else (address, None)
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    place = f"{host}:{port}" if port is not None else f"{host}"
    if log := os.environ.get("OFFLINE_GUARD_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{place}\n")
    return f"offline guard: refused {place}; tests may only reach this machine (127.0.0.1, ::1)"


def _guard_method(name: str, position: int) -> None:
    """Guard a method of socket.socket; its address is the argument at `position`."""
    original = getattr(socket.socket, name, None)
    if original is None:  # sendmsg, on Windows
        return

    def guarded(self: socket.socket, *arguments: object) -> object:
        address = arguments[position] if len(arguments) > max(position, 0) else None
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        if internet and isinstance(address, tuple) and not _is_here(address[0]):
            raise OSError(_refusal(address))
        return original(self, *arguments)

    guarded.__name__ = name
    setattr(socket.socket, name, guarded)


def _guard_lookup(name: str) -> None:
    """Guard a function that asks a name server; its first argument is the host."""
    original = getattr(socket, name)

    def guarded(host: object, *arguments: object, **options: object) -> object:
        if not _is_here(host):
            port = arguments[0] if name == "getaddrinfo" and arguments else options.get("port")
            raise socket.gaierror(socket.EAI_NONAME, _refusal((host, port)))
        return original(host, *arguments, **options)

    guarded.__name__ = name
    setattr(socket, name, guarded)


if not hasattr(socket, "offline_guard"):
    socket.offline_guard = True
    _guard_method("connect", 0)
    _guard_method("connect_ex", 0)
    _guard_method("sendto", -1)
    _guard_method("sendmsg", 3)
    for lookup in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        _guard_lookup(lookup)
