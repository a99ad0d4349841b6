#!/bin/bash
# email.sh: e-mails by SendGrid, end to end: every kind of failure and what the user sees of it, the
# events that come back (signed, repeated, altered), mails that come in, the way out.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

outbox_start voiceagent.gateway_workers=1 voiceagent.allow_private_urls=on || exit 1
SENDGRID=$PROVIDERS_URL/sendgrid
GATEWAY=http://127.0.0.1:$VA_HTTP_PORT

api_key()
{
  va_psql -c "SELECT va_secret_set((SELECT id FROM tenants), 'sendgrid_api_key', '$1')" >/dev/null
}

public_key=$(curl -sS "$SENDGRID/sandbox/key" | sed 's/.*"public_key":"\([^"]*\)".*/\1/')
va_psql -c "ALTER SYSTEM SET voiceagent.sendgrid_base_url = '$SENDGRID'" -c "SELECT pg_reload_conf()" >/dev/null
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000 WHERE kind = 'sendgrid.mail'" \
  -c "INSERT INTO outbox_providers (provider, breaker_failures) VALUES ('sendgrid', 1000)" \
  -c "SELECT va_tenant_create('Acme', 'real_estate', '+15551230002', settings => jsonb_build_object('email',
        jsonb_build_object('from', 'sales@acme.test', 'reply_domain', 'parse.acme.test', 'event_key', '$public_key')))" >/dev/null
tenant=$(va_psql -c 'SELECT id FROM tenants')
api_key SG.one.two
va_psql -c "SELECT va_secret_set('$tenant', 'sendgrid_inbound_token', 'sesame-1')" >/dev/null
va_psql -c "SELECT va_lead_capture('$tenant', '{\"first_name\": \"Ann\", \"email\": \"ann@example.test\"}')" >/dev/null
va_psql -c "UPDATE tenants SET settings = settings || '{\"contact_limits\": {\"email\": {\"day\": 1000, \"week\": 1000}}}'"
va_wait_for "SELECT current_setting('voiceagent.sendgrid_base_url') = '$SENDGRID'" 10

# mail [TYPE]: writes one and prints its id.
mail()
{
  va_psql -c "INSERT INTO notifications (tenant_id, lead_id, channel, direction, to_address, subject, body, notification_type)
    SELECT '$tenant', id, 'email', 'outbound', email, 'Grüße', E'Dear Ann,\nwelcome.', '${1:-follow_up}' FROM leads RETURNING id"
}
seen()
{
  va_psql -c "SELECT concat_ws(' | ', status, error_message) FROM notifications WHERE id = '$1'"
}
mails_of()
{
  ledger_count mail "notification:$1"
}

# ---- all is well
id=$(mail)
outbox_over "notification:$id"
is 'a mail arrives' "$(outbox_where "notification:$id") $(mails_of "$id") $(seen "$id")" 'done 1 1 sent'
matches 'SendGrid'\''s id is kept' "$(va_psql -c "SELECT external_id FROM notifications WHERE id = '$id'")" '^m-'
line=$(grep "notification:$id\",\"event\":\"mail\"" "$PROVIDERS_LEDGER")
matches 'with text, HTML and its marks' "$line" '"subject":"Grüße".*"type":"text/plain","value":"Dear Ann,.*"type":"text/html"'
link=$(sed 's/.*List-Unsubscribe":"<\([^>]*\)>.*/\1/' <<<"$line")
matches 'and the way out' "$link" '/unsubscribe\?t='

