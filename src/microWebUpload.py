# Uploads for MicroWebSrv. Copy this file beside microWebSrv.py, and call AcceptUploads. The files of a form, or the
# content of a PUT, are written to a folder or to a writer of the program while they arrive. MIT license, see LICENSE.
#
# multipart/form-data: RFC 7578; its boundaries: RFC 2046 section 5.1.1. At most one buffer is kept in memory.

import os

_PART = ".upload-"              # prefix of incomplete files; a safe name never begins with a dot
_NAME_MAX = 120                 # bytes of a file name; FAT and ext4 allow 255
_TAIL = 16                      # characters kept at the end of a shortened name, for the extension
_HEAD_MAX = 2048                # bytes of a part's head
_PARAMS_MAX = 16                # parameters of a Content-Type or Content-Disposition, which have one or two
_BOUNDARY_MAX = 70              # RFC 2046 section 5.1.1
_NO_SPACE = 27, 28, 69, 122     # EFBIG, ENOSPC, and EDQUOT of macOS and Linux

# Wildcards and quotes on FAT; and characters that change the text direction or break the line.
_ODD = '"*<>?|\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'


def SafeName(name):
    """The last part of a path -> a name valid on FAT, Windows and Linux that can't leave its folder; "" if no character
    is left."""
    name = name.replace("\\", "/").replace(":", "/").rpartition("/")[2]
    name = "".join(["_" if char < " " or "~" < char < "\xa0" or char in _ODD else char for char in name]).strip(". ")
    stem = name.lower().partition(".")[0].rstrip(" 0123456789\xb9\xb2\xb3")
    if " %s " % stem in " aux com con conin$ conout$ lpt nul prn ":        # a Windows device, with any extension
        name = "_" + name
    name = name[:_NAME_MAX - _TAIL] + name[_NAME_MAX - _TAIL:][-_TAIL:]
    while len(name.encode()) > _NAME_MAX:
        name = name[:-_TAIL - 1] + name[-_TAIL:]
    return name


class _Saver:
    """The writer of a file: writes to a temporary file in the same folder, and renames it at the end."""

    def __init__(self, path):
        self._path = path
        self._part = "%s%s%x" % (path[:path.rfind("/") + 1], _PART, int.from_bytes(os.urandom(6), "big"))
        self._file = open(self._part, "wb")
        self.Write = self._file.write

    def End(self):
        self._file.close()

    def Close(self):
        getattr(os, "replace", os.rename)(self._part, self._path)
        self._part = self._path         # Abort removes it if another file of the form can't be renamed

    def Abort(self):
        try:
            self.End()
        except OSError:                 # the disk is still full
            pass
        os.remove(self._part)


class File:
    """An uploaded file: field, name (a safe one), contentType, size in bytes, path or None, writer."""

    size = 0
    path = None


