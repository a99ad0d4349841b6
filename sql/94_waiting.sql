-- What waits for somebody to set something up: messages without a service that carries them, effects that lack a
-- credential, an Odoo that refuses us, end points that are given up. va_health() shows it, a line a tenant and matter.

-- Messages that are due and are no effect, for want of a service when they were written.
CREATE FUNCTION @extschema@.va_messages_stranded(p_tenant uuid DEFAULT NULL) RETURNS SETOF @extschema@.notifications
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT n.* FROM @extschema@.notifications n
	WHERE n.status = 'pending' AND n.direction = 'outbound' AND n.channel IN ('email', 'sms', 'whatsapp')
	  AND (n.scheduled_for <= now() OR n.scheduled_for IS NULL) AND (p_tenant IS NULL OR n.tenant_id = p_tenant)
	  AND NOT EXISTS (SELECT FROM @extschema@.outbox o WHERE o.notification_id = n.id);
END
$$;

-- Sends a tenant's messages that have waited for a service, once there is one: those that were due within `since`. Older
-- ones are cancelled, for nobody expects them any more. Each is decided on anew when it leaves: the rules of contact, the
-- appointment it speaks of. Returns how many are on their way. Errors: VA001 unknown tenant, VA005 no such span of time.
CREATE FUNCTION @extschema@.va_messages_release(tenant uuid, since interval DEFAULT '1 day') RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	v_count bigint := 0;
	n @extschema@.notifications;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	IF since IS NULL OR since < interval '0' THEN
		RAISE EXCEPTION 'how long ago they were due must be said, and not be negative' USING ERRCODE = 'VA005';
	END IF;
	FOR n IN SELECT * FROM @extschema@.va_messages_stranded(tenant) s ORDER BY s.id LOOP
		IF coalesce(n.scheduled_for, n.created_at) < now() - since THEN
			UPDATE @extschema@.notifications x SET status = 'cancelled', error_message = 'it waited too long for a service'
			WHERE x.id = n.id AND x.status = 'pending';
		ELSIF n.channel = 'email' AND @extschema@.va_email_provider(tenant) IS NOT NULL THEN
			v_count := v_count + (@extschema@.va_email_queue(n.id) IS NOT NULL)::integer;
		ELSIF n.channel <> 'email' AND @extschema@.va_tenant_account(tenant) IS NOT NULL THEN
			v_count := v_count + (@extschema@.va_message_queue(n.id) IS NOT NULL)::integer;
		END IF;
	END LOOP;
	RETURN v_count;
END
$$;

-- For va_health().
CREATE FUNCTION @extschema@.va_waiting_health() RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT CASE s.channel WHEN 'email' THEN 'e-mails of ' ELSE s.channel || ' of ' END || t.slug, false,
		format('%s wait, the oldest since %s: ', count(*), min(coalesce(s.scheduled_for, s.created_at))) || CASE
			WHEN s.channel = 'email' AND @extschema@.va_email_provider(t.id) IS NULL THEN 'no service for e-mail is set up'
			WHEN s.channel <> 'email' AND @extschema@.va_tenant_account(t.id) IS NULL THEN 'no Twilio account is set up'
			ELSE 'they were written before the service was set up' END,
		CASE WHEN s.channel = 'email' AND @extschema@.va_email_provider(t.id) IS NULL
				THEN 'va_secret_set(tenant, ''sendgrid_api_key'', …), or "host" in the setting smtp; "from" in the setting email. '
			 WHEN s.channel <> 'email' AND @extschema@.va_tenant_account(t.id) IS NULL
				THEN 'The setting twilio_account_sid and the secret twilio_auth_token. ' ELSE '' END
			|| format('Then SELECT va_messages_release(%L).', t.id)
	FROM @extschema@.va_messages_stranded() s JOIN @extschema@.tenants t ON t.id = s.tenant_id
	GROUP BY t.id, s.channel ORDER BY 1;
	-- (A code of the prepare functions: nothing was sent for want of a setting.)
	RETURN QUERY SELECT format('%s of %s', d.kind, coalesce(t.slug, 'the platform')), false,
		format('%s were not sent, the first at %s: %s', count(*), min(d.died_at), coalesce(d.last_error ->> 'text', d.last_error ->> 'code')),
		concat_ws(' ', d.last_error ->> 'hint', 'Then va_outbox_retry(id) of those in outbox_dead.')
	FROM @extschema@.outbox_dead d LEFT JOIN @extschema@.tenants t ON t.id = d.tenant_id
	WHERE d.last_error ->> 'code' IN ('not_set_up', 'no_sender', 'no_secret', 'inactive_tenant') OR d.kind = 'twilio.call' AND d.last_error ->> 'code' = 'no_number'
	GROUP BY d.kind, t.slug, d.last_error ->> 'code', d.last_error ->> 'text', d.last_error ->> 'hint' ORDER BY 1;
	RETURN QUERY SELECT 'Odoo of ' || t.slug, false, coalesce(c.error ->> 'text', 'no reason is known')
			|| format('; %s leads wait', (SELECT count(*) FROM @extschema@.leads l WHERE l.tenant_id = t.id AND l.odoo_sync_status IN ('pending', 'syncing', 'failed')))
			|| coalesce(format(', since %s', c.checked_at), ''),
		concat_ws(' ', c.error ->> 'hint', format('Then SELECT va_odoo_check(%L): a good one sends what waits.', t.id))
	FROM @extschema@.odoo_connections c JOIN @extschema@.tenants t ON t.id = c.tenant_id
	WHERE c.enabled AND c.state = 'broken' ORDER BY 1;
	RETURN QUERY SELECT format('end point of %s', t.slug), false,
		format('%s %s since %s: %s', h.url, CASE WHEN h.enabled THEN 'fails' ELSE 'was given up; it has failed' END, h.failing_since, coalesce(h.last_error, 'no reason is known')),
		CASE WHEN h.enabled THEN 'It is tried again for five days, then given up.'
			 ELSE format('When it is mended: UPDATE event_hooks SET enabled = true WHERE id = %L; va_outbox_retry(id) of what is in outbox_dead.', h.id) END
	FROM @extschema@.event_hooks h JOIN @extschema@.tenants t ON t.id = h.tenant_id
	WHERE h.failing_since IS NOT NULL AND (NOT h.enabled OR h.failing_since < now() - interval '1 hour') ORDER BY 1;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_messages_release(uuid, interval) TO voiceagent_admin, voiceagent_agent;
