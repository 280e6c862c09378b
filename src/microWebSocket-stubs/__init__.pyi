"""WebSockets: docs/websockets.md is the manual."""

from typing import Any, Callable

_BytesLike = bytes | bytearray | memoryview

class MicroWebSocket:
    """An open WebSocket, as the accept callback gets it. A program may set attributes of its own on it."""

    RecvTextCallback: Callable[[MicroWebSocket, str], object] | None
    """Gets each text message. May be exchanged at any time, and `async def` with microWebSocketPlus.py."""

    RecvBinaryCallback: Callable[[MicroWebSocket, bytes], object] | None
    """Gets each binary message. May be exchanged at any time, and `async def` with microWebSocketPlus.py."""

    ClosedCallback: Callable[[MicroWebSocket], object] | None
    """Called once, when the connection has gone, whoever closed it. May be `async def`."""

    Path: str
    """The path of the request, percent-decoded: what `Broadcast(data, path)` compares. With microWebSocketPlus.py."""

    Protocol: str | None
    """The subprotocol that was chosen of `WebSocketProtocols`. With microWebSocketPlus.py."""

    CloseCode: int | None
    """The code of the first Close frame, theirs or ours; 1005: it had none; 1006: there was none; None: still open."""

    CloseReason: str
    """The reason in that frame."""

    def SendText(self, msg: str | _BytesLike) -> bool:
        """Send a text message, from any thread. False: closed, or the client is too slow to get it."""

    def SendBinary(self, data: str | _BytesLike) -> bool:
        """Send a binary message, from any thread. False: closed, or the client is too slow to get it."""

    def Ping(self, data: str | _BytesLike = b"") -> bool:
        """Send a ping with at most 125 bytes of data. The server sends its own, see `WebSocketPingSec`.

        With microWebSocketPlus.py.
        """

    def IsClosed(self) -> bool:
        """True as soon as either side began to close."""

    def Close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close, from any thread: 1000 to 1014 (not 1004 to 1006) or 3000 to 4999, and up to 123 bytes text.

        Raises ValueError for others. ClosedCallback comes when the client has answered, or after 5 seconds.
        """

    # What the link calls.
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
    """Plug into a server: `server.Upgraders["websocket"]`, and the settings with their defaults."""

def const(value: int) -> int: ...
