-- The outbox for those who fill it and look after it: adding an effect, taking it back, trying it again, and the story
-- of one. What the dispatcher asks is in 34_outbox_dispatch.sql.

-- Wakes a dispatcher at commit, when one sleeps.
CREATE FUNCTION @extschema@.va_outbox_wake() RETURNS void
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_outbox_wake';
-- A dispatcher of this database goes to sleep (true) or is at work (false): whether adding must wake it.
CREATE FUNCTION @extschema@.va_outbox_idle(dispatcher text, idle boolean) RETURNS void
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_outbox_idle';

-- The id of an effect that is over, finished or dead; NULL when there is none of this key.
CREATE FUNCTION @extschema@.va_outbox_over(p_tenant uuid, p_kind text, p_key text) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_hash bigint := hashtextextended(coalesce(p_tenant::text, '') || ' ' || p_kind || ' ' || p_key, 0);
	v_id bigint;
BEGIN
	SELECT x.id INTO v_id FROM (
		SELECT h.id, h.tenant_id, h.kind, h.attempt_key FROM @extschema@.outbox_history h WHERE h.key_hash = v_hash
		UNION ALL
		SELECT d.id, d.tenant_id, d.kind, d.attempt_key FROM @extschema@.outbox_dead d WHERE d.key_hash = v_hash) x
	WHERE x.tenant_id IS NOT DISTINCT FROM p_tenant AND x.kind = p_kind AND x.attempt_key = p_key LIMIT 1;
	RETURN v_id;
END
$$;

