"""Makes a board match the folder of a program: copies changed files, restarts the board, shows its log.

Needed server files are added; modules and pages are compiled to .mpy. Files that an earlier push copied and that are no
longer in the folder are deleted; other files on the board are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from microwebsrv import build, device, project
from microwebsrv.data import Trouble

MANIFEST = ".microwebsrv"           # file on the board with {path: SHA-256} of the last push
START_SEC = 30                      # time for joining a network before the server starts
MANIFEST_ROOM = 2                   # flash blocks

HEAP_LINE = re.compile(r"^MicroWebSrv: port .*; (\d+) bytes of heap left", re.M)


@dataclass
class Plan:
    """The changes to make."""

    copies: list[str] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def Say(text: str) -> None:
    print("microwebsrv: " + text, flush=True)


def Digests(files: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def Compare(wanted: dict[str, str], there: dict[str, str], manifest: dict[str, str], isForced: bool) -> Plan:
    """Compare the digests of the files to push, the files on the board, and the last push."""
    plan = Plan()
    for path, digest in wanted.items():
        if there.get(path) == digest:
            plan.same.append(path)
        elif path in there and manifest.get(path) == digest and not isForced:
            plan.same.append(path)
            plan.notes.append("%s was changed on the board, and not in the folder: it stays; --force copies it" % path)
        else:
            plan.copies.append(path)
    for path, digest in manifest.items():
        if path not in wanted and path in there:
            if there[path] == digest:
                plan.deletes.append(path)
            else:
                plan.notes.append("%s was changed on the board: it stays there" % path)
    return plan


def CheckRoom(plan: Plan, files: dict[str, bytes], sizes: dict[str, int], facts: device.Facts) -> None:
    """Raise Trouble if the flash is too small, before any change. Each file is written before the old one is
    deleted."""
    def Blocks(size: int) -> int:
        return -(-size // facts.blockLen) or 1

    free = facts.freeBlocks - MANIFEST_ROOM + sum(Blocks(sizes.get(path, 0)) for path in plan.deletes)
    least = free
    for path in plan.copies:
        free -= Blocks(len(files[path]))
        least = min(least, free)
        free += Blocks(sizes[path]) if path in sizes else 0
    if least < 0:
        raise Trouble("the flash of the board is too small: %s more are needed, and %s are free"
                      % (_Kilo(-least * facts.blockLen), _Kilo(facts.freeBlocks * facts.blockLen)))


def _Kilo(size: int) -> str:
    return "%d KB" % -(-size // 1024)


def Order(path: str) -> tuple[int, str]:
    """Sort key: the server first, main.py last, so that an interrupted push leaves the old program."""
    name = path.rpartition("/")[2]
    return 2 if name in project.STARTERS else 0 if "/lib/" in path else 1, path


def CheckBoard(board: device.Board) -> None:
    facts, mpy = board.facts, build.MpyVersion()
    version = ".".join(map(str, facts.version))
    if facts.name != "micropython":
        raise Trouble("%s runs %s, and not MicroPython" % (board.port, facts.name))
    if facts.mpy != mpy:
        raise Trouble("%s runs MicroPython %s, which %s: install 1.20 or newer, or an mpy-cross of that version" % (
            board.port, version, "reads .mpy files of version %d and not of %d" % (facts.mpy, mpy) if facts.mpy
            else "reads no .mpy files"))
    Say("%s: MicroPython %s, %s of flash free" % (board.port, version, _Kilo(facts.freeBlocks * facts.blockLen)))


def Shadows(board: device.Board, files: dict[str, bytes], manifest: dict[str, str]) -> list[str]:
    """Files on the board that would be imported instead of one of ours."""
    root = board.facts.root.rstrip("/") + "/"
    found: dict[str, str] = {}
    for path in files:
        if path.endswith(".mpy"):
            found[path[:-3] + "py"] = path
            if path.startswith(root + "lib/"):
                name = root + path[len(root) + 4:-4]
                found.update({name + ".py": path, name + ".mpy": path})
                found.update({name: path} if "/" not in path[len(root) + 4:] else {})
    asked = [path for path in found if path not in files and path not in manifest]
    return ["%s on the board comes before %s: delete it" % (path, found[path]) for path in board.Existing(asked)]


def ReadManifest(board: device.Board, path: str) -> dict[str, str]:
    try:
        found = json.loads(board.Read(path) or "{}")
    except ValueError:
        return {}
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def Sizes(board: device.Board, paths: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for at in range(0, len(paths), device.SOME):
        some = paths[at:at + device.SOME]
        found.update(zip(some, map(int, board.Run("for p in %r:\n print(os.stat(p)[6])" % some).split())))
    return found


class Push:
    """One push to an open board."""

    def __init__(self, board: device.Board, made: build.Made, inFlash: set[str], isForced: bool) -> None:
        root = board.facts.root
        self.board, self.manifestPath = board, root.rstrip("/") + "/" + MANIFEST
        files = {build.Target(path, root, inFlash): content for path, content in made.files.items()}
        self.files = {path: files[path] for path in sorted(files, key=Order)}
        self.digests = Digests(self.files)
        self.manifest = ReadManifest(board, self.manifestPath)
        there = board.Hashes(sorted({*self.files, *self.manifest}))
        self.plan = Compare(self.digests, there, self.manifest, isForced)
        self.sizes = Sizes(board, [path for path in [*self.plan.copies, *self.plan.deletes] if path in there])
        self.plan.notes = made.notes + self.plan.notes + Shadows(board, self.files, self.manifest)

    def Line(self, path: str) -> str:
        if path not in self.files:
            return "  delete   %s" % path
        word = "replace" if path in self.sizes else "copy"
        return "  %-8s %s  %d bytes" % (word, path, len(self.files[path]))

    def Run(self, isDry: bool) -> None:
        """Make the changes. Trouble, before any change, if the flash is too small."""
        CheckRoom(self.plan, self.files, self.sizes, self.board.facts)
        for path in [*self.plan.deletes, *self.plan.copies]:
            print(self.Line(path), flush=True)
            if not isDry:
                self._Do(path)
        if not isDry and self.manifest != self.digests:
            content = json.dumps(self.digests, indent=0).encode()
            self.board.Write(self.manifestPath, content, hashlib.sha256(content).hexdigest())
        for note in self.plan.notes:
            Say(note)
        words = ("to copy", "to delete") if isDry else ("copied", "deleted")
        Say("%d files %s, %d %s, %d are there already" % (
            len(self.plan.copies), words[0], len(self.plan.deletes), words[1], len(self.plan.same)))

    def _Do(self, path: str) -> None:
        if path in self.files:
            self.board.Write(path, self.files[path], self.digests[path])
        else:
            self.board.Remove(path)


def Follow(board: device.Board, withLog: bool) -> int:
    """Restart the program, show its log and the free heap. -> 1 if the program ended with an exception, else 0."""
    def Show(text: str) -> None:
        print(text, end="", flush=True)

    def HasEnded(text: str) -> bool:
        return text.endswith(">>> ")

    def HasStarted(text: str) -> bool:
        return HasEnded(text) or bool(HEAP_LINE.search(text))

    board.Restart()
    Say("restarted" + ("; its log, until Ctrl-C:" if withLog else ""))
    text = board.Log(Show if withLog else lambda piece: None, HasStarted, START_SEC)
    found = HEAP_LINE.search(text)
    free = board.MemoryFree() if HasEnded(text) else int(found.group(1)) if found else 0
    Say("%d bytes of the heap are left" % free if free else "the program has not started a server in %d s" % START_SEC)
    hasFailed = HasEnded(text) and "Traceback (most recent call last)" in text
    if hasFailed:
        Show("" if withLog else text[:-4])
        Say("the program has ended by an error")
    elif withLog:
        board.Log(Show, lambda text: False, None)
    return int(hasFailed)


def Run(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    program = project.Load(folder, options.exclude)
    device.CheckInstalled()
    made = build.Make(program, options.with_, options.without, not options.keep_pages)
    board = device.Board(options.port or device.FindPort())
    try:
        CheckBoard(board)
        push = Push(board, made, build.InFlash(program), options.force)
        push.Run(options.dry_run)
        if options.dry_run:
            board.Restart()
            return 0
        return Follow(board, not options.no_log)
    except KeyboardInterrupt:
        print()
        return 0
    finally:
        board.Close()


def Parser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="the folder of the program, with its main.py")
    add("port", nargs="?", metavar="PORT", help="such as /dev/ttyACM0 or COM3; default: the one that is connected")
    add("--with", action="append", default=[], dest="with_", metavar="NAME",
        help="one more file of the server, such as events; those that the program asks for are copied anyway")
    add("--without", action="append", default=[], metavar="NAME", help="leave a file of the server out")
    add("--exclude", action="append", default=[], metavar="PATTERN", help="leave files of the folder out")
    add("--keep-pages", action="store_true", help="copy .pyhtml pages as they are: the board compiles them")
    add("--force", action="store_true", help="copy over files that were changed on the board")
    add("--dry-run", action="store_true", help="show the changes, but don't make them")
    add("--no-log", action="store_true", help="end when the program has started")
