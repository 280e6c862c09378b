# A new board comes into the Wi-Fi with a phone: copy this file beside microWebSrv.py, and call Provision.
# MIT license, see LICENSE.
#
# While the portal is open the board has a network of its own, answers each name with its address, and leads each
# request to one page. All of it runs on the poll loop of the server: a socket of the DNS server, a hook, and the clock.

import json
import os
import socket
import sys

_MICROPYTHON = sys.implementation.name == "micropython"

_TRY_SEC = 20               # until a network is given up
_AGAIN_SEC = 15             # until it is asked once more: a Pico W does not do that by itself
_RETRY_SEC = 60             # until the saved network is tried again, while nobody looks at the page
_LOOK_SEC = 600             # for which looking at the page can put that off
_LINGER_SEC = 60            # for which the portal stays when the board has joined
_QUIET_SEC = 45             # of them: phones are told that all is well, and close the page
_MOST_NETWORKS = 16

# What systems ask to find out whether they are online, and what they then expect: "|path answer|". NetworkManager reads
# a header.
_PROBES = (
    "|/generate_204 |/gen_204 |/hotspot-detect.html "
    "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"
    "|/connecttest.txt Microsoft Connect Test|/ncsi.txt Microsoft NCSI|/success.txt success\n"
    '|/canonical.html <meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>|')

# The policy of a site, for all its answers, would forbid the page its style; and who may read the answers of the site
# (microWebCors) may not read the token.
_HEADERS = {"Cache-Control": "no-store", "Connection": "close", "Content-Security-Policy": "frame-ancestors 'none'",
            "Access-Control-Allow-Origin": ""}

_TOKEN = "<form method=post><input type=hidden name=t value=%s>"
_NETWORK = '<label><input type=radio name=n value="%s"%s><bdi>%s</bdi>%d %% %s</label>'

# The page, which a program may replace. What it puts for %s is HTML.
Page = (
    '<!DOCTYPE html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><link rel=icon '
    "href=data:,><title>%s</title><style>:root{color-scheme:light dark}body{max-width:26em;margin:auto;padding:1em;"
    "font:1.1em/1.4 system-ui,sans-serif}label{display:flex;flex-wrap:wrap;gap:.6em;padding:.7em 0}bdi{flex:1;"
    "overflow-wrap:anywhere}[maxlength],button{width:100%%;padding:.7em;font:inherit;box-sizing:border-box}button{"
    "margin-top:1em;background:#06c;color:#fff;border:0}button+button{background:0 0;color:inherit}</style><h1>%s</h1>"
    "<p role=status>%s")
Fields = (
    "<p><a href=?scan>Search again</a><label>Another network<input name=o maxlength=32 autocapitalize=off></label>"
    "<label>Password<input name=p type=password maxlength=63></label><button>Connect</button>")
Forget = "<button name=f>Forget %s</button>"
Texts = (
    "Choose the Wi-Fi that it shall join.",
    "Connecting to <bdi>%s</bdi>…",
    "It has joined <bdi>%s</bdi>. Let your phone join that too, and open <a href=%s>%s</a>",
    "No connection to <bdi>%s</bdi>: the password is wrong.",
    "No connection to <bdi>%s</bdi>. Is it near enough, and the password right?",
    "A network has a name of 1 to 32 bytes, and a password of 8 to 63 or none.",
    "This page was old. Please try again.")


# -- the DNS server: without a socket, and with one ----------------------------------------------------

def _Parse(query):
    """-> (the end of the question or 12, its type, four bytes of EDNS or None); IndexError for what is malformed."""
    end = at = 12
    asked = opt = None
    for index in range(query[10] * 256 + query[11] + 1):
        start = at
        while query[at]:
            if query[at] > 63:              # a pointer: nothing stands before the question that it could mean
                raise IndexError
            at += query[at] + 1
        at += 5
        kind = query[at - 4] * 256 + query[at - 3]
        if at - start > 259:
            raise IndexError
        if not index:
            end = at
            asked = kind
            continue
        if kind == 41:
            if opt or at - start > 5:       # a second one, or one with a name
                raise IndexError
            opt = query[at:at + 4]
        at += 6 + query[at + 4] * 256 + query[at + 5]
    if at != len(query):
        raise IndexError
    return end, asked, opt


