-- Twilio's voice webhooks: routing, repetition, disorder, and what follows a stream.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant, pg_temp.tenant('+15559990001', :'other') AS stranger \gset

-- A document with the addresses of a well-known host in place of this one's.
CREATE FUNCTION pg_temp.plain(body text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(body, va_media_url(), 'wss://voice.example.com/p/media-stream'), va_public_url(), 'https://voice.example.com/p')
$$;

-- ---- answer
SELECT * FROM pg_temp.answer('CA1') \gset
SELECT is(:'http_status'::text, '200', 'answer: 200');
SELECT is(pg_temp.plain(:'body'), '<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="wss://voice.example.com/p/media-stream" statusCallback="https://voice.example.com/p/webhook/voice/stream-status"><Parameter name="token" value="' || (:'session'::jsonb ->> 'token') || '"/><Parameter name="tenant_id" value="' || :'tenant' || '"/></Stream></Connect><Redirect method="POST">https://voice.example.com/p/webhook/voice/after-stream#rc=5&amp;rp=ct,rt,5xx</Redirect></Response>', 'answer: the stream, then the question what next');
SELECT is(:'tenant_id'::text, :'tenant', 'answer: the tenant of the number');
SELECT row_eq(format('SELECT direction::text, status::text, from_number::text, to_number::text, started_at IS NOT NULL FROM calls WHERE id = %L', :'call_id'),
	ROW('inbound'::text, 'in-progress'::text, '+15551230001'::text, '+15551230002'::text, true), 'answer: the call''s row');
SELECT is((SELECT count(*)::int FROM conversation_sessions WHERE call_id = :'call_id' AND channel = 'voice'), 1, 'answer: a conversation');
SELECT is(:'session'::jsonb - ARRAY['token', 'system_prompt', 'tools', 'call_id'], jsonb_build_object('tenant_id', :'tenant', 'engine', 'ultravox',
	'base_url', 'https://api.ultravox.ai', 'api_key', '', 'model', '', 'voice', '', 'language', 'en-US', 'temperature', 0.3, 'history', '[]'::jsonb,
	'greeting', 'Hello! Thank you for calling Test +15551230002. I''m Sarah, how may I help you today?', 'resumed', false, 'max_duration_s', 1800,
	'inactivity_s', 30, 'inactivity_message', 'Are you still there?', 'apology', 'I''m sorry, our assistant cannot talk right now.',
	'prepare_timeout_ms', 5000, 'engine_settings', '{}'::jsonb), 'answer: the session');
SELECT is((SELECT array_agg(t ->> 'name' ORDER BY t ->> 'name') FROM jsonb_array_elements(:'session'::jsonb -> 'tools') t), ARRAY['book_appointment', 'capture_lead', 'check_availability', 'end_call', 'escalate_to_human'], 'answer: the tools');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'call_answered'), 1, 'answer: one domain event');
SELECT matches(:'session'::jsonb ->> 'token', '^[0-9a-f]{32}$', 'the token has 128 bits');
SELECT is((SELECT count(*)::int FROM call_tokens WHERE token_hash = sha256((:'session'::jsonb ->> 'token')::bytea)), 1, 'of the token the hash alone is stored');

-- repeated
SELECT * FROM va_webhook_voice_answer(:'acme', pg_temp.form('CA1'), 'once', 'gw-2') \gset again_
SELECT is(:'again_call_id'::text, :'call_id', 'repeated answer: the same call');
SELECT ok(:'again_body' LIKE '%' || (:'again_session'::jsonb ->> 'token') || '%' AND :'again_session'::jsonb ->> 'token' <> :'session'::jsonb ->> 'token', 'repeated answer: a token of its own');
SELECT is((SELECT count(*)::int FROM calls), 1, 'repeated answer: no second row');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'call_answered'), 1, 'repeated answer: no second event');
SELECT ok((SELECT accepted FROM va_call_stream_start(:'acme', 'CA1', 'MZ1', :'again_session'::jsonb ->> 'token', 'gw-2')), 'repeated answer: its token works');

