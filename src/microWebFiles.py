# Files for MicroWebSrv (RFC 9110): ETags, conditions, ranges, and .gz files for clients that accept gzip, for webPath
# and WriteResponseFile. Copy this file beside microWebSrv.py.
# MIT license, see LICENSE.
#
#    1  TEXT      dates, conditions, ranges and codings, without the server
#    2  SERVER    SendFile; and Stat, which also finds files that exist only as .gz

import os
import sys
import time

_MICROPYTHON = sys.implementation.name == "micropython"

if _MICROPYTHON:
    from micropython import const
else:
    def const(value):
        return value


# ==============================================================================
# 1  TEXT
# ==============================================================================

_ITEMS_MAX = const(100)             # items of Accept-Encoding; the rest is ignored
_DIGITS_MAX = const(18)             # digits of a number in Range

_DAYS = " Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
# RFC 9110 section 5.6.7: IMF-fixdate, RFC 850 and asctime format
_FORMATS = ("{0}, {2:02d} {3} {4:04d} {5} GMT", "{1}, {2:02d}-{3}-{6:02d} {5} GMT", "{0} {3} {2:2d} {5} {4:04d}")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_MONTH_DAYS = b"\x1f\x1d\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"


def _Date(form, day, when):
    """form: one of _FORMATS; day: its long name; when: (year, month, day, hour, minute, second)."""
    year, month, date, hour, minute, second = when
    return form.format(day[:3], day, date, _MONTHS[3 * month - 3:3 * month], year,
                       "%02d:%02d:%02d" % (hour, minute, second), year % 100)


def _ParseDate(text):
    """-> (year, month, day, hour, minute, second), or None for an invalid date. The text must be equal to the formatted
    result, so no other spelling is accepted."""
    words = text[:40].replace("-", " ").replace(":", " ").split()
    try:
        if len(words) == 7:                     # asctime
            words = [words[0], words[2], words[1], words[6]] + words[3:]
        date, year, hour, minute, second = map(int, words[1:2] + words[3:7])
        month = _MONTHS.index(words[2]) // 3
    except (ValueError, IndexError):
        return None
    if year < 100:                              # section 5.6.7: at most 50 years in the future
        now = time.gmtime()[0]
        year += now - now % 100
        if year > now + 50:
            year -= 100
    when = (year, month + 1, date, hour, minute, second)
    if year < 10000 and 0 < date <= _MONTH_DAYS[month] and hour < 24 and minute < 60 and second < 61:
        day = _DAYS[_DAYS.find(" " + text[:3]) + 1:].split()[0]
        for form in _FORMATS:
            if text == _Date(form, day, when):
                return when
    return None


def _Condition(fields, etag, when, date):
    """-> 200, 304 or 412 (RFC 9110 section 13.2.2). when: last change, None if unknown; date: the same as text, None if
    it may not be used as a validator."""
    tag = etag[2:] if etag[0] == "W" else etag
    tags = fields.get("if-match")
    if tags is not None:                        # 13.1.1: strong comparison
        if tags != "*" and (tag != etag or tag not in tags.replace("W/" + tag, "")):
            return 412
    elif when and "if-unmodified-since" in fields:
        since = _ParseDate(fields["if-unmodified-since"])
        if since and when > since:
            return 412
    tags = fields.get("if-none-match")
    if tags is not None:                        # 13.1.2: weak comparison
        if tags == "*" or tag in tags:
            return 304
    elif date and "if-modified-since" in fields:
        text = fields["if-modified-since"]
        since = when if text == date else _ParseDate(text)
        if since and when <= since:
            return 304
    return 200


def _Range(text, size):
    """-> (200, 206 or 416, start, length) for one byte range; 200 for several or an invalid one (section 14.2)."""
    unit, _, text = text.partition("=")
    first, dash, last = text.strip().partition("-")
    digits = first + last
    if unit.strip() != "bytes" or not dash or not digits or max(len(first), len(last)) > _DIGITS_MAX \
            or min(digits) < "0" or max(digits) > "9":
        return 200, 0, size
    start = int(first or 0)
    end = min(int(last) + 1, size) if last else size
    if not first:
        start = max(0, size - int(last))
        end = size if int(last) else 0
    elif last and int(last) < start:
        return 200, 0, size
    return (206, start, end - start) if start < end else (416, 0, 0)


def _Accepts(text):
    """Accept-Encoding -> (gzip is acceptable, identity is acceptable): RFC 9110 section 12.5.3."""
    found = {}
    for item in text.lower().split(",", _ITEMS_MAX)[:_ITEMS_MAX]:
        coding, _, weight = item.partition(";")
        found[coding.strip()] = not weight.rstrip(" \t0.").endswith("q=")
    other = found.get("*")
    return found.get("gzip", found.get("x-gzip", other)), found.get("identity", other is not False)


# ==============================================================================
# 2  SERVER
# ==============================================================================

_PATH_MAX = const(128)              # characters of a path whose result is cached
_VARY = "Vary: Accept-Encoding\r\n"
_GZIP = "Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"


