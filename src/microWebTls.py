# HTTPS and WSS for MicroWebSrv: mws.UseTLS("cert.pem", "key.pem"). Copy it beside microWebSrv.py.
# MIT license, see LICENSE.
#
# A handshake goes on whenever its client has sent something, so it holds nobody. Its deadline is HeadTimeoutSec, for that of
# the connection runs from the beginning to the first head. This file takes little memory. The TLS of the runtime takes up to
# 40 KB for each connection: hence MaxTLSConnections.

import sys
from binascii import a2b_base64

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    try:
        import tls as ssl
    except ImportError:
        import ssl                      # before MicroPython 1.23
else:
    import ssl
    from binascii import b2a_base64
    from os import path as _path
    from tempfile import TemporaryDirectory as _Folder

_PLAIN = (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 25\r\n\r\n"
          b"Use https:// on this port")


# -- certificates ------------------------------------------------------------------------

def _Parts(file, label):
    """The DER of what PEM has under this label (RFC 7468), in its order; else all of the file. A path, or bytes."""
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
    def _Load(context, certs, key):
        """mbedtls takes DER, and does not look whether the two belong together: a key has its public half in it."""
        for cert in certs:              # those that follow the first are its issuers
            context.load_cert_chain(cert, key)
        at = 0
        while key[at:at + 64] not in certs[0]:
            at += 1
        if at > len(key) - 64:
            raise ValueError("they are not a pair")
        context.set_ciphers([cipher for cipher in context.get_ciphers()
                             if "CBC" not in cipher and ("ECDHE" in cipher or "1-3" in cipher)])

else:
    def _Load(context, certs, key):
        """OpenSSL takes PEM, and only from a file."""
        # A key begins with its length and its version. What follows them tells PKCS #8, SEC 1 and PKCS #1.
        at = 5 + (key[1] & 0x7F if key[1] & 0x80 else 0)
        label = {4: b"EC ", 2: b"RSA "}.get(key[at], b"") + b"PRIVATE KEY"
        with _Folder() as folder:
            path = _path.join(folder, "tls.pem")
            with open(path, "wb") as stream:
                for label, der in [(b"CERTIFICATE", cert) for cert in certs] + [(label, key)]:
                    stream.write(b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, b2a_base64(der), label))
            context.load_cert_chain(path, None, "")

    def _IsLoaded(context, certFile, keyFile):
        """False: the files are not PEM, or not a pair."""
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")      # of TLS 1.2; all of 1.3 are good
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(certFile, keyFile, "")      # with None it asks on the console for the password of a key
            return True
        except (OSError, ValueError):
            return False


def _Context(certFile, keyFile):
    """A context of what the two files hold, PEM or DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certs = _Parts(certFile, b"CERTIFICATE")
    keys = _Parts(keyFile, b"PRIVATE KEY")
    try:
        if _MICROPYTHON or not _IsLoaded(context, certFile, keyFile):
            _Load(context, certs, keys[0])
    except (OSError, ValueError, IndexError) as error:
        raise ValueError("certFile and keyFile must be a certificate and its key, PEM or DER: %s" % error)
    return context


# -- links -------------------------------------------------------------------------------

def _SecureLink(Link):
    """The class of links under TLS."""

    class TlsLink(Link):
        isSecure = True
        _tried = 0                      # bytes that did not leave
        _isCrossed = False              # TLS has to write before it can read

        def __init__(self, server, sock, address):
            super().__init__(server, server.tlsContext.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False), address)
            self._raw = sock if _MICROPYTHON else super(ssl.SSLSocket, self.sock)

        def OnEvent(self, event):
            try:
                if _MICROPYTHON:
                    super().OnEvent(event)
                else:
                    self._OnEvent(event)
            except OSError as error:
                server = self.server
                if error.errno == -0x7200 if _MICROPYTHON else getattr(error, "reason", 0) == "HTTP_REQUEST":
                    server.Log("plain HTTP from %s on the port of HTTPS" % self.GetAddr()[0])
                    self._raw.send(_PLAIN)
                    self._raw.recv(4096)            # closing on unread bytes would reset the connection under it
                elif server.Debug:
                    server.Log("TLS with %s" % self.GetAddr()[0], error)
                raise

        def Take(self, data):
            if _MICROPYTHON:
                # mbedtls holds a record of what did not leave. Whatever it is given next, it takes for the same bytes.
                size = super().Take(memoryview(data)[:self._tried] if self._tried else data)
                self._tried = 0 if size else self._tried or len(data)
                return size
            try:
                return self.sock.send(data)
            except ssl.SSLWantWriteError:
                pass
            except OSError:
                self.Abort()
            return 0

        if not _MICROPYTHON:
            def _OnEvent(self, event):
                wasCrossed = self._isCrossed
                self._isCrossed = False
                try:
                    super().OnEvent(1 if wasCrossed else event)
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
                super().Watch()
                self.want = want

            def _SayGoodbye(self):
                try:
                    self.sock.unwrap()              # sends close_notify; its own end the client says to nobody
                except (OSError, ValueError):
                    pass

            def Finish(self, isWhole=False):
                if not self.out:
                    self._SayGoodbye()
                super().Finish(isWhole)

            def Close(self):
                self.isClosing = True
                super().Close()

            def Abort(self):
                if self.isClosing and not self.out and not self.isDead:
                    self._SayGoodbye()              # else the client has to see that something is missing
                super().Abort()

    return TlsLink


def _UseTLS(server, certFile, keyFile=None):
    """HTTPS and WSS from the next connection on: a certificate and its key, PEM or DER, paths or bytes; one file of PEM may
    hold both. Or an SSLContext of the program."""
    context = certFile if hasattr(certFile, "wrap_socket") else _Context(certFile, keyFile or certFile)
    if not _MICROPYTHON and context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("the context must be one of a server: ssl.PROTOCOL_TLS_SERVER")
    server.tlsContext = context
    if not server.NewLink.isSecure:
        server.NewLink = _SecureLink(server.NewLink)
        server.MaxConnections = min(server.MaxConnections, server.MaxTLSConnections)


def _IsSecure(client):
    """Has the request come under TLS?"""
    return client.connection.link.isSecure


def Attach(server):
    """Called by a server when it is made."""
    if not hasattr(server, "MaxTLSConnections"):
        server.MaxTLSConnections = 2 if server.isBoard else 1000
    type(server).UseTLS = _UseTLS
    server.Client.IsSecure = _IsSecure
