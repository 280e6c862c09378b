# .pyhtml pages for MicroWebSrv: copy this file beside microWebSrv.py and they are on. MIT license, see LICENSE.
#
#    1  TEXT         files, names, and the one error that a page can raise
#    2  COMPILER     a file and all that it includes -> the source of one generator function
#    3  PAGE         that function, writing blocks
#    4  TEMPLATE     MicroWebTemplate: a template, or all pages of a server; plugging in
#
# What has no underscore is for other files: microWebPages.py and tools/compile_templates.py. Whoever puts another class
# in the place of Compiler or Page has all pages made by it. A board whose pages are all precompiled needs no section 2:
# tools/compile_templates.py --without-compiler leaves it out.

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

# MaxPages, MaxBytes: pages kept, and what their sources have together.
# MaxNames: of a page; MicroPython crashes when a function sees local number 256 of the one around it.
# _BLOCK: what makes a block; a chunk of HTTP each. A board pays for it with memory, a desk saves calls.
if _MICROPYTHON:
    MaxPages, MaxBytes, MaxNames, _BLOCK = 16, 32768, 240, 1024
else:
    MaxPages, MaxBytes, MaxNames, _BLOCK = 512, 1 << 23, 65536, 16384
_PIECE = const(512)     # characters of a literal; behind each fourth a block may be full


# ==============================================================================
# 1  TEXT
# ==============================================================================
# A source is what webPath can be: an object with Stat(path) -> (isFolder, size, mtime) or None, and Open(path). The
# path of a page is a prefix, which no include leads out of, and a name. Of pages from elsewhere, this module is the
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
    """A page that can't be compiled, or has failed: file, line of the template, and what."""


# ==============================================================================
# 2  COMPILER
# ==============================================================================
# One pass writes one generator function. Every name of a page is a local of it: set at the start from the request's
# variables or the builtins, deleted if neither has it. So functions and comprehensions are closures over the page, a
# precompiled page is a plain module, and nothing is left behind for the next request. (To exec code in a dict of each
# request won't do: MicroPython then changes the globals of every function that the same code has made before, those of
# a half-sent page too.) The generated code's own names end in __.
#
# The runtime's compiler sees the lines of {{ py }} as they are, behind one tab for each level: behind tabs, the columns
# of tabs and spaces keep their order. Lines that begin within a text get none. What a page calls global is a local of
# its function, so this word becomes nonlocal within functions and classes, and pass outside of them. Until a line's
# level is known, \0 stands for the tabs at its beginning, and \0; for nonlocal: no Python code has such a character,
# nor a ; there.

_PAUSE = const("if s__() >= b__: yield")

if not _MICROPYTHON:
    def _IsWhole(text):
        """Is this a whole f-string? Those of Python 3.12 may have their own quotes within."""
        try:
            return text[-1:] in b"'\"" and compile(text, "{{", "eval")
        except SyntaxError:
            return False


