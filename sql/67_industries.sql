-- Templates of industries: what a new tenant of a trade begins with. Greeting, prompt, questions, criteria, words that
-- call for a person, how long appointments take, what follow-ups should say. va_tenant_create copies them into the tenant,
-- where they are the tenant's own: a template that changes later changes no tenant.

CREATE TABLE @extschema@.industry_templates (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	name TEXT NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,49}$'),
	aliases TEXT[] NOT NULL DEFAULT '{}',    -- other words for it, written as names are
	description TEXT,
	greeting TEXT NOT NULL,
	system_prompt TEXT NOT NULL,
	questions TEXT[] NOT NULL DEFAULT '{}',  -- becomes the setting qualification_questions
	qualification_criteria JSONB NOT NULL DEFAULT '{}',
	escalation_keywords TEXT[] NOT NULL DEFAULT '{}',
	tools TEXT[],                            -- NULL: all common tools
	appointment_minutes INTEGER NOT NULL DEFAULT 30,
	follow_up_hints JSONB NOT NULL DEFAULT '{}',
	is_builtin BOOLEAN NOT NULL DEFAULT false,   -- came with the extension; not dumped
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	-- One's own row of a shipped name takes its place.
	CONSTRAINT industry_templates_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, name, is_builtin)
);
CREATE TRIGGER industry_templates_touch BEFORE UPDATE ON @extschema@.industry_templates
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch();
CREATE POLICY common_rows ON @extschema@.industry_templates FOR SELECT USING (tenant_id IS NULL);

-- An industry as it is looked up: "Real Estate" is real_estate.
CREATE FUNCTION @extschema@.va_industry_word(text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN btrim(regexp_replace(lower($1), '[^a-z0-9]+', '_', 'g'), '_');

-- The template for an industry, by its name before its aliases; the tenant's own before the platform's before the shipped.
-- All NULL where there is none.
CREATE FUNCTION @extschema@.va_industry_find(p_industry text, p_tenant uuid) RETURNS @extschema@.industry_templates
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_word text := @extschema@.va_industry_word(p_industry);
	v_template @extschema@.industry_templates;
BEGIN
	SELECT * INTO v_template FROM @extschema@.industry_templates i
	WHERE (i.tenant_id IS NULL OR i.tenant_id = p_tenant) AND (i.name = v_word OR v_word = ANY (i.aliases))
	ORDER BY (i.name = v_word) DESC, (i.tenant_id IS NOT NULL) DESC, i.is_builtin, i.name LIMIT 1;
	RETURN v_template;
END
$$;

CREATE FUNCTION @extschema@.va_industry_names(p_tenant uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT string_agg(DISTINCT i.name, ', ' ORDER BY i.name) FROM @extschema@.industry_templates i
			WHERE i.tenant_id IS NULL OR i.tenant_id = p_tenant);
END
$$;

-- The same, with the general one where there is none, and a notice: a tenant of a trade that nobody has thought of is a
-- tenant all the same, but a misspelt one should be seen.
CREATE FUNCTION @extschema@.va_industry_or_general(p_industry text, p_tenant uuid) RETURNS @extschema@.industry_templates
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_template @extschema@.industry_templates := @extschema@.va_industry_find(p_industry, p_tenant);
	v_near text;
BEGIN
	IF v_template.id IS NULL THEN
		v_near := @extschema@.va_nearest(@extschema@.va_industry_word(p_industry), string_to_array(@extschema@.va_industry_names(p_tenant), ', '));
		RAISE NOTICE 'there is no template for the industry "%": the general one is taken', p_industry
			USING HINT = coalesce(format('Did you mean "%s"? ', v_near), '') || 'Known are ' || @extschema@.va_industry_names(p_tenant) || '.';
		v_template := @extschema@.va_industry_find('general', p_tenant);
	END IF;
	RETURN v_template;
END
$$;

-- What tenants.industry says: the template's name, or one's own word where only the general one is left.
CREATE FUNCTION @extschema@.va_industry_stored(p_industry text, p_template @extschema@.industry_templates) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN (p_template).name <> 'general' OR @extschema@.va_industry_word(p_industry) = ANY ((p_template).aliases || 'general'::text)
				THEN (p_template).name ELSE left(btrim(p_industry), 50) END;

-- A template's part of a tenant's settings, as it is written in the template.
CREATE FUNCTION @extschema@.va_industry_said(p_template @extschema@.industry_templates) RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN jsonb_strip_nulls(jsonb_build_object('qualification_criteria', (p_template).qualification_criteria,
		'qualification_questions', to_jsonb((p_template).questions), 'tools', to_jsonb((p_template).tools),
		'appointment_minutes', (p_template).appointment_minutes, 'follow_up_hints', (p_template).follow_up_hints));

-- The same without what is the default anyway, so that the platform's settings hold where the template says nothing special.
CREATE FUNCTION @extschema@.va_industry_settings(p_template @extschema@.industry_templates) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_said jsonb := @extschema@.va_industry_said(p_template);
	v_criteria jsonb := (SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}') FROM jsonb_each(p_template.qualification_criteria) c
		WHERE NOT EXISTS (SELECT FROM @extschema@.setting_definitions d
						  WHERE d.name = 'qualification_criteria.' || c.key AND d.default_value = c.value));
