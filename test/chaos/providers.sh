#!/bin/bash
# providers.sh: two thousand effects over all providers while dispatchers, sessions and the server are
# killed at random and the services fail at random. Effects are made as users make them: by messages,
# calls, mails, leads, appointments, files, events and pushes. The stand-ins' ledger shows each call and
# message at most once, each record and calendar event exactly once, each file whole; nothing is
# forgotten, and every unknown outcome is resolved or listed. CHAOS_SEED chooses what is killed when.
# shellcheck source=../flows/lib.sh
. "$(dirname "$0")/../flows/lib.sh"
# shellcheck source=effects_lib.sh
. "$(dirname "$0")/effects_lib.sh"
# shellcheck source=../tools/twilio.sh
. "$here/../tools/twilio.sh"
BATCHES=80
CALLS=200

twilio_start voiceagent.dispatcher_workers=2 voiceagent.allow_private_urls=on || exit 1

# ---- one tenant with all of them
GOOGLE=$PROVIDERS_URL/google SENDGRID=$PROVIDERS_URL/sendgrid
KEY=$VA_DIR/robot.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$KEY" 2>/dev/null
lines()
{
  awk '{ printf "%s\\n", $0 }'
}
curl -sSf -o /dev/null --data-binary "{\"client_email\": \"robot@p.test\", \"delegated\": false, \"public_key\": \"$(openssl pkey -in "$KEY" -pubout | lines)\"}" "$GOOGLE/sandbox/account"
event_key=$(curl -sS "$SENDGRID/sandbox/key" | sed 's/.*"public_key":"\([^"]*\)".*/\1/')
curl -sSf -o /dev/null --data-binary "{\"url\": \"http://127.0.0.1:$VA_HTTP_PORT/webhook/email/events?tenant=$TENANT\", \"events\": [\"processed\", \"delivered\"]}" "$SENDGRID/sandbox/webhook"
va_psql -c "ALTER SYSTEM SET voiceagent.sendgrid_base_url = '$SENDGRID'" -c "ALTER SYSTEM SET voiceagent.google_base_url = '$GOOGLE'" \
  -c "ALTER SYSTEM SET voiceagent.google_token_url = '$GOOGLE/token'" -c 'SELECT pg_reload_conf()' >/dev/null
va_psql -v tenant="$TENANT" -v base="$PROVIDERS_URL" -v event_key="$event_key" \
  -v robot="{\"client_email\": \"robot@p.test\", \"private_key_id\": \"k1\", \"private_key\": \"$(lines <"$KEY")\"}" <<'SQL' >/dev/null
SELECT va_secret_set(:'tenant', n, v) FROM (VALUES ('sendgrid_api_key', 'SG.one.two'), ('google_service_account', :'robot'), ('odoo_api_key', 'sandbox-key'),
  ('s3_access_key', 'SANDBOXKEY'), ('s3_secret_key', 'sandbox/secret+key'), ('hook_secret', 'secret-of-the-test')) AS x (n, v);
SELECT va_tenant_settings_set(:'tenant', jsonb_build_object(
  'email', jsonb_build_object('from', 'sales@acme.test', 'event_key', :'event_key'),
  'google', '{"calendar_id": "team@g.test"}'::jsonb,
  'odoo', jsonb_build_object('url', :'base' || '/odoo', 'database', 'sandbox', 'login', 'bot@example.test', 'pull_minutes', 0, 'contacts', false),
  'storage', jsonb_build_object('endpoint', :'base', 'bucket', 'bucket', 'region', 'eu-test-1'),
  'ntfy', jsonb_build_object('base_url', :'base' || '/ntfy'),
  'otlp', jsonb_build_object('endpoint', :'base' || '/otlp/v1/traces'),
  'dial', '{"calls_per_second": 100}'::jsonb,
  'contact_limits', '{"call": {"day": null, "week": null}, "sms": {"day": null, "week": null}, "whatsapp": {"day": null, "week": null}, "email": {"day": null, "week": null}}'::jsonb));
