"""`microwebsrv DIR` imitates a board: programs for boards run unchanged, paths are folders of the program, and a page
shows the pins and changes them by clicks."""

import ast
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

import harness
from command_tools import Desk
from harness import Fetch
from microwebsrv import desk, paths, world

SHOTS = harness.ROOT / "build" / "screenshots"

LAMP = """
import machine
import neopixel
import network
import time
from machine import ADC, PWM, Pin
from micropython import const

import dht
from microWebSrv import MicroWebSrv

LAMP = const(2)
station = network.WLAN(network.STA_IF)
station.active(True)
station.connect("my network", "my password")
while not station.isconnected():
    time.sleep_ms(50)
lamp = Pin(LAMP, Pin.OUT, value=0)
button = Pin(4, Pin.IN, Pin.PULL_UP)
fan = PWM(Pin(15), freq=1000, duty_u16=16384)
sensor = ADC(Pin(26))
strip = neopixel.NeoPixel(Pin(16), 8)
weather = dht.DHT22(Pin(17))
presses = []


def Pressed(pin):
    presses.append(pin.value())
    lamp.value(not pin.value())
    strip[0] = (0, 255, 0) if lamp() else (0, 0, 0)
    strip.write()


button.irq(Pressed, Pin.IRQ_FALLING | Pin.IRQ_RISING)


@MicroWebSrv.route("/state")
def State(httpClient, httpResponse):
    weather.measure()
    httpResponse.WriteResponseJSONOk({"presses": presses, "lamp": lamp.value(), "adc": sensor.read_u16(), "address": station.ifconfig()[0],
                                      "fan": fan.duty(), "celsius": weather.temperature()})


@MicroWebSrv.route("/reset")
def Reset(httpClient, httpResponse):
    machine.reset()


@MicroWebSrv.route("/cause")
def Cause(httpClient, httpResponse):
    httpResponse.WriteResponseJSONOk(machine.reset_cause() == machine.SOFT_RESET)


MicroWebSrv(port=80, webPath="/www").Start(threaded=False)
"""


@pytest.fixture
def run(tmp_path):
    """run(program, *options) -> a Desk with this main.py."""
    desks = []

    def Run(program, *options):
        (tmp_path / "main.py").write_text(program)
        desks.append(Desk(tmp_path, *(options or ("--no-reload",))))
        return desks[-1]

    yield Run
    for one in desks:
        one.Close()


def Post(port, headers=(), **said):
    request = http.client.HTTPConnection("127.0.0.1", port, timeout=harness.DEADLINE_SEC)
    request.request("POST", "/change", json.dumps(said), {"Content-Type": "application/json", **dict(headers)})
    try:
        return request.getresponse().status
    finally:
        request.close()


def Seen(port):
    """The first state that the page receives."""
    with urllib.request.urlopen("http://127.0.0.1:%d/live" % port, timeout=harness.DEADLINE_SEC) as stream:
        return json.loads(stream.readline()[6:])


def Until(look, wanted):
    for _ in range(100):
        found = look()
        if found == wanted:
            return
        time.sleep(0.05)
    assert found == wanted


