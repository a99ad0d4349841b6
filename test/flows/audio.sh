#!/bin/bash
# audio.sh: speech arrives as it was sent, in both directions and through both engines: bit for bit
# where the rates are equal (apart from mu-law, which is the telephone's own), and by correlation
# through the resamplers.
. "$(dirname "$0")/lib.sh"

flow_start || exit 1
# (The engine keeps what it hears only when asked at its start.)
lab_engine_restart --wav-dir "$LAB_DIR" || exit 1
ulaw=$LAB_DIR/ulaw
${CC:-cc} -I "$VA_ROOT/src" -o "$ulaw" "$FLOWS/helpers/ulaw.c" "$VA_ROOT/src/core/g711.c" || exit 1

flow_tenant +15551232001 errand
flow_tenant +15551232002 errand-rt
ok 'the gateway learns the account' va_wait_until 10 gateway_knows_account
for name in errand errand-rt; do
  number=+15551232001
  [ $name = errand ] || number=+15551232002
  call_begin $name $number $name --wav-dir "$LAB_DIR"
done
for name in errand errand-rt; do
  call_end $name
  is "$name ends as expected" $? 0
done
lab_engine_stop
ledgers_load

# received NAME: the engine's recording of that call.
received()
{
  echo "$LAB_DIR"/*"$(row "SELECT id FROM test.events WHERE who = 'engine' AND event = 'ended' AND scenario = '$1'")"*.wav
}

compare()
{
  "$VA_BIN/voiceagent" sandbox compare "$@" | sed 's/^/# /'
  return "${PIPESTATUS[0]}"
}

digest()
{
  row "SELECT line ->> '$1' FROM test.events WHERE scenario = '$2' AND event = '$3'"
}

sid=$(call_sid errand)
is 'ultravox heard every byte that was sent, and no other' "$(digest heard_sha256 errand ended)" \
  "$(digest sent_sha256 errand hung_up)"
compare --sent "$LAB_DIR/$sid-caller.wav" --received "$(received errand)" --exact
is 'what ultravox heard is bit-exact' $? 0
sid_rt=$(call_sid errand-rt)
compare --sent "$LAB_DIR/$sid_rt-caller.wav" --received "$(received errand-rt)" --least 0.99
is 'what the realtime engine heard correlates' $? 0
# The comparison itself must be able to fail: another call's recording is not the same.
ok 'a recording of another sentence is found out' eval \
  '! compare --sent "$LAB_DIR/$sid-caller.wav" --received "$LAB_DIR/$sid-agent.wav"'

# The other way: each sentence of the agent as it was made, against what the caller heard.
# Where to look is known from when the caller heard somebody.
agent_sentences()
{
  row "SELECT key || ' ' || (SELECT (h.line ->> 'start_ms')::integer - (b.line ->> 'ms')::integer FROM test.events h, test.events b
      WHERE h.scenario = '$1' AND h.event = 'heard' AND h.who = 'caller' AND b.id = h.id AND b.event = 'stream_started'
      ORDER BY h.n OFFSET (d.n_turn - 1) / 2 LIMIT 1) FROM test.speech, jsonb_each(manifest) e JOIN test.dialogue d ON d.full_text = e.value ->> 'text'
    WHERE d.scenario = '$1' AND d.role = 'agent' AND e.value ->> 'voice' = 'en-us+f3' ORDER BY d.n_turn"
}
# heard NAME SID OPTION …: every sentence of the agent is found in what the caller heard.
n=0
heard()
{
  local name=$1 sid=$2 file at
  shift 2
  while read -r file at; do
    n=$((n + 1))
    "$ulaw" "$at" <"$LAB_SPEECH/$file" >"$LAB_DIR/sentence.wav" || exit 1
    compare --sent "$LAB_DIR/sentence.wav" --received "$LAB_DIR/$sid-agent.wav" "$@"
    is "$name: sentence $n of the agent is heard as it was made" $? 0
  done < <(agent_sentences "$name")
}
heard errand "$sid" --exact
heard errand-rt "$sid_rt" --least 0.99
is 'all sentences were compared' $n 8
done_testing
