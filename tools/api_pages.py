"""The API as pages of Markdown, made from the stubs, the docstrings and the tables of docs/reference.md.

tools/make_site.py writes them. The text of a name is the docstring in its stub, else the one in the sources, else its
row in docs/reference.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import registry

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
REFERENCE = ROOT / "docs" / "reference.md"
README = ROOT / "README.md"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (ast.ClassDef, *FUNCTIONS)


@dataclass
class Name:
    """One public name of a stub, with its declaration and its text."""

    name: str
    declaration: str
    text: str
    note: str = ""          # such as "with microWebTls.py"
    isFunction: bool = False


def Modules() -> list[str]:
    return [registry.CORE, *[one.name for one in registry.Load()]]


class Stub:
    """The stub of a module."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.source = (SRC / (module + "-stubs") / "__init__.pyi").read_text(encoding="utf-8")
        self.lines = self.source.split("\n")
        self.tree = ast.parse(self.source)

    def Says(self) -> str:
        """Return the docstring of the module, without its opening words."""
        text = re.sub(r"^The types of \w+: ", "", ast.get_docstring(self.tree) or "")
        return Plain(text[:1].upper() + text[1:])

    def Declaration(self, node: ast.stmt) -> str:
        """Return a function without its body, or another statement without the comment after it."""
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        if isinstance(node, FUNCTIONS):
            first = min([first, *[one.lineno - 1 for one in node.decorator_list]])
            body = node.body[0]
            lines = self.lines[first:body.lineno]
            lines[-1] = lines[-1][:body.col_offset]
            text = Dedent(lines).rstrip().rstrip(":")
        else:
            text = re.sub(r"\s*#.*", "", Dedent(self.lines[first:last]))
        return text

    def Note(self, node: ast.stmt) -> str:
        """Return the comment after a name, else the one above it. An empty line ends the comment above."""
        behind = re.search(r"#\s*(with .*)$", self.lines[(node.end_lineno or node.lineno) - 1])
        if behind:
            return behind.group(1)
        above = ""
        for line in reversed(self.lines[:node.lineno - 1]):
            if not line.strip():
                break
            found = re.match(r"\s*# (.*)", line)
            if found:
                above = "%s %s" % (found.group(1), above)
        return above.strip().rstrip(".")


def Dedent(lines: list[str]) -> str:
    margin = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[margin:] if not line[:margin].strip() else line for line in lines)


def Docstrings() -> dict[str, str]:
    """Return {"module.Class.name" and "name": docstring} of all sources. A method that an optional file adds to the
    server is a function in that file, so it is found by its name alone."""
    found: dict[str, str] = {}

    def Walk(prefix: str, body: list[ast.stmt]) -> Iterator[tuple[str, str, str]]:
        for node in body:
            if isinstance(node, DEFINITIONS):
                yield prefix + node.name, node.name, ast.get_docstring(node) or ""
                if isinstance(node, ast.ClassDef):
                    yield from Walk(prefix + node.name + ".", node.body)

    for module in Modules():
        tree = ast.parse((SRC / (module + ".py")).read_text(encoding="utf-8"))
        for whole, name, text in Walk(module + ".", tree.body):
            found[whole] = text
            if text and whole.count(".") == 1:
                found.setdefault(name.lstrip("_"), text)
    return found


def Slug(heading: str) -> str:
    """Return the anchor that GitHub and the site make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def Rows() -> dict[str, tuple[str, str]]:
    """Return {"microwebsrv.Start" and "Start": (the text of its row in docs/reference.md, the anchor of its section)}.
    The first word is the heading of the chapter. Links are relative to the folder of the reference."""
    found: dict[str, tuple[str, str]] = {}
    anchor = chapter = ""
    columns: list[str] = []
    for line in REFERENCE.read_text(encoding="utf-8").split("\n"):
        heading = re.match(r"#+ (.*)", line)
        if heading:
            anchor = Slug(heading.group(1))
            chapter = anchor if line.startswith("## ") else chapter
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) < 2:
            columns = []
            continue
        columns = columns or cells
        text = Sentence(cells[-1])
        if columns[1:3] == ["board", "CPython"]:
            both = cells[1] if cells[1] == cells[2] else "%s on a board, %s on CPython" % (cells[1], cells[2])
            text = "%s Default: %s." % (text, both)
        for name in re.findall(r"`@?(?:await )?(?:\w+\.)*(\w+)", cells[0]):
            found.setdefault(name, (text, anchor))
            found.setdefault("%s.%s" % (chapter, name), (text, anchor))
    return found


def Sentence(text: str) -> str:
    """Return the text of a table cell as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".:?!" else text + "."


