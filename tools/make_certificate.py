#!/usr/bin/env python3
"""Make a key and a certificate for a device: python3 tools/make_certificate.py kitchen.local 192.168.1.20

Give all names and addresses under which people open the device; the first one is its title. The tool writes cert.pem
and key.pem (and the same as cert.der and key.der) into a folder named after the title. Copy the two .pem files to the
device, and call mws.UseTLS("cert.pem", "key.pem") there. docs/tls.md explains more. Only Python 3.9 or newer is needed.

Without further options the certificate is self-signed, so each device has to be trusted separately. With --authority
FOLDER it is signed by the authority in that folder, which is created if necessary: a browser or phone that trusts
FOLDER/authority.crt trusts all devices signed by it. Keep FOLDER/authority-key.pem off the devices.

The key is an elliptic curve key, P-256: a board needs a tenth of the time of RSA.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import ipaddress
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Optional

# The curve P-256 (SEC 2, section 2.4.2): y² = x³ - 3x + b modulo P, with a base point of order N.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
Point = Optional[tuple[int, int]]           # None: the point at infinity

EC_KEY, P256, ECDSA_SHA256 = "2a8648ce3d0201", "2a8648ce3d030107", "2a8648ce3d040302"
COMMON_NAME, SERVER_AUTH = "550403", "2b06010505070301"
KEY_ID, KEY_USAGE, ALT_NAME, CONSTRAINTS, ISSUER_ID, USAGE = "551d0e", "551d0f", "551d11", "551d13", "551d23", "551d25"


# ------------------------------------------------------------------------------------------------- the curve

def Add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def Multiply(number: int) -> tuple[int, int]:
    """number times the base point."""
    total: Point = None
    double: Point = BASE
    while number:
        if number & 1:
            total = Add(total, double)
        double = Add(double, double)
        number >>= 1
    assert total
    return total


def Sign(key: int, data: bytes) -> bytes:
    """ECDSA with SHA-256 (FIPS 186-5, section 6.4.1)."""
    digest = int.from_bytes(hashlib.sha256(data).digest(), "big")
    while True:
        nonce = secrets.randbelow(N - 1) + 1
        r = Multiply(nonce)[0] % N
        s = pow(nonce, -1, N) * (digest + r * key) % N
        if r and s:
            return Sequence(Integer(r), Integer(s))


# ------------------------------------------------------------------------------------------------------ DER

def Der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def Sequence(*parts: bytes) -> bytes:
    return Der(0x30, *parts)


def Integer(number: int) -> bytes:
    return Der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def Oid(name: str) -> bytes:
    return Der(6, bytes.fromhex(name))


def Bits(data: bytes) -> bytes:
    return Der(3, b"\0", data)


def Extension(name: str, value: bytes, isCritical: bool = False) -> bytes:
    return Sequence(Oid(name), *([Der(1, b"\xff")] if isCritical else []), Der(4, value))


def Time(moment: datetime.datetime) -> bytes:
    """RFC 5280, section 4.1.2.5: two digits of the year until 2049."""
    text = moment.strftime("%Y%m%d%H%M%SZ").encode()
    return Der(0x17, text[2:]) if moment.year < 2050 else Der(0x18, text)


def Name(title: str) -> bytes:
    return Sequence(Der(0x31, Sequence(Oid(COMMON_NAME), Der(12, title.encode()))))


# --------------------------------------------------------------------------------------- keys and certificates

class Key:
    """A private key: new, or from a file that this tool has written."""

    def __init__(self, path: Path | None = None) -> None:
        self.number = secrets.randbelow(N - 1) + 1
        if path:
            der = base64.b64decode("".join(path.read_text(encoding="ascii").splitlines()[1:-1]))
            head, found, rest = der.partition(b"\x02\x01\x01\x04\x20")
            if not found:
                sys.exit("make_certificate: %s has no key of this tool" % path)
            self.number = int.from_bytes(rest[:32], "big")
        x, y = Multiply(self.number)
        self.public = b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
        self.kind = Sequence(Oid(EC_KEY), Oid(P256))
        self.id = hashlib.sha1(self.public).digest()        # RFC 5280, section 4.2.1.2

    def Der(self) -> bytes:
        """PKCS #8 (RFC 5958) with the key as in RFC 5915."""
        inner = Sequence(Integer(1), Der(4, self.number.to_bytes(32, "big")), Der(0xA1, Bits(self.public)))
        return Sequence(Integer(0), self.kind, Der(4, inner))


