"""Refused requests in the form of the Hugging Face Hub: a sentence, and a code its clients know."""

from starlette.responses import JSONResponse

from services.errors import Refused


class Refusal(Refused):
    """A request that is not served.

    code: of HTTP. kind: of the Hub, such as "EntryNotFound"; huggingface_hub makes its exceptions
    of these (huggingface_hub/utils/_http.py). seconds: after which to ask again.
    """

    def __init__(self, code: int, message: str, kind: str = "", seconds: float | None = None):
        message = message.encode("ascii", "replace").decode()  # it also goes into a header
        super().__init__(code, message, seconds=seconds)
        self.kind = kind

    def response(self, challenge: bool = False) -> JSONResponse:
        """What is sent; challenge: asks a git client for a token."""
        headers = {"X-Error-Message": " ".join(self.message.split())} | self.headers
        if self.kind:
            headers["X-Error-Code"] = self.kind
        if challenge:
            headers["WWW-Authenticate"] = 'Basic realm="Local Hub"'
        return JSONResponse({"error": self.message}, self.code, headers)
