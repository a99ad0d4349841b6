-- 0.1 → 0.2, the part that is written by hand: what happens to tables and rows that `statements.awk` cannot see from
-- the two versions' SQL. It runs when views, triggers, policies and most functions are out of the way, and before
-- everything new is made; see README.md beside it. The test `upgrade` tells what is missing here.

-- Events are partitioned by month now. A table cannot become a partitioned one: its rows move over, into the default
-- partition for the time being; va_events_partition(day) takes them on from there.
ALTER TABLE @extschema@.analytics_events RENAME TO analytics_events_0_1;
ALTER INDEX @extschema@.analytics_events_pkey RENAME TO analytics_events_0_1_pkey;
ALTER TABLE @extschema@.analytics_events_0_1 RENAME CONSTRAINT analytics_events_tenant_id_fkey TO analytics_events_0_1_tenant_id_fkey;
DROP INDEX @extschema@.idx_analytics_tenant_type, @extschema@.idx_analytics_call;
CREATE TABLE @extschema@.analytics_events (
	id UUID DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id),
	lead_id UUID,
	call_id UUID,
	event_type VARCHAR(50) NOT NULL,
	event_data JSONB DEFAULT '{}',
	created_at TIMESTAMPTZ DEFAULT NOW(),
	CONSTRAINT analytics_events_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_analytics_tenant_type ON @extschema@.analytics_events(tenant_id, event_type, created_at DESC);
CREATE INDEX idx_analytics_call ON @extschema@.analytics_events (call_id);
CREATE TABLE @extschema@.analytics_events_default PARTITION OF @extschema@.analytics_events DEFAULT;
INSERT INTO @extschema@.analytics_events (id, tenant_id, lead_id, call_id, event_type, event_data, created_at)
SELECT id, tenant_id, lead_id, call_id, event_type, event_data, coalesce(created_at, now()) FROM @extschema@.analytics_events_0_1;
ALTER EXTENSION voiceagent DROP TABLE @extschema@.analytics_events_0_1;
DROP TABLE @extschema@.analytics_events_0_1;
