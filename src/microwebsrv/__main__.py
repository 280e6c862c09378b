"""The command microwebsrv. Its first word selects what it does."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import NoReturn

from microwebsrv.data import Trouble

COMMANDS = ("push", "check")        # modules with Parser() and Run(); any other first word is a target to serve


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, which refers to --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, "microwebsrv: %s; see %s --help\n" % (message, self.prog))


def Main(args: list[str] | None = None) -> int:
    """Return 0 for success, 1 for a fault in the program, 2 for wrong arguments, 3 if the task could not be done."""
    words = sys.argv[1:] if args is None else args
    command = import_module("microwebsrv." + (words[0] if words and words[0] in COMMANDS else "serve"))
    isServe = command.__name__.endswith("serve")
    parser = OneLineParser("microwebsrv" + ("" if isServe else " " + words[0]), description=command.__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    command.Parser(parser)
    try:
        return int(command.Run(parser.parse_args(words if isServe else words[1:])))
    except Trouble as error:
        print("microwebsrv: %s" % error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:                     # the reader, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(Main())
