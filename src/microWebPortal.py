# Connects a new board to a Wi-Fi network with the help of a phone. Copy this file beside microWebSrv.py, and call
# Provision.
# MIT license, see LICENSE.
#
# While the portal is open, the board has its own network, resolves every name to its own address, and redirects each
# request to one page. All of this runs on the server's poll loop: a DNS socket, a hook and a tick.

import json
import os
import socket
import sys

_MICROPYTHON = sys.implementation.name == "micropython"

_TRY_SEC = 20               # before an attempt to join is given up
_AGAIN_SEC = 15             # before connect() is called again: a Pico W does not retry by itself
_RETRY_SEC = 60             # before the saved network is tried again, if nobody looks at the page
_LOOK_SEC = 600             # for which looking at the page can delay that
_LINGER_SEC = 60            # for which the portal stays open after joining
_QUIET_SEC = 45             # the last of these: phones are told that they are online, and close the page
_MOST_NETWORKS = 16

# Requests that systems send to test whether they are online, and the expected responses: "|path response|".
# NetworkManager reads a header.
_PROBES = (
    "|/generate_204 |/gen_204 |/hotspot-detect.html "
    "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"
    "|/connecttest.txt Microsoft Connect Test|/ncsi.txt Microsoft NCSI|/success.txt success\n"
    '|/canonical.html <meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>|')

# The site's CSP would forbid the style of this page; and origins that may read the site (microWebCors) must not read
# the token.
_HEADERS = {"Cache-Control": "no-store", "Connection": "close", "Content-Security-Policy": "frame-ancestors 'none'",
            "Access-Control-Allow-Origin": ""}

_TOKEN = "<form method=post><input type=hidden name=t value=%s>"
_NETWORK = '<label><input type=radio name=n value="%s"%s><bdi>%s</bdi>%d %% %s</label>'

# The page; a program may replace it. The values for %s are HTML.
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
    "Choose the Wi-Fi to join.",
    "Connecting to <bdi>%s</bdi>…",
    "It has joined <bdi>%s</bdi>. Let your phone join that too, and open <a href=%s>%s</a>",
    "No connection to <bdi>%s</bdi>: the password is wrong.",
    "No connection to <bdi>%s</bdi>. Is it near enough, and the password right?",
    "A network has a name of 1 to 32 bytes, and a password of 8 to 63 or none.",
    "This page was old. Please try again.")


# -- the DNS server: messages, then the socket ----------------------------------------------------

def _Parse(query):
    """-> (end of the question or 12, its type, four bytes of EDNS or None). IndexError for a malformed query."""
    end = at = 12
    asked = opt = None
    for index in range(query[10] * 256 + query[11] + 1):
        start = at
        while query[at]:
            if query[at] > 63:              # a pointer: invalid here, no name comes before the question
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
            if opt or at - start > 5:       # a second OPT record, or one with a name
                raise IndexError
            opt = query[at:at + 4]
        at += 6 + query[at + 4] * 256 + query[at + 5]
    if at != len(query):
        raise IndexError
    return end, asked, opt


