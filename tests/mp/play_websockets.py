# The checks of websocket_cases.py, imported: as a program its text is too long for the oldest WebAssembly build.

import websocket_cases

websocket_cases.Main()
