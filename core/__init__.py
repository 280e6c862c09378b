# The server as a folder of rooms: a board that compiles from source takes it as a package named microWebSrv.
from .exchange import HttpClient, HttpResponse  # noqa: F401
from .server import MicroWebSrv, __getattr__  # noqa: F401
from .text import __version__  # noqa: F401