-- refused
SELECT is((a.http_status, a.body, a.call_id)::text, '(200,"<?xml version=""1.0"" encoding=""UTF-8""?><Response><Reject reason=""rejected""/></Response>",)', 'unknown number: rejected')
FROM pg_temp.answer('CA2', '{"To": "+15550000000"}') a;
SELECT is((a.http_status, a.body, a.call_id)::text, '(403,,)', 'a number of another account: 403') FROM pg_temp.answer('CA3', '{"To": "+15559990001"}') a;
SELECT is(a.http_status, 400, 'no CallSid: 400') FROM va_webhook_voice_answer(:'acme', '{"To": "+15551230002"}', NULL, 'gw-1') a;
SELECT is(a.http_status, 200, 'nonsense in every field: a TwiML') FROM va_webhook_voice_answer(:'acme', '{"CallSid": "x", "To": "client:bob", "From": "", "Direction": "sideways"}', NULL, NULL) a;
UPDATE tenants SET status = 'suspended' WHERE id = :'tenant';
SELECT ok(a.body LIKE '%<Reject%' AND a.http_status = 200, 'inactive tenant: rejected') FROM pg_temp.answer('CA4') a;
UPDATE tenants SET status = 'active' WHERE id = :'tenant';
UPDATE phone_numbers SET is_active = false WHERE tenant_id = :'tenant';
SELECT ok(a.body LIKE '%<Reject%', 'inactive number: rejected') FROM pg_temp.answer('CA5') a;
UPDATE phone_numbers SET is_active = true, phone_type = 'sms' WHERE tenant_id = :'tenant';
SELECT ok(a.body LIKE '%<Reject%', 'a number that is not for voice: rejected') FROM pg_temp.answer('CA6') a;
UPDATE phone_numbers SET phone_type = 'voice' WHERE tenant_id = :'tenant';
SELECT is((SELECT count(*)::int FROM calls), 1, 'a refused call leaves no row');
SELECT bag_eq($$SELECT name, value::int FROM gateway_counters$$, $$VALUES ('rejected.unknown_number', 1), ('rejected.unknown_number', 3), ('rejected.inactive_tenant', 1), ('rejected.wrong_account', 1), ('rejected.no_call_sid', 1)$$, 'each refusal is counted once');

-- hidden and strange callers
SELECT lives_ok($$SELECT pg_temp.answer('CA7', '{"From": "anonymous"}')$$, 'an anonymous caller');
SELECT lives_ok($$SELECT pg_temp.answer('CA8', '{"From": "sip:a-very-long-address@sip.example.com;transport=tls"}')$$, 'a SIP caller');
SELECT is((pg_temp.call('CA7')).from_number, 'anonymous'::varchar, 'is stored as Twilio says it');

-- known callers
INSERT INTO leads (tenant_id, first_name, phone) VALUES (:'tenant', 'Jane', '+1 555 123 0009');
SELECT pg_temp.answer('CA9', '{"From": "+15551230009"}') \g /dev/null
SELECT isnt((pg_temp.call('CA9')).lead_id, NULL, 'a known caller''s call belongs to the lead');

-- outbound: the row exists, or the number is From
INSERT INTO calls (tenant_id, twilio_call_sid, direction, from_number, to_number, status) VALUES (:'tenant', 'CA10', 'outbound', '+15551230002', '+15551230055', 'queued');
SELECT ok(a.body LIKE '%<Stream%', 'outbound: a call we made is connected') FROM pg_temp.answer('CA10', '{"Direction": "outbound-api", "From": "+15551230002", "To": "+15551230055"}') a;
SELECT is((pg_temp.call('CA10')).status, 'in-progress'::varchar, 'outbound: on the line');
SELECT ok(a.body LIKE '%<Stream%', 'outbound: a call made elsewhere with our number') FROM pg_temp.answer('CA11', '{"Direction": "outbound-api", "From": "+15551230002", "To": "+15551230056"}') a;
SELECT is((pg_temp.call('CA11')).direction, 'outbound'::varchar, 'outbound: its direction');

