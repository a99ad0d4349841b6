-- leads.sql: what leads.sh measures, and the equivalents it is measured against. Loaded into a database with the extension.

CREATE SCHEMA bench;
CREATE TABLE bench.results (n serial, what text, ours text, plain text, ours_value numeric, plain_value numeric, unit text, target numeric);

-- The median of the milliseconds that a statement takes.
CREATE FUNCTION bench.ms(statement text, runs int DEFAULT 7) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	v_times numeric[] := '{}';
	v_start timestamptz;
BEGIN
	FOR i IN 1..runs LOOP
		v_start := clock_timestamp();
		EXECUTE statement;
		v_times := v_times || round((extract(epoch FROM clock_timestamp() - v_start) * 1000)::numeric, 4);
	END LOOP;
	RETURN (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(v_times) t);
END
$$;

-- ---- scoring: the same five signals and weights, when they are given by their own names ----------

CREATE FUNCTION bench.signal(data jsonb, name text) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v jsonb := data -> name;
	n float8;
BEGIN
	CASE jsonb_typeof(v)
		WHEN 'number' THEN n := v::float8;
		WHEN 'boolean' THEN n := v::boolean::int;
		WHEN 'string' THEN n := CASE lower(v #>> '{}') WHEN 'yes' THEN 1 WHEN 'no' THEN 0 ELSE (v #>> '{}')::float8 END;
		ELSE RETURN 0;
	END CASE;
	IF n NOT BETWEEN 0 AND 1 THEN
		RAISE EXCEPTION '% must be between 0 and 1', name;
	END IF;
	RETURN n;
END
$$;
CREATE FUNCTION bench.score(data jsonb) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN 0.25 * bench.signal(data, 'budget_mentioned') + 0.20 * bench.signal(data, 'decision_maker')
		+ 0.25 * bench.signal(data, 'clear_need') + 0.20 * bench.signal(data, 'timeline_urgent')
		+ 0.10 * bench.signal(data, 'engagement_score');
END
$$;
CREATE FUNCTION bench.score_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.lead_score := bench.score(NEW.qualification_data);
	NEW.lead_temperature := CASE WHEN NEW.lead_score >= 0.75 THEN 'hot' WHEN NEW.lead_score >= 0.45 THEN 'warm' ELSE 'cold' END;
	RETURN NEW;
END
$$;

-- ---- booking: one person, one row lock, a look for an overlap, one row --------------------------

CREATE TABLE bench.bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), agent uuid, lead uuid, at timestamptz, minutes int);
CREATE INDEX ON bench.bookings (agent, at);
CREATE TABLE bench.agents AS SELECT NULL::uuid AS id, NULL::uuid AS tenant WHERE false;
CREATE FUNCTION bench.book(lead uuid, tenant uuid, wanted timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	v_agent uuid;
	v_id uuid;
BEGIN
	SELECT a.id INTO v_agent FROM bench.agents a WHERE a.tenant = book.tenant FOR UPDATE;
	IF EXISTS (SELECT FROM bench.bookings b WHERE b.agent = v_agent AND b.at < wanted + interval '30 minutes'
			   AND b.at > wanted - interval '30 minutes') THEN
		RETURN NULL;
	END IF;
	INSERT INTO bench.bookings (agent, lead, at, minutes) VALUES (v_agent, lead, wanted, 30) RETURNING id INTO v_id;
	RETURN v_id;
END
$$;
CREATE FUNCTION bench.book_ours(lead uuid, wanted timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	RETURN va_appointment_book(lead, wanted, 30);
EXCEPTION WHEN SQLSTATE 'VA030' THEN -- taken
	RETURN NULL;
END
$$;
