"""Types of microWebPages: extends, blocks, verbatim, and precompiled pages (docs/templates.md). A server finds the file
beside microWebTemplate.py; a program without a server imports it.
"""

from typing import Any

import microWebTemplate

template: Any
"""The module microWebTemplate. Its Compiler and Page are replaced by those of this file."""

Compiler: Any
"""Adds {{ extends }}, {{ block }} and {{ verbatim }}."""

Page: Any
"""A page from a file or from its module www_pyhtml.name. That module has one name, `page__`: a tuple of the function,
its names, a text with the place in the template and the words of each line, the source files, and the literal texts."""

class Markup(str):
    """Text that is already HTML: `{{ Markup("<b>") }}` writes it without escaping."""

    def __html__(self) -> str: ...

class Cache(microWebTemplate.MicroWebTemplate):
    """The pages of a server. When the cache is full, the least recently used page is removed."""

    clock: int

def Attach(server: Any) -> None:
    """Called by each new server: sets `server.Renderers[".pyhtml"]`, and `server.pages`, {path: page}, if there is a
    package of precompiled pages."""
