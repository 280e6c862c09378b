# .pyhtml pages for MicroWebSrv. Copy this file beside microWebSrv.py to enable them. MIT license, see LICENSE.
#
#    1  TEXT         files, names and TemplateError
#    2  COMPILER     a file and its includes -> source of one generator function
#    3  PAGE         runs that function, which writes blocks
#    4  TEMPLATE     MicroWebTemplate: a template, or all pages of a server; Attach
#
# Names without an underscore are for other files: microWebPages.py and tools/compile_templates.py, which replace the
# classes Compiler or Page. A board whose pages are all precompiled does not need section 2: tools/compile_templates.py
# --without-compiler leaves it out.

import builtins
import io
import os
import sys
import time

_MICROPYTHON = sys.implementation.name == "micropython"
if _MICROPYTHON:
    from micropython import const
else:
    import traceback

    def const(value):
        return value

# MaxPages, MaxBytes: number of cached pages, and the size of their sources.
# MaxNames: names in one page; MicroPython crashes when a nested function uses local number 256 of the outer one.
# _BLOCK: bytes of HTML in a block, each sent as a chunk. Small saves memory on a board, large saves calls on a desk.
if _MICROPYTHON:
    MaxPages, MaxBytes, MaxNames, _BLOCK = 16, 32768, 240, 1024
else:
    MaxPages, MaxBytes, MaxNames, _BLOCK = 512, 1 << 23, 65536, 16384
_PIECE = const(512)     # characters of a literal; the block is checked after four of them or eight short ones


# ==============================================================================
# 1  TEXT
# ==============================================================================
# A source is an object with Stat(path) -> (isFolder, size, mtime) or None, and Open(path), like webPath. The path of a
# page consists of a prefix, which no include can leave, and a name. For files outside of webPath this module is the
# source.

def Stat(path):
    try:
        stat = os.stat(path)
        return False, stat[6], stat[8]
    except OSError:
        return None


def Open(path):
    return open(path, "rb")


class TemplateError(Exception):
    """A page can't be compiled, or failed. The text names the file, the line of the template and the error."""


# ==============================================================================
# 2  COMPILER
# ==============================================================================
# One pass writes one generator function. Each name that a page uses is a local of this function: set at the start from
# the request's variables or the builtins, deleted if neither has it. So functions and comprehensions are closures over
# the page, a precompiled page is a plain module, and no state remains for the next request. (exec with a new dict for
# each request does not work: MicroPython then changes the globals of all functions made by the same code, also of a
# page that is half sent.) Generated names end in __.
#
# The lines of {{ py }} are compiled as they are, behind one tab for each level; so their indentation stays valid. Lines
# that begin within a string literal get no tab. Globals of a page are locals of its function, so `global` becomes
# nonlocal in functions and classes, and pass outside. Until the level of a line is known, \0 stands for its leading
# tabs and \0; for nonlocal, since no Python code contains \0.

_PAUSE = const("if s__() >= b__: yield")

if not _MICROPYTHON:
    def _IsWhole(text):
        """True if text is a complete f-string. Since Python 3.12 it may contain its own quotes."""
        try:
            return text[-1:] in b"'\"" and compile(text, "{{", "eval")
        except SyntaxError:
            return False


def _End(text, start, i, isFormat):
    """The index behind the string literal that begins at `start` and has its first quote at i."""
    quote = text[i:i + 1]
    if text.startswith(quote * 3, i):
        quote *= 3
    i += len(quote)
    while not ((_MICROPYTHON or not isFormat or _IsWhole(text[start:i + len(quote)])) and text.startswith(quote, i)):
        i += 1 + (text[i] == 92)
    return i + len(quote)


def Expected(what):
    raise SyntaxError("expected " + what)


def Until(end, text, i):
    """(text from i up to {{ end }}, index behind it)."""
    start = i
    while True:
        first = text.find("{{", i)
        i = text.find("}}", first) + 2
        if first < 0 or i < 2:
            Expected("{{ %s }}" % end)
        if text[first + 2:i - 2].strip() == end:
            return text[start:first], i
        i = first + 2


