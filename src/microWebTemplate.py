# .pyhtml pages for MicroWebSrv: copy this file beside microWebSrv.py and they are on. MIT license, see LICENSE.
#
#    1  TEXT         files, names, Markup, and the one error that a page can raise
#    2  COMPILER     a file and all that it includes -> the source of one generator function
#    3  PAGE         that function, writing blocks
#    4  PAGES        pages by path: precompiled modules, staleness, bounds
#    5  TEMPLATE     MicroWebTemplate, what programs use
#    6  SERVER       plugging in

import builtins
import io
import os
import sys
import time

try:
    from micropython import const
    from sys import print_exception as _Report

    MaxPages, MaxBytes, _BLOCK, _NAMES, _INT = 16, 32768, 1024, 240, b"%d"

    def _NewBuffer():                   # bytes: MicroPython looks for each new str among all names that it knows
        return io.BytesIO(_BLOCK + 256)

except ImportError:
    from traceback import print_exc

    MaxPages, MaxBytes, _BLOCK, _NAMES, _INT = 512, 1 << 23, 16384, 65536, "%d"
    _NewBuffer = io.StringIO

    def const(value):
        return value

    def _Report(_, file):
        print_exc(file=file)

# MaxPages, MaxBytes: pages kept, and what their sources have together. Jinja2 keeps 400 pages.
# _BLOCK: what makes a block; a chunk of HTTP each. A board pays for it with memory, a desk saves calls.
# _NAMES: of a page; MicroPython crashes when a function sees local number 256 of the one around it.
_PIECE = const(1024)    # characters of a literal, so that a block is not much longer than it has to be
_DEPTH = const(8)       # of {{ include expression }}; each of them takes C stack on MicroPython


# ==============================================================================
# 1  TEXT
# ==============================================================================
# A source is what webPath can be: an object with Stat(path) -> (isFolder, size, mtime) or None, and Open(path). The
# path of a page is a prefix, which no include leads out of, and a name. A place in a template is one number: the index
# of the file << 16 | the line.

class _Files:
    """The source of pages from elsewhere. Nobody makes one."""

    root = ""

    def Stat(path):
        try:
            stat = os.stat(path)
            return False, stat[6], stat[8]
        except OSError:
            return None

    def Open(path):
        return open(path, "rb")


class Markup(str):
    """Text that is HTML already; an expression writes it as it is."""

    def __html__(self):
        return str(self)


class TemplateError(Exception):
    """A page that can't be compiled, or has failed: file, line of the template, what, and that line."""


def _FailedLine(error, file):
    """The newest line of a file in the traceback of the exception that is being handled, 1 if it isn't there."""
    report = io.StringIO()
    _Report(error, report)
    mark = file + '", line '
    return int((mark + "1\n" + report.getvalue()).rpartition(mark)[2].split("\n")[0].split(",")[0])


def _Resolve(name, origin):
    """Security: a name as a file sees it -> the name below the prefix, never outside of it."""
    name = str(name).replace("\\", "/")
    if name[:1] != "/":
        name = origin.rpartition("/")[0] + "/" + name
    parts = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise ValueError("'%s' is outside of the pages' folder" % name)
            parts.pop()
        elif part and part != ".":
            parts.append(part)
    name = "/".join(parts)
    return name if "." in name[name.rfind("/") + 1:] else name + ".pyhtml"


def _Words(code):
    """The words of Python that may be names: one too many costs little, one too few is an error."""
    words = []
    word = quote = ""
    for mark, char in (("\\\\", ""), ("\\'", ""), ('\\"', ""), ('"""', "\1"), ("'''", "\2")):
        code = code.replace(mark, char)
    for char in code + "\n":
        if quote and char == quote:
            quote = ""
        elif not quote and char in "'\"#\1\2":
            quote = "\n" if char == "#" else char
            isFormat = "f" in word.lower()
        elif (not quote or isFormat) and (char.isalpha() or char.isdigit() or char in "_." or char > "\x7f"):
            word += char
            continue
        word = word.split(".")[0]
        if word and not word[0].isdigit():
            words.append(word)
        word = ""
    return words


# ==============================================================================
# 2  COMPILER
# ==============================================================================
# One pass writes one generator function. Every name of a page is a local of it: set at the start from the request's
# variables or the builtins, deleted if neither has it. So functions and comprehensions are closures over the page, a
# precompiled page is a plain module, and nothing is left behind for the next request. (To exec code in a dict of each
# request won't do: MicroPython then changes the globals of every function that the same code has made before, those of
# a half-sent page too.) The generated code's own names end in __.

