-- The ledgers of caller and engine as tables, one line a row, and what the tests ask of them.
CREATE SCHEMA test;
CREATE TABLE test.ledger (n bigint GENERATED ALWAYS AS IDENTITY, line jsonb NOT NULL);
CREATE TABLE test.speech (manifest jsonb);

-- Every line, with the scenario its call or session follows.
CREATE VIEW test.events AS
WITH named AS (
	SELECT line ->> 'id' AS id, coalesce(line ->> 'scenario', line #>> '{result,scenario}') AS scenario
	FROM test.ledger WHERE line ->> 'event' IN ('created', 'result'))
SELECT l.n, (l.line ->> 'at')::bigint AS at, l.line ->> 'who' AS who, l.line ->> 'id' AS id,
	l.line ->> 'event' AS event, named.scenario, l.line
FROM test.ledger l LEFT JOIN named ON named.id = l.line ->> 'id';

CREATE VIEW test.results AS
SELECT id AS call_sid, scenario, line -> 'result' AS result FROM test.events WHERE who = 'caller' AND event = 'result';

-- How long each sentence is when it is spoken to its end.
CREATE VIEW test.sentences AS
SELECT DISTINCT e.value ->> 'text' AS text, (e.value ->> 'ms')::numeric AS ms
FROM test.speech, jsonb_each(manifest) AS e;

-- What was said by both sides, in the order in which it ended. A sentence of the caller that was never
-- finished (he hung up) counts as interrupted; only the realtime engine tells of it, the other one sends
-- final texts of the caller alone. heard_ms: how much of the agent's sentence the caller's
-- line played before it was cleared; the caller measures it by his ear, the agent knows nothing of it.
CREATE VIEW test.dialogue AS
WITH spoken AS (
	SELECT scenario, at, n, 'user' AS role, line ->> 'text' AS full_text,
		event = 'saying' AS interrupted, CASE event WHEN 'pressed' THEN 'dtmf' ELSE 'voice' END AS medium
	FROM test.events e
	WHERE who = 'caller' AND (event IN ('said', 'pressed') OR event = 'saying' AND scenario LIKE '%-rt' AND NOT EXISTS (
		SELECT FROM test.events l WHERE l.id = e.id AND l.event = 'said' AND l.n > e.n AND l.line ->> 'text' = e.line ->> 'text'))
	UNION ALL
	SELECT scenario, at, n, 'agent', coalesce(line ->> 'full', line ->> 'text'), (line ->> 'interrupted')::boolean, 'voice'
	FROM test.events WHERE who = 'engine' AND event = 'said'),
cuts AS (
	SELECT scenario, (line ->> 'heard_ms')::numeric AS heard_ms, row_number() OVER (PARTITION BY scenario ORDER BY n) AS k
	FROM test.events WHERE who = 'caller' AND event = 'clear'),
numbered AS (
	SELECT s.*, row_number() OVER (PARTITION BY scenario ORDER BY at, role DESC) AS n_turn,
		count(*) FILTER (WHERE role = 'agent' AND interrupted) OVER (PARTITION BY scenario ORDER BY at, role DESC) AS k
	FROM spoken s)
SELECT n.scenario, n.n_turn, n.role, n.full_text, n.interrupted, n.medium, c.heard_ms
FROM numbered n LEFT JOIN cuts c ON c.scenario = n.scenario AND c.k = n.k AND n.role = 'agent' AND n.interrupted;

CREATE FUNCTION test.words(p_text text) RETURNS integer
	LANGUAGE sql IMMUTABLE
	RETURN coalesce(array_length(regexp_split_to_array(nullif(trim(p_text), ''), '\s+'), 1), 0);

-- The beginning of a text that ends where a word ends.
CREATE FUNCTION test.is_beginning(p_part text, p_full text) RETURNS boolean
	LANGUAGE sql IMMUTABLE
	RETURN starts_with(p_full, p_part) AND substr(p_full, length(p_part) + 1, 1) IN ('', ' ');

CREATE VIEW test.stored AS
SELECT r.scenario, r.call_sid, x.n AS n_turn, x.turn, x.turn ->> 'role' AS role, x.turn ->> 'text' AS text,
	(x.turn ->> 'interrupted')::boolean AS interrupted, x.turn ->> 'medium' AS medium
FROM test.results r JOIN calls c ON c.twilio_call_sid = r.call_sid,
	jsonb_array_elements(c.transcript) WITH ORDINALITY AS x (turn, n);

-- How many words are over when so much of a text was spoken, its letters taken to be equally long.
CREATE FUNCTION test.whole_words(p_full text, p_part numeric) RETURNS integer
	LANGUAGE sql IMMUTABLE AS $$
	SELECT test.words(heard) - CASE WHEN test.is_beginning(heard, p_full) THEN 0 ELSE 1 END
	FROM left(p_full, round(length(p_full) * least(p_part, 1))::integer) AS heard
$$;

-- Is a stored turn what was said? Of an interrupted sentence: its beginning up to the word that the
-- caller heard last, give or take one.
CREATE FUNCTION test.turn_problem(d test.dialogue, s test.stored) RETURNS text
	LANGUAGE sql STABLE
	RETURN CASE
		WHEN d.role IS NULL THEN 'stored, and never said'
		WHEN s.role IS NULL THEN 'said, and not stored'
		WHEN (d.role, d.medium) <> (s.role, s.medium) THEN 'another role or medium'
		WHEN d.interrupted <> s.interrupted THEN 'interrupted on one side only'
		WHEN d.medium = 'dtmf' AND replace(s.text, ' ', '') <> d.full_text THEN 'other keys'
		WHEN d.medium <> 'dtmf' AND NOT d.interrupted AND s.text <> d.full_text THEN 'another text'
		WHEN d.interrupted AND NOT test.is_beginning(s.text, d.full_text) THEN 'not the beginning of what was said'
		WHEN d.interrupted AND d.role = 'agent' AND d.heard_ms IS NULL THEN 'cut, but the caller''s line was never cleared'
		WHEN d.interrupted AND d.role = 'agent' AND abs(test.words(s.text) - test.whole_words(d.full_text,
			(SELECT d.heard_ms / ms FROM test.sentences WHERE text = d.full_text))) > 1
			THEN format('cut elsewhere: %s ms were heard', d.heard_ms)
	END;

-- Everything that differs between what was said and what was stored; empty when all is well.
CREATE FUNCTION test.transcript_problems(p_scenario text) RETURNS SETOF text
	LANGUAGE sql STABLE AS $$
	SELECT format('turn %s: %s; said %s "%s", stored %s "%s"', coalesce(d.n_turn, s.n_turn), test.turn_problem(d, s),
		d.role, d.full_text, s.role, s.text)
	FROM (SELECT * FROM test.dialogue WHERE scenario = p_scenario) d
	FULL JOIN (SELECT * FROM test.stored WHERE scenario = p_scenario) s ON s.n_turn = d.n_turn
	WHERE test.turn_problem(d, s) IS NOT NULL
	UNION ALL
	SELECT 'nothing was said' WHERE NOT EXISTS (SELECT FROM test.dialogue WHERE scenario = p_scenario)
$$;

-- The same for what was counted. Frames of an engine's sentence that was interrupted may be left out.
CREATE FUNCTION test.count_problems(p_scenario text) RETURNS SETOF text
	LANGUAGE sql STABLE AS $$
	WITH it AS (
		SELECT r.result, c.*, m.*, m.tool_calls AS counted_tool_calls, c.status AS call_status, c.end_reason AS call_end_reason,
			(SELECT sum((line ->> 'spoken_bytes')::bigint / CASE (line ->> 'heard_rate')::integer WHEN 8000 THEN 320 ELSE 960 END)
			 FROM test.events WHERE who = 'engine' AND event = 'ended' AND scenario = p_scenario) AS spoken,
			(SELECT count(*) FROM test.events WHERE who = 'engine' AND event = 'tool_call' AND scenario = p_scenario) AS tools
		FROM test.results r JOIN calls c ON c.twilio_call_sid = r.call_sid LEFT JOIN call_metrics m ON m.call_id = c.id
		WHERE r.scenario = p_scenario)
	SELECT problem FROM it, LATERAL (VALUES
		(call_status IS DISTINCT FROM 'completed', format('status %s', call_status)),
		(conversation_turns IS DISTINCT FROM jsonb_array_length(transcript), format('%s turns counted', conversation_turns)),
		((abs(duration_seconds - (result ->> 'duration_ms')::numeric / 1000) < 3) IS NOT TRUE, format('lasted %s s', duration_seconds)),
		-- Frames that were under way when the other side hung up nobody has counted.
		(((result ->> 'frames_sent')::bigint - frames_in BETWEEN 0 AND CASE call_end_reason WHEN 'caller_hangup' THEN 0 ELSE 3 END)
			IS NOT TRUE, format('%s frames in, %s sent', frames_in, result ->> 'frames_sent')),
		((frames_out BETWEEN spoken - 25 * interruptions AND spoken) IS NOT TRUE, format('%s frames out, %s spoken', frames_out, spoken)),
		((frames_dropped_in + frames_dropped_out) IS DISTINCT FROM 0, format('%s and %s dropped', frames_dropped_in, frames_dropped_out)),
		(interruptions IS DISTINCT FROM (result ->> 'clears')::integer, format('%s interruptions', interruptions)),
		(dtmf IS DISTINCT FROM (result ->> 'keys')::integer, format('%s keys', dtmf)),
		(counted_tool_calls IS DISTINCT FROM tools, format('%s tool calls, %s made', counted_tool_calls, tools)),
		(stream_start_ms IS NULL OR engine_ready_ms IS NULL OR first_audio_ms IS NULL OR engine_prepare_ms IS NULL, 'timings are missing'),
		((result ->> 'violations')::integer <> 0, 'the protocol was violated'),
		((result ->> 'webhook_failures')::integer <> 0, 'a webhook failed')) AS v (wrong, problem)
	WHERE wrong
	UNION ALL
	SELECT 'no call' WHERE NOT EXISTS (SELECT FROM it)
$$;