class Compiler:
    place = last = 0                            # start and end of the current tag: index of the file << 16 | line
    written = 0                                 # half pieces of literals since the last pause
    words = ""                                  # for each line of the next code: its place and its words

    def __init__(self, page):
        self.page = page
        self.chain = []                         # the files that are being compiled, from outer to inner
        self.code = []                          # (level, lines, their places and words)
        self.open = []                          # open branches: (word, place, more)

    def Compile(self, name):
        """The source of the page's function."""
        self.Insert(name)
        code = self.code
        places = ""
        for i, (level, lines, words) in enumerate(code):
            places += words + "\n"
            code[i] = lines.replace("\0;", "nonlocal").replace("\0", "\t" * level)
        names = []
        head = ""
        for name in sorted(set(places.split())):
            try:
                compile(name + "=0", "", "exec")        # SyntaxError for a keyword or a number
                if name[-2:] != "__":
                    names.append(name)
                    head += "\n\tif %s is ...: del %s" % (name, name)
            except SyntaxError:
                pass
        if len(names) > MaxNames:
            Expected("at most %d names, found %d" % (MaxNames, len(names)))
        head = "def page__(c__, w__, s__, b__, e__, t__, i__, l__, %s):" % ", ".join(names) + head
        self.page.names = names
        self.page.places = "\n" * (head.count("\n") + 1) + places
        return head + "\n" + "\n".join(code) + "\n\treturn\n\tyield"

    def Insert(self, name):
        """Compile a file at this position."""
        if name in self.chain:
            raise ValueError("a cycle: %s > %s" % (" > ".join(self.chain), name))
        self.chain.append(name)
        files = self.page.files
        if name not in files:
            files.append(name)
        text = self.page.Read(name)
        i = 0
        while True:
            start = text.find("{{", i)
            if start < 0:
                break
            self.Literal(text[i:start])
            self.place = self.last = (files.index(name) << 16) + text.count("\n", 0, start) + 1
            i = text.find("}}", start) + 2
            if i < 2:
                Expected("}}")
            tag = text[start + 2:i - 2]
            self.last += tag.count("\n")
            tag = tag.strip()
            word, body = (tag.split(None, 1) + ["", ""])[:2]
            # Old pages may use names of newer tags as variables: {{ raw }}, {{ block + 1 }}.
            if word in (("raw", "block", "extends") if body[:1] in "=+-*%&|^<>!," else ("py", "else", "end")):
                word = ""
            i = self.Tag(word, body, tag, text, i)
        self.Literal(text[i:])
        self.chain.pop()
        if self.open and not self.chain:
            self.place = self.open[-1][1]
            Expected("{{ end }}")

    def Tag(self, word, body, tag, text, i):
        """Compile the tag that ends at text[i] -> index behind all that belongs to it."""
        if word == "py":
            code, i = Until("end", text, i)
            self.place = self.last
            self.last += code.count("\n")
            indent = "\n" + code[:len(code) - len(code.lstrip())].rpartition("\n")[2]
            self.Put(self.Scan(("\n" + code).replace(indent, "\n")[1:], "exec"))
        elif word == "if" or word == "elif" and not self.Close("if"):
            code = self.Scan(body)
            if body in self.words.split():
                code = "t__(lambda: %s\n)" % body       # an undefined bare name counts as false
            self.Put("%s %s:" % (word, code), "if")
        elif word == "else":
            flag = self.Close("if or for")
            self.Put("if %s:" % flag if flag else "else:", word)
        elif word == "for":
            split = body.replace("\n", " ").find(" in ")
            if split < 0:
                Expected("{{ for name in iterable }}")
            flag = "n%d_%d__" % (self.place, len(self.open))    # True if the loop had no pass, for {{ else }}
            self.Put(flag + " = 1")
            code = "for (%s) in (%s\n):" % (body[:split], body[split + 4:])
            self.Scan(code + " pass", "exec")
            self.Put(code, word, flag + " = 0", flag)
        elif word == "end":
            self.Close("if, for, else or block")
        elif word == "include":
            name = body.strip("\"'")
            origin = self.page.files[self.place >> 16]
            if (name != body or "." in name or "/" in name) and not ("(" in name or "'" in name or '"' in name):
                self.Insert(self.page.Resolve(name, origin))
            else:
                self.More(origin, body)
        elif word == "block" or word == "extends":
            self.More()
        elif tag[:1] != "#":
            self.Put("w__('%%s' %% (%s,))" % self.Scan(body) if word == "raw" else "w__(e__(%s))" % self.Scan(tag))
        return i

    def More(self, origin=None, body=None):
        """Tags that need microWebPages.py: {{ include expression }}, {{ block }}, {{ extends }}."""
        Expected("microWebPages.py for this")

    def Literal(self, text):
        texts = self.page.texts                 # kept out of the code, which is one string and needs contiguous memory
        for i in range(0, len(text), _PIECE):
            self.Put("w__(l__[%d])" % len(texts))
            texts.append(text[i:i + _PIECE])
            self.written += 1 + (len(texts[-1]) * 2 > _PIECE)
            if self.written > 7:
                self.written = 0
                self.Put(_PAUSE)

    def Put(self, code, word=None, first="pass", more=None):
        """Add a line of code. word: this line opens a branch, whose first line is `first`."""
        self.code.append((len(self.open) + 1, "\0" + code, self.words or str(self.place)))
        self.words = ""
        if word:
            self.open.append((word, self.place, more))
            self.Put(first)

    def Close(self, words):
        """End a branch -> its `more`."""
        if not self.open or self.open[-1][0] not in words:
            Expected("an open " + words)
        if self.open[-1][0] == "for":
            self.Put(_PAUSE)
        return self.open.pop()[2]

    def Scan(self, code, mode=None):
        """Find words that may be names: a missing one is an error, one too many is not. -> code with marks for tabs."""
        if not mode:
            code = "(%s\n)" % (code or Expected("an expression"))
        compile(code, "{{", mode or "eval")
        text = code.encode() + b"\n"            # bytes: MicroPython indexes them in constant time
        done = b""
        kept = first = i = end = 0              # text[kept:] is not copied yet; a word may begin at text[first]
        place, words = self.place, str(self.place)
        while i < len(text):
            char = chr(text[i])
            i += 1
            if char.isalpha() or char.isdigit() or char in "_." or char > "\x7f":
                continue
            word = str(text[first:i - 1], "utf-8").split(".")[0]
            first, start = i, first
            if char in "'\"" and i > end:
                isFormat = word.lower().strip("r") in ("f", "t")        # words in an f-string may be names
                end = _End(text, start, i - 1, isFormat)
            elif word and (i > end or isFormat):
                words += " " + word
                if word == "global" and i > end:
                    try:                                # import * is allowed outside of functions and classes only
                        compile(text[:start] + b"from a import *;" + text[start:], "{{", mode)
                        done += text[kept:start] + b"pass"
                        while chr(text[i - 1]) not in ";#\n":
                            i += 1 + (text[i - 1] == 92)
                        first, char = i, chr(text[i - 1])
                    except SyntaxError:
                        done += text[kept:start] + b"\0;"
                    kept = i - 1
            if char == "\n":
                place += 1
                words += "\n%d" % place
                if i > end:
                    done, kept = done + text[kept:i] + b"\0", i
            elif char == "#" and i > end:
                first = i = text.find(b"\n", i)
        self.words = words.rpartition("\n")[0]
        return str(done[:-2], "utf-8")


