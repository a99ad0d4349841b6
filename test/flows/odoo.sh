#!/bin/bash
# odoo.sh: leads, contacts, calls, tasks and appointments to the stand-in for Odoo, over each of its
# transports; every kind of failure, and what the user sees of it in odoo_sync_status, in the reason
# beside it, and in the effect's story; never two records of one lead.
# shellcheck source=../tools/cluster.sh
. "$(dirname "$0")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "$0")/../tools/tap.sh"
# shellcheck source=../tools/providers.sh
. "$(dirname "$0")/../tools/providers.sh"

# shellcheck source=../tools/odoo.sh
. "$(dirname "$0")/../tools/odoo.sh"

odoo_start || exit 1

# ---- every transport ------------------------------------------------------------------------------------

walk()
{
  local name=$1 notes=$2 l a
  l=$(lead "$name")
  va_wait_until 20 quiet
  is "$name: a lead arrives" "$(status "$l") $(made crm.lead "$name")" 'synced| 1'
  row "UPDATE leads SET company_name = 'Acme' WHERE id = '$l'; SELECT va_lead_advance('$l', 'qualify')" >/dev/null
  va_wait_until 20 quiet
  is "$name: and its changes" "$(status "$l") $(made crm.lead "$name")" 'synced| 1'
  a=$(row "SELECT va_appointment_book('$l', now() + interval '30 days', title => 'Meeting $name', force => true)")
  row "INSERT INTO follow_up_tasks (tenant_id, lead_id, title, scheduled_for, is_ai_task) VALUES ('$tenant', '$l', 'Task $name', now(), false);
    UPDATE calls SET status = 'completed' WHERE id = (SELECT id FROM calls LIMIT 0)"
  row "INSERT INTO calls (tenant_id, lead_id, status, transcript) VALUES ('$tenant', '$l', 'in-progress', '[{\"role\": \"user\", \"text\": \"Good day\"}]');
    UPDATE calls SET status = 'completed' WHERE lead_id = '$l'"
  va_wait_until 30 quiet
  is "$name: appointment, task and contact" "$(made calendar.event "Meeting $name") $(grep -c "\"id\":\"mail.activity/" "$PROVIDERS_LEDGER") $(row "SELECT odoo_event_id > 0 FROM appointments WHERE id = '$a'") $(made res.partner "$name")" \
    "1 $(grep -c "\"id\":\"mail.activity/" "$PROVIDERS_LEDGER") t 1"
  is "$name: the call as a note" "$(grep -cF '"id":"mail.message/' "$PROVIDERS_LEDGER")" "$notes"
  row "SELECT va_lead_advance('$l', 'lose', 'Too expensive')" >/dev/null
  va_wait_until 20 quiet
  matches "$name: lost" "$(grep -F '"event":"written"' "$PROVIDERS_LEDGER" | tail -n 3)" 'active.*false.*probability|probability.*active.*false'
  is "$name: nothing is left over" "$(row "SELECT string_agg(kind || ' ' || last_error::text, ' ') FROM outbox_dead WHERE tenant_id = '$tenant'")$(status "$l")" 'synced|'
}

tenant Json2 '' '{}'
is 'Odoo 19 is found by itself' "$(connection)" 'ok json2 19'
is 'its missing fields are made' "$(row "SELECT missing_fields FROM odoo_connections WHERE tenant_id = '$tenant'")" '{}'
walk json2 1
tenant Json17 /v17 '{}'
is 'an older one too' "$(connection)" 'ok jsonrpc 17'
walk jsonrpc 2
tenant Xml /v17 '{"transport": "xmlrpc"}'
is 'XML-RPC where it is wanted' "$(connection)" 'ok xmlrpc 17'
walk xmlrpc 3
tenant Rest '' '{"transport": "rest", "rest": {"reference_field": "x_va_reference"}}'
is 'a REST gateway' "$(connection)" 'ok rest'
row "SELECT va_odoo_check('$tenant')" >/dev/null
odoo_reference_field
walk rest 3
tenant Plain /rest '{"transport": "rest"}'
is 'one that can only take' "$(connection)" 'ok rest'
l=$(lead plain)
va_wait_until 20 quiet
is 'it gets leads all the same' "$(status "$l" | cut -d '|' -f 1) $(made crm.lead plain)" 'synced 1'
tenant OAuth '' '{"transport": "rest", "oauth": {"token_url": "'"$PROVIDERS_URL"'/odoo/oauth/token", "client_id": "c"}}' none
row "SELECT va_secret_set('$tenant', 'odoo_oauth_client_secret', 'sandbox-secret')"
va_wait_for "SELECT state = 'ok' FROM odoo_connections WHERE tenant_id = '$tenant'" 20
l=$(lead oauth)
va_wait_until 20 quiet
is 'OAuth2 in the place of a key' "$(status "$l" | cut -d '|' -f 1) $(made crm.lead oauth)" 'synced 1'

