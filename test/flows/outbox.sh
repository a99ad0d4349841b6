#!/bin/bash
# outbox.sh: effects on their way out, end to end: launcher, dispatcher, stand-in. Every kind of
# failure, and what the user sees of it; a dispatcher that is killed, stopped, missing.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

outbox_start voiceagent.allow_private_urls=on || exit 1
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000 WHERE kind LIKE 'sink.%'" \
  -c "INSERT INTO settings VALUES ('outbox_limits', '{\"sink\": {\"breaker_failures\": 1000}}')"

# ---- all is well
outbox_add sink.post well '{"body": {"text": "hello"}}' >/dev/null
outbox_over well
is 'an effect arrives' "$(outbox_where well) $(ledger_count posted well)" 'done 1 1'
is 'and is added once' "$(outbox_add sink.post well)" "$(va_psql -c "SELECT id FROM outbox_history WHERE attempt_key = 'well'")"
va_psql -c "BEGIN; SELECT va_outbox_add(NULL, 'sink.post', 'undone'); ROLLBACK" >/dev/null
outbox_add sink.post after >/dev/null
outbox_over after
is 'what was rolled back is not sent' "$(ledger_count posted undone)" 0

# ---- the catalogue of failures
CATALOGUE_FAULT='"prefix": "/sink"'
kind=sink.post
catalogue_begin()
{
  key=$1
  outbox_add $kind "$1" >/dev/null
}
hurry()
{
  # A look comes ten seconds later: sooner here.
  va_wait_for "SELECT count(*) = 1 FROM outbox WHERE attempt_key = '$1' AND state = 'unknown'" 20 &&
    va_psql -c "UPDATE outbox SET run_at = now() WHERE attempt_key = '$1' AND state = 'unknown'"
}
catalogue_wait()
{
  [ "$1" != look ] || hurry "$key"
  outbox_over "$key" 40
}
catalogue_happened()
{
  ledger_count "$([ $kind = sink.put ] && echo put || echo posted)" "$key"
}
catalogue bad-request '"body": "no such field"' 'dead: failed 1' 0 '' '^dead letter \| no such field \(HTTP 400\) \| The service did not understand the request'
catalogue unauthorized '' 'dead: failed 1' 0 '' 'HTTP 401.*Look at the credentials'
catalogue forbidden '' 'dead: failed 1' 0 '' 'HTTP 403.*look at their rights'
catalogue not-found '' 'dead: failed 1' 0 '' 'HTTP 404.*Look at the address'
catalogue conflict '' 'dead: failed 1' 0 '' 'HTTP 409'
catalogue limited '"times": 2' 'done 3' 1 '' '^attempt 1 \| did not happen: too_many_requests \(HTTP 429\)'
catalogue limited-politely '' 'done 2' 1 '' 'did not happen: too_many_requests'
catalogue unavailable '' 'done 2' 1 '' 'did not happen: unavailable \(HTTP 503\)'
catalogue error '' 'done 2' 1 '' '^looked for the outcome \| the service has no trace of it' look
catalogue error-after '' 'done 1' 1 '' '^attempt 1 \| nobody knows whether it happened: server_error \(HTTP 500\)' look
catalogue slow '' 'done 1' 1 '' 'nobody knows whether it happened: timed out waiting for the answer' look
catalogue cut-before '' 'done 2' 1 '' 'connection closed without an answer' look
catalogue cut-after '' 'done 1' 1 '' 'connection closed without an answer' look
catalogue cut-in-body '' 'done 1' 1 '' 'answer cut off' look
catalogue garbage '' 'done 1' 1 '' 'the answer is not JSON' look
catalogue redirect '' 'dead: failed 1' 0 '' 'HTTP 307.*The service has moved'
catalogue_whole sink
kind=sink.put
catalogue repeatable '"cut": "after", "times": 2' 'done 3' 3 '' 'connection closed without an answer'
kind=sink.blind
catalogue blind '"cut": "after"' 'dead: unknown 1' 1 '' 'given to a person: nobody could tell.*Look at the service whether it has happened'
post='"prefix": "/sink", "method": "POST"'

# ---- dead letters
va_psql -c "SELECT va_outbox_retry(id) FROM outbox_dead WHERE attempt_key = 'unauthorized'" >/dev/null
outbox_over unauthorized
is 'a dead letter is tried again with one call' "$(outbox_where unauthorized) $(ledger_count posted unauthorized)" 'done 1 1'

# ---- a service that is down, and others that are not
va_psql -c "DELETE FROM outbox_queues" -c "UPDATE settings SET value = '{\"sink\": {\"breaker_failures\": 3, \"breaker_seconds\": 1}}' WHERE name = 'outbox_limits'" \
  -c "SELECT va_tenant_create('Down', 'general', NULL, settings => '{\"sink_url\": \"http://127.0.0.1:1\"}')" >/dev/null
