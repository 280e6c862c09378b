# HTTPS and WSS for MicroWebSrv: mws.UseTLS("cert.pem", "key.pem"). Copy this file beside microWebSrv.py.
# MIT license, see LICENSE.
#
# A handshake continues when its client has sent something, so it blocks nobody. It has to end before the deadline of
# the first head, HeadTimeoutSec. TLS takes up to 40 KB for each connection, so MaxTLSConnections limits them.

import sys
from binascii import a2b_base64

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    try:
        import tls as ssl
    except ImportError:                 # before MicroPython 1.23
        try:
            import ssl
        except ImportError:             # a build without TLS
            ssl = None
else:
    import ssl
    from binascii import b2a_base64
    from os import path as _path
    from tempfile import TemporaryDirectory as _Folder

_PLAIN = b"HTTP/1.1 400 Bad Request\r\n\r\nThis port is https://"


# -- certificates ------------------------------------------------------------------------

def _Parts(file, label):
    """file: a path or bytes. -> list of the DER data with this label in PEM (RFC 7468); if there is none, [the whole
    file]."""
    if not isinstance(file, bytes):
        with open(file, "rb") as stream:
            file = stream.read()
    pieces = file.split(b"-----")
    parts = []
    for at in range(1, len(pieces), 4):
        if pieces[at].endswith(label):
            parts.append(a2b_base64(pieces[at + 1]))
    return parts or [file]


if _MICROPYTHON:
    def _Context(certFile, keyFile):
        """A server context from the two files. ValueError if they are not a certificate and its key. mbedtls needs
        DER."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certs = _Parts(certFile, b"CERTIFICATE")
        key = _Parts(keyFile, b"PRIVATE KEY")[0]
        for cert in certs:              # all after the first are issuers
            context.load_cert_chain(cert, key)
        at = 0
        while key[at:at + 64] not in certs[0]:      # a key contains its public half; mbedtls does not compare them
            at += 1
        if at > len(key) - 64:
            raise ValueError("keyFile must be the key of certFile")
        ciphers = []
        for cipher in context.get_ciphers():
            if "CBC" not in cipher and ("ECDHE" in cipher or "1-3" in cipher):
                ciphers.append(cipher)
        context.set_ciphers(ciphers)
        return context

else:
    def _Context(certFile, keyFile):
        """A server context from the two files. ValueError if they are not a certificate and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")      # for TLS 1.2; all of 1.3 are good
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        certs = _Parts(certFile, b"CERTIFICATE")
        key = _Parts(keyFile, b"PRIVATE KEY")[0]
        try:
            try:
                context.load_cert_chain(certFile, keyFile, "")  # a password of None would ask on the console
            except (OSError, ValueError):                       # not PEM, or bytes
                _LoadDer(context, certs, key)
        except (OSError, ValueError, IndexError) as error:
            raise ValueError("certFile and keyFile must be a certificate and its key, PEM or DER: %s" % error) from None
        return context

    def _LoadDer(context, certs, key):
        """OpenSSL reads only PEM, and only from a file."""
        # A key begins with length and version. The next byte distinguishes PKCS #8, SEC 1 and PKCS #1.
        kind = key[5 + (key[1] & 0x7F if key[1] & 0x80 else 0)]
        parts = [(b"CERTIFICATE", cert) for cert in certs]
        parts.append(({4: b"EC ", 2: b"RSA "}.get(kind, b"") + b"PRIVATE KEY", key))
        with _Folder() as folder:
            path = _path.join(folder, "tls.pem")
            with open(path, "wb") as stream:
                for label, der in parts:
                    stream.write(b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, b2a_base64(der), label))
            context.load_cert_chain(path, None, "")


# -- links -------------------------------------------------------------------------------

