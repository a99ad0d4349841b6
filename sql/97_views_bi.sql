-- Views for business intelligence: how leads move, what calls, people, follow-ups, channels and sources bring. Like all views
-- here they ask with the rights of whoever asks them; a tenant's roles see its own. They count when they are asked: name the
-- tenant, and where there is one a span of days. docs/views.md describes every column, in the words of the comments below.

-- A step's time is that from entering the stage to leaving it. A lead is in `new` from its created_at on.
CREATE VIEW @extschema@.lead_conversion WITH (security_invoker = true) AS
WITH steps AS (
	SELECT h.tenant_id, h.lead_id, h.from_stage, h.to_stage, h.changed_at,
		lag(h.to_stage) OVER w AS entered_stage, lag(h.changed_at) OVER w AS entered_at, l.created_at
	FROM @extschema@.lead_stage_history h JOIN @extschema@.leads l ON l.id = h.lead_id
	WHERE h.from_stage IS DISTINCT FROM h.to_stage
	WINDOW w AS (PARTITION BY h.lead_id ORDER BY h.changed_at, h.id)),
timed AS (
	SELECT s.tenant_id, s.lead_id, s.from_stage, s.to_stage,
		extract(epoch FROM s.changed_at - CASE WHEN s.entered_stage = s.from_stage THEN s.entered_at
			WHEN s.entered_stage IS NULL AND s.from_stage = 'new' THEN s.created_at END)::double precision / 3600 AS hours
	FROM steps s WHERE s.from_stage IS NOT NULL),
reached AS (
	SELECT r.tenant_id, r.stage, count(DISTINCT r.lead_id) AS leads
	FROM (SELECT s.tenant_id, s.to_stage AS stage, s.lead_id FROM steps s
		  UNION ALL
		  SELECT l.tenant_id, 'new', l.id FROM @extschema@.leads l
		  WHERE NOT EXISTS (SELECT FROM @extschema@.lead_stage_history h WHERE h.lead_id = l.id AND h.event = 'import')) r
	GROUP BY r.tenant_id, r.stage)
SELECT t.tenant_id, t.from_stage, t.to_stage, r.leads AS reached, count(DISTINCT t.lead_id) AS leads,
	round(count(DISTINCT t.lead_id)::numeric / nullif(r.leads, 0), 4) AS conversion_rate,
	avg(t.hours) AS avg_hours, percentile_cont(0.5) WITHIN GROUP (ORDER BY t.hours) AS median_hours
FROM timed t LEFT JOIN reached r ON r.tenant_id IS NOT DISTINCT FROM t.tenant_id AND r.stage = t.from_stage
GROUP BY t.tenant_id, t.from_stage, t.to_stage, r.leads;

CREATE VIEW @extschema@.calls_by_hour WITH (security_invoker = true) AS
SELECT c.tenant_id, x.local::date AS day, extract(hour FROM x.local)::integer AS hour,
	count(*) AS calls,
	count(*) FILTER (WHERE c.direction = 'inbound') AS inbound,
	count(*) FILTER (WHERE c.direction = 'outbound') AS outbound,
	count(*) FILTER (WHERE c.status = 'completed') AS completed,
	count(*) FILTER (WHERE c.status IN ('busy', 'failed', 'no-answer', 'canceled')) AS missed,
	count(*) FILTER (WHERE c.escalated_to_human) AS escalated,
	coalesce(sum(c.duration_seconds), 0) AS seconds,
	avg(c.duration_seconds) FILTER (WHERE c.status = 'completed') AS avg_seconds,
	avg(c.sentiment_score) AS avg_sentiment
FROM @extschema@.calls c
JOIN @extschema@.tenants t ON t.id = c.tenant_id
CROSS JOIN LATERAL (SELECT coalesce(c.started_at, c.created_at) AT TIME ZONE coalesce(t.timezone, 'UTC') AS local) x
GROUP BY c.tenant_id, x.local::date, extract(hour FROM x.local);