-- Decides on an effect, in the transaction of the decision. attempt_key names it within tenant and kind: a second
-- call with the same three is the same effect, and returns the first one's id, even when that is over (for
-- outbox_history_days). run_at: not before. lane NULL: the kind's own. VA040: no such kind.
--
-- The row is put in first and the history looked at afterwards: an effect that is being finished at this moment has
-- left the table by then and is seen there.
CREATE FUNCTION @extschema@.va_outbox_add(tenant uuid, kind text, attempt_key text, payload jsonb DEFAULT '{}',
		run_at timestamptz DEFAULT now(), lane text DEFAULT NULL, lead uuid DEFAULT NULL, call uuid DEFAULT NULL,
		notification uuid DEFAULT NULL, appointment uuid DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	v_due timestamptz := coalesce(run_at, now());
	v_id bigint;
	v_over bigint;
BEGIN
	LOOP
		INSERT INTO @extschema@.outbox AS o (tenant_id, kind, attempt_key, lane, state, run_at, payload, lead_id, call_id,
			notification_id, appointment_id, known_new)
		SELECT tenant, k.kind, attempt_key, coalesce(lane, k.lane), CASE WHEN v_due <= now() THEN 'ready' ELSE 'later' END,
			v_due, coalesce(payload, '{}'), lead, call, notification, appointment, current_setting('transaction_isolation') = 'read committed'
		FROM @extschema@.outbox_kinds k WHERE k.kind = kind
		ON CONFLICT ON CONSTRAINT outbox_key DO NOTHING RETURNING o.id INTO v_id;
		IF v_id IS NOT NULL THEN
			EXIT;
		ELSIF NOT EXISTS (SELECT FROM @extschema@.outbox_kinds k WHERE k.kind = kind) THEN
			RAISE EXCEPTION 'unknown kind of effect "%"', kind
				USING ERRCODE = 'VA040', HINT = 'The table outbox_kinds lists them.';
		END IF;
		SELECT o.id INTO v_id FROM @extschema@.outbox o
		WHERE o.tenant_id IS NOT DISTINCT FROM tenant AND o.kind = kind AND o.attempt_key = attempt_key;
		IF v_id IS NOT NULL THEN
			RETURN v_id;
		END IF; -- it was finished in between: the next turn sees where it went
	END LOOP;
	v_over := @extschema@.va_outbox_over(tenant, kind, attempt_key);
	IF v_over IS NOT NULL THEN
		DELETE FROM @extschema@.outbox o WHERE o.id = v_id;
		RETURN v_over;
	END IF;
	IF v_due < now() + interval '10 seconds' THEN
		PERFORM @extschema@.va_outbox_wake();
	END IF;
	RETURN v_id;
END
$$;

-- ---- how an effect ends ---------------------------------------------------------------------------

-- Calls the settle function of a kind for one effect. An error in it undoes only what it did itself: the effect has
-- happened, or not, all the same. Returns the error, or NULL. (A deadlock is raised: all of it is tried again.)
CREATE FUNCTION @extschema@.va_outbox_settle_one(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_function text := (SELECT k.settle FROM @extschema@.outbox_kinds k WHERE k.kind = o.kind);
	v_hint text;
BEGIN
	IF v_function IS NOT NULL THEN
		EXECUTE format('SELECT @extschema@.%I($1, $2, $3)', v_function) USING o, p_outcome, p_result;
	END IF;
	RETURN NULL;
EXCEPTION
	WHEN transaction_rollback THEN
		RAISE; -- a deadlock: the dispatcher says it again
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
		RAISE WARNING 'effect % (%) is %, but %() failed: %', o.id, o.kind, p_outcome, v_function, SQLERRM;
		RETURN jsonb_build_object('code', SQLSTATE, 'text', SQLERRM, 'hint', nullif(v_hint, ''));
END
$$;

-- Moves an effect to the history: done, skipped or cancelled.
CREATE FUNCTION @extschema@.va_outbox_close(o @extschema@.outbox, p_outcome text, p_result jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_error jsonb := CASE WHEN p_outcome <> 'cancelled' THEN @extschema@.va_outbox_settle_one(o, p_outcome, p_result) END;
BEGIN
	DELETE FROM @extschema@.outbox x WHERE x.id = o.id;
	INSERT INTO @extschema@.outbox_history (id, tenant_id, kind, attempt_key, lane, outcome, attempts, lead_id, call_id,
		notification_id, appointment_id, result, settle_error, dispatcher, started_at, created_at)
	VALUES (o.id, o.tenant_id, o.kind, o.attempt_key, o.lane, p_outcome, o.attempts, o.lead_id, o.call_id,
		o.notification_id, o.appointment_id, p_result, v_error, o.leased_by, o.started_at, o.created_at);
END
$$;

-- Moves an effect to the dead letters and says so: failed, dead or unknown.
CREATE FUNCTION @extschema@.va_outbox_bury(o @extschema@.outbox, p_outcome text, p_error jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_error jsonb := @extschema@.va_outbox_settle_one(o, p_outcome, p_error);
BEGIN
	DELETE FROM @extschema@.outbox x WHERE x.id = o.id;
	INSERT INTO @extschema@.outbox_dead (id, tenant_id, kind, attempt_key, lane, outcome, attempts, payload, lead_id, call_id,
		notification_id, appointment_id, last_error, settle_error, dispatcher, started_at, created_at)
	VALUES (o.id, o.tenant_id, o.kind, o.attempt_key, o.lane, p_outcome, o.attempts, o.payload, o.lead_id, o.call_id,
		o.notification_id, o.appointment_id, p_error, v_error, o.leased_by, o.started_at, o.created_at);
	PERFORM @extschema@.va_emit(o.tenant_id, 'outbox.dead', o.call_id, o.lead_id, jsonb_build_object('outbox_id', o.id,
		'kind', o.kind, 'outcome', p_outcome, 'code', p_error ->> 'code', 'text', p_error ->> 'text'));
END
$$;

-- ---- for people -----------------------------------------------------------------------------------

-- Refuses a caller who may not act for the tenant of an effect.
CREATE FUNCTION @extschema@.va_outbox_assert(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_tenant IS NOT NULL THEN
		PERFORM @extschema@.va_assert_tenant(p_tenant);
	ELSIF NOT pg_has_role(coalesce(nullif(current_setting('role'), 'none'), session_user), 'voiceagent_admin', 'USAGE') THEN
		RAISE EXCEPTION 'this effect belongs to the platform' USING ERRCODE = 'insufficient_privilege';
	END IF;
END
$$;

-- Takes an effect back before it happens, or a dead letter off the list. False when it is too late: under way, of
-- unknown outcome, or over.
CREATE FUNCTION @extschema@.va_outbox_cancel(id bigint) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	o @extschema@.outbox;
	d @extschema@.outbox_dead;
BEGIN
	SELECT * INTO o FROM @extschema@.outbox x WHERE x.id = va_outbox_cancel.id FOR UPDATE;
	IF FOUND THEN
		PERFORM @extschema@.va_outbox_assert(o.tenant_id);
		IF o.state NOT IN ('ready', 'later') THEN
			RETURN false;
		END IF;
		PERFORM @extschema@.va_outbox_close(o, 'cancelled', jsonb_build_object('by', session_user));
		RETURN true;
	END IF;
	SELECT * INTO d FROM @extschema@.outbox_dead x WHERE x.id = va_outbox_cancel.id FOR UPDATE;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM @extschema@.va_outbox_assert(d.tenant_id);
	DELETE FROM @extschema@.outbox_dead x WHERE x.id = d.id;
	INSERT INTO @extschema@.outbox_history (id, tenant_id, kind, attempt_key, lane, outcome, attempts, lead_id, call_id,
		notification_id, appointment_id, result, dispatcher, started_at, created_at)
	VALUES (d.id, d.tenant_id, d.kind, d.attempt_key, d.lane, 'cancelled', d.attempts, d.lead_id, d.call_id, d.notification_id,
		d.appointment_id, jsonb_build_object('by', session_user, 'last_error', d.last_error), d.dispatcher, d.started_at, d.created_at);
	RETURN true;
END
$$;

-- A dead letter becomes an effect that waits, with as many attempts as a new one. The caller has locked it.
CREATE FUNCTION @extschema@.va_outbox_revive(d @extschema@.outbox_dead) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM @extschema@.outbox_dead x WHERE x.id = d.id;
	INSERT INTO @extschema@.outbox (id, tenant_id, kind, attempt_key, lane, payload, lead_id, call_id, notification_id,
		appointment_id, last_error, created_at)
	VALUES (d.id, d.tenant_id, d.kind, d.attempt_key, d.lane, d.payload, d.lead_id, d.call_id, d.notification_id,
		d.appointment_id, d.last_error, d.created_at);
	PERFORM @extschema@.va_outbox_wake();
END
$$;

-- Tries a dead letter again, with as many attempts as a new one; one that waits is tried now. True when there was
-- such a row. For a dead letter of unknown outcome this is a person's word that it did not happen.
CREATE FUNCTION @extschema@.va_outbox_retry(id bigint) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	d @extschema@.outbox_dead;
	v_tenant uuid;
BEGIN
	SELECT * INTO d FROM @extschema@.outbox_dead x WHERE x.id = va_outbox_retry.id FOR UPDATE;
	IF FOUND THEN
		PERFORM @extschema@.va_outbox_assert(d.tenant_id);
		PERFORM @extschema@.va_outbox_revive(d);
	ELSE
		SELECT x.tenant_id INTO v_tenant FROM @extschema@.outbox x WHERE x.id = va_outbox_retry.id AND x.state IN ('ready', 'later') FOR UPDATE;
		IF NOT FOUND THEN
			RETURN false;
		END IF;
		PERFORM @extschema@.va_outbox_assert(v_tenant);
		UPDATE @extschema@.outbox x SET state = 'ready', run_at = now() WHERE x.id = va_outbox_retry.id;
		PERFORM @extschema@.va_outbox_wake();
	END IF;
	RETURN true;
END
$$;

-- The provider says by a callback, or a person knows, that an effect has happened: an attempt of unknown outcome, or
-- one whose answer has not come yet, is done with this result. False when no such effect waits to be found.
CREATE FUNCTION @extschema@.va_outbox_found(tenant uuid, kind text, attempt_key text, result jsonb DEFAULT '{}') RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	o @extschema@.outbox;
	d @extschema@.outbox_dead;
BEGIN
	SELECT * INTO o FROM @extschema@.outbox x
	WHERE x.tenant_id IS NOT DISTINCT FROM tenant AND x.kind = kind AND x.attempt_key = attempt_key
	  AND x.state IN ('unknown', 'leased') FOR UPDATE;
	IF FOUND THEN
		PERFORM @extschema@.va_outbox_close(o, 'done', result);
		RETURN true;
	END IF;
	SELECT * INTO d FROM @extschema@.outbox_dead x
	WHERE x.key_hash = hashtextextended(coalesce(tenant::text, '') || ' ' || kind || ' ' || attempt_key, 0)
	  AND x.tenant_id IS NOT DISTINCT FROM tenant AND x.kind = kind AND x.attempt_key = attempt_key
	  AND x.outcome = 'unknown' FOR UPDATE;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	DELETE FROM @extschema@.outbox_dead x WHERE x.id = d.id;
	INSERT INTO @extschema@.outbox (id, tenant_id, kind, attempt_key, lane, state, attempts, payload, lead_id, call_id,
		notification_id, appointment_id, leased_by, started_at, doubtful_since, created_at)
	VALUES (d.id, d.tenant_id, d.kind, d.attempt_key, d.lane, 'unknown', d.attempts, d.payload, d.lead_id, d.call_id,
		d.notification_id, d.appointment_id, d.dispatcher, d.started_at, d.started_at, d.created_at) RETURNING * INTO o;
	PERFORM @extschema@.va_outbox_close(o, 'done', result);
	RETURN true;
END
$$;

-- An error as one line for people.
CREATE FUNCTION @extschema@.va_outbox_words(p_error jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(p_error ->> 'text', p_error ->> 'code', 'no reason is known')
		|| CASE WHEN p_error ? 'http_status' THEN ' (HTTP ' || (p_error ->> 'http_status') || ')' ELSE '' END;

-- Where an effect is now, and what to do about it: the last line of its story.
CREATE FUNCTION @extschema@.va_outbox_now(o @extschema@.outbox) RETURNS TABLE (what text, detail text, advice text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k @extschema@.outbox_kinds;
	q @extschema@.outbox_queues;
BEGIN
	SELECT * INTO k FROM @extschema@.outbox_kinds x WHERE x.kind = o.kind;
	SELECT * INTO q FROM @extschema@.outbox_queues x WHERE x.queue = o.queue AND x.blocked_until > now();
	IF o.state = 'later' THEN
		RETURN QUERY SELECT 'waits', format('until %s', o.run_at)
			|| CASE WHEN o.last_error IS NULL THEN '' ELSE ': ' || @extschema@.va_outbox_words(o.last_error) END,
			'va_outbox_retry() tries it now, va_outbox_cancel() takes it back.'::text;
	ELSIF o.state = 'ready' AND q.breaker <> 'closed' THEN
		RETURN QUERY SELECT 'waits', format('%s failed %s times in a row and is asked again at %s: %s', o.provider, q.failures, q.blocked_until,
			@extschema@.va_outbox_words(q.last_error)), 'Nothing is lost; it goes on when the service answers.'::text;
	ELSIF o.state = 'ready' AND q.queue IS NOT NULL THEN
		RETURN QUERY SELECT 'waits', format('for the limit of %s, until %s', o.provider, q.blocked_until), 'See the setting outbox_limits.'::text;
	ELSIF o.state = 'ready' THEN
		RETURN QUERY SELECT 'waits', 'for a dispatcher'::text, CASE WHEN NOT EXISTS (SELECT FROM @extschema@.outbox_dispatchers d
				WHERE d.reported_at > now() - interval '30 seconds') THEN 'None runs: see va_health().' END;
	ELSIF o.state = 'leased' THEN
		RETURN QUERY SELECT CASE WHEN o.doubtful_since IS NULL THEN 'is being attempted' ELSE 'is being looked for' END,
			format('attempt %s, by %s, since %s', o.attempts, o.leased_by, o.started_at), NULL::text;
	ELSE
		RETURN QUERY SELECT 'outcome unknown', format('since %s: %s', o.doubtful_since, @extschema@.va_outbox_words(o.last_error)),
			CASE k.reconcile WHEN 'listing' THEN format('The service is asked at %s.', o.run_at)
				ELSE format('Its callback is waited for until %s.', o.run_at) END;
	END IF;
END
$$;

-- The story of one effect, oldest first: when, what happened, who did it, the details in plain words, and what to do.
-- No row: there is no such effect, it is another tenant's, or it has been forgotten (outbox_history_days).
CREATE FUNCTION @extschema@.va_outbox_explain(id bigint)
	RETURNS TABLE (at timestamptz, what text, who text, detail text, advice text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	o @extschema@.outbox;
	h @extschema@.outbox_history;
	d @extschema@.outbox_dead;
	v_tenant uuid;
BEGIN
	SELECT * INTO o FROM @extschema@.outbox x WHERE x.id = va_outbox_explain.id;
	SELECT * INTO h FROM @extschema@.outbox_history x WHERE x.id = va_outbox_explain.id;
	SELECT * INTO d FROM @extschema@.outbox_dead x WHERE x.id = va_outbox_explain.id;
	v_tenant := coalesce(o.tenant_id, h.tenant_id, d.tenant_id);
	IF num_nonnulls(o.id, h.id, d.id) = 0 OR NOT @extschema@.va_acts_for(v_tenant) THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT coalesce(o.created_at, h.created_at, d.created_at), 'added'::text, NULL::text,
		format('%s, key %s, lane %s%s', coalesce(o.kind, h.kind, d.kind), coalesce(o.attempt_key, h.attempt_key, d.attempt_key),
			coalesce(o.lane, h.lane, d.lane), coalesce(': ' || (SELECT k.description FROM @extschema@.outbox_kinds k
				WHERE k.kind = coalesce(o.kind, h.kind, d.kind)), '')), NULL::text;
	RETURN QUERY SELECT a.ended_at, CASE WHEN a.is_look THEN 'looked for the outcome' ELSE format('attempt %s', a.attempt) END, a.dispatcher,
		CASE a.outcome WHEN 'retry' THEN 'did not happen: ' WHEN 'failed' THEN 'refused: ' WHEN 'absent' THEN 'the service has no trace of it'
			ELSE 'nobody knows whether it happened: ' END || CASE WHEN a.outcome <> 'absent' THEN @extschema@.va_outbox_words(a.error) ELSE '' END,
		a.error ->> 'hint'
	FROM @extschema@.outbox_attempts a WHERE a.outbox_id = va_outbox_explain.id ORDER BY a.ended_at;
	IF o.id IS NOT NULL THEN
		RETURN QUERY SELECT clock_timestamp(), n.what, NULL::text, n.detail, n.advice FROM @extschema@.va_outbox_now(o) n;
	ELSIF h.id IS NOT NULL THEN
		RETURN QUERY SELECT h.finished_at, h.outcome, h.dispatcher, CASE h.outcome
				WHEN 'done' THEN format('attempt %s succeeded', h.attempts)
				ELSE coalesce(h.result ->> 'why', 'by ' || (h.result ->> 'by')) END,
			CASE WHEN h.settle_error IS NOT NULL THEN 'Afterwards: ' || @extschema@.va_outbox_words(h.settle_error) END;
	ELSE
		RETURN QUERY SELECT d.died_at, CASE d.outcome WHEN 'unknown' THEN 'given to a person: nobody could tell' ELSE 'dead letter' END, d.dispatcher,
			@extschema@.va_outbox_words(d.last_error), concat_ws(' ', d.last_error ->> 'hint',
				'va_outbox_retry() tries it again, va_outbox_cancel() takes it off the list.', CASE WHEN d.settle_error IS NOT NULL THEN 'Afterwards: ' || @extschema@.va_outbox_words(d.settle_error) END);
	END IF;
END
$$;

-- Called by va_housekeeping: forgets what was finished outbox_history_days (30) ago, in portions.
CREATE FUNCTION @extschema@.va_outbox_forget(p_limit integer DEFAULT 20000) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_days integer := @extschema@.va_setting_integer('{}', 'outbox_history_days', 30);
	v_ids bigint[];
BEGIN
	v_ids := ARRAY(SELECT h.id FROM @extschema@.outbox_history h WHERE h.finished_at < now() - make_interval(days => v_days)
				   ORDER BY h.finished_at LIMIT p_limit FOR UPDATE SKIP LOCKED);
	DELETE FROM @extschema@.outbox_attempts a WHERE a.outbox_id = ANY (v_ids);
	DELETE FROM @extschema@.outbox_history h WHERE h.id = ANY (v_ids);
	DELETE FROM @extschema@.outbox_dispatchers d WHERE d.reported_at < now() - interval '7 days';
	RETURN cardinality(v_ids);
END
$$;

GRANT SELECT ON @extschema@.outbox, @extschema@.outbox_attempts, @extschema@.outbox_history, @extschema@.outbox_dead,
	@extschema@.outbox_queues TO voiceagent_admin, voiceagent_agent;
GRANT SELECT ON @extschema@.outbox_kinds, @extschema@.outbox_providers, @extschema@.outbox_dispatchers TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_outbox_explain(bigint) TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_outbox_add(uuid, text, text, jsonb, timestamptz, text, uuid, uuid, uuid, uuid),
	@extschema@.va_outbox_found(uuid, text, text, jsonb) TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_outbox_cancel(bigint), @extschema@.va_outbox_retry(bigint)
	TO voiceagent_admin, voiceagent_agent;
