"""Types of microWebTemplate: templates for .pyhtml pages (docs/templates.md)."""

from typing import Any, BinaryIO, Callable, Iterable, Mapping, NoReturn

MaxPages: int
"""The number of compiled pages that a server caches: 16 on MicroPython, 512 on CPython."""

MaxBytes: int
"""The limit for the sources of the cached pages: 32 KB on MicroPython, 8 MB on CPython."""

MaxNames: int
"""The number of different names in a page: 240 on MicroPython."""

class TemplateError(Exception):
    """A page can't be compiled, or failed. `str()` is "file, line N: Kind: message"; microWebPages.py adds the line of
    the template on a second line. For an undefined name the message is "'name' isn't defined".
    """

class MicroWebTemplate:
    """A template from a text. It is compiled at its first use."""

    Markup: Any
    """With microWebPages.py: `Markup(text)` is text that is already HTML."""

    isAlways: bool
    size: int

    def __init__(
        self,
        code: str,
        escapeStrFunc: Callable[[str], str] | None = None,
        filepath: str = "",
    ) -> None:
        """escapeStrFunc: called with the text of each expression; None: no escaping. filepath: where the code comes
        from; includes are looked up in its folder, and errors name it.
        """

    def Validate(
        self,
        pyGlobalVars: Mapping[str, Any] | None = None,
        pyLocalVars: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Compile only. -> the text of the error, or None."""

    def Execute(
        self,
        pyGlobalVars: Mapping[str, Any] | None = None,
        pyLocalVars: Mapping[str, Any] | None = None,
    ) -> str:
        """The rendered text. Variables of pyLocalVars override those of pyGlobalVars. Raises TemplateError."""

    # The methods that a server uses for its pages.
    def Escape(self, value: Any) -> str | bytes: ...
    def Render(self, server: Any, path: str, values: Mapping[str, Any]) -> Iterable[str | bytes]: ...
    def Get(self, *key: Any) -> Any: ...

def Attach(server: Any) -> None:
    """Called by each new server: sets `server.Renderers[".pyhtml"]` to a function render(server, path, vars). It
    returns the blocks of the page, str or bytes: a tuple if that is the whole page, else an iterator. OSError if there
    is no such page.
    """

# For microWebPages.py and tools/compile_templates.py, which replace Compiler or Page for all pages.

Compiler: Any
"""A file and its includes -> source of one generator function. (On a board its members have short names, so both files
must be from the same build.)"""

Page: Any
"""A compiled page, which writes blocks."""

def Stat(path: str) -> tuple[bool, int, int] | None: ...
def Open(path: str) -> BinaryIO: ...
def Expected(what: str) -> NoReturn: ...
def Until(end: str, text: str, i: int) -> tuple[str, int]: ...
def Locate(source: Any, path: str) -> tuple[Any, str, str]: ...
def const(value: int) -> int: ...
