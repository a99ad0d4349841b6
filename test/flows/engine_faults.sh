#!/bin/bash
# engine_faults.sh: a voice engine that refuses, fails, dawdles, never gets ready or talks nonsense.
# Either the conversation comes off all the same, or the caller hears an apology and can leave a
# message; nothing hangs, and the rows say why.
. "$(dirname "$0")/lib.sh"

flow_start || exit 1
number=1000
# faulty NAME SCENARIO FAULT: a tenant whose engine has that fault, and a call to it. NAME: of the
# tenant and the call, and the scenario that the caller follows is SCENARIO.
calls=()
faulty()
{
  local name=$1 scenario=$2 fault=$3,id=$1 settings
  number=$((number + 1))
  settings="\"scenario\": \"$scenario\", \"fault\": \"$fault\""
  [ "${scenario%-rt}" != "$scenario" ] || settings="\"metadata\": {$settings}"
  flow_tenant "+1555123$number" "$scenario" "{\"engine\": {\"settings\": {$settings}}}" || exit 1
  calls+=("$name $number $scenario")
}
# Those that end well have scenarios of their own: the ledgers find together by their names.
faulty once-refused keys 'create_429=1,retry_after=1'
faulty garbage errand garbage
faulty garbage-rt errand-rt garbage
faulty slow short 'slow_create_ms=2500'
faulty refused patient 'create_429=50,retry_after=1'
faulty failing patient 'create_500=50'
faulty too-slow patient 'slow_create_ms=60000'
faulty never patient never_ready
faulty never-rt patient-rt never_ready
number=$((number + 1))
flow_tenant "+1555123$number" patient '{"engine": {"base_url": "http://127.0.0.1:1"}}'
calls+=("nobody $number patient")
number=$((number + 1))
flow_tenant "+1555123$number" patient-rt '{"engine": {"base_url": "ws://127.0.0.1:1"}}'
calls+=("nobody-rt $number patient-rt")

ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
for call in "${calls[@]}"; do
  # shellcheck disable=SC2086
  set -- $call
  call_begin "$1" "+1555123$2" "$3"
done
for call in "${calls[@]}"; do
  call_end "${call%% *}"
  is "${call%% *} ends as expected" $? 0
  ok "${call%% *} is over in the database" call_over_in_database "${call%% *}"
done
ledgers_load

reason()
{
  row "SELECT string_agg(DISTINCT m.end_reason, ',') FROM call_metrics m JOIN calls c ON c.id = m.call_id WHERE c.twilio_call_sid = '$(call_sid "$1")'"
}
for name in garbage garbage-rt slow; do
  is "$name: the call goes as if nothing were" "$(reason $name)" agent_hangup
done
is 'garbage: the transcript is what was said' "$(row "SELECT * FROM test.transcript_problems('errand')")" ''
is 'garbage-rt: the transcript is what was said' "$(row "SELECT * FROM test.transcript_problems('errand-rt')")" ''
is 'slow: the transcript is what was said' "$(row "SELECT * FROM test.transcript_problems('short')")" ''
ok 'slow: the timings name the culprit' va_is_true "SELECT engine_ready_ms > 2000 AND slowest_part LIKE '%voice engine%'
  FROM call_timings WHERE twilio_call_sid = '$(call_sid slow)'"
is 'once-refused: the call goes on' "$(reason once-refused)" agent_hangup
for name in refused failing too-slow never never-rt nobody nobody-rt; do
  is "$name: the reason is on record" "$(reason $name)" engine_failed
  is "$name: an apology was said, once" "$(grep -c "\"verb\":\"Say\".*sorry" "$LAB_DIR/$name.jsonl")" 1
  is "$name: a message could be left" "$(row "SELECT outcome FROM calls WHERE twilio_call_sid = '$(call_sid $name)'")" voicemail
done
ok 'the failures are counted' va_wait_until 10 eval '[ "$(number_of engine_failures)" -ge 7 ]'
is 'no call is left' "$(row 'SELECT count(*) FROM active_calls')" 0
ok 'the gateway is well' lab_gateway_healthy
done_testing