def Certificate(title: str, names: list[str], key: Key, issuer: str, signer: Key, days: int) -> bytes:
    """The certificate of a server with these names; without names, that of an authority (RFC 5280)."""
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)      # for clocks that are slow
    extensions = [Extension(KEY_ID, Der(4, key.id)),
                  Extension(CONSTRAINTS, Sequence(*([] if names else [Der(1, b"\xff"), Integer(0)])), True)]
    if names:
        extensions += [Extension(USAGE, Sequence(Oid(SERVER_AUTH))),
                       Extension(ALT_NAME, Sequence(*map(AltName, names)))]
    if key is not signer:
        extensions.append(Extension(ISSUER_ID, Sequence(Der(0x80, signer.id))))
    if not names:
        extensions.append(Extension(KEY_USAGE, Der(3, b"\2\4"), True))      # may sign certificates
    elif key is not signer:
        extensions.append(Extension(KEY_USAGE, Der(3, b"\7\x80"), True))    # may sign handshakes
    algorithm = Sequence(Oid(ECDSA_SHA256))
    content = Sequence(
        Der(0xA0, Integer(2)), Integer(secrets.randbits(120) | 1), algorithm, Name(issuer),
        Sequence(Time(begin), Time(begin + datetime.timedelta(days=days))), Name(title),
        Sequence(key.kind, Bits(key.public)), Der(0xA3, Sequence(*extensions)))
    return Sequence(content, algorithm, Bits(Sign(signer.number, content)))


def AltName(name: str) -> bytes:
    try:
        return Der(0x87, ipaddress.ip_address(name).packed)
    except ValueError:
        return Der(0x82, name.encode("ascii"))


def Checked(name: str) -> str:
    """A valid host name or address; otherwise an error for argparse."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if not re.fullmatch(r"(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)(\.[a-zA-Z0-9_-]{1,63})*", name):
            raise argparse.ArgumentTypeError("%r is neither a host name nor an address" % name) from None
        return name.lower()


# --------------------------------------------------------------------------------------------------- files

def Write(path: Path, label: str, der: bytes, isSecret: bool, isDer: bool = False) -> None:
    text = base64.b64encode(der).decode()
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    lines = ["-----BEGIN %s-----" % label, *lines, "-----END %s-----" % label, ""]
    data = der if isDer else "\n".join(lines).encode()
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if isSecret else 0o644)
    with os.fdopen(number, "wb") as file:
        file.write(data)


def Authority(folder: Path) -> tuple[str, Key]:
    """The authority in this folder, created if necessary. -> (title, key)"""
    path = folder / "authority-key.pem"
    isThere = path.exists()
    key = Key(path if isThere else None)
    title = "Devices at home, " + key.id.hex()[:8]
    if isThere:
        return title, key
    folder.mkdir(parents=True, exist_ok=True)
    Write(path, "PRIVATE KEY", key.Der(), True)
    der = Certificate(title, [], key, title, key, 3650)
    Write(folder / "authority.pem", "CERTIFICATE", der, False)
    Write(folder / "authority.crt", "CERTIFICATE", der, False, True)
    print("made the authority %s: trust %s once" % (title, folder / "authority.crt"))
    return title, key


def Main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", type=Checked, metavar="NAME",
                        help="a host name or an address of the device")
    parser.add_argument("-o", "--out", type=Path, help="the folder (default: the first name)")
    parser.add_argument("--authority", type=Path, metavar="FOLDER", help="sign with the authority in this folder")
    parser.add_argument("--days", type=int, default=820, help="how long it is valid (Apple takes 825 at most)")
    parser.add_argument("--replace", action="store_true", help="make a new key where there is one")
    options = parser.parse_args(args)
    title = options.names[0]
    out = options.out or Path(title)
    if (out / "key.pem").exists() and not options.replace:
        parser.error("%s is there already; --replace makes a new one" % (out / "key.pem"))
    key = Key()
    issuer, signer = Authority(options.authority) if options.authority else (title, key)
    der = Certificate(title, options.names, key, issuer, signer, options.days)
    out.mkdir(parents=True, exist_ok=True)
    for isDer, ending in ((False, ".pem"), (True, ".der")):
        Write(out / ("cert" + ending), "CERTIFICATE", der, False, isDer)
        Write(out / ("key" + ending), "PRIVATE KEY", key.Der(), True, isDer)
    print("made %s and key.pem for %s" % (out / "cert.pem", ", ".join(options.names)))
    return 0


if __name__ == "__main__":
    sys.exit(Main())
