-- While a caller talks to a person: muting one of them, holding one of them, and a colleague who listens to both and is heard by
-- the person alone. Source: twilio.com/docs/voice/api/conference-participant-resource.

ALTER TABLE @extschema@.call_transfers
	ADD COLUMN conference_sid TEXT,          -- Twilio's SID of the conference
	-- What was asked for last: {"caller": {"muted", "hold", "hold_url"}, "person": …}.
	ADD COLUMN members JSONB NOT NULL DEFAULT '{}' CONSTRAINT call_transfers_members CHECK (jsonb_typeof(members) = 'object');

INSERT INTO @extschema@.outbox_kinds (kind, description, prepare, settle, repeatable, reconcile, lane, max_attempts, timeout_ms, is_builtin) VALUES
('twilio.member', 'mutes or holds somebody in a conference', 'va_prepare_twilio_member', 'va_settle_twilio_member', true, 'person', 'live', 3, 15000, true),
('twilio.coach', 'calls somebody who coaches into a conference', 'va_prepare_twilio_coach', 'va_settle_twilio_member', false, 'person', 'live', 3, 20000, true);

-- The transfer of a call whose caller is talking to a person: else VA053.
CREATE FUNCTION @extschema@.va_call_talking(p_call uuid) RETURNS @extschema@.call_transfers
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls := @extschema@.va_live_call(p_call);
	v_transfer @extschema@.call_transfers;
BEGIN
	SELECT * INTO v_transfer FROM @extschema@.call_transfers t WHERE t.call_id = v_call.id AND t.state = 'joined' FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'call % is not with a person', p_call USING ERRCODE = 'VA053', HINT = 'va_transfer(call) brings one in.';
	END IF;
	RETURN v_transfer;
END
$$;

CREATE FUNCTION @extschema@.va_call_member_set(p_call uuid, p_who text, p_wanted jsonb) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_transfer @extschema@.call_transfers := @extschema@.va_call_talking(p_call);
BEGIN
	IF p_who IS NULL OR p_who NOT IN ('caller', 'person') THEN
		RAISE EXCEPTION 'there is no "%" in a call', coalesce(p_who, 'NULL') USING ERRCODE = 'VA005', HINT = 'It is the caller or the person.';
	END IF;
	UPDATE @extschema@.call_transfers t SET members = t.members || jsonb_build_object(p_who, coalesce(t.members -> p_who, '{}') || p_wanted)
	WHERE t.id = v_transfer.id;
	RETURN @extschema@.va_outbox_add(v_transfer.tenant_id, 'twilio.member', format('%s:%s:%s', v_transfer.id, p_who, gen_random_uuid()),
		jsonb_build_object('transfer', v_transfer.id, 'who', p_who), call => v_transfer.call_id);
END
$$;

-- Mutes the caller or the person of a call that was transferred, or lets them be heard again. The id of the effect.
-- Errors: VA004 unknown call, VA053 it is not with a person, VA005 nobody of that name.
CREATE FUNCTION @extschema@.va_call_mute(call uuid, who text DEFAULT 'caller', muted boolean DEFAULT true) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_call_member_set(call, who, jsonb_build_object('muted', coalesce(muted, false)));
END
$$;

