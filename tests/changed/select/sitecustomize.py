# First on the path of a program: CPython as on Windows, which has neither epoll nor poll nor kqueue.

import select

for name in ("epoll", "poll", "kqueue", "devpoll"):
    if hasattr(select, name):
        delattr(select, name)
