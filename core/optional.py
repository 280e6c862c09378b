# The optional files, in the order in which the core looks for them: names without the prefix microWeb.
# One string, because a tuple would take three times as much memory on a board.
# Made from optional.txt by tools/make_packages.py: change that file, not this one.

from .text import MICROPYTHON

OPTIONAL = (
    "Socket "
    "Template "
    "Async "
    "Threads "
    "Files "
    "Pages "
    "Events "
    "Deflate "
    "SocketPlus "
    "Session "
    "Auth "
    "Digest "
    "Login "
    "Cors "
    "Security "
    "Tls "
    "Routes "
    "Json "
    "Upload "
    "Portal "
)
if not MICROPYTHON:
    OPTIONAL += (
        "Asgi "
        "AsgiSocket "
        "Mount "
        "SendFile "
        "Broker "
    )
