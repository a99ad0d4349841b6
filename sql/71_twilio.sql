-- Calls that we make: who is called, from which number, when, and what came of it. va_dial only decides and plans; the
-- dispatcher asks again at the moment of the attempt (va_prepare_twilio_call), since minutes or days may lie between.

CREATE FUNCTION @extschema@.va_twilio_meaning(code integer) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_twilio_meaning';
CREATE FUNCTION @extschema@.va_twilio_hint(code integer) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_twilio_hint';
CREATE FUNCTION @extschema@.va_twilio_kind(code integer) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_twilio_kind';

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
('twilio.call', 'places a call', 'va_prepare_twilio_call', 'va_settle_twilio_call', false, 'listing', 'live', 5, 20000, true),
('twilio.recording_delete', 'deletes a recording at Twilio', 'va_prepare_twilio_recording_delete',
 'va_settle_twilio_recording_delete', true, 'person', 'bulk', 10, 30000, true);
-- Twilio limits how many requests of an account it works on at once, and does not say how many.
INSERT INTO @extschema@.outbox_providers (provider, concurrency, is_builtin) VALUES ('twilio', 8, true);

-- A UUID of a text that comes from outside, or NULL.
CREATE FUNCTION @extschema@.va_uuid_try(text) RETURNS uuid
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN $1 ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN $1::uuid END;

-- ---- settings -----------------------------------------------------------------------------------

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, allowed, pattern, expected, expands, checked_by, default_value, unit, description) VALUES
('dial', '{object}', NULL, NULL, NULL, NULL, NULL, false, NULL, '{}', NULL, 'How the tenant''s outbound calls are made; the options of va_dial and of campaigns win.'),
('dial.caller_id', '{text}', NULL, NULL, NULL, NULL, NULL, false, 'va_check_setting_phone', NULL, NULL, 'The number to call from; unset: the one the person knows, else the nearest.'),
('dial.calls_per_second', '{number}', 0.01, 100, NULL, NULL, NULL, false, NULL, '1', 'calls', 'Calls begun each second; Twilio''s own default is 1.'),
('dial.concurrent', '{integer}', 0, 100000, NULL, NULL, NULL, false, NULL, NULL, 'calls', 'Outbound calls at once; unset: as many as max_concurrent_calls allows.'),
('dial.machine', '{text}', NULL, NULL, '{hang_up,message,continue,off}', NULL, NULL, false, NULL, '"hang_up"', NULL, 'What to do when an answering machine picks up: hang up, leave machine_message, go on talking, or do not look (off).'),
('dial.machine_message', '{text}', 0, 2000, NULL, NULL, NULL, true, NULL, NULL, NULL, 'What is left on an answering machine; without it, message hangs up.'),
('dial.machine_timeout_seconds', '{integer}', 3, 59, NULL, NULL, NULL, false, NULL, '30', 'seconds', 'How long Twilio may take to tell a machine from a person.'),
('dial.max_seconds', '{integer}', 10, 86400, NULL, NULL, NULL, false, NULL, NULL, 'seconds', 'Twilio ends the call then; unset: a minute after max_call_seconds.'),
('dial.record', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, NULL, 'false', NULL, 'Are calls recorded? Only those of people who have consented (consent_required).'),
('dial.timeout_seconds', '{integer}', 5, 600, NULL, NULL, NULL, false, NULL, '30', 'seconds', 'How long it rings.'),
('messaging_service_sid', '{text}', NULL, NULL, NULL, '^MG[0-9a-fA-F]{32}$', 'the SID of a messaging service, MG and 32 hexadecimal digits', false, NULL, NULL, NULL, 'The Twilio messaging service that sends SMS; unset: one of the tenant''s numbers does.'),
('twilio_api_key_sid', '{text}', NULL, NULL, NULL, '^SK[0-9a-fA-F]{32}$', 'the SID of an API key, SK and 32 hexadecimal digits', false, NULL, NULL, NULL, 'An API key for requests to Twilio, with the secret twilio_api_key_secret; unset: twilio_auth_token is used.'),
('twilio_listing_seconds', '{integer}', 0, 3600, NULL, NULL, NULL, false, NULL, '60', 'seconds', 'How long Twilio''s list may lag behind before something that is not in it counts as not there.');
INSERT INTO @extschema@.setting_definitions (name, types, open, checked_by, default_value, description) VALUES
('whatsapp_templates', '{object}', true, 'va_check_whatsapp_templates', '{}', 'Approved templates by a name of yours: {"reminder": {"sid": "HX…", "variables": ["first_name", "when"]}}; variables are the members of template_data for {{1}}, {{2}}, ….');
INSERT INTO @extschema@.setting_definitions (name, types, scope, minimum, maximum, unit, description) VALUES
('calls_per_second', '{number}', '{number}', 0.01, 100, 'calls', 'Outbound calls begun each second from this number.'),
('concurrent_calls', '{integer}', '{number}', 0, 100000, 'calls', 'Outbound calls at once from this number; then another one is taken.');

