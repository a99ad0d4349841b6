-- What follows from a turn: a keyword of the caller's escalates, once; a conversation that is too long ends with a good-bye; the gateway
-- is told by the answer to its batch of events, and told again when it asks again.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS tenant \gset

-- ---- words
SELECT is(va_keyword_in(t, k::text[]), w, format('"%s" in "%s"', k, t)) FROM (VALUES ('I want to talk to a MANAGER, now!', '{manager}', 'manager'), ('the management', '{manager}', NULL), ('Give me a human being', '{real person,human being}', 'human being'), ('human, being rude', '{human being}', 'human being'), ('being human', '{human being}', NULL),
	('Quiero hablar con un médico', '{medico}', 'medico'), ('quiero un medico', '{Médico}', 'Médico'), ('ÜBERGABE bitte', '{übergabe}', 'übergabe'), ('that''s a law-suit', '{law suit}', 'law suit'), ('“Lawyer”', '{lawyer}', 'lawyer'), ('0', '{0}', '0'), ('ten', '{.*,t.n,(,[a,\\,%,_}', NULL), ('c++ (really)', '{c++}', 'c++'), ('a c b', '{c++}', 'c++'),
	('anything', '{}', NULL), ('anything', NULL, NULL), ('', '{x}', NULL), ('first second', '{second,first}', 'second'), ('x', '{" ",!,NULL,x}', 'x')) AS x (t, k, w);
SELECT is(va_keyword_in(NULL, '{x}'), NULL, 'no text');

-- ---- escalation
UPDATE tenant_voice_configs SET escalation_keywords = '{manager,"speak to a person",lawyer}' WHERE tenant_id = :'tenant';
SELECT call_id AS call FROM pg_temp.answer('CA1') \gset
SELECT is(va_call_events(:'call', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "agent", "text": "Shall I get the manager?"}}, {"seq": 2, "kind": "partial", "data": {"role": "user", "text": "the manager"}}, {"seq": 3, "kind": "turn", "data": {"role": "user", "text": "No."}}]'), NULL, 'neither the agent''s words nor half a sentence escalate');
SELECT is(va_call_events(:'call', 'MZ1', '[{"seq": 4, "kind": "turn", "data": {"role": "user", "text": "I want to Speak  to a PERSON!"}}]'), '{"say": "I have noted that. A colleague will call you back.", "action": null}', 'a keyword does, and the caller is told');
SELECT row_eq(format('SELECT escalated_to_human, escalation_reason::text, outcome::text FROM calls WHERE id = %L', :'call'), ROW(true, 'keyword "speak to a person"'::text, 'callback_requested'::text), 'as the tool would have done'), is((SELECT count(*)::int FROM follow_up_tasks WHERE call_id = :'call'), 1, 'with a call back'), is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'call_escalated' AND call_id = :'call'), 1, 'and the event');
SELECT is(va_call_events(:'call', 'MZ1', '[{"seq": 4, "kind": "turn", "data": {"role": "user", "text": "I want to Speak  to a PERSON!"}}]') ->> 'say', 'I have noted that. A colleague will call you back.', 'the same batch again: the same answer');
SELECT is(va_call_events(:'call', 'MZ1', '[{"seq": 5, "kind": "turn", "data": {"role": "user", "text": "Manager! Lawyer!"}}]'), NULL, 'once a call'), is((SELECT count(*)::int FROM analytics_events WHERE event_type = 'call_escalated' AND call_id = :'call'), 1, 'however often they say it');
SELECT is(va_call_events(:'call', 'MZ2', '[{"seq": 4, "kind": "note", "data": {}}]'), NULL, 'another stream''s event of that number is another');
-- a colleague who is free; the tenant's own words; the configuration of the number
INSERT INTO human_agents (tenant_id, name, email) VALUES (:'tenant', 'Ann', 'a@x.org') RETURNING id AS ann \gset
UPDATE tenants SET settings = settings || '{"escalation_message": "Ann kommt."}' WHERE id = :'tenant';
INSERT INTO tenant_voice_configs (tenant_id, agent_name, greeting_script, system_prompt, escalation_keywords, max_conversation_turns, created_at) VALUES (:'tenant', 'x', 'x', 'x', '{chef}', 4, '2020-01-01') RETURNING id AS old_config \gset
SELECT call_id AS second FROM pg_temp.answer('CA2') \gset
SELECT is(va_call_events(:'second', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "Chef, bitte"}}]'), NULL, 'keywords of another configuration');
UPDATE phone_numbers SET voice_config = jsonb_build_object('voice_config_id', :'old_config');
SELECT is(va_call_events(:'second', 'MZ1', '[{"seq": 2, "kind": "turn", "data": {"role": "user", "text": "Chef, bitte"}}]') ->> 'say', 'Ann kommt.', 'are heard where the number names it, and the words are the tenant''s'), is((SELECT session ->> 'system_prompt' LIKE 'x%' FROM pg_temp.answer('CA3')), true, 'as is its prompt');
SELECT is((SELECT agent_id FROM agent_reservations WHERE call_id = :'second' AND released_at IS NULL), :'ann'::uuid, 'who is kept free');
-- an escalation that fails loses no turn
ALTER TABLE agent_reservations ADD CONSTRAINT broken CHECK (false) NOT VALID;
SELECT call_id AS third FROM pg_temp.answer('CA4') \gset
SELECT is(va_call_events(:'third', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "the chef"}}]'), NULL, 'what cannot be escalated');
SELECT is(pg_temp.texts('CA4'), '{"user: the chef"}', 'is stored all the same');
ALTER TABLE agent_reservations DROP CONSTRAINT broken;

