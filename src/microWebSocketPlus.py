# More for WebSockets: copy this file beside microWebSocket.py. MIT license, see LICENSE.
#
#    Broadcast       one message to all, or to those of one path
#    Ping            a ping with data
#    Protocol        the subprotocol that was chosen of WebSocketProtocols
#    async def       callbacks that await, with microWebAsync.py
#
# It adds to the class of microWebSocket.py, whose names without an underscore are all that it uses.

import sys
import time

_NAME = __name__.replace("SocketPlus", "Socket")
__import__(_NAME)
sockets = sys.modules[_NAME]


def _SendToAll(server, path, frame):
    for link in list(server.links.values()):            # a send can take its link out of them
        webSocket = link.endpoint
        if isinstance(webSocket, sockets.MicroWebSocket) and (path is None or webSocket.Path == path):
            webSocket.SendFrame(0, frame, 0)


def _Broadcast(server, data, path=None):
    """Text or binary to every open WebSocket, or to those of one path; from any thread."""
    isText = isinstance(data, str)
    frame = sockets.Frame(0x81 if isText else 0x82, data.encode() if isText else bytes(memoryview(data)))
    if server.IsOnEngine():
        return _SendToAll(server, path, frame)
    patience = 2000                                     # of a thread, while too much is on its way
    while patience and server.Pending() * (4 * len(frame) + 512) > server.MaxWebSocketSendQueueLen:
        time.sleep(0.001)
        patience -= 1
    server.CallSoon(_SendToAll, server, path, frame)


def _Ping(webSocket, data=b""):
    """Send a ping; of data at most 125 bytes."""
    return webSocket.SendFrame(0x89, (data.encode() if isinstance(data, str) else data)[:125])


async def _Behind():
    """Tasks begin in their order: at the end of this one, the one before it has begun."""


def _Await(webSocket, callback, coroutine):
    """Runs an async callback as a task. True: Done is called at its end."""
    server = webSocket.Server
    spawn = server.SpawnCallback
    if not spawn:
        coroutine.close()
        server.Log("async WebSocket callbacks need microWebAsync.py")
    elif isinstance(callback, str):
        spawn(coroutine, webSocket.Done)
    else:                                               # it may go on for ever; its first step sets the callbacks
        spawn(coroutine, webSocket.Crashed)
        spawn(_Behind(), webSocket.Done)
    return spawn


def _Choose(webSocket, head):
    """RFC 6455 section 4.2.2: the first of ours that the client offers -> a line of the 101."""
    webSocket.Path = head.path
    offered = list(map(str.strip, head.fields.get("sec-websocket-protocol", "").split(",")))
    for protocol in webSocket.Server.WebSocketProtocols:
        if protocol in offered:
            webSocket.Protocol = protocol
            return b"Sec-WebSocket-Protocol: " + protocol.encode() + b"\r\n"
    return b""


def _Crashed(webSocket, error):
    """What a callback raised, or None: it is logged, and a setting closes the connection."""
    _LogCrash(webSocket, error)
    if error is not None and webSocket.Server.WebSocketCloseOnError:
        webSocket.Close(1011)


def _Drops(webSocket):
    return webSocket.Server.WebSocketSlowPolicy == "drop"


def _Refuse(client, server):
    """Whose pages may connect: None (this very host's), an origin or several, or '*'. -> the status, or 0"""
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
    """Called by a server when it is made, after microWebSocket."""
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