CREATE FUNCTION @extschema@.va_check_whatsapp_templates(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_template jsonb;
BEGIN
	FOR v_key, v_template IN SELECT key, value FROM jsonb_each(p_value) LOOP
		IF (jsonb_typeof(v_template) = 'object' AND v_template ->> 'sid' ~ '^HX[0-9a-fA-F]{32}$' AND v_template - ARRAY['sid', 'variables'] = '{}'
			AND coalesce(jsonb_typeof(v_template -> 'variables') = 'array', true)) IS NOT TRUE THEN
			PERFORM @extschema@.va_refuse_setting(p_name || '.' || v_key, 'must be a template',
				'For instance {"sid": "HX…", "variables": ["first_name", "when"]}.');
		END IF;
	END LOOP;
END
$$;

-- How a call is dialled: what was asked for, else the tenant's setting, else the platform's, else this.
CREATE FUNCTION @extschema@.va_dial_rules(p_call @extschema@.calls, p_known jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN '{"calls_per_second": 1, "timeout_seconds": 30, "machine": "hang_up", "machine_timeout_seconds": 30, "record": false}'::jsonb
		|| coalesce(nullif(@extschema@.va_setting('{}', 'dial'), 'null'), '{}')
		|| jsonb_strip_nulls(coalesce(nullif(p_known -> 'dial', 'null'), '{}')) || jsonb_strip_nulls(p_call.dial);
END
$$;

-- ---- requests -----------------------------------------------------------------------------------

-- A request to the tenant's account for the provider in C, or {"fail": …} where the account is not set up.
CREATE FUNCTION @extschema@.va_twilio_request(p_tenant uuid, p_method text, p_path text, p_form jsonb DEFAULT '{}', p_more jsonb DEFAULT '{}')
	RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb;
	v_status text;
	v_account text;
	v_key text;
	v_password text;
BEGIN
	SELECT t.settings, t.status INTO v_settings, v_status FROM @extschema@.tenants t WHERE t.id = p_tenant;
	v_account := @extschema@.va_setting_text(v_settings, 'twilio_account_sid', NULL);
	v_key := @extschema@.va_setting_text(v_settings, 'twilio_api_key_sid', NULL);
	v_password := @extschema@.va_secret_read(p_tenant, CASE WHEN v_key IS NULL THEN 'twilio_auth_token' ELSE 'twilio_api_key_secret' END);
	IF v_status IS DISTINCT FROM 'active' THEN
		RETURN '{"fail": {"code": "inactive_tenant", "text": "the tenant is not active", "hint": "Set the tenant''s status to active."}}';
	ELSIF v_account IS NULL OR v_password IS NULL THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'not_set_up', 'text', 'the tenant has no Twilio account',
			'hint', format('Set the setting twilio_account_sid and the secret %s (va_secret_set).',
						   CASE WHEN v_key IS NULL THEN 'twilio_auth_token' ELSE 'twilio_api_key_secret' END)));
	END IF;
	RETURN jsonb_build_object('base_url', coalesce(nullif(current_setting('voiceagent.twilio_base_url', true), ''), 'https://api.twilio.com'),
		'account_sid', v_account, 'user', coalesce(v_key, v_account), 'password', v_password,
		'method', p_method, 'path', p_path, 'form', p_form) || p_more;
END
$$;

-- How an attempt with unknown outcome is looked for in Twilio's list; see src/dispatcher/twilio.c. Twilio lists what it
-- was asked for only after a while: that long nothing is said to be absent. p_known: SIDs that belong to others.
CREATE FUNCTION @extschema@.va_twilio_listing(p_settings jsonb, p_list text, p_form jsonb, p_since timestamptz, p_known text[]) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_build_object('listing', jsonb_strip_nulls(jsonb_build_object('list', p_list, 'to', p_form -> 'To', 'from', p_form -> 'From',
		'body', CASE WHEN p_form ? 'ContentSid' THEN NULL ELSE p_form -> 'Body' END,
		'since', floor(extract(epoch FROM p_since)) - 5, 'age_s', floor(extract(epoch FROM clock_timestamp() - p_since)),
		'wait_s', @extschema@.va_setting_integer(p_settings, 'twilio_listing_seconds', 60), 'known', to_jsonb(coalesce(p_known, '{}')))));
END
$$;

-- ---- dialling -----------------------------------------------------------------------------------

-- A lead's row to ask the rules of contact about; of an address that is no lead's, one that holds just that.
CREATE FUNCTION @extschema@.va_contact_row(p_tenant uuid, p_lead uuid, p_address text) RETURNS @extschema@.leads
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead AND l.tenant_id = p_tenant;
	v_lead.tenant_id := p_tenant;
	v_lead.custom_fields := coalesce(v_lead.custom_fields, '{}');
	v_lead.phone := p_address; -- this number, whatever the lead's is by now
	RETURN v_lead;
