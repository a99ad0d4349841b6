-- Calls that we make: planning, the last word before dialling, what comes of it, one call at a time, caps and turns.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15559990001', :'other') AS stranger \gset
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'secret-one') \g /dev/null
-- At whatever hour these tests run, people are awake.
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "00:00", "close": "24:00"}, "contact_limits": {"call": {"day": null, "week": null}}}' WHERE id = :'tenant';

-- What the dispatcher would ask: the effect, leased.
-- turns: whoever asks has his turn.
CREATE FUNCTION pg_temp.attempt(call uuid, turns boolean DEFAULT true) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	o outbox;
BEGIN
	IF turns THEN
		UPDATE dial_slots SET next_at = now() - interval '1 minute';
	END IF;
	UPDATE outbox x SET state = 'leased', attempts = attempts + 1, started_at = clock_timestamp(), leased_by = 'test' WHERE x.call_id = call AND kind = 'twilio.call' RETURNING * INTO o;
	RETURN va_prepare_twilio_call(o);
END $$;
CREATE FUNCTION pg_temp.settle(call uuid, outcome text, result jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	o outbox;
BEGIN
	SELECT * INTO o FROM outbox x WHERE x.call_id = call AND kind = 'twilio.call';
	PERFORM va_settle_twilio_call(o, outcome, result);
END $$;
CREATE FUNCTION pg_temp.status(sid text, status text, more jsonb DEFAULT '{}') RETURNS integer LANGUAGE sql AS $$
	SELECT http_status FROM va_webhook_voice_status('AC00000000000000000000000000000001', pg_temp.form(sid, jsonb_build_object('CallStatus', status, 'Direction', 'outbound-api', 'From', '+15551230002') || more), NULL, 'gw-1')
$$;

-- ---- planning
SELECT va_dial(:'tenant', '+1 555 123 0100', prompt => 'Be brief.', greeting => 'Hello there!') AS call \gset
SELECT row_eq(format('SELECT direction::text, status::text, to_number::text, dialed_at, twilio_call_sid::text FROM calls WHERE id = %L', :'call'),
	ROW('outbound'::text, 'queued'::text, '+15551230100'::text, NULL::timestamptz, NULL::text), 'planned: the row');
SELECT is((SELECT (l.phone, l.source)::text FROM leads l JOIN calls c ON c.lead_id = l.id WHERE c.id = :'call'), '(+15551230100,outbound_call)', 'a number that was nobody''s is a lead now');
SELECT is((SELECT (kind, attempt_key, lane, state)::text FROM outbox WHERE call_id = :'call'), format('(twilio.call,%s,live,ready)', :'call'), 'and one effect');
SELECT is(pg_temp.sqlstate_of(s), want, what) FROM (VALUES
	(format('SELECT va_dial(%L, %L)', :'tenant', '555'), 'VA003', 'a number without its country'),
	(format('SELECT va_dial(%L)', :'tenant'), 'VA005', 'no number at all'),
	('SELECT va_dial(NULL, ''+15551230100'')', 'VA001', 'no tenant'),
	(format('SELECT va_dial(%L, ''+15551230100'', "from" => ''+15559990001'')', :'tenant'), 'VA051', 'another tenant''s number'),
	(format('SELECT va_dial(%L, ''+15551230100'', campaign => gen_random_uuid())', :'tenant'), 'VA052', 'no such campaign'),
	(format('SELECT va_dial(%L, ''+15551230100'', options => ''{"colour": "red"}'')', :'tenant'), 'VA005', 'an option that is none'),
	(format('SELECT va_dial(%L, ''+15551230100'', options => ''{"machine": "shout"}'')', :'tenant'), 'VA005', 'an unknown action for machines'),
	(format('SELECT va_dial(%L, ''+15551230100'', at => NULL)', :'tenant'), 'VA005', 'no time'),
	('SELECT va_dial(lead => gen_random_uuid())', 'VA020', 'no such lead')) AS x (s, want, what);
SELECT va_opt_out(:'tenant', '+15551230101', 'call') \g /dev/null
SELECT throws_ok(format('SELECT va_dial(%L, ''+15551230101'')', :'tenant'), 'VA050', 'this number may not be called: on the do-not-contact list', 'who has opted out is not planned');
UPDATE tenants SET settings = settings || jsonb_build_object('contact_hours', jsonb_build_object('open', to_char((now() + interval '3 hours') AT TIME ZONE 'America/New_York', 'HH24:00'), 'close', to_char((now() + interval '4 hours') AT TIME ZONE 'America/New_York', 'HH24:00'))) WHERE id = :'tenant';
SELECT va_dial(:'tenant', '+12125550102') AS late \gset
SELECT ok((SELECT run_at > now() + interval '1 hour' AND state = 'later' FROM outbox WHERE call_id = :'late'), 'in quiet hours it is planned for later');
SELECT is((SELECT e.event_data ->> 'why' FROM analytics_events e WHERE e.call_id = :'late' AND event_type = 'call_planned'), 'quiet hours', 'and the event says why');
SELECT is(pg_temp.attempt(:'late') ->> 'why', 'quiet hours', 'asked too early, the attempt is put off again');
UPDATE tenants SET settings = settings || '{"contact_hours": {"open": "00:00", "close": "24:00"}}' WHERE id = :'tenant';

-- ---- the request
SELECT pg_temp.attempt(:'call') AS request \gset
SELECT is((:'request'::jsonb ->> 'account_sid', :'request'::jsonb ->> 'user', :'request'::jsonb ->> 'password', :'request'::jsonb ->> 'method', :'request'::jsonb ->> 'path')::text,
	format('(%s,%1$s,secret-one,POST,Calls.json)', :'acme'), 'the request: account, credentials, path');
SELECT is(:'request'::jsonb -> 'form' #- '{Url}' #- '{FallbackUrl}' #- '{StatusCallback}' #- '{AsyncAmdStatusCallback}', '{"To": "+15551230100", "From": "+15551230002", "Method": "POST",
	"FallbackMethod": "POST", "StatusCallbackMethod": "POST", "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"], "Timeout": 30, "TimeLimit": 1860,
	"MachineDetection": "Enable", "MachineDetectionTimeout": 30, "AsyncAmd": "true", "AsyncAmdStatusCallbackMethod": "POST"}'::jsonb, 'the request: its form');
