-- The templates of industries: what ships is complete and can be spoken, and one's own take its place.
\ir setup.psql
SELECT no_plan();
SELECT is(ARRAY(SELECT name FROM industry_templates ORDER BY name), ARRAY['general', 'healthcare', 'insurance', 'legal', 'real_estate'], 'five ship');
SELECT is((SELECT array_agg(name) FROM industry_templates WHERE NOT is_builtin OR tenant_id IS NOT NULL), NULL, 'for everybody');
SELECT ok(cardinality(questions) BETWEEN 4 AND 8 AND cardinality(escalation_keywords) >= 5, name || ': questions and words that call for a person') FROM industry_templates ORDER BY name;
SELECT is((SELECT sum(value::text::numeric) FROM jsonb_each(qualification_criteria) WHERE key NOT IN ('hot', 'warm')), 1.00, name || ': the five weights add up'), ok(qualification_criteria ?& ARRAY['budget_mentioned', 'decision_maker', 'clear_need', 'timeline_urgent', 'engagement_score', 'hot', 'warm'], name || ': with thresholds'),
	ok(va_lead_score('{}', qualification_criteria) = 0, name || ': and can be scored with') FROM industry_templates ORDER BY name;
SELECT is((SELECT qualification_criteria FROM industry_templates WHERE name = 'real_estate'), (SELECT jsonb_object_agg(substring(name FROM '[^.]*$'), default_value) - 'cold' FROM setting_definitions WHERE name LIKE 'qualification\_criteria.%'), 'real estate has the specification''s');
SELECT is(ARRAY(SELECT unnest(regexp_split_to_array('capture_lead check_availability book_appointment escalate_to_human end_call', ' ')) EXCEPT SELECT name FROM tools), '{}', 'the tools of the prompts are there');
SELECT ok(system_prompt LIKE '%' || t || '%', name || ' speaks of ' || t) FROM industry_templates, unnest(ARRAY['capture_lead', 'check_availability', 'book_appointment', 'escalate_to_human', 'end_call', '{{questions}}', '{{hours}}', '{{company}}', '{{agent_name}}']) t ORDER BY 1;
SELECT is((SELECT array_agg(DISTINCT k) FROM industry_templates, jsonb_object_keys(follow_up_hints) k WHERE k NOT IN (SELECT purpose FROM follow_up_steps)), NULL, 'hints are for follow-ups that there are');
SELECT is((SELECT array_agg(a) FROM industry_templates, unnest(aliases) a GROUP BY a HAVING count(*) > 1 OR a <> va_industry_word(a)), NULL, 'an alias is one industry''s, and found');
-- what must never be missing
SELECT ok(system_prompt ~ w, name || ': ' || w) FROM (VALUES ('healthcare', 'no medical advice'), ('healthcare', 'hang up and call \{\{emergency_number\}\}'), ('healthcare', 'reason "emergency"'), ('healthcare', 'not a clinician'), ('legal', 'no legal advice'), ('legal', 'not a lawyer'), ('legal', 'arrested'),
	('legal', 'does not make somebody a client'), ('legal', '\{\{emergency_number\}\}'), ('insurance', 'not licensed'), ('real_estate', 'never ask about.*race'), ('general', 'Do not invent')) AS x (name, w) JOIN industry_templates USING (name);
SELECT ok(greeting ~ '\{\{emergency_number\}\}', 'the practice''s greeting sends emergencies away') FROM industry_templates WHERE name = 'healthcare';

-- ---- a tenant of each can be called at once
SELECT ok(va_tenant_create('T ' || name, name, '+1555123' || lpad(n::text, 4, '0'), twilio_account_sid => :'acme') IS NOT NULL, name || ': a tenant') FROM (SELECT name, row_number() OVER (ORDER BY name) AS n FROM industry_templates) i;
SELECT ok(p.greeting <> '' AND p.greeting !~ '[{}]' AND p.system_prompt !~ '[{}]' AND p.system_prompt LIKE '%T ' || t.industry || '%' AND length(p.system_prompt) BETWEEN 1200 AND 6000, t.industry || ': greeting and prompt') FROM tenants t, va_tenant_preview(t.id) p ORDER BY t.industry;
SELECT ok((a.session ->> 'greeting') LIKE '%T ' || t.industry || '%', t.industry || ' takes a call') FROM tenants t JOIN phone_numbers n ON n.tenant_id = t.id, pg_temp.answer('CA' || t.industry, jsonb_build_object('To', n.phone_number)) a ORDER BY 1;
SELECT is(settings ? 'qualification_criteria', industry NOT IN ('general', 'real_estate'), industry || ': criteria only where they differ') FROM tenants ORDER BY industry;

