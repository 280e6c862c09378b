"""The server and the program's own tasks share one asyncio loop, so no threads and no locks are needed.
It needs microWebAsync.py.

    /         the samples of the sampling task
    /next     waits for the next sample; other requests are answered meanwhile
    /stop     stops the server, so the program ends
"""

import sys

sys.path.append((__file__.rpartition("/")[0] or ".") + "/../src")      # the modules' folder in a clone

import asyncio
import time

from microWebSrv import MicroWebSrv

samples = []
sampled = None              # an Event: set at each new sample, then replaced by a new one


async def Sample():
    """The milliseconds of the clock, instead of a real sensor."""
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