def test_program_of_a_board(run, tmp_path):
    """Pins, an interrupt, PWM, ADC, LEDs, a sensor, Wi-Fi: the program sees the clicks, and the page sees what the
    program does."""
    (tmp_path / "www").mkdir()
    one = run(LAMP)
    pins = one.Pins()
    port = one.Port()
    assert one.out.text.count("\n") == 2 and "(its program says port 80)" in one.out.text
    state = Fetch(port, "/state").Json()
    assert (state["lamp"], state["presses"], state["address"], state["fan"], state["celsius"]) == (0, [], "127.0.0.1", 256, 21.5)
    assert Post(pins, kind="level", name="4", value=0) == 204
    Until(lambda: Fetch(port, "/state").Json()["lamp"], 1)
    assert Fetch(port, "/state").Json()["presses"] == [0]
    shown = {pin["name"]: pin for pin in Seen(pins)["pins"]}
    assert shown["2"]["mode"] == "out" and shown["2"]["level"] == 1
    assert shown["4"]["mode"] == "in" and shown["4"]["pull"] == "up" and shown["4"]["hasInterrupt"]
    assert (shown["15"]["mode"], shown["15"]["freq"], round(shown["15"]["duty"], 2)) == ("pwm", 1000, 0.25)
    assert shown["16"]["colors"] == [[0, 255, 0]] + [[0, 0, 0]] * 7
    assert Post(pins, kind="analog", name="26", value=1) == 204 and Fetch(port, "/state").Json()["adc"] == 65535
    assert Post(pins, kind="sensor", name="temperature", value=-4) == 204 and Fetch(port, "/state").Json()["celsius"] == -4
    assert Seen(pins)["wifi"] == {"station": "joined my network"}
    for wrong in ({"kind": "level", "name": "2", "value": 1}, {"kind": "level", "name": "99", "value": 1},
                  {"kind": "nothing", "name": "4", "value": 1}):
        assert Post(pins, **wrong) == 404
    assert one.err.text == ""


def test_reset_runs_the_program_again(run):
    for options in (("--no-reload", "--port", "0"), ("--port", "0")):
        one = run(LAMP, *options)
        port = one.Port()
        assert Fetch(port, "/cause").Json() is False
        with harness.RawClient(port) as client:
            client.Send(harness.RequestBytes("GET", "/reset"))
            client.ExpectClose()
        one.Line(r"^microwebsrv: machine\.reset\(\): the program starts again$")
        assert one.Port() == port
        assert Fetch(port, "/cause").Json() is True
        one.Close()


def test_page_is_for_this_computer_only(run):
    """A page of another origin can neither read nor click, and other host names are refused."""
    one = run(LAMP)
    pins = one.Pins()
    one.Port()
    click = {"kind": "level", "name": "4", "value": 0}
    assert Post(pins, {"Origin": "http://evil.example"}, **click) == 403
    assert Post(pins, {"Origin": "null"}, **click) == 403
    assert Post(pins, {"Host": "evil.example"}, **click) == 403
    assert Post(pins, {"Content-Type": "text/plain"}, **click) == 403
    assert Post(pins, {"Origin": "http://127.0.0.1:%d" % pins, "Host": "127.0.0.1:%d" % pins}, **click) == 204
    assert Post(pins, kind="level", name="4") == 400 and Post(pins, kind="level", name="x" * 2000, value=1) == 413
    assert Post(pins, kind="level", name="4", value="x") == 400
    for path, host, status in (("/live", "evil.example", 403), ("/", "evil.example:%d" % pins, 403), ("/", "localhost", 200),
                               ("/other", "localhost", 404)):
        request = http.client.HTTPConnection("127.0.0.1", pins, timeout=harness.DEADLINE_SEC)
        request.request("GET", path, headers={"Host": host})
        assert request.getresponse().status == status
        request.close()


def test_pins_can_be_left_out(run):
    one = run(LAMP, "--no-reload", "--no-pins")
    one.Port()
    assert "the pins" not in one.out.text
    one.Close()
    chosen = harness.FreePorts(1)[0]
    assert run(LAMP, "--no-reload", "--pins", chosen).Pins() == chosen


def test_no_page_without_pins(run):
    one = run("from microWebSrv import MicroWebSrv\nMicroWebSrv(port=80).Start(threaded=False)\n")
    one.Port()
    assert "the pins" not in one.out.text


PORTS = """
from microWebSrv import MicroWebSrv
for port in %r:
    mws = MicroWebSrv(port=port)
    mws.Start()
"""


def test_ports(run):
    """The port of the program if it is free; an explicit port takes precedence."""
    free = harness.FreePorts(2)
    assert run(PORTS % ([free[0]],)).Port() == free[0]
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        one = run(PORTS % ([taken],))
        assert one.Port() > taken and "(its program says port %d)" % taken in one.out.text
    one = run(PORTS % ([80, 443],), "--no-reload", "--port", free[1])
    assert one.Port() == free[1] and one.Port() == free[1] + 1 and "says" not in one.out.text


