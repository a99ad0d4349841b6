-- SMS and WhatsApp through Twilio: rows of notifications go out, what people write comes in, and what Twilio tells of a
-- message lands on its row, in whatever order it arrives.

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
('twilio.message', 'sends an SMS or a WhatsApp message', 'va_prepare_twilio_message', 'va_settle_twilio_message', false, 'listing', 'bulk', 8, 20000, true);

-- Puts a message of notifications into the outbox; the same one again is the same effect. NULL for a row that is no
-- outgoing message of Twilio's, or over.
CREATE FUNCTION @extschema@.va_message_queue(p_notification uuid, p_lane text DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n @extschema@.notifications;
	v_due timestamptz;
	v_id bigint;
BEGIN
	SELECT * INTO n FROM @extschema@.notifications x WHERE x.id = p_notification;
	v_due := greatest(n.scheduled_for, now());
	IF n.id IS NULL OR n.channel NOT IN ('sms', 'whatsapp') OR n.direction IS DISTINCT FROM 'outbound' OR n.status NOT IN ('pending', 'queued') THEN
		RETURN NULL;
	END IF;
	v_id := @extschema@.va_outbox_add(n.tenant_id, 'twilio.message', n.id::text, '{}', v_due, p_lane, n.lead_id, notification => n.id);
	-- Planned for an earlier time than before. (For a later one the prepare function waits.)
	UPDATE @extschema@.outbox o SET run_at = v_due WHERE o.id = v_id AND o.state = 'later' AND o.run_at > v_due;
	RETURN v_id;
END
$$;

-- ---- going out ------------------------------------------------------------------------------------

-- May WhatsApp carry free text to this address? Within 24 hours of the person's last message it does.
CREATE FUNCTION @extschema@.va_whatsapp_window(p_tenant uuid, p_address text) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@.notifications n WHERE n.tenant_id = p_tenant AND n.direction = 'inbound'
		AND n.channel = 'whatsapp' AND n.from_address = p_address AND n.created_at > now() - interval '24 hours' + interval '1 minute');
END
$$;