# ==============================================================================
# 3  PAGE
# ==============================================================================
# A page is a generator and the default values of its names. It writes to a buffer and yields when the buffer holds a
# block, so a page of any length takes the memory of one block.

def _IsTrue(read):
    try:
        return read()
    except NameError:
        return False


class Page:
    generator = Include = None
    file = "{{"                                 # file name of its code in a traceback

    def __init__(self, owner, source, prefix, name, text=None):
        self.owner = owner
        self.source = source
        self.prefix = prefix
        self.name = name
        self.text = text                        # the source text, if it does not come from the file

    def Read(self, name):
        if name == self.name and self.text is not None:
            return self.text
        with self.source.Open(self.prefix + name) as file:
            text = str(file.read(), "utf-8")
        return text[1:] if text[:1] == "\ufeff" else text

    def Resolve(self, name, origin):
        """Security: the name in an include -> the name below the prefix. ValueError for hidden files and for paths that
        lead outside."""
        path = str(name).replace("\\", "/")
        if path[:1] != "/":
            path = origin.rpartition("/")[0] + "/" + path
        parts = [""]
        for part in path.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part and part != ".":
                parts.append(part)
        path = "/".join(parts)
        if "." not in path.rpartition("/")[2]:
            path += ".pyhtml"
        holds = getattr(self.source, "Holds", None)
        if path[:1] != "/" or "/." in path or holds and not holds(path):
            raise ValueError("'%s' is hidden or outside of the pages" % name)
        return path[1:]

    def Stamps(self):
        stamps = []
        for name in self.files:
            stamps.append(self.source.Stat(self.prefix + name) or (0, 0, 0))
        return stamps

    def Compile(self):
        """Compile once. OSError if there is no file."""
        if self.generator:
            return
        self.files = []
        self.texts = []
        self.places = ""
        compiler = Compiler(self)
        space = {}
        try:
            exec(compile(compiler.Compile(self.name), "{{", "exec"), space)
        except Exception as error:
            raise self.Failure(error, None, compiler)
        self.Set(space["page__"])

    def Set(self, generator):
        self.generator = generator
        self.defaults = [getattr(builtins, name, ...) for name in self.names]
        self.stamps = self.Stamps()
        self.size = self.newest = 0
        for stamp in self.stamps:
            self.size += stamp[1]
            self.newest = max(stamp[2], self.newest)
        if 0 <= time.time() - self.newest < 2:
            self.stamps.append(None)      # mtime has whole seconds, so a later change could go unnoticed: compile again

    def Failure(self, error, values, compiler=None):
        """The current exception as a TemplateError; MemoryError, and OSError for a missing page, stay as they are."""
        if isinstance(error, (TemplateError, MemoryError)) or (
                compiler and isinstance(error, OSError) and len(self.files) < 2):
            return error
        report = io.StringIO()
        if _MICROPYTHON:
            sys.print_exception(error, report)
        else:
            traceback.print_exc(file=report)
        mark = self.file + '", line '       # the last line in the traceback counts; 1 if there is none
        line = int((mark + "1 " + report.getvalue()).rpartition(mark)[2].split()[0].strip(","))
        lines = self.places.split("\n")[line - 1:]
        if self.places:
            line = int((lines[0].split() or self.places.split())[0])      # a StopIteration has no line on MicroPython
        else:
            line = min(compiler.place + line - 1, compiler.last)
        name = self.files[line >> 16]
        line &= 0xFFFF
        self.failed = name, line
        kind = type(error)
        what = str(getattr(error, "msg", error))
        if isinstance(error, NameError):
            kind = NameError
            # CPython has several texts for an undefined name; MicroPython does not tell the name.
            unset = what.split("'")[1:2]
            while lines and not unset:          # MicroPython reports only the line where the statement begins
                words = lines.pop(0).split()
                unset = [key for key, value in zip(self.names, map(values.get, self.names, self.defaults))
                         if value is ... and key in words]
            what = "'%s' isn't defined" % "' or '".join(unset) if unset else what
        return TemplateError("%s%s, line %d: %s: %s" % (
            getattr(self.source, "root", "") + self.prefix, name, line, kind.__name__, what))

    def Run(self, values, stream):
        """A generator that writes the page to stream and yields whenever a block is full."""
        return self.generator((values, stream), stream.write, stream.tell, _BLOCK, self.owner.Escape, _IsTrue,
                              self.Include, self.texts, *map(values.get, self.names, self.defaults))

    def Blocks(self, values):
        """Yield first whether there is only one block, then the blocks: bytes on MicroPython, which looks up each new
        str in its name table."""
        stream = io.BytesIO(_BLOCK + 256) if _MICROPYTHON else io.StringIO()
        pieces = self.Run(values, stream)
        isLast = None
        while not isLast:
            isFirst = isLast is None
            isLast = True
            try:
                for _ in pieces:
                    isLast = False
                    break
            except Exception as error:
                raise self.Failure(error, values)
            size = stream.tell()
            stream.seek(0)
            block = stream.read(size)
            stream.seek(0)
            if isFirst:
                yield isLast
            yield block


