#!/bin/bash
# smtp.sh: e-mails by a mail server, end to end over the stand-in: what a server may say at each step of a mail,
# where it falls silent or talks nonsense, and what the user sees of it. (TLS, and mailboxes that a real reader of
# mails reads, are test/peers/smtp.sh's.)
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

outbox_start voiceagent.allow_private_urls=on || exit 1
port=$(curl -sS "$PROVIDERS_URL/smtp/sandbox/port" | tr -dc 0-9)
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000 WHERE kind = 'smtp.mail'" \
  -c "INSERT INTO outbox_providers (provider, breaker_failures) VALUES ('smtp', 1000)" >/dev/null
tenant=$(va_psql -c "SELECT va_tenant_create('Acme', 'real_estate', '+15551230002', settings => '{\"email\": {\"from\": \"sales@acme.test\"},
  \"contact_limits\": {\"email\": {\"day\": 1000, \"week\": 1000}}}')")
# server MEMBERS: the setting smtp, besides host and port.
server()
{
  va_psql -c "SELECT va_tenant_settings_set('$tenant', '{\"smtp\": {\"host\": \"127.0.0.1\", \"port\": ${2:-$port}, $1}}')" >/dev/null
}
password()
{
  va_psql -c "SELECT va_secret_set('$tenant', 'smtp_password', '$1')" >/dev/null
}

CATALOGUE_FAULT='"prefix": "/smtp"'
# shellcheck disable=SC2034 # (a mail server knows no HTTP: its failures are these)
CATALOGUE_MUST='greeting-refused greeting-busy greeting-slow greeting-cut greeting-garbage wrong-password password-unchecked no-tls no-server
  refused put-off too-large busy slow cut-before cut-after cut-in-reply garbage'
