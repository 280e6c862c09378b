# More for .pyhtml pages. Copy this file beside microWebTemplate.py. MIT license, see LICENSE.
#
#    1  COMPILER     {{ extends }}, {{ block }}, {{ verbatim }} and {{ include expression }}
#    2  PAGE         pages precompiled by tools/compile_templates.py; Markup; errors that show the line
#    3  CACHE        removes the least recently used page; Attach
#
# Replaces classes of microWebTemplate.py and uses only its names without an underscore. A board whose pages are all
# precompiled does not need section 1: tools/compile_templates.py --runtime leaves it out.

import sys

_NAME = __name__.replace("microWebPages", "microWebTemplate")
__import__(_NAME)
template = sys.modules[_NAME]


# ==============================================================================
# 1  COMPILER
# ==============================================================================
# A block is compiled to `if 1:`, which costs nothing at run time and lets its lines be moved to any level.

class Compiler(template.Compiler):
    base = None                                 # (page that this page extends, place); then only its blocks are shown
    isFirst = True                              # only comments so far, so {{ extends }} is allowed
    isDynamic = False                           # the page has an {{ include expression }}

    def __init__(self, page):
        super().__init__(page)
        self.above = []                         # the pages that extend this one
        self.within = []                        # the open blocks in these pages
        self.blocks = {}                        # block name: (lines, level), from extending pages

    def Compile(self, name):
        """A page that is included by an expression gets the current variables: r__ reads them."""
        code = super().Compile(name)
        if self.isDynamic:
            page = self.page
            code = code.replace("\n", "\n\tr__ = [lambda: %s]\n" % (", lambda: ".join(page.names) or 0), 1)
            page.places = "\n" + page.places
        return code

    def More(self, origin=None, body=None):
        self.isDynamic = True
        self.Put("yield from i__(%r, %s, r__, c__)" % (origin, self.Scan(body)))

    def Insert(self, name):
        """Compile a file, then the page that it extends."""
        isPage = not self.chain
        if isPage:
            self.start = len(self.code)
        super().Insert(name)
        if isPage and self.base:
            self.above.append(name)
            name, self.place = self.base
            if name in self.above:
                raise ValueError("a cycle: %s > %s" % (" > ".join(self.above), name))
            self.base = None
            self.isFirst = True
            self.Insert(name)

    def Tag(self, word, body, tag, text, i):
        if tag == "verbatim" and "end verbatim" in text[i:]:            # otherwise it is a variable
            literal, i = template.Until("end verbatim", text, i)
            self.Literal(literal)
        elif tag[:1] != "#":
            isHidden = self.base and not self.open
            if isHidden and word not in ("block", "include", "py"):
                template.Expected("only block, py and include, because the page extends another")
            if word == "extends":
                if not self.isFirst:
                    template.Expected("{{ extends }} at the beginning of a page")
                self.code = self.code[:self.start]
                self.base = self.page.Resolve(body.strip("\"'"), self.page.files[self.place >> 16]), self.place
                return i
            self.isFirst = False
            if word != "block":
                isDynamic = self.isDynamic
                i = super().Tag(word, body, tag, text, i)
                if isHidden and self.isDynamic and not isDynamic:
                    template.Expected("the name of a file")
                return i
            if body[0].isdigit() or [char for char in body if not (char.isalpha() or char.isdigit() or char in "_"
                                                                    or char > "\x7f")]:
                template.Expected("a name")
            if self.base:
                if body in self.within:
                    raise ValueError("a cycle: block %s in itself" % body)
                self.within.append(body)
            self.Put("if 1:", word, "pass", (body, self.code))
            self.code = []
        return i

    def Literal(self, text):
        if text.strip():
            self.isFirst = False
        if self.open or not self.base:
            super().Literal(text)

    def Close(self, words):
        more = super().Close(words)
        if type(more) is not tuple:
            return more
        lines, level = self.blocks.get(more[0]) or (self.code, len(self.open))
        self.code = more[1]
        if self.base:
            self.blocks[self.within.pop()] = lines, level
        for line in lines if self.open or not self.base else ():
            self.code.append((line[0] + len(self.open) - level,) + line[1:])