BEGIN
	RETURN (SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}')
		FROM jsonb_each(v_said || jsonb_build_object('qualification_criteria', v_criteria)) s
		LEFT JOIN @extschema@.setting_definitions d ON d.name = s.key
		WHERE s.value IS DISTINCT FROM d.default_value);
END
$$;

CREATE FUNCTION @extschema@.va_check_industry() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_placeholders('the greeting', NEW.greeting), @extschema@.va_check_placeholders('the prompt', NEW.system_prompt),
			@extschema@.va_check_settings(@extschema@.va_industry_said(NEW));
	RETURN NEW;
END
$$;
CREATE TRIGGER industry_templates_check BEFORE INSERT OR UPDATE ON @extschema@.industry_templates
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_industry();

-- Makes a tenant what its industry's template says: greeting, prompt and escalation keywords of its newest voice
-- configuration, and the settings that templates have. industry NULL: the tenant's own. Returns the template's name.
-- Errors: VA001, VA005 (no such template), VA009.
CREATE FUNCTION @extschema@.va_tenant_template_apply(tenant uuid, industry text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_industry text;
	v_template @extschema@.industry_templates;
BEGIN
	PERFORM @extschema@.va_assert_tenant(va_tenant_template_apply.tenant);
	SELECT coalesce(va_tenant_template_apply.industry, t.industry) INTO v_industry
	FROM @extschema@.tenants t WHERE t.id = va_tenant_template_apply.tenant;
	v_template := @extschema@.va_industry_find(v_industry, va_tenant_template_apply.tenant);
	IF v_template.id IS NULL THEN
		RAISE EXCEPTION 'there is no template for the industry "%"', v_industry USING ERRCODE = 'VA005',
			HINT = 'Known are ' || @extschema@.va_industry_names(va_tenant_template_apply.tenant) || '.';
	END IF;
	UPDATE @extschema@.tenants t SET industry = v_template.name,
		settings = (t.settings - ARRAY['qualification_criteria', 'qualification_questions', 'tools', 'appointment_minutes', 'follow_up_hints'])
			|| @extschema@.va_industry_settings(v_template)
	WHERE t.id = va_tenant_template_apply.tenant;
	PERFORM @extschema@.va_tenant_voice_set(va_tenant_template_apply.tenant, greeting => v_template.greeting,
		system_prompt => v_template.system_prompt, escalation_keywords => v_template.escalation_keywords);
	RETURN v_template.name;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.industry_templates TO voiceagent_admin;
GRANT SELECT ON @extschema@.industry_templates TO voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_tenant_template_apply(uuid, text) TO voiceagent_admin;

-- ---- the shipped ones ---------------------------------------------------------------------------
--
-- A prompt is made of what the trade demands and, after it, of what holds on every telephone. Health and law come with
-- limits: no advice, and emergencies go to those who can help.

INSERT INTO @extschema@.industry_templates (name, aliases, description, greeting, questions, qualification_criteria, escalation_keywords,
	appointment_minutes, follow_up_hints, system_prompt, is_builtin)
SELECT t.name, t.aliases, t.description, t.greeting, t.questions, t.criteria, t.keywords || ARRAY['speak to a person', 'real person', 'human',
		'manager', 'complaint'], t.minutes, t.hints, t.prompt || $common$

On the telephone:
- Speak the language {{language}}, or the one the caller speaks to you.
- Answer in one or two short sentences, in plain spoken words, without lists, symbols or formatting. Ask one question at a time, and wait for the answer.
- In the course of the conversation, and only where it fits, find out: {{questions}}
- Save what you learn with the tool capture_lead, without mentioning it.
- When the caller wants to meet somebody, ask for the day, look for free times with check_availability, offer two of them, and book with book_appointment only what the caller has agreed to. Repeat day and time.
- Opening hours: {{hours}}.
- Do not invent prices, facts, promises or appointments. What you do not know, a colleague will tell: say so.
- When the caller asks for a person, is upset, or needs what you may not give, use the tool escalate_to_human and say what happens next.
- You are a computer's voice. Say so when you are asked.
- When the caller says good-bye or wants nothing more, say good-bye and use the tool end_call.$common$, true
FROM (VALUES
('general', ARRAY['other', 'default', 'none'], 'Any trade.',
 'Hello! Thank you for calling {{company}}. I''m {{agent_name}}, how may I help you today?',
 ARRAY['What do you need?', 'By when do you need it?', 'What budget do you have in mind?', 'Do you decide about it yourself?', 'What is your name, and how do we reach you best?'],
 '{"budget_mentioned": 0.25, "decision_maker": 0.20, "clear_need": 0.25, "timeline_urgent": 0.20, "engagement_score": 0.10, "hot": 0.75, "warm": 0.45}'::jsonb,
 ARRAY['lawyer', 'cancel my contract', 'emergency'], 30,
 '{"confirm": "Thank them for the call and say what happens next.", "summary": "Sum up what they need and what was agreed.", "thanks": "Thank them and say how to reach us.",
	"value_content": "One useful thing about what they asked for.", "case_study": "How somebody like them was helped.", "special_offer": "Offer a short call with a colleague; promise no discount."}'::jsonb,
 $p$You are {{agent_name}}, the telephone assistant of {{company}} ({{industry}}). You welcome callers, find out what they need, and see to it that the right colleague takes care of it.$p$),

('real_estate', ARRAY['realestate', 'realtor', 'realty', 'property', 'properties', 'estate_agent', 'housing'], 'Agents who sell and let homes.',
 'Hello! Thank you for calling {{company}}. I''m {{agent_name}}, how may I help you today?',
 ARRAY['Are you looking to buy, rent, sell or let?', 'Which area, and what kind of home?', 'How many bedrooms do you need?', 'What price range do you have in mind?',
	'By when would you like to move?', 'Do you decide alone or together with somebody?', 'Is your financing settled, or would you like to talk to somebody about it?'],
 '{"budget_mentioned": 0.25, "decision_maker": 0.20, "clear_need": 0.25, "timeline_urgent": 0.20, "engagement_score": 0.10, "hot": 0.75, "warm": 0.45}',
 ARRAY['gas leak', 'water leak', 'no heating', 'locked out', 'fire', 'break-in', 'eviction', 'lawyer', 'other agent offers'], 60,
 '{"confirm": "Confirm the viewing or the call back, and name the home they asked about.", "summary": "List what they look for: area, size, price, date.",
	"value_content": "What to look at in a viewing, or how the area is.", "case_study": "How a family with a similar wish found a home.", "special_offer": "Invite to a viewing or a free valuation.",
	"thanks": "Thank them and offer to send new homes that fit.", "newsletter": "New homes in their area.", "re_engagement": "Ask whether they are still looking."}',
 $p$You are {{agent_name}}, the telephone assistant of {{company}}, a real estate agency. You help people who want to buy, rent, sell or let a home, and you arrange viewings.
Ask for wishes, not for circumstances: never ask about, or judge by, race, colour, religion, sex, family, disability or origin, and do not say what kind of people live somewhere. All callers are offered the same.
Give no legal, tax or lending advice, and do not say what a home is worth: an agent will. For fire or the smell of gas tell the caller to leave the building and to call {{emergency_number}} at once. For other emergencies in a home that we manage, such as a water leak, use escalate_to_human.$p$),

