#!/bin/bash
# hooks.sh: events to a tenant's own end point and messages to phones, end to end. The stand-in checks the signature of
# each event. Every kind of failure, and what the user sees of it.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

outbox_start voiceagent.allow_private_urls=on || exit 1
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000, max_attempts = 4 WHERE kind IN ('hook.post', 'push.ntfy')" \
  -c "INSERT INTO settings VALUES ('outbox_limits', '{\"hook\": {\"breaker_failures\": 1000}, \"push\": {\"breaker_failures\": 1000}}')" \
  -c "SELECT va_tenant_create('Shop', 'general', '+15551230002')" >/dev/null
tenant=$(va_psql -c 'SELECT id FROM tenants')
va_psql -c "SELECT va_secret_set('$tenant', 'hook_secret', 'secret-of-the-test')" \
  -c "INSERT INTO event_hooks (tenant_id, url) VALUES ('$tenant', '$PROVIDERS_URL/hooks/in?secret=secret-of-the-test')" >/dev/null

# emit TYPE: an event of that type; $key is its effect's.
emit()
{
  va_psql -c "SELECT va_emit('$tenant', '$1', NULL, NULL, jsonb_build_object('text', 'Grüße \"x\" / y'))" >/dev/null
  event=$(va_psql -c "SELECT id FROM analytics_events WHERE event_type = '$1' ORDER BY created_at DESC LIMIT 1")
  key=$(va_psql -c "SELECT id FROM event_hooks")/$event
}
# Waits until an effect is over; attempts that wait for their time are made at once.
settled()
{
  va_psql -c "SELECT va_outbox_retry(id) FROM outbox WHERE attempt_key = '$1' AND state = 'later' AND ${2:-true}" >/dev/null
  va_is_true "SELECT NOT EXISTS (SELECT FROM outbox WHERE attempt_key = '$1')"
}
over()
{
  va_wait_until 40 settled "$@"
}
hook_is()
{
  va_psql -c "SELECT enabled, failing_since IS NOT NULL, coalesce(last_error, '') FROM event_hooks"
}

# ---- events
emit first
over "$key"
is 'an event arrives, rightly signed' "$(outbox_where "$key") $(ledger_count hook "$event")" 'done 1 1'
matches 'with its type' "$(grep "$event" "$PROVIDERS_LEDGER")" '"type":"first"'
va_psql -c "SELECT va_secret_set('$tenant', 'hook_secret', 'another-secret-than-theirs')" >/dev/null
emit wrong-secret
over "$key"
is 'one signed with another secret is refused' "$(outbox_where "$key") $(ledger_count hook "$event")" 'dead: failed 1 0'
matches 'and the user is told' "$(outbox_story "$key")" 'the signature does not hold.*HTTP 401.*Look at the credentials'
va_psql -c "SELECT va_secret_set('$tenant', 'hook_secret', 'short')" >/dev/null
emit bad-secret
over "$key"
matches 'a secret that is none' "$(outbox_story "$key")" 'Set the hook.s secret anew'
va_psql -c "SELECT va_secret_clear('$tenant', 'hook_secret')" >/dev/null
emit no-secret
over "$key"
matches 'no secret' "$(outbox_story "$key")" 'the secret "hook_secret" is not set.*va_secret_set'
va_psql -c "SELECT va_secret_set('$tenant', 'hook_secret', 'secret-of-the-test')" \
  -c "SELECT va_outbox_retry(id) FROM outbox_dead" >/dev/null
ok 'all three arrive when they are tried again' va_wait_for "SELECT count(*) = 0 FROM outbox_dead" 20
is 'and the hook is well' "$(hook_is)" 't|f|'
is 'what failed told no hook of itself' "$(grep -c '"type":"outbox.dead"' "$PROVIDERS_LEDGER")" 0

