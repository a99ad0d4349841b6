#!/bin/bash
# traces.sh: the trace of a call on its way to a collector, end to end; every kind of failure, and what the user sees.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"

outbox_start voiceagent.allow_private_urls=on || exit 1
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 3000 WHERE kind = 'otlp.trace'" \
  -c "INSERT INTO settings VALUES ('outbox_limits', '{\"otlp\": {\"breaker_failures\": 1000}}')" \
  -c "SELECT va_tenant_create('Shop', 'general', '+15551230002')" >/dev/null
tenant=$(va_psql -c 'SELECT id FROM tenants')
collector="{\"otlp\": {\"endpoint\": \"$PROVIDERS_URL/otlp/v1/traces\", \"headers\": {\"x-project\": \"p\"}}}"
va_psql -c "SELECT va_tenant_settings_set('$tenant', '$collector')" -c "SELECT va_secret_set('$tenant', 'otlp_headers', E'x-api-key: k-e-y\nx-more: yes')" >/dev/null

# ended SID: a call that is over, with a stream and a tool; its trace is due at once. Prints the call's id.
ended()
{
  va_psql -c "INSERT INTO calls (tenant_id, direction, from_number, to_number, twilio_call_sid, status, started_at, transcript) VALUES ('$tenant', 'inbound', '+15551230001', '+15551230002', '$1', 'in-progress', now(), '[{\"role\": \"user\", \"text\": \"zebrafish\"}]')" \
    -c "INSERT INTO call_metrics (tenant_id, call_id, stream_sid, stream_started_at, ended_at, first_audio_at, first_audio_ms) SELECT tenant_id, id, 'MZ$1', now(), now() + interval '5 seconds', now() + interval '1 second', 900 FROM calls WHERE twilio_call_sid = '$1'" \
    -c "INSERT INTO tool_invocations (tenant_id, call_id, invocation_id, tool, arguments, answer, duration_ms) SELECT tenant_id, id, 'i1', 'capture_lead', '{}', '{}', 40 FROM calls WHERE twilio_call_sid = '$1'" \
    -c "UPDATE calls SET status = 'completed', ended_at = now() + interval '6 seconds' WHERE twilio_call_sid = '$1'" \
    -c "SELECT id FROM calls WHERE twilio_call_sid = '$1'"
}
settled()
{
  va_psql -c "SELECT va_outbox_retry(id) FROM outbox WHERE attempt_key = '$1' AND state = 'later'" >/dev/null
  va_is_true "SELECT NOT EXISTS (SELECT FROM outbox WHERE attempt_key = '$1')"
}
over()
{
  va_wait_until 40 settled "$1"
}
spans()
{
  ledger_count span "${1//-/}"
}
CATALOGUE_FAULT='"prefix": "/otlp"'
catalogue_begin()
{
  call=$(ended "$1")
  key=$call
}
# now: attempts that wait for their time are made at once.
catalogue_wait()
{
  if [ "$1" = patient ]; then
    va_psql -c "SELECT va_outbox_retry(id) FROM outbox WHERE attempt_key = '$key' AND attempts = 0" >/dev/null
    outbox_over "$key" 40
  else
    over "$key"
  fi
}
catalogue_happened()
{
  spans "$call"
}

call=$(ended well)
is 'a trace waits for the last reports' "$(outbox_where "$call")" 'later 0'
over "$call"
is 'it arrives, with a span of the call, its stream, its tool' "$(outbox_where "$call") $(spans "$call")" 'done 1 3'
is 'one trace' "$(grep '"event":"span"' "$PROVIDERS_LEDGER" | sed 's/.*"name":"\([^"]*\)".*/\1/' | tr '\n' ',')" 'invoke_agent Sarah,chat,execute_tool capture_lead,'
catalogue bad-request '' 'dead: failed 1' 0 '' 'HTTP 400.*did not understand the request'
catalogue unauthorized '' 'dead: failed 1' 0 '' 'HTTP 401.*Look at the credentials'
catalogue forbidden '' 'dead: failed 1' 0 '' 'HTTP 403.*look at their rights'
catalogue not-found '' 'dead: failed 1' 0 '' 'HTTP 404.*Look at the address'
catalogue conflict '' 'dead: failed 1' 0 '' 'HTTP 409'
catalogue limited '' 'done 2' 3 '' 'did not happen: .*HTTP 429'
catalogue limited-politely '' 'done 2' 3 '' 'did not happen: .*HTTP 429' patient
catalogue unavailable '' 'done 2' 3 '' 'did not happen: .*HTTP 503'
catalogue error '' 'done 2' 3 '' 'HTTP 500'
catalogue error-after '' 'done 2' 6 '' 'HTTP 500'
catalogue slow '' 'done 2' 6 '' 'timed out waiting for the answer'
is 'slow: what came twice has the same ids' "$(grep "\"id\":\"${call//-/}\"" "$PROVIDERS_LEDGER" | grep -o '"span":"[^"]*"' | sort -u | wc -l)" 3
catalogue cut-before '' 'done 2' 3 '' 'connection closed without an answer'
catalogue cut-after '' 'done 2' 6 '' 'connection closed without an answer'
catalogue cut-in-body '' 'done 2' 6 '' 'answer cut off'
catalogue garbage '' 'done 1' 3 '' 'attempt 1 succeeded'
catalogue redirect '' 'dead: failed 1' 0 '' 'HTTP 307'
catalogue_whole otlp
catalogue in-part '"status": 200, "body": "{\"partialSuccess\": {\"rejectedSpans\": \"2\", \"errorMessage\": \"too old\"}}"' 'done 1' 0 '' 'attempt 1 succeeded'
matches 'in-part: what was refused is kept' "$(va_psql -c "SELECT result FROM outbox_history WHERE attempt_key = '$call'")" '"rejectedSpans": "2"'
provider_faults_clear
va_psql -c "SELECT va_secret_set('$tenant', 'otlp_headers', 'no header')" >/dev/null
call=$(ended bad-headers)
over "$call"
matches 'headers that are none' "$(outbox_story "$call")" 'the headers cannot be sent.*Write the secret otlp_headers'
va_psql -c "SELECT va_tenant_settings_set('$tenant', '{\"otlp\": null}')" >/dev/null
call=$(ended off)
is 'without a collector nothing is sent' "$(outbox_where "$call")" ''
is 'nothing of what was said' "$(cat "$PROVIDERS_LEDGER" "$VA_LOG" | grep -c zebrafish)" 0
is 'no secret in the log' "$(grep -c -e 'k-e-y' -e PANIC -e 'signal 11' "$VA_LOG")" 0
done_testing
