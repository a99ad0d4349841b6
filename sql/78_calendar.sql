-- Appointments in people's calendars: invitations by e-mail, and events in Google Calendar.
--
-- One message a step and person. The lead's invitation is a part of the confirmation that sql/95 plans anyway, so that
-- nobody gets two e-mails; the person who will be there gets an invitation of his own. Both bear the appointment's id
-- as UID and a SEQUENCE that grows with each change. What a mail or a request says is read from the appointment at the
-- moment of sending: an older one that is late says the same as the newest, or is passed over.

ALTER TABLE @extschema@.appointments
	ADD COLUMN calendar_sequence INTEGER NOT NULL DEFAULT 0, -- of iCalendar: how often it has changed
	ADD COLUMN google_calendar_id TEXT,                      -- where google_calendar_event_id is
	ADD COLUMN google_calendar_error TEXT;                   -- why it is not there, in words

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
('google.event', 'keeps an appointment in Google Calendar', 'va_prepare_google_event', 'va_settle_google_event', true, 'person', 'bulk', 12, 30000, true);

-- ---- settings -----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_check_google_calendars(p_name text, p_value jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM jsonb_each(p_value) c WHERE jsonb_typeof(c.value) <> 'string') THEN
		PERFORM @extschema@.va_refuse_setting(p_name, 'must name a calendar for each e-mail address');
	END IF;
END
$$;

INSERT INTO @extschema@.setting_definitions (name, types, minimum, maximum, allowed, open, checked_by, default_value, description, is_builtin)
SELECT x.name, x.types::text[], x.minimum, x.maximum, x.allowed::text[], x.open, x.checked_by, x.default_value::jsonb, x.description, true FROM (VALUES
('google', '{object}', NULL, NULL, NULL, false, NULL, '{}', 'Appointments in Google Calendar; the service account''s key file is the secret google_service_account.'),
('google.calendar_id', '{text}', 1, 250, NULL, false, NULL, NULL, 'The calendar of appointments whose person has none in calendars.'),
('google.calendars', '{object}', NULL, NULL, NULL, true, 'va_check_google_calendars', '{}', 'Calendars of people, by their e-mail address.'),
('google.invite', '{boolean}', NULL, NULL, NULL, false, NULL, 'false', 'Google invites lead and person, and our own mails carry no invitation. Needs subject.'),
('google.send_updates', '{text}', NULL, NULL, '{all,externalOnly,none}', false, NULL, NULL, 'Whom Google tells of changes; unset: all where it invites, else none.'),
('google.subject', '{text}', 3, 254, NULL, false, NULL, NULL, 'For whom the service account acts (domain-wide delegation); unset: for itself.')) AS x (name, types, minimum, maximum, allowed, open, checked_by, default_value, description);

