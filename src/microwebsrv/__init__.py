"""The command `microwebsrv`, for CPython only: serves a folder while you work on it. The server is microWebSrv."""
