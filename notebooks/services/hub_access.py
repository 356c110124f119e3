"""Who may do what on the local Hub, and what its routes share."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.gitweb import token_of
from services.refusals import Refusal
from services.repos import Repositories, Repository
from services.spaces import Spaces

USER, GUEST = "learner", "guest"
MOST_ROWS = 1_000  # of a page, however many were asked for
LAST = 253_402_300_799  # 31 December 9999: git takes any number for a time
Kind = Literal["models", "datasets", "spaces"]
Name = Annotated[str, Field(max_length=96)]
Limit = Annotated[int, Query(ge=1, le=10**9)]
Cursor = Annotated[str, Query(pattern=r"^\d{0,6}$")]


@dataclass
class Hub:
    """What the server works with. tokens: of whom each is, and whether they may write."""

    repositories: Repositories
    spaces: Spaces
    tokens: dict[str, tuple[str, bool]]
    address: str
    # Addresses of large files, each a secret: with the size to come, and until when it gives one.
    uploads: dict[str, int] = field(default_factory=dict)
    downloads: dict[str, float] = field(default_factory=dict)

    def who(self, token: str) -> tuple[str, bool] | None:
        """Whose token it is; Refusal for one that is nobody's."""
        if not token:
            return None
        for known, owner in self.tokens.items():
            if hmac.compare_digest(token.encode("utf-8", "replace"), known.encode()):
                return owner
        raise Refusal(401, "Invalid credentials in Authorization header")

    def permit(self, kind: str, name: str, token: str, write: bool = False) -> Repository:
        """The repository, if this token may read it, or write to it; else Refusal.

        As on the Hub, whoever may not see a private repository is told that there is none.
        """
        who = self.who(token)
        found = self.repositories.find(kind, name)
        if not found or (found.facts.private and (not who or who[0] != found.owner)):
            said = f"Repository not found: {f'{kind}/{name}'[:100]!r}."
            raise Refusal(404 if who else 401, said, "RepoNotFound")
        if write and not who:
            raise Refusal(401, "Invalid username or password.")
        if write and not (who[1] and who[0] == found.owner):
            raise Refusal(403, f"This token may not write to {name}.")
        return found

    def url(self, repository: Repository) -> str:
        """Its page."""
        prefix = "" if repository.kind == "models" else f"{repository.kind}/"
        return f"{self.address}/{prefix}{repository.name}"


def hub_of(request: Request) -> Hub:
    """The Hub that this request came to."""
    return request.app.state.hub


def token(request: Request) -> str:
    """What came as a token; Gradio's clients leave the usual header to the app."""
    headers = request.headers
    return token_of(headers.get("x-hf-authorization") or headers.get("authorization", ""))


HubHere = Annotated[Hub, Depends(hub_of)]
Token = Annotated[str, Depends(token)]


def readable(hub: HubHere, token: Token, kind: Kind, owner: Name, name: Name) -> Repository:
    """The repository of a path, to read."""
    return hub.permit(kind, f"{owner}/{name}", token)


def writable(hub: HubHere, token: Token, kind: Kind, owner: Name, name: Name) -> Repository:
    """The repository of a path, to change."""
    return hub.permit(kind, f"{owner}/{name}", token, write=True)


def space(hub: HubHere, token: Token, owner: Name, name: Name) -> Repository:
    """The Space of a path, to read."""
    return hub.permit("spaces", f"{owner}/{name}", token)


def own_space(hub: HubHere, token: Token, owner: Name, name: Name) -> Repository:
    """The Space of a path, to change."""
    return hub.permit("spaces", f"{owner}/{name}", token, write=True)


Readable = Annotated[Repository, Depends(readable)]
Writable = Annotated[Repository, Depends(writable)]
Shown = Annotated[Repository, Depends(space)]
Own = Annotated[Repository, Depends(own_space)]


class Sent(BaseModel):
    """What clients send; fields that we do not know are left aside."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


def stamp(seconds: float) -> str:
    """A time in the Hub's form."""
    return datetime.fromtimestamp(min(max(seconds, 0), LAST), UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.000Z"
    )


def paged(
    request: Request,
    rows: list[dict],
    limit: int,
    cursor: str,
    finish: Callable[[dict], dict] = lambda row: row,
) -> JSONResponse:
    """One page of a list, with the address of the next in its header, as clients follow it.

    finish: what is worked out for the rows of the page alone.
    """
    begin, limit = int(cursor or 0), min(limit, MOST_ROWS)
    headers = {}
    if begin + limit < len(rows):
        url = request.url.include_query_params(cursor=str(begin + limit), limit=limit)
        headers["Link"] = f'<{url}>; rel="next"'
    return JSONResponse([finish(row) for row in rows[begin : begin + limit]], headers=headers)
