-- A call's tokens, streams, events, sessions and tools.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant \gset

-- ---- tokens
SELECT a.session ->> 'token' AS token, a.call_id AS call FROM pg_temp.answer('CA1') a \gset
SELECT is(s.accepted, false, why), is(s.reason, x.reason, why || ': ' || x.reason)
FROM (VALUES ('nonsense', 'CA1', :'acme', 'MZ1', 'unknown token', 'a token nobody gave'), (NULL, 'CA1', :'acme', 'MZ1', 'unknown token', 'no token'),
	(:'token', 'CA2', :'acme', 'MZ1', 'token of another call', 'a token of another call'),
	(:'token', 'CA1', :'other', 'MZ1', 'another account', 'an account that is not the tenant''s'),
	(:'token', 'CA1', :'acme', NULL, 'token used already', 'no stream')) AS x (token, sid, account, stream, reason, why),
	va_call_stream_start(x.account, x.sid, x.stream, x.token, 'gw-1') s;
SELECT is((s.accepted, s.reason)::text, '(t,)', 'the right token') FROM va_call_stream_start(:'acme', 'CA1', 'MZ1', :'token', 'gw-1') s;
SELECT is((s.accepted, s.session ->> 'call_id')::text, format('(t,%s)', :'call'), 'the same stream again: the same') FROM va_call_stream_start(:'acme', 'CA1', 'MZ1', :'token', 'gw-1') s;
SELECT is((s.accepted, s.reason)::text, '(f,"token used already")', 'another stream: no') FROM va_call_stream_start(:'acme', 'CA1', 'MZ2', :'token', 'gw-1') s;
SELECT a.session ->> 'token' AS token2 FROM pg_temp.answer('CA1') a \gset
UPDATE call_tokens SET expires_at = now() WHERE used_at IS NULL;
SELECT is(s.reason, 'token expired', 'five minutes later: no') FROM va_call_stream_start(:'acme', 'CA1', 'MZ2', :'token2', 'gw-1') s;
SELECT is((SELECT expires_at - created_at FROM call_tokens WHERE used_at IS NOT NULL), interval '5 minutes', 'a token lives five minutes');

