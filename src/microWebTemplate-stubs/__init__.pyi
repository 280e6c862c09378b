"""Templates for .pyhtml pages: docs/templates.md is the manual."""

from typing import Any, Callable, Mapping

MaxPages: int
"""How many compiled pages a server keeps: 16 on MicroPython, 512 on CPython."""

MaxBytes: int
"""How many bytes the sources of the kept pages may have: 32 KB on MicroPython, 8 MB on CPython."""

class TemplateError(Exception):
    """A page that can't be compiled, or has failed.

    `str()` is "file, line N: Kind: what", and on a second line that line of the template.
    """

class Markup(str):
    """Text that is HTML already: `{{ Markup("<b>") }}` writes it as it is."""

    def __html__(self) -> str: ...

class MicroWebTemplate:
    """A template from a text. It is compiled when it is first used."""

    Markup: type[Markup]

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

def Attach(server: Any) -> None:
    """Plug into a server: `server.Renderers[".pyhtml"]` is then a render(server, path, vars).

    It returns the blocks of the page, str or bytes: a tuple if that is all of it, else an iterator. OSError if there is
    no such page. And `server._pages` is what the package of precompiled pages says that there is: {path: page}.
    """

def const(value: int) -> int: ...
