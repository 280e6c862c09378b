# Uploads for MicroWebSrv: copy this file beside microWebSrv.py, and call AcceptUploads. The files of a form, or the
# content of a PUT, go to a folder or to a writer of the program while they come. MIT license, see LICENSE.
#
# multipart/form-data is RFC 7578, its boundaries are RFC 2046 section 5.1.1. Not more than one buffer is in memory.

import os

_PART = ".upload-"              # begins the name of a file that is not complete: no safe name begins with a dot
_NAME_MAX = 120                 # bytes of a file name: FAT and ext4 have 255
_TAIL = 16                      # characters at the end of a name that is cut: with its extension
_HEAD_MAX = 2048                # bytes of the head of a part
_PARAMS_MAX = 16                # of a type or a disposition: they have one or two
_BOUNDARY_MAX = 70              # RFC 2046 section 5.1.1
_NO_SPACE = 27, 28, 69, 122     # EFBIG, ENOSPC, and EDQUOT of macOS and Linux

# Wildcards and quotes of FAT; and what turns the direction of a text, or breaks its line.
_ODD = '"*<>?|\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'


def SafeName(name):
    """The last part of a path -> a name that FAT, Windows and Linux take as one of a file, and that leads nowhere else;
    "" if nothing is left of it."""
    name = name.replace("\\", "/").replace(":", "/").rpartition("/")[2]
    name = "".join(["_" if char < " " or "~" < char < "\xa0" or char in _ODD else char for char in name]).strip(". ")
    stem = name.lower().partition(".")[0].rstrip(" 0123456789\xb9\xb2\xb3")
    if " %s " % stem in " aux com con conin$ conout$ lpt nul prn ":        # a device of Windows, with any extension
        name = "_" + name
    name = name[:_NAME_MAX - _TAIL] + name[_NAME_MAX - _TAIL:][-_TAIL:]
    while len(name.encode()) > _NAME_MAX:
        name = name[:-_TAIL - 1] + name[-_TAIL:]
    return name


class _Saver:
    """The writer of a file: beside its place, under a name of its own, until all has come."""

    def __init__(self, path):
        self._path = path
        self._part = "%s%s%x" % (path[:path.rfind("/") + 1], _PART, int.from_bytes(os.urandom(6), "big"))
        self._file = open(self._part, "wb")
        self.Write = self._file.write

    def End(self):
        self._file.close()

    def Close(self):
        getattr(os, "replace", os.rename)(self._part, self._path)
        self._part = self._path         # if the name of another file of the form can't be had, Abort removes this one

    def Abort(self):
        try:
            self.End()
        except OSError:                 # the disk is full still
            pass
        os.remove(self._part)


class File:
    """A file of an upload: field, name (a safe one), contentType, size in bytes, path or None, writer."""

    size = 0
    path = None


class Upload:
    """httpClient.upload: fields, a dict of texts (of a repeated name the last one counts); files, a list of File."""

    received = 0                # bytes of the content
    _rest = b"\r\n"             # bytes that may begin a boundary: before the first one there need not be a line end
    _isHead = _isDone = False   # behind a boundary and before the content of a part; behind the last boundary
    _file = _value = None       # the part: a File, or the bytes of a field
    _parts = _fieldsLen = 0
    _mark = None                # of a form: a boundary and what stands before it

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
            raise self._server.HttpError(status, "no upload of this kind here")
        if not callable(rules.to) and hasattr(os, "statvfs"):
            stat = os.statvfs(rules.to or "/")
            room = max(0, (stat[1] or stat[0]) * stat[4] - rules.spareLen)
            if room < most:
                most = room
                status = 507
        self._most = most       # bytes of the content, else this status
        self._status = status
        self._Limit(head.contentLength or 0, most, status)

    def GetList(self, name):
        """All texts of a field, in their order."""
        return self._lists.get(name, [])

    # -- what the connection calls --------------------------------------------------

    def Write(self, piece):
        """The client's sink."""
        client = self._client
        connection = client.connection
        progress = self._rules.progress
        self.received += len(piece)
        try:
            self._Limit(self.received, self._most, self._status)
            if self._mark:
                self._Read(piece)
            else:               # the content is the file
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
        """All has come. What may refuse is closed before any file gets its name."""
        if not self._mark:
            if not self.files:  # there was no content
                self.Write(b"")
        elif not self._isDone:
            raise self._server.HttpError(400, "the last boundary is missing")
        for isSaved in (False, True):
            for file in self.files:
                if isSaved == bool(file.path) and hasattr(file.writer, "Close"):
                    file.writer.Close()
        client.connection.wake = self._client = None

    def Wake(self):
        """The client has gone, or has its answer: then nothing of the upload is left."""
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
            if at < 0:          # what may be the beginning of a boundary waits: there is one CR in it, the first byte
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
        """The head of a part. Before its first line end there is only padding."""
        lines = head.split(b"\r\n")
        fields = {}
        isBad = lines[0].strip(b" \t")
        for line in lines[1:]:
            name, colon, _ = line.lower().partition(b":")
            # CR or LF alone, NUL, a folded line, a field twice
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
        elif filename:          # else no file was chosen
            # It may be percent-encoded UTF-8 (RFC 7578 section 4.2); a browser writes %22 for a quote.
            self._Begin(name, self._server.PercentDecode(filename.encode()), get(b"content-type", ""))

    def _Params(self, text):
        """'form-data; name="a"' -> {"": "form-data", "name": "a"}. RFC 7578 section 4.2: filename* is not for forms."""
        # Bytes: in a text MicroPython goes to each place from its start, and a long value would take a square of time.
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
        """A file begins."""
        to = self._rules.to
        files = self.files
        name = SafeName(name) or "file"
        names = [file.name.lower() for file in files]
        while name.lower() in names:    # two of one name, from two folders
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
            except OSError:             # there is nothing of this name
                isFolder = False
            if isFolder:
                raise self._server.HttpError(409, "a folder has this name")
            writer = _Saver(writer)
        file.writer = writer
        files.append(file)
        self._file = file

    def _Put(self, data):
        """Content of a part; or what stands before the first and behind the last."""
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
    """Makes the folder if there is none, and removes what a power failure in an upload has left in it."""
    try:
        os.mkdir(folder)
    except OSError:
        pass
    for name in os.listdir(folder):
        if name.startswith(_PART):
            os.remove(folder.rstrip("/") + "/" + name)


class AcceptUploads:
    """Forms with files that are sent to a path or below go to `to`: a folder, or to(httpClient, file) -> a path, a
    function of bytes, or a writer with Write(data), Close() and Abort(). With the method "PUT" the content is the file.
    The handler of the route is called when all has come, and finds it in httpClient.upload.

    Lengths in bytes; spareLen: what is left free where the folder is; progress(httpClient, received, total or None)."""

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
        """The head of a request has come."""
        head = client.head
        server = client.GetServer()
        if head.method != self._method or client.sink or server.Find(head)[0] is server.files:
            return None
        client.upload = upload = Upload(self, client)
        client.sink = upload.Write
        client.connection.wake = upload.Wake
        return upload.Finish


def Attach(server):
    """Called by a server when it is made: nothing is on until the program calls AcceptUploads."""
    server.Client.upload = None
