"""Says what a mail in a Maildir is, as Python's own reader of MIME understands it.

read_mail.py MAILDIR ADDRESS prints, for each mail to this address, one line of JSON.
"""
import email
import email.policy
import json
import mailbox
import sys

for key, raw in sorted(mailbox.Maildir(sys.argv[1], create=False).items()):
    message = email.message_from_bytes(raw.as_bytes(), policy=email.policy.default)
    if sys.argv[2] not in str(message["To"]):
        continue
    out = {"subject": message["Subject"], "from": str(message["From"]), "id": message["Message-ID"],
           "unsubscribe": message["List-Unsubscribe"], "tls": message["X-Seen-TLS"], "user": message["X-Seen-User"],
           "types": [part.get_content_type() for part in message.walk()],
           "defects": sum(len(part.defects) for part in message.walk())}
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            out["text"] = part.get_content()
        elif part.get_content_type() == "text/calendar":
            out["method"] = part.get_param("method")
            out["ics"] = part.get_payload(decode=True).decode()
        elif part.get_filename():
            out.setdefault("files", []).append([part.get_filename(), len(part.get_payload(decode=True))])
    print(json.dumps(out, ensure_ascii=False))
