# The optional files, in the order in which they are looked for. Their names are all that the core knows.
# Made from optional.txt by tools/make_packages.py: change that file, not this one.

OPTIONAL = (
    "microWebSocket",
    "microWebTemplate",
    "microWebAsync",
    "microWebThreads",
    "microWebFiles",
    "microWebPages",
    "microWebEvents",
    "microWebDeflate",
    "microWebSocketPlus",
    "microWebSession",
    "microWebAuth",
    "microWebDigest",
    "microWebLogin",
    "microWebCors",
    "microWebSecurity",
    "microWebTls",
)