# ---- the catalogue of failures
CATALOGUE_FAULT='"prefix": "/sendgrid", "path": "/v3/mail"'
catalogue_begin()
{
  id=$(mail)
  key=notification:$id
}
# doubt: nobody tells what became of it, and after an hour a person is asked.
catalogue_wait()
{
  if [ "$1" = doubt ]; then
    va_wait_for "SELECT count(*) = 1 FROM outbox WHERE attempt_key = '$key' AND state = 'unknown'" 20
    matches "meanwhile" "$(seen "$id")" '^sending \| It is not known whether this e-mail was sent'
    va_psql -c "UPDATE outbox SET doubtful_since = now() - interval '1 day', run_at = now() WHERE attempt_key = '$key'"
  fi
  outbox_over "$key" 40
}
catalogue_happened()
{
  mails_of "$id"
}
catalogue_seen()
{
  seen "$id"
}
from()
{
  va_psql -c "UPDATE tenants SET settings = jsonb_set(settings, '{email,from}', '\"$1\"')"
}
catalogue bad-request '"body": "{\"errors\":[{\"message\":\"Bad thing\",\"field\":\"subject\"}]}"' 'dead: failed 1' 0 '^failed \| Bad thing \(subject\)\. SendGrid does not take the mail' 'HTTP 400'
catalogue unauthorized '' 'dead: failed 1' 0 '^failed \| .*The API key is wrong' 'HTTP 401.*va_outbox_retry'
api_key SG.revoked
catalogue revoked '' 'dead: failed 1' 0 '^failed \| The provided authorization grant is invalid, expired, or revoked\. The API key is wrong' 'HTTP 401'
api_key SG.noscope
catalogue no-scope '' 'dead: failed 1' 0 '^failed \| access forbidden\. The API key lacks the scope' 'HTTP 403'
api_key SG.one.two
from sales@unverified.test
catalogue unverified '' 'dead: failed 1' 0 '^failed \| The from address does not match a verified Sender Identity. \(from\)' ''
from sales@acme.test
catalogue forbidden '' 'dead: failed 1' 0 '^failed \| .*The API key lacks the scope' 'HTTP 403'
catalogue not-found '' 'dead: failed 1' 0 '^failed \| .*Look at the address' 'HTTP 404'
catalogue conflict '' 'dead: failed 1' 0 '^failed \| ' 'HTTP 409'
catalogue too-large '"status": 413' 'dead: failed 1' 0 '^failed \| .*30 MB' 'HTTP 413'
catalogue limited-politely '' 'done 2' 1 '^sent$' 'did not happen: .*HTTP 429'
catalogue limited '' 'done 2' 1 '^sent$' 'did not happen: .*HTTP 429'
catalogue unavailable '' 'done 2' 1 '^sent$' 'did not happen: .*HTTP 503'
doubtful='^sending \| It is not known whether this e-mail was sent: .*'
catalogue error '' 'dead: unknown 1' 0 "$doubtful" 'HTTP 500.*' doubt
catalogue error-after '' 'dead: unknown 1' 1 "$doubtful" 'given to a person.*HTTP 500' doubt
catalogue slow '' 'dead: unknown 1' 1 "${doubtful}timed out waiting for the answer" 'given to a person' doubt
catalogue cut-before '' 'dead: unknown 1' 0 "${doubtful}connection closed without an answer" 'given to a person' doubt
catalogue cut-after '' 'dead: unknown 1' 1 "${doubtful}connection closed without an answer" 'given to a person' doubt
catalogue cut-in-body '"path": "/v3"' 'dead: unknown 1' 1 "$doubtful" 'given to a person' doubt
catalogue garbage '' 'dead: unknown 1' 1 "${doubtful}the answer is not SendGrid" 'given to a person' doubt
catalogue redirect '' 'dead: failed 1' 0 '^failed \| .*The service has moved' 'HTTP 307'
catalogue_whole SendGrid

# ---- events
wait_gateway()
{
  curl -sSf -o /dev/null "$GATEWAY/health"
}
va_wait_until 20 wait_gateway
tell()
{
  curl -sSf -o /dev/null --data-binary "$2" "$SENDGRID/sandbox/$1"
}
# The status that the gateway answered the stand-in's last post with.
posted()
{
  local before=$1
  va_wait_until 10 eval "[ \$(grep -c '\"event\":\"posted\"' '$PROVIDERS_LEDGER') -gt $before ]"
  sed -n '/"event":"posted"/s/.*"status":\([0-9]*\).*/\1/p' "$PROVIDERS_LEDGER" | tail -n 1
}
posts()
{
  grep -c '"event":"posted"' "$PROVIDERS_LEDGER"
}
hook="$GATEWAY/webhook/email/events?tenant=$tenant"
tell webhook "{\"url\": \"$hook\", \"events\": [\"delivered\", \"processed\", \"open\"]}"
id=$(mail)
ok 'a mail is followed by its events' va_wait_for "SELECT status = 'read' AND delivered_at IS NOT NULL FROM notifications WHERE id = '$id'" 20
provider_fault '{"prefix": "/sendgrid", "path": "/v3/mail", "cut": "after", "times": 1}'
id=$(mail)
ok 'an answer that was lost is found by the event' va_wait_for "SELECT count(*) = 1 FROM outbox_history WHERE attempt_key = 'notification:$id' AND outcome = 'done'" 20
is 'and was sent once' "$(mails_of "$id") $(va_psql -c "SELECT count(*) FROM email_events WHERE notification_id = '$id'")" '1 3'
event="{\"event\": \"bounce\", \"sg_event_id\": \"e1\", \"timestamp\": 1788100000, \"email\": \"ann@example.test\", \"va_notification\": \"$id\", \"va_tenant\": \"$tenant\", \"reason\": \"x\"}"
refused()
{
  local what=$1 before
  shift
  before=$(posts)
  tell events "$1"
  is "$what" "$(posted "$before")" 403
}
refused 'altered events are refused' "{\"url\": \"$hook\", \"events\": [$event], \"tamper\": true}"
refused 'a stale signature is refused' "{\"url\": \"$hook\", \"events\": [$event], \"late_s\": 100000}"
refused 'another tenant'\''s key is none' "{\"url\": \"$GATEWAY/webhook/email/events\", \"events\": [$event]}"
is 'nothing of these was stored' "$(va_psql -c "SELECT count(*) FROM email_events WHERE event_id = 'e1'")" 0
before=$(posts)
tell events "{\"url\": \"$hook\", \"events\": [$event, $event]}"
is 'signed they are taken' "$(posted "$before") $(va_psql -c "SELECT count(*) FROM email_events WHERE event_id = 'e1'")" '204 1'
is 'without any signature' "$(curl -sS -o /dev/null -w '%{http_code}' -X POST --data-binary "[$event]" -H 'Content-Type: application/json' "$hook")" 403
is 'a GET' "$(curl -sS -o /dev/null -w '%{http_code}' "$hook")" 405
is 'too much' "$(head -c 100000 /dev/zero | curl -sS -o /dev/null -w '%{http_code}' -X POST --data-binary @- -H 'Content-Type: application/json' "$hook")" 413