CREATE VIEW @extschema@.agent_performance WITH (security_invoker = true) AS
SELECT h.tenant_id, h.id AS agent_id, h.name AS agent_name,
	r.calls, r.not_reached, r.open_calls, r.seconds, r.avg_seconds, r.escalations,
	a.appointments, a.completed, a.cancelled, a.no_shows,
	round(a.no_shows::numeric / nullif(a.completed + a.no_shows, 0), 4) AS no_show_rate,
	l.leads, l.won
FROM @extschema@.human_agents h
CROSS JOIN LATERAL (
	SELECT count(*) FILTER (WHERE r.handled) AS calls,
		count(*) FILTER (WHERE NOT r.handled) AS not_reached,
		count(*) FILTER (WHERE r.released_at IS NULL) AS open_calls,
		coalesce(sum(extract(epoch FROM r.released_at - r.reserved_at)) FILTER (WHERE r.handled), 0)::double precision AS seconds,
		avg(extract(epoch FROM r.released_at - r.reserved_at)) FILTER (WHERE r.handled)::double precision AS avg_seconds,
		count(*) FILTER (WHERE r.handled AND c.escalated_to_human) AS escalations
	FROM @extschema@.agent_reservations r LEFT JOIN @extschema@.calls c ON c.id = r.call_id
	WHERE r.agent_id = h.id) r
CROSS JOIN LATERAL (
	SELECT count(*) AS appointments, count(*) FILTER (WHERE a.status = 'completed') AS completed,
		count(*) FILTER (WHERE a.status = 'cancelled') AS cancelled, count(*) FILTER (WHERE a.status = 'no_show') AS no_shows
	FROM @extschema@.appointments a WHERE a.tenant_id = h.tenant_id AND a.assigned_agent_id = h.id) a
CROSS JOIN LATERAL (
	SELECT count(*) AS leads, count(*) FILTER (WHERE l.status = 'closed_won') AS won
	FROM @extschema@.leads l WHERE l.tenant_id = h.tenant_id AND l.assigned_to = h.id) l;

-- What a lead does is put down to the last step it was sent before, if that was within 14 days.
CREATE VIEW @extschema@.follow_up_effect WITH (security_invoker = true) AS
WITH sent AS (
	SELECT f.id, f.lead_id, f.executed_at,
		least(lead(f.executed_at) OVER (PARTITION BY f.lead_id ORDER BY f.executed_at, f.id), f.executed_at + interval '14 days') AS until
	FROM @extschema@.follow_up_tasks f
	WHERE f.sequence_id IS NOT NULL AND f.executed_at IS NOT NULL AND f.status IN ('queued', 'in_progress', 'completed', 'failed')),
effect AS (
	SELECT s.id,
		EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = s.lead_id AND n.direction = 'inbound'
				AND n.created_at >= s.executed_at AND n.created_at < s.until)
		OR EXISTS (SELECT FROM @extschema@.calls c WHERE c.lead_id = s.lead_id AND c.direction = 'inbound'
				AND c.created_at >= s.executed_at AND c.created_at < s.until) AS replied,
		EXISTS (SELECT FROM @extschema@.appointments a WHERE a.lead_id = s.lead_id
				AND a.created_at >= s.executed_at AND a.created_at < s.until) AS booked
	FROM sent s)
SELECT f.tenant_id, f.sequence_id, f.sequence_step, f.purpose,
	count(*) AS planned,
	count(*) FILTER (WHERE f.status = 'pending') AS waiting,
	count(e.id) AS sent,
	count(*) FILTER (WHERE f.status = 'failed') AS failed,
	count(*) FILTER (WHERE e.replied) AS replied,
	count(*) FILTER (WHERE e.booked) AS booked,
	round(count(*) FILTER (WHERE e.replied)::numeric / nullif(count(e.id), 0), 4) AS reply_rate,
	count(*) FILTER (WHERE f.status IN ('cancelled', 'skipped') AND f.result ->> 'why' = 'reply') AS stopped_by_reply,
	count(*) FILTER (WHERE f.status IN ('cancelled', 'skipped') AND f.result ->> 'why' = 'booking') AS stopped_by_booking,
	count(*) FILTER (WHERE f.status IN ('cancelled', 'skipped') AND coalesce(f.result ->> 'why', '') NOT IN ('reply', 'booking', 'replanned', 'merged')) AS stopped_otherwise,
	count(*) FILTER (WHERE f.status IN ('cancelled', 'skipped') AND f.result ->> 'why' IN ('replanned', 'merged')) AS replanned
