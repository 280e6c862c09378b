# Renders the templates of a JSON file and prints the results as JSON: the same program on every runtime.
#
#     python|micropython template_runner.py jobs.json
#
# A job: {"code": text} or {"file": path}, with "filepath", "vars" (source of a dict) and "escape" (default true). A
# result: {"text": …} or {"error": …}; "validate" is the result of Validate for a "code".

import json
import sys

import microWebTemplate
from microWebTemplate import MicroWebTemplate, TemplateError
try:
    import microWebPages
    from microWebPages import Markup
except ImportError:                     # to test without it
    microWebPages = None

    class Markup(str):
        def __html__(self):
            return str(self)


class Source:
    """A webPath like a server's."""

    root = ""

    def Stat(self, path):
        return microWebTemplate.Stat(self.root + path)

    def Open(self, path):
        return open(self.root + path, "rb")

    def Holds(self, path):
        return "link" not in path       # the server's own checks for symbolic links; here the name tells


class Server:
    Renderers = {}
    source = Source()

    @staticmethod
    def HTMLEscape(text):
        return _Escape(text)


class Dashed:
    """A value with __html__()."""

    def __html__(self):
        return "<hr>"


def _Escape(value):
    for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("'", "&apos;"), (">", "&gt;"), ("<", "&lt;")):
        value = value.replace(char, entity)
    return value


def _Do(job, server):
    values = eval(job.get("vars", "{}"), {"Markup": Markup, "Dashed": Dashed})
    answer = {}
    try:
        if "file" in job:
            server.source.root = job.get("root", "")
            blocks = server.Renderers[".pyhtml"](server, job["file"], values)
            answer["text"] = "".join([block if isinstance(block, str) else block.decode() for block in blocks])
        else:
            template = MicroWebTemplate(job["code"], _Escape if job.get("escape", True) else None,
                                        job.get("filepath", ""))
            answer["validate"] = template.Validate()
            answer["text"] = template.Execute(values)
    except (TemplateError, OSError) as error:
        answer["error"] = "%s: %s" % (type(error).__name__, error)
    return answer


def Main(path):
    server = Server()
    microWebTemplate.Attach(server)
    if microWebPages:
        microWebPages.Attach(server)
    with open(path) as file:
        jobs = json.load(file)
    print(json.dumps([_Do(job, server) for job in jobs]))


Main(sys.argv[1])