-- ContentSid and ContentVariables for a message, or NULL: it names no template that is known. template_id is a name in the
-- setting whatsapp_templates, which says in which order the values of template_data go, or a content SID with
-- values under "1", "2", … themselves.
CREATE FUNCTION @extschema@.va_message_template(n @extschema@.notifications, p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_template jsonb := @extschema@.va_setting(p_settings, 'whatsapp_templates') -> n.template_id;
	v_data jsonb := CASE WHEN jsonb_typeof(n.template_data) = 'object' THEN n.template_data ELSE '{}' END;
	v_values jsonb;
BEGIN
	IF n.template_id ~ '^HX[0-9a-fA-F]{32}$' THEN
		v_values := (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each_text(v_data) e WHERE e.key ~ '^[0-9]{1,3}$');
		RETURN jsonb_strip_nulls(jsonb_build_object('ContentSid', n.template_id, 'ContentVariables', v_values::text));
	ELSIF v_template IS NULL THEN
		RETURN NULL;
	END IF;
	-- A variable may not be empty: Twilio refuses the whole message (21656).
	v_values := (SELECT jsonb_object_agg(v.place::text, coalesce(@extschema@.va_filled(v_data ->> v.name), '-'))
				 FROM jsonb_array_elements_text(coalesce(v_template -> 'variables', '[]')) WITH ORDINALITY AS v (name, place));
	RETURN jsonb_strip_nulls(jsonb_build_object('ContentSid', v_template -> 'sid', 'ContentVariables', v_values::text));
END
$$;

-- The number to write from: the message's own, else the tenant's for this channel (for SMS also one for calls), the one
-- the person wrote to last first.
CREATE FUNCTION @extschema@.va_message_from(n @extschema@.notifications) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce(@extschema@.va_phone_try(n.from_address), (
		SELECT p.phone_number FROM @extschema@.phone_numbers p
		WHERE p.tenant_id = n.tenant_id AND p.is_active AND (p.phone_type = n.channel OR n.channel = 'sms' AND p.phone_type = 'voice')
		ORDER BY (SELECT max(i.created_at) FROM @extschema@.notifications i WHERE i.tenant_id = n.tenant_id AND i.direction = 'inbound'
				  AND i.from_address = @extschema@.va_phone_try(n.to_address) AND i.to_address = p.phone_number) DESC NULLS LAST,
			p.phone_type = n.channel DESC, p.created_at, p.id LIMIT 1));
END
$$;

-- What is sent: {"form"} or {"fail"}.
CREATE FUNCTION @extschema@.va_message_form(n @extschema@.notifications, p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_prefix text := CASE n.channel WHEN 'whatsapp' THEN 'whatsapp:' ELSE '' END;
	v_to text := @extschema@.va_phone_try(n.to_address);
	v_from text := @extschema@.va_message_from(n);
	v_service text := CASE n.channel WHEN 'sms' THEN @extschema@.va_setting_text(p_settings, 'messaging_service_sid', NULL) END;
	v_open boolean := n.channel <> 'whatsapp' OR @extschema@.va_whatsapp_window(n.tenant_id, v_to);
	v_text text := @extschema@.va_filled(n.body);
	v_template jsonb := CASE n.channel WHEN 'whatsapp' THEN @extschema@.va_message_template(n, p_settings) END;
	v_content jsonb;
BEGIN
	IF v_from IS NULL AND v_service IS NULL THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'no_sender', 'text', format('the tenant has no number for %s', n.channel),
			'hint', format('Add one to phone_numbers with phone_type %s.', n.channel)));
	ELSIF v_open AND (v_text IS NOT NULL OR cardinality(n.media_urls) > 0) THEN
		v_content := jsonb_strip_nulls(jsonb_build_object('Body', v_text, 'MediaUrl', to_jsonb(n.media_urls)));
	ELSIF v_template IS NOT NULL THEN
		v_content := v_template;
	ELSIF NOT v_open THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', '63016', 'text', @extschema@.va_twilio_meaning(63016), 'hint', @extschema@.va_twilio_hint(63016)));
	ELSE
		RETURN '{"fail": {"code": "empty", "text": "the message is empty", "hint": "Give it a text, a file or a template."}}';
	END IF;
	IF length(v_content ->> 'Body') > 1600 THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', '21617', 'text', @extschema@.va_twilio_meaning(21617), 'hint', @extschema@.va_twilio_hint(21617)));
	END IF;
	RETURN jsonb_build_object('form', v_content || jsonb_strip_nulls(jsonb_build_object('To', v_prefix || v_to,
		'From', CASE WHEN v_service IS NULL OR n.from_address IS NOT NULL THEN v_prefix || v_from END, 'MessagingServiceSid', v_service,
		'StatusCallback', format('%s/webhook/%s/status?message=%s#rc=5&rp=all', @extschema@.va_public_url(), n.channel, n.id))));
END
$$;

CREATE FUNCTION @extschema@.va_prepare_twilio_message(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n @extschema@.notifications;
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = o.tenant_id);
	v_request jsonb := @extschema@.va_twilio_request(o.tenant_id, 'POST', 'Messages.json');
	v_content jsonb;
	v_may record;
