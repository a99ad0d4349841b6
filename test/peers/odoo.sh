#!/bin/bash
# A real Odoo 19 from Debian's packages in a chroot, on the test cluster's own PostgreSQL: what our
# rows become there is read from Odoo's tables, not through any code of ours.
#
# Skipped, loudly, where the chroot cannot be made. ODOO_URL, ODOO_KEY and ODOO_PSQL (a psql command
# for its database) name one that runs already, for whoever works on this.
set -u
# shellcheck source=../tools/cluster.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/cluster.sh"
# shellcheck source=../tools/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tools/tap.sh"
TREE=$VA_ROOT/build/chroot-odoo
RUN=$RANDOM # in addresses, for an Odoo that has seen earlier runs

# ---- Odoo -------------------------------------------------------------------------------------------

# Runs a command in the chroot, as Odoo's user, in a mount namespace that ends with it.
in_odoo()
{
  unshare --mount --propagation private bash -c '
    tree=$1
    shift
    mount -t proc proc "$tree/proc" && mount -t tmpfs tmpfs "$tree/tmp" && chmod 1777 "$tree/tmp" &&
      exec setpriv --pdeathsig TERM -- chroot --userspec=odoo:odoo "$tree" /usr/bin/env -i \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 "$@"' in_odoo "$TREE" "$@"
}

odoo_ready()
{
  curl -sS -m 5 "$ODOO_URL/web/version" 2>/dev/null | grep -q version_info
}

odoo_start()
{
  local port log=$VA_DIR/odoo.log
  local -a database
  port=$(va_free_port)
  database=("--db_host=127.0.0.1" "--db_port=$VA_PORT" --db_user=odoo --db_password=odoo -d acme --data-dir=/var/lib/odoo/test)
  va_psql -c "CREATE ROLE odoo LOGIN CREATEDB PASSWORD 'odoo'"
  rm -rf "$TREE/var/lib/odoo/test"
  in_odoo odoo "${database[@]}" -i crm,calendar --stop-after-init --without-demo=all >"$log" 2>&1 || {
    tail -n 20 "$log" | sed 's/^/# /'
    return 1
  }
  ODOO_KEY=$(in_odoo odoo shell "${database[@]}" --no-http 2>>"$log" <<'PYTHON' | sed -n 's/.*KEY \([0-9a-f]\{40\}\).*/\1/p'
from datetime import datetime, timedelta
print("KEY", env["res.users.apikeys"].with_user(2)._generate(None, "test", datetime.now() + timedelta(days=60)))
env.cr.commit()
PYTHON
)
  ODOO_URL=http://127.0.0.1:$port
  in_odoo odoo "${database[@]}" --http-interface=127.0.0.1 "--http-port=$port" --max-cron-threads=0 >>"$log" 2>&1 </dev/null &
  odoo_pid=$!
  va_at_exit 'kill $odoo_pid 2>/dev/null; wait $odoo_pid 2>/dev/null'
  va_wait_until 120 odoo_ready
}

# A value out of Odoo's own tables.
there()
{
  if [ -n "${ODOO_PSQL:-}" ]; then
    $ODOO_PSQL -X -q -A -t -c "$1"
  else
    PGDATABASE=acme va_psql -c "$1"
  fi
}

# person MODEL/METHOD JSON: what somebody does in Odoo.
person()
{
  curl -sS -m 30 -X POST "$ODOO_URL/json/2/$1" -H "Authorization: bearer $ODOO_KEY" -H 'X-Odoo-Database: acme' \
    -H 'Content-Type: application/json' -d "$2"
}

# ---- ours -------------------------------------------------------------------------------------------

row()
{
  va_psql -c "$1"
}

# settled LEAD [SECONDS]: its sync has come to an end.
settled()
{
  va_wait_for "SELECT odoo_sync_status IN ('synced', 'failed') FROM leads WHERE id = '$1'" "${2:-30}" ||
    row "SELECT odoo_sync_status, odoo_sync_error FROM leads WHERE id = '$1'" | sed 's/^/# not settled: /'
}

nothing_waits()
{
  va_wait_for "SELECT NOT EXISTS (SELECT FROM outbox WHERE tenant_id = '$tenant' AND (run_at < now() + interval '1 minute'
    OR state IN ('leased', 'unknown')))" "${1:-40}" ||
    row "SELECT kind, state, attempts, last_error FROM outbox WHERE tenant_id = '$tenant'" | sed 's/^/# waits: /'
}

# the ID of the record that we believe it is
theirs()
{
  row "SELECT odoo_lead_id FROM leads WHERE id = '$1'"
}

