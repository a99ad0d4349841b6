-- Views. They run with the rights of the one who asks (security_invoker), so that row-level security holds
-- through them. The first three are those of the specification.

CREATE VIEW @extschema@.active_calls WITH (security_invoker = true) AS
SELECT c.*, t.name as tenant_name, l.first_name, l.last_name, l.lead_temperature
FROM @extschema@.calls c
JOIN @extschema@.tenants t ON c.tenant_id = t.id
LEFT JOIN @extschema@.leads l ON c.lead_id = l.id
WHERE c.status IN ('ringing', 'in-progress');

-- The second condition says nothing that the first does not, for no clock is a day away from UTC; but an index can answer it.
CREATE VIEW @extschema@.todays_appointments WITH (security_invoker = true) AS
SELECT a.*, t.name as tenant_name, l.first_name, l.last_name, l.phone, l.email
FROM @extschema@.appointments a
JOIN @extschema@.tenants t ON a.tenant_id = t.id
LEFT JOIN @extschema@.leads l ON a.lead_id = l.id
WHERE DATE(a.scheduled_at AT TIME ZONE t.timezone) = CURRENT_DATE
  AND a.scheduled_at >= (CURRENT_DATE - 1)::timestamp AT TIME ZONE 'UTC' AND a.scheduled_at < (CURRENT_DATE + 2)::timestamp AT TIME ZONE 'UTC'
ORDER BY a.scheduled_at;

-- Of the counts that are kept (86_lead_counts.sql), so that it costs the same with ten million leads as with ten.
CREATE VIEW @extschema@.lead_funnel WITH (security_invoker = true) AS
SELECT
	tenant_id,
	lead_temperature,
	status,
	SUM(leads)::bigint as count,
	(SUM(score) / nullif(SUM(scored), 0))::double precision as avg_score
FROM @extschema@.lead_counts
GROUP BY tenant_id, lead_temperature, status
HAVING SUM(leads) <> 0;

-- Why was this call slow? One row a call and stream; the parts of the wait one after the other, in
-- milliseconds, and the largest of them in words.
CREATE VIEW @extschema@.call_timings WITH (security_invoker = true) AS
SELECT c.id AS call_id, c.tenant_id, c.twilio_call_sid, c.status, c.started_at, c.duration_seconds,
	m.stream_sid, m.gateway, m.end_reason, m.stream_error,
	m.answer_ms, m.stream_start_ms, m.engine_prepare_ms, m.engine_ready_ms, p.engine_wait_ms, m.first_audio_ms,
	p.engine_first_audio_ms, m.stream_start_ms + m.first_audio_ms AS answer_to_first_audio_ms,
	m.engine_latency_avg_ms, m.engine_latency_max_ms, m.interruptions, m.clear_us_max,
	m.frames_in, m.frames_out, m.frames_dropped_in, m.frames_dropped_out, c.resume_count,
	s.slowest_part
FROM @extschema@.calls c
JOIN @extschema@.call_metrics m ON m.call_id = c.id
CROSS JOIN LATERAL (SELECT
	greatest(m.engine_ready_ms - m.stream_start_ms, 0) AS engine_wait_ms,
	greatest(m.first_audio_ms - greatest(m.engine_ready_ms - m.stream_start_ms, 0), 0) AS engine_first_audio_ms) p
LEFT JOIN LATERAL (
	SELECT format('%s: %s ms', x.part, round(x.ms)) AS slowest_part
	FROM (VALUES ('our answer to the webhook', m.answer_ms),
				 ('Twilio opening the stream', m.stream_start_ms),
				 ('waiting for the voice engine''s session', p.engine_wait_ms),
				 ('the voice engine''s first words', p.engine_first_audio_ms),
				 ('the voice engine''s longest reply', m.engine_latency_max_ms)) AS x (part, ms)
	WHERE x.ms IS NOT NULL ORDER BY x.ms DESC LIMIT 1) s ON true;