va_psql -c "SELECT va_outbox_add((SELECT id FROM tenants), 'sink.put', 'down' || n) FROM generate_series(1, 50) n" >/dev/null
ok 'a breaker opens' va_wait_for "SELECT count(*) = 1 FROM outbox_queues WHERE breaker <> 'closed'"
outbox_add sink.post others >/dev/null
ok 'others are not held up' outbox_over others 5
matches 'va_health says so' "$(va_psql -c "SELECT detail FROM va_health() WHERE \"check\" LIKE 'service sink of down'")" 'failures in a row since .*: connection refused or unreachable'
va_psql -c "UPDATE tenants SET settings = jsonb_build_object('sink_url', '$PROVIDERS_URL/sink')" -c "UPDATE outbox SET run_at = now()"
ok 'when it is back all arrive' va_wait_for "SELECT count(*) = 50 FROM outbox_history WHERE attempt_key LIKE 'down%'" 60

# ---- private addresses
va_psql -c "ALTER SYSTEM SET voiceagent.allow_private_urls = off" -c "SELECT pg_reload_conf()" >/dev/null
va_wait_until 10 va_log_has 'parameter "voiceagent.allow_private_urls" changed'
guarded()
{
  va_psql -c "SELECT va_outbox_add((SELECT id FROM tenants), 'sink.put', 'private' || extract(epoch FROM clock_timestamp()))" >/dev/null
  va_wait_for "SELECT NOT EXISTS (SELECT FROM outbox WHERE attempt_key LIKE 'private%')" 10
  va_is_true "SELECT count(*) > 0 FROM outbox_dead WHERE attempt_key LIKE 'private%'"
}
ok 'a tenant''s address may not be on this machine' va_wait_until 20 guarded
matches 'and the user is told' "$(va_psql -c "SELECT last_error ->> 'code', last_error ->> 'hint' FROM outbox_dead WHERE attempt_key LIKE 'private%' LIMIT 1")" 'private_address.*voiceagent.allow_private_urls'
outbox_add sink.post platform >/dev/null
ok 'the administrator''s may' outbox_over platform 5

# ---- the dispatcher is killed while a request is under way
provider_fault "{$post, \"slow_ms\": 60000, \"times\": 1}"
outbox_add sink.post killed >/dev/null
ok 'a request is under way' va_wait_until 10 grep -q '"id":"killed","event":"posted"' "$PROVIDERS_LEDGER"
kill -KILL "$(dispatcher_pid)"
ok 'its outcome is unknown' va_wait_for "SELECT count(*) = 1 FROM outbox WHERE attempt_key = 'killed' AND state = 'unknown'" 20
matches 'for this reason' "$(outbox_story killed)" 'nobody knows whether it happened: the dispatcher ended before'
hurry killed
outbox_over killed
is 'it is found, and was not repeated' "$(outbox_where killed) $(ledger_count posted killed)" 'done 1 1'

# ---- the dispatcher is stopped in good order
provider_faults_clear
provider_fault "{$post, \"slow_ms\": 300, \"times\": 1}"
outbox_add sink.post stopped >/dev/null
va_wait_until 10 grep -q '"id":"stopped","event":"posted"' "$PROVIDERS_LEDGER"
va_psql -c "ALTER SYSTEM SET voiceagent.dispatcher_workers = 0" -c "SELECT pg_reload_conf()" >/dev/null
ok 'an answer under way is waited for' outbox_over stopped 10
is 'and counts' "$(outbox_where stopped)" 'done 1'
ok 'the dispatcher has gone' va_wait_for "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'voiceagent dispatcher%'" 10
outbox_add sink.post waits >/dev/null
va_psql -c "UPDATE outbox_dispatchers SET reported_at = now() - interval '1 minute'"
matches 'without one the story says so' "$(outbox_story waits)" '^waits \| for a dispatcher \| None runs'
va_psql -c "ALTER SYSTEM SET voiceagent.dispatcher_workers = 2" -c "SELECT pg_reload_conf()" >/dev/null
ok 'two go on where one stopped' outbox_over waits 20
ok 'va_stats knows both' va_wait_for "SELECT value = 2 FROM va_stats() WHERE name = 'outbox.dispatchers'" 20

# ---- many
va_psql -c "SELECT va_outbox_add(NULL, 'sink.post', 'many' || n, lane => CASE WHEN n % 10 = 0 THEN 'live' END) FROM generate_series(1, 3000) n" >/dev/null
ok 'three thousand by two dispatchers' va_wait_for "SELECT count(*) = 3000 FROM outbox_history WHERE attempt_key LIKE 'many%'" 60
is 'each once' "$(grep -o '"id":"many[0-9]*","event":"posted"' "$PROVIDERS_LEDGER" | sort | uniq -c | awk '{ print $1 }' | sort | uniq -c | tr -s ' ')" ' 3000 1'
is 'the hot table is empty' "$(va_psql -c 'SELECT count(*) FROM outbox')" 0
is 'no secret and no panic in the log' "$(grep -c -e PANIC -e 'signal 11' "$VA_LOG")" 0
done_testing