-- ---- events: once, in order, all of a batch or none
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 2, "at": 1700000002000, "kind": "turn", "data": {"role": "user", "text": "Hi", "start_ms": 900, "end_ms": 1400}},
	{"seq": 1, "at": 1700000001000, "kind": "turn", "data": {"role": "agent", "text": "Hello"}}]') \g /dev/null
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 2, "kind": "turn", "data": {"role": "user", "text": "Hi"}}, {"seq": 3, "kind": "turn", "data": {"role": "agent", "text": "Yes?", "interrupted": true}}]') \g /dev/null
SELECT is(pg_temp.texts('CA1'), ARRAY['agent: Hello', 'user: Hi', 'agent: Yes?'], 'turns in order, each once');
SELECT is((pg_temp.call('CA1')).conversation_turns, 3, 'and counted');
SELECT is((pg_temp.call('CA1')).transcript -> 1, '{"role": "user", "text": "Hi", "start_ms": 900, "end_ms": 1400, "at": 1700000002000, "medium": "voice", "interrupted": false, "stream": "MZ1"}', 'a turn as it is stored');
SELECT is((SELECT array_agg(seq ORDER BY seq) FROM call_events WHERE call_id = :'call'), ARRAY[1, 2, 3]::bigint[], 'the events themselves');
SELECT is((SELECT at FROM call_events WHERE call_id = :'call' AND seq = 1), to_timestamp(1700000001), 'with their time');
SELECT is(pg_temp.sqlstate_of(format($$SELECT va_call_events(%L, 'MZ1', '[{"seq": 4, "kind": "turn", "data": {"role": "user", "text": "lost"}}, {"kind": "turn"}]')$$, :'call')), 'VA005', 'a batch with a broken event is refused');
SELECT is(pg_temp.texts('CA1'), ARRAY['agent: Hello', 'user: Hi', 'agent: Yes?'], 'as a whole');
SELECT is(pg_temp.sqlstate_of($$SELECT va_call_events('00000000-0000-0000-0000-000000000000', 'MZ1', '[]')$$), 'VA004', 'events of an unknown call');
SELECT is(pg_temp.sqlstate_of(format($$SELECT va_call_events(%L, x.source, x.events)$$ || ' FROM (VALUES (%L, %L::jsonb)) x (source, events)', :'call', s, e)), 'VA005', 'events without ' || w)
FROM (VALUES ('', '[]', 'a source'), ('MZ1', '{}', 'an array'), (NULL, '[]', 'any source')) AS x (s, e, w);
SELECT lives_ok(format($$SELECT va_call_events(%L, 'MZ1', '[{"seq": 4, "kind": "telepathy", "data": 7}, {"seq": 5, "at": "noon", "kind": "turn", "data": {"role": "ghost", "text": "boo"}},
	{"seq": 6, "kind": "metrics", "data": {"frames_in": "many", "first_audio_ms": 1e99, "new_thing": 7}}, {"seq": 7, "kind": "note", "data": {"text": "x"}}]')$$, :'call'), 'odd events do no harm');
SELECT is((pg_temp.call('CA1')).conversation_turns, 3, 'and make no turn');
SELECT is((SELECT count(*)::int FROM call_events WHERE call_id = :'call'), 7, 'but are kept');

-- ---- the turn under way
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 8, "at": 1, "kind": "partial", "data": {"role": "user", "text": "I would"}}, {"seq": 9, "at": 2, "kind": "partial", "data": {"role": "user", "text": "I would like"}}]') \g /dev/null
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 8, "at": 1, "kind": "partial", "data": {"role": "user", "text": "I would"}}]') \g /dev/null
SELECT is((SELECT state #>> '{partial,user,text}' FROM conversation_sessions WHERE call_id = :'call'), 'I would like', 'the newest piece is kept');
SELECT is((SELECT count(*)::int FROM call_events WHERE call_id = :'call'), 7, 'pieces leave no rows');
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 10, "kind": "turn", "data": {"role": "user", "text": "I would like a house."}}]') \g /dev/null
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 9, "kind": "partial", "data": {"role": "user", "text": "I would like"}}]') \g /dev/null
SELECT is((SELECT state #>> '{partial,user,text}' FROM conversation_sessions WHERE call_id = :'call'), NULL, 'the finished turn ends it, for good');

-- resumed: what was being said becomes a turn, and the truth replaces it if it still comes
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 11, "at": 5, "kind": "partial", "data": {"role": "agent", "text": "We have thr"}}, {"seq": 12, "at": 4, "kind": "partial", "data": {"role": "user", "text": "And how"}}]') \g /dev/null
SELECT a.session AS session FROM pg_temp.after_stream('CA1', '{}', 'k') a \gset
SELECT is((pg_temp.texts('CA1'))[5:], ARRAY['user: And how', 'agent: We have thr'], 'unfinished turns are promoted, in the order of time');
SELECT is((pg_temp.call('CA1')).transcript -> 5 -> 'interrupted', 'true', 'as interrupted ones');
SELECT is(:'session'::jsonb -> 'history' -> 5, '{"role": "agent", "text": "We have thr"}', 'and are in the resumed session''s history');
SELECT is(jsonb_array_length(:'session'::jsonb -> 'history'), 6, 'with everything said before');
SELECT va_call_events(:'call', 'MZ1', '[{"seq": 13, "at": 6, "kind": "turn", "data": {"role": "agent", "text": "We have three houses."}}]') \g /dev/null
SELECT is((pg_temp.texts('CA1'))[5:], ARRAY['user: And how', 'agent: We have three houses.'], 'a late turn takes its place');
SELECT is((pg_temp.call('CA1')).conversation_turns, 6, 'and is no turn more');
SELECT va_call_events(:'call', 'MZ2', '[{"seq": 1, "kind": "turn", "data": {"role": "agent", "text": "Sorry."}}]') \g /dev/null
SELECT is((pg_temp.texts('CA1'))[7], 'agent: Sorry.', 'the next stream numbers its events anew');
SELECT va_call_events(:'call', 'MZ2', '[{"seq": 2, "kind": "partial", "data": {"role": "user", "text": "Bye b"}}]') \g /dev/null
SELECT va_webhook_voice_status(:'acme', pg_temp.form('CA1', '{"CallStatus": "completed", "CallDuration": "9"}'), NULL, 'gw-1') \g /dev/null
SELECT is((pg_temp.texts('CA1'))[8], 'user: Bye b', 'the end of the call promotes too');
SELECT is(va_call_session(:'call', 'gw-1'), NULL, 'a call that is over has no session');

