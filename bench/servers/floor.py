# The floor of an interpreter: a program that parses nothing and always sends the same response. It uses asyncio, with
# uvloop if that is installed. "asyncio" is without uvloop, "streams" with asyncio's streams, "poll" with a poll loop.
# floor.py PORT FOLDER [asyncio | streams | poll]
import sys

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"

if sys.argv[-1] == "poll":
    import select
    import socket

    def Listener(port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        listener.listen(511)
        listener.setblocking(False)
        return listener

    if sys.implementation.name == "micropython":
        def Main(port):
            listener = Listener(port)
            buffer = bytearray(1024)
            poll = select.poll()
            poll.register(listener, select.POLLIN)
            print("READY", port)
            while True:
                for sock, _ in poll.ipoll():
                    if sock is listener:
                        sock, _ = listener.accept()
                        sock.setblocking(False)
                        poll.register(sock, select.POLLIN)
                        continue
                    size = sock.readinto(buffer)
                    if size:
                        sock.write(HELLO)
                        if buffer.find(b"close", 0, size) < 0:
                            continue
                    poll.unregister(sock)
                    sock.close()
    else:
        def Main(port):
            listener = Listener(port)
            number = listener.fileno()
            socks = {}
            poll = select.epoll()
            poll.register(number, select.EPOLLIN)
            print("READY", port, flush=True)
            while True:
                for key, _ in poll.poll():
                    if key == number:
                        sock, _ = listener.accept()
                        sock.setblocking(False)
                        socks[sock.fileno()] = sock
                        poll.register(sock.fileno(), select.EPOLLIN)
                        continue
                    sock = socks[key]
                    data = sock.recv(65536)
                    if data:
                        sock.send(HELLO)
                        if b"close" not in data:
                            continue
                    poll.unregister(key)
                    del socks[key]
                    sock.close()

    Main(int(sys.argv[1]))
    sys.exit()

import asyncio  # noqa: E402

if sys.argv[-1] == "streams":
    async def Answer(reader, writer):
        buffer = bytearray(1024)
        while True:
            size = await reader.readinto(buffer)
            if not size:
                break
            writer.write(HELLO)
            await writer.drain()
            if buffer.find(b"close", 0, size) >= 0:
                break
        writer.close()
        await writer.wait_closed()

    async def Main(port):
        await asyncio.start_server(Answer, "127.0.0.1", port, 511)
        print("READY", port)
        await asyncio.Event().wait()
elif sys.implementation.name == "micropython":
    import socket
    from asyncio import core

    def Serve(sock, buffer):
        closes = None
        while True:
            yield core._io_queue.queue_read(sock)
            size = sock.readinto(buffer)
            if not size:
                break
            if closes is None:
                closes = buffer.find(b"close", 0, size) >= 0
            sock.write(HELLO)
            if closes:
                break
        sock.close()

    def Listen(port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        listener.listen(511)
        listener.setblocking(False)
        buffer = bytearray(1024)
        while True:
            yield core._io_queue.queue_read(listener)
            sock, _ = listener.accept()
            sock.setblocking(False)
            asyncio.create_task(Serve(sock, buffer))

    async def Main(port):
        print("READY", port)
        await Listen(port)
else:
    class Responder(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(HELLO)
            if b"close" in data:
                self.transport.close()

    async def Main(port):
        server = await asyncio.get_running_loop().create_server(Responder, "127.0.0.1", port, backlog=511)
        print("READY", port, flush=True)
        await server.serve_forever()

if sys.implementation.name != "micropython" and sys.argv[-1] != "asyncio":
    try:
        import uvloop
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    except ImportError:
        pass
asyncio.run(Main(int(sys.argv[1])))
