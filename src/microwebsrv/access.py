"""The log of the command: a line for each response. The bytes and the time are counted here, because the server itself
does not need them."""

from __future__ import annotations

import time
from typing import Any

import microWebSendFile
import microWebSrv
from microwebsrv import console, faults

GONE = 499                          # the client has left before the response began
UNLOGGED = "/.microwebsrv/"         # paths of the command itself
_COLOURS = {"1": "36", "2": "32", "3": "36", "4": "33", "5": "31"}


def Size(count: int) -> str:
    if count < 10000:
        return "%d B" % count
    kilobytes = count / 1024
    return "%.1f KB" % kilobytes if kilobytes < 1000 else "%.1f MB" % (kilobytes / 1024)


def Duration(seconds: float) -> str:
    return "%.1f ms" % (seconds * 1000) if seconds < 1 else "%.2f s" % seconds


def Line(client: str, request: str, code: int, count: int, seconds: float, isColoured: bool) -> str:
    """Return a line of the log."""
    request = faults.Escaped(request)
    status = "%d" % code
    if isColoured:
        status = "\x1b[%sm%s\x1b[0m" % (_COLOURS.get(status[0], "0"), status)
    now = time.strftime("%H:%M:%S")
    return "  ".join((now, client, request, status, Size(count), Duration(seconds)))


class Log:
    """Follows the connections of all servers of this process."""

    def __init__(self) -> None:
        self.isColoured = console.HasColour(1)

    def OnAnswer(self, link: Any, client: Any, code: int) -> None:
        """link: the link that has counted the bytes. The client in a worker thread has only a substitute for it."""
        head = client.head
        if head.rawPath.startswith(UNLOGGED):
            return
        request = "%s %s" % (head.method, client.GetRequestTotalPath()) if head.rawPath else "-"
        console.Write(1, Line(link.GetAddr()[0], request, code, link.answered,
                              time.monotonic() - client.began, self.isColoured))

    def Open(self) -> None:
        """Log the responses of all servers of this process."""
        core: Any = microWebSrv
        kind, link, client = core.Connection, core.Link, core.HttpClient
        link.answered, link.waitsForHead = 0, False
        construct, send = client.__init__, link.Send
        files: Any = microWebSendFile
        sendFile = files.SendFile
        complete, upgrade, onLost = kind._Complete, kind.Upgrade, kind.OnLost
        log = self

        def Construct(client: Any, connection: Any) -> None:
            construct(client, connection)
            client.began = time.monotonic()
            connection.link.answered, connection.link.waitsForHead = 0, True

        def Send(link: Any, data: Any) -> None:
            size = len(data)
            if link.waitsForHead:
                isEarly = bytes(data[:12]) == b"HTTP/1.1 100"       # the final response comes later
                link.waitsForHead = isEarly
                size = 0 if isEarly else size - bytes(data).find(b"\r\n\r\n") - 4
            link.answered += max(0, size)
            send(link, data)

        def SendFile(link: Any, *args: Any) -> int:
            size: int = sendFile(link, *args)
            link.waitsForHead = False
            link.answered += size
            return size

        def Complete(connection: Any) -> None:
            log.OnAnswer(connection.link, connection.client, connection.response.code)
            complete(connection)

        def Upgrade(connection: Any, response: Any, head: Any, endpoint: Any) -> None:
            client = connection.client
            upgrade(connection, response, head, endpoint)
            log.OnAnswer(connection.link, client, 101)

        def OnLost(connection: Any) -> None:
            if connection.client and connection.response:
                log.OnAnswer(connection.link, connection.client, connection.response.code or GONE)
            onLost(connection)

        client.__init__, link.Send, files.SendFile = Construct, Send, SendFile
        kind._Complete, kind.Upgrade, kind.OnLost = Complete, Upgrade, OnLost
