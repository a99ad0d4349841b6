-- Calls on the line: words of ours, people who take over, a conference's news in any order.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15559990001', :'other') AS stranger \gset
SELECT va_secret_set(:'tenant', 'twilio_auth_token', 'x') \g /dev/null
INSERT INTO human_agents (tenant_id, name, email, phone, priority) VALUES (:'tenant', 'Ann', 'a@x.org', '+15551230071', 9), (:'tenant', 'Ben', 'b@x.org', '+15551230072', 5),
	(:'tenant', 'Cid', 'c@x.org', NULL, 4), (:'tenant', 'Dot', 'd@x.org', '+15551230074', 1);
CREATE FUNCTION pg_temp.live(tenant uuid, sid text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	c uuid;
BEGIN
	INSERT INTO calls (tenant_id, twilio_call_sid, direction, from_number, to_number, status, started_at, phone_number_id)
	VALUES (tenant, sid, 'inbound', '+15551230001', '+15551230002', 'in-progress', now(), (SELECT id FROM phone_numbers WHERE phone_number = '+15551230002')) RETURNING id INTO c;
	INSERT INTO call_metrics (call_id, stream_sid, tenant_id, stream_started_at) VALUES (c, 'MZ' || sid, tenant, clock_timestamp());
	RETURN c;
END $$;
CREATE FUNCTION pg_temp.leg(transfer uuid, try int, status text, more jsonb DEFAULT '{}') RETURNS integer LANGUAGE sql AS $$
	SELECT http_status FROM va_webhook_voice_participant('AC00000000000000000000000000000001', jsonb_build_object('CallSid', 'CALEG' || try, 'AccountSid', 'AC00000000000000000000000000000001',
		'CallStatus', status, 'url_transfer', transfer, 'url_try', try::text) || more, NULL, 'gw')
$$;
CREATE FUNCTION pg_temp.room(transfer uuid, event text) RETURNS integer LANGUAGE sql AS $$
	SELECT http_status FROM va_webhook_voice_conference('AC00000000000000000000000000000001', jsonb_build_object('ConferenceSid', 'CF1', 'AccountSid', 'AC00000000000000000000000000000001',
		'StatusCallbackEvent', event, 'url_transfer', transfer), NULL, 'gw')
$$;
CREATE FUNCTION pg_temp.twiml(call uuid) RETURNS text LANGUAGE sql AS $$
	SELECT va_prepare_twilio_call_update(o) #>> '{form,Twiml}' FROM outbox o WHERE o.call_id = call AND kind = 'twilio.call_update' ORDER BY id DESC LIMIT 1
$$;

-- ---- words
SELECT pg_temp.live(:'tenant', 'CA1') AS c \gset
SELECT ok(va_say(:'c', 'Hello & welcome') > 0, 'words are planned');
SELECT matches(pg_temp.twiml(:'c'), '<Response><Say language="en-US">Hello &amp; welcome</Say><Connect><Stream .*<Redirect method="POST">.*/webhook/voice/after-stream', 'said, and then the stream again');
SELECT va_call_events(:'c', 'MZCA1', '[{"seq": 1, "kind": "state", "at": 1, "data": {"state": "ended", "reason": "caller_hangup"}}]') \g /dev/null
SELECT is((SELECT status::text FROM calls WHERE id = :'c'), 'in-progress', 'the stream that this ends has not been left by the caller');
SELECT is(session ->> 'greeting', '', 'and the agent listens') FROM va_call_stream_start(:'acme', 'CA1', 'MZ2', substring(pg_temp.twiml(:'c') FROM 'name="token" value="([^"]*)"'), 'gw');
SELECT pg_sleep(0.002) \g /dev/null
SELECT va_call_events(:'c', 'MZ2', '[{"seq": 1, "kind": "state", "at": 1, "data": {"state": "ended", "reason": "caller_hangup"}}]') \g /dev/null
SELECT is((SELECT status::text FROM calls WHERE id = :'c'), 'completed', 'the next stream has');
SELECT is(pg_temp.sqlstate_of(s), want, what) FROM (VALUES (format('SELECT va_say(%L, %L)', :'c', 'x'), 'VA053', 'a call that is over'), ('SELECT va_say(gen_random_uuid(), ''x'')', 'VA004', 'no call'),
	(format('SELECT va_transfer(%L)', :'c'), 'VA053', 'no transfer of it either')) AS v (s, want, what);
SELECT pg_temp.live(:'tenant', 'CA2') AS c \gset
SELECT is(pg_temp.sqlstate_of(format('SELECT va_say(%L, %L)', :'c', x)), 'VA005', 'words: ' || length(x)) FROM (VALUES (' '), (repeat('x', 2001))) AS v (x);
SELECT is((SELECT va_prepare_twilio_call_update(o) ->> 'skip' FROM outbox o WHERE call_id IN (SELECT id FROM calls WHERE twilio_call_sid = 'CA1')), 'the call is over', 'too late, it is not sent');

-- ---- to a person
SELECT * FROM va_transfer(:'c', message => 'One moment.') \gset t_
SELECT is(:'t_agent_name' || ' ' || :'t_number', 'Ann +15551230071', 'the best one');
SELECT is(regexp_replace(replace(pg_temp.twiml(:'c'), va_public_url(), ''), '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g'), '<?xml version="1.0" encoding="UTF-8"?><Response><Say language="en-US">One moment.</Say><Dial action="/webhook/voice/after-stream" method="POST">'
	|| '<Conference beep="false" statusCallback="/webhook/voice/conference?call=ID&amp;transfer=ID" participantLabel="caller" endConferenceOnExit="true" statusCallbackEvent="start end join leave" startConferenceOnEnter="true">call-ID</Conference></Dial></Response>', 'into a conference');
SELECT is((SELECT state FROM outbox WHERE kind = 'twilio.participant'), 'later', 'nobody is rung before the caller is there');
SELECT pg_temp.room(:'t_transfer_id', 'participant-join') \g /dev/null
SELECT ok((SELECT run_at <= now() FROM outbox WHERE kind = 'twilio.participant'), 'then at once');
SELECT is((r ->> 'path', r #>> '{form,To}', r #>> '{form,From}', r #>> '{form,EndConferenceOnExit}')::text, format('(Conferences/call-%s/Participants.json,+15551230071,+15551230002,true)', :'c'), 'the person is called, from our number')
FROM (SELECT va_prepare_twilio_participant(o) AS r FROM outbox o WHERE kind = 'twilio.participant') x;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_transfer(%L)', :'c')), 'VA053', 'not twice at once'), is(pg_temp.sqlstate_of(format('SELECT va_say(%L, ''x'')', :'c')), 'VA053', 'and nothing is said now');
SELECT pg_temp.leg(:'t_transfer_id', 1, 'ringing'), pg_temp.leg(:'t_transfer_id', 1, 'busy'), pg_temp.leg(:'t_transfer_id', 1, 'busy') \g /dev/null
SELECT is((SELECT (h.name, t.state, t.tries)::text FROM call_transfers t JOIN human_agents h ON h.id = t.agent_id WHERE t.id = :'t_transfer_id'), '(Ben,ringing,2)', 'busy: the next one');
SELECT is((SELECT string_agg(name || current_call_count, ' ' ORDER BY name) FROM human_agents), 'Ann0 Ben1 Cid0 Dot0', 'who is kept, and who no longer');
SELECT pg_temp.leg(:'t_transfer_id', 1, 'completed', '{"CallDuration": "9"}') \g /dev/null
SELECT is((SELECT state FROM call_transfers WHERE id = :'t_transfer_id'), 'ringing', 'late news of an earlier one changes nothing');
SELECT pg_temp.leg(:'t_transfer_id', 2, 'no-answer') \g /dev/null
SELECT is((SELECT (h.name, t.tries)::text FROM call_transfers t JOIN human_agents h ON h.id = t.agent_id WHERE t.id = :'t_transfer_id'), '(Dot,3)', 'who has no telephone is passed over');
SELECT pg_temp.leg(:'t_transfer_id', 3, 'in-progress'), pg_temp.leg(:'t_transfer_id', 3, 'ringing') \g /dev/null
SELECT is((SELECT (t.state, c.outcome)::text FROM call_transfers t JOIN calls c ON c.id = t.call_id WHERE t.id = :'t_transfer_id'), '(joined,transferred)', 'they talk');
-- Who talks can be muted and held; a colleague may coach.
CREATE FUNCTION pg_temp.member() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', r ->> 'path', r -> 'form', r ->> 'skip', r ->> 'why') FROM (SELECT va_prepare_twilio_member(o) AS r FROM outbox o WHERE o.kind = 'twilio.member' ORDER BY o.id DESC LIMIT 1) x $$;
SELECT is((SELECT conference_sid FROM call_transfers WHERE id = :'t_transfer_id'), 'CF1', 'the conference is known');
SELECT va_call_mute(:'c', 'person') \g /dev/null
SELECT is(pg_temp.member(), 'Conferences/CF1/Participants/person-3.json {"Muted": "true"}', 'the person who has taken the call is muted');
SELECT va_call_hold(:'c', url => 'https://music.test/x') \g /dev/null
SELECT is(pg_temp.member(), 'Conferences/CF1/Participants/caller.json {"Hold": "true", "HoldUrl": "https://music.test/x"}', 'the caller held, with music');
UPDATE outbox SET state = 'leased' WHERE id = (SELECT max(id) FROM outbox WHERE kind = 'twilio.member');
SELECT va_call_hold(:'c', held => false), va_call_mute(:'c') \g /dev/null
SELECT is(pg_temp.member(), 'an earlier change is under way', 'one change after the other');
UPDATE outbox SET state = 'ready' WHERE state = 'leased' AND kind = 'twilio.member';
SELECT is(pg_temp.member(), 'Conferences/CF1/Participants/caller.json {"Hold": "false", "Muted": "true"}', 'the newest wish is what is sent');
UPDATE call_transfers SET leg_sid = 'CAleg' WHERE id = :'t_transfer_id';
SELECT va_call_coach(:'c', agent => (SELECT id FROM human_agents WHERE name = 'Ann')) \g /dev/null
SELECT is((SELECT (r ->> 'path', r #>> '{form,To}', r #>> '{form,Coaching}', r #>> '{form,CallSidToCoach}', r #>> '{form,EndConferenceOnExit}')::text FROM (SELECT va_prepare_twilio_coach(o) AS r FROM outbox o WHERE o.kind = 'twilio.coach') x),
	'(Conferences/CF1/Participants.json,+15551230071,true,CAleg,false)', 'a colleague coaches the person');
SELECT is(pg_temp.sqlstate_of(format(q, :'c')), want, q) FROM (VALUES ('SELECT va_call_mute(%L, ''nobody'')', 'VA005'), ('SELECT va_call_hold(%L, url => ''ftp://x'')', 'VA005'), ('SELECT va_call_coach(%L)', 'VA033')) AS v (q, want);
SELECT pg_temp.room(:'t_transfer_id', 'conference-end'), va_call_set_status(:'c', 'completed') \g /dev/null
SELECT is(pg_temp.member(), 'the conversation with the person is over', 'too late, nothing is sent'), is(pg_temp.sqlstate_of(format('SELECT va_call_mute(%L)', :'c')), 'VA053', 'nor asked for');
SELECT is((SELECT state FROM call_transfers WHERE id = :'t_transfer_id'), 'ended', 'and are done'), is((SELECT string_agg(name || current_call_count || total_calls_handled, ' ' ORDER BY name) FROM human_agents), 'Ann00 Ben00 Cid00 Dot01', 'who has talked is counted');

-- nobody takes it
SELECT pg_temp.live(:'tenant', 'CA3') AS c \gset
SELECT * FROM va_transfer(:'c') \gset t_
SELECT pg_temp.leg(:'t_transfer_id', 1, 'busy'), pg_temp.leg(:'t_transfer_id', 2, 'failed'), pg_temp.leg(:'t_transfer_id', 3, 'no-answer') \g /dev/null
SELECT is((SELECT state FROM call_transfers WHERE id = :'t_transfer_id'), 'failed', 'three in vain'), matches(pg_temp.twiml(:'c'), '<Say language="en-US">I am sorry, nobody can take your call at the moment. .*<Record ', 'the caller may leave a message');
-- the caller gives up while a telephone rings
SELECT pg_temp.live(:'tenant', 'CA4') AS c \gset
SELECT * FROM va_transfer(:'c', "to" => '+1 555 123 0099') \gset t_
SELECT pg_temp.leg(:'t_transfer_id', 1, 'ringing'), va_call_set_status(:'c', 'completed') \g /dev/null
SELECT is((SELECT va_prepare_twilio_hangup(o) ->> 'path' FROM outbox o WHERE kind = 'twilio.hangup' AND call_id = :'c'), 'Calls/CALEG1.json', 'it stops ringing');
-- nobody is free
UPDATE human_agents SET is_available = false;
SELECT pg_temp.live(:'tenant', 'CA5') AS c \gset
SELECT is((SELECT count(*)::int FROM va_transfer(:'c')), 0, 'nobody is free: no row'), is((SELECT count(*)::int FROM outbox WHERE call_id = :'c'), 0, 'and the conversation goes on');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_transfer(%L, agent => %L)', :'c', id)), 'VA033', 'a person without a telephone') FROM human_agents WHERE name = 'Cid';
SELECT is((SELECT http_status FROM va_webhook_voice_participant(:'other', jsonb_build_object('CallSid', 'x', 'CallStatus', 'busy', 'url_transfer', :'t_transfer_id', 'url_try', '1'), NULL, 'gw')), 403, 'another account''s news');
SELECT is(pg_temp.leg('00000000-0000-0000-0000-000000000000', 1, 'busy'), 204, 'news of nothing'), is((SELECT http_status FROM va_webhook_voice_conference(:'acme', '{"url_transfer": "x; DROP"}', NULL, 'gw')), 204, 'nonsense');
SELECT * FROM finish();