# ---- mails that come in
inbound()
{
  local before
  before=$(posts)
  tell inbound "{\"url\": \"$GATEWAY/webhook/email/inbound?$1\", \"from\": \"Ann <ann@example.test>\", $2}"
  posted "$before"
}
to="reply+${id//-/}@parse.acme.test"
is 'a mail comes in' "$(inbound "tenant=$tenant&token=sesame-1" "\"to\": \"$to\", \"subject\": \"Re: Hi\", \"charset\": \"iso-8859-1\", \"headers\": \"Message-ID: <in1@x.test>\\nDate: x\", \"text_base64\": \"R3L8ZXppDQoNCj4gb2xk\"")" 204
is 'in its own charset, without what it quotes' "$(va_psql -c "SELECT n.body, n.template_data ->> 'full_text' = E'Grüezi\r\n\r\n> old', n.reply_to_id = '$id', n.lead_id IS NOT NULL FROM notifications n WHERE message_id = 'in1@x.test'")" 'Grüezi|t|t|t'
is 'a wrong token' "$(inbound "tenant=$tenant&token=sesame-2" "\"to\": \"$to\", \"text\": \"x\", \"headers\": \"Message-ID: <in2@x.test>\"")" 403
is 'no token' "$(inbound "tenant=$tenant" "\"to\": \"$to\", \"text\": \"x\"")" 403
is 'a large one without token is not even read' "$(head -c 200000 /dev/zero | curl -sS -o /dev/null -w '%{http_code}' -X POST --data-binary @- -H 'Content-Type: multipart/form-data; boundary=x' "$GATEWAY/webhook/email/inbound?tenant=$tenant&token=x")" 413
is 'no form' "$(curl -sS -o /dev/null -w '%{http_code}' -X POST --data-binary x -H 'Content-Type: text/plain' "$GATEWAY/webhook/email/inbound?tenant=$tenant&token=sesame-1")" 415

# ---- the way out
link=$GATEWAY${link#http://*:[0-9]*[0-9]}
link="$GATEWAY/unsubscribe?${link#*unsubscribe?}"
matches 'the link shows a button' "$(curl -sS "$link")" '<form method="post"><button'
is 'and looking changes nothing' "$(va_psql -c 'SELECT count(*) FROM do_not_contact')" 0
is 'one click' "$(curl -sS -o /dev/null -w '%{http_code}' -X POST -d 'List-Unsubscribe=One-Click' "$link") $(va_psql -c "SELECT channel, how FROM do_not_contact")" '200 email|unsubscribe link'
is 'a link that is not ours' "$(curl -sS -o /dev/null -w '%{http_code}' "$GATEWAY/unsubscribe?t=AAAA")" 404
id=$(mail)
outbox_over "notification:$id"
is 'nothing more is sent' "$(mails_of "$id") $(seen "$id")" '0 cancelled | on the do-not-contact list'
ok 'no secret is in the log' eval "! grep -q -e SG.one.two -e sesame-1 '$VA_LOG'"
done_testing
