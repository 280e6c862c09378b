# Find the file below webPath for a request path, and send it or 304. webPath may be any object with Stat(path) ->
# (isFolder, size in bytes, mtime) or None, and Open(path) -> a binary file; paths begin with a slash.

import os
import re
import time

from .text import BOARD, MICROPYTHON, HttpDate, const
from .writers import UNRESERVED, PercentEncode

_INDEX_PAGES = "index.pyhtml index.html index.htm "
_FOLDER_KIND = const(0x4000)        # file types in st_mode, the same in POSIX and MicroPython
_FILE_KIND = const(0x8000)
_LINK_KIND = const(0xA000)
_ENOENT = const(2)
_ENFILE = const(23)
_EMFILE = const(24)

# Limits of the memory of checked paths: entries, and characters of a path.
_KNOWN_MAX = const(64)
_KEY_MAX = const(256)

# Security: refused are control characters, backslashes and drives; hidden names, '..' among them; dots and spaces at
# the end of a name, which FAT and Windows drop; and short names of FAT and Windows, which reach hidden files.
# (MicroPython's re can't have NUL in a pattern. NUL stands for an encoded slash.)
_UNSAFE = re.compile("[\x01-\x1f\\\\:]|/\\.|[. ](/|$)|~[0-9]")


class Folder:
    """A folder of the file system. Folder("/") is the whole file system and accepts relative paths, too."""

    def __init__(self, root):
        if root[:1] != "/":                 # relative paths are slow, and wrong after a chdir()
            root = os.path.abspath(root) if not MICROPYTHON else os.getcwd().rstrip("/") + "/" + root
        self.root = root = root.rstrip("/")
        if not BOARD:
            # path -> (second, key of os.stat, Stat's result, whole path, may Open trust it?), for microWebSendFile, too
            # folder -> [ctime, its links]
            self.known = self._links = {}
        if not MICROPYTHON:                 # bytes: in a C locale Python can't encode non-ASCII names
            self._root = os.fsencode(root)

    def Stat(self, path):
        """None if path is neither file nor folder (a pipe would block), or if a link leads outside."""
        found = None
        try:
            if not BOARD:
                known = self.known.get(path)
                if known and _IsSame(known, os.stat(known[3])):
                    return known[2]
            if "\x00" in path:
                return None
            isFolder = path.endswith("/")
            whole = path.rstrip("/")        # FAT refuses a trailing slash
            whole = self.root + whole if MICROPYTHON else self._root + whole.encode("utf-8", "surrogateescape")
            stat = os.stat(whole or "/")
            kind = stat[0] & 0xF000
            if kind != _FOLDER_KIND and (isFolder or kind != _FILE_KIND):
                return None
            found = kind == _FOLDER_KIND, stat[6], stat[8]
            if not BOARD and self.root:
                if not self._Inside(whole):
                    return None
                key = stat[:7] + stat[8:10]         # without the time of the last read
                self.known = _With(self.known, path, (int(time.time()), key, found, whole, MICROPYTHON))
        except OSError as error:
            if BOARD or error.errno not in (_ENFILE, _EMFILE):  # Open raises these again
                return None
        return found

    def Open(self, path):
        """OSError if there is no such file. Security: check again, since a link may have replaced the file after
        Stat."""
        if BOARD:                           # file systems of boards have no links
            return open(self.root + path, "rb")
        known = self.known.get(path)
        if not MICROPYTHON:
            whole = self._root + path.encode("utf-8", "surrogateescape")
            return open(self._OpenInside(path, known, whole) if self.root else whole, "rb", 0)
        whole = known[3] if known else self.root + path
        file = open(whole, "rb")
        try:
            if self.root and not (known and _IsSame(known, os.stat(whole)) or self._Inside(whole)):
                raise OSError(_ENOENT)
        except OSError:
            file.close()
            raise
        return file

    def _Inside(self, whole):
        """Check that the path stays below the root. -> (root, rest) with all links followed, or None. MicroPython
        can't resolve links, so there any link gives None."""
        if not MICROPYTHON:
            sep = os.sep.encode()
            root = os.path.realpath(self._root).rstrip(sep)
            real = os.path.realpath(whole)
            return (root, real[len(root):]) if (real + sep).startswith(root + sep) else None
        folder = self.root
        for name in whole[len(folder):].split("/"):
            if name:
                changed = os.stat(folder)[9]
                links = self._links.get(folder)
                if not links or links[0] != changed:    # listing ten thousand names takes 11 ms
                    links = [changed] + [entry[0] for entry in os.ilistdir(folder) if entry[1] == _LINK_KIND]
                    # Not within the second of the last change: ctime would not show another change.
                    if changed < int(time.time()) - 1 and len(links) < _KNOWN_MAX:
                        self._links = _With(self._links, folder, links)
                if name in links:
                    return None
                folder += "/" + name
        return folder

    def _OpenInside(self, path, known, whole):
        """-> a file descriptor, or the path on Windows."""
        if os.open not in os.supports_dir_fd:   # Windows
            if not self._Inside(whole):
                raise OSError(_ENOENT)
            return whole
        try:
            if known and known[4]:
                found = os.open(whole, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                if _IsSame(known, os.fstat(found)):
                    return found
                os.close(found)
            found = _Walk(self._root, whole[len(self._root):])
        except OSError as error:
            inside = error.errno not in (_ENFILE, _EMFILE) and self._Inside(whole)
            if not inside:
                raise
            found = _Walk(*inside)              # the path has links that stay below the root
        stat = os.fstat(found)
        key = stat[:7] + stat[8:10]
        self.known = _With(self.known, path, (int(time.time()), key, (False, stat[6], stat[8]), whole, True))
        return found


def _With(table, key, value):
    # A bounded copy of table with one more entry; other threads may read the old one.
    if len(key) >= _KEY_MAX:
        return table
    table = dict(table) if len(table) < _KNOWN_MAX else {}
    table[key] = value
    return table


def _IsSame(known, stat):
    # True if the links were checked in this second and the file is the same. A link in its place has another stat.
    return known[1] == stat[:7] + stat[8:10] and known[0] == int(time.time())


def _Walk(root, path):
    """-> descriptor of a regular file. Each name is opened relative to the folder before it; links are refused."""
    through = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY       # O_PATH needs no read permission on folders
    names = [name for name in path.split(b"/") if name]
    found = os.open(root, through)
    try:
        for at, name in enumerate(names, 1):
            flags = through if at < len(names) else os.O_RDONLY | os.O_NONBLOCK
            folder = found
            found = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
        if os.fstat(found).st_mode & 0xF000 != _FILE_KIND:
            raise OSError(_ENOENT, "not a file")
    except BaseException:                       # ValueError: NUL in a name
        os.close(found)
        raise
    return found


Disk = Folder("/")


def ServeFile(client, response):
    """The handler of all paths without a route: sends a file, an index page, or an error status."""
    server = client.connection.server
    head = client.head
    if not BOARD:                           # only here: a board rarely gets the same head twice in a second
        known = head.file
        if known[0] == server.now:
            stat = server.Stat(known[1])
            if stat and not stat[0]:
                return server.SendFile(response, server.source, known[1], known[2], None, stat)
    method = head.method
    path, stat = _Locate(server, head.key)
    isPage = path[-7:].lower() == ".pyhtml"
    if isPage and "/_" in path:             # a part of other templates
        stat = None
    isFile = stat and not stat[0]
    if method in ("GET", "HEAD") and stat:
        if isPage and isFile:
            return response.WriteResponsePyHTMLFile(getattr(server.source, "root", "") + path)
        if isFile:
            contentType = server.GetMimeTypeFromFilename(path)
            if not contentType:             # unknown types are refused, so .py files stay private
                return response.WriteResponseForbidden()
            if not BOARD:
                head.file = server.now, path, contentType
            return server.SendFile(response, server.source, path, contentType, None, stat)
        if path[-1] != "/":
            path = PercentEncode(path, "/" + UNRESERVED) + "/"
            return response.WriteResponse(301, {"Location": path + "?" + head.query if head.query else path},
                                          None, None, None)
    # Nothing to send: OPTIONS, 501, 405 with the allowed methods, or 404.
    allow = server.Allowed(head, isFile or head.target == "*")
    if method == "OPTIONS" and allow:
        return response.WriteResponse(204, {"Allow": ", ".join(allow)}, None, None, None)
    if "websocket" in head.upgrade or method not in server.methods:
        return response.WriteError(501)
    if allow:
        return response.WriteResponseMethodNotAllowed(allow)
    return response.WriteResponseNotFound()


def _Locate(server, path):
    """-> (path, its stat, or None if nothing may be served). For a folder with an index page it is the page's path."""
    start = 12 if server.ServeWellKnown and path.startswith("/.well-known/") else 0
    if path[:1] != "/" or "\x00" in path or _UNSAFE.search(path[start:]):
        return path, None
    if path in server.pages:
        return server.pages[path], (False, 0, 0)
    stat = server.Stat(path)
    if stat and stat[0] and path[-1] == "/":
        pages = _INDEX_PAGES + _INDEX_PAGES.replace("index", "default")
        for name in (pages + pages.upper()).split():        # FAT names may be upper case
            index = server.Stat(path + name)
            if index and not index[0]:
                return path + name, index
    return path, stat


def SendFile(response, source, path, contentType, headers, stat=None):
    """Send a file: 200, 304 or 404 (RFC 9110). microWebFiles.py replaces this with ETags, conditions, ranges and
    .gz."""
    head = response.client.head
    server = response.connection.server
    stat = stat or source.Stat(path)
    if not stat or stat[0]:
        return response.WriteResponseNotFound() and False
    level = server.LetCacheStaticContentLevel
    lines = "Cache-Control: %s\r\n" % ("no-store", "max-age=3600", "no-cache")[level]
    code = 200
    # Last-Modified is left out for a file changed less than 2 s ago (the resolution of FAT), because another change
    # could have the same time; for times before 1970, on which gmtime of MicroPython fails; and for times in the
    # future, unless the clock is not set.
    now = time.time()
    if level and stat[2] > 0 and (
            now < stat[2] and not stat[2] >> 33 if time.gmtime()[0] < 2024 else stat[2] < now - 2):
        date = HttpDate(time.gmtime(stat[2]))
        if head.fields.get("if-modified-since") == date and "if-none-match" not in head.fields \
                and head.method in ("GET", "HEAD"):
            code = 304
        else:
            lines += "Last-Modified: %s\r\n" % date
    return server.WriteFile(response, code, headers, contentType, source, path, 0, stat[1], lines.encode())


def WriteFile(response, code, headers, contentType, source, path, start, length, lines):
    """Send `length` bytes of the file from `start`; for 304 and 412 only the head. lines: bytes of field lines."""
    if code > 299:
        return response.Answer(code, headers, None, None, b"", None, None, lines)
    try:
        body = response.connection.server.FileBody(source, path, start, length, response.connection)
    except OSError as error:
        isFull = error.errno in (_ENFILE, _EMFILE)      # too many open files: 503, because a cache may store a 404
        return (response.WriteError(503) if isFull else response.WriteResponseNotFound()) and False
    # HTML, CSS, JavaScript and XML declare their charset themselves, and a header would override that.
    charset = "UTF-8" if contentType in "text/plain text/csv text/markdown" else None
    return response.Answer(code, headers, contentType, charset, b"", body, length, lines)


class FileBody:
    """Pieces of an open file in the server's one buffer; each piece overwrites the last."""
    # The first piece is put behind the head in the buffer, because a copy of both needs more contiguous memory than a
    # board has.

    responseHead = b""

    def __init__(self, source, path, start, length, connection):
        self._file = source.Open(path)
        self.left = length          # bytes to come
        self._buffer = connection.server.buffer
        if start:
            self._file.seek(start)

    def __next__(self):
        head = self.responseHead
        used = len(head)
        buffer = self._buffer
        self.responseHead = b""
        left = self.left
        if used and (not left or used > len(buffer) // 2):
            return head
        if not left:
            raise StopIteration
        size = min(left, len(buffer) - used)
        if MICROPYTHON:
            buffer[:used] = head
            size = self._file.readinto(buffer[used:used + size])
            piece = buffer[:used + size]
        else:
            piece = self._file.read(size)
            size = len(piece)
            piece = head + piece if head else piece
        if not size:
            raise OSError("the file became shorter")
        self.left = left - size
        return piece

    def close(self):
        self._file.close()