-- as many as allowed
UPDATE tenants SET settings = settings || '{"max_concurrent_calls": 1}' WHERE id = :'tenant';
SELECT ok(a.body LIKE '%<Reject reason="busy"/>%', 'beyond max_concurrent_calls: busy') FROM pg_temp.answer('CA12') a;
UPDATE calls SET started_at = started_at - interval '1 day';
SELECT ok(a.body LIKE '%<Stream%', 'calls whose end was never told do not count for ever') FROM pg_temp.answer('CA12') a;
UPDATE tenants SET settings = settings - 'max_concurrent_calls' WHERE id = :'tenant';

-- ---- status
SELECT pg_temp.answer('CB1') \g /dev/null
SELECT is(s.http_status, 204, 'status: 204') FROM va_webhook_voice_status(:'acme', pg_temp.form('CB1', '{"CallStatus": "completed", "CallDuration": "42", "SequenceNumber": "3"}'), 's3', 'gw-1') s;
SELECT va_webhook_voice_status(:'acme', pg_temp.form('CB1', '{"CallStatus": "in-progress", "SequenceNumber": "2"}'), 's2', 'gw-1') \g /dev/null
SELECT va_webhook_voice_status(:'acme', pg_temp.form('CB1', '{"CallStatus": "ringing", "SequenceNumber": "1"}'), 's1', 'gw-1') \g /dev/null
SELECT va_webhook_voice_status(:'acme', pg_temp.form('CB1', '{"CallStatus": "completed", "CallDuration": "42", "SequenceNumber": "3"}'), 's3', 'gw-1') \g /dev/null
SELECT row_eq($$SELECT status::text, duration_seconds, ended_at IS NOT NULL, status_sequence FROM calls WHERE twilio_call_sid = 'CB1'$$, ROW('completed'::text, 42, true, 3), 'status: later news does not turn it back');
SELECT is((SELECT count(*)::int FROM analytics_events e JOIN calls c ON c.id = e.call_id WHERE c.twilio_call_sid = 'CB1' AND event_type = 'call_ended'), 1, 'status: ended once');
SELECT ok((SELECT ended_at IS NOT NULL FROM conversation_sessions WHERE call_id = (pg_temp.call('CB1')).id), 'status: so has the conversation');
SELECT is((SELECT count(*)::int FROM call_tokens WHERE call_id = (pg_temp.call('CB1')).id AND used_at IS NULL), 0, 'status: unused tokens are void');
SELECT is(a.body, '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>', 'an answer that comes after the end hangs up') FROM pg_temp.answer('CB1') a;
SELECT is((pg_temp.call('CB1')).status, 'completed'::varchar, 'and changes nothing');
SELECT is(s.http_status, 204, 'status of an unknown call: 204') FROM va_webhook_voice_status(:'acme', pg_temp.form('CB0', '{"CallStatus": "completed"}'), NULL, 'gw-1') s;
SELECT is(s.http_status, 403, 'status by another account: 403') FROM va_webhook_voice_status(:'other', pg_temp.form('CB1', '{"CallStatus": "failed", "SequenceNumber": "9"}'), NULL, 'gw-1') s;
SELECT is((pg_temp.call('CB1')).status, 'completed'::varchar, 'and no change');
SELECT pg_temp.answer('CB2') \g /dev/null
SELECT va_webhook_voice_status(:'acme', pg_temp.form('CB2', '{"CallStatus": "dancing", "SequenceNumber": "many", "CallDuration": "99999999999999"}'), NULL, 'gw-1') \g /dev/null
SELECT is((pg_temp.call('CB2')).status, 'in-progress'::varchar, 'an unknown status is passed over');