class _Compiler:
    line = 0                                    # the place of what follows
    place = 0                                   # of the newest tag
    level = 1                                   # of indentation
    size = 0                                    # of what was written since the last chance to yield
    base = None                                 # what this page extends: then only its blocks are shown
    isDynamic = False                           # there is an {{ include expression }}

    def __init__(self, page):
        self.page = page
        self.isFirst = True                     # nothing but comments so far: {{ extends }} may come
        self.chain = []                         # what is read within what, now
        self.code = []                          # (level, or 0 for the rest of a long string; lines; place)
        self.open = []                          # (word, place, level, more) of what waits for {{ end }}
        self.blocks = {}
        self.names = {}

    def Compile(self, name):
        """The source of the page's function. A base is compiled behind the page that extends it."""
        while name:
            self.start = len(self.code)
            self.InsertFile(name)
            if self.open:
                self.place = self.open[-1][1]
                raise SyntaxError("expected {{ end }}")
            name = self.base
            if name:
                name, self.place = name
                self.base = None
                self.isFirst = True
        self.blocks = None                      # compiling needs the memory
        code = self.code
        names = self.Names()
        head = "def page__(a__, l__, w__, s__, b__, e__, t__, p__, v__):"
        if names:
            head += "\n %s, = a__" % ", ".join(names)
        for name in names:
            head += "\n if %s is ...: del %s" % (name, name)
        if self.isDynamic:
            head += "\n r__ = [%s]" % "".join(["lambda: %s, " % name for name in names])
        code.insert(0, (0, head, 0))
        places = []
        for i, (level, lines, place) in enumerate(code):
            code[i] = " " * level + lines
            places.extend(range(place, place + lines.count("\n") + 1))
        code.append(" return\n yield")
        self.page.names = names
        self.page.places = places
        self.code = None
        return "\n".join(code)

    def Names(self):
        names = []
        for name in sorted(self.names):
            try:
                compile(name + "=0", "", "exec")        # not a keyword
                names.append(name)
            except SyntaxError:
                pass
        if len(names) > _NAMES:
            raise SyntaxError("expected at most %d names, found %d" % (_NAMES, len(names)))
        return names

    def InsertFile(self, name):
        """Compiles a file, here."""
        page = self.page
        self.Enter(name)
        if name not in page.files:
            page.files.append(name)
        chunks = page.Read(name).split("{{")
        chunks.reverse()
        line = self.line
        self.line = page.files.index(name) << 16 | 1
        self.Literal(chunks.pop())
        while chunks:
            self.place = self.line
            tag = chunks.pop()
            while "}}" not in tag:
                tag += "{{" + self.Next(chunks, "}}")
            tag, _, literal = tag.partition("}}")
            self.line += tag.count("\n")
            tag = tag.strip()
            if tag == "py":
                literal = self.Python(chunks, literal)
            elif tag[:1] != "#":
                self.Tag(tag)
            self.Literal(literal)
        self.line = line

    def Enter(self, link):
        if link in self.chain:
            raise ValueError("a cycle: %s > %s" % (" > ".join(self.chain), link))
        self.chain.append(link)

    def Next(self, chunks, expected):
        if not chunks:
            raise SyntaxError("expected " + expected)
        return chunks.pop()

    def Tag(self, tag):
        word = (tag.split(None, 1) or " ")[0]
        body = tag[len(word):].strip()
        handler = word.islower() and getattr(self, "_On" + word[0].upper() + word[1:], None)
        # Pages of the old server may have variables of the names that came later: {{ raw }}, {{ block + 1 }}.
        if (not handler or body and word in ("else", "end")
                or (not body or body[0] in "=+-*%&|^<>!,") and word in ("raw", "block", "extends")):
            handler = self.Value
            body = tag
        if self.base and not self.open and word not in ("block", "include"):
            raise SyntaxError("expected only block, py and include, because the page extends another")
        if word != "extends":
            self.isFirst = False
        handler(body)

    # ---- writing code

    def Put(self, code):
        self.code.append((self.level, code, self.place))

    def Write(self, code):
        """A piece of the page; after some of them a block may be full."""
        self.Put("w__(%s)" % code)
        self.size += len(code)
        if self.size > _PIECE:
            self.Pause()

    def Pause(self):
        self.size = 0
        self.Put("if s__() >= b__: yield")

    def Literal(self, text):
        self.line += text.count("\n")
        if text.strip():
            self.isFirst = False
        if self.open or not self.base:
            texts = self.page.texts             # not in the code: that is one string, for which there must be room
            for i in range(0, len(text), _PIECE):
                self.size += len(text) - i
                self.Write("l__[%d]" % len(texts))
                texts.append(text[i:i + _PIECE])

    def Suite(self, word, head, first="pass", more=None):
        self.open.append((word, self.place, self.level, more))
        self.Put(head)
        self.level += 1
        self.Put(first)

    def Close(self, words):
        """Ends a branch -> more of it."""
        if not self.open or self.open[-1][0] not in words:
            raise SyntaxError("expected an open %s before this" % words)
        word, _, level, more = self.open.pop()
        if word == "for":
            self.Pause()
        self.level = level
        return more

    def Check(self, code, mode="eval"):
        compile(code, "{{", mode)
        for word in _Words(code):
            if word[-2:] != "__":
                self.names[word] = 1
        return code

    def Expression(self, code):
        if not code:
            raise SyntaxError("expected an expression")
        return self.Check("(%s\n)" % code if "#" in code else "(%s)" % code)

    # ---- instructions: {{ word … }} is _OnWord

    def Value(self, body):
        self.Write("e__(%s)" % self.Expression(body))

    def _OnRaw(self, body):
        self.Write("'%%s' %% (%s,)" % self.Expression(body))

    def Python(self, chunks, code):
        """{{ py }} to {{ end }} -> the literal behind it."""
        self.isFirst = False
        while True:
            chunk = self.Next(chunks, "{{ end }}")
            tag, closed, literal = chunk.partition("}}")
            if closed and tag.strip() == "end":
                break
            code += "{{" + chunk
        self.place = self.line
        self.line += (code + tag).count("\n")
        indent = code[:len(code) - len(code.lstrip())].split("\n")[-1]
        code = self.Check(("\n" + code).replace("\n" + indent, "\n")[1:], "exec")
        isText = False                          # within """ or ''': such lines stay as they are
        for line in code.split("\n"):
            if not isText and line.lstrip().startswith("global "):
                # What a page calls global is a local of its function, which those within see around them.
                line = line.replace("global", "nonlocal" if line[:1].isspace() else "pass #", 1)
            self.code.append((0 if isText else self.level, line, self.place))
            self.place += 1
            if line.count('"""') + line.count("'''") & 1:
                isText = not isText
        return literal

    def _OnIf(self, body, word="if"):
        code = self.Expression(body)
        if _Words(body) == [body]:
            code = "t__(lambda: %s)" % body         # a bare name that is unknown is false
        self.Suite("if", "%s %s:" % (word, code))

    def _OnElif(self, body):
        self.Close("if")
        self._OnIf(body, "elif")

    def _OnElse(self, _):
        flag = self.Close("if or for")
        self.Suite("else", "if %s:" % flag if flag else "else:")

    def _OnFor(self, body):
        split = body.replace("\n", " ").find(" in ")
        if split < 0:
            raise SyntaxError("expected {{ for name in iterable }}")
        head = "for (%s) in (%s\n):" % (body[:split], body[split + 4:])
        self.Check(head + " pass", "exec")
        flag = "n%d_%d__" % (self.place, self.level)    # whether it ran, for {{ else }}
        self.Put(flag + " = 1")
        self.Suite("for", head, flag + " = 0", flag)

    def _OnEnd(self, _):
        block = self.Close("if, for, else or block")
        if type(block) is not tuple:
            return
        name, code = block
        lines, level = self.blocks.get(name) or (self.code, self.level)
        if self.base:
            self.chain.pop()
            self.blocks[name] = lines, level
        self.code = code
        if self.open or not self.base:
            for line in lines:
                code.append((line[0] and line[0] + self.level - level, line[1], line[2]))

    def _OnInclude(self, body):
        name = body.strip("\"'")
        if (name != body or "." in name or "/" in name) and not ("(" in name or "'" in name or '"' in name):
            self.InsertFile(_Resolve(name, self.page.files[self.line >> 16]))
            self.chain.pop()
        elif self.base and not self.open:
            raise SyntaxError("expected the name of a file")
        else:
            self.isDynamic = True
            self.Put("yield from p__.Include(%r, %s, r__, v__, w__, s__)" % (
                self.page.files[self.line >> 16], self.Expression(body)))

    def _OnExtends(self, body):
        if not self.isFirst:
            raise SyntaxError("expected {{ extends }} at the beginning of a page")
        self.code = self.code[:self.start]
        self.base = _Resolve(body.strip("\"'"), self.page.files[self.line >> 16]), self.place

    def _OnBlock(self, name):
        if _Words(name) != [name]:
            raise SyntaxError("expected a name")
        if self.base:
            self.Enter("block " + name)
        self.open.append(("block", self.place, self.level, (name, self.code)))
        self.code = []


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