class Upload:
    """httpClient.upload: fields, a dict of texts (the last value of a repeated name counts); files, a list of File."""

    received = 0                # bytes of the content
    _rest = b"\r\n"             # bytes that may begin a boundary; the first boundary needs no line end before it
    _isHead = _isDone = False   # in the head of a part; after the last boundary
    _file = _value = None       # the current part: a File, or the bytes of a field
    _parts = _fieldsLen = 0
    _mark = None                # in a form: CRLF, "--" and the boundary

    def __init__(self, rules, client):
        self.fields = {}
        self.files = []
        self._lists = {}
        self._rules = rules
        self._client = client
        self._server = client.GetServer()
        head = client.head
        status = 413
        most = rules.maxFileLen
        if head.method != "PUT":
            params = self._Params(head.fields.get("content-type", ""))
            boundary = params.get("boundary", "")
            if params[""] != "multipart/form-data":
                status = 415
            elif not 0 < len(boundary) <= _BOUNDARY_MAX:
                status = 400
            self._mark = b"\r\n--" + boundary.encode()
            most = most * rules.maxFiles + rules.maxFieldsLen + rules.maxParts * _HEAD_MAX
        elif "content-range" in head.fields:    # RFC 9110 section 14.5
            status = 400
        if status != 413:
            raise self._server.HttpError(status, "uploads of this kind are not accepted")
        if not callable(rules.to) and hasattr(os, "statvfs"):
            stat = os.statvfs(rules.to or "/")
            room = max(0, (stat[1] or stat[0]) * stat[4] - rules.spareLen)
            if room < most:
                most = room
                status = 507
        self._most = most       # limit for the bytes of the content; beyond it this status
        self._status = status
        self._Limit(head.contentLength or 0, most, status)

    def GetList(self, name):
        """All texts of a field, in order."""
        return self._lists.get(name, [])

    # -- called by the connection --------------------------------------------------

    def Write(self, piece):
        """The client's sink: process a piece of content."""
        client = self._client
        connection = client.connection
        progress = self._rules.progress
        self.received += len(piece)
        try:
            self._Limit(self.received, self._most, self._status)
            if self._mark:
                self._Read(piece)
            else:               # a PUT: the content is the file
                if not self.files:
                    self._Begin("", client.head.path, client.head.fields.get("content-type", ""))
                self._Put(piece)
                if not connection.reader:
                    self._EndPart()
            if progress:
                self._server.Call(progress, client, self.received, client.head.contentLength)
        except BaseException as error:
            if isinstance(error, OSError) and error.args and error.args[0] in _NO_SPACE:
                error = self._server.HttpError(507, "no space left")
            connection.Failed(connection.response, error)
        return b""

    def Finish(self, client, response):
        """The content is complete. Writers that may refuse are closed before any file is renamed."""
        if not self._mark:
            if not self.files:  # the content was empty
                self.Write(b"")
        elif not self._isDone:
            raise self._server.HttpError(400, "the last boundary is missing")
        for isSaved in (False, True):
            for file in self.files:
                if isSaved == bool(file.path) and hasattr(file.writer, "Close"):
                    file.writer.Close()
        client.connection.wake = self._client = None

    def Wake(self):
        """If the client left or has its response, remove all files of the upload."""
        client = self._client
        if client.connection.client is not client:
            client.connection.wake = None
            for file in self.files:
                if hasattr(file.writer, "Abort"):
                    self._server.Call(file.writer.Abort)
            self.files = []

    # -- bytes to parts --------------------------------------------------------------

    def _Read(self, data):
        mark = self._mark
        data = self._rest + data
        self._rest = b""
        pos = 0
        while not self._isDone:
            if self._isHead:
                if data[pos:pos + 2] == b"--":
                    self._isDone = True
                    break
                end = data.find(b"\r\n\r\n", pos)
                self._Limit((len(data) if end < 0 else end) - pos, _HEAD_MAX)
                if end < 0:
                    self._rest = data[pos:]
                    break
                self._ReadHead(data[pos:end])
                pos = end + 4
            at = data.find(mark, pos)
            self._isHead = at >= 0
            if at < 0:          # keep what may begin a boundary, which contains one CR, as its first byte
                at = data.rfind(b"\r", max(pos, len(data) - len(mark) + 1))
                if at < 0:
                    at = len(data)
                self._rest = data[at:]
            self._Put(data[pos:at] if pos or at < len(data) else data)
            if not self._isHead:
                break
            self._EndPart()
            pos = at + len(mark)

    def _ReadHead(self, head):
        """Parse the head of a part. Only padding may precede its first CRLF."""
        lines = head.split(b"\r\n")
        fields = {}
        isBad = lines[0].strip(b" \t")
        for line in lines[1:]:
            name, colon, _ = line.lower().partition(b":")
            # bare CR or LF, NUL, a folded line, a repeated field
            if not colon or not name or name != name.strip() or name in fields or min(line.replace(b"\t", b" ")) < 32:
                isBad = True
            fields[name] = self._server.Utf8(line[len(name) + 1:].strip())
        get = fields.get
        params = self._Params(get(b"content-disposition", ""))
        name = params.get("name")
        if isBad or name is None or params[""] != "form-data":
            raise self._server.HttpError(400, "malformed head of a part")
        if get(b"content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
            raise self._server.HttpError(415, "an encoded part (RFC 7578 section 4.7)")
        self._parts += 1
        self._Limit(self._parts, self._rules.maxParts)
        filename = params.get("filename")
        if filename is None:
            self._name = name
            self._value = bytearray()
            self._fieldsLen += len(name)
        elif filename:          # an empty name: no file was chosen
            # Names may be percent-encoded UTF-8 (RFC 7578 section 4.2); browsers write %22 for a quote.
            self._Begin(name, self._server.PercentDecode(filename.encode()), get(b"content-type", ""))

    def _Params(self, text):
        """'form-data; name="a"' -> {"": "form-data", "name": "a"}. filename* is not allowed in forms (RFC 7578 section
        4.2)."""
        # Bytes: MicroPython indexes a str from its start, which takes quadratic time for a long value.
        text = text.encode()
        value, _, text = text.partition(b";")
        params = {"": value.strip().lower().decode()}
        while text.strip():
            name, equals, text = text.partition(b"=")
            name = name.strip().lower().decode()
            end = 0
            if text[:1] == b'"':
                last = text.rfind(b'"')
                end = text.find(b'"', 1)
                while text[end - 1:end] == b"\\" and 0 < end < last:      # \" is a quote
                    end = text.find(b'"', end + 1)
            value = text[1:end].replace(b'\\"', b'"')
            rest, _, text = text[end + (end > 0):].partition(b";")
            rest = rest.strip()
            if not equals or name in params or end and rest or end < 0 or len(params) > _PARAMS_MAX:
                raise self._server.HttpError(400, "malformed parameter")
            params[name] = (value if end else rest).decode()
        return params

    def _Begin(self, field, name, contentType):
        """Start a file."""
        to = self._rules.to
        files = self.files
        name = SafeName(name) or "file"
        names = [file.name.lower() for file in files]
        while name.lower() in names:    # same name, from different folders
            name = "2-" + name
        self._Limit(len(files) + 1, self._rules.maxFiles)
        file = File()
        file.field = field
        file.name = name
        file.contentType = contentType
        writer = to(self._client, file) if callable(to) else to + "/" + name
        if isinstance(writer, str):
            file.path = writer
            try:
                isFolder = os.stat(writer)[0] & 0xF000 == 0x4000
            except OSError:             # the path does not exist
                isFolder = False
            if isFolder:
                raise self._server.HttpError(409, "a folder has this name")
            writer = _Saver(writer)
        file.writer = writer
        files.append(file)
        self._file = file

    def _Put(self, data):
        """Add bytes to the current part. Bytes before the first and after the last part are ignored."""
        file = self._file
        if file:
            file.size += len(data)
            self._Limit(file.size, self._rules.maxFileLen)
            if data:
                getattr(file.writer, "Write", file.writer)(data)
        elif self._value is not None:
            self._fieldsLen += len(data)
            self._Limit(self._fieldsLen, self._rules.maxFieldsLen)
            self._value += data

    def _EndPart(self):
        if self._value is not None:
            name = self._name
            self.fields[name] = value = self._server.Utf8(bytes(self._value))
            self._lists.setdefault(name, []).append(value)
        elif self._file and self._file.path:
            self._file.writer.End()
        self._file = self._value = None

    def _Limit(self, size, most, status=413):
        if size > most:
            raise self._server.HttpError(status, "%d is above a limit of %d" % (size, most))


def CleanFolder(folder):
    """Create the folder if it does not exist. Remove incomplete files, which a power failure may leave."""
    try:
        os.mkdir(folder)
    except OSError:
        pass
    for name in os.listdir(folder):
        if name.startswith(_PART):
            os.remove(folder.rstrip("/") + "/" + name)


class AcceptUploads:
    """Accept uploads to path and below. to: a folder, or to(httpClient, file) -> a path, a function(bytes), or a writer
    with Write(data), Close() and Abort(). method: "POST" for forms; with "PUT" the content is the file. The handler of
    the route is called when the upload is complete, and reads httpClient.upload.

    Lengths are in bytes. spareLen: space left free in the folder. progress(httpClient, received, total or None)."""

    def __init__(self, mws, path, to, method="POST", maxFileLen=1 << 24, maxFiles=8, maxParts=32, maxFieldsLen=4096,
                 spareLen=16384, progress=None):
        if not callable(to):
            CleanFolder(to)
            to = to.rstrip("/")
        self.to = to
        self.maxFileLen = maxFileLen
        self.maxFiles = maxFiles
        self.maxParts = maxParts
        self.maxFieldsLen = maxFieldsLen
        self.progress = progress
        self._method = method
        self.spareLen = spareLen
        mws.Before(self._Hook, path)

    def _Hook(self, client, response):
        """The Before hook: a request head has arrived."""
        head = client.head
        server = client.GetServer()
        if head.method != self._method or client.sink or server.Find(head)[0] is server.files:
            return None
        client.upload = upload = Upload(self, client)
        client.sink = upload.Write
        client.connection.wake = upload.Wake
        return upload.Finish


def Attach(server):
    """Called by each new server. A program enables uploads with AcceptUploads."""
    server.Client.upload = None