BEGIN
	SELECT * INTO n FROM @extschema@.notifications x WHERE x.id = o.notification_id FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND AND EXISTS (SELECT FROM @extschema@.notifications x WHERE x.id = o.notification_id) THEN
		RETURN jsonb_build_object('defer', now() + interval '1 second', 'why', 'the message is being changed');
	ELSIF v_request ? 'fail' THEN
		RETURN v_request;
	ELSIF o.doubtful_since IS NOT NULL THEN
		RETURN v_request || @extschema@.va_twilio_listing(v_settings, 'messages', n.details -> 'sent', o.started_at,
			ARRAY(SELECT x.external_id::text FROM @extschema@.notifications x WHERE x.tenant_id = o.tenant_id AND x.to_address = n.to_address
				  AND x.direction = 'outbound' AND x.created_at > o.created_at - interval '2 days' AND x.external_id IS NOT NULL));
	ELSIF n.id IS NULL OR n.status = 'cancelled' THEN
		RETURN '{"skip": "the message was withdrawn"}';
	ELSIF n.external_id IS NOT NULL OR n.status IN ('sent', 'delivered', 'read') THEN
		RETURN '{"skip": "the message has been sent"}';
	ELSIF @extschema@.va_appointment_message_stale(n) IS NOT NULL THEN
		RETURN jsonb_build_object('skip', @extschema@.va_appointment_message_stale(n));
	END IF;
	IF n.status = 'pending' AND n.scheduled_for > now() THEN
		RETURN jsonb_build_object('defer', n.scheduled_for, 'why', 'planned for later');
	END IF;
	-- An attempt that came to nothing is none; a message that has failed is tried again when somebody says so.
	UPDATE @extschema@.notifications x SET status = 'pending' WHERE x.id = n.id AND x.status <> 'pending';
	IF @extschema@.va_phone_try(n.to_address) IS NULL THEN
		RETURN '{"fail": {"code": "no_number", "text": "the message has no telephone number to go to", "hint": "Give the lead a number with its country code."}}';
	END IF;
	SELECT * INTO v_may FROM @extschema@.va_contact_verdict(
		@extschema@.va_contact_row(o.tenant_id, n.lead_id, @extschema@.va_phone_try(n.to_address)), n.channel, now());
	IF v_may.verdict = 'not_now' AND v_may.until IS NOT NULL THEN
		RETURN jsonb_build_object('defer', v_may.until, 'why', v_may.why);
	ELSIF v_may.verdict <> 'yes' THEN
		RETURN jsonb_build_object('fail', jsonb_build_object('code', 'may_not_contact', 'text', 'this address may not be written to: ' || v_may.why,
			'hint', format('va_may_contact(lead, ''%s'') tells the same.', n.channel)));
	END IF;
	v_content := @extschema@.va_message_form(n, v_settings);
	IF v_content ? 'fail' THEN
		RETURN v_content;
	END IF;
	UPDATE @extschema@.notifications x SET status = 'sending', error_message = NULL, error_code = NULL, error_hint = NULL,
		to_address = @extschema@.va_phone_try(n.to_address), from_address = coalesce(x.from_address, @extschema@.va_message_from(n)),
		details = x.details || jsonb_build_object('sent', (v_content -> 'form') - 'StatusCallback') WHERE x.id = n.id;
	RETURN v_request || v_content;
END
$$;

-- ---- status ---------------------------------------------------------------------------------------

