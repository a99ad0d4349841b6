-- Compliance: whom we may contact, by which channel, and when; what a person has allowed and forbidden, with proof;
-- erasing a person, handing over what is stored, and forgetting in time.

-- Addresses that must not be contacted. The digest finds them; the address itself is forgotten when the person
-- is erased, and the wish to be left alone is kept all the same. tenant_id NULL: for every tenant.
CREATE TABLE @extschema@.do_not_contact (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	address_hash BYTEA NOT NULL CHECK (length(address_hash) = 32),
	address TEXT,                            -- E.164 or lower-case e-mail address; NULL once erased
	channel TEXT NOT NULL DEFAULT 'all' CHECK (channel IN ('all', 'call', 'sms', 'whatsapp', 'email', 'recording')),
	how TEXT,                                -- 'sms STOP', 'told the agent', 'national list', ...
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT do_not_contact_key UNIQUE NULLS NOT DISTINCT (tenant_id, address_hash, channel)
);
CREATE INDEX idx_do_not_contact_hash ON @extschema@.do_not_contact (address_hash);

-- What people have said, in order; the newest row of an address and channel counts. Nothing here is changed.
CREATE TABLE @extschema@.consents (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id) ON DELETE SET NULL,
	address TEXT NOT NULL,
	channel TEXT NOT NULL CHECK (channel IN ('all', 'call', 'sms', 'whatsapp', 'email', 'recording')),
	granted BOOLEAN NOT NULL,
	what TEXT,                               -- the words that were agreed to
	how TEXT NOT NULL,                       -- web form, spoken, written, keyword, ...
	source TEXT,                             -- where to find it: an address, a call, a document
	proof JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(proof) = 'object'),
	at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp() -- two words of one transaction have an order
);
CREATE INDEX idx_consents_address ON @extschema@.consents (tenant_id, address, channel, at DESC, created_at DESC);
CREATE INDEX idx_consents_lead ON @extschema@.consents (lead_id);

-- Each try to reach a lead. A view and no table: calls and messages are the truth, and a second book of them could
-- only be wrong. A call that waits to be dialled is none yet.
CREATE VIEW @extschema@.contact_attempts WITH (security_invoker = true) AS
SELECT c.tenant_id, c.lead_id, 'call'::text AS channel, coalesce(c.started_at, c.dialed_at, c.created_at) AS at, c.status::text AS status, c.id AS source_id
FROM @extschema@.calls c WHERE c.direction = 'outbound' AND c.lead_id IS NOT NULL AND (c.dialed_at IS NOT NULL OR c.status NOT IN ('queued', 'canceled'))
UNION ALL
SELECT n.tenant_id, n.lead_id, n.channel::text, coalesce(n.sent_at, n.scheduled_for, n.created_at), n.status::text, n.id
FROM @extschema@.notifications n
WHERE n.direction = 'outbound' AND n.lead_id IS NOT NULL AND n.status NOT IN ('pending', 'cancelled', 'received');

-- ---- addresses, channels, zones -----------------------------------------------------------------

-- The word for a channel that counts here; NULL for one that reaches nobody outside.
CREATE FUNCTION @extschema@.va_contact_channel(p_channel text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	CASE lower(p_channel)
		WHEN 'call', 'voice', 'phone', 'ai_call', 'human_call' THEN RETURN 'call';
		WHEN 'sms', 'whatsapp', 'email', 'recording', 'all' THEN RETURN lower(p_channel);
		WHEN 'internal' THEN RETURN NULL;
		ELSE RAISE EXCEPTION 'unknown channel "%"', coalesce(p_channel, 'NULL')
			USING ERRCODE = 'VA005', HINT = 'Channels are call, sms, whatsapp, email, recording and internal.';
	END CASE;
END
$$;

-- The same for what a person can allow or forbid.
CREATE FUNCTION @extschema@.va_consent_channel(p_channel text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_channel text := @extschema@.va_contact_channel(p_channel);
BEGIN
	IF v_channel IS NULL THEN
		RAISE EXCEPTION 'channel "%" reaches nobody outside', p_channel USING ERRCODE = 'VA005';
	END IF;
	RETURN v_channel;
END
$$;

-- As the tables hold it: a number in E.164 or an address in lower case.
CREATE FUNCTION @extschema@.va_contact_address(p_address text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_address LIKE '%@%' THEN
		RETURN lower(btrim(p_address));
	ELSIF @extschema@.va_filled(p_address) IS NULL THEN
		RAISE EXCEPTION 'a number or an e-mail address is needed' USING ERRCODE = 'VA005';
	END IF;
	RETURN @extschema@.va_phone_normalize(p_address);
END
$$;

CREATE FUNCTION @extschema@.va_address_hash(p_address text) RETURNS bytea
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN sha256(convert_to(p_address, 'UTF8'));

-- Where a lead's clock is: what they said, what their number says, where the tenant is.
CREATE FUNCTION @extschema@.va_lead_zone(p_lead @extschema@.leads) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_told text := @extschema@.va_filled(p_lead.custom_fields ->> 'timezone');
	v_number text := @extschema@.va_phone_zone(p_lead.phone);
BEGIN
	RETURN CASE WHEN @extschema@.va_zone_known(v_told) THEN v_told
				WHEN @extschema@.va_zone_known(v_number) THEN v_number
				ELSE coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id), 'UTC') END;
END
$$;

-- ---- may we? ------------------------------------------------------------------------------------

-- The newest word of a person, on the channel or on all; NULL: none.
CREATE FUNCTION @extschema@.va_consent_of(p_tenant uuid, p_address text, p_channel text) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT c.granted FROM @extschema@.consents c
		WHERE c.tenant_id = p_tenant AND c.address = p_address AND c.channel IN (p_channel, 'all')
		ORDER BY c.at DESC, c.created_at DESC LIMIT 1);
END
$$;