INSERT INTO phone_numbers (tenant_id, phone_number, phone_type) VALUES (:'tenant', '+15550200002', 'whatsapp');
INSERT INTO human_agents (tenant_id, name, email, push_topic) VALUES (:'tenant', 'Eve', 'eve@acme.test', 'eve');
INSERT INTO event_hooks (tenant_id, url, events) VALUES (:'tenant', :'base' || '/hooks/in?secret=secret-of-the-test', '{chaos}');
UPDATE outbox_kinds SET timeout_ms = 1200;
UPDATE outbox_kinds SET max_attempts = 3 WHERE kind LIKE 'odoo.%'; -- so that some leads give up, and what waits for them
INSERT INTO settings SELECT 'outbox_limits', jsonb_object_agg(p, '{"breaker_seconds": 0.3, "breaker_failures": 1000, "concurrency": 20, "per_second": 1000}'::jsonb)
  FROM unnest('{twilio,sendgrid,google,odoo,storage,hook,push,otlp}'::text[]) p;

-- A batch is made once, however often it is asked for.
CREATE TABLE batches (n int PRIMARY KEY);
CREATE FUNCTION batch(p_tenant uuid, p_batch int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  n int;
BEGIN
  INSERT INTO batches VALUES (p_batch) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  FOR n IN p_batch * 20 .. p_batch * 20 + 19 LOOP
    CASE p_batch % 8
      WHEN 0 THEN
        INSERT INTO notifications (tenant_id, channel, direction, status, to_address, body, template_id)
        VALUES (p_tenant, CASE n % 2 WHEN 0 THEN 'sms' ELSE 'whatsapp' END, 'outbound', 'pending', '+1555060' || lpad(n::text, 4, '0'), 'message ' || n,
          CASE n % 2 WHEN 1 THEN 'HX00000000000000000000000000000001' END);
      WHEN 1 THEN
        PERFORM va_dial(p_tenant, '+1555061' || lpad((p_batch / 8 * 20 + n % 20)::text, 4, '0'), options => '{"machine": "off"}');
      WHEN 2 THEN
        INSERT INTO notifications (tenant_id, channel, direction, to_address, subject, body, notification_type)
        VALUES (p_tenant, 'email', 'outbound', 'p' || n || '@example.test', 'Mail ' || n, 'Dear reader', 'follow_up');
      WHEN 3 THEN
        PERFORM va_lead_capture(p_tenant, jsonb_build_object('name', 'Lead ' || n, 'email', 'lead' || n || '@example.test'));
      WHEN 4 THEN
        PERFORM va_appointment_book(va_lead_capture(p_tenant, jsonb_build_object('name', 'Guest ' || n, 'email', 'guest' || n || '@example.test')),
          date_trunc('day', now()) + make_interval(days => 10, hours => n), title => 'Visit ' || n, force => true);
        UPDATE notifications SET status = 'cancelled' WHERE scheduled_for > now() + interval '1 day' AND status = 'pending'; -- its reminders are withdrawn
      WHEN 5 THEN
        PERFORM va_file_put(p_tenant, 'file' || n, convert_to(repeat('content ' || n, 100 + n), 'UTF8'), 'text/plain');
      WHEN 6 THEN
        PERFORM va_emit(p_tenant, 'chaos', NULL, NULL, jsonb_build_object('n', n));
      ELSE
        PERFORM va_push(a.id, 'Push', 'push-' || n, key => 'push-' || n) FROM human_agents a WHERE a.push_topic = 'eve';
    END CASE;
  END LOOP;
END
$$;
SQL
ok 'Odoo_is_ready' va_wait_for "SELECT state = 'ok' AND NOT EXISTS (SELECT FROM outbox) FROM odoo_connections WHERE tenant_id = '$TENANT'" 30
va_wait_for "SELECT current_setting('voiceagent.google_token_url') = '$GOOGLE/token'" 10
# Whoever is called is busy or does not answer.
for ((i = 0; i < CALLS; i++)); do
  printf 'next\nurl = "%s/twilio/sandbox/numbers"\ndata = "{\\"number\\": \\"+1555061%04d\\", \\"answers\\": \\"%s\\", \\"ring_ms\\": 50}"\noutput = /dev/null\n' \
    "$PROVIDERS_URL" $i "$([ $((i % 2)) = 0 ] && echo busy || echo no-answer)"
done | sed 1d | curl -sSf -K -
effects_faults

add_all()
{
  local i
  for ((i = 0; i < BATCHES; i++)); do
    effects_insist "SELECT batch('$TENANT', $i)"
    sleep 0.1
  done
}
effects_run add_all

# Reports that were on the way have come, or never will: a mail in doubt is not waited for an hour.
all_over()
{
  va_psql -c "UPDATE outbox SET doubtful_since = now() - interval '1 day' WHERE kind = 'sendgrid.mail' AND state = 'unknown'"
  effects_all_over
}
ok 'all_come_to_an_end' va_wait_until 150 all_over
va_psql -F ' ' -c "SELECT '# left', kind, state, attempts, run_at - now(), last_error FROM outbox LIMIT 20" \
  -F ' ' -c "SELECT '# gave up', kind, outcome, last_error - 'at', count(*) FROM outbox_dead GROUP BY 2, 3, 4 ORDER BY 5 DESC LIMIT 20"
# What had no luck in all of its attempts is tried again by a person, and brings along what had failed with it.
va_psql -c "SELECT va_outbox_retry(id) FROM outbox_dead WHERE outcome = 'dead'" >/dev/null
ok 'and_what_is_tried_again' va_wait_until 60 all_over
is 'of_which_nothing_gives_up' "$(va_psql -c "SELECT count(*) FROM outbox_dead WHERE outcome <> 'unknown'")" 0

effects_compare <<'SQL'
SELECT 'twilio.message', (SELECT n.id::text FROM notifications n WHERE n.direction = 'outbound' AND n.to_address = replace(line ->> 'to', 'whatsapp:', ''))
  FROM ledger WHERE line ->> 'event' = 'message_created'
UNION ALL SELECT 'twilio.call', (SELECT c.id::text FROM calls c WHERE c.to_number = line ->> 'to') FROM ledger WHERE line ->> 'event' = 'call_created'
UNION ALL SELECT 'sendgrid.mail', line ->> 'id' FROM ledger WHERE line ->> 'event' = 'mail'
UNION ALL SELECT 'google.event', format('appointment:%s:0', (line ->> 'id')::uuid) FROM ledger WHERE line ->> 'event' = 'inserted'
UNION ALL SELECT 'odoo.lead', (SELECT o.attempt_key FROM leads l JOIN (TABLE outbox_history) o ON o.lead_id = l.id AND o.kind = 'odoo.lead'
    WHERE 'crm.lead/' || l.odoo_lead_id = line ->> 'id' ORDER BY o.id LIMIT 1)
  FROM ledger WHERE line ->> 'event' = 'created' AND line ->> 'id' LIKE 'crm.lead/%'
UNION ALL SELECT 'storage.put', (SELECT f.id::text FROM stored_files f WHERE '/' || (f.target ->> 'path') = line ->> 'id' AND f.sha256 = line ->> 'sha256')
  FROM ledger WHERE line ->> 'event' = 'put'
UNION ALL SELECT 'hook.post', (SELECT h.id::text FROM event_hooks h) || '/' || (line ->> 'id') FROM ledger WHERE line ->> 'event' = 'hook'
UNION ALL SELECT 'push.ntfy', line ->> 'message' FROM ledger WHERE line ->> 'event' = 'push'
UNION ALL SELECT 'otlp.trace', (line ->> 'id')::uuid::text FROM ledger WHERE line ->> 'event' = 'span'
SQL
is 'all_was_asked_for' "$(va_psql -c 'SELECT count(*) FROM batches')" "$BATCHES"
ok 'these_are_many' va_is_true 'SELECT count(*) > 1900 FROM ends'
is 'no_message_is_forgotten' "$(va_psql -c "SELECT count(*) FROM notifications n WHERE n.direction = 'outbound' AND n.channel IN ('sms', 'whatsapp')
  AND NOT EXISTS (SELECT FROM ends e WHERE e.attempt_key = n.id::text)")" 0
is 'no_call_is_forgotten' "$(va_psql -c "SELECT count(*) FROM calls c WHERE NOT EXISTS (SELECT FROM ends e WHERE e.kind = 'twilio.call' AND e.attempt_key = c.id::text)")" 0
is 'no_mail_is_forgotten' "$(va_psql -c "SELECT count(*) FROM notifications n WHERE n.direction = 'outbound' AND n.channel = 'email'
  AND NOT EXISTS (SELECT FROM ends e WHERE e.attempt_key = 'notification:' || n.id)")" 0
is 'no_event_is_forgotten' "$(va_psql -c "SELECT count(*) FROM analytics_events a WHERE a.event_type = 'chaos' AND NOT EXISTS (SELECT FROM happened h
  WHERE h.kind = 'hook.post' AND h.key LIKE '%/' || a.id)")" 0
effects_kind twilio.message once
effects_kind twilio.call once
effects_kind sendgrid.mail once
effects_kind google.event again
effects_kind odoo.lead again
effects_kind storage.put again
effects_kind hook.post again
effects_kind push.ntfy again
effects_kind otlp.trace again 10
# exactly_one NAME TABLE COLUMN EVENT MODEL LINK: every row names a record of its own, and no more were made.
# MODEL stands before the record's id in the ledger, LINK is the outbox's column with the row's id.
exactly_one()
{
  is "$1: exactly_one_each" "$(va_psql -c "SELECT count($3) = count(*), count(DISTINCT $3) = count(*),
    count(*) = (SELECT count(*) FROM ledger WHERE line ->> 'event' = '$4' AND line ->> 'id' LIKE '$5%') FROM $2")" 't|t|t'
  odd_ones "$@"
}
# odd_ones, of the same: rows without a record or with another's, with the stories of their effects, and records
# that no row names.
odd_ones()
{
  va_psql -F ' ' <<SQL
CREATE TEMP TABLE odd AS SELECT to_jsonb(x) AS row, x.id, x.$3 AS record FROM $2 x
  WHERE x.$3 IS NULL OR EXISTS (SELECT FROM $2 y WHERE y.$3 = x.$3 AND y.id <> x.id) ORDER BY x.id LIMIT 5;
SELECT '# $2', o.id, 'has', coalesce(o.record::text, 'nothing') FROM odd o;
SELECT '#', o.id, e.id, e.kind, e.outcome, s.at::time(3), s.what, s.who, s.detail
FROM odd o JOIN (SELECT id, kind, outcome, lead_id, $6 AS link FROM outbox_history UNION ALL SELECT id, kind, outcome, lead_id, $6 FROM outbox_dead) e
  ON e.kind LIKE '${3%%_*}.%' AND (e.link = o.id OR e.lead_id = (o.row ->> 'lead_id')::uuid), va_outbox_explain(e.id) s ORDER BY o.id, e.id, s.at;
SELECT '# nobody''s', line FROM ledger WHERE line ->> 'event' = '$4' AND line ->> 'id' LIKE '$5%'
  AND NOT EXISTS (SELECT FROM $2 x WHERE '$5' || x.$3 = line ->> 'id') LIMIT 5;
SQL
}
exactly_one 'leads in Odoo' leads odoo_lead_id created crm.lead/ lead_id
exactly_one 'appointments in Odoo' appointments odoo_event_id created calendar.event/ appointment_id
exactly_one 'appointments at Google' appointments google_calendar_event_id inserted '' appointment_id
is 'each_file_is_whole' "$(va_psql -c "SELECT count(*) FROM stored_files f WHERE f.status <> 'stored' OR f.sha256 IS DISTINCT FROM
  (SELECT l.line ->> 'sha256' FROM ledger l WHERE l.line ->> 'event' = 'put' AND l.line ->> 'id' = '/' || (f.target ->> 'path') ORDER BY l.ctid DESC LIMIT 1)")" 0
is 'who_can_be_asked_leaves_no_doubt' "$(va_psql -c "SELECT count(*) FROM ends WHERE outcome = 'unknown' AND kind <> 'sendgrid.mail'")" 0
effects_listed
is 'no_settling_failed' "$(va_psql -c "SELECT count(*) FROM (SELECT settle_error FROM outbox_history UNION ALL SELECT settle_error FROM outbox_dead) x WHERE settle_error IS NOT NULL")" 0
done_testing
