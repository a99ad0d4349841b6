#!/bin/bash
# twilio_calls.sh: calls that the product places, over launcher, dispatcher, gateway and stand-in: people who answer,
# are busy, are machines; live calls that are steered; every kind of failure; one call at a time to a person.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"
# shellcheck source=../tools/twilio.sh
. "$(dirname "$0")/../tools/twilio.sh"

twilio_start voiceagent.dispatcher_workers=2 || exit 1

# dial TO [MORE ARGUMENTS]: sets $call
dial()
{
  call=$(row "SELECT va_dial('$TENANT', '$1'${2:+, $2})")
}
becomes()
{
  va_wait_for "SELECT status = '$1' FROM calls WHERE id = '${3:-$call}'" "${2:-15}"
}
seen()
{
  row "SELECT concat_ws(' | ', status, error_code, error_message, error_hint) FROM calls WHERE id = '${1:-$call}'"
}
said()
{
  row "SELECT count(*) FROM calls c, jsonb_array_elements(c.transcript) e WHERE c.id = '$call' AND e ->> 'role' = '$1'"
}
live_sid()
{
  row "SELECT twilio_call_sid FROM calls WHERE id = '$call'"
}
did()
{
  grep -c "\"id\":\"$(live_sid)\",\"event\":\"$1\"" "$PROVIDERS_LEDGER"
}

# ---- somebody answers, and talks
dial +15550400001 "greeting => 'Hello! Thank you for calling ABC Realty. I''m Sarah, how may I help you today?'"
ok 'a person answers' becomes in-progress 20
ok 'and talks to the end' becomes completed 60
is 'the whole conversation is there' "$(row "SELECT direction, conversation_turns >= 8, answered_by, duration_seconds > 5 FROM calls WHERE id = '$call'")" 'outbound|t|human|t'
is 'both sides of it' "$([ "$(said user)" -ge 4 ] && [ "$(said agent)" -ge 4 ] && echo yes)" yes
is 'one call was placed' "$(twilio_made call_created +15550400001) $(outbox_where "$call")" '1 done 1'
is 'the agent greeted first' "$(row "SELECT transcript -> 0 ->> 'role' FROM calls WHERE id = '$call'")" agent
is 'nothing broke the protocol' "$(did violation)" 0
is 'what the person said is on the lead' "$(row "SELECT l.first_name FROM leads l JOIN calls c ON c.lead_id = l.id WHERE c.id = '$call'")" Maria

# ---- nobody does
for how in busy no-answer failed; do
  twilio_number "+1555040010${#how}" "\"answers\": \"$how\""
  dial "+1555040010${#how}"
  ok "$how" becomes $how
  is "$how: one call" "$(twilio_made call_created "+1555040010${#how}")" 1
done

# ---- machines
twilio_number +15550400201 '"answers": "machine"'
dial +15550400201
ok 'a machine is hung up on' becomes completed
is 'and known as one' "$(row "SELECT answered_by, outcome FROM calls WHERE id = '$call'")" 'machine_start|machine'
twilio_number +15550400202 '"answers": "machine", "amd_ms": 1500'
dial +15550400202 "options => '{\"machine\": \"message\", \"machine_message\": \"This is {{company}}. Please call us back.\"}'"
ok 'or gets a message' becomes completed 20
is 'with the words set' "$(row "SELECT answered_by, outcome FROM calls WHERE id = '$call'") $(grep -c "\"id\":\"$(live_sid)\".*\"verb\":\"Say\",\"text\":\"This is Tenant $OURS. Please call us back.\"" "$PROVIDERS_LEDGER")" 'machine_end_beep|message_left 1'

# ---- what Twilio refuses
refused()
{
  dial "$1"
  ok "$1: failed" becomes failed
  matches "$1: what the user sees" "$(seen)" "$2"
  is "$1: no call" "$(twilio_made call_created "$1")" 0
}
refused +15005550001 '^failed \| 21211 \| the number is not valid .* \| Correct the lead.s number'
refused +15005550002 '^failed \| 21214 \| the number cannot be reached'
refused +15005550003 '^failed \| 21215 \| calls to this country or number are not allowed .*Geo permissions'
refused +15005550009 '^failed \| 21219 \| a trial account .*Verify the number'
twilio_number +15550400301 '"code": 13223, "status": 400'
refused +15550400301 '^failed \| 13223 '

