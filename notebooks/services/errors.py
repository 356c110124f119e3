"""Errors in the form of Google's APIs: https://cloud.google.com/apis/design/errors."""

import math
from http import HTTPStatus

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Refused(Exception):
    """A request that is not served: with a code of HTTP, one sentence, and perhaps the field.

    field: the path of what is wrong, as "generationConfig.temperature". seconds: to wait.
    """

    def __init__(self, code: int, message: str, field: str = "", seconds: float | None = None):
        message, field = (text.encode("utf-8", "replace").decode() for text in (message, field))
        super().__init__(message)
        self.code, self.message, self.field, self.seconds = code, message, field, seconds

    @property
    def headers(self) -> dict[str, str]:
        """What is sent before the body."""
        return {} if self.seconds is None else {"Retry-After": str(math.ceil(self.seconds))}

    def body(self) -> dict:
        """What is sent."""
        details = []
        if self.field:
            said = {"field": self.field, "description": self.message}
            details = [
                {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [said]}
            ]
        if self.seconds is not None:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            details.append({"@type": kind, "retryDelay": f"{self.headers['Retry-After']}s"})
        status = STATUS.get(self.code) or HTTPStatus(self.code).name
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "status": status,
                "details": details,
            }
        }
