# picows: picows_.py PORT FOLDER
import asyncio
import sys

import uvloop
from picows import WSListener, WSMsgType, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


async def Main():
    server = await ws_create_server(lambda request: Echo(), "127.0.0.1", int(sys.argv[1]), backlog=511)
    await server.serve_forever()


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
asyncio.run(Main())