def Plain(text: str) -> str:
    """Return a docstring as Markdown: characters outside backticks are escaped."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", part.replace("<", "&lt;")) for part in parts[::2]]
    parts = [re.sub(r"docs/([\w-]+)\.md", r"[\1](../\1.md)", part) for part in parts]
    return "".join(parts)


class Writer:
    """Writes the page of each module."""

    def __init__(self) -> None:
        self.docstrings = Docstrings()
        self.rows = Rows()
        self.brings = {one.name: one for one in registry.Load()}
        self.adds = self.Added()

    def Added(self) -> dict[str, list[str]]:
        """Return {optional file: links to the names of the server, the request and the response that work with it}. The
        note in the stub or the text of these names mentions the file."""
        stub = Stub(registry.CORE)
        found: dict[str, list[str]] = {}
        for node in Classes(stub.tree.body):
            for one in self.Members(stub, node.name + ".", node.body):
                label = "%s.%s%s" % (node.name, one.name, "()" if one.isFunction else "")
                anchor = label.replace("(", "%28").replace(")", "%29")
                for module in re.findall(r"(microWeb\w+)\.py", "%s %s" % (one.note, one.text)):
                    link = "[`%s`](%s.md#%s)" % (label, registry.CORE, anchor)
                    if link not in found.setdefault(module, []):
                        found[module].append(link)
        return found

    def Text(self, stub: Stub, owner: str, node: ast.stmt, name: str) -> str:
        """Return the text of a name, and a link to its place in the manual."""
        said = ast.get_docstring(node) if isinstance(node, DEFINITIONS) else ""
        said = said or self.docstrings.get("%s.%s%s" % (stub.module, owner, name), "")
        row, anchor = "", ""
        if stub.module in (registry.CORE, "microWebEvents") and owner not in PLUMBING:
            elsewhere = self.rows.get(name, ("", "")) if owner == "MicroWebSrv." else ("", "")
            row, anchor = self.rows.get(owner.lower() + name, elsewhere)
        if not said and not row and owner == "MicroWebSrv.":
            said = self.docstrings.get(name, "")
        link = "[Reference](../reference.md#%s)" % anchor if anchor else ""
        return " ".join(part for part in (Plain(said) or Relative(row), link) if part)

    def Members(self, stub: Stub, owner: str, body: list[ast.stmt]) -> list[Name]:
        found: list[Name] = []
        for node in body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and found and body[0] is not node:
                found[-1].text = Plain(str(node.value.value))       # a string below an attribute is its text
            name = Called(node)
            if IsPublic(name) and not isinstance(node, ast.ClassDef):
                found.append(Name(name, stub.Declaration(node), self.Text(stub, owner, node, name), stub.Note(node),
                                  isinstance(node, FUNCTIONS)))
        return found

    def Page(self, module: str) -> str:
        stub = Stub(module)
        parts = ["# %s" % module, stub.Says()]
        if module in self.brings:
            needs = self.brings[module].needs
            parts.append("Copy `%s.py` beside `microWebSrv.py`%s." % (
                module, "".join(", and `%s.py` too" % need for need in needs)))
            if self.brings[module].where == "desk":
                parts.append("It runs on CPython only.")
            manual = re.search(r"^\| `%s\.py`.*" % module, README.read_text(encoding="utf-8"), re.M)
            links = re.findall(r"\[[^\]]*\]\(docs/[^)]*\)", manual.group()) if manual else []
            if links:
                parts.append("In the manual: %s." % ", ".join(links).replace("(docs/", "(../"))
            if self.adds.get(module):
                parts.append("It works with these names of the server: %s." % ", ".join(self.adds[module]))
        parts += self.Names("", 2, self.Members(stub, "", stub.tree.body))
        for node in sorted(Classes(stub.tree.body), key=lambda node: Rank(module, node)):
            parts += self.Class(stub, "", node, 2)
        types = [node for node in stub.tree.body if IsType(node)]
        if types:
            parts += ["## Types", "The signatures above use these names. Programs can't import them."]
            parts.append(Fence("\n\n".join(Dedent(stub.lines[node.lineno - 1:node.end_lineno]) for node in types)))
        return "\n\n".join(part for part in parts if part) + "\n"

    def Class(self, stub: Stub, owner: str, node: ast.ClassDef, level: int) -> list[str]:
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        path = owner + node.name
        parts = [Heading(level, path, node.name), Fence("class %s%s" % (node.name, "(%s)" % bases if bases else ""))]
        parts.append(self.Text(stub, owner, node, node.name))
        members = self.Members(stub, path + ".", node.body)
        parts += self.Names(path + ".", level + 1, members)
        for inner in Classes(node.body):
            parts += self.Class(stub, path + ".", inner, level + 1)
        return parts

    def Names(self, owner: str, level: int, members: list[Name]) -> list[str]:
        rows = [Row(owner, one) for one in members if not one.isFunction]
        parts = ["\n".join(["| name | |", "| --- | --- |", *rows])] if rows else []
        for one in members:
            if not one.isFunction:
                continue
            if one.name == "__init__":
                heading = Heading(level, owner.rstrip(".") + "()", owner.split(".")[-2] + "()")
            else:
                heading = Heading(level, "%s%s()" % (owner, one.name), one.name + "()")
            parts += [heading, Fence(one.declaration)]
            parts += ["*%s*" % (one.note[:1].upper() + one.note[1:])] if one.note else []
            parts.append(one.text)
        return parts

    def Index(self) -> str:
        lines = ["# API", "Every public name of every module, made from the type stubs and the docstrings. The "
                 "[reference](../reference.md) explains the names of the server in their order of use.", "",
                 "| module | brings |", "| --- | --- |"]
        lines.append("| [`microWebSrv`](microWebSrv.md) | the server |")
        lines += ["| [`%s`](%s.md) | %s |" % (one.name, one.name, one.brings) for one in self.brings.values()]
        return "\n".join(lines) + "\n"


# Classes that only optional files use. In the reference, their short names have other meanings.
PLUMBING = ("Head.", "Link.", "Connection.")


def Row(owner: str, one: Name) -> str:
    """Return the table row of an attribute or a setting. Its anchor is its full name."""
    note = "*%s.* " % (one.note[:1].upper() + one.note[1:]) if one.note else ""
    kind = one.declaration.partition(":")[2].strip() or one.declaration
    # On the site a bar between backticks does not end a cell.
    said = "`%s` <br> %s%s" % (" ".join(kind.split()), note, " ".join(one.text.split()))
    return '| <span id="%s%s"></span>`%s` | %s |' % (owner, one.name, one.name, said.strip().removesuffix(" <br>"))


def Heading(level: int, text: str, label: str) -> str:
    """Return a heading with its text as the anchor. The table of contents beside the page shows the label."""
    return '%s %s { #%s data-toc-label="%s" }' % ("#" * level, text, text, label)


def Rank(module: str, node: ast.ClassDef) -> int:
    """Sort key: the class with the name of the module is first, and classes for optional files only are last."""
    return 0 if node.name.lower() == module.lower() else 2 if node.name + "." in PLUMBING else 1


def IsPublic(name: str) -> bool:
    return name == "__init__" or bool(name) and name[0] != "_" and name != "const"


def Called(node: ast.stmt) -> str:
    """Return the name that a statement of a stub declares, or "" if there is none."""
    if isinstance(node, DEFINITIONS):
        return node.name
    targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
    return targets[0].id if targets and isinstance(targets[0], ast.Name) else ""


def Classes(body: list[ast.stmt]) -> list[ast.ClassDef]:
    return [node for node in body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]


def IsType(node: ast.stmt) -> bool:
    return Called(node)[:1] == "_" and Called(node)[:2] != "__" and not isinstance(node, FUNCTIONS)


def Relative(text: str) -> str:
    """Return a text of docs/ with the links that are right for a page in a subfolder."""
    return re.sub(r"\]\((?!\w+://)([^)#\s]*)(#[^)\s]*)?\)",
                  lambda found: "](../%s%s)" % (found.group(1) or "reference.md", found.group(2) or ""), text)


def Fence(code: str) -> str:
    return "```python\n%s\n```" % code


def Pages() -> dict[str, str]:
    """Return {file name: its text}, the index first."""
    writer = Writer()
    return {"index.md": writer.Index(), **{name + ".md": writer.Page(name) for name in Modules()}}
