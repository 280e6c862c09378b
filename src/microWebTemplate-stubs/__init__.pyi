"""Templates for .pyhtml pages: docs/templates.md is the manual."""

from typing import Any, BinaryIO, Callable, Iterable, Mapping, NoReturn

MaxPages: int
"""How many compiled pages a server keeps: 16 on MicroPython, 512 on CPython."""

MaxBytes: int
"""How many bytes the sources of the kept pages may have: 32 KB on MicroPython, 8 MB on CPython."""

MaxNames: int
"""How many different names a page may have: 240 on MicroPython."""

class TemplateError(Exception):
    """A page that can't be compiled, or has failed.

    `str()` is "file, line N: Kind: what", and with microWebPages.py on a second line that line of the template. For a
    name that nobody has set, what is "'name' isn't defined".
    """

class MicroWebTemplate:
    """A template from a text. It is compiled when it is first used."""

    Markup: Any
    """With microWebPages.py: `Markup(text)` is text that is HTML already."""

    isAlways: bool
    size: int

    def __init__(
        self,
        code: str,
        escapeStrFunc: Callable[[str], str] | None = None,
        filepath: str = "",
    ) -> None:
        """escapeStrFunc: gets the text of each expression; without it nothing is escaped.

        filepath: where the code comes from: includes are looked for in its folder, and errors name it.
        """

    def Validate(
        self,
        pyGlobalVars: Mapping[str, Any] | None = None,
        pyLocalVars: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Compile only: None, or the text of the error."""

    def Execute(
        self,
        pyGlobalVars: Mapping[str, Any] | None = None,
        pyLocalVars: Mapping[str, Any] | None = None,
    ) -> str:
        """The rendered text; the variables of pyLocalVars hide those of pyGlobalVars. Raises TemplateError."""

    # Of the one that a server has for its pages.
    def Escape(self, value: Any) -> str | bytes: ...
    def Render(self, server: Any, path: str, values: Mapping[str, Any]) -> Iterable[str | bytes]: ...
    def Get(self, *key: Any) -> Any: ...

def Attach(server: Any) -> None:
    """Plug into a server: `server.Renderers[".pyhtml"]` is then a render(server, path, vars).

    It returns the blocks of the page, str or bytes: a tuple if that is all of it, else an iterator. OSError if there is
    no such page.
    """

# For microWebPages.py and tools/compile_templates.py: what puts another Compiler or Page in the place of these has
# all pages made by it.

Compiler: Any
"""A file and all that it includes -> the source of one generator function. (Its members have short names on a board:
the two files must be of one build.)"""

Page: Any
"""A compiled page: it writes blocks."""

def Stat(path: str) -> tuple[bool, int, int] | None: ...
def Open(path: str) -> BinaryIO: ...
def Expected(what: str) -> NoReturn: ...
def Until(end: str, text: str, i: int) -> tuple[str, int]: ...
def Locate(source: Any, path: str) -> tuple[Any, str, str]: ...
def const(value: int) -> int: ...