CREATE FUNCTION @extschema@.va_google_settings(p_tenant uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_setting_object((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'google');
END
$$;

-- The calendar of an appointment: that of its person, else the tenant's; NULL: none.
CREATE FUNCTION @extschema@.va_google_calendar(p_google jsonb, p_agent_email text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(p_google -> 'calendars' ->> lower(p_agent_email), p_google -> 'calendars' ->> p_agent_email, p_google ->> 'calendar_id');

-- ---- invitations by e-mail ----------------------------------------------------------------------

-- The appointment as src/core/ics.h has it, for a mail that carries it; NULL for one that does not.
CREATE FUNCTION @extschema@.va_email_calendar(p_mail @extschema@.notifications, p_email jsonb, p_company text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_appointment @extschema@.appointments;
	v_start bigint;
BEGIN
	IF p_mail.appointment_id IS NULL OR p_mail.template_id NOT IN ('appointment_confirmation', 'appointment_cancellation',
			'appointment_invitation', 'appointment_withdrawal') THEN
		RETURN NULL;
	END IF;
	SELECT * INTO v_appointment FROM @extschema@.appointments a WHERE a.id = p_mail.appointment_id;
	IF v_appointment.id IS NULL OR coalesce((@extschema@.va_google_settings(v_appointment.tenant_id) ->> 'invite')::boolean, false) THEN
		RETURN NULL; -- Google invites
	END IF;
	v_start := floor(extract(epoch FROM v_appointment.scheduled_at))::bigint;
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'method', CASE WHEN p_mail.template_id IN ('appointment_cancellation', 'appointment_withdrawal') THEN 'CANCEL' ELSE 'REQUEST' END,
		'uid', v_appointment.id, 'sequence', v_appointment.calendar_sequence, 'stamp', floor(extract(epoch FROM clock_timestamp()))::bigint,
		'start', v_start, 'end', v_start + v_appointment.duration_minutes * 60,
		-- The lead does not read what was noted about him.
		'summary', CASE WHEN p_mail.notification_type = 'internal' THEN v_appointment.title ELSE coalesce(@extschema@.va_filled(v_appointment.description), p_company) END,
		'description', CASE WHEN p_mail.notification_type = 'internal' THEN v_appointment.notes ELSE p_mail.body END,
		'location', coalesce(v_appointment.location, v_appointment.meeting_link), 'url', v_appointment.meeting_link,
		-- The mail's own sender: clients show their buttons only then.
		'organizer', jsonb_build_object('email', p_email ->> 'from', 'name', coalesce(p_email ->> 'from_name', p_company)),
		'attendees', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('email', p_mail.to_address,
			'name', CASE WHEN p_mail.notification_type = 'internal' THEN v_appointment.agent_name END))),
		'alarm_minutes', coalesce(@extschema@.va_number(p_email, 'alarm_minutes')::integer, 15)));
END
$$;