-- Why never, or NULL.
CREATE FUNCTION @extschema@.va_contact_forbidden(p_lead @extschema@.leads, p_channel text, p_address text, p_settings jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_required jsonb := coalesce(@extschema@.va_setting(p_settings, 'consent_required'), '["recording"]');
	v_granted boolean;
BEGIN
	IF p_address IS NULL THEN
		RETURN CASE p_channel WHEN 'email' THEN 'no e-mail address' ELSE 'no telephone number' END;
	ELSIF EXISTS (SELECT FROM @extschema@.do_not_contact d WHERE d.address_hash = @extschema@.va_address_hash(p_address)
				  AND (d.tenant_id = p_lead.tenant_id OR d.tenant_id IS NULL) AND d.channel IN (p_channel, 'all')) THEN
		RETURN 'on the do-not-contact list';
	END IF;
	v_granted := @extschema@.va_consent_of(p_lead.tenant_id, p_address, p_channel);
	IF v_granted IS FALSE THEN
		RETURN 'consent withdrawn';
	ELSIF v_granted IS NULL AND v_required ? p_channel THEN
		RETURN 'no consent';
	END IF;
	RETURN NULL;
END
$$;

-- How often a channel may be tried in 24 hours and in seven days; NULL: as often as one likes.
CREATE FUNCTION @extschema@.va_contact_limit(p_settings jsonb, p_channel text, p_window text) RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limits jsonb := '{"call": {"day": 3, "week": 7}, "sms": {"day": 5, "week": 15}, "whatsapp": {"day": 5, "week": 20}, "email": {"day": 5, "week": 15}}'::jsonb
		-> p_channel || coalesce(nullif(@extschema@.va_setting(p_settings, 'contact_limits') -> p_channel, 'null'), '{}');
BEGIN
	RETURN @extschema@.va_number(v_limits, p_window)::integer;
END
$$;

-- A time as the rules of core/cadence have it: microseconds since 1970.
CREATE FUNCTION @extschema@.va_microseconds(timestamptz) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (extract(epoch FROM $1) * 1000000)::bigint;

-- When a channel has been tried as often as one may, from p_at on, as spans [[from, to], …]: from an attempt that fills a
-- limit until the oldest one that counts with it is a window ago. p_except: an attempt that is made again, and does not
-- count against itself.
CREATE FUNCTION @extschema@.va_contact_spent(p_lead uuid, p_channel text, p_settings jsonb, p_at timestamptz, p_except uuid DEFAULT NULL)
	RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_day integer := nullif(@extschema@.va_contact_limit(p_settings, p_channel, 'day'), 0);
	v_week integer := nullif(@extschema@.va_contact_limit(p_settings, p_channel, 'week'), 0);
BEGIN
	RETURN (
		WITH attempts AS (
			SELECT a.at, lag(a.at, v_day - 1) OVER o AS day_before, lag(a.at, v_week - 1) OVER o AS week_before
			FROM @extschema@.contact_attempts a
			WHERE a.lead_id = p_lead AND a.channel = p_channel AND a.at > p_at - interval '168 hours' AND isfinite(a.at)
			  AND a.source_id IS DISTINCT FROM p_except
			WINDOW o AS (ORDER BY a.at)),
		spans AS (
			SELECT at AS from_at, day_before + interval '24 hours' AS to_at FROM attempts
			UNION ALL SELECT at, week_before + interval '168 hours' FROM attempts)
		SELECT jsonb_agg(jsonb_build_array(@extschema@.va_microseconds(from_at), @extschema@.va_microseconds(to_at)) ORDER BY from_at, to_at)
		FROM spans WHERE to_at > from_at AND to_at > p_at);
END
$$;

-- When the lead was in touch, from p_at on, and for an hour after: an answer disturbs nobody. A call whose end
-- nobody told counts for four hours.
CREATE FUNCTION @extschema@.va_contact_touch(p_lead uuid, p_at timestamptz) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (
		SELECT jsonb_agg(jsonb_build_array(@extschema@.va_microseconds(t.from_at), @extschema@.va_microseconds(t.to_at)) ORDER BY t.from_at, t.to_at)
		FROM (SELECT c.started_at AS from_at, coalesce(c.ended_at,
				CASE WHEN c.status IN ('ringing', 'in-progress') THEN c.started_at + interval '4 hours' END) + interval '1 hour' AS to_at
			  FROM @extschema@.calls c WHERE c.lead_id = p_lead AND c.direction = 'inbound'
			  UNION ALL
			  SELECT n.created_at, n.created_at + interval '1 hour' FROM @extschema@.notifications n
			  WHERE n.lead_id = p_lead AND n.direction = 'inbound') t
		WHERE t.to_at > p_at AND isfinite(t.from_at) AND isfinite(t.to_at));
END
$$;

-- The channels of p_channels that may never be used for a lead, and why: {"sms": "consent withdrawn", …}.
CREATE FUNCTION @extschema@.va_contact_never(p_lead @extschema@.leads, p_channels text[], p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_given text;
	v_channel text;
	v_why text;
	v_never jsonb := '{}';
BEGIN
	FOREACH v_given IN ARRAY p_channels LOOP
		v_channel := @extschema@.va_contact_channel(v_given);
		CONTINUE WHEN v_channel IS NULL;
		v_why := @extschema@.va_contact_forbidden(p_lead, v_channel,
			CASE v_channel WHEN 'email' THEN lower(@extschema@.va_filled(p_lead.email)) ELSE p_lead.phone END, p_settings);
		IF v_why IS NULL AND 0 IN (@extschema@.va_contact_limit(p_settings, v_channel, 'day'), @extschema@.va_contact_limit(p_settings, v_channel, 'week')) THEN
			v_why := 'the tenant does not use this channel';
		END IF;
		IF v_why IS NOT NULL THEN
			v_never := v_never || jsonb_build_object(v_given, v_why);
		END IF;
	END LOOP;
	RETURN v_never;
END
$$;

-- Everything that decides when a lead may be contacted by these channels of core/cadence from p_at on, as
-- va_cadence_allowed and va_cadence_replan take it (see src/pg/lead_plan.c). There is no other rule of contact.
CREATE FUNCTION @extschema@.va_contact_rules(p_lead @extschema@.leads, p_channels text[], p_at timestamptz, p_except uuid DEFAULT NULL)
	RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_contact jsonb;
	v_week integer[];
	v_dates integer[];
	v_rules jsonb;
BEGIN
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id;
	v_contact := coalesce(@extschema@.va_setting(v_tenant.settings, 'contact_hours'), '{"open": "09:00", "close": "20:00"}');
	v_rules := jsonb_build_object(
		'lead_zone', @extschema@.va_lead_zone(p_lead), 'tenant_zone', coalesce(v_tenant.timezone, 'UTC'),
		'gap_s', @extschema@.va_setting_integer(v_tenant.settings, 'follow_up_gap_minutes', 60) * 60,
		'contact', (@extschema@.va_opening_triples(0, jsonb_build_array(jsonb_build_array(v_contact -> 'open', v_contact -> 'close'))))[2:3],
		'never', @extschema@.va_contact_never(p_lead, p_channels, v_tenant.settings),
		'touch', coalesce(@extschema@.va_contact_touch(p_lead.id, p_at), '[]'),
		'spent', (SELECT coalesce(jsonb_object_agg(c.name, c.spans) FILTER (WHERE c.spans IS NOT NULL), '{}')
				  FROM (SELECT x AS name, @extschema@.va_contact_spent(p_lead.id, @extschema@.va_contact_channel(x), v_tenant.settings, p_at, p_except) AS spans
						FROM unnest(p_channels) x WHERE @extschema@.va_contact_channel(x) IS NOT NULL) c));
	IF 'human_call' = ANY (p_channels) THEN
		v_week := @extschema@.va_tenant_week(p_lead.tenant_id);
		v_dates := @extschema@.va_tenant_dates(p_lead.tenant_id, p_at);
		IF v_week IS NOT NULL OR v_dates <> '{}' THEN
			v_rules := v_rules || jsonb_build_object('week', coalesce(v_week, @extschema@.va_week_always()), 'dates', v_dates);
		END IF;
	END IF;
	RETURN v_rules;
END
$$;

-- May a lead be contacted by these channels of core/cadence together, and when? allowed: those that may be used at all;
-- due: the first instant from p_at on at which all of these may, NULL when there is none; why: why not at p_at, or
-- why never.
CREATE FUNCTION @extschema@.va_contact_when(p_lead @extschema@.leads, p_channels text[], p_at timestamptz, p_except uuid DEFAULT NULL,
	OUT allowed text[], OUT due timestamptz, OUT why text) RETURNS record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_rules jsonb := @extschema@.va_contact_rules(p_lead, p_channels, p_at, p_except);
	v_never jsonb := v_rules -> 'never';
	v_moved text[];
BEGIN
	allowed := ARRAY(SELECT c FROM unnest(p_channels) WITH ORDINALITY AS x (c, n) WHERE NOT v_never ? c ORDER BY n);
	IF allowed = '{}' AND p_channels <> '{}' THEN
		why := CASE WHEN cardinality(p_channels) = 1 THEN v_never ->> p_channels[1]
			ELSE (SELECT string_agg(format('%s: %s', c, v_never ->> c), '; ' ORDER BY n) FROM unnest(p_channels) WITH ORDINALITY AS x (c, n)) END;
		RETURN;
	END IF;
	SELECT a.due, a.moved INTO due, v_moved FROM @extschema@.va_cadence_allowed(v_rules, allowed, p_at) a;
	why := CASE v_moved[1] WHEN 'quiet_hours' THEN 'quiet hours' WHEN 'human_hours' THEN 'nobody is there to call'
		WHEN 'attempt_limit' THEN 'attempt limit' END;
END
$$;

-- The verdict on a lead's row, for functions that have it already. p_except: the message or call that it is about, when
-- that is an attempt already.
CREATE FUNCTION @extschema@.va_contact_verdict(p_lead @extschema@.leads, p_channel text, p_at timestamptz, p_except uuid DEFAULT NULL)
	RETURNS TABLE (verdict text, until timestamptz, why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_channel text := @extschema@.va_contact_channel(p_channel);
	v_when record;
BEGIN
	IF v_channel IS NULL THEN
		verdict := 'yes';
	ELSIF v_channel = 'recording' THEN -- of what is under way: any time is right
		why := @extschema@.va_contact_never(p_lead, ARRAY[v_channel],
			(SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id)) ->> v_channel;
		verdict := CASE WHEN why IS NULL THEN 'yes' ELSE 'never' END;
	ELSE
		v_when := @extschema@.va_contact_when(p_lead, ARRAY[CASE WHEN v_channel <> 'call' THEN v_channel
			WHEN lower(p_channel) = 'human_call' THEN 'human_call' ELSE 'ai_call' END], p_at, p_except);
		why := v_when.why;
		verdict := CASE WHEN v_when.allowed = '{}' THEN 'never' WHEN v_when.due = p_at THEN 'yes' ELSE 'not_now' END;
		until := CASE verdict WHEN 'not_now' THEN v_when.due END;
	END IF;
	RETURN NEXT;
END
$$;

-- verdict: yes; not_now, and then until when (NULL: no time is open); never. why: in words.
CREATE FUNCTION @extschema@.va_may_contact(lead uuid, channel text, at timestamptz DEFAULT now())
	RETURNS TABLE (verdict text, until timestamptz, why text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_row(lead);
BEGIN
	IF va_may_contact.at IS NULL OR NOT isfinite(va_may_contact.at) OR va_may_contact.channel = 'all' THEN
		RAISE EXCEPTION 'a contact has a time and one channel' USING ERRCODE = 'VA005';
	END IF;
	RETURN QUERY SELECT v.verdict, v.until, v.why FROM @extschema@.va_contact_verdict(v_lead, va_may_contact.channel, va_may_contact.at) v;
END
$$;

-- ---- what people say ----------------------------------------------------------------------------

-- What a message that is nothing but a keyword asks for: 'stop', 'start', 'help'; NULL for any other.
CREATE FUNCTION @extschema@.va_opt_out_keyword(message text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN upper(regexp_replace(message, '[[:space:][:punct:]]+', '', 'g'))
			IN ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'CANCEL', 'END', 'QUIT', 'REVOKE', 'OPTOUT') THEN 'stop'
		WHEN upper(regexp_replace(message, '[[:space:][:punct:]]+', '', 'g')) IN ('START', 'YES', 'UNSTOP') THEN 'start'
		WHEN upper(regexp_replace(message, '[[:space:][:punct:]]+', '', 'g')) IN ('HELP', 'INFO') THEN 'help' END;

CREATE FUNCTION @extschema@.va_assert_acts_for(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT @extschema@.va_acts_for(p_tenant) OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(p_tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
END
$$;

-- Whose leads an address is.
CREATE FUNCTION @extschema@.va_address_leads(p_tenant uuid, p_address text) RETURNS uuid[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN ARRAY(SELECT l.id FROM @extschema@.leads l
		WHERE l.tenant_id = p_tenant AND (l.phone = p_address OR lower(l.email) = p_address) ORDER BY l.id);
END
$$;

-- One word of an address, written down as it was said.
CREATE FUNCTION @extschema@.va_consent_write(p_tenant uuid, p_address text, p_channel text, p_granted boolean, p_how text, p_what text,
	p_source text, p_proof jsonb, p_at timestamptz) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id uuid;
BEGIN
	INSERT INTO @extschema@.consents (tenant_id, lead_id, address, channel, granted, what, how, source, proof, at)
	VALUES (p_tenant, (SELECT l.id FROM @extschema@.leads l WHERE l.id = ANY (@extschema@.va_address_leads(p_tenant, p_address))
					   ORDER BY l.created_at, l.id LIMIT 1),
		p_address, p_channel, p_granted, p_what, p_how, p_source, coalesce(p_proof, '{}'), coalesce(p_at, now()))
	RETURNING id INTO v_id;
	RETURN v_id;
END
$$;

-- Writes down what an address allows or forbids, as it was said, and plans the follow-ups of its leads by it.
CREATE FUNCTION @extschema@.va_consent_record(tenant uuid, address text, channel text, granted boolean, how text, what text DEFAULT NULL,
	source text DEFAULT NULL, proof jsonb DEFAULT '{}', at timestamptz DEFAULT now()) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_address text := @extschema@.va_contact_address(address);
	v_channel text := @extschema@.va_consent_channel(channel);
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	IF granted IS NULL OR @extschema@.va_filled(how) IS NULL THEN
		RAISE EXCEPTION 'a consent has a yes or no, and a how' USING ERRCODE = 'VA005';
	END IF;
	v_id := @extschema@.va_consent_write(tenant, v_address, v_channel, granted, how, what, source, proof, va_consent_record.at);
	IF v_channel <> 'recording' THEN
		PERFORM @extschema@.va_follow_up_apply(l) FROM unnest(@extschema@.va_address_leads(tenant, v_address)) l;
	END IF;
	RETURN v_id;
END
$$;

CREATE FUNCTION @extschema@.va_pending_tasks(p_leads uuid[]) RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT count(*) FROM @extschema@.follow_up_tasks f WHERE f.lead_id = ANY (p_leads) AND f.status = 'pending');
END
$$;

-- The opt-out itself, of an address and channel in the tables' own words. p_proof: what, source and proof of the consent.
CREATE FUNCTION @extschema@.va_opt_out_now(p_tenant uuid, p_address text, p_channel text, p_how text, p_proof jsonb DEFAULT '{}')
	RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_leads uuid[] := @extschema@.va_address_leads(p_tenant, p_address);
	v_lead uuid;
	v_count integer;
	v_before integer := @extschema@.va_pending_tasks(v_leads);
BEGIN
	PERFORM @extschema@.va_consent_write(p_tenant, p_address, p_channel, false, p_how, p_proof ->> 'what', p_proof ->> 'source',
										 p_proof - ARRAY['what', 'source'], now());
	INSERT INTO @extschema@.do_not_contact (tenant_id, address_hash, address, channel, how)
	VALUES (p_tenant, @extschema@.va_address_hash(p_address), p_address, p_channel, p_how)
	ON CONFLICT ON CONSTRAINT do_not_contact_key DO UPDATE SET address = excluded.address;
	FOREACH v_lead IN ARRAY v_leads LOOP
		IF p_channel = 'all' THEN
			PERFORM @extschema@.va_follow_up_end(v_lead, 'opt_out');
		ELSE
			PERFORM @extschema@.va_follow_up_apply(v_lead);
		END IF;
	END LOOP;
	-- Tasks of no sequence.
	UPDATE @extschema@.follow_up_tasks f SET status = 'cancelled', result = '{"why": "opt_out"}'
	WHERE f.tenant_id = p_tenant AND f.status = 'pending' AND f.lead_id = ANY (v_leads) AND f.sequence_id IS NULL
	  AND f.task_type IN ('call', 'sms', 'whatsapp', 'email') AND (p_channel = 'all' OR f.task_type = p_channel)
	  AND (f.task_type = 'email') = (p_address LIKE '%@%');
	v_before := v_before - @extschema@.va_pending_tasks(v_leads);
	UPDATE @extschema@.notifications n SET status = 'cancelled', error_message = 'opted out: ' || p_how
	WHERE n.tenant_id = p_tenant AND n.status = 'pending' AND n.direction IS DISTINCT FROM 'inbound'
	  AND (p_channel = 'all' OR n.channel = p_channel)
	  AND (lower(n.to_address) = p_address OR n.lead_id = ANY (v_leads) AND (n.channel = 'email') = (p_address LIKE '%@%'));
	GET DIAGNOSTICS v_count = ROW_COUNT;
	PERFORM @extschema@.va_emit(p_tenant, 'opted_out', NULL, v_leads[1], jsonb_build_object('channel', p_channel, 'how', p_how));
	RETURN v_count + v_before;
END
$$;

-- Nothing more to this address: what is planned is withdrawn in the same transaction, and the follow-ups of its leads
-- end (channel all) or go on by other channels. Returns how many messages and tasks were withdrawn.
CREATE FUNCTION @extschema@.va_opt_out(tenant uuid, address text, channel text DEFAULT 'all', how text DEFAULT 'asked') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	RETURN @extschema@.va_opt_out_now(tenant, @extschema@.va_contact_address(address), @extschema@.va_consent_channel(coalesce(channel, 'all')),
		coalesce(@extschema@.va_filled(how), 'asked'));
END
$$;

-- The other way. Follow-ups that an opt-out from everything had ended go on, unless the lead has another address that
-- is still opted out.
CREATE FUNCTION @extschema@.va_opt_in_now(p_tenant uuid, p_address text, p_channel text, p_how text, p_proof jsonb DEFAULT '{}')
	RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_found boolean;
BEGIN
	PERFORM @extschema@.va_consent_write(p_tenant, p_address, p_channel, true, p_how, p_proof ->> 'what', p_proof ->> 'source',
										 p_proof - ARRAY['what', 'source'], now());
	DELETE FROM @extschema@.do_not_contact d
	WHERE d.tenant_id = p_tenant AND d.address_hash = @extschema@.va_address_hash(p_address)
	  AND (p_channel = 'all' OR d.channel = p_channel);
	v_found := FOUND;
	FOR v_lead IN SELECT l.* FROM @extschema@.leads l WHERE l.id = ANY (@extschema@.va_address_leads(p_tenant, p_address)) ORDER BY l.id LOOP
		UPDATE @extschema@.leads l SET follow_ups_stopped = NULL
		WHERE l.id = v_lead.id AND l.follow_ups_stopped = 'opt_out' AND p_channel = 'all' AND NOT EXISTS (
			SELECT FROM @extschema@.do_not_contact d
			WHERE d.channel = 'all' AND (d.tenant_id = p_tenant OR d.tenant_id IS NULL)
			  AND d.address_hash IN (@extschema@.va_address_hash(l.phone), @extschema@.va_address_hash(lower(l.email))));
		PERFORM @extschema@.va_follow_up_apply(v_lead.id);
	END LOOP;
	PERFORM @extschema@.va_emit(p_tenant, 'opted_in', NULL, v_lead.id, jsonb_build_object('channel', p_channel, 'how', p_how));
	RETURN v_found;
END
$$;

-- The person wants to hear from us again. True when something had stood in the way.
CREATE FUNCTION @extschema@.va_opt_in(tenant uuid, address text, channel text DEFAULT 'all', how text DEFAULT 'asked') RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	RETURN @extschema@.va_opt_in_now(tenant, @extschema@.va_contact_address(address), @extschema@.va_consent_channel(coalesce(channel, 'all')),
		coalesce(@extschema@.va_filled(how), 'asked'));
END
$$;

-- What a message that is nothing but a keyword does, in the transaction that stores it: 'stop' and 'start' of an address and
-- the channel by which they came, with the message as proof; 'help' is an event. Returns the keyword; NULL for a
-- message that is to be read as any other: without one, or START from somebody whom nothing kept out ("Yes").
CREATE FUNCTION @extschema@.va_message_keyword(p_message @extschema@.notifications) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_keyword text := @extschema@.va_opt_out_keyword(p_message.body);
	v_from text := regexp_replace(p_message.from_address, '^whatsapp:', '', 'i');
	v_lead @extschema@.leads;
	v_address text;
	v_proof jsonb := jsonb_build_object('what', p_message.body, 'source', format('notifications %s', p_message.id),
		'notification_id', p_message.id, 'external_id', p_message.external_id, 'received_at', p_message.created_at);
BEGIN
	IF v_keyword IS NULL OR lower(p_message.channel) NOT IN ('sms', 'whatsapp', 'email') THEN
		RETURN NULL;
	END IF;
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_message.lead_id;
	v_address := CASE WHEN p_message.channel = 'email' THEN lower(coalesce(@extschema@.va_filled(v_from), v_lead.email))
					  ELSE coalesce(@extschema@.va_phone_try(@extschema@.va_filled(v_from)), v_lead.phone) END;
	IF v_address IS NULL OR v_keyword = 'help' THEN
		PERFORM @extschema@.va_emit(p_message.tenant_id, CASE v_keyword WHEN 'help' THEN 'help_requested' ELSE 'opt_out_unreadable' END, NULL,
			p_message.lead_id, jsonb_build_object('notification_id', p_message.id, 'channel', p_message.channel, 'keyword', v_keyword));
	ELSIF v_keyword = 'stop' THEN
		PERFORM @extschema@.va_opt_out_now(p_message.tenant_id, v_address, lower(p_message.channel), 'keyword', v_proof);
	ELSIF EXISTS (SELECT FROM @extschema@.do_not_contact d WHERE d.tenant_id = p_message.tenant_id
				  AND d.address_hash = @extschema@.va_address_hash(v_address) AND d.channel = lower(p_message.channel))
		  OR @extschema@.va_consent_of(p_message.tenant_id, v_address, lower(p_message.channel)) IS FALSE THEN
		PERFORM @extschema@.va_opt_in_now(p_message.tenant_id, v_address, lower(p_message.channel), 'keyword', v_proof);
	ELSE
		RETURN NULL;
	END IF;
	RETURN v_keyword;
END
$$;

-- ---- one person everywhere ----------------------------------------------------------------------

-- Which leads, calls and addresses are the person's.
CREATE FUNCTION @extschema@.va_person_scope(p_tenant uuid, p_phone text, p_email text, OUT leads uuid[], OUT calls uuid[], OUT addresses text[])
	RETURNS record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	addresses := array_remove(ARRAY[@extschema@.va_phone_normalize(@extschema@.va_filled(p_phone)), lower(@extschema@.va_filled(p_email))], NULL);
	IF addresses = '{}' THEN
		RAISE EXCEPTION 'a person is named by number, e-mail address or both' USING ERRCODE = 'VA005';
	END IF;
	leads := ARRAY(SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = p_tenant
				   AND (l.phone = ANY (addresses) OR lower(l.email) = ANY (addresses)));
	addresses := ARRAY(SELECT DISTINCT x FROM (SELECT unnest(addresses) AS x
		UNION ALL SELECT l.phone FROM @extschema@.leads l WHERE l.id = ANY (leads)
		UNION ALL SELECT lower(l.email) FROM @extschema@.leads l WHERE l.id = ANY (leads)) a WHERE x IS NOT NULL ORDER BY x);
	calls := ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant
				   AND (c.lead_id = ANY (leads) OR c.from_number = ANY (addresses) OR c.to_number = ANY (addresses)));
END
$$;

-- Every table that can hold rows of a person, and the condition that finds them: $1 tenant, $2 leads, $3 calls, $4
-- addresses. Read from the catalogue, so that a table is covered by being there: columns lead_id and call_id, foreign
-- keys to leads and calls, and columns that by their names hold an address. Left out are the
-- tenant's own: its staff, its numbers, its configuration.
CREATE FUNCTION @extschema@.va_person_tables() RETURNS TABLE (tab regclass, name text, condition text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY
	SELECT c.oid::regclass, c.relname::text, format('tenant_id = $1 AND (%s)', string_agg(x.piece, ' OR ' ORDER BY x.piece))
	FROM pg_depend d
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	CROSS JOIN LATERAL (SELECT CASE
		WHEN a.attname = 'id' AND c.oid = '@extschema@.leads'::regclass THEN 'id = ANY ($2)'
		WHEN a.attname = 'id' AND c.oid = '@extschema@.calls'::regclass THEN 'id = ANY ($3)'
		WHEN a.atttypid = 'uuid'::regtype AND (a.attname = 'lead_id' OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid
			AND k.contype = 'f' AND k.confrelid = '@extschema@.leads'::regclass AND k.conkey = ARRAY[a.attnum]))
			THEN format('%I = ANY ($2)', a.attname)
		WHEN a.atttypid = 'uuid'::regtype AND (a.attname = 'call_id' OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid
			AND k.contype = 'f' AND k.confrelid = '@extschema@.calls'::regclass AND k.conkey = ARRAY[a.attnum]))
			THEN format('%I = ANY ($3)', a.attname)
		WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND a.attname ~ '^(.*_)?(phone|email|address|from_number|to_number)$'
			THEN format('lower(%I) = ANY ($4)', a.attname) END AS piece) x
	WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND x.piece IS NOT NULL
	  AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped)
	  AND c.relname NOT IN ('tenants', 'phone_numbers', 'human_agents', 'tenant_voice_configs', 'call_tokens', 'webhook_receipts')
	GROUP BY c.oid, c.relname ORDER BY c.relname;
END
$$;

-- Everything that is stored about a person: an object of tables and their rows.
CREATE FUNCTION @extschema@.va_export_person(tenant uuid, phone text DEFAULT NULL, email text DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_scope record;
	v_table record;
	v_rows jsonb;
	v_export jsonb := '{}';
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	v_scope := @extschema@.va_person_scope(tenant, phone, email);
	FOR v_table IN SELECT * FROM @extschema@.va_person_tables() LOOP
		EXECUTE format('SELECT jsonb_agg(to_jsonb(x)) FROM %s x WHERE %s', v_table.tab, v_table.condition)
			INTO v_rows USING tenant, v_scope.leads, v_scope.calls, v_scope.addresses;
		IF v_rows IS NOT NULL THEN
			v_export := v_export || jsonb_build_object(v_table.name, v_rows);
		END IF;
	END LOOP;
	RETURN v_export;
END
$$;

-- Takes everything personal out of calls, their recordings at Twilio too; what is left are times, counts and results. Every column that is not
-- named here as harmless is set to its default, so that a new one is erased unless somebody decides otherwise.
CREATE FUNCTION @extschema@.va_calls_blank(p_calls uuid[]) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_set text := (SELECT string_agg(format('%I = DEFAULT', a.attname), ', ')
		FROM pg_attribute a WHERE a.attrelid = '@extschema@.calls'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		  AND a.attname NOT IN ('id', 'tenant_id', 'direction', 'status', 'status_sequence', 'duration_seconds', 'started_at', 'ended_at',
			'conversation_turns', 'ai_handled', 'escalated_to_human', 'resume_count', 'last_resumed_at', 'end_requested_at', 'end_reason',
			'recording_duration', 'sentiment_score', 'outcome', 'created_at', 'updated_at', 'phone_number_id', 'campaign_id', 'dialed_at', 'answered_by'));
	v_count integer;
BEGIN
	-- Not as an effect of the call, which is about to be forgotten with all that is the person's.
	PERFORM @extschema@.va_recording_forget(c.tenant_id, NULL, c.recording_sid) FROM @extschema@.calls c WHERE c.id = ANY (p_calls);
	EXECUTE format('UPDATE @extschema@.calls SET %s WHERE id = ANY ($1)', v_set) USING p_calls;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- Deletes the rows that a condition finds in each table, in an order that foreign keys allow: a table whose turn
-- comes too early is tried again after the others. Leads go last: what points at one might forget whose it is.
CREATE FUNCTION @extschema@.va_person_delete(p_tenant uuid, p_leads uuid[], p_calls uuid[], p_addresses text[]) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_left text[] := ARRAY(SELECT t.name FROM @extschema@.va_person_tables() t
						   WHERE t.name NOT IN ('calls', 'call_metrics', 'agent_reservations', 'do_not_contact'));
	v_again text[];
	v_table record;
	v_count bigint;
	v_done jsonb := '{}';
BEGIN
	LOOP
		v_again := '{}';
		FOR v_table IN SELECT t.* FROM @extschema@.va_person_tables() t WHERE t.name = ANY (v_left) ORDER BY t.name = 'leads', t.name LOOP
			BEGIN
				EXECUTE format('DELETE FROM %s WHERE %s', v_table.tab, v_table.condition) USING p_tenant, p_leads, p_calls, p_addresses;
				GET DIAGNOSTICS v_count = ROW_COUNT;
				IF v_count > 0 THEN
					v_done := v_done || jsonb_build_object(v_table.name, v_count);
				END IF;
			EXCEPTION WHEN foreign_key_violation THEN
				IF cardinality(v_left) = 1 THEN
					RAISE;
				END IF;
				v_again := v_again || v_table.name;
			END;
		END LOOP;
		IF v_again = '{}' THEN
			RETURN v_done;
		END IF;
		v_left := v_again;
	END LOOP;
END
$$;

-- Erases a person: leads, messages, appointments, tasks, sessions, events, consents and what else refers to them are
-- deleted, calls keep their times and counts alone, and of the do-not-contact list the digest remains. Returns
-- what was done, and which recordings lie with Twilio and must be deleted there.
CREATE FUNCTION @extschema@.va_erase_person(tenant uuid, phone text DEFAULT NULL, email text DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_scope record;
	v_recordings jsonb;
	v_deleted jsonb;
	v_blanked integer;
	v_forgotten integer;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	v_scope := @extschema@.va_person_scope(tenant, va_erase_person.phone, va_erase_person.email);
	PERFORM FROM @extschema@.calls c WHERE c.id = ANY (v_scope.calls) ORDER BY c.id FOR NO KEY UPDATE;
	SELECT coalesce(jsonb_agg(jsonb_build_object('call_id', c.id, 'call_sid', c.twilio_call_sid, 'recording_sid', c.recording_sid,
		'url', c.recording_url) ORDER BY c.id), '[]') INTO v_recordings
	FROM @extschema@.calls c WHERE c.id = ANY (v_scope.calls) AND c.recording_url IS NOT NULL;
	v_blanked := @extschema@.va_calls_blank(v_scope.calls);
	v_deleted := @extschema@.va_person_delete(tenant, v_scope.leads, v_scope.calls, v_scope.addresses);
	UPDATE @extschema@.do_not_contact d SET address = NULL WHERE d.tenant_id = tenant AND d.address = ANY (v_scope.addresses);
	GET DIAGNOSTICS v_forgotten = ROW_COUNT;
	PERFORM @extschema@.va_emit(tenant, 'person_erased', NULL, NULL, jsonb_build_object('deleted', v_deleted, 'calls_blanked', v_blanked));
	RETURN jsonb_build_object('deleted', v_deleted, 'calls_blanked', v_blanked, 'do_not_contact_kept_as_digest', v_forgotten,
							  'recordings_at_twilio', v_recordings);
END
$$;

-- ---- retention ----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_retention_days(p_settings jsonb, p_kind text) RETURNS interval
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own jsonb := coalesce(nullif(p_settings -> 'retention_days', 'null'), '{}');
	v_days double precision := @extschema@.va_number(CASE WHEN v_own ? p_kind THEN v_own
		ELSE coalesce(@extschema@.va_setting('{}', 'retention_days'), '{}') END, p_kind);
BEGIN
	RETURN CASE WHEN v_days IS NOT NULL THEN make_interval(days => least(v_days, 100000)::integer) END;
END
$$;

-- Deletes calls with all that is theirs. What only mentions them (appointments, tasks) stays without; every foreign key to calls
-- is found in the catalogue, so that a table of anybody's is treated so. The recordings at Twilio are announced.
CREATE FUNCTION @extschema@.va_calls_forget(p_calls uuid[]) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key record;
	v_count integer;
BEGIN
	PERFORM @extschema@.va_recordings_expire(p_calls);
	DELETE FROM @extschema@.stored_files f WHERE f.call_id = ANY (p_calls);
	DELETE FROM @extschema@.conversation_sessions s WHERE s.call_id = ANY (p_calls);
	UPDATE @extschema@.analytics_events e SET call_id = NULL WHERE e.call_id = ANY (p_calls);
	FOR v_key IN
		SELECT DISTINCT k.conrelid::regclass AS tab, a.attname
		FROM pg_constraint k
		CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS c (own, referred)
		JOIN pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = c.referred AND r.attname = 'id'
		JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.own AND NOT a.attnotnull
		WHERE k.contype = 'f' AND k.confrelid = '@extschema@.calls'::regclass AND k.conparentid = 0 AND k.confdeltype IN ('a', 'r')
	LOOP
		EXECUTE format('UPDATE %s SET %I = NULL WHERE %I = ANY ($1)', v_key.tab, v_key.attname, v_key.attname) USING p_calls;
	END LOOP;
	DELETE FROM @extschema@.calls c WHERE c.id = ANY (p_calls);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- The recordings themselves lie with Twilio: whoever listens to this event deletes them there.
CREATE FUNCTION @extschema@.va_recordings_expire(p_calls uuid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_recording_forget(c.tenant_id, c.id, c.recording_sid) FROM @extschema@.calls c WHERE c.id = ANY (p_calls);
	PERFORM @extschema@.va_emit(c.tenant_id, 'recording_expired', c.id, c.lead_id,
		jsonb_build_object('recording_sid', c.recording_sid, 'url', c.recording_url))
	FROM @extschema@.calls c WHERE c.id = ANY (p_calls) AND c.recording_url IS NOT NULL;
END
$$;

-- One tenant's old data, at most p_limit rows of each kind; how many went. Kinds without a number of days stay.
CREATE FUNCTION @extschema@.va_retention_tenant(p_tenant uuid, p_settings jsonb, p_limit integer) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_age interval;
	v_ids uuid[];
	v_lead @extschema@.leads;
	v_done jsonb := '{}';
BEGIN
	v_age := @extschema@.va_retention_days(p_settings, 'transcripts');
	IF v_age IS NOT NULL THEN
		v_ids := ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.ended_at < now() - v_age
			AND (c.transcript <> '[]' OR c.transcript_summary IS NOT NULL OR c.entities_extracted <> '{}') LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED);
		DELETE FROM @extschema@.call_events e WHERE e.call_id = ANY (v_ids);
		DELETE FROM @extschema@.tool_invocations i WHERE i.call_id = ANY (v_ids);
		DELETE FROM @extschema@.conversation_sessions s WHERE s.call_id = ANY (v_ids);
		UPDATE @extschema@.calls c SET transcript = '[]', transcript_summary = NULL, entities_extracted = '{}' WHERE c.id = ANY (v_ids);
		v_done := v_done || jsonb_build_object('transcripts', cardinality(v_ids) + @extschema@.va_files_forget(p_tenant, 'transcript', v_age, p_limit));
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'recordings');
	IF v_age IS NOT NULL THEN
		v_ids := ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.ended_at < now() - v_age
			AND c.recording_url IS NOT NULL LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED);
		PERFORM @extschema@.va_recordings_expire(v_ids);
		UPDATE @extschema@.calls c SET recording_url = NULL, recording_sid = NULL WHERE c.id = ANY (v_ids);
		v_done := v_done || jsonb_build_object('recordings', cardinality(v_ids) + @extschema@.va_files_forget(p_tenant, 'recording', v_age, p_limit));
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'calls');
	IF v_age IS NOT NULL THEN
		v_ids := ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.ended_at < now() - v_age
			AND @extschema@.va_call_over(c) LIMIT p_limit FOR UPDATE SKIP LOCKED);
		v_done := v_done || jsonb_build_object('calls', @extschema@.va_calls_forget(v_ids));
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'messages');
	IF v_age IS NOT NULL THEN
		WITH gone AS (DELETE FROM @extschema@.notifications n WHERE n.id IN (SELECT o.id FROM @extschema@.notifications o
			WHERE o.tenant_id = p_tenant AND o.created_at < now() - v_age AND o.status NOT IN ('pending', 'queued', 'sending')
			LIMIT p_limit FOR UPDATE SKIP LOCKED) RETURNING 1)
		SELECT v_done || jsonb_build_object('messages', count(*)) INTO v_done FROM gone;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'tasks');
	IF v_age IS NOT NULL THEN
		WITH gone AS (DELETE FROM @extschema@.follow_up_tasks f WHERE f.id IN (SELECT o.id FROM @extschema@.follow_up_tasks o
			WHERE o.tenant_id = p_tenant AND o.scheduled_for < now() - v_age AND o.status NOT IN ('pending', 'in_progress')
			LIMIT p_limit FOR UPDATE SKIP LOCKED) RETURNING 1)
		SELECT v_done || jsonb_build_object('tasks', count(*)) INTO v_done FROM gone;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'events');
	IF v_age IS NOT NULL THEN
		WITH gone AS (DELETE FROM @extschema@.analytics_events a WHERE a.id IN (SELECT o.id FROM @extschema@.analytics_events o
			WHERE o.tenant_id = p_tenant AND o.created_at < now() - v_age LIMIT p_limit FOR UPDATE SKIP LOCKED) RETURNING 1)
		SELECT v_done || jsonb_build_object('events', count(*)) INTO v_done FROM gone;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'leads');
	IF v_age IS NOT NULL THEN
		v_ids := '{}';
		FOR v_lead IN SELECT l.* FROM @extschema@.leads l WHERE l.tenant_id = p_tenant AND l.updated_at < now() - v_age
			AND l.status IN ('closed_lost', 'closed_won', 'archived') ORDER BY l.updated_at LIMIT least(p_limit, 100) FOR UPDATE SKIP LOCKED
		LOOP
			-- By the lead's row alone: another lead of the same person may be alive.
			PERFORM @extschema@.va_calls_blank(ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.lead_id = v_lead.id));
			DELETE FROM @extschema@.stored_files f USING @extschema@.calls c WHERE c.id = f.call_id AND c.lead_id = v_lead.id;
			PERFORM @extschema@.va_person_delete(p_tenant, ARRAY[v_lead.id], '{}', '{}');
			v_ids := v_ids || v_lead.id;
		END LOOP;
		v_done := v_done || jsonb_build_object('leads', cardinality(v_ids));
	END IF;
	RETURN v_done;