FILES = """
import os
import uos
import ujson
import utime
import uasyncio
from microWebSrv import MicroWebSrv

with open("/flash/data/log.txt", "w") as file:
    file.write("one")
with open("/settings.json", "w") as file:
    ujson.dump({"a": 1}, file)
os.rename("/settings.json", "/data/settings.json")
assert os.stat("/data/log.txt")[6] == 3 and uos.listdir("/flash/data") == os.listdir("data")
assert sorted(entry[0] for entry in os.ilistdir("/sd")) == ["song.txt"], list(os.ilistdir("/sd"))
os.mkdir("/sd/new")
os.rmdir("/sd/new")
try:
    open("/sd/none.txt")
except OSError as error:
    assert error.errno == 2
MicroWebSrv(webPath="/sd").Start(threaded=False)
"""


def test_paths_of_a_board(run, tmp_path):
    for name in ("data", "sd", "www"):
        (tmp_path / name).mkdir()
    (tmp_path / "sd" / "song.txt").write_text("la la")
    one = run(FILES)
    assert Fetch(one.Port(), "/song.txt").text == "la la"
    assert (tmp_path / "data" / "log.txt").read_text() == "one"
    assert json.loads((tmp_path / "data" / "settings.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("path, mapped", [
    ("/flash/a.txt", "FOLDER/a.txt"), ("/flash", "FOLDER"), ("/sd/x", "FOLDER/sd/x"), ("/www", "FOLDER/www"),
    ("/config.json", "FOLDER/config.json"), ("/etc/hostname", "/etc/hostname"), ("a.txt", "a.txt"), (3, 3), (b"/flash/x", b"/flash/x"),
    ("/", "/"), ("FOLDER/a", "FOLDER/a"), ("/tmp/only here.txt", "FOLDER/tmp/only here.txt"), ("/tmp/new.txt", "/tmp/new.txt"),
])
def test_which_paths_are_of_the_program(tmp_path, path, mapped):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "only here.txt").write_text("")

    def Whole(text):
        return text.replace("FOLDER", str(tmp_path)) if isinstance(text, str) else text
    assert paths.Paths(tmp_path).Map(Whole(path)) == Whole(mapped)


def test_flash_may_be_a_folder_of_its_own(tmp_path):
    (tmp_path / "flash").mkdir()
    assert paths.Paths(tmp_path).Map("/flash/a.txt") == str(tmp_path) + "/flash/a.txt"


def test_nothing_of_it_is_in_the_library():
    """The server uses no stand-ins, and this process has none of their names."""
    code = "import microWebSrv, sys; microWebSrv.MicroWebSrv(); print([n for n in sys.modules if n.startswith('microwebsrv') or n == 'machine'])"
    env = dict(os.environ, PYTHONPATH=str(harness.SRC))
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout == "[]\n"
    assert not hasattr(time, "ticks_ms") and not hasattr(os, "ilistdir")