-- ---- as long as the configuration allows
SELECT call_id AS long FROM pg_temp.answer('CA5') \gset
SELECT is(va_call_events(:'long', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "agent", "text": "a"}}, {"seq": 2, "kind": "turn", "data": {"role": "user", "text": "b"}}, {"seq": 3, "kind": "turn", "data": {"role": "agent", "text": "c"}}]'), NULL, 'three turns of four');
SELECT is(va_call_events(:'long', 'MZ1', '[{"seq": 4, "kind": "turn", "data": {"role": "user", "text": "d"}}]'), '{"say": "Thank you for talking with us. I have to end the call here. Please call again if there is more. Good-bye.", "action": "end_call"}', 'the fourth ends it, with a good-bye');
SELECT ok((SELECT end_requested_at IS NOT NULL FROM calls WHERE id = :'long'), 'what comes after the stream is the end'), is((SELECT event_data FROM analytics_events WHERE event_type = 'turn_limit'), '{"turns": 4}', 'and an event');
SELECT is(va_call_events(:'long', 'MZ1', '[{"seq": 4, "kind": "turn", "data": {"role": "user", "text": "d"}}]') ->> 'action', 'end_call', 'the same batch again'), is(va_call_events(:'long', 'MZ1', '[{"seq": 5, "kind": "turn", "data": {"role": "agent", "text": "Good-bye."}}]'), NULL, 'and once');
SELECT is((SELECT body ~ '<Hangup' AND body !~ '<Stream' FROM pg_temp.after_stream('CA5')), true, 'so it does');
UPDATE tenants SET settings = settings || '{"turn_limit_message": "Tschüss von {{company}}."}' WHERE id = :'tenant';
UPDATE tenant_voice_configs SET max_conversation_turns = 1;
SELECT call_id AS short FROM pg_temp.answer('CA6') \gset
SELECT is(va_call_events(:'short', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "Hallo"}}]'), '{"say": "Tschüss von Test +15551230002.", "action": "end_call"}', 'in the tenant''s words');
SELECT call_id AS both FROM pg_temp.answer('CA7') \gset
SELECT is(va_call_events(:'both', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "chef"}}]') ->> 'action', NULL, 'who asks for a person at the last turn gets the person'), is(va_call_events(:'both', 'MZ1', '[{"seq": 2, "kind": "turn", "data": {"role": "agent", "text": "Sure"}}]') ->> 'action', 'end_call', 'and then the end');
UPDATE tenant_voice_configs SET max_conversation_turns = NULL, escalation_keywords = NULL;
SELECT call_id AS free FROM pg_temp.answer('CA8') \gset
SELECT is(va_call_events(:'free', 'MZ1', '[{"seq": 1, "kind": "turn", "data": {"role": "user", "text": "chef"}}]'), NULL, 'without keywords and limit there is nothing to do');
SELECT is(pg_temp.sqlstate_of(format('UPDATE tenants SET settings = settings || %L', s)), 'VA009', 'refused: ' || s) FROM unnest(ARRAY['{"escalation_message": 5}', '{"callback_message": []}', '{"turn_limit_message": {}}']) s;
SELECT * FROM finish();
