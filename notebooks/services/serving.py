"""How a service of the course is served: its address, its word at the start, its end."""

import argparse
import json
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import uvicorn
from starlette.types import ASGIApp

from services.local import HERE


def keys(child: bool) -> dict[str, str]:
    """What whoever started this service has made up for it: key, and guest."""
    return json.loads(sys.stdin.readline() or "{}") if child else {}


def number(most: int) -> Callable[[str], int]:
    """What argparse takes for a number from 0 to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,12}", text) or int(text) > most:
            raise argparse.ArgumentTypeError(f"{text} is no number from 0 to {most}")
        return int(text)

    return read


def options(parser: argparse.ArgumentParser, port: int) -> None:
    """What every service can be told."""
    parser.add_argument("--port", type=number(65_535), default=port, help="0: any that is free")
    parser.add_argument("--host", default=HERE, help="another name opens it to a network")
    parser.add_argument("--child", action="store_true", help="end when standard input ends")


def listen(host: str, port: int) -> tuple[socket.socket, str, tuple[str, ...]]:
    """Take a port: the socket, the address, and the names by which the service may be called.

    Ends the program with a sentence where the port cannot be had.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        sys.exit(f"Port {port} of {host} cannot be had ({error}): take another.")
    port = listener.getsockname()[1]
    names = (host.lower(),)
    if host == "0.0.0.0":  # every address of this machine, and its name
        rows = [row for rows in psutil.net_if_addrs().values() for row in rows]
        found = [row.address for row in rows if row.family == socket.AF_INET]
        found.sort(key=lambda one: one.startswith("127."))
        names = (*found, socket.gethostname().lower())
    return listener, f"http://{names[0]}:{port}", (HERE, "localhost", *names)


def serve(app: ASGIApp, listener: socket.socket, address: str, child: bool, keys: str) -> None:
    """Serve until somebody stops it; keys: what is said of them at the start."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    threading.Thread(target=_announce, args=(server, child, address, keys), daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)  # else what was made for this run would stay
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _announce(server: uvicorn.Server, child: bool, address: str, keys: str) -> None:
    """Say where it serves, once it does; as a child, end it when the parent is gone."""
    while not server.started:
        time.sleep(0.02)
    if child:
        print(json.dumps({"port": int(address.rpartition(":")[2])}), flush=True)
        sys.stdin.read()
        server.should_exit = True
        return
    print(f"Serving {address}; {keys}. Stop it with Ctrl+C.", flush=True)
    if not address.startswith((f"http://{HERE}:", "http://localhost:")):
        print(
            "Whoever reaches it and has a key can use it; what is sent is not encrypted.",
            flush=True,
        )
