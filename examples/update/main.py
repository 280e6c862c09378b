"""Update of a program and of the firmware over the network, with roll-back. It needs microWebUpload.py and
microWebAuth.py.

An update replaces the program in the folder `a`, the next one that in `b`. This file and updates.py are never replaced.
On a PC:

    python3 send.py http://127.0.0.1:8080 program new/app.py
    python3 send.py http://127.0.0.1:8080 firmware firmware.bin

`new/app.py` is your new program (begin with a copy of `a/app.py`), and firmware.bin is your firmware image. Then the
board restarts with the new version. If two starts fail, the old version runs again.
"""

import sys

sys.path.append(__file__.rpartition("/")[0] or ".")
sys.path.append((__file__.rpartition("/")[0] or ".") + "/../../src")    # the modules' folder in a clone

from microWebAuth import HashPassword, Protect
from microWebSrv import MicroWebSrv
from microWebUpload import AcceptUploads
from updates import FirmwareUpdate, ProgramUpdate, Slots

try:
    from esp32 import Partition
    from machine import reset
except ImportError:
    from pretend_board import Partition, reset

mws = MicroWebSrv(port=8080)
slots = Slots()
program = ProgramUpdate(slots)
Protect(mws, "/update", {"updater": HashPassword("change this")})


@MicroWebSrv.route("/update/program", "POST")
def Program(httpClient, httpResponse):
    wrong = program.Finish(httpClient)
    if wrong:
        return httpResponse.WriteResponseJSONError(422, {"error": wrong})
    Restart(httpResponse)


@MicroWebSrv.route("/update/firmware", "PUT")
def Firmware(httpClient, httpResponse):
    Restart(httpResponse)


@MicroWebSrv.route("/update/confirm", "POST")
def Confirm(httpClient, httpResponse):
    """The sender confirms that the new version works. Without this the old version runs again."""
    slots.Confirm()
    Partition.mark_app_valid_cancel_rollback()


def OpenFirmware(httpClient, file):
    return FirmwareUpdate(Partition(Partition.RUNNING).get_next_update(), httpClient)


def Restart(httpResponse):
    httpResponse.OnSent(reset)
    httpResponse.WriteResponseJSONOk("The board restarts.")


AcceptUploads(mws, "/update/program", program.Open, maxFileLen=200000, maxFiles=30, maxParts=31)
AcceptUploads(mws, "/update/firmware", OpenFirmware, method="PUT")

sys.path.insert(0, slots.Boot())
try:
    import app
    app.Register(mws)
except Exception as error:
    print("The program does not start: %r" % error)
    slots.RollBack()
    reset()
mws.Start(threaded=False)