capture()
{
  row "SELECT va_lead_capture('$tenant', '$1')"
}

pull()
{
  row "SELECT va_odoo_pull('$tenant')" >/dev/null
  nothing_waits
}

# ---- the tests, once a transport ---------------------------------------------------------------------

connect()
{
  tenant=$(row "SELECT va_tenant_create('Acme $1', 'real_estate', NULL, settings => jsonb_build_object('odoo', jsonb_build_object(
    'url', '$ODOO_URL', 'database', 'acme', 'login', 'admin', 'transport', '$2', 'tags', jsonb_build_array('phone-$1'), 'team', 'Sales')))")
  row "SELECT va_secret_set('$tenant', 'odoo_api_key', '$ODOO_KEY')"
  va_wait_for "SELECT state <> 'unchecked' FROM odoo_connections WHERE tenant_id = '$tenant'" 60
  nothing_waits
  is "$1: the check finds version and transport" \
    "$(row "SELECT state, transport, version, missing_fields, rights -> 'leads', coalesce(error ->> 'text', '') FROM odoo_connections WHERE tenant_id = '$tenant'")" \
    "ok|$1|19|{}|true|"
}

test_leads()
{
  local t=$1 lead id
  lead=$(capture '{"name": "Ann <Smith> & Söhne", "phone": "+1202555'$((RANDOM % 9000 + 1000))'", "email": "ann.'$t$RUN'@example.test",
    "company": "Acme", "tags": ["vip"], "qualification_data": {"budget": "100k", "timeline": "next week"}}')
  settled "$lead"
  id=$(theirs "$lead")
  is "$t: a lead is there, with its data" \
    "$(there "SELECT l.name, l.contact_name, l.partner_name, l.email_from, l.type, s.name ->> 'en_US', u.name, t.name ->> 'en_US', l.user_id IS NULL, l.description
      FROM crm_lead l JOIN crm_stage s ON s.id = l.stage_id LEFT JOIN utm_source u ON u.id = l.source_id LEFT JOIN crm_team t ON t.id = l.team_id WHERE l.id = $id")" \
    "Ann <Smith> & Söhne (Acme)|Ann <Smith> & Söhne|Acme|ann.$t$RUN@example.test|opportunity|New|AI Voice|Sales|t|$(there "SELECT description FROM crm_lead WHERE id = $id")"
  matches "$t: text is text in its notes" "$(there "SELECT description FROM crm_lead WHERE id = $id")" '<li>Budget: 100k</li>'
  is "$t: tags, made where they are missing" "$(there "SELECT string_agg(g.name ->> 'en_US', ',' ORDER BY g.name ->> 'en_US') FROM crm_tag_rel r JOIN crm_tag g ON g.id = r.tag_id WHERE r.lead_id = $id")" "phone-$t,vip"
  is "$t: the score in its custom field" "$(there "SELECT round(x_lead_score::numeric, 3) FROM crm_lead WHERE id = $id")" \
    "$(row "SELECT round(lead_score::numeric, 3) FROM leads WHERE id = '$lead'")"
  is "$t: and the row knows it" "$(row "SELECT odoo_sync_status, odoo_last_sync > now() - interval '1 minute', coalesce(odoo_sync_error, '') FROM leads WHERE id = '$lead'")" "synced|t|"

  for n in 1 2 3 4 5; do
    row "UPDATE leads SET company_name = 'Acme $n' WHERE id = '$lead'"
  done
  settled "$lead"
  nothing_waits
  is "$t: a burst of changes arrives" "$(there "SELECT partner_name, name FROM crm_lead WHERE id = $id")" "Acme 5|Ann <Smith> & Söhne (Acme 5)"
  ok "$t: as few effects" [ "$(row "SELECT count(*) FROM outbox_history WHERE lead_id = '$lead' AND kind = 'odoo.lead' AND outcome = 'done'")" -le 4 ]

  row "SELECT va_lead_advance('$lead', 'qualify')" >/dev/null
  nothing_waits
  is "$t: qualified, and a contact" "$(there "SELECT s.name ->> 'en_US', p.email FROM crm_lead l JOIN crm_stage s ON s.id = l.stage_id LEFT JOIN res_partner p ON p.id = l.partner_id WHERE l.id = $id")" "Qualified|ann.$t$RUN@example.test"

  # As if the answer to the first attempt had been lost with the process that waited for it.
  row "UPDATE leads SET odoo_lead_id = NULL WHERE id = '$lead';
    UPDATE odoo_links SET odoo_id = NULL, sent = '{}', seen = '{}' WHERE record_id = '$lead' AND model = 'crm.lead'; SELECT va_odoo_push('$lead')" >/dev/null
  settled "$lead"
  nothing_waits
  is "$t: sent again it is no second record" "$(theirs "$lead"),$(there "SELECT count(*) FROM crm_lead WHERE email_from = 'ann.$t$RUN@example.test'")" "$id,1"
  the_lead=$lead
}