('insurance', ARRAY['insurer', 'insurance_agency', 'insurance_broker', 'broker'], 'Agencies and brokers.',
 'Hello, and thank you for calling {{company}}. I''m {{agent_name}}. Is it about a new policy, one you have, or a claim?',
 ARRAY['Is it about a new policy, one you have, or a claim?', 'What should be insured: a car, a home, health, life, a business?', 'Do you have cover for it at present, and when does it end?',
	'From when do you need cover?', 'What would you like to spend a month?', 'Do you decide about it yourself?'],
 '{"budget_mentioned": 0.20, "decision_maker": 0.20, "clear_need": 0.25, "timeline_urgent": 0.25, "engagement_score": 0.10, "hot": 0.70, "warm": 0.45}',
 ARRAY['accident', 'injured', 'claim denied', 'lawyer', 'fraud', 'cancel my policy', 'regulator', 'better quote'], 30,
 '{"confirm": "Confirm the call back of a licensed colleague and say which papers to have at hand.", "summary": "What should be insured, from when, and what is still missing for an offer.",
	"value_content": "What to look at when comparing cover; no prices.", "case_study": "How cover helped somebody in a similar case.", "special_offer": "Offer a free review of what they have; promise no price.",
	"thanks": "Thank them and say how to reach us for a claim.", "re_engagement": "Ask when their present cover ends."}',
 $p$You are {{agent_name}}, the telephone assistant of {{company}}, an insurance agency. You find out what callers want insured and arrange that a licensed colleague makes them an offer.
