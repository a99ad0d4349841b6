-- Indexes that no one table's file asks for: each serves a query that would read a whole table of millions of rows. What uses
-- which index is listed in docs/growth.md and proven at a million rows by the test `plans`. None is on a column that changes
-- often: every update of such a column would have to write to all indexes of its table.

-- A person is deleted (their leads, appointments and tasks lose them); agent_performance.
CREATE INDEX idx_leads_assigned ON @extschema@.leads (assigned_to) WHERE assigned_to IS NOT NULL;
CREATE INDEX idx_appointments_assigned ON @extschema@.appointments (assigned_agent_id) WHERE assigned_agent_id IS NOT NULL;
CREATE INDEX idx_follow_ups_assigned ON @extschema@.follow_up_tasks (assigned_to) WHERE assigned_to IS NOT NULL;
-- A number is given up: its calls lose it.
CREATE INDEX idx_calls_phone_number ON @extschema@.calls (phone_number_id) WHERE phone_number_id IS NOT NULL;
-- Retention of recordings, every minute: those that are left, and not the calls of all time.
CREATE INDEX idx_calls_recordings ON @extschema@.calls (tenant_id, ended_at) WHERE recording_url IS NOT NULL;
