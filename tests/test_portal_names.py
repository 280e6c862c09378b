"""The DNS server of microWebPortal: its replies byte for byte and as dnspython parses them, on both interpreters; ten
thousand malformed queries; and the output of dig.
"""

import random
import shutil
import subprocess

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsigkeyring
import pytest

import harness
from portal_tools import PROGRAM

ADDRESS = "192.168.4.1"
ANSWERS = """
import binascii
import microWebPortal
import sys
for line in open(sys.argv[1]):
    query = binascii.unhexlify(line.strip())
    reply = microWebPortal.Answer(query, "192.168.4.1")
    print("-" if reply is None else binascii.hexlify(reply).decode())
"""

BOTH = pytest.mark.parametrize("runtime", ["cpython", "micropython"])


@pytest.fixture
def answers(run, tmp_path):
    """answers(queries) -> the replies: bytes or None."""
    def Answers(queries):
        (tmp_path / "queries").write_text("".join(query.hex() + "\n" for query in queries))
        lines = run(ANSWERS, args=("queries",), timeoutSec=60).split()
        return [None if line == "-" else bytes.fromhex(line) for line in lines]
    return Answers


def Query(name="captive.apple.com", kind="A", **kwargs):
    return dns.message.make_query(name, kind, id=0x1234, **kwargs)


def Wire(name="captive.apple.com", kind="A", **kwargs):
    return Query(name, kind, **kwargs).to_wire()


def Patched(data, **places):
    """The bytes with replacements at some positions: _2=b"…"."""
    data = bytearray(data)
    for place, value in places.items():
        place = int(place[1:])
        data[place:place + len(value)] = value
    return bytes(data)


LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])     # 255 bytes including all lengths
HEAD = bytes.fromhex("1234 0100 0001 0000 0000 0000")
OPT = bytes.fromhex("00 0029 1000 00000000 0000")
KEYS = dns.tsigkeyring.from_text({"key.example": "c2VjcmV0"})


def Signed():
    query = Query()
    query.use_tsig(KEYS)
    return query.to_wire()