FROM @extschema@.follow_up_tasks f LEFT JOIN effect e ON e.id = f.id
WHERE f.sequence_id IS NOT NULL
GROUP BY f.tenant_id, f.sequence_id, f.sequence_step, f.purpose;

-- The answer to a message is the lead's first on the same channel before we wrote again.
CREATE VIEW @extschema@.channel_response WITH (security_invoker = true) AS
WITH outbound AS (
	SELECT n.id, n.tenant_id, n.lead_id, n.channel, n.status, n.delivered_at, n.read_at, coalesce(n.sent_at, n.created_at) AS at,
		lead(coalesce(n.sent_at, n.created_at)) OVER (PARTITION BY n.lead_id, n.channel ORDER BY coalesce(n.sent_at, n.created_at), n.id) AS next_at
	FROM @extschema@.notifications n
	WHERE n.direction = 'outbound' AND n.lead_id IS NOT NULL AND n.status IN ('sent', 'delivered', 'read', 'undelivered', 'failed')),
answered AS (
	SELECT o.*, (SELECT min(i.created_at) FROM @extschema@.notifications i
				 WHERE i.lead_id = o.lead_id AND i.channel = o.channel AND i.direction = 'inbound'
				   AND i.created_at >= o.at AND i.created_at < coalesce(o.next_at, 'infinity')) AS answered_at
	FROM outbound o)
SELECT a.tenant_id, a.channel,
	count(*) FILTER (WHERE a.status NOT IN ('undelivered', 'failed')) AS sent,
	count(*) FILTER (WHERE a.status IN ('delivered', 'read') OR a.delivered_at IS NOT NULL) AS delivered,
	count(*) FILTER (WHERE a.status = 'read' OR a.read_at IS NOT NULL) AS read,
	count(*) FILTER (WHERE a.status IN ('undelivered', 'failed')) AS failed,
	count(a.answered_at) AS replied,
	round(count(a.answered_at)::numeric / nullif(count(*) FILTER (WHERE a.status NOT IN ('undelivered', 'failed')), 0), 4) AS reply_rate,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.answered_at - a.at)::double precision) AS median_response_seconds
FROM answered a GROUP BY a.tenant_id, a.channel;

CREATE VIEW @extschema@.source_return WITH (security_invoker = true) AS
SELECT l.tenant_id, l.source, l.utm_source, l.utm_campaign,
	count(*) AS leads,
	count(*) FILTER (WHERE l.status IN ('qualified', 'contacted', 'meeting_scheduled', 'closed_won')
		OR EXISTS (SELECT FROM @extschema@.lead_stage_history h WHERE h.lead_id = l.id
				   AND h.to_stage IN ('qualified', 'contacted', 'meeting_scheduled', 'closed_won'))) AS qualified,
	count(*) FILTER (WHERE EXISTS (SELECT FROM @extschema@.appointments a WHERE a.lead_id = l.id AND a.status <> 'cancelled')) AS with_meeting,
	count(*) FILTER (WHERE l.status = 'closed_won') AS won,
	count(*) FILTER (WHERE l.status = 'closed_lost') AS lost,
	round(count(*) FILTER (WHERE l.status = 'closed_won')::numeric / count(*), 4) AS win_rate,
	avg(l.lead_score) AS avg_score,
	sum(c.calls)::bigint AS calls,
	round(sum(c.seconds) / 60.0, 1) AS call_minutes
