-- Traces: what of a call is in one, in the shape that OTLP/HTTP wants, and when one is sent.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset
CREATE FUNCTION pg_temp.spans(c uuid, content boolean DEFAULT false) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT jsonb_array_elements(va_call_trace(c, content) #> '{resourceSpans,0,scopeSpans,0,spans}') $$;
-- Attributes as an object again.
CREATE FUNCTION pg_temp.attributes(a jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_object_agg(e ->> 'key', (SELECT v FROM jsonb_each(e -> 'value') AS x (k, v))) FROM jsonb_array_elements(a) e $$;
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; RETURN 'none'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM; END $$;

-- ---- the pieces
SELECT is(va_trace_attributes('{"a": "x", "b": true, "c": 7, "d": 1.5, "e": null, "f": [1], "g": 12345678901}'), '[{"key": "a", "value": {"stringValue": "x"}}, {"key": "b", "value": {"boolValue": true}}, {"key": "c", "value": {"intValue": "7"}}, {"key": "d", "value": {"doubleValue": 1.5}},
	{"key": "f", "value": {"stringValue": "[1]"}}, {"key": "g", "value": {"intValue": "12345678901"}}]', 'attributes by their types, whole numbers as digits'), is(va_trace_attributes('{}'), '[]', 'none');
SELECT is(va_trace_time('2026-01-02 03:04:05.678901Z'), '1767323045678901000', 'nanoseconds'), is(va_trace_time(NULL), NULL, 'of nothing');
SELECT is(va_trace_id(:'mine'), replace(:'mine', '-', ''), 'the call''s id is the trace''s'), matches(va_span_id(:'mine', ''), '^[0-9a-f]{16}$', 'eight bytes'), isnt(va_span_id(:'mine', ''), va_span_id(:'mine', 'x'), 'of each part its own'), is(va_span_id(:'mine', 'x'), va_span_id(:'mine', 'x'), 'and always the same');
SELECT is(va_trace_span(:'mine', 'x', '', 'n', 1, '2026-01-01 00:00:02Z', '2026-01-01 00:00:01Z', '{}', 'bad') #>> '{endTimeUnixNano}', '1767225602000000000', 'a span does not end before it begins'), is(va_trace_span(:'mine', 'x', '', 'n', 1, now(), now(), '{}', 'bad') -> 'status', '{"code": 2, "message": "bad"}', 'an error'),
	is(va_trace_span(:'mine', 'x', '', 'n', 1, now(), now(), '{}', NULL) ->> 'parentSpanId', va_span_id(:'mine', ''), 'its parent'), is(va_trace_span(:'mine', '', NULL, 'n', 1, now(), now(), '{}', NULL) ? 'parentSpanId', false, 'the first has none');

-- ---- a call
SELECT call_id AS call FROM pg_temp.answer('CA1') \gset
INSERT INTO call_metrics (tenant_id, call_id, stream_sid, stream_started_at, ended_at, engine_ready_at, first_audio_at, first_audio_ms, frames_in) VALUES (:'mine', :'call', 'MZ1', now(), now() + interval '5 seconds', now() + interval '1 second', now() + interval '2 seconds', 2500, 250);
INSERT INTO tool_invocations (tenant_id, call_id, invocation_id, tool, arguments, answer, duration_ms, error_detail) VALUES (:'mine', :'call', 'i1', 'capture_lead', '{"name": "zebrafish"}', '{"ok": true}', 40, NULL), (:'mine', :'call', 'i2', 'end_call', '{}', '{}', 1, '22012 division by zero');
UPDATE calls SET transcript = '[{"role": "user", "text": "I am zebrafish."}, {"role": "agent", "text": "Hello."}]' WHERE id = :'call';
SELECT is((SELECT array_agg(s ->> 'name') FROM pg_temp.spans(:'call') s), ARRAY['invoke_agent Sarah', 'chat', 'execute_tool capture_lead', 'execute_tool end_call'], 'the call, its streams, its tools');
SELECT is((SELECT array_agg(DISTINCT s ->> 'traceId') FROM pg_temp.spans(:'call') s), ARRAY[replace(:'call', '-', '')], 'one trace'), is((SELECT count(DISTINCT s ->> 'spanId')::int FROM pg_temp.spans(:'call') s), 4, 'of different spans'),
	is((SELECT array_agg(s ->> 'parentSpanId') FROM pg_temp.spans(:'call') s), ARRAY[NULL, x, x, x], 'below the call') FROM va_span_id(:'call', '') x;
SELECT is(pg_temp.attributes(s -> 'attributes') - 'voiceagent.lead.id', jsonb_build_object('gen_ai.operation.name', 'invoke_agent', 'gen_ai.agent.name', 'Sarah', 'gen_ai.conversation.id', :'call', 'gen_ai.output.type', 'speech', 'voiceagent.tenant.id', :'mine', 'voiceagent.call.direction', 'inbound',
	'voiceagent.call.status', (pg_temp.call('CA1')).status, 'voiceagent.call.turns', (pg_temp.call('CA1')).conversation_turns::text, 'voiceagent.call.escalated', false, 'voiceagent.call.resumes', '0'), 'what is said of the call') FROM pg_temp.spans(:'call') s LIMIT 1;
SELECT is(pg_temp.attributes(s -> 'attributes') @> '{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "ultravox", "gen_ai.system": "ultravox", "gen_ai.response.time_to_first_chunk": 2.5, "voiceagent.stream.frames_in": "250"}', true, 'of a stream'), is((SELECT array_agg(e ->> 'name') FROM jsonb_array_elements(s -> 'events') e), ARRAY['engine_ready', 'first_audio'], 'with its moments') FROM (SELECT s FROM pg_temp.spans(:'call') s OFFSET 1 LIMIT 1) x;
SELECT is((SELECT array_agg((s #>> '{status,code}') || coalesce(pg_temp.attributes(s -> 'attributes') ->> 'error.type', '')) FROM pg_temp.spans(:'call') s WHERE s ->> 'name' ~ 'tool'), ARRAY['1', '222012'], 'of tools, with the class of an error and not its words');
SELECT ok(va_call_trace(:'call')::text !~ 'zebrafish', 'nothing of what was said'), ok(va_call_trace(:'call', NULL)::text !~ 'zebrafish', 'unless it is asked for'), is(regexp_count(va_call_trace(:'call', true)::text, 'zebrafish'), 2, 'then all of it') ;
SELECT is((pg_temp.attributes(s -> 'attributes') ->> 'gen_ai.output.messages')::jsonb, '[{"role": "user", "parts": [{"type": "text", "content": "I am zebrafish."}]}, {"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]}]', 'in the conventions'' form') FROM pg_temp.spans(:'call', true) s LIMIT 1;
SELECT is(pg_temp.attributes(va_call_trace(:'call') #> '{resourceSpans,0,resource,attributes}') - 'service.version', jsonb_build_object('service.name', 'voiceagent', 'service.namespace', t.slug), 'whose it is') FROM tenants t WHERE id = :'mine';
SELECT matches(pg_temp.error_of('SELECT va_call_trace(gen_random_uuid())'), '^VA004', 'an unknown call');

-- ---- sending
DELETE FROM outbox;
SELECT va_call_set_status(:'call', 'completed') \g /dev/null
SELECT is((SELECT count(*)::int FROM outbox WHERE kind = 'otlp.trace'), 0, 'off unless there is an end point');
SELECT va_tenant_settings_set(:'mine', '{"otlp": {"endpoint": "https://collector.example.com/v1/traces", "headers": {"x-project": "p"}}}'), va_secret_set(:'mine', 'otlp_headers', 'x-api-key: k') \g /dev/null
SELECT call_id AS second FROM pg_temp.answer('CA2') \gset
SELECT va_call_set_status(:'second', 'completed'), va_call_set_status(:'second', 'completed') \g /dev/null
SELECT is((SELECT array_agg((attempt_key = :'second', state, run_at > now() + interval '50 seconds')::text) FROM outbox WHERE kind = 'otlp.trace'), ARRAY['(t,later,t)'], 'a minute after the call, once');
SELECT is(va_prepare_otlp_trace(o), jsonb_build_object('tenant_url', true, 'url', 'https://collector.example.com/v1/traces', 'headers', '{"x-project": "p"}'::jsonb, 'secret_headers', 'x-api-key: k', 'body', va_call_trace(:'second')), 'what the dispatcher is told') FROM outbox o WHERE kind = 'otlp.trace';
SELECT va_tenant_settings_set(:'mine', '{"otlp": {"content": true}}') \g /dev/null
SELECT is(va_prepare_otlp_trace(o) -> 'body', va_call_trace(:'second', true), 'with what was said, if the tenant wants') FROM outbox o WHERE kind = 'otlp.trace';
SELECT va_tenant_settings_set(:'mine', '{"otlp": null}') \g /dev/null
SELECT matches(va_prepare_otlp_trace(o) ->> 'skip', 'off', 'switched off meanwhile') FROM outbox o WHERE kind = 'otlp.trace';
SELECT va_platform_settings_set('{"otlp": {"endpoint": "http://localhost:4318/v1/traces"}}') \g /dev/null
SELECT is(va_prepare_otlp_trace(o) - 'body' - 'secret_headers', '{"url": "http://localhost:4318/v1/traces", "headers": {}, "tenant_url": false}', 'the administrator''s collector may be near') FROM outbox o WHERE kind = 'otlp.trace';
SELECT matches(pg_temp.error_of(format('SELECT va_tenant_settings_set(%L, %L)', :'mine', jsonb_build_object('otlp', s::jsonb))), '^VA009', 'refused: ' || s) FROM unnest(ARRAY['{"endpoint": "collector"}', '{"headers": {"a b": "x"}}', '{"headers": {"a": 1}}', '{"headers": {"a": "x\r\ny: z"}}', '{"key": "x"}']) s;

-- ---- rights
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'theirs', false) \g /dev/null
SELECT matches(pg_temp.error_of(format('SELECT va_call_trace(%L)', :'call')), '^VA004', 'not another tenant''s');
SELECT set_config('voiceagent.tenant_id', :'mine', false) \g /dev/null
SELECT is(pg_temp.error_of(format('SELECT va_call_trace(%L, true)', :'call')), 'none', 'one''s own');
RESET ROLE;
SELECT * FROM finish();