# ---- the catalogue of failures
CATALOGUE_FAULT='"prefix": "/twilio", "method": "POST", "path": "/Calls.json"'
counter=100
catalogue_begin()
{
  counter=$((counter + 1))
  number=+1555041$counter
  twilio_number "$number" '"answers": "quick", "talk_ms": 300, "ring_ms": 100'
  dial "$number"
  key=$call
}
# look: without a callback, Twilio's list is read.
catalogue_wait()
{
  [ "$1" != look ] || twilio_hurry "$call"
  va_wait_for "SELECT status IN ('completed', 'failed') FROM calls WHERE id = '$call'" 25
  outbox_over "$call" 20
}
catalogue_happened()
{
  twilio_made call_created "$number"
}
catalogue_seen()
{
  seen
}
twilio_says()
{
  printf '"body": "{\\"code\\": %s, \\"message\\": \\"Words of Twilio\\", \\"status\\": %s}"' "$2" "$1"
}
catalogue bad-request "$(twilio_says 400 21201)" 'dead: failed 1' 0 '^failed \| 21201 \|' 'HTTP 400'
catalogue unauthorized "$(twilio_says 401 20003)" 'dead: failed 1' 0 '^failed \| 20003 .*twilio_auth_token' 'HTTP 401'
catalogue forbidden '' 'dead: failed 1' 0 '^failed \| forbidden' 'HTTP 403'
catalogue not-found "$(twilio_says 404 20404)" 'dead: failed 1' 0 '^failed \| 20404' 'HTTP 404'
catalogue conflict '' 'dead: failed 1' 0 '^failed \| conflict' 'HTTP 409'
catalogue limited "$(twilio_says 429 20429)" 'done 2' 1 '^completed$' 'did not happen: too many requests at once'
catalogue limited-politely "$(twilio_says 429 20429)" 'done 2' 1 '^completed$' 'did not happen: too many requests at once'
catalogue error '' 'done 2' 1 '^completed$' 'looked for the outcome \| the service has no trace of it' look
catalogue error-after '' 'done 1' 1 '^completed$' 'done'
catalogue unavailable '' 'done 2' 1 '^completed$' 'nobody knows whether it happened' look
catalogue slow '' 'done 1' 1 '^completed$' 'done'
catalogue cut-before '' 'done 2' 1 '^completed$' 'closed without an answer' look
catalogue cut-after '' 'done 1' 1 '^completed$' 'done'
catalogue cut-in-body '' 'done 1' 1 '^completed$' 'done'
catalogue garbage '' 'done 1' 1 '^completed$' 'done'
catalogue redirect '' 'dead: failed 1' 0 '^failed \| .*redirect' 'HTTP 307'
catalogue_whole 'Twilio, calls'

# ---- a live call is steered
va_psql -c "INSERT INTO human_agents (tenant_id, name, email, phone, priority) VALUES ('$TENANT', 'Ann', 'ann@example.com', '+15550500001', 9),
  ('$TENANT', 'Ben', 'ben@example.com', '+15550500002', 1)"
