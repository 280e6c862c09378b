"""Fixtures: each end-to-end test that asks for `runtime` or `serve` runs once on every runtime."""

import gc
import os
import signal
import warnings

import pytest

import asgi_cases
import harness

# Who starts the tests in a shell's background has them ignore Ctrl-C, and whatever they start would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed in the middle leaves its sockets open in its frames, and Python keeps the last traceback: closed here,
    when the report has been made, they are not one more failure at the end of a run in which the second try passed."""
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
                    _ = step.tb_frame.f_locals  # before Python 3.13 this is a copy, made anew each time it is read
                except RuntimeError:            # it is running: pytest's own
                    pass
                step = step.tb_next
            error = error.__cause__ or error.__context__
        gc.collect()
    return report


def pytest_collection_modifyitems(config, items):
    """Behind an ASGI server run the tests of ASGI_FILES, but those that say what is decided there (harness.ASGI: all of them,
    and of these it is expected)."""
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
    """serve(program, ...) -> harness.Server on this runtime, in tmp_path; ended and judged after the test."""
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
    """run(program, ...) -> what the program printed on this runtime; it must end with code 0."""
    def Run(program, **kwargs):
        kwargs.setdefault("modulePath", modulePath)
        kwargs.setdefault("workDir", tmp_path)
        return harness.RunProgram(runtime, program, **kwargs)
    return Run


@pytest.fixture(scope="session")
def artifacts():
    """A folder outside git for what a person may want to look at afterwards (screenshots)."""
    folder = harness.ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser():
    """Debian's headless Chromium, driven by Playwright; it asks nothing of any host but the one under test.

    For each module: while Playwright is there, its event loop counts as running in this thread and asyncio.run refuses.
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
    """A tab in a profile of its own; an exception in a page's script fails the test."""
    errors = []
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors, "the page's script failed: %s" % errors
