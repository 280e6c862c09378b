#!/usr/bin/env python3
"""Make docs/seed-api.md: the members of the seed API, and the tests that exercise each of them on each runtime.

    python3 tools/seed_api.py           writes the page
    python3 tools/seed_api.py --check   checks that it is up to date and complete, like tests/test_seed_api.py

A test counts for a member if it runs on every runtime, and it or a program that it refers to uses the member.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "test_seed_api.py"
OLD_PROGRAMS = ROOT / "tests" / "old_programs"
PAGE = ROOT / "docs" / "seed-api.md"
ON_EVERY_RUNTIME = {"serve", "run", "runtime"}

# The contract: names, arguments in order, and defaults. Without parentheses it is an attribute with its default.
MEMBERS = {
    "MicroWebSrv": """
        MicroWebSrv(routeHandlers=None, port=80, bindIP='', webPath='/flash/www')
        Start(threaded=True, stackSize=8192)
        Stop()
        IsStarted()
        SetNotFoundPageUrl(url=None)
        GetMimeTypeFromFilename(filename)
        GetRouteHandler(resUrl, method)
        HTMLEscape(s)
        route(url, method='GET')
        Serve()
        AcceptWebSocketCallback = None
        MaxWebSocketRecvLen = 1024
        WebSocketThreaded = True
        WebSocketStackSize = 4096
        LetCacheStaticContentLevel = 2
    """,
    "HttpClient": """
        GetServer()
        GetAddr()
        GetIPAddr()
        GetPort()
        GetRequestMethod()
        GetRequestTotalPath()
        GetRequestPath()
        GetRequestQueryString()
        GetRequestQueryParams()
        GetRequestHeaders()
        GetRequestContentType()
        GetRequestContentLength()
        ReadRequestContent(size=None)
        ReadRequestPostedFormData()
        ReadRequestContentAsJSON()
    """,
    "HttpResponse": """
        WriteSwitchProto(upgrade, headers=None)
        WriteResponse(code, headers, contentType, contentCharset, content)
        WriteResponsePyHTMLFile(filepath, headers=None, vars=None)
        WriteResponseFile(filepath, contentType=None, headers=None)
        WriteResponseFileAttachment(filepath, attachmentName, headers=None)
        WriteResponseOk(headers=None, contentType=None, contentCharset=None, content=None)
        WriteResponseJSONOk(obj=None, headers=None)
        WriteResponseRedirect(location)
        WriteResponseError(code)
        WriteResponseJSONError(code, obj=None)
        WriteResponseBadRequest()
        WriteResponseForbidden()
        WriteResponseNotFound()
        WriteResponseMethodNotAllowed()
        WriteResponseInternalServerError()
        WriteResponseNotImplemented()
        WriteResponseNotModified()
        FlashMessage(messageText, messageStyle='')
    """,
    "MicroWebSocket": """
        RecvTextCallback = None
        RecvBinaryCallback = None
        ClosedCallback = None
        SendText(msg)
        SendBinary(data)
        IsClosed()
        Close()
    """,
    "MicroWebTemplate": """
        MicroWebTemplate(code, escapeStrFunc=None, filepath='')
        Execute(pyGlobalVars=None, pyLocalVars=None)
        Validate(pyGlobalVars=None, pyLocalVars=None)
    """,
}


def Members() -> list[tuple[str, str, str]]:
    """-> [(class, name, signature)] in the order of the page."""
    found = []
    for owner, text in MEMBERS.items():
        for line in text.strip().split("\n"):
            signature = line.strip()
            found.append((owner, re.split(r"\W", signature)[0], signature))
    return found


def Tests() -> dict[str, str]:
    """-> {test on all runtimes: its source, with the texts and helpers of the module that it refers to}."""
    tree = ast.parse(TESTS.read_text(encoding="utf-8"))
    texts: dict[str, str] = {}
    tests: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            texts[node.targets[0].id] = ast.unparse(node.value)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("test_"):
            texts[node.name] = ast.unparse(node)
        elif isinstance(node, ast.FunctionDef) and ON_EVERY_RUNTIME & {arg.arg for arg in node.args.args}:
            tests[node.name] = ast.unparse(node)
    for name in tests:
        named = {node.id for node in ast.walk(ast.parse(tests[name])) if isinstance(node, ast.Name)}
        tests[name] += "".join("\n" + texts[other] for other in sorted(named & set(texts)))
    return tests


def OldPrograms() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(OLD_PROGRAMS.glob("*.py"))}


def Users(name: str, sources: dict[str, str]) -> list[str]:
    use = re.compile(r"\.%s\b|(?:\b|\\n)%s\(" % (name, name))
    return [source for source, text in sources.items() if use.search(text)]


def Page() -> tuple[str, list[str]]:
    """-> (the text of the page, the members that no test exercises)."""
    tests, programs = Tests(), OldPrograms()
    lines = ["# The API of the older MicroWebSrv and its tests", "",
             "This page lists the API of the older MicroWebSrv, and the tests of each member. `tools/seed_api.py`",
             "makes it; a test fails when the page is out of date or a row has no test. All tests are in",
             "[`tests/test_seed_api.py`](../tests/test_seed_api.py). They run on CPython, on CPython with the poll",
             "loop under asyncio, and on MicroPython. The last column counts the programs in the style of the older",
             "server ([`tests/old_programs`](../tests/old_programs)) that use the member. They run without changes on",
             "the same three. `MaxWebSocketRecvLen` has its old default on a board, and 65536 elsewhere."]
    missing = []
    before = ""
    for owner, name, signature in Members():
        users = Users(name, tests)
        if not users:
            missing.append("%s.%s" % (owner, name))
        if owner != before:
            lines += ["", "## %s" % owner, "", "| member | tested by | old programs |", "| --- | --- | --- |"]
            before = owner
        shown = ", ".join("`%s`" % user for user in users[:3])
        count = len(Users(name, programs))
        lines.append("| `%s` | %s | %s |" % (signature, shown, count or ""))
    return "\n".join(lines) + "\n", missing


def Problems() -> list[str]:
    text, missing = Page()
    problems = ["no test exercises %s" % name for name in missing]
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        problems.append("docs/seed-api.md is out of date: python3 tools/seed_api.py")
    return problems


def Main() -> int:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(Page()[0], encoding="utf-8")
    problems = Problems()
    print("\n".join(problems) or "%d members, each with a test." % len(Members()))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(Main())
