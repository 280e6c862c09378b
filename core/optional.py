# The optional files, in the order in which they are looked for. Their names, behind microWeb, are what
# the core knows. One text: a tuple of them would take three times the memory of a board.
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
        "Broker "
    )