class _Page:
    generator = None
    file = "{{"                                 # that of its code in a traceback

    def __init__(self, pages, source, prefix, name, text=None):
        self.pages = pages
        self.source = source
        self.prefix = prefix
        self.path = getattr(source, "root", "/www") + prefix
        self.name = name
        self.text = text                        # of this file, if it is not to be read

    def Read(self, name):
        if name == self.name and self.text is not None:
            return self.text
        with self.source.Open(self.prefix + name) as file:
            text = str(file.read(), "utf-8")
        return text[1:] if text[:1] == "\ufeff" else text

    def Stamps(self):
        return [self.source.Stat(path) or (0, 0, 0) for path in self.paths]

    def Compile(self):
        """OSError if there is no file."""
        self.files = []
        self.texts = []
        self.places = None
        compiler = _Compiler(self)
        space = {"__name__": "page__"}
        try:
            exec(compile(compiler.Compile(self.name), "{{", "exec"), space)
        except Exception as error:
            if isinstance(error, MemoryError) or isinstance(error, OSError) and len(self.files) < 2:
                raise
            line = _FailedLine(error, "{{") - 1
            place = compiler.place
            raise self.Failure(error, self.places[line] if self.places else
                               min(place + line, max(compiler.line, place)))
        self.Set(space["page__"])

    def Package(self):
        return ("/" + self.path).split("/")[-2] + "_pyhtml"

    def Import(self):
        """The module www_pyhtml.index, which may be frozen; false if it is not there, or older than its sources."""
        name = self.Package() + "." + self.name.rpartition(".")[0].replace("/", "__")
        try:
            __import__(name)
        except ImportError:
            return False
        module = sys.modules.pop(name)
        self.names = module.Names
        self.places = module.Places
        self.files = module.Files
        self.texts = module.Texts
        self.file = name.replace(".", "/") + ".py"
        self.Set(module.page__)
        stat = _Files.Stat(getattr(module, "__file__", ""))
        return self.files[0] == self.name and not (stat and 0 < stat[2] < self.newest)      # in a ROM it is 0

    def Set(self, generator):
        self.generator = generator
        self.defaults = [getattr(builtins, name, ...) for name in self.names]
        self.paths = [self.prefix + name for name in self.files]
        self.stamps = self.Stamps()
        self.size = sum([stamp[1] for stamp in self.stamps])
        self.newest = max([stamp[2] for stamp in self.stamps])
        if 0 <= time.time() - self.newest < 2:
            self.stamps.append(None)            # whole seconds: this one may bring another change

    def Failure(self, error, place):
        name = self.files[place >> 16]
        line = place & 0xFFFF
        try:
            text = "\n    " + ("\n" + self.Read(name)).split("\n")[line].strip()[:160]
        except (OSError, ValueError, IndexError):
            text = ""
        kind = "NameError" if isinstance(error, NameError) else type(error).__name__
        return TemplateError("%s%s, line %d: %s: %s%s" % (
            self.path, name, line, kind, getattr(error, "msg", error), text))

    def Run(self, values, write, tell):
        """Writes the page; yields when there is a block."""
        args = self.defaults
        if values:
            args = [values.get(name, default) for name, default in zip(self.names, args)]
        try:
            yield from self.generator(args, self.texts, write, tell, _BLOCK, self.pages._Escape, _IsTrue,
                                      self, values)
        except (TemplateError, MemoryError):
            raise
        except Exception as error:
            raise self.Failure(error, self.places[_FailedLine(error, self.file) - 1])

    def Render(self, values):
        """The blocks of the page, of which the first is made at once; a tuple if it is the only one."""
        stream = _NewBuffer()
        pieces = self.Run(values, stream.write, stream.tell)
        block, isLast = self.Block(pieces, stream)
        return (block,) if isLast else self.Blocks(block, pieces, stream)

    def Blocks(self, block, pieces, stream):
        isLast = False
        while not isLast:
            yield block
            block, isLast = self.Block(pieces, stream)
        yield block

    def Block(self, pieces, stream):
        isLast = False
        try:                                            # MicroPython before 1.25 has no next(pieces, True)
            next(pieces)
        except StopIteration:
            isLast = True
        size = stream.tell()
        stream.seek(0)
        block = stream.read(size)
        stream.seek(0)
        return block, isLast

    def Include(self, origin, name, readers, values, write, tell):
        values = dict(values or ())
        values["depth__"] = depth = values.get("depth__", 0) + 1
        if depth > _DEPTH:
            raise ValueError("a cycle, or includes that are too deep")
        for key, read in zip(self.names, readers):
            try:
                values[key] = read()
            except NameError:
                pass
        return self.pages._Get(None, self.source, self.prefix, _Resolve(name, origin)).Run(values, write, tell)


