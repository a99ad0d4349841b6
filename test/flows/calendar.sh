#!/bin/bash
# calendar.sh: appointments in Google Calendar, end to end over the stand-in: booked, moved, given to
# somebody else, cancelled; tokens; every kind of failure and what the user sees of it.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

outbox_start voiceagent.allow_private_urls=on || exit 1
GOOGLE=$PROVIDERS_URL/google
KEY=$VA_DIR/robot.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$KEY" 2>/dev/null
account()
{
  curl -sSf -o /dev/null --data-binary "{\"client_email\": \"robot@p.test\", \"delegated\": $1, \"public_key\": \"$(openssl pkey -in "${2:-$KEY}" -pubout | awk '{ printf "%s\\n", $0 }')\"}" "$GOOGLE/sandbox/account"
}
account false
va_psql -c "ALTER SYSTEM SET voiceagent.google_base_url = '$GOOGLE'" -c "ALTER SYSTEM SET voiceagent.google_token_url = '$GOOGLE/token'" \
  -c "SELECT pg_reload_conf()" >/dev/null
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000 WHERE kind = 'google.event'" -c "INSERT INTO outbox_providers (provider, breaker_failures) VALUES ('google', 1000)"
tenant=$(va_psql -c "SELECT va_tenant_create('Acme', 'real_estate', '+15551230002', settings => '{\"google\": {\"calendar_id\": \"team@g.test\", \"calendars\": {\"max@acme.test\": \"max@g.test\"}}}')")
key_file=$(awk '{ printf "%s\\n", $0 }' "$KEY")
va_psql -v tenant="$tenant" -v key="{\"client_email\": \"robot@p.test\", \"private_key_id\": \"k1\", \"private_key\": \"$key_file\"}" <<<"SELECT va_secret_set(:'tenant', 'google_service_account', :'key')" >/dev/null
lead=$(va_psql -c "SELECT va_lead_capture('$tenant', '{\"first_name\": \"Ann\", \"email\": \"ann@example.test\"}')")
max=$(va_psql -c "INSERT INTO human_agents (tenant_id, name, email, is_available) VALUES ('$tenant', 'Max', 'max@acme.test', true) RETURNING id")
eve=$(va_psql -c "INSERT INTO human_agents (tenant_id, name, email) VALUES ('$tenant', 'Eve', 'eve@acme.test') RETURNING id")
va_wait_for "SELECT current_setting('voiceagent.google_base_url') = '$GOOGLE'" 10

day=10
# book: an appointment of its own day with Eve; prints the id.
book()
{
  va_psql -c "SELECT va_appointment_book('$lead', date_trunc('day', now()) + interval '$1 days 15 hours', agent => '$eve', title => 'Visit', force => true)"
}
all_over()
{
  va_wait_for "SELECT NOT EXISTS (SELECT FROM outbox WHERE appointment_id = '$1')" "${2:-30}"
}
event()
{
  va_psql -c "SELECT concat_ws('|', google_calendar_event_id, google_calendar_id, google_calendar_error) FROM appointments WHERE id = '$1'"
}
did()
{
  ledger_count "$1" "${2//-/}"
}
# listed CALENDAR: the events that the calendar shows.
listed()
{
  grep -o "\"id\":\"[0-9a-f]*\",\"event\":\"\(inserted\|deleted\)\",\"calendar\":\"$1\"" "$PROVIDERS_LEDGER" |
    awk -F'"' '{ n[$4] += $8 == "inserted" ? 1 : -1 } END { for (id in n) s += n[id] > 0; print s + 0 }'
}

# ---- an appointment's life
a=$(book $day)
all_over "$a"
is 'booked: an event' "$(event "$a") $(did inserted "$a")" "${a//-/}|team@g.test 1"
matches 'with its time and title' "$(grep '"inserted"' "$PROVIDERS_LEDGER" | tail -n 1)" '"dateTime":"20[0-9-]*T15:00:00Z".*"summary":"Visit"'
va_psql -c "SELECT va_appointment_reschedule('$a', date_trunc('day', now()) + interval '11 days 16 hours', force => true)" >/dev/null
all_over "$a"
is 'moved: the same event, changed' "$(did inserted "$a") $(did patched "$a")" '1 1'
matches 'to the new time' "$(grep '"patched"' "$PROVIDERS_LEDGER" | tail -n 1)" '"dateTime":"20[0-9-]*T16:00:00Z"'
va_psql -c "SELECT va_appointment_reschedule('$a', date_trunc('day', now()) + interval '11 days 16 hours', agent => '$max', force => true)" >/dev/null
all_over "$a"
is 'given to somebody with a calendar of his own' "$(event "$a") $(did deleted "$a") $(did inserted "$a")" "${a//-/}|max@g.test 1 2"
va_psql -c "SELECT va_appointment_cancel('$a')" >/dev/null
all_over "$a"
is 'cancelled: the event goes' "$(event "$a") $(did deleted "$a") $(listed team@g.test) $(listed max@g.test)" ' 2 0 0'
is 'one token served for all' "$(ledger_count token robot@p.test)" 1

# ---- tokens
curl -sSf -o /dev/null -X POST --data-binary '{}' "$GOOGLE/sandbox/expire"
b=$(book 12)
all_over "$b"
is 'a token that is refused is asked for anew' "$(did inserted "$b") $(ledger_count token robot@p.test)" '1 2'

