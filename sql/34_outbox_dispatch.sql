-- What a dispatcher asks of the outbox: begin, claim, settle, sweep, report. All of these may be called twice with the
-- same arguments without a second effect, for a query that was under way when a connection broke is sent again.

-- ---- limits and circuit breakers --------------------------------------------------------------------

-- What holds for a tenant at a provider: the tenant's own word, else the platform's, else the provider's row.
CREATE FUNCTION @extschema@.va_outbox_limits(p_tenant uuid, p_provider text) RETURNS @extschema@.outbox_providers
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limits @extschema@.outbox_providers;
	v_said jsonb;
BEGIN
	SELECT * INTO v_limits FROM @extschema@.outbox_providers p WHERE p.provider = p_provider;
	IF NOT FOUND THEN
		v_limits := ROW(p_provider, NULL, 10, 50, 5, 30, false);
	END IF;
	SELECT coalesce((SELECT s.value -> p_provider FROM @extschema@.settings s WHERE s.name = 'outbox_limits'), '{}')
		|| coalesce((SELECT t.settings -> 'outbox_limits' -> p_provider FROM @extschema@.tenants t WHERE t.id = p_tenant), '{}')
	INTO v_said;
	v_limits.per_second := nullif(greatest(coalesce(@extschema@.va_number(v_said, 'per_second'), v_limits.per_second), 0), 0);
	v_limits.burst := greatest(coalesce(@extschema@.va_number(v_said, 'burst'), v_limits.burst), 1);
	v_limits.concurrency := greatest(coalesce(@extschema@.va_number(v_said, 'concurrency')::integer, v_limits.concurrency), 1);
	v_limits.breaker_failures := greatest(coalesce(@extschema@.va_number(v_said, 'breaker_failures')::integer, v_limits.breaker_failures), 1);
	v_limits.breaker_seconds := greatest(coalesce(@extschema@.va_number(v_said, 'breaker_seconds'), v_limits.breaker_seconds), 0.1);
	RETURN v_limits;
END
$$;

-- How many of a queue's ready effects may be claimed now, p_wanted at most. Takes the tokens; 0 when the queue has
-- none, or another dispatcher is at it at this moment.
CREATE FUNCTION @extschema@.va_outbox_admit(p_queue bigint, p_lane text, p_wanted integer, p_busy integer) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid;
	v_provider text;
	v_limits @extschema@.outbox_providers;
	q @extschema@.outbox_queues;
	v_tokens double precision;
	v_take integer;
BEGIN
	SELECT o.tenant_id, o.provider INTO v_tenant, v_provider FROM @extschema@.outbox o
	WHERE o.lane = p_lane AND o.state = 'ready' AND o.queue BETWEEN p_queue AND p_queue ORDER BY o.queue, o.id LIMIT 1;
	v_limits := @extschema@.va_outbox_limits(v_tenant, v_provider);
	v_take := least(p_wanted, v_limits.concurrency - p_busy);
	IF v_take <= 0 OR v_tenant IS NULL AND v_provider IS NULL THEN
		RETURN 0;
	END IF;
	SELECT * INTO q FROM @extschema@.outbox_queues x WHERE x.queue = p_queue FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		IF v_limits.per_second IS NULL OR EXISTS (SELECT FROM @extschema@.outbox_queues x WHERE x.queue = p_queue) THEN
			RETURN CASE WHEN v_limits.per_second IS NULL THEN v_take ELSE 0 END;
		END IF;
		INSERT INTO @extschema@.outbox_queues (queue, tenant_id, provider) VALUES (p_queue, v_tenant, v_provider)
		ON CONFLICT DO NOTHING RETURNING * INTO q;
	END IF;
	IF q.blocked_until > clock_timestamp() THEN
		RETURN 0;
	END IF;
	IF q.breaker <> 'closed' THEN
		-- One goes ahead and tells how it is; nobody follows before its outcome is known.
		UPDATE @extschema@.outbox_queues x SET breaker = 'half_open', blocked_until = clock_timestamp() + make_interval(secs => v_limits.breaker_seconds)
		WHERE x.queue = p_queue;
		RETURN 1;
	END IF;
	IF v_limits.per_second IS NULL THEN
		RETURN v_take;
	END IF;
	v_tokens := CASE WHEN q.filled_at IS NULL THEN v_limits.burst ELSE least(v_limits.burst,
		q.tokens + v_limits.per_second * greatest(extract(epoch FROM clock_timestamp() - q.filled_at), 0)) END;
	v_take := least(v_take, floor(v_tokens)::integer);
	v_tokens := v_tokens - v_take;
	UPDATE @extschema@.outbox_queues x SET tokens = v_tokens, filled_at = clock_timestamp(),
		blocked_until = CASE WHEN v_tokens < 1 THEN clock_timestamp() + make_interval(secs => (1 - v_tokens) / v_limits.per_second) END
	WHERE x.queue = p_queue;
	RETURN v_take;
END
$$;