-- ---- recordings
SELECT va_webhook_voice_recording(:'acme', pg_temp.form('CB1', '{"RecordingSid": "RE1", "RecordingUrl": "https://api.twilio.com/RE1", "RecordingStatus": "completed", "RecordingDuration": "41"}'), NULL, 'gw-1') \g /dev/null
SELECT va_webhook_voice_recording(:'acme', pg_temp.form('CB1', '{"RecordingSid": "RE1", "RecordingUrl": "https://api.twilio.com/RE1", "RecordingStatus": "in-progress"}'), NULL, 'gw-1') \g /dev/null
SELECT row_eq($$SELECT recording_url, recording_duration, recording_sid::text FROM calls WHERE twilio_call_sid = 'CB1'$$, ROW('https://api.twilio.com/RE1'::text, 41, 'RE1'::text), 'recording: stored, whatever the order');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'recording_ready'), 1, 'recording: one event');
SELECT is(r.http_status, 403, 'recording by another account: 403') FROM va_webhook_voice_recording(:'other', pg_temp.form('CB1', '{"RecordingUrl": "x"}'), NULL, 'gw-1') r;
SELECT va_webhook_voice_transcription(:'acme', pg_temp.form('CB1', '{"TranscriptionSid": "TR1", "TranscriptionStatus": "completed", "TranscriptionText": "Call me back."}'), NULL, 'gw-1') FROM generate_series(1, 2) \g /dev/null
SELECT is(pg_temp.texts('CB1'), ARRAY['user: Call me back.'], 'transcription: one turn, also when delivered twice');

-- ---- after hours
INSERT INTO business_hours (tenant_id, day_of_week, is_closed) SELECT :'tenant', d, true FROM generate_series(0, 6) d;
SELECT is(pg_temp.plain(a.body), '<?xml version="1.0" encoding="UTF-8"?><Response><Say language="en-US">Thank you for calling. We are closed at the moment. Please leave a message after the tone.</Say><Record action="https://voice.example.com/p/webhook/voice/voicemail" method="POST" playBeep="true" maxLength="180" recordingStatusCallback="https://voice.example.com/p/webhook/voice/recording"/></Response>', 'closed: voicemail')
FROM pg_temp.answer('CC1') a;
SELECT is((pg_temp.call('CC1')).ai_handled, false, 'closed: not handled by the agent');
SELECT ok(v.body LIKE '%Thank you. Good-bye.%<Hangup/>%', 'voicemail: thanks') FROM generate_series(1, 2), va_webhook_voice_voicemail(:'acme', pg_temp.form('CC1', '{"RecordingUrl": "https://api.twilio.com/RE2", "RecordingDuration": "7", "Digits": "hangup"}'), 'v', 'gw-1') v;
SELECT row_eq($$SELECT recording_url, recording_duration, outcome::text, follow_up_required FROM calls WHERE twilio_call_sid = 'CC1'$$, ROW('https://api.twilio.com/RE2'::text, 7, 'voicemail'::text, true), 'voicemail: stored');
SELECT is((SELECT count(*)::int FROM follow_up_tasks WHERE call_id = (pg_temp.call('CC1')).id), 1, 'voicemail: one task, also when delivered twice');
SELECT is(v.body, '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>', 'voicemail: nothing said, nothing stored') FROM va_webhook_voice_voicemail(:'acme', pg_temp.form('CC2'), NULL, 'gw-1') v;
UPDATE business_hours SET after_hours_action = 'callback';
SELECT ok(a.body LIKE '%We will call you back.%<Hangup/>%', 'closed: callback') FROM generate_series(1, 2), pg_temp.answer('CC3') a;
SELECT is((SELECT count(*)::int FROM follow_up_tasks WHERE call_id = (pg_temp.call('CC3')).id AND title = 'Call back'), 1, 'callback: one task');
UPDATE business_hours SET after_hours_action = 'transfer';
SELECT ok(a.body LIKE '%<Record%', 'closed: transfer to nobody is voicemail') FROM pg_temp.answer('CC4') a;
INSERT INTO human_agents (tenant_id, name, email, phone, priority) VALUES (:'tenant', 'Low', 'l@x.org', '+15551230071', 1), (:'tenant', 'High', 'h@x.org', '+1 555 123 0072', 2);
SELECT ok(pg_temp.plain(a.body) LIKE '%<Dial %<Number>+15551230072</Number></Dial>%' AND pg_temp.plain(a.body) LIKE '%action="https://voice.example.com/p/webhook/voice/after-stream"%',
	'closed: transfer to the first available person') FROM pg_temp.answer('CC5') a;
