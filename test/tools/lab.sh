#!/bin/bash
# lab.sh: a whole laboratory for calls: a private cluster, the sandbox's voice engine, tenants with
# numbers, and a telephone to call them with. For the demo, the flows and the chaos tests.
#
#   . test/tools/lab.sh
#   lab_start [name=value …]           cluster with the extension, engine, gateway; waits for health
#   lab_tenant NUMBER ENGINE SCENARIO [NAME]   a tenant behind NUMBER; ENGINE: ultravox or realtime
#   lab_call NUMBER SCENARIO [OPTION …]    one call in the foreground; status 0 = as the scenario says
#   lab_call_start NUMBER SCENARIO …       in the background; lab_call_wait waits and returns its status
#   lab_transcript                     of the newest call: one line a turn, "role: text"
#   lab_gateway_pid                    process id of the (first) gateway
#   lab_engine_restart [OPTION …]      the engine again, with faults for instance
#
# Everything a call leaves is in $LAB_DIR: call.json (the caller's ledger), engine.json (the
# engine's), WAV files.
#
# Set before lab_start to change: LAB_SCENARIOS and LAB_SPEECH, the folders of scenarios and of their
# speech; LAB_SANDBOX, the program that plays caller and engine (default: the one installed).

# shellcheck source=test/tools/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

LAB_ACCOUNT=AC00000000000000000000000000000001
LAB_TOKEN=0123456789abcdef0123456789abcdef
LAB_CALLER=  # empty: the scenario says
: "${LAB_SCENARIOS:=$VA_ROOT/src/sandbox/scenarios}" "${LAB_SPEECH:=$VA_ROOT/build/speech}"
lab_engine_pid=
lab_call_pid=

lab_engine_answers()
{
  curl -sS -o /dev/null "http://127.0.0.1:$LAB_ENGINE_PORT/" 2>/dev/null
}

lab_engine_start()
{
  "${LAB_SANDBOX:-${VA_PROGRAM:-$VA_BIN/voiceagent}}" sandbox engine --port "$LAB_ENGINE_PORT" \
    --scenarios "$LAB_SCENARIOS" --speech "$LAB_SPEECH" \
    --ledger "$LAB_DIR/engine.json" "$@" >>"$LAB_DIR/engine.log" 2>&1 &
  lab_engine_pid=$!
  va_wait_until 10 lab_engine_answers || { va_fail "the engine did not start"; return 1; }
}

lab_engine_stop()
{
  if [ -n "$lab_engine_pid" ]; then
    kill "$lab_engine_pid" 2>/dev/null
    wait "$lab_engine_pid" 2>/dev/null
    lab_engine_pid=
  fi
}

lab_engine_restart()
{
  lab_engine_stop
  lab_engine_start "$@"
}

lab_end_children()
{
  lab_engine_stop
  [ -z "$lab_call_pid" ] || kill "$lab_call_pid" 2>/dev/null || true
}

lab_gateway_healthy()
{
  curl -sSf -o /dev/null "http://127.0.0.1:$VA_HTTP_PORT/health" 2>/dev/null
}

# Speech of the scenarios that ship is made once a checkout, by one at a time.
lab_speech()
{
  mkdir -p "$LAB_SPEECH"
  flock "$LAB_SPEECH" "${LAB_SANDBOX:-${VA_PROGRAM:-$VA_ROOT/build/voiceagent}}" sandbox speech \
    --scenarios "$LAB_SCENARIOS" --out "$LAB_SPEECH" >/dev/null
}

lab_start()
{
  LAB_ENGINE_PORT=$(va_free_port)
  va_cluster_start --extension \
    "voiceagent.ultravox_base_url=http://127.0.0.1:$LAB_ENGINE_PORT" \
    "voiceagent.realtime_base_url=ws://127.0.0.1:$LAB_ENGINE_PORT" \
    voiceagent.allow_insecure_engine=on "$@" || return 1
  lab_speech || return 1
  LAB_DIR=${LAB_DIR:-$VA_DIR/lab}
  mkdir -p "$LAB_DIR"
  va_at_exit lab_end_children
  lab_engine_start || return 1
  if ! va_wait_until 20 lab_gateway_healthy; then
    tail -n 30 "$VA_LOG" >&2
    va_fail "the gateway did not come up; the server's log is above"
  fi
}

lab_tenant()
{
  local number=$1 engine=$2 scenario=$3 name=${4:-Tenant $1}
  va_psql -v name="$name" -v number="$number" -v engine="$engine" -v scenario="$scenario" \
    -v account="$LAB_ACCOUNT" -v token="$LAB_TOKEN" <<'SQL'
SELECT va_tenant_create(:'name', 'real_estate', :'number') AS tenant \gset
UPDATE tenants
   SET settings = settings || jsonb_build_object('twilio_account_sid', :'account',
                                                 'voice_engine', :'engine',
                                                 'engine', jsonb_build_object('settings',
                                                   CASE :'engine' WHEN 'ultravox'
                                                     THEN jsonb_build_object('metadata',
                                                            jsonb_build_object('scenario', :'scenario'))
                                                     ELSE jsonb_build_object('scenario', :'scenario')
                                                   END))
 WHERE id = :'tenant';
SELECT va_secret_set(:'tenant', 'twilio_auth_token', :'token') \g /dev/null
SELECT va_secret_set(:'tenant', :'engine' || '_api_key', 'sandbox-key') \g /dev/null
SQL
}

lab_call()
{
  local number=$1 scenario=$2
  shift 2
  "${LAB_SANDBOX:-${VA_PROGRAM:-$VA_BIN/voiceagent}}" sandbox call --to "$number" ${LAB_CALLER:+--from "$LAB_CALLER"} \
    --scenario "$scenario" --scenarios "$LAB_SCENARIOS" \
    --speech "$LAB_SPEECH" --url "http://127.0.0.1:$VA_HTTP_PORT" \
    --account-sid "$LAB_ACCOUNT" --auth-token "$LAB_TOKEN" --status-callbacks \
    --ledger "$LAB_DIR/call.json" "$@"
}

lab_call_start()
{
  lab_call "$@" >"$LAB_DIR/call.log" 2>&1 &
  lab_call_pid=$!
}

lab_call_wait()
{
  local status=0
  wait "$lab_call_pid" || status=$?
  lab_call_pid=
  return $status
}

lab_transcript()
{
  va_psql -c "SELECT (t->>'role') || ': ' || (t->>'text')
                FROM (SELECT transcript FROM calls ORDER BY created_at DESC LIMIT 1) c,
                     jsonb_array_elements(c.transcript) WITH ORDINALITY AS e(t, n) ORDER BY n"
}

lab_gateway_pid()
{
  pgrep -P "$(va_psql -c "SELECT pid FROM pg_stat_activity
                           WHERE backend_type = 'voiceagent launcher'")" -f '^voiceagent gateway' | head -n 1
}