def _End(text, start, i, isFormat):
    """The index behind the text that begins at `start` and whose first quote is at i."""
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
    """What stands between text[i:] and {{ end }}, and the index behind."""
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
    place = last = 0                            # where the newest tag begins and ends: index of the file << 16 | line
    words = ""                                  # of the code that is put next: for each line its place and words

    def __init__(self, page):
        self.page = page
        self.chain = []                         # the files that are being read, each within the one before
        self.code = []                          # (level, lines, their places and words)
        self.open = []                          # (word, place, more) of what waits for {{ end }}

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
                compile(name + "=0", "", "exec")        # neither a keyword nor a number
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
        """Compiles a file, here."""
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
            # Pages of the old server may have variables of the names that came later: {{ raw }}, {{ block + 1 }}.
            if word in (("raw", "block", "extends") if body[:1] in "=+-*%&|^<>!," else ("py", "else", "end")):
                word = ""
            i = self.Tag(word, body, tag, text, i)
        self.Literal(text[i:])
        self.chain.pop()
        if self.open and not self.chain:
            self.place = self.open[-1][1]
            Expected("{{ end }}")

    def Tag(self, word, body, tag, text, i):
        """Compiles a tag that ends at text[i] -> the index of what is behind."""
        if word == "py":
            code, i = Until("end", text, i)
            self.place = self.last
            self.last += code.count("\n")
            indent = "\n" + code[:len(code) - len(code.lstrip())].rpartition("\n")[2]
            self.Put(self.Scan(("\n" + code).replace(indent, "\n")[1:], "exec"))
        elif word == "if" or word == "elif" and not self.Close("if"):
            code = self.Scan(body)
            if body in self.words.split():
                code = "t__(lambda: %s\n)" % body       # a bare name that is unknown is false
            self.Put("%s %s:" % (word, code), "if")
        elif word == "else":
            flag = self.Close("if or for")
            self.Put("if %s:" % flag if flag else "else:", word)
        elif word == "for":
            split = body.replace("\n", " ").find(" in ")
            if split < 0:
                Expected("{{ for name in iterable }}")
            flag = "n%d_%d__" % (self.place, len(self.open))    # whether it was empty, for {{ else }}
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
        """What microWebTemplate.py alone can't do: {{ include expression }} of a file, {{ block }}, {{ extends }}."""
        Expected("microWebPages.py for this")

    def Literal(self, text):
        texts = self.page.texts                 # not in the code: that is one string, for which there must be room
        for i in range(0, len(text), _PIECE):
            self.Put("w__(l__[%d])" % len(texts))
            texts.append(text[i:i + _PIECE])
            if not len(texts) % 4:
                self.Put(_PAUSE)

    def Put(self, code, word=None, first="pass", more=None):
        """word: it is the head of a branch that ends later, which begins with `first`."""
        self.code.append((len(self.open) + 1, "\0" + code, self.words or str(self.place)))
        self.words = ""
        if word:
            self.open.append((word, self.place, more))
            self.Put(first)

    def Close(self, words):
        """Ends a branch -> more of it."""
        if not self.open or self.open[-1][0] not in words:
            Expected("an open " + words)
        if self.open[-1][0] == "for":
            self.Put(_PAUSE)
        return self.open.pop()[2]

    def Scan(self, code, mode=None):
        """Finds the words that may be names: one too many costs little, one too few is an error. -> code and marks."""
        if not mode:
            code = "(%s\n)" % (code or Expected("an expression"))
        compile(code, "{{", mode or "eval")
        text = code.encode() + b"\n"            # of bytes: MicroPython finds an index at once
        done = b""
        kept = first = i = end = 0              # text[kept:] is to be done, a word may begin at text[first]
        place, words = self.place, str(self.place)
        while i < len(text):
            char = chr(text[i])
            i += 1
            if char.isalpha() or char.isdigit() or char in "_." or char > "\x7f":
                continue
            word = str(text[first:i - 1], "utf-8").split(".")[0]
            first, start = i, first
            if char in "'\"" and i > end:
                isFormat = word.lower().strip("r") in ("f", "t")        # its words may be names, whatever they are
                end = _End(text, start, i - 1, isFormat)
            elif word and (i > end or isFormat):
                words += " " + word
                if word == "global" and i > end:
                    try:                                # import * is only allowed outside of functions and classes
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
# A page is a generator and the values that its names have where a request gives none. It writes to a buffer, and stops
# when that holds a block: a page of any length takes the memory of one block.

def _IsTrue(read):
    try:
        return read()
    except NameError:
        return False