# Each is run as main.py and prints its results, as on a board.
SNIPPETS = {
    "time": ("import time\na = time.ticks_ms()\ntime.sleep_ms(2)\ntime.sleep_us(10)\nprint(0 < time.ticks_diff(time.ticks_ms(), a) < 2000)\n"
             "print(time.ticks_diff(time.ticks_add(5, -10), 5), time.mktime((2024, 1, 2, 3, 4, 5, 0, 0)) > 0)", "True\n-10 True"),
    "micropython": ("import micropython, gc\n@micropython.viper\ndef F(b: ptr8) -> int:\n    return b[0]\nprint(F(b'a'), const(3), gc.mem_free() > 0)\n"
                    "gc.threshold(1000)\ndone = []\nmicropython.schedule(done.append, 1)\nimport time\nwhile not done: time.sleep_ms(1)\nprint(done)",
                    "97 3 True\n[1]"),
    "timers": ("import time\nfrom machine import Timer\ndone = []\none = Timer(0)\none.init(mode=Timer.ONE_SHOT, period=5, callback=lambda t: done.append('once'))\n"
               "two = Timer(-1, freq=100, callback=lambda t: done.append('often'))\nwhile done.count('often') < 3: time.sleep_ms(1)\ntwo.deinit()\n"
               "time.sleep_ms(50)\nn = len(done)\ntime.sleep_ms(50)\nprint(done.count('once'), len(done) == n)", "1 True"),
    "buses": ("from machine import I2C, SPI, UART, SoftI2C, Pin\ni = I2C(0, scl=Pin(5), sda=Pin(4), freq=400000)\nprint(i.scan())\n"
              "try:\n    i.readfrom(60, 1)\nexcept OSError as e:\n    print(e.errno)\nI2C.devices[0x68] = bytearray(8)\ni.writeto_mem(0x68, 1, b'ab')\n"
              "print(i.scan(), i.readfrom_mem(0x68, 1, 2), SPI(1, baudrate=1).read(2), UART(1, 9600).any())", "[]\n19\n[104] b'ab' b'\\x00\\x00' 0"),
    "machine": ("import machine\nprint(len(machine.unique_id()), machine.freq(80000000) or machine.freq(), machine.reset_cause() == machine.PWRON_RESET)\n"
                "r = machine.RTC()\nr.datetime((2030, 1, 2, 0, 3, 4, 5, 0))\nprint(r.datetime()[:6])\np = machine.Pin('LED', machine.Pin.OUT)\np.on(); p.toggle()\n"
                "s = machine.Signal(p, invert=True)\ns.on()\nprint(p.value(), s.value())", "6 80000000 True\n(2030, 1, 2, 2, 3, 4)\n0 1"),
    "esp32": ("import esp32, esp\nesp.osdebug(None)\nn = esp32.NVS('app')\nn.set_i32('count', 3)\nn.set_blob('key', b'\\x00\\xff')\nn.commit()\n"
              "m = esp32.NVS('app')\nb = bytearray(2)\nprint(m.get_i32('count'), m.get_blob('key', b), b)\ntry:\n    m.get_i32('none')\nexcept OSError:\n    print('none')\n"
              "p = esp32.Partition(esp32.Partition.RUNNING).get_next_update()\np.writeblocks(0, b'new')\nb = bytearray(3)\np.readblocks(0, b)\np.set_boot()\n"
              "print(bytes(b), esp32.Partition(esp32.Partition.BOOT).info()[4])", "3 2 bytearray(b'\\x00\\xff')\nnone\nb'new' ota_1"),
    "asyncio": ("import uasyncio as asyncio\nflag = asyncio.ThreadSafeFlag()\nasync def Main():\n    await asyncio.sleep_ms(1)\n    flag.set()\n    await flag.wait()\n"
                "    print('main')\nloop = asyncio.get_event_loop()\nloop.run_until_complete(Main())\nasyncio.run(Main())", "main\nmain"),
    "errors": ("import sys\ntry:\n    1 / 0\nexcept ZeroDivisionError as e:\n    sys.print_exception(e)", "Traceback (most recent call last):"),
    "ntp": ("import ntptime, time\nntptime.settime()\nprint(ntptime.time() // 100 == int(time.time()) // 100)", "True"),
    "network": ("""import network, time
ap = network.WLAN(network.AP_IF)
ap.config(essid="MicroWebSrv", security=0)
ap.active(True)
sta = network.WLAN(network.WLAN.IF_STA)
sta.active(True)
print(ap.config("ssid"), ap.ifconfig()[0], sorted(one[0] for one in sta.scan()), sta.isconnected(), sta.ifconfig()[0])
def Join(name, password):
    sta.connect(name, password)
    print(sta.status() == network.STAT_CONNECTING, end=" ")
    while sta.status() == network.STAT_CONNECTING:
        time.sleep_ms(20)
    print(sta.isconnected(), sta.status() == network.STAT_WRONG_PASSWORD, sta.ifconfig()[0])
Join("Home", "wrong password")
Join("Home", "")
Join("Home", "correct horse")
print(sta.config("ssid"), sta.ipconfig("addr4"), len(sta.config("mac")), network.hostname("lamp"))
sta.disconnect()
print(sta.isconnected(), network.WLAN(0) is sta)
sta.active(False)
try:
    sta.scan()
except OSError as error:
    print("off")
""", """MicroWebSrv 127.0.0.1 [b'<Neighbour> & Co', b'Guests', b'Home'] False 0.0.0.0
True False True 0.0.0.0
True False True 0.0.0.0
True True False 127.0.0.1
Home ('127.0.0.1', '255.0.0.0') 6 lamp
False True
off"""),
    "watchdog": ("import machine, time\nw = machine.WDT(timeout=50)\nw.feed()\ntime.sleep_ms(400)",
                 "microwebsrv: the watchdog was not fed for 0.05 s: a board would start again"),
}


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_stand_ins(tmp_path, name):
    """Each snippet is a program that ends; its output is read before its folder is served."""
    program, wanted = SNIPPETS[name]
    (tmp_path / "main.py").write_text(program + "\nimport sys\nsys.exit()\n")
    env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([sys.executable, "-m", "microwebsrv", str(tmp_path), "--no-reload", "--no-pins"], env=env, capture_output=True,
                          text=True, timeout=harness.DEADLINE_SEC)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(wanted), done.stdout


