#!/bin/bash
# engine_lost.sh: the voice engine's socket is cut in mid-call. The telephone's stream stays, a new
# session goes on with the conversation so far. When the engine is gone for good, the caller hears
# an apology.
. "$(dirname "$0")/calls.sh"

flow_start || exit 1
# Cut during the agent's first long sentence. (Faults are counted a specification: each gets its own.)
fault=drop_after_ms=6500
two_errands "{\"engine\": {\"settings\": {\"metadata\": {\"scenario\": \"errand\", \"fault\": \"$fault,id=1\"}}}}" \
  "{\"engine\": {\"settings\": {\"scenario\": \"errand-rt\", \"fault\": \"$fault,id=2\"}}}"
for name in errand errand-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database $name
done
ledgers_load
for name in errand errand-rt; do
  is "$name: the engine was cut" "$(row "SELECT count(*) FROM test.events WHERE scenario = '$name' AND event = 'fault' AND line ->> 'fault' LIKE 'drop%'")" 1
  is "$name: the stream stayed" "$(row "SELECT result ->> 'streams' FROM test.results WHERE scenario = '$name'")" 1
  is "$name: it was resumed once" "$(row "SELECT resume_count FROM calls WHERE twilio_call_sid = '$(call_sid $name)'")" 1
  is "$name: both are events" "$(row "SELECT string_agg(e.data ->> 'state', ' ' ORDER BY e.seq) FROM call_events e JOIN calls c ON c.id = e.call_id
    WHERE c.twilio_call_sid = '$(call_sid $name)' AND e.data ->> 'state' IN ('engine_lost', 'engine_resumed')")" 'engine_lost engine_resumed'
  is "$name: no turn is lost" "$(lost_turns $name)" ''
done

flow_tenant +15551231003 patient
flow_tenant +15551231004 patient-rt
ok 'a tenant more is served at once' va_wait_until 10 gateway_knows_account
call_begin patient +15551231003 patient
call_begin patient-rt +15551231004 patient-rt
ok 'the agents have greeted' va_wait_until 20 eval 'caller_did patient heard && caller_did patient-rt heard'
lab_engine_stop
for name in patient patient-rt; do
  call_end $name
  is "$name ends as expected" $? 0
  ok "$name is over in the database" call_over_in_database $name
  is "$name: the reason is on record" "$(row "SELECT end_reason FROM calls WHERE twilio_call_sid = '$(call_sid $name)'")" engine_failed
  is "$name: an apology was said" "$(grep -c '"verb":"Say".*sorry' "$LAB_DIR/$name.jsonl")" 1
  is "$name: a message could be left" "$(row "SELECT outcome FROM calls WHERE twilio_call_sid = '$(call_sid $name)'")" voicemail
done
done_testing