# A query, and its reply's code with the number of records in each section: question, answer, authority, additional.
FORMERR, NOTIMP, REFUSED, BADVERS = (1, 0, 0, 0, 0), (4, 1, 0, 0, 0), (5, 1, 0, 0, 0), (16, 1, 0, 0, 1)
TABLE = {
    "A": (Wire(), (0, 1, 1, 0, 0)),
    "ANY": (Wire(kind="ANY"), (0, 1, 1, 0, 0)),
    "A of the root": (Wire("."), (0, 1, 1, 0, 0)),
    "A in capitals": (Wire("cApTiVe.aPPle.COM"), (0, 1, 1, 0, 0)),
    "A with any bytes": (HEAD + b"\x04\x00\xff.\x07\0\0\1\0\1", (0, 1, 1, 0, 0)),
    "the longest name": (Wire(LONGEST), (0, 1, 1, 0, 0)),
    "the longest name, EDNS": (Wire(LONGEST, "AAAA", use_edns=0), (0, 1, 0, 1, 1)),
    "AAAA": (Wire(kind="AAAA"), (0, 1, 0, 1, 0)),
    "HTTPS": (Wire(kind="HTTPS"), (0, 1, 0, 1, 0)),
    "SOA": (Wire(kind="SOA"), (0, 1, 0, 1, 0)),
    "PTR": (Wire("1.4.168.192.in-addr.arpa", "PTR"), (0, 1, 0, 1, 0)),
    "TYPE65280": (Wire(kind="TYPE65280"), (0, 1, 0, 1, 0)),
    "EDNS": (Wire(use_edns=0, payload=1232), (0, 1, 1, 0, 1)),
    "EDNS, DO": (Wire(use_edns=0, want_dnssec=True), (0, 1, 1, 0, 1)),
    "EDNS with options": (Wire(use_edns=0, options=[dns.edns.GenericOption(10, b"12345678"), dns.edns.GenericOption(12, bytes(100))]), (0, 1, 1, 0, 1)),
    "EDNS 1": (Wire(use_edns=1), BADVERS),
    "EDNS 255, class CH": (Patched(Wire(use_edns=255), _34=b"\3"), BADVERS),
    "EDNS of 16 bytes": (Wire(use_edns=0, payload=16), (0, 1, 1, 0, 1)),
    "two EDNS": (Patched(Wire() + OPT + OPT, _11=b"\2"), FORMERR),
    "EDNS with a name": (Patched(Wire() + b"\1a" + OPT, _11=b"\1"), FORMERR),
    "EDNS that is cut": (Patched(Wire() + OPT[:-1], _11=b"\1"), FORMERR),
    "EDNS with a length that lies": (Patched(Wire() + OPT[:-1] + b"\1", _11=b"\1"), FORMERR),
    "EDNS that is not counted": (Wire() + OPT, FORMERR),
    "EDNS that is not there": (Patched(Wire(), _11=b"\1"), FORMERR),
    "65,535 records that are not there": (Patched(Wire(), _10=b"\xff\xff"), FORMERR),
    "TSIG": (Signed(), (0, 1, 1, 0, 0)),
    "class CH": (Wire("version.bind", "TXT", rdclass="CH"), REFUSED),
    "class ANY": (Wire(rdclass="ANY"), REFUSED),
    "class CH, EDNS": (Wire(rdclass="CH", use_edns=0), (5, 1, 0, 0, 1)),
    "no question": (HEAD[:4] + bytes(8), FORMERR),
    "two questions": (Patched(Wire() + Wire()[12:], _5=b"\2"), FORMERR),
    "256 questions": (Patched(Wire(), _4=b"\1\0"), FORMERR),
    "with an answer": (Patched(Wire(), _7=b"\1"), FORMERR),
    "with an authority": (Patched(Wire(), _9=b"\1"), FORMERR),
    "a pointer to itself": (HEAD + b"\xc0\x0c\0\1\0\1", FORMERR),
    "a pointer to the head": (HEAD + b"\xc0\x00\0\1\0\1", FORMERR),
    "a pointer behind a label": (HEAD + b"\1a\xc0\x0c\0\1\0\1", FORMERR),
    "a pointer forward": (HEAD + b"\xc0\x20\0\1\0\1" + bytes(30), FORMERR),
    "a label of the kind 0x40": (HEAD + b"\x41a\0\0\1\0\1", FORMERR),
    "a label of the kind 0x80": (HEAD + b"\x81a\0\0\1\0\1", FORMERR),
    "a name of 256 bytes": (HEAD + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"b" * 62 + b"\0\0\1\0\1", FORMERR),
    "a name without an end": (HEAD + b"\x3f" * 500, FORMERR),
    "bytes behind": (Wire() + b"\0", FORMERR),
    "no type": (Wire()[:-4], FORMERR),
    "half a class": (Wire()[:-1], FORMERR),
    "only a head": (HEAD, FORMERR),
    "a reply": (Patched(Wire(), _2=b"\x81"), None),
    "a reply without a question": (HEAD[:2] + b"\x80" + bytes(9), None),
    "nothing": (b"", None),
    "eleven bytes": (HEAD[:11], None),
    **{"opcode %d" % code: (Patched(Wire(), _2=bytes([code << 3])), NOTIMP) for code in range(1, 16)},
    "opcode 4, EDNS": (Patched(Wire(use_edns=0), _2=b"\x20"), (4, 1, 0, 0, 1)),
    "opcode 5 and no question": (Patched(HEAD[:4] + bytes(8), _2=b"\x28"), (4, 0, 0, 0, 0)),
}


def Check(query, reply):
    """Check that hold for any reply to any bytes. -> the reply as dnspython parses it"""
    assert 12 <= len(reply) <= 512
    assert (reply[2] ^ query[2]) & 0x78 == 0
    if reply[2] >> 3 & 15 == dns.opcode.UPDATE:         # whose question dnspython parses as a zone
        reply = Patched(reply, _2=bytes([reply[2] & 0x87]))
    message = dns.message.from_wire(reply, ignore_trailing=False, raise_on_truncation=True)
    assert message.id == query[0] << 8 | query[1] and message.flags & dns.flags.QR
    assert message.flags & dns.flags.RD == (dns.flags.RD if query[2] & 1 else 0)        # RFC 1035 section 4.1.1
    assert message.flags & dns.flags.CD == (dns.flags.CD if query[3] & 16 else 0)       # RFC 4035 section 3.2.2
    assert not message.flags & (dns.flags.TC | dns.flags.AD)
    if message.question:
        assert query[12:].startswith(reply[12:12 + len(message.question[0].name.to_wire()) + 4])
    if message.rcode() != dns.rcode.NOERROR:
        assert not message.answer and not message.authority
    return message


