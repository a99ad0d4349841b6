-- Templates of messages: what is written to people on which occasion, with places for names and times. Each has a
-- built-in text; a tenant's own row of the same name and channel takes its place.

CREATE TABLE @extschema@.message_templates (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,      -- NULL: for every tenant
	name TEXT NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
	channel TEXT NOT NULL CHECK (channel IN ('whatsapp', 'sms', 'email')),
	language TEXT NOT NULL DEFAULT 'en' CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
	subject TEXT,                            -- of e-mail
	body TEXT NOT NULL CHECK (body ~ '[^[:space:]]' AND length(body) <= 20000),
	is_builtin BOOLEAN NOT NULL DEFAULT false,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT message_templates_key UNIQUE NULLS NOT DISTINCT (tenant_id, name, channel, language),
	CONSTRAINT message_templates_subject CHECK (subject IS NULL OR channel = 'email' AND length(subject) <= 255)
);
CREATE TRIGGER message_templates_touch BEFORE UPDATE ON @extschema@.message_templates
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch();

-- What a template may name, and what stands there when nothing is known of it.
CREATE FUNCTION @extschema@.va_template_places() RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN '{"first_name": "there", "last_name": "", "name": "there", "company": "us", "agent_name": "our team", "phone": "",
		"email": "", "title": "our appointment", "when": "the agreed time", "where": "", "link": ""}'::jsonb;

-- Puts values into the places {{so}}; a place without a value gets what va_template_places says. What empty places leave
-- behind goes too: blanks at the end of a line, lines without anything.
CREATE FUNCTION @extschema@.va_template_fill(p_text text, p_values jsonb) RETURNS text
	LANGUAGE sql STABLE
	RETURN btrim(regexp_replace(regexp_replace(@extschema@.va_expand(p_text,
			@extschema@.va_template_places() || jsonb_strip_nulls(coalesce(p_values, '{}'))),
		'[ \t]+(?=\n|$)', '', 'g'), '\n{3,}', E'\n\n', 'g'), E' \n');

CREATE FUNCTION @extschema@.va_check_template() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_placeholders(format('template "%s"', NEW.name), concat(NEW.subject, E'\n', NEW.body),
		ARRAY(SELECT k FROM jsonb_object_keys(@extschema@.va_template_places()) k ORDER BY k));
	RETURN NEW;
END
$$;
CREATE TRIGGER message_templates_check BEFORE INSERT OR UPDATE ON @extschema@.message_templates
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_template();

-- What is known of a lead, an appointment and the tenant, for the places. p_data: what the message carries itself
-- (notifications.template_data); texts in it win.
CREATE FUNCTION @extschema@.va_template_values(p_tenant uuid, p_lead uuid, p_data jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_appointment @extschema@.appointments;
	v_values jsonb;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead AND l.tenant_id = p_tenant;
	v_values := (SELECT jsonb_build_object('company', t.name, 'agent_name', coalesce(
			(SELECT h.name FROM @extschema@.human_agents h WHERE h.id = v_lead.assigned_to),
			(SELECT c.agent_name FROM @extschema@.tenant_voice_configs c WHERE c.tenant_id = p_tenant ORDER BY c.created_at DESC, c.id LIMIT 1)))
		FROM @extschema@.tenants t WHERE t.id = p_tenant)
		|| jsonb_build_object('first_name', @extschema@.va_filled(v_lead.first_name), 'last_name', @extschema@.va_filled(v_lead.last_name),
			'name', @extschema@.va_filled(concat_ws(' ', v_lead.first_name, v_lead.last_name)), 'email', v_lead.email, 'phone',
			(SELECT n.phone_number FROM @extschema@.phone_numbers n WHERE n.tenant_id = p_tenant AND n.is_active
			 ORDER BY n.phone_type <> 'voice', n.created_at, n.id LIMIT 1));
	IF p_data ->> 'appointment_id' ~ '^[0-9a-f-]{36}$' THEN
		SELECT * INTO v_appointment FROM @extschema@.appointments a
		WHERE a.id = (p_data ->> 'appointment_id')::uuid AND a.tenant_id = p_tenant;
		v_values := v_values || jsonb_strip_nulls(jsonb_build_object('title', v_appointment.title, 'where', v_appointment.location,
			'link', v_appointment.meeting_link, 'agent_name', v_appointment.agent_name,
			'when', to_char(v_appointment.scheduled_at AT TIME ZONE coalesce(v_appointment.timezone, 'UTC'), 'FMDay, DD FMMonth YYYY, HH24:MI')
				|| format(' (%s)', coalesce(v_appointment.timezone, 'UTC'))));
	END IF;
	RETURN v_values || coalesce((SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(p_data) e
		WHERE jsonb_typeof(e.value) = 'string' AND @extschema@.va_template_places() ? e.key), '{}');
END
$$;

-- The row that serves: the tenant's own before the built-in, the lead's language before its family before English.
CREATE FUNCTION @extschema@.va_template_find(p_tenant uuid, p_name text, p_channel text, p_language text) RETURNS @extschema@.message_templates
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT m FROM @extschema@.message_templates m
		WHERE m.name = p_name AND m.channel = p_channel AND (m.tenant_id = p_tenant OR m.tenant_id IS NULL)
		ORDER BY lower(m.language) = lower(p_language) DESC NULLS LAST,
			split_part(lower(m.language), '-', 1) = split_part(lower(p_language), '-', 1) DESC NULLS LAST,
			m.tenant_id IS NULL, m.language <> 'en', m.language LIMIT 1);