END
$$;

-- Called by va_housekeeping: forgets what is older than retention_days says, in portions. Returns the counts.
CREATE FUNCTION @extschema@.va_retention_apply(batch integer DEFAULT 1000) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant record;
	v_done jsonb := '{}';
BEGIN
	FOR v_tenant IN SELECT t.id, t.settings FROM @extschema@.tenants t
		WHERE jsonb_typeof(t.settings -> 'retention_days') = 'object'
		   OR EXISTS (SELECT FROM @extschema@.settings s WHERE s.name = 'retention_days') ORDER BY t.id
	LOOP
		v_done := (SELECT coalesce(jsonb_object_agg(k, coalesce((v_done ->> k)::bigint, 0) + coalesce((n.counts ->> k)::bigint, 0)), '{}')
			FROM (SELECT @extschema@.va_retention_tenant(v_tenant.id, v_tenant.settings, greatest(batch, 1)) AS counts) n,
				 LATERAL (SELECT jsonb_object_keys(v_done || n.counts) AS k) keys);
	END LOOP;
	RETURN v_done;
END
$$;

-- ---- rights -------------------------------------------------------------------------------------

GRANT SELECT ON @extschema@.do_not_contact, @extschema@.consents, @extschema@.contact_attempts TO voiceagent_admin, voiceagent_agent;
-- Lists that are imported, for one tenant or all.
GRANT INSERT, UPDATE, DELETE ON @extschema@.do_not_contact TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_may_contact(uuid, text, timestamptz), @extschema@.va_opt_out(uuid, text, text, text),
	@extschema@.va_opt_in(uuid, text, text, text), @extschema@.va_opt_out_keyword(text),
	@extschema@.va_consent_record(uuid, text, text, boolean, text, text, text, jsonb, timestamptz),
	@extschema@.va_export_person(uuid, text, text), @extschema@.va_erase_person(uuid, text, text)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_retention_apply(integer), @extschema@.va_address_hash(text) TO voiceagent_admin;