twilio_number +15550500001 '"answers": "busy"'
twilio_number +15550500002 '"answers": "human", "talk_ms": 6000'
live()
{
  twilio_number "$1" '"answers": "human", "scenario": "silent"'
  dial "$1" "options => '{\"machine\": \"off\"}'"
  becomes in-progress 15
  va_wait_for "SELECT count(*) = 1 FROM call_metrics WHERE call_id = '$call' AND first_audio_at IS NOT NULL" 15
}
ok 'a call is on the line' live +15550400401
row "SELECT va_say('$call', 'Your colleague is on the way.')" >/dev/null
ok 'words of ours are said in it' va_wait_until 10 eval '[ "$(grep -c "\"text\":\"Your colleague is on the way.\"" "$PROVIDERS_LEDGER")" = 1 ]'
ok 'and the conversation goes on in a new stream' va_wait_for "SELECT count(*) = 2 FROM call_metrics WHERE call_id = '$call' AND stream_started_at IS NOT NULL" 15
is 'the call is still on the line' "$(seen)" in-progress
transfer=$(row "SELECT transfer_id FROM va_transfer('$call')")
ok 'who is busy is passed over for the next one' va_wait_for "SELECT state = 'joined' AND target = '+15550500002' FROM call_transfers WHERE id = '$transfer'" 15
is 'both were called once' "$(twilio_made participant_created +15550500001) $(twilio_made participant_created +15550500002)" '1 1'
# member SID: what Twilio was last told of somebody in the conference
member()
{
  grep "\"id\":\"$1\",\"event\":\"participant_updated\"" "$PROVIDERS_LEDGER" | tail -n 1 | sed 's/.*"muted"/"muted"/'
}
leg=$(row "SELECT leg_sid FROM call_transfers WHERE id = '$transfer'")
row "SELECT va_call_mute('$call', 'person')" >/dev/null
ok 'the person is muted' va_wait_until 10 eval '[ "$(member "$leg")" = "\"muted\":true,\"hold\":false,\"hold_url\":\"\"}" ]'
row "SELECT va_call_mute('$call', 'person', false)" >/dev/null
ok 'and heard again' va_wait_until 10 eval '[ "$(member "$leg")" = "\"muted\":false,\"hold\":false,\"hold_url\":\"\"}" ]'
row "SELECT va_call_hold('$call', url => 'https://music.test/hold.mp3')" >/dev/null
ok 'the caller is on hold, to this music' va_wait_until 10 eval '[ "$(member "$(live_sid)")" = "\"muted\":false,\"hold\":true,\"hold_url\":\"https://music.test/hold.mp3\"}" ]'
row "SELECT va_call_hold('$call', held => false)" >/dev/null
ok 'and back' va_wait_until 10 eval '[ "$(member "$(live_sid)")" = "\"muted\":false,\"hold\":false,\"hold_url\":\"\"}" ]'
twilio_number +15550500003 '"answers": "human", "talk_ms": 20000'
row "SELECT va_call_coach('$call', '+15550500003')" >/dev/null
ok 'a colleague coaches' va_wait_until 10 eval '[ "$(twilio_made participant_created +15550500003)" = 1 ]'
is 'nothing of it was refused' "$(row "SELECT string_agg(last_error::text, ' ') FROM outbox_dead WHERE call_id = '$call'")$(seen)" in-progress
ok 'they talk, and the call is over' becomes completed 20
is 'as is the transfer' "$(row "SELECT state, tries FROM call_transfers WHERE id = '$transfer'") $(row "SELECT outcome, escalated_to_human FROM calls WHERE id = '$call'")" 'ended|2 transferred|t'
is 'who has talked is free again' "$(row "SELECT string_agg(name || ' ' || current_call_count || ' ' || total_calls_handled, ', ' ORDER BY name) FROM human_agents")" 'Ann 0 0, Ben 0 1'
twilio_number +15550500002 '"answers": "no-answer"'
ok 'another call' live +15550400402
transfer=$(row "SELECT transfer_id FROM va_transfer('$call')")
ok 'when nobody takes it the caller may leave a message' va_wait_until 20 eval '[ "$(did verb)" -ge 1 ] && grep -q "\"id\":\"$(live_sid)\".*\"verb\":\"Record\"" "$PROVIDERS_LEDGER"'
is 'and the transfer has failed' "$(row "SELECT state, tries FROM call_transfers WHERE id = '$transfer'")" 'failed|2'
ok 'that call ends' becomes completed 20
ok 'a third one' live +15550400403
is 'is ended by us' "$(row "SELECT va_hangup('$call')")" t
ok 'at once' becomes completed 10

# ---- recordings
twilio_number +15550400501 '"answers": "quick", "talk_ms": 300'
row "SELECT va_consent_record('$TENANT', '+15550400501', 'recording', true, 'web form')" >/dev/null
dial +15550400501 "options => '{\"record\": true}'"
ok 'a recorded call' va_wait_for "SELECT recording_sid LIKE 'RE%' AND status = 'completed' FROM calls WHERE id = '$call'" 15
row "SELECT va_recording_delete('$call')" >/dev/null
ok 'its recording is deleted' va_wait_for "SELECT recording_url IS NULL FROM calls WHERE id = '$call'" 10
is 'at Twilio' "$(grep -c '"event":"recording_deleted"' "$PROVIDERS_LEDGER")" 1