END
$$;

-- Checks the options of va_dial: those of the setting "dial", and what belongs to the one call.
CREATE FUNCTION @extschema@.va_check_dial_options(p_options jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own text[] := ARRAY['prompt', 'greeting', 'language', 'voice_id', 'from', 'from_numbers', 'purpose', 'context'];
	v_key text;
	v_hint text;
BEGIN
	IF jsonb_typeof(p_options) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'the options of a call must be a JSON object' USING ERRCODE = 'VA005';
	END IF;
	FOREACH v_key IN ARRAY v_own LOOP
		IF jsonb_typeof(p_options -> v_key) NOT IN ('null', CASE v_key WHEN 'from_numbers' THEN 'array' ELSE 'string' END) THEN
			RAISE EXCEPTION 'option "%" of a call has the wrong type', v_key USING ERRCODE = 'VA005';
		END IF;
	END LOOP;
	PERFORM @extschema@.va_check_placeholders(format('option "%s"', k), p_options ->> k) FROM unnest(ARRAY['prompt', 'greeting', 'context']) k;
	PERFORM @extschema@.va_check_members('dial.', p_options - v_own, 'tenant');
EXCEPTION WHEN SQLSTATE 'VA009' THEN
	GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
	RAISE EXCEPTION '%', replace(SQLERRM, 'setting "dial.', 'option "') USING ERRCODE = 'VA005', HINT = v_hint;
END
$$;

-- Plans a call and returns calls.id. For a lead (then the number is the lead's unless given) or for any number of a
-- tenant, which becomes a lead. Somebody who may never be called is refused (VA050); at a wrong hour, or after
-- too many attempts, the call is planned for the next right one.
CREATE FUNCTION @extschema@.va_dial(tenant uuid DEFAULT NULL, "to" text DEFAULT NULL, lead uuid DEFAULT NULL, prompt text DEFAULT NULL,
	greeting text DEFAULT NULL, "from" text DEFAULT NULL, at timestamptz DEFAULT now(), campaign uuid DEFAULT NULL, options jsonb DEFAULT '{}')
	RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_tenant uuid := va_dial.tenant;
	v_to text := @extschema@.va_phone_normalize(@extschema@.va_filled(va_dial."to"));
	v_lead @extschema@.leads;
BEGIN
	IF va_dial.lead IS NOT NULL THEN
		v_lead := @extschema@.va_lead_row(va_dial.lead);
		v_tenant := coalesce(v_tenant, v_lead.tenant_id);
		v_to := coalesce(v_to, v_lead.phone);
		IF v_lead.tenant_id <> v_tenant THEN
			RAISE EXCEPTION 'unknown lead %', va_dial.lead USING ERRCODE = 'VA020';
		END IF;
	END IF;
	PERFORM @extschema@.va_assert_acts_for(v_tenant);
	IF v_to IS NULL THEN
		RAISE EXCEPTION 'there is no number to call' USING ERRCODE = 'VA005', HINT = 'Give a number, or a lead that has one.';
	ELSIF va_dial.at IS NULL OR NOT isfinite(va_dial.at) THEN
		RAISE EXCEPTION 'a call needs a time' USING ERRCODE = 'VA005';
	END IF;
	IF v_lead.id IS NULL THEN
		v_lead.id := @extschema@.va_lead_upsert(v_tenant, jsonb_build_object('phone', v_to), 'outbound_call');
	END IF;
	RETURN @extschema@.va_dial_plan(v_tenant, v_lead.id, v_to, va_dial.at, va_dial.campaign, coalesce(va_dial.options, '{}')
		|| jsonb_strip_nulls(jsonb_build_object('prompt', @extschema@.va_filled(va_dial.prompt), 'greeting', @extschema@.va_filled(va_dial.greeting),
												'from', @extschema@.va_filled(va_dial."from"))));
END
$$;

-- The part of va_dial that campaigns and other planners share; everything was looked up and checked.
CREATE FUNCTION @extschema@.va_dial_plan(p_tenant uuid, p_lead uuid, p_to text, p_at timestamptz, p_campaign uuid, p_options jsonb) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_may record;
	v_from text;
	v_call uuid;
BEGIN
	PERFORM @extschema@.va_check_dial_options(p_options);
	IF p_options ->> 'from' IS NOT NULL THEN
		v_from := @extschema@.va_phone_normalize(p_options ->> 'from');
	END IF;
	IF NOT EXISTS (SELECT FROM @extschema@.phone_numbers n WHERE n.tenant_id = p_tenant AND n.phone_type = 'voice' AND n.is_active
				   AND (v_from IS NULL OR n.phone_number = v_from)) THEN
		RAISE EXCEPTION '%', CASE WHEN v_from IS NULL THEN 'the tenant has no number to call from' ELSE v_from || ' is none of the tenant''s numbers for calls' END
			USING ERRCODE = 'VA051', HINT = 'The table phone_numbers holds them; phone_type is voice, and is_active true.';
	END IF;
	IF p_campaign IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.campaigns m WHERE m.id = p_campaign AND m.tenant_id = p_tenant) THEN
		RAISE EXCEPTION 'unknown campaign %', p_campaign USING ERRCODE = 'VA052';
	END IF;
	SELECT * INTO v_may FROM @extschema@.va_contact_verdict(@extschema@.va_contact_row(p_tenant, p_lead, p_to), 'call', greatest(p_at, now()));
	IF v_may.verdict = 'never' OR v_may.verdict = 'not_now' AND v_may.until IS NULL THEN
		RAISE EXCEPTION 'this number may not be called: %', v_may.why USING ERRCODE = 'VA050',
			HINT = 'va_may_contact(lead, ''call'') tells the same; va_opt_in and va_consent_record change it when the person says so.';
	END IF;
	INSERT INTO @extschema@.calls (tenant_id, lead_id, direction, from_number, to_number, status, campaign_id, dial)
	VALUES (p_tenant, p_lead, 'outbound', v_from, p_to, 'queued', p_campaign, p_options) RETURNING id INTO v_call;
	PERFORM @extschema@.va_outbox_add(p_tenant, 'twilio.call', v_call::text, '{}', coalesce(v_may.until, greatest(p_at, now())),
		CASE WHEN p_campaign IS NULL THEN 'live' ELSE 'bulk' END, p_lead, v_call);
	PERFORM @extschema@.va_emit(p_tenant, 'call_planned', v_call, p_lead,
		jsonb_build_object('at', coalesce(v_may.until, greatest(p_at, now())), 'why', v_may.why, 'campaign_id', p_campaign));
	RETURN v_call;
END
$$;

-- How many calls are on the line, those being dialled included: of a tenant, or of one of its numbers or campaigns. A call
-- whose end Twilio never told counts no longer than a call may last.
CREATE FUNCTION @extschema@.va_calls_on_line(p_tenant uuid, p_outbound boolean, p_number uuid DEFAULT NULL, p_campaign uuid DEFAULT NULL) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT count(*) FROM @extschema@.calls c
		WHERE c.tenant_id = p_tenant AND c.status IN ('queued', 'initiated', 'ringing', 'in-progress')
		  AND CASE c.direction WHEN 'outbound' THEN c.dialed_at > now() - interval '25 hours' OR c.started_at > now() - interval '25 hours'
				   ELSE NOT p_outbound AND c.started_at > now() - interval '25 hours' END
		  AND (p_number IS NULL OR c.phone_number_id = p_number) AND (p_campaign IS NULL OR c.campaign_id = p_campaign));