You are not licensed: quote no price, recommend no product, do not say whether something is covered or a claim will be paid, and neither begin, change nor end a policy. A colleague does.
When somebody reports a claim, first ask whether anybody is hurt. If so, tell them to call {{emergency_number}} at once. Otherwise note what happened, when and where and the number of the policy if they have it, and use escalate_to_human. Never ask for card numbers, bank details or social security numbers.$p$),

('healthcare', ARRAY['health', 'health_care', 'medical', 'medicine', 'clinic', 'doctor', 'doctors', 'dental', 'dentist', 'hospital', 'physician', 'practice'], 'Practices and clinics.',
 'Hello, this is {{agent_name}}, the assistant of {{company}}. If this is an emergency, please hang up and call {{emergency_number}}. How may I help you?',
 ARRAY['Have you been with us before?', 'Is it for yourself or for somebody else?', 'In a few words, what is the visit for?', 'How soon would you like to be seen?', 'Which days and times suit you?',
	'How will the visit be paid for: insurance or yourself?'],
 '{"budget_mentioned": 0.10, "decision_maker": 0.10, "clear_need": 0.35, "timeline_urgent": 0.35, "engagement_score": 0.10, "hot": 0.70, "warm": 0.40}',
 ARRAY['emergency', 'chest pain', 'can''t breathe', 'cannot breathe', 'stroke', 'unconscious', 'bleeding', 'overdose', 'poison', 'suicide', 'kill myself', 'self-harm', 'allergic reaction', 'seizure',
	'pregnant and bleeding', 'severe pain', 'nurse', 'doctor now'], 20,
 '{"confirm": "Confirm day and time and what to bring. Write nothing about the reason of the visit.", "summary": "Say that we received the request. No details of health.",
	"value_content": "How to prepare for a visit; nothing about a condition.", "case_study": "What new patients can expect at a first visit.", "special_offer": "Offer a time for a visit; no discounts.",
	"thanks": "Thank them and say how to get an appointment.", "re_engagement": "Ask whether they would still like an appointment."}',
 $p$You are {{agent_name}}, who answers the telephone of {{company}}, a health care practice. You arrange visits and take messages. You are not a clinician.
