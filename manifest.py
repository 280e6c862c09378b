# ruff: noqa: F821     (module, package and options come from the build)
# What MicroPython's build freezes into a firmware. A manifest of your own names the board's and includes this one:
#
#     include("$(PORT_DIR)/boards/manifest.py")
#     include("/path/to/MicroWebSrv/manifest.py", events=True, www="/path/to/build/frozen", site="www")
#
# and is given to make as FROZEN_MANIFEST=…, see docs/boards.md. The options:
#
#     websocket, template     True unless you say False: microWebSocket.py, microWebTemplate.py
#     events, deflate         False unless you say True: microWebEvents.py, microWebDeflate.py
#     www, site               the folder that tools/freeze_www.py has written, and the name of the folder it was made of
#     main                    a program that starts with the board: a folder that holds a main.py
#
# `www` and `main` are absolute paths, or begin with a variable such as $(PORT_DIR).
# The board's own manifest must bring asyncio; those of esp32, rp2 and unix do.

options.defaults(websocket=True, template=True, events=False, deflate=False, www=None, site="www", main=None)

# opt=3: without line numbers. Tracebacks of your own modules keep theirs.
module("microWebSrv.py", base_path="src", opt=3)
if options.websocket:
    module("microWebSocket.py", base_path="src", opt=3)
if options.template:
    module("microWebTemplate.py", base_path="src", opt=3)
if options.events:
    module("microWebEvents.py", base_path="src", opt=3)
if options.deflate:
    module("microWebDeflate.py", base_path="src", opt=3)

if options.www:
    module(options.site + "_site.py", base_path=options.www)
    if options.template:
        package(options.site + "_pyhtml", base_path=options.www)

if options.main:
    module("main.py", base_path=options.main)
