# .pyhtml pages for MicroWebSrv: copy this file beside microWebSrv.py and they are on. It needs nothing of the server.
# MIT license, see LICENSE.
#
#    1  TEXT         escaping, Markup, paths, and the one error that a page can raise
#    2  SCANNER      a file and all that it includes, read as one text of literals and {{ tags }}
#    3  COMPILER     tags -> the source of one generator function
#    4  PAGE         that function, rendering to blocks
#    5  CACHE        pages by path: precompiled modules, staleness, bounds
#    6  TEMPLATE     MicroWebTemplate, what programs use
#    7  SERVER       plugging in

import builtins
import io
import os
import sys
import time

try:
    from micropython import const
    from sys import print_exception as _Report

    MaxPages, MaxBytes, _BLOCK, _NAMES = 16, 32768, 1024, 240
except ImportError:
    from traceback import print_exception

    MaxPages, MaxBytes, _BLOCK, _NAMES = 512, 1 << 23, 16384, 65536

    def const(value):
        return value

    def _Report(error, file):
        print_exception(type(error), error, error.__traceback__, file=file)

# MaxPages, MaxBytes: pages kept, and what their sources have together. Jinja2 keeps 400 pages.
# _BLOCK: characters that make a block; a chunk of HTTP each. A board pays for it with memory, a desk saves calls.
# _NAMES: of a page; MicroPython crashes when a function sees local number 256 of the one around it.
_PIECE = const(1024)    # characters of a literal, so that a block is not much longer than it has to be
_DEPTH = const(8)       # of {{ include expression }}; each of them takes C stack on MicroPython


# ==============================================================================
# 1  TEXT
# ==============================================================================
# A page's file has a name relative to a root, a folder that ends in a slash (or ""), and no name leads out of the root.
# A place in a template is one number: the index of the file << 16 | the line.

def _Escape(value):
    """HTML text, as HTMLEscape makes it; what has __html__() is markup already."""
    if type(value) is not str:
        if type(value) is int:
            return str(value)
        html = getattr(value, "__html__", None)
        if html:
            return html()
        value = str(value)
    if "&" in value:                            # most values have none of the five, and a look is cheaper than a call
        value = value.replace("&", "&amp;")
    if '"' in value:
        value = value.replace('"', "&quot;")
    if "'" in value:
        value = value.replace("'", "&apos;")
    if ">" in value:
        value = value.replace(">", "&gt;")
    if "<" in value:
        value = value.replace("<", "&lt;")
    return value


class Markup:
    """Text that is HTML already; an expression writes it as it is."""

    def __init__(self, text):
        self._text = str(text)

    def __str__(self):
        return self._text

    __html__ = __str__


class TemplateError(Exception):
    """A page that can't be compiled, or has failed: file, line of the template, what, and that line."""


def _Failure(error, root, files, place, text):
    path = root + files[place >> 16]
    line = place & 0xFFFF
    try:
        if place >> 16 or not text:
            text = _Read(path)
        text = "\n    " + ("\n" + text).split("\n")[line].strip()[:160]
    except (OSError, ValueError, IndexError):
        text = ""
    kind = "NameError" if isinstance(error, NameError) else type(error).__name__
    return TemplateError("%s, line %d: %s: %s%s" % (path, line, kind, getattr(error, "msg", error), text))


def _FailedLine(error, file=None):
    """The newest line of a file in an exception's traceback, 1 if it isn't there; by default the file of page__."""
    report = io.StringIO()
    _Report(error, report)
    report = report.getvalue()
    try:
        file = file or report[:report.rfind(", in page__")].split('"')[-2]
        return int(report.rpartition(file + '", line ')[2].split("\n")[0].split(",")[0])
    except (ValueError, IndexError):
        return 1


def _Read(path):
    with open(path, "rb") as file:
        text = str(file.read(), "utf-8")
    return text[1:] if text[:1] == "\ufeff" else text


def _Resolve(name, origin):
    """Security: a name as a file sees it -> the name as the root sees it, never outside of it."""
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


# ==============================================================================
# 2  SCANNER
# ==============================================================================
# The first }} ends a tag. The text that follows is a stack of chunks, cut at each {{, because MicroPython walks to an
# index from the string's beginning. What a tag includes is pushed on it, above a mark that leads back to the place: so
# nothing recurses, and a {{ for }} here may hold an {{ include }} there.