catalogue_begin()
{
  id=$(va_psql -c "INSERT INTO notifications (tenant_id, channel, direction, to_address, subject, body, notification_type)
    VALUES ('$tenant', 'email', 'outbound', 'ann@example.test', 'Grüße', 'Dear Ann', 'follow_up') RETURNING id")
  key=notification:$id
}
# What is tried again is tried at once.
over()
{
  va_psql -c "SELECT va_outbox_retry(id) FROM outbox WHERE attempt_key = '$key' AND state = 'later'" >/dev/null
  va_is_true "SELECT NOT EXISTS (SELECT FROM outbox WHERE attempt_key = '$key')"
}
catalogue_wait()
{
  va_wait_until 40 over
}
catalogue_seen()
{
  va_psql -c "SELECT concat_ws(' | ', status, error_message) FROM notifications WHERE id = '$id'"
}
catalogue_happened()
{
  ledger_count mail "$(va_psql -c "SELECT message_id FROM notifications WHERE id = '$id'")"
}

server '"security": "none", "user": "acme"'
catalogue no-password '' 'dead: failed 1' 0 '^failed \| the password of the mail server is missing. SELECT va_secret_set' ''
password wrong
catalogue wrong-password '' 'dead: failed 1' 0 '^failed \| 535 5.7.8 .*Look at "user" in the setting smtp' 'refused: 535'
password hush
catalogue well '' 'done 1' 1 '^sent$' 'attempt 1 succeeded'
catalogue password-unchecked '"method": "AUTH", "status": 454, "body": "4.7.0 ask later"' 'done 2' 1 '^sent$' 'did not happen: 454 4.7.0 ask later'
server '"security": "starttls"'
catalogue no-tls '' 'dead: failed 1' 0 '^failed \| the server offers no TLS\. Set "security"' ''
server '"security": "none"' 1
catalogue_begin no-server
ok 'no-server: it is tried' va_wait_for "SELECT count(*) > 0 FROM outbox_attempts a JOIN outbox o ON o.id = a.outbox_id WHERE o.attempt_key = '$key'" 20
matches 'no-server: meanwhile' "$(outbox_story "$key")" 'did not happen: connection refused or unreachable'
server '"security": "none"'
catalogue_wait
matches 'no-server: it goes when the server is back' "$(outbox_where "$key") $(catalogue_happened) $(catalogue_seen)" '^done [2-9] 1 sent$'
catalogue_shown[no-server]=1

# ---- before anything is sent
catalogue greeting-refused '"method": "CONNECT", "status": 554, "body": "5.3.2 no service here"' 'dead: failed 1' 0 '^failed \| 554 5.3.2 no service here\. The server refuses' ''
catalogue greeting-busy '"method": "CONNECT", "status": 421, "body": "4.3.2 too busy"' 'done 2' 1 '^sent$' 'did not happen: 421 4.3.2 too busy'
catalogue greeting-slow '"method": "CONNECT", "slow_ms": 60000' 'done 2' 1 '^sent$' 'did not happen: timed out'
catalogue greeting-cut '"method": "CONNECT", "cut": "before"' 'done 2' 1 '^sent$' 'did not happen: '
catalogue greeting-garbage '"method": "CONNECT", "garbage": true' 'done 2' 1 '^sent$' 'did not happen: '

# ---- what it says of sender, recipient and mail
catalogue sender '"method": "MAIL", "status": 550, "body": "5.7.1 sender not allowed"' 'dead: failed 1' 0 '^failed \| 550 5.7.1 .*does not let this sender' 'refused: 550'
catalogue login-wanted '"method": "MAIL", "status": 530, "body": "5.7.0 authentication required"' 'dead: failed 1' 0 '^failed \| 530 5.7.0 authentication required' ''
catalogue refused '"method": "RCPT", "status": 550, "body": "5.1.1 no such user"' 'dead: failed 1' 0 '^failed \| 550 5.1.1 no such user\. The recipient.s address does not exist' ''
catalogue moved '"method": "RCPT", "status": 551, "body": "5.1.6 try <ann@elsewhere.test>"' 'dead: failed 1' 0 '^failed \| 551 5.1.6 try <ann@elsewhere.test>' ''
catalogue put-off '"method": "RCPT", "status": 451, "body": "4.7.1 greylisted"' 'done 2' 1 '^sent$' 'did not happen: 451 4.7.1 greylisted'
catalogue no-text '"method": "DATA", "status": 554, "body": "5.5.1 no valid recipients"' 'dead: failed 1' 0 '^failed \| 554 5.5.1' ''
catalogue too-large '"method": "TEXT", "status": 552, "body": "5.3.4 too large"' 'dead: failed 1' 0 '^failed \| 552 5.3.4 too large\. The mail is too large' ''
catalogue busy '"method": "TEXT", "status": 452, "body": "4.3.1 disk full"' 'done 2' 1 '^sent$' 'did not happen: 452 4.3.1 disk full'

# ---- where it falls silent: before the whole mail is there nothing has happened, afterwards nobody knows
catalogue slow-before '"method": "RCPT", "slow_ms": 60000' 'done 2' 1 '^sent$' 'did not happen: timed out waiting'
catalogue cut-early '"method": "RCPT", "cut": "before"' 'done 2' 1 '^sent$' 'did not happen: connection lost'
unsure='^sending \| It is not known whether this e-mail was sent: .*ask the recipient, or the server.s log'
catalogue slow '"method": "TEXT", "slow_ms": 60000' 'dead: unknown 1' 1 "$unsure" 'given to a person.*timed out waiting for the answer.*va_outbox_retry'
catalogue cut-before '"method": "TEXT", "cut": "before"' 'dead: unknown 1' 0 "$unsure" 'connection lost'
catalogue cut-after '"method": "TEXT", "cut": "after"' 'dead: unknown 1' 1 "$unsure" 'connection lost'
catalogue cut-in-reply '"method": "TEXT", "cut": "body"' 'dead: unknown 1' 1 "$unsure" ''
catalogue garbage '"method": "TEXT", "garbage": true' 'dead: unknown 1' 1 "$unsure" ''
catalogue_whole smtp

# ---- a server that says nothing holds up nobody else, nor the end of the dispatcher
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 60000 WHERE kind = 'smtp.mail'"
provider_fault '{"prefix": "/smtp", "method": "TEXT", "slow_ms": 120000}'
catalogue_begin held-up
ok 'a mail is sent, and no answer comes' va_wait_until 20 eval '[ "$(catalogue_happened)" = 1 ]'
outbox_add sink.post meanwhile >/dev/null
ok 'other effects go on' outbox_over meanwhile 10
is 'while it still waits' "$(outbox_where "$key")" 'leased 1'
va_psql -c 'ALTER SYSTEM SET voiceagent.dispatcher_workers = 0' -c 'SELECT pg_reload_conf()' >/dev/null
ok 'the dispatcher ends' va_wait_for "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'voiceagent dispatcher%'" 10
matches 'and says that it does not know' "$(outbox_where "$key") $(catalogue_seen)" '^dead: unknown 1 sending \| It is not known whether this e-mail was sent: the dispatcher was stopped'

ok 'no password is in the log or the ledger' eval "! grep -q -w -e hush -e AGFjbWUAaHVzaA== '$VA_LOG' '$PROVIDERS_LEDGER'"
done_testing
