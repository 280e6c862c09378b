# Put first on the path of a program: every server that it imports runs its poll loop under asyncio.

import importlib.util
import sys


class _Finder:
    """Finds microWebSrv as usual, at the root, in a package or as a package, and sets UseAsyncio after the import."""

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
                module.MicroWebSrv.UseAsyncio = True
            spec.loader.exec_module = Execute
        return spec


sys.meta_path.insert(0, _Finder())