class _Files:

    def __init__(self, server):
        self._server = server
        self._known = {}                        # path -> result of _Answer in this second

    def Stat(self, path):
        """Stat of webPath. For a file that exists only as .gz the result has a fourth item."""
        source = self._server.source
        stat = source.Stat(path)
        if stat or path[-1] == "/" or path[-7:].lower() == ".pyhtml":
            return stat
        stat = source.Stat(path + ".gz")
        return tuple(stat) + (True,) if stat and not stat[0] else None

    def SendFile(self, response, source, path, contentType, headers, stat=None):
        """Send 200, 206, 304, 404, 406, 412, 416 or 503 for a file, depending on validators and request (RFC 9110)."""
        server = self._server
        head = response.client.head
        fields = head.fields
        accept = fields.get("accept-encoding", "")
        stat = stat or source.Stat(path)
        known = source is server.source and self._known.get(path)
        # Otherwise it is known for this second that there is no .gz.
        if not known or known[0] != self._Mark() or known[1] != stat or known[2] or "=" in accept:
            chosen = self._Choose(source, path, stat, accept)
            if not chosen:
                return response.WriteError(406, {"Vary": "Accept-Encoding"}) if chosen is False \
                    else response.WriteResponseNotFound() and False
            known = self._Answer(source, *chosen)
        _, stat, _, path, lines, etag, when, date = known
        code, start, length = 200, 0, stat[1]
        if etag and head.method in ("GET", "HEAD"):
            code = _Condition(fields, etag, when, date)
        if code == 200 and "range" in fields and head.method == "GET":
            condition = fields.get("if-range")  # valid only with a strong validator (13.1.5)
            if condition is None or etag and etag[0] != "W" and condition in (etag, date):
                code, start, length = _Range(fields["range"], length)
            if code == 416:
                return response.Answer(416, {"Content-Range": "bytes */%d" % stat[1]}, None, None, b"")
            if code == 206:
                lines += b"Content-Range: bytes %d-%d/%d\r\n" % (start, start + length - 1, stat[1])
        return server.WriteFile(response, code, headers, contentType, source, path, start, length, lines)

    def _Mark(self):
        """The cache is valid while this value is the same: it changes each second and with the level."""
        return self._server.now << 2 | self._server.LetCacheStaticContentLevel

    def _Choose(self, source, path, stat, accept):
        """-> (path, stat, field lines) of the file or its .gz; None: neither exists; False: not acceptable."""
        stat = stat if stat and len(stat) < 4 else None
        zipped = None if stat and stat[0] else source.Stat(path + ".gz")
        if zipped and (zipped[0] or stat and zipped[2] < stat[2]):
            zipped = None                       # older than the file
        gzip, identity = _Accepts(accept)
        if zipped and gzip:
            return path + ".gz", zipped, _GZIP
        if not stat or stat[0]:
            return False if zipped else None
        return (path, stat, _VARY if zipped else "") if identity else False

    def _Answer(self, source, path, stat, lines):
        """-> (mark, stat, lines, path, all field lines as bytes, ETag, (year, …, second), Last-Modified); None for a
        missing one."""
        server = self._server
        isOurs = source is server.source        # cached for webPath only, which is used on the engine's thread alone
        known = isOurs and self._known.get(path)
        if known and known[:3] == (self._Mark(), stat, lines):
            return known
        etag = when = date = None
        level = server.LetCacheStaticContentLevel
        text = "Cache-Control: %s\r\nAccept-Ranges: bytes\r\n%s" % (
            ("no-store", "max-age=3600", "no-cache")[level], lines)
        if level:
            second = stat[2]
            now = time.time()
            hasClock = time.gmtime()[0] > 2023
            isPast = 0 < second <= now
            isDated = isPast and second < now - 2 if hasClock else now < second < 1 << 33
            etag = '"%x-%x%s"' % (second, stat[1], "-gz" if lines == _GZIP else "")
            if not (isDated and hasClock):
                etag = 'W/%s-%s"' % (etag[:-1], "now" if isPast and second >= now - 2 else server.FilesVersion)
            text += "ETag: %s\r\n" % etag
            if isPast or isDated:
                now = time.gmtime(second)
                when = now[:6]
                if isDated:
                    date = _Date(_FORMATS[0], _DAYS.split()[now[6]], when)
                    text += "Last-Modified: %s\r\n" % date
        known = self._Mark(), stat, lines, path, text.encode(), etag, when, date
        if isOurs and len(path) < _PATH_MAX:
            if len(self._known) >= server.memoLen:
                self._known.clear()
            self._known[path] = known
        return known


def Attach(server):
    """Replace SendFile of the core. FilesVersion: part of the ETag of files without a valid time."""
    if not hasattr(server, "FilesVersion"):
        server.FilesVersion = "%x" % int.from_bytes(os.urandom(4), "little")
    files = _Files(server)
    server.Stat = files.Stat
    server.SendFile = files.SendFile