END
$$;

-- The language in which a lead is written to: what it said, else the tenant's.
CREATE FUNCTION @extschema@.va_lead_language(p_tenant uuid, p_lead uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce((SELECT @extschema@.va_filled(l.custom_fields ->> 'language') FROM @extschema@.leads l WHERE l.id = p_lead),
		(SELECT c.language FROM @extschema@.tenant_voice_configs c WHERE c.tenant_id = p_tenant ORDER BY c.created_at DESC, c.id LIMIT 1), 'en');
END
$$;

-- The message a template makes for a lead (NULL: for nobody in particular). data: texts for its places.
-- Errors: VA001, VA020, and VA005 where there is no such template.
CREATE FUNCTION @extschema@.va_template_render(tenant uuid, name text, channel text, lead uuid DEFAULT NULL, data jsonb DEFAULT '{}')
	RETURNS TABLE (subject text, body text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_template @extschema@.message_templates;
	v_values jsonb;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	IF lead IS NOT NULL AND (@extschema@.va_lead_row(lead)).tenant_id IS DISTINCT FROM tenant THEN
		RAISE EXCEPTION 'unknown lead %', lead USING ERRCODE = 'VA020';
	END IF;
	v_template := @extschema@.va_template_find(tenant, va_template_render.name, va_template_render.channel, @extschema@.va_lead_language(tenant, lead));
	IF v_template.id IS NULL THEN
		RAISE EXCEPTION 'there is no template "%" for the channel "%"', va_template_render.name, va_template_render.channel
			USING ERRCODE = 'VA005', HINT = 'The table message_templates lists them.';
	END IF;
	v_values := @extschema@.va_template_values(tenant, lead, data);
	RETURN QUERY SELECT @extschema@.va_template_fill(v_template.subject, v_values), @extschema@.va_template_fill(v_template.body, v_values);
END
$$;

-- ---- built-in texts -----------------------------------------------------------------------------

INSERT INTO @extschema@.message_templates (name, channel, subject, body, is_builtin)
SELECT t.name, c.channel, CASE c.channel WHEN 'email' THEN t.subject END,
	CASE c.channel WHEN 'email' THEN t.long ELSE t.short END, true
FROM (VALUES
	-- Hot leads.
	('confirm', 'Thank you for talking to us',
	 'Hi {{first_name}}, thank you for talking to {{company}}. We have noted what you need, and a colleague will call you shortly. Just reply here if another time suits you better.',
	 E'Hi {{first_name}},\n\nthank you for talking to {{company}}. We have noted what you need, and a colleague will call you shortly. Just reply to this message if another time suits you better.\n\n{{agent_name}}\n{{company}}'),
	('follow_up', 'Following up on our conversation',
	 'Hi {{first_name}}, {{company}} here. Do you have any questions left since we talked? Reply here, or call {{phone}}.',
	 E'Hi {{first_name}},\n\nit was good to talk to you. If any question came up since then, just reply to this message or call us: {{phone}}.\n\nWhat would be the best next step for you?\n\n{{agent_name}}\n{{company}}'),
	('check_in', 'A quick check-in',
	 'Hi {{first_name}}, {{agent_name}} from {{company}}. Is there anything we can still help you with? A short reply is enough.',
	 E'Hi {{first_name}},\n\nI wanted to ask whether there is anything we can still help you with. A short reply is enough.\n\n{{agent_name}}\n{{company}}'),
	('final_attempt', 'Shall we stay in touch?',
	 'Hi {{first_name}}, we have not managed to reach you. If you are still interested, reply here or call {{phone}}; otherwise we will not trouble you again about this. {{company}}',
	 E'Hi {{first_name}},\n\nwe have not managed to reach you. If you are still interested, reply to this message or call {{phone}}. Otherwise we will not trouble you again about this.\n\n{{agent_name}}\n{{company}}'),
	-- Warm leads.
	('summary', 'What we talked about',
	 'Hi {{first_name}}, thank you for your time. We will send you what we promised; reply here if anything is missing. {{company}}',
	 E'Hi {{first_name}},\n\nthank you for your time today. We have noted what matters to you and will get back to you with what we promised. If we have missed anything, just reply to this message.\n\n{{agent_name}}\n{{company}}'),
	('nurture', 'How can we help you further?',
	 'Hi {{first_name}}, {{agent_name}} from {{company}}. May we help you with the next step? Reply here or call {{phone}}.',
	 E'Hi {{first_name}},\n\nmay we help you with the next step? Reply to this message or call us: {{phone}}.\n\n{{agent_name}}\n{{company}}'),
	('value_content', 'Something that may be useful to you',
	 'Hi {{first_name}}, we have put together answers to what people in your situation ask us most. Reply and we will send them. {{company}}',
	 E'Hi {{first_name}},\n\npeople in your situation often ask us the same few questions. We have put together the answers and will gladly send them to you, or go through them with you on the phone: {{phone}}.\n\n{{agent_name}}\n{{company}}'),
	('case_study', 'How others have done it',
	 'Hi {{first_name}}, would you like to hear how a customer of ours in a similar situation went about it? Reply here. {{company}}',
	 E'Hi {{first_name}},\n\nwould you like to hear how a customer of ours in a similar situation went about it? Reply to this message and we will tell you.\n\n{{agent_name}}\n{{company}}'),
	('special_offer', 'An offer for you',
	 'Hi {{first_name}}, we would like to make you an offer that fits what you told us. Reply here or call {{phone}}. {{company}}',
	 E'Hi {{first_name}},\n\nwe would like to make you an offer that fits what you told us. Reply to this message or call {{phone}}, and we will go through it together.\n\n{{agent_name}}\n{{company}}'),
	-- Cold leads.
	('thanks', 'Thank you for your interest',
	 'Hi {{first_name}}, thank you for your interest in {{company}}. Whenever you have a question, reply here.',
	 E'Hi {{first_name}},\n\nthank you for your interest in {{company}}. Whenever you have a question, just reply to this message or call {{phone}}.\n\n{{agent_name}}\n{{company}}'),
	('newsletter', 'News from {{company}}',
	 'Hi {{first_name}}, there is news from {{company}}. Reply here if you would like to know more.',
	 E'Hi {{first_name}},\n\nthere is news from {{company}} that may interest you. Reply to this message if you would like to know more.\n\n{{agent_name}}\n{{company}}'),
	('re_engagement', 'Are you still interested?',
	 'Hi {{first_name}}, some time ago you asked {{company}} for information. Is it still of interest? Reply here.',
	 E'Hi {{first_name}},\n\nsome time ago you asked us for information. Is it still of interest to you? Then reply to this message, and we will take it up where we left off.\n\n{{agent_name}}\n{{company}}'),
	('survey_request', 'One question',
	 'Hi {{first_name}}, one question from {{company}}: what kept you from going further? Your reply helps us.',
	 E'Hi {{first_name}},\n\nmay we ask you one question: what kept you from going further? A short reply helps us to become better.\n\n{{agent_name}}\n{{company}}'),
	-- Appointments.
	('appointment_confirmation', 'Confirmed: {{title}}',
	 '{{company}}: your appointment is on {{when}}. {{where}} {{link}}',
	 E'Hi {{first_name}},\n\nyour appointment is confirmed: {{title}}, {{when}}.\n{{where}}\n{{link}}\n\nIf the time does not suit you any more, reply to this message or call {{phone}}.\n\n{{agent_name}}\n{{company}}'),
	('appointment_reminder_24h', 'Reminder: {{title}}',
	 '{{company}}: we remind you of your appointment on {{when}}. {{where}} {{link}}',
	 E'Hi {{first_name}},\n\nwe remind you of your appointment: {{title}}, {{when}}.\n{{where}}\n{{link}}\n\n{{agent_name}}\n{{company}}'),
	('appointment_reminder_1h', 'Soon: {{title}}',
	 '{{company}}: your appointment is in one hour, {{when}}. {{where}} {{link}}',
	 E'Hi {{first_name}},\n\nyour appointment is in one hour: {{title}}, {{when}}.\n{{where}}\n{{link}}\n\n{{agent_name}}\n{{company}}'),
	('appointment_feedback', 'How was our appointment?',
	 '{{company}}: thank you for your time. How was our appointment? Reply with a number from 1 (poor) to 5 (very good).',
	 E'Hi {{first_name}},\n\nthank you for your time. How was our appointment? Reply with a number from 1 (poor) to 5 (very good), and anything you would like to add.\n\n{{agent_name}}\n{{company}}'),
	('missed_call', 'Sorry we missed your call',
	 '{{company}}: sorry that we missed your call. We will call you back at our next opening; reply here if another time suits you better.',
	 E'Hi {{first_name}},\n\nsorry that we missed your call. We will call you back at our next opening. Reply to this message if another time suits you better.\n\n{{company}}')
	) AS t (name, subject, short, long)
CROSS JOIN (VALUES ('whatsapp'), ('sms'), ('email')) AS c (channel);

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.message_templates TO voiceagent_admin, voiceagent_agent;
CREATE POLICY common_rows ON @extschema@.message_templates FOR SELECT USING (tenant_id IS NULL);
GRANT EXECUTE ON FUNCTION @extschema@.va_template_render(uuid, text, text, uuid, jsonb) TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_template_places(), @extschema@.va_template_fill(text, jsonb) TO voiceagent_admin, voiceagent_agent;
