"""What a request must pass before it is read: the address, the key, its size, and the crowd.

Written for ASGI itself (https://asgi.readthedocs.io), so that a body is never read whole before it
is known to be small enough.
"""

import asyncio
import hmac
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import Refused

BODY_SECONDS = 30  # between two pieces of a body


@dataclass(frozen=True)
class Quota:
    """How many requests a key may make in how many seconds; 0: any number."""

    requests: int = 0
    seconds: float = 60


Headers = dict[bytes, str]


def in_googles_form(refused: Refused) -> Response:
    """How a refusal is sent, unless a service says it otherwise."""
    return JSONResponse(refused.body(), refused.code, refused.headers)


class Guard:
    """Refuses what must not come in.

    hosts: names by which the server may be called, against DNS rebinding
    (https://owasp.org/www-community/attacks/DNS_Rebinding). gate: looks at the headers of each
    request and raises Refused. at_once: requests that are worked on; as many as `waiting` wait for
    their turn. answer: makes a response of a refusal. small_bytes: of a body that is read whole;
    streamed: whether that of a path is not.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: tuple[str, ...],
        max_bytes: int,
        gate: Callable[[Scope, Headers], None] | None = None,
        at_once: int = 32,
        waiting: int = 128,
        answer: Callable[[Refused], Response] = in_googles_form,
        small_bytes: int | None = None,
        streamed: Callable[[str], bool] = lambda path: True,
    ):
        self.app, self.hosts, self.gate, self.answer = app, hosts, gate, answer
        self.max_bytes, self.small_bytes = max_bytes, small_bytes or max_bytes
        self.streamed = streamed
        self.places, self.waiting, self.most = asyncio.Semaphore(at_once), 0, waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            self._check_host(headers.get(b"host", ""))
            most = self.max_bytes if self.streamed(scope["path"]) else self.small_bytes
            self._check_size(headers.get(b"content-length", "0"), most)
            if self.gate:
                self.gate(scope, headers)
            if self.waiting >= self.most:
                raise Refused(429, "Too many requests wait already.", seconds=1)
        except Refused as refused:
            await self.answer(refused)(scope, receive, send)
            return
        self.waiting += 1
        try:
            await self.places.acquire()
        finally:
            self.waiting -= 1
        try:
            await self.app(scope, self._bounded(receive, most), send)
        finally:
            self.places.release()

    def _check_host(self, host: str) -> None:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() not in self.hosts:
            raise Refused(403, "This server is not called by that name.", "Host")

    def _check_size(self, length: str, most: int) -> None:
        if not length.isdigit():
            raise Refused(400, "Content-Length is no number.", "Content-Length")
        if int(length) > most:
            raise Refused(413, _too_large(most))

    def _bounded(self, receive: Receive, most: int) -> Receive:
        came, more = 0, True

        async def bounded() -> Message:
            nonlocal came, more
            try:  # after its body a request waits for its client's end, and that may take long
                async with asyncio.timeout(BODY_SECONDS if more else None):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The body of the request does not come.") from None
            more = message.get("more_body", False)
            came += len(message.get("body", b""))
            if came > most:
                raise HTTPException(413, _too_large(most))
            return message

        return bounded


def _too_large(most: int) -> str:
    return f"The request is too large: at most {most / 1e6:.0f} MB."


class Keys:
    """The gate of the Gemini API: a key, and how often it may ask. keys: with what each may."""

    def __init__(self, keys: dict[str, Quota]):
        self.keys = keys
        self.calls: dict[str, deque[float]] = defaultdict(deque)

    def __call__(self, scope: Scope, headers: Headers) -> None:
        """Refused for a request without a key, or with one too many."""
        # The address of an upload is itself a secret, and clients send no key there.
        if not scope["path"].startswith("/upload/sessions/"):
            self._check_quota(self._key(headers, scope["query_string"]))

    def _key(self, headers: Headers, query: bytes) -> str:
        key = headers.get(b"x-goog-api-key")
        key = key or headers.get(b"authorization", "").removeprefix("Bearer ")
        key = key or parse_qs(query.decode("latin-1")).get("key", [""])[0]
        if not key:
            raise Refused(403, "The request has no API key: send it in the header x-goog-api-key.")
        for known in self.keys:
            if hmac.compare_digest(key.encode("latin-1", "replace"), known.encode()):
                return known
        raise Refused(401, "API key not valid. Please pass a valid API key.")

    def _check_quota(self, key: str) -> None:
        quota = self.keys[key]
        if not quota.requests:
            return
        now, calls = time.monotonic(), self.calls[key]
        while calls and calls[0] <= now - quota.seconds:
            calls.popleft()
        if len(calls) >= quota.requests:
            said = f"You exceeded your quota of {quota.requests} requests in {quota.seconds:g} s."
            raise Refused(429, said, seconds=max(1, calls[0] + quota.seconds - now))
        calls.append(now)