END
$$;

-- The number to call from: the one asked for or set; else the one this person knows already; else one of the same
-- country and area; else the one that is called from least. Numbers that are busy come last. NULL: there is none.
CREATE FUNCTION @extschema@.va_dial_number(p_call @extschema@.calls, p_rules jsonb) RETURNS @extschema@.phone_numbers
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_fixed text := @extschema@.va_phone_try(coalesce(p_call.dial ->> 'from', p_rules ->> 'caller_id'));
	v_list jsonb := CASE WHEN jsonb_typeof(p_call.dial -> 'from_numbers') = 'array' THEN nullif(p_call.dial -> 'from_numbers', '[]') END;
	v_number @extschema@.phone_numbers;
BEGIN
	SELECT n.* INTO v_number
	FROM @extschema@.phone_numbers n
	LEFT JOIN LATERAL (
		SELECT max(c.created_at) AS last FROM @extschema@.calls c
		WHERE c.tenant_id = p_call.tenant_id AND c.lead_id = p_call.lead_id AND c.phone_number_id = n.id) known ON true
	WHERE n.tenant_id = p_call.tenant_id AND n.phone_type = 'voice' AND n.is_active
	  AND (p_call.dial ->> 'from' IS NULL OR n.phone_number = v_fixed) AND (v_list IS NULL OR v_list ? n.phone_number)
	ORDER BY @extschema@.va_calls_on_line(n.tenant_id, true, n.id) >= coalesce(@extschema@.va_number(n.voice_config, 'concurrent_calls'), 1e9),
		n.phone_number = v_fixed DESC NULLS LAST, known.last DESC NULLS LAST,
		left(n.phone_number, 5) = left(p_call.to_number, 5) DESC, left(n.phone_number, 3) = left(p_call.to_number, 3) DESC,
		@extschema@.va_calls_on_line(n.tenant_id, true, n.id), n.created_at, n.id
	LIMIT 1;
	RETURN v_number;
END
$$;

