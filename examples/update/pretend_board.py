"""Simulates the flash of an ESP32 and its bootloader: two partitions in files, `ota_0.bin` and `ota_1.bin`."""

import json

BLOCK = 4096
SIZE = 64 * BLOCK
STATE = "flash.json"


def Load():
    try:
        with open(STATE) as file:
            return json.load(file)
    except OSError:
        return {"running": 0, "boot": 0, "trial": None}


def Save(**values):
    state = Load()
    state.update(values)
    with open(STATE, "w") as file:
        file.write(json.dumps(state))


def PowerOn():
    """Acts as the bootloader; returns the partition that it starts. A partition on trial is started once."""
    state = Load()
    number = state["boot"]
    if number != state["running"]:
        state["trial"] = state["running"]
    elif state["trial"] is not None:            # it was started before and was not confirmed
        number = state["trial"]
        state["trial"] = None
    Save(running=number, boot=number, trial=state["trial"])
    return number


class Partition:
    """The part of esp32.Partition that an update needs."""

    RUNNING = 1

    def __init__(self, which):
        self.number = Load()["running"]
        self.name = "ota_%d.bin" % self.number

    def get_next_update(self):
        other = Partition(self.RUNNING)
        other.number = 1 - self.number
        other.name = "ota_%d.bin" % other.number
        return other

    def info(self):
        return 0, 16 + self.number, 65536 + self.number * SIZE, SIZE, "ota_%d" % self.number, False

    def ioctl(self, command, argument):
        return BLOCK if command == 5 else SIZE // BLOCK

    def writeblocks(self, number, data):
        try:
            file = open(self.name, "r+b")
        except OSError:
            file = open(self.name, "w+b")
        with file:
            file.seek(number * BLOCK)
            file.write(data)

    def readblocks(self, number, data):
        with open(self.name, "rb") as file:
            file.seek(number * BLOCK)
            data[:] = file.read(len(data))

    def set_boot(self):
        Save(boot=self.number)

    @staticmethod
    def mark_app_valid_cancel_rollback():
        Save(trial=None)


def reset():
    print("A real board would restart now.")