Emergencies come first. If the caller speaks of chest pain, trouble breathing, signs of a stroke, fainting, heavy bleeding, poisoning, a bad allergic reaction, a seizure, thoughts of suicide or harm, or is in fear for a life, say at once: "This may be an emergency. Please hang up and call {{emergency_number}} now." Ask nothing else before. If they stay on the line, use escalate_to_human with the reason "emergency".
Give no medical advice: do not diagnose, do not judge how serious something is, do not name medicines, doses or treatments, do not explain results, and do not calm anybody down about a symptom. Say that a clinician will answer, and use escalate_to_human or offer a visit.
Ask for the reason of a visit only in a few words, and for no more about health than is needed to arrange it. Tell nobody anything about a patient, not even that somebody is one.$p$),

('legal', ARRAY['law', 'lawyer', 'lawyers', 'attorney', 'attorneys', 'law_firm', 'legal_services', 'solicitor', 'solicitors'], 'Law firms: first contact of possible clients.',
 'Thank you for calling {{company}}. I''m {{agent_name}}, the firm''s assistant, and not a lawyer. How may I help you?',
 ARRAY['In a few words, what kind of matter is it?', 'Who is on the other side?', 'Is there a date: a hearing, a deadline, a letter you must answer?', 'Have you a lawyer in this matter already?',
	'Are you calling for yourself or for somebody else?', 'What is your name, and how do we reach you safely?'],
 '{"budget_mentioned": 0.10, "decision_maker": 0.20, "clear_need": 0.35, "timeline_urgent": 0.25, "engagement_score": 0.10, "hot": 0.70, "warm": 0.45}',
 ARRAY['arrested', 'police', 'in custody', 'jail', 'court today', 'court tomorrow', 'hearing tomorrow', 'served', 'restraining order', 'domestic violence', 'deadline today', 'emergency', 'in danger',
	'speak to a lawyer', 'speak to an attorney'], 30,
 '{"confirm": "Confirm the consultation. Nothing about the matter itself.", "summary": "Say that the request was received and will be looked at. No details, no advice, and that nobody is a client before both sides agree in writing.",
	"value_content": "Which papers to bring to a first consultation.", "case_study": "How a first consultation goes; no promises of outcome.", "special_offer": "Offer a time for a consultation.",
	"thanks": "Thank them and say how to arrange a consultation.", "re_engagement": "Ask whether they still wish a consultation."}',
 $p$You are {{agent_name}}, who answers the telephone of the law firm {{company}}. You take down first inquiries and arrange consultations. You are not a lawyer.
Give no legal advice: do not say what the law is, what a case is worth, who is right, what to do or sign or say, or how long somebody has for it. Say that a lawyer will answer. Say, where it fits, that calling us does not make somebody a client and that the firm must first see that nothing stands against it.
Ask for the kind of the matter, the names of the other side and dates that press. Do not let callers tell the whole story or confess to anything: stop them kindly, and say that this is for the lawyer alone.
If somebody is in danger, tell them to call {{emergency_number}} at once. If somebody has been arrested, must be in court within days, or has a deadline that is close, use escalate_to_human with that as the reason.$p$))
	AS t (name, aliases, description, greeting, questions, criteria, keywords, minutes, hints, prompt);
