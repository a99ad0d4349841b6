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
-- only be wrong.
CREATE VIEW @extschema@.contact_attempts WITH (security_invoker = true) AS
SELECT c.tenant_id, c.lead_id, 'call'::text AS channel, coalesce(c.started_at, c.created_at) AS at, c.status::text AS status, c.id AS source_id
FROM @extschema@.calls c WHERE c.direction = 'outbound' AND c.lead_id IS NOT NULL
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

-- The zone that a number's country and, where a country has several, area code tell; NULL where they do not. A
-- country of many zones has that of most of its people.
CREATE FUNCTION @extschema@.va_number_zone(phone text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_area text := substr(phone, 3, 3);
BEGIN
	IF phone LIKE '+1%' THEN
		RETURN CASE
			WHEN v_area IN ('206','209','213','236','250','253','279','310','323','341','350','360','408','415','424','425','442','503','509',
				'510','530','541','559','562','564','604','619','626','628','650','657','661','669','672','702','707','714','725','747',
				'760','775','778','805','818','820','831','840','858','909','916','925','949','951','971') THEN 'America/Los_Angeles'
			WHEN v_area IN ('480','520','602','623','928') THEN 'America/Phoenix'
			WHEN v_area IN ('208','303','307','368','385','403','406','435','505','575','587','719','720','780','801','825','915','970','983','986') THEN 'America/Denver'
			WHEN v_area IN ('205','210','214','217','218','219','224','225','228','251','254','256','262','270','281','309','312','314','316','318',
				'319','320','325','331','334','337','346','361','364','402','405','409','414','417','430','431','432','447','464','469','479','501',
				'504','507','512','515','531','534','539','557','563','572','573','580','601','605','608','612','615','618','620','629','630','636',
				'641','651','659','660','662','682','701','708','712','713','715','726','730','731','737','763','769','773','779','785','806','815',
				'816','817','830','832','847','850','870','872','901','903','913','918','920','931','936','938','940','945','952','956','972','975','979','985')
				THEN 'America/Chicago'
			WHEN v_area IN ('306','474','639') THEN 'America/Regina'
			WHEN v_area IN ('204','584') THEN 'America/Winnipeg'
			WHEN v_area = '907' THEN 'America/Anchorage'
			WHEN v_area = '808' THEN 'Pacific/Honolulu'
			WHEN v_area IN ('506','782','902') THEN 'America/Halifax'
			WHEN v_area = '709' THEN 'America/St_Johns'
			WHEN v_area IN ('787','939') THEN 'America/Puerto_Rico'
			WHEN v_area IN ('876','658') THEN 'America/Jamaica'
			WHEN v_area IN ('809','829','849') THEN 'America/Santo_Domingo'
			WHEN v_area = '671' THEN 'Pacific/Guam'
			-- Numbers without a place: no zone.
			WHEN v_area IN ('800','833','844','855','866','877','888','500','521','522','533','544','566','577','588','600','622','700','710','900') THEN NULL
			ELSE 'America/New_York' END;
	END IF;
	RETURN (SELECT z.zone FROM (VALUES
		('20','Africa/Cairo'),('211','Africa/Juba'),('212','Africa/Casablanca'),('213','Africa/Algiers'),('216','Africa/Tunis'),('218','Africa/Tripoli'),
		('220','Africa/Banjul'),('221','Africa/Dakar'),('223','Africa/Bamako'),('225','Africa/Abidjan'),('226','Africa/Ouagadougou'),('228','Africa/Lome'),
		('229','Africa/Porto-Novo'),('230','Indian/Mauritius'),('231','Africa/Monrovia'),('233','Africa/Accra'),('234','Africa/Lagos'),('237','Africa/Douala'),
		('243','Africa/Kinshasa'),('244','Africa/Luanda'),('249','Africa/Khartoum'),('250','Africa/Kigali'),('251','Africa/Addis_Ababa'),('252','Africa/Mogadishu'),
		('254','Africa/Nairobi'),('255','Africa/Dar_es_Salaam'),('256','Africa/Kampala'),('258','Africa/Maputo'),('260','Africa/Lusaka'),('263','Africa/Harare'),
		('264','Africa/Windhoek'),('267','Africa/Gaborone'),('27','Africa/Johannesburg'),
		('30','Europe/Athens'),('31','Europe/Amsterdam'),('32','Europe/Brussels'),('33','Europe/Paris'),('34','Europe/Madrid'),('350','Europe/Gibraltar'),
		('351','Europe/Lisbon'),('352','Europe/Luxembourg'),('353','Europe/Dublin'),('354','Atlantic/Reykjavik'),('355','Europe/Tirane'),('356','Europe/Malta'),
		('357','Asia/Nicosia'),('358','Europe/Helsinki'),('359','Europe/Sofia'),('36','Europe/Budapest'),('370','Europe/Vilnius'),('371','Europe/Riga'),
		('372','Europe/Tallinn'),('373','Europe/Chisinau'),('374','Asia/Yerevan'),('375','Europe/Minsk'),('376','Europe/Andorra'),('377','Europe/Monaco'),
		('380','Europe/Kiev'),('381','Europe/Belgrade'),('382','Europe/Podgorica'),('383','Europe/Belgrade'),('385','Europe/Zagreb'),('386','Europe/Ljubljana'),
		('387','Europe/Sarajevo'),('389','Europe/Skopje'),('39','Europe/Rome'),('40','Europe/Bucharest'),('41','Europe/Zurich'),('420','Europe/Prague'),
		('421','Europe/Bratislava'),('423','Europe/Vaduz'),('43','Europe/Vienna'),('44','Europe/London'),('45','Europe/Copenhagen'),('46','Europe/Stockholm'),
		('47','Europe/Oslo'),('48','Europe/Warsaw'),('49','Europe/Berlin'),
		('501','America/Belize'),('502','America/Guatemala'),('503','America/El_Salvador'),('504','America/Tegucigalpa'),('505','America/Managua'),
		('506','America/Costa_Rica'),('507','America/Panama'),('509','America/Port-au-Prince'),('51','America/Lima'),('52','America/Mexico_City'),
		('53','America/Havana'),('54','America/Argentina/Buenos_Aires'),('55','America/Sao_Paulo'),('56','America/Santiago'),('57','America/Bogota'),
		('58','America/Caracas'),('591','America/La_Paz'),('592','America/Guyana'),('593','America/Guayaquil'),('595','America/Asuncion'),('598','America/Montevideo'),
		('60','Asia/Kuala_Lumpur'),('61','Australia/Sydney'),('617','Australia/Brisbane'),('618','Australia/Adelaide'),('6189','Australia/Perth'),('62','Asia/Jakarta'),
		('63','Asia/Manila'),('64','Pacific/Auckland'),('65','Asia/Singapore'),('66','Asia/Bangkok'),('673','Asia/Brunei'),('675','Pacific/Port_Moresby'),('679','Pacific/Fiji'),
		('7','Europe/Moscow'),('76','Asia/Almaty'),('77','Asia/Almaty'),('81','Asia/Tokyo'),('82','Asia/Seoul'),('84','Asia/Ho_Chi_Minh'),('852','Asia/Hong_Kong'),
		('853','Asia/Macau'),('855','Asia/Phnom_Penh'),('856','Asia/Vientiane'),('86','Asia/Shanghai'),('880','Asia/Dhaka'),('886','Asia/Taipei'),
		('90','Europe/Istanbul'),('91','Asia/Kolkata'),('92','Asia/Karachi'),('93','Asia/Kabul'),('94','Asia/Colombo'),('95','Asia/Yangon'),('960','Indian/Maldives'),
		('961','Asia/Beirut'),('962','Asia/Amman'),('963','Asia/Damascus'),('964','Asia/Baghdad'),('965','Asia/Kuwait'),('966','Asia/Riyadh'),('967','Asia/Aden'),
		('968','Asia/Muscat'),('970','Asia/Gaza'),('971','Asia/Dubai'),('972','Asia/Jerusalem'),('973','Asia/Bahrain'),('974','Asia/Qatar'),('975','Asia/Thimphu'),
		('976','Asia/Ulaanbaatar'),('977','Asia/Kathmandu'),('98','Asia/Tehran'),('992','Asia/Dushanbe'),('993','Asia/Ashgabat'),('994','Asia/Baku'),('995','Asia/Tbilisi'),
		('996','Asia/Bishkek'),('998','Asia/Tashkent')) AS z (prefix, zone)
	WHERE phone LIKE '+' || z.prefix || '%' ORDER BY length(z.prefix) DESC LIMIT 1);
END
$$;

-- Where a lead's clock is: what they said, what their number says, where the tenant is.
CREATE FUNCTION @extschema@.va_contact_zone(p_lead @extschema@.leads) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own text := @extschema@.va_filled(p_lead.custom_fields ->> 'timezone');
BEGIN
	IF v_own IS NOT NULL AND @extschema@.va_zone_valid(v_own) THEN
		RETURN v_own;
	END IF;
	RETURN coalesce(@extschema@.va_number_zone(p_lead.phone),
		(SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id), 'UTC');
END
$$;

-- ---- may we? ------------------------------------------------------------------------------------

-- Why never, or NULL. The newest word of the person counts, for the channel or for all.
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
	SELECT c.granted INTO v_granted FROM @extschema@.consents c
	WHERE c.tenant_id = p_lead.tenant_id AND c.address = p_address AND c.channel IN (p_channel, 'all')
	ORDER BY c.at DESC, c.created_at DESC LIMIT 1;
	IF v_granted IS FALSE THEN
		RETURN 'consent withdrawn';
	ELSIF v_granted IS NULL AND v_required ? p_channel THEN
		RETURN 'no consent';
	END IF;
	RETURN NULL;
END
$$;

-- The first instant from p_at on that is not in the quiet hours, on the lead's clock. NULL: never.
CREATE FUNCTION @extschema@.va_contact_awake(p_zone text, p_settings jsonb, p_at timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_hours jsonb := coalesce(@extschema@.va_setting(p_settings, 'contact_hours'), '{"open": "09:00", "close": "20:00"}');
	v_day integer[] := @extschema@.va_opening_triples(0, jsonb_build_array(jsonb_build_array(v_hours -> 'open', v_hours -> 'close')));
BEGIN
	RETURN @extschema@.va_hours_next(ARRAY(SELECT unnest(ARRAY[d, v_day[2], v_day[3]]) FROM generate_series(0, 6) d), '{}', p_zone, p_at);
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

-- The first instant from p_at on at which the limits allow another attempt.
CREATE FUNCTION @extschema@.va_contact_rested(p_lead uuid, p_channel text, p_settings jsonb, p_at timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_window text;
	v_length interval;
	v_limit integer;
	v_oldest timestamptz;
	v_until timestamptz := p_at;
BEGIN
	FOR v_window, v_length IN VALUES ('day', interval '24 hours'), ('week', interval '168 hours') LOOP
		v_limit := @extschema@.va_contact_limit(p_settings, p_channel, v_window);
		CONTINUE WHEN v_limit IS NULL OR v_limit < 1;
		SELECT a.at INTO v_oldest FROM @extschema@.contact_attempts a
		WHERE a.lead_id = p_lead AND a.channel = p_channel AND a.at > p_at - v_length AND a.at <= p_at
		ORDER BY a.at DESC OFFSET v_limit - 1 LIMIT 1;
		IF FOUND THEN
			v_until := greatest(v_until, v_oldest + v_length);
		END IF;
	END LOOP;
	RETURN v_until;
END
$$;

-- Has the lead been in touch within the hour before? An answer disturbs nobody.
CREATE FUNCTION @extschema@.va_lead_in_touch(p_lead uuid, p_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@.calls c WHERE c.lead_id = p_lead AND c.direction = 'inbound' AND c.started_at <= p_at
			AND coalesce(c.ended_at, CASE WHEN c.status IN ('ringing', 'in-progress') THEN least(p_at, c.started_at + interval '4 hours') END) > p_at - interval '1 hour')
		OR EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = p_lead AND n.direction = 'inbound'
			AND n.created_at <= p_at AND n.created_at > p_at - interval '1 hour');
END
$$;

-- The verdict on a lead's row, for functions that have it already.
CREATE FUNCTION @extschema@.va_contact_verdict(p_lead @extschema@.leads, p_channel text, p_at timestamptz)
	RETURNS TABLE (verdict text, until timestamptz, why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_channel text := @extschema@.va_contact_channel(p_channel);
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id);
	v_zone text;
	v_step timestamptz;
BEGIN
	verdict := 'yes';
	IF v_channel IS NULL THEN
		RETURN NEXT;
		RETURN;
	END IF;
	why := @extschema@.va_contact_forbidden(p_lead, v_channel,
		CASE v_channel WHEN 'email' THEN lower(p_lead.email) ELSE p_lead.phone END, v_settings);
	IF why IS NULL AND 0 IN (@extschema@.va_contact_limit(v_settings, v_channel, 'day'), @extschema@.va_contact_limit(v_settings, v_channel, 'week')) THEN
		why := 'the tenant does not use this channel';
	END IF;
	IF why IS NOT NULL OR v_channel = 'recording' THEN
		verdict := CASE WHEN why IS NULL THEN 'yes' ELSE 'never' END;
		RETURN NEXT;
		RETURN;
	END IF;
	-- Quiet hours push the time on, and so do limits, and each may push it into the other.
	until := p_at;
	v_zone := @extschema@.va_contact_zone(p_lead);
	FOR i IN 1 .. 20 LOOP
		IF v_channel <> 'email' AND NOT @extschema@.va_lead_in_touch(p_lead.id, until) THEN
			v_step := @extschema@.va_contact_awake(v_zone, v_settings, until);
			IF v_step IS DISTINCT FROM until THEN
				why := coalesce(why, 'quiet hours');
				until := v_step;
			END IF;
		END IF;
		EXIT WHEN until IS NULL;
		v_step := @extschema@.va_contact_rested(p_lead.id, v_channel, v_settings, until);
		EXIT WHEN v_step = until;
		why := coalesce(why, 'attempt limit');
		until := v_step;
	END LOOP;
	IF why IS NULL THEN
		until := NULL;
	ELSE
		verdict := 'not_now';
	END IF;
	RETURN NEXT;
END
$$;

-- verdict: yes; not_now, and then until when (NULL: no time is open); never. why: in words.
CREATE FUNCTION @extschema@.va_may_contact(lead uuid, channel text, at timestamptz DEFAULT now())
	RETURNS TABLE (verdict text, until timestamptz, why text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_of(lead);
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

-- Writes down what an address allows or forbids, as it was said.
CREATE FUNCTION @extschema@.va_consent_record(tenant uuid, address text, channel text, granted boolean, how text, what text DEFAULT NULL,
	source text DEFAULT NULL, proof jsonb DEFAULT '{}', at timestamptz DEFAULT now()) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_address text := @extschema@.va_contact_address(va_consent_record.address);
	v_channel text := @extschema@.va_contact_channel(va_consent_record.channel);
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	IF v_channel IS NULL OR va_consent_record.granted IS NULL OR @extschema@.va_filled(va_consent_record.how) IS NULL THEN
		RAISE EXCEPTION 'a consent has a channel, a yes or no, and a how' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.consents (tenant_id, lead_id, address, channel, granted, what, how, source, proof, at)
	VALUES (tenant, (SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = tenant AND (l.phone = v_address OR lower(l.email) = v_address)
					 ORDER BY l.created_at, l.id LIMIT 1),
		v_address, v_channel, va_consent_record.granted, va_consent_record.what, va_consent_record.how, va_consent_record.source,
		coalesce(va_consent_record.proof, '{}'), coalesce(va_consent_record.at, now()))
	RETURNING id INTO v_id;
	RETURN v_id;
END
$$;

-- Nothing more to this address: what is planned is withdrawn in the same transaction. Returns how many messages and
-- tasks that were.
CREATE FUNCTION @extschema@.va_opt_out(tenant uuid, address text, channel text DEFAULT 'all', how text DEFAULT 'asked') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_address text := @extschema@.va_contact_address(va_opt_out.address);
	v_channel text := @extschema@.va_contact_channel(coalesce(va_opt_out.channel, 'all'));
	v_leads uuid[];
	v_messages integer;
	v_tasks integer;
BEGIN
	PERFORM @extschema@.va_consent_record(tenant, v_address, v_channel, false, coalesce(va_opt_out.how, 'asked'));
	INSERT INTO @extschema@.do_not_contact (tenant_id, address_hash, address, channel, how)
	VALUES (tenant, @extschema@.va_address_hash(v_address), v_address, v_channel, coalesce(va_opt_out.how, 'asked'))
	ON CONFLICT ON CONSTRAINT do_not_contact_key DO UPDATE SET address = excluded.address;
	v_leads := ARRAY(SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = tenant AND (l.phone = v_address OR lower(l.email) = v_address));
	UPDATE @extschema@.notifications n SET status = 'cancelled', error_message = 'opted out'
	WHERE n.tenant_id = tenant AND n.status = 'pending' AND n.direction IS DISTINCT FROM 'inbound'
	  AND (v_channel = 'all' OR n.channel = v_channel)
	  AND (lower(n.to_address) = v_address OR n.lead_id = ANY (v_leads) AND (n.channel = 'email') = (v_address LIKE '%@%'));
	GET DIAGNOSTICS v_messages = ROW_COUNT;
	UPDATE @extschema@.follow_up_tasks f SET status = 'cancelled', result = '{"why": "opted out"}'
	WHERE f.tenant_id = tenant AND f.status = 'pending' AND f.lead_id = ANY (v_leads)
	  AND f.task_type IN ('call', 'sms', 'whatsapp', 'email') AND (v_channel = 'all' OR f.task_type = v_channel)
	  AND (f.task_type = 'email') = (v_address LIKE '%@%');
	GET DIAGNOSTICS v_tasks = ROW_COUNT;
	PERFORM @extschema@.va_emit(tenant, 'opted_out', NULL, v_leads[1], jsonb_build_object('channel', v_channel, 'how', va_opt_out.how));
	RETURN v_messages + v_tasks;
END
$$;

-- The person wants to hear from us again. True when something had stood in the way.
CREATE FUNCTION @extschema@.va_opt_in(tenant uuid, address text, channel text DEFAULT 'all', how text DEFAULT 'asked') RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_address text := @extschema@.va_contact_address(va_opt_in.address);
	v_channel text := @extschema@.va_contact_channel(coalesce(va_opt_in.channel, 'all'));
	v_found boolean;
BEGIN
	PERFORM @extschema@.va_consent_record(tenant, v_address, v_channel, true, coalesce(va_opt_in.how, 'asked'));
	DELETE FROM @extschema@.do_not_contact d
	WHERE d.tenant_id = tenant AND d.address_hash = @extschema@.va_address_hash(v_address) AND (v_channel = 'all' OR d.channel = v_channel);
	v_found := FOUND;
	PERFORM @extschema@.va_emit(tenant, 'opted_in', NULL, NULL, jsonb_build_object('channel', v_channel, 'how', va_opt_in.how));
	RETURN v_found;
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
			'recording_duration', 'sentiment_score', 'outcome', 'created_at', 'updated_at', 'phone_number_id'));
	v_count integer;
BEGIN
	-- Not as an effect of the call, which is about to be forgotten with all that is the person's.
	PERFORM @extschema@.va_recording_drop(c.tenant_id, NULL, c.recording_sid) FROM @extschema@.calls c WHERE c.id = ANY (p_calls);
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
BEGIN
	RETURN make_interval(days => least(@extschema@.va_number(coalesce(nullif(p_settings -> 'retention_days', 'null'), '{}')
		|| CASE WHEN p_settings -> 'retention_days' ? p_kind THEN '{}'
				ELSE coalesce(@extschema@.va_setting('{}', 'retention_days'), '{}') END, p_kind), 100000)::integer);
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
		FOR v_ids IN SELECT ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.ended_at < now() - v_age
			AND c.recording_url IS NOT NULL LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
		LOOP
			PERFORM @extschema@.va_recording_drop(p_tenant, c.id, c.recording_sid) FROM @extschema@.calls c WHERE c.id = ANY (v_ids);
			PERFORM @extschema@.va_emit(p_tenant, 'recording_expired', c.id, c.lead_id,
				jsonb_build_object('recording_sid', c.recording_sid, 'url', c.recording_url)) FROM @extschema@.calls c WHERE c.id = ANY (v_ids);
			UPDATE @extschema@.calls c SET recording_url = NULL, recording_sid = NULL WHERE c.id = ANY (v_ids);
			v_done := v_done || jsonb_build_object('recordings', cardinality(v_ids) + @extschema@.va_files_forget(p_tenant, 'recording', v_age, p_limit));
		END LOOP;
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
	@extschema@.va_opt_in(uuid, text, text, text), @extschema@.va_opt_out_keyword(text), @extschema@.va_number_zone(text),
	@extschema@.va_consent_record(uuid, text, text, boolean, text, text, text, jsonb, timestamptz),
	@extschema@.va_export_person(uuid, text, text), @extschema@.va_erase_person(uuid, text, text)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_retention_apply(integer), @extschema@.va_address_hash(text) TO voiceagent_admin;
