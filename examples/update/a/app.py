"""The program of the device, which an update replaces."""

VERSION = 1


def Register(mws):
    mws.AddRoute("/", "GET", lambda httpClient, httpResponse: httpResponse.WriteResponseOk(
        None, "text/plain", "UTF-8", "This is version %d." % VERSION))
