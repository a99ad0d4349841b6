#!/bin/bash
# lib.sh: what the flow and chaos tests share on top of the laboratory: several calls at once, the
# scenarios made for tests, and the ledgers of both sides as a table, so that a test compares with
# one query what was said, what was heard and what was stored.
#
#   flow_start [name=value …]         lab_start with the tests' scenarios; each of them is there a
#                                     second time as NAME-rt, for calls through the realtime engine:
#                                     by a scenario's name the ledgers of both sides find together
#   flow_tenant NUMBER SCENARIO [SETTINGS [GREETING]]   a tenant; -rt: realtime, else ultravox
#   call_begin NAME NUMBER SCENARIO [OPTION …]    a call in the background; ledger $LAB_DIR/NAME.jsonl
#   call_end NAME                     waits for it; status 0 = as the scenario expects
#   call_sid NAME                     its CallSid, once it was dialled
#   call_over_in_database NAME        true once the call's row says completed
#   ledgers_load                      (again) fills test.ledger and its views from all ledgers
#   row SQL                           a query's result, for is()
#   number_of NAME                    the value of a counter in va_stats()
# shellcheck source=../tools/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/lab.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/tap.sh"
FLOWS=$VA_ROOT/test/flows
declare -A call_pids

row()
{
  va_psql -c "$1"
}

# One folder with the scenarios that ship and those of the tests, and one with their speech. Another flow may be
# reading them: what is there already is left alone.
flow_scenarios()
{
  local file name lock
  mkdir -p "$LAB_SCENARIOS" "$LAB_SPEECH"
  exec {lock}>"$LAB_SCENARIOS/.lock"
  flock "$lock"
  cp -u "$VA_ROOT"/src/sandbox/scenarios/*.json "$FLOWS"/scenarios/*.json "$LAB_SCENARIOS/"
  for file in "$LAB_SCENARIOS"/*.json; do
    name=$(basename "$file" .json)
    [ "${name%-rt}" != "$name" ] || [ "$LAB_SCENARIOS/$name-rt.json" -nt "$file" ] ||
      sed "s/\"name\": \"$name\"/\"name\": \"$name-rt\"/" "$file" >"$LAB_SCENARIOS/$name-rt.json"
  done
  cp -u "$VA_ROOT"/build/speech/*.wav "$LAB_SPEECH/" 2>/dev/null
  exec {lock}>&-
}

flow_start()
{
  LAB_SCENARIOS=$VA_ROOT/build/test-scenarios
  LAB_SPEECH=$VA_ROOT/build/test-speech
  flow_scenarios
  lab_start "$@" || return 1
  va_at_exit calls_stop
  va_psql -f "$FLOWS/ledger.sql"
}

flow_tenant()
{
  local engine=ultravox greeting=${4:-}
  [ "${2%-rt}" = "$2" ] || engine=realtime
  # What the tenant greets with is what the scenario says, so that it is spoken already.
  [ -n "$greeting" ] || greeting=$(sed -n 's/.*"greeting": "\([^"]*\)".*/\1/p' "$LAB_SCENARIOS/$2.json")
  lab_tenant "$1" "$engine" "$2" || return 1
  va_psql -v number="$1" -v settings="${3:-}" -v greeting="$greeting" <<'SQL'
SELECT tenant_id FROM phone_numbers WHERE phone_number = :'number' \gset
UPDATE tenants SET settings = settings || coalesce(nullif(:'settings', ''), '{}')::jsonb WHERE id = :'tenant_id';
UPDATE tenant_voice_configs SET greeting_script = :'greeting' WHERE tenant_id = :'tenant_id';
SQL
}

# Once the gateway has been told the account's token, calls are taken.
gateway_knows_account()
{
  [ "$(webhook_status status CallSid=CA0 CallStatus=ringing)" = 204 ]
}

calls_stop()
{
  local pid
  for pid in "${call_pids[@]}"; do
    kill "$pid" 2>/dev/null
  done
}

call_begin()
{
  local name=$1
  shift
  lab_call "$@" --ledger "$LAB_DIR/$name.jsonl" >"$LAB_DIR/$name.log" 2>&1 &
  call_pids[$name]=$!
}

call_end()
{
  local status=0
  wait "${call_pids[$1]}" || status=$?
  unset "call_pids[$1]"
  if [ $status -ne 0 ]; then
    sed 's/^/# /' "$LAB_DIR/$1.log"
    grep -h -e violation -e stream_failed -e hung_up "$LAB_DIR/$1.jsonl" | sed 's/^/# /'
  fi
  return $status
}

call_sid()
{
  sed -n '/"dialled"/s/.*"id":"\([^"]*\)".*/\1/p;T;q' "$LAB_DIR/$1.jsonl"
}

# caller_did NAME EVENT [N]: the caller's ledger has at least N (1) lines of this event.
caller_did()
{
  [ "$(grep -c "\"event\":\"$2\"" "$LAB_DIR/$1.jsonl" 2>/dev/null)" -ge "${3:-1}" ]
}