-- Takes the next turn of a tenant (p_number '') or number at so many calls a second. NULL: another dispatcher is just
-- doing this.
CREATE FUNCTION @extschema@.va_dial_slot(p_tenant uuid, p_number text, p_rate double precision) RETURNS timestamptz
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_at timestamptz;
BEGIN
	SELECT greatest(s.next_at, now()) INTO v_at FROM @extschema@.dial_slots s
	WHERE s.tenant_id = p_tenant AND s.number = p_number FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		-- The first call ever: whoever else makes it is not waited for.
		IF NOT pg_try_advisory_xact_lock(hashtextextended('voiceagent slot ' || p_tenant || ' ' || p_number, 0)) THEN
			RETURN NULL;
		END IF;
		INSERT INTO @extschema@.dial_slots (tenant_id, number) VALUES (p_tenant, p_number) ON CONFLICT DO NOTHING;
		IF NOT FOUND THEN
			RETURN NULL;
		END IF;
		v_at := now();
	END IF;
	IF p_rate > 0 THEN
		UPDATE @extschema@.dial_slots s SET next_at = v_at + make_interval(secs => 1 / p_rate)
		WHERE s.tenant_id = p_tenant AND s.number = p_number;
	END IF;
	RETURN v_at;
END
$$;

-- Is the person on the line with us, or being called? Also claims them for this transaction: two dispatchers that
-- ask at once do not both hear no.
CREATE FUNCTION @extschema@.va_person_busy(p_call @extschema@.calls) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN NOT pg_try_advisory_xact_lock(hashtextextended('voiceagent person ' || p_call.tenant_id || ' ' || p_call.to_number, 0))
		OR EXISTS (SELECT FROM @extschema@.calls c WHERE c.tenant_id = p_call.tenant_id AND c.id <> p_call.id
			AND c.status IN ('queued', 'initiated', 'ringing', 'in-progress')
			AND (c.direction = 'outbound' AND c.to_number = p_call.to_number AND c.dialed_at IS NOT NULL
				 OR c.direction = 'inbound' AND c.from_number = p_call.to_number AND c.started_at > now() - interval '4 hours'));
END
$$;

-- May the call be made now, as far as the lines go? NULL: yes, and then its number is chosen. Otherwise {"defer", "why"}.
-- Whoever waits longest goes first: a younger call does not overtake one that the same cap holds back.
CREATE FUNCTION @extschema@.va_dial_gate(p_call @extschema@.calls, p_known jsonb, p_rules jsonb, OUT number @extschema@.phone_numbers, OUT wait jsonb)
	RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_slot timestamptz := @extschema@.va_dial_slot(p_call.tenant_id, '', 0); -- locks the tenant's row; the counts below hold
	v_number_slot timestamptz;
	v_rate double precision;
	v_why text;
BEGIN
	IF v_slot IS NULL THEN
		wait := jsonb_build_object('defer', now() + interval '0.2 seconds', 'why', 'another call of the tenant is being placed');
		RETURN;
	END IF;
	number := @extschema@.va_dial_number(p_call, p_rules);
	v_why := CASE
		WHEN @extschema@.va_calls_on_line(p_call.tenant_id, false) >= @extschema@.va_known_integer(p_known, 'max_concurrent_calls', 2147483647)
			THEN 'as many calls as the tenant may have'
		WHEN @extschema@.va_calls_on_line(p_call.tenant_id, true) >= coalesce(@extschema@.va_number(p_rules, 'concurrent'), 1e9)
			THEN 'as many calls as the setting dial allows'
		WHEN @extschema@.va_calls_on_line(p_call.tenant_id, true, (number).id) >= coalesce(@extschema@.va_number((number).voice_config, 'concurrent_calls'), 1e9)
			THEN 'as many calls as the number may have'
		WHEN p_call.dial_slot_at IS NULL AND EXISTS (SELECT FROM @extschema@.calls c WHERE c.tenant_id = p_call.tenant_id AND c.waiting_since IS NOT NULL AND c.status = 'queued'
			AND (c.created_at, c.id) < (p_call.created_at, p_call.id) AND c.waiting_since > now() - interval '10 minutes')
			THEN 'others wait longer' END;
	IF v_why IS NOT NULL THEN
		UPDATE @extschema@.calls c SET waiting_since = coalesce(c.waiting_since, now()), dial_slot_at = NULL WHERE c.id = p_call.id;
		wait := jsonb_build_object('defer', now() + interval '10 seconds', 'why', v_why);
		RETURN;
	END IF;
	IF p_call.dial_slot_at IS NOT NULL THEN -- its turn was given out before, and has come
		RETURN;
	END IF;
	v_slot := @extschema@.va_dial_slot(p_call.tenant_id, '', @extschema@.va_number(p_rules, 'calls_per_second'));
	v_rate := @extschema@.va_number((number).voice_config, 'calls_per_second');
	IF v_rate IS NOT NULL THEN
		v_number_slot := @extschema@.va_dial_slot(p_call.tenant_id, (number).phone_number, v_rate);
	END IF;
	v_slot := greatest(v_slot, v_number_slot);
	IF v_slot > now() THEN
		UPDATE @extschema@.calls c SET dial_slot_at = v_slot, waiting_since = NULL WHERE c.id = p_call.id;
		wait := jsonb_build_object('defer', v_slot, 'why', 'so many calls a second');
	END IF;
