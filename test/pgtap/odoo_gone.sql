-- Odoo: records that were deleted there, in pages; what is believed and what is not.
\ir setup.psql
SELECT no_plan();
SELECT va_tenant_create('Odd', 'general', NULL, settings => '{"odoo": {"url": "https://odoo.test", "database": "d", "login": "l"}}') AS tenant \gset
DELETE FROM outbox;
INSERT INTO leads (tenant_id, phone, odoo_lead_id, odoo_sync_status) SELECT :'tenant', '+1555' || lpad(n::text, 7, '0'), n, 'synced' FROM generate_series(1, 230) n;
INSERT INTO odoo_links (model, record_id, tenant_id, lead_id, odoo_id) SELECT 'crm.lead', l.id, l.tenant_id, l.id, l.odoo_lead_id FROM leads l WHERE l.tenant_id = :'tenant'
ON CONFLICT (model, record_id) DO UPDATE SET odoo_id = excluded.odoo_id;
DELETE FROM outbox;
UPDATE leads SET odoo_sync_status = 'synced', odoo_sync_error = NULL;
UPDATE odoo_connections SET state = 'ok', transport = 'json2' WHERE tenant_id = :'tenant';
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'odoo.gone' AND state = 'later'), 1, 'a connection that is good plans a look');
UPDATE odoo_connections SET state = 'unchecked'; UPDATE odoo_connections SET state = 'ok';
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'odoo.gone'), 1, 'one');

-- look(there): the look that is planned, answered with these ids of those it asks for; what was asked, from and to
CREATE FUNCTION pg_temp.look(there int4range[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	o outbox;
	r jsonb;
	ids int[];
BEGIN
	SELECT * INTO o FROM outbox x WHERE x.kind = 'odoo.gone' ORDER BY x.id DESC LIMIT 1;
	r := va_prepare_odoo_gone(o);
	SELECT * INTO o FROM outbox x WHERE x.id = o.id;
	DELETE FROM outbox x WHERE x.id = o.id;
	IF r ? 'skip' THEN
		PERFORM va_settle_odoo_gone(o, 'skipped', jsonb_build_object('why', r -> 'skip'));
		RETURN r ->> 'skip';
	END IF;
	ids := ARRAY(SELECT e::int FROM jsonb_array_elements_text(r -> 'steps' -> 0 -> 'call' -> 'args' -> 'domain' -> 0 -> 2) e);
	PERFORM va_settle_odoo_gone(o, 'done', jsonb_build_object('values', jsonb_build_object('rows', (
		SELECT coalesce(jsonb_agg(jsonb_build_object('id', i)), '[]') FROM unnest(ids) i WHERE EXISTS (SELECT FROM unnest(there) t WHERE i <@ t)))));
	RETURN format('%s: %s to %s', cardinality(ids), ids[1], ids[cardinality(ids)]);
END $$;
SELECT is(pg_temp.look('{"[1,7]", "[9,300]"}'), '200: 1 to 200', 'a page of the ids that are known');
SELECT is((SELECT array_agg(odoo_lead_id) FROM leads WHERE odoo_sync_status = 'failed'), '{8}', 'what is not there any more is noticed'),
	matches((SELECT odoo_sync_error FROM leads WHERE odoo_lead_id = 8), 'deleted in Odoo .* va_odoo_forget', 'and said');
SELECT is((SELECT (was, became, outcome)::text FROM odoo_changes), '(8,null,kept)', 'and is a change that came from there'), is((SELECT count(*)::int FROM outbox WHERE kind = 'odoo.lead'), 0, 'nothing is made again');
SELECT is((SELECT (payload ->> 'after', run_at <= now())::text FROM outbox WHERE kind = 'odoo.gone'), '(200,t)', 'the next page at once');
SELECT is(pg_temp.look('{"[1,300]"}'), '30: 201 to 230', 'the rest');
SELECT is((SELECT (payload ->> 'after', run_at > now() + interval '23 hours')::text FROM outbox WHERE kind = 'odoo.gone'), '(0,t)', 'and from the beginning a day later');
SELECT pg_temp.look('{"[1,7]", "[9,300]"}') \g /dev/null
SELECT is((SELECT count(*)::int FROM odoo_changes), 1, 'gone is said once');
DELETE FROM outbox WHERE kind = 'odoo.gone';
SELECT va_odoo_ensure_gone(:'tenant', now()) \g /dev/null
SELECT pg_temp.look('{"[1,300]"}') \g /dev/null
SELECT is((SELECT (odoo_sync_status, odoo_sync_error)::text FROM leads WHERE odoo_lead_id = 8), '(pending,)', 'who is seen again goes on');
DELETE FROM outbox WHERE kind = 'odoo.gone';
SELECT va_odoo_ensure_gone(:'tenant', now()) \g /dev/null
SELECT pg_temp.look('{}') \g /dev/null
SELECT is((SELECT count(*)::int FROM leads WHERE odoo_sync_status = 'failed'), 0, 'that all were deleted is not believed'), is((SELECT count(*)::int FROM outbox WHERE kind = 'odoo.check'), 1, 'the connection is looked at instead');
UPDATE tenants SET settings = jsonb_set(settings, '{odoo,on_deleted}', '"recreate"') WHERE id = :'tenant';
UPDATE odoo_connections SET state = 'ok', transport = 'json2' WHERE tenant_id = :'tenant';
DELETE FROM outbox; SELECT va_odoo_ensure_gone(:'tenant', now()) \g /dev/null
SELECT pg_temp.look('{"[1,8]", "[10,300]"}') \g /dev/null
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'odoo.lead'), 1, 'made again where the tenant wants it so'), is((SELECT count(*)::int FROM leads WHERE odoo_lead_id IS NULL), 1, 'as another record');
UPDATE odoo_connections SET state = 'broken';
SELECT is(pg_temp.look('{}'), 'the connection has to be mended first', 'not over a broken connection');
UPDATE odoo_connections SET state = 'ok', transport = 'rest';
SELECT matches(pg_temp.look('{}'), 'REST gateway', 'nor over a gateway');

-- ---- merged here
DELETE FROM outbox;
UPDATE odoo_connections SET transport = 'json2', version = 19;
SELECT l.id AS keep FROM leads l WHERE odoo_lead_id = 1 \gset
SELECT l.id AS drop FROM leads l WHERE odoo_lead_id = 2 \gset
UPDATE leads SET email = 'one@example.test', first_name = 'Ann' WHERE id IN (:'keep', :'drop');
SELECT va_lead_merge(:'keep', :'drop') \g /dev/null
SELECT is((SELECT count(*)::int FROM odoo_links WHERE model = 'crm.lead' AND record_id NOT IN (SELECT id FROM leads)), 0, 'no link speaks of a lead that is no more');
SELECT is((SELECT payload - 'merged' FROM outbox WHERE kind = 'odoo.merged'), '{"id": 2}', 'the other record is to be archived');
SELECT is((SELECT string_agg(s -> 'call' ->> 'method', ' ') FROM outbox o, jsonb_array_elements(va_prepare_odoo_merged(o) -> 'steps') s WHERE o.kind = 'odoo.merged'), 'search_read message_post write', 'with a note, once'),
	matches((SELECT va_prepare_odoo_merged(o)::text FROM outbox o WHERE o.kind = 'odoo.merged'), 'same person as Ann \(lead 1\)', 'that names the surviving one');
SELECT * FROM finish();