# ---- what is set up wrong -------------------------------------------------------------------------------

tenant NoKey '' '{}' none
is 'without a key' "$(connection)" 'broken access_denied'
matches 'the user is told what to do' "$(row "SELECT error ->> 'text', error ->> 'hint' FROM odoo_connections WHERE tenant_id = '$tenant'")" "there is no key for Odoo\|Store it: va_secret_set"
tenant BadKey '' '{}' wrong-key-0000
is 'with a wrong key' "$(connection)" 'broken access_denied'
l=$(lead badkey)
va_wait_until 20 quiet
matches 'its leads say so' "$(status "$l")" '^failed\|Odoo does not accept the key: .*va_secret_set'
is 'and no secret is shown' "$(row "SELECT count(*) FROM odoo_connections WHERE error::text LIKE '%wrong-key-0000%'")" 0
row "SELECT va_secret_set('$tenant', 'odoo_api_key', 'sandbox-key')"
va_wait_for "SELECT odoo_sync_status = 'synced' FROM leads WHERE id = '$l'" 20
is 'a right one mends it all' "$(connection) $(status "$l")" 'ok json2 19 synced|'
tenant BadBase '' '{"database": "nope"}'
is 'a wrong database' "$(connection)" 'broken wrong_database'
tenant BadBase17 /v17 '{"database": "nope"}'
is 'by JSON-RPC too' "$(connection)" 'broken wrong_database'
tenant NotOdoo /rest '{}'
is 'no Odoo there' "$(connection)" 'broken not_odoo'
matches 'with words' "$(row "SELECT error ->> 'text', error ->> 'hint' FROM odoo_connections WHERE tenant_id = '$tenant'")" 'There is no Odoo at this address.*Correct .url.'

# ---- what must not happen twice --------------------------------------------------------------------------

# A note is the one thing that Odoo cannot upsert: it is looked for by its Message-ID.
tenant Noted '' '{"contacts": false}'
f='"prefix": "/odoo"'
l=$(lead noted)
va_wait_until 20 quiet
before=$(grep -cF '"id":"mail.message/' "$PROVIDERS_LEDGER")
provider_fault "{$f, \"path\": \"message_post\", \"cut\": \"after\", \"times\": 1}"
row "INSERT INTO calls (tenant_id, lead_id, status, transcript) VALUES ('$tenant', '$l', 'in-progress', '[{\"role\": \"user\", \"text\": \"Good day\"}]');
  UPDATE calls SET status = 'completed' WHERE lead_id = '$l'"
va_wait_until 30 quiet
is 'a note whose answer was lost is not posted twice' "$(($(grep -cF '"id":"mail.message/' "$PROVIDERS_LEDGER") - before))" 1

# Over a gateway that can only take nobody can look: a person decides.
provider_faults_clear
tenant Blind /rest '{"transport": "rest"}'
provider_fault "{$f, \"path\": \"/api/v2/crm.lead\", \"cut\": \"after\", \"times\": 1}"
l=$(lead blind)
va_wait_for "SELECT odoo_sync_error LIKE 'No answer came%' FROM leads WHERE id = '$l'" 20
matches 'in doubt: the lead says so' "$(status "$l")" '^syncing\|No answer came: whether Odoo has it is being looked at'
row "UPDATE outbox SET run_at = now(), doubtful_since = now() - interval '2 hours' WHERE lead_id = '$l' AND state = 'unknown'"
va_wait_for "SELECT count(*) = 1 FROM outbox_dead WHERE lead_id = '$l' AND outcome = 'unknown'" 20
is 'and a person is asked, and nothing is sent again' "$(row "SELECT outcome FROM outbox_dead WHERE lead_id = '$l'") $(made crm.lead blind)" 'unknown 1'