def Counts(reply):
    return tuple(int.from_bytes(reply[at:at + 2], "big") for at in (4, 6, 8, 10))


@BOTH
def test_table(answers):
    rows = list(TABLE.values())
    for (name, (query, expected)), reply in zip(TABLE.items(), answers([query for query, _ in rows])):
        if expected is None:
            assert reply is None, name
            continue
        message = Check(query, reply)
        assert (message.rcode(), *Counts(reply)) == expected, name


@BOTH
def test_what_stands_in_the_records(answers):
    """No cache may keep the records, because soon the names have their real addresses again."""
    queries = [Query(), Query(kind="AAAA"), Query(use_edns=0, want_dnssec=True), Query(use_edns=0)]
    first, none, dnssec, plain = (Check(query.to_wire(), reply) for query, reply in zip(
        queries, answers([query.to_wire() for query in queries])))
    for query, message in zip(queries, (first, none, dnssec, plain)):
        assert query.is_response(message)
    assert first.answer[0].to_text() == "captive.apple.com. 0 IN A 192.168.4.1"
    assert first.flags & (dns.flags.AA | dns.flags.RA) == dns.flags.AA | dns.flags.RA
    soa = none.authority[0]
    assert (soa.name, soa.ttl, soa.rdtype) == (dns.name.root, 0, dns.rdatatype.SOA) and soa[0].minimum == 0
    assert (first.edns, dnssec.edns, dnssec.payload, dnssec.options) == (-1, 0, 512, ())
    assert dnssec.ednsflags == dns.flags.DO and plain.ednsflags == 0         # RFC 3225 section 3


@BOTH
def test_a_query_that_is_cut_anywhere(answers):
    query = Wire(use_edns=0, options=[dns.edns.GenericOption(10, b"12345678")])
    for size, reply in enumerate(answers([query[:size] for size in range(len(query))])):
        assert reply is None if size < 12 else Check(query[:size], reply).rcode() == dns.rcode.FORMERR


def Mutant(draw):
    """Almost a query: parts of valid ones joined, changed, cut, doubled; or random bytes."""
    kind = draw.random()
    if kind < 0.1:
        return draw.randbytes(draw.randrange(0, 64))
    if kind < 0.25:
        return HEAD[:draw.choice((2, 5, 11, 12))] + draw.randbytes(draw.randrange(0, 500))
    if kind < 0.5:
        labels = [draw.randbytes(draw.choice((1, 3, 8, 20, 63))) for _ in range(draw.randrange(0, 6))]
        data = bytearray(draw.randbytes(2) + bytes([draw.choice((0, 1, 1, 1, 8, 33)), draw.choice((0, 16, 32)), 0, 1]) + bytes(6))
        data += b"".join(bytes([len(label)]) + label for label in labels) + bytes([0, draw.choice((0, 0, 255)), draw.choice((1, 28, 65))])
        data += bytes([0, draw.choice((1, 1, 1, 3, 255))])
        if draw.random() < 0.5:
            option = draw.randbytes(draw.randrange(0, 40))
            data[11] = 1
            data += bytes([0, 0, 41, 4, 208, 0, draw.choice((0, 0, 1)), draw.choice((0, 128)), 0, 0, 4 + len(option), 0, 10, 0, len(option)]) + option
        if kind < 0.35:
            return bytes(data)
    else:
        data = bytearray(draw.choice(list(TABLE.values()))[0])
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(0, len(data) + 1)
        change = draw.randrange(6)
        if change == 0 and data:
            data[at - 1] = draw.choice((0, 1, 41, 63, 64, 192, 255, draw.randrange(256)))
        elif change == 1:
            del data[at:]
        elif change == 2:
            del data[at:at + draw.randrange(1, 8)]
        elif change == 3:
            data[at:at] = draw.randbytes(draw.randrange(1, 8))
        elif change == 4:
            data[at:at] = draw.choice((OPT, b"\xc0\x0c", b"\xc0", b"\1a", b"\0", bytes(data[12:40])))
        else:
            data[4:12] = [draw.choice((0, 0, 0, 1, 2)) for _ in range(8)]
    return bytes(data[:512])


