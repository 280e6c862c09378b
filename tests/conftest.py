"""Fixtures: each end-to-end test that asks for `runtime` or `serve` runs once on every runtime."""

import gc
import os
import re
import signal
import warnings

import pytest
from xdist.scheduler import LoadScopeScheduling

import asgi_cases
import harness

# If the tests run in the background of a shell, they ignore Ctrl-C, and so would the programs that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take long for their number of tests: {name: additional seconds for each runtime}.
LONG = {"mpy_versions": 200, "push": 150, "faults": 90, "portal": 90, "hostile": 70, "demo_browser": 60, "auth": 55, "mip": 55,
        "websocket_server": 50, "desk": 45, "extending": 40, "footprint": 40, "tls": 40, "docs": 35, "portal_browser": 25}


class ByRuntime(LoadScopeScheduling):
    """The scheduler for pytest -n 4 --dist loadfile. The tests of one file on one runtime stay together, because they share servers.
    The longest group runs first."""

    def _split_scope(self, nodeid):
        path, _, name = nodeid.partition("::")
        runtime = re.search(r"[\[-](cpython-asyncio|cpython|micropython|asgi-\w+)(?=[-\]])", name)
        return path + (runtime[1] if runtime else "")

    def _assign_work_unit(self, node):
        self.workqueue.move_to_end(max(self.workqueue, key=self._Seconds), last=False)
        super()._assign_work_unit(node)

    def _Seconds(self, scope):
        path = scope.partition(".py")[0]
        return LONG.get(path.rpartition("test_")[2], 0) + 0.05 * len(self.workqueue[scope])


def pytest_xdist_make_scheduler(config, log):
    return ByRuntime(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Close the sockets of a failed test. They stay open in its frames, because Python keeps the last traceback, and would
    otherwise cause another failure at the end, even if the second attempt passed."""
    report = yield
    error = call.excinfo and call.excinfo.value
    if not error:
        return report
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        while error:
            step = error.__traceback__
            while step:
                try:
                    step.tb_frame.clear()
                    _ = step.tb_frame.f_locals  # before Python 3.13 this copy is made again at each access
                except RuntimeError:            # the frame is running: it belongs to pytest
                    pass
                step = step.tb_next
            error = error.__cause__ or error.__context__
        gc.collect()
    return report


def pytest_collection_modifyitems(config, items):
    """Behind an ASGI server, run only the tests of ASGI_FILES, without those whose result that server decides. With harness.ASGI,
    run all tests; the others may fail."""
    for item in items if harness.ASGI else ():
        reason = asgi_cases.Difference(item.name, harness.ASGI_RUNTIME)
        if reason and harness.ASGI_RUNTIME in item.name:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
    kept, left = [], []
    for item in items:
        callspec = getattr(item, "callspec", None)
        runtimes = [value for value in (callspec.params.values() if callspec else ()) if str(value).startswith("asgi-")]
        isElsewhere = item.path.name not in asgi_cases.FILES or callspec and asgi_cases.Difference(item.name, harness.ASGI_RUNTIME)
        (left if runtimes and not harness.ASGI and isElsewhere else kept).append(item)
    if left:
        items[:] = kept
        config.hook.pytest_deselected(items=left)


@pytest.fixture(params=harness.RUNTIMES)
def runtime(request):
    return request.param


@pytest.fixture
def modulePath(runtime):
    return (harness.SourcesOf(runtime),)


@pytest.fixture
def serve(runtime, modulePath, tmp_path):
    """serve(program, ...) -> harness.Server on this runtime, in tmp_path. After the test the server is ended and its output checked."""
    servers = []

    def Serve(program, **kwargs):
        kwargs.setdefault("modulePath", modulePath)
        kwargs.setdefault("workDir", tmp_path)
        servers.append(harness.Server(runtime, program, **kwargs))
        return servers[-1]

    yield Serve
    try:
        for server in servers:
            server.Close()
    finally:
        for server in servers:
            server.Kill()
            print(server.Report())


@pytest.fixture
def run(runtime, modulePath, tmp_path):
    """run(program, ...) -> the output of the program on this runtime; its exit code must be 0."""
    def Run(program, **kwargs):
        kwargs.setdefault("modulePath", modulePath)
        kwargs.setdefault("workDir", tmp_path)
        return harness.RunProgram(runtime, program, **kwargs)
    return Run


@pytest.fixture(scope="session")
def artifacts():
    """A folder outside git for files that a person may want to see afterwards, like screenshots."""
    folder = harness.ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser():
    """Debian's headless Chromium, driven by Playwright. It connects only to the host under test.

    There is one browser for each module. While Playwright runs, its event loop runs in this thread, so asyncio.run fails.
    """
    from playwright.sync_api import sync_playwright
    flags = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
             "--no-first-run", "--disable-gpu"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=harness.FindBrowser(), headless=True, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A tab with a new profile. An exception in a page's script fails the test."""
    errors = []
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors, "the page's script failed: %s" % errors