class _Link:
    """A link with TLS. Plain is the second base, the link of the core: MicroPython's super() does not support two
    bases."""

    isSecure = True
    _tried = 0                      # bytes of the last write that failed
    _isCrossed = False              # TLS has to write before it can read

    def __init__(self, server, sock, address):
        self.Plain.__init__(self, server, server.tlsContext.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False), address)
        if _MICROPYTHON:
            self._raw = sock

    def OnEvent(self, event):
        try:
            if _MICROPYTHON:
                self.Plain.OnEvent(self, event)
            else:
                self._OnEvent(event)
        except OSError as error:
            server = self.server
            if error.errno == -0x7200 if _MICROPYTHON else getattr(error, "reason", 0) == "HTTP_REQUEST":
                server.Log("plain HTTP from %s on the port of HTTPS" % self.GetAddr()[0])
                raw = self._raw if _MICROPYTHON else super(ssl.SSLSocket, self.sock)
                raw.send(_PLAIN)
                raw.recv(4096)          # closing with unread bytes would reset the connection
            elif server.Debug and (error.errno < 0 if _MICROPYTHON else isinstance(error, ssl.SSLError)):
                server.Log("TLS with %s: %s" % (self.GetAddr()[0], error))
            raise

    def Take(self, data):
        if _MICROPYTHON:
            # mbedtls keeps the record of a failed write, and the next write must pass the same bytes.
            size = self.Plain.Take(self, memoryview(data)[:self._tried] if self._tried else data)
            self._tried = 0 if size else self._tried or len(data)
            return size
        try:
            return self.sock.send(data)
        except ssl.SSLWantWriteError:
            pass
        except OSError:
            self.Abort()
        return 0

    def Abort(self):
        if not _MICROPYTHON and self.isClosing and not self.out and not self.isDead:
            self._SayGoodbye()          # without close_notify the client sees that data is missing
        try:
            self.Plain.Abort(self)
        finally:
            if _MICROPYTHON:
                self._raw.close()       # after a failed handshake the TLS socket does not close it

    if not _MICROPYTHON:
        def _OnEvent(self, event):
            wasCrossed = self._isCrossed
            self._isCrossed = False
            try:
                self.Plain.OnEvent(self, 1 if wasCrossed else event)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLWantWriteError:
                self._isCrossed = True
            if wasCrossed or self._isCrossed:
                self.Watch()

        def Watch(self):
            want = self.want
            if self._isCrossed:
                self.want = 4
            self.Plain.Watch(self)
            self.want = want

        def _SayGoodbye(self):
            try:
                self.sock.unwrap()              # sends close_notify; the client's close_notify is not awaited
            except (OSError, ValueError):
                pass

        def Finish(self, isWhole=False):
            if not self.out:
                self._SayGoodbye()
            self.Plain.Finish(self, isWhole)

        def Close(self):
            self.isClosing = True
            self.Plain.Close(self)


class _Door:
    """A listener without TLS, placed among the links with itself as the endpoint."""

    def __init__(self, server, port):
        self.Plain.__init__(self, server, server.Listen(port, server.bindIP)[0], None)
        self.endpoint = self
        server.links[id(self.sock) if _MICROPYTHON else self.sock.fileno()] = self

    def OnEvent(self, event):
        """Accept a client. An exception closes the listener; Open makes a new one."""
        server = self.server
        if _MICROPYTHON:
            sock, address = self.sock.accept()
        else:
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:             # another process that shares it was faster, or the client has gone
                return
        if len(server.links) >= server.MaxConnections:
            server.Evict()
        server.Admit(sock, address, self.Plain)

    def OnStop(self):
        self.Abort()

    def IsIdle(self):
        return False

    OnLost = IsIdle


def _Kind(methods, plain):
    kind = type("Link", (methods, plain), {})
    kind.Plain = plain
    return kind


# -- what a program calls --------------------------------------------------------------------

def _UseTLS(server, certFile, keyFile=None):
    """Use TLS for all new connections. certFile, keyFile: PEM or DER, as paths or bytes; one PEM file may hold both.
    certFile may also be an SSLContext. ValueError for anything else."""
    if not ssl:
        raise ValueError("this MicroPython has no TLS")
    context = certFile if hasattr(certFile, "wrap_socket") else _Context(certFile, keyFile or certFile)
    if not _MICROPYTHON and context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("the context must be one of a server: ssl.PROTOCOL_TLS_SERVER")
    server.tlsContext = context
    if not server.NewLink.isSecure:
        server.NewLink = _Kind(_Link, server.NewLink)
        server.MaxConnections = min(server.MaxConnections, server.MaxTLSConnections)
        if server.StrictTransportSec:
            server.After(_Promise)


def _Promise(client, response):
    """Set Strict-Transport-Security (RFC 6797)."""
    if client.IsSecure():
        response.SetHeader("Strict-Transport-Security", "max-age=%d" % client.GetServer().StrictTransportSec)


def _IsSecure(client):
    """True if the request came over TLS."""
    return client.connection.link.isSecure


def _RedirectToHTTPS(server, port=80):
    """Listen on this port too, without TLS, and redirect clients to https. OSError if the port can't be bound."""
    kind = _Kind(_Door, server.PlainLink)

    def Open():
        nonlocal door
        if door.isDead and server.IsStarted():
            door = kind(server, port)
            door.Watch()

    def Redirect(client, response):
        if client.IsSecure():
            return
        host = client.head.authority
        if not host:
            return response.WriteResponseBadRequest()
        name, colon, number = host.rpartition(":")
        if number.isdigit():
            host = name
        if server.port != 443:
            host += ":%d" % server.port
        response.WriteResponseRedirect("https://" + host + client.GetRequestTotalPath())

    door = kind(server, port)
    door.watched = 1                    # Start() registers it with the poll object
    server.MaxConnections += 1
    server.Ticks.append(Open)
    server.Before(Redirect)
    server.before = server.before[-1:] + server.before[:-1]     # before hooks that ask for a password


def Attach(server):
    """Called by each new server."""
    server.PlainLink = server.NewLink
    for name, value in (("MaxTLSConnections", 2 if server.isBoard else 1000), ("StrictTransportSec", 0)):
        if not hasattr(server, name):
            setattr(server, name, value)
    kind = type(server)
    kind.UseTLS = _UseTLS
    kind.RedirectToHTTPS = _RedirectToHTTPS
    server.Client.IsSecure = _IsSecure
