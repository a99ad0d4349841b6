#!/bin/bash
# catalogue.sh: the failures that every service is shown with, after providers.sh and tap.sh. A flow says how
# one effect of its service is caused and looked at; the same failures are then made of all of them, and a
# flow that leaves one out fails.
#
# The flow has:
#   CATALOGUE_FAULT             members of each fault: '"prefix": "/sendgrid", "path": "/v3/mail"'
#   catalogue_begin NAME        causes one effect of this name, and sets $key, its attempt key
#   catalogue_wait [HOW]        waits until it is over (here: outbox_over $key)
#   catalogue_happened          how often the service did it
#   catalogue_seen              what the user sees in the tables of the domain
#
#   catalogue NAME MORE WHERE HAPPENED SEEN STORY [HOW]
#                               a failure of the table below, or one whose fault is MORE; MORE is added to the fault
#                               of the table. WHERE: outbox_where; SEEN and STORY: regular expressions, of
#                               catalogue_seen and of the effect's story (empty: not looked at)
#   catalogue_whole SERVICE     was each failure of the table that everybody must show shown since the last one?

declare -A CATALOGUE=(
  [bad-request]='"status": 400' [unauthorized]='"status": 401' [forbidden]='"status": 403' [not-found]='"status": 404'
  [conflict]='"status": 409' [limited]='"status": 429' [limited-politely]='"status": 429, "retry_after": 2'
  [error]='"status": 500' [error-after]='"status": 500, "when": "after"' [unavailable]='"status": 503'
  [slow]='"slow_ms": 60000' [cut-before]='"cut": "before"' [cut-after]='"cut": "after"' [cut-in-body]='"cut": "body"'
  [garbage]='"garbage": true' [redirect]='"redirect": "http://127.0.0.1:1/elsewhere"')
CATALOGUE_MUST='bad-request unauthorized forbidden not-found conflict limited limited-politely error slow cut-in-body garbage redirect'
declare -A catalogue_shown=()
CATALOGUE_PLACE=

catalogue_wait()
{
  outbox_over "$key" 40
}

# The second attempt was made, and not before the two seconds that the service had named.
catalogue_patient()
{
  va_is_true "SELECT count(*) > 0 AND min(h.started_at - a.ended_at) >= interval '2 seconds'
    FROM outbox_history h JOIN outbox_attempts a ON a.outbox_id = h.id WHERE h.attempt_key = '$key'"
}

catalogue()
{
  local case_name=$1 fault=${CATALOGUE[$1]:-} title=${CATALOGUE_PLACE:+$CATALOGUE_PLACE, }$1
  provider_faults_clear
  fault+=${2:+${fault:+, }$2}
  [ -z "$fault" ] || provider_fault "{$CATALOGUE_FAULT, \"times\": 1, $fault}" || { ok "$title: the fault is armed" false; return; }
  catalogue_begin "$case_name"
  catalogue_wait "${7:-}"
  is "$title: what became of it" "$(outbox_where "$key")" "$3"
  is "$title: how often it happened" "$(catalogue_happened)" "$4"
  [ -z "$5" ] || matches "$title: what the user sees" "$(catalogue_seen)" "$5"
  [ -z "$6" ] || matches "$title: its story" "$(outbox_story "$key")" "$6"
  [ "$case_name" != limited-politely ] || ok "$title: not before the time named" catalogue_patient
  provider_faults_clear
  va_psql -c 'UPDATE outbox_queues SET blocked_until = NULL WHERE blocked_until IS NOT NULL'
  catalogue_shown[$case_name]=1
}

catalogue_whole()
{
  local name missing=
  for name in $CATALOGUE_MUST; do
    [ -n "${catalogue_shown[$name]:-}" ] || missing+=" $name"
  done
  is "$1: no failure of the catalogue is left out" "$missing" ''
  catalogue_shown=()
}