class _Scanner:
    line = 1                                    # the place of what follows
    place = 0                                   # of the newest tag
    isFirst = True                              # nothing but comments so far: {{ extends }} may come
    isQuiet = False                             # in a page that extends another: only its blocks are shown

    def __init__(self, root, name, text):
        self.root = root
        self.files = [name]
        self.chain = [name]                     # what is read within what, now; "" above the base that is still to come
        self.chunks = []
        self._Push(text)

    def _Push(self, text):
        chunks = text.split("{{")
        self.literal = chunks[0]
        self.chunks.extend(reversed(chunks[1:]))

    def _Pop(self, expected):
        if not self.chunks or self.chunks[-1][:1] == "\0":
            raise SyntaxError("expected " + expected)
        return self.chunks.pop()

    def Next(self):
        """The literal up to the next tag, and the tag; None at the end."""
        literal = self.literal
        self.literal = ""
        self.line += literal.count("\n")
        self.place = self.line
        if not self.chunks:
            return literal, None
        chunk = self.chunks.pop()
        while "}}" not in chunk:
            chunk += "{{" + self._Pop("}}")
        tag, _, self.literal = chunk.partition("}}")
        self.line += tag.count("\n")
        if tag[:1] == "\0":
            self.line = int(tag[1:])
            if not self.chain.pop():            # now the base begins
                self.isQuiet = False
                self.isFirst = True
            tag = "#"
        return literal, tag.strip()

    def Body(self):
        """The text up to the {{ end }} of the newest tag."""
        parts = [self.literal]
        depth = 1
        while depth:
            chunk = self._Pop("{{ end }}")
            while chunk.lstrip()[:1] == "#" and "}}" not in chunk:
                chunk += "{{" + self._Pop("}}")
            tag, closed, self.literal = chunk.partition("}}")
            words = tag.split()
            if closed and words == ["end"]:
                depth -= 1
            elif closed and words and words[0] in ("py", "if", "for", "block"):
                depth += 1
            parts.append(chunk)
        self.line += "".join(parts).count("\n") - self.literal.count("\n")
        return "{{".join(parts[:-1])

    def Insert(self, link, text, line):
        """Goes on with this text; link is what makes a cycle when it comes twice."""
        if link in self.chain:
            raise ValueError("a cycle: %s > %s" % (" > ".join(self.chain), link))
        self.chain.append(link)
        self.chunks.append("\0%d}}%s" % (self.line, self.literal))
        self._Push(text)
        self.line = line

    def InsertFile(self, name):
        name = _Resolve(name, self.files[self.line >> 16])
        if name not in self.files:
            self.files.append(name)
        self.Insert(name, _Read(self.root + name), self.files.index(name) << 16 | 1)


def _Words(code):
    """The words of Python that may be names: one too many costs little, one too few is an error."""
    words = []
    code = code.replace("\\\\", "").replace("\\'", "").replace('\\"', "")
    while code:
        start = min([(code + mark).find(mark) for mark in "'\"#"])
        word = ""
        for char in code[:start] + "\n":
            if char.isalpha() or char == "_" or char > "\x7f" or word and char.isdigit():
                word += char
            else:
                if word and word[0] != ".":
                    words.append(word)
                word = char if char == "." else ""
        quote = code[start:start + 3]
        if quote != quote[:1] * 3:
            quote = quote[:1]
        isFormat = "f" in code[:start][-2:].lower()
        text, _, code = code[start + len(quote):].partition("\n" if quote[:1] in "#" else quote)
        if isFormat:
            words += _Words(text)
    return words


# ==============================================================================
# 3  COMPILER
# ==============================================================================
# One pass writes one generator function. Every name of a page is a local of it: set at the start from the request's
# variables or the builtins, deleted if neither has it. So functions and comprehensions are closures over the page, a
# precompiled page is a plain module, and nothing is left behind for the next request. (To exec code in a dict of each
# request won't do: MicroPython then changes the globals of every function that the same code has made before, those of
# a half-sent page too.) The generated code's own names end in __.

