"""A Gradio app that runs for as long as a notebook talks to it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio import Blocks
    from gradio_client import Client

HERE = "127.0.0.1"


@contextmanager
def running(app: "Blocks", share: bool = False) -> Iterator["Client"]:
    """Serve an app, wait until it answers, and give a client of it; then close it, come what may.

    Only this machine reaches it. share: through a tunnel of Gradio's, whose address is printed,
    anybody who has that address does. Raises OSError where no port can be had.
    """
    from gradio_client import Client

    not_by_a_proxy()
    quietly = {"prevent_thread_lock": True, "quiet": True, "inline": False, "show_error": True}
    for last in (False, False, True):
        try:
            app.launch(server_name=HERE, server_port=free_port(), share=share, **quietly)
            break
        except OSError:  # another notebook, beside this one, was quicker
            if last:
                raise
    try:
        if share:
            print(f"Anybody can use {app.share_url} until this cell ends.")
        yield Client(app.local_url, verbose=False)
    finally:
        app.close(verbose=False)


def free_port() -> int:
    """A port of this machine that nobody has, just now."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


def not_by_a_proxy() -> None:
    """Let this process's clients reach this machine directly, where the environment has a proxy."""
    both = ("NO_PROXY", "no_proxy")  # where both are set, the second wins
    hosts = [*filter(None, ",".join(os.environ.get(name, "") for name in both).split(",")), HERE]
    # A star, for all hosts, counts only where it stands alone.
    os.environ |= dict.fromkeys(both, "*" if "*" in hosts else ",".join(dict.fromkeys(hosts)))
