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

done_testing