def Answer(query, address):
    """A DNS query -> the reply, of 512 bytes at most; None for what deserves none. Each name has this IPv4 address, for
    no time at all, and nothing else: NODATA with an SOA (RFC 2308 section 3). EDNS as in RFC 6891."""
    if len(query) < 12 or query[2] > 127:
        return None                         # no whole head, or a reply
    end = 12
    opt = None
    code = 1                                # FORMERR; also for another number of questions (RFC 9619)
    try:
        if query[4:10] == b"\0\1\0\0\0\0":
            end, asked, opt = _Parse(query)
            code = 0
    except IndexError:
        pass
    record = more = b""
    if opt and opt[1]:
        code = 16                           # BADVERS: of an EDNS to come
    elif query[2] & 0x78:
        code = 4                            # NOTIMP: not a query
    elif not code:
        if query[end - 2:end] != b"\0\1":
            code = 5                        # REFUSED: not of the class IN
        elif asked in (1, 255):
            record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + bytes(map(int, address.split(".")))
        else:
            record = b"\0\0\6\0\1\0\0\0\0\0\x16" + bytes(22)
    if opt:
        more = b"\0\0\x29\2\0" + bytes((code >> 4, 0, opt[2] & 128, 0, 0, 0))
    size = len(record)
    return query[:2] + bytes((query[2] & 0x79 | 0x84, query[3] & 16 | 128 | code & 15, 0, end > 12, 0, size == 16, 0,
                              size > 16, 0, len(more) > 0)) + query[12:end] + record + more


class Names:
    """The DNS server of one IPv4 address: among the links of the web server, and its own endpoint. To be made on the
    thread of the server. OSError where it can't have the port."""

    out = deadline = None
    isDead = False
    watched = 1

    def __init__(self, server, address, port=53):
        self.server = server
        self.endpoint = self
        self._address = address
        self.sock = sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(socket.getaddrinfo(address, port)[0][-1])
            server.poll.register(sock, 1)
        except BaseException:
            sock.close()
            raise
        self._key = id(sock) if _MICROPYTHON else sock.fileno()
        server.links[self._key] = self
        server.MaxConnections += 1

    def OnEvent(self, event):
        try:
            query, client = self.sock.recvfrom(512)
            reply = Answer(query, self._address)
            if reply:
                self.sock.sendto(reply, client)
        except OSError:                     # there is none, or who has asked has gone
            pass

    def Abort(self):
        if not self.isDead:
            self.isDead = True
            server = self.server
            server.MaxConnections -= 1
            server.links.pop(self._key, None)
            server.poll.unregister(self.sock)
            self.sock.close()

    OnStop = Abort

    def IsIdle(self):
        return False


# -- the portal ----------------------------------------------------------------------------------------