CATALOGUE_FAULT='"prefix": "/hooks"'
catalogue_begin()
{
  emit "$1"
}
# patient: what waits for its time is waited for.
catalogue_wait()
{
  over "$key" "$([ "$1" != patient ] || echo false)"
}
catalogue_happened()
{
  ledger_count hook "$event"
}
catalogue_seen()
{
  hook_is
}
catalogue bad-request '"body": "no such event"' 'dead: failed 1' 0 '^t\|t\|no such event \(HTTP 400\)$' 'no such event \(HTTP 400\)'
catalogue unauthorized '' 'dead: failed 1' 0 'HTTP 401' 'HTTP 401.*Look at the credentials'
catalogue forbidden '' 'dead: failed 1' 0 'HTTP 403' 'HTTP 403'
catalogue not-found '' 'dead: failed 1' 0 'HTTP 404' 'HTTP 404.*Look at the address'
catalogue conflict '' 'dead: failed 1' 0 'HTTP 409' 'HTTP 409'
catalogue limited '' 'done 2' 1 '^t\|f\|$' 'did not happen: .*HTTP 429'
catalogue limited-politely '' 'done 2' 1 '^t\|f\|$' 'did not happen: .*HTTP 429' patient
catalogue unavailable '' 'done 2' 1 '^t\|f\|$' 'did not happen: .*HTTP 503'
catalogue error '' 'done 2' 1 '^t\|f\|$' 'server_error \(HTTP 500\)'
catalogue error-after '' 'done 2' 2 '^t\|f\|$' 'server_error \(HTTP 500\)'
is 'error-after: by the same id, so that it can be recognised' "$(grep -c "\"id\":\"$event\",\"event\":\"hook\"" "$PROVIDERS_LEDGER")" 2
catalogue slow '' 'done 2' 2 '^t\|f\|$' 'timed out waiting for the answer'
catalogue cut-before '' 'done 2' 1 '^t\|f\|$' 'connection closed without an answer'
catalogue cut-after '' 'done 2' 2 '^t\|f\|$' 'connection closed without an answer'
catalogue cut-in-body '' 'done 2' 2 '^t\|f\|$' 'answer cut off'
catalogue garbage '' 'done 1' 1 '^t\|f\|$' 'attempt 1 succeeded'
catalogue redirect '' 'dead: failed 1' 0 'HTTP 307' 'HTTP 307.*Redirects are not followed'
catalogue_whole hooks
catalogue busy '"status": 408, "times": 4' 'dead: dead 4' 0 '^t\|t\|request_timeout \(HTTP 408\)$' 'dead letter'

# ---- end points that are left alone
va_psql -c "UPDATE event_hooks SET failing_since = now() - interval '6 days'"
provider_fault '{"prefix": "/hooks", "status": 408}'
emit too-long
over "$key"
is 'five days of failure disable it' "$(hook_is)" 'f|t|request_timeout (HTTP 408)'
emit nobody
is 'then it gets nothing' "$(outbox_where "$key")" ''
is 'an event says so' "$(va_psql -c "SELECT count(*) FROM analytics_events WHERE event_type = 'hook_disabled'")" 1
va_psql -c 'UPDATE event_hooks SET enabled = true, failing_since = NULL'
catalogue gone '"status": 410' 'dead: failed 1' 0 '^f' 'HTTP 410.*gone for good'
is 'who says that it is gone is believed' "$(va_psql -c 'SELECT enabled FROM event_hooks')" f

# ---- phones
va_psql -c "SELECT va_tenant_settings_set('$tenant', '{\"ntfy\": {\"base_url\": \"$PROVIDERS_URL/ntfy\"}}')" \
  -c "INSERT INTO human_agents (tenant_id, name, email, push_topic) VALUES ('$tenant', 'Ann', 'ann@example.com', 'ann')" >/dev/null