test_call()
{
  local t=$1 lead=$2 id call
  id=$(theirs "$lead")
  call=$(row "INSERT INTO calls (tenant_id, lead_id, direction, status, started_at, transcript) VALUES ('$tenant', '$lead', 'inbound', 'in-progress', now(),
    '[{\"role\": \"agent\", \"text\": \"Hello\"}, {\"role\": \"user\", \"text\": \"I want 3 < 4 & a house\"}]') RETURNING id")
  row "UPDATE calls SET status = 'completed', duration_seconds = 42, transcript_summary = 'Wants a house' WHERE id = '$call'"
  row "UPDATE outbox SET run_at = now(), state = 'ready' WHERE tenant_id = '$tenant' AND state = 'later' AND kind IN ('odoo.note', 'odoo.lead')"
  nothing_waits
  matches "$t: the transcript is on the lead" "$(there "SELECT x_call_transcript FROM crm_lead WHERE id = $id")" 'Caller: I want 3 < 4 & a house'
  matches "$t: and in a note" "$(there "SELECT body FROM mail_message WHERE model = 'crm.lead' AND res_id = $id AND message_id = '<voiceagent-call-$call@voiceagent>'")" 'Wants a house.*I want 3 &lt; 4 &amp; a house'
  is "$t: an internal one" "$(there "SELECT t.internal FROM mail_message m JOIN mail_message_subtype t ON t.id = m.subtype_id WHERE m.message_id = '<voiceagent-call-$call@voiceagent>'")" t
  row "UPDATE odoo_links SET synced_revision = 0, odoo_id = NULL, revision = revision + 1 WHERE model = 'mail.message' AND record_id = '$call';
    SELECT va_outbox_add('$tenant', 'odoo.note', '$call:9', '{}', lead => '$lead', call => '$call')" >/dev/null
  nothing_waits
  is "$t: once" "$(there "SELECT count(*) FROM mail_message WHERE message_id = '<voiceagent-call-$call@voiceagent>'")" 1
}

