# Map method and path to a handler and its arguments. The first registered route that matches wins. No I/O and no clock.
# Paths have the form of Head.key, where NUL stands for an encoded slash.

import re

from .readers import NOT_TOKEN
from .text import MICROPYTHON
from .writers import CheckText

NO_ARGS = ()

_REGEX_CHARS = re.compile("[\\^$*+?|(){}\\[\\]\\\\]")


def IsAsync(handler):
    """True for an async def. MicroPython shows this in the type, and for bound methods and closures only in
    str(handler)."""
    if MICROPYTHON:
        return "<generator>" in str(handler)[-60:] or str(handler).startswith("<closure <generator>")
    for function in (getattr(handler, "__func__", handler), getattr(type(handler), "__call__", None)):  # noqa: B004
        code = getattr(function, "__code__", None)
        if code:
            break
    return bool(code and code.co_flags & 0x80)


class Route:
    """One registered handler. The path is split at its <arguments> into literals. With regular expression characters in
    the literals, the path is a regular expression."""

    def __init__(self, url, method, handler, threaded=False):
        isGood = CheckText("url", url)[:1] == "/"
        if not callable(handler):
            raise TypeError("handler must be a function: %r" % (handler,))
        self.isAsync = IsAsync(handler)
        if threaded and self.isAsync:
            raise ValueError("threaded must be False for an async handler: %r" % url)
        self.url = url
        self.method = CheckText("method", method, NOT_TOKEN).upper()
        self.handler = handler
        self.threaded = threaded
        self.regex = None
        self.names = names = []
        rest = (url.rstrip("/") or "/").split("<")
        self._literals = literals = [rest[0]]
        for part in rest[1:]:
            name, closed, literal = part.partition(">")
            isGood = isGood and closed and name and "/" not in name and name not in names
            names.append(name)
            literals.append(literal)
        if not isGood:
            raise ValueError("a route must begin with / and have a different name for each <argument>: %r" % url)
        if _REGEX_CHARS.search("".join(literals)):
            pattern = "^" + "([^/]+?)".join(literals)
            # MicroPython's re recurses for each character that .* matches. At the end it can be left out together with
            # "$".
            isOpen = pattern.endswith(".*") and pattern[-3] != "\\"
            self.regex = re.compile(pattern[:-2] if isOpen else pattern + "$")

    def Match(self, path):
        """The arguments as a dict, NO_ARGS if the route has none, None if the path does not match. Each argument ends
        at the first place where the next literal fits."""
        literals = self._literals
        found = self.regex
        if found:
            try:
                found = found.match(path) or found.match(path + "/")
            except RuntimeError:                # the path is too long: MicroPython's re recursed too deeply
                return None
        elif len(literals) == 1:
            return NO_ARGS if path == literals[0] else None
        if not (found if self.regex else path.startswith(literals[0])):
            return None
        args = {}
        at = 0
        start = len(literals[0])
        for name in self.names:
            at += 1
            if found:
                value = found.group(at)
            else:
                literal = literals[at]
                end = path.find(literal, start + 1) if at < len(self.names) else len(path) - len(literal)
                value = path[start:end]
                if end <= start or "/" in value or path[end:end + len(literal)] != literal:
                    return None
                start = end + len(literal)
            # Digits are converted to int if no character is lost: '007' stays text.
            isInt = value.encode().isdigit() and (value[0] != "0" or value == "0") and len(value) < 1000
            args[name] = int(value) if isInt else value.replace("\x00", "/")
        return args or NO_ARGS


def Find(routes, method, path):
    """(route, args) of the first route that matches, or None. A trailing slash of the path is ignored."""
    if len(path) > 1 and path[-1] == "/":
        path = path[:-1]
    for route in routes:
        if route.method == method:
            args = route.Match(path)
            if args is not None:
                return route, args
    return None
