#!/bin/bash
# demo.sh: `make demo`. One whole phone call on this machine: a caller with a real voice, a
# Twilio-shaped telephone, PostgreSQL with the gateway, a voice engine, and the rows it leaves.
#
#   ONESHOT=1         end by itself, with a status; else run until Ctrl-C
#   SCENARIO=name     another of src/sandbox/scenarios (default house-buyer)
#   ENGINE=realtime   the other engine protocol (default ultravox)
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
test/tools/packages.sh build runtime || exit 1

scenario=${SCENARIO:-house-buyer}
engine=${ENGINE:-ultravox}
number=+15551230002
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

heading()
{
  printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

LAB_DIR=$PWD/build/demo
rm -rf "$LAB_DIR"
mkdir -p "$LAB_DIR"
echo "Building, and starting a private database in build/ ..."
# shellcheck source=test/tools/lab.sh
. test/tools/lab.sh
lab_start || exit 1
lab_tenant "$number" "$engine" "$scenario" 'ABC Realty' || exit 1

heading "A caller dials $number"
lab_call "$number" "$scenario" --wav-dir "$LAB_DIR" --engine-ledger "$LAB_DIR/engine.json"
status=$?

show()
{
  heading "$1"
  va_psql -x -c "\\pset tuples_only off" -c "$2" | sed -n '/|/p' |
    awk -F '|' '{ name = $1; $1 = ""; printf "  %-24s%s\n", name, $0 }'
}

va_wait_for "SELECT status = 'completed' FROM calls ORDER BY created_at DESC LIMIT 1" 10 ||
  status=1
show "The call, as a row of calls" \
  "SELECT status, direction, duration_seconds, conversation_turns, outcome, ai_handled,
          jsonb_array_length(transcript) AS turns_in_transcript
     FROM calls ORDER BY created_at DESC LIMIT 1"
show "Why it was as fast as it was, from call_timings (ms)" \
  "SELECT * FROM call_timings ORDER BY started_at DESC LIMIT 1"
show "The lead, as a row of leads" \
  "SELECT first_name, last_name, phone, source, status, qualification_data
     FROM leads ORDER BY created_at DESC LIMIT 1"

heading "Where to look next"
cat <<END
  the audio, both directions    ls build/demo/*.wav
  this database                 psql -h $VA_SOCKET -p $VA_PORT -U $VA_USER postgres
  everything that happened      SELECT at, kind, data FROM call_events ORDER BY at, seq;
  the gateway's counters        SELECT * FROM va_stats();
  another call                  ${VA_BIN#"$PWD"/}/voiceagent sandbox call --to $number \\
                                  --scenario $scenario --url http://127.0.0.1:$VA_HTTP_PORT \\
                                  --account-sid $LAB_ACCOUNT --auth-token $LAB_TOKEN
  to production                 README.md, "Take a real number live"
END
if [ "$status" -ne 0 ]; then
  heading "The call did not go as the scenario expects; the server's log:"
  tail -n 40 "$VA_LOG"
  exit 1
fi
if [ -z "${ONESHOT:-}" ]; then
  heading "Running until Ctrl-C."
  while :; do sleep 3600 & wait $!; done
fi
