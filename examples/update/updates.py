"""Updates that can't leave a board without a program: two places, of which one runs while the other one is written.

The program lies in the folder `a` or `b`, and `slots.json` says which one runs. That file is written beside, then
renamed: it is the old one or the new one. A new program is on trial: if nobody has called Confirm() after two starts,
the old one runs again. The firmware of an ESP32 has two partitions, and a bootloader that does the same.
"""

import json
import os
from binascii import hexlify
from hashlib import sha256

STATE = "slots.json"
TRIES = 2


def Replace(source, target):
    """Atomic on littlefs and on a desk; on FAT the target is missing for a moment."""
    getattr(os, "replace", os.rename)(source, target)


class Slots:
    """run: the folder of the program that runs; old: the one to go back to, while run is on trial, else None."""

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
                pass                            # there is none yet; or the power failed, and it is the other one

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
        """At each start -> the folder of the program that is to run."""
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
        """The idle folder is complete and checked: from the next start on it is on trial."""
        self.Save(self.Idle(), self.run, TRIES)


class ProgramFile:
    """The writer of one file of a new program, in the folder that does not run."""

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
        self.client = None                      # whose upload is under way: one at a time

    def Open(self, httpClient, file):
        """For AcceptUploads: -> a writer."""
        slots = self.slots
        if slots.old or self.client not in (None, httpClient):
            raise httpClient.GetServer().HttpError(409, "an update is under way, or is not confirmed yet")
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
        """When all has come: what is wrong with it, or None; then the next start runs it."""
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
            return "there is no app in it"
        self.slots.Switch()


class FirmwareUpdate:
    """The writer of a firmware: PUT with the header X-SHA256. Nothing boots it before all of it is checked."""

    def __init__(self, partition, httpClient):
        self.error = httpClient.GetServer().HttpError
        self.partition = partition
        self.size = httpClient.GetRequestContentLength()
        self.digest = (httpClient.GetRequestHeaders().get("x-sha256") or "").lower()
        if not self.size or len(self.digest) != 64:
            raise self.error(400, "Content-Length and X-SHA256 must be there")
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
        """All has come: it is read back, and only if that is right the next start boots it."""
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