# ==============================================================================
# 4  PAGES
# ==============================================================================
# A page is kept until one of its files changes, or until there are too many and it was not asked for the longest. The
# dict is replaced, never changed: a worker thread may look at the same time.

def _Locate(source, path):
    """The path of a file, as a program knows it -> source, prefix and name: below webPath, or from elsewhere."""
    root = getattr(source, "root", "")
    for start in ("", os.getcwd().rstrip("/") + "/" if root else "/"):
        if (start + path).startswith(root + "/"):
            return source, "/", (start + path)[len(root) + 1:]
    return _Split(path)


def _Split(path):
    name = path.rpartition("/")[2]
    return _Files, path[:len(path) - len(name)], name


class _Pages:
    _clock = 0

    def __init__(self, escape):
        self._escape = escape
        self._pages = {}

    def _Escape(self, value):
        """HTML text; what has __html__() is markup already."""
        if type(value) is not str:
            if type(value) is int:
                return _INT % value
            html = getattr(value, "__html__", None)
            if html:
                return html()
            value = str(value)
        # Most values have none of the five, and to look is cheaper than to call.
        if "&" in value or '"' in value or "'" in value or ">" in value or "<" in value:
            return self._escape(value)
        return value

    def _Render(self, server, path, values):
        """The blocks of the page; OSError if there is neither a module nor a file."""
        return self._Get(path, server._source).Render(values)

    def _Get(self, path, source, prefix=None, name=None):
        key = (source, prefix, name) if name else path
        page = self._pages.get(key)
        if not page or page.stamps != page.Stamps():
            if not name:
                source, prefix, name = _Locate(source, path)
            page = _Page(self, source, prefix, name)
            if not page.Import():
                page.Compile()
            self._Keep(key, page)
        self._clock += 1
        page.used = self._clock
        return page

    def _Keep(self, key, page):
        pages = dict(self._pages)
        pages[key] = page
        page.used = self._clock + 1
        while len(pages) > MaxPages or len(pages) > 1 and sum([page.size for page in pages.values()]) > MaxBytes:
            del pages[min([(page.used, key) for key, page in pages.items()])[1]]
        self._pages = pages


