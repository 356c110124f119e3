"""Passes requests on to a Space's app, piece by piece, so that its streams stay streams."""

from collections.abc import AsyncIterator

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.local import HERE
from services.refusals import Refusal

# https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1: of one connection, not of the message.
HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
# The Hub's token is for the Hub: an app never sees it.
TOKENS = {"authorization", "x-hf-authorization"}
KEPT_BACK = HOP | TOKENS | {"host", "content-length", "accept-encoding"}


class Proxy:
    """One client for all apps."""

    def __init__(self):
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        time_out = httpx.Timeout(10, read=None, pool=None)
        self.client = httpx.AsyncClient(limits=limits, timeout=time_out, trust_env=False)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.client.aclose()

    async def pass_on(self, request: Request, port: int, path: str) -> Response:
        """Ask the app what was asked here. Refusal where it cannot be reached."""
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in KEPT_BACK]
        headers.append(("x-forwarded-host", request.headers.get("host", "")))
        headers.append(("accept-encoding", "identity"))
        if "content-length" in request.headers:
            headers.append(("content-length", request.headers["content-length"]))
        url = httpx.URL(f"http://{HERE}:{port}", raw_path=path.encode("ascii", "replace"))
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        content = request.stream() if has_body else None
        asked = self.client.build_request(request.method, url, headers=headers, content=content)
        try:
            answer = await self.client.send(asked, stream=True)
        except httpx.HTTPError as error:
            said = f"The Space's app broke off ({type(error).__name__})."
            raise Refusal(503, said) from None

        async def pieces() -> AsyncIterator[bytes]:
            # Where the app dies, so does this connection: a client must not take it for an end.
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()

        kept = [(k, v) for k, v in answer.headers.multi_items() if k.lower() not in HOP]
        response = StreamingResponse(pieces(), answer.status_code)
        response.raw_headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in kept]
        return response
