#!/bin/bash
# effects.sh: two thousand effects while dispatchers, sessions and the server are killed at random and
# the services fail at random. The stand-ins' ledger shows what happened: nothing twice that must
# not be, nothing forgotten, every unknown outcome resolved or listed. The sandbox's own kinds, which
# are the three sorts there are: one that can be asked, one that cannot, one that may be repeated.
# shellcheck source=effects_lib.sh
. "$(dirname "$0")/effects_lib.sh"
kinds=(sink.post sink.blind sink.put)
EFFECTS=2000

outbox_start voiceagent.dispatcher_workers=2 voiceagent.allow_private_urls=on || exit 1
va_psql -c "UPDATE outbox_kinds SET timeout_ms = 1000" \
  -c "INSERT INTO settings VALUES ('outbox_limits', '{\"sink\": {\"breaker_seconds\": 0.3, \"concurrency\": 40}}')"
effects_faults

# Twenty at a time; their keys make it safe to say it again.
add_all()
{
  local i kind
  for ((i = 0; i < EFFECTS; i += 20)); do
    kind=${kinds[$((i / 20 % ${#kinds[@]}))]}
    effects_insist "SELECT va_outbox_add(NULL, '$kind', '$kind-' || n, lane => CASE WHEN n % 5 = 0 THEN 'live' END)
      FROM generate_series($i, $((i + 19))) n"
    sleep 0.1
  done
}
effects_run add_all
ok 'all_come_to_an_end' va_wait_until 120 effects_all_over

effects_compare <<<"SELECT split_part(line ->> 'id', '-', 1), line ->> 'id' FROM ledger WHERE line ->> 'event' IN ('posted', 'put')"
is 'nothing_is_forgotten' "$(va_psql -c 'SELECT count(*), count(DISTINCT attempt_key) FROM ends')" "$EFFECTS|$EFFECTS"
effects_kind sink.post once
effects_kind sink.blind once
effects_kind sink.put again
is 'nothing_else_happened' "$(va_psql -c "SELECT count(*) FROM happened WHERE kind NOT LIKE 'sink.%'")" 0
is 'who_can_be_asked_leaves_no_doubt' "$(va_psql -c "SELECT count(*) FROM ends WHERE outcome = 'unknown' AND kind = 'sink.post'")" 0
effects_listed
done_testing
