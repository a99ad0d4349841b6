#!/bin/bash
# odoo_faults.sh: every kind of failure of an Odoo, over each of the ways to speak with one, and what the user sees of
# it in odoo_sync_status, in the reason beside it, and in the effect's story; never two records of one lead.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"
# shellcheck source=../tools/catalogue.sh
. "$(dirname "$0")/../tools/catalogue.sh"
# shellcheck source=../tools/odoo.sh
. "$(dirname "$0")/../tools/odoo.sh"

odoo_start || exit 1

catalogue_begin()
{
  who=${CATALOGUE_PLACE:-json2}-$1
  lead=$(lead "$who")
  key=$(row "SELECT attempt_key FROM outbox WHERE lead_id = '$lead' AND kind = 'odoo.lead'")
}
# patient: what waits for its time is waited for.
catalogue_wait()
{
  if [ "$1" = patient ]; then
    va_wait_for "SELECT NOT EXISTS (SELECT FROM outbox WHERE tenant_id = '$tenant')" 40
  else
    va_wait_until 40 quiet
  fi
}
catalogue_happened()
{
  made crm.lead "$who"
}
catalogue_seen()
{
  status "$lead"
}
# After what breaks a connection it is mended by a check that succeeds, and what had failed is sent.
mended()
{
  matches "${CATALOGUE_PLACE:+$CATALOGUE_PLACE, }nothing more is sent" "$(connection)" "^broken .* $1\$"
  row "SELECT va_odoo_check('$tenant')" >/dev/null
  ok 'until a check has succeeded' va_wait_for "SELECT odoo_sync_status = 'synced' FROM leads WHERE id = '$lead'" 20
  is 'which sends what had failed, once' "$(made crm.lead "$who")" 1
}
odoo_says()
{
  printf '"body": "{\\"name\\":\\"%s\\",\\"message\\":\\"%s\\",\\"arguments\\":[],\\"context\\":{},\\"debug\\":\\"\\"}"' "$1" "$2"
}
synced='^synced\|$'

# ---- JSON-2: Odoo says what is wrong by the status -------------------------------------------------------

tenant Json2 '' '{"contacts": false}'
CATALOGUE_FAULT='"prefix": "/odoo", "path": "crm.lead/load"'
catalogue bad-request '' 'dead: failed 1' 0 '^failed\|Odoo cannot read a value' 'HTTP 400|bad_value|cannot read'
catalogue forbidden "\"path\": \"crm.lead\", $(odoo_says odoo.exceptions.AccessError 'Not allowed')" 'dead: failed 1' 0 '^failed\|Odoo.s user may not do this: Not allowed. Give the user the right' 'may not do this'
catalogue no-method "\"status\": 404, $(odoo_says werkzeug.exceptions.NotFound 'no such method')" 'dead: failed 1' 0 '^failed\|Odoo does not know this model, method or path' 'does not know'
catalogue not-found '' 'dead: failed 1' 0 '^failed\|Odoo has no database of this name.*Correct .database' 'HTTP 404|no database'
mended wrong_database
catalogue conflict "$(odoo_says odoo.exceptions.LockError Locked)" 'done 2' 1 "$synced" 'did not happen: busy|busy with the same record'
catalogue refused "\"path\": \"crm.lead/write\", \"status\": 422, $(odoo_says odoo.exceptions.ValidationError 'No such luck')" 'dead: failed 1' 1 '^failed\|Odoo refuses the values: No such luck' 'No such luck'
catalogue unknown-field "\"path\": \"crm.lead/write\", \"status\": 500, $(odoo_says builtins.ValueError "Invalid field 'x_nope' in 'crm.lead'")" 'dead: failed 1' 1 "^failed\|Odoo has no such field: Invalid field 'x_nope'" 'x_nope'
catalogue serialization "\"path\": \"crm.lead/write\", \"status\": 500, $(odoo_says psycopg2.errors.SerializationFailure again)" 'done 2' 1 "$synced" 'busy with the same record'
catalogue limited '' 'done 2' 1 "$synced" 'too many requests'
catalogue limited-politely '' 'done 2' 1 "$synced" 'too many requests' patient
catalogue unavailable '' 'done 2' 1 "$synced" 'does not answer'
catalogue error '' 'done 2' 1 "$synced" 'HTTP 500'
catalogue error-after '' 'done 2' 1 "$synced" 'HTTP 500'
catalogue proxy-before '"status": 502' 'done 2' 1 "$synced" 'nobody knows whether it happened'
catalogue proxy-after '"status": 504, "when": "after"' 'done 2' 1 "$synced" 'nobody knows whether it happened'
catalogue slow '' 'done 2' 1 "$synced" 'nobody knows whether it happened: timed out'
catalogue cut-before '' 'done 2' 1 "$synced" 'nobody knows'
catalogue cut-after '' 'done 2' 1 "$synced" 'nobody knows'
catalogue cut-in-body '' 'done 2' 1 "$synced" 'nobody knows|cut off'
catalogue garbage '' 'done 2' 1 "$synced" 'cannot be read'
catalogue redirect "\"redirect\": \"$PROVIDERS_URL/odoo/web/login\"" 'dead: failed 1' 0 '^failed\|There is no Odoo at this address' 'no Odoo at this address'
mended not_odoo
catalogue unauthorized '' 'dead: failed 1' 0 '^failed\|Odoo does not accept the key' 'HTTP 401|does not accept the key'
mended access_denied
catalogue_whole 'Odoo, JSON-2'

