"""Files that clients upload, in chunks that may come again, and that are gone after two days.

The protocol is Google's resumable one (https://ai.google.dev/api/files): a start, whose answer
names an address; then pieces to that address, the last of which says "finalize".
"""

import functools
import hashlib
import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services import temporary
from services.errors import Refused
from services.shapes import File, FileToCome, timestamp

KEPT = timedelta(hours=48)
STARTED = timedelta(hours=1)  # for an upload that is never finished
MOST_FILES = 100


def _alone(method: Callable) -> Callable:
    """One such method of an object at a time."""

    @functools.wraps(method)
    def locked(self: "Uploads", *arguments: object) -> object:
        with self._lock:
            return method(self, *arguments)

    return locked


@dataclass
class _Upload:
    """A file that is not whole yet; size: in bytes, as the client announced it."""

    about: FileToCome
    mime_type: str
    size: int | None
    path: Path
    began: datetime


class Uploads:
    """The files of one run of the server, in a folder that goes with it."""

    def __init__(
        self, max_bytes: int, address: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ):
        """max_bytes: of a file. address: of the server. now: the time, for tests of expiry."""
        self.folder = temporary.folder("gemini")
        self.max_bytes, self.address, self.now = max_bytes, address, now
        self._coming: dict[str, _Upload] = {}
        self._files: dict[str, tuple[File, Path, datetime]] = {}
        self._lock = threading.RLock()  # requests come from many threads

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @_alone
    def start(self, about: FileToCome, mime_type: str | None, size: int | None) -> str:
        """Begin an upload; returns the token of its address."""
        self._forget()
        mime_type = about.mime_type or mime_type
        if not mime_type:
            raise Refused(400, "The file's MIME type is missing.", "file.mimeType")
        if size is not None and size > self.max_bytes:
            raise Refused(413, self._too_large, "file.sizeBytes")
        if len(self._coming) + len(self._files) >= MOST_FILES:
            raise Refused(429, f"There are {MOST_FILES} files already: delete some.", seconds=60)
        coming = {upload.about.name for upload in self._coming.values()}
        if about.name is not None and about.name in {*self._files, *coming}:
            raise Refused(409, f"There is a file {about.name} already.", "file.name")
        token = secrets.token_urlsafe(24)
        path = self.folder / f"{secrets.token_hex(8)}.part"
        path.touch()
        self._coming[token] = _Upload(about, mime_type, size, path, self.now())
        return token

    @_alone
    def received(self, token: str) -> int:
        """How many bytes of an upload are here."""
        return self._upload(token).path.stat().st_size

    @_alone
    def append(self, token: str, offset: int, data: bytes) -> None:
        """Add bytes to an upload; those that are here already are read over."""
        upload = self._upload(token)
        here = upload.path.stat().st_size
        if offset > here:
            raise Refused(400, f"Bytes {here} to {offset} are missing.", "X-Goog-Upload-Offset")
        data = data[here - offset :]
        if here + len(data) > self.max_bytes:
            self.cancel(token)
            raise Refused(413, self._too_large, "file.sizeBytes")
        with upload.path.open("ab") as file:
            file.write(data)

    @_alone
    def finish(self, token: str) -> File:
        """The upload is whole."""
        upload = self._upload(token)
        data = upload.path.read_bytes()
        if not data or (upload.size is not None and len(data) != upload.size):
            told = f"{upload.size:,} bytes were announced, and" if upload.size else "At least one,"
            raise Refused(400, f"{told} {len(data):,} came.", "file.sizeBytes")
        del self._coming[token]
        name = upload.about.name or f"files/{secrets.token_hex(6)}"
        now = self.now()
        written = timestamp(now)
        ends = now + KEPT
        file = File(
            name=name,
            display_name=upload.about.display_name,
            mime_type=upload.mime_type,
            size_bytes=str(len(data)),
            create_time=written,
            update_time=written,
            expiration_time=timestamp(ends),
            sha256_hash=hashlib.sha256(data).hexdigest(),
            uri=f"{self.address}/v1beta/{name}",
        )
        self._files[name] = file, upload.path, ends
        return file

    @_alone
    def cancel(self, token: str) -> None:
        """Forget an upload."""
        self._upload(token).path.unlink(missing_ok=True)
        self._coming.pop(token, None)

    @_alone
    def files(self) -> list[File]:
        """All that are here, the newest first."""
        self._forget()
        return [file for file, *_ in reversed(self._files.values())]

    @_alone
    def get(self, name: str) -> File:
        """A file by its name, "files/…"."""
        return self._found(name)[0]

    @_alone
    def data(self, uri: str, field: str) -> tuple[bytes, str]:
        """The bytes and the MIME type of a file, by its address or name."""
        _, slash, name = uri.rpartition("files/")
        file, path, _ = self._found(f"files/{name}" if slash else uri, field)
        return path.read_bytes(), file.mime_type

    @_alone
    def delete(self, name: str) -> None:
        """Remove a file."""
        _, path, _ = self._found(name)
        path.unlink(missing_ok=True)
        del self._files[name]

    def _found(self, name: str, field: str = "name") -> tuple[File, Path, datetime]:
        self._forget()
        if name not in self._files:
            raise Refused(404, f"There is no file {name}: it was deleted, or expired.", field)
        return self._files[name]

    def _upload(self, token: str) -> _Upload:
        if token not in self._coming:
            raise Refused(404, "There is no such upload: start it again.")
        return self._coming[token]

    def _forget(self) -> None:
        """Remove what has expired."""
        now = self.now()
        for token in [t for t, upload in self._coming.items() if upload.began + STARTED <= now]:
            self.cancel(token)
        for name in [name for name, (*_, ends) in self._files.items() if ends <= now]:
            self._files.pop(name)[1].unlink(missing_ok=True)

    @property
    def _too_large(self) -> str:
        return f"The file is too large: at most {self.max_bytes / 1e6:.0f} MB."