# ---- a webhook: Odoo tells, we ask -----------------------------------------------------------------------

provider_faults_clear
tenant Told '' '{"contacts": false}'
l=$(lead told)
va_wait_until 20 quiet
hook=$(row "SELECT va_odoo_webhook('$tenant')")
hook=http://127.0.0.1:$VA_HTTP_PORT/webhook/odoo/${hook##*/}
their=$(row "SELECT odoo_lead_id FROM leads WHERE id = '$l'")
tell()
{
  curl -sS -o /dev/null -w '%{http_code}' -X POST "$1" -H 'Content-Type: application/json' -d "$2"
}
curl -sS -o /dev/null "$PROVIDERS_URL/odoo/json/2/crm.lead/write" -H 'Authorization: Bearer sandbox-key' -H 'Content-Type: application/json' \
  -d "{\"ids\": [$their], \"vals\": {\"stage_id\": 2, \"partner_name\": \"Theirs\"}}"
va_wait_until 20 curl -sSf -o /dev/null "http://127.0.0.1:$VA_HTTP_PORT/health"
is 'four webhooks of one change are taken' "$(for n in 1 2 3 4; do tell "$hook" "{\"_model\": \"crm.lead\", \"_id\": $their, \"write_date\": \"2026-12-01 00:00:00.5\"}"; done)" 200200200200
va_wait_until 20 quiet
is 'and are one question, whose answer comes back' "$(row "SELECT count(*) FROM outbox_history WHERE tenant_id = '$tenant' AND attempt_key LIKE 'hook:%'") $(row "SELECT status, company_name FROM leads WHERE id = '$l'")" '1 qualified|Theirs'
is 'and nothing goes out again' "$(row "SELECT count(*) FROM outbox_history WHERE tenant_id = '$tenant' AND kind = 'odoo.lead'") $(status "$l")" '1 synced|'
is 'a wrong token, no JSON, another lead, another method' "$(tell "${hook}x" '{"id": 1}') $(tell "$hook" 'x') $(tell "$hook" '{"id": 999999}') $(curl -sS -o /dev/null -w '%{http_code}' "$hook")" '404 400 200 405'

# ---- deleted there, and merged here ----------------------------------------------------------------------

