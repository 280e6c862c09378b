"""The server beside a program's own tasks, in one asyncio loop: nothing blocks, nothing needs a thread or a lock.
It needs microWebAsync.py.

    /         what the sampling task has measured
    /next     waits for the next sample, while everybody else is served
    /stop     ends the server, and with it the program
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # where the modules are in a clone

import asyncio
import time

from microWebSrv import MicroWebSrv

samples = []
sampled = None              # an Event: set at each new sample, then a new one takes its place


async def Sample():
    """Stands for a sensor: the milliseconds of the clock."""
    global sampled
    while True:
        samples.append(int(time.time() * 1000) % 1000)
        if len(samples) > 10:
            samples.pop(0)
        sampled.set()
        sampled = asyncio.Event()
        await asyncio.sleep(0.5)


@MicroWebSrv.route("/")
def Samples(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(samples)


@MicroWebSrv.route("/next")
async def Next(httpClient, httpResponse):
    await sampled.wait()
    httpResponse.WriteResponseJSONOk(samples[-1])


@MicroWebSrv.route("/stop", "POST")
def Stop(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="Good bye.")
    httpClient.GetServer().Stop()


async def Main():
    global sampled
    sampled = asyncio.Event()
    sampling = asyncio.create_task(Sample())
    print("Open http://127.0.0.1:8080/ - Ctrl-C ends it")
    await MicroWebSrv(port=8080).Serve()
    sampling.cancel()
    print("Stopped.")


try:
    asyncio.run(Main())
except KeyboardInterrupt:
    print("Stopped.")
