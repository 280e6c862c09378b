# A login form for MicroWebSrv. Copy this file beside microWebAuth.py and microWebSession.py to use scheme="form" in
# Protect. MIT license, see LICENSE.

import sys

_NAME = __name__.replace("microWebLogin", "microWebAuth")
__import__(_NAME)
auth = sys.modules[_NAME]


def LoginPage(httpClient, httpResponse, code, text):
    """Write the form, which posts name and password to its own address. code: 200, 401 or 429; text: the error
    message."""
    token = (httpResponse.vars or {}).get("CSRF", "")
    httpResponse.WriteResponse(code, None, "text/html", "UTF-8", (
        '<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width"><title>Log in</title>'
        '<h1>Log in</h1><form method="post"><input type="hidden" name="csrf" value="%s"><p role="alert">%s<p><label>'
        'Name <input name="name" autocomplete="username" required autofocus></label><p><label>Password '
        '<input name="password" type="password" autocomplete="current-password" required></label>'
        '<p><button>Log in</button></form>') % (token, text))


class _Form(auth.Basic):
    """Keeps the logged-in user in the session. Realms with the same loginPath share the login."""

    challenge = 'Cookie realm="%s"'         # no registered name; 401 needs a challenge (RFC 9110 section 15.5.2)

    def __init__(self, server, users, realm, loginPath="/login", logoutPath="/logout", page=LoginPage):
        super().__init__(server, users, realm)
        if not hasattr(server, "sessions"):
            raise ValueError("scheme must not be form before UseSessions(mws) was called")
        self._loginPath = loginPath
        self._page = page
        logins = server.logins = getattr(server, "logins", {})
        if loginPath not in logins:
            logins[loginPath] = users
            server.AddRoute(loginPath, "GET", self.LogIn)
            server.AddRoute(loginPath, "POST", self.LogIn, True)
            server.AddRoute(logoutPath, "POST", self.LogOut)
        elif logins[loginPath] is not users:
            raise ValueError("loginPath must differ for other users")

    def Hook(self, client, response):
        """The Before hook: navigation is redirected to the form, other requests get 401."""
        head = client.head
        if head.key == self._loginPath and not head.upgrade:
            return
        name, mark = client.GetSession().get(self._loginPath, (None, None))
        if name and mark == self._Mark(name):
            client.user = name
        elif head.method == "GET" and not head.upgrade and head.fields.get("sec-fetch-mode", "navigate") == "navigate":
            path = client.GetRequestTotalPath()
            for char in "%&+#":
                path = path.replace(char, "%%%02X" % ord(char))
            response.WriteResponseRedirect("%s?next=%s" % (self._loginPath, path))
        else:
            self.Refuse(response, 0, None)

    def _Mark(self, name):
        """The salt of the user's hash: a new password ends the sessions made with the old one."""
        if callable(self.users):
            return ""
        return name in self.users and self.users[name].split("$")[2]

    def LogIn(self, client, response):
        """GET and POST of the form. POST runs in a worker if there are any, because hashing is slow."""
        code = 200
        text = ""
        if client.head.method == "POST":
            form = client.ReadRequestPostedFormData()
            name, wait = self.server.tries.Ask(client, self.Verify, form.get("name", ""), form.get("password", ""))
            if name:
                return self._Welcome(client, response, name)
            code = 401
            text = "Wrong name or password."
            response.SetHeader("WWW-Authenticate", self.Challenge(None))
            if wait:
                code = 429
                text = "Too many tries. Wait for %d seconds." % wait
                response.SetHeader("Retry-After", wait)
        response.status = code              # for a page that is written as a 200
        self._page(client, response, code, text)

    def _Welcome(self, client, response, name):
        client.user = name                  # for After hooks that call GetUser
        session = client.GetSession()
        session.Renew()
        session[self._loginPath] = [name, self._Mark(name)]
        target = client.GetRequestQueryParams().get("next", "/")
        if target[:1] != "/" or target[1:2] in "/\\" or min(target.encode()) < 32:
            target = "/"                    # "//" leads to another site, and browsers read "\" as "/"
        response.WriteResponseRedirect(target)

    def LogOut(self, client, response):
        session = client.GetSession()
        session.pop(self._loginPath, None)
        session.Renew()                     # the other values of the session stay
        response.WriteResponseRedirect(self._loginPath)


auth.Schemes["form"] = _Form


def Attach(server):
    """Called by each new server. The scheme was registered at import."""