# ---- the other ways: what is wrong is said in the body, of status 200; other statuses are those of what stands before Odoo

# failures PLACE PATH METHOD: the catalogue, at the first such request of each effect.
failures()
{
  CATALOGUE_PLACE=$1
  CATALOGUE_FAULT="\"prefix\": \"/odoo\", \"path\": \"$2\", \"method\": \"$3\""
  catalogue bad-request '' 'dead: failed 1' 0 '^failed\|Odoo cannot read a value' 'HTTP 400|no JSON'
  catalogue forbidden '' 'dead: failed 1' 0 '^failed\|Odoo.s user may not do this.*Give the user the right' 'HTTP 403|no JSON'
  catalogue not-found '' 'dead: failed 1' 0 '^failed\|Odoo does not know this model, method or path' 'HTTP 404|no JSON'
  catalogue conflict '' 'done 2' 1 "$synced" 'busy with the same record'
  catalogue limited '' 'done 2' 1 "$synced" 'too many requests'
  catalogue limited-politely '' 'done 2' 1 "$synced" 'too many requests' patient
  catalogue unavailable '' 'done 2' 1 "$synced" 'does not answer'
  catalogue error '' 'done 2' 1 "$synced" 'HTTP 500'
  catalogue slow '' 'done 2' 1 "$synced" 'timed out'
  catalogue cut-before '' 'done 2' 1 "$synced" 'closed without an answer'
  catalogue cut-in-body '' 'done 2' 1 "$synced" 'cut off'
  catalogue garbage '' 'done 2' 1 "$synced" 'cannot be read'
  catalogue redirect '' 'dead: failed 1' 0 '^failed\|There is no Odoo at this address' 'no Odoo at this address'
  mended not_odoo
  catalogue unauthorized '"times": 0' 'dead: failed 1' 0 '^failed\|Odoo does not accept the key' 'does not accept the key'
  mended access_denied
  catalogue_whole "Odoo, $1"
}
# Whichever of an effect's answers is lost, there is one record.
lost_answers()
{
  local n
  for n in 0 1 2 3 4 5 6 7; do
    catalogue "lost-$n" "\"cut\": \"after\", \"skip\": $n" "$(lost "$n" "$1")" 1 "$synced" ''
  done
}
lost()
{
  [ "$1" -lt "$2" ] && echo 'done 2' || echo 'done 1'
}

tenant JsonRpc /v17 '{"contacts": false}'
failures jsonrpc /jsonrpc POST
lost_answers 4
tenant XmlRpc /v17 '{"contacts": false, "transport": "xmlrpc"}'
failures xmlrpc /xmlrpc/2/object POST
odoo_reference_field
tenant Rest '' '{"contacts": false, "transport": "rest", "rest": {"reference_field": "x_va_reference"}}'
failures rest /api/v2 POST
is 'no settle function failed' "$(row "SELECT string_agg(concat_ws(' ', kind, attempt_key, settle_error), '; ') FROM (SELECT kind, attempt_key, settle_error FROM outbox_history
  UNION ALL SELECT kind, attempt_key, settle_error FROM outbox_dead) x WHERE settle_error IS NOT NULL AND kind LIKE 'odoo.%'")" ''
is 'no panic in the log' "$(grep -c -e PANIC -e 'signal 11' "$VA_LOG")" 0
done_testing
