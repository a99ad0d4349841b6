#!/bin/bash
# providers.sh: the stand-ins for services, beside a cluster of cluster.sh, and what tests of the
# outbox have in common.
#
#   . test/tools/cluster.sh; . test/tools/providers.sh
#   providers_start [OPTION …]         the stand-ins; PROVIDERS_URL and PROVIDERS_LEDGER are set
#   providers_restart                  again, on the same port; the ledger goes on
#   provider_fault JSON                a fault (src/sandbox/provider_faults.h)
#   provider_faults_clear
#   outbox_start [name=value …]        cluster with the extension, stand-ins, a dispatcher and no
#                                      gateway, and the setting sink_url
#   outbox_add KIND KEY [PAYLOAD [OTHER ARGUMENTS]]   of the platform; prints the id
#   outbox_where KEY                   "state attempts", or "outcome attempts" when it is over
#   outbox_story KEY                   va_outbox_explain: one line a step, without times
#   outbox_over KEY [SECONDS]          waits until it is finished or dead
#   dispatcher_pid                     of the first dispatcher
#   ledger_count EVENT KEY             lines of the ledger

providers_pid=

providers_answer()
{
  curl -sSf -o /dev/null "$PROVIDERS_URL/health" 2>/dev/null
}

providers_restart()
{
  providers_stop
  "${VA_PROGRAM:-$VA_BIN/voiceagent}" sandbox providers --port "${PROVIDERS_URL##*:}" \
    --ledger "$PROVIDERS_LEDGER" "$@" >>"$VA_DIR/providers.log" 2>&1 &
  providers_pid=$!
  va_wait_until 10 providers_answer || { va_fail "the stand-ins did not start"; return 1; }
}

providers_start()
{
  PROVIDERS_URL=http://127.0.0.1:$(va_free_port)
  PROVIDERS_LEDGER=$VA_DIR/providers.jsonl
  : >"$PROVIDERS_LEDGER"
  va_at_exit providers_stop
  providers_restart "$@"
}

providers_stop()
{
  if [ -n "$providers_pid" ]; then
    kill "$providers_pid" 2>/dev/null
    wait "$providers_pid" 2>/dev/null
    providers_pid=
  fi
}

provider_fault()
{
  curl -sSf -o /dev/null -X POST --data-binary "$1" "$PROVIDERS_URL/sandbox/faults"
}

provider_faults_clear()
{
  curl -sSf -o /dev/null -X DELETE "$PROVIDERS_URL/sandbox/faults"
}

outbox_start()
{
  va_cluster_start --extension voiceagent.gateway_workers=0 "$@" || return 1
  providers_start || return 1
  va_psql -c "INSERT INTO settings (name, value) VALUES ('sink_url', to_jsonb('$PROVIDERS_URL/sink'::text))"
  va_wait_for 'SELECT count(*) > 0 FROM outbox_dispatchers' 20 ||
    va_fail "the dispatcher did not come up"
}

outbox_add()
{
  va_psql -c "SELECT va_outbox_add(NULL, '$1', '$2', '${3:-{\}}'${4:+, $4})"
}

outbox_where()
{
  va_psql -c "SELECT state || ' ' || attempts FROM outbox WHERE attempt_key = '$1'
    UNION ALL SELECT outcome || ' ' || attempts FROM outbox_history WHERE attempt_key = '$1'
    UNION ALL SELECT 'dead: ' || outcome || ' ' || attempts FROM outbox_dead WHERE attempt_key = '$1'"
}

outbox_story()
{
  va_psql -c "SELECT concat_ws(' | ', what, detail, advice) FROM (
      SELECT id FROM outbox WHERE attempt_key = '$1' UNION ALL SELECT id FROM outbox_history WHERE attempt_key = '$1'
      UNION ALL SELECT id FROM outbox_dead WHERE attempt_key = '$1') x, va_outbox_explain(x.id)"
}

outbox_over()
{
  va_wait_for "SELECT NOT EXISTS (SELECT FROM outbox WHERE attempt_key = '$1')" "${2:-20}"
}

dispatcher_pid()
{
  pgrep -P "$(va_psql -c "SELECT pid FROM pg_stat_activity
                           WHERE backend_type = 'voiceagent launcher'")" -f 'voiceagent dispatcher' | head -n 1
}

ledger_count()
{
  grep -c "\"id\":\"$2\",\"event\":\"$1\"" "$PROVIDERS_LEDGER"
}