-- Twilio's word for where a message is, in ours.
CREATE FUNCTION @extschema@.va_message_status(p_status text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE lower(p_status) WHEN 'accepted' THEN 'queued' WHEN 'scheduled' THEN 'queued' WHEN 'queued' THEN 'queued' WHEN 'sending' THEN 'sending'
		WHEN 'sent' THEN 'sent' WHEN 'delivered' THEN 'delivered' WHEN 'partially_delivered' THEN 'delivered' WHEN 'read' THEN 'read'
		WHEN 'undelivered' THEN 'undelivered' WHEN 'failed' THEN 'failed' WHEN 'canceled' THEN 'cancelled' END;

-- A message's status only moves up. Each has a place of its own, so the order in which news arrives does not matter. A
-- receipt of delivery is worth more than the carrier's earlier despair.
CREATE FUNCTION @extschema@.va_message_rank(p_status text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE p_status WHEN 'pending' THEN 0 WHEN 'queued' THEN 1 WHEN 'sending' THEN 2 WHEN 'sent' THEN 3 WHEN 'cancelled' THEN 4
		WHEN 'undelivered' THEN 5 WHEN 'failed' THEN 6 WHEN 'delivered' THEN 7 WHEN 'read' THEN 8 ELSE -1 END;

-- Brings news to a message: its SID, its status, its error. True when the status moved.
CREATE FUNCTION @extschema@.va_message_news(p_message uuid, p_sid text, p_status text, p_code text, p_text text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n @extschema@.notifications;
	v_status text := @extschema@.va_message_status(p_status);
	v_code integer := nullif(@extschema@.va_digits(p_code), 0);
	v_bad boolean := coalesce(v_status IN ('failed', 'undelivered'), false);
	v_forward boolean;
BEGIN
	SELECT * INTO n FROM @extschema@.notifications x WHERE x.id = p_message FOR NO KEY UPDATE;
	v_forward := coalesce(@extschema@.va_message_rank(v_status) > @extschema@.va_message_rank(n.status), false);
	UPDATE @extschema@.notifications x SET
		external_id = coalesce(x.external_id, left(@extschema@.va_filled(p_sid), 100)),
		status = CASE WHEN v_forward THEN v_status ELSE x.status END,
		sent_at = coalesce(x.sent_at, CASE WHEN v_status IN ('sent', 'delivered', 'read') THEN now() END),
		delivered_at = coalesce(x.delivered_at, CASE WHEN v_status IN ('delivered', 'read') THEN now() END),
		read_at = coalesce(x.read_at, CASE WHEN v_status = 'read' THEN now() END),
		error_code = CASE WHEN v_forward THEN CASE WHEN v_bad THEN left(p_code, 50) END ELSE x.error_code END,
		error_message = CASE WHEN v_forward THEN CASE WHEN v_bad THEN coalesce(@extschema@.va_twilio_meaning(v_code), @extschema@.va_filled(left(p_text, 1000)),
			'the message was not delivered') END ELSE x.error_message END,
		error_hint = CASE WHEN v_forward THEN CASE WHEN v_bad THEN @extschema@.va_twilio_hint(v_code) END ELSE x.error_hint END
	WHERE x.id = n.id;
	IF v_bad AND @extschema@.va_twilio_kind(v_code) = 'refused' THEN
		PERFORM @extschema@.va_message_refused(n, v_code);
	END IF;
	IF v_forward AND v_status IN ('delivered', 'read', 'undelivered', 'failed') THEN
		PERFORM @extschema@.va_emit(n.tenant_id, 'message_' || v_status, NULL, n.lead_id,
			jsonb_build_object('notification_id', n.id, 'channel', n.channel, 'code', v_code));
	END IF;
	RETURN v_forward;
END
$$;

-- The person has told Twilio or WhatsApp that they want no more messages: that is their word to us too.
CREATE FUNCTION @extschema@.va_message_refused(n @extschema@.notifications, p_code integer) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_address text := @extschema@.va_phone_try(n.to_address);
BEGIN
	IF v_address IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.do_not_contact d WHERE d.tenant_id = n.tenant_id
			AND d.address_hash = @extschema@.va_address_hash(v_address) AND d.channel IN (n.channel, 'all')) THEN
		PERFORM @extschema@.va_opt_out(n.tenant_id, v_address, n.channel, 'Twilio ' || p_code);
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_settle_twilio_message(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n @extschema@.notifications;
	v_code integer := @extschema@.va_digits(p_result ->> 'code');
BEGIN
	SELECT * INTO n FROM @extschema@.notifications x WHERE x.id = o.notification_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	CASE
	WHEN p_outcome = 'done' THEN
		-- That Twilio has it is 'sent' for everybody who waits for it; how it goes on, its webhooks tell.
		PERFORM @extschema@.va_message_news(n.id, p_result ->> 'sid', coalesce(nullif(p_result ->> 'status', ''), 'queued'),
			p_result ->> 'error_code', NULL);
		UPDATE @extschema@.notifications x SET sent_at = coalesce(x.sent_at, now()) WHERE x.id = n.id AND x.status NOT IN ('failed', 'undelivered');
	WHEN p_outcome = 'skipped' THEN
		UPDATE @extschema@.notifications x SET status = 'cancelled', error_message = coalesce(x.error_message, p_result ->> 'why')
		WHERE x.id = n.id AND x.status IN ('pending', 'sending') AND x.external_id IS NULL;
	WHEN p_outcome = 'unknown' AND p_result -> 'final' IS NULL THEN
		UPDATE @extschema@.notifications x SET error_code = 'unknown', error_message = 'it is not certain whether Twilio has taken the message',
			error_hint = 'Twilio is asked; the message is not sent a second time meanwhile.' WHERE x.id = n.id AND x.external_id IS NULL;
	WHEN n.external_id IS NULL THEN
		UPDATE @extschema@.notifications x SET status = 'failed', error_code = left(p_result ->> 'code', 50),
			error_message = left(p_result ->> 'text', 1000), error_hint = left(p_result ->> 'hint', 1000) WHERE x.id = n.id;
		IF @extschema@.va_twilio_kind(v_code) = 'refused' THEN
			PERFORM @extschema@.va_message_refused(n, v_code);
		END IF;
		PERFORM @extschema@.va_emit(n.tenant_id, 'message_failed', NULL, n.lead_id,
			jsonb_build_object('notification_id', n.id, 'channel', n.channel, 'code', p_result -> 'code'));
	ELSE
		NULL; -- it has told us itself that it exists
	END CASE;
END
$$;

-- ---- Twilio's requests ----------------------------------------------------------------------------

-- What became of a message of ours. Which one, its SID says; before that is known, our key in the address.
CREATE FUNCTION @extschema@.va_webhook_message_status(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	n @extschema@.notifications;
	v_sid text := @extschema@.va_filled(p_params ->> 'MessageSid');
BEGIN
	http_status := 204;
	SELECT * INTO n FROM @extschema@.notifications x WHERE x.external_id = v_sid AND x.direction = 'outbound';
	IF NOT FOUND THEN
		SELECT * INTO n FROM @extschema@.notifications x WHERE x.id = @extschema@.va_uuid_try(p_params ->> 'url_message')
			AND x.direction = 'outbound' AND x.channel IN ('sms', 'whatsapp');
	END IF;
	IF n.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'message_status.unknown_message');
	ELSIF @extschema@.va_foreign_account(n.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSIF n.external_id IS NOT NULL AND n.external_id <> v_sid THEN
		-- A second message for one row: worth a look, for it should not be possible.
		PERFORM @extschema@.va_count(p_gateway, 'message_status.second_message');
		PERFORM @extschema@.va_emit(n.tenant_id, 'message_doubled', NULL, n.lead_id, jsonb_build_object('notification_id', n.id, 'sid', left(v_sid, 50)));
	ELSE
		tenant_id := n.tenant_id;
		IF n.external_id IS NULL THEN
			PERFORM @extschema@.va_outbox_found(n.tenant_id, 'twilio.message', n.id::text, jsonb_build_object('sid', v_sid, 'by', 'callback'));
		END IF;
		PERFORM @extschema@.va_message_news(n.id, v_sid, p_params ->> 'MessageStatus', p_params ->> 'ErrorCode',
			coalesce(p_params ->> 'ErrorMessage', p_params ->> 'ChannelStatusMessage'));
	END IF;
	RETURN NEXT;
END
$$;

-- The particulars of a message that has come in.
CREATE FUNCTION @extschema@.va_message_details(p_params jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_strip_nulls(jsonb_build_object(
		'profile_name', @extschema@.va_filled(left(p_params ->> 'ProfileName', 200)), 'wa_id', @extschema@.va_filled(left(p_params ->> 'WaId', 50)),
		'type', @extschema@.va_filled(left(p_params ->> 'MessageType', 50)), 'button_text', @extschema@.va_filled(left(p_params ->> 'ButtonText', 200)),
		'button_payload', @extschema@.va_filled(left(p_params ->> 'ButtonPayload', 500)), 'list_id', @extschema@.va_filled(left(p_params ->> 'ListId', 500)),
		'list_title', @extschema@.va_filled(left(p_params ->> 'ListTitle', 500)), 'opt_out_type', @extschema@.va_filled(left(p_params ->> 'OptOutType', 20)),
		'reply_to_sid', @extschema@.va_filled(left(p_params ->> 'OriginalRepliedMessageSid', 50)),
		'latitude', @extschema@.va_filled(left(p_params ->> 'Latitude', 30)), 'longitude', @extschema@.va_filled(left(p_params ->> 'Longitude', 30)),
		'address', @extschema@.va_filled(left(p_params ->> 'Address', 500)), 'label', @extschema@.va_filled(left(p_params ->> 'Label', 200)),
		'media', (SELECT jsonb_agg(jsonb_build_object('url', left(p_params ->> ('MediaUrl' || i), 2000), 'type', left(p_params ->> ('MediaContentType' || i), 100)) ORDER BY i)
				  FROM generate_series(0, 15) i WHERE i < coalesce(@extschema@.va_digits(p_params ->> 'NumMedia'), 0)
				    AND @extschema@.va_filled(p_params ->> ('MediaUrl' || i)) IS NOT NULL)));
END
$$;

-- A person has written to us: one row of notifications, whatever follows from it is the matter of its triggers. The
-- empty document is Twilio's word for "no answer by this way".
CREATE FUNCTION @extschema@.va_message_arrive(p_channel text, p_account_sid text, p_params jsonb, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_from text := @extschema@.va_phone_try(p_params ->> 'From');
	v_to text := @extschema@.va_phone_try(p_params ->> 'To');
	v_sid text := left(@extschema@.va_filled(p_params ->> 'MessageSid'), 100);
	v_details jsonb := @extschema@.va_message_details(p_params);
	v_lead uuid;
	v_id uuid;
BEGIN
	http_status := 200;
	body := @extschema@.va_twiml('[]');
	SELECT n.tenant_id INTO tenant_id FROM @extschema@.phone_numbers n JOIN @extschema@.tenants t ON t.id = n.tenant_id
	WHERE n.phone_number = v_to AND n.is_active;
	IF tenant_id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'rejected.unknown_number');
	ELSIF @extschema@.va_foreign_account(tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
		body := NULL;
	ELSIF v_sid IS NULL THEN
		http_status := 400;
		body := NULL;
	ELSIF NOT EXISTS (SELECT FROM @extschema@.notifications n WHERE n.tenant_id = va_message_arrive.tenant_id AND n.channel = p_channel
					  AND n.direction = 'inbound' AND n.external_id = v_sid) THEN
		-- (Short codes and names are no number to answer to: such a message belongs to nobody.)
		IF v_from IS NOT NULL THEN
			v_lead := @extschema@.va_lead_upsert(tenant_id, jsonb_strip_nulls(jsonb_build_object('phone', v_from)), p_channel);
			UPDATE @extschema@.leads l SET first_name = left(v_details ->> 'profile_name', 100)
			WHERE l.id = v_lead AND l.first_name IS NULL AND l.last_name IS NULL AND v_details ->> 'profile_name' IS NOT NULL;
		END IF;
		INSERT INTO @extschema@.notifications (tenant_id, lead_id, channel, direction, to_address, from_address, body, status, external_id, details)
		VALUES (tenant_id, v_lead, p_channel, 'inbound', v_to, left(coalesce(v_from, p_params ->> 'From'), 255), left(p_params ->> 'Body', 20000),
				'received', v_sid, v_details)
		ON CONFLICT DO NOTHING RETURNING id INTO v_id;
		IF v_id IS NOT NULL THEN
			PERFORM @extschema@.va_emit(tenant_id, 'message_received', NULL, v_lead, jsonb_build_object('notification_id', v_id, 'channel', p_channel));
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_sms_incoming(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM @extschema@.va_message_arrive('sms', p_account_sid, p_params, p_gateway)
$$;

CREATE FUNCTION @extschema@.va_webhook_whatsapp_incoming(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT * FROM @extschema@.va_message_arrive('whatsapp', p_account_sid, p_params, p_gateway)
$$;