CATALOGUE_FAULT='"prefix": "/ntfy"'
# shellcheck disable=SC2034 # (of the catalogue)
CATALOGUE_PLACE=push
catalogue_begin()
{
  key=$1
  va_psql -c "SELECT va_push((SELECT id FROM human_agents), 'Title', '$1', key => '$1')" >/dev/null
}
catalogue_happened()
{
  grep '"event":"push"' "$PROVIDERS_LEDGER" | grep -c "\"message\":\"$key\""
}
catalogue well '' 'done 1' 1 '' 'attempt 1 succeeded'
matches 'a message arrives' "$(grep '"event":"push"' "$PROVIDERS_LEDGER")" '"id":"ann".*"title":"Title","message":"well"'
catalogue bad-request '' 'dead: failed 1' 0 '' 'HTTP 400.*did not understand the request'
catalogue unauthorized '' 'dead: failed 1' 0 '' 'HTTP 401.*set the secret ntfy_token'
catalogue forbidden '' 'dead: failed 1' 0 '' 'HTTP 403.*set the secret ntfy_token'
catalogue not-found '' 'dead: failed 1' 0 '' 'HTTP 404.*Look at the address'
catalogue conflict '' 'dead: failed 1' 0 '' 'HTTP 409'
catalogue limited '' 'done 2' 1 '' 'did not happen: .*HTTP 429'
catalogue limited-politely '' 'done 2' 1 '' 'did not happen: .*HTTP 429' patient
catalogue unavailable '' 'done 2' 1 '' 'did not happen: .*HTTP 503'
catalogue error '' 'done 2' 1 '' 'HTTP 500'
catalogue error-after '' 'done 2' 2 '' 'HTTP 500'
catalogue slow '' 'done 2' 2 '' 'timed out waiting for the answer'
catalogue cut-before '' 'done 2' 1 '' 'connection closed without an answer'
catalogue cut-after '' 'done 2' 2 '' 'connection closed without an answer'
catalogue cut-in-body '' 'done 2' 2 '' 'answer cut off'
catalogue garbage '' 'done 1' 1 '' 'attempt 1 succeeded'
catalogue redirect '' 'dead: failed 1' 0 '' 'HTTP 307'
catalogue_whole ntfy
provider_faults_clear
va_psql -c "UPDATE human_agents SET push_topic = 'private'" -c "SELECT va_push((SELECT id FROM human_agents), 'T', 'x', key => 'push-private')" >/dev/null
over push-private
matches 'a topic that needs a token' "$(outbox_story push-private)" 'HTTP 403.*set the secret ntfy_token'
va_psql -c "SELECT va_secret_set('$tenant', 'ntfy_token', 'tk_sandbox')" -c "SELECT va_outbox_retry(id) FROM outbox_dead WHERE attempt_key = 'push-private'" >/dev/null
over push-private
is 'and has it' "$(outbox_where push-private)" 'done 1'

# ---- addresses that are near
va_psql -c 'ALTER SYSTEM SET voiceagent.allow_private_urls = off' -c 'SELECT pg_reload_conf()' \
  -c "UPDATE event_hooks SET enabled = true" >/dev/null
va_wait_until 10 va_log_has 'parameter "voiceagent.allow_private_urls" changed'
guarded()
{
  emit "private"
  over "$key"
  [ "$(outbox_where "$key")" = 'dead: failed 1' ]
}
ok 'an end point may not be on this machine' va_wait_until 30 guarded
matches 'and the user is told' "$(outbox_story "$key")" 'on this machine or in a private network.*voiceagent.allow_private_urls'
is 'no secret in the log' "$(grep -c -e 'secret-of-the-test' -e tk_sandbox -e PANIC -e 'signal 11' "$VA_LOG")" 0
is 'nor in what a user can read' "$(va_psql -c "SELECT count(*) FROM (SELECT (to_jsonb(d) - 'payload')::text FROM outbox_dead d UNION ALL SELECT to_jsonb(h)::text FROM outbox_history h UNION ALL SELECT to_jsonb(a)::text FROM outbox_attempts a) x (t)
  WHERE t ~ 'secret-of-the-test|tk_sandbox'")" 0
done_testing
