-- What the product needs in the tables of the specification and the specification does not name.
-- Statuses are CHECKed: a misspelt status would otherwise vanish from every view without a trace.
-- Columns that the specification leaves nullable stay so.

-- Telephone numbers. STRICT and IMMUTABLE: they serve in constraints.
CREATE FUNCTION @extschema@.va_phone_normalize(text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_phone_normalize';
CREATE FUNCTION @extschema@.va_phone_try(text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_phone_try';

ALTER TABLE @extschema@.tenants
	ADD CONSTRAINT tenants_status CHECK (status IN ('active', 'inactive', 'suspended')),
	ADD CONSTRAINT tenants_slug CHECK (slug ~ '^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$'),
	ADD CONSTRAINT tenants_settings CHECK (jsonb_typeof(settings) = 'object');

ALTER TABLE @extschema@.phone_numbers
	ADD CONSTRAINT phone_numbers_e164
		CHECK (phone_number = @extschema@.va_phone_normalize(phone_number)),
	ADD CONSTRAINT phone_numbers_type CHECK (phone_type IN ('voice', 'whatsapp', 'sms')),
	ADD CONSTRAINT phone_numbers_voice_config CHECK (jsonb_typeof(voice_config) = 'object');
CREATE INDEX idx_phone_numbers_tenant ON @extschema@.phone_numbers (tenant_id);

ALTER TABLE @extschema@.tenant_voice_configs
	ADD CONSTRAINT tenant_voice_configs_turns CHECK (max_conversation_turns > 0);
CREATE INDEX idx_tenant_voice_configs_tenant ON @extschema@.tenant_voice_configs (tenant_id);

ALTER TABLE @extschema@.business_hours
	ADD CONSTRAINT business_hours_day CHECK (day_of_week BETWEEN 0 AND 6),
	ADD CONSTRAINT business_hours_action
		CHECK (after_hours_action IN ('voicemail', 'transfer', 'callback'));
CREATE INDEX idx_business_hours_tenant ON @extschema@.business_hours (tenant_id, day_of_week);

ALTER TABLE @extschema@.leads
	ADD CONSTRAINT leads_e164 CHECK (phone = @extschema@.va_phone_normalize(phone)),
	ADD CONSTRAINT leads_temperature CHECK (lead_temperature IN ('hot', 'warm', 'cold')),
	ADD CONSTRAINT leads_score CHECK (lead_score BETWEEN 0 AND 1),
	ADD CONSTRAINT leads_status CHECK (status IN ('new', 'qualified', 'contacted',
		'meeting_scheduled', 'closed_won', 'closed_lost', 'archived')),
	ADD CONSTRAINT leads_odoo_sync_status CHECK (odoo_sync_status IN ('pending', 'syncing',
		'synced', 'failed', 'disabled'));
CREATE INDEX idx_leads_tenant_phone ON @extschema@.leads (tenant_id, phone);
CREATE INDEX idx_leads_tenant_email ON @extschema@.leads (tenant_id, lower(email));

ALTER TABLE @extschema@.calls
	ADD COLUMN phone_number_id UUID REFERENCES @extschema@.phone_numbers(id) ON DELETE SET NULL,
	ADD COLUMN status_sequence INTEGER,           -- Twilio's SequenceNumber behind `status`
	ADD COLUMN resume_count INTEGER NOT NULL DEFAULT 0,
	ADD COLUMN last_resumed_at TIMESTAMPTZ,
	ADD COLUMN end_requested_at TIMESTAMPTZ,      -- the agent said good-bye (tool end_call)
	ADD COLUMN end_reason VARCHAR(50),            -- why the last stream ended
	ADD COLUMN recording_sid VARCHAR(50),
	ADD COLUMN updated_at TIMESTAMPTZ DEFAULT NOW(),
	ADD CONSTRAINT calls_direction CHECK (direction IN ('inbound', 'outbound')),
	ADD CONSTRAINT calls_status CHECK (status IN ('queued', 'initiated', 'ringing', 'in-progress',
		'completed', 'busy', 'failed', 'no-answer', 'canceled')),
	ADD CONSTRAINT calls_transcript CHECK (jsonb_typeof(transcript) = 'array');
CREATE INDEX idx_calls_active ON @extschema@.calls (tenant_id, started_at)
	WHERE status IN ('queued', 'initiated', 'ringing', 'in-progress');
CREATE INDEX idx_calls_lead ON @extschema@.calls (lead_id);

ALTER TABLE @extschema@.appointments
	ADD CONSTRAINT appointments_status CHECK (status IN ('scheduled', 'confirmed', 'completed',
		'cancelled', 'no_show')),
	ADD CONSTRAINT appointments_duration CHECK (duration_minutes > 0);
CREATE INDEX idx_appointments_lead ON @extschema@.appointments (lead_id);
CREATE INDEX idx_appointments_call ON @extschema@.appointments (call_id);

ALTER TABLE @extschema@.notifications
	ADD CONSTRAINT notifications_direction CHECK (direction IN ('outbound', 'inbound')),
	ADD CONSTRAINT notifications_status CHECK (status IN ('pending', 'queued', 'sending', 'sent',
		'delivered', 'read', 'undelivered', 'failed', 'received', 'cancelled'));
CREATE INDEX idx_notifications_lead ON @extschema@.notifications (lead_id);

ALTER TABLE @extschema@.follow_up_tasks
	ADD COLUMN call_id UUID REFERENCES @extschema@.calls(id) ON DELETE SET NULL,
	ADD CONSTRAINT follow_up_tasks_status CHECK (status IN ('pending', 'in_progress', 'completed',
		'failed', 'skipped', 'cancelled'));
CREATE INDEX idx_follow_ups_tenant ON @extschema@.follow_up_tasks (tenant_id, scheduled_for);
CREATE INDEX idx_follow_ups_lead ON @extschema@.follow_up_tasks (lead_id);
CREATE INDEX idx_follow_ups_call ON @extschema@.follow_up_tasks (call_id);

ALTER TABLE @extschema@.human_agents
	ADD CONSTRAINT human_agents_e164 CHECK (phone = @extschema@.va_phone_normalize(phone));
CREATE INDEX idx_human_agents_tenant ON @extschema@.human_agents (tenant_id, priority DESC);

CREATE INDEX idx_conversation_sessions_lead ON @extschema@.conversation_sessions (lead_id);
CREATE INDEX idx_conversation_sessions_tenant ON @extschema@.conversation_sessions (tenant_id);
-- A call is one conversation, however many streams carry it.
CREATE UNIQUE INDEX idx_conversation_sessions_call ON @extschema@.conversation_sessions (call_id)
	WHERE channel = 'voice';

CREATE INDEX idx_analytics_call ON @extschema@.analytics_events (call_id);
