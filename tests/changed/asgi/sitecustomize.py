# Put first on the path of a program: every server that it imports is started behind the ASGI server named by
# ASGI_SERVER, in this process. Start() and Stop() start and stop that server.

import asyncio
import importlib.util
import os
import sys
import threading


class _Finder:
    """Finds microWebSrv as usual, and replaces Start of its server after the import."""

    isBusy = False

    def find_spec(self, name, path=None, target=None):
        if self.isBusy or name.rpartition(".")[2] != "microWebSrv":
            return None
        self.isBusy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.isBusy = False
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def Execute(module):
                execute(module)
                module.MicroWebSrv.Start = _Start
                module.MicroWebSrv.Serve = _Serve
                module.MicroWebSrv.Stop = _StopEarly
            spec.loader.exec_module = Execute
        return spec


def _StopEarly(self):
    """Before the first request, and from a thread before the server listens."""
    if getattr(self, "front", None):
        self.front()


def _Start(self, threaded=True, stackSize=8192):
    if threaded:
        threading.Thread(target=lambda: asyncio.run(_Run(self))).start()
    else:
        asyncio.run(_Run(self))


async def _Serve(self):
    await _Run(self)


async def _Run(self):
    app = self.Asgi()
    run = {"uvicorn": _Uvicorn, "h11": _Uvicorn, "granian": _Granian, "hypercorn": _Hypercorn}[os.environ["ASGI_SERVER"]]
    stop = app.Stop

    def Stop():
        stop()
        self.front()

    app.Stop = Stop
    await run(self, app)


async def _Uvicorn(self, app):
    import uvicorn

    class Front(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            print("READY %d" % mws.port)

    mws = self
    config = uvicorn.Config(app, mws.bindIP or "0.0.0.0", mws.port, log_config=None, access_log=False, log_level="critical",
                            http="h11" if os.environ["ASGI_SERVER"] == "h11" else "httptools", lifespan="on",
                            timeout_graceful_shutdown=3, server_header=False, proxy_headers=False)
    server = Front(config)

    def Quit():
        server.should_exit = True

    self.front = Quit
    await server.serve()


async def _Granian(self, app):
    from granian.server.embed import Server
    server = Server(app, self.bindIP or "0.0.0.0", self.port, interface="asgi", log_enabled=False)
    loop = asyncio.get_running_loop()
    self.front = lambda: loop.call_soon_threadsafe(server.stop)
    task = loop.create_task(server.serve())
    await _Listens(self)
    await task


async def _Hypercorn(self, app):
    import hypercorn.asyncio
    from hypercorn.config import Config
    config = Config()
    config.bind = ["%s:%d" % (self.bindIP or "0.0.0.0", self.port)]
    config.errorlog = None
    config.graceful_timeout = 3
    config.shutdown_timeout = 3
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    self.front = lambda: loop.call_soon_threadsafe(end.set)
    task = loop.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=end.wait))
    await _Listens(self)
    await task


async def _Listens(mws):
    """These two don't report when they accept connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", mws.port)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.02)
    print("READY %d" % mws.port)


sys.meta_path.insert(0, _Finder())
