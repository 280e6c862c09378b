# ruff: noqa: F821     (freeze_mpy, module, package and options come from the build)
# What MicroPython's build freezes into a firmware. A manifest of your own names the board's and includes this one:
#
#     include("$(PORT_DIR)/boards/manifest.py")
#     include("/path/to/MicroWebSrv/manifest.py", events=True, www="/path/to/build/frozen", site="www")
#
# and is given to make as FROZEN_MANIFEST=…, see docs/boards.md. The options:
#
#     websocket, template, …  the optional files, by the words of core/optional.txt: the classic ones are there unless
#                             you say False, the others if you say True; each brings what it needs
#     source                  True: the files of src are compiled by your build. Else those of board are taken,
#                             which are compiled already, and smaller
#     www, site               the folder that tools/freeze_www.py has written, and the name of the folder it was made of
#     main                    a program that starts with the board: a folder that holds a main.py
#
# `www` and `main` are absolute paths, or begin with a variable such as $(PORT_DIR).

with open("core/optional.txt", encoding="utf-8") as file:
    rows = [line.split(None, 4)[:4] for line in file if line.strip() and line[0] != "#"]
rows = [row for row in rows if row[2] != "desk"]

options.defaults(source=False, www=None, site="www", main=None,
                 **{option: where == "classic" for name, option, where, needs in rows})

wanted = {name for name, option, where, needs in rows if getattr(options, option)}
if options.www and "microWebTemplate" in wanted:
    wanted.add("microWebPages")                     # the pages of the site are compiled already
while True:
    needed = {need for name, option, where, needs in rows if name in wanted for need in needs.split(",")} - {"-"}
    if needed <= wanted:
        break
    wanted |= needed

for name in ["microWebSrv"] + [row[0] for row in rows if row[0] in wanted]:
    if options.source:
        module(name + ".py", base_path="src", opt=3)        # without line numbers; those of your own modules stay
    else:
        freeze_mpy("board", name + ".mpy")

if options.www:
    module(options.site + "_site.py", base_path=options.www)
    if "microWebTemplate" in wanted:
        package(options.site + "_pyhtml", base_path=options.www)

if options.main:
    module("main.py", base_path=options.main)