tenant Gone '' '{"contacts": false, "pull_minutes": 60}'
there()
{
  curl -sS -o /dev/null "$PROVIDERS_URL/odoo/json/2/crm.lead/$1" -H 'Authorization: Bearer sandbox-key' -H 'Content-Type: application/json' -d "$2"
}
there_read()
{
  curl -sS "$PROVIDERS_URL/odoo/json/2/mail.message/search_read" -H 'Authorization: Bearer sandbox-key' -H 'Content-Type: application/json' \
    -d '{"domain": [], "fields": ["body"]}'
}
odoo_id()
{
  row "SELECT odoo_lead_id FROM leads WHERE id = '$1'"
}
settled()
{
  va_is_true "SELECT NOT EXISTS (SELECT FROM outbox WHERE tenant_id = '$tenant' AND kind NOT IN ('odoo.pull', 'odoo.gone'))"
}
gone=$(lead gone)
kept=$(lead kept)
archived=$(lead archived)
va_wait_until 20 settled
old=$(odoo_id "$gone")
there unlink "{\"ids\": [$old]}"
there write "{\"ids\": [$(odoo_id "$archived")], \"vals\": {\"active\": false}}"
is 'a look at what was deleted is planned' "$(row "SELECT count(*) FROM outbox WHERE tenant_id = '$tenant' AND kind = 'odoo.gone'")" 1
row "SELECT va_outbox_retry(id) FROM outbox WHERE tenant_id = '$tenant' AND kind = 'odoo.gone'" >/dev/null
ok 'what was deleted there is noticed' va_wait_for "SELECT odoo_sync_status = 'failed' FROM leads WHERE id = '$gone'" 20
matches 'and said, with what may be done' "$(status "$gone")" '^failed\|The lead was deleted in Odoo .*not made again by itself: va_odoo_forget'
is 'others, archived ones too, are as they were' "$(status "$kept") $(status "$archived")" 'synced| synced|'
row "UPDATE leads SET company_name = 'Acme' WHERE id = '$gone'"
va_wait_until 20 settled
matches 'a change here does not make it again' "$(status "$gone") $(made crm.lead gone)" '^failed\|The lead was deleted in Odoo.* 1$'
row "SELECT va_odoo_forget('$gone')" >/dev/null
ok 'a person may ask for a new one' va_wait_for "SELECT odoo_sync_status = 'synced' FROM leads WHERE id = '$gone'" 20
is 'which is another one' "$(row "SELECT odoo_lead_id > $old, gone_at IS NULL FROM leads l JOIN odoo_links k ON k.record_id = l.id AND k.model = 'crm.lead' WHERE l.id = '$gone'")" 't|t'
is 'the next look is a day away' "$(row "SELECT run_at > now() + interval '23 hours' FROM outbox WHERE tenant_id = '$tenant' AND kind = 'odoo.gone'")" t
twin=$(lead twin)
va_wait_until 20 settled
their=$(odoo_id "$twin")
row "UPDATE leads SET email = 'kept@example.test' WHERE id = '$twin'"
va_wait_until 20 settled
provider_fault '{"prefix": "/odoo", "path": "message_post", "cut": "after", "times": 1}'
before=$(grep -cF '"id":"mail.message/' "$PROVIDERS_LEDGER")
row "SELECT va_lead_merge('$kept', '$twin')" >/dev/null
hurried()
{
  hurry
  settled
}
va_wait_until 30 hurried
provider_faults_clear
is 'merged here: the other record is archived there' "$(grep -F "\"id\":\"crm.lead/$their\"" "$PROVIDERS_LEDGER" | grep -F '"event":"written"' | tail -n 1 | grep -c '"active.*false')" 1
is 'with one note that names the surviving one, also when its answer is lost' "$(($(grep -cF '"id":"mail.message/' "$PROVIDERS_LEDGER") - before)) $(there_read | grep -c "lead $(odoo_id "$kept")")" '1 1'
is 'and the surviving one goes on' "$(status "$kept")" 'synced|'

# ---- two at once, and a tenant that has none -------------------------------------------------------------

provider_faults_clear
tenant Burst '' '{"contacts": false}'
for n in 1 2 3 4 5 6 7 8; do
  (va_psql -c "SELECT va_lead_capture('$tenant', '{\"email\": \"burst@example.test\", \"name\": \"Burst $n\"}')" >/dev/null) &
  burst_pids+=($!)
done
wait "${burst_pids[@]}"
va_wait_until 30 quiet
l=$(row "SELECT id FROM leads WHERE email = 'burst@example.test'")
is 'eight changes at once are one record' "$(status "$l") $(grep -F '"event":"created"' "$PROVIDERS_LEDGER" | grep -c '"what":"Burst [0-9]"')" 'synced| 1'
is 'with the last of them' "$(grep -F "\"id\":\"crm.lead/$(row "SELECT odoo_lead_id FROM leads WHERE id = '$l'")\"" "$PROVIDERS_LEDGER" | grep -F '"event":"written"' | grep -o 'Burst [0-9]' | tail -n 1)" \
  "$(row "SELECT concat_ws(' ', first_name, last_name) FROM leads WHERE id = '$l'")"
row "UPDATE tenants SET settings = settings - 'odoo' WHERE id = '$tenant'"
l=$(lead none)
is 'without the setting nothing is pending and nothing waits' "$(status "$l") $(row "SELECT count(*) FROM outbox WHERE lead_id = '$l'")" 'disabled| 0'
is 'no panic in the log' "$(grep -c -e PANIC -e 'signal 11' "$VA_LOG")" 0
is 'no settle function failed' "$(row "SELECT string_agg(concat_ws(' ', kind, attempt_key, settle_error), '; ') FROM (SELECT kind, attempt_key, settle_error FROM outbox_history
  UNION ALL SELECT kind, attempt_key, settle_error FROM outbox_dead) x WHERE settle_error IS NOT NULL AND kind LIKE 'odoo.%'")" ''
done_testing