END
$$;

-- Our addresses carry the call: Twilio's request tells which call it is about even when we never heard its SID.
CREATE FUNCTION @extschema@.va_call_url(p_name text, p_call uuid, p_more text DEFAULT '') RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_webhook_url(p_name) || '?call=' || p_call || p_more;
END
$$;

CREATE FUNCTION @extschema@.va_call_form(p_call @extschema@.calls, p_from text, p_rules jsonb, p_record boolean, p_known jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_machine text := p_rules ->> 'machine';
BEGIN
	RETURN jsonb_build_object('To', p_call.to_number, 'From', p_from,
		'Url', @extschema@.va_call_url('answer', p_call.id, '#rc=5&rp=ct,rt,5xx'), 'Method', 'POST',
		'FallbackUrl', @extschema@.va_call_url('fallback', p_call.id), 'FallbackMethod', 'POST',
		'StatusCallback', @extschema@.va_call_url('status', p_call.id, '#rc=5&rp=all'), 'StatusCallbackMethod', 'POST',
		'StatusCallbackEvent', '["initiated", "ringing", "answered", "completed"]'::jsonb,
		'Timeout', (p_rules ->> 'timeout_seconds')::numeric::integer,
		'TimeLimit', coalesce((p_rules ->> 'max_seconds')::numeric::integer, greatest(@extschema@.va_known_integer(p_known, 'max_call_seconds', 1800), 10) + 60))
	|| CASE WHEN v_machine = 'off' THEN '{}' ELSE jsonb_build_object(
		-- To leave a message one must know when the greeting is over.
		'MachineDetection', CASE v_machine WHEN 'message' THEN 'DetectMessageEnd' ELSE 'Enable' END, 'AsyncAmd', 'true',
		'MachineDetectionTimeout', (p_rules ->> 'machine_timeout_seconds')::numeric::integer,
		'AsyncAmdStatusCallback', @extschema@.va_call_url('amd', p_call.id), 'AsyncAmdStatusCallbackMethod', 'POST') END
	|| CASE WHEN p_record THEN jsonb_build_object('Record', 'true', 'RecordingChannels', 'dual',
		'RecordingStatusCallback', @extschema@.va_call_url('recording', p_call.id), 'RecordingStatusCallbackEvent', 'completed absent') ELSE '{}' END;
END
$$;

-- The last word before the telephone rings, in the transaction that records the attempt.
CREATE FUNCTION @extschema@.va_prepare_twilio_call(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_changed @extschema@.calls;
	v_known jsonb;
	v_rules jsonb;
	v_request jsonb;
	v_may record;
	v_gate record;
	v_record boolean;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND AND EXISTS (SELECT FROM @extschema@.calls c WHERE c.id = o.call_id) THEN
		RETURN jsonb_build_object('defer', now() + interval '1 second', 'why', 'the call is being changed');
	END IF;
	SELECT @extschema@.va_settings(t.settings) INTO v_known FROM @extschema@.tenants t WHERE t.id = o.tenant_id;
	v_rules := @extschema@.va_dial_rules(v_call, v_known);
	v_request := @extschema@.va_twilio_request(o.tenant_id, 'POST', 'Calls.json');
	IF v_request ? 'fail' THEN
		RETURN v_request;
	ELSIF o.doubtful_since IS NOT NULL THEN -- what became of the attempt?
		RETURN v_request || @extschema@.va_twilio_listing(v_known, 'calls',
			jsonb_build_object('To', v_call.to_number, 'From', v_call.from_number), coalesce(v_call.dialed_at, o.created_at),
			ARRAY(SELECT c.twilio_call_sid::text FROM @extschema@.calls c WHERE c.tenant_id = o.tenant_id AND c.to_number = v_call.to_number
				  AND c.created_at > o.created_at - interval '2 days' AND c.twilio_call_sid IS NOT NULL));
	END IF;
	-- An attempt that came to nothing is none; a call that has failed is tried again when somebody says so.
	UPDATE @extschema@.calls c SET dialed_at = NULL, ended_at = NULL, status = 'queued'
	WHERE c.id = v_call.id AND c.twilio_call_sid IS NULL AND c.end_requested_at IS NULL
	  AND (c.status = 'failed' OR c.status = 'queued' AND c.dialed_at IS NOT NULL) RETURNING * INTO v_changed;
	IF FOUND THEN
		v_call := v_changed;
	END IF;
	IF v_call.id IS NULL OR v_call.to_number IS NULL THEN
		RETURN '{"skip": "the call was deleted"}';
	ELSIF @extschema@.va_call_over(v_call) OR v_call.end_requested_at IS NOT NULL THEN
		RETURN '{"skip": "the call was cancelled"}';
	ELSIF v_call.twilio_call_sid IS NOT NULL THEN
		RETURN '{"skip": "the call is on the line already"}';
	END IF;
	SELECT * INTO v_may FROM @extschema@.va_contact_verdict(@extschema@.va_contact_row(o.tenant_id, v_call.lead_id, v_call.to_number), 'call', now());
	IF v_may.verdict <> 'yes' THEN
		UPDATE @extschema@.calls c SET waiting_since = NULL, dial_slot_at = NULL WHERE c.id = v_call.id;
		IF v_may.verdict = 'not_now' AND v_may.until IS NOT NULL THEN
			RETURN jsonb_build_object('defer', v_may.until, 'why', v_may.why);
		END IF;
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'may_not_contact', 'text', 'this number may not be called: ' || v_may.why,
			'hint', 'va_may_contact(lead, ''call'') tells the same.'));
	ELSIF @extschema@.va_campaign_word(v_call.campaign_id) = 'drop' THEN
		RETURN '{"skip": "the campaign has ended"}';
	ELSIF @extschema@.va_campaign_word(v_call.campaign_id) = 'wait' THEN
		RETURN jsonb_build_object('defer', now() + interval '30 seconds', 'why', 'the campaign is paused');
	ELSIF @extschema@.va_person_busy(v_call) THEN
		RETURN jsonb_build_object('defer', now() + interval '15 seconds', 'why', 'the person is on the telephone with us');
	END IF;
	SELECT * INTO v_gate FROM @extschema@.va_dial_gate(v_call, v_known, v_rules);
	IF v_gate.wait IS NOT NULL THEN
		RETURN v_gate.wait;
	ELSIF (v_gate.number).id IS NULL THEN
		RETURN '{"fail": {"code": "no_number", "text": "the tenant has no number to call from", "hint": "The table phone_numbers holds them; phone_type is voice, and is_active true."}}';
	END IF;
	v_record := (v_rules ->> 'record')::boolean AND (SELECT r.verdict = 'yes' FROM @extschema@.va_contact_verdict(
		@extschema@.va_contact_row(o.tenant_id, v_call.lead_id, v_call.to_number), 'recording', now()) r);
	UPDATE @extschema@.calls c SET dialed_at = clock_timestamp(), waiting_since = NULL, dial_slot_at = NULL,
		from_number = (v_gate.number).phone_number, phone_number_id = (v_gate.number).id WHERE c.id = v_call.id;
	RETURN v_request || jsonb_build_object('form', @extschema@.va_call_form(v_call, (v_gate.number).phone_number, v_rules, v_record, v_known))
		|| @extschema@.va_twilio_listing(v_known, 'calls', jsonb_build_object('To', v_call.to_number, 'From', (v_gate.number).phone_number),
										 clock_timestamp(), '{}');