class _Compiler(_Scanner):
    level = 1                                   # of indentation
    size = 0                                    # of what the next yield gives
    isDynamic = False                           # there is an {{ include expression }}

    def __init__(self, root, name, text):
        super().__init__(root, name, text)
        self.code = []
        self.places = []                        # of each line of the code
        self.items = []                         # (code, place) of what the next yield gives
        self.open = []                          # (word, place, level, index of its code) of what waits for {{ end }}
        self.blocks = {}
        self.names = {}
        try:
            while self._Step():
                pass
            if self.open:
                self.place = self.open[-1][1]
                raise SyntaxError("expected {{ end }}")
            self._Flush()
            self._AddHead()
        except Exception as error:
            place = min(self.place + _FailedLine(error, "{{") - 1, max(self.line, self.place))
            raise _Failure(error, root, self.files, place, text)

    def _AddHead(self):
        names = []
        head = ""
        for name in sorted(self.names):
            try:
                compile(name + "=0", "", "exec")        # not a keyword
                names.append(name)
                head += "\n if %s is ...: del %s" % (name, name)
            except SyntaxError:
                pass
        if len(names) > _NAMES:
            raise SyntaxError("expected at most %d names, found %d" % (_NAMES, len(names)))
        if names:
            head = "\n %s, = a__%s" % (", ".join(names), head)
        if self.isDynamic:
            head += "\n v__ = [%s]" % "".join(["lambda: %s, " % name for name in names])
        self.names = names
        self.code.insert(0, "def page__(a__, e__, t__, i__, w__, c__):" + head)
        self.code.append(" return\n yield")
        self.places = [0] * (head.count("\n") + 1) + self.places

    def _Step(self):
        """Compiles up to the next tag; False at the end."""
        isShown = not self.isQuiet
        literal, tag = self.Next()
        if isShown:
            for i in range(0, len(literal), _PIECE):
                self._Add(repr(literal[i:i + _PIECE]))
        if literal.strip():
            self.isFirst = False
        if tag is not None and tag[:1] != "#":
            self._Tag(tag)
            self.isFirst = False
        return tag is not None

    def _Tag(self, tag):
        word = (tag.split(None, 1) or " ")[0]
        body = tag[len(word):].strip()
        handler = word.islower() and getattr(self, "_On" + word[0].upper() + word[1:], None)
        # Pages of the old server may have variables of the names that came later: {{ raw }}, {{ block + 1 }}.
        if (not handler or body and word in ("py", "else", "end")
                or (not body or body[0] in "=+-*%&|^<>!,") and word in ("raw", "block", "extends")):
            handler = self._Value
            body = tag
        if self.isQuiet and word not in ("py", "block", "include"):
            raise SyntaxError("expected only block, py and include, because the page extends another")
        handler(body)

    # ---- writing code

    def _Put(self, code, place):
        self.code.append(code)
        for _ in range(code.count("\n") + 1):
            self.places.append(place)
            place += 1

    def _Add(self, code):
        self.items.append((code, self.place))
        self.size += len(code)
        if self.size > _PIECE:
            self._Flush()

    def _Flush(self):
        """Writes the yields of what was added; to join many pieces here is faster than to yield each."""
        items = self.items
        indent = " " * self.level
        if len(items) < 6:
            for code, place in items:
                self._Put(indent + "yield " + code, place)
        else:
            self._Put(indent + "yield ''.join((", self.place)
            for code, place in items:
                self._Put(code + ",", place)
            self._Put("))", place)
        self.items = []
        self.size = 0

    def _Statement(self, code):
        self._Flush()
        self._Put(" " * self.level + code, self.place)

    def _Suite(self, code):
        self._Statement(code)
        self.level += 1
        self._Statement("pass")

    def _Python(self, code, mode="eval"):
        compile(code, "{{", mode)
        for word in _Words(code):
            if word[-2:] != "__":
                self.names[word] = 1
        return code

    def _Expression(self, code):
        if not code:
            raise SyntaxError("expected an expression")
        return self._Python("(%s\n)" % code if "#" in code else "(%s)" % code)

    # ---- instructions

    def _Value(self, body):
        self._Add("e__(%s)" % self._Expression(body))

    def _OnRaw(self, body):
        self._Add("'%%s' %% (%s,)" % self._Expression(body))

    def _OnPy(self, _):
        self.place = self.line
        code = self.Body()
        indent = code[:len(code) - len(code.lstrip())].split("\n")[-1]
        code = ("\n" + code).replace("\n" + indent, "\n")[1:]
        self._Python(code, "exec")
        self._Flush()
        isText = False                          # within """ or ''': such lines stay as they are
        for line in code.split("\n"):
            if not isText:
                if line.lstrip().startswith("global "):
                    # What a page calls global is a local of its function, which those within see around them.
                    line = line.replace("global", "nonlocal" if line[:1].isspace() else "pass #", 1)
                line = " " * self.level + line
            if line.count('"""') + line.count("'''") & 1:
                isText = not isText
            self._Put(line, self.place)
            self.place += 1

    def _Begin(self, word):
        self._Flush()
        self.open.append((word, self.place, self.level, len(self.code)))

    def _Resume(self, words):
        """Ends a branch; where the code of its construct begins."""
        if not self.open or self.open[-1][0] not in words:
            raise SyntaxError("expected an open %s before this" % words)
        self._Flush()
        self.level = self.open[-1][2]
        return self.open.pop()[3]

    def _OnIf(self, body):
        self._Begin("if")
        self._Condition("if", body)

    def _OnElif(self, body):
        self._Resume("if")
        self._Begin("if")
        self._Condition("elif", body)

    def _Condition(self, word, body):
        code = self._Expression(body)
        if _Words(body) == [body]:
            code = "t__(lambda: %s)" % body         # a bare name that is unknown is false
        self._Suite("%s %s:" % (word, code))

    def _OnElse(self, body):
        index = self._Resume("if or for")
        self._Begin("else")
        if self.code[index].endswith(":"):
            self._Suite("else:")
        else:
            # The `pass` before the loop and the one in it become a note of whether it ran.
            flag = "n%d__ = " % index
            self.code[index] = " " * self.level + flag + "1"
            self.code[index + 2] = " " * self.level + " " + flag + "0"
            self._Suite("if n%d__:" % index)

    def _OnFor(self, body):
        split = body.replace("\n", " ").find(" in ")
        if split < 0:
            raise SyntaxError("expected {{ for name in iterable }}")
        self._Begin("for")
        self._Statement("pass")
        code = "for (%s) in (%s\n):" % (body[:split], body[split + 4:])
        self._Python(code + " pass", "exec")
        self._Suite(code)

    def _OnEnd(self, body):
        self._Resume("if, for, else or block")

    def _OnInclude(self, body):
        if body[:1] in ("'", '"') and body.find(body[0], 1) == len(body) - 1:
            self.InsertFile(body[1:-1])
        elif ("." in body or "/" in body) and "(" not in body and "'" not in body and '"' not in body:
            self.InsertFile(body)
        elif self.isQuiet:
            raise SyntaxError("expected the name of a file")
        else:
            self.isDynamic = True
            self._Statement("yield from i__(%r, %s, v__, w__, c__)" % (self.files[self.place >> 16],
                                                                      self._Expression(body)))

    def _OnExtends(self, body):
        if not self.isFirst:
            raise SyntaxError("expected {{ extends }} at the beginning of a page")
        self.items = []
        line = self.line
        literal = self.literal
        rest = []
        self.literal = ""
        while self.chunks and self.chunks[-1][:1] != "\0":
            rest.append(self.chunks.pop())
        self.InsertFile(body.strip("\"'"))
        # Below the rest of this page: the base, and a mark where it begins.
        self.chunks.append("\0%d}}%s" % (self.line, self.literal))
        self.chunks.extend(reversed(rest))
        self.chain.append("")
        self.line = line
        self.literal = literal
        self.isQuiet = True

    def _OnBlock(self, body):
        if _Words(body) != [body]:
            raise SyntaxError("expected a name")
        if self.isQuiet:
            line = self.line
            self.blocks.setdefault(body, ("block " + body, self.Body(), line))
        elif body in self.blocks:
            self.Body()
            self.Insert(*self.blocks[body])
        else:
            self._Begin("block")