-- Who was sent an invitation to this appointment by mails of this kind, and when the last one was written.
CREATE FUNCTION @extschema@.va_invited(p_appointment uuid, p_template text) RETURNS TABLE (address text, at timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT n.to_address::text, max(n.created_at) FROM @extschema@.notifications n
	WHERE n.appointment_id = p_appointment AND n.template_id = p_template AND n.channel = 'email'
	  AND n.status IN ('sending', 'sent', 'delivered', 'read') GROUP BY n.to_address ORDER BY 1;
END
$$;

-- One mail about an appointment beside those that sql/95 plans. 'queued': it is not planned for later, and the end of
-- the appointment does not take it back.
CREATE FUNCTION @extschema@.va_appointment_mail(p_appointment @extschema@.appointments, p_template text, p_type text, p_address text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_company text := (SELECT t.name FROM @extschema@.tenants t WHERE t.id = p_appointment.tenant_id);
BEGIN
	IF NOT @extschema@.va_email_address_good(p_address) OR @extschema@.va_email_provider(p_appointment.tenant_id) IS NULL THEN
		RETURN;
	END IF;
	INSERT INTO @extschema@.notifications (tenant_id, lead_id, appointment_id, channel, direction, to_address, subject, body, template_id,
		template_data, status, notification_type)
	VALUES (p_appointment.tenant_id, CASE WHEN p_type <> 'internal' THEN p_appointment.lead_id END, p_appointment.id, 'email', 'outbound', lower(p_address),
		left(CASE WHEN p_template IN ('appointment_cancellation', 'appointment_withdrawal') THEN 'Cancelled: ' ELSE '' END
			 || CASE p_type WHEN 'internal' THEN p_appointment.title ELSE v_company END, 255),
		@extschema@.va_appointment_text(p_template, p_appointment, v_company), p_template,
		jsonb_build_object('appointment_id', p_appointment.id, 'scheduled_at', p_appointment.scheduled_at, 'timezone', p_appointment.timezone,
			'duration_minutes', p_appointment.duration_minutes, 'company', v_company),
		'queued', p_type);
END
$$;

-- Tells everybody who was invited by a mail of this kind that nothing comes of it, one address apart.
CREATE FUNCTION @extschema@.va_appointment_withdraw(p_appointment @extschema@.appointments, p_invited_by text, p_template text, p_type text,
	p_but text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_appointment_mail(p_appointment, p_template, p_type, i.address)
	FROM @extschema@.va_invited(p_appointment.id, p_invited_by) i
	WHERE i.address IS DISTINCT FROM lower(p_but)
	  AND NOT EXISTS (SELECT FROM @extschema@.notifications n WHERE n.appointment_id = p_appointment.id AND n.template_id = p_template
					  AND n.to_address = i.address AND n.status <> 'failed' AND n.created_at > i.at); -- has been told
END
$$;

-- ---- what a change of an appointment causes -----------------------------------------------------

CREATE FUNCTION @extschema@.va_appointments_sequence() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF (NEW.scheduled_at, NEW.duration_minutes, NEW.title, NEW.description, NEW.location, NEW.meeting_link, NEW.lead_id, NEW.agent_email)
			IS DISTINCT FROM (OLD.scheduled_at, OLD.duration_minutes, OLD.title, OLD.description, OLD.location, OLD.meeting_link, OLD.lead_id, OLD.agent_email)
	   OR NEW.status = 'cancelled' AND OLD.status <> 'cancelled' THEN
		NEW.calendar_sequence := OLD.calendar_sequence + 1;
	END IF;
	RETURN NEW;
END
$$;
-- After appointments_keep, by its name: that one fills in the person's address.
CREATE TRIGGER appointments_sequence BEFORE UPDATE ON @extschema@.appointments FOR EACH ROW EXECUTE FUNCTION @extschema@.va_appointments_sequence();

CREATE FUNCTION @extschema@.va_appointments_invite() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_google jsonb := @extschema@.va_google_settings(NEW.tenant_id);
	v_live boolean := NEW.status IN ('scheduled', 'confirmed');
BEGIN
	IF NOT v_live AND NEW.status <> 'cancelled' OR TG_OP = 'INSERT' AND (NOT v_live OR NEW.created_at <> now()) THEN
		RETURN NULL; -- over, or restored
	END IF;
	IF (NEW.google_calendar_event_id IS NOT NULL OR v_live AND @extschema@.va_google_calendar(v_google, NEW.agent_email) IS NOT NULL)
	   AND EXISTS (SELECT FROM @extschema@.tenant_secrets s WHERE s.name = 'google_service_account' AND (s.tenant_id = NEW.tenant_id OR s.tenant_id IS NULL)) THEN
		PERFORM @extschema@.va_outbox_add(NEW.tenant_id, 'google.event', format('appointment:%s:%s', NEW.id, NEW.calendar_sequence),
			jsonb_build_object('sequence', NEW.calendar_sequence), lead => NEW.lead_id, appointment => NEW.id);
	END IF;
	UPDATE @extschema@.notifications n SET status = 'cancelled'
	WHERE n.appointment_id = NEW.id AND n.template_id = 'appointment_invitation' AND n.status = 'queued';
	IF NEW.status = 'cancelled' THEN
		PERFORM @extschema@.va_appointment_withdraw(NEW, 'appointment_confirmation', 'appointment_cancellation', 'cancellation'),
			@extschema@.va_appointment_withdraw(NEW, 'appointment_invitation', 'appointment_withdrawal', 'internal');
	ELSE
		PERFORM @extschema@.va_appointment_withdraw(NEW, 'appointment_invitation', 'appointment_withdrawal', 'internal', NEW.agent_email);
		IF NEW.scheduled_at > now() AND NOT coalesce((v_google ->> 'invite')::boolean, false) THEN
			PERFORM @extschema@.va_appointment_mail(NEW, 'appointment_invitation', 'internal', NEW.agent_email);
		END IF;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER appointments_invite_new AFTER INSERT ON @extschema@.appointments FOR EACH ROW
	EXECUTE FUNCTION @extschema@.va_appointments_invite();
CREATE TRIGGER appointments_invite_again AFTER UPDATE ON @extschema@.appointments FOR EACH ROW
	WHEN (NEW.calendar_sequence <> OLD.calendar_sequence) EXECUTE FUNCTION @extschema@.va_appointments_invite();

-- A row that is deleted leaves no event behind, and so no trace of a person who was erased.
CREATE FUNCTION @extschema@.va_appointments_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = OLD.tenant_id) THEN
		PERFORM @extschema@.va_outbox_add(OLD.tenant_id, 'google.event', format('appointment:%s:gone', OLD.id),
			jsonb_build_object('calendar_id', OLD.google_calendar_id, 'event_id', OLD.google_calendar_event_id));
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER appointments_gone AFTER DELETE ON @extschema@.appointments FOR EACH ROW
	WHEN (OLD.google_calendar_event_id IS NOT NULL) EXECUTE FUNCTION @extschema@.va_appointments_gone();

-- Somebody answered an invitation in his mail program. A lead who accepts the newest one confirms the appointment; the
-- rest is told to whoever listens.
CREATE FUNCTION @extschema@.va_invitation_answered(p_mail @extschema@.notifications, p_answer jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_appointment @extschema@.appointments;
	v_lead boolean;
BEGIN
	SELECT * INTO v_appointment FROM @extschema@.appointments a
	WHERE a.tenant_id = p_mail.tenant_id AND a.id::text = lower(p_answer ->> 'uid');
	v_lead := p_mail.from_address IN (SELECT i.address FROM @extschema@.va_invited(v_appointment.id, 'appointment_confirmation') i);
	IF v_appointment.id IS NULL OR NOT v_lead
	   AND p_mail.from_address NOT IN (SELECT i.address FROM @extschema@.va_invited(v_appointment.id, 'appointment_invitation') i) THEN
		RETURN;
	END IF;
	IF v_lead AND p_answer ->> 'partstat' = 'ACCEPTED' AND v_appointment.status = 'scheduled'
	   AND (p_answer ->> 'sequence')::bigint >= v_appointment.calendar_sequence THEN
		PERFORM @extschema@.va_appointment_set(v_appointment.id, 'confirmed');
	END IF;
	PERFORM @extschema@.va_emit(p_mail.tenant_id, 'invitation_answered', NULL, v_appointment.lead_id, jsonb_build_object('appointment_id', v_appointment.id,
		'answer', lower(p_answer ->> 'partstat'), 'by', CASE WHEN v_lead THEN 'lead' ELSE 'agent' END, 'notification_id', p_mail.id));
END
$$;

-- ---- Google Calendar ----------------------------------------------------------------------------

-- An id of our own makes inserting repeatable: digits and the letters a to v, which hexadecimal digits are.
CREATE FUNCTION @extschema@.va_google_event_id(p_appointment uuid) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN replace(p_appointment::text, '-', '');

CREATE FUNCTION @extschema@.va_google_event(p_appointment @extschema@.appointments, p_google jsonb, p_key text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_format text := 'YYYY-MM-DD"T"HH24:MI:SS"Z"';
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_appointment.lead_id;
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'summary', p_appointment.title,
		'description', @extschema@.va_filled(concat_ws(E'\n', p_appointment.description, p_appointment.notes, p_appointment.meeting_link,
			@extschema@.va_filled(concat_ws(', ', concat_ws(' ', v_lead.first_name, v_lead.last_name), v_lead.phone, v_lead.email)))),
		'location', coalesce(p_appointment.location, p_appointment.meeting_link), 'status', 'confirmed',
		'start', jsonb_build_object('dateTime', to_char(p_appointment.scheduled_at AT TIME ZONE 'UTC', v_format), 'timeZone', coalesce(p_appointment.timezone, 'UTC')),
		'end', jsonb_build_object('dateTime', to_char((p_appointment.scheduled_at + make_interval(mins => p_appointment.duration_minutes)) AT TIME ZONE 'UTC', v_format),
			'timeZone', coalesce(p_appointment.timezone, 'UTC')),
		'attendees', CASE WHEN coalesce((p_google ->> 'invite')::boolean, false) THEN (
			SELECT jsonb_agg(DISTINCT jsonb_build_object('email', x)) FROM (VALUES (lower(v_lead.email)), (lower(p_appointment.agent_email))) a (x)
			WHERE @extschema@.va_email_address_good(x)) END,
		'extendedProperties', jsonb_build_object('private', jsonb_build_object('appointment_id', p_appointment.id, 'va_key', p_key))));
END
$$;

CREATE FUNCTION @extschema@.va_prepare_google_event(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_google jsonb := @extschema@.va_google_settings(o.tenant_id);
	v_appointment @extschema@.appointments;
	v_key jsonb;
	v_calendar text;
	v_request jsonb;
BEGIN
	SELECT * INTO v_appointment FROM @extschema@.appointments a WHERE a.id = o.appointment_id;
	IF o.payload ? 'event_id' THEN
		v_request := jsonb_build_object('action', 'delete', 'calendar_id', o.payload -> 'calendar_id', 'event_id', o.payload -> 'event_id');
	ELSIF v_appointment.id IS NULL THEN
		RETURN '{"skip": "the appointment is gone"}';
	ELSIF v_appointment.calendar_sequence > (o.payload ->> 'sequence')::integer THEN
		RETURN '{"skip": "a later change of the appointment follows"}';
	ELSIF EXISTS (SELECT FROM @extschema@.outbox x WHERE x.kind = o.kind AND x.appointment_id = o.appointment_id AND x.tenant_id = o.tenant_id
				  AND x.id <> o.id AND x.state IN ('leased', 'unknown')) THEN
		RETURN jsonb_build_object('defer', clock_timestamp() + interval '2 seconds', 'why', 'an earlier change is under way');
	ELSIF v_appointment.status = 'cancelled' THEN
		IF v_appointment.google_calendar_event_id IS NULL THEN
			RETURN '{"skip": "the appointment is in no calendar"}';
		END IF;
		v_request := jsonb_build_object('action', 'delete', 'calendar_id', v_appointment.google_calendar_id, 'event_id', v_appointment.google_calendar_event_id);
	ELSE
		v_calendar := @extschema@.va_google_calendar(v_google, v_appointment.agent_email);
		IF v_calendar IS NULL THEN
			RETURN '{"skip": "no calendar is set for this appointment"}';
		END IF;
		v_request := jsonb_strip_nulls(jsonb_build_object('action', 'upsert', 'calendar_id', v_calendar, 'event_id', @extschema@.va_google_event_id(v_appointment.id),
			'known', v_appointment.google_calendar_event_id IS NOT NULL AND v_appointment.google_calendar_id = v_calendar,
			'delete_from', CASE WHEN v_appointment.google_calendar_id <> v_calendar THEN v_appointment.google_calendar_id END,
			'event', @extschema@.va_google_event(v_appointment, v_google, o.attempt_key)));
	END IF;
	BEGIN
		v_key := @extschema@.va_secret_read(o.tenant_id, 'google_service_account')::jsonb;
	EXCEPTION WHEN data_exception THEN
		v_key := '{}'; -- whatever it is, it goes into no message
	END;
	IF v_key IS NULL OR v_key ->> 'client_email' IS NULL OR v_key ->> 'private_key' IS NULL THEN
		RETURN '{"fail": {"code": "not_set_up", "text": "the tenant has no service account for Google Calendar", "hint": "Store the whole JSON key file: va_secret_set(tenant, ''google_service_account'', …)."}}';
	END IF;
	RETURN v_request || jsonb_strip_nulls(jsonb_build_object(
		'base_url', coalesce(nullif(current_setting('voiceagent.google_base_url', true), ''), 'https://www.googleapis.com'),
		'token_url', coalesce(nullif(current_setting('voiceagent.google_token_url', true), ''), 'https://oauth2.googleapis.com/token'),
		'client_email', v_key -> 'client_email', 'private_key', v_key -> 'private_key', 'private_key_id', v_key -> 'private_key_id',
		'subject', v_google -> 'subject',
		'send_updates', coalesce(v_google ->> 'send_updates', CASE WHEN (v_google ->> 'invite')::boolean THEN 'all' ELSE 'none' END)));
END
$$;

CREATE FUNCTION @extschema@.va_settle_google_event(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_outcome = 'done' THEN
		UPDATE @extschema@.appointments a SET google_calendar_event_id = left(p_result ->> 'event_id', 100),
			google_calendar_id = CASE WHEN p_result ? 'event_id' THEN p_result ->> 'calendar_id' END, google_calendar_error = NULL
		WHERE a.id = o.appointment_id AND a.tenant_id = o.tenant_id;
	ELSIF p_outcome <> 'skipped' THEN
		UPDATE @extschema@.appointments a SET google_calendar_error = left(@extschema@.va_email_failure(p_result), 1000)
		WHERE a.id = o.appointment_id AND a.tenant_id = o.tenant_id;
	END IF;
END
$$;
