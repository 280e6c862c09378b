# websockets: websockets_.py PORT FOLDER
import asyncio
import sys

import uvloop
from websockets.asyncio.server import serve


async def Echo(ws):
    async for message in ws:
        await ws.send(message)


async def Main():
    async with serve(Echo, "127.0.0.1", int(sys.argv[1]), compression=None, backlog=511):
        await asyncio.get_running_loop().create_future()


asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
asyncio.run(Main())