test_tasks()
{
  local t=$1 lead=$2 id task appointment event
  id=$(theirs "$lead")
  task=$(row "INSERT INTO follow_up_tasks (tenant_id, lead_id, task_type, title, description, scheduled_for, is_ai_task)
    VALUES ('$tenant', '$lead', 'call', 'Call her back', 'About the price', '2027-03-04 12:00+00', false) RETURNING id")
  nothing_waits
  is "$t: a task is an activity" "$(there "SELECT a.summary, a.date_deadline, y.name ->> 'en_US', a.note FROM mail_activity a JOIN mail_activity_type y ON y.id = a.activity_type_id WHERE a.res_model = 'crm.lead' AND a.res_id = $id AND a.active")" "Call her back|2027-03-04|Call|<p>About the price</p>"
  row "UPDATE follow_up_tasks SET scheduled_for = '2027-03-05 12:00+00' WHERE id = '$task'"
  nothing_waits
  is "$t: moved with it" "$(there "SELECT string_agg(date_deadline::text, ',') FROM mail_activity WHERE res_model = 'crm.lead' AND res_id = $id AND active")" 2027-03-05
  row "UPDATE follow_up_tasks SET status = 'completed' WHERE id = '$task'"
  nothing_waits
  is "$t: done with it" "$(there "SELECT count(*) FROM mail_activity WHERE res_model = 'crm.lead' AND res_id = $id AND active")" 0

  appointment=$(row "SELECT va_appointment_book('$lead', '2027-04-01 10:00+00', 45, title => 'Viewing', location => 'Main St 1', force => true)")
  nothing_waits
  event=$(row "SELECT odoo_event_id FROM appointments WHERE id = '$appointment'")
  is "$t: an appointment is an event" "$(there "SELECT name, start, stop, location, opportunity_id FROM calendar_event WHERE id = $event")" "Viewing|2027-04-01 10:00:00|2027-04-01 10:45:00|Main St 1|$id"
  is "$t: with the person as attendee and reminders" "$(there "SELECT (SELECT count(*) FROM calendar_attendee x JOIN res_partner p ON p.id = x.partner_id WHERE x.event_id = $event AND p.email = 'ann.$t$RUN@example.test'), (SELECT count(*) FROM calendar_alarm_calendar_event_rel WHERE calendar_event_id = $event)")" "1|2"
  is "$t: and no mail" "$(there "SELECT count(*) FROM mail_mail x JOIN mail_message m ON m.id = x.mail_message_id WHERE m.subject LIKE '%Viewing%'")" 0
  is "$t: and an activity" "$(there "SELECT a.id, a.summary FROM mail_activity a WHERE a.res_model = 'crm.lead' AND a.res_id = $id AND a.active")" "$(row "SELECT odoo_activity_id FROM appointments WHERE id = '$appointment'")|Viewing"
  row "SELECT va_appointment_reschedule('$appointment', '2027-04-02 11:00+00', force => true)" >/dev/null
  nothing_waits
  is "$t: it moves" "$(there "SELECT string_agg(start || ' ' || stop, ',') FROM calendar_event WHERE opportunity_id = $id AND active")" "2027-04-02 11:00:00 2027-04-02 11:45:00"
  row "SELECT va_appointment_cancel('$appointment', 'ill')" >/dev/null
  nothing_waits
  is "$t: cancelled it is gone, and its activity" "$(there "SELECT (SELECT count(*) FROM calendar_event WHERE id = $event AND active), (SELECT count(*) FROM mail_activity WHERE res_model = 'crm.lead' AND res_id = $id AND active)")" "0|0"
}

test_ends()
{
  local t=$1 lead=$2 id other
  id=$(theirs "$lead")
  row "SELECT va_lead_advance('$lead', 'schedule'), va_lead_advance('$lead', 'win', 'signed')" >/dev/null
  nothing_waits
  is "$t: won" "$(there "SELECT won_status, probability, active FROM crm_lead WHERE id = $id")" "won|100|t"
  other=$(capture '{"name": "Bob '$t'", "email": "bob.'$t$RUN'@example.test"}')
  settled "$other"
  row "SELECT va_lead_advance('$other', 'lose', 'Too far away')" >/dev/null
  nothing_waits
  is "$t: lost, with its reason" "$(there "SELECT l.won_status, l.active, r.name ->> 'en_US' FROM crm_lead l LEFT JOIN crm_lost_reason r ON r.id = l.lost_reason_id WHERE l.id = $(theirs "$other")")" "lost|f|Too far away"
  row "SELECT va_lead_reopen('$other', 'came back')" >/dev/null
  nothing_waits
  is "$t: and open again" "$(there "SELECT l.won_status, l.active, s.name ->> 'en_US' FROM crm_lead l JOIN crm_stage s ON s.id = l.stage_id WHERE l.id = $(theirs "$other")")" "pending|t|Qualified"
}

stage_there()
{
  there "SELECT id FROM crm_stage WHERE name ->> 'en_US' = '$1'"
}

test_back()
{
  local t=$1 lead id
  row "INSERT INTO human_agents (tenant_id, name, email) VALUES ('$tenant', 'Kim', 'admin')"
  lead=$(capture '{"name": "Cleo '$t'", "phone": "+1202777'$((RANDOM % 9000 + 1000))'", "email": "cleo.'$t$RUN'@example.test"}')
  settled "$lead"
  nothing_waits
  id=$(theirs "$lead")
  person crm.lead/write '{"ids": ['"$id"'], "vals": {"stage_id": '"$(stage_there Proposition)"', "user_id": 2, "phone": "+1 202-888-4455", "name": "The big one"}}' >/dev/null
  pull
  is "$t: stage, owner and number come back" "$(row "SELECT l.status, h.name, l.phone FROM leads l LEFT JOIN human_agents h ON h.id = l.assigned_to WHERE l.id = '$lead'")" "meeting_scheduled|Kim|+12028884455"
  is "$t: step by step, by odoo" "$(row "SELECT string_agg(event, ',' ORDER BY changed_at), string_agg(DISTINCT changed_by, ',') FROM lead_stage_history WHERE lead_id = '$lead'")" "qualify,contact,schedule|odoo"
  is "$t: nothing of it goes out again" "$(row "SELECT count(*) FROM outbox WHERE lead_id = '$lead' AND kind = 'odoo.lead'"),$(row "SELECT odoo_sync_status FROM leads WHERE id = '$lead'")" "0,synced"
  row "UPDATE leads SET company_name = 'Ours', last_name = 'Wu' WHERE id = '$lead'"
  person crm.lead/write '{"ids": ['"$id"'], "vals": {"partner_name": "Theirs"}}' >/dev/null
  settled "$lead"
  nothing_waits
  is "$t: of two changes at once theirs wins, and the title stays theirs" "$(row "SELECT company_name FROM leads WHERE id = '$lead'"),$(there "SELECT partner_name, name, contact_name FROM crm_lead WHERE id = $id")" "Theirs,Theirs|The big one|Cleo Wu"
  person crm.lead/action_set_lost '{"ids": ['"$id"'], "lost_reason_id": '"$(there "SELECT id FROM crm_lost_reason WHERE name ->> 'en_US' = 'Too expensive'")"'}' >/dev/null
  pull
  is "$t: lost there is lost here, with the reason" "$(row "SELECT status, status_reason, status_by FROM leads WHERE id = '$lead'")" "closed_lost|Odoo: Too expensive|odoo"
  person crm.lead/action_unarchive '{"ids": ['"$id"']}' >/dev/null
  person crm.lead/action_set_won '{"ids": ['"$id"']}' >/dev/null
  pull
  is "$t: won there is won here" "$(row "SELECT status FROM leads WHERE id = '$lead'")" closed_won
  person crm.lead/write '{"ids": ['"$id"'], "vals": {"stage_id": '"$(stage_there New)"'}}' >/dev/null
  pull
  is "$t: what cannot be is told, and stays" "$(row "SELECT l.status, c.outcome, c.detail FROM leads l, odoo_changes c WHERE l.id = '$lead' AND c.lead_id = l.id ORDER BY c.id DESC LIMIT 1")" "closed_won|refused|a lead that is closed won cannot become new"
  person crm.lead/unlink '{"ids": ['"$id"']}' >/dev/null
  row "UPDATE leads SET tags = '{late}' WHERE id = '$lead'"
  settled "$lead"
  matches "$t: deleted there" "$(row "SELECT odoo_sync_status, odoo_sync_error FROM leads WHERE id = '$lead'")" '^failed\|The lead was deleted in Odoo.*va_odoo_forget'
  row "SELECT va_odoo_forget('$lead')" >/dev/null
  settled "$lead"
  is "$t: and made again when asked for" "$(row "SELECT odoo_sync_status, odoo_lead_id > $id FROM leads WHERE id = '$lead'")" "synced|t"
}

test_keys()
{
  local lead
  row "SELECT va_secret_set('$tenant', 'odoo_api_key', '0000000000000000000000000000000000000000')"
  va_wait_for "SELECT state = 'broken' FROM odoo_connections WHERE tenant_id = '$tenant'" 30
  matches 'a wrong key is told at once' "$(row "SELECT error ->> 'code', error ->> 'hint' FROM odoo_connections WHERE tenant_id = '$tenant'")" '^access_denied\|.*va_secret_set'
  lead=$(capture '{"name": "Dan", "email": "dan@example.test"}')
  settled "$lead"
  matches 'and on each lead' "$(row "SELECT odoo_sync_status, odoo_sync_error FROM leads WHERE id = '$lead'")" '^failed\|Odoo does not accept the key'
  row "SELECT va_secret_set('$tenant', 'odoo_api_key', '$ODOO_KEY')"
  va_wait_for "SELECT odoo_sync_status = 'synced' FROM leads WHERE id = '$lead'" 30
  is 'with the right one what had failed is sent by itself' "$(row "SELECT odoo_sync_status, coalesce(odoo_sync_error, '') FROM leads WHERE id = '$lead'")" "synced|"
}

# ---- all of it ----------------------------------------------------------------------------------------

if [ -z "${ODOO_URL:-}" ]; then
  why=$("$VA_ROOT/test/tools/chroot.sh" odoo 2>&1) || {
    echo "1..0 # SKIP no real Odoo: $(tail -n 1 <<<"$why")"
    exit 0
  }
fi
va_cluster_start --extension voiceagent.gateway_workers=0 voiceagent.database=postgres voiceagent.allow_private_urls=on max_connections=80 || exit 1
if [ -z "${ODOO_URL:-}" ] && ! odoo_start; then
  ok 'Odoo starts' false
  done_testing
  exit 1
fi
for transport in json2 jsonrpc xmlrpc; do
  [ $transport = json2 ] && wanted=auto || wanted=$transport
  connect $transport $wanted
  test_leads $transport
  test_call $transport "$the_lead"
  test_tasks $transport "$the_lead"
  test_ends $transport "$the_lead"
  test_back $transport
done
test_keys
is 'no effect was lost or is in doubt' "$(row "SELECT count(*) FROM outbox WHERE state = 'unknown'")" 0
done_testing
