"""More for .pyhtml pages: extends, blocks, verbatim, and precompiled pages. docs/templates.md is the manual.

Copy it beside microWebTemplate.py; the server finds it. A program without a server imports it.
"""

from typing import Any

import microWebTemplate

template: Any
"""The module microWebTemplate, whose Compiler and Page are from here on those of this file."""

Compiler: Any
"""Adds {{ extends }}, {{ block }} and {{ verbatim }}."""

Page: Any
"""A page that may be the module www_pyhtml.name instead of a file.

That module has one name, `page__`: a tuple of the function, its names, a text with the place in the template and the
words of each line, the files that it was made from, and the texts.
"""

class Markup(str):
    """Text that is HTML already: `{{ Markup("<b>") }}` writes it as it is."""

    def __html__(self) -> str: ...

class Cache(microWebTemplate.MicroWebTemplate):
    """The pages of a server: when there are too many, the one that was not asked for the longest goes."""

    clock: int

def Attach(server: Any) -> None:
    """Plug into a server: `server.Renderers[".pyhtml"]`, and `server.pages`, {path: page}, if there is a package of
    precompiled pages."""