-- ---- words for an industry
SELECT is((va_industry_find(w, NULL)).name, n, 'industry "' || w || '"') FROM (VALUES ('Real Estate', 'real_estate'), ('real-estate', 'real_estate'), ('REALTOR', 'real_estate'), (' law firm ', 'legal'), ('dentist', 'healthcare'), ('other', 'general'), ('helthcare', NULL), ('x', NULL), ('', NULL)) AS x (w, n);
SELECT va_tenant_create('Cars', 'Car repair', NULL) AS cars, va_tenant_create('Bob', 'Realtor', NULL) AS bob \gset
SELECT row_eq(format('SELECT industry::text, settings - %L::text[] FROM tenants WHERE id = %L', '{qualification_questions,follow_up_hints}', :'cars'), ROW('Car repair'::text, '{}'::jsonb), 'an unknown one keeps its name and gets the general template'), is((SELECT industry::text FROM tenants WHERE id = :'bob'), 'real_estate', 'another word for a known one becomes it');

-- ---- one's own
SELECT throws_ok(format('INSERT INTO industry_templates (name, greeting, system_prompt, %s) VALUES (%L, %L, %L, %L)', c, 'mine', g, 'x', v), s, NULL, concat('refused: ', c, ' ', v, g)) FROM (VALUES ('questions', 'Hi {{firm}}', '{}', 'VA009'), ('qualification_criteria', 'Hi', '{"budget": 1}', 'VA009'), ('qualification_criteria', 'Hi', '{"hot": 2}', 'VA009'),
	('follow_up_hints', 'Hi', '{"thanks": 1}', 'VA009'), ('appointment_minutes', 'Hi', '1', 'VA009'), ('tools', 'Hi', '{"a b"}', 'VA009')) AS x (c, g, v, s);
INSERT INTO industry_templates (name, aliases, greeting, system_prompt, questions, tools, escalation_keywords, qualification_criteria) VALUES ('car_repair', '{garage}', '{{company}}, hello.', 'You are {{agent_name}}. Ask: {{questions}}', '{Which car?}', '{end_call}', '{brakes}', '{"hot": 0.6}');
INSERT INTO industry_templates (tenant_id, name, greeting, system_prompt) VALUES (:'cars', 'car_repair', 'Mine.', 'Mine.');
INSERT INTO industry_templates (name, greeting, system_prompt) VALUES ('legal', 'The platform''s.', 'The platform''s.');
SELECT is((va_industry_find('legal', NULL)).greeting, 'The platform''s.', 'one''s own takes the place of a shipped one');
SELECT throws_ok($$INSERT INTO industry_templates (name, greeting, system_prompt) VALUES ('legal', 'x', 'x')$$, '23505', NULL, 'once');
SELECT va_tenant_create('G', 'garage', NULL) AS g \gset
SELECT row_eq(format('SELECT greeting, system_prompt ~ %L, tools FROM va_tenant_preview(%L)', '^You are Sarah. Ask: 1. Which car\?', :'g'), ROW('G, hello.'::text, true, ARRAY['end_call']), 'a tenant of it');
SELECT is(va_tenant_template_apply(:'g', 'real estate'), 'real_estate', 'another template is put on');
SELECT is((SELECT settings ? 'tools' FROM tenants WHERE id = :'g'), false, 'in place of the one before');
SELECT is(va_tenant_template_apply(:'cars'), 'car_repair', 'the tenant''s own first') WHERE NOT EXISTS (SELECT FROM tenants WHERE id = :'cars' AND industry <> 'Car repair');
SELECT is((SELECT greeting FROM va_tenant_preview(:'cars')), 'Mine.', 'is heard');
SELECT is(pg_temp.sqlstate_of(format('SELECT va_tenant_template_apply(%L, %L)', t, i)), c, concat('refused: ', i, c)) FROM (VALUES (:'g', 'x', 'VA005'), ('00000000-0000-0000-0000-000000000000', 'legal', 'VA001')) AS x (t, i, c);
-- an application reads those of all and its own
SET ROLE voiceagent_agent;
SELECT set_config('voiceagent.tenant_id', :'g', false) \g /dev/null
SELECT is((SELECT count(*)::int FROM industry_templates), 7, 'an application sees the common ones alone'), is(pg_temp.sqlstate_of('DELETE FROM industry_templates'), '42501', 'and changes none');
RESET ROLE;
SELECT * FROM finish();