# ---- the catalogue of failures
CATALOGUE_FAULT='"prefix": "/google", "path": "/calendar/v3", "method": "POST"'
catalogue_begin()
{
  day=$((day + 10))
  c=$(book $day)
  key=appointment:$c:0
}
catalogue_wait()
{
  all_over "$c" 60
}
catalogue_happened()
{
  did inserted "$c"
}
catalogue_seen()
{
  event "$c"
}
reason()
{
  echo "\"status\": $1, \"body\": \"{\\\"error\\\":{\\\"message\\\":\\\"$3\\\",\\\"errors\\\":[{\\\"reason\\\":\\\"$2\\\"}]}}\""
}
there='\|team@g.test$'
catalogue bad-request "$(reason 400 invalid 'Invalid thing')" 'dead: failed 1' 0 '^Invalid thing\. Google does not take the event' 'HTTP 400'
catalogue unauthorized '"times": 2' 'dead: failed 1' 0 'neither the old token nor a new one' 'HTTP 401'
catalogue forbidden "$(reason 403 forbidden Forbidden)" 'dead: failed 1' 0 '^Forbidden\. Share the calendar with' 'HTTP 403'
catalogue service-accounts "$(reason 403 forbiddenForServiceAccounts 'Service accounts cannot invite')" 'dead: failed 1' 0 'domain-wide delegation' 'HTTP 403'
catalogue rate-limit "$(reason 403 rateLimitExceeded 'Rate Limit Exceeded')" 'done 2' 1 "$there" 'did not happen: Rate Limit Exceeded'
catalogue not-found "$(reason 404 notFound 'Not Found')" 'dead: failed 1' 0 '^Not Found\. There is no such calendar' 'HTTP 404'
# What is there already is changed. (The first attempt had put it there, and its answer was lost.)
catalogue conflict "$(reason 409 duplicate 'The requested identifier already exists.'), \"when\": \"after\"" 'done 1' 1 "$there" 'attempt 1 succeeded'
is 'conflict: the event is changed' "$(did patched "$c")" 1
catalogue limited '' 'done 2' 1 "$there" 'did not happen: .*HTTP 429'
catalogue limited-politely '' 'done 2' 1 "$there" 'did not happen: .*HTTP 429'
catalogue error '' 'done 2' 1 "$there" 'HTTP 500'
catalogue error-after '' 'done 2' 1 "$there" 'HTTP 500'
catalogue unavailable '' 'done 2' 1 "$there" 'HTTP 503'
catalogue slow '' 'done 2' 1 "$there" 'timed out waiting for the answer'
catalogue cut-before '' 'done 2' 1 "$there" 'connection closed without an answer'
catalogue cut-after '' 'done 2' 1 "$there" 'connection closed without an answer'
catalogue cut-in-body '' 'done 2' 1 "$there" 'cut off'
catalogue garbage '' 'done 2' 1 "$there" 'the answer'
catalogue redirect '' 'dead: failed 1' 0 'has moved' 'HTTP 307'
catalogue_whole Google

# ---- its tokens, each failure at a time when a new one is needed
CATALOGUE_FAULT='"prefix": "/google", "path": "/token"'
CATALOGUE_PLACE=token
expire()
{
  curl -sSf -o /dev/null -X POST --data-binary '{}' "$GOOGLE/sandbox/expire"
}
for name in limited limited-politely error unavailable slow cut-before cut-in-body garbage; do
  expire
  catalogue $name '' 'done 2' 1 "$there" 'attempt 1 \| did not happen: '
done
for name in unauthorized forbidden not-found conflict redirect; do
  expire
  catalogue $name '' 'dead: failed 1' 0 '^[a-z_ ]+ \(HTTP [34][0-9]+\)\. (Google does not take the service account|The credentials are known|Look at the address|The service )' 'HTTP [34]'
done
expire
catalogue bad-request '"body": "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid grant: account not found\"}"' 'dead: failed 1' 0 '^Invalid grant: account not found\. Google does not take the service account' 'HTTP 400'
catalogue_whole 'Google, tokens'
# shellcheck disable=SC2034 # (of the catalogue)
CATALOGUE_PLACE=

# ---- the service account
expire
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$VA_DIR/other.pem" 2>/dev/null
account false "$VA_DIR/other.pem"
catalogue wrong-key '' 'dead: failed 1' 0 '^Invalid JWT Signature\. Google does not take the service account' ''
account false
va_psql -c "UPDATE tenants SET settings = jsonb_set(settings, '{google}', '{\"calendar_id\": \"team@g.test\", \"invite\": true}')"
catalogue invites-without-delegation '' 'dead: failed 1' 0 '^Service accounts cannot invite.*"subject"' ''
va_psql -c "UPDATE tenants SET settings = jsonb_set(settings, '{google}', '{\"calendar_id\": \"team@g.test\", \"invite\": true, \"subject\": \"boss@acme.test\"}')"
catalogue not-delegated '' 'dead: failed 1' 0 'unauthorized to retrieve access tokens' ''
account true
catalogue delegated '' 'done 1' 1 'team@g.test$' ''
matches 'Google has the people' "$(grep '"inserted"' "$PROVIDERS_LEDGER" | tail -n 1)" '"attendees":\[\{"email":"ann@example.test"\},\{"email":"eve@acme.test"\}\]'
ok 'no key is in the log' eval "! grep -q 'PRIVATE KEY' '$VA_LOG'"
done_testing
