"""A dashboard behind a log-in: live values, a chart and two switches, the same in all browsers. It needs microWebLogin,
microWebAuth, microWebSession, microWebSecurity and microWebEvents.

    microwebsrv examples/dashboard.py      or, on a board, as main.py         Log in as ada, engine.
"""

import time

from machine import ADC, Pin
import microWebLogin            # noqa: F401  adds the scheme "form" to Protect
from microWebAuth import HashPassword, Protect
from microWebEvents import MicroWebEvents
from microWebSecurity import SecurityHeaders
from microWebSession import MemoryStore, UseSessions
from microWebSrv import MicroWebSrv

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>Dashboard</title>
<style nonce="%(nonce)s">
  body { font: 1rem system-ui; margin: auto; padding: 1rem; max-width: 40rem; background: #f4f6f8; color: #123 }
  header, main { display: flex; flex-wrap: wrap; gap: 1rem } h1 { flex: 1; font-size: 1.4rem }
  header { align-items: center }
  section { flex: 1 1 10rem; background: #fff; border-radius: .8rem; padding: 1rem; box-shadow: 0 1px 4px #0003 }
  output { display: block; font-size: 1.8rem } svg { width: 100%%; background: #fff; margin-top: 1rem }
  button { font: inherit; padding: .6rem 1rem; border: 0; border-radius: .5rem; background: #dde3ea }
  [aria-pressed=true] { background: #0a7d4f; color: #fff }
</style></head>
<header><h1>Dashboard of %(user)s</h1> <form method="post" action="/logout">
  <input type="hidden" name="csrf" value="%(csrf)s"> <button>Log out</button></form></header>
<main>
  <section>Sensor <output id="sensor">…</output></section>
  <section>Runs for <output id="seconds">…</output></section>
  <section>Switches <p><button data-name="lamp">Lamp</button> <button data-name="fan">Fan</button></p></section>
</main>
<svg viewBox="0 0 120 50" role="img" aria-label="the sensor, the last two minutes">
  <polyline id="line" fill="none" stroke="#0a7d4f"/></svg>
<script nonce="%(nonce)s">
  const points = [], buttons = document.querySelectorAll("[data-name]"), byId = id => document.getElementById(id);
  new EventSource("/values").onmessage = event => {
    const values = JSON.parse(event.data);
    byId("sensor").value = values.sensor + " %%";
    byId("seconds").value = values.seconds + " s";
    points.splice(0, points.push(values.sensor) - 120);
    byId("line").setAttribute("points", points.map((value, at) => at + "," + (50 - value / 2)).join(" "));
    buttons.forEach(button => button.setAttribute("aria-pressed", values.switches[button.dataset.name])) };
  buttons.forEach(button => button.onclick = () => fetch("/switch/" + button.dataset.name,
    {method: "POST", headers: {"X-CSRF-Token": "%(csrf)s"}}));
</script></html>"""

users, sensor, events = {"ada": HashPassword("engine", 1000)}, ADC(Pin(26)), MicroWebEvents()
switches, start = {"lamp": Pin(2, Pin.OUT, value=0), "fan": Pin(4, Pin.OUT, value=0)}, time.time()


def Tell():
    events.Send({"sensor": round(sensor.read_u16() / 655.35, 1), "seconds": round(time.time() - start),
                 "switches": {name: bool(pin.value()) for name, pin in switches.items()}})


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    values = {"user": MicroWebSrv.HTMLEscape(httpClient.GetUser()), "csrf": httpResponse.vars["CSRF"],
              "nonce": httpResponse.vars["NONCE"]}
    httpResponse.WriteResponseOk({"Cache-Control": "no-store"}, "text/html", "UTF-8", PAGE % values)


@MicroWebSrv.route("/values")
def Values(httpClient, httpResponse):
    httpResponse.WriteResponseEventStream(events)


@MicroWebSrv.route("/switch/<name>", "POST")
def Switch(httpClient, httpResponse, args):
    pin = switches.get(args["name"])
    if not pin:
        return httpResponse.WriteResponseNotFound()
    pin.value(not pin.value())
    Tell()
    httpResponse.WriteResponseJSONOk({args["name"]: bool(pin.value())})


mws = MicroWebSrv()
UseSessions(mws, store=MemoryStore())
SecurityHeaders(mws)
Protect(mws, "/", users, "form")
try:
    mws.Start()                                 # in a thread of its own; this thread measures
    while mws.IsStarted():
        Tell()
        time.sleep(1)
except KeyboardInterrupt:
    mws.Stop()
