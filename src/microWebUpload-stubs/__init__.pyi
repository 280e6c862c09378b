"""Types of microWebUpload: writes the files of a form, or the content of a PUT, to a folder or a writer."""

from collections.abc import Callable
from typing import Protocol

from microWebSrv import HttpClient, MicroWebSrv

class _Writer(Protocol):
    """It may also have Close(), called when the upload is complete, and Abort(), called when it fails."""
    def Write(self, data: bytes, /) -> object: ...

class File:
    field: str
    name: str
    contentType: str
    size: int
    path: str | None
    writer: object

class Upload:
    fields: dict[str, str]
    files: list[File]
    received: int
    def GetList(self, name: str) -> list[str]: ...

class AcceptUploads:
    maxFileLen: int
    maxFiles: int
    maxParts: int
    maxFieldsLen: int
    def __init__(self, mws: MicroWebSrv, path: str,
                 to: str | Callable[[HttpClient, File], str | _Writer | Callable[[bytes], object]],
                 method: str = "POST", maxFileLen: int = ..., maxFiles: int = 8, maxParts: int = 32,
                 maxFieldsLen: int = 4096, spareLen: int = 16384,
                 progress: Callable[[HttpClient, int, int | None], object] | None = None) -> None: ...

def SafeName(name: str) -> str: ...
def CleanFolder(folder: str) -> None: ...
def Attach(server: MicroWebSrv) -> None: ...