FROM @extschema@.leads l
CROSS JOIN LATERAL (SELECT count(*) AS calls, coalesce(sum(c.duration_seconds), 0) AS seconds
					FROM @extschema@.calls c WHERE c.lead_id = l.id) c
GROUP BY l.tenant_id, l.source, l.utm_source, l.utm_campaign;

CREATE VIEW @extschema@.escalations WITH (security_invoker = true) AS
SELECT c.tenant_id, c.id AS call_id, c.lead_id, x.escalated_at, coalesce(c.escalation_reason, 'not said')::text AS reason,
	r.agent_id, h.name AS agent_name,
	greatest(extract(epoch FROM w.at - x.escalated_at), CASE WHEN w.at IS NOT NULL THEN 0 END)::double precision AS wait_seconds,
	extract(epoch FROM r.released_at - r.reserved_at)::double precision AS talk_seconds,
	b.scheduled_for AS callback_at,
	CASE WHEN r.handled THEN 'handled' WHEN r.id IS NOT NULL AND r.released_at IS NULL THEN 'with a person'
		WHEN b.status = 'completed' THEN 'called back' WHEN b.status IN ('pending', 'queued', 'in_progress') THEN 'call back due'
		WHEN r.id IS NOT NULL THEN 'not reached' WHEN b.id IS NOT NULL THEN 'not called back' ELSE 'nobody' END AS outcome
FROM @extschema@.calls c
CROSS JOIN LATERAL (SELECT coalesce((SELECT min(e.created_at) FROM @extschema@.analytics_events e
	WHERE e.call_id = c.id AND e.event_type = 'call_escalated'), c.started_at, c.created_at) AS escalated_at) x
LEFT JOIN LATERAL (SELECT r.* FROM @extschema@.agent_reservations r WHERE r.call_id = c.id
	ORDER BY r.handled IS TRUE DESC, r.reserved_at DESC LIMIT 1) r ON true
LEFT JOIN @extschema@.human_agents h ON h.id = r.agent_id
LEFT JOIN LATERAL (SELECT f.id, f.status, f.scheduled_for, f.executed_at FROM @extschema@.follow_up_tasks f WHERE f.call_id = c.id AND f.sequence_id IS NULL
	ORDER BY f.created_at LIMIT 1) b ON true
CROSS JOIN LATERAL (SELECT coalesce(r.reserved_at, b.executed_at) AS at) w
WHERE c.escalated_to_human;

-- ---- rights -------------------------------------------------------------------------------------

GRANT SELECT ON @extschema@.lead_conversion, @extschema@.calls_by_hour, @extschema@.agent_performance, @extschema@.follow_up_effect,
	@extschema@.channel_response, @extschema@.source_return, @extschema@.escalations
	TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
-- What these views are made of, and no more: neither what messages say nor how people are reached.
GRANT SELECT (id, tenant_id, name) ON @extschema@.human_agents TO voiceagent_bi;
GRANT SELECT (id, tenant_id, lead_id, channel, direction, status, sent_at, delivered_at, read_at, created_at) ON @extschema@.notifications TO voiceagent_bi;
GRANT SELECT (id, tenant_id, lead_id, call_id, scheduled_for, sequence_id, sequence_step, purpose, status, executed_at, result, created_at)
	ON @extschema@.follow_up_tasks TO voiceagent_bi;

-- ---- comments -----------------------------------------------------------------------------------

-- One row a view ('' stands for the view itself) and column. A column that is a table's under its own name needs none here.
DO $$
DECLARE
	v_row record;
