-- Events grow without end: analytics_events is partitioned by month (UTC, so that no clock change moves a bound). The
-- scheduler makes partitions three months ahead and drops those that everybody's retention has passed. What fits
-- no partition goes into analytics_events_default, so that no insert ever fails, and is moved when its month's partition
-- is made. No step waits longer than 100 ms for a lock: it gives up and is tried again a minute later.
--
-- The partitions are members of the extension, the later ones too: DROP EXTENSION takes them along, and pg_dump leaves
-- their definitions out. It has to: it would create their indexes a second time, beside those that ATTACH PARTITION makes of
-- their table's. The rows are dumped all the same, see analytics_events_dump.

CREATE TABLE @extschema@.analytics_events_default PARTITION OF @extschema@.analytics_events DEFAULT;
-- Which months have rows here? The default partition alone is asked that.
CREATE INDEX idx_analytics_default_created ON @extschema@.analytics_events_default (created_at);
-- A lead's history; merging leads, and erasing a person.
CREATE INDEX idx_analytics_lead ON @extschema@.analytics_events (lead_id, created_at DESC);

-- ---- partitions ---------------------------------------------------------------------------------

-- Midnight of a date in UTC.
CREATE FUNCTION @extschema@.va_events_bound(p_day date) RETURNS timestamptz
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN p_day::timestamp AT TIME ZONE 'UTC';

CREATE FUNCTION @extschema@.va_events_month(p_at timestamptz) RETURNS date
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN date_trunc('month', p_at AT TIME ZONE 'UTC')::date;

-- The name of a month's partition, with its schema.
CREATE FUNCTION @extschema@.va_events_partition_name(p_month date) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN '@extschema@.analytics_events_' || lpad(extract(year FROM p_month)::text, 4, '0') || '_' || lpad(extract(month FROM p_month)::text, 2, '0');

