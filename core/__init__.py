# The server as a package of small files: a board that compiles from source installs this folder under the name
# microWebSrv.
from .exchange import HttpClient, HttpResponse  # noqa: F401
from .server import MicroWebSrv, __getattr__  # noqa: F401
from .text import __version__  # noqa: F401