class Page:
    generator = Include = None
    file = "{{"                                 # that of its code in a traceback

    def __init__(self, owner, source, prefix, name, text=None):
        self.owner = owner
        self.source = source
        self.prefix = prefix
        self.name = name
        self.text = text                        # of this file, if it is not to be read

    def Read(self, name):
        if name == self.name and self.text is not None:
            return self.text
        with self.source.Open(self.prefix + name) as file:
            text = str(file.read(), "utf-8")
        return text[1:] if text[:1] == "\ufeff" else text

    def Resolve(self, name, origin):
        """Security: a name as a file sees it -> the name below the prefix: no hidden file, nothing outside of it."""
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
        return [self.source.Stat(self.prefix + name) or (0, 0, 0) for name in self.files]

    def Compile(self):
        """Once; OSError if there is no file."""
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
            raise self.Failure(error, (), compiler)
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
            self.stamps.append(None)            # whole seconds: this one may bring another change

    def Failure(self, error, args, compiler=None):
        """The exception that is being handled, as one of the template; out of memory and no file stay what they are."""
        if isinstance(error, (TemplateError, MemoryError)) or (
                compiler and isinstance(error, OSError) and len(self.files) < 2):
            return error
        report = io.StringIO()
        if _MICROPYTHON:
            sys.print_exception(error, report)
        else:
            traceback.print_exc(file=report)
        mark = self.file + '", line '       # its newest line counts, or 1
        line = int((mark + "1 " + report.getvalue()).rpartition(mark)[2].split()[0].strip(","))
        lines = self.places.split("\n")[line - 1:]
        if self.places:
            line = int(lines[0].split()[0])
        else:
            line = min(compiler.place + line - 1, compiler.last)
        name = self.files[line >> 16]
        line &= 0xFFFF
        self.failed = name, line
        kind = type(error)
        what = str(getattr(error, "msg", error))
        if isinstance(error, NameError):
            kind = NameError
            # CPython has a text for each way of not being defined, MicroPython does not say which name it was.
            unset = what.split("'")[1:2]
            while lines and not unset:          # MicroPython knows only where a statement begins
                words = lines.pop(0).split()
                unset = [key for key, value in zip(self.names, args) if value is ... and key in words]
            what = "'%s' isn't defined" % "' or '".join(unset) if unset else what
        return TemplateError("%s%s, line %d: %s: %s" % (
            getattr(self.source, "root", "") + self.prefix, name, line, kind.__name__, what))

    def Run(self, values, stream):
        """Writes the page; yields when there is a block."""
        args = list(map(values.get, self.names, self.defaults))
        try:
            yield from self.generator((values, stream), stream.write, stream.tell, _BLOCK, self.owner.Escape, _IsTrue,
                                      self.Include, self.texts, *args)
        except Exception as error:
            raise self.Failure(error, args)

    def Blocks(self, values):
        """First whether there is only one, then the blocks. MicroPython: of bytes, for it looks up each new str among
        all names that it knows."""
        stream = io.BytesIO(_BLOCK + 256) if _MICROPYTHON else io.StringIO()
        pieces = self.Run(values, stream)
        isLast = None
        while not isLast:
            isFirst = isLast is None
            isLast = False
            try:                                        # MicroPython before 1.25 has no next(pieces, True)
                next(pieces)
            except StopIteration:
                isLast = True
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
# The class of the old server: a template from a text. It escapes only if it is told how to. A page is kept until one of
# its files changes; when there is no room for one more, the others go. The dict of pages is replaced, never changed: a
# worker thread may look at the same time.

def Locate(source, path):
    """The path of a file, as a program knows it -> source, prefix and name: below webPath, or from elsewhere."""
    root = getattr(source, "root", None)
    for start in ("", "/" if root is None else os.getcwd().rstrip("/") + "/"):
        below = (start + path).split((root or "") + "/", 1)
        if source and not below[0]:
            return source, "/", below[1]
    folder, slash, name = path.rpartition("/")
    return sys.modules[__name__], folder + slash, name


class MicroWebTemplate:
    """A template from a text, and the pages that it includes. A server has one for all its pages."""

    isAlways = True                             # escape also texts that have none of the five characters
    size = 0                                    # of what was compiled since the others went

    def __init__(self, code, escapeStrFunc=None, filepath=""):
        self.escape = escapeStrFunc or str
        self.pages = {}
        self.page = Page(self, *Locate(None, filepath or "template"), code)

    def Validate(self, pyGlobalVars=None, pyLocalVars=None):
        """The text of the error, or None."""
        try:
            self.page.Compile()
        except TemplateError as error:
            return str(error)

    def Execute(self, pyGlobalVars=None, pyLocalVars=None):
        """The page as str; raises TemplateError."""
        self.page.Compile()
        values = dict(pyGlobalVars or ())
        values.update(pyLocalVars or ())
        blocks = self.page.Blocks(values)
        next(blocks)
        return str(b"".join(blocks), "utf-8") if _MICROPYTHON else "".join(blocks)

    def Escape(self, value):
        """HTML text; what has __html__() is markup already."""
        if type(value) is not str:
            if type(value) is int and not self.isAlways:
                return b"%d" % value if _MICROPYTHON else "%d" % value
            html = getattr(value, "__html__", None)
            if html:
                return html()
            value = str(value)
        # Most values have none of the five, and to look is cheaper than to call.
        if self.isAlways or "&" in value or '"' in value or "'" in value or ">" in value or "<" in value:
            return self.escape(value)
        return value

    def Render(self, server, path, values):
        """The blocks of the page, of which the first is made at once, a tuple if it is the only one. OSError if there
        is no page."""
        blocks = self.Get(server.source, path).Blocks(values)
        return tuple(blocks) if next(blocks) else blocks

    def Get(self, *key):
        """The page at a path as a program knows it, or of a source, a prefix and a name; OSError if there is none."""
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
    pages = MicroWebTemplate("", server.HTMLEscape)
    pages.isAlways = False
    server.Renderers.setdefault(".pyhtml", pages.Render)        # microWebPages.py may have been here already