# ==============================================================================
# 4  TEMPLATE
# ==============================================================================
# The class of the old server: a template from a text, which escapes only with escapeStrFunc. A page is cached until one
# of its files changes; when the cache is full, all other pages are removed. The dict of pages is replaced, never
# changed, because a worker thread may read it.

def Locate(source, path):
    """A file path as a program writes it -> (source, prefix, name): below webPath, or this module as the source."""
    root = getattr(source, "root", None)
    for start in ("", "/" if root is None else os.getcwd().rstrip("/") + "/"):
        below = (start + path).split((root or "") + "/", 1)
        if source and not below[0]:
            return source, "/", below[1]
    folder, slash, name = path.rpartition("/")
    return sys.modules[__name__], folder + slash, name


class MicroWebTemplate:
    """A template from a text, with its includes. A server uses one object for all its pages."""

    size = 0                                    # source bytes of the cached pages

    def __init__(self, code, escapeStrFunc=None, filepath=""):
        self.escape = escapeStrFunc or str
        self.isAlways = code != ""              # call escape also for texts without special characters
        self.pages = {}
        self.page = Page(self, *Locate(None, filepath or "template"), code)

    def Validate(self, pyGlobalVars=None, pyLocalVars=None):
        """The text of the error, or None if the template compiles."""
        try:
            self.page.Compile()
        except TemplateError as error:
            return str(error)

    def Execute(self, pyGlobalVars=None, pyLocalVars=None):
        """The page as str. TemplateError if it can't be compiled or fails."""
        self.page.Compile()
        values = dict(pyGlobalVars or ())
        values.update(pyLocalVars or ())
        blocks = self.page.Blocks(values)
        next(blocks)
        return str(b"".join(blocks), "utf-8") if _MICROPYTHON else "".join(blocks)

    def Escape(self, value):
        """value as HTML text. A value with __html__() is used as it is."""
        if type(value) is not str:
            if type(value) is int and not self.isAlways:
                return b"%d" % value if _MICROPYTHON else str(value)
            html = getattr(value, "__html__", None)
            if html:
                return html()
            value = str(value)
        # Most values have no special character, and testing is cheaper than a call.
        if self.isAlways or "&" in value or '"' in value or "'" in value or ">" in value or "<" in value:
            return self.escape(value)
        return value

    def Render(self, server, path, values):
        """The blocks of the page: a tuple if there is only one, else an iterator. The first block is rendered at once.
        OSError if there is no page."""
        blocks = self.Get(server.source, path).Blocks(values)
        return tuple(blocks) if next(blocks) else blocks

    def Get(self, *key):
        """The compiled page. key: (source, path as a program writes it) or (source, prefix, name). OSError if there is
        no page."""
        page = self.pages.get(key)
        if not page or page.stamps != page.Stamps():
            page = Page(self, *(key if len(key) > 2 else Locate(*key)))
            page.Compile()
            pages = dict(self.pages)
            self.size += page.size
            if len(pages) >= MaxPages or self.size > MaxBytes:
                pages = {}
                self.size = page.size
            pages[key] = page
            self.pages = pages
        return page


def Attach(server):
    # microWebPages.py may be attached already
    server.Renderers.setdefault(".pyhtml", MicroWebTemplate("", server.HTMLEscape).Render)