-- The services of these queues have answered: failures are counted anew, and breakers close, which sets free what they
-- have held back.
CREATE FUNCTION @extschema@.va_outbox_queues_well(p_queues bigint[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	q record;
BEGIN
	FOR q IN SELECT x.queue, x.breaker FROM @extschema@.outbox_queues x
			 WHERE x.queue = ANY (p_queues) AND (x.failures > 0 OR x.breaker <> 'closed') ORDER BY x.queue
	LOOP
		UPDATE @extschema@.outbox_queues x SET failures = 0, opens = 0, breaker = 'closed', opened_at = NULL,
			blocked_until = CASE WHEN x.breaker = 'closed' THEN x.blocked_until END
		WHERE x.queue = q.queue AND (x.failures > 0 OR x.breaker <> 'closed');
		IF q.breaker <> 'closed' THEN
			PERFORM @extschema@.va_outbox_wake();
		END IF;
	END LOOP;
END
$$;

-- Tells a queue how an attempt went: a service that was down, one that asked for patience, or one that is well.
CREATE FUNCTION @extschema@.va_outbox_queue_heard(o @extschema@.outbox, p_down boolean, p_patience_s double precision, p_error jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limits @extschema@.outbox_providers;
	q @extschema@.outbox_queues;
	v_open boolean;
BEGIN
	IF NOT p_down AND p_patience_s IS NULL THEN
		PERFORM @extschema@.va_outbox_queues_well(ARRAY[o.queue]);
		RETURN;
	END IF;
	INSERT INTO @extschema@.outbox_queues (queue, tenant_id, provider) VALUES (o.queue, o.tenant_id, o.provider) ON CONFLICT DO NOTHING;
	SELECT * INTO q FROM @extschema@.outbox_queues x WHERE x.queue = o.queue FOR UPDATE;
	v_limits := @extschema@.va_outbox_limits(o.tenant_id, o.provider);
	IF NOT p_down THEN
		UPDATE @extschema@.outbox_queues x SET last_error = p_error,
			blocked_until = greatest(x.blocked_until, clock_timestamp() + make_interval(secs => p_patience_s))
		WHERE x.queue = o.queue;
		RETURN;
	END IF;
	-- Failures of requests that were sent before it opened do not open it once more.
	v_open := q.breaker = 'half_open' OR q.breaker = 'closed' AND q.failures + 1 >= v_limits.breaker_failures;
	UPDATE @extschema@.outbox_queues x SET failures = x.failures + 1, last_error = p_error,
		breaker = CASE WHEN v_open THEN 'open' ELSE x.breaker END,
		opens = x.opens + v_open::integer,
		opened_at = CASE WHEN v_open THEN coalesce(x.opened_at, clock_timestamp()) ELSE x.opened_at END,
		blocked_until = greatest(CASE WHEN v_open THEN NULL ELSE x.blocked_until END, clock_timestamp()
			+ make_interval(secs => CASE WHEN v_open THEN least(v_limits.breaker_seconds * 2 ^ least(x.opens, 10), 600) * (0.9 + 0.2 * random())
										 ELSE coalesce(p_patience_s, 0) END))
	WHERE x.queue = o.queue;
	IF v_open AND q.breaker = 'closed' THEN
		RAISE WARNING 'voiceagent asks % of tenant % no more for now: % failures in a row', o.provider, coalesce(o.tenant_id::text, 'none'), q.failures + 1
			USING DETAIL = coalesce(p_error ->> 'text', ''), HINT = 'It is asked again by itself; SELECT * FROM va_health() says since when.';
	END IF;
END
$$;

-- ---- claim ----------------------------------------------------------------------------------------
-- The statements that read the outbox run in functions that choose their plan once and by index (plan_cache_mode,
-- enable_seqscan): made anew for each claim a plan costs more than it saves, most of all while many entries of the
-- indexes' ends are dead; and one that was made while the table was empty would read all of it when it is full.
--
-- Effects whose time has come join those that are ready. (Asked first, for it happens rarely: an UPDATE that finds
-- nothing costs as much as all the rest of a claim that finds nothing.)
CREATE FUNCTION @extschema@.va_outbox_promote() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.outbox x WHERE x.state = 'later' AND x.run_at <= clock_timestamp()) THEN
		RETURN;
	END IF;
	UPDATE @extschema@.outbox o SET state = 'ready' WHERE o.id IN (
		SELECT x.id FROM @extschema@.outbox x WHERE x.state = 'later' AND x.run_at <= clock_timestamp()
		ORDER BY x.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED) AND o.state = 'later';
END
$$;

-- The queues of a lane that have something ready and are not held back, in any order.
CREATE FUNCTION @extschema@.va_outbox_open_queues(p_lane text) RETURNS bigint[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (WITH RECURSIVE step (queue) AS (
			(SELECT o.queue FROM @extschema@.outbox o WHERE o.lane = p_lane AND o.state = 'ready' ORDER BY o.queue LIMIT 1)
			UNION ALL
			SELECT (SELECT o.queue FROM @extschema@.outbox o WHERE o.lane = p_lane AND o.state = 'ready' AND o.queue > s.queue
					ORDER BY o.queue LIMIT 1)
			FROM step s WHERE s.queue IS NOT NULL)
		SELECT array_agg(s.queue ORDER BY random()) FROM step s
		LEFT JOIN @extschema@.outbox_queues q ON q.queue = s.queue
		WHERE s.queue IS NOT NULL AND (q.blocked_until IS NULL OR q.blocked_until <= clock_timestamp()));
END
$$;

-- (BETWEEN, here and above, because the planner would take the order of an equal queue's ids from the primary key, and
-- read what other queues hold back.)
--
-- Locks what is to be attempted: a fair share of each queue, the oldest first. p_busy: {"queue": under way there}.
-- rest: there may be more that is ready, for want of room or because of a limit.
CREATE FUNCTION @extschema@.va_outbox_pick(p_lane text, p_limit integer, p_busy jsonb, OUT ids bigint[], OUT rest boolean)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_queues bigint[];
	v_queue bigint;
	v_left integer := p_limit;
	v_count integer;
	v_take integer;
	v_ids bigint[];
BEGIN
	ids := '{}';
	rest := p_limit <= 0;
	IF rest THEN
		RETURN;
	END IF;
	v_queues := @extschema@.va_outbox_open_queues(p_lane);
	v_count := coalesce(cardinality(v_queues), 0);
	FOREACH v_queue IN ARRAY coalesce(v_queues, '{}') LOOP
		IF v_left <= 0 THEN
			rest := true;
			EXIT;
		END IF;
		v_take := @extschema@.va_outbox_admit(v_queue, p_lane, greatest(v_left / v_count, 1), coalesce((p_busy ->> v_queue::text)::integer, 0));
		v_count := v_count - 1;
		IF v_take <= 0 THEN
			rest := true;
			CONTINUE;
		END IF;
		v_ids := ARRAY(SELECT o.id FROM @extschema@.outbox o WHERE o.lane = p_lane AND o.state = 'ready' AND o.queue BETWEEN v_queue AND v_queue
					   ORDER BY o.queue, o.id LIMIT v_take FOR UPDATE SKIP LOCKED);
		ids := ids || v_ids;
		rest := rest OR cardinality(v_ids) = v_take;
		v_left := v_left - cardinality(v_ids);
	END LOOP;
END
$$;

-- Those of unknown outcome whose service is to be asked now.
CREATE FUNCTION @extschema@.va_outbox_pick_looks(p_limit integer) RETURNS bigint[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN ARRAY(SELECT o.id FROM @extschema@.outbox o JOIN @extschema@.outbox_kinds k ON k.kind = o.kind AND k.reconcile = 'listing'
				 WHERE o.state = 'unknown' AND o.run_at <= clock_timestamp()
				 ORDER BY o.run_at LIMIT greatest(p_limit, 0) FOR UPDATE OF o SKIP LOCKED);
END
$$;

-- What the kind's prepare function says of one effect; an error of it as {"error": …}.
CREATE FUNCTION @extschema@.va_outbox_prepare_one(o @extschema@.outbox, p_function text) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
	v_request jsonb;
	v_hint text;
BEGIN
	EXECUTE format('SELECT @extschema@.%I($1)', p_function) INTO v_request USING o;
	RETURN v_request;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
	RETURN jsonb_build_object('error', jsonb_build_object('code', SQLSTATE, 'text', SQLERRM, 'hint', nullif(v_hint, '')));
END
$$;

-- The same of many effects of one kind, in their order: in one statement, and one by one where one of them fails.
-- A row of a domain that somebody has locked for long must not hold up everybody's effects.
CREATE FUNCTION @extschema@.va_outbox_prepare(p_rows @extschema@.outbox[], p_function text) RETURNS jsonb[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
	v_requests jsonb[];
BEGIN
	EXECUTE format('SELECT array_agg(@extschema@.%I(r)) FROM unnest($1) r', p_function) INTO v_requests USING p_rows;
	RETURN v_requests;
EXCEPTION WHEN OTHERS THEN
	RETURN ARRAY(SELECT @extschema@.va_outbox_prepare_one(r, p_function) FROM unnest(p_rows) r);
END
$$;

-- Deals with effects that were decided against at the last moment. False: nothing goes out.
CREATE FUNCTION @extschema@.va_outbox_decide(o @extschema@.outbox, p_request jsonb) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_why jsonb := jsonb_build_object('code', 'deferred', 'text', p_request ->> 'why', 'at', clock_timestamp());
BEGIN
	IF o.doubtful_since IS NOT NULL THEN -- no answer to what became of the attempt: it is asked for again
		PERFORM @extschema@.va_outbox_verdict(o, jsonb_build_object('outcome', 'unknown', 'code', 'not_asked',
			'text', coalesce(p_request -> 'error' ->> 'text', 'the request to look for it could not be made')));
	ELSIF p_request ? 'skip' THEN
		PERFORM @extschema@.va_outbox_close(o, 'skipped', jsonb_build_object('why', p_request -> 'skip'));
	ELSIF p_request ? 'defer' THEN
		UPDATE @extschema@.outbox x SET state = 'later', attempts = x.attempts - 1, leased_by = NULL, lease_until = NULL,
			run_at = greatest((p_request ->> 'defer')::timestamptz, clock_timestamp() + interval '1 second'), last_error = v_why
		WHERE x.id = o.id;
	ELSIF p_request ? 'fail' THEN
		PERFORM @extschema@.va_outbox_verdict(o, (p_request -> 'fail') || '{"outcome": "failed"}');
	ELSE
		PERFORM @extschema@.va_outbox_verdict(o, coalesce(p_request -> 'error',
			'{"code": "no_request", "text": "the prepare function returned nothing"}') || '{"outcome": "retry"}');
	END IF;
	RETURN false;
EXCEPTION WHEN data_exception THEN
	PERFORM @extschema@.va_outbox_verdict(o, jsonb_build_object('outcome', 'retry', 'code', SQLSTATE, 'text', SQLERRM));
	RETURN false;
END
$$;

-- Takes out what was added without a look whether an effect of this key is over (known_new), if there is one. Returns
-- the others.
CREATE FUNCTION @extschema@.va_outbox_drop_over(p_rows @extschema@.outbox[]) RETURNS @extschema@.outbox[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_over bigint[] := ARRAY(SELECT r.id FROM unnest(p_rows) r
		WHERE r.attempts = 1 AND r.doubtful_since IS NULL AND NOT r.known_new
		  AND @extschema@.va_outbox_over(r.tenant_id, r.kind, r.attempt_key) IS NOT NULL);
BEGIN
	IF v_over = '{}' THEN
		RETURN p_rows;
	END IF;
	DELETE FROM @extschema@.outbox o WHERE o.id = ANY (v_over);
	RETURN (SELECT array_agg(r) FROM unnest(p_rows) r WHERE r.id <> ALL (v_over));
END
$$;

-- Leases the effects picked to a dispatcher: from the end of this transaction the attempt is on record.
CREATE FUNCTION @extschema@.va_outbox_lease(p_ids bigint[], p_instance text, p_no bigint) RETURNS @extschema@.outbox[]
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_rows @extschema@.outbox[];
	v_known boolean;
BEGIN
	WITH leased AS (
		UPDATE @extschema@.outbox o SET state = 'leased', attempts = o.attempts + (o.state = 'ready')::integer,
			looks = o.looks + (o.state = 'unknown')::integer, leased_by = p_instance, claim_no = p_no,
			lease_until = clock_timestamp() + make_interval(secs => k.timeout_ms / 1000.0 + 30),
			started_at = CASE o.state WHEN 'ready' THEN clock_timestamp() ELSE o.started_at END
		FROM @extschema@.outbox_kinds k WHERE o.id = ANY (p_ids) AND k.kind = o.kind
		RETURNING o AS r, o.known_new OR o.attempts > 1 OR o.doubtful_since IS NOT NULL AS known)
	SELECT array_agg(l.r), bool_and(l.known) INTO v_rows, v_known FROM leased l;
	RETURN CASE WHEN v_known THEN v_rows ELSE @extschema@.va_outbox_drop_over(v_rows) END;
END
$$;

-- How long there is nothing to do unless something is added, in milliseconds; NULL: for ever.
CREATE FUNCTION @extschema@.va_outbox_next_ms() RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_at timestamptz;
BEGIN
	SELECT least(
		(SELECT min(o.run_at) FROM @extschema@.outbox o WHERE o.state = 'later'),
		(SELECT min(o.run_at) FROM @extschema@.outbox o WHERE o.state = 'unknown' AND o.run_at > clock_timestamp()),
		(SELECT min(q.blocked_until) FROM @extschema@.outbox_queues q WHERE q.blocked_until > clock_timestamp())) INTO v_at;
	RETURN CASE WHEN v_at IS NOT NULL THEN least(greatest(ceil(extract(epoch FROM v_at - clock_timestamp()) * 1000), 1), 3600000) END::integer;
END
$$;

-- Picks of both lanes, and what is to be looked for.
CREATE FUNCTION @extschema@.va_outbox_pick_all(p_live integer, p_bulk integer, p_busy jsonb, OUT ids bigint[], OUT rest boolean)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	SELECT live.ids || bulk.ids || looks.ids, live.rest OR bulk.rest OR cardinality(looks.ids) >= 20 INTO ids, rest
	FROM @extschema@.va_outbox_pick('live', p_live, p_busy) live, @extschema@.va_outbox_pick('bulk', p_bulk, p_busy) bulk,
		@extschema@.va_outbox_pick_looks(least(p_bulk, 20)) looks (ids);
END
$$;

-- Picks and leases what is to be attempted now. more: there may be more, now or when one of these has ended. When not,
-- or when there is nothing to be had, whoever adds something wakes the dispatcher: this is said first, and then looked
-- once more, for what was added before it could be heard. VA041 as below.
CREATE FUNCTION @extschema@.va_outbox_take(p_name text, p_instance text, p_no bigint, p_live integer, p_bulk integer, p_busy jsonb,
		OUT rows @extschema@.outbox[], OUT picked integer, OUT more boolean)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
	v_ids bigint[];
BEGIN
	PERFORM @extschema@.va_outbox_promote();
	FOR v_round IN 1 .. 2 LOOP
		PERFORM @extschema@.va_outbox_idle(p_name, v_round = 2);
		SELECT p.ids, p.rest INTO v_ids, more FROM @extschema@.va_outbox_pick_all(p_live, p_bulk, p_busy) p;
		picked := cardinality(v_ids);
		EXIT WHEN picked > 0;
	END LOOP;
	IF picked = 0 THEN
		RETURN;
	END IF;
	UPDATE @extschema@.outbox_dispatchers d SET claim_no = p_no WHERE d.name = p_name AND d.instance = p_instance;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'another run of dispatcher "%" has begun', p_name USING ERRCODE = 'VA041';
	END IF;
	rows := @extschema@.va_outbox_lease(v_ids, p_instance, p_no);
	PERFORM @extschema@.va_outbox_idle(p_name, NOT more);
	IF NOT more AND (@extschema@.va_outbox_open_queues('live') IS NOT NULL OR @extschema@.va_outbox_open_queues('bulk') IS NOT NULL) THEN
		PERFORM @extschema@.va_outbox_idle(p_name, false);
		more := true;
	END IF;
END
$$;

-- One claim of a dispatcher: p_live and p_bulk are how many of each lane it has room for, p_no its number (a repeated
-- number gets the same effects again). {"jobs": [{"id", "attempt", "tenant", "kind", "key", "queue", "lane", "look",
-- "repeatable", "timeout_ms", "request"}], "picked": how many, "more": there may be more, now or when one of these has ended,
-- "next_ms": when something is due of which nobody will tell}. VA041: the dispatcher has to begin again.
--
-- A claim that is asked for again may find the first one still at it, on a connection that is lost: it waits for the
-- lock. (Not of the row: a lock of a row is written, and a claim that finds nothing shall write nothing.)
CREATE FUNCTION @extschema@.va_outbox_claim(p_name text, p_instance text, p_no bigint, p_live integer, p_bulk integer, p_busy jsonb DEFAULT '{}')
	RETURNS json
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	v_last bigint;
	v_claimed @extschema@.outbox[];
	v_picked integer;
	v_more boolean := true;
	v_some @extschema@.outbox[];
	v_rows @extschema@.outbox[] := '{}';
	v_requests jsonb[] := '{}';
	v_kind record;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('voiceagent dispatcher ' || p_name, 0));
	SELECT d.claim_no INTO v_last FROM @extschema@.outbox_dispatchers d WHERE d.name = p_name AND d.instance = p_instance;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'dispatcher "%" has not begun', p_name USING ERRCODE = 'VA041';
	END IF;
	IF p_no <= v_last THEN
		SELECT array_agg(o), count(*) INTO v_claimed, v_picked FROM @extschema@.outbox o
		WHERE o.state = 'leased' AND o.leased_by = p_instance AND o.claim_no = p_no;
	ELSE
		SELECT t.rows, t.picked, t.more INTO v_claimed, v_picked, v_more FROM @extschema@.va_outbox_take(p_name, p_instance, p_no, p_live, p_bulk, p_busy) t;
	END IF;
	IF v_claimed IS NULL THEN
		RETURN json_build_object('jobs', '[]'::json, 'picked', v_picked, 'more', v_more, 'next_ms', @extschema@.va_outbox_next_ms());
	END IF;
	FOR v_kind IN SELECT k.kind, k.prepare FROM @extschema@.outbox_kinds k WHERE k.kind IN (SELECT r.kind FROM unnest(v_claimed) r) LOOP
		v_some := ARRAY(SELECT r FROM unnest(v_claimed) r WHERE r.kind = v_kind.kind);
		v_rows := v_rows || v_some;
		v_requests := v_requests || @extschema@.va_outbox_prepare(v_some, v_kind.prepare);
	END LOOP;
	RETURN (SELECT json_build_object('jobs', coalesce(json_agg(json_build_object('id', (c.r).id, 'attempt', (c.r).attempts, 'tenant', (c.r).tenant_id,
			'kind', (c.r).kind, 'key', (c.r).attempt_key, 'queue', (c.r).queue::text, 'lane', (c.r).lane, 'look', (c.r).doubtful_since IS NOT NULL,
			'repeatable', k.repeatable, 'timeout_ms', k.timeout_ms, 'request', c.request) ORDER BY (c.r).lane DESC, (c.r).id), '[]'),
			'picked', v_picked, 'more', v_more, 'next_ms', CASE WHEN NOT v_more THEN @extschema@.va_outbox_next_ms() END)
		FROM (SELECT unnest(v_rows) AS r, unnest(v_requests) AS request) c JOIN @extschema@.outbox_kinds k ON k.kind = (c.r).kind
		-- (Asked for those alone that are not plain requests: it costs more than all the rest of a row.)
		WHERE jsonb_typeof(c.request) = 'object' AND NOT c.request ?| ARRAY['skip', 'defer', 'fail', 'error']
			OR @extschema@.va_outbox_decide(c.r, c.request));
END
$$;

-- ---- settle ---------------------------------------------------------------------------------------

-- Seconds until an effect is tried again after its n-th attempt: doubling from half a second (live) or two (bulk), up to
-- half a minute or ten; a quarter either way by chance, so that what failed together does not come back together.
CREATE FUNCTION @extschema@.va_outbox_backoff(p_lane text, p_attempts integer) RETURNS double precision
	LANGUAGE sql VOLATILE
	RETURN CASE p_lane WHEN 'live' THEN least(0.5 * 2 ^ least(p_attempts - 1, 20), 30) ELSE least(2 * 2 ^ least(p_attempts - 1, 20), 600) END
		* (0.75 + 0.5 * random());

CREATE FUNCTION @extschema@.va_outbox_again(o @extschema@.outbox, p_error jsonb, p_patience_s double precision) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_after double precision := greatest(@extschema@.va_outbox_backoff(o.lane, o.attempts), coalesce(p_patience_s, 0) * (1 + 0.1 * random()));
BEGIN
	UPDATE @extschema@.outbox x SET state = 'later', run_at = clock_timestamp() + make_interval(secs => v_after), leased_by = NULL,
		lease_until = NULL, doubtful_since = NULL, looks = 0, last_error = p_error
	WHERE x.id = o.id;
END
$$;

-- An attempt has an unknown outcome, for the first time or still.
CREATE FUNCTION @extschema@.va_outbox_doubt(o @extschema@.outbox, p_error jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_kind @extschema@.outbox_kinds;
	v_since timestamptz := coalesce(o.doubtful_since, clock_timestamp());
	v_until timestamptz;
	v_final jsonb := p_error || jsonb_build_object('final', true, 'hint', coalesce(p_error ->> 'hint',
		'Look at the service whether it has happened. If so: va_outbox_found(); if not: va_outbox_retry().'));
BEGIN
	SELECT * INTO v_kind FROM @extschema@.outbox_kinds k WHERE k.kind = o.kind;
	v_until := v_since + make_interval(mins => v_kind.doubt_minutes);
	IF v_kind.reconcile = 'person' OR v_until <= clock_timestamp() THEN
		PERFORM @extschema@.va_outbox_bury(o, 'unknown', v_final);
		RETURN;
	END IF;
	IF o.doubtful_since IS NULL THEN
		PERFORM @extschema@.va_outbox_settle_one(o, 'unknown', p_error);
	END IF;
	UPDATE @extschema@.outbox x SET state = 'unknown', lease_until = NULL, doubtful_since = v_since, last_error = p_error,
		run_at = CASE v_kind.reconcile WHEN 'listing'
			THEN least(clock_timestamp() + make_interval(secs => least(10 * 2 ^ least(o.looks, 10), 600) * (0.9 + 0.2 * random())), v_until)
			ELSE v_until END
	WHERE x.id = o.id;
END
$$;

-- Brings a verdict other than done to an effect that is leased or of unknown outcome: {"outcome": retry, failed, unknown,
-- absent or released, "code", "text", "hint", "http_status", "retry_after_s", "provider_down"}.
CREATE FUNCTION @extschema@.va_outbox_verdict(o @extschema@.outbox, v jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_outcome text := v ->> 'outcome';
	v_error jsonb := jsonb_strip_nulls(jsonb_build_object('code', v ->> 'code', 'text', v ->> 'text', 'hint', v ->> 'hint',
		'http_status', nullif(v -> 'http_status', '0'), 'at', clock_timestamp()));
	v_patience double precision := (SELECT CASE WHEN n >= 0 THEN least(n, 86400) END FROM @extschema@.va_number(v, 'retry_after_s') n);
	v_down boolean := coalesce(v -> 'provider_down' = 'true', false);
	v_kind @extschema@.outbox_kinds;
	v_why jsonb;
BEGIN
	IF v_outcome = 'released' THEN
		UPDATE @extschema@.outbox x SET state = CASE WHEN x.doubtful_since IS NULL THEN 'ready' ELSE 'unknown' END,
			attempts = x.attempts - (x.doubtful_since IS NULL)::integer, leased_by = NULL, lease_until = NULL
		WHERE x.id = o.id;
		PERFORM @extschema@.va_outbox_wake();
		RETURN;
	END IF;
	INSERT INTO @extschema@.outbox_attempts (outbox_id, tenant_id, attempt, is_look, started_at, dispatcher, outcome, error)
	VALUES (o.id, o.tenant_id, o.attempts, o.doubtful_since IS NOT NULL,
		CASE WHEN o.doubtful_since IS NULL THEN o.started_at END, o.leased_by, v_outcome, v_error);
	IF v ? 'provider_down' THEN
		PERFORM @extschema@.va_outbox_queue_heard(o, v_down, CASE WHEN v -> 'http_status' IN ('429', '503') THEN coalesce(v_patience, 1) END, v_error);
	END IF;
	SELECT * INTO v_kind FROM @extschema@.outbox_kinds k WHERE k.kind = o.kind;
	-- Why something has not happened that the service has no trace of: what was wrong with the attempt.
	v_why := CASE v_outcome WHEN 'absent' THEN coalesce(o.last_error, '{}') || v_error ELSE v_error END;
	IF v_outcome = 'unknown' AND NOT v_kind.repeatable THEN
		PERFORM @extschema@.va_outbox_doubt(o, v_error);
	ELSIF v_outcome = 'failed' THEN
		PERFORM @extschema@.va_outbox_bury(o, 'failed', v_error);
	ELSIF o.attempts >= v_kind.max_attempts AND NOT (v_down AND o.created_at > clock_timestamp() - interval '1 day') THEN
		PERFORM @extschema@.va_outbox_bury(o, 'dead', v_why);
	ELSE -- a service that is down uses up nobody's attempts within a day
		PERFORM @extschema@.va_outbox_again(o, v_why, v_patience);
	END IF;
END
$$;

-- Calls a kind's settle function for all its effects that are done, one by one where one of them fails.
CREATE FUNCTION @extschema@.va_outbox_settle_done(p_rows @extschema@.outbox[], p_results jsonb, p_kind text, p_function text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('SELECT @extschema@.%I(r, ''done'', coalesce($2 -> r.id::text, ''{}'')) FROM unnest($1) r WHERE r.kind = $3', p_function)
		USING p_rows, p_results, p_kind;
EXCEPTION WHEN OTHERS THEN
	UPDATE @extschema@.outbox_history h SET settle_error = e.error
	FROM (SELECT r.id, @extschema@.va_outbox_settle_one(r, 'done', coalesce(p_results -> r.id::text, '{}')) AS error
		  FROM unnest(p_rows) r WHERE r.kind = p_kind) e
	WHERE h.id = e.id AND e.error IS NOT NULL;
END
$$;

-- Moves what is done to the history. Returns the rows whose kind has a settle function, with the results by their ids,
-- and how many there were in all.
CREATE FUNCTION @extschema@.va_outbox_settle_moved(p_instance text, p_verdicts jsonb, OUT rows @extschema@.outbox[], OUT results jsonb, OUT count integer)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
	v_queues bigint[];
BEGIN
	WITH said AS ( -- in the order in which others take several effects
		SELECT (e ->> 'id')::bigint AS id, (e ->> 'attempt')::integer AS attempt, e -> 'result' AS result
		FROM jsonb_array_elements(p_verdicts) e WHERE e ->> 'outcome' = 'done' ORDER BY 1),
	gone AS (
		DELETE FROM @extschema@.outbox x USING said s
		WHERE x.id = s.id AND x.attempts = s.attempt AND x.leased_by = p_instance AND x.state IN ('leased', 'unknown')
		RETURNING x AS r, x.queue, s.result),
	kept AS (
		INSERT INTO @extschema@.outbox_history (id, tenant_id, kind, attempt_key, lane, outcome, attempts, lead_id, call_id,
			notification_id, appointment_id, result, dispatcher, started_at, created_at)
		SELECT (g.r).id, (g.r).tenant_id, (g.r).kind, (g.r).attempt_key, (g.r).lane, 'done', (g.r).attempts, (g.r).lead_id, (g.r).call_id,
			(g.r).notification_id, (g.r).appointment_id, g.result, (g.r).leased_by, (g.r).started_at, (g.r).created_at FROM gone g)
	SELECT array_agg(g.r) FILTER (WHERE k.settle IS NOT NULL),
		jsonb_object_agg((g.r).id::text, g.result) FILTER (WHERE k.settle IS NOT NULL), count(*), array_agg(DISTINCT g.queue)
	INTO rows, results, count, v_queues FROM gone g JOIN @extschema@.outbox_kinds k ON k.kind = (g.r).kind;
	PERFORM @extschema@.va_outbox_queues_well(v_queues);
END
$$;

-- What became of attempts: [{"id", "attempt", "outcome", …, "result"}]. What this dispatcher no longer has to say
-- anything about (another one took over, a callback was faster) is passed over. Returns how many it could settle.
CREATE FUNCTION @extschema@.va_outbox_settle(p_instance text, p_verdicts jsonb) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	v_done record;
	v_count integer;
	v_kind record;
	v jsonb;
	o @extschema@.outbox;
BEGIN
	SELECT * INTO v_done FROM @extschema@.va_outbox_settle_moved(p_instance, p_verdicts);
	v_count := v_done.count;
	FOR v_kind IN SELECT k.kind, k.settle FROM @extschema@.outbox_kinds k WHERE k.kind IN (SELECT r.kind FROM unnest(v_done.rows) r) LOOP
		PERFORM @extschema@.va_outbox_settle_done(v_done.rows, v_done.results, v_kind.kind, v_kind.settle);
	END LOOP;
	FOR v IN SELECT e FROM jsonb_array_elements(p_verdicts) e WHERE e ->> 'outcome' <> 'done' ORDER BY (e ->> 'id')::bigint LOOP
		SELECT * INTO o FROM @extschema@.outbox x WHERE x.id = (v ->> 'id')::bigint AND x.attempts = (v ->> 'attempt')::integer
			AND x.leased_by = p_instance AND x.state IN ('leased', 'unknown') FOR UPDATE;
		CONTINUE WHEN NOT FOUND;
		PERFORM @extschema@.va_outbox_verdict(o, v);
		v_count := v_count + 1;
	END LOOP;
	RETURN v_count;
END
$$;

-- ---- dispatchers ----------------------------------------------------------------------------------

-- An attempt whose dispatcher is gone: it may have been made.
CREATE FUNCTION @extschema@.va_outbox_lost(o @extschema@.outbox) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_outbox_verdict(o, '{"outcome": "unknown", "code": "dispatcher_lost",
		"text": "the dispatcher ended before it could say what became of the attempt"}');
END
$$;

-- The first thing a dispatcher says: its name, and a word that is new with each start. What an earlier run of the same
-- name left behind is of unknown outcome from now on.
CREATE FUNCTION @extschema@.va_outbox_begin(p_name text, p_instance text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_before text;
	v_count integer;
BEGIN
	SELECT d.instance INTO v_before FROM @extschema@.outbox_dispatchers d WHERE d.name = p_name FOR UPDATE;
	INSERT INTO @extschema@.outbox_dispatchers AS d (name, instance) VALUES (p_name, p_instance)
	ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, claim_no = 0, started_at = now(), reported_at = now(), report = '{}'
		WHERE d.instance <> excluded.instance;
	PERFORM @extschema@.va_outbox_lost(o) FROM (
		SELECT x.* FROM @extschema@.outbox x WHERE x.state = 'leased' AND x.leased_by = v_before AND v_before <> p_instance
		ORDER BY x.id FOR UPDATE) o;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- Every few seconds: leases that ran out, and doubts that lasted too long. Returns how many were looked after.
CREATE FUNCTION @extschema@.va_outbox_sweep() RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count integer;
	v_more integer;
BEGIN
	PERFORM @extschema@.va_outbox_lost(o) FROM (
		SELECT x.* FROM @extschema@.outbox x WHERE x.state = 'leased' AND x.lease_until < clock_timestamp()
		ORDER BY x.lease_until LIMIT 500 FOR UPDATE SKIP LOCKED) o;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	PERFORM @extschema@.va_outbox_doubt(o, coalesce(o.last_error, '{}')) FROM (
		SELECT x.* FROM @extschema@.outbox x JOIN @extschema@.outbox_kinds k ON k.kind = x.kind AND k.reconcile <> 'listing'
		WHERE x.state = 'unknown' AND x.run_at <= clock_timestamp() ORDER BY x.run_at LIMIT 500 FOR UPDATE OF x SKIP LOCKED) o;
	GET DIAGNOSTICS v_more = ROW_COUNT;
	RETURN v_count + v_more;
END
$$;

-- What a dispatcher counts, for va_stats() and va_health().
CREATE FUNCTION @extschema@.va_outbox_report(p_name text, p_instance text, p_report jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_commit_lazily();
	UPDATE @extschema@.outbox_dispatchers d SET reported_at = now(), report = p_report
	WHERE d.name = p_name AND d.instance = p_instance;
END
$$;

-- ---- for va_stats() and va_health() ---------------------------------------------------------------

CREATE FUNCTION @extschema@.va_outbox_numbers() RETURNS TABLE (name text, value numeric)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT v.name, v.value FROM (
		SELECT count(*) FILTER (WHERE o.state IN ('ready', 'later')) AS waiting, count(*) FILTER (WHERE o.state = 'later') AS scheduled,
			count(*) FILTER (WHERE o.state = 'leased') AS under_way, count(*) FILTER (WHERE o.state = 'unknown') AS unknown,
			coalesce(extract(epoch FROM now() - min(o.run_at) FILTER (WHERE o.state = 'ready')), 0) AS oldest
		FROM @extschema@.outbox o) n,
		(SELECT count(*) AS count FROM @extschema@.outbox_dead) d,
		(SELECT count(*) AS count FROM @extschema@.outbox_queues q WHERE q.breaker <> 'closed') b,
		(SELECT count(*) AS count FROM @extschema@.outbox_dispatchers p WHERE p.reported_at > now() - interval '30 seconds') p,
		LATERAL (VALUES ('outbox.waiting', n.waiting::numeric), ('outbox.scheduled', n.scheduled), ('outbox.under_way', n.under_way),
			('outbox.unknown', n.unknown), ('outbox.oldest_s', greatest(n.oldest, 0)), ('outbox.dead', d.count), ('outbox.blocked', b.count),
			('outbox.dispatchers', p.count)) v (name, value);
	RETURN QUERY SELECT 'dispatcher.' || r.name, sum(r.value)
	FROM @extschema@.outbox_dispatchers d, @extschema@.va_report_numbers(d.report) r
	WHERE r.name NOT IN ('pid', 'uptime_s') GROUP BY r.name;
END
$$;

CREATE FUNCTION @extschema@.va_outbox_health() RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT 'dispatcher', d.n > 0 OR NOT EXISTS (SELECT FROM @extschema@.outbox),
		CASE WHEN d.n > 0 THEN format('%s running, last report %s s ago', d.n, round(d.age)) WHEN d.age IS NULL THEN 'none has ever reported'
			 ELSE format('none runs, last report %s s ago', round(d.age)) END,
		CASE WHEN d.n = 0 THEN 'See voiceagent.dispatcher_workers, and the server''s log for messages of the dispatcher.' END
	FROM (SELECT count(*) FILTER (WHERE x.reported_at > now() - interval '30 seconds') AS n, extract(epoch FROM now() - max(x.reported_at)) AS age
		  FROM @extschema@.outbox_dispatchers x) d;
	RETURN QUERY SELECT 'outbox', o.age IS NULL OR o.age < 60, CASE WHEN o.age IS NULL THEN 'nothing waits'
			ELSE format('%s effects wait, the oldest for %s s', o.n, round(o.age)) END,
		CASE WHEN o.age >= 60 THEN 'SELECT * FROM outbox_queues shows limits and services that are down; va_outbox_explain(id) tells about one.' END
	FROM (SELECT count(*) AS n, extract(epoch FROM now() - min(x.run_at)) AS age FROM @extschema@.outbox x WHERE x.state = 'ready') o;
	RETURN QUERY SELECT 'service ' || q.provider || coalesce(' of ' || t.slug, ''), false,
		format('%s failures in a row since %s: %s', q.failures, q.opened_at, @extschema@.va_outbox_words(q.last_error)),
		format('Asked again at %s by itself. Is the service down, or its address wrong?', q.blocked_until)
	FROM @extschema@.outbox_queues q LEFT JOIN @extschema@.tenants t ON t.id = q.tenant_id WHERE q.breaker <> 'closed' ORDER BY 1;
	RETURN QUERY SELECT 'dead letters', count(*) = 0, format('%s: %s', count(*), coalesce(string_agg(DISTINCT x.kind, ', '), 'none')),
		CASE WHEN count(*) > 0 THEN 'SELECT d.id, e.* FROM outbox_dead d, va_outbox_explain(d.id) e tells why; va_outbox_retry(id), va_outbox_cancel(id).' END
	FROM @extschema@.outbox_dead x;
	RETURN QUERY SELECT 'unknown outcomes', count(*) = 0, format('%s since %s', count(*), min(x.doubtful_since)),
		'They are asked for, or waited for; after a while they become dead letters.'::text
	FROM @extschema@.outbox x WHERE x.state = 'unknown' HAVING count(*) > 0;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_outbox_begin(text, text), @extschema@.va_outbox_claim(text, text, bigint, integer, integer, jsonb),
	@extschema@.va_outbox_settle(text, jsonb), @extschema@.va_outbox_sweep(), @extschema@.va_outbox_report(text, text, jsonb)
	TO voiceagent_dispatcher;