# ==============================================================================
# 2  PAGE
# ==============================================================================
# The module www_pyhtml.sub__page holds the compiled page /sub/page.pyhtml below www in one tuple `page__`: function,
# names, places, files, texts. It may be frozen. The package has a dict of its pages, {path: page}, so they need no
# file.

def _Import(name):
    """The module, or None if it does not exist. An ImportError inside it is raised."""
    try:
        __import__(name)
    except ImportError as error:
        missing = (str(error) + "''").split("'")[1]        # some boards give no text; then the module counts as missing
        if missing and not (name + ".").startswith(missing + "."):
            raise
        return None
    return sys.modules[name]


def _Package(source, prefix="/"):
    root = "" if source is template else getattr(source, "root", "/www")
    return ("/" + root + prefix).split("/")[-2] + "_pyhtml"


class Markup(str):
    """Text that is already HTML and is written without escaping."""

    def __html__(self):
        return str(self)


class Page(template.Page):
    def Failure(self, error, values, compiler=None):
        """As in the base class; the error also shows the line of the template."""
        failure = super().Failure(error, values, compiler)
        if failure is error:
            return error
        name, line = self.failed
        try:
            return template.TemplateError("%s\n    %s" % (failure, self.Read(name).split("\n")[line - 1].strip()[:160]))
        except Exception:                       # the file is missing or was changed
            return failure

    def Include(self, origin, name, readers, context):
        """For {{ include expression }}: run the page of that name."""
        values = dict(context[0])
        values["depth__"] = depth = values.get("depth__", 0) + 1
        if depth > 8:                                   # each level takes C stack on MicroPython
            raise ValueError("a cycle, or too deep")
        for key, read in zip(self.names, readers):
            try:
                values[key] = read()
            except NameError:
                pass
        page = self.owner.Get(self.source, self.prefix, self.Resolve(name, origin))
        try:
            yield from page.Run(values, context[1])
        except Exception as error:
            raise page.Failure(error, values)

    def Compile(self):
        """Use the precompiled module if there is one and it is not older than its sources. OSError if there is neither
        module nor file."""
        if self.text is None and not self.generator:
            name = _Package(self.source, self.prefix) + "." + self.name.rpartition(".")[0].replace("/", "__")
            module = _Import(name)
            if module:
                sys.modules.pop(name)
                generator, self.names, self.places, self.files, self.texts = module.page__
                self.file = name.replace(".", "/") + ".py"
                self.Set(generator)
                stat = template.Stat(getattr(module, "__file__", ""))
                if self.files[0] == self.name and not (stat and 0 < stat[2] < self.newest):     # mtime is 0 in a ROM
                    return
                self.generator = None
                self.file = "{{"
        super().Compile()


# ==============================================================================
# 3  CACHE
# ==============================================================================

class Cache(template.MicroWebTemplate):
    clock = 0

    def Get(self, *key):
        page = self.pages.get(key)
        if not page or page.stamps != page.Stamps():
            page = Page(self, *(key if len(key) > 2 else template.Locate(*key)))
            page.Compile()
            pages = dict(self.pages)
            pages[key] = page
            page.used = self.clock + 1
            while len(pages) > template.MaxPages or len(pages) > 1 and (
                    sum([page.size for page in pages.values()]) > template.MaxBytes):
                del pages[min(pages, key=lambda key: pages[key].used)]
            self.pages = pages
        self.clock += 1
        page.used = self.clock
        return page


template.Compiler = Compiler
template.Page = Page
template.MicroWebTemplate.Markup = Markup


def Attach(server):
    server.Renderers[".pyhtml"] = Cache("", server.HTMLEscape).Render
    package = _Import(_Package(server.source))
    if package:
        server.pages = package.Pages
