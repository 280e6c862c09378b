# Put first on the path of a program: CPython without epoll, poll and kqueue, as on Windows.

import select

for name in ("epoll", "poll", "kqueue", "devpoll"):
    if hasattr(select, name):
        delattr(select, name)