SELECT ok(a.body LIKE '%<Record%', 'nobody takes the transfer: voicemail') FROM pg_temp.after_stream('CC5', '{"DialCallStatus": "no-answer"}') a;
SELECT ok(a.body LIKE '%<Hangup/>%', 'the transfer is over: hang up') FROM pg_temp.after_stream('CC5', '{"DialCallStatus": "completed"}') a;
UPDATE tenants SET settings = settings || '{"voicemail": false, "after_hours_action": "voicemail"}' WHERE id = :'tenant';
SELECT ok(a.body LIKE '%Please call again later.%<Hangup/>%', 'closed: no voicemail wanted') FROM pg_temp.answer('CC6') a;
UPDATE tenants SET settings = settings || '{"voicemail": {"greeting": "Speak <now> & long", "transcribe": true, "max_seconds": 30}}' WHERE id = :'tenant';
SELECT ok(a.body LIKE '%Speak &lt;now&gt; &amp; long</Say><Record %maxLength="120"%transcribe="true"%', 'closed: the tenant''s own voicemail, escaped') FROM pg_temp.answer('CC7') a;
DELETE FROM business_hours;

-- ---- after a stream
SELECT pg_temp.answer('CD1') \g /dev/null
SELECT * FROM pg_temp.after_stream('CD1', '{}', 'k1') \gset
SELECT ok(:'body' LIKE '%<Stream%' AND (:'session'::jsonb ->> 'resumed')::boolean, 'a stream that ended without a reason is resumed');
SELECT is(:'session'::jsonb ->> 'greeting', 'I''m sorry, we were cut off for a moment. Please go on.', 'with the resume message');
SELECT ok(a.body LIKE '%<Stream%', 'the same delivery again: the same') FROM pg_temp.after_stream('CD1', '{}', 'k1') a;
SELECT is((pg_temp.call('CD1')).resume_count, 1, 'and counted once');
SELECT ok((SELECT accepted FROM va_call_stream_start(:'acme', 'CD1', 'MZd1', (SELECT session ->> 'token' FROM pg_temp.after_stream('CD1', '{}', 'k1')), 'gw-1')), 'the new token works');
SELECT pg_temp.after_stream('CD1', '{}', 'k' || n) FROM generate_series(2, 5) n \g /dev/null
SELECT is((pg_temp.call('CD1')).resume_count, 5, 'five times');
SELECT ok(a.body LIKE '%our assistant cannot talk right now.%<Record%', 'then an apology and the after-hours action') FROM pg_temp.after_stream('CD1', '{}', 'k6') a;