# ==============================================================================
# 4  PAGE
# ==============================================================================
# A page is a generator and the values that its names have where a request gives none. It is pulled, block by block, so
# that a page of any length takes the memory of one block.

def _IsTrue(read):
    try:
        return read()
    except NameError:
        return False


def _Stamp(path):
    try:
        stat = os.stat(path)
        return getattr(stat, "st_mtime_ns", stat[8]), stat[6]
    except OSError:
        return 0, 0


class _Page:
    used = 0

    def __init__(self, root, generator, names, places, files, text=None):
        self.root = root
        self.generator = generator
        self.names = names
        self.defaults = [getattr(builtins, name, ...) for name in names]
        self.places = places
        self.files = files
        self.text = text                        # of the first file, if that is not to be read
        self.stamps = self.Stamps()
        self.size = sum([stamp[1] for stamp in self.stamps])
        if 0 <= time.time() - max(self.stamps)[0] < 2:
            self.stamps.append(None)            # whole seconds: this one may bring another change

    def Stamps(self):
        return [_Stamp(self.root + name) for name in self.files]

    def Render(self, values, cache):
        """The blocks of the page, of which the first is made at once; a tuple if it is the only one."""
        args = self.defaults
        if values:
            args = [values.get(name, default) for name, default in zip(self.names, args)]
        pieces = self.generator(args, cache.escape, _IsTrue, self._Include, values, cache)
        block = self._Block(pieces)
        return (block,) if len(block) < _BLOCK else self._Blocks(pieces, block)

    def _Blocks(self, pieces, block):
        yield block
        while len(block) >= _BLOCK:
            block = self._Block(pieces)
            yield block

    def _Block(self, pieces):
        block = io.StringIO()
        write = block.write
        room = _BLOCK
        try:
            for piece in pieces:
                write(piece)
                room -= len(piece)          # in characters; MicroPython's write counts bytes
                if room <= 0:
                    break
        except (TemplateError, MemoryError):
            raise
        except Exception as error:
            raise self.Failure(error)
        return block.getvalue()

    def Failure(self, error, file=None):
        return _Failure(error, self.root, self.files, self.places[_FailedLine(error, file) - 1], self.text)

    def _Include(self, origin, name, readers, values, cache):
        values = dict(values or ())
        values["depth__"] = depth = values.get("depth__", 0) + 1
        if depth > _DEPTH:
            raise ValueError("a cycle, or includes that are too deep")
        for key, read in zip(self.names, readers):
            try:
                values[key] = read()
            except NameError:
                pass
        return cache.Get(self.root, _Resolve(name, origin)).Render(values, cache)