BEGIN
	FOR v_row IN
		SELECT * FROM (VALUES
		('active_calls', '', 'calls on the line: all columns of calls, and who and whose it is'),
		('active_calls', 'tenant_name', 'the tenant''s name'),
		('active_calls', 'first_name', 'the lead''s first name'),
		('active_calls', 'last_name', 'the lead''s last name'),
		('active_calls', 'lead_temperature', 'hot, warm or cold'),
		('todays_appointments', '', 'appointments of this day on the tenant''s calendar, in their order: all columns of appointments, and with whom'),
		('todays_appointments', 'tenant_name', 'the tenant''s name'),
		('todays_appointments', 'first_name', 'the lead''s first name'),
		('todays_appointments', 'last_name', 'the lead''s last name'),
		('todays_appointments', 'phone', 'the lead''s number'),
		('todays_appointments', 'email', 'the lead''s address'),
		('lead_funnel', '', 'how many leads there are in each stage, by temperature; kept while leads change, so it costs the same with any number of them'),
		('lead_funnel', 'tenant_id', 'the tenant'),
		('lead_funnel', 'lead_temperature', 'hot, warm or cold'),
		('lead_funnel', 'status', 'the stage'),
		('lead_funnel', 'count', 'leads'),
		('lead_funnel', 'avg_score', 'mean of their scores, 0 to 1'),
		('call_timings', '', 'why was this call slow: one row a call and stream, the parts of the wait one after the other'),
		('call_timings', 'call_id', 'calls.id'),
		('call_timings', 'tenant_id', 'the tenant'),
		('call_timings', 'twilio_call_sid', 'the CallSid'),
		('call_timings', 'status', 'the call''s status'),
		('call_timings', 'started_at', 'when it rang'),
		('call_timings', 'duration_seconds', 'how long it was, s'),
		('call_timings', 'stream_sid', 'the media stream; a resumed call has several'),
		('call_timings', 'gateway', 'the process that carried it'),
		('call_timings', 'end_reason', 'why the stream ended'),
		('call_timings', 'stream_error', 'what Twilio or the gateway complained of'),
		('call_timings', 'answer_ms', 'our answer to the webhook, ms'),
		('call_timings', 'stream_start_ms', 'from the answer to the stream''s start, ms'),
		('call_timings', 'engine_prepare_ms', 'the engine''s own set-up request, ms'),
		('call_timings', 'engine_ready_ms', 'from the answer to the engine being ready, ms'),
		('call_timings', 'engine_wait_ms', 'how long the stream waited for the engine, ms'),
		('call_timings', 'first_audio_ms', 'from the stream''s start to the first audio sent, ms'),
		('call_timings', 'engine_first_audio_ms', 'from a ready engine to its first words, ms'),
		('call_timings', 'answer_to_first_audio_ms', 'what the caller waited in all, ms'),
		('call_timings', 'engine_latency_avg_ms', 'end of a caller''s turn to the reply, mean, ms'),
		('call_timings', 'engine_latency_max_ms', 'the longest of them, ms'),
		('call_timings', 'interruptions', 'times the caller interrupted'),
		('call_timings', 'clear_us_max', 'longest from an interruption to silence ordered, us'),
		('call_timings', 'frames_in', 'audio frames from Twilio, 20 ms each'),
		('call_timings', 'frames_out', 'audio frames to Twilio'),
		('call_timings', 'frames_dropped_in', 'frames that the engine did not take in time'),
		('call_timings', 'frames_dropped_out', 'frames that Twilio did not take in time'),
		('call_timings', 'resume_count', 'times the call was resumed'),
		('call_timings', 'slowest_part', 'the longest part, in words'),
		('contact_attempts', '', 'each try to reach a lead: outbound calls, and messages that are not merely planned'),
		('contact_attempts', 'tenant_id', 'the tenant'),
		('contact_attempts', 'lead_id', 'whom'),
		('contact_attempts', 'channel', 'call, sms, whatsapp or email'),
		('contact_attempts', 'at', 'when'),
		('contact_attempts', 'status', 'the call''s or the message''s'),
		('contact_attempts', 'source_id', 'calls.id or notifications.id'),
		('lead_conversion', '', 'which part of the leads goes on from a stage, where to, and how long they were in it'),
		('lead_conversion', 'tenant_id', 'the tenant'),
		('lead_conversion', 'from_stage', 'the stage that was left'),
		('lead_conversion', 'to_stage', 'the stage that followed'),
		('lead_conversion', 'reached', 'leads that were ever in from_stage'),
		('lead_conversion', 'leads', 'of them, those that took this step (once or more)'),
		('lead_conversion', 'conversion_rate', 'leads / reached, 0 to 1'),
		('lead_conversion', 'avg_hours', 'mean time in from_stage before the step, h'),
		('lead_conversion', 'median_hours', 'its median, h'),
		('calls_by_hour', '', 'calls of each day and hour on the tenant''s clock'),
		('calls_by_hour', 'tenant_id', 'the tenant'),
		('calls_by_hour', 'day', 'date in the tenant''s time zone'),
		('calls_by_hour', 'hour', 'hour of the day there, 0 to 23; an hour that the clocks repeat holds both'),
		('calls_by_hour', 'calls', 'all calls that began in it'),
		('calls_by_hour', 'inbound', 'of them, those that came in'),
		('calls_by_hour', 'outbound', 'and those that went out'),
		('calls_by_hour', 'completed', 'calls that were answered and are over'),
		('calls_by_hour', 'missed', 'busy, failed, not answered or cancelled'),
		('calls_by_hour', 'escalated', 'calls in which a person was wanted'),
		('calls_by_hour', 'seconds', 'length of all together, s'),
		('calls_by_hour', 'avg_seconds', 'mean length of the completed ones, s'),
		('calls_by_hour', 'avg_sentiment', 'mean of sentiment_score where it is known'),
		('agent_performance', '', 'what each of a tenant''s people did: calls taken over, appointments, leads'),
		('agent_performance', 'tenant_id', 'the tenant'),
		('agent_performance', 'agent_id', 'human_agents.id'),
		('agent_performance', 'agent_name', 'the name'),
		('agent_performance', 'calls', 'calls that were handled'),
		('agent_performance', 'not_reached', 'reservations that came to no talk'),
		('agent_performance', 'open_calls', 'calls now'),
		('agent_performance', 'seconds', 'length of the handled ones together, s'),
		('agent_performance', 'avg_seconds', 'their mean, s'),
		('agent_performance', 'escalations', 'of the handled ones, calls that asked for a person'),
		('agent_performance', 'appointments', 'appointments in all'),
		('agent_performance', 'completed', 'of them, those that were kept'),
		('agent_performance', 'cancelled', 'those that were cancelled'),
		('agent_performance', 'no_shows', 'those that nobody came to'),
		('agent_performance', 'no_show_rate', 'no_shows / (completed + no_shows), 0 to 1'),
		('agent_performance', 'leads', 'leads assigned to the person'),
		('agent_performance', 'won', 'of them, those that were won'),
		('follow_up_effect', '', 'what each step of each follow-up sequence brings; replies and bookings count for the last step sent before them, within 14 days'),
		('follow_up_effect', 'tenant_id', 'the tenant'),
		('follow_up_effect', 'sequence_id', 'the sequence, as in follow_up_tasks'),
		('follow_up_effect', 'sequence_step', 'its step'),
		('follow_up_effect', 'purpose', 'what the step is for'),
		('follow_up_effect', 'planned', 'tasks in all'),
		('follow_up_effect', 'waiting', 'not yet due'),
		('follow_up_effect', 'sent', 'turned into work, whatever became of it'),
		('follow_up_effect', 'failed', 'of them, those that failed'),
		('follow_up_effect', 'replied', 'sent ones that were followed by a message or call of the lead'),
		('follow_up_effect', 'booked', 'sent ones that were followed by a booking'),
		('follow_up_effect', 'reply_rate', 'replied / sent, 0 to 1'),
		('follow_up_effect', 'stopped_by_reply', 'withdrawn because the lead had replied'),
		('follow_up_effect', 'stopped_by_booking', 'withdrawn because of a booking'),
		('follow_up_effect', 'stopped_otherwise', 'withdrawn for another reason: opt-out, closed, archived, not allowed'),
		('follow_up_effect', 'replanned', 'withdrawn because another sequence took over, or the leads were merged'),
		('channel_response', '', 'how leads react to messages, by channel; an answer is the lead''s first on that channel before we write again'),
		('channel_response', 'tenant_id', 'the tenant'),
		('channel_response', 'channel', 'whatsapp, sms or email'),
		('channel_response', 'sent', 'messages to leads that went out'),
		('channel_response', 'delivered', 'of them, those known to have arrived'),
		('channel_response', 'read', 'of them, those known to have been read'),
		('channel_response', 'failed', 'messages that could not be sent or delivered'),
		('channel_response', 'replied', 'messages that were answered'),
		('channel_response', 'reply_rate', 'replied / sent, 0 to 1'),
		('channel_response', 'median_response_seconds', 'median time from sending to the answer, s'),
		('source_return', '', 'what the leads of each source become'),
		('source_return', 'tenant_id', 'the tenant'),
		('source_return', 'source', 'inbound_call, web …'),
		('source_return', 'utm_source', 'as the link said'),
		('source_return', 'utm_campaign', 'as the link said'),
		('source_return', 'leads', 'leads in all'),
		('source_return', 'qualified', 'of them, those that were ever qualified or further'),
		('source_return', 'with_meeting', 'those with an appointment that was not cancelled'),
		('source_return', 'won', 'those that are won'),
		('source_return', 'lost', 'those that are lost'),
		('source_return', 'win_rate', 'won / leads, 0 to 1'),
		('source_return', 'avg_score', 'mean of their scores, 0 to 1'),
		('source_return', 'calls', 'calls with them'),
		('source_return', 'call_minutes', 'length of these together, min'),
		('escalations', '', 'calls in which a person was wanted: why, how long it took, what became of it'),
		('escalations', 'tenant_id', 'the tenant'),
		('escalations', 'call_id', 'calls.id'),
		('escalations', 'lead_id', 'the lead, if known'),
		('escalations', 'escalated_at', 'when a person was wanted; the call''s beginning when that is not known any more'),
		('escalations', 'reason', 'in the agent''s words'),
		('escalations', 'agent_id', 'the person who was reserved, or last tried'),
		('escalations', 'agent_name', 'their name'),
		('escalations', 'wait_seconds', 'until a person was there, or the call back was made, s; NULL: not yet'),
		('escalations', 'talk_seconds', 'how long the person was busy with it, s'),
		('escalations', 'callback_at', 'when a call back is or was due'),
		('escalations', 'outcome', 'handled, with a person, called back, call back due, not reached, not called back, nobody')
		) AS c (view_name, column_name, words)
	LOOP
		IF v_row.column_name = '' THEN
			EXECUTE pg_catalog.format('COMMENT ON VIEW @extschema@.%I IS %L', v_row.view_name, v_row.words);
		ELSE
			EXECUTE pg_catalog.format('COMMENT ON COLUMN @extschema@.%I.%I IS %L', v_row.view_name, v_row.column_name, v_row.words);
		END IF;
	END LOOP;
	-- Those that views take from tables with all their columns.
	FOR v_row IN
		SELECT v.view_name, v.table_name, a.attname
		FROM (VALUES ('active_calls', 'calls'), ('todays_appointments', 'appointments')) AS v (view_name, table_name)
		JOIN pg_catalog.pg_attribute a ON a.attrelid = pg_catalog.concat('@extschema@.', v.view_name)::regclass AND a.attnum > 0
		JOIN pg_catalog.pg_attribute t ON t.attrelid = pg_catalog.concat('@extschema@.', v.table_name)::regclass AND t.attname = a.attname AND NOT t.attisdropped
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN @extschema@.%I.%I IS %L', v_row.view_name, v_row.attname, pg_catalog.concat(v_row.table_name, '.', v_row.attname));
	END LOOP;
END
$$;
