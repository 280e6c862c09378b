# More for WebSockets: copy this file beside microWebSocket.py. MIT license, see LICENSE.
#
#    Broadcast       sends a message to all WebSockets, or to those of one path
#    Ping            sends a ping with data
#    Protocol        the subprotocol that was chosen from WebSocketProtocols
#    async def       async callbacks; needs microWebAsync.py
#
# Extends the class of microWebSocket.py and uses only its names without an underscore.

import sys
import time

_NAME = __name__.replace("SocketPlus", "Socket")
__import__(_NAME)
sockets = sys.modules[_NAME]


def _SendToAll(server, path, frame):
    for link in list(server.links.values()):            # a copy: a send can remove its link
        webSocket = link.endpoint
        if isinstance(webSocket, sockets.MicroWebSocket) and (path is None or webSocket.Path == path):
            webSocket.SendFrame(0, frame, 0)


def _Broadcast(server, data, path=None):
    """Send text (str) or binary data to all open WebSockets, or to those of one path. From any thread."""
    isText = isinstance(data, str)
    frame = sockets.Frame(0x81 if isText else 0x82, data.encode() if isText else bytes(memoryview(data)))
    if server.IsOnEngine():
        return _SendToAll(server, path, frame)
    patience = 2000                              # milliseconds for which a thread waits while too many bytes are queued
    while patience and server.Pending() * (4 * len(frame) + 512) > server.MaxWebSocketSendQueueLen:
        time.sleep(0.001)
        patience -= 1
    server.CallSoon(_SendToAll, server, path, frame)


def _Ping(webSocket, data=b""):
    """Send a ping. data: only the first 125 bytes are sent."""
    return webSocket.SendFrame(0x89, (data.encode() if isinstance(data, str) else data)[:125])


async def _Behind():
    """Do nothing. Tasks start in order, so when this one ends, the previous one has run its first step."""


def _Await(webSocket, kind, coroutine):
    """Run an async callback as a task. True: Done will be called at its end."""
    server = webSocket.Server
    spawn = server.SpawnCallback
    if not spawn:
        coroutine.close()
        server.Log("async WebSocket callbacks need microWebAsync.py")
    elif isinstance(kind, int):
        spawn(coroutine, webSocket.Done)
    else:                                      # the accept callback may run for ever; its first step sets the callbacks
        spawn(coroutine, webSocket.Crashed)
        spawn(_Behind(), webSocket.Done)
    return spawn


def _Choose(webSocket, head):
    """Choose the first of WebSocketProtocols that the client offers (RFC 6455 section 4.2.2) -> header line of the
    101."""
    webSocket.Path = head.path
    offered = list(map(str.strip, head.fields.get("sec-websocket-protocol", "").split(",")))
    for protocol in webSocket.Server.WebSocketProtocols:
        if protocol in offered:
            webSocket.Protocol = protocol
            return b"Sec-WebSocket-Protocol: " + protocol.encode() + b"\r\n"
    return b""


def _Crashed(webSocket, error):
    """Log the exception of a callback (None: there was none); WebSocketCloseOnError closes the connection."""
    _LogCrash(webSocket, error)
    if error is not None and webSocket.Server.WebSocketCloseOnError:
        webSocket.Close(1011)


def _Drops(webSocket):
    return webSocket.Server.WebSocketSlowPolicy == "drop"


def _Refuse(client, server):
    """Check Origin against AllowedWebSocketOrigins: None (the same host only), one origin, several, or '*'. -> status,
    or 0"""
    status = _Refusal(client, server)
    allowed = getattr(client, "origins", server.AllowedWebSocketOrigins)
    origin = client.head.fields.get("origin")
    if allowed is None or status not in (0, 403):
        return status
    isKnown = not origin or allowed in ("*", origin) or not isinstance(allowed, str) and origin in allowed
    return 0 if isKnown else 403


_Refusal = sockets.Refusal
sockets.Refusal = _Refuse
_LogCrash = sockets.MicroWebSocket.Crashed


def Attach(server):
    """Called by each new server, after microWebSocket."""
    kind = sockets.MicroWebSocket
    kind.Ping = _Ping
    kind.Await = _Await
    kind.Crashed = _Crashed
    kind.Drops = _Drops
    kind.Protocol = None
    kind = type(server)
    kind.Broadcast = _Broadcast
    for name, value in {
        "AllowedWebSocketOrigins": None,
        "WebSocketProtocols": (),
        "WebSocketSlowPolicy": "close",
        "WebSocketCloseOnError": False,
    }.items():
        if not hasattr(server, name):
            setattr(kind, name, value)
    server.Offers.append(_Choose)