def _Compile(root, name, text, isFile):
    compiled = _Compiler(root, name, text)
    page = _Page(root, None, compiled.names, compiled.places, compiled.files, not isFile and text)
    space = {"__name__": "page__"}
    try:
        exec(compile("\n".join(compiled.code), root + name, "exec"), space)
    except SyntaxError as error:
        raise page.Failure(error, root + name)
    page.generator = space["page__"]
    return page


# ==============================================================================
# 5  CACHE
# ==============================================================================
# A page is kept until one of its files changes, or until there are too many and it was not asked for the longest. The
# dict is replaced, never changed: a worker thread may look at the same time.

def _Precompiled(root, name):
    """The page of the module www_pyhtml.index, which may be frozen; not one that is older than its sources."""
    module = "%s_pyhtml.%s" % (("/" + root).split("/")[-2], name.rpartition(".")[0].replace("/", "__"))
    try:
        __import__(module)
    except ImportError:
        return None
    module = sys.modules.pop(module)
    page = _Page(root, module.page__, module.Names, module.Places, module.Files)
    if page.files[0] == name and not (0, 0) < _Stamp(getattr(module, "__file__", "")) < max(page.Stamps()):
        return page


class _Cache:
    clock = 0

    def __init__(self, escape):
        self.escape = escape
        self.pages = {}

    def Get(self, root, name):
        """The page; OSError if there is neither a module nor a file."""
        page = self.pages.get(root + name)
        if not page or page.root != root or page.stamps != page.Stamps():
            page = _Precompiled(root, name) or _Compile(root, name, _Read(root + name), True)
            self._Keep(page)
        self.clock += 1
        page.used = self.clock
        return page

    def _Keep(self, page):
        pages = dict(self.pages)
        pages[page.root + page.files[0]] = page
        page.used = self.clock + 1
        while len(pages) > MaxPages or len(pages) > 1 and sum([page.size for page in pages.values()]) > MaxBytes:
            _, name = min([(page.used, name) for name, page in pages.items()])
            del pages[name]
        self.pages = pages

    def Render(self, server, filePath, values):
        root = server._source.root + "/"
        if not filePath.startswith(root):
            folder, slash, _ = filePath.rpartition("/")
            root = folder + slash
        return self.Get(root, filePath[len(root):]).Render(values, self)


# ==============================================================================
# 6  TEMPLATE
# ==============================================================================
# The class of the old server: a template from a text. It escapes only if it is told how to.

class MicroWebTemplate:
    Markup = Markup
    _page = None

    def __init__(self, code, escapeStrFunc=None, filepath=""):
        self._code = code
        self._filepath = filepath or "template"
        self._escapeStrFunc = escapeStrFunc

    def _Compiled(self):
        if not self._page:
            folder, slash, name = self._filepath.rpartition("/")
            self._page = _Compile(folder + slash, name, self._code, False)
        return self._page

    def Validate(self, pyGlobalVars=None, pyLocalVars=None):
        """The text of the error, or None."""
        try:
            self._Compiled()
        except TemplateError as error:
            return str(error)

    def Execute(self, pyGlobalVars=None, pyLocalVars=None):
        """The page as str; raises TemplateError."""
        values = dict(pyGlobalVars or ())
        values.update(pyLocalVars or ())
        return "".join(self._Compiled().Render(values, _Cache(self._Escape)))

    def _Escape(self, value):
        html = getattr(value, "__html__", None)
        if html:
            return html()
        value = str(value)
        return self._escapeStrFunc(value) if self._escapeStrFunc else value


# ==============================================================================
# 7  SERVER
# ==============================================================================
# render(server, filePath, vars) -> an iterable of blocks: a tuple if that is the whole page, for its length is known.

def Attach(server):
    server.Renderers[".pyhtml"] = _Cache(_Escape).Render