@pytest.mark.timeout(180)
def test_ten_thousand_mutants(request, tmp_path):
    """A valid reply or none, the same on both interpreters; a query for dnspython always gets a reply."""
    draw = random.Random(20)
    queries = [Mutant(draw) for _ in range(10000)]
    (tmp_path / "queries").write_text("".join(query.hex() + "\n" for query in queries))
    outputs = [harness.RunProgram(runtime, ANSWERS, tmp_path, (harness.SourcesOf(runtime),), args=("queries",), timeoutSec=90)
               for runtime in ("cpython", "micropython")]
    assert outputs[0] == outputs[1]
    counts = {}
    for query, line in zip(queries, outputs[0].split()):
        if line == "-":
            assert len(query) < 12 or query[2] & 128
            counts["silence"] = counts.get("silence", 0) + 1
            continue
        code = Check(query, bytes.fromhex(line)).rcode()
        counts[code] = counts.get(code, 0) + 1
        reference = Reference(query)
        assert reference is None or code == reference, (query.hex(), code, reference)
    print(counts)
    assert sum(counts.values()) == 10000 and min(counts[code] for code in (0, 1, 4, 5, 16, "silence")) > 50


def Reference(query):
    """The expected code according to dnspython; None if it can't tell."""
    try:
        message = dns.message.from_wire(query, one_rr_per_rrset=True)
    except dns.exception.DNSException:
        # It also parses the content of records like TSIG.
        return dns.rcode.FORMERR if not query[2] >> 3 & 15 and Counts(query)[3] == 0 else None
    isOdd = Counts(query)[0] != 1 or Counts(query)[1] or Counts(query)[2]
    if message.edns > 0 and not isOdd:
        return dns.rcode.BADVERS
    if message.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if isOdd:
        return dns.rcode.FORMERR
    return dns.rcode.NOERROR if message.question[0].rdclass == dns.rdataclass.IN else dns.rcode.REFUSED


# ------------------------------------------------------------------------------------------ through a socket

def Dig(server, *args):
    done = subprocess.run([shutil.which("dig"), "@127.0.0.1", "-p", str(server.port), "+tries=1", "+time=5", *args],
                          capture_output=True, text=True, timeout=harness.DEADLINE_SEC)
    assert done.returncode == 0 and "WARNING" not in done.stdout and not done.stderr, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("dig"), reason="no dig: apt-get install bind9-dnsutils")
def test_dig(serve, modulePath):
    server = serve(PROGRAM, modulePath=modulePath)
    server.WaitLine("^AP True")
    server.Tell("print('OPEN', portal.isOpen)")
    server.WaitLine("^OPEN True")
    assert Dig(server, "+short", "connectivitycheck.gstatic.com").split() == ["127.0.0.1"]
    answer = Dig(server, "captive.apple.com")
    assert "status: NOERROR" in answer and "EDNS: version: 0, flags:; udp: 512" in answer
    assert "captive.apple.com.\t0\tIN\tA\t127.0.0.1" in answer
    assert "flags: qr aa rd ra" in Dig(server, "+noedns", "a.test")
    assert "do; udp: 512" in Dig(server, "+dnssec", "a.test")
    assert Dig(server, "+short", "captive.apple.com", "AAAA") == ""
    assert "\t0\tIN\tSOA\t. . 0 0 0 0 0" in Dig(server, "captive.apple.com", "HTTPS")
    assert "status: REFUSED" in Dig(server, "version.bind", "TXT", "CH")
    assert "status: NOTIMP" in Dig(server, "+opcode=status", "a.test")
    assert "status: FORMERR" in Dig(server, "+header-only", "+noedns", "a.test")
    assert "status: BADVERS" in Dig(server, "+edns=1", "+noednsneg", "a.test")
    assert "status: NOERROR" in Dig(server, "+cookie=0123456789abcdef", "+nsid", "+padding=128", "a.test")
