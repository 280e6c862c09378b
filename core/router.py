# Path and method to handler and arguments. The first route that was registered and matches wins. Pure: no file, no
# time.
# Paths are in the normal form of Head.key, where NUL stands for an encoded slash.

import re

from .readers import IsDigits, IsToken
from .text import MICROPYTHON

NO_ARGS = ()

_REGEX_CHARS = re.compile("[\\^$*+?|(){}\\[\\]\\\\]")


def IsAsync(handler):
    """True for async def. MicroPython shows it in the type, for bound methods and closures in their words only."""
    if MICROPYTHON:
        return "<generator>" in str(handler)[-60:] or str(handler).startswith("<closure <generator>")
    for function in (getattr(handler, "__func__", handler), getattr(type(handler), "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if code:
            break
    return bool(code and code.co_flags & 0x80)


class Route:
    """One registered handler. A path is cut at the literals between the <arguments>; what has the characters of a
    regular expression outside of them is one."""

    def __init__(self, url, method, handler, threaded=False):
        if not isinstance(url, str) or url[:1] != "/":
            raise ValueError("a route must begin with a slash: %r" % (url,))
        if not isinstance(method, str) or not IsToken(method.encode()):
            raise ValueError("not a method: %r" % (method,))
        if not callable(handler):
            raise TypeError("handler must be a function: %r" % (handler,))
        self.isAsync = IsAsync(handler)
        if threaded and self.isAsync:
            raise ValueError("threaded must be False for an async handler: %r" % url)
        self.url = url
        self.method = method.upper()
        self.handler = handler
        self.threaded = threaded
        self._regex = None
        self._names = names = []
        first, *rest = (url[:-1] if len(url) > 1 and url[-1] == "/" else url).split("<")
        self._literals = literals = [first]
        for part in rest:
            name, closed, literal = part.partition(">")
            if not closed or not name or "/" in name or name in names:
                raise ValueError("an <argument> must have a name of its own: %r" % url)
            names.append(name)
            literals.append(literal)
        if _REGEX_CHARS.search("".join(literals)):
            pattern = "^" + "([^/]+?)".join(literals)
            # MicroPython's re recurses for each character of a .*, and at the end there is nothing left to match.
            isOpen = pattern.endswith(".*") and pattern[-3] != "\\"
            self._regex = re.compile(pattern[:-2] if isOpen else pattern + "$")

    def Match(self, path):
        """The arguments as a dict, NO_ARGS where the route has none, None where it does not match."""
        if self._regex:
            try:
                found = self._regex.match(path) or self._regex.match(path + "/")
            except RuntimeError:                # MicroPython's re recurses: the path is too long for the stack
                return None
            values = found and [found.group(i + 1) for i in range(len(self._names))]
        else:
            values = self._Cut(path)
        if values is None:
            return None
        return {name: _ArgValue(value) for name, value in zip(self._names, values)} or NO_ARGS

    def _Cut(self, path):
        """The values between the literals, or None. Each literal is taken where it first fits: what a later one needs
        is never taken before it."""
        literals = self._literals
        if len(literals) == 1:
            return () if path == literals[0] else None
        if not path.startswith(literals[0]):
            return None
        values = []
        start = len(literals[0])
        for literal in literals[1:-1]:
            end = path.find(literal, start + 1)
            if end < 0 or "/" in path[start:end]:
                return None
            values.append(path[start:end])
            start = end + len(literal)
        end = len(path) - len(literals[-1])
        if end <= start or path[end:] != literals[-1] or "/" in path[start:end]:
            return None
        values.append(path[start:end])
        return values


def _ArgValue(text):
    """An argument of digits arrives as int if nothing is lost by it: '007' stays text."""
    if IsDigits(text) and (text[0] != "0" or text == "0") and len(text) < 1000:
        return int(text)
    return text.replace("\x00", "/")


def Find(routes, method, path):
    """(route, args) of the first route that matches, or None. A slash at the end of the path is ignored."""
    if len(path) > 1 and path[-1] == "/":
        path = path[:-1]
    for route in routes:
        if route.method == method:
            args = route.Match(path)
            if args is not None:
                return route, args
    return None
