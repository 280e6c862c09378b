"""The command `microwebsrv`, for CPython only. The server itself is microWebSrv."""