def test_own_module_comes_before_a_stand_in(run, tmp_path):
    (tmp_path / "machine.py").write_text("OWN = 1\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "util.py").write_text("WORD = 'found'\n")
    one = run("import machine, util\nprint(machine.OWN, util.WORD, flush=True)\nfrom microWebSrv import MicroWebSrv\nMicroWebSrv().Start(threaded=False)\n")
    one.Line("^1 found$")


def test_a_single_program(tmp_path):
    """A file instead of a folder."""
    (tmp_path / "blink.py").write_text("from machine import Pin\nfrom microWebSrv import MicroWebSrv\nPin(2, Pin.OUT).on()\nMicroWebSrv().Start(threaded=False)\n")
    one = Desk(tmp_path / "blink.py")
    try:
        one.Pins()
        one.Port()
    finally:
        one.Close()


def test_stand_ins_have_what_docs_name():
    """Each module can be imported and is listed."""
    folder = harness.SRC / "microwebsrv" / "standins"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(desk.STANDINS)
    for path in folder.glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))


def test_world_interrupts_are_called_in_order():
    one = world.World()
    pin, seen, done = one.Pin(1), [], threading.Event()
    pin.interrupt = (lambda pin: seen.append(pin), world.RISING | world.FALLING, "pin")
    for level in (1, 0, 0, 1):
        one.SetLevel(pin, level)
    one.Soon(done.set)
    assert done.wait(5) and seen == ["pin"] * 3
    pin.interrupt = (lambda pin: seen.append("rise"), world.RISING, "pin")
    one.SetLevel(pin, 0)
    one.SetLevel(pin, 1)
    one.Soon(done.clear)
    Until(done.is_set, False)
    assert seen[3:] == ["rise"]


# -- errors ------------------------------------------------------------------------------

