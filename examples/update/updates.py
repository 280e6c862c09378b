"""Updates that never leave a board without a program: there are two places, and an update writes to the unused one.

The program is in the folder `a` or `b`, and `slots.json` says which one runs. That file is written under another name,
then renamed, so it is never incomplete. A new program is on trial: if nobody has called Confirm() after two starts, the
old one runs again. The firmware of an ESP32 has two partitions, and a bootloader that does the same.
"""

import json
import os
from binascii import hexlify
from hashlib import sha256

STATE = "slots.json"
TRIES = 2


def Replace(source, target):
    """Atomic on littlefs and on a PC; on FAT the target is missing for a moment."""
    getattr(os, "replace", os.rename)(source, target)


class Slots:
    """run: the folder of the running program; old: that of the previous one while run is on trial, else None."""

    def __init__(self, root=""):
        self.root = root
        self.run = "a"
        self.old = None
        self.tries = 0
        for name in (STATE, STATE + ".new"):
            try:
                with open(root + name) as file:
                    state = json.load(file)
                self.run, self.old, self.tries = state["run"], state["old"], state["tries"]
                break
            except (OSError, ValueError, KeyError, TypeError):
                pass                            # no file yet, or a power failure left only the other file

    def Idle(self):
        return "b" if self.run == "a" else "a"

    def Save(self, run, old, tries):
        with open(self.root + STATE + ".new", "w") as file:
            file.write(json.dumps({"run": run, "old": old, "tries": tries}))
            if hasattr(os, "fsync"):
                file.flush()
                os.fsync(file.fileno())
        Replace(self.root + STATE + ".new", self.root + STATE)
        self.run, self.old, self.tries = run, old, tries

    def Boot(self):
        """Called at each start; returns the folder of the program to run."""
        if self.old and self.tries <= 0:
            self.RollBack()
        elif self.old:
            self.Save(self.run, self.old, self.tries - 1)
        return self.root + self.run

    def Confirm(self):
        """The new program works."""
        if self.old:
            self.Save(self.run, None, 0)

    def RollBack(self):
        if self.old:
            self.Save(self.old, None, 0)

    def Switch(self):
        """Called when the idle folder is complete and checked: from the next start on it is on trial."""
        self.Save(self.Idle(), self.run, TRIES)


class ProgramFile:
    """The writer of one file of a new program, in the idle folder."""

    def __init__(self, update, path):
        self.update = update
        self.path = path
        self.size = 0
        self.hash = sha256()
        self.file = open(path, "wb")

    def Write(self, data):
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)

    def Close(self):
        self.file.close()

    def Abort(self):
        self.file.close()
        self.update.client = None


class ProgramUpdate:
    """An upload of all files of a program and of a field `manifest`: {"app.py": [size, "sha256 in hex"], …}."""

    def __init__(self, slots):
        self.slots = slots
        self.client = None                      # the client that uploads: one at a time

    def Open(self, httpClient, file):
        """For AcceptUploads; returns a writer."""
        slots = self.slots
        if slots.old or self.client not in (None, httpClient):
            raise httpClient.GetServer().HttpError(409, "another update is in progress or not confirmed yet")
        folder = slots.root + slots.Idle()
        if self.client is None:
            try:
                os.mkdir(folder)
            except OSError:
                for name in os.listdir(folder):
                    os.remove(folder + "/" + name)
        writer = ProgramFile(self, folder + "/" + file.name)
        self.client = httpClient
        return writer

    def Finish(self, httpClient):
        """Called when all files have arrived. Returns an error text, or None if the next start runs them."""
        self.client = None
        upload = httpClient.upload
        try:
            manifest = json.loads(upload.fields["manifest"])
            wanted = sorted([[name, manifest[name][0], manifest[name][1]] for name in manifest])
        except (KeyError, TypeError, ValueError, IndexError):
            return "the manifest is missing or malformed"
        found = sorted([[file.name, file.size, hexlify(file.writer.hash.digest()).decode()] for file in upload.files])
        if found != wanted:
            return "a file is missing, has another size or another SHA-256"
        if "app.py" not in manifest and "app.mpy" not in manifest:
            return "app.py or app.mpy is missing"
        self.slots.Switch()


class FirmwareUpdate:
    """The writer of a firmware: PUT with the header X-SHA256. The board boots it only after it was checked."""

    def __init__(self, partition, httpClient):
        self.error = httpClient.GetServer().HttpError
        self.partition = partition
        self.size = httpClient.GetRequestContentLength()
        self.digest = (httpClient.GetRequestHeaders().get("x-sha256") or "").lower()
        if not self.size or len(self.digest) != 64:
            raise self.error(400, "the headers Content-Length and X-SHA256 are needed")
        if self.size > partition.info()[3]:
            raise self.error(413, "larger than the partition")
        self.block = bytearray(partition.ioctl(5, 0))
        self.fill = self.count = 0

    def Write(self, data):
        data = memoryview(data)
        while len(data):
            size = min(len(data), len(self.block) - self.fill)
            self.block[self.fill:self.fill + size] = data[:size]
            self.fill += size
            data = data[size:]
            if self.fill == len(self.block):
                self.Flush()

    def Flush(self):
        self.partition.writeblocks(self.count, self.block)
        self.count += 1
        self.fill = 0

    def Close(self):
        """Called when all bytes have arrived. Reads them back; the next start boots them only if they are right."""
        if self.fill:
            for at in range(self.fill, len(self.block)):
                self.block[at] = 255
            self.Flush()
        hash = sha256()
        left = self.size
        for number in range(self.count):
            self.partition.readblocks(number, self.block)
            hash.update(memoryview(self.block)[:min(left, len(self.block))])
            left -= len(self.block)
        if hexlify(hash.digest()).decode() != self.digest:
            raise self.error(422, "another size or another SHA-256")
        self.partition.set_boot()