-- Puts the caller or the person on hold, or takes them back. url: what is played meanwhile (https; TwiML or audio); NULL:
-- Twilio's music. The id of the effect. Errors: as va_call_mute; VA005 no such address.
CREATE FUNCTION @extschema@.va_call_hold(call uuid, who text DEFAULT 'caller', held boolean DEFAULT true, url text DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF url IS NOT NULL AND (url !~ '^https?://[^[:space:]]+$' OR length(url) > 2000) THEN
		RAISE EXCEPTION 'what is played on hold needs an http or https address' USING ERRCODE = 'VA005';
	END IF;
	RETURN @extschema@.va_call_member_set(call, who, jsonb_build_object('hold', coalesce(held, false), 'hold_url', url));
END
$$;

-- Calls somebody into the conversation who hears both sides and is heard by the person alone: a number, or a person of the
-- tenant. The id of the effect. Errors: VA004, VA053; VA033 unknown person, or one without a telephone.
CREATE FUNCTION @extschema@.va_call_coach(call uuid, "to" text DEFAULT NULL, agent uuid DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_transfer @extschema@.call_transfers := @extschema@.va_call_talking(va_call_coach.call);
	v_number text := coalesce(@extschema@.va_phone_normalize(@extschema@.va_filled("to")),
		(SELECT h.phone FROM @extschema@.human_agents h WHERE h.id = agent AND h.tenant_id = v_transfer.tenant_id));
BEGIN
	IF v_number IS NULL THEN
		RAISE EXCEPTION 'unknown person %, or one without a telephone', coalesce(agent::text, 'NULL') USING ERRCODE = 'VA033';
	END IF;
	RETURN @extschema@.va_outbox_add(v_transfer.tenant_id, 'twilio.coach', format('%s:coach:%s', v_transfer.id, gen_random_uuid()),
		jsonb_build_object('transfer', v_transfer.id, 'to', v_number), call => v_transfer.call_id);
END
$$;

-- The newest wish goes out, one after the other: two that are under way at once could arrive the wrong way round.
CREATE FUNCTION @extschema@.va_prepare_twilio_member(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t @extschema@.call_transfers;
	v_who text := o.payload ->> 'who';
	v_wanted jsonb;
BEGIN
	SELECT * INTO t FROM @extschema@.call_transfers x WHERE x.id = (o.payload ->> 'transfer')::uuid;
	IF t.state IS DISTINCT FROM 'joined' OR t.conference_sid IS NULL THEN
		RETURN '{"skip": "the conversation with the person is over"}';
	ELSIF EXISTS (SELECT FROM @extschema@.outbox x WHERE x.kind = o.kind AND x.tenant_id = o.tenant_id AND x.call_id = o.call_id AND x.id < o.id
				  AND x.state = 'leased') THEN
		RETURN jsonb_build_object('defer', clock_timestamp() + interval '1 second', 'why', 'an earlier change is under way');
	END IF;
	v_wanted := t.members -> v_who;
	RETURN @extschema@.va_twilio_request(o.tenant_id, 'POST', format('Conferences/%s/Participants/%s.json', t.conference_sid,
			CASE v_who WHEN 'caller' THEN 'caller' ELSE 'person-' || t.tries END),
		jsonb_strip_nulls(jsonb_build_object('Muted', v_wanted ->> 'muted', 'Hold', v_wanted ->> 'hold',
			'HoldUrl', CASE WHEN v_wanted -> 'hold' = 'true' THEN v_wanted ->> 'hold_url' END)), '{"gone_is_done": true}');
END
$$;

CREATE FUNCTION @extschema@.va_prepare_twilio_coach(o @extschema@.outbox) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t @extschema@.call_transfers;
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO t FROM @extschema@.call_transfers x WHERE x.id = (o.payload ->> 'transfer')::uuid;
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = o.call_id;
	IF t.state IS DISTINCT FROM 'joined' OR t.conference_sid IS NULL OR t.leg_sid IS NULL THEN
		RETURN '{"skip": "the conversation with the person is over"}';
	END IF;
	RETURN @extschema@.va_twilio_request(o.tenant_id, 'POST', format('Conferences/%s/Participants.json', t.conference_sid), jsonb_build_object(
		'From', coalesce((SELECT n.phone_number FROM @extschema@.phone_numbers n WHERE n.id = v_call.phone_number_id),
						 CASE v_call.direction WHEN 'outbound' THEN v_call.from_number ELSE v_call.to_number END),
		'To', o.payload -> 'to', 'Label', 'coach', 'Timeout', 25, 'EarlyMedia', 'false', 'Beep', 'false', 'EndConferenceOnExit', 'false',
		'Coaching', 'true', 'CallSidToCoach', t.leg_sid));
END
$$;

-- What failed is said at the call.
CREATE FUNCTION @extschema@.va_settle_twilio_member(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_outcome IN ('failed', 'dead') THEN
		UPDATE @extschema@.calls c SET error_code = left(p_result ->> 'code', 50), error_message = left(p_result ->> 'text', 1000),
			error_hint = left(p_result ->> 'hint', 1000) WHERE c.id = o.call_id;
	END IF;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_call_mute(uuid, text, boolean), @extschema@.va_call_hold(uuid, text, boolean, text),
	@extschema@.va_call_coach(uuid, text, uuid) TO voiceagent_admin, voiceagent_agent;