CREATE FUNCTION pg_temp.ended(sid text, reason text, OUT body text, OUT status text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.answer(sid);
	PERFORM va_call_events((pg_temp.call(sid)).id, 'MZ' || sid, jsonb_build_array('{"seq": 1, "kind": "state", "data": {"state": "stream_started"}}'::jsonb,
		jsonb_build_object('seq', 2, 'kind', 'state', 'data', jsonb_build_object('state', 'ended', 'reason', reason))));
	body := (pg_temp.after_stream(sid)).body;
	status := (pg_temp.call(sid)).status;
END
$$;
SELECT is((e.body, e.status)::text, '("<?xml version=""1.0"" encoding=""UTF-8""?><Response><Hangup/></Response>",completed)', r || ': hang up')
FROM unnest(ARRAY['agent_hangup', 'caller_hangup', 'time_limit', 'inactivity', 'engine_ended', 'rejected']) r, pg_temp.ended('CE' || r, r) e;
SELECT ok(e.body LIKE '%<Stream%' AND e.status = 'in-progress', r || ': resumed') FROM unnest(ARRAY['shutdown', 'stream_closed', 'engine_lost']) r, pg_temp.ended('CE' || r, r) e;
SELECT ok(e.body LIKE '%cannot talk right now.%<Record%', 'engine_failed: apology and after-hours action') FROM pg_temp.ended('CEfailed', 'engine_failed') e;
SELECT ok(a.body LIKE '%<Hangup/>%', 'the gateway''s own word counts while the event is under way')
FROM (SELECT pg_temp.answer('CE9')) x, LATERAL (SELECT (pg_temp.after_stream('CE9', '{"VoiceagentEndReason": "agent_hangup"}')).body) a;
SELECT pg_temp.answer('CE10') \g /dev/null
UPDATE calls SET started_at = now() - interval '2 hours' WHERE twilio_call_sid = 'CE10';
SELECT ok(a.body NOT LIKE '%<Stream%', 'a call beyond its time limit is not resumed') FROM pg_temp.after_stream('CE10') a;
SELECT ok(a.body LIKE '%<Hangup/>%', 'an unknown call: hang up') FROM pg_temp.after_stream('CE11') a;
SELECT is(a.http_status, 403, 'another account: 403') FROM va_webhook_voice_after_stream(:'other', pg_temp.form('CE10'), NULL, 'gw-1') a;

-- ---- fallback
SELECT ok(f.body LIKE '%cannot talk right now.%<Record%' AND f.call_id IS NOT NULL, 'fallback of a call nobody answered: apology, voicemail, a row')
FROM va_webhook_voice_fallback(:'acme', pg_temp.form('CF1', '{"ErrorCode": "11200"}'), 'f1', 'gw-1') f;
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'webhook_failed'), 1, 'and an event');
SELECT pg_temp.answer('CF2') \g /dev/null
SELECT va_call_stream_start(:'acme', 'CF2', 'MZf2', (SELECT session ->> 'token' FROM pg_temp.answer('CF2')), 'gw-1') \g /dev/null
SELECT ok(f.body LIKE '%<Stream%' AND f.session IS NOT NULL, 'fallback of a conversation: resumed') FROM generate_series(1, 2), va_webhook_voice_fallback(:'acme', pg_temp.form('CF2', '{"ErrorCode": "11205"}'), 'f2', 'gw-1') f;
SELECT is((pg_temp.call('CF2')).resume_count, 1, 'once, also when delivered twice');
SELECT ok(f.body LIKE '%<Reject%', 'fallback for an unknown number: rejected') FROM va_webhook_voice_fallback(:'acme', pg_temp.form('CF3', '{"To": "+15550000000"}'), NULL, 'gw-1') f;

-- ---- stream status
SELECT is(s.http_status, 204, 'stream status: 204') FROM generate_series(1, 2), va_webhook_voice_stream_status(:'acme', pg_temp.form('CF2', '{"StreamSid": "MZf2", "StreamEvent": "stream-error", "StreamError": "cannot connect"}'), NULL, 'gw-1') s;
SELECT is((SELECT stream_error FROM call_metrics WHERE stream_sid = 'MZf2'), 'cannot connect', 'a stream''s error is noted');
SELECT is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'stream_error'), 1, 'once');
SELECT is((SELECT count(*)::int FROM call_metrics WHERE stream_sid = 'MZf3'), 0, 'other news leaves no row') FROM va_webhook_voice_stream_status(:'acme', pg_temp.form('CF2', '{"StreamSid": "MZf3", "StreamEvent": "stream-started"}'), NULL, 'gw-1');
SELECT * FROM finish();