def Answer(query, address):
    """DNS query -> reply, at most 512 bytes; None if it gets none. Every name has this IPv4 address with TTL 0, and no
    other record: NODATA with an SOA (RFC 2308 section 3). EDNS: RFC 6891."""
    if len(query) < 12 or query[2] > 127:
        return None                         # incomplete head, or a reply
    end = 12
    opt = None
    code = 1                                # FORMERR; also unless there is one question (RFC 9619)
    try:
        if query[4:10] == b"\0\1\0\0\0\0":
            end, asked, opt = _Parse(query)
            code = 0
    except IndexError:
        pass
    record = more = b""
    if opt and opt[1]:
        code = 16                           # BADVERS: a newer EDNS version
    elif query[2] & 0x78:
        code = 4                            # NOTIMP: not a standard query
    elif not code:
        if query[end - 2:end] != b"\0\1":
            code = 5                        # REFUSED: not class IN
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
    """The DNS server for one IPv4 address. It stands among the links of the web server, with itself as the endpoint.
    Create it on the server's thread. OSError if the port can't be bound."""

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
        except OSError:                     # no datagram, or the client left
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
    """A name -> SSID, which is any 32 bytes. "hex:c3" stands for an SSID that is not UTF-8."""
    try:
        if name[:4] == "hex:":
            return int("1" + name[4:], 16).to_bytes(len(name) // 2 - 1, "big")[1:]
    except ValueError:
        pass
    return name.encode()


def _Fits(name, password):
    return 0 < len(_Bytes(name)) < 33 and (not password or 7 < len(password.encode()) < 64)


class Provision:
    """Joins a Wi-Fi network, and opens the portal while there is no connection. Call it before Start.

    name, password: of the board's own network, open without a password; file: for the settings; path: of the page;
    lostSec: seconds that the network may be away; network: a module with the WLAN of MicroPython. ValueError for an
    invalid name or password."""

    address = None          # in the joined network
    isOpen = False          # the portal is open
    OnJoined = None         # callable(address): the board has joined
    _settings = None        # saved: {"name": …, "password": …}
    _tried = None           # settings that are tried now
    _until = 0              # end of the current state, in seconds of server.now
    _names = None
    _found = ()             # networks: (name, percent, has a password)
    _kept = ()              # the program's hooks, while the portal replaces them
    _scanned = -9
    _again = 0              # when connect() is called next
    _lately = ""            # the network that was tried last
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
        # ESP32 and ESP8266 have this constant; the Pico W needs another value and has no name for it.
        security = getattr(network, "AUTH_WPA2_PSK", 0x400004) if password else 0
        self._own = {"essid": name, "password": password, "security": security}
        self._wrong = (getattr(network, "STAT_WRONG_PASSWORD", -3), 15, 204)        # the ESP32 also reports 15 and 204
        self._access = network.WLAN(network.AP_IF)
        self._access.active(False)          # an ESP8266 starts with it active
        self._station = station = network.WLAN(network.STA_IF)
        station.active(True)
        try:
            station.config(reconnects=1)    # an ESP32 that keeps retrying does not report the reason
        except (ValueError, TypeError):
            pass
        for part in (file, file + ".new"):
            try:
                with open(part) as source:
                    settings = json.load(source)
                if _Fits(settings["name"], settings["password"]):
                    self._settings = settings
                    break
            except Exception:               # missing or invalid
                pass
        mws.Ticks.append(self._OnTick)

    def Forget(self):
        """Delete the settings and open the portal. From any thread."""
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

    # -- the state machine

    def _OnTick(self):
        """Once a second: go to the next state."""
        now = self._server.now
        station = self._station
        tried = self._tried
        if self._names and self._names.isDead:      # the server was stopped meanwhile
            self._Listen()
        if station.isconnected() and (tried or self.address):
            if tried:
                self._Joined(tried)
            elif self.isOpen and now >= self._until:
                self._Close()
            return
        if self.address:                    # the connection is lost
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
            except OSError:                 # the last attempt is still running
                pass

    def _Try(self, settings, seconds):
        """Start to join. The response gets two seconds to leave, because then the radio changes the channel."""
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
        server.AllowedHosts = None          # probes name other hosts
        self._kept = server.before
        server.before = (("", self._Before),)

    def _Listen(self):
        try:
            self._names = Names(self._server, self._ip, self._dnsPort)
        except OSError as error:            # a desk does not allow port 53, and needs no DNS
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
        server.heads = {}                   # heads in the memo were not checked against AllowedHosts
        self._access.active(False)

    def _Scan(self):
        """Search for networks, for two or three seconds. The strongest comes first, each name once."""
        server = self._server
        self._scanned = server.now
        rows = []
        try:
            for one in self._station.scan():
                rows.append((-one[3], bytes(one[0]), one[4]))
        except OSError:
            return                          # the scan failed: keep the old result
        rows.sort()
        names = set()
        self._found = []
        for loss, ssid, security in rows:
            if not ssid.strip(b"\0"):       # hidden
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
        """The only hook until the board has joined."""
        head = client.head
        address = self.address
        now = self._server.now
        isOurs = head.authority == self._host
        isPage = isOurs and head.key == self._path
        # Serve the program's site in the joined network, and to phones that are still in ours.
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
        """Security: the token is in the page, which pages of other origins can't read."""
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
    """Called by each new server. A program enables the portal with Provision."""
