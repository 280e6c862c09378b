# The floor of WebSockets: a poll loop that sends each text message back. It assumes that every read is one whole frame
# of the size that the bench sends, checks nothing, and keeps no state. floor_websocket.py PORT FOLDER
import select
import socket
import sys
from binascii import b2a_base64
from hashlib import sha1

MICROPYTHON = sys.implementation.name == "micropython"
OPENING = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s"
           b"\r\n\r\n")

if MICROPYTHON:
    def Unmask(data, key):
        size = len(data)
        number = int.from_bytes(key * (size // 4), "little")
        return (int.from_bytes(data, "little") ^ number).to_bytes(size, "little")
else:
    from websockets.speedups import apply_mask as Unmask


def Listener(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    listener.listen(511)
    listener.setblocking(False)
    return listener


def Answer(data):
    """Return what answers these bytes: an opening handshake, a short or a long frame."""
    size = len(data)
    if data[0] != 0x81:
        key = data[data.find(b"Key: ") + 5:].split(b"\r\n", 1)[0]
        return OPENING % b2a_base64(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())[:-1]
    if size < 132:
        text = str(Unmask(data[6:], data[2:6]), "utf-8")
        return bytes((0x81, size - 6)) + text.encode()
    text = str(Unmask(data[8:], data[4:8]), "utf-8")
    return b"\x81\x7e" + (size - 8).to_bytes(2, "big") + text.encode()


def Main(port):
    listener = Listener(port)
    buffer = bytearray(8192)
    socks = {}
    poll = select.poll() if MICROPYTHON else select.epoll()
    poll.register(listener, 1)
    number = listener if MICROPYTHON else listener.fileno()
    print("READY", port)
    while True:
        for key, _ in poll.ipoll() if MICROPYTHON else poll.poll():
            if key == number:
                sock, _ = listener.accept()
                sock.setblocking(False)
                socks[id(sock) if MICROPYTHON else sock.fileno()] = sock
                poll.register(sock, 1)
                continue
            if MICROPYTHON:
                sock = key
                size = sock.readinto(buffer)
                data = bytes(memoryview(buffer)[:size]) if size else b""
            else:
                sock = socks[key]
                data = sock.recv(8192)
            if data and data[0] != 0x88:            # a Close frame
                sock.write(Answer(data)) if MICROPYTHON else sock.send(Answer(data))
                continue
            poll.unregister(sock)
            del socks[id(sock) if MICROPYTHON else key]
            sock.close()


Main(int(sys.argv[1]))