-- Makes the partition for the month of a day and moves what the default partition has of it. True when it is there
-- afterwards; false when there are more than max_rows to move (NULL: any number), for no event can be written
-- meanwhile. 55P03 (lock_not_available) when others are in the way.
CREATE FUNCTION @extschema@.va_events_partition(day date, max_rows bigint DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	v_month date := date_trunc('month', day)::date;
	v_next date := v_month + interval '1 month';
	v_from timestamptz := @extschema@.va_events_bound(v_month);
	v_to timestamptz := @extschema@.va_events_bound(v_next);
	v_name text := @extschema@.va_events_partition_name(v_month);
BEGIN
	IF to_regclass(v_name) IS NOT NULL THEN
		RETURN true;
	END IF;
	IF max_rows < (SELECT count(*) FROM (SELECT FROM @extschema@.analytics_events_default d
			WHERE d.created_at >= v_from AND d.created_at < v_to LIMIT max_rows + 1) AS few) THEN
		RETURN false;
	END IF;
	-- Against writers, and first: an insert that has chosen the default partition and waits for a lock on it would find itself
	-- in the wrong one when it may go on, and fail.
	LOCK TABLE ONLY @extschema@.analytics_events IN SHARE ROW EXCLUSIVE MODE;
	IF to_regclass(v_name) IS NOT NULL THEN
		RETURN true;
	END IF;
	LOCK TABLE @extschema@.analytics_events_default IN ACCESS EXCLUSIVE MODE;
	EXECUTE format('CREATE TABLE %s (LIKE @extschema@.analytics_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', v_name);
	EXECUTE format('WITH moved AS (DELETE FROM @extschema@.analytics_events_default d WHERE d.created_at >= $1 AND d.created_at < $2 RETURNING d.*)
		INSERT INTO %s SELECT * FROM moved', v_name) USING v_from, v_to;
	EXECUTE format('ALTER TABLE @extschema@.analytics_events ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', v_name,
		v_month || ' 00:00:00+00', v_next || ' 00:00:00+00');
	EXECUTE format('ALTER EXTENSION voiceagent ADD TABLE %s', v_name);
	PERFORM @extschema@.va_table_isolate(v_name::regclass);
	RETURN true;
END
$$;

-- Every month's partition and where it ends; the default one has no end.
CREATE FUNCTION @extschema@.va_events_partitions() RETURNS TABLE (partition regclass, ends timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT c.oid::regclass, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = '@extschema@.analytics_events'::regclass ORDER BY 2;
END
$$;

-- How long events are kept at the least, by the tenant that keeps them longest; NULL: somebody keeps them for ever.
CREATE FUNCTION @extschema@.va_events_kept() RETURNS interval
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT CASE WHEN bool_and(k.age IS NOT NULL) THEN max(k.age) END
		FROM (SELECT @extschema@.va_retention_days(t.settings, 'events') AS age FROM @extschema@.tenants t
			  UNION ALL SELECT p.age FROM @extschema@.va_retention_days('{}', 'events') AS p (age) WHERE p.age IS NOT NULL) k);
END
$$;

-- Drops the partitions that nobody's retention covers any more; how many. The rows of tenants that keep less go before, by
-- va_retention_apply. Rows without a tenant stay unless the platform's retention_days speaks of events.
CREATE FUNCTION @extschema@.va_events_retire() RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	v_kept interval := @extschema@.va_events_kept();
	v_strays boolean := @extschema@.va_retention_days('{}', 'events') IS NULL;
	v_partition regclass;
	v_stray boolean;
	v_count integer := 0;
BEGIN
	FOR v_partition IN SELECT p.partition FROM @extschema@.va_events_partitions() p WHERE p.ends <= now() - v_kept LOOP
		IF v_strays THEN
			EXECUTE format('SELECT EXISTS (SELECT FROM %s e WHERE e.tenant_id IS NULL)', v_partition) INTO v_stray;
			CONTINUE WHEN v_stray;
		END IF;
		LOCK TABLE ONLY @extschema@.analytics_events IN ACCESS EXCLUSIVE MODE;
		EXECUTE format('ALTER EXTENSION voiceagent DROP TABLE %s', v_partition);
		EXECUTE format('DROP TABLE %s', v_partition);
		v_count := v_count + 1;
	END LOOP;
	RETURN v_count;
END
$$;

-- Called by va_housekeeping. What cannot be done now, for a lock or for the number of rows, is tried again next time; va_health()
-- shows what stays undone.
CREATE FUNCTION @extschema@.va_events_maintain() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_month date := @extschema@.va_events_month(now());
	v_end timestamptz := @extschema@.va_events_bound((v_month + interval '4 months')::date);
	v_at timestamptz := @extschema@.va_events_bound((v_month - interval '10 years')::date);
BEGIN
	FOR n IN 0..3 LOOP
		PERFORM @extschema@.va_events_partition((v_month + make_interval(months => n))::date, 20000);
	END LOOP;
	LOOP -- months that have rows in the default partition; the far past and the far future stay there
		SELECT min(d.created_at) INTO v_at FROM @extschema@.analytics_events_default d WHERE d.created_at >= v_at AND d.created_at < v_end;
		EXIT WHEN v_at IS NULL;
		v_month := @extschema@.va_events_month(v_at);
		PERFORM @extschema@.va_events_partition(v_month, 20000);
		v_at := @extschema@.va_events_bound((v_month + interval '1 month')::date);
	END LOOP;
	IF EXISTS (SELECT FROM @extschema@.analytics_events_dump) THEN -- restored with triggers disabled
		WITH g AS (DELETE FROM @extschema@.analytics_events_dump d RETURNING d.*)
		INSERT INTO @extschema@.analytics_events SELECT * FROM g;
	END IF;
	PERFORM @extschema@.va_events_retire();
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	RAISE DEBUG 'events are left for the next time: %', SQLERRM;
END
$$;

-- ---- dump and restore ---------------------------------------------------------------------------

-- Always empty. Through it pg_dump takes the events out of all partitions, whichever there are, and brings them back into
-- those of the database that it restores into: the condition of the dump adds the rows of analytics_events, and the
-- trigger passes on what is inserted. (A partitioned table has no rows to dump, and partitions made later are
-- unknown where the dump is restored.)
CREATE TABLE @extschema@.analytics_events_dump (
	LIKE @extschema@.analytics_events,
	-- tells pg_dump to restore tenants first
	FOREIGN KEY (tenant_id) REFERENCES @extschema@.tenants(id)
);
CREATE FUNCTION @extschema@.va_events_restored() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NEW.created_at > now() - interval '10 years' AND NEW.created_at < now() + interval '3 months'
	   AND to_regclass(@extschema@.va_events_partition_name(@extschema@.va_events_month(NEW.created_at))) IS NULL THEN
		BEGIN
			PERFORM @extschema@.va_events_partition(@extschema@.va_events_month(NEW.created_at), 20000);
		EXCEPTION WHEN lock_not_available THEN
			NULL; -- into the default partition, then
		END;
	END IF;
	INSERT INTO @extschema@.analytics_events SELECT NEW.*;
	RETURN NULL;
END
$$;
CREATE TRIGGER analytics_events_restored BEFORE INSERT ON @extschema@.analytics_events_dump
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_events_restored();
SELECT pg_catalog.pg_extension_config_dump('@extschema@.analytics_events_dump',
	'WHERE false UNION ALL SELECT id, tenant_id, lead_id, call_id, event_type, event_data, created_at FROM @extschema@.analytics_events');

GRANT EXECUTE ON FUNCTION @extschema@.va_events_partition(date, bigint) TO voiceagent_admin;