@pytest.mark.parametrize("words, code, said", [
    (["none"], 2, "there is no folder none"),
    (["none.py"], 2, "there is no program none.py"),
    (["--port", "x"], 2, "argument --port: must be a number from 0 to 65535, not x"),
    (["--pins", "70000"], 2, "argument --pins: must be a number from 0 to 65535, not 70000"),
    (["--nothing"], 2, "unrecognized arguments: --nothing"),
])
def test_wrong_use(tmp_path, words, code, said):
    env = dict(os.environ, PYTHONPATH=str(harness.SRC), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([sys.executable, "-m", "microwebsrv", *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr
    assert re.fullmatch("microwebsrv: .*\n", done.stderr)


# -- in a browser ------------------------------------------------------------------------

BROWSER = LAMP.replace("presses = []", "presses = []\nstrip.fill((40, 0, 90))\nstrip[1] = (255, 120, 0)\nstrip.write()\n"
                                       "Pin(5, Pin.OUT, value=1)\nPin('LED', Pin.OUT)\nPin(6, Pin.IN, Pin.PULL_DOWN)\nPWM(Pin(18), freq=50, duty_u16=50000)\n"
                                       "ap = network.WLAN(network.AP_IF)\nap.config(essid='<b>Lamp</b>')\nap.active(True)\nweather.measure()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_of_pins(run, page, width, scheme):
    from playwright.sync_api import expect
    one = run(BROWSER)
    pins = one.Pins()
    port = one.Port()
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto("http://127.0.0.1:%d/" % pins)
    expect(page.locator("#state")).to_have_text("live")
    lamp = page.locator("[data-name='pin:2']")
    expect(lamp.locator("output")).to_have_text("off")
    page.get_by_role("button", name="Pin 4 is high").click()
    expect(lamp.locator("output")).to_have_text("on")
    expect(page.get_by_role("button", name="Pin 4 is low")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Pin 4 is low").click()
    expect(lamp.locator("output")).to_have_text("off")
    assert Fetch(port, "/state").Json()["presses"] == [0, 1]
    press = page.get_by_role("button", name="Press Pin 4 while it is held")
    box = press.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    expect(lamp.locator("output")).to_have_text("on")
    page.mouse.up()
    expect(lamp.locator("output")).to_have_text("off")
    slider = page.get_by_label("Voltage of Pin 26")
    slider.fill("0.5")
    Until(lambda: Fetch(port, "/state").Json()["adc"], 32768)
    expect(page.locator("[data-name='pin:16'] .strip i")).to_have_count(8)
    expect(page.locator("[data-name='pin:15'] output")).to_have_text("25.0 % \u00b7 1 kHz")
    expect(page.locator("[data-name='wifi:access point'] output")).to_have_text("<b>Lamp</b>")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("""() => [...document.querySelectorAll("input, button")].filter((e) => !(e.getAttribute("aria-label")
        || e.textContent.trim())).length""") == 0
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / ("pins-%s-%d.png" % (scheme, width)), full_page=True)
    one.Close()
    expect(page.locator("#state")).to_have_text("the program does not run")
    assert [text for text in complaints if "ERR_CONNECTION" not in text and "ERR_INCOMPLETE" not in text and "ERR_EMPTY" not in text] == []


PORTAL = """
import network
from microWebPortal import Provision
from microWebSrv import MicroWebSrv


@MicroWebSrv.route("/")
def Home(httpClient, httpResponse):
    httpResponse.WriteResponseOk(contentType="text/plain", content="the program")


mws = MicroWebSrv()
portal = Provision(mws, "Lamp", dnsPort=%d)
portal.OnJoined = lambda address: print("JOINED", address, flush=True)
mws.Start(threaded=False)
"""


def test_portal(run, tmp_path):
    """A new board: its portal lists the three networks, reports a wrong password, and saves the right one."""
    one = run(PORTAL % harness.FreePorts(1)[0])
    port = one.Port()

    def Ask(path="/wifi", form=None):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=harness.DEADLINE_SEC)
        try:
            client.request("POST" if form else "GET", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
            return client.getresponse().read().decode()
        finally:
            client.close()

    def Choose(password):
        token = re.search('name="?t"? value="?([0-9a-f]+)', Ask()).group(1)
        Ask(form="t=%s&n=Home&p=%s" % (token, password))

    page = UntilHas(Ask, "Guests")
    assert "&lt;Neighbour&gt; &amp; Co" in page and "<Neighbour>" not in page
    Choose("wrong+password")
    UntilHas(lambda: Ask().lower(), "wrong")
    Choose("correct+horse")
    one.Line("^JOINED 127.0.0.1$")
    assert json.loads((tmp_path / ".wifi.json").read_text())["name"] == "Home"


def UntilHas(look, part):
    for _ in range(200):
        text = look()
        if part in text:
            return text
        time.sleep(0.1)
    raise AssertionError("no %r in %s" % (part, text))