# ---- the dispatcher dies while Twilio places the call
twilio_number +15550400601 '"answers": "quick", "talk_ms": 300, "ring_ms": 1500'
provider_fault '{"prefix": "/twilio", "method": "POST", "path": "/Calls.json", "times": 1, "slow_ms": 60000}'
dial +15550400601
ok 'Twilio has it' va_wait_until 10 eval '[ "$(twilio_made call_created +15550400601)" = 1 ]'
pkill -KILL -P "$(row "SELECT pid FROM pg_stat_activity WHERE backend_type = 'voiceagent launcher'")" -f 'voiceagent dispatcher'
ok 'its webhooks are enough' becomes completed 20
outbox_over "$call"
is 'nobody was called twice' "$(twilio_made call_created +15550400601) $(row "SELECT outcome FROM outbox_history WHERE attempt_key = '$call'")" '1 done'
provider_faults_clear

# ---- one call at a time to a person, whoever asks
twilio_number +15550400701 '"answers": "quick", "talk_ms": 400'
row "SELECT va_dial('$TENANT', '+15550400701') FROM generate_series(1, 4)" >/dev/null
ok 'four calls to one person' va_wait_for "SELECT count(*) = 4 FROM calls WHERE to_number = '+15550400701' AND status = 'completed'" 90

# ---- two campaigns at the same people, and calls by hand among them
va_psql -c "INSERT INTO leads (tenant_id, phone, source) SELECT '$TENANT', '+155504008' || lpad(n::text, 2, '0'), 'fair' FROM generate_series(1, 20) n"
for n in $(seq -w 1 20); do
  case $n in
    05 | 15) how=busy ;;
    10) how=no-answer ;;
    *) how=quick ;;
  esac
  twilio_number "+155504008$n" "\"answers\": \"$how\", \"talk_ms\": 200, \"ring_ms\": 50"
done
va_psql -c "INSERT INTO campaigns (tenant_id, name, audience, calls_per_minute, concurrent, retry, options)
  SELECT '$TENANT', name, '{\"source\": \"fair\"}', 1200, 8, '{\"busy\": {\"minutes\": 0, \"attempts\": 2}, \"no-answer\": {\"attempts\": 1}}', '{\"machine\": \"off\"}' FROM unnest(ARRAY['East', 'West']) name" \
  -c 'SELECT va_campaign_start(id) FROM campaigns' -c "SELECT va_dial('$TENANT', '+15550400803'), va_dial('$TENANT', '+15550400804')" >/dev/null
ok 'both campaigns come to their end' va_wait_for "SELECT count(*) = 2 FROM campaigns WHERE status = 'finished' AND why = 'everybody was called'" 360
is 'everybody was reached or given up, as the rules say' "$(row "SELECT done, given_up, skipped, calls FROM campaign_progress ORDER BY name")" $'17|3|0|22\n17|3|0|22'
is 'each call was placed once' "$(row "SELECT count(*) FROM calls WHERE to_number LIKE '+155504008%'") $(grep -c '"event":"call_created","to":"+155504008' "$PROVIDERS_LEDGER")" '46 46'
# In the order of the ledger: a number that is dialled must not be on the line.
is 'nobody had two calls at once' "$(awk -F '"' '
  /"event":"call_created"/ { sid = to = ""; for (i = 1; i < NF; i++) { if ($i == "id") sid = $(i + 2); if ($i == "to") to = $(i + 2) }
    if (on[to] != "") print to; on[to] = sid; of[sid] = to }
  /"event":"line_over"/ { for (i = 1; i < NF; i++) if ($i == "id") { sid = $(i + 2); if (on[of[sid]] == sid) on[of[sid]] = "" } }' "$PROVIDERS_LEDGER")" ''
is 'nothing is left behind' "$(row "SELECT count(*) FROM outbox") $(row "SELECT count(*) FROM calls WHERE status IN ('queued', 'initiated', 'ringing', 'in-progress')")" '0 0'
is 'nothing secret is in the log' "$(grep -c -e "$LAB_TOKEN" -e PANIC "$VA_LOG")" 0
done_testing