def _Bytes(name):
    """A name -> the SSID, which is any 32 bytes: "hex:c3" is one that is no text."""
    try:
        if name[:4] == "hex:":
            return int("1" + name[4:], 16).to_bytes(len(name) // 2 - 1, "big")[1:]
    except ValueError:
        pass
    return name.encode()


def _Fits(name, password):
    return 0 < len(_Bytes(name)) < 33 and (not password or 7 < len(password.encode()) < 64)


class Provision:
    """Brings the board into a Wi-Fi, and opens the portal while it is in none. To be called before Start.

    name, password: of its own network, without a password an open one; file: for the settings; path: of the page;
    lostSec: how long a network may be away; network: what has the WLAN of MicroPython's module of that name."""

    address = None          # in the network that the board has joined
    isOpen = False          # the portal
    OnJoined = None         # callable(address): the board has joined
    _settings = None        # that are saved: {"name": …, "password": …}
    _tried = None           # that are tried now
    _until = 0              # when this ends, in seconds of server.now
    _names = None
    _found = ()             # networks: (name, percent, has it a password?)
    _kept = ()              # the hooks of the program, while the portal answers all
    _scanned = -9
    _again = 0              # when the next try begins
    _lately = ""            # the name that was tried
    _text = Texts[0]

    def __init__(self, mws, name="MicroWebSrv", password="", file=".wifi.json", path="/wifi", lostSec=120, dnsPort=53,
                 network=None):
        if not _Fits(name, password):
            raise ValueError("name, password must have 1 to 32 bytes, and 8 to 63 or none: %r" % name)
        network = network or __import__("network")
        self._server = mws
        self._file = file
        self._path = path
        self._lostSec = lostSec
        self._dnsPort = dnsPort
        self._title = mws.HTMLEscape(name)
        self._token = "%016x" % int.from_bytes(os.urandom(8), "big")
        # The ESP32 and the ESP8266 know this constant; on the Pico W it has another value and no name.
        security = getattr(network, "AUTH_WPA2_PSK", 0x400004) if password else 0
        self._own = {"essid": name, "password": password, "security": security}
        self._wrong = (getattr(network, "STAT_WRONG_PASSWORD", -3), 15, 204)        # the ESP32 says these two as well
        self._access = network.WLAN(network.AP_IF)
        self._access.active(False)          # an ESP8266 has it from the beginning
        self._station = station = network.WLAN(network.STA_IF)
        station.active(True)
        try:
            station.config(reconnects=1)    # while an ESP32 goes on trying, it does not say what is wrong
        except (ValueError, TypeError):
            pass
        for part in (file, file + ".new"):
            try:
                with open(part) as source:
                    settings = json.load(source)
                if _Fits(settings["name"], settings["password"]):
                    self._settings = settings
                    break
            except Exception:               # there is none, or it is not ours
                pass
        mws.Ticks.append(self._OnTick)

    def Forget(self):
        """Deletes the settings, and the portal opens. From any thread."""
        if not self._server.CallSoon(self._Forget):
            self._Forget()

    def _Forget(self):
        self._settings = self._tried = self.address = None
        self._text = Texts[0]
        for part in (self._file, self._file + ".new"):
            try:
                os.remove(part)
            except OSError:
                pass
        self._station.disconnect()

    # -- from one state to the next

    def _OnTick(self):
        """Once a second."""
        now = self._server.now
        station = self._station
        tried = self._tried
        if self._names and self._names.isDead:      # the server has stopped meanwhile
            self._Listen()
        if station.isconnected() and (tried or self.address):
            if tried:
                self._Joined(tried)
            elif self.isOpen and now >= self._until:
                self._Close()
            return
        if self.address:                    # it is lost
            self.address = None
            self._Try(self._settings, self._lostSec)
        elif tried:
            isWrong = self.isOpen and self._again > now + 2 and station.status() in self._wrong
            if isWrong or now >= self._until:
                station.disconnect()
                self._tried = None
                self._until = now + _RETRY_SEC
                self._text = Texts[3 if isWrong else 4] % self._server.HTMLEscape(tried["name"])
        elif self._settings and now >= self._until:
            self._Try(self._settings, _TRY_SEC)
        elif not self.isOpen:
            self._Open()
        tried = self._tried
        if tried and now >= self._again:
            self._again = now + _AGAIN_SEC
            try:
                station.disconnect()
                station.connect(_Bytes(tried["name"]), tried["password"] or None)
            except OSError:                 # it is still at work with the last try
                pass

    def _Try(self, settings, seconds):
        """The answer that says so has two seconds to leave: then the radio looks for the channel of the network."""
        self._tried = settings
        self._lately = settings["name"]
        self._again = self._server.now + 2 * self.isOpen
        self._until = self._again + seconds
        self._text = Texts[1] % self._server.HTMLEscape(settings["name"])

    def _Joined(self, settings):
        server = self._server
        self._tried = None
        self._until = server.now
        self.address = address = self._station.ifconfig()[0]
        url = "http://%s%s/" % (address, self._Port())
        self._text = Texts[2] % (server.HTMLEscape(settings["name"]), url, url)
        server.before += self._kept
        self._kept = ()
        if settings is not self._settings:
            self._until += _LINGER_SEC
            self._settings = settings
            server.Call(self._Save)
        if self.OnJoined:
            server.Call(self.OnJoined, address)

    def _Save(self):
        part = self._file + ".new"
        with open(part, "w") as file:
            json.dump(self._settings, file)
        (os.rename if _MICROPYTHON else os.replace)(part, self._file)

    def _Port(self):
        port = self._server.port
        return "" if port in (80, 443) else ":%d" % port

    def _Open(self):
        self._Scan()
        server = self._server
        self._access.config(**self._own)
        self._access.active(True)
        self._ip = self._access.ifconfig()[0]
        self._host = self._ip + self._Port()
        self._url = "http://" + self._host + self._path
        self.isOpen = True
        self._Listen()
        self._hosts = server.AllowedHosts
        server.AllowedHosts = None          # a probe comes with the name of its own server
        self._kept = server.before
        server.before = (("", self._Before),)

    def _Listen(self):
        try:
            self._names = Names(self._server, self._ip, self._dnsPort)
        except OSError as error:            # on a desk it has no port 53, and nobody asks
            self._names = None
            if self._server.isBoard:
                self._server.Log("DNS", error)

    def _Close(self):
        server = self._server
        self.isOpen = False
        if self._names:
            self._names.Abort()
            self._names = None
        server.before = server.before[1:]
        server.AllowedHosts = self._hosts
        server.heads = {}                   # what is remembered there was not compared with them
        self._access.active(False)

    def _Scan(self):
        """Takes two seconds or three. Strongest first, and each name once."""
        server = self._server
        self._scanned = server.now
        rows = []
        try:
            for one in self._station.scan():
                rows.append((-one[3], bytes(one[0]), one[4]))
        except OSError:
            return                          # not now: those that were found before stay
        rows.sort()
        names = set()
        self._found = []
        for loss, ssid, security in rows:
            if not ssid.strip(b"\0"):       # it hides its name
                continue
            try:
                name = server.Utf8(ssid, True)
                if min(name) < " " or name[:4] == "hex:":
                    raise ValueError
            except ValueError:
                name = "hex:" + ("%x" % int.from_bytes(b"\1" + ssid, "big"))[1:]
            if name not in names and len(names) < _MOST_NETWORKS:
                names.add(name)
                self._found.append((name, max(0, min(100, 200 - 2 * loss)), security))

    # -- requests

    def _Before(self, client, response):
        """The first hook, and the only one until the board has joined."""
        head = client.head
        address = self.address
        now = self._server.now
        isOurs = head.authority == self._host
        isPage = isOurs and head.key == self._path
        # The site of the program, for its new network and for phones that are still in ours.
        if address and (isOurs and not isPage or client.GetIPAddr().rpartition(".")[0] != self._ip.rpartition(".")[0]):
            return None
        if isPage and head.query != "scan":
            if "captive+json" in head.fields.get("accept", ""):         # RFC 8908 section 4
                response.WriteResponse(200, _HEADERS, "application/captive+json", None, (
                    '{"captive":%s,"user-portal-url":"%s"}' % ("false" if address else "true", self._url)))
            elif head.method == "POST" and not address:
                return self._OnForm
            else:
                self._Show(response)
            return None
        if isPage:
            if not self._tried and not address and now > self._scanned + 8:
                self._Scan()
        elif address and now > self._until - _QUIET_SEC:
            response.SetHeader("X-NetworkManager-Status", "online")
            answer = _PROBES.partition("|%s " % head.key)
            if answer[1]:
                answer = answer[2].partition("|")[0]
                response.WriteResponse(200 if answer else 204, _HEADERS, "text/html", None, answer)
                return None
        response.WriteResponse(302, dict(_HEADERS, Location=self._url), None, None, None)

    def _OnForm(self, client, response):
        """Security: the token is in the page, and no page of another origin can read that one."""
        form = client.ReadRequestPostedFormData()
        name = form.get("o", "").strip() or form.get("n", "")
        password = form.get("p", "")
        if form.get("t") != self._token:
            return self._Show(response, Texts[6], 403)
        if "f" in form:
            self._Forget()
        elif not _Fits(name, password):
            return self._Show(response, Texts[5], 400)
        else:
            self._Try({"name": name, "password": password}, _TRY_SEC)
        self._Show(response)

    def _Show(self, response, text=None, code=200):
        Escape = self._server.HTMLEscape
        pieces = [Page % (self._title, self._title, text or self._text)]
        if self._tried or self.address:
            response.SetHeader("Refresh", 15 if self.address else 2)
        else:
            self._until = min(self._server.now + _RETRY_SEC, self._again + _LOOK_SEC)
            pieces.append(_TOKEN % self._token)
            for name, percent, security in self._found:
                isChosen = name == self._lately
                name = Escape(name)
                pieces.append(_NETWORK % (name, " checked" if isChosen else "", name, percent, "🔒" * bool(security)))
            pieces.append(Fields)
            if self._settings:
                pieces.append(Forget % Escape(self._settings["name"]))
        response.WriteResponseStream(pieces, "text/html", "UTF-8", _HEADERS, code)


def Attach(server):
    """Called by a server when it is made: there is nothing to do before Provision."""
