#!/bin/bash
# smtp.sh: mails through a real mail server, Debian's aiosmtpd, into mailboxes that Python's own reader
# of MIME reads. STARTTLS with a password, TLS from the first byte; what the server refuses, puts off or
# leaves unanswered; an invitation, moved and cancelled.
#
# Skipped, loudly, where the packages cannot be had. They are unpacked under build/ and not installed.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
PEER=$VA_ROOT/build/peers/smtp
HELPERS=$VA_ROOT/test/peers/helpers
PYTHON=/usr/bin/python3

unpack()
{
  local deb
  [ ! -e "$PEER/root/usr/lib/python3/dist-packages/aiosmtpd" ] || return 0
  mkdir -p "$PEER"
  (cd "$PEER" && apt-get download python3-aiosmtpd python3-attr python3-public \
    python3-typing-extensions python3-pkg-resources) >"$PEER/download.log" 2>&1 || return 1
  for deb in "$PEER"/*.deb; do
    dpkg-deb -x "$deb" "$PEER/root" || return 1
  done
}

skip_all()
{
  echo "1..0 # SKIP $1"
  exit 0
}
[ -x $PYTHON ] || skip_all "there is no $PYTHON"
unpack || skip_all "Debian's python3-aiosmtpd cannot be had: see $PEER/download.log"
export PYTHONPATH=$PEER/root/usr/lib/python3/dist-packages

# ---- certificates, one of them nobody's
CERTIFICATES=$(mktemp -d)
forget_certificates()
{
  rm -rf "$CERTIFICATES"
}
va_at_exit forget_certificates
for name in trusted other; do
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=localhost" -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
    -keyout "$CERTIFICATES/$name.key" -out "$CERTIFICATES/$name" 2>/dev/null
done
chmod 755 "$CERTIFICATES"
chmod 644 "$CERTIFICATES"/*
export SSL_CERT_FILE=$CERTIFICATES/trusted
outbox_start voiceagent.allow_private_urls=on || exit 1

declare -A ports pids
MAILDIR=$VA_DIR/maildir
server_start()
{
  local name=$1 mode=$2 certificate=$3
  ports[$name]=$(va_free_port)
  $PYTHON "$HELPERS/smtp_server.py" "$mode" "${ports[$name]}" "$CERTIFICATES/$certificate" "$CERTIFICATES/$certificate.key" \
    "$MAILDIR" >"$VA_DIR/$name.log" 2>&1 &
  pids[$name]=$!
  va_wait_until 20 grep -q ready "$VA_DIR/$name.log" || { cat "$VA_DIR/$name.log"; return 1; }
}
servers_stop()
{
  kill "${pids[@]}" 2>/dev/null
}
va_at_exit servers_stop
server_start starttls starttls trusted || exit 1
server_start tls tls trusted || exit 1
server_start plain plain trusted || exit 1
server_start stranger tls other || exit 1

tenant=$(va_psql -c "SELECT va_tenant_create('Acme', 'real_estate', '+15551230002', settings => '{\"email\": {\"from\": \"sales@acme.test\", \"from_name\": \"Häuser & Co\"}, \"contact_limits\": {\"email\": {\"day\": 1000, \"week\": 1000}}, \"sms_notifications\": false, \"contact_hours\": {\"open\": \"00:00\", \"close\": \"24:00\"}}')")
va_psql -c "SELECT va_secret_set('$tenant', 'smtp_password', 'hush')" -c "INSERT INTO outbox_providers (provider, breaker_failures) VALUES ('smtp', 1000)" >/dev/null
use()
{
  va_psql -c "UPDATE tenants SET settings = settings || jsonb_build_object('smtp', jsonb_build_object('host', '${4:-localhost}', 'port', ${ports[$1]:-1}, 'security', '$2') || '${3:-{\}}')"
}
# mail NAME: writes to NAME@example.test and prints the id.
mail()
{
  va_psql -c "INSERT INTO notifications (tenant_id, channel, direction, to_address, subject, body, notification_type, attachments)
    VALUES ('$tenant', 'email', 'outbound', '$1@example.test', 'Grüße aus Zürich – ein langer Betreff, der gefaltet werden muß, weil er so lang ist',
      E'Guten Tag,\n.\n..zwei Punkte\n' || repeat('lang ', 100), 'follow_up', '[{\"filename\": \"Exposé.pdf\", \"type\": \"application/pdf\", \"content\": \"AAECAw==\"}]') RETURNING id"
}
# seen NAME: what the user sees of the newest mail to NAME.
seen()
{
  va_psql -c "SELECT concat_ws(' | ', status, error_message) FROM notifications WHERE to_address = '$1@example.test' ORDER BY created_at DESC LIMIT 1"
}
read_mail()
{
  $PYTHON "$HELPERS/read_mail.py" "$MAILDIR" "$1@example.test"
}
field()
{
  $PYTHON -c 'import json, sys; d = json.loads(sys.stdin.readline() or "{}"); print(d.get(sys.argv[1]))' "$1"
}
# outcome NAME: what became of a mail to NAME.
outcome()
{
  id=$(mail "$1")
  outbox_over "notification:$id" "${2:-30}"
  outbox_where "notification:$id"
}

# ---- STARTTLS and a password
use starttls starttls '{"user": "acme"}'
is 'STARTTLS: a mail is taken' "$(outcome ann)" 'done 1'
mail=$(read_mail ann)
is 'encrypted and by its user' "$(field tls <<<"$mail") $(field user <<<"$mail")" 'yes acme'
is 'its subject' "$(field subject <<<"$mail")" 'Grüße aus Zürich – ein langer Betreff, der gefaltet werden muß, weil er so lang ist'
is 'its sender' "$(field from <<<"$mail")" 'Häuser & Co <sales@acme.test>'
is 'its parts' "$(field types <<<"$mail") $(field defects <<<"$mail")" "['multipart/mixed', 'multipart/alternative', 'text/plain', 'text/html', 'application/pdf'] 0"
is 'its attachment' "$(field files <<<"$mail")" "[['Exposé.pdf', 4]]"
matches 'its text, dots and all' "$(field text <<<"$mail" | tr '\n' '/')" '^Guten Tag,/\./\.\.zwei Punkte/(lang ){100}//-- /No more e-mails'
is 'its id is kept' "<$(va_psql -c "SELECT message_id FROM notifications WHERE to_address = 'ann@example.test'")>" "$(field id <<<"$mail")"
va_psql -c "SELECT va_secret_set('$tenant', 'smtp_password', 'wrong')" >/dev/null
is 'a wrong password' "$(outcome bob)" 'dead: failed 1'
matches 'is told' "$(seen bob)" '^failed \| 535 .*Look at "user"'
va_psql -c "SELECT va_secret_set('$tenant', 'smtp_password', 'hush')" >/dev/null

# ---- TLS from the first byte, none, and servers that must not be trusted
use tls tls
is 'TLS from the first byte' "$(outcome cy) $(field tls <<<"$(read_mail cy)")" 'done 1 yes'
use plain none
is 'no TLS where it is said so' "$(outcome dan) $(field tls <<<"$(read_mail dan)")" 'done 1 no'
use plain starttls
is 'never without TLS by accident' "$(outcome eve) $(read_mail eve)" 'dead: failed 1 '
matches 'and it is told' "$(seen eve)" 'the server offers no TLS.*"security"'
use stranger tls
is 'a certificate of nobody we trust' "$(outcome fay) $(read_mail fay)" 'dead: failed 1 '
matches 'is told too' "$(seen fay)" 'certificate not accepted'

# ---- what a server says
use tls tls
is '550: an address that does not exist' "$(outcome unknown)" 'dead: failed 1'
matches 'in the server'\''s words' "$(seen unknown)" '^failed \| 550 5.1.1 no such user here\. The recipient'
is '552: too large' "$(outcome large)" 'dead: failed 1'
is '451: put off, and taken later' "$(outcome later 60) $(seen later)" 'done 2 sent'
is 'an answer that never came: not known, and not repeated' "$(outcome cut) $(read_mail cut | wc -l)" 'dead: unknown 1 1'
matches 'which is told' "$(seen cut)" '^sending \| It is not known whether this e-mail was sent'
use nobody tls
id=$(mail gus)
va_wait_for "SELECT count(*) > 0 FROM outbox_attempts a JOIN outbox o ON o.id = a.outbox_id WHERE o.attempt_key = 'notification:$id'" 20
use tls tls
va_psql -c 'UPDATE outbox SET run_at = now()' -c 'UPDATE outbox_queues SET blocked_until = NULL'
outbox_over "notification:$id" 60
matches 'a server that was away' "$(outbox_where "notification:$id")" '^done [2-9]'

# ---- invitations
lead=$(va_psql -c "SELECT va_lead_capture('$tenant', '{\"first_name\": \"Hal\", \"email\": \"hal@example.test\"}')")
agent=$(va_psql -c "INSERT INTO human_agents (tenant_id, name, email) VALUES ('$tenant', 'Ida', 'ida@example.test') RETURNING id")
appointment=$(va_psql -c "SELECT va_appointment_book('$lead', date_trunc('day', now()) + interval '10 days 15 hours', agent => '$agent', title => 'Visit', location => 'Room 4', force => true)")
# Mails with an invitation: to a lead go others too (a meeting that is called off lets the follow-ups go on).
mails_to()
{
  [ "$(read_mail "$1" | grep -c '"ics"')" -ge "$2" ]
}
newest()
{
  read_mail "$1" | $PYTHON -c 'import json, sys
mails = [m for m in map(json.loads, sys.stdin) if "ics" in m]
m = max(mails, key=lambda m: int([l for l in m["ics"].splitlines() if l.startswith("SEQUENCE")][0][9:]))
lines = dict(l.split(":", 1) for l in m["ics"].split("\r\n") if ":" in l)
print(m["method"], lines["METHOD"], lines["UID"], lines["SEQUENCE"], lines["STATUS"], len(mails), max(len(l.encode()) for l in m["ics"].split("\r\n")) <= 75)'
}
ok 'the lead and the person are invited' va_wait_until 30 eval 'mails_to hal 1 && mails_to ida 1'
is 'the lead by one mail, a request' "$(newest hal)" "REQUEST REQUEST $appointment 0 CONFIRMED 1 True"
is 'the person by another' "$(newest ida)" "REQUEST REQUEST $appointment 0 CONFIRMED 1 True"
is 'as an alternative of the text' "$(field types <<<"$(read_mail hal)")" "['multipart/alternative', 'text/plain', 'text/html', 'text/calendar']"
va_psql -c "SELECT va_appointment_reschedule('$appointment', date_trunc('day', now()) + interval '11 days 15 hours', force => true)" >/dev/null
ok 'moved, both hear of it' va_wait_until 30 eval 'mails_to hal 2 && mails_to ida 2'
is 'with the same uid and a higher sequence' "$(newest hal)" "REQUEST REQUEST $appointment 1 CONFIRMED 2 True"
va_psql -c "SELECT va_appointment_cancel('$appointment')" >/dev/null
ok 'cancelled, both hear of it' va_wait_until 30 eval 'mails_to hal 3 && mails_to ida 3'
is 'the lead' "$(newest hal)" "CANCEL CANCEL $appointment 2 CANCELLED 3 True"
is 'the person' "$(newest ida)" "CANCEL CANCEL $appointment 2 CANCELLED 3 True"

# ---- private addresses
va_psql -c "ALTER SYSTEM SET voiceagent.allow_private_urls = off" -c "SELECT pg_reload_conf()" >/dev/null
va_wait_until 10 va_log_has 'parameter "voiceagent.allow_private_urls" changed'
guarded()
{
  guard=guard$RANDOM
  [ "$(outcome $guard)" = 'dead: failed 1' ]
}
ok 'a tenant'\''s server may not be on this machine' va_wait_until 30 guarded
matches 'which is told' "$(seen $guard)" 'private network.*allow_private_urls'
ok 'no password is in the log' eval "! grep -q -w hush '$VA_LOG'"
done_testing