SELECT is(replace(:'request'::jsonb #>> '{form,Url}', va_public_url(), ''), format('/webhook/voice/answer?call=%s#rc=5&rp=ct,rt,5xx', :'call'), 'our address carries the call');
SELECT ok((SELECT dialed_at IS NOT NULL AND from_number = '+15551230002' AND phone_number_id IS NOT NULL FROM calls WHERE id = :'call'), 'the attempt is on record');
SELECT ok(:'request' !~ 'Record', 'without consent nothing is recorded');

-- ---- one call at a time to a person
SELECT va_dial(:'tenant', '+15551230100') AS again \gset
SELECT is(pg_temp.attempt(:'again') ->> 'why', 'the person is on the telephone with us', 'a second call to the same person waits');
SELECT throws_ok(format('UPDATE calls SET dialed_at = now() WHERE id = %L', :'again'), '23505', NULL, 'and cannot be marked as dialled by any means');

-- ---- Twilio's answer and its webhooks, in any order
SELECT pg_temp.settle(:'call', 'done', '{"sid": "CA00000000000000000000000000000001", "status": "queued"}') \g /dev/null
SELECT is((SELECT twilio_call_sid::text FROM calls WHERE id = :'call'), 'CA00000000000000000000000000000001', 'the SID is known');
SELECT pg_temp.status('CA00000000000000000000000000000001', 'ringing', '{"SequenceNumber": "1"}'), pg_temp.status('CA00000000000000000000000000000001', 'initiated', '{"SequenceNumber": "0"}') \g /dev/null
SELECT is((SELECT status::text FROM calls WHERE id = :'call'), 'ringing', 'older news changes nothing');
SELECT * FROM pg_temp.answer('CA00000000000000000000000000000001', '{"Direction": "outbound-api", "From": "+15551230002", "To": "+15551230100"}') \gset answer_
SELECT ok(:'answer_body' LIKE '%<Stream%', 'answered: the stream');
SELECT is((:'answer_session'::jsonb ->> 'greeting'), 'Hello there!', 'the call''s own greeting');
SELECT ok(:'answer_session'::jsonb ->> 'system_prompt' LIKE 'Be brief.%number is +15551230100.%', 'its own prompt, and the other side''s number');
SELECT pg_temp.status('CA00000000000000000000000000000001', 'completed', '{"SequenceNumber": "3", "CallDuration": "12"}') \g /dev/null
SELECT ok((SELECT o.run_at <= now() FROM outbox o WHERE call_id = :'again'), 'the end of the call wakes the one that waits for the person');
SELECT ok(pg_temp.attempt(:'again') ? 'form', 'which may be made now');

-- the webhook is faster than the answer, or the answer is lost
SELECT is(pg_temp.status('CA00000000000000000000000000000002', 'initiated', jsonb_build_object('url_call', :'again')), 204, 'a webhook with our key and a SID that is new');
SELECT is((SELECT twilio_call_sid::text FROM calls WHERE id = :'again'), 'CA00000000000000000000000000000002', 'the call takes the SID over');
SELECT is((SELECT outcome FROM outbox_history WHERE call_id = :'again'), 'done', 'and the effect is done, certain');
SELECT is(a.body, '<?xml version="1.0" encoding="UTF-8"?><Response><Reject reason="rejected"/></Response>', 'a second call for the same plan is turned away')
FROM pg_temp.answer('CA00000000000000000000000000000009', jsonb_build_object('Direction', 'outbound-api', 'url_call', :'again')) a;
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'call_doubled'), 1, 'and reported');
SELECT is(pg_temp.status('CA00000000000000000000000000000009', 'ringing', jsonb_build_object('url_call', :'again', 'AccountSid', :'other')), 204, 'another account''s word about it is worth nothing');
SELECT pg_temp.status('CA00000000000000000000000000000002', 'no-answer') \g /dev/null
SELECT is((SELECT status::text FROM calls WHERE id = :'again'), 'no-answer', 'how it ended');