call_over_in_database()
{
  va_wait_for "SELECT status = 'completed' AND NOT EXISTS (SELECT FROM call_metrics m WHERE m.call_id = c.id
      AND m.ended_at IS NULL AND m.stream_started_at = (SELECT max(stream_started_at) FROM call_metrics l WHERE l.call_id = c.id))
    FROM calls c WHERE twilio_call_sid = '$(call_sid "$1")'" "${2:-10}"
}

number_of()
{
  row "SELECT trim_scale(value) FROM va_stats() WHERE name = '$1'"
}

# A ledger's last line may be half written while its owner runs: it is left out.
ledgers_load()
{
  local file
  {
    echo 'TRUNCATE test.ledger RESTART IDENTITY;'
    echo "COPY test.ledger (line) FROM stdin (FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02');"
    for file in "$LAB_DIR"/*.json "$LAB_DIR"/*.jsonl; do
      [ ! -e "$file" ] || grep '}$' "$file"
    done
    echo '\.'
    echo 'TRUNCATE test.speech;'
    echo "COPY test.speech FROM stdin (FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02');"
    tr -d '\n' <"$LAB_SPEECH/manifest.json"
    printf '\n\\.\n'
  } | va_psql -f -
}

# ---- webhooks by hand, as Twilio posts them ------------------------------------------------------

url_encode()
{
  local LC_ALL=C text=$1 i c out=
  for ((i = 0; i < ${#text}; i++)); do
    c=${text:i:1}
    case $c in
      [a-zA-Z0-9._-]) out+=$c ;;
      *) printf -v c '%%%02X' "'$c"; out+=$c ;;
    esac
  done
  printf '%s' "$out"
}

# twilio_signature TOKEN URL [NAME=VALUE …]: of a request with these parameters.
twilio_signature()
{
  local token=$1 text=$2 pair
  shift 2
  while read -r pair; do
    text+=${pair%%=*}${pair#*=}
  done < <([ $# -eq 0 ] || printf '%s\n' "$@" | LC_ALL=C sort -t = -k 1,1)
  printf '%s' "$text" | openssl dgst -sha1 -hmac "$token" -binary | base64
}

# webhook NAME [NAME=VALUE …]: posts it, signed; the answer's status is the first line, then its body.
# TOKEN, ACCOUNT, SIGNED_URL, SIGNATURE ("none" leaves it out) and IDEMPOTENCY change what is sent;
# CURL_OPTIONS is an array of more options.
CURL_OPTIONS=()
webhook()
{
  local name=$1 body= pair url=http://127.0.0.1:$VA_HTTP_PORT/webhook/voice/$1 signature
  shift
  set -- "AccountSid=${ACCOUNT:-$LAB_ACCOUNT}" "$@"
  for pair in "$@"; do
    body+="${body:+&}$(url_encode "${pair%%=*}")=$(url_encode "${pair#*=}")"
  done
  signature=${SIGNATURE:-$(twilio_signature "${TOKEN:-$LAB_TOKEN}" "${SIGNED_URL:-$url}" "$@")}
  local -a headers=(-H "X-Twilio-Signature: $signature")
  [ "$signature" != none ] || headers=()
  [ -z "${IDEMPOTENCY:-}" ] || headers+=(-H "I-Twilio-Idempotency-Token: $IDEMPOTENCY")
  curl -sS --max-time 20 -o "$LAB_DIR/body" -w '%{http_code}\n' "${headers[@]}" \
    -H 'Content-Type: application/x-www-form-urlencoded; charset=UTF-8' --data-binary "$body" "${CURL_OPTIONS[@]}" "$url"
  cat "$LAB_DIR/body"
}

webhook_status()
{
  webhook "$@" | head -n 1
}

# plain OPTION … URL: the status of any request.
plain()
{
  curl -sS --max-time 20 -o /dev/null -w '%{http_code}\n' "$@"
}

# ---- counted rejections --------------------------------------------------------------------------

# The counters are known when a rejection that was made on purpose has arrived: the gateway reports
# its totals every two seconds. (The later ones are counted along with it.)
barrier()
{
  local old
  old=$(number_of rejected.not_found)
  plain "http://127.0.0.1:$VA_HTTP_PORT/barrier" >/dev/null
  tally[not_found]=$((tally[not_found] + 1))
  va_wait_until 10 eval '[ "$(number_of rejected.not_found)" -gt '"$old"' ]'
}
counters()
{
  row "SELECT name, trim_scale(value) FROM va_stats() WHERE name LIKE 'rejected.%' ORDER BY name"
}
declare -A tally

# Between these two a test adds to tally[KIND] what should be counted; then $counted must be $wanted.
counting_begins()
{
  barrier
  before=$(counters)
  tally=()
}

# shellcheck disable=SC2034
counting_ends()
{
  local name
  barrier
  counted=$(counters)
  wanted=$(for name in "${!tally[@]}"; do echo "$name ${tally[$name]}"; done |
    awk 'NR == FNR { more[$1] = $2; next } { split($0, f, "|"); print f[1] "|" f[2] + more[substr(f[1], 10)] }' - <(echo "$before"))
}
