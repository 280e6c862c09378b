"""Types of microWebSocket (docs/websockets.md)."""

from typing import Any, Callable

_BytesLike = bytes | bytearray | memoryview

class MicroWebSocket:
    """An open WebSocket, as the accept callback gets it. A program may set its own attributes on it."""

    RecvTextCallback: Callable[[MicroWebSocket, str], object] | None
    """Called with each text message. May be replaced at any time. `async def` needs microWebSocketPlus.py."""

    RecvBinaryCallback: Callable[[MicroWebSocket, bytes], object] | None
    """Called with each binary message. May be replaced at any time. `async def` needs microWebSocketPlus.py."""

    ClosedCallback: Callable[[MicroWebSocket], object] | None
    """Called once, when the connection is closed, by either side. `async def` needs microWebSocketPlus.py."""

    Path: str
    """The path of the request, percent-decoded; `Broadcast(data, path)` compares it. With microWebSocketPlus.py."""

    Protocol: str | None
    """The subprotocol that was chosen from `WebSocketProtocols`. With microWebSocketPlus.py."""

    CloseCode: int | None
    """The code of the first Close frame, sent or received; 1005: it had no code; 1006: no frame; None: still open."""

    CloseReason: str
    """The reason in the first Close frame."""

    def SendText(self, msg: str | _BytesLike) -> bool:
        """Send a text message, from any thread. False: closed, or the client is too slow."""

    def SendBinary(self, data: str | _BytesLike) -> bool:
        """Send a binary message, from any thread. False: closed, or the client is too slow."""

    def Ping(self, data: str | _BytesLike = b"") -> bool:
        """Send a ping with at most 125 bytes of data. The server sends its own pings, see `WebSocketPingSec`. With
        microWebSocketPlus.py.
        """

    def IsClosed(self) -> bool:
        """True as soon as either side has begun to close."""

    def Close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close, from any thread. code: 1000 to 1014 (not 1004 to 1006) or 3000 to 4999; reason: up to 123
        bytes. ValueError for other values. ClosedCallback is called when the client has replied, or after 5 seconds.
        """

    # Called by the link.
    deadline: int | None
    def __init__(self, server: Any, link: Any, event: tuple[Any, ...]) -> None: ...
    def OnReceived(self, data: bytes) -> None: ...
    def OnDrained(self) -> None: ...
    def OnEnd(self) -> bool: ...
    def OnExpired(self) -> None: ...
    def OnLost(self) -> None: ...
    def OnStop(self) -> None: ...
    def IsIdle(self) -> bool: ...

def Attach(server: Any) -> None:
    """Called by each new server: sets `server.Upgraders["websocket"]`, and the settings to their defaults."""

def const(value: int) -> int: ...
