"""The command `microwebsrv`, for CPython only. The server is microWebSrv, and its classes are here as well:

    from microwebsrv import MicroWebSrv

A program for boards imports it from microWebSrv: boards have no package of this name."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["MicroWebSocket", "MicroWebSrv", "MicroWebTemplate", "__version__"]

if TYPE_CHECKING:
    from microWebSocket import MicroWebSocket
    from microWebSrv import MicroWebSrv, __version__
    from microWebTemplate import MicroWebTemplate
else:
    _HOMES = {"MicroWebSocket": "microWebSocket", "MicroWebSrv": "microWebSrv", "MicroWebTemplate": "microWebTemplate",
              "__version__": "microWebSrv"}

    def __getattr__(name):
        """Only now: the command needs none of them for `push`."""
        if name not in _HOMES:
            raise AttributeError("module 'microwebsrv' has no attribute %r" % name)
        from importlib import import_module
        return getattr(import_module(_HOMES[name]), name)

    def __dir__():
        return sorted({*globals(), *__all__})