EXCEPTION WHEN unique_violation THEN -- the index saw what va_person_busy could not
	RETURN jsonb_build_object('defer', now() + interval '15 seconds', 'why', 'the person is on the telephone with us');
END
$$;

-- The code, the words and the advice of a failure, for a row of calls or notifications.
CREATE FUNCTION @extschema@.va_call_failed(p_call uuid, p_status text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.calls c SET error_code = left(p_result ->> 'code', 50), error_message = left(p_result ->> 'text', 1000),
		error_hint = left(p_result ->> 'hint', 1000), waiting_since = NULL, dial_slot_at = NULL WHERE c.id = p_call;
	PERFORM @extschema@.va_call_set_status(p_call, p_status);
END
$$;

CREATE FUNCTION @extschema@.va_settle_twilio_call(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	CASE
	WHEN p_outcome = 'done' THEN
		PERFORM @extschema@.va_call_adopt(v_call, p_result ->> 'sid');
		PERFORM @extschema@.va_call_set_status(v_call.id, p_result ->> 'status');
	WHEN p_outcome = 'unknown' AND p_result -> 'final' IS NULL THEN
		UPDATE @extschema@.calls c SET error_code = 'unknown', error_message = 'it is not certain whether Twilio has placed the call',
			error_hint = 'Twilio is asked; nobody is called a second time meanwhile.' WHERE c.id = v_call.id;
	WHEN p_outcome = 'skipped' THEN
		IF NOT @extschema@.va_call_over(v_call) AND v_call.twilio_call_sid IS NULL THEN
			PERFORM @extschema@.va_call_failed(v_call.id, 'canceled', jsonb_build_object('code', 'skipped', 'text', p_result ->> 'why'));
		END IF;
	ELSE
		IF v_call.twilio_call_sid IS NULL THEN -- else the call has told us itself that it exists
			PERFORM @extschema@.va_call_failed(v_call.id, 'failed', p_result);
		END IF;
	END CASE;
END
$$;

-- The call's SID has become known, by Twilio's answer or by a webhook that carries our key. A call that was to be ended
-- meanwhile is ended now.
CREATE FUNCTION @extschema@.va_call_adopt(p_call @extschema@.calls, p_sid text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.calls c SET twilio_call_sid = left(p_sid, 50), dialed_at = coalesce(c.dialed_at, now()),
		error_code = NULL, error_message = NULL, error_hint = NULL
	WHERE c.id = p_call.id AND c.twilio_call_sid IS NULL AND @extschema@.va_filled(p_sid) IS NOT NULL;
	IF FOUND AND p_call.end_requested_at IS NOT NULL THEN
		PERFORM @extschema@.va_outbox_add(p_call.tenant_id, 'twilio.hangup', 'hangup:' || p_call.id, '{}', lane => 'live', call => p_call.id);
	END IF;
END
$$;

-- The end of a call lets the next one go: the one that waits longest, and one that waits for this person.
CREATE FUNCTION @extschema@.va_dial_wake() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_person text := CASE NEW.direction WHEN 'outbound' THEN NEW.to_number ELSE NEW.from_number END;
	v_next uuid;
BEGIN
	FOR v_next IN
		(SELECT w.id FROM @extschema@.calls w WHERE w.tenant_id = NEW.tenant_id AND w.waiting_since IS NOT NULL AND w.status = 'queued'
		 ORDER BY w.created_at, w.id LIMIT 1)
		UNION
		(SELECT w.id FROM @extschema@.calls w WHERE w.tenant_id = NEW.tenant_id AND w.direction = 'outbound'
		 AND w.to_number = v_person AND w.status = 'queued' AND w.dialed_at IS NULL ORDER BY w.created_at, w.id LIMIT 1)
	LOOP
		UPDATE @extschema@.outbox b SET run_at = now() WHERE b.id = (
			SELECT x.id FROM @extschema@.outbox x
			WHERE x.tenant_id = NEW.tenant_id AND x.kind = 'twilio.call' AND x.attempt_key = v_next::text AND x.state = 'later'
			  -- One that waits for tomorrow morning does not wait for this.
			  AND x.run_at BETWEEN now() AND now() + interval '1 minute' FOR UPDATE SKIP LOCKED);
		IF FOUND THEN
			PERFORM @extschema@.va_outbox_wake();
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_wake_next AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status IN ('completed', 'busy', 'failed', 'no-answer', 'canceled') AND OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_dial_wake();

-- ---- recordings ---------------------------------------------------------------------------------

-- Deletes the call's recording at Twilio. False when there is none.
CREATE FUNCTION @extschema@.va_recording_delete(call uuid) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(va_recording_delete.call);
BEGIN
	RETURN @extschema@.va_recording_forget(v_call.tenant_id, v_call.id, v_call.recording_sid);
END
$$;

-- The same for those that have decided already (erasure, retention): the call's row may have lost the SID.
CREATE FUNCTION @extschema@.va_recording_forget(p_tenant uuid, p_call uuid, p_sid text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(p_sid, '') !~ '^RE[0-9a-fA-F]{32}$' THEN
		RETURN false;
	END IF;
	PERFORM @extschema@.va_outbox_add(p_tenant, 'twilio.recording_delete', p_sid, jsonb_build_object('sid', p_sid), call => p_call);
	RETURN true;
END
$$;

CREATE FUNCTION @extschema@.va_prepare_twilio_recording_delete(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_twilio_request(o.tenant_id, 'DELETE', format('Recordings/%s.json', o.payload ->> 'sid'), '{}', '{"gone_is_done": true}');
END
$$;

CREATE FUNCTION @extschema@.va_settle_twilio_recording_delete(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_outcome = 'done' THEN
		UPDATE @extschema@.calls c SET recording_url = NULL, recording_sid = NULL
		WHERE c.id = o.call_id AND c.recording_sid = o.payload ->> 'sid';
		PERFORM @extschema@.va_emit(o.tenant_id, 'recording_deleted', o.call_id, NULL, jsonb_build_object('recording_sid', o.payload ->> 'sid'));
	END IF;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_dial(uuid, text, uuid, text, text, text, timestamptz, uuid, jsonb),
	@extschema@.va_recording_delete(uuid), @extschema@.va_twilio_meaning(integer), @extschema@.va_twilio_hint(integer),
	@extschema@.va_twilio_kind(integer) TO voiceagent_admin, voiceagent_agent;
GRANT SELECT ON @extschema@.dial_slots TO voiceagent_admin;
