-- E-mail: how a row of notifications becomes a mail by SendGrid or SMTP, what SendGrid tells of it afterwards, mails that
-- come in, and the way out for people who want none.

ALTER TABLE @extschema@.notifications
	ADD COLUMN message_id TEXT,              -- the mail's Message-ID, without angle brackets
	ADD COLUMN reply_to_id UUID, -- what it answers. No foreign key: of rows that point at each other pg_dump restores none first
	-- Outbound: [{"filename", "type", "content" in base64}]. Inbound: [{"filename", "type", "size"}].
	ADD COLUMN attachments JSONB NOT NULL DEFAULT '[]' CONSTRAINT notifications_attachments CHECK (jsonb_typeof(attachments) = 'array');
CREATE INDEX idx_notifications_message_id ON @extschema@.notifications (tenant_id, message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX idx_notifications_inbound ON @extschema@.notifications (tenant_id, message_id)
	WHERE channel = 'email' AND direction = 'inbound';
CREATE INDEX idx_notifications_reply_to ON @extschema@.notifications (reply_to_id) WHERE reply_to_id IS NOT NULL;

-- What SendGrid told, each event once.
CREATE TABLE @extschema@.email_events (
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	event_id TEXT NOT NULL,                  -- sg_event_id
	notification_id UUID REFERENCES @extschema@.notifications(id) ON DELETE CASCADE,
	event TEXT NOT NULL,                     -- processed, delivered, open, ...
	at TIMESTAMPTZ NOT NULL,                 -- when it happened
	to_address TEXT,
	data JSONB NOT NULL DEFAULT '{}',        -- reason, status, type, url, ...
	received_at TIMESTAMPTZ NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX idx_email_events_notification ON @extschema@.email_events (notification_id, at);

-- A mail is not repeated when its outcome is unknown: SendGrid's events tell, a mail server does not.
INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
('sendgrid.mail', 'sends an e-mail by SendGrid', 'va_prepare_sendgrid_mail', 'va_settle_email', false, 'callback', 'bulk', 8, 30000, true),
('smtp.mail', 'sends an e-mail by SMTP', 'va_prepare_smtp_mail', 'va_settle_email', false, 'person', 'bulk', 8, 120000, true);

-- ---- settings -----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_email_address_good(text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce($1 ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$'
					AND length($1) <= 254, false);

CREATE FUNCTION @extschema@.va_check_email_templates(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text := (SELECT min(e.key) FROM jsonb_each(p_value) e WHERE (jsonb_typeof(e.value) = 'string' AND e.value #>> '{}' ~ '^d-[0-9a-f]{32}$') IS NOT TRUE);
BEGIN
	IF v_key IS NOT NULL THEN
		PERFORM @extschema@.va_refuse_setting(p_name || '.' || v_key, 'is not a dynamic template', 'Its id is d- and 32 hexadecimal digits.');
	END IF;
END
$$;

-- (A P-256 key has 91 bytes, of which the first 27 are always the same.)
INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, allowed, pattern, expected, open, checked_by, default_value, unit, description, is_builtin)
SELECT x.name, x.types::text[], x.minimum, x.maximum, x.allowed::text[], x.pattern, x.expected, x.open, x.checked_by, x.default_value::jsonb, x.unit, x.description, true FROM (VALUES
('email', '{object}', NULL, NULL, NULL, NULL, NULL, false, NULL, '{}', NULL, 'How e-mails are sent.'),
('email.alarm_minutes', '{integer}', -1, 40320, NULL, NULL, NULL, false, NULL, '15', 'minutes', 'When an invitation''s alarm rings before the appointment; -1: not at all.'),
('email.calendar_style', '{text}', NULL, NULL, '{alternative,attachment,both}', NULL, NULL, false, NULL, '"alternative"', NULL,
 'Where an invitation stands in its e-mail: beside the text, as a file, or both.'),
('email.event_key', '{text}', NULL, NULL, NULL, '^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==$', 'the verification key that SendGrid shows where the webhook''s signature is switched on; it begins with MFkw', false, NULL, NULL, NULL,
 'By which key SendGrid signs its Event Webhook.'),
('email.from', '{text}', 0, 254, NULL, '^[^@[:space:]<>"]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+$', 'an e-mail address', false, NULL, NULL, NULL, 'The sender''s address, and the organizer of invitations.'),
('email.from_name', '{text}', 1, 100, NULL, NULL, NULL, false, NULL, NULL, NULL, 'The sender''s name; unset: the tenant''s.'),
('email.inbound_key', '{text}', NULL, NULL, NULL, '^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==$', 'the verification key of the security policy; it begins with MFkw', false, NULL, NULL, NULL,
 'By which key SendGrid signs what its Inbound Parse posts.'),
('email.provider', '{text}', NULL, NULL, '{sendgrid,smtp}', NULL, NULL, false, NULL, NULL, NULL, 'By which service; unset: SendGrid where there is an API key, else SMTP where there is a host.'),
('email.region', '{text}', NULL, NULL, '{global,eu}', NULL, NULL, false, NULL, '"global"', NULL, 'Where the SendGrid account is.'),
('email.reply_domain', '{text}', 0, 190, NULL, '^[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z0-9-]+$', 'a domain', false, NULL, NULL, NULL, 'The host of SendGrid''s Inbound Parse: answers go to an address of each mail''s own there.'),
('email.reply_to', '{text}', 0, 254, NULL, '^[^@[:space:]<>"]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+$', 'an e-mail address', false, NULL, NULL, NULL, 'Where answers go, where there is no reply_domain.'),
('email.sandbox', '{boolean}', NULL, NULL, NULL, NULL, NULL, false, NULL, 'false', NULL, 'SendGrid checks the mails and sends none.'),
('email.templates', '{object}', NULL, NULL, NULL, NULL, NULL, true, 'va_check_email_templates', '{}', NULL, 'SendGrid''s dynamic templates, by the name in notifications.template_id.'),
('email.unsubscribe', '{text}', NULL, NULL, '{always,promotional,never}', NULL, NULL, false, NULL, '"promotional"', NULL,
 'Which mails hold a link to get no more: all, those that are not about a booked appointment, or none.'),
('smtp', '{object}', NULL, NULL, NULL, NULL, NULL, false, NULL, '{}', NULL, 'The mail server; its password is the secret smtp_password.'),
('smtp.host', '{text}', 1, 253, NULL, '^[A-Za-z0-9._:-]+$', 'the name of a host', false, NULL, NULL, NULL, 'Name or address.'),
('smtp.port', '{integer}', 1, 65535, NULL, NULL, NULL, false, NULL, NULL, NULL, 'Unset: 465 for tls, else 587.'),
('smtp.security', '{text}', NULL, NULL, '{starttls,tls,none}', NULL, NULL, false, NULL, '"starttls"', NULL, 'TLS demanded after the greeting, TLS from the first byte, or none.'),
('smtp.user', '{text}', 1, 254, NULL, NULL, NULL, false, NULL, NULL, NULL, 'Unset: no authentication.')) AS x (name, types, minimum, maximum, allowed, pattern, expected, open, checked_by, default_value, unit, description);

-- A setting that is an object: the platform's members under the tenant's own.
CREATE FUNCTION @extschema@.va_setting_object(p_settings jsonb, p_name text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce(nullif(@extschema@.va_setting('{}', p_name), 'null'), '{}')
		|| jsonb_strip_nulls(coalesce(nullif(p_settings -> p_name, 'null'), '{}'));
END
$$;

-- By which service a tenant's mail goes: what it says, else the one that is set up; NULL: none is.
CREATE FUNCTION @extschema@.va_email_provider(p_tenant uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant);
BEGIN
	RETURN coalesce(@extschema@.va_setting_object(v_settings, 'email') ->> 'provider',
		CASE WHEN EXISTS (SELECT FROM @extschema@.tenant_secrets s WHERE s.name = 'sendgrid_api_key'
						  AND (s.tenant_id = p_tenant OR s.tenant_id IS NULL)) THEN 'sendgrid'
			 WHEN @extschema@.va_setting_object(v_settings, 'smtp') ? 'host' THEN 'smtp' END);
END
$$;

-- Puts an e-mail of notifications into the outbox; the same one again is the same effect. NULL for a row that is no
-- outgoing mail, or over. A tenant without a provider gets a dead letter that says what to set.
CREATE FUNCTION @extschema@.va_email_queue(p_notification uuid, p_lane text DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_mail @extschema@.notifications;
	v_due timestamptz;
	v_id bigint;
BEGIN
	SELECT * INTO v_mail FROM @extschema@.notifications n WHERE n.id = p_notification;
	v_due := coalesce(v_mail.scheduled_for, now());
	IF v_mail.id IS NULL OR v_mail.channel <> 'email' OR v_mail.direction IS DISTINCT FROM 'outbound'
	   OR v_mail.status NOT IN ('pending', 'queued') THEN
		RETURN NULL;
	END IF;
	v_id := @extschema@.va_outbox_add(v_mail.tenant_id, coalesce(@extschema@.va_email_provider(v_mail.tenant_id), 'smtp') || '.mail',
		'notification:' || v_mail.id, '{}', v_due, p_lane, v_mail.lead_id, NULL, v_mail.id, v_mail.appointment_id);
	-- Planned for an earlier time than before. (For a later one the prepare function waits.)
	UPDATE @extschema@.outbox o SET run_at = v_due WHERE o.id = v_id AND o.state = 'later' AND o.run_at > v_due;
	RETURN v_id;
END
$$;

-- ---- the way out --------------------------------------------------------------------------------

-- What stands in the link of a mail: tenant and address, sealed with the server's key, so that nobody can make one for
-- somebody else and nothing has to be stored.
CREATE FUNCTION @extschema@.va_unsubscribe_token(p_tenant uuid, p_address text) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN rtrim(translate(encode(@extschema@.va_encrypt(p_tenant::text || lower(p_address), 'unsubscribe'), 'base64'), '+/' || chr(10), '-_'), '=');
END
$$;

CREATE FUNCTION @extschema@.va_unsubscribe_open(p_token text, OUT tenant uuid, OUT address text) RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_text text;
BEGIN
	IF p_token !~ '^[A-Za-z0-9_-]+$' OR length(p_token) NOT BETWEEN 40 AND 1000 THEN
		RETURN;
	END IF;
	v_text := @extschema@.va_decrypt(decode(translate(p_token, '-_', '+/') || repeat('=', (4 - length(p_token) % 4) % 4), 'base64'), 'unsubscribe');
	tenant := left(v_text, 36)::uuid;
	address := substr(v_text, 37);
EXCEPTION WHEN data_exception OR SQLSTATE 'VA007' THEN
	tenant := NULL; -- not made by us, or with a key that is gone
END
$$;

CREATE FUNCTION @extschema@.va_html_escape(text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN replace(replace(replace(replace($1, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');

-- GET shows a button and changes nothing, since scanners of mail open every link. POST is the button, or a mailbox
-- provider's one click (RFC 8058).
CREATE FUNCTION @extschema@.va_webhook_unsubscribe(p_token text, p_post boolean, p_gateway text) RETURNS TABLE (http_status integer, body text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_who record;
	v_company text;
	v_text text;
BEGIN
	SELECT * INTO v_who FROM @extschema@.va_unsubscribe_open(coalesce(p_token, ''));
	SELECT @extschema@.va_html_escape(t.name) INTO v_company FROM @extschema@.tenants t WHERE t.id = v_who.tenant;
	IF v_company IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'rejected.unsubscribe');
		http_status := 404;
		v_text := '<p>This link is not valid any more. Answer the e-mail with the word <b>unsubscribe</b> instead.</p>';
	ELSIF p_post THEN
		IF NOT EXISTS (SELECT FROM @extschema@.do_not_contact d WHERE d.tenant_id = v_who.tenant AND d.channel = 'email'
					   AND d.address_hash = @extschema@.va_address_hash(v_who.address)) THEN
			PERFORM @extschema@.va_opt_out_now(v_who.tenant, lower(v_who.address), 'email', 'unsubscribe link', '{"source": "link in an e-mail"}');
		END IF;
		http_status := 200;
		v_text := format('<p>Done. You get no more e-mails from %s.</p>', v_company);
	ELSE
		http_status := 200;
		v_text := format('<p>No more e-mails from %s to %s?</p><form method="post"><button type="submit" name="List-Unsubscribe" '
			'value="One-Click">Unsubscribe</button></form>', v_company, @extschema@.va_html_escape(v_who.address));
	END IF;
	body := '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
		'<meta name="robots" content="noindex"><title>Unsubscribe</title></head><body>' || v_text || '</body></html>';
	RETURN NEXT;
END
$$;

-- ---- preparing a mail ---------------------------------------------------------------------------

-- Plain text as simple HTML: paragraphs, line ends, links.
CREATE FUNCTION @extschema@.va_text_html(p_text text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN '<html><body><p>' || regexp_replace(regexp_replace(regexp_replace(regexp_replace(@extschema@.va_html_escape(p_text),
		'\r\n?', E'\n', 'g'), '(https?://[^\s<]*[^\s<.,;:!?)])', '<a href="\1">\1</a>', 'g'),
		'\n{2,}', '</p><p>', 'g'), '\n', '<br>', 'g') || '</p></body></html>';
END
$$;

-- Does this mail tell how to get no more of them? Those about a booked appointment need not.
CREATE FUNCTION @extschema@.va_email_promotional(p_mail @extschema@.notifications, p_email jsonb) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN CASE coalesce(p_email ->> 'unsubscribe', 'promotional') WHEN 'always' THEN p_mail.notification_type IS DISTINCT FROM 'internal'
		WHEN 'never' THEN false
		ELSE coalesce(p_mail.notification_type, '') NOT IN ('confirmation', 'reminder', 'cancellation', 'internal', 'reply') END;
END
$$;

-- The mail as src/core/mail.h has it, without what depends on the provider.
CREATE FUNCTION @extschema@.va_email_message(o @extschema@.outbox, p_mail @extschema@.notifications, p_email jsonb, p_company text) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_from text := p_email ->> 'from';
	v_link text := CASE WHEN @extschema@.va_email_promotional(p_mail, p_email)
		THEN @extschema@.va_public_url() || '/unsubscribe?t=' || @extschema@.va_unsubscribe_token(p_mail.tenant_id, p_mail.to_address) END;
	v_answers text := (SELECT n.message_id FROM @extschema@.notifications n WHERE n.id = p_mail.reply_to_id);
	v_name text := (SELECT @extschema@.va_filled(concat_ws(' ', l.first_name, l.last_name)) FROM @extschema@.leads l WHERE l.id = p_mail.lead_id);
	v_body text := coalesce(p_mail.body, '');
	v_template text := p_email -> 'templates' ->> p_mail.template_id;
BEGIN
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'from', jsonb_build_object('email', v_from, 'name', coalesce(p_email ->> 'from_name', p_company)),
		'to', jsonb_build_array(jsonb_build_object('email', p_mail.to_address, 'name', v_name)),
		'reply_to', CASE WHEN p_email ? 'reply_domain'
				THEN jsonb_build_object('email', 'reply+' || replace(p_mail.id::text, '-', '') || '@' || (p_email ->> 'reply_domain'))
			WHEN p_email ? 'reply_to' THEN jsonb_build_object('email', p_email ->> 'reply_to') END,
		'subject', coalesce(@extschema@.va_filled(p_mail.subject), p_company),
		'text', v_body || CASE WHEN v_link IS NULL THEN '' ELSE E'\n\n-- \nNo more e-mails from ' || p_company || ': ' || v_link END,
		'html', coalesce(p_mail.template_data ->> 'html', @extschema@.va_text_html(v_body))
			|| CASE WHEN v_link IS NULL THEN '' ELSE '<p style="font-size:small"><a href="' || v_link || '">No more e-mails from '
					|| @extschema@.va_html_escape(p_company) || '</a></p>' END,
		'headers', jsonb_strip_nulls(jsonb_build_object(
			'List-Unsubscribe', '<' || v_link || '>',
			'List-Unsubscribe-Post', CASE WHEN v_link LIKE 'https:%' THEN 'List-Unsubscribe=One-Click' END,
			'In-Reply-To', '<' || v_answers || '>', 'References', '<' || v_answers || '>',
			'Auto-Submitted', CASE WHEN p_mail.notification_type IN ('confirmation', 'reminder', 'cancellation', 'internal') THEN 'auto-generated' END)),
		'message_id', 'va-' || left(encode(sha256(convert_to(o.tenant_id::text || ' ' || o.kind || ' ' || o.attempt_key, 'UTF8')), 'hex'), 32)
			|| '@' || split_part(v_from, '@', 2),
		'date', floor(extract(epoch FROM now()))::bigint,
		'attachments', p_mail.attachments,
		'calendar', @extschema@.va_email_calendar(p_mail, p_email, p_company), 'calendar_style', p_email -> 'calendar_style',
		'template_id', v_template,
		'template_data', CASE WHEN v_template IS NOT NULL THEN coalesce(p_mail.template_data, '{}') || jsonb_build_object('subject', p_mail.subject,
			'body', v_body, 'company', p_company, 'name', coalesce(v_name, ''), 'unsubscribe_url', coalesce(v_link, '')) END,
		'categories', CASE WHEN p_mail.notification_type IS NOT NULL THEN jsonb_build_array(p_mail.notification_type) END,
		'custom_args', jsonb_build_object('va_tenant', o.tenant_id, 'va_key', o.attempt_key, 'va_notification', p_mail.id),
		'sandbox', p_email -> 'sandbox'));
END
$$;

-- Why a mail cannot or may not go now, as the prepare functions answer it; NULL: it may.
CREATE FUNCTION @extschema@.va_email_obstacle(p_mail @extschema@.notifications, p_email jsonb, p_status text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_verdict record;
BEGIN
	IF p_mail.id IS NULL THEN
		RETURN '{"skip": "the message is gone"}';
	ELSIF p_mail.status NOT IN ('pending', 'queued', 'sending', 'failed') THEN
		RETURN jsonb_build_object('skip', coalesce(p_mail.error_message, 'the message is ' || p_mail.status));
	ELSIF p_mail.status = 'pending' AND p_mail.scheduled_for > now() THEN
		RETURN jsonb_build_object('defer', p_mail.scheduled_for, 'why', 'planned for later');
	ELSIF @extschema@.va_appointment_message_stale(p_mail) IS NOT NULL THEN
		RETURN jsonb_build_object('skip', @extschema@.va_appointment_message_stale(p_mail));
	ELSIF p_status IS DISTINCT FROM 'active' THEN
		RETURN '{"fail": {"code": "inactive_tenant", "text": "the tenant is not active", "hint": "Set the tenant''s status to active."}}';
	ELSIF NOT p_email ? 'from' THEN
		RETURN '{"fail": {"code": "not_set_up", "text": "the tenant has no sender address", "hint": "Set \"from\" in the setting email, to an address that the service may send from."}}';
	ELSIF NOT @extschema@.va_email_address_good(p_mail.to_address) THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'bad_address', 'text', format('"%s" is not an e-mail address', left(p_mail.to_address, 100)),
			'hint', 'Correct the lead''s address.'));
	ELSIF p_mail.notification_type = 'internal' THEN
		RETURN NULL;
	ELSIF EXISTS (SELECT FROM @extschema@.do_not_contact d WHERE d.address_hash = @extschema@.va_address_hash(lower(p_mail.to_address))
				  AND (d.tenant_id = p_mail.tenant_id OR d.tenant_id IS NULL) AND d.channel IN ('email', 'all')) THEN
		RETURN '{"skip": "on the do-not-contact list"}';
	END IF;
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_mail.lead_id;
	IF v_lead.id IS NOT NULL THEN
		SELECT * INTO v_verdict FROM @extschema@.va_contact_verdict(v_lead, 'email', now(), p_mail.id);
		IF v_verdict.verdict = 'not_now' AND v_verdict.until IS NOT NULL THEN
			RETURN jsonb_build_object('defer', v_verdict.until, 'why', v_verdict.why);
		ELSIF v_verdict.verdict <> 'yes' THEN
			RETURN jsonb_build_object('skip', v_verdict.why);
		END IF;
	END IF;
	RETURN NULL;
END
$$;

-- The common part of both kinds: the request with its message, or why there is none.
CREATE FUNCTION @extschema@.va_email_prepare(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_mail @extschema@.notifications;
	v_tenant @extschema@.tenants;
	v_email jsonb;
	v_obstacle jsonb;
	v_message jsonb;
BEGIN
	SELECT * INTO v_mail FROM @extschema@.notifications n WHERE n.id = o.notification_id AND n.tenant_id = o.tenant_id FOR NO KEY UPDATE;
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = o.tenant_id;
	v_email := @extschema@.va_setting_object(v_tenant.settings, 'email');
	v_obstacle := @extschema@.va_email_obstacle(v_mail, v_email, v_tenant.status);
	IF v_obstacle IS NOT NULL THEN
		RETURN v_obstacle;
	END IF;
	v_message := @extschema@.va_email_message(o, v_mail, v_email, v_tenant.name);
	UPDATE @extschema@.notifications n SET status = 'sending', from_address = left(v_email ->> 'from', 255), message_id = v_message ->> 'message_id'
	WHERE n.id = v_mail.id;
	RETURN jsonb_build_object('message', v_message);
END
$$;

CREATE FUNCTION @extschema@.va_prepare_sendgrid_mail(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_request jsonb;
	v_key text;
	v_base text := coalesce(nullif(current_setting('voiceagent.sendgrid_base_url', true), ''), 'https://api.sendgrid.com');
	v_email jsonb := @extschema@.va_setting_object((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = o.tenant_id), 'email');
BEGIN
	v_key := @extschema@.va_secret_read(o.tenant_id, 'sendgrid_api_key');
	IF v_key IS NULL THEN
		RETURN '{"fail": {"code": "not_set_up", "text": "the tenant has no SendGrid API key", "hint": "Make one with the scope mail.send and store it: SELECT va_secret_set(tenant, ''sendgrid_api_key'', ''SG.…'')."}}';
	END IF;
	v_request := @extschema@.va_email_prepare(o);
	IF NOT v_request ? 'message' THEN
		RETURN v_request;
	END IF;
	IF v_base = 'https://api.sendgrid.com' AND v_email ->> 'region' = 'eu' THEN
		v_base := 'https://api.eu.sendgrid.com';
	END IF;
	RETURN v_request || jsonb_build_object('base_url', v_base, 'api_key', v_key);
END
$$;

CREATE FUNCTION @extschema@.va_prepare_smtp_mail(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_request jsonb;
	v_smtp jsonb := @extschema@.va_setting_object((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = o.tenant_id), 'smtp');
	v_security text := coalesce(v_smtp ->> 'security', 'starttls');
	v_password text;
BEGIN
	IF NOT v_smtp ? 'host' THEN
		RETURN '{"fail": {"code": "not_set_up", "text": "the tenant has no service for e-mail", "hint": "Set \"host\" in the setting smtp, or store a SendGrid API key (va_secret_set, sendgrid_api_key)."}}';
	END IF;
	v_password := @extschema@.va_secret_read(o.tenant_id, 'smtp_password');
	IF v_smtp ? 'user' AND v_password IS NULL THEN
		RETURN '{"fail": {"code": "not_set_up", "text": "the password of the mail server is missing", "hint": "SELECT va_secret_set(tenant, ''smtp_password'', ''…'')."}}';
	END IF;
	v_request := @extschema@.va_email_prepare(o);
	IF NOT v_request ? 'message' THEN
		RETURN v_request;
	END IF;
	-- Whose server it is decides whether it may stand in the administrator's own network.
	RETURN v_request || jsonb_strip_nulls(jsonb_build_object('host', v_smtp ->> 'host', 'security', v_security,
		'port', coalesce((v_smtp ->> 'port')::numeric::integer, CASE v_security WHEN 'tls' THEN 465 ELSE 587 END), 'user', v_smtp ->> 'user', 'password', v_password,
		'tenant_url', (SELECT coalesce(t.settings -> 'smtp' ? 'host', false) FROM @extschema@.tenants t WHERE t.id = o.tenant_id)));
END
$$;

-- ---- what became of it --------------------------------------------------------------------------

-- How far a mail has come. A later stage is never taken back by an earlier one.
CREATE FUNCTION @extschema@.va_email_rank(p_status text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE coalesce(p_status, '') WHEN '' THEN -1 WHEN 'pending' THEN 0 WHEN 'queued' THEN 1 WHEN 'sending' THEN 2 WHEN 'failed' THEN 2 WHEN 'cancelled' THEN 2
		WHEN 'sent' THEN 3 WHEN 'delivered' THEN 4 WHEN 'undelivered' THEN 5 WHEN 'read' THEN 6 ELSE 9 END;

-- A failure in words, with what to do: the service's own words, or its status where it said nothing.
CREATE FUNCTION @extschema@.va_email_failure(p_result jsonb) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN concat_ws('. ', rtrim(coalesce(@extschema@.va_filled(p_result ->> 'text'), @extschema@.va_outbox_words(p_result - 'text')), '.'),
		p_result ->> 'hint');
END
$$;

CREATE FUNCTION @extschema@.va_settle_email(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_words text := coalesce(p_result ->> 'why', @extschema@.va_email_failure(p_result));
BEGIN
	CASE p_outcome
		WHEN 'done' THEN
			UPDATE @extschema@.notifications n SET sent_at = coalesce(n.sent_at, now()), error_message = NULL, error_code = NULL, error_hint = NULL,
				status = CASE WHEN @extschema@.va_email_rank(n.status) < 3 THEN 'sent' ELSE n.status END,
				external_id = coalesce(left(p_result ->> 'message_id', 100), n.external_id)
			WHERE n.id = o.notification_id AND n.tenant_id = o.tenant_id;
		WHEN 'unknown' THEN
			UPDATE @extschema@.notifications n SET error_message = 'It is not known whether this e-mail was sent: ' || v_words
			WHERE n.id = o.notification_id AND n.tenant_id = o.tenant_id AND @extschema@.va_email_rank(n.status) < 3;
		ELSE
			UPDATE @extschema@.notifications n SET error_message = coalesce(n.error_message, v_words), error_code = p_result ->> 'code', error_hint = p_result ->> 'hint',
				status = CASE p_outcome WHEN 'skipped' THEN 'cancelled' ELSE 'failed' END
			WHERE n.id = o.notification_id AND n.tenant_id = o.tenant_id AND n.status IN ('pending', 'queued', 'sending');
	END CASE;
END
$$;

-- ---- SendGrid's events --------------------------------------------------------------------------

-- What an event says in words, for error_message.
CREATE FUNCTION @extschema@.va_email_event_words(p_event jsonb) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN left(CASE p_event ->> 'event'
		WHEN 'bounce' THEN CASE WHEN p_event ->> 'type' = 'blocked' THEN 'The recipient''s server refused it for now' ELSE 'The address does not exist or takes no mail' END
		WHEN 'dropped' THEN 'SendGrid did not send it'
		WHEN 'deferred' THEN 'The recipient''s server asks to try again later' END
		|| coalesce(': ' || coalesce(p_event ->> 'reason', p_event ->> 'response'), '')
		|| CASE WHEN p_event ->> 'event' = 'dropped' AND p_event ->> 'reason' IN ('Bounced Address', 'Unsubscribed Address', 'Spam Reporting Address')
			THEN ' (remove it from SendGrid''s suppression list to write to it again)' ELSE '' END, 1000);
END
$$;

CREATE FUNCTION @extschema@.va_email_event_apply(p_mail uuid, p_event jsonb, p_at timestamptz) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_status text := CASE p_event ->> 'event' WHEN 'processed' THEN 'sent' WHEN 'delivered' THEN 'delivered'
		WHEN 'open' THEN CASE WHEN NOT coalesce((p_event ->> 'machine')::boolean, false) THEN 'read' END WHEN 'click' THEN 'read'
		WHEN 'bounce' THEN 'undelivered' WHEN 'dropped' THEN 'undelivered' END;
BEGIN
	UPDATE @extschema@.notifications n SET
		status = CASE WHEN @extschema@.va_email_rank(v_status) > @extschema@.va_email_rank(n.status) THEN v_status ELSE n.status END,
		sent_at = CASE WHEN p_event ->> 'event' IN ('processed', 'delivered', 'bounce') THEN least(coalesce(n.sent_at, p_at), p_at) ELSE n.sent_at END,
		delivered_at = CASE WHEN v_status IN ('delivered', 'read') THEN least(coalesce(n.delivered_at, p_at), p_at) ELSE n.delivered_at END,
		read_at = CASE WHEN v_status = 'read' THEN least(coalesce(n.read_at, p_at), p_at) ELSE n.read_at END,
		external_id = coalesce(n.external_id, left(p_event ->> 'message_id', 100)),
		error_message = CASE WHEN v_status = 'undelivered' AND n.status <> 'read' THEN @extschema@.va_email_event_words(p_event)
			WHEN v_status IN ('delivered', 'read') AND n.status <> 'undelivered' THEN NULL
			WHEN p_event ->> 'event' = 'deferred' AND @extschema@.va_email_rank(n.status) <= 3 THEN @extschema@.va_email_event_words(p_event)
			ELSE n.error_message END
	WHERE n.id = p_mail;
END
$$;

-- One event. False when it came before, or belongs to nobody here.
CREATE FUNCTION @extschema@.va_email_event(p_tenant uuid, p_event jsonb) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_uuid text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
	v_tenant uuid := coalesce(CASE WHEN p_event ->> 'tenant' ~ v_uuid THEN (p_event ->> 'tenant')::uuid END, p_tenant);
	v_at timestamptz := to_timestamp((p_event ->> 'at')::double precision);
	v_kind text := p_event ->> 'event';
	v_mail @extschema@.notifications;
	v_address text := lower(p_event ->> 'to');
BEGIN
	-- A tenant's own key speaks for that tenant alone.
	IF v_tenant IS NULL OR p_tenant IS NOT NULL AND p_tenant <> v_tenant OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = v_tenant) THEN
		RETURN false;
	END IF;
	SELECT * INTO v_mail FROM @extschema@.notifications n WHERE n.tenant_id = v_tenant AND n.direction = 'outbound'
		AND CASE WHEN p_event ->> 'notification' ~ v_uuid THEN n.id = (p_event ->> 'notification')::uuid ELSE n.external_id = p_event ->> 'message_id' END
		LIMIT 1;
	INSERT INTO @extschema@.email_events (tenant_id, event_id, notification_id, event, at, to_address, data)
	VALUES (v_tenant, p_event ->> 'event_id', v_mail.id, v_kind, v_at, v_address,
		p_event - ARRAY['event_id', 'event', 'at', 'to', 'tenant', 'key', 'notification'])
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	IF p_event ? 'key' THEN -- SendGrid has it, so an attempt without an answer has succeeded
		PERFORM @extschema@.va_outbox_found(v_tenant, 'sendgrid.mail', left(p_event ->> 'key', 200),
			jsonb_strip_nulls(jsonb_build_object('message_id', p_event -> 'message_id', 'by', 'event webhook')));
	END IF;
	IF v_mail.id IS NOT NULL THEN
		PERFORM @extschema@.va_email_event_apply(v_mail.id, p_event, v_at);
	END IF;
	IF v_kind IN ('spamreport', 'unsubscribe', 'group_unsubscribe') AND @extschema@.va_email_address_good(v_address) THEN
		PERFORM @extschema@.va_opt_out_now(v_tenant, v_address, 'email', CASE v_kind WHEN 'spamreport' THEN 'reported as spam' ELSE 'unsubscribed at SendGrid' END,
			p_event || jsonb_build_object('source', 'SendGrid event ' || (p_event ->> 'event_id')));
	END IF;
	IF v_kind IN ('bounce', 'dropped', 'spamreport') THEN
		PERFORM @extschema@.va_emit(v_tenant, 'email_' || v_kind, NULL, v_mail.lead_id, jsonb_build_object('notification_id', v_mail.id,
			'reason', p_event -> 'reason', 'type', p_event -> 'type'));
	END IF;
	RETURN true;
END
$$;

-- A delivery of the Event Webhook, once the gateway has found its signature right by the key of p_tenant (NULL: the
-- platform's). The oldest first; order does not matter but for the history.
CREATE FUNCTION @extschema@.va_webhook_email_events(p_tenant uuid, p_events jsonb, p_gateway text) RETURNS TABLE (http_status integer, body text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_event jsonb;
BEGIN
	-- The effects first, then the mails: the order in which the dispatcher settles. Both in an order of their own, so that
	-- two deliveries at once take their rows alike.
	PERFORM FROM @extschema@.outbox x
	WHERE (x.tenant_id, x.kind, x.attempt_key) IN (
		SELECT coalesce(@extschema@.va_uuid_try(e ->> 'tenant'), p_tenant), 'sendgrid.mail', left(e ->> 'key', 200) FROM jsonb_array_elements(p_events) e)
	ORDER BY x.id FOR UPDATE;
	FOR v_event IN SELECT e FROM jsonb_array_elements(p_events) e
				   ORDER BY e ->> 'notification', e ->> 'message_id', (e ->> 'at')::bigint, e ->> 'event_id' LOOP
		IF NOT @extschema@.va_email_event(p_tenant, v_event) THEN
			PERFORM @extschema@.va_count(p_gateway, 'email_events_passed_over');
		END IF;
	END LOOP;
	http_status := 200;
	RETURN NEXT;
END
$$;

-- ---- mails that come in -------------------------------------------------------------------------

-- Which of our mails it answers: by the address that only that mail had, else by the ids that it names.
CREATE FUNCTION @extschema@.va_email_answered(p_tenant uuid, p_mail jsonb) RETURNS @extschema@.notifications
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_found @extschema@.notifications;
BEGIN
	SELECT n.* INTO v_found FROM jsonb_array_elements_text(coalesce(p_mail -> 'to', '[]')) a,
		LATERAL (SELECT substring(a FROM '^reply\+([0-9a-f]{32})@')) t (token), @extschema@.notifications n
	WHERE t.token IS NOT NULL AND n.id = t.token::uuid AND n.direction = 'outbound' AND (p_tenant IS NULL OR n.tenant_id = p_tenant) LIMIT 1;
	IF v_found.id IS NULL AND p_tenant IS NOT NULL THEN
		SELECT n.* INTO v_found
		FROM (SELECT p_mail ->> 'in_reply_to' AS id, 0 AS place
			  UNION ALL SELECT r.id, r.place FROM jsonb_array_elements_text(coalesce(p_mail -> 'references', '[]')) WITH ORDINALITY r (id, place)) r
		JOIN @extschema@.notifications n ON n.tenant_id = p_tenant AND n.message_id = r.id AND n.direction = 'outbound'
		ORDER BY r.place = 0 DESC, r.place DESC LIMIT 1;
	END IF;
	RETURN v_found;
END
$$;

-- A mail, once the gateway has found that SendGrid brought it. One that belongs to nobody is dropped with 200, for it
-- would come again otherwise.
CREATE FUNCTION @extschema@.va_webhook_email_inbound(p_tenant uuid, p_mail jsonb, p_gateway text) RETURNS TABLE (http_status integer, body text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_answered @extschema@.notifications := @extschema@.va_email_answered(p_tenant, p_mail);
	v_tenant uuid := coalesce(v_answered.tenant_id, p_tenant);
	v_from text := p_mail ->> 'from';
	v_auto boolean := coalesce((p_mail ->> 'auto')::boolean, false);
	v_lead uuid;
	v_id uuid;
BEGIN
	http_status := 200;
	IF v_tenant IS NULL OR v_from IS NULL OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = v_tenant) THEN
		PERFORM @extschema@.va_count(p_gateway, 'rejected.email_to_nobody');
		RETURN NEXT;
		RETURN;
	END IF;
	v_lead := coalesce(v_answered.lead_id, (SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = v_tenant AND lower(l.email) = v_from
											ORDER BY l.updated_at DESC, l.id LIMIT 1));
	INSERT INTO @extschema@.notifications (tenant_id, lead_id, appointment_id, channel, direction, to_address, from_address, subject, body, status,
		notification_type, message_id, reply_to_id, attachments, template_data, error_message)
	VALUES (v_tenant, v_lead, v_answered.appointment_id, 'email', 'inbound', left(p_mail -> 'to' ->> 0, 255), left(v_from, 255),
		left(p_mail ->> 'subject', 255), p_mail ->> 'text', 'received',
		CASE WHEN v_auto THEN 'auto_reply' WHEN v_answered.id IS NOT NULL THEN 'reply' END,
		coalesce(p_mail ->> 'message_id', encode(sha256(convert_to(p_mail::text, 'UTF8')), 'hex')),
		v_answered.id, coalesce(p_mail -> 'attachments', '[]'),
		jsonb_strip_nulls(jsonb_build_object('from_name', p_mail -> 'from_name', 'full_text', p_mail -> 'full_text', 'spf', p_mail -> 'spf',
			'dkim', p_mail -> 'dkim', 'spam_score', p_mail -> 'spam_score', 'invitation', p_mail -> 'invitation')),
		CASE WHEN p_mail ? 'raw' THEN 'SendGrid posts the raw message: switch "POST the raw, full MIME message" off to get its text' END)
	ON CONFLICT (tenant_id, message_id) WHERE channel = 'email' AND direction = 'inbound' DO NOTHING
	RETURNING id INTO v_id;
	IF v_id IS NOT NULL THEN
		PERFORM @extschema@.va_email_received(v_id, v_answered, p_mail, v_auto);
	END IF;
	RETURN NEXT;
END
$$;

-- What follows from a mail that came in for the first time.
CREATE FUNCTION @extschema@.va_email_received(p_id uuid, p_answered @extschema@.notifications, p_mail jsonb, p_auto boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_mail @extschema@.notifications;
BEGIN
	SELECT * INTO v_mail FROM @extschema@.notifications n WHERE n.id = p_id;
	PERFORM @extschema@.va_emit(v_mail.tenant_id, 'email_received', NULL, v_mail.lead_id,
		jsonb_build_object('notification_id', p_id, 'reply_to_id', p_answered.id, 'auto', p_auto));
	IF p_mail ? 'invitation' THEN
		PERFORM @extschema@.va_invitation_answered(v_mail, p_mail -> 'invitation');
	END IF;
	IF p_auto THEN
		RETURN;
	END IF;
	IF p_answered.id IS NOT NULL THEN -- who answers has read it
		PERFORM @extschema@.va_email_event_apply(p_answered.id, '{"event": "click"}', now());
	END IF;
END
$$;

-- ---- what the gateway must know -----------------------------------------------------------------

-- By what a webhook of a tenant, or of the platform, is recognised.
CREATE FUNCTION @extschema@.va_gateway_email_config() RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_owner record;
	v_one jsonb;
	v_all jsonb := '[]';
BEGIN
	FOR v_owner IN
		SELECT NULL::uuid AS id, s.value AS email FROM @extschema@.settings s WHERE s.name = 'email'
		UNION ALL SELECT NULL, '{}' WHERE NOT EXISTS (SELECT FROM @extschema@.settings s WHERE s.name = 'email')
		UNION ALL SELECT t.id, t.settings -> 'email' FROM @extschema@.tenants t
		WHERE t.settings -> 'email' ?| ARRAY['event_key', 'inbound_key']
		   OR EXISTS (SELECT FROM @extschema@.tenant_secrets s WHERE s.tenant_id = t.id AND s.name = 'sendgrid_inbound_token')
	LOOP
		v_one := jsonb_build_object('tenant', coalesce(v_owner.id::text, ''), 'event_key', v_owner.email -> 'event_key', 'inbound_key', v_owner.email -> 'inbound_key');
		IF EXISTS (SELECT FROM @extschema@.tenant_secrets s WHERE s.tenant_id IS NOT DISTINCT FROM v_owner.id AND s.name = 'sendgrid_inbound_token') THEN
			BEGIN
				v_one := v_one || jsonb_build_object('inbound_token', @extschema@.va_secret_read(v_owner.id, 'sendgrid_inbound_token'));
			EXCEPTION WHEN SQLSTATE 'VA006' OR SQLSTATE 'VA007' THEN
				RAISE WARNING 'secret "sendgrid_inbound_token" of % cannot be read: %', coalesce('tenant ' || v_owner.id, 'the platform'), SQLERRM
					USING HINT = 'SELECT * FROM va_health() tells more.';
			END;
		END IF;
		v_one := jsonb_strip_nulls(v_one);
		IF v_one ?| ARRAY['event_key', 'inbound_key', 'inbound_token'] THEN
			v_all := v_all || v_one;
		END IF;
	END LOOP;
	RETURN v_all;
END
$$;

GRANT SELECT ON @extschema@.email_events TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_webhook_email_events(uuid, jsonb, text), @extschema@.va_webhook_email_inbound(uuid, jsonb, text),
	@extschema@.va_webhook_unsubscribe(text, boolean, text) TO voiceagent_gateway;
