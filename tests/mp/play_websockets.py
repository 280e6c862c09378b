# Runs the checks of websocket_cases.py by import: as a main program its text is too long for the oldest WebAssembly
# build.

import websocket_cases

websocket_cases.Main()
