"""A mail server on 127.0.0.1 with a mailbox for everybody, made of Debian's aiosmtpd.

smtp_server.py MODE PORT CERTIFICATE KEY MAILDIR, where MODE is starttls (and AUTH demanded: acme, hush),
tls (from the first byte) or plain. Some recipients are answered differently: later@ with 451 the first
time, unknown@ with 550, cut@ loses the connection after the text, large@ refuses the text.
"""
import asyncio
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult

mode, port, certificate, key, maildir = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(certificate, key)


class Handler(Mailbox):
    def __init__(self, directory):
        super().__init__(directory)
        self.later = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "unknown":
            return "550 5.1.1 no such user here"
        if name.startswith("later") and address not in self.later:
            self.later.add(address)
            return "451 4.7.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        if name == "large":
            return "552 5.3.4 message too large"
        envelope.tls = session.ssl is not None
        await super().handle_DATA(server, session, envelope)
        if name == "cut":
            server.transport.abort()
            return "421 never seen"
        return "250 2.0.0 queued as 4711"

    def prepare_message(self, session, envelope):
        message = super().prepare_message(session, envelope)
        message["X-Seen-TLS"] = "yes" if session.ssl or mode == "tls" else "no"
        message["X-Seen-User"] = (session.auth_data.login.decode() if getattr(session, "auth_data", None) else "none")
        return message


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"acme" and data.password == b"hush"
    return AuthResult(success=good, handled=False, auth_data=data if good else None)


class Server(Controller):
    def factory(self):
        if mode == "starttls":
            return SMTP(self.handler, tls_context=tls, require_starttls=True, auth_required=True,
                        authenticator=authenticate, hostname="localhost")
        return SMTP(self.handler, hostname="localhost")


controller = Server(Handler(maildir), hostname="127.0.0.1", port=port, ssl_context=tls if mode == "tls" else None)
controller.start()
print("ready", flush=True)
asyncio.new_event_loop().run_forever()
