"""Passes requests on to a Space's app, piece by piece, so that its streams stay streams."""

from collections import Counter
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.local import HERE
from services.refusals import Refusal

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1: of one connection, not of the message.
HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
KEPT_BACK = HOP | {"x-hf-authorization", "host", "content-length", "accept-encoding"}


class Proxy:
    """One client for all apps."""

    def __init__(self):
        # Let go before the app does (uvicorn: after 5 s), so that none is used as it is closed.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=32, keepalive_expiry=2
        )
        time_out = httpx.Timeout(10, read=None, pool=None)
        # Cookies are between a visitor and an app: kept here, they would go to all of both.
        none = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self.client = httpx.AsyncClient(
            limits=limits, timeout=time_out, trust_env=False, cookies=none
        )

    async def close(self) -> None:
        """Let go of all connections."""
        await self.client.aclose()

    async def pass_on(self, request: Request, port: int, path: str) -> Response:
        """Ask the app what was asked here. Refusal where it cannot be reached."""
        # As bytes: what clients send in a header need not be ASCII.
        # The Hub's token is for the Hub: an app never sees it. Beside it may stand the app's own.
        own = request.headers.get("authorization")
        hubs = own == request.headers.get("x-hf-authorization", own)
        away = KEPT_BACK | {"authorization"} if hubs else KEPT_BACK
        headers = [(k, v) for k, v in request.headers.raw if k.decode("latin-1") not in away]
        headers.append((b"x-forwarded-host", request.headers.get("host", "").encode("latin-1")))
        headers.append((b"accept-encoding", b"identity"))
        if "content-length" in request.headers:
            headers.append((b"content-length", request.headers["content-length"].encode()))
        url = httpx.URL(f"http://{HERE}:{port}", raw_path=path.encode("ascii", "replace"))
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        content = request.stream() if has_body else None
        asked = self.client.build_request(request.method, url, headers=headers, content=content)
        busy = request.app.state.hub.spaces.busy
        busy[port] += 1
        try:
            answer = await self.client.send(asked, stream=True)
        except BaseException as error:
            busy[port] -= 1
            if isinstance(error, httpx.HTTPError):
                said = f"The Space's app broke off ({type(error).__name__})."
                raise Refusal(503, said) from None
            if isinstance(error, ClientDisconnect):
                raise Refusal(499, "The client has gone.") from None
            raise
        return _Passed(answer, busy, port)


class _Passed(StreamingResponse):
    """An app's answer, piece by piece. Where the app dies, so does the connection to the client."""

    def __init__(self, answer: httpx.Response, busy: Counter[int], port: int):
        super().__init__(answer.aiter_raw(), answer.status_code)
        self.answer, self.busy, self.port = answer, busy, port
        kept = [(k.lower(), v) for k, v in answer.headers.raw]
        self.raw_headers = [(k, v) for k, v in kept if k.decode("latin-1") not in HOP]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and let go of the app however that ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.busy[self.port] -= 1
            await self.answer.aclose()