# ==============================================================================
# 5  TEMPLATE
# ==============================================================================
# The class of the old server: a template from a text. It escapes only if it is told how to.

class MicroWebTemplate(_Pages):
    Markup = Markup

    def __init__(self, code, escapeStrFunc=None, filepath=""):
        super().__init__(escapeStrFunc)
        self._page = _Page(self, *_Split(filepath or "template"), code)

    def _Escape(self, value):
        html = getattr(value, "__html__", None)
        if html:
            return html()
        value = str(value)
        return self._escape(value) if self._escape else value

    def Validate(self, pyGlobalVars=None, pyLocalVars=None):
        """The text of the error, or None."""
        try:
            if not self._page.generator:
                self._page.Compile()
        except TemplateError as error:
            return str(error)

    def Execute(self, pyGlobalVars=None, pyLocalVars=None):
        """The page as str; raises TemplateError."""
        if not self._page.generator:
            self._page.Compile()
        values = dict(pyGlobalVars or ())
        values.update(pyLocalVars or ())
        return "".join([block if type(block) is str else str(block, "utf-8") for block in self._page.Render(values)])


# ==============================================================================
# 6  SERVER
# ==============================================================================
# render(server, path, vars) -> an iterable of blocks: a tuple if that is the whole page, for its length is known. A
# package of precompiled pages knows which there are: so a page needs no file.

def Attach(server):
    server.Renderers[".pyhtml"] = _Pages(server.HTMLEscape)._Render
    try:
        server._pages = __import__(_Page(None, server._source, "/", "").Package()).Pages
    except ImportError:
        pass