-- ---- failures
SELECT va_dial(:'tenant', '+15551230103') AS bad \gset
SELECT pg_temp.attempt(:'bad'), pg_temp.settle(:'bad', 'failed', '{"code": "21211", "text": "the number is not valid", "hint": "Correct it."}') \g /dev/null
SELECT row_eq(format('SELECT status::text, error_code, error_message, error_hint FROM calls WHERE id = %L', :'bad'), ROW('failed'::text, '21211'::text, 'the number is not valid'::text, 'Correct it.'::text), 'a failure is told with what to do');
SELECT ok(pg_temp.attempt(:'bad') ? 'form', 'tried again by somebody''s word, it is dialled again');
SELECT pg_temp.settle(:'bad', 'unknown', '{}') \g /dev/null
SELECT is((SELECT (status, error_code)::text FROM calls WHERE id = :'bad'), '(queued,unknown)', 'an unknown outcome is said to be unknown');
UPDATE outbox SET doubtful_since = now() WHERE call_id = :'bad';
SELECT is(pg_temp.attempt(:'bad') -> 'listing' ->> 'to', '+15551230103', 'then the request is to look for it');
UPDATE outbox SET doubtful_since = NULL WHERE call_id = :'bad';
SELECT pg_temp.settle(:'bad', 'unknown', '{"final": true, "code": "unknown", "text": "nobody knows"}') \g /dev/null
SELECT is((SELECT status::text FROM calls WHERE id = :'bad'), 'failed', 'nobody could tell: it no longer counts as on the line');
SELECT va_secret_clear(:'tenant', 'twilio_auth_token') \g /dev/null
SELECT is(pg_temp.attempt(:'late') #>> '{fail,code}', 'not_set_up', 'without a token the failure says what to set');
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'secret-one') \g /dev/null
UPDATE tenants SET status = 'suspended' WHERE id = :'tenant';
SELECT is(pg_temp.attempt(:'late') #>> '{fail,code}', 'inactive_tenant', 'a tenant that is not active calls nobody');
UPDATE tenants SET status = 'active' WHERE id = :'tenant';
SELECT va_opt_out(:'tenant', '+12125550102', 'all') \g /dev/null
SELECT is(pg_temp.attempt(:'late') #>> '{fail,text}', 'this number may not be called: on the do-not-contact list', 'who opts out after planning is not called');

-- ---- an API key in place of the token
SELECT va_secret_set(:'tenant', 'twilio_api_key_secret', 'secret-two') \g /dev/null
UPDATE tenants SET settings = settings || '{"twilio_api_key_sid": "SK00000000000000000000000000000001"}' WHERE id = :'tenant';
SELECT va_dial(:'tenant', '+15551230104') AS keyed \gset
SELECT is((r ->> 'account_sid', r ->> 'user', r ->> 'password')::text, format('(%s,SK00000000000000000000000000000001,secret-two)', :'acme'), 'an API key is used where one is set') FROM pg_temp.attempt(:'keyed') r;
UPDATE tenants SET settings = settings - 'twilio_api_key_sid' WHERE id = :'tenant';
SELECT pg_temp.settle(:'keyed', 'failed', '{}') \g /dev/null

-- ---- attempt limits count calls that were made
UPDATE tenants SET settings = settings || '{"contact_limits": {"call": {"day": 1, "week": 7}}}' WHERE id = :'tenant';
SELECT va_dial(:'tenant', '+15551230105') AS first, va_dial(:'tenant', '+15551230105') AS second \gset
SELECT ok(pg_temp.attempt(:'first') ? 'form', 'one of two planned calls is within the limit of one a day');
SELECT pg_temp.settle(:'first', 'done', '{"sid": "CA00000000000000000000000000000015"}'), pg_temp.status('CA00000000000000000000000000000015', 'busy') \g /dev/null
SELECT is(pg_temp.attempt(:'second') ->> 'why', 'attempt limit', 'the other one is not');
UPDATE tenants SET settings = settings || '{"contact_limits": {"call": {"day": null, "week": null}}}' WHERE id = :'tenant';
DELETE FROM outbox;
UPDATE calls SET status = 'canceled' WHERE status NOT IN ('completed', 'failed');

-- ---- caps and turns
UPDATE tenants SET settings = settings || '{"dial": {"concurrent": 2, "calls_per_second": 100}}' WHERE id = :'tenant';
SELECT va_dial(:'tenant', '+155512302' || lpad(n::text, 2, '0')) AS id FROM generate_series(1, 5) n \g /dev/null
CREATE TEMP TABLE line AS SELECT c.id, row_number() OVER (ORDER BY o.id) AS n FROM outbox o JOIN calls c ON c.id = o.call_id;
UPDATE calls c SET created_at = now() + l.n * interval '1 millisecond' FROM line l WHERE l.id = c.id;
SELECT is(array_agg(coalesce(pg_temp.attempt(id) ->> 'why', 'go') ORDER BY n), '{go,go,as many calls as the setting dial allows,as many calls as the setting dial allows,as many calls as the setting dial allows}', 'no more at once than allowed') FROM line;
UPDATE outbox SET state = 'later', run_at = now() + interval '10 seconds' WHERE call_id IN (SELECT id FROM line WHERE n > 2);
SELECT va_call_set_status((SELECT id FROM line WHERE n = 1), 'busy') \g /dev/null
SELECT is((SELECT array_agg(l.n ORDER BY l.n) FROM line l JOIN outbox o ON o.call_id = l.id WHERE o.run_at <= now() AND l.n > 2), '{3}', 'the end of one wakes the one that waits longest');
SELECT is(pg_temp.attempt((SELECT id FROM line WHERE n = 4)) ->> 'why', 'others wait longer', 'a younger one does not overtake it');
SELECT ok(pg_temp.attempt((SELECT id FROM line WHERE n = 3)) ? 'form', 'it goes');
SELECT is(pg_temp.attempt((SELECT id FROM line WHERE n = 4)) ->> 'why', 'as many calls as the setting dial allows', 'and the line is full again');
UPDATE tenants SET settings = settings || '{"dial": {}, "max_concurrent_calls": 2}' WHERE id = :'tenant';
SELECT is(pg_temp.attempt((SELECT id FROM line WHERE n = 4)) ->> 'why', 'as many calls as the tenant may have', 'max_concurrent_calls holds for them too');
UPDATE tenants SET settings = settings - 'max_concurrent_calls' WHERE id = :'tenant';
UPDATE phone_numbers SET voice_config = voice_config || '{"concurrent_calls": 2}' WHERE tenant_id = :'tenant';
SELECT is(pg_temp.attempt((SELECT id FROM line WHERE n = 4)) ->> 'why', 'as many calls as the number may have', 'and so does a number''s own cap');
INSERT INTO phone_numbers (tenant_id, phone_number, phone_type) VALUES (:'tenant', '+15551230003', 'voice');
SELECT is(pg_temp.attempt((SELECT id FROM line WHERE n = 4)) #>> '{form,From}', '+15551230003', 'another number takes over');
UPDATE calls SET status = 'canceled' WHERE id IN (SELECT id FROM line);
DELETE FROM outbox;
UPDATE phone_numbers SET voice_config = voice_config - 'concurrent_calls' WHERE tenant_id = :'tenant';
UPDATE tenants SET settings = settings || '{"dial": {"calls_per_second": 0.5}}' WHERE id = :'tenant';
TRUNCATE line;
SELECT va_dial(:'tenant', '+155512303' || lpad(n::text, 2, '0')) AS id FROM generate_series(1, 3) n \g /dev/null
INSERT INTO line SELECT c.id, row_number() OVER (ORDER BY o.id) FROM outbox o JOIN calls c ON c.id = o.call_id;
UPDATE dial_slots SET next_at = now();
SELECT is(array_agg(coalesce(round(extract(epoch FROM (r ->> 'defer')::timestamptz - now()))::int, 0) ORDER BY n), '{0,2,4}', 'each gets its turn, two seconds apart')
FROM (SELECT n, pg_temp.attempt(id, false) AS r FROM line ORDER BY n OFFSET 0) x;
UPDATE calls SET dial_slot_at = now() WHERE id = (SELECT id FROM line WHERE n = 2);
SELECT ok(pg_temp.attempt((SELECT id FROM line WHERE n = 2)) ? 'form', 'whose turn has come goes');
UPDATE calls SET status = 'canceled' WHERE id IN (SELECT id FROM line);

-- ---- the number to call from
SELECT is((va_dial_number(c, '{}')).phone_number::text, '+15551230002', 'the number that has called least, the oldest first') FROM calls c WHERE c.id = (SELECT id FROM line WHERE n = 3);
INSERT INTO phone_numbers (tenant_id, phone_number, phone_type) VALUES (:'tenant', '+442071230003', 'voice');
SELECT is((va_dial_number(jsonb_populate_record(c, '{"to_number": "+442071239999", "lead_id": null}'), '{}')).phone_number::text, '+442071230003', 'one of the same country') FROM calls c WHERE c.id = (SELECT id FROM line WHERE n = 3);
SELECT is((va_dial_number(jsonb_populate_record(c, '{"dial": {"from_numbers": ["+15551230003"]}}'), '{}')).phone_number::text, '+15551230003', 'one of a list') FROM calls c WHERE c.id = (SELECT id FROM line WHERE n = 3);
SELECT is((va_dial_number(c, '{"caller_id": "+15551230003"}')).phone_number::text, '+15551230003', 'the tenant''s caller id') FROM calls c WHERE c.id = (SELECT id FROM line WHERE n = 3);

-- ---- hanging up
SELECT va_dial(:'tenant', '+15551230400') AS planned \gset
SELECT is(va_hangup(:'planned'), true, 'a planned call is taken back');
SELECT is((SELECT (status, error_code)::text FROM calls WHERE id = :'planned'), '(canceled,cancelled)', 'for good');
SELECT is((SELECT outcome FROM outbox_history WHERE call_id = :'planned'), 'cancelled', 'its effect too'), is(va_hangup(:'planned'), false, 'twice is once');
SELECT va_dial(:'tenant', '+15551230401') AS flying \gset
SELECT pg_temp.attempt(:'flying') \g /dev/null
SELECT is(va_hangup(:'flying'), true, 'a call whose request is on its way'), is((SELECT count(*)::int FROM outbox WHERE kind = 'twilio.hangup'), 0, 'cannot be ended yet');
SELECT pg_temp.settle(:'flying', 'done', '{"sid": "CA00000000000000000000000000000041", "status": "queued"}') \g /dev/null
SELECT is((SELECT va_prepare_twilio_hangup(o) ->> 'path' FROM outbox o WHERE kind = 'twilio.hangup'), 'Calls/CA00000000000000000000000000000041.json', 'and is as soon as its SID is known');
SELECT is(pg_temp.sqlstate_of('SELECT va_hangup(gen_random_uuid())'), 'VA004', 'no such call');

-- ---- who answers
CREATE FUNCTION pg_temp.amd(sid text, by text) RETURNS integer LANGUAGE sql AS $$
	SELECT http_status FROM va_webhook_voice_amd('AC00000000000000000000000000000001', jsonb_build_object('CallSid', sid, 'AccountSid', 'AC00000000000000000000000000000001', 'AnsweredBy', by), NULL, 'gw')
$$;
CREATE FUNCTION pg_temp.live(tenant uuid, sid text, dial jsonb) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO calls (tenant_id, twilio_call_sid, direction, from_number, to_number, status, dialed_at, started_at, dial)
	VALUES (tenant, sid, 'outbound', '+15551230002', '+1555124' || right(sid, 4), 'in-progress', now(), now(), dial) RETURNING id
$$;
DELETE FROM outbox;
SELECT pg_temp.live(:'tenant', 'CA1001', '{}') AS m1, pg_temp.live(:'tenant', 'CA1002', '{"machine": "message", "machine_message": "Please call us back."}') AS m2,
	pg_temp.live(:'tenant', 'CA1003', '{"machine": "continue"}') AS m3, pg_temp.live(:'tenant', 'CA1004', '{}') AS m4, pg_temp.live(:'tenant', 'CA1005', '{"machine": "message"}') AS m5 \gset
SELECT pg_temp.amd('CA1001', 'machine_start'), pg_temp.amd('CA1001', 'human'), pg_temp.amd('CA1002', 'machine_end_beep'), pg_temp.amd('CA1003', 'machine_start'), pg_temp.amd('CA1004', 'human'), pg_temp.amd('CA1005', 'machine_end_silence') \g /dev/null
SELECT bag_eq('SELECT c.twilio_call_sid::text, c.answered_by, c.outcome::text, o.kind FROM calls c LEFT JOIN outbox o ON o.call_id = c.id WHERE c.twilio_call_sid LIKE ''CA100_''', $$VALUES
	('CA1001', 'machine_start', 'machine', 'twilio.hangup'), ('CA1002', 'machine_end_beep', 'message_left', 'twilio.call_update'),
	('CA1003', 'machine_start', NULL, NULL), ('CA1004', 'human', NULL, NULL), ('CA1005', 'machine_end_silence', 'machine', 'twilio.hangup')$$, 'machines are hung up on, spoken to or let be, as the call says');
SELECT is((SELECT va_prepare_twilio_call_update(o) #>> '{form,Twiml}' FROM outbox o WHERE kind = 'twilio.call_update'), '<?xml version="1.0" encoding="UTF-8"?><Response><Say language="en-US">Please call us back.</Say><Hangup/></Response>', 'the message that is left');
SELECT is(pg_temp.amd('CA9999', 'human'), 204, 'a verdict on no call of ours');

-- a recording needs consent
SELECT va_consent_record(:'tenant', '+15551230500', 'recording', true, 'web form') \g /dev/null
UPDATE tenants SET settings = settings || '{"dial": {"record": true, "machine": "off", "calls_per_second": 100}}' WHERE id = :'tenant';
SELECT va_dial(:'tenant', '+15551230500') AS recorded, va_dial(:'tenant', '+15551230501') AS silent \gset
SELECT is((r #>> '{form,Record}', r #> '{form,MachineDetection}')::text, '(true,)', 'with consent it is recorded; without detection there is none') FROM pg_temp.attempt(:'recorded') r;
SELECT is(r #>> '{form,Record}', NULL, 'without consent it is not') FROM pg_temp.attempt(:'silent') r;
UPDATE calls SET recording_sid = 'RE00000000000000000000000000000001', recording_url = 'x' WHERE id = :'recorded';
SELECT is(va_recording_delete(:'recorded'), true, 'a recording is deleted'), is(va_recording_delete(:'silent'), false, 'one that is not there is not');
SELECT is((SELECT va_prepare_twilio_recording_delete(o) ->> 'path' FROM outbox o WHERE kind = 'twilio.recording_delete'), 'Recordings/RE00000000000000000000000000000001.json', 'at Twilio');
SELECT va_settle_twilio_recording_delete(o, 'done', '{}') FROM outbox o WHERE kind = 'twilio.recording_delete' \g /dev/null
SELECT is((SELECT recording_url FROM calls WHERE id = :'recorded'), NULL, 'and then here');
SELECT ok(va_erase_person(:'tenant', '+15551230500') IS NOT NULL, 'a person with calls is erased');
SELECT is((SELECT count(*)::int FROM outbox WHERE call_id = :'recorded' AND kind = 'twilio.call'), 0, 'and their planned call with them');

-- ---- settings
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = settings || %L WHERE id = %L', s, :'tenant')), 'VA009', s) FROM (VALUES ('{"dial": 7}'), ('{"dial": {"x": 1}}'), ('{"dial": {"machine": "x"}}'),
	('{"dial": {"calls_per_second": 0}}'), ('{"dial": {"timeout_seconds": "30"}}'), ('{"dial": {"record": "yes"}}'), ('{"dial": {"machine_message": "{{nobody}}"}}'), ('{"twilio_api_key_sid": "AC1"}'), ('{"messaging_service_sid": 7}'), ('{"whatsapp_templates": []}'), ('{"whatsapp_templates": {"a": {"sid": "HX1"}}}')) AS x (s);

-- ---- tenants keep to themselves
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'stranger', false) \g /dev/null
SELECT is(pg_temp.sqlstate_of(format('SELECT va_dial(%L, ''+15551230100'')', :'tenant')), 'VA001', 'nobody dials for another tenant'), is(pg_temp.sqlstate_of(format('SELECT va_hangup(%L)', :'flying')), 'VA004', 'nor ends its calls'),
	is(pg_temp.sqlstate_of(format('SELECT va_say(%L, ''x'')', :'m4')), 'VA004', 'nor speaks in them');
SELECT set_config('voiceagent.tenant_id', :'tenant', false) \g /dev/null
SELECT lives_ok(format('SELECT va_dial(%L, ''+15551230600'')', :'tenant'), 'a tenant''s application dials');
RESET ROLE;
SELECT is(va_twilio_hint(21610) IS NOT NULL AND va_twilio_meaning(1) IS NULL, true, 'codes are explained'), is(va_twilio_kind(20429), 'later', 'and sorted');
SELECT * FROM finish();