-- keys
SELECT a.call_id AS call FROM pg_temp.answer('CA3') a \gset
SELECT va_call_events(:'call', 'MZ3', '[{"seq": 1, "kind": "partial", "data": {"role": "user", "text": "Press"}}, {"seq": 2, "kind": "turn", "data": {"role": "user", "text": "12#", "medium": "dtmf"}}]') \g /dev/null
SELECT is((SELECT state #>> '{partial,user,text}' FROM conversation_sessions WHERE call_id = :'call'), 'Press', 'pressed keys end no sentence');
SELECT va_call_events(:'call', 'MZ3', '[{"seq": 3, "kind": "state", "data": {"state": "ended", "reason": "caller_hangup"}}]') \g /dev/null
SELECT is(pg_temp.texts('CA3'), ARRAY['user: 12#', 'user: Press'], 'the end of the stream promotes what was under way');
SELECT is((pg_temp.call('CA3')).status, 'completed'::varchar, 'a caller who hung up has ended the call');
SELECT va_webhook_voice_status(:'acme', pg_temp.form('CA3', '{"CallStatus": "completed", "CallDuration": "77", "SequenceNumber": "0"}'), NULL, 'gw-1') \g /dev/null
SELECT is((pg_temp.call('CA3')).duration_seconds, 77, 'and Twilio''s duration is the one that counts');

-- ---- a lost engine
SELECT a.call_id AS call FROM pg_temp.answer('CA4') a \gset
SELECT va_call_events(:'call', 'MZ4', '[{"seq": 1, "kind": "turn", "data": {"role": "agent", "text": "Hello"}}]') \g /dev/null
SELECT is(s -> 'resumed', 'true', 'a fresh session'), is(s -> 'history', '[{"role": "agent", "text": "Hello"}]', 'with the history'), is(s ->> 'token', '', 'and no token')
FROM va_call_session(:'call', 'gw-1') s;
SELECT isnt(va_call_session(:'call', 'gw-1'), NULL, 'asked again at once');
SELECT is((pg_temp.call('CA4')).resume_count, 1, 'is counted once');
UPDATE calls SET last_resumed_at = now() - interval '1 minute', resume_count = 5 WHERE id = :'call';
SELECT is(va_call_session(:'call', 'gw-1'), NULL, 'not more than five times');
SELECT is(pg_temp.sqlstate_of($$SELECT va_call_session('00000000-0000-0000-0000-000000000000', 'gw-1')$$), 'VA004', 'a session of an unknown call');
SELECT ok((SELECT count(*) = 1 FROM analytics_events WHERE event_type = 'call_resumed' AND call_id = :'call'), 'one domain event');

-- ---- timings
SELECT a.call_id AS call FROM pg_temp.answer('CA5') a \gset
SELECT va_call_events(:'call', 'MZ5', '[{"seq": 1, "at": 1700000000000, "kind": "state", "data": {"state": "stream_started"}}, {"seq": 2, "at": 1700000001000, "kind": "state", "data": {"state": "engine_ready"}},
	{"seq": 3, "at": 1700000002000, "kind": "state", "data": {"state": "first_audio"}}, {"seq": 4, "kind": "metrics", "data": {"answer_ms": 8, "stream_start_ms": 400, "engine_ready_ms": 2600.75, "first_audio_ms": 2500,
	"engine_latency_avg_ms": 700, "engine_latency_max_ms": 900, "frames_in": 100, "frames_out": 90, "frames_dropped_in": 1, "frames_dropped_out": 2, "interruptions": 3, "clear_us_max": 250, "bytes_in": 16000, "odd": 5}}]') \g /dev/null
SELECT row_eq(format('SELECT stream_start_ms, engine_wait_ms, engine_first_audio_ms, answer_to_first_audio_ms, interruptions, frames_in, frames_dropped_out, slowest_part FROM call_timings WHERE call_id = %L', :'call'),
	ROW(400::float8, 2200.75::float8, 299.25::float8, 2900::float8, 3::bigint, 100::bigint, 2::bigint, 'waiting for the voice engine''s session: 2201 ms'::text), 'why was this call slow: one query');
SELECT is((SELECT extra FROM call_metrics WHERE stream_sid = 'MZ5'), '{"odd": 5}', 'a measurement without a column is kept');
SELECT is((SELECT first_audio_at FROM call_metrics WHERE stream_sid = 'MZ5'), to_timestamp(1700000002), 'the moments themselves');

-- ---- tools
SELECT a.call_id AS call FROM pg_temp.answer('CA6', '{"From": "+15551230066"}') a \gset
SELECT va_call_tool(:'call', 'i1', 'capture_lead', '{"name": "Jane van Doe", "email": "Jane@Example.com", "budget": "500k", "timeline": "spring"}') AS answer \gset
SELECT row_eq(format('SELECT first_name::text, last_name::text, phone::text, email::text, source::text, source_phone_number::text, qualification_data FROM leads WHERE id = %L', :'answer'::jsonb #>> '{result,lead_id}'),
	ROW('Jane'::text, 'van Doe'::text, '+15551230066'::text, 'jane@example.com'::text, 'inbound_call'::text, '+15551230002'::text, '{"budget": "500k", "timeline": "spring"}'::jsonb), 'capture_lead: the lead');
SELECT is((pg_temp.call('CA6')).lead_id::text, :'answer'::jsonb #>> '{result,lead_id}', 'capture_lead: the call is the lead''s');
SELECT is((SELECT lead_id::text FROM conversation_sessions WHERE call_id = :'call'), :'answer'::jsonb #>> '{result,lead_id}', 'capture_lead: so is the conversation');
SELECT va_call_tool(:'call', 'i2', 'capture_lead', '{"timeline": "now", "phone": "five five five", "email": "jane at home"}') AS answer2 \gset
SELECT is(:'answer2'::jsonb -> 'result', :'answer'::jsonb -> 'result', 'capture_lead again: the same lead');
SELECT is((SELECT qualification_data FROM leads WHERE id = (pg_temp.call('CA6')).lead_id), '{"budget": "500k", "timeline": "now", "phone_as_said": "five five five", "email_as_said": "jane at home"}', 'capture_lead again: merged, nothing lost');
SELECT is(va_call_tool(:'call', 'i1', 'capture_lead', '{"name": "Somebody Else"}'), :'answer'::jsonb, 'the same invocation again: the same answer');
SELECT is((SELECT first_name FROM leads WHERE id = (pg_temp.call('CA6')).lead_id), 'Jane'::varchar, 'and no second effect');
SELECT is(va_call_tool(:'call', 'i3', 'end_call', '{"farewell": "Good-bye, Jane."}'), '{"result": "the call ends now", "action": "end_call", "say": "Good-bye, Jane."}', 'end_call');
SELECT ok(a.body LIKE '%<Hangup/>%', 'after end_call the stream''s end is the call''s') FROM pg_temp.after_stream('CA6') a;
SELECT is(va_call_tool(:'call', 'i4', 'fly', '{}'), '{"error": "there is no such tool", "unknown": true}', 'an unknown tool');
SELECT is(va_call_tool(:'call', 'i5', 'capture_lead', '[]'), '{"error": "the arguments must be an object", "unknown": false}', 'arguments that are none');
SELECT is(pg_temp.sqlstate_of($$SELECT va_call_tool('00000000-0000-0000-0000-000000000000', 'i', 'end_call', '{}')$$), 'VA004', 'a tool of an unknown call');
SELECT a.call_id AS call FROM pg_temp.answer('CA7', '{"From": "anonymous"}') a \gset
SELECT is(va_call_tool(:'call', 'i1', 'capture_lead', '{"first_name": "Nobody"}') #> '{result,saved}', 'true', 'capture_lead of a hidden caller');
SELECT is((SELECT phone FROM leads WHERE id = (pg_temp.call('CA7')).lead_id), NULL, 'has no number');

-- a tenant's own
CREATE FUNCTION good(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$ SELECT jsonb_build_object('you_said', arguments -> 'x', 'in', call_id IS NOT NULL) $$;
CREATE FUNCTION nothing(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$ SELECT NULL::jsonb $$;
CREATE FUNCTION refuses(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
	UPDATE public.leads SET first_name = 'gone'; RAISE EXCEPTION 'we are booked out'; END $$;
CREATE FUNCTION breaks(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN (1 / (arguments ->> 'x')::int)::text; END $$;
CREATE FUNCTION sleeps(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN PERFORM pg_sleep(60); RETURN '{}'; END $$;
CREATE FUNCTION invoker(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION secretive(call_id uuid, arguments jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$ SELECT '{}'::jsonb $$;
REVOKE ALL ON FUNCTION secretive(uuid, jsonb) FROM PUBLIC;
INSERT INTO tools (tenant_id, name, description, function, timeout_ms)
SELECT :'tenant', f, 'a test', f, 200 FROM unnest(ARRAY['good', 'nothing', 'refuses', 'breaks', 'sleeps']) f;
SELECT is((SELECT function FROM tools WHERE name = 'good'), 'public.good', 'a tool''s function is stored with its schema');
SELECT is(va_call_tool(:'call', 't1', 'good', '{"x": 7}'), '{"result": {"in": true, "you_said": 7}, "action": null, "say": null}', 'a tenant''s tool');
SELECT is(va_call_tool(:'call', 't2', 'nothing', NULL), '{"result": null, "action": null, "say": null}', 'a tool that answers nothing');
SELECT is(va_call_tool(:'call', 't3', 'refuses', '{}'), '{"error": "we are booked out", "unknown": false}', 'a tool''s own words reach the model');
SELECT ok((SELECT count(*) = 0 FROM leads WHERE first_name = 'gone'), 'and what it did is undone');
SELECT is(va_call_tool(:'call', 't4', 'breaks', '{"x": 0}'), '{"error": "the tool failed", "unknown": false}', 'other errors do not');
SELECT is((SELECT error_detail FROM tool_invocations WHERE invocation_id = 't4'), '22012: division by zero', 'but people can read them');
SELECT is(va_call_tool(:'call', 't5', 'sleeps', '{}'), '{"error": "the tool took too long", "unknown": false}', 'a tool has its time limit');
SELECT is((SELECT error_detail FROM tool_invocations WHERE invocation_id = 't5'), '57014: the tool took too long', 'and people can see that too');
SET statement_timeout = '200ms';
UPDATE tools SET timeout_ms = 60000 WHERE name = 'sleeps';
\set ON_ERROR_STOP off
SELECT va_call_tool(:'call', 't6', 'sleeps', '{}') \g /dev/null
SELECT is(:'SQLSTATE'::text, '57014', 'a cancel from elsewhere is not a tool''s error');
\set ON_ERROR_STOP on
RESET statement_timeout;
SELECT is((SELECT count(*)::int FROM tool_invocations WHERE invocation_id = 't6'), 0, 'and leaves no answer behind');
INSERT INTO tools (tenant_id, name, description, function) VALUES (:'tenant', 'end_call', 'ours', 'good');
SELECT is(va_call_tool(:'call', 't7', 'end_call', '{"x": 1}') -> 'action', 'null', 'a tenant''s tool takes the place of the common one');
UPDATE tools SET enabled = false WHERE tenant_id IS NOT NULL AND name = 'end_call';
SELECT is(va_call_tool(:'call', 't8', 'end_call', '{}') -> 'unknown', 'true', 'switched off, it hides the common one');
SELECT throws_ok(format($$INSERT INTO tools (tenant_id, name, description, function) VALUES (%L, 'x', 'x', %L)$$, :'tenant', f), 'VA008', NULL, 'no tool: ' || w)
FROM (VALUES ('invoker', 'a function with the caller''s rights'), ('secretive', 'a function that voiceagent_admin may not execute'), ('no_such_thing', 'no function'),
	('good(uuid, jsonb); DROP TABLE leads; --', 'no name'), ('pg_catalog.now', 'another signature'), ('va_call_over', 'an internal function')) AS x (f, w);
SELECT throws_ok(format($$INSERT INTO tools (tenant_id, name, description, function, parameters) VALUES (%L, 'x', 'x', 'good', '{"type": "array"}')$$, :'tenant'), 'VA008', NULL, 'no tool: parameters that are no object');
ALTER FUNCTION good(uuid, jsonb) SECURITY INVOKER;
SELECT is(va_call_tool(:'call', 't9', 'good', '{}'), '{"error": "the tool is not available", "unknown": false}', 'a function that lost its qualification is not called');
DROP FUNCTION good(uuid, jsonb);
SELECT is(va_call_tool(:'call', 't10', 'good', '{}') ->> 'error', 'the tool is not available', 'nor one that is gone');
SELECT * FROM finish();
