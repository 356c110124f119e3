"""The offline guard holds: in this process, in a child, and in a notebook's kernel."""

import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

# Addresses reserved for documentation (RFC 5737, RFC 3849): nothing answers there, guard or not.
ELSEWHERE = [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")]
ATTEMPT = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize(("family", "address"), ELSEWHERE)
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_connecting_elsewhere_is_refused_and_names_the_address(method, family, address):
    refusal = pytest.raises(OSError, match=f"offline guard: refused {address}:80")
    with socket.socket(family, socket.SOCK_STREAM) as connection, refusal:
        getattr(connection, method)((address, 80))


@pytest.mark.parametrize(("family", "address"), ELSEWHERE)
def test_sending_a_datagram_elsewhere_is_refused(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(OSError, match=f"offline guard: refused {address}:53"):
            datagrams.sendto(b"?", (address, 53))
        with pytest.raises(OSError, match=f"offline guard: refused {address}:53"):
            datagrams.sendto(b"?", 0, (address, 53))
        if hasattr(datagrams, "sendmsg"):
            with pytest.raises(OSError, match=f"offline guard: refused {address}:53"):
                datagrams.sendmsg([b"?"], [], 0, (address, 53))


def test_asking_a_name_server_is_refused_and_names_the_host():
    with pytest.raises(socket.gaierror, match=r"offline guard: refused huggingface\.co:443"):
        socket.getaddrinfo("huggingface.co", 443)
    for lookup in (socket.gethostbyname, socket.gethostbyname_ex):
        with pytest.raises(socket.gaierror, match=r"offline guard: refused huggingface\.co"):
            lookup("huggingface.co")


def test_a_download_fails_as_it_does_without_a_network():
    with pytest.raises(OSError, match=r"refused huggingface\.co:443"):
        urllib.request.urlopen("https://huggingface.co/api/models", timeout=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_the_loopback_stays_open(host):
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    assert socket.getaddrinfo(host, 80)


def test_a_local_service_answers():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}", timeout=5) as reply:
            assert reply.read() == b"here"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_unix_sockets_stay_open(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # such an address has room for a hundred characters only
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen()
        client.connect("socket")


def test_a_child_process_is_guarded_too():
    child = subprocess.run(
        [sys.executable, "-c", ATTEMPT], capture_output=True, text=True, check=True, timeout=20
    )
    assert "offline guard: refused 192.0.2.1:80" in child.stdout


def test_a_notebooks_kernel_is_guarded_too():
    notebook = new_notebook(cells=[new_code_cell(ATTEMPT)])
    NotebookClient(notebook, kernel_name="python3", timeout=30).execute()
    assert "offline guard: refused 192.0.2.1:80" in notebook.cells[0].outputs[0].text


def test_a_refusal_is_written_down_for_whoever_asks(tmp_path, monkeypatch):
    monkeypatch.setenv("OFFLINE_GUARD_LOG", str(tmp_path / "refused"))
    child = [sys.executable, "-c", ATTEMPT]
    subprocess.run(child, capture_output=True, check=True, timeout=20)
    assert (tmp_path / "refused").read_text() == "192.0.2.1:80\n"
