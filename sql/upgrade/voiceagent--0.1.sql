\echo Use "CREATE EXTENSION voiceagent" to load this file. \quit
-- Roles. They belong to the cluster, not to the database: they are made when absent and stay
-- when the extension is dropped. What they may do is said in 99_security.sql.
DO $$
DECLARE
	v_role text;
	v_options text;
BEGIN
	FOR v_role, v_options IN
		VALUES ('voiceagent_admin', 'NOLOGIN'),      -- configures tenants, reads everything
			   ('voiceagent_agent', 'NOLOGIN'),      -- a tenant's application
			   ('voiceagent_bi', 'NOLOGIN'),         -- reads a tenant's views
			   ('voiceagent_gateway', 'LOGIN'),      -- the program that carries calls
			   ('voiceagent_dispatcher', 'LOGIN')    -- the program that carries the outbox
	LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) v_role);
		BEGIN
			EXECUTE pg_catalog.format('CREATE ROLE %I %s', v_role, v_options);
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			NULL; -- another database of this cluster made it in the same moment
		END;
	END LOOP;
END
$$;
-- The twelve tables of the specification: names, columns, types, defaults and indexes. Columns and
-- constraints beyond it are added in 21_table_additions.sql, so that this file can be compared with the
-- specification line by line.

CREATE TABLE @extschema@.tenants (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	name VARCHAR(255) NOT NULL,
	slug VARCHAR(100) UNIQUE NOT NULL,
	industry VARCHAR(50) NOT NULL,
	timezone VARCHAR(50) DEFAULT 'UTC',
	status VARCHAR(20) DEFAULT 'active',
	settings JSONB DEFAULT '{}',
	created_at TIMESTAMPTZ DEFAULT NOW(),
	updated_at TIMESTAMPTZ DEFAULT NOW()
);

-- Phone Numbers (Multi-tenant)
CREATE TABLE @extschema@.phone_numbers (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	phone_number VARCHAR(20) UNIQUE NOT NULL,
	phone_type VARCHAR(20) NOT NULL, -- voice, whatsapp, sms
	twilio_sid VARCHAR(50),
	display_name VARCHAR(100),
	language VARCHAR(10) DEFAULT 'en-US',
	voice_config JSONB DEFAULT '{}',
	is_active BOOLEAN DEFAULT true,
	created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_phone_numbers_lookup ON @extschema@.phone_numbers(phone_number, is_active);

-- Tenant Voice Configuration
CREATE TABLE @extschema@.tenant_voice_configs (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	agent_name VARCHAR(100) NOT NULL,
	greeting_script TEXT NOT NULL,
	system_prompt TEXT NOT NULL,
	voice_provider VARCHAR(50) DEFAULT 'elevenlabs',
	voice_id VARCHAR(100),
	language VARCHAR(10) DEFAULT 'en-US',
	accent VARCHAR(50),
	speaking_rate FLOAT DEFAULT 1.0,
	pitch FLOAT DEFAULT 1.0,
	industry_knowledge_base TEXT,
	faq_embeddings_id VARCHAR(100),
	escalation_keywords TEXT[],
	max_conversation_turns INTEGER DEFAULT 50,
	created_at TIMESTAMPTZ DEFAULT NOW(),
	updated_at TIMESTAMPTZ DEFAULT NOW()
);

-- Business Hours
CREATE TABLE @extschema@.business_hours (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	day_of_week INTEGER NOT NULL, -- 0=Sunday, 6=Saturday
	open_time TIME,
	close_time TIME,
	is_closed BOOLEAN DEFAULT false,
	after_hours_action VARCHAR(50) DEFAULT 'voicemail'
);

-- Leads
CREATE TABLE @extschema@.leads (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,

	-- Contact Info
	first_name VARCHAR(100),
	last_name VARCHAR(100),
	phone VARCHAR(20),
	email VARCHAR(255),
	company_name VARCHAR(255),

	-- Lead Scoring
	lead_score FLOAT DEFAULT 0.0,
	lead_temperature VARCHAR(10), -- hot, warm, cold
	qualification_data JSONB DEFAULT '{}',

	-- Source Tracking
	source VARCHAR(50), -- inbound_call, outbound_call, whatsapp, web
	source_phone_number VARCHAR(20),
	utm_source VARCHAR(100),
	utm_campaign VARCHAR(100),

	-- CRM Sync
	odoo_lead_id INTEGER,
	odoo_sync_status VARCHAR(20) DEFAULT 'pending',
	odoo_last_sync TIMESTAMPTZ,

	-- Status
	status VARCHAR(50) DEFAULT 'new',
	assigned_to UUID,

	-- Metadata
	tags TEXT[],
	custom_fields JSONB DEFAULT '{}',
	created_at TIMESTAMPTZ DEFAULT NOW(),
	updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_leads_tenant ON @extschema@.leads(tenant_id, status);
CREATE INDEX idx_leads_phone ON @extschema@.leads(phone);
CREATE INDEX idx_leads_temperature ON @extschema@.leads(tenant_id, lead_temperature);

-- Calls
CREATE TABLE @extschema@.calls (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id),

	-- Twilio Data
	twilio_call_sid VARCHAR(50) UNIQUE,
	direction VARCHAR(20), -- inbound, outbound
	from_number VARCHAR(20),
	to_number VARCHAR(20),

	-- Call Metrics
	status VARCHAR(30),
	duration_seconds INTEGER,
	started_at TIMESTAMPTZ,
	ended_at TIMESTAMPTZ,

	-- AI Conversation
	conversation_turns INTEGER DEFAULT 0,
	ai_handled BOOLEAN DEFAULT true,
	escalated_to_human BOOLEAN DEFAULT false,
	escalation_reason VARCHAR(255),

	-- Recordings
	recording_url TEXT,
	recording_duration INTEGER,

	-- Transcript
	transcript JSONB DEFAULT '[]',
	transcript_summary TEXT,

	-- Analysis
	sentiment_score FLOAT,
	intent_detected TEXT[],
	entities_extracted JSONB DEFAULT '{}',

	-- Outcomes
	outcome VARCHAR(50), -- qualified, appointment_set, callback_requested, etc.
	follow_up_required BOOLEAN DEFAULT false,
	follow_up_date TIMESTAMPTZ,

	created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_calls_tenant_date ON @extschema@.calls(tenant_id, started_at DESC);
CREATE INDEX idx_calls_twilio ON @extschema@.calls(twilio_call_sid);

-- Appointments
CREATE TABLE @extschema@.appointments (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id),
	call_id UUID REFERENCES @extschema@.calls(id),

	-- Scheduling
	title VARCHAR(255) NOT NULL,
	description TEXT,
	scheduled_at TIMESTAMPTZ NOT NULL,
	duration_minutes INTEGER DEFAULT 30,
	timezone VARCHAR(50),
	location VARCHAR(255),
	meeting_type VARCHAR(50), -- in_person, phone, video
	meeting_link TEXT,

	-- Participants
	assigned_agent_id UUID,
	agent_name VARCHAR(100),
	agent_email VARCHAR(255),

	-- Status
	status VARCHAR(30) DEFAULT 'scheduled', -- scheduled, confirmed, completed, cancelled, no_show
	confirmation_sent BOOLEAN DEFAULT false,
	reminder_sent_24h BOOLEAN DEFAULT false,
	reminder_sent_1h BOOLEAN DEFAULT false,

	-- CRM Sync
	odoo_event_id INTEGER,
	odoo_activity_id INTEGER,
	google_calendar_event_id VARCHAR(100),

	-- Notes
	notes TEXT,
	outcome TEXT,

	created_at TIMESTAMPTZ DEFAULT NOW(),
	updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_appointments_tenant_date ON @extschema@.appointments(tenant_id, scheduled_at);
CREATE INDEX idx_appointments_status ON @extschema@.appointments(status, scheduled_at);

-- Notifications / Messages
CREATE TABLE @extschema@.notifications (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id),

	-- Message Details
	channel VARCHAR(20) NOT NULL, -- whatsapp, sms, email
	direction VARCHAR(20), -- outbound, inbound
	to_address VARCHAR(255),
	from_address VARCHAR(255),
	subject VARCHAR(255),
	body TEXT,
	template_id VARCHAR(100),
	template_data JSONB,

	-- Delivery Status
	status VARCHAR(30) DEFAULT 'pending',
	external_id VARCHAR(100), -- Twilio SID, SendGrid ID
	sent_at TIMESTAMPTZ,
	delivered_at TIMESTAMPTZ,
	read_at TIMESTAMPTZ,
	error_message TEXT,

	-- Scheduling
	scheduled_for TIMESTAMPTZ,
	notification_type VARCHAR(50), -- confirmation, reminder, follow_up

	created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_notifications_tenant ON @extschema@.notifications(tenant_id, created_at DESC);
CREATE INDEX idx_notifications_scheduled ON @extschema@.notifications(scheduled_for, status) WHERE status = 'pending';

-- Follow-up Tasks
CREATE TABLE @extschema@.follow_up_tasks (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id),

	-- Task Details
	task_type VARCHAR(50), -- call, email, whatsapp, sms
	title VARCHAR(255),
	description TEXT,

	-- Scheduling
	scheduled_for TIMESTAMPTZ NOT NULL,
	sequence_step INTEGER, -- Position in follow-up sequence
	sequence_id VARCHAR(100), -- Group related follow-ups

	-- Execution
	status VARCHAR(30) DEFAULT 'pending',
	executed_at TIMESTAMPTZ,
	result JSONB,

	-- Assignment
	assigned_to UUID,
	is_ai_task BOOLEAN DEFAULT true,

	created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_follow_ups_pending ON @extschema@.follow_up_tasks(scheduled_for, status) WHERE status = 'pending';

-- Human Agents
CREATE TABLE @extschema@.human_agents (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,

	name VARCHAR(100) NOT NULL,
	email VARCHAR(255) NOT NULL,
	phone VARCHAR(20),

	-- Availability
	is_available BOOLEAN DEFAULT true,
	availability_hours JSONB DEFAULT '{}',
	max_concurrent_calls INTEGER DEFAULT 3,
	current_call_count INTEGER DEFAULT 0,

	-- Skills/Routing
	skills TEXT[],
	languages TEXT[],
	priority INTEGER DEFAULT 0,

	-- Stats
	total_calls_handled INTEGER DEFAULT 0,
	avg_call_duration INTEGER,

	created_at TIMESTAMPTZ DEFAULT NOW()
);

-- Conversation Sessions (for context)
CREATE TABLE @extschema@.conversation_sessions (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id),
	call_id UUID REFERENCES @extschema@.calls(id),

	-- Session State
	channel VARCHAR(20), -- voice, whatsapp, web
	state JSONB DEFAULT '{}',
	context JSONB DEFAULT '{}',

	-- LangGraph Checkpoint
	langgraph_thread_id VARCHAR(100),
	checkpoint_data BYTEA,

	started_at TIMESTAMPTZ DEFAULT NOW(),
	last_activity_at TIMESTAMPTZ DEFAULT NOW(),
	ended_at TIMESTAMPTZ
);

-- Analytics Events
CREATE TABLE @extschema@.analytics_events (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id),
	lead_id UUID,
	call_id UUID,

	event_type VARCHAR(50) NOT NULL,
	event_data JSONB DEFAULT '{}',

	created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_analytics_tenant_type ON @extschema@.analytics_events(tenant_id, event_type, created_at DESC);
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
-- Tables of the product's own, beside those of the specification.

-- Platform-wide settings: what a tenant's `settings` does not say is looked up here.
CREATE TABLE @extschema@.settings (
	name TEXT PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]*$'),
	value JSONB NOT NULL,
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- Credentials, encrypted with a key that is not in the database (see docs/sql-reference.md).
-- tenant_id NULL: for every tenant that has none of its own.
CREATE TABLE @extschema@.tenant_secrets (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	name TEXT NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
	ciphertext BYTEA NOT NULL,
	key_id TEXT NOT NULL,                    -- which key encrypted it; says nothing of the key
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT tenant_secrets_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);

-- What the voice agent can do besides talking. tenant_id NULL: for every tenant; a tenant's own row
-- of the same name takes its place.
CREATE TABLE @extschema@.tools (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	name TEXT NOT NULL CHECK (name ~ '^[a-zA-Z][a-zA-Z0-9_]{0,39}$'),
	description TEXT NOT NULL,
	parameters JSONB NOT NULL DEFAULT '{"type": "object", "properties": {}}'
		CHECK (jsonb_typeof(parameters) = 'object'),
	-- Text and not regprocedure: pg_upgrade refuses tables that hold such references.
	function TEXT NOT NULL,
	timeout_ms INTEGER NOT NULL DEFAULT 5000 CHECK (timeout_ms BETWEEN 100 AND 60000),
	enabled BOOLEAN NOT NULL DEFAULT true,
	is_builtin BOOLEAN NOT NULL DEFAULT false,   -- came with the extension; not dumped
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT tools_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);

-- One row an invocation: a repeated request gets the first one's answer.
CREATE TABLE @extschema@.tool_invocations (
	call_id UUID NOT NULL REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	invocation_id TEXT NOT NULL CHECK (length(invocation_id) <= 200),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	tool TEXT NOT NULL,
	arguments JSONB NOT NULL,
	answer JSONB,                            -- as given to the gateway
	error_detail TEXT,                       -- SQLSTATE and message, for people, not for the model
	duration_ms DOUBLE PRECISION,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	PRIMARY KEY (call_id, invocation_id)
);
CREATE INDEX idx_tool_invocations_tenant ON @extschema@.tool_invocations (tenant_id, created_at DESC);

-- What the gateway told of a call, numbered per source (a media stream) so that nothing counts twice.
CREATE TABLE @extschema@.call_events (
	call_id UUID NOT NULL REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	source TEXT NOT NULL CHECK (length(source) BETWEEN 1 AND 100),
	seq BIGINT NOT NULL CHECK (seq > 0),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	at TIMESTAMPTZ NOT NULL,
	kind TEXT NOT NULL,
	data JSONB NOT NULL DEFAULT '{}',
	PRIMARY KEY (call_id, source, seq)
);

-- One row a call and media stream. Milliseconds; NULL: did not happen or was not measured.
CREATE TABLE @extschema@.call_metrics (
	call_id UUID NOT NULL REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	stream_sid TEXT NOT NULL,
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	gateway TEXT,
	stream_started_at TIMESTAMPTZ,
	engine_ready_at TIMESTAMPTZ,
	first_audio_at TIMESTAMPTZ,
	ended_at TIMESTAMPTZ,
	end_reason TEXT,
	stream_error TEXT,
	answer_ms DOUBLE PRECISION,              -- the answer webhook: request to TwiML
	stream_start_ms DOUBLE PRECISION,        -- TwiML to the stream's start
	engine_prepare_ms DOUBLE PRECISION,      -- the engine's own set-up request
	engine_ready_ms DOUBLE PRECISION,        -- TwiML to engine ready
	first_audio_ms DOUBLE PRECISION,         -- stream's start to the first audio sent to Twilio
	engine_latency_avg_ms DOUBLE PRECISION,  -- end of a caller's turn to the agent's first audio
	engine_latency_max_ms DOUBLE PRECISION,
	clear_us_max DOUBLE PRECISION,           -- microseconds: interrupted to `clear` written
	frames_in BIGINT NOT NULL DEFAULT 0,
	frames_out BIGINT NOT NULL DEFAULT 0,
	frames_dropped_in BIGINT NOT NULL DEFAULT 0,
	frames_dropped_out BIGINT NOT NULL DEFAULT 0,
	bytes_in BIGINT NOT NULL DEFAULT 0,
	bytes_out BIGINT NOT NULL DEFAULT 0,
	interruptions BIGINT NOT NULL DEFAULT 0,
	clears BIGINT NOT NULL DEFAULT 0,
	marks BIGINT NOT NULL DEFAULT 0,
	tool_calls BIGINT NOT NULL DEFAULT 0,
	dtmf BIGINT NOT NULL DEFAULT 0,
	extra JSONB NOT NULL DEFAULT '{}',       -- measurements without a column
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	PRIMARY KEY (call_id, stream_sid)
);
CREATE INDEX idx_call_metrics_tenant ON @extschema@.call_metrics (tenant_id, created_at DESC);

-- One-time tokens that let a media stream in. Only their SHA-256 is kept.
CREATE TABLE @extschema@.call_tokens (
	token_hash BYTEA PRIMARY KEY CHECK (length(token_hash) = 32),
	call_id UUID NOT NULL REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	expires_at TIMESTAMPTZ NOT NULL DEFAULT NOW() + interval '5 minutes',
	used_at TIMESTAMPTZ,
	stream_sid TEXT
);
CREATE INDEX idx_call_tokens_call ON @extschema@.call_tokens (call_id);
CREATE INDEX idx_call_tokens_expiry ON @extschema@.call_tokens (expires_at);

-- Deliveries that were decided on: the same one again gets the same decision.
CREATE TABLE @extschema@.webhook_receipts (
	account_sid TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	idempotency TEXT NOT NULL CHECK (length(idempotency) <= 200),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	call_id UUID REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	decision TEXT NOT NULL,
	received_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	PRIMARY KEY (account_sid, endpoint, idempotency)
);
CREATE INDEX idx_webhook_receipts_received ON @extschema@.webhook_receipts (received_at);
CREATE INDEX idx_webhook_receipts_call ON @extschema@.webhook_receipts (call_id);

-- The last report of each gateway process, and counters that outlive processes.
CREATE TABLE @extschema@.gateway_status (
	gateway TEXT NOT NULL CHECK (length(gateway) <= 100),
	pid BIGINT NOT NULL,
	version TEXT,
	started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	reported_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	report JSONB NOT NULL DEFAULT '{}',
	PRIMARY KEY (gateway, pid)
) WITH (fillfactor = 50);

CREATE TABLE @extschema@.gateway_counters (
	gateway TEXT NOT NULL,
	name TEXT NOT NULL,
	value NUMERIC NOT NULL DEFAULT 0,
	PRIMARY KEY (gateway, name)
) WITH (fillfactor = 50);
-- Helpers that the other files build on: versions, errors, tenants, settings, events.

CREATE FUNCTION @extschema@.va_version() RETURNS text
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_version';
CREATE FUNCTION @extschema@.va_twiml(verbs jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_twiml';

-- The tenant whose rows this session may see. A standard SQL body: it is resolved now, needs no
-- search_path and can be inlined into the row-level policies that call it.
CREATE FUNCTION @extschema@.va_current_tenant() RETURNS uuid
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN NULLIF(pg_catalog.current_setting('voiceagent.tenant_id', true), '')::uuid;

-- Refuses a tenant's application that names another tenant. For SECURITY DEFINER functions: it looks
-- at the role that the session has taken, not at the definer.
CREATE FUNCTION @extschema@.va_assert_tenant(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
	IF NOT pg_has_role(v_role, 'voiceagent_admin', 'USAGE')
	   AND p_tenant IS DISTINCT FROM @extschema@.va_current_tenant() THEN
		RAISE EXCEPTION 'tenant % is not the tenant of this session', p_tenant
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Set voiceagent.tenant_id to the tenant, or become a member of voiceagent_admin.';
	END IF;
	IF NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(p_tenant::text, 'NULL')
			USING ERRCODE = 'VA001', HINT = 'The table tenants lists them.';
	END IF;
END
$$;

-- A text with something in it, or NULL.
CREATE FUNCTION @extschema@.va_filled(text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN nullif(btrim($1), '');

-- A setting: the tenant's own, else the platform's, else NULL.
CREATE FUNCTION @extschema@.va_setting(p_settings jsonb, p_name text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(nullif(p_settings -> p_name, 'null'),
					(SELECT s.value FROM @extschema@.settings s WHERE s.name = p_name)));
END
$$;

CREATE FUNCTION @extschema@.va_setting_text(p_settings jsonb, p_name text, p_default text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(CASE WHEN jsonb_typeof(v) IN ('string', 'number', 'boolean') THEN v #>> '{}' END,
					p_default)
	FROM @extschema@.va_setting(p_settings, p_name) v);
END
$$;

CREATE FUNCTION @extschema@.va_setting_integer(p_settings jsonb, p_name text, p_default integer)
	RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(CASE WHEN jsonb_typeof(v) = 'number'
						 THEN greatest(least((v #>> '{}')::numeric, 2147483647), 0)::integer END,
					p_default)
	FROM @extschema@.va_setting(p_settings, p_name) v);
END
$$;

-- All settings that hold for a tenant: its own over the platform's, those of the voice engine one by one.
-- What asks for several of them reads them once with this, and takes single ones with va_known_text and
-- va_known_integer, which cost next to nothing. (Both may be given to the functions above as well.)
CREATE FUNCTION @extschema@.va_settings(p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_platform jsonb;
	v_own jsonb;
	v_engine jsonb;
BEGIN
	SELECT p.settings, o.settings INTO v_platform, v_own
	FROM (SELECT coalesce(jsonb_object_agg(s.name, s.value), '{}') AS settings
		  FROM @extschema@.settings s WHERE s.value <> 'null') p,
		 (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') AS settings
		  FROM jsonb_each(p_settings) e WHERE e.value <> 'null') o;
	v_engine := coalesce(v_own -> 'engine', '{}');
	IF @extschema@.va_filled(v_engine ->> 'base_url') IS NULL THEN
		v_engine := v_engine - 'base_url';
	END IF;
	RETURN v_platform || v_own || jsonb_build_object('engine', coalesce(v_platform -> 'engine', '{}') || v_engine);
END
$$;

CREATE FUNCTION @extschema@.va_known_text(p_known jsonb, p_name text, p_default text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(CASE WHEN jsonb_typeof(p_known -> p_name) IN ('string', 'number', 'boolean')
						 THEN p_known ->> p_name END, p_default);

CREATE FUNCTION @extschema@.va_known_integer(p_known jsonb, p_name text, p_default integer) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(CASE WHEN jsonb_typeof(p_known -> p_name) = 'number'
						 THEN greatest(least((p_known ->> p_name)::numeric, 2147483647), 0)::integer END,
					p_default);

-- The Twilio account that speaks for a tenant.
CREATE FUNCTION @extschema@.va_tenant_account(p_tenant uuid) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT @extschema@.va_setting_text(t.settings, 'twilio_account_sid', NULL)
	FROM @extschema@.tenants t WHERE t.id = p_tenant);
END
$$;

-- A non-negative whole number of a webhook's parameter, or NULL: what comes from outside never
-- raises a cast error. (Not STRICT: the planner could not inline it then.)
CREATE FUNCTION @extschema@.va_digits(text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN $1 ~ '^[0-9]{1,9}$' THEN $1::integer END;

-- A number of a JSON object, or NULL.
CREATE FUNCTION @extschema@.va_number(p_object jsonb, p_name text) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN jsonb_typeof(p_object -> p_name) = 'number'
				 AND abs((p_object ->> p_name)::numeric) < 1e15
				THEN (p_object ->> p_name)::double precision END;

-- Records a domain event and announces it on the channel voiceagent_events. A notification holds at
-- most 8000 bytes: one too long goes out without its data, which are in analytics_events.
CREATE FUNCTION @extschema@.va_emit(p_tenant uuid, p_type text, p_call uuid, p_lead uuid,
									p_data jsonb DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id uuid := gen_random_uuid();
	v_event jsonb := jsonb_build_object('event', p_type, 'id', v_id, 'tenant_id', p_tenant,
		'call_id', p_call, 'lead_id', p_lead, 'data', coalesce(p_data, '{}'));
	v_text text := v_event::text;
BEGIN
	INSERT INTO @extschema@.analytics_events (id, tenant_id, lead_id, call_id, event_type, event_data)
	VALUES (v_id, p_tenant, p_lead, p_call, left(p_type, 50), coalesce(p_data, '{}'));
	IF octet_length(v_text) >= 7900 THEN
		v_text := (v_event - 'data')::text;
	END IF;
	PERFORM pg_notify('voiceagent_events', v_text);
END
$$;

-- For what is worth less than waiting for the disk: the next report, or the next piece of a turn, says more. Should the
-- server crash within the next moment, the transaction may be lost; whatever is committed after it is not.
CREATE FUNCTION @extschema@.va_commit_lazily() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM set_config('synchronous_commit', 'off', true);
END
$$;

-- Counts something that happened in the database on behalf of a gateway.
CREATE FUNCTION @extschema@.va_count(p_gateway text, p_name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO @extschema@.gateway_counters AS c (gateway, name, value)
	VALUES (coalesce(left(p_gateway, 100), ''), p_name, 1)
	ON CONFLICT (gateway, name) DO UPDATE SET value = c.value + 1;
END
$$;

-- The host in a URL for an entry of listen_addresses.
CREATE FUNCTION @extschema@.va_url_host(p_address text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN p_address IN ('', '*', '0.0.0.0', '::') THEN 'localhost'
				WHEN p_address LIKE '%:%' THEN '[' || p_address || ']'
				ELSE p_address END;

-- Where the outside world reaches us, without a slash at the end. voiceagent.public_url, else the
-- gateway's own address, which serves a machine that tries things out.
CREATE FUNCTION @extschema@.va_local_address() RETURNS text
	LANGUAGE sql STABLE
	RETURN @extschema@.va_url_host(btrim(split_part(
		coalesce(current_setting('voiceagent.listen_addresses', true), ''), ',', 1)));

-- "http" or "ws", or with an "s" where the gateway has a certificate of its own.
CREATE FUNCTION @extschema@.va_local_scheme(p_plain text) RETURNS text
	LANGUAGE sql STABLE
	RETURN p_plain || CASE WHEN coalesce(current_setting('voiceagent.ssl_cert_file', true), '') <> '' THEN 's' ELSE '' END || '://';

CREATE FUNCTION @extschema@.va_public_url() RETURNS text
	LANGUAGE sql STABLE
	RETURN coalesce(nullif(rtrim(current_setting('voiceagent.public_url', true), '/'), ''),
					@extschema@.va_local_scheme('http') || @extschema@.va_local_address() || ':' ||
					coalesce(nullif(current_setting('voiceagent.http_port', true), ''), '8000'));

-- The WebSocket of the media streams: beside the webhooks when there is a public URL, else on the
-- port of its own.
CREATE FUNCTION @extschema@.va_media_url() RETURNS text
	LANGUAGE sql STABLE
	RETURN CASE WHEN coalesce(current_setting('voiceagent.public_url', true), '') <> ''
				THEN regexp_replace(@extschema@.va_public_url(), '^http', 'ws')
				ELSE @extschema@.va_local_scheme('ws') || @extschema@.va_local_address() || ':' ||
					 coalesce(nullif(current_setting('voiceagent.media_port', true), ''), '8080')
		   END || '/media-stream';
-- Triggers that keep rows right: time stamps, numbers in E.164, settings that make sense.

CREATE FUNCTION @extschema@.va_touch() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.updated_at := now();
	RETURN NEW;
END
$$;

DO $$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['tenants', 'tenant_voice_configs', 'leads', 'calls',
								   'appointments', 'settings', 'tenant_secrets', 'tools']
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE UPDATE ON @extschema@.%I
			FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch()', v_table OPERATOR(pg_catalog.||) '_touch', v_table);
	END LOOP;
END
$$;

-- People write numbers in many ways; the tables hold one.
CREATE FUNCTION @extschema@.va_normalize_phone_number() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.phone_number := @extschema@.va_phone_normalize(NEW.phone_number);
	RETURN NEW;
END
$$;
CREATE TRIGGER phone_numbers_normalize BEFORE INSERT OR UPDATE OF phone_number
	ON @extschema@.phone_numbers
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_normalize_phone_number();

CREATE FUNCTION @extschema@.va_normalize_phone() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.phone := @extschema@.va_phone_normalize(nullif(btrim(NEW.phone), ''));
	RETURN NEW;
END
$$;
CREATE TRIGGER leads_normalize BEFORE INSERT OR UPDATE OF phone ON @extschema@.leads
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_normalize_phone();
CREATE TRIGGER human_agents_normalize BEFORE INSERT OR UPDATE OF phone ON @extschema@.human_agents
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_normalize_phone();

-- The settings that calls depend on, with the JSON type each must have. A typing error is told to the
-- one who makes it, not to a caller at night.
CREATE FUNCTION @extschema@.va_check_settings(p_settings jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text;
	v_types text;
	v_found text;
BEGIN
	FOR v_name, v_types IN
		VALUES ('twilio_account_sid', 'string'), ('voice_engine', 'string'), ('engine', 'object'),
			   ('max_call_seconds', 'number'), ('inactivity_seconds', 'number'),
			   ('inactivity_message', 'string'), ('resume_message', 'string'), ('apology', 'string'),
			   ('prepare_timeout_ms', 'number'), ('max_concurrent_calls', 'number'),
			   ('transfer_number', 'string'), ('after_hours_action', 'string'),
			   ('after_hours_message', 'string'), ('voicemail', 'boolean object'),
			   ('say_voice', 'string')
	LOOP
		v_found := jsonb_typeof(p_settings -> v_name);
		CONTINUE WHEN v_found IS NULL OR v_found = 'null' OR strpos(v_types, v_found) > 0;
		RAISE EXCEPTION 'setting "%" must be of type %, not %', v_name, replace(v_types, ' ', ' or '), v_found
			USING ERRCODE = 'VA009';
	END LOOP;
	IF p_settings ->> 'voice_engine' NOT IN ('ultravox', 'realtime') THEN
		RAISE EXCEPTION 'unknown voice engine "%"', p_settings ->> 'voice_engine'
			USING ERRCODE = 'VA009', HINT = 'Known engines are ultravox and realtime.';
	END IF;
	IF p_settings ->> 'twilio_account_sid' !~ '^AC[0-9a-fA-F]{32}$' THEN
		RAISE EXCEPTION 'setting "twilio_account_sid" is not an account SID'
			USING ERRCODE = 'VA009', HINT = 'It is AC and 32 hexadecimal digits, on the first page of the Twilio console.';
	END IF;
	IF p_settings ->> 'after_hours_action' NOT IN ('voicemail', 'transfer', 'callback') THEN
		RAISE EXCEPTION 'unknown after-hours action "%"', p_settings ->> 'after_hours_action'
			USING ERRCODE = 'VA009', HINT = 'Known actions are voicemail, transfer and callback.';
	END IF;
	IF p_settings ->> 'transfer_number' IS NOT NULL THEN
		PERFORM @extschema@.va_phone_normalize(p_settings ->> 'transfer_number');
	END IF;
	FOR v_name IN VALUES ('max_call_seconds'), ('prepare_timeout_ms'), ('max_concurrent_calls'),
						 ('inactivity_seconds')
	LOOP
		IF (p_settings ->> v_name)::numeric NOT BETWEEN 0 AND 86400 THEN
			RAISE EXCEPTION 'setting "%" must be between 0 and 86400', v_name USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_check_tenant() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_settings(NEW.settings);
	IF NEW.timezone IS NOT NULL THEN
		BEGIN
			PERFORM now() AT TIME ZONE NEW.timezone;
		EXCEPTION WHEN invalid_parameter_value THEN
			RAISE EXCEPTION 'unknown time zone "%"', NEW.timezone
				USING ERRCODE = 'VA009', HINT = 'pg_timezone_names lists them, for instance Europe/Berlin.';
		END;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check BEFORE INSERT OR UPDATE OF settings, timezone ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_tenant();

CREATE FUNCTION @extschema@.va_check_platform_setting() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_settings(jsonb_build_object(NEW.name, NEW.value));
	RETURN NEW;
END
$$;
CREATE TRIGGER settings_check BEFORE INSERT OR UPDATE ON @extschema@.settings
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_platform_setting();

-- Gateways hold the accounts' tokens in memory; this tells them to read again.
CREATE FUNCTION @extschema@.va_announce_config() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM pg_notify('voiceagent_config', '');
	RETURN NULL;
END
$$;
CREATE TRIGGER tenants_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.tenants
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_announce_config();
CREATE TRIGGER tenant_secrets_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON @extschema@.tenant_secrets
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_announce_config();
CREATE TRIGGER settings_announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.settings
	FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.va_announce_config();
-- Credentials. They are encrypted with AES-256-GCM under a key in the file voiceagent.key of the data
-- directory; tenant and name are authenticated with them, so a ciphertext moved to another row opens
-- nothing. Plain text leaves the database only through va_secret_read, to the network programs.

CREATE FUNCTION @extschema@.va_encrypt(p_value text, p_context text) RETURNS bytea
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_encrypt';
CREATE FUNCTION @extschema@.va_decrypt(p_ciphertext bytea, p_context text) RETURNS text
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_decrypt';
-- The key's id, 16 hexadecimal digits; NULL when there is no key file yet.
CREATE FUNCTION @extschema@.va_key_id() RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'va_key_id';

CREATE FUNCTION @extschema@.va_secret_context(p_tenant uuid, p_name text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN coalesce(p_tenant::text, 'platform') || '/' || p_name;

CREATE FUNCTION @extschema@.va_secret_set(tenant uuid, name text, value text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF tenant IS NOT NULL THEN
		PERFORM @extschema@.va_assert_tenant(tenant);
	END IF;
	IF coalesce(va_secret_set.name, '') !~ '^[a-z][a-z0-9_]{0,62}$' OR coalesce(va_secret_set.value, '') = '' THEN
		RAISE EXCEPTION 'a secret needs a name of lower-case letters, digits and underscores, and a value'
			USING ERRCODE = 'VA005', HINT = 'va_secret_clear removes a secret.';
	END IF;
	INSERT INTO @extschema@.tenant_secrets AS s (tenant_id, name, ciphertext, key_id)
	SELECT tenant, va_secret_set.name, c, encode(substr(c, 2, 8), 'hex')
	FROM @extschema@.va_encrypt(va_secret_set.value,
		 @extschema@.va_secret_context(tenant, va_secret_set.name)) c
	ON CONFLICT ON CONSTRAINT tenant_secrets_name_key
	DO UPDATE SET ciphertext = excluded.ciphertext, key_id = excluded.key_id;
END
$$;

-- True when there was one.
CREATE FUNCTION @extschema@.va_secret_clear(tenant uuid, name text) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	DELETE FROM @extschema@.tenant_secrets s
	WHERE s.tenant_id IS NOT DISTINCT FROM tenant AND s.name = va_secret_clear.name;
	RETURN FOUND;
END
$$;

-- The tenant's secret, else the platform's, else NULL.
CREATE FUNCTION @extschema@.va_secret_read(tenant uuid, name text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_secret @extschema@.tenant_secrets;
BEGIN
	SELECT * INTO v_secret FROM @extschema@.tenant_secrets s
	WHERE s.name = va_secret_read.name AND (s.tenant_id = tenant OR s.tenant_id IS NULL)
	ORDER BY s.tenant_id NULLS LAST LIMIT 1;
	RETURN @extschema@.va_decrypt(v_secret.ciphertext,
		   @extschema@.va_secret_context(v_secret.tenant_id, v_secret.name));
END
$$;
-- Opening hours: rows of business_hours in the tenant's time zone. Several rows a day are several
-- openings; a closing time at or before the opening time is on the next day; is_closed shuts the day
-- (but not the night that began the day before). A tenant without rows is always open, a weekday
-- without rows is closed.

-- The openings that start on one local date.
CREATE FUNCTION @extschema@.va_openings(p_tenant uuid, p_day date)
	RETURNS TABLE (opens timestamp, closes timestamp)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY
	SELECT p_day + coalesce(h.open_time, time '00:00'),
		   p_day + coalesce(h.close_time, time '24:00')
		   + CASE WHEN coalesce(h.close_time, time '24:00') <= coalesce(h.open_time, time '00:00')
				  THEN interval '1 day' ELSE interval '0' END
	FROM @extschema@.business_hours h
	WHERE h.tenant_id = p_tenant AND h.day_of_week = extract(dow FROM p_day)
	  AND NOT EXISTS (SELECT FROM @extschema@.business_hours c
					  WHERE c.tenant_id = p_tenant AND c.day_of_week = h.day_of_week AND c.is_closed);
END
$$;

CREATE FUNCTION @extschema@.va_business_open(tenant uuid, at timestamptz DEFAULT now()) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_local timestamp;
BEGIN
	SELECT va_business_open.at AT TIME ZONE coalesce(t.timezone, 'UTC') INTO v_local
	FROM @extschema@.tenants t WHERE t.id = tenant;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
	IF NOT EXISTS (SELECT FROM @extschema@.business_hours h WHERE h.tenant_id = tenant) THEN
		RETURN true;
	END IF;
	RETURN EXISTS (
		SELECT FROM (VALUES (v_local::date), (v_local::date - 1)) AS d (day),
			   @extschema@.va_openings(tenant, d.day) o
		WHERE v_local >= o.opens AND v_local < o.closes);
END
$$;

-- When the tenant opens next; `at` itself while it is open, NULL when it never opens.
CREATE FUNCTION @extschema@.va_next_opening(tenant uuid, at timestamptz DEFAULT now()) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text;
BEGIN
	IF @extschema@.va_business_open(tenant, va_next_opening.at) THEN
		RETURN va_next_opening.at;
	END IF;
	SELECT coalesce(t.timezone, 'UTC') INTO v_zone FROM @extschema@.tenants t WHERE t.id = tenant;
	RETURN (SELECT min(o.opens AT TIME ZONE v_zone)
			FROM generate_series(0, 7) n,
				 @extschema@.va_openings(tenant, (va_next_opening.at AT TIME ZONE v_zone)::date + n) o
			WHERE o.opens AT TIME ZONE v_zone > va_next_opening.at);
END
$$;

-- What a caller outside the hours gets: voicemail, transfer or callback.
CREATE FUNCTION @extschema@.va_after_hours_action(p_tenant uuid, p_at timestamptz DEFAULT now())
	RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(t.settings ->> 'after_hours_action',
		(SELECT h.after_hours_action FROM @extschema@.business_hours h
		 WHERE h.tenant_id = t.id
		 ORDER BY h.day_of_week <> extract(dow FROM p_at AT TIME ZONE coalesce(t.timezone, 'UTC')),
				  h.day_of_week, h.open_time LIMIT 1),
		@extschema@.va_setting_text('{}', 'after_hours_action', 'voicemail'))
	FROM @extschema@.tenants t WHERE t.id = p_tenant);
END
$$;
-- Leads: one person, one row a tenant, whichever channel they come by.

-- Finds the lead by its row, its phone or its e-mail address, and merges what is known now: a name or
-- company that is given replaces the older one, phone and e-mail fill what is empty, JSON objects are
-- merged key by key, tags are united. Unknown keys go into custom_fields. The advisory locks keep
-- two captures of one person from becoming two rows.
CREATE FUNCTION @extschema@.va_lead_upsert(p_tenant uuid, p_data jsonb, p_source text,
										   p_lead uuid DEFAULT NULL, p_call uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_phone text := @extschema@.va_phone_normalize(@extschema@.va_filled(p_data ->> 'phone'));
	v_email text := lower(@extschema@.va_filled(p_data ->> 'email'));
	v_name text := @extschema@.va_filled(p_data ->> 'name');
	v_first text := @extschema@.va_filled(p_data ->> 'first_name');
	v_last text := @extschema@.va_filled(p_data ->> 'last_name');
	v_company text := @extschema@.va_filled(coalesce(p_data ->> 'company_name', p_data ->> 'company'));
	v_custom jsonb;
	v_tags text[];
	v_id uuid;
	v_new boolean := false;
BEGIN
	IF v_email IS NOT NULL AND v_email !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' THEN
		RAISE EXCEPTION 'not an e-mail address' USING ERRCODE = 'VA005';
	END IF;
	IF v_name IS NOT NULL AND v_first IS NULL AND v_last IS NULL THEN
		v_first := split_part(v_name, ' ', 1);
		v_last := @extschema@.va_filled(substr(v_name, length(v_first) + 1));
	END IF;
	v_custom := (p_data - ARRAY['phone', 'email', 'name', 'first_name', 'last_name', 'company_name',
		'company', 'tags', 'qualification_data', 'custom_fields', 'utm_source', 'utm_campaign', 'source',
		'source_phone_number'])
		|| CASE WHEN jsonb_typeof(p_data -> 'custom_fields') = 'object'
				THEN p_data -> 'custom_fields' ELSE '{}' END;
	IF jsonb_typeof(p_data -> 'tags') = 'array' THEN
		v_tags := ARRAY(SELECT jsonb_array_elements_text(p_data -> 'tags'));
	END IF;

	PERFORM pg_advisory_xact_lock(k) FROM (
		SELECT hashtextextended(p_tenant::text || x, 5604561) AS k
		FROM unnest(ARRAY[v_phone, v_email]) x WHERE x IS NOT NULL ORDER BY 1) AS keys;

	SELECT l.id INTO v_id FROM @extschema@.leads l
	WHERE l.tenant_id = p_tenant
	  AND (l.id = p_lead OR l.phone = v_phone OR lower(l.email) = v_email)
	ORDER BY (l.id = p_lead) IS TRUE DESC, (l.phone = v_phone) IS TRUE DESC, l.created_at, l.id
	LIMIT 1 FOR NO KEY UPDATE;

	IF v_id IS NULL THEN
		v_new := true;
		INSERT INTO @extschema@.leads (tenant_id, source) VALUES (p_tenant, left(p_source, 50))
		RETURNING id INTO v_id;
	END IF;
	UPDATE @extschema@.leads l SET
		first_name = coalesce(left(v_first, 100), l.first_name),
		last_name = coalesce(left(v_last, 100), l.last_name),
		phone = coalesce(l.phone, v_phone),
		email = coalesce(l.email, left(v_email, 255)),
		company_name = coalesce(left(v_company, 255), l.company_name),
		source = coalesce(l.source, left(p_source, 50)),
		source_phone_number = coalesce(l.source_phone_number, left(p_data ->> 'source_phone_number', 20)),
		utm_source = coalesce(l.utm_source, left(p_data ->> 'utm_source', 100)),
		utm_campaign = coalesce(l.utm_campaign, left(p_data ->> 'utm_campaign', 100)),
		qualification_data = coalesce(l.qualification_data, '{}')
			|| CASE WHEN jsonb_typeof(p_data -> 'qualification_data') = 'object'
					THEN p_data -> 'qualification_data' ELSE '{}' END,
		custom_fields = coalesce(l.custom_fields, '{}') || v_custom,
		tags = CASE WHEN v_tags IS NULL THEN l.tags
					ELSE (SELECT array_agg(DISTINCT x ORDER BY x) FROM unnest(l.tags || v_tags) x) END
	WHERE l.id = v_id;
	PERFORM @extschema@.va_emit(p_tenant, CASE WHEN v_new THEN 'lead_captured' ELSE 'lead_updated' END,
								p_call, v_id, jsonb_build_object('source', p_source));
	RETURN v_id;
END
$$;

CREATE FUNCTION @extschema@.va_lead_capture(tenant uuid, data jsonb, source text DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM @extschema@.va_assert_tenant(tenant);
	IF jsonb_typeof(data) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'the lead''s data must be a JSON object' USING ERRCODE = 'VA005';
	END IF;
	RETURN @extschema@.va_lead_upsert(tenant, data,
		coalesce(source, @extschema@.va_filled(data ->> 'source'), 'web'));
END
$$;
-- Tools: SQL functions that the voice agent may call, f(call_id uuid, arguments jsonb) RETURNS jsonb.
--
-- Who may do what, so that a row of `tools` never gives anybody more rights than they had:
--   * only voiceagent_admin (and the owner) writes the table;
--   * a function qualifies when it is a definer's function (prosecdef), so that it runs with its own owner's rights and
--     never with those of the gateway or of this extension's owner, and when voiceagent_admin
--     may EXECUTE it, so that naming it here allows nothing that was not allowed before;
--   * or when it is one of the extension's own functions named va_tool_….
-- Both are checked when the row is written and again at each call.

CREATE FUNCTION @extschema@.va_tool_run(function regprocedure, call_id uuid, arguments jsonb,
	timeout_ms integer, OUT result jsonb, OUT error jsonb) RETURNS record
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_tool_run';

-- The function behind a name, checked; an error of SQLSTATE VA008 says what is wrong with it.
CREATE FUNCTION @extschema@.va_tool_function(p_function text) RETURNS regprocedure
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_oid oid;
	v_proc pg_proc;
BEGIN
	BEGIN
		v_oid := to_regprocedure(p_function || '(uuid, jsonb)');
	EXCEPTION WHEN OTHERS THEN
		v_oid := NULL; -- not even a name
	END;
	SELECT * INTO v_proc FROM pg_proc p WHERE p.oid = v_oid;
	IF v_oid IS NULL OR v_proc.prorettype <> 'jsonb'::regtype OR v_proc.proretset OR v_proc.prokind <> 'f' THEN
		RAISE EXCEPTION 'there is no tool function %(uuid, jsonb) returning jsonb', p_function
			USING ERRCODE = 'VA008', HINT = 'Give the name with its schema, without arguments.';
	END IF;
	IF EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
			   WHERE d.classid = 'pg_proc'::regclass AND d.objid = v_oid AND d.deptype = 'e'
				 AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'voiceagent')
	   AND v_proc.proname LIKE 'va\_tool\_%' THEN
		RETURN v_oid;
	END IF;
	IF NOT v_proc.prosecdef THEN
		RAISE EXCEPTION 'tool function % is not SECURITY DEFINER', p_function
			USING ERRCODE = 'VA008',
				  HINT = 'A tool runs with the rights of its own owner: create it with SECURITY DEFINER SET search_path = ...';
	END IF;
	IF NOT has_function_privilege('voiceagent_admin', v_oid, 'EXECUTE') THEN
		RAISE EXCEPTION 'voiceagent_admin may not execute tool function %', p_function
			USING ERRCODE = 'VA008', HINT = 'GRANT EXECUTE on the function to voiceagent_admin.';
	END IF;
	RETURN v_oid;
END
$$;

-- Stores the name with its schema, found by the search_path of the one who writes.
CREATE FUNCTION @extschema@.va_tool_qualify(p_function text) RETURNS text
	LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_name text;
BEGIN
	SELECT pg_catalog.format('%I.%I', n.nspname, p.proname) INTO v_name
	FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
	WHERE p.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure(p_function OPERATOR(pg_catalog.||) '(uuid, jsonb)');
	RETURN coalesce(v_name, p_function);
EXCEPTION WHEN syntax_error OR invalid_name OR invalid_text_representation THEN
	RETURN p_function;
END
$$;

CREATE FUNCTION @extschema@.va_check_tool() RETURNS trigger
	LANGUAGE plpgsql AS $$
BEGIN
	NEW.function := @extschema@.va_tool_qualify(NEW.function);
	PERFORM @extschema@.va_tool_function(NEW.function);
	IF NEW.parameters OPERATOR(pg_catalog.->>) 'type' IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'the parameters of a tool are a JSON Schema of type "object"'
			USING ERRCODE = 'VA008';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tools_check BEFORE INSERT OR UPDATE OF function, parameters ON @extschema@.tools
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_tool();

-- The tools of a tenant: the common ones and its own, which win where the names are the same.
CREATE FUNCTION @extschema@.va_tenant_tools(p_tenant uuid) RETURNS SETOF @extschema@.tools
	LANGUAGE sql STABLE
	BEGIN ATOMIC
		SELECT t.* FROM @extschema@.tools t
		WHERE t.enabled AND (t.tenant_id = p_tenant
			OR t.tenant_id IS NULL AND NOT EXISTS (SELECT FROM @extschema@.tools own
				WHERE own.tenant_id = p_tenant AND own.name = t.name))
		ORDER BY t.name;
	END;

-- end_call: the agent says good-bye. The gateway hangs up once what is said has been heard.
CREATE FUNCTION @extschema@.va_tool_end_call(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.calls c SET end_requested_at = coalesce(c.end_requested_at, now())
	WHERE c.id = va_tool_end_call.call_id;
	RETURN jsonb_build_object('result', 'the call ends now', 'action', 'end_call',
							  'say', @extschema@.va_filled(arguments ->> 'farewell'));
END
$$;

-- capture_lead: what the caller told. Whatever is not a column of leads is qualification data.
-- A number or address that cannot be one is kept as it was said: a caller does not dictate E.164.
CREATE FUNCTION @extschema@.va_tool_capture_lead(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_data jsonb := arguments;
	v_known text[] := ARRAY['first_name', 'last_name', 'name', 'phone', 'email', 'company_name',
		'company', 'tags', 'custom_fields', 'qualification_data'];
	v_extra jsonb := arguments - v_known;
	v_caller text;
	v_phone text;
	v_lead uuid;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = va_tool_capture_lead.call_id;
	v_caller := CASE v_call.direction WHEN 'outbound' THEN v_call.to_number ELSE v_call.from_number END;
	v_phone := @extschema@.va_phone_try(@extschema@.va_filled(arguments ->> 'phone'));
	IF v_phone IS NULL AND @extschema@.va_filled(arguments ->> 'phone') IS NOT NULL THEN
		v_extra := v_extra || jsonb_build_object('phone_as_said', arguments ->> 'phone');
	END IF;
	IF @extschema@.va_filled(arguments ->> 'email') !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' THEN
		v_extra := v_extra || jsonb_build_object('email_as_said', arguments ->> 'email');
		v_data := v_data - 'email';
	END IF;
	v_data := (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(v_data) WHERE key = ANY (v_known))
		|| jsonb_build_object(
			'phone', coalesce(v_phone, @extschema@.va_phone_try(v_caller)),
			'source_phone_number', CASE v_call.direction WHEN 'outbound' THEN v_call.from_number ELSE v_call.to_number END,
			'qualification_data', v_extra || CASE WHEN jsonb_typeof(arguments -> 'qualification_data') = 'object'
				THEN arguments -> 'qualification_data' ELSE '{}' END);
	v_lead := @extschema@.va_lead_upsert(v_call.tenant_id, v_data,
		coalesce(v_call.direction, 'inbound') || '_call', v_call.lead_id, v_call.id);
	UPDATE @extschema@.calls c SET lead_id = v_lead
	WHERE c.id = v_call.id AND c.lead_id IS DISTINCT FROM v_lead;
	UPDATE @extschema@.conversation_sessions s SET lead_id = v_lead
	WHERE s.call_id = v_call.id AND s.lead_id IS DISTINCT FROM v_lead;
	RETURN jsonb_build_object('result', jsonb_build_object('saved', true, 'lead_id', v_lead));
END
$$;

INSERT INTO @extschema@.tools (name, description, parameters, function, is_builtin) VALUES
('end_call',
 'Ends the phone call. Use it when the caller has said good-bye or wants nothing more.',
 '{"type": "object", "properties": {
	"farewell": {"type": "string", "description": "last words to say, if they were not said yet"},
	"reason": {"type": "string", "description": "why the call ends"}}}',
 '@extschema@.va_tool_end_call', true),
('capture_lead',
 'Saves what the caller told about themselves and their wishes. Call it as soon as the name or the wish is known, and again whenever something new is said.',
 '{"type": "object", "properties": {
	"first_name": {"type": "string"},
	"last_name": {"type": "string"},
	"phone": {"type": "string", "description": "only if it differs from the number they call from"},
	"email": {"type": "string"},
	"company_name": {"type": "string"},
	"budget": {"type": "string", "description": "what the caller wants to spend, in their own words"},
	"authority": {"type": "string", "description": "whether the caller decides alone"},
	"need": {"type": "string", "description": "what the caller needs"},
	"timeline": {"type": "string", "description": "by when"},
	"notes": {"type": "string"}}}',
 '@extschema@.va_tool_capture_lead', true);

-- The gateway's entry: runs a tool once per invocation, whatever comes of it.
CREATE FUNCTION @extschema@.va_call_tool(p_call_id uuid, p_invocation_id text, p_name text, p_arguments jsonb)
	RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid;
	v_tool @extschema@.tools;
	v_run record;
	v_answer jsonb;
	v_detail text;
	v_start timestamptz := clock_timestamp();
BEGIN
	SELECT c.tenant_id INTO v_tenant FROM @extschema@.calls c WHERE c.id = p_call_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown call %', p_call_id USING ERRCODE = 'VA004';
	END IF;
	-- A second request with this id waits here for the first one to commit.
	INSERT INTO @extschema@.tool_invocations (call_id, invocation_id, tenant_id, tool, arguments)
	VALUES (p_call_id, p_invocation_id, v_tenant, left(p_name, 100), coalesce(p_arguments, '{}'))
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN (SELECT i.answer FROM @extschema@.tool_invocations i
				WHERE i.call_id = p_call_id AND i.invocation_id = p_invocation_id);
	END IF;

	SELECT * INTO v_tool FROM @extschema@.va_tenant_tools(v_tenant) t WHERE t.name = p_name;
	IF NOT FOUND THEN
		v_answer := jsonb_build_object('error', 'there is no such tool', 'unknown', true);
	ELSIF jsonb_typeof(coalesce(p_arguments, '{}')) <> 'object' THEN
		v_answer := jsonb_build_object('error', 'the arguments must be an object', 'unknown', false);
	ELSE
		BEGIN
			SELECT r.result, r.error INTO v_run
			FROM @extschema@.va_tool_run(@extschema@.va_tool_function(v_tool.function), p_call_id,
										 coalesce(p_arguments, '{}'), v_tool.timeout_ms) r;
		EXCEPTION WHEN SQLSTATE 'VA008' THEN
			SELECT NULL::jsonb AS result,
				   jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM) AS error INTO v_run;
		END;
		IF v_run.error IS NOT NULL THEN
			v_detail := format('%s: %s', v_run.error ->> 'sqlstate', v_run.error ->> 'message');
			v_answer := jsonb_build_object('unknown', false, 'error', @extschema@.va_tool_error(v_run.error));
		ELSIF jsonb_typeof(v_run.result) = 'object' AND v_run.result ? 'result'
			  AND v_run.result - ARRAY['result', 'action', 'say'] = '{}' THEN
			v_answer := jsonb_build_object('action', NULL, 'say', NULL) || v_run.result;
		ELSE
			v_answer := jsonb_build_object('result', v_run.result, 'action', NULL, 'say', NULL);
		END IF;
	END IF;

	UPDATE @extschema@.tool_invocations i
	SET answer = v_answer, error_detail = v_detail,
		duration_ms = extract(epoch FROM clock_timestamp() - v_start) * 1000
	WHERE i.call_id = p_call_id AND i.invocation_id = p_invocation_id;
	IF v_detail IS NOT NULL THEN
		RAISE WARNING 'tool "%" failed with SQLSTATE %', v_tool.name, v_run.error ->> 'sqlstate'
			USING DETAIL = format('Call %s.', p_call_id), HINT = 'tool_invocations.error_detail has the message.';
	END IF;
	RETURN v_answer;
END
$$;

-- What the model is told. Messages that a tool raised on purpose (RAISE EXCEPTION, class VA) are meant to
-- be read; others may quote data or betray the schema.
CREATE FUNCTION @extschema@.va_tool_error(p_error jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN p_error ->> 'sqlstate' = 'VA008' THEN 'the tool is not available'
				WHEN p_error ->> 'sqlstate' = '57014' THEN 'the tool took too long'
				WHEN p_error ->> 'sqlstate' = 'P0001' OR p_error ->> 'sqlstate' LIKE 'VA%'
				THEN p_error ->> 'message'
				ELSE 'the tool failed' END;
-- Tenants: one statement makes one that can take a call.

-- A short name for URLs, made of the company's; numbered when it is taken.
CREATE FUNCTION @extschema@.va_slug(p_name text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_base text := left(btrim(regexp_replace(lower(p_name), '[^a-z0-9]+', '-', 'g'), '-'), 90);
	v_slug text;
	v_n integer := 1;
BEGIN
	v_base := coalesce(nullif(rtrim(v_base, '-'), ''), 'tenant');
	v_slug := v_base;
	WHILE EXISTS (SELECT FROM @extschema@.tenants t WHERE t.slug = v_slug) LOOP
		v_n := v_n + 1;
		v_slug := v_base || '-' || v_n;
	END LOOP;
	RETURN v_slug;
END
$$;

CREATE FUNCTION @extschema@.va_default_prompt(p_company text, p_industry text, p_agent text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN format($prompt$You are %s, the telephone assistant of %s (%s). You talk on the phone: answer in one or two short sentences, in plain spoken words, without lists, symbols or formatting, and ask one question at a time.
Find out what the caller needs, and in the course of the conversation their name, their budget, by when they need it and whether they decide themselves. Save what you learn with the tool capture_lead, without mentioning it. Do not invent prices, facts or appointments: say that a colleague will call back.
When the caller says good-bye or wants nothing more, say good-bye and use the tool end_call.$prompt$,
		p_agent, p_company, replace(p_industry, '_', ' '));

CREATE FUNCTION @extschema@.va_tenant_create(
	name text, industry text, phone_number text,
	agent_name text DEFAULT 'Sarah', greeting text DEFAULT NULL, system_prompt text DEFAULT NULL,
	timezone text DEFAULT 'UTC', language text DEFAULT 'en-US', voice_id text DEFAULT NULL,
	voice_engine text DEFAULT NULL, twilio_account_sid text DEFAULT NULL,
	settings jsonb DEFAULT '{}', slug text DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_tenant uuid;
	v_name text := @extschema@.va_filled(va_tenant_create.name);
	v_industry text := @extschema@.va_filled(va_tenant_create.industry);
	v_agent text := coalesce(@extschema@.va_filled(va_tenant_create.agent_name), 'Sarah');
BEGIN
	IF v_name IS NULL OR v_industry IS NULL THEN
		RAISE EXCEPTION 'a tenant needs a name and an industry' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.tenants (name, slug, industry, timezone, settings)
	VALUES (v_name, coalesce(va_tenant_create.slug, @extschema@.va_slug(v_name)), v_industry,
			coalesce(va_tenant_create.timezone, 'UTC'),
			jsonb_strip_nulls(jsonb_build_object('voice_engine', va_tenant_create.voice_engine,
												 'twilio_account_sid', va_tenant_create.twilio_account_sid))
			|| coalesce(va_tenant_create.settings, '{}'))
	RETURNING id INTO v_tenant;
	IF va_tenant_create.phone_number IS NOT NULL THEN
		INSERT INTO @extschema@.phone_numbers (tenant_id, phone_number, phone_type, display_name, language)
		VALUES (v_tenant, va_tenant_create.phone_number, 'voice', left(v_name, 100), va_tenant_create.language);
	END IF;
	INSERT INTO @extschema@.tenant_voice_configs
		(tenant_id, agent_name, greeting_script, system_prompt, voice_id, language)
	VALUES (v_tenant, v_agent,
			coalesce(va_tenant_create.greeting, format('Hello! Thank you for calling %s. I''m %s, how may I help you today?', v_name, v_agent)),
			coalesce(va_tenant_create.system_prompt, @extschema@.va_default_prompt(v_name, v_industry, v_agent)),
			va_tenant_create.voice_id, va_tenant_create.language);
	PERFORM @extschema@.va_emit(v_tenant, 'tenant_created', NULL, NULL);
	RETURN v_tenant;
END
$$;
-- A call's session, its tokens, its events and its end.

-- One-time stream tokens: 128 random bits, of which the table keeps the SHA-256.
CREATE FUNCTION @extschema@.va_token_create(p_call uuid, p_tenant uuid) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- Two UUIDs carry 244 bits of the server's strong randomness.
	v_token text := substr(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 1, 32);
BEGIN
	INSERT INTO @extschema@.call_tokens (token_hash, call_id, tenant_id)
	VALUES (sha256(v_token::bytea), p_call, p_tenant);
	RETURN v_token;
END
$$;

-- What the model should know beyond the tenant's prompt: what there is to know, when it is, and with whom it talks.
CREATE FUNCTION @extschema@.va_session_prompt(p_prompt text, p_knowledge text, p_timezone text,
											  p_number text, p_name text) RETURNS text
	LANGUAGE sql STABLE
	RETURN p_prompt
		|| CASE WHEN @extschema@.va_filled(p_knowledge) IS NULL THEN '' ELSE E'\n\nWhat you know:\n' || p_knowledge END
		|| format(E'\n\nIt is %s (%s). The other side''s number is %s.',
				  to_char(now() AT TIME ZONE p_timezone, 'FMDay, DD FMMonth YYYY, HH24:MI'), p_timezone,
				  coalesce(p_number, 'not known'))
		|| CASE WHEN p_name = '' THEN '' ELSE format(' You have talked before: the name is %s.', p_name) END;

-- Where the tenant's voice engine is: its own setting, the platform's, the server's, the engine's public one.
-- Here and below p_known is what va_settings returned.
CREATE FUNCTION @extschema@.va_session_engine_url(p_known jsonb) RETURNS text
	LANGUAGE sql STABLE
	RETURN coalesce(@extschema@.va_filled(p_known #>> '{engine,base_url}'),
		@extschema@.va_filled(current_setting('voiceagent.' ||
			@extschema@.va_known_text(p_known, 'voice_engine', 'ultravox') || '_base_url', true)),
		CASE @extschema@.va_known_text(p_known, 'voice_engine', 'ultravox') WHEN 'ultravox' THEN 'https://api.ultravox.ai' END);

-- The engine's part of a session: where, with which key, which model and voice.
CREATE FUNCTION @extschema@.va_session_engine(p_tenant uuid, p_known jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text := @extschema@.va_known_text(p_known, 'voice_engine', 'ultravox');
	v_engine jsonb := p_known -> 'engine';
BEGIN
	RETURN jsonb_build_object(
		'engine', v_name,
		'base_url', coalesce(@extschema@.va_session_engine_url(p_known), ''),
		'api_key', coalesce(@extschema@.va_secret_read(p_tenant, v_name || '_api_key'), ''),
		'model', coalesce(v_engine ->> 'model', ''),
		'temperature', least(greatest(coalesce(@extschema@.va_number(v_engine, 'temperature'), 0.3), 0), 2),
		'engine_settings', CASE WHEN jsonb_typeof(v_engine -> 'settings') = 'object'
								THEN v_engine -> 'settings' ELSE '{}' END);
END
$$;

-- How long the call may still last, in seconds.
CREATE FUNCTION @extschema@.va_call_remaining(p_started timestamptz, p_known jsonb) RETURNS integer
	LANGUAGE sql STABLE
	RETURN @extschema@.va_known_integer(p_known, 'max_call_seconds', 1800)
		   - extract(epoch FROM now() - coalesce(p_started, now()))::integer;

CREATE FUNCTION @extschema@.va_apology(p_known jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN @extschema@.va_known_text(p_known, 'apology', 'I''m sorry, our assistant cannot talk right now.');

-- What was said so far, the last 200 turns of it.
CREATE FUNCTION @extschema@.va_session_history(p_transcript jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_transcript IS NULL OR p_transcript = '[]' THEN
		RETURN '[]';
	END IF;
	RETURN (SELECT jsonb_agg(jsonb_build_object('role', e ->> 'role', 'text', e ->> 'text') ORDER BY n)
			FROM jsonb_array_elements(p_transcript) WITH ORDINALITY AS x (e, n)
			WHERE n > jsonb_array_length(p_transcript) - 200);
END
$$;

-- The whole session, as the gateway takes it. A resumed one carries the history and greets with the tenant's
-- resume_message. The number's own language and voice win over the configuration's; 'en-US' on the
-- number is the column's default and wins over nothing.
CREATE FUNCTION @extschema@.va_session(p_call @extschema@.calls, p_token text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v record;
	v_history jsonb := @extschema@.va_session_history(p_call.transcript);
	v_resumed boolean := v_history <> '[]' OR p_call.resume_count > 0;
BEGIN
	SELECT t.id, coalesce(t.timezone, 'UTC') AS timezone, @extschema@.va_settings(t.settings) AS known,
		coalesce(c.system_prompt, @extschema@.va_default_prompt(t.name, t.industry, 'the assistant')) AS prompt,
		c.industry_knowledge_base AS knowledge, btrim(concat_ws(' ', l.first_name, l.last_name)) AS lead,
		coalesce(n.voice_config ->> 'voice_id', c.voice_id, '') AS voice,
		coalesce(n.voice_config ->> 'language', nullif(n.language, 'en-US'), c.language, 'en-US') AS language,
		coalesce(n.voice_config ->> 'greeting', c.greeting_script, '') AS greeting,
		(SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'description', x.description,
			'parameters', x.parameters, 'timeout_ms', x.timeout_ms)), '[]') FROM @extschema@.va_tenant_tools(t.id) x) AS tools
	INTO v
	FROM @extschema@.tenants t
	LEFT JOIN @extschema@.phone_numbers n ON n.id = p_call.phone_number_id
	LEFT JOIN @extschema@.leads l ON l.id = p_call.lead_id
	LEFT JOIN LATERAL (SELECT * FROM @extschema@.tenant_voice_configs o WHERE o.tenant_id = t.id
		ORDER BY (o.id::text = n.voice_config ->> 'voice_config_id') IS TRUE DESC, o.created_at DESC, o.id LIMIT 1) c ON true
	WHERE t.id = p_call.tenant_id;

	RETURN @extschema@.va_session_engine(v.id, v.known) || jsonb_build_object(
		'call_id', p_call.id, 'tenant_id', v.id, 'token', coalesce(p_token, ''),
		'voice', v.voice, 'language', v.language, 'tools', v.tools,
		'system_prompt', @extschema@.va_session_prompt(v.prompt, v.knowledge, v.timezone,
			CASE p_call.direction WHEN 'outbound' THEN p_call.to_number ELSE p_call.from_number END, v.lead),
		'greeting', CASE WHEN v_resumed THEN @extschema@.va_known_text(v.known, 'resume_message',
							'I''m sorry, we were cut off for a moment. Please go on.')
						 ELSE v.greeting END,
		'history', v_history, 'resumed', v_resumed,
		'max_duration_s', greatest(@extschema@.va_call_remaining(p_call.started_at, v.known), 10),
		'inactivity_s', @extschema@.va_known_integer(v.known, 'inactivity_seconds', 30),
		'inactivity_message', @extschema@.va_known_text(v.known, 'inactivity_message', 'Are you still there?'),
		'apology', @extschema@.va_apology(v.known),
		'prepare_timeout_ms', greatest(@extschema@.va_known_integer(v.known, 'prepare_timeout_ms', 5000), 100));
END
$$;

-- ---- status -------------------------------------------------------------------------------------

-- A call's status only moves forward.
CREATE FUNCTION @extschema@.va_call_rank(p_status text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE p_status WHEN 'queued' THEN 1 WHEN 'initiated' THEN 2 WHEN 'ringing' THEN 3
		WHEN 'in-progress' THEN 4 WHEN 'completed' THEN 5 WHEN 'busy' THEN 5 WHEN 'failed' THEN 5
		WHEN 'no-answer' THEN 5 WHEN 'canceled' THEN 5 ELSE 0 END;

CREATE FUNCTION @extschema@.va_call_over(p_call @extschema@.calls) RETURNS boolean
	LANGUAGE sql IMMUTABLE
	RETURN @extschema@.va_call_rank(p_call.status) = 5;

-- What was being said when a stream ended without finishing it becomes an interrupted turn. p_source: of
-- one stream only. Should the real turn arrive after all, it takes the place of this one.
CREATE FUNCTION @extschema@.va_call_promote(p_call uuid, p_source text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text;
	v_partial jsonb;
BEGIN
	FOR v_role, v_partial IN
		SELECT p.key, p.value
		FROM @extschema@.conversation_sessions s, jsonb_each(s.state -> 'partial') p
		WHERE s.call_id = p_call AND s.channel = 'voice' AND btrim(p.value ->> 'text') <> ''
		  AND (p_source IS NULL OR p.value ->> 'source' = p_source)
		ORDER BY p.value -> 'at', p.key
	LOOP
		UPDATE @extschema@.calls c SET
			conversation_turns = coalesce(c.conversation_turns, 0) + 1,
			transcript = coalesce(c.transcript, '[]') || jsonb_build_array(jsonb_build_object(
				'role', v_role, 'text', v_partial -> 'text', 'interrupted', true, 'medium', 'voice',
				'at', v_partial -> 'at', 'stream', v_partial -> 'source', 'partial', true))
		WHERE c.id = p_call;
		UPDATE @extschema@.conversation_sessions s
		SET state = jsonb_set(s.state, ARRAY['partial', v_role], (v_partial - 'text') || '{"promoted": true}')
		WHERE s.call_id = p_call AND s.channel = 'voice';
	END LOOP;
END
$$;

-- Applies a status to a call whose row the caller has locked; later news about a call that is over only
-- fills gaps. p_seq: Twilio's SequenceNumber. True when the status changed.
CREATE FUNCTION @extschema@.va_call_set_status(p_call_id uuid, p_status text, p_seq integer DEFAULT NULL,
											   p_duration integer DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_rank integer := @extschema@.va_call_rank(p_status);
	v_old integer;
	v_forward boolean;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id FOR NO KEY UPDATE;
	v_old := @extschema@.va_call_rank(v_call.status);
	v_forward := v_rank > v_old OR (v_rank = v_old AND p_status <> v_call.status AND p_seq > coalesce(v_call.status_sequence, -1));
	IF NOT v_forward AND (v_rank < 5 OR p_status <> v_call.status) THEN
		RETURN false;
	END IF;
	UPDATE @extschema@.calls c SET
		status = p_status,
		status_sequence = greatest(p_seq, c.status_sequence),
		started_at = coalesce(c.started_at, CASE WHEN p_status = 'in-progress' THEN now() END),
		ended_at = CASE WHEN v_rank = 5 THEN coalesce(c.ended_at, now()) ELSE c.ended_at END,
		duration_seconds = CASE WHEN v_rank = 5 THEN coalesce(p_duration, c.duration_seconds,
			greatest(extract(epoch FROM now() - c.started_at), 0)::integer) ELSE c.duration_seconds END
	WHERE c.id = p_call_id AND (v_forward OR p_duration IS DISTINCT FROM c.duration_seconds);
	IF v_rank = 5 AND v_old < 5 THEN
		PERFORM @extschema@.va_call_promote(p_call_id);
		UPDATE @extschema@.conversation_sessions s SET ended_at = coalesce(s.ended_at, now())
		WHERE s.call_id = p_call_id AND s.channel = 'voice';
		DELETE FROM @extschema@.call_tokens t WHERE t.call_id = p_call_id AND t.used_at IS NULL;
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_ended', p_call_id, v_call.lead_id,
			jsonb_build_object('status', p_status, 'direction', v_call.direction));
	END IF;
	RETURN v_forward;
END
$$;

-- ---- streams ------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_call_stream_start(p_account_sid text, p_call_sid text, p_stream_sid text,
	p_token text, p_gateway text) RETURNS TABLE (accepted boolean, reason text, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_token @extschema@.call_tokens;
	v_call @extschema@.calls;
BEGIN
	accepted := false;
	-- The call first, then the token: the same order as everywhere, so that nobody waits in a circle.
	SELECT c.* INTO v_call FROM @extschema@.calls c JOIN @extschema@.call_tokens t ON t.call_id = c.id
	WHERE t.token_hash = sha256(convert_to(coalesce(p_token, ''), 'UTF8')) FOR NO KEY UPDATE OF c;
	SELECT * INTO v_token FROM @extschema@.call_tokens t
	WHERE t.token_hash = sha256(convert_to(coalesce(p_token, ''), 'UTF8')) FOR UPDATE;
	reason := CASE
		WHEN v_token.token_hash IS NULL THEN 'unknown token'
		WHEN v_call.twilio_call_sid IS DISTINCT FROM p_call_sid THEN 'token of another call'
		WHEN @extschema@.va_tenant_account(v_call.tenant_id) IS DISTINCT FROM p_account_sid THEN 'another account'
		WHEN p_stream_sid IS NULL OR v_token.stream_sid <> p_stream_sid THEN 'token used already'
		WHEN v_token.used_at IS NULL AND v_token.expires_at <= now() THEN 'token expired'
		WHEN @extschema@.va_call_over(v_call) THEN 'call is over' END;
	IF reason IS NOT NULL THEN -- the gateway counts it
		RETURN NEXT;
		RETURN;
	END IF;
	UPDATE @extschema@.call_tokens t SET used_at = coalesce(t.used_at, now()), stream_sid = p_stream_sid
	WHERE t.token_hash = v_token.token_hash;
	DELETE FROM @extschema@.call_tokens t WHERE t.call_id = v_call.id AND t.used_at IS NULL;
	INSERT INTO @extschema@.call_metrics (call_id, stream_sid, tenant_id, gateway, stream_started_at)
	VALUES (v_call.id, p_stream_sid, v_call.tenant_id, p_gateway, now())
	ON CONFLICT (call_id, stream_sid) DO UPDATE SET gateway = excluded.gateway,
		stream_started_at = coalesce(@extschema@.call_metrics.stream_started_at, now());
	accepted := true;
	session := @extschema@.va_session(v_call, p_token);
	RETURN NEXT;
END
$$;

-- May this call go on? Counts the resumption. Called with the row locked.
CREATE FUNCTION @extschema@.va_call_resume(p_call_id uuid, p_why text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
	v_known jsonb;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id;
	SELECT @extschema@.va_settings(t.settings) INTO v_known FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id AND t.status = 'active';
	IF NOT FOUND OR @extschema@.va_call_over(v_call) OR v_call.end_requested_at IS NOT NULL
	   OR v_call.resume_count >= 5 OR @extschema@.va_call_remaining(v_call.started_at, v_known) <= 0 THEN
		RETURN false;
	END IF;
	PERFORM @extschema@.va_call_promote(p_call_id);
	UPDATE @extschema@.calls c SET resume_count = c.resume_count + 1, last_resumed_at = now()
	WHERE c.id = p_call_id;
	PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_resumed', p_call_id, v_call.lead_id,
		jsonb_build_object('why', p_why, 'count', v_call.resume_count + 1));
	RETURN true;
END
$$;

-- A fresh session for a call whose engine was lost while the stream goes on. The same request within two
-- seconds is the same request sent again.
CREATE FUNCTION @extschema@.va_call_session(p_call_id uuid, p_gateway text) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown call %', p_call_id USING ERRCODE = 'VA004';
	END IF;
	IF (v_call.last_resumed_at > now() - interval '2 seconds' AND NOT @extschema@.va_call_over(v_call)) IS NOT TRUE
	   AND NOT @extschema@.va_call_resume(p_call_id, 'engine_lost') THEN
		RETURN NULL;
	END IF;
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call_id;
	RETURN @extschema@.va_session(v_call, NULL);
END
$$;

-- ---- events -------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_event_role(p_data jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN p_data ->> 'role' IN ('user', 'agent') THEN p_data ->> 'role' END;

-- The turn under way: only the newest piece is kept, and none that an already finished turn has overtaken.
CREATE FUNCTION @extschema@.va_event_partial(p_call uuid, p_source text, p_seq bigint, p_at jsonb, p_data jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := @extschema@.va_event_role(p_data);
BEGIN
	UPDATE @extschema@.conversation_sessions s
	SET state = coalesce(s.state, '{}') || jsonb_build_object('partial', coalesce(s.state -> 'partial', '{}')
		|| jsonb_build_object(v_role, jsonb_build_object('text', p_data ->> 'text', 'source', p_source,
														 'seq', p_seq, 'at', p_at)))
	WHERE s.call_id = p_call AND s.channel = 'voice' AND v_role IS NOT NULL
	  AND NOT coalesce(s.state #>> ARRAY['partial', v_role, 'source'] = p_source
					   AND (s.state #>> ARRAY['partial', v_role, 'seq'])::bigint >= p_seq, false);
END
$$;

CREATE FUNCTION @extschema@.va_event_turn(p_call uuid, p_source text, p_seq bigint, p_at jsonb, p_data jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := @extschema@.va_event_role(p_data);
	v_under_way jsonb;
	v_turn jsonb;
	v_place integer;
BEGIN
	IF v_role IS NULL OR p_data ->> 'text' IS NULL THEN
		RETURN;
	END IF;
	v_turn := jsonb_build_object('role', v_role, 'text', p_data ->> 'text',
		'interrupted', coalesce(p_data -> 'interrupted', 'false'), 'medium', coalesce(p_data -> 'medium', '"voice"'),
		'start_ms', p_data -> 'start_ms', 'end_ms', p_data -> 'end_ms', 'at', p_at, 'stream', p_source);
	SELECT s.state #> ARRAY['partial', v_role] INTO v_under_way
	FROM @extschema@.conversation_sessions s WHERE s.call_id = p_call AND s.channel = 'voice';
	IF v_under_way ->> 'promoted' = 'true' AND v_under_way ->> 'source' = p_source THEN
		SELECT n - 1 INTO v_place
		FROM @extschema@.calls c, jsonb_array_elements(c.transcript) WITH ORDINALITY AS x (e, n)
		WHERE c.id = p_call AND e ->> 'partial' = 'true' AND e ->> 'role' = v_role AND e ->> 'stream' = p_source
		ORDER BY n DESC LIMIT 1;
	END IF;
	UPDATE @extschema@.calls c SET
		conversation_turns = coalesce(c.conversation_turns, 0) + CASE WHEN v_place IS NULL THEN 1 ELSE 0 END,
		transcript = CASE WHEN v_place IS NULL THEN coalesce(c.transcript, '[]') || jsonb_build_array(v_turn)
						  ELSE jsonb_set(c.transcript, ARRAY[v_place::text], v_turn) END
	WHERE c.id = p_call;
	-- What remains of the turn under way: up to where it is settled. Pressed keys end no sentence.
	IF p_data ->> 'medium' IS DISTINCT FROM 'dtmf' THEN
		UPDATE @extschema@.conversation_sessions s
		SET state = coalesce(s.state, '{}') || jsonb_build_object('partial', coalesce(s.state -> 'partial', '{}')
			|| jsonb_build_object(v_role, jsonb_build_object('source', p_source, 'seq', p_seq)))
		WHERE s.call_id = p_call AND s.channel = 'voice';
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_event_state(p_call uuid, p_tenant uuid, p_source text, p_at timestamptz, p_data jsonb)
	RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_state text := p_data ->> 'state';
	v_reason text := left(p_data ->> 'reason', 50);
BEGIN
	UPDATE @extschema@.call_metrics m SET
		stream_started_at = CASE WHEN v_state = 'stream_started' THEN coalesce(m.stream_started_at, p_at) ELSE m.stream_started_at END,
		engine_ready_at = CASE WHEN v_state = 'engine_ready' THEN coalesce(m.engine_ready_at, p_at) ELSE m.engine_ready_at END,
		first_audio_at = CASE WHEN v_state = 'first_audio' THEN coalesce(m.first_audio_at, p_at) ELSE m.first_audio_at END,
		ended_at = CASE WHEN v_state = 'ended' THEN p_at ELSE m.ended_at END,
		end_reason = CASE WHEN v_state = 'ended' THEN v_reason ELSE m.end_reason END
	WHERE m.call_id = p_call AND m.stream_sid = p_source;
	IF v_state IN ('engine_lost', 'engine_resumed') THEN
		PERFORM @extschema@.va_emit(p_tenant, v_state, p_call, NULL, p_data);
	ELSIF v_state = 'ended' THEN
		PERFORM @extschema@.va_call_promote(p_call, p_source);
		UPDATE @extschema@.calls c SET end_reason = v_reason WHERE c.id = p_call;
		-- The caller is gone. Twilio's status callback says so too, if the number has one.
		IF v_reason = 'caller_hangup' THEN
			PERFORM @extschema@.va_call_set_status(p_call, 'completed');
		END IF;
	END IF;
END
$$;

-- Counters and latencies: each report replaces the one before.
CREATE FUNCTION @extschema@.va_event_metrics(p_call uuid, p_source text, p_data jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.call_metrics m SET
		answer_ms = coalesce(@extschema@.va_number(p_data, 'answer_ms'), m.answer_ms),
		stream_start_ms = coalesce(@extschema@.va_number(p_data, 'stream_start_ms'), m.stream_start_ms),
		engine_prepare_ms = coalesce(@extschema@.va_number(p_data, 'engine_prepare_ms'), m.engine_prepare_ms),
		engine_ready_ms = coalesce(@extschema@.va_number(p_data, 'engine_ready_ms'), m.engine_ready_ms),
		first_audio_ms = coalesce(@extschema@.va_number(p_data, 'first_audio_ms'), m.first_audio_ms),
		engine_latency_avg_ms = coalesce(@extschema@.va_number(p_data, 'engine_latency_avg_ms'), m.engine_latency_avg_ms),
		engine_latency_max_ms = coalesce(@extschema@.va_number(p_data, 'engine_latency_max_ms'), m.engine_latency_max_ms),
		clear_us_max = coalesce(@extschema@.va_number(p_data, 'clear_us_max'), m.clear_us_max),
		frames_in = coalesce(@extschema@.va_number(p_data, 'frames_in')::bigint, m.frames_in),
		frames_out = coalesce(@extschema@.va_number(p_data, 'frames_out')::bigint, m.frames_out),
		frames_dropped_in = coalesce(@extschema@.va_number(p_data, 'frames_dropped_in')::bigint, m.frames_dropped_in),
		frames_dropped_out = coalesce(@extschema@.va_number(p_data, 'frames_dropped_out')::bigint, m.frames_dropped_out),
		bytes_in = coalesce(@extschema@.va_number(p_data, 'bytes_in')::bigint, m.bytes_in),
		bytes_out = coalesce(@extschema@.va_number(p_data, 'bytes_out')::bigint, m.bytes_out),
		interruptions = coalesce(@extschema@.va_number(p_data, 'interruptions')::bigint, m.interruptions),
		clears = coalesce(@extschema@.va_number(p_data, 'clears')::bigint, m.clears),
		marks = coalesce(@extschema@.va_number(p_data, 'marks')::bigint, m.marks),
		tool_calls = coalesce(@extschema@.va_number(p_data, 'tool_calls')::bigint, m.tool_calls),
		dtmf = coalesce(@extschema@.va_number(p_data, 'dtmf')::bigint, m.dtmf),
		extra = m.extra || (p_data - ARRAY['answer_ms', 'stream_start_ms', 'engine_prepare_ms', 'engine_ready_ms',
			'first_audio_ms', 'engine_latency_avg_ms', 'engine_latency_max_ms', 'clear_us_max', 'frames_in',
			'frames_out', 'frames_dropped_in', 'frames_dropped_out', 'bytes_in', 'bytes_out', 'interruptions',
			'clears', 'marks', 'tool_calls', 'dtmf'])
	WHERE m.call_id = p_call AND m.stream_sid = p_source;
END
$$;

-- One event. What is new is stored and applied; what is known is passed over. Partial turns leave no row.
CREATE FUNCTION @extschema@.va_event_apply(p_call uuid, p_tenant uuid, p_source text, p_event jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_seq bigint := @extschema@.va_number(p_event, 'seq')::bigint;
	v_kind text := p_event ->> 'kind';
	v_at timestamptz := coalesce(to_timestamp(@extschema@.va_number(p_event, 'at') / 1000.0), now());
	v_data jsonb := CASE WHEN jsonb_typeof(p_event -> 'data') = 'object' THEN p_event -> 'data' ELSE '{}' END;
BEGIN
	IF v_seq IS NULL OR v_seq < 1 OR v_kind IS NULL THEN
		RAISE EXCEPTION 'an event needs a positive "seq" and a "kind"' USING ERRCODE = 'VA005';
	END IF;
	IF v_kind = 'partial' THEN
		PERFORM @extschema@.va_event_partial(p_call, p_source, v_seq, p_event -> 'at', v_data);
		RETURN;
	END IF;
	INSERT INTO @extschema@.call_events (call_id, source, seq, tenant_id, at, kind, data)
	VALUES (p_call, p_source, v_seq, p_tenant, v_at, left(v_kind, 50), v_data)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	CASE v_kind
		WHEN 'turn' THEN PERFORM @extschema@.va_event_turn(p_call, p_source, v_seq, p_event -> 'at', v_data);
		WHEN 'state' THEN PERFORM @extschema@.va_event_state(p_call, p_tenant, p_source, v_at, v_data);
		WHEN 'metrics' THEN PERFORM @extschema@.va_event_metrics(p_call, p_source, v_data);
		ELSE NULL; -- a note, or a kind of a newer gateway: the row is all there is to it
	END CASE;
END
$$;

CREATE FUNCTION @extschema@.va_call_events(p_call_id uuid, p_source text, p_events jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid;
	v_event jsonb;
BEGIN
	IF coalesce(p_source, '') = '' OR jsonb_typeof(p_events) IS DISTINCT FROM 'array' THEN
		RAISE EXCEPTION 'events need a source and an array' USING ERRCODE = 'VA005';
	END IF;
	IF NOT jsonb_path_exists(p_events, '$[*] ? (@.kind != "partial")') THEN
		PERFORM @extschema@.va_commit_lazily();
	END IF;
	SELECT c.tenant_id INTO v_tenant FROM @extschema@.calls c WHERE c.id = p_call_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown call %', p_call_id USING ERRCODE = 'VA004';
	END IF;
	INSERT INTO @extschema@.call_metrics (call_id, stream_sid, tenant_id) VALUES (p_call_id, p_source, v_tenant)
	ON CONFLICT DO NOTHING;
	FOR v_event IN SELECT e FROM jsonb_array_elements(p_events) WITH ORDINALITY AS x (e, n)
				   ORDER BY @extschema@.va_number(e, 'seq'), n
	LOOP
		PERFORM @extschema@.va_event_apply(p_call_id, v_tenant, p_source, v_event);
	END LOOP;
	UPDATE @extschema@.conversation_sessions s SET last_activity_at = now()
	WHERE s.call_id = p_call_id AND s.channel = 'voice';
END
$$;
-- The documents that answer Twilio. Every function here returns TwiML text made by va_twiml, or verbs
-- (jsonb arrays) to be made into it.

CREATE FUNCTION @extschema@.va_webhook_url(p_name text) RETURNS text
	LANGUAGE sql STABLE
	RETURN @extschema@.va_public_url() || '/webhook/voice/' || p_name;

-- (STABLE as jsonb_build_object is: declared IMMUTABLE it would not be inlined.)
CREATE FUNCTION @extschema@.va_verb(p_verb text, p_text text DEFAULT NULL, p_attributes jsonb DEFAULT '{}',
									p_children jsonb DEFAULT '[]') RETURNS jsonb
	LANGUAGE sql STABLE
	RETURN jsonb_build_array(jsonb_build_object('verb', p_verb, 'text', p_text, 'attributes', p_attributes,
												'children', p_children));

-- The media stream, and behind it the question what comes next. The fragment of that address asks Twilio
-- to try a refused connection five times: by then a gateway that restarts is back.
CREATE FUNCTION @extschema@.va_stream_verbs(p_tenant uuid, p_token text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_verb('Connect', NULL, '{}', @extschema@.va_verb('Stream', NULL,
		jsonb_build_object('url', @extschema@.va_media_url(),
						   'statusCallback', @extschema@.va_webhook_url('stream-status')),
		@extschema@.va_verb('Parameter', NULL, jsonb_build_object('name', 'token', 'value', p_token))
		|| @extschema@.va_verb('Parameter', NULL, jsonb_build_object('name', 'tenant_id', 'value', p_tenant))))
	|| @extschema@.va_verb('Redirect', @extschema@.va_webhook_url('after-stream') || '#rc=5&rp=ct,rt,5xx',
						   '{"method": "POST"}');
END
$$;

CREATE FUNCTION @extschema@.va_say_verb(p_settings jsonb, p_language text, p_text text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT CASE WHEN @extschema@.va_filled(p_text) IS NULL THEN '[]'
		ELSE @extschema@.va_verb('Say', left(p_text, 4000), jsonb_build_object('language', p_language,
				'voice', @extschema@.va_setting_text(p_settings, 'say_voice', NULL))) END);
END
$$;

CREATE FUNCTION @extschema@.va_voicemail_verbs(p_settings jsonb, p_language text, p_prelude text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_setting jsonb := @extschema@.va_setting(p_settings, 'voicemail');
	v_attributes jsonb;
BEGIN
	IF v_setting = 'false' THEN
		RETURN @extschema@.va_say_verb(p_settings, p_language, concat_ws(' ', p_prelude, 'Please call again later. Good-bye.'))
			   || @extschema@.va_verb('Hangup');
	END IF;
	v_attributes := jsonb_build_object('action', @extschema@.va_webhook_url('voicemail'), 'method', 'POST',
		'maxLength', CASE WHEN jsonb_typeof(v_setting) = 'object'
						  THEN greatest(2, least(3600, coalesce(@extschema@.va_number(v_setting, 'max_seconds'), 180)))::integer
						  ELSE 180 END,
		'playBeep', true, 'recordingStatusCallback', @extschema@.va_webhook_url('recording'));
	IF jsonb_typeof(v_setting) = 'object' AND v_setting ->> 'transcribe' = 'true' THEN
		v_attributes := v_attributes || jsonb_build_object('transcribe', true, 'maxLength', 120,
			'transcribeCallback', @extschema@.va_webhook_url('transcription'));
	END IF;
	RETURN @extschema@.va_say_verb(p_settings, p_language, concat_ws(' ', p_prelude, coalesce(
				CASE jsonb_typeof(v_setting) WHEN 'object' THEN v_setting ->> 'greeting' END,
				'Please leave a message after the tone.')))
		   || @extschema@.va_verb('Record', NULL, v_attributes);
END
$$;

-- A task for people, once per call and kind.
CREATE FUNCTION @extschema@.va_call_task(p_call @extschema@.calls, p_title text, p_due timestamptz) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.follow_up_tasks f WHERE f.call_id = p_call.id AND f.title = p_title) THEN
		INSERT INTO @extschema@.follow_up_tasks
			(tenant_id, lead_id, call_id, task_type, title, description, scheduled_for, is_ai_task)
		VALUES (p_call.tenant_id, p_call.lead_id, p_call.id, 'call', p_title,
				format('The call came from %s.', coalesce(p_call.from_number, 'a hidden number')), p_due, false);
	END IF;
	UPDATE @extschema@.calls c SET follow_up_required = true, follow_up_date = coalesce(c.follow_up_date, p_due)
	WHERE c.id = p_call.id;
END
$$;

-- Whom a caller outside the hours is put through to: the tenant's transfer_number, else the first
-- available person.
CREATE FUNCTION @extschema@.va_transfer_number(p_tenant uuid, p_settings jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(@extschema@.va_phone_try(@extschema@.va_setting_text(p_settings, 'transfer_number', NULL)),
		(SELECT h.phone FROM @extschema@.human_agents h
		 WHERE h.tenant_id = p_tenant AND h.is_available AND h.phone IS NOT NULL
		 ORDER BY h.priority DESC, h.created_at, h.id LIMIT 1)));
END
$$;

-- The tenant's after-hours action for one call, p_prelude said first. Also taken when the engine fails.
CREATE FUNCTION @extschema@.va_after_hours(p_call @extschema@.calls, p_prelude text) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_call.tenant_id);
	v_language text := coalesce((SELECT v.language FROM @extschema@.tenant_voice_configs v
		WHERE v.tenant_id = p_call.tenant_id ORDER BY v.created_at DESC, v.id LIMIT 1), 'en-US');
	v_action text := @extschema@.va_after_hours_action(p_call.tenant_id);
	v_number text := @extschema@.va_transfer_number(p_call.tenant_id, v_settings);
	v_due timestamptz;
BEGIN
	IF v_action = 'transfer' AND v_number IS NULL THEN
		v_action := 'voicemail';
	END IF;
	UPDATE @extschema@.calls c SET
		ai_handled = CASE WHEN c.conversation_turns > 0 THEN c.ai_handled ELSE false END,
		outcome = coalesce(c.outcome, CASE v_action WHEN 'callback' THEN 'callback_requested'
								  WHEN 'transfer' THEN 'transferred' ELSE 'voicemail' END)
	WHERE c.id = p_call.id;
	CASE v_action
	WHEN 'transfer' THEN
		RETURN @extschema@.va_twiml(@extschema@.va_say_verb(v_settings, v_language, p_prelude)
			|| @extschema@.va_verb('Dial', NULL, jsonb_build_object('timeout', 25, 'method', 'POST',
				'action', @extschema@.va_webhook_url('after-stream')), @extschema@.va_verb('Number', v_number)));
	WHEN 'callback' THEN
		v_due := coalesce(@extschema@.va_next_opening(p_call.tenant_id), now() + interval '1 hour');
		PERFORM @extschema@.va_call_task(p_call, 'Call back', v_due);
		PERFORM @extschema@.va_emit(p_call.tenant_id, 'callback_requested', p_call.id, p_call.lead_id);
		RETURN @extschema@.va_twiml(@extschema@.va_say_verb(v_settings, v_language,
				concat_ws(' ', p_prelude, 'We will call you back. Good-bye.'))
			|| @extschema@.va_verb('Hangup'));
	ELSE
		RETURN @extschema@.va_twiml(@extschema@.va_voicemail_verbs(v_settings, v_language, p_prelude));
	END CASE;
END
$$;
-- Twilio's voice webhooks. The gateway has verified the signature with a token of p_account_sid; here it is
-- checked that the number or call is that account's. Everything may come twice, late, or out of
-- order: each function locks the call's row first and decides by what the row says.
--
-- All have one shape; body NULL means 204.

-- Does the request come from an account that is not the tenant's? Counted.
CREATE FUNCTION @extschema@.va_foreign_account(p_tenant uuid, p_account_sid text, p_gateway text) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_tenant_account(p_tenant) IS NOT DISTINCT FROM p_account_sid AND p_account_sid IS NOT NULL THEN
		RETURN false;
	END IF;
	PERFORM @extschema@.va_count(p_gateway, 'rejected.wrong_account');
	RETURN true;
END
$$;

-- The call of a webhook, its row locked; NULL when there is none.
CREATE FUNCTION @extschema@.va_call_by_sid(p_params jsonb) RETURNS @extschema@.calls
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c
	WHERE c.twilio_call_sid = p_params ->> 'CallSid' FOR NO KEY UPDATE;
	RETURN v_call;
END
$$;

-- What was decided on this delivery when it came before; NULL when it is new.
CREATE FUNCTION @extschema@.va_receipt(p_account_sid text, p_endpoint text, p_idempotency text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT r.decision FROM @extschema@.webhook_receipts r
	WHERE r.account_sid = p_account_sid AND r.endpoint = p_endpoint AND r.idempotency = left(p_idempotency, 200));
END
$$;

CREATE FUNCTION @extschema@.va_receipt_store(p_account_sid text, p_endpoint text, p_idempotency text,
	p_call @extschema@.calls, p_decision text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO @extschema@.webhook_receipts (account_sid, endpoint, idempotency, tenant_id, call_id, decision)
	SELECT p_account_sid, p_endpoint, left(p_idempotency, 200), p_call.tenant_id, p_call.id, p_decision
	WHERE p_idempotency IS NOT NULL
	ON CONFLICT DO NOTHING;
END
$$;

-- Finds or creates the call that an answer (or fallback) webhook is about. `reject`: why there is none. A
-- new call is inserted as it will be once answered, which is now: a second version of the row would
-- need a second entry in each index.
CREATE FUNCTION @extschema@.va_call_arrive(p_account_sid text, p_params jsonb, p_gateway text,
	OUT arrived @extschema@.calls, OUT created boolean, OUT reject text) RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_sid text := left(@extschema@.va_filled(p_params ->> 'CallSid'), 50);
	v_outbound boolean := coalesce(p_params ->> 'Direction' LIKE 'outbound%', false);
	v_ours text := CASE WHEN v_outbound THEN p_params ->> 'From' ELSE p_params ->> 'To' END;
	v_theirs text := CASE WHEN v_outbound THEN p_params ->> 'To' ELSE p_params ->> 'From' END;
	v_tenant record; -- and the number, for a new call
BEGIN
	created := false;
	IF v_sid IS NULL THEN
		reject := 'no_call_sid';
		RETURN;
	END IF;
	arrived := @extschema@.va_call_by_sid(p_params);
	IF arrived.id IS NOT NULL THEN
		SELECT t.id, t.status, @extschema@.va_settings(t.settings) AS known, NULL::uuid AS number INTO v_tenant
		FROM @extschema@.tenants t WHERE t.id = arrived.tenant_id;
	ELSE
		SELECT n.tenant_id AS id, t.status, @extschema@.va_settings(t.settings) AS known, n.id AS number INTO v_tenant
		FROM @extschema@.phone_numbers n LEFT JOIN @extschema@.tenants t ON t.id = n.tenant_id
		WHERE n.phone_number = @extschema@.va_phone_try(v_ours) AND n.phone_type = 'voice' AND n.is_active;
		IF NOT FOUND THEN
			reject := 'unknown_number';
			RETURN;
		END IF;
	END IF;
	IF coalesce(@extschema@.va_known_text(v_tenant.known, 'twilio_account_sid', NULL) <> p_account_sid, true) THEN
		PERFORM @extschema@.va_count(p_gateway, 'rejected.wrong_account');
		reject := 'wrong_account';
	ELSIF v_tenant.status IS DISTINCT FROM 'active' THEN
		reject := 'inactive_tenant';
	ELSIF arrived.id IS NULL AND @extschema@.va_tenant_busy(v_tenant.id, v_sid, v_tenant.known) THEN
		reject := 'busy_tenant';
	END IF;
	IF reject IS NOT NULL OR arrived.id IS NOT NULL THEN
		RETURN;
	END IF;
	INSERT INTO @extschema@.calls (tenant_id, lead_id, twilio_call_sid, direction, from_number, to_number, status,
								   started_at, phone_number_id)
	VALUES (v_tenant.id,
			(SELECT l.id FROM @extschema@.leads l
			 WHERE l.tenant_id = v_tenant.id AND l.phone = @extschema@.va_phone_try(v_theirs)
			 ORDER BY l.created_at, l.id LIMIT 1),
			v_sid, CASE WHEN v_outbound THEN 'outbound' ELSE 'inbound' END,
			left(coalesce(@extschema@.va_phone_try(p_params ->> 'From'), p_params ->> 'From'), 20),
			left(coalesce(@extschema@.va_phone_try(p_params ->> 'To'), p_params ->> 'To'), 20),
			'in-progress', now(), v_tenant.number)
	ON CONFLICT (twilio_call_sid) DO NOTHING
	RETURNING * INTO arrived;
	created := FOUND;
	IF NOT created THEN -- the same delivery, on another connection, was faster
		arrived := @extschema@.va_call_by_sid(p_params);
	END IF;
END
$$;

-- How many calls the tenant has on the line. A call whose end Twilio never told counts no longer than it may
-- last. (A bitmap scan visits each page once and not once for each call, which halves the time where there are
-- hundreds; the planner cannot know, since the table's statistics say nothing of this moment.)
CREATE FUNCTION @extschema@.va_tenant_calls(p_tenant uuid, p_since timestamptz) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_indexscan = off AS $$
BEGIN
	RETURN (SELECT count(*) FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.started_at > p_since
			AND c.status IN ('queued', 'initiated', 'ringing', 'in-progress'));
END
$$;

-- Has the tenant as many calls as its setting max_concurrent_calls allows, without this one? The tenant's row
-- is locked, so that two calls at once count each other. (And one that was delivered twice not itself.)
CREATE FUNCTION @extschema@.va_tenant_busy(p_tenant uuid, p_call_sid text, p_known jsonb) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limit integer := @extschema@.va_known_integer(p_known, 'max_concurrent_calls', NULL);
	v_since timestamptz := now() - make_interval(secs => 60 + @extschema@.va_known_integer(p_known, 'max_call_seconds', 1800));
BEGIN
	IF v_limit IS NULL THEN
		RETURN false;
	END IF;
	PERFORM FROM @extschema@.tenants t WHERE t.id = p_tenant FOR NO KEY UPDATE;
	PERFORM FROM @extschema@.calls c WHERE c.twilio_call_sid = p_call_sid;
	RETURN NOT FOUND AND @extschema@.va_tenant_calls(p_tenant, v_since) >= v_limit;
END
$$;

-- Puts the voice agent on the line: TwiML and session of one call, given as its row is now.
CREATE FUNCTION @extschema@.va_call_connect(p_call @extschema@.calls, OUT body text, OUT session jsonb) RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_token text;
BEGIN
	INSERT INTO @extschema@.conversation_sessions AS s (tenant_id, lead_id, call_id, channel, state)
	VALUES (p_call.tenant_id, p_call.lead_id, p_call.id, 'voice', '{"partial": {}}')
	ON CONFLICT (call_id) WHERE channel = 'voice' DO UPDATE SET last_activity_at = now();
	v_token := @extschema@.va_token_create(p_call.id, p_call.tenant_id);
	body := @extschema@.va_twiml(@extschema@.va_stream_verbs(p_call.tenant_id, v_token));
	session := @extschema@.va_session(p_call, v_token);
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_answer(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_arrival record;
	v_call @extschema@.calls;
	v_reject text;
BEGIN
	http_status := 200;
	SELECT * INTO v_arrival FROM @extschema@.va_call_arrive(p_account_sid, p_params, p_gateway);
	v_call := v_arrival.arrived;
	v_reject := v_arrival.reject;
	IF v_reject IS NOT NULL THEN
		http_status := CASE v_reject WHEN 'no_call_sid' THEN 400 WHEN 'wrong_account' THEN 403 ELSE 200 END;
		IF http_status = 200 THEN
			body := @extschema@.va_twiml(@extschema@.va_verb('Reject', NULL,
				jsonb_build_object('reason', CASE v_reject WHEN 'busy_tenant' THEN 'busy' ELSE 'rejected' END)));
		END IF;
		IF v_reject <> 'wrong_account' THEN -- counted where it was found
			PERFORM @extschema@.va_count(p_gateway, 'rejected.' || v_reject);
		END IF;
		RETURN NEXT;
		RETURN;
	END IF;

	call_id := v_call.id;
	tenant_id := v_call.tenant_id;
	IF @extschema@.va_call_over(v_call) THEN
		body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
		RETURN NEXT;
		RETURN;
	END IF;
	IF v_arrival.created OR @extschema@.va_call_set_status(v_call.id, 'in-progress') THEN
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_answered', v_call.id, v_call.lead_id,
			jsonb_build_object('direction', v_call.direction, 'gateway', p_gateway));
	END IF;
	IF v_call.direction = 'inbound' AND NOT @extschema@.va_business_open(v_call.tenant_id, v_call.started_at) THEN
		body := @extschema@.va_after_hours(v_call, @extschema@.va_setting_text(
			(SELECT t.settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id),
			'after_hours_message', 'Thank you for calling. We are closed at the moment.'));
	ELSE
		SELECT k.body, k.session INTO body, session FROM @extschema@.va_call_connect(v_call) k;
	END IF;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_status(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_duration integer := @extschema@.va_digits(p_params ->> 'CallDuration');
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN -- a call we refused, or one that is none of ours
		PERFORM @extschema@.va_count(p_gateway, 'status.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		PERFORM @extschema@.va_call_set_status(v_call.id, p_params ->> 'CallStatus',
			@extschema@.va_digits(p_params ->> 'SequenceNumber'), v_duration);
		UPDATE @extschema@.calls c SET recording_url = p_params ->> 'RecordingUrl',
			recording_sid = left(p_params ->> 'RecordingSid', 50),
			recording_duration = coalesce(@extschema@.va_digits(p_params ->> 'RecordingDuration'), c.recording_duration)
		WHERE c.id = v_call.id AND c.recording_url IS NULL AND @extschema@.va_filled(p_params ->> 'RecordingUrl') IS NOT NULL;
	END IF;
	RETURN NEXT;
END
$$;

-- Stores what a recording webhook tells. News without a URL (in-progress, absent) change nothing.
CREATE FUNCTION @extschema@.va_call_recording(p_call uuid, p_params jsonb) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF @extschema@.va_filled(p_params ->> 'RecordingUrl') IS NULL
	   OR coalesce(p_params ->> 'RecordingStatus', 'completed') <> 'completed' THEN
		RETURN false;
	END IF;
	UPDATE @extschema@.calls c SET recording_url = p_params ->> 'RecordingUrl',
		recording_sid = coalesce(left(p_params ->> 'RecordingSid', 50), c.recording_sid),
		recording_duration = coalesce(@extschema@.va_digits(p_params ->> 'RecordingDuration'), c.recording_duration)
	WHERE c.id = p_call;
	RETURN true;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_recording(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'recording.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF @extschema@.va_call_recording(v_call.id, p_params) AND v_call.recording_sid IS DISTINCT FROM p_params ->> 'RecordingSid' THEN
			PERFORM @extschema@.va_emit(v_call.tenant_id, 'recording_ready', v_call.id, v_call.lead_id);
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- The text of a voicemail becomes a turn of the caller, once per transcription.
CREATE FUNCTION @extschema@.va_webhook_voice_transcription(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_sid text := coalesce(p_params ->> 'TranscriptionSid', '');
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'transcription.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF p_params ->> 'TranscriptionStatus' = 'completed' AND @extschema@.va_filled(p_params ->> 'TranscriptionText') IS NOT NULL
		   AND NOT v_call.transcript @> jsonb_build_array(jsonb_build_object('transcription_sid', v_sid)) THEN
			UPDATE @extschema@.calls c SET transcript = coalesce(c.transcript, '[]') || jsonb_build_array(jsonb_build_object(
				'role', 'user', 'medium', 'voicemail', 'text', p_params ->> 'TranscriptionText', 'interrupted', false,
				'at', floor(extract(epoch FROM now()) * 1000), 'transcription_sid', v_sid))
			WHERE c.id = v_call.id;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- The action of <Record>: the caller has spoken, or hung up.
CREATE FUNCTION @extschema@.va_webhook_voice_voicemail(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_settings jsonb;
BEGIN
	http_status := 200;
	body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'voicemail.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
		body := NULL;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF @extschema@.va_call_recording(v_call.id, p_params) THEN
			UPDATE @extschema@.calls c SET outcome = 'voicemail' WHERE c.id = v_call.id;
			IF v_call.recording_url IS DISTINCT FROM p_params ->> 'RecordingUrl' OR v_call.outcome IS DISTINCT FROM 'voicemail' THEN
				PERFORM @extschema@.va_emit(v_call.tenant_id, 'voicemail_left', v_call.id, v_call.lead_id);
			END IF;
			PERFORM @extschema@.va_call_task(v_call, 'Listen to the voicemail',
				coalesce(@extschema@.va_next_opening(v_call.tenant_id), now() + interval '1 hour'));
			SELECT t.settings INTO v_settings FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id;
			body := @extschema@.va_twiml(@extschema@.va_say_verb(v_settings, 'en-US', 'Thank you. Good-bye.')
										 || @extschema@.va_verb('Hangup'));
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- What to do with a caller whose stream has ended: 'resume', 'hangup' or 'after_hours'.
-- Reasons that somebody wanted end the call; a stream that just broke is resumed; without an engine there
-- is the after-hours action.
CREATE FUNCTION @extschema@.va_after_stream_decision(p_call @extschema@.calls, p_params jsonb) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_reason text := coalesce(
		(SELECT m.end_reason FROM @extschema@.call_metrics m WHERE m.call_id = p_call.id
		 ORDER BY m.stream_started_at DESC NULLS LAST, m.created_at DESC LIMIT 1),
		@extschema@.va_filled(p_params ->> 'VoiceagentEndReason'), 'none');
BEGIN
	IF p_params ? 'DialCallStatus' THEN -- back from a transfer
		RETURN CASE WHEN p_params ->> 'DialCallStatus' IN ('completed', 'answered') THEN 'hangup' ELSE 'voicemail' END;
	ELSIF @extschema@.va_call_over(p_call) OR p_call.end_requested_at IS NOT NULL
		  OR v_reason IN ('agent_hangup', 'caller_hangup', 'time_limit', 'inactivity', 'engine_ended', 'rejected') THEN
		RETURN 'hangup';
	ELSIF v_reason <> 'engine_failed' AND @extschema@.va_call_resume(p_call.id, v_reason) THEN
		RETURN 'resume';
	END IF;
	RETURN 'after_hours';
END
$$;

-- Carries out a decision; shared by after-stream and fallback.
CREATE FUNCTION @extschema@.va_call_carry_on(p_call @extschema@.calls, p_decision text, OUT body text, OUT session jsonb)
	RETURNS record
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_known jsonb := (SELECT @extschema@.va_settings(t.settings) FROM @extschema@.tenants t WHERE t.id = p_call.tenant_id);
BEGIN
	CASE p_decision
	WHEN 'resume' THEN
		SELECT k.body, k.session INTO body, session
		FROM @extschema@.calls c, @extschema@.va_call_connect(c) k WHERE c.id = p_call.id; -- as va_call_resume has left it
	WHEN 'after_hours' THEN
		PERFORM @extschema@.va_call_promote(p_call.id);
		body := @extschema@.va_after_hours(p_call, @extschema@.va_apology(v_known));
	WHEN 'voicemail' THEN
		body := @extschema@.va_twiml(@extschema@.va_voicemail_verbs(v_known, 'en-US', NULL));
	ELSE
		PERFORM @extschema@.va_call_set_status(p_call.id, 'completed');
		body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
	END CASE;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_after_stream(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_decision text;
BEGIN
	http_status := 200;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'after_stream.unknown_call');
		body := @extschema@.va_twiml(@extschema@.va_verb('Hangup'));
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		v_decision := @extschema@.va_receipt(p_account_sid, 'after_stream', p_idempotency);
		IF @extschema@.va_call_over(v_call) THEN
			v_decision := 'hangup';
		ELSIF v_decision IS NULL THEN
			v_decision := @extschema@.va_after_stream_decision(v_call, p_params);
			PERFORM @extschema@.va_receipt_store(p_account_sid, 'after_stream', p_idempotency, v_call, v_decision);
		END IF;
		SELECT k.body, k.session INTO body, session FROM @extschema@.va_call_carry_on(v_call, v_decision) k;
	END IF;
	RETURN NEXT;
END
$$;

-- Twilio could not get or run our last document (ErrorCode says why). A conversation that was under way goes
-- on; a caller whom nobody has greeted yet hears an apology and may leave a message.
CREATE FUNCTION @extschema@.va_webhook_voice_fallback(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_arrival record;
	v_call @extschema@.calls;
	v_reject text;
	v_decision text := @extschema@.va_receipt(p_account_sid, 'fallback', p_idempotency);
BEGIN
	http_status := 200;
	SELECT * INTO v_arrival FROM @extschema@.va_call_arrive(p_account_sid, p_params, p_gateway);
	v_call := v_arrival.arrived;
	v_reject := v_arrival.reject;
	IF v_reject IS NOT NULL THEN
		http_status := CASE v_reject WHEN 'no_call_sid' THEN 400 WHEN 'wrong_account' THEN 403 ELSE 200 END;
		body := CASE WHEN http_status = 200 THEN @extschema@.va_twiml(@extschema@.va_verb('Reject')) END;
		IF v_reject <> 'wrong_account' THEN
			PERFORM @extschema@.va_count(p_gateway, 'rejected.' || v_reject);
		END IF;
		RETURN NEXT;
		RETURN;
	END IF;
	call_id := v_call.id;
	tenant_id := v_call.tenant_id;
	IF v_decision IS NULL THEN
		v_decision := CASE
			WHEN @extschema@.va_call_over(v_call) OR v_call.end_requested_at IS NOT NULL THEN 'hangup'
			WHEN EXISTS (SELECT FROM @extschema@.call_metrics m WHERE m.call_id = v_call.id AND m.stream_started_at IS NOT NULL)
				 AND @extschema@.va_call_resume(v_call.id, 'fallback') THEN 'resume'
			ELSE 'after_hours' END;
		PERFORM @extschema@.va_receipt_store(p_account_sid, 'fallback', p_idempotency, v_call, v_decision);
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'webhook_failed', v_call.id, v_call.lead_id,
			jsonb_build_object('error_code', left(p_params ->> 'ErrorCode', 20), 'decision', v_decision));
		PERFORM @extschema@.va_call_set_status(v_call.id, 'in-progress');
	END IF;
	SELECT k.body, k.session INTO body, session FROM @extschema@.va_call_carry_on(v_call, v_decision) k;
	RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.va_webhook_voice_stream_status(p_account_sid text, p_params jsonb, p_idempotency text, p_gateway text)
	RETURNS TABLE (http_status integer, body text, call_id uuid, tenant_id uuid, session jsonb)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_by_sid(p_params);
	v_stream text := coalesce(left(@extschema@.va_filled(p_params ->> 'StreamSid'), 100), 'unknown');
BEGIN
	http_status := 204;
	IF v_call.id IS NULL THEN
		PERFORM @extschema@.va_count(p_gateway, 'stream_status.unknown_call');
	ELSIF @extschema@.va_foreign_account(v_call.tenant_id, p_account_sid, p_gateway) THEN
		http_status := 403;
	ELSE
		call_id := v_call.id;
		tenant_id := v_call.tenant_id;
		IF p_params ->> 'StreamEvent' = 'stream-error' THEN
			INSERT INTO @extschema@.call_metrics AS m (call_id, stream_sid, tenant_id, stream_error)
			VALUES (v_call.id, v_stream, v_call.tenant_id, coalesce(p_params ->> 'StreamError', 'unknown'))
			ON CONFLICT (call_id, stream_sid) DO UPDATE SET stream_error = excluded.stream_error
			WHERE m.stream_error IS NULL;
			IF FOUND THEN
				PERFORM @extschema@.va_emit(v_call.tenant_id, 'stream_error', v_call.id, v_call.lead_id,
					jsonb_build_object('stream', v_stream, 'error', left(p_params ->> 'StreamError', 500)));
			END IF;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;
-- What the gateway asks for and reports besides calls.

-- The Twilio accounts of the active tenants with the tokens that may have signed a request: the current one and,
-- during a rotation, the next. A secret that cannot be read takes only its own account out: the
-- others' calls go on, and the log says which.
CREATE FUNCTION @extschema@.va_gateway_config() RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_account record;
	v_tokens jsonb := '{}';
	v_token text;
BEGIN
	FOR v_account IN
		SELECT DISTINCT a.sid, n.name, CASE WHEN s.id IS NULL THEN NULL ELSE a.tenant END AS tenant
		FROM (SELECT @extschema@.va_tenant_account(t.id) AS sid, t.id AS tenant
			  FROM @extschema@.tenants t
			  UNION ALL SELECT @extschema@.va_setting_text('{}', 'twilio_account_sid', NULL), NULL) a
		CROSS JOIN (VALUES (1, 'twilio_auth_token'), (2, 'twilio_auth_token_next')) AS n (place, name)
		LEFT JOIN @extschema@.tenant_secrets s ON s.tenant_id = a.tenant AND s.name = n.name
		WHERE a.sid IS NOT NULL
		ORDER BY a.sid, n.name, 3
	LOOP
		BEGIN
			v_token := @extschema@.va_secret_read(v_account.tenant, v_account.name);
		EXCEPTION WHEN SQLSTATE 'VA006' OR SQLSTATE 'VA007' THEN
			RAISE WARNING 'secret "%" of account % cannot be read: %', v_account.name, v_account.sid, SQLERRM
				USING HINT = 'SELECT * FROM va_health() tells more.';
			v_token := NULL;
		END;
		v_tokens := jsonb_set(v_tokens, ARRAY[v_account.sid], coalesce(v_tokens -> v_account.sid, '[]')
			|| CASE WHEN v_token IS NULL OR v_tokens -> v_account.sid ? v_token THEN '[]'
					ELSE jsonb_build_array(v_token) END);
	END LOOP;
	RETURN jsonb_build_object('accounts', (
		SELECT coalesce(jsonb_agg(jsonb_build_object('account_sid', e.key, 'tokens', e.value) ORDER BY e.key), '[]')
		FROM jsonb_each(v_tokens) e));
END
$$;

-- Numbers of a report, nested objects as "rejected.busy".
CREATE FUNCTION @extschema@.va_report_numbers(p_report jsonb) RETURNS TABLE (name text, value numeric)
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT e.key, (e.value #>> '{}')::numeric FROM jsonb_each(p_report) e WHERE jsonb_typeof(e.value) = 'number'
	UNION ALL
	SELECT e.key || '.' || i.key, (i.value #>> '{}')::numeric
	FROM jsonb_each(p_report) e, jsonb_each(CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.value ELSE '{}' END) i
	WHERE jsonb_typeof(i.value) = 'number'
$$;

-- Numbers of a report that say how it is now and not how often something happened.
CREATE FUNCTION @extschema@.va_is_gauge(p_name text) RETURNS boolean
	LANGUAGE sql IMMUTABLE
	RETURN p_name IN ('pid', 'calls', 'queue_bytes', 'uptime_s');

-- Moves the counters of a process that is gone into gateway_counters.
CREATE FUNCTION @extschema@.va_gateway_fold(p_gateway text, p_pid bigint) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_report jsonb;
BEGIN
	DELETE FROM @extschema@.gateway_status s WHERE s.gateway = p_gateway AND s.pid = p_pid RETURNING s.report INTO v_report;
	INSERT INTO @extschema@.gateway_counters AS c (gateway, name, value)
	SELECT p_gateway, n.name, n.value FROM @extschema@.va_report_numbers(v_report) n
	WHERE NOT @extschema@.va_is_gauge(n.name)
	ORDER BY n.name
	ON CONFLICT (gateway, name) DO UPDATE SET value = c.value + excluded.value;
END
$$;

-- Totals of one process since its start. A process with fewer seconds than before is a new one that got the
-- old one's pid. Processes silent for a day are folded away.
CREATE FUNCTION @extschema@.va_gateway_report(p_gateway text, p_report jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_pid bigint := coalesce(@extschema@.va_number(p_report, 'pid')::bigint, 0);
	v_uptime double precision := @extschema@.va_number(p_report, 'uptime_s');
	v_stale bigint;
BEGIN
	IF p_gateway IS NULL OR jsonb_typeof(p_report) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'a report needs a gateway and an object' USING ERRCODE = 'VA005';
	END IF;
	PERFORM @extschema@.va_commit_lazily();
	FOR v_stale IN SELECT s.pid FROM @extschema@.gateway_status s
				   WHERE s.gateway = p_gateway
					 AND (s.pid = v_pid AND @extschema@.va_number(s.report, 'uptime_s') > v_uptime
						  OR s.pid <> v_pid AND s.reported_at < now() - interval '1 day')
				   ORDER BY s.pid FOR UPDATE
	LOOP
		PERFORM @extschema@.va_gateway_fold(p_gateway, v_stale);
	END LOOP;
	INSERT INTO @extschema@.gateway_status AS s (gateway, pid, version, started_at, reported_at, report)
	VALUES (left(p_gateway, 100), v_pid, p_report ->> 'version', now() - make_interval(secs => coalesce(v_uptime, 0)),
			now(), p_report)
	ON CONFLICT (gateway, pid) DO UPDATE SET version = excluded.version, reported_at = now(), report = excluded.report;
END
$$;

-- Called by the scheduler now and then: what is of no more use goes, in small portions, and calls whose end Twilio
-- never told are closed (no call lasts longer than a day there).
CREATE FUNCTION @extschema@.va_housekeeping() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM @extschema@.call_tokens t WHERE t.token_hash IN (
		SELECT o.token_hash FROM @extschema@.call_tokens o WHERE o.expires_at < now() - interval '1 day'
		LIMIT 5000 FOR UPDATE SKIP LOCKED);
	DELETE FROM @extschema@.webhook_receipts r WHERE r.ctid IN (
		SELECT o.ctid FROM @extschema@.webhook_receipts o WHERE o.received_at < now() - interval '1 day'
		LIMIT 5000 FOR UPDATE SKIP LOCKED);
	PERFORM @extschema@.va_call_set_status(o.id, 'completed') FROM (
		SELECT c.id FROM @extschema@.calls c
		WHERE c.status IN ('queued', 'initiated', 'ringing', 'in-progress') AND c.started_at < now() - interval '25 hours'
		LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED) o;
	UPDATE @extschema@.agent_reservations r SET released_at = now(), handled = false -- reserved without a call, and forgotten
	WHERE r.released_at IS NULL AND r.call_id IS NULL AND r.reserved_at < now() - interval '1 day';
	PERFORM @extschema@.va_retention_apply();
END
$$;
-- Views. They run with the rights of the one who asks (security_invoker), so that row-level security holds
-- through them. The first three are those of the specification.

CREATE VIEW @extschema@.active_calls WITH (security_invoker = true) AS
SELECT c.*, t.name as tenant_name, l.first_name, l.last_name, l.lead_temperature
FROM @extschema@.calls c
JOIN @extschema@.tenants t ON c.tenant_id = t.id
LEFT JOIN @extschema@.leads l ON c.lead_id = l.id
WHERE c.status IN ('ringing', 'in-progress');

CREATE VIEW @extschema@.todays_appointments WITH (security_invoker = true) AS
SELECT a.*, t.name as tenant_name, l.first_name, l.last_name, l.phone, l.email
FROM @extschema@.appointments a
JOIN @extschema@.tenants t ON a.tenant_id = t.id
LEFT JOIN @extschema@.leads l ON a.lead_id = l.id
WHERE DATE(a.scheduled_at AT TIME ZONE t.timezone) = CURRENT_DATE
ORDER BY a.scheduled_at;

CREATE VIEW @extschema@.lead_funnel WITH (security_invoker = true) AS
SELECT
	tenant_id,
	lead_temperature,
	status,
	COUNT(*) as count,
	AVG(lead_score) as avg_score
FROM @extschema@.leads
GROUP BY tenant_id, lead_temperature, status;

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
-- Is it working, and what has it done: va_health() and va_stats().

CREATE FUNCTION @extschema@.va_health()
	RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_preloaded boolean := regexp_split_to_array(current_setting('shared_preload_libraries'), '[ ,"'']+') @> ARRAY['voiceagent'];
	v_database text := coalesce(current_setting('voiceagent.database', true), '');
	v_key text;
BEGIN
	RETURN QUERY SELECT 'library', v_preloaded,
		CASE WHEN v_preloaded THEN 'loaded at server start' ELSE 'not in shared_preload_libraries: SQL works, calls do not' END,
		CASE WHEN NOT v_preloaded THEN 'Set shared_preload_libraries = ''voiceagent'' and restart the server.' END;

	RETURN QUERY SELECT 'version', e.extversion = @extschema@.va_version(),
		format('extension %s, library %s', e.extversion, @extschema@.va_version()),
		CASE WHEN e.extversion <> @extschema@.va_version()
			 THEN 'Run ALTER EXTENSION voiceagent UPDATE, or restart the server with the newer library.' END
	FROM pg_extension e WHERE e.extname = 'voiceagent';

	IF v_preloaded THEN
		RETURN QUERY SELECT 'database', v_database = current_database(),
			format('voiceagent.database is "%s", this is "%s"', v_database, current_database()),
			CASE WHEN v_database <> current_database()
				 THEN format('Set voiceagent.database = %L and restart the server.', current_database()) END;
		RETURN QUERY SELECT 'launcher', n > 0, CASE WHEN n > 0 THEN 'running' ELSE 'not running' END,
			CASE WHEN n = 0 THEN 'The server''s log says why; max_worker_processes may be too small.' END
		FROM (SELECT count(*) AS n FROM pg_stat_activity a WHERE a.backend_type = 'voiceagent launcher') AS launchers;
	END IF;

	RETURN QUERY SELECT 'gateway', coalesce(age < 30, false),
		CASE WHEN age IS NULL THEN 'none has ever reported'
			 ELSE format('%s running, last report %s s ago', n, round(age)) END,
		CASE WHEN coalesce(age >= 30, true)
			 THEN 'See voiceagent.gateway_workers, and the server''s log for messages of the gateway.' END
	FROM (SELECT count(*) FILTER (WHERE s.reported_at > now() - interval '30 seconds') AS n,
				 extract(epoch FROM now() - max(s.reported_at)) AS age
		  FROM @extschema@.gateway_status s) AS reports;

	RETURN QUERY SELECT 'role ' || r.name, coalesce(p.rolcanlogin, false),
		CASE WHEN p.rolname IS NULL THEN 'does not exist' WHEN p.rolcanlogin THEN 'can log in' ELSE 'may not log in' END,
		CASE WHEN p.rolname IS NULL THEN format('CREATE ROLE %I LOGIN;', r.name)
			 WHEN NOT p.rolcanlogin THEN format('ALTER ROLE %I LOGIN;', r.name) END
	FROM (VALUES ('voiceagent_gateway'), ('voiceagent_dispatcher')) AS r (name)
	LEFT JOIN pg_roles p ON p.rolname = r.name;

	BEGIN
		v_key := @extschema@.va_key_id();
		RETURN QUERY SELECT 'key file', v_key IS NOT NULL OR NOT EXISTS (SELECT FROM @extschema@.tenant_secrets),
			CASE WHEN v_key IS NULL THEN 'not made yet: it is with the first secret' ELSE 'key ' || v_key END,
			CASE WHEN v_key IS NULL AND EXISTS (SELECT FROM @extschema@.tenant_secrets)
				 THEN 'Copy voiceagent.key from the data directory where the secrets were set, or set them again.' END;
	EXCEPTION WHEN SQLSTATE 'VA006' THEN
		RETURN QUERY SELECT 'key file', false, SQLERRM, 'It is 32 bytes, in the data directory, mode 0600.'::text;
	END;
	RETURN QUERY SELECT 'secrets', count(*) FILTER (WHERE s.key_id IS DISTINCT FROM v_key) = 0,
		format('%s stored, %s of another key', count(*), count(*) FILTER (WHERE s.key_id IS DISTINCT FROM v_key)),
		CASE WHEN count(*) FILTER (WHERE s.key_id IS DISTINCT FROM v_key) > 0
			 THEN 'Set those again with va_secret_set, or restore their key file.' END
	FROM @extschema@.tenant_secrets s;

	RETURN QUERY SELECT 'public URL', coalesce(current_setting('voiceagent.public_url', true), '') <> '',
		@extschema@.va_public_url(),
		CASE WHEN coalesce(current_setting('voiceagent.public_url', true), '') = ''
			 THEN 'Twilio cannot reach this machine so: set voiceagent.public_url to an https address.' END;

	RETURN QUERY SELECT 'tenant ' || t.slug, count(m.what) = 0,
		CASE WHEN count(m.what) = 0 THEN 'can take calls' ELSE 'lacks ' || string_agg(m.what, ', ') END,
		CASE WHEN count(m.what) > 0 THEN 'See docs/sql-reference.md, the section on tenants.' END
	FROM @extschema@.tenants t
	LEFT JOIN LATERAL (
		SELECT 'an active voice number' AS what WHERE NOT EXISTS (SELECT FROM @extschema@.phone_numbers n
			WHERE n.tenant_id = t.id AND n.phone_type = 'voice' AND n.is_active)
		UNION ALL SELECT 'a voice configuration' WHERE NOT EXISTS (SELECT FROM @extschema@.tenant_voice_configs v WHERE v.tenant_id = t.id)
		UNION ALL SELECT 'a Twilio account (setting twilio_account_sid)' WHERE @extschema@.va_tenant_account(t.id) IS NULL
		UNION ALL SELECT 'the secret ' || q.name FROM (VALUES ('twilio_auth_token'),
			(@extschema@.va_setting_text(t.settings, 'voice_engine', 'ultravox') || '_api_key')) AS q (name)
		WHERE NOT EXISTS (SELECT FROM @extschema@.tenant_secrets s
						  WHERE s.name = q.name AND (s.tenant_id = t.id OR s.tenant_id IS NULL))
		UNION ALL SELECT 'an address of the voice engine (setting engine, base_url)'
		WHERE @extschema@.va_session_engine_url(@extschema@.va_settings(t.settings)) IS NULL) m ON true
	WHERE t.status = 'active'
	GROUP BY t.id ORDER BY t.slug;
END
$$;

-- Counters over all gateways, the gone ones included; gauges over those that reported within 30 s.
CREATE FUNCTION @extschema@.va_stats()
	RETURNS TABLE (name text, value numeric, unit text, description text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH known (name, unit, description) AS (VALUES
		('gateways', 'processes', 'gateway processes that reported within the last 30 s'),
		('calls', 'calls', 'calls on the line now'),
		('calls_total', 'calls', 'media streams carried since the beginning'),
		('frames_in', 'frames', 'audio frames from Twilio, 20 ms each'),
		('frames_out', 'frames', 'audio frames to Twilio, 20 ms each'),
		('frames_dropped_in', 'frames', 'frames from Twilio that the engine did not take in time'),
		('frames_dropped_out', 'frames', 'frames from the engine that Twilio did not take in time'),
		('queue_bytes', 'bytes', 'waiting to be written to the database'),
		('uptime_s', 's', 'age of the oldest running gateway'),
		('rejected.bad_signature', 'requests', 'webhooks with a wrong signature'),
		('rejected.malformed', 'requests', 'requests that could not be parsed'),
		('rejected.too_large', 'requests', 'requests beyond the size limit'),
		('rejected.method', 'requests', 'requests with a wrong method'),
		('rejected.not_found', 'requests', 'requests for an unknown path'),
		('rejected.token', 'streams', 'media streams without a valid token'),
		('rejected.busy', 'calls', 'calls beyond voiceagent.max_calls'),
		('rejected.no_call_sid', 'requests', 'webhooks without a CallSid'),
		('rejected.unknown_number', 'calls', 'calls to a number that no tenant has'),
		('rejected.inactive_tenant', 'calls', 'calls to a tenant that is not active'),
		('rejected.wrong_account', 'requests', 'webhooks signed by an account that is not the tenant''s'),
		('rejected.busy_tenant', 'calls', 'calls beyond a tenant''s max_concurrent_calls')),
	reports AS (
		SELECT n.name, n.value, s.reported_at > now() - interval '30 seconds' AS fresh
		FROM @extschema@.gateway_status s, @extschema@.va_report_numbers(s.report) n WHERE n.name <> 'pid'),
	measured AS (
		SELECT r.name, CASE WHEN r.name = 'uptime_s' THEN max(r.value) ELSE sum(r.value) END AS value FROM reports r
		WHERE r.fresh OR NOT @extschema@.va_is_gauge(r.name) GROUP BY r.name
		UNION ALL SELECT c.name, sum(c.value) FROM @extschema@.gateway_counters c GROUP BY c.name
		UNION ALL SELECT 'gateways', count(*) FROM @extschema@.gateway_status s WHERE s.reported_at > now() - interval '30 seconds')
	SELECT coalesce(k.name, m.name), coalesce(sum(m.value), 0), k.unit, k.description
	FROM known k FULL JOIN measured m ON m.name = k.name
	GROUP BY coalesce(k.name, m.name), k.unit, k.description
	ORDER BY coalesce(k.name, m.name)
$$;
-- How promising a lead is: the five signals of BANT from its qualification data and from its calls and messages,
-- weighed by the tenant's criteria. The rules are in C (core/bant, core/signals); what is read from tables comes in
-- here.
--
-- leads.lead_score and lead_temperature are always those of the row's data: a trigger writes them, and what
-- anybody else writes there is replaced. engagement_score is kept in the row as well, renewed when a call
-- ends and a message comes, so that the trigger reads no other table.

ALTER TABLE @extschema@.leads
	ADD COLUMN engagement_score DOUBLE PRECISION,  -- of calls and messages; NULL: none so far
	ADD CONSTRAINT leads_engagement CHECK (engagement_score BETWEEN 0 AND 1);

-- ---- pure functions -----------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_bant_score(data jsonb, engagement double precision, criteria jsonb) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_score';
CREATE FUNCTION @extschema@.va_bant_temperature(data jsonb, engagement double precision, criteria jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_temperature';
CREATE FUNCTION @extschema@.va_bant_explain(data jsonb, engagement double precision, criteria jsonb)
	RETURNS TABLE (signal text, value double precision, weight double precision, contribution double precision, source text)
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_explain';
CREATE FUNCTION @extschema@.va_bant_criteria_check(criteria jsonb) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_criteria_check';
CREATE FUNCTION @extschema@.va_bant_engagement(calls bigint, seconds bigint, turns bigint, messages bigint, replies bigint,
	days_since_contact double precision) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_bant_engagement';

-- Qualification data without a lead: what would they score?
CREATE FUNCTION @extschema@.va_lead_score(qualification_data jsonb, criteria jsonb DEFAULT NULL) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN @extschema@.va_bant_score(coalesce($1, '{}'), 'NaN', coalesce($2, '{}'));
CREATE FUNCTION @extschema@.va_lead_temperature(qualification_data jsonb, criteria jsonb DEFAULT NULL) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN @extschema@.va_bant_temperature(coalesce($1, '{}'), 'NaN', coalesce($2, '{}'));
CREATE FUNCTION @extschema@.va_lead_score_explain(qualification_data jsonb, criteria jsonb DEFAULT NULL)
	RETURNS TABLE (signal text, value double precision, weight double precision, contribution double precision, source text)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT * FROM @extschema@.va_bant_explain(coalesce(qualification_data, '{}'), 'NaN', coalesce(criteria, '{}'));
END
$$;

-- ---- criteria -----------------------------------------------------------------------------------

-- What settings say about scoring: the object qualification_criteria and the two thresholds beside it.
CREATE FUNCTION @extschema@.va_criteria_of(p_settings jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN jsonb_strip_nulls(jsonb_build_object(
			'hot_lead_threshold', @extschema@.va_setting(p_settings, 'hot_lead_threshold'),
			'warm_lead_threshold', @extschema@.va_setting(p_settings, 'warm_lead_threshold')))
		|| coalesce(@extschema@.va_setting(p_settings, 'qualification_criteria'), '{}');
END
$$;

-- A tenant's criteria; NULL for an unknown tenant. The trigger of leads reads them here.
CREATE FUNCTION @extschema@.va_lead_criteria(p_tenant uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT @extschema@.va_criteria_of(t.settings) FROM @extschema@.tenants t WHERE t.id = p_tenant);
END
$$;

-- Tells every session that criteria were changed.
CREATE FUNCTION @extschema@.va_criteria_forget(tenants regclass) RETURNS void
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'va_criteria_forget';

CREATE FUNCTION @extschema@.va_check_criteria() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_object jsonb;
BEGIN
	IF TG_RELID = '@extschema@.tenants'::regclass THEN
		v_object := nullif(NEW.settings -> 'qualification_criteria', 'null');
	ELSIF NEW.name = 'qualification_criteria' THEN
		v_object := NEW.value;
	END IF;
	IF v_object IS NOT NULL AND jsonb_typeof(v_object) <> 'object' THEN
		RAISE EXCEPTION 'setting "qualification_criteria" must be of type object, not %', jsonb_typeof(v_object)
			USING ERRCODE = 'VA009';
	END IF;
	-- With what the platform says where the tenant is silent: the whole must make sense.
	IF TG_RELID = '@extschema@.tenants'::regclass THEN
		PERFORM @extschema@.va_bant_criteria_check(@extschema@.va_criteria_of(NEW.settings));
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check_criteria BEFORE INSERT OR UPDATE OF settings ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_criteria();
CREATE TRIGGER settings_check_criteria BEFORE INSERT OR UPDATE ON @extschema@.settings
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_criteria();

-- Scores a tenant's leads anew, as a set; only rows whose score or temperature changes are written. A lead that another
-- transaction is writing in this very moment is not seen, and keeps the score of the criteria before until it is
-- next written or this is called: locks against that would make every writer of leads wait for an administrator.
CREATE FUNCTION @extschema@.va_lead_rescore(p_tenant uuid) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_criteria jsonb := @extschema@.va_lead_criteria(p_tenant);
	v_count bigint;
BEGIN
	UPDATE @extschema@.leads l SET lead_score = s.score, lead_temperature = s.temperature
	FROM (SELECT o.id,
			@extschema@.va_bant_score(coalesce(o.qualification_data, '{}'), coalesce(o.engagement_score, 'NaN'), v_criteria) AS score,
			@extschema@.va_bant_temperature(coalesce(o.qualification_data, '{}'), coalesce(o.engagement_score, 'NaN'), v_criteria) AS temperature
		  FROM @extschema@.leads o WHERE o.tenant_id = p_tenant) s
	WHERE l.id = s.id AND (l.lead_score, l.lead_temperature) IS DISTINCT FROM (s.score, s.temperature);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

CREATE FUNCTION @extschema@.va_criteria_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_criteria_forget('@extschema@.tenants');
	IF TG_RELID = '@extschema@.tenants'::regclass THEN
		PERFORM @extschema@.va_lead_rescore(NEW.id);
	ELSE
		-- The platform's: all tenants, and none of them may be left with criteria that make no sense.
		PERFORM @extschema@.va_bant_criteria_check(@extschema@.va_lead_criteria(t.id)), @extschema@.va_lead_rescore(t.id)
		FROM @extschema@.tenants t ORDER BY t.id;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER tenants_criteria AFTER UPDATE OF settings ON @extschema@.tenants FOR EACH ROW
	WHEN (OLD.settings -> 'qualification_criteria' IS DISTINCT FROM NEW.settings -> 'qualification_criteria'
		OR OLD.settings -> 'hot_lead_threshold' IS DISTINCT FROM NEW.settings -> 'hot_lead_threshold'
		OR OLD.settings -> 'warm_lead_threshold' IS DISTINCT FROM NEW.settings -> 'warm_lead_threshold')
	EXECUTE FUNCTION @extschema@.va_criteria_changed();
CREATE TRIGGER settings_criteria AFTER INSERT OR UPDATE ON @extschema@.settings FOR EACH ROW
	WHEN (NEW.name IN ('qualification_criteria', 'hot_lead_threshold', 'warm_lead_threshold'))
	EXECUTE FUNCTION @extschema@.va_criteria_changed();
CREATE TRIGGER settings_criteria_gone AFTER DELETE ON @extschema@.settings FOR EACH ROW
	WHEN (OLD.name IN ('qualification_criteria', 'hot_lead_threshold', 'warm_lead_threshold'))
	EXECUTE FUNCTION @extschema@.va_criteria_changed();

-- ---- the score of a row -------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_lead_score_trigger() RETURNS trigger
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'va_lead_score_trigger';
CREATE TRIGGER leads_score BEFORE INSERT OR UPDATE OF qualification_data, engagement_score, lead_score, lead_temperature, tenant_id
	ON @extschema@.leads FOR EACH ROW EXECUTE FUNCTION @extschema@.va_lead_score_trigger();

-- A lead of this session: its row, or the same error whether it is unknown or another tenant's.
CREATE FUNCTION @extschema@.va_lead_row(p_lead uuid) RETURNS @extschema@.leads
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead;
	IF FOUND THEN
		BEGIN
			PERFORM @extschema@.va_assert_tenant(v_lead.tenant_id);
			RETURN v_lead;
		EXCEPTION WHEN insufficient_privilege THEN
			NULL;
		END;
	END IF;
	RAISE EXCEPTION 'unknown lead %', coalesce(p_lead::text, 'NULL')
		USING ERRCODE = 'VA020', HINT = 'The table leads lists them; voiceagent.tenant_id says whose are seen.';
END
$$;

CREATE FUNCTION @extschema@.va_lead_score_explain(lead uuid)
	RETURNS TABLE (signal text, value double precision, weight double precision, contribution double precision, source text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_row(lead);
BEGIN
	RETURN QUERY SELECT * FROM @extschema@.va_bant_explain(coalesce(v_lead.qualification_data, '{}'),
		coalesce(v_lead.engagement_score, 'NaN'), coalesce(@extschema@.va_lead_criteria(v_lead.tenant_id), '{}'));
END
$$;

-- ---- engagement ---------------------------------------------------------------------------------

-- A lead's dealings with us. Calls that were answered; the lead's turns in them; messages received, and how many of
-- those answer one of ours (sent on the same channel within a week before); days since the last of it.
CREATE FUNCTION @extschema@.va_lead_activity(p_lead uuid, OUT calls bigint, OUT seconds bigint, OUT turns bigint,
	OUT messages bigint, OUT replies bigint, OUT last_contact timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call timestamptz;
BEGIN
	SELECT count(*), coalesce(sum(c.duration_seconds), 0), coalesce(sum(t.turns), 0), max(coalesce(c.ended_at, c.started_at, c.created_at))
	INTO calls, seconds, turns, v_call
	FROM @extschema@.calls c
	LEFT JOIN LATERAL (SELECT count(*) AS turns FROM jsonb_array_elements(c.transcript) e
					   WHERE e ->> 'role' = 'user' AND e ->> 'medium' IS DISTINCT FROM 'voicemail') t ON true
	WHERE c.lead_id = p_lead AND c.status = 'completed';
	SELECT count(*), count(*) FILTER (WHERE EXISTS (
			SELECT FROM @extschema@.notifications o
			WHERE o.lead_id = p_lead AND o.direction = 'outbound' AND o.channel = n.channel
			  AND o.status NOT IN ('pending', 'queued', 'failed', 'cancelled')
			  AND coalesce(o.sent_at, o.created_at) BETWEEN n.created_at - interval '7 days' AND n.created_at)),
		greatest(v_call, max(n.created_at))
	INTO messages, replies, last_contact
	FROM @extschema@.notifications n WHERE n.lead_id = p_lead AND n.direction = 'inbound';
END
$$;

-- Engagement from 0 to 1; NULL where there was no contact yet.
CREATE FUNCTION @extschema@.va_lead_engagement(p_lead uuid) RETURNS double precision
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a record;
BEGIN
	SELECT * INTO a FROM @extschema@.va_lead_activity(p_lead);
	RETURN CASE WHEN a.last_contact IS NOT NULL THEN @extschema@.va_bant_engagement(a.calls, a.seconds, a.turns, a.messages,
		a.replies, extract(epoch FROM now() - a.last_contact)::double precision / 86400) END;
END
$$;

CREATE FUNCTION @extschema@.va_lead_engage(p_lead uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_engagement double precision;
BEGIN
	-- First the lock, then the counting: of two calls that end at once the second must see the first.
	PERFORM FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	v_engagement := @extschema@.va_lead_engagement(p_lead);
	UPDATE @extschema@.leads l SET engagement_score = v_engagement
	WHERE l.id = p_lead AND l.engagement_score IS DISTINCT FROM v_engagement;
END
$$;

GRANT EXECUTE ON FUNCTION @extschema@.va_bant_score(jsonb, double precision, jsonb),
	@extschema@.va_bant_temperature(jsonb, double precision, jsonb), @extschema@.va_bant_explain(jsonb, double precision, jsonb),
	@extschema@.va_lead_score(jsonb, jsonb), @extschema@.va_lead_temperature(jsonb, jsonb),
	@extschema@.va_lead_score_explain(jsonb, jsonb), @extschema@.va_lead_score_explain(uuid)
	TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
-- The life of a lead: new, qualified, contacted, meeting_scheduled, closed. Which steps there are, what each needs and what
-- work it brings is one table in core/lead_stage; here the steps are taken, remembered, and turned into work in
-- the transaction that takes them.

ALTER TABLE @extschema@.leads
	ADD COLUMN status_event TEXT,             -- the last step: its name, its reason, who took it and when
	ADD COLUMN status_reason TEXT,
	ADD COLUMN status_by TEXT,
	ADD COLUMN status_changed_at TIMESTAMPTZ;

-- Every step of every lead, for good. A lead begins as `new` at its created_at; that is no row here.
CREATE TABLE @extschema@.lead_stage_history (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID NOT NULL REFERENCES @extschema@.leads(id) ON DELETE CASCADE,
	event TEXT NOT NULL,                      -- qualify, contact …; import: it came in that stage; merge
	from_stage TEXT,
	to_stage TEXT NOT NULL,
	reason TEXT,
	changed_by TEXT NOT NULL,                 -- as given, else the session's role
	changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
	details JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_lead_stage_history_lead ON @extschema@.lead_stage_history (lead_id, changed_at DESC);
CREATE INDEX idx_lead_stage_history_tenant ON @extschema@.lead_stage_history (tenant_id, changed_at DESC);

-- Work that something in a lead's life has caused, one row each, written in the transaction of its cause. What the
-- database does itself is done at once (done_at); the rest waits for whoever carries it out: he locks rows with
-- done_at NULL (FOR UPDATE SKIP LOCKED), does them and sets done_at.
CREATE TABLE @extschema@.lead_actions (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID NOT NULL REFERENCES @extschema@.leads(id) ON DELETE CASCADE,
	-- The follow-up that this is: never two rows for one task.
	task_id UUID UNIQUE REFERENCES @extschema@.follow_up_tasks(id) ON DELETE SET NULL,
	action TEXT NOT NULL,
	payload JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	done_at TIMESTAMPTZ
);
CREATE INDEX idx_lead_actions_open ON @extschema@.lead_actions (created_at) WHERE done_at IS NULL;
CREATE INDEX idx_lead_actions_lead ON @extschema@.lead_actions (lead_id);
CREATE INDEX idx_lead_actions_tenant ON @extschema@.lead_actions (tenant_id, created_at DESC);

CREATE FUNCTION @extschema@.va_lead_step(p_from text, p_event text, p_to text, p_reason text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_lead_step';
CREATE FUNCTION @extschema@.va_lead_step_actions(p_from text, p_event text, p_to text, p_temperature text) RETURNS text[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_lead_step_actions';
CREATE FUNCTION @extschema@.va_lead_stage_trigger() RETURNS trigger
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'va_lead_stage_trigger';

CREATE TRIGGER leads_stage BEFORE UPDATE OF status ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_lead_stage_trigger();

-- ---- what a step causes -------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_lead_stage_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_from text := coalesce(OLD.status, 'new');
	v_actions text[] := '{}';
BEGIN
	INSERT INTO @extschema@.lead_stage_history (tenant_id, lead_id, event, from_stage, to_stage, reason, changed_by)
	VALUES (NEW.tenant_id, NEW.id, NEW.status_event, v_from, NEW.status, NEW.status_reason, NEW.status_by);
	IF NEW.status_event <> 'merge' THEN
		v_actions := @extschema@.va_lead_step_actions(v_from, NEW.status_event, NEW.status, coalesce(NEW.lead_temperature, 'cold'));
	END IF;
	IF 'plan_follow_ups' = ANY (v_actions) THEN
		PERFORM @extschema@.va_follow_up_begin(NEW.id, NEW.status_event IN ('reopen', 'wake'));
	END IF;
	IF 'stop_follow_ups' = ANY (v_actions) THEN
		PERFORM @extschema@.va_follow_up_end(NEW.id, CASE NEW.status WHEN 'meeting_scheduled' THEN 'booking'
			WHEN 'archived' THEN 'archived' ELSE 'closed' END);
	END IF;
	INSERT INTO @extschema@.lead_actions (tenant_id, lead_id, action, payload, done_at)
	SELECT NEW.tenant_id, NEW.id, a.name,
		jsonb_build_object('event', NEW.status_event, 'from', v_from, 'to', NEW.status)
			|| CASE WHEN a.name IN ('calculate_score', 'assign_temperature')
					THEN jsonb_build_object('score', NEW.lead_score, 'temperature', NEW.lead_temperature) ELSE '{}' END,
		-- The cold sequence is the nurture; score and temperature are always true.
		CASE WHEN a.name IN ('record_qualification', 'calculate_score', 'assign_temperature', 'plan_follow_ups',
							 'stop_follow_ups', 'add_to_nurture') THEN now() END
	FROM unnest(v_actions) WITH ORDINALITY AS a (name, place) ORDER BY a.place;
	PERFORM @extschema@.va_emit(NEW.tenant_id, 'lead_stage_changed', NULL, NEW.id, jsonb_build_object(
		'event', NEW.status_event, 'from', v_from, 'to', NEW.status, 'temperature', NEW.lead_temperature));
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_stage_changed AFTER UPDATE OF status ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_lead_stage_changed();

-- A lead may come in any stage (from another system, say): that is remembered and causes nothing. A restored row
-- brings its own status_changed_at, and its history with it.
CREATE FUNCTION @extschema@.va_lead_imported() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' THEN
		NEW.status_changed_at := now();
		NEW.status_by := coalesce(NEW.status_by, nullif(current_setting('role'), 'none'), session_user);
		RETURN NEW;
	END IF;
	INSERT INTO @extschema@.lead_stage_history (tenant_id, lead_id, event, to_stage, reason, changed_by)
	VALUES (NEW.tenant_id, NEW.id, 'import', NEW.status, NEW.status_reason, NEW.status_by);
	RETURN NULL;
END
$$;
CREATE TRIGGER leads_import BEFORE INSERT ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.status <> 'new' AND NEW.status_changed_at IS NULL)
	EXECUTE FUNCTION @extschema@.va_lead_imported();
CREATE TRIGGER leads_imported AFTER INSERT ON @extschema@.leads FOR EACH ROW
	WHEN (NEW.status <> 'new' AND NEW.status_changed_at = now())
	EXECUTE FUNCTION @extschema@.va_lead_imported();

-- ---- steps by name ------------------------------------------------------------------------------

-- The step itself, for a lead whose tenant has been checked. p_to: where an event may lead to several stages.
CREATE FUNCTION @extschema@.va_lead_go(p_lead uuid, p_event text, p_reason text, p_by text, p_to text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_from text;
	v_to text := p_to;
BEGIN
	SELECT coalesce(l.status, 'new') INTO v_from FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	IF p_event = 'wake' AND v_to IS NULL THEN -- to where it was archived
		SELECT h.from_stage INTO v_to FROM @extschema@.lead_stage_history h
		WHERE h.lead_id = p_lead AND h.event = 'archive' ORDER BY h.changed_at DESC LIMIT 1;
	END IF;
	v_to := @extschema@.va_lead_step(v_from, coalesce(p_event, ''), coalesce(v_to, ''), coalesce(p_reason, ''));
	UPDATE @extschema@.leads l SET status = v_to, status_event = p_event,
		status_reason = @extschema@.va_filled(p_reason), status_by = @extschema@.va_filled(p_by)
	WHERE l.id = p_lead;
	RETURN v_to;
END
$$;

CREATE FUNCTION @extschema@.va_lead_advance(lead uuid, event text, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, event, reason, by);
END
$$;

CREATE FUNCTION @extschema@.va_lead_reopen(lead uuid, reason text, stage text DEFAULT 'contacted', by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, 'reopen', reason, by, stage);
END
$$;

CREATE FUNCTION @extschema@.va_lead_archive(lead uuid, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, 'archive', reason, by);
END
$$;

CREATE FUNCTION @extschema@.va_lead_wake(lead uuid, reason text DEFAULT NULL, by text DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	RETURN @extschema@.va_lead_go(lead, 'wake', reason, by);
END
$$;

-- ---- the end of a call --------------------------------------------------------------------------

-- A call with a lead is over: it counts as engagement, as a reply to the follow-ups under way, and the first
-- one qualifies. Nothing of this may keep a call from ending: what fails is a warning in the log.
CREATE FUNCTION @extschema@.va_call_lead() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_talked boolean := EXISTS (SELECT FROM jsonb_array_elements(NEW.transcript) e WHERE e ->> 'role' = 'user');
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = NEW.lead_id FOR NO KEY UPDATE;
	IF v_talked AND coalesce(NEW.started_at, NEW.created_at) >= v_lead.follow_ups_since THEN
		PERFORM @extschema@.va_follow_up_end(v_lead.id, 'reply');
	END IF;
	PERFORM @extschema@.va_lead_engage(v_lead.id);
	IF v_lead.status = 'new' AND (v_talked OR v_lead.qualification_data <> '{}') THEN
		PERFORM @extschema@.va_lead_go(v_lead.id, 'qualify', 'call completed', 'voiceagent');
	END IF;
	RETURN NULL;
EXCEPTION
	WHEN serialization_failure OR deadlock_detected THEN
		RAISE;
	WHEN OTHERS THEN
		RAISE WARNING 'lead of an ended call was not brought up to date: %', SQLERRM
			USING DETAIL = format('Call %s, lead %s, SQLSTATE %s.', NEW.id, NEW.lead_id, SQLSTATE),
				  HINT = 'Mend the cause, then call va_lead_advance(lead, ''qualify'') and va_follow_up_plan(lead).';
		RETURN NULL;
END
$$;
CREATE TRIGGER calls_lead AFTER UPDATE OF status, lead_id, duration_seconds, conversation_turns ON @extschema@.calls FOR EACH ROW
	-- A call that moves from one lead to another is no new one.
	WHEN (NEW.status = 'completed' AND NEW.lead_id IS NOT NULL AND coalesce(OLD.lead_id, NEW.lead_id) = NEW.lead_id
		AND (OLD.status, OLD.lead_id, OLD.duration_seconds, OLD.conversation_turns)
			IS DISTINCT FROM (NEW.status, NEW.lead_id, NEW.duration_seconds, NEW.conversation_turns))
	EXECUTE FUNCTION @extschema@.va_call_lead();

-- A message of the lead's. One that brings a created_at of its own is of the past (restored, copied from another system):
-- it answers nothing now.
CREATE FUNCTION @extschema@.va_message_lead() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- First the end of what runs, then the score: a reply that makes the lead warmer begins the warmer sequence.
	PERFORM @extschema@.va_follow_up_end(NEW.lead_id, 'reply');
	PERFORM @extschema@.va_lead_engage(NEW.lead_id);
	RETURN NULL;
END
$$;
CREATE TRIGGER notifications_lead AFTER INSERT ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'inbound' AND NEW.lead_id IS NOT NULL AND NEW.created_at = now())
	EXECUTE FUNCTION @extschema@.va_message_lead();
CREATE TRIGGER notifications_lead_known AFTER UPDATE OF lead_id ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.direction = 'inbound' AND NEW.lead_id IS NOT NULL AND OLD.lead_id IS NULL)
	EXECUTE FUNCTION @extschema@.va_message_lead();

-- ---- duplicates ---------------------------------------------------------------------------------

-- How far along the way a stage is; only open ones can be compared.
CREATE FUNCTION @extschema@.va_stage_place(text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN array_position(ARRAY['new', 'qualified', 'contacted', 'meeting_scheduled'], $1);

-- Points everything that points to one lead to another: every foreign key to leads, of this extension's tables and
-- anybody's, and the events, which have none.
CREATE FUNCTION @extschema@.va_lead_move(p_from uuid, p_to uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_table regclass;
	v_column name;
BEGIN
	FOR v_table, v_column IN
		SELECT k.conrelid, a.attname
		FROM pg_constraint k
		CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS c (own, referred)
		JOIN pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = c.referred AND r.attname = 'id'
		JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.own
		WHERE k.contype = 'f' AND k.confrelid = '@extschema@.leads'::regclass AND k.conparentid = 0
		ORDER BY k.conrelid = '@extschema@.follow_up_tasks'::regclass DESC, k.conrelid::regclass::text, a.attname
	LOOP
		EXECUTE format('UPDATE %s SET %I = $1 WHERE %I = $2', v_table, v_column, v_column) USING p_to, p_from;
	END LOOP;
	UPDATE @extschema@.analytics_events e SET lead_id = p_to WHERE e.lead_id = p_from;
END
$$;

CREATE FUNCTION @extschema@.va_lead_merge(keep uuid, drop uuid) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	k @extschema@.leads := @extschema@.va_lead_row(keep);
	d @extschema@.leads := @extschema@.va_lead_row("drop");
	v_further boolean;
	v_by text := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
	IF keep = "drop" THEN
		RAISE EXCEPTION 'a lead cannot be merged with itself' USING ERRCODE = 'VA024';
	END IF;
	PERFORM FROM @extschema@.leads l WHERE l.id IN (keep, "drop") ORDER BY l.id FOR NO KEY UPDATE;
	SELECT * INTO k FROM @extschema@.leads l WHERE l.id = keep;
	SELECT * INTO d FROM @extschema@.leads l WHERE l.id = "drop";
	IF k.id IS NULL OR d.id IS NULL THEN
		RAISE EXCEPTION 'one of the leads has just been merged' USING ERRCODE = 'VA020';
	END IF;
	IF k.tenant_id IS DISTINCT FROM d.tenant_id OR (k.phone = d.phone OR lower(k.email) = lower(d.email)) IS NOT TRUE THEN
		RAISE EXCEPTION 'the leads are not known to be one person' USING ERRCODE = 'VA024',
			DETAIL = 'Neither their telephone numbers nor their e-mail addresses are the same.',
			HINT = 'Correct the number or the address first, if they are.';
	END IF;
	IF k.status IN ('closed_lost', 'archived') AND d.status NOT IN ('closed_lost', 'archived') THEN
		RAISE EXCEPTION 'an open lead cannot be merged into one that is %', k.status USING ERRCODE = 'VA024',
			HINT = 'Merge the other way round, or first call va_lead_reopen or va_lead_wake.';
	END IF;
	-- A deal that was won stays won; of two open leads the one further along says where the one lead is.
	v_further := d.status = 'closed_won' AND k.status <> 'closed_won'
		OR coalesce(@extschema@.va_stage_place(d.status) > @extschema@.va_stage_place(k.status), false);

	UPDATE @extschema@.follow_up_tasks t SET status = 'cancelled', result = jsonb_build_object('why', 'merged')
	WHERE t.lead_id = "drop" AND t.status = 'pending' AND t.sequence_id IS NOT NULL;
	PERFORM @extschema@.va_lead_move("drop", keep);
	UPDATE @extschema@.leads l SET
		first_name = coalesce(k.first_name, d.first_name), last_name = coalesce(k.last_name, d.last_name),
		phone = coalesce(k.phone, d.phone), email = coalesce(k.email, d.email),
		company_name = coalesce(k.company_name, d.company_name),
		qualification_data = coalesce(d.qualification_data, '{}') || coalesce(k.qualification_data, '{}'),
		source = coalesce(k.source, d.source), source_phone_number = coalesce(k.source_phone_number, d.source_phone_number),
		utm_source = coalesce(k.utm_source, d.utm_source), utm_campaign = coalesce(k.utm_campaign, d.utm_campaign),
		odoo_lead_id = coalesce(k.odoo_lead_id, d.odoo_lead_id), assigned_to = coalesce(k.assigned_to, d.assigned_to),
		tags = CASE WHEN coalesce(k.tags, d.tags) IS NOT NULL
					THEN ARRAY(SELECT DISTINCT x FROM unnest(k.tags || d.tags) x ORDER BY x) END,
		custom_fields = coalesce(d.custom_fields, '{}') || coalesce(k.custom_fields, '{}')
			|| jsonb_build_object('merged', coalesce(k.custom_fields -> 'merged', '[]') || coalesce(d.custom_fields -> 'merged', '[]')
				|| jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('id', d.id, 'first_name', d.first_name, 'last_name', d.last_name,
					'phone', d.phone, 'email', d.email, 'company_name', d.company_name, 'odoo_lead_id', d.odoo_lead_id,
					'created_at', d.created_at)))),
		created_at = least(k.created_at, d.created_at),
		follow_ups_since = coalesce(k.follow_ups_since, d.follow_ups_since),
		follow_ups_stopped = CASE WHEN 'opt_out' IN (k.follow_ups_stopped, d.follow_ups_stopped) THEN 'opt_out'
								  WHEN v_further THEN d.follow_ups_stopped ELSE k.follow_ups_stopped END,
		follow_up_round = greatest(k.follow_up_round, d.follow_up_round),
		status = CASE WHEN v_further THEN d.status ELSE k.status END,
		status_event = CASE WHEN v_further THEN 'merge' ELSE k.status_event END,
		status_reason = CASE WHEN v_further THEN d.status_reason ELSE k.status_reason END,
		status_by = CASE WHEN v_further THEN v_by ELSE k.status_by END
	WHERE l.id = keep;
	IF NOT v_further THEN
		INSERT INTO @extschema@.lead_stage_history (tenant_id, lead_id, event, from_stage, to_stage, changed_by)
		VALUES (k.tenant_id, keep, 'merge', k.status, k.status, v_by);
	END IF;
	UPDATE @extschema@.lead_stage_history h SET details = jsonb_build_object('merged', d.id, 'status', d.status)
	WHERE h.id = (SELECT i.id FROM @extschema@.lead_stage_history i WHERE i.lead_id = keep AND i.event = 'merge'
				  ORDER BY i.changed_at DESC LIMIT 1);
	DELETE FROM @extschema@.leads l WHERE l.id = "drop";
	PERFORM @extschema@.va_lead_engage(keep);
	PERFORM @extschema@.va_follow_up_apply(keep);
	PERFORM @extschema@.va_emit(k.tenant_id, 'lead_merged', NULL, keep, jsonb_build_object('merged', d.id));
	RETURN keep;
END
$$;

GRANT SELECT ON @extschema@.lead_stage_history, @extschema@.lead_actions TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
GRANT UPDATE (done_at) ON @extschema@.lead_actions TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_lead_advance(uuid, text, text, text), @extschema@.va_lead_reopen(uuid, text, text, text),
	@extschema@.va_lead_archive(uuid, text, text), @extschema@.va_lead_wake(uuid, text, text), @extschema@.va_lead_merge(uuid, uuid)
	TO voiceagent_admin, voiceagent_agent;
-- Follow-ups: sequences as data, planned for each lead by its temperature, moved out of quiet hours, stopped when
-- they no longer fit, and turned into work when they are due. When a step is due is decided in core/cadence.

ALTER TABLE @extschema@.leads
	-- When the sequence of the present temperature began; NULL: no follow-ups are planned for this lead.
	ADD COLUMN follow_ups_since TIMESTAMPTZ,
	-- Why they are stopped: reply, booking, closed, archived, opt_out, or a text of va_follow_up_stop's caller.
	ADD COLUMN follow_ups_stopped TEXT,
	-- A lead that was re-opened or woken begins anew; before that no step happens twice.
	ADD COLUMN follow_up_round INTEGER NOT NULL DEFAULT 1;

ALTER TABLE @extschema@.follow_up_tasks
	ADD COLUMN channels TEXT[],               -- all of a step's; task_type is made of them
	ADD COLUMN purpose TEXT,
	DROP CONSTRAINT follow_up_tasks_status,
	ADD CONSTRAINT follow_up_tasks_status CHECK (status IN ('pending', 'queued', 'in_progress', 'completed',
		'failed', 'skipped', 'cancelled'));
-- The scheduler looks for what is due here, and nowhere else: what lies in the future costs it nothing.
CREATE INDEX idx_follow_ups_due ON @extschema@.follow_up_tasks (scheduled_for)
	WHERE status = 'pending' AND sequence_id IS NOT NULL;
CREATE UNIQUE INDEX idx_follow_ups_once ON @extschema@.follow_up_tasks (lead_id, sequence_id, sequence_step)
	WHERE status = 'pending' AND sequence_id IS NOT NULL;

-- tenant_id NULL: the sequences that every tenant has. A tenant's own takes the place of the one for the
-- same temperature; not enabled, it means none.
CREATE TABLE @extschema@.follow_up_sequences (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	temperature TEXT NOT NULL CHECK (temperature IN ('hot', 'warm', 'cold')),
	name TEXT NOT NULL,
	enabled BOOLEAN NOT NULL DEFAULT true,
	is_builtin BOOLEAN NOT NULL DEFAULT false,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT follow_up_sequences_key UNIQUE NULLS NOT DISTINCT (tenant_id, temperature)
);

CREATE TABLE @extschema@.follow_up_steps (
	sequence_id UUID NOT NULL REFERENCES @extschema@.follow_up_sequences(id) ON DELETE CASCADE,
	step INTEGER NOT NULL CHECK (step >= 1),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,   -- the sequence's
	delay INTEGER NOT NULL CHECK (delay >= 0),       -- from the beginning of the sequence
	unit TEXT NOT NULL DEFAULT 'hours' CHECK (unit IN ('hours', 'days')),   -- elapsed, or days of the lead's calendar
	channels TEXT[] NOT NULL CHECK (cardinality(channels) >= 1
		AND channels <@ ARRAY['whatsapp', 'sms', 'email', 'ai_call', 'human_call', 'internal']),
	purpose TEXT NOT NULL CHECK (purpose ~ '^[a-z0-9_]{1,39}$'),
	is_builtin BOOLEAN NOT NULL DEFAULT false,
	PRIMARY KEY (sequence_id, step)
);
CREATE INDEX idx_follow_up_steps_tenant ON @extschema@.follow_up_steps (tenant_id);

-- Days on which a tenant's people keep other hours than on that weekday; no intervals: closed.
CREATE TABLE @extschema@.holidays (
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	date DATE NOT NULL CHECK (isfinite(date)),
	name TEXT,
	intervals JSONB NOT NULL DEFAULT '[]',           -- [["10:00", "14:00"], …]
	PRIMARY KEY (tenant_id, date)
);

CREATE FUNCTION @extschema@.va_cadence_check(steps jsonb) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_cadence_check';
CREATE FUNCTION @extschema@.va_cadence_replan(steps jsonb, start timestamptz, rules jsonb, tasks jsonb, now timestamptz)
	RETURNS TABLE (action text, task integer, step integer, due timestamptz, moved text[])
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_cadence_replan';
CREATE FUNCTION @extschema@.va_cadence_allowed(rules jsonb, channels text[], at timestamptz) RETURNS timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_cadence_allowed';
CREATE FUNCTION @extschema@.va_zone_known(name text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_zone_known';
CREATE FUNCTION @extschema@.va_phone_zone(number text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_phone_zone';

-- ---- sequences ----------------------------------------------------------------------------------

CREATE TRIGGER follow_up_sequences_touch BEFORE UPDATE ON @extschema@.follow_up_sequences
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_touch();

-- A step belongs to the tenant that its sequence belongs to, whatever is written.
CREATE FUNCTION @extschema@.va_step_tenant() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	SELECT s.tenant_id, s.is_builtin INTO NEW.tenant_id, NEW.is_builtin
	FROM @extschema@.follow_up_sequences s WHERE s.id = NEW.sequence_id;
	RETURN NEW;
END
$$;
CREATE TRIGGER follow_up_steps_tenant BEFORE INSERT OR UPDATE ON @extschema@.follow_up_steps
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_step_tenant();

CREATE FUNCTION @extschema@.va_sequence_json(p_sequence uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('delay', s.delay, 'unit', s.unit, 'channels', s.channels,
														 'purpose', s.purpose) ORDER BY s.step), '[]')
			FROM @extschema@.follow_up_steps s WHERE s.sequence_id = p_sequence);
END
$$;

-- Checked as a whole and at the end of the transaction: in between it may be half written.
CREATE FUNCTION @extschema@.va_check_sequence() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_sequence uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.sequence_id ELSE NEW.sequence_id END;
	v_steps jsonb := @extschema@.va_sequence_json(v_sequence);
BEGIN
	IF v_steps = '[]' THEN
		RETURN NULL;
	END IF;
	IF EXISTS (SELECT FROM @extschema@.follow_up_steps s WHERE s.sequence_id = v_sequence
			   HAVING max(s.step) <> count(*)) THEN
		RAISE EXCEPTION 'invalid follow-up sequence: its steps are not numbered 1, 2, 3 …' USING ERRCODE = 'VA025';
	END IF;
	PERFORM @extschema@.va_cadence_check(v_steps);
	RETURN NULL;
END
$$;

WITH made AS (
	INSERT INTO @extschema@.follow_up_sequences (temperature, name, is_builtin)
	VALUES ('hot', 'Hot leads', true), ('warm', 'Warm leads', true), ('cold', 'Cold leads', true)
	RETURNING id, temperature)
INSERT INTO @extschema@.follow_up_steps (sequence_id, step, delay, unit, channels, purpose, is_builtin)
SELECT made.id, s.step, s.delay, s.unit, s.channels::text[], s.purpose, true
FROM made JOIN (VALUES
	('hot', 1, 0, 'hours', '{whatsapp}', 'confirm'),
	('hot', 2, 1, 'hours', '{human_call}', 'call'),
	('hot', 3, 24, 'hours', '{email,sms}', 'follow_up'),
	('hot', 4, 48, 'hours', '{ai_call}', 'check_in'),
	('hot', 5, 7, 'days', '{ai_call}', 'final_attempt'),
	('warm', 1, 0, 'hours', '{email}', 'summary'),
	('warm', 2, 24, 'hours', '{ai_call}', 'nurture'),
	('warm', 3, 3, 'days', '{email}', 'value_content'),
	('warm', 4, 7, 'days', '{email}', 'case_study'),
	('warm', 5, 14, 'days', '{email}', 'special_offer'),
	('cold', 1, 0, 'hours', '{email}', 'thanks'),
	('cold', 2, 7, 'days', '{email}', 'newsletter'),
	('cold', 3, 30, 'days', '{email}', 're_engagement'),
	('cold', 4, 60, 'days', '{email}', 'survey_request'),
	('cold', 5, 90, 'days', '{internal}', 'archive_or_wake')) AS s (temperature, step, delay, unit, channels, purpose)
USING (temperature) ORDER BY s.temperature, s.step;

-- Made after those rows: a table with checks still due cannot be altered.
CREATE CONSTRAINT TRIGGER follow_up_steps_check AFTER INSERT OR UPDATE OR DELETE ON @extschema@.follow_up_steps
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_sequence();

-- The steps for a tenant's leads of one temperature; '[]': none.
CREATE FUNCTION @extschema@.va_sequence_steps(p_tenant uuid, p_temperature text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN coalesce((SELECT CASE WHEN s.enabled THEN @extschema@.va_sequence_json(s.id) END
					 FROM @extschema@.follow_up_sequences s
					 WHERE s.temperature = p_temperature AND (s.tenant_id = p_tenant OR s.tenant_id IS NULL)
					 ORDER BY s.tenant_id IS NULL LIMIT 1), '[]');
END
$$;

-- ---- hours --------------------------------------------------------------------------------------

-- "09:30" as seconds since midnight, 24:00 included; NULL when it is no time.
CREATE FUNCTION @extschema@.va_clock(p_time jsonb) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN p_time #>> '{}' ~ '^(([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00)$'
				THEN extract(epoch FROM (p_time #>> '{}')::time)::integer END;

CREATE FUNCTION @extschema@.va_check_holiday() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF jsonb_typeof(NEW.intervals) IS DISTINCT FROM 'array' OR jsonb_array_length(NEW.intervals) > 8
	   OR EXISTS (SELECT FROM jsonb_array_elements(NEW.intervals) i
				  WHERE jsonb_typeof(i) <> 'array' OR i -> 2 IS NOT NULL OR @extschema@.va_clock(i -> 0) IS NULL
					 OR @extschema@.va_clock(i -> 1) IS NULL OR i -> 0 = i -> 1 OR i ->> 0 = '24:00') THEN
		RAISE EXCEPTION 'the intervals of a holiday are at most eight pairs of times, as [["10:00", "14:00"]]'
			USING ERRCODE = 'VA005', HINT = 'An empty array means closed.';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER holidays_check BEFORE INSERT OR UPDATE ON @extschema@.holidays
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_holiday();

-- The settings contact_hours and follow_up_gap_minutes.
CREATE FUNCTION @extschema@.va_check_follow_up_settings() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb := CASE WHEN TG_RELID = '@extschema@.tenants'::regclass THEN to_jsonb(NEW) -> 'settings'
							 ELSE jsonb_build_object(to_jsonb(NEW) ->> 'name', to_jsonb(NEW) -> 'value') END;
	v_hours jsonb := nullif(v_settings -> 'contact_hours', 'null');
	v_gap jsonb := nullif(v_settings -> 'follow_up_gap_minutes', 'null');
BEGIN
	IF v_hours IS NOT NULL AND (jsonb_typeof(v_hours) <> 'object' OR @extschema@.va_clock(v_hours -> 'open') IS NULL
			OR @extschema@.va_clock(v_hours -> 'close') IS NULL OR v_hours -> 'open' = v_hours -> 'close'
			OR v_hours ->> 'open' = '24:00') THEN
		RAISE EXCEPTION 'setting "contact_hours" must be an object as {"open": "09:00", "close": "20:00"}' USING ERRCODE = 'VA009';
	END IF;
	IF v_gap IS NOT NULL AND (@extschema@.va_number(v_settings, 'follow_up_gap_minutes') BETWEEN 1 AND 43200) IS NOT TRUE THEN
		RAISE EXCEPTION 'setting "follow_up_gap_minutes" must be a number from 1 to 43200' USING ERRCODE = 'VA009';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check_follow_ups BEFORE INSERT OR UPDATE OF settings ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_follow_up_settings();
CREATE TRIGGER settings_check_follow_ups BEFORE INSERT OR UPDATE ON @extschema@.settings
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_follow_up_settings();

-- Where a lead lives: what it told, what its number tells, where the tenant is.
CREATE FUNCTION @extschema@.va_lead_zone(p_lead @extschema@.leads) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_told text := p_lead.custom_fields ->> 'timezone';
	v_number text := @extschema@.va_phone_zone(p_lead.phone);
BEGIN
	RETURN CASE WHEN @extschema@.va_zone_known(v_told) THEN v_told
				WHEN @extschema@.va_zone_known(v_number) THEN v_number
				ELSE coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id), 'UTC') END;
END
$$;

-- Opening hours as [[weekday, open, close], …], seconds since midnight; a tenant without rows is always open. Equal
-- times are 24 hours from then.
CREATE FUNCTION @extschema@.va_human_hours(p_tenant uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.business_hours b WHERE b.tenant_id = p_tenant) THEN
		RETURN (SELECT jsonb_agg(jsonb_build_array(day, 0, 86400)) FROM generate_series(0, 6) day);
	END IF;
	RETURN (
		WITH hours AS (
			SELECT b.day_of_week AS day, extract(epoch FROM coalesce(b.open_time, time '00:00'))::integer AS opens,
				   extract(epoch FROM coalesce(b.close_time, time '24:00'))::integer AS closes
			FROM @extschema@.business_hours b
			WHERE b.tenant_id = p_tenant AND b.open_time IS DISTINCT FROM time '24:00'
			  AND NOT EXISTS (SELECT FROM @extschema@.business_hours s
							  WHERE s.tenant_id = p_tenant AND s.day_of_week = b.day_of_week AND s.is_closed)),
		lines AS (
			SELECT day, opens, closes FROM hours WHERE opens <> closes
			UNION ALL SELECT day, opens, 86400 FROM hours WHERE opens = closes
			UNION ALL SELECT (day + 1) % 7, 0, opens FROM hours WHERE opens = closes AND opens > 0)
		SELECT coalesce(jsonb_agg(jsonb_build_array(day, opens, closes) ORDER BY day, opens), '[]') FROM lines);
END
$$;

-- What is allowed when, for the leads of a tenant in one zone (see src/pg/lead_plan.c).
CREATE FUNCTION @extschema@.va_cadence_rules(p_tenant uuid, p_lead_zone text) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_contact jsonb;
BEGIN
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_tenant;
	v_contact := coalesce(@extschema@.va_setting(v_tenant.settings, 'contact_hours'), '{"open": "09:00", "close": "20:00"}');
	RETURN jsonb_build_object(
		'lead_zone', coalesce(p_lead_zone, 'UTC'), 'tenant_zone', coalesce(v_tenant.timezone, 'UTC'),
		'gap_s', @extschema@.va_setting_integer(v_tenant.settings, 'follow_up_gap_minutes', 60) * 60,
		'contact', jsonb_build_array(jsonb_build_array(@extschema@.va_clock(v_contact -> 'open'), @extschema@.va_clock(v_contact -> 'close'))),
		'hours', @extschema@.va_human_hours(p_tenant),
		'holidays', (SELECT coalesce(jsonb_agg(jsonb_build_object('date', d.date - date '1970-01-01', 'hours', (
						SELECT coalesce(jsonb_agg(jsonb_build_array(@extschema@.va_clock(i -> 0), @extschema@.va_clock(i -> 1))), '[]')
						FROM jsonb_array_elements(d.intervals) i)) ORDER BY d.date), '[]')
					 FROM @extschema@.holidays d WHERE d.tenant_id = p_tenant AND d.date >= current_date - 2));
END
$$;

-- ---- planning -----------------------------------------------------------------------------------

-- The name under which a lead's tasks are kept: the temperature, and the round from the second on.
CREATE FUNCTION @extschema@.va_sequence_name(p_lead @extschema@.leads) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN p_lead.lead_temperature || CASE WHEN p_lead.follow_up_round > 1 THEN '#' || p_lead.follow_up_round ELSE '' END;

-- The word of follow_up_tasks.task_type for a step's channels.
CREATE FUNCTION @extschema@.va_task_type(p_channels text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN array_to_string(array_replace(array_replace(p_channels, 'ai_call', 'call'), 'human_call', 'call'), '+');

-- Makes the lead's pending tasks what its sequence wants now; returns how many it changed. The same again changes
-- nothing. A lead that is closed, stopped or was never planned for has none.
CREATE FUNCTION @extschema@.va_follow_up_apply(p_lead uuid, p_now timestamptz DEFAULT now()) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_steps jsonb := '[]';
	v_name text;
	v_tasks uuid[];
	v_json jsonb;
	c record;
	v_count integer := 0;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	v_name := @extschema@.va_sequence_name(v_lead);
	IF v_lead.follow_ups_since IS NOT NULL AND v_lead.follow_ups_stopped IS NULL
	   AND v_lead.status IN ('new', 'qualified', 'contacted') THEN
		v_steps := @extschema@.va_sequence_steps(v_lead.tenant_id, v_lead.lead_temperature);
	END IF;
	-- The order of the rows is the order of the locks.
	PERFORM FROM @extschema@.follow_up_tasks t
	WHERE t.lead_id = p_lead AND t.sequence_id IS NOT NULL AND t.status = 'pending' ORDER BY t.id FOR NO KEY UPDATE;
	SELECT array_agg(t.id ORDER BY t.id), coalesce(jsonb_agg(jsonb_build_object(
			'mine', t.sequence_id = v_name, 'step', coalesce(t.sequence_step, 0),
			'status', CASE t.status WHEN 'pending' THEN 'pending' ELSE 'done' END,
			'at', (extract(epoch FROM CASE t.status WHEN 'pending' THEN t.scheduled_for
									  ELSE coalesce(t.executed_at, t.scheduled_for) END) * 1000000)::bigint) ORDER BY t.id), '[]')
	INTO v_tasks, v_json
	FROM @extschema@.follow_up_tasks t
	WHERE t.lead_id = p_lead AND t.sequence_id IS NOT NULL AND t.status <> 'cancelled' AND isfinite(t.scheduled_for);

	FOR c IN
		SELECT r.*, s.value AS definition
		FROM @extschema@.va_cadence_replan(v_steps, coalesce(v_lead.follow_ups_since, p_now),
			@extschema@.va_cadence_rules(v_lead.tenant_id, @extschema@.va_lead_zone(v_lead)), v_json, p_now) r
		LEFT JOIN jsonb_array_elements(v_steps) WITH ORDINALITY AS s (value, place) ON s.place = r.step
		WHERE r.action <> 'keep'
		ORDER BY r.action <> 'cancel', r.step
	LOOP
		v_count := v_count + 1;
		IF c.action = 'cancel' THEN
			UPDATE @extschema@.follow_up_tasks t
			SET status = 'cancelled', result = jsonb_build_object('why', coalesce(v_lead.follow_ups_stopped, 'replanned'))
			WHERE t.id = v_tasks[c.task];
		ELSIF c.action = 'move' THEN
			UPDATE @extschema@.follow_up_tasks t SET scheduled_for = c.due WHERE t.id = v_tasks[c.task];
		ELSE
			INSERT INTO @extschema@.follow_up_tasks (tenant_id, lead_id, task_type, title, scheduled_for, sequence_step,
				sequence_id, channels, purpose, is_ai_task, assigned_to)
			SELECT v_lead.tenant_id, p_lead, left(@extschema@.va_task_type(x.channels), 50),
				initcap(replace(c.definition ->> 'purpose', '_', ' ')), c.due, c.step, v_name, x.channels,
				c.definition ->> 'purpose', NOT 'human_call' = ANY (x.channels), v_lead.assigned_to
			FROM (SELECT ARRAY(SELECT jsonb_array_elements_text(c.definition -> 'channels')) AS channels) x;
		END IF;
	END LOOP;
	RETURN v_count;
END
$$;

-- The lifecycle begins the follow-ups of a lead; anew when the lead comes back from closed or archived.
CREATE FUNCTION @extschema@.va_follow_up_begin(p_lead uuid, p_anew boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.leads l SET
		follow_ups_since = now(),
		follow_ups_stopped = CASE l.follow_ups_stopped WHEN 'opt_out' THEN 'opt_out' END,
		follow_up_round = l.follow_up_round + p_anew::integer
	WHERE l.id = p_lead;
	PERFORM @extschema@.va_follow_up_apply(p_lead);
END
$$;

-- Stops them; returns how many pending tasks that withdrew. An opt-out is stronger than any other reason.
CREATE FUNCTION @extschema@.va_follow_up_end(p_lead uuid, p_why text) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.leads l SET follow_ups_stopped = p_why
	WHERE l.id = p_lead AND (l.follow_ups_since IS NOT NULL OR p_why = 'opt_out')
	  AND l.follow_ups_stopped IS DISTINCT FROM p_why AND l.follow_ups_stopped IS DISTINCT FROM 'opt_out'
	  -- A reply to nothing stops nothing.
	  AND NOT (p_why = 'reply' AND l.follow_ups_stopped IS NOT NULL);
	RETURN CASE WHEN FOUND THEN @extschema@.va_follow_up_apply(p_lead) ELSE 0 END;
END
$$;

CREATE FUNCTION @extschema@.va_follow_up_stop(lead uuid, why text) RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	IF @extschema@.va_filled(why) IS NULL THEN
		RAISE EXCEPTION 'follow-ups are stopped for a reason' USING ERRCODE = 'VA005',
			HINT = 'For instance reply, opt_out, or a text of yours.';
	END IF;
	RETURN @extschema@.va_follow_up_end(lead, why);
END
$$;

-- The other way: also after an opt-out, when the lead wants to hear again.
CREATE FUNCTION @extschema@.va_follow_up_resume(lead uuid) RETURNS SETOF @extschema@.follow_up_tasks
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	UPDATE @extschema@.leads l SET follow_ups_stopped = NULL WHERE l.id = lead AND l.follow_ups_stopped IS NOT NULL;
	RETURN QUERY SELECT * FROM @extschema@.va_follow_up_plan(lead);
END
$$;

CREATE FUNCTION @extschema@.va_follow_up_plan(lead uuid) RETURNS SETOF @extschema@.follow_up_tasks
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_lead_row(lead);
	UPDATE @extschema@.leads l SET follow_ups_since = now() WHERE l.id = lead AND l.follow_ups_since IS NULL;
	PERFORM @extschema@.va_follow_up_apply(lead);
	RETURN QUERY SELECT * FROM @extschema@.follow_up_tasks t
	WHERE t.lead_id = lead AND t.sequence_id IS NOT NULL AND t.status = 'pending' ORDER BY t.scheduled_for, t.sequence_step;
END
$$;

-- Another temperature is another sequence, from now; and a lead that had answered has changed since.
CREATE FUNCTION @extschema@.va_lead_temperature_changed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' THEN
		NEW.follow_ups_since := now();
		NEW.follow_ups_stopped := nullif(NEW.follow_ups_stopped, 'reply');
		RETURN NEW;
	END IF;
	PERFORM @extschema@.va_follow_up_apply(NEW.id);
	RETURN NULL;
END
$$;
-- Its name is behind that of leads_score in the alphabet, which is the order in which they run.
CREATE TRIGGER leads_temperature BEFORE UPDATE ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.lead_temperature IS DISTINCT FROM NEW.lead_temperature AND NEW.follow_ups_since IS NOT NULL)
	EXECUTE FUNCTION @extschema@.va_lead_temperature_changed();
CREATE TRIGGER leads_temperature_changed AFTER UPDATE ON @extschema@.leads FOR EACH ROW
	WHEN (OLD.lead_temperature IS DISTINCT FROM NEW.lead_temperature AND NEW.follow_ups_since IS NOT NULL)
	EXECUTE FUNCTION @extschema@.va_lead_temperature_changed();

-- ---- the scheduler ------------------------------------------------------------------------------

-- Turns due steps into work, each into exactly one row of lead_actions; returns how many it dealt with. A step that
-- is late (the server was down, hours were changed) and may not happen now waits until it may.
CREATE FUNCTION @extschema@.va_follow_ups_due("limit" integer DEFAULT 100) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t @extschema@.follow_up_tasks;
	v_lead @extschema@.leads;
	v_why text;
	v_allowed timestamptz;
	v_count integer := 0;
BEGIN
	FOR t IN
		SELECT * FROM @extschema@.follow_up_tasks d
		WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL AND d.scheduled_for <= now()
		ORDER BY d.scheduled_for LIMIT greatest("limit", 0) FOR UPDATE SKIP LOCKED
	LOOP
		v_count := v_count + 1;
		SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = t.lead_id;
		v_allowed := @extschema@.va_cadence_allowed(@extschema@.va_cadence_rules(t.tenant_id, @extschema@.va_lead_zone(v_lead)),
			coalesce(t.channels, '{}'), now());
		v_why := CASE WHEN v_lead.id IS NULL THEN 'there is no lead'
			WHEN v_lead.follow_ups_stopped IS NOT NULL THEN v_lead.follow_ups_stopped
			WHEN NOT EXISTS (SELECT FROM @extschema@.tenants n WHERE n.id = t.tenant_id AND n.status = 'active') THEN 'the tenant is not active'
			WHEN v_allowed IS NULL THEN 'it is never allowed' END;
		IF v_why IS NOT NULL THEN
			UPDATE @extschema@.follow_up_tasks d SET status = 'skipped', result = jsonb_build_object('why', v_why) WHERE d.id = t.id;
		ELSIF v_allowed > now() THEN
			UPDATE @extschema@.follow_up_tasks d SET scheduled_for = v_allowed WHERE d.id = t.id;
		ELSE
			UPDATE @extschema@.follow_up_tasks d SET status = 'queued', executed_at = now() WHERE d.id = t.id;
			INSERT INTO @extschema@.lead_actions (tenant_id, lead_id, task_id, action, payload)
			VALUES (t.tenant_id, t.lead_id, t.id, 'follow_up', jsonb_build_object('task_id', t.id, 'sequence', t.sequence_id,
				'step', t.sequence_step, 'channels', t.channels, 'purpose', t.purpose, 'scheduled_for', t.scheduled_for));
		END IF;
	END LOOP;
	RETURN v_count;
END
$$;

-- When the next one is due; NULL without any.
CREATE FUNCTION @extschema@.va_follow_ups_next() RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT d.scheduled_for FROM @extschema@.follow_up_tasks d
			WHERE d.status = 'pending' AND d.sequence_id IS NOT NULL ORDER BY d.scheduled_for LIMIT 1);
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.follow_up_sequences, @extschema@.follow_up_steps, @extschema@.holidays
	TO voiceagent_admin, voiceagent_agent;
GRANT SELECT ON @extschema@.follow_up_sequences, @extschema@.follow_up_steps, @extschema@.holidays TO voiceagent_bi;
CREATE POLICY common_rows ON @extschema@.follow_up_sequences FOR SELECT USING (tenant_id IS NULL);
CREATE POLICY common_rows ON @extschema@.follow_up_steps FOR SELECT USING (tenant_id IS NULL);
GRANT EXECUTE ON FUNCTION @extschema@.va_follow_up_plan(uuid), @extschema@.va_follow_up_stop(uuid, text),
	@extschema@.va_follow_up_resume(uuid), @extschema@.va_phone_zone(text), @extschema@.va_zone_known(text)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_follow_ups_due(integer), @extschema@.va_follow_ups_next() TO voiceagent_admin;
-- People: the tenant's own staff, who take over calls and keep appointments. Their hours, who is chosen, and
-- counters that are true because they are counted from the reservations and never written by hand.

-- May this session act for the tenant? The administrator and the programs for each (these can call only what
-- they were granted), a tenant's application for its own. As va_assert_tenant it looks at the role that the session
-- has taken, so that it can be asked inside SECURITY DEFINER functions.
CREATE FUNCTION @extschema@.va_acts_for(p_tenant uuid) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_role text := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
	RETURN pg_has_role(v_role, 'voiceagent_admin', 'USAGE') OR pg_has_role(v_role, 'voiceagent_gateway', 'USAGE')
		OR pg_has_role(v_role, 'voiceagent_dispatcher', 'USAGE')
		OR coalesce(p_tenant = @extschema@.va_current_tenant(), false);
END
$$;

-- The lead, the call, and their tenants; those of another tenant are as unknown as those that do not exist.
CREATE FUNCTION @extschema@.va_lead_of(p_lead uuid) RETURNS @extschema@.leads
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_lead;
	IF NOT FOUND OR NOT @extschema@.va_acts_for(v_lead.tenant_id) THEN
		RAISE EXCEPTION 'unknown lead %', coalesce(p_lead::text, 'NULL') USING ERRCODE = 'VA020';
	END IF;
	RETURN v_lead;
END
$$;

CREATE FUNCTION @extschema@.va_call_row(p_call uuid) RETURNS @extschema@.calls
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls;
BEGIN
	SELECT * INTO v_call FROM @extschema@.calls c WHERE c.id = p_call FOR NO KEY UPDATE;
	IF NOT FOUND OR NOT @extschema@.va_acts_for(v_call.tenant_id) THEN
		RAISE EXCEPTION 'unknown call %', coalesce(p_call::text, 'NULL') USING ERRCODE = 'VA004';
	END IF;
	RETURN v_call;
END
$$;

-- ---- hours in jsonb -----------------------------------------------------------------------------
--
-- {"monday": [["09:00", "12:00"], ["13:00", "17:00"]], "friday": [["22:00", "02:00"]],
--  "dates": {"2027-12-24": []}, "timezone": "Europe/Berlin"}
-- A weekday that is not named is off. A closing time at or before the opening time is on the next date.

CREATE FUNCTION @extschema@.va_hours_spans(week integer[], dates integer[], zone text, "from" timestamptz, "to" timestamptz)
	RETURNS timestamptz[] LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_hours_spans';
CREATE FUNCTION @extschema@.va_hours_next(week integer[], dates integer[], zone text, at timestamptz)
	RETURNS timestamptz LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'va_hours_next';

-- 'HH:MM' in seconds.
CREATE FUNCTION @extschema@.va_clock_seconds(text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN split_part($1, ':', 1)::integer * 3600 + split_part($1, ':', 2)::integer * 60;

-- Refuses a list of openings that is none; p_what says where it stands.
CREATE FUNCTION @extschema@.va_check_openings(p_what text, p_list jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_item jsonb;
BEGIN
	IF jsonb_typeof(p_list) IS DISTINCT FROM 'array' OR jsonb_array_length(p_list) > 8 THEN
		RAISE EXCEPTION '% must be a list of at most eight openings', p_what
			USING ERRCODE = 'VA009', HINT = 'For instance [["09:00", "12:00"], ["13:00", "17:00"]], or [] for a day off.';
	END IF;
	FOR v_item IN SELECT e FROM jsonb_array_elements(p_list) e LOOP
		IF (jsonb_typeof(v_item) = 'array' AND jsonb_array_length(v_item) = 2
			AND v_item ->> 0 ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$' AND v_item ->> 1 ~ '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$'
			AND v_item ->> 0 <> v_item ->> 1) IS NOT TRUE THEN
			RAISE EXCEPTION '% has an opening that is none: %', p_what, v_item
				USING ERRCODE = 'VA009', HINT = 'An opening is two times, ["09:00", "17:00"]; a whole day is ["00:00", "24:00"].';
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_zone_valid(p_zone text) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM now() AT TIME ZONE p_zone;
	RETURN p_zone IS NOT NULL;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN false;
END
$$;

-- Dates that differ: a list of closed dates, or an object of dates with their openings.
CREATE FUNCTION @extschema@.va_check_dates(p_what text, p_dates jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_date text;
	v_list jsonb;
BEGIN
	IF jsonb_typeof(p_dates) NOT IN ('array', 'object') THEN
		RAISE EXCEPTION '% must be a list of dates, or an object of dates and their openings', p_what USING ERRCODE = 'VA009';
	END IF;
	FOR v_date, v_list IN
		SELECT e #>> '{}', '[]'::jsonb FROM jsonb_array_elements(CASE jsonb_typeof(p_dates) WHEN 'array' THEN p_dates ELSE '[]' END) e
		UNION ALL SELECT key, value FROM jsonb_each(CASE jsonb_typeof(p_dates) WHEN 'object' THEN p_dates ELSE '{}' END)
	LOOP
		BEGIN
			IF (v_date ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$') IS NOT TRUE OR v_date::date::text IS NULL THEN
				RAISE datetime_field_overflow;
			END IF;
		EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
			RAISE EXCEPTION '% has a date that is none: %', p_what, coalesce(v_date, 'null')
				USING ERRCODE = 'VA009', HINT = 'Dates are written 2027-12-24.';
		END;
		PERFORM @extschema@.va_check_openings(format('%s, %s', p_what, v_date), v_list);
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_check_hours(p_what text, p_hours jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_value jsonb;
BEGIN
	IF jsonb_typeof(p_hours) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION '% must be an object of weekdays', p_what USING ERRCODE = 'VA009';
	END IF;
	FOR v_key, v_value IN SELECT key, value FROM jsonb_each(p_hours) LOOP
		CASE
		WHEN v_key IN ('sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday') THEN
			PERFORM @extschema@.va_check_openings(format('%s, %s', p_what, v_key), v_value);
		WHEN v_key = 'dates' THEN
			PERFORM @extschema@.va_check_dates(format('%s, dates', p_what), v_value);
		WHEN v_key = 'timezone' THEN
			IF jsonb_typeof(v_value) <> 'string' OR NOT @extschema@.va_zone_valid(v_value #>> '{}') THEN
				RAISE EXCEPTION '% names an unknown time zone: %', p_what, v_value
					USING ERRCODE = 'VA009', HINT = 'pg_timezone_names lists them, for instance Europe/Berlin.';
			END IF;
		ELSE
			RAISE EXCEPTION '% has an unknown key "%"', p_what, v_key
				USING ERRCODE = 'VA009', HINT = 'Known are sunday to saturday, dates and timezone.';
		END CASE;
	END LOOP;
END
$$;

-- Openings of one day as triples for va_hours_spans.
CREATE FUNCTION @extschema@.va_opening_triples(p_day integer, p_list jsonb) RETURNS integer[]
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(array_agg(x.v ORDER BY i.n, x.k), '{}')
		FROM jsonb_array_elements(p_list) WITH ORDINALITY AS i (e, n),
			 LATERAL (SELECT @extschema@.va_clock_seconds(i.e ->> 0) AS o, @extschema@.va_clock_seconds(i.e ->> 1) AS c) s,
			 LATERAL (VALUES (1, p_day), (2, s.o), (3, CASE WHEN s.c <= s.o THEN s.c + 86400 ELSE s.c END)) AS x (k, v));
END
$$;

CREATE FUNCTION @extschema@.va_week_triples(p_hours jsonb) RETURNS integer[]
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_days text[] := ARRAY['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
	v_week integer[] := '{}';
BEGIN
	FOR i IN 1 .. 7 LOOP
		IF p_hours ? v_days[i] THEN
			v_week := v_week || @extschema@.va_opening_triples(i - 1, p_hours -> v_days[i]);
		END IF;
	END LOOP;
	RETURN v_week;
END
$$;

CREATE FUNCTION @extschema@.va_date_triples(p_dates jsonb) RETURNS integer[]
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_dates integer[] := '{}';
	v_day integer;
	v_list jsonb;
BEGIN
	FOR v_day, v_list IN
		SELECT d.day::date - date '1970-01-01', d.list
		FROM (SELECT e #>> '{}' AS day, '[]'::jsonb AS list
			  FROM jsonb_array_elements(CASE jsonb_typeof(p_dates) WHEN 'array' THEN p_dates ELSE '[]' END) e
			  UNION SELECT key, value FROM jsonb_each(CASE jsonb_typeof(p_dates) WHEN 'object' THEN p_dates ELSE '{}' END)) d
		ORDER BY 1
	LOOP
		v_dates := v_dates || CASE WHEN v_list = '[]' THEN ARRAY[v_day, -1, -1]
								   ELSE @extschema@.va_opening_triples(v_day, v_list) END;
	END LOOP;
	RETURN v_dates;
END
$$;

-- Does the person work at this instant? Somebody without hours always does.
CREATE FUNCTION @extschema@.va_agent_on_duty(p_hours jsonb, p_zone text, p_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF coalesce(p_hours - ARRAY['timezone', 'dates'], '{}') = '{}' AND coalesce(p_hours -> 'dates', '{}') IN ('{}', '[]') THEN
		RETURN true;
	END IF;
	RETURN coalesce(@extschema@.va_hours_next(
		CASE WHEN p_hours - ARRAY['timezone', 'dates'] = '{}' THEN '{0,0,86400,1,0,86400,2,0,86400,3,0,86400,4,0,86400,5,0,86400,6,0,86400}'
			 ELSE @extschema@.va_week_triples(p_hours) END,
		@extschema@.va_date_triples(p_hours -> 'dates'), coalesce(p_hours ->> 'timezone', p_zone, 'UTC'), p_at) = p_at, false);
END
$$;

-- ---- reservations -------------------------------------------------------------------------------

ALTER TABLE @extschema@.human_agents
	ADD COLUMN total_call_seconds BIGINT NOT NULL DEFAULT 0, -- avg_call_duration is made of it, so that roundings do not add up
	ADD CONSTRAINT human_agents_limit CHECK (max_concurrent_calls >= 0),
	ADD CONSTRAINT human_agents_count CHECK (current_call_count >= 0),
	ADD CONSTRAINT human_agents_hours CHECK (jsonb_typeof(availability_hours) = 'object');

-- One row each time a person is kept free for a call. Open until released_at.
CREATE TABLE @extschema@.agent_reservations (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	agent_id UUID NOT NULL REFERENCES @extschema@.human_agents(id) ON DELETE CASCADE,
	call_id UUID REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	reserved_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	released_at TIMESTAMPTZ,
	handled BOOLEAN,                         -- did they talk? NULL while open
	CHECK (released_at >= reserved_at),
	CHECK ((released_at IS NULL) = (handled IS NULL))
);
CREATE UNIQUE INDEX idx_agent_reservations_call ON @extschema@.agent_reservations (call_id) WHERE released_at IS NULL;
CREATE INDEX idx_agent_reservations_open ON @extschema@.agent_reservations (agent_id) WHERE released_at IS NULL;
CREATE INDEX idx_agent_reservations_agent ON @extschema@.agent_reservations (agent_id, reserved_at);
CREATE INDEX idx_agent_reservations_calls ON @extschema@.agent_reservations (call_id);
CREATE INDEX idx_agent_reservations_tenant ON @extschema@.agent_reservations (tenant_id, reserved_at DESC);

-- Hours that make sense, and counters that nobody writes: the number of calls is counted from the open
-- reservations each time, under the lock that an UPDATE has on the row; totals change only through the
-- trigger below (depth 2). Counting, and not adding, also makes a restore come out right.
CREATE FUNCTION @extschema@.va_human_agents_keep() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.availability_hours := coalesce(NEW.availability_hours, '{}');
	IF TG_OP = 'INSERT' OR NEW.availability_hours IS DISTINCT FROM OLD.availability_hours THEN
		PERFORM @extschema@.va_check_hours('availability_hours', NEW.availability_hours);
	END IF;
	IF TG_OP = 'UPDATE' AND pg_trigger_depth() < 2 AND (NEW.total_calls_handled, NEW.avg_call_duration, NEW.total_call_seconds)
	   IS DISTINCT FROM (OLD.total_calls_handled, OLD.avg_call_duration, OLD.total_call_seconds) THEN
		RAISE EXCEPTION 'the statistics of people are kept by the database'
			USING ERRCODE = 'VA005', HINT = 'They follow from agent_reservations.';
	END IF;
	NEW.current_call_count := (SELECT count(*) FROM @extschema@.agent_reservations r
							   WHERE r.agent_id = NEW.id AND r.released_at IS NULL);
	RETURN NEW;
END
$$;
CREATE TRIGGER human_agents_keep BEFORE INSERT OR UPDATE ON @extschema@.human_agents
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_human_agents_keep();

CREATE FUNCTION @extschema@.va_agent_reservations_count() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_handled integer := 0;
	v_seconds bigint := 0;
BEGIN
	IF TG_OP = 'INSERT' AND NEW.released_at IS NOT NULL THEN
		RETURN NULL; -- history that is restored: it is in the totals already
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF OLD.released_at IS NULL AND NEW.released_at IS NOT NULL AND NEW.handled THEN
			v_handled := 1;
			v_seconds := round(extract(epoch FROM NEW.released_at - NEW.reserved_at));
		END IF;
	END IF;
	UPDATE @extschema@.human_agents h SET
		total_calls_handled = coalesce(h.total_calls_handled, 0) + v_handled,
		total_call_seconds = h.total_call_seconds + v_seconds,
		avg_call_duration = CASE WHEN coalesce(h.total_calls_handled, 0) + v_handled > 0
			THEN round((h.total_call_seconds + v_seconds)::numeric / (coalesce(h.total_calls_handled, 0) + v_handled)) END
	WHERE h.id = coalesce(NEW.agent_id, OLD.agent_id);
	RETURN NULL;
END
$$;
CREATE TRIGGER agent_reservations_count AFTER INSERT OR DELETE OR UPDATE OF released_at ON @extschema@.agent_reservations
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_agent_reservations_count();

-- The end of a call frees whoever was kept for it, however the call ended.
CREATE FUNCTION @extschema@.va_calls_release_agent() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.agent_reservations r SET released_at = greatest(now(), r.reserved_at), handled = NEW.status = 'completed'
	WHERE r.call_id = NEW.id AND r.released_at IS NULL;
	RETURN NULL;
END
$$;
CREATE TRIGGER calls_release_agent AFTER UPDATE OF status ON @extschema@.calls FOR EACH ROW
	WHEN (NEW.status IN ('completed', 'busy', 'failed', 'no-answer', 'canceled') AND OLD.status IS DISTINCT FROM NEW.status)
	EXECUTE FUNCTION @extschema@.va_calls_release_agent();

-- How many of the wanted words somebody has; without regard to case, a language without its country.
CREATE FUNCTION @extschema@.va_matches(p_wanted text[], p_has text[]) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (SELECT count(DISTINCT lower(w)) FROM unnest(p_wanted) w WHERE lower(w) IN (SELECT lower(h) FROM unnest(p_has) h));

CREATE FUNCTION @extschema@.va_language(text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN lower(split_part(split_part($1, '-', 1), '_', 1));

-- The best free person, their row locked; NULL when there is none. Whoever is being reserved by somebody else in
-- this moment is passed over; only when nobody else is left it is worth waiting for them: they may have room for
-- another call.
CREATE FUNCTION @extschema@.va_agent_choose(p_tenant uuid, p_skills text[], p_language text) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text := (SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_tenant);
	v_agent uuid;
	v_query text := $query$
		SELECT h.id FROM @extschema@.human_agents h
		WHERE h.tenant_id = $1 AND h.is_available AND h.current_call_count < coalesce(h.max_concurrent_calls, 1)
		  AND @extschema@.va_agent_on_duty(h.availability_hours, $4, now())
		ORDER BY @extschema@.va_matches($2, h.skills) DESC,
				 ($3 IS NOT NULL AND @extschema@.va_language($3) IN (SELECT @extschema@.va_language(x) FROM unnest(h.languages) x)) DESC,
				 coalesce(h.priority, 0) DESC, h.current_call_count::float8 / greatest(h.max_concurrent_calls, 1),
				 coalesce(h.total_calls_handled, 0), h.id
		LIMIT 1 FOR NO KEY UPDATE$query$;
BEGIN
	EXECUTE v_query || ' SKIP LOCKED' INTO v_agent USING p_tenant, p_skills, p_language, v_zone;
	IF v_agent IS NULL THEN
		EXECUTE v_query INTO v_agent USING p_tenant, p_skills, p_language, v_zone;
	END IF;
	RETURN v_agent;
END
$$;

-- Chooses and reserves. A call that has somebody already keeps them.
CREATE FUNCTION @extschema@.va_agent_pick(tenant uuid, skills text[] DEFAULT NULL, language text DEFAULT NULL, call uuid DEFAULT NULL)
	RETURNS TABLE (agent_id uuid, reservation_id uuid, name text, phone text, email text)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls;
	v_agent uuid;
	v_reservation @extschema@.agent_reservations;
BEGIN
	IF NOT @extschema@.va_acts_for(tenant) OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
	IF call IS NOT NULL THEN
		v_call := @extschema@.va_call_row(call); -- locked: two picks for one call take turns
		IF v_call.tenant_id IS DISTINCT FROM tenant OR @extschema@.va_call_over(v_call) THEN
			RAISE EXCEPTION 'call % is not a live call of this tenant', call USING ERRCODE = 'VA004';
		END IF;
		SELECT * INTO v_reservation FROM @extschema@.agent_reservations r WHERE r.call_id = call AND r.released_at IS NULL;
	END IF;
	IF v_reservation.id IS NULL THEN
		v_agent := @extschema@.va_agent_choose(tenant, skills, language);
		IF v_agent IS NULL THEN
			RETURN;
		END IF;
		INSERT INTO @extschema@.agent_reservations (tenant_id, agent_id, call_id) VALUES (tenant, v_agent, call)
		RETURNING * INTO v_reservation;
	END IF;
	RETURN QUERY SELECT h.id, v_reservation.id, h.name::text, h.phone::text, h.email::text
		FROM @extschema@.human_agents h WHERE h.id = v_reservation.agent_id;
END
$$;

-- Gives a person back: by call, or by reservation where there is no call. handled: they have talked. False when
-- nothing was reserved (any more).
CREATE FUNCTION @extschema@.va_agent_release(call uuid, handled boolean DEFAULT true, reservation uuid DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF call IS NOT NULL THEN
		PERFORM @extschema@.va_call_row(call);
	END IF;
	UPDATE @extschema@.agent_reservations r SET released_at = greatest(clock_timestamp(), r.reserved_at),
		handled = coalesce(va_agent_release.handled, true)
	WHERE r.released_at IS NULL AND (r.call_id = call OR call IS NULL AND r.id = reservation)
	  AND @extschema@.va_acts_for(r.tenant_id);
	RETURN FOUND;
END
$$;

-- ---- escalation ---------------------------------------------------------------------------------

-- A message to the tenant's own people, not to the lead: it counts as no attempt to contact anybody.
CREATE FUNCTION @extschema@.va_notify_staff(p_tenant uuid, p_subject text, p_body text, p_data jsonb) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_emails jsonb := @extschema@.va_setting((SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'notification_emails');
	v_count integer;
BEGIN
	INSERT INTO @extschema@.notifications (tenant_id, channel, direction, to_address, subject, body, template_id, template_data,
										   scheduled_for, notification_type)
	SELECT DISTINCT p_tenant, 'email', 'outbound', left(lower(e #>> '{}'), 255), left(p_subject, 255), p_body, 'staff_notice', p_data,
		   now(), 'escalation'
	FROM jsonb_array_elements(CASE WHEN jsonb_typeof(v_emails) = 'array' THEN v_emails ELSE '[]' END) e
	WHERE @extschema@.va_filled(e #>> '{}') IS NOT NULL;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- A person is wanted: one is reserved, or a call back planned and the tenant's people told. Asked for twice it
-- answers the same.
CREATE FUNCTION @extschema@.va_escalate(call uuid, reason text, skills text[] DEFAULT NULL, language text DEFAULT NULL)
	RETURNS TABLE (agent_id uuid, agent_name text, agent_phone text, callback_at timestamptz)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(call);
	v_reason text := coalesce(left(@extschema@.va_filled(reason), 255), 'not said');
	v_new boolean := NOT coalesce(v_call.escalated_to_human, false);
BEGIN
	UPDATE @extschema@.calls c SET escalated_to_human = true, escalation_reason = coalesce(c.escalation_reason, v_reason)
	WHERE c.id = call AND (NOT coalesce(c.escalated_to_human, false) OR c.escalation_reason IS NULL);
	IF NOT @extschema@.va_call_over(v_call) THEN
		SELECT p.agent_id, p.name, p.phone INTO agent_id, agent_name, agent_phone
		FROM @extschema@.va_agent_pick(v_call.tenant_id, skills, coalesce(language, (SELECT v.language FROM @extschema@.tenant_voice_configs v
			WHERE v.tenant_id = v_call.tenant_id ORDER BY v.created_at DESC, v.id LIMIT 1)), call) p;
	END IF;
	IF agent_id IS NULL THEN
		callback_at := coalesce(greatest(@extschema@.va_next_opening(v_call.tenant_id), now() + interval '15 minutes'),
								now() + interval '1 hour');
		PERFORM @extschema@.va_call_task(v_call, 'Call back', callback_at);
		SELECT f.scheduled_for INTO callback_at FROM @extschema@.follow_up_tasks f
		WHERE f.call_id = call AND f.title = 'Call back' ORDER BY f.created_at LIMIT 1;
		UPDATE @extschema@.calls c SET outcome = coalesce(c.outcome, 'callback_requested') WHERE c.id = call;
		IF v_new THEN
			PERFORM @extschema@.va_notify_staff(v_call.tenant_id, 'A caller asks to be called back',
				format('Reason: %s. Nobody was free; the call back is due at %s.', v_reason, callback_at),
				jsonb_build_object('call_id', call, 'reason', v_reason, 'callback_at', callback_at));
		END IF;
	END IF;
	IF v_new THEN
		PERFORM @extschema@.va_emit(v_call.tenant_id, 'call_escalated', call, v_call.lead_id,
			jsonb_build_object('reason', v_reason, 'agent_id', agent_id, 'callback_at', callback_at));
	END IF;
	RETURN NEXT;
END
$$;

-- escalate_to_human: the tool of the voice agent.
CREATE FUNCTION @extschema@.va_tool_escalate_to_human(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_answer record;
	v_zone text;
BEGIN
	SELECT * INTO v_answer FROM @extschema@.va_escalate(va_tool_escalate_to_human.call_id, arguments ->> 'reason',
		CASE WHEN jsonb_typeof(arguments -> 'skills') = 'array'
			 THEN ARRAY(SELECT jsonb_array_elements_text(arguments -> 'skills')) END,
		@extschema@.va_filled(arguments ->> 'language'));
	SELECT coalesce(t.timezone, 'UTC') INTO v_zone
	FROM @extschema@.tenants t JOIN @extschema@.calls c ON c.tenant_id = t.id WHERE c.id = va_tool_escalate_to_human.call_id;
	RETURN jsonb_build_object('result', CASE WHEN v_answer.agent_id IS NOT NULL
		THEN jsonb_build_object('status', 'colleague_reserved', 'colleague', v_answer.agent_name)
		ELSE jsonb_build_object('status', 'callback_planned', 'callback_at',
			to_char(v_answer.callback_at AT TIME ZONE v_zone, 'FMDay, DD FMMonth YYYY, HH24:MI')) END);
END
$$;

INSERT INTO @extschema@.tools (name, description, parameters, function, is_builtin) VALUES
('escalate_to_human',
 'Asks for a human colleague. Use it when the caller wants a person, is upset, in danger, or asks what you may not answer. The answer says which colleague is reserved, or when the caller will be called back.',
 '{"type": "object", "properties": {
	"reason": {"type": "string", "description": "why a person is needed, in a few words"},
	"skills": {"type": "array", "items": {"type": "string"}, "description": "what the colleague should know about"},
	"language": {"type": "string", "description": "the caller''s language, for instance es"}},
	"required": ["reason"]}',
 '@extschema@.va_tool_escalate_to_human', true);

-- ---- rights -------------------------------------------------------------------------------------

GRANT SELECT ON @extschema@.agent_reservations TO voiceagent_admin, voiceagent_agent, voiceagent_bi;
GRANT EXECUTE ON FUNCTION @extschema@.va_agent_pick(uuid, text[], text, uuid), @extschema@.va_agent_release(uuid, boolean, uuid),
	@extschema@.va_escalate(uuid, text, text[], text) TO voiceagent_admin, voiceagent_agent;
-- Appointments: which times are free, booking without double booking, a small state machine, and the messages
-- that belong to an appointment.
--
-- Whose time an appointment takes is its calendar: the person's, or the tenant's own where it has no people. A row
-- written by hand without a person takes nobody's time. One calendar holds no two live appointments at
-- once: an exclusion constraint says so, whoever writes (docs/decisions/004-calendars-as-addresses.md).

ALTER TABLE @extschema@.appointments
	ADD COLUMN calendar_id UUID,             -- human_agents.id, or tenants.id; NULL: nobody's
	ADD COLUMN calendar_key INET,            -- the same, see va_calendar_key
	ADD COLUMN calendar_span TSTZRANGE,      -- what it takes of the calendar; NULL: nothing (any more)
	ADD COLUMN cancelled_at TIMESTAMPTZ,
	ADD COLUMN cancel_reason TEXT,
	ADD COLUMN rescheduled_count INTEGER NOT NULL DEFAULT 0,
	ADD CONSTRAINT appointments_meeting_type CHECK (meeting_type IN ('in_person', 'phone', 'video')),
	ADD CONSTRAINT appointments_finite CHECK (isfinite(scheduled_at)),
	ADD CONSTRAINT appointments_length CHECK (duration_minutes <= 1440),
	ADD CONSTRAINT appointments_no_double_booking
		EXCLUDE USING gist (calendar_key inet_ops WITH =, calendar_span WITH &&);

ALTER TABLE @extschema@.notifications
	ADD COLUMN appointment_id UUID REFERENCES @extschema@.appointments(id) ON DELETE CASCADE;
-- One planned message a kind and channel: planning again moves it.
CREATE UNIQUE INDEX idx_notifications_planned ON @extschema@.notifications (appointment_id, template_id, channel)
	WHERE status = 'pending';
CREATE INDEX idx_notifications_appointment ON @extschema@.notifications (appointment_id);

-- A UUID in the clothes of an IPv6 address: both are 128 bits, and for addresses the server has an operator class in
-- GiST that knows equality. For UUIDs only btree_gist has one, which would be one more extension to install.
CREATE FUNCTION @extschema@.va_calendar_key(p_calendar uuid) RETURNS inet
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN regexp_replace(replace(p_calendar::text, '-', ''), '(....)(?=.)', '\1:', 'g')::inet;

-- The steps that exist. The same status is a change of something else.
CREATE FUNCTION @extschema@.va_appointment_step(p_from text, p_to text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN p_from = p_to OR CASE p_from
		WHEN 'scheduled' THEN p_to IN ('confirmed', 'completed', 'cancelled', 'no_show')
		WHEN 'confirmed' THEN p_to IN ('scheduled', 'completed', 'cancelled', 'no_show') -- scheduled: moved to another time
		ELSE false END;

CREATE FUNCTION @extschema@.va_appointments_keep() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.status := coalesce(NEW.status, 'scheduled');
	NEW.duration_minutes := coalesce(NEW.duration_minutes, 30);
	NEW.calendar_id := coalesce(NEW.assigned_agent_id, CASE WHEN NEW.calendar_id = NEW.tenant_id THEN NEW.calendar_id END);
	NEW.calendar_key := @extschema@.va_calendar_key(NEW.calendar_id);
	NEW.calendar_span := CASE WHEN NEW.calendar_id IS NOT NULL AND NEW.status IN ('scheduled', 'confirmed') AND NEW.duration_minutes > 0
		THEN tstzrange(NEW.scheduled_at, NEW.scheduled_at + make_interval(mins => NEW.duration_minutes)) END;
	IF NEW.calendar_span IS NOT NULL AND (TG_OP = 'INSERT' OR (NEW.calendar_key, NEW.calendar_span) IS DISTINCT FROM (OLD.calendar_key, OLD.calendar_span)) THEN
		-- Two rows that exclude each other, written at once, would each wait for the other.
		PERFORM @extschema@.va_calendar_lock(NEW.tenant_id);
	END IF;
	IF NEW.assigned_agent_id IS NOT NULL AND (NEW.agent_name IS NULL OR NEW.agent_email IS NULL) THEN
		SELECT coalesce(NEW.agent_name, h.name), coalesce(NEW.agent_email, h.email) INTO NEW.agent_name, NEW.agent_email
		FROM @extschema@.human_agents h WHERE h.id = NEW.assigned_agent_id AND h.tenant_id = NEW.tenant_id;
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF NEW.scheduled_at <> OLD.scheduled_at THEN
			NEW.confirmation_sent := false;
			NEW.reminder_sent_24h := false;
			NEW.reminder_sent_1h := false;
		END IF;
		IF NEW.status = 'cancelled' AND OLD.status <> 'cancelled' THEN
			NEW.cancelled_at := coalesce(NEW.cancelled_at, now());
		END IF;
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER appointments_keep
	BEFORE INSERT OR UPDATE OF scheduled_at, duration_minutes, status, assigned_agent_id, calendar_id, calendar_key, calendar_span,
		tenant_id
	ON @extschema@.appointments FOR EACH ROW EXECUTE FUNCTION @extschema@.va_appointments_keep();

-- Bookings of one tenant take turns until the transaction ends. One lock, so no two can hold one each and want the
-- other's.
CREATE FUNCTION @extschema@.va_calendar_lock(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant::text, 5604562));
END
$$;

-- ---- free time ----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_spans(p_week integer[], p_dates integer[], p_zone text, p_from timestamptz, p_to timestamptz)
	RETURNS tstzmultirange
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_at timestamptz[] := @extschema@.va_hours_spans(p_week, p_dates, p_zone, p_from, p_to);
BEGIN
	RETURN (SELECT coalesce(range_agg(tstzrange(v_at[i], v_at[i + 1])), '{}')
			FROM generate_series(1, coalesce(array_length(v_at, 1), 0), 2) i);
END
$$;

-- A tenant's opening hours as triples for va_hours_spans; NULL where it has said nothing.
CREATE FUNCTION @extschema@.va_tenant_week(p_tenant uuid) RETURNS integer[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT coalesce(array_agg(x.v ORDER BY h.day_of_week, s.o, s.c, h.id, x.k) FILTER (WHERE NOT d.shut), '{}')
		FROM @extschema@.business_hours h
		CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM @extschema@.business_hours c WHERE c.tenant_id = p_tenant
			AND c.day_of_week = h.day_of_week AND c.is_closed) AS shut) d
		CROSS JOIN LATERAL (SELECT extract(epoch FROM coalesce(h.open_time, '00:00'))::integer AS o,
								   extract(epoch FROM coalesce(h.close_time, '24:00'))::integer AS c) s
		CROSS JOIN LATERAL (VALUES (1, h.day_of_week), (2, s.o), (3, CASE WHEN s.c <= s.o THEN s.c + 86400 ELSE s.c END)) AS x (k, v)
		WHERE h.tenant_id = p_tenant
		HAVING count(*) > 0);
END
$$;

-- A tenant's holidays as triples for va_hours_spans. They are in a table that other files make; without it there are
-- none.
CREATE FUNCTION @extschema@.va_tenant_dates(p_tenant uuid) RETURNS integer[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_dates jsonb;
BEGIN
	IF to_regclass('@extschema@.holidays') IS NOT NULL THEN
		EXECUTE 'SELECT jsonb_object_agg(h.date, h.intervals) FROM @extschema@.holidays h WHERE h.tenant_id = $1' INTO v_dates USING p_tenant;
	END IF;
	RETURN @extschema@.va_date_triples(v_dates);
END
$$;

-- When a calendar is open for appointments: the tenant's hours and the person's, both where both have said
-- something; Monday to Friday, nine to five, where nobody has. The tenant's holidays are everybody's.
CREATE FUNCTION @extschema@.va_calendar_hours(p_tenant uuid, p_agent uuid, p_from timestamptz, p_to timestamptz) RETURNS tstzmultirange
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_hours jsonb := (SELECT h.availability_hours FROM @extschema@.human_agents h WHERE h.id = p_agent);
	v_has_week boolean := coalesce(v_hours - ARRAY['timezone', 'dates'], '{}') <> '{}';
	v_always integer[] := '{0,0,86400,1,0,86400,2,0,86400,3,0,86400,4,0,86400,5,0,86400,6,0,86400}';
	v_open tstzmultirange;
BEGIN
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_tenant;
	v_open := @extschema@.va_spans(coalesce(@extschema@.va_tenant_week(p_tenant), CASE WHEN v_has_week THEN v_always
			ELSE '{1,32400,61200,2,32400,61200,3,32400,61200,4,32400,61200,5,32400,61200}' END),
		@extschema@.va_tenant_dates(p_tenant), coalesce(v_tenant.timezone, 'UTC'), p_from, p_to);
	IF v_has_week OR v_hours ? 'dates' THEN
		v_open := v_open * @extschema@.va_spans(CASE WHEN v_has_week THEN @extschema@.va_week_triples(v_hours) ELSE v_always END,
			@extschema@.va_date_triples(v_hours -> 'dates'), coalesce(v_hours ->> 'timezone', v_tenant.timezone, 'UTC'), p_from, p_to);
	END IF;
	RETURN v_open;
END
$$;

-- What live appointments take of a calendar, each with the buffer before and after it.
CREATE FUNCTION @extschema@.va_calendar_busy(p_calendar uuid, p_from timestamptz, p_to timestamptz, p_buffer interval,
											 p_except uuid DEFAULT NULL) RETURNS tstzmultirange
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key inet := @extschema@.va_calendar_key(p_calendar);
BEGIN
	RETURN (SELECT coalesce(range_agg(tstzrange(a.scheduled_at - p_buffer,
											 a.scheduled_at + make_interval(mins => a.duration_minutes) + p_buffer)), '{}')
		FROM @extschema@.appointments a
		WHERE a.calendar_key = v_key AND a.calendar_span && tstzrange(p_from - p_buffer, p_to + p_buffer)
		  AND a.id IS DISTINCT FROM p_except);
END
$$;

-- The calendars that may be booked, the best first: the lead's own person, then by priority, then whoever has
-- least that day. A tenant without people has its own.
CREATE FUNCTION @extschema@.va_calendars(p_tenant uuid, p_agent uuid, p_lead uuid, p_day timestamptz)
	RETURNS TABLE (calendar_id uuid, agent_id uuid)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_agent IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.human_agents h WHERE h.id = p_agent AND h.tenant_id = p_tenant) THEN
		RAISE EXCEPTION 'unknown person %', p_agent USING ERRCODE = 'VA033', HINT = 'The table human_agents lists them.';
	END IF;
	RETURN QUERY
	SELECT h.id, h.id FROM @extschema@.human_agents h
	WHERE h.tenant_id = p_tenant AND (h.id = p_agent OR p_agent IS NULL AND h.is_available)
	ORDER BY (h.id = (SELECT l.assigned_to FROM @extschema@.leads l WHERE l.id = p_lead)) IS TRUE DESC, coalesce(h.priority, 0) DESC,
		(SELECT count(*) FROM @extschema@.appointments a
		 WHERE a.calendar_key = @extschema@.va_calendar_key(h.id)
		   AND a.calendar_span && tstzrange(p_day - interval '12 hours', p_day + interval '12 hours')), h.id;
	IF NOT FOUND AND NOT EXISTS (SELECT FROM @extschema@.human_agents h WHERE h.tenant_id = p_tenant) THEN
		RETURN QUERY SELECT p_tenant, NULL::uuid;
	END IF;
END
$$;

-- The inner function; p_limit bounds how many are found.
CREATE FUNCTION @extschema@.va_find_slots(p_tenant uuid, p_from timestamptz, p_to timestamptz, p_minutes integer, p_agent uuid,
										  p_limit integer DEFAULT NULL)
	RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, agents uuid[])
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant @extschema@.tenants;
	v_zone text;
	v_step interval;
	v_buffer interval;
	v_from timestamptz;
	v_grid timestamptz;
BEGIN
	SELECT * INTO v_tenant FROM @extschema@.tenants t WHERE t.id = p_tenant;
	IF p_minutes IS NULL OR p_minutes NOT BETWEEN 1 AND 1440 OR (isfinite(p_from) AND isfinite(p_to)) IS NOT TRUE
	   OR p_to - p_from > interval '93 days' THEN
		RAISE EXCEPTION 'free times are looked for within at most 93 days, for 1 to 1440 minutes' USING ERRCODE = 'VA005';
	END IF;
	v_zone := coalesce(v_tenant.timezone, 'UTC');
	v_step := make_interval(mins => greatest(@extschema@.va_setting_integer(v_tenant.settings, 'appointment_slot_minutes', 30), 5));
	v_buffer := make_interval(mins => @extschema@.va_setting_integer(v_tenant.settings, 'appointment_buffer_minutes', 0));
	v_from := greatest(p_from, now() + make_interval(mins => @extschema@.va_setting_integer(v_tenant.settings, 'appointment_notice_minutes', 0)));
	IF v_from >= p_to THEN
		RETURN;
	END IF;
	-- Openings are stepped through from their own beginning, in elapsed time: an hour that comes twice is offered
	-- twice, one that does not exist never. So they must not be cut at v_from.
	v_grid := date_trunc('day', v_from AT TIME ZONE v_zone) AT TIME ZONE v_zone - interval '24 hours';
	RETURN QUERY
	WITH calendars AS MATERIALIZED (
		SELECT c.agent_id, row_number() OVER () AS place,
			   @extschema@.va_calendar_hours(p_tenant, c.agent_id, v_grid, p_to + interval '48 hours') AS hours,
			   @extschema@.va_calendar_busy(c.calendar_id, v_from, p_to, v_buffer) AS busy
		FROM @extschema@.va_calendars(p_tenant, p_agent, NULL, v_from) c)
	SELECT s.at, s.at + make_interval(mins => p_minutes),
		   array_remove(array_agg(c.agent_id ORDER BY c.place), NULL)
	FROM calendars c, unnest(c.hours) AS h,
		 generate_series(lower(h), upper(h) - make_interval(mins => p_minutes), v_step) AS s (at)
	WHERE s.at >= v_from AND s.at + make_interval(mins => p_minutes) <= p_to
	  AND NOT c.busy && tstzrange(s.at, s.at + make_interval(mins => p_minutes))
	GROUP BY s.at ORDER BY s.at LIMIT p_limit;
END
$$;

-- Free times of a tenant within a range: when they begin and end, and who is free then, the best first (an empty
-- array where the tenant has no people).
CREATE FUNCTION @extschema@.va_available_slots(tenant uuid, "from" timestamptz, "to" timestamptz, duration_minutes integer DEFAULT 30,
											   agent uuid DEFAULT NULL)
	RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, agents uuid[])
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT @extschema@.va_acts_for(tenant) OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
	RETURN QUERY SELECT s.starts_at, s.ends_at, s.agents
		FROM @extschema@.va_find_slots(tenant, "from", "to", duration_minutes, agent) s;
END
$$;

-- ---- booking ------------------------------------------------------------------------------------

-- Is the calendar open and free for this time? p_force: its hours and buffers do not matter, its appointments do.
CREATE FUNCTION @extschema@.va_calendar_free(p_tenant uuid, p_calendar uuid, p_agent uuid, p_at timestamptz, p_minutes integer,
											 p_force boolean, p_except uuid DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_end timestamptz := p_at + make_interval(mins => p_minutes);
	v_buffer interval := make_interval(mins => CASE WHEN p_force THEN 0 ELSE @extschema@.va_setting_integer(
		(SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_tenant), 'appointment_buffer_minutes', 0) END);
BEGIN
	RETURN (p_force OR tstzrange(p_at, v_end) <@ @extschema@.va_calendar_hours(p_tenant, p_agent, p_at, v_end))
		AND NOT @extschema@.va_calendar_busy(p_calendar, p_at, v_end, v_buffer, p_except) && tstzrange(p_at, v_end);
END
$$;

CREATE FUNCTION @extschema@.va_refuse_time(p_tenant uuid, p_at timestamptz, p_minutes integer, p_agent uuid) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_zone text := coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_tenant), 'UTC');
	v_next timestamptz := (SELECT s.starts_at FROM @extschema@.va_find_slots(p_tenant, p_at, p_at + interval '14 days', p_minutes, p_agent, 1) s);
BEGIN
	RAISE EXCEPTION 'that time is not free; %', coalesce('the next free time is '
			|| to_char(v_next AT TIME ZONE v_zone, 'FMDay, DD FMMonth YYYY, HH24:MI'), 'nothing is free in the two weeks after it')
		USING ERRCODE = 'VA030', HINT = 'va_available_slots lists free times.';
END
$$;

CREATE FUNCTION @extschema@.va_check_time(p_at timestamptz, p_minutes integer, p_force boolean) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_at IS NULL OR NOT isfinite(p_at) OR p_minutes IS NULL OR p_minutes NOT BETWEEN 1 AND 1440 THEN
		RAISE EXCEPTION 'an appointment needs a time, and lasts 1 to 1440 minutes' USING ERRCODE = 'VA005';
	ELSIF p_at <= now() AND NOT p_force THEN
		RAISE EXCEPTION 'an appointment lies in the future' USING ERRCODE = 'VA005';
	END IF;
END
$$;

-- Books a time with a person, or with the best one that is free then, or, where the tenant has no people, with the
-- tenant. force: also outside the hours, within a buffer or in the past, but never over another
-- appointment.
CREATE FUNCTION @extschema@.va_appointment_book(
	lead uuid, scheduled_at timestamptz, duration_minutes integer DEFAULT 30, agent uuid DEFAULT NULL, title text DEFAULT NULL,
	meeting_type text DEFAULT 'phone', location text DEFAULT NULL, notes text DEFAULT NULL, call uuid DEFAULT NULL,
	description text DEFAULT NULL, meeting_link text DEFAULT NULL, force boolean DEFAULT false) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_of(lead);
	v_at timestamptz := va_appointment_book.scheduled_at;
	v_minutes integer := coalesce(va_appointment_book.duration_minutes, 30);
	v_force boolean := coalesce(force, false);
	v_call @extschema@.calls;
	v_calendar record;
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_check_time(v_at, v_minutes, v_force);
	IF call IS NOT NULL THEN
		v_call := @extschema@.va_call_row(call);
		IF v_call.tenant_id IS DISTINCT FROM v_lead.tenant_id THEN
			RAISE EXCEPTION 'unknown call %', call USING ERRCODE = 'VA004';
		END IF;
	END IF;
	PERFORM @extschema@.va_calendar_lock(v_lead.tenant_id);
	SELECT c.calendar_id, c.agent_id INTO v_calendar
	FROM @extschema@.va_calendars(v_lead.tenant_id, agent, lead, v_at) c
	WHERE @extschema@.va_calendar_free(v_lead.tenant_id, c.calendar_id, c.agent_id, v_at, v_minutes, v_force) LIMIT 1;
	IF NOT FOUND THEN
		PERFORM @extschema@.va_refuse_time(v_lead.tenant_id, v_at, v_minutes, agent);
	END IF;
	INSERT INTO @extschema@.appointments (tenant_id, lead_id, call_id, title, description, scheduled_at, duration_minutes, timezone,
		location, meeting_type, meeting_link, assigned_agent_id, calendar_id, notes)
	VALUES (v_lead.tenant_id, v_lead.id, call, left(coalesce(@extschema@.va_filled(va_appointment_book.title),
			'Appointment with ' || coalesce(@extschema@.va_filled(concat_ws(' ', v_lead.first_name, v_lead.last_name)), v_lead.phone,
											v_lead.email, 'a lead')), 255),
		va_appointment_book.description, v_at, v_minutes, left(@extschema@.va_contact_zone(v_lead), 50),
		left(va_appointment_book.location, 255), coalesce(va_appointment_book.meeting_type, 'phone'), va_appointment_book.meeting_link,
		v_calendar.agent_id, v_calendar.calendar_id, va_appointment_book.notes)
	RETURNING id INTO v_id;
	UPDATE @extschema@.calls c SET outcome = 'appointment_set' WHERE c.id = call AND c.outcome IS DISTINCT FROM 'appointment_set';
	RETURN v_id;
END
$$;

-- The appointment, its tenant's calendars and its row locked.
CREATE FUNCTION @extschema@.va_appointment_row(p_appointment uuid) RETURNS @extschema@.appointments
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_appointment @extschema@.appointments;
	v_tenant uuid := (SELECT a.tenant_id FROM @extschema@.appointments a WHERE a.id = p_appointment);
BEGIN
	IF v_tenant IS NOT NULL AND @extschema@.va_acts_for(v_tenant) THEN
		PERFORM @extschema@.va_calendar_lock(v_tenant);
		SELECT * INTO v_appointment FROM @extschema@.appointments a WHERE a.id = p_appointment FOR NO KEY UPDATE;
	END IF;
	IF v_appointment.id IS NULL THEN
		RAISE EXCEPTION 'unknown appointment %', coalesce(p_appointment::text, 'NULL') USING ERRCODE = 'VA032';
	END IF;
	RETURN v_appointment;
END
$$;

CREATE FUNCTION @extschema@.va_refuse_step(p_from text, p_to text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'an appointment that is % cannot become %', p_from, p_to
		USING ERRCODE = 'VA031', HINT = 'Completed, cancelled and missed appointments stay so: book another one.';
END
$$;

-- Moves a live appointment, to the same person unless another is named. It has to be confirmed anew.
CREATE FUNCTION @extschema@.va_appointment_reschedule(appointment uuid, scheduled_at timestamptz, duration_minutes integer DEFAULT NULL,
													  agent uuid DEFAULT NULL, force boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_old @extschema@.appointments := @extschema@.va_appointment_row(appointment);
	v_at timestamptz := va_appointment_reschedule.scheduled_at;
	v_minutes integer := coalesce(va_appointment_reschedule.duration_minutes, v_old.duration_minutes);
	v_agent uuid := coalesce(agent, v_old.assigned_agent_id);
	v_calendar uuid;
BEGIN
	IF v_old.status NOT IN ('scheduled', 'confirmed') THEN
		PERFORM @extschema@.va_refuse_step(v_old.status, 'rescheduled');
	END IF;
	PERFORM @extschema@.va_check_time(v_at, v_minutes, coalesce(force, false));
	IF v_agent IS NOT NULL THEN
		v_calendar := (SELECT c.calendar_id FROM @extschema@.va_calendars(v_old.tenant_id, v_agent, NULL, v_at) c);
	ELSE
		v_calendar := v_old.calendar_id;
	END IF;
	IF v_calendar IS NOT NULL AND NOT @extschema@.va_calendar_free(v_old.tenant_id, v_calendar, v_agent, v_at, v_minutes,
																   coalesce(force, false), v_old.id) THEN
		PERFORM @extschema@.va_refuse_time(v_old.tenant_id, v_at, v_minutes, v_agent);
	END IF;
	UPDATE @extschema@.appointments a SET scheduled_at = v_at, duration_minutes = v_minutes, status = 'scheduled',
		assigned_agent_id = v_agent, calendar_id = v_calendar, rescheduled_count = a.rescheduled_count + 1,
		agent_name = CASE WHEN v_agent IS DISTINCT FROM a.assigned_agent_id THEN NULL ELSE a.agent_name END,
		agent_email = CASE WHEN v_agent IS DISTINCT FROM a.assigned_agent_id THEN NULL ELSE a.agent_email END
	WHERE a.id = v_old.id;
END
$$;

-- One step of the state machine. The same step again changes nothing and is no error: true when it changed
-- something.
CREATE FUNCTION @extschema@.va_appointment_set(p_appointment uuid, p_status text, p_text text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_old @extschema@.appointments := @extschema@.va_appointment_row(p_appointment);
BEGIN
	IF v_old.status = p_status THEN
		RETURN false;
	ELSIF p_status = 'no_show' AND v_old.scheduled_at > now() THEN
		RAISE EXCEPTION 'nobody can have missed an appointment that is still to come' USING ERRCODE = 'VA031';
	END IF;
	UPDATE @extschema@.appointments a SET status = p_status,
		outcome = CASE WHEN p_status IN ('completed', 'no_show') THEN coalesce(p_text, a.outcome) ELSE a.outcome END,
		cancel_reason = CASE WHEN p_status = 'cancelled' THEN coalesce(p_text, a.cancel_reason) ELSE a.cancel_reason END
	WHERE a.id = p_appointment;
	RETURN true;
END
$$;

CREATE FUNCTION @extschema@.va_appointment_confirm(appointment uuid) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'confirmed');
END
$$;
CREATE FUNCTION @extschema@.va_appointment_cancel(appointment uuid, reason text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'cancelled', reason);
END
$$;
CREATE FUNCTION @extschema@.va_appointment_complete(appointment uuid, outcome text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'completed', outcome);
END
$$;
CREATE FUNCTION @extschema@.va_appointment_no_show(appointment uuid, outcome text DEFAULT NULL) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN @extschema@.va_appointment_set(appointment, 'no_show', outcome);
END
$$;

-- ---- messages -----------------------------------------------------------------------------------

-- What a message says; a tenant's own template of that name takes its place when it is sent.
CREATE FUNCTION @extschema@.va_appointment_text(p_template text, p_appointment @extschema@.appointments, p_company text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_when text := to_char(p_appointment.scheduled_at AT TIME ZONE coalesce(p_appointment.timezone, 'UTC'), 'FMDay, DD FMMonth YYYY, HH24:MI')
		|| format(' (%s)', coalesce(p_appointment.timezone, 'UTC'));
	v_where text := coalesce(' ' || @extschema@.va_filled(coalesce(p_appointment.meeting_link, p_appointment.location)) || '.', '');
BEGIN
	RETURN CASE p_template
		WHEN 'appointment_confirmation' THEN format('%s: your appointment is on %s.%s', p_company, v_when, v_where)
		WHEN 'appointment_feedback' THEN format('%s: thank you for your time. How was our appointment?', p_company)
		ELSE format('%s: we remind you of your appointment on %s.%s', p_company, v_when, v_where) END;
END
$$;

-- By which channel, where and when a message may reach a lead: the first of WhatsApp, SMS, e-mail that the tenant
-- has and the rules of contact allow, if not at p_at then as soon as they do. No channel: none is allowed.
CREATE FUNCTION @extschema@.va_message_route(p_lead @extschema@.leads, p_at timestamptz, OUT channel text, OUT address text,
											 OUT due timestamptz) RETURNS record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id);
	v_types text[] := ARRAY(SELECT DISTINCT n.phone_type::text FROM @extschema@.phone_numbers n
							WHERE n.tenant_id = p_lead.tenant_id AND n.is_active);
	v_verdict record;
BEGIN
	FOREACH channel IN ARRAY ARRAY['whatsapp', 'sms', 'email'] LOOP
		CONTINUE WHEN channel = 'whatsapp' AND NOT coalesce((@extschema@.va_setting(v_settings, 'whatsapp_notifications') #>> '{}')::boolean,
															'whatsapp' = ANY (v_types));
		CONTINUE WHEN channel = 'sms' AND NOT coalesce((@extschema@.va_setting(v_settings, 'sms_notifications') #>> '{}')::boolean,
													   v_types && ARRAY['sms', 'voice']);
		SELECT * INTO v_verdict FROM @extschema@.va_contact_verdict(p_lead, channel, p_at);
		CONTINUE WHEN v_verdict.verdict = 'never' OR v_verdict.verdict = 'not_now' AND v_verdict.until IS NULL;
		address := CASE channel WHEN 'email' THEN lower(p_lead.email) ELSE p_lead.phone END;
		due := CASE v_verdict.verdict WHEN 'yes' THEN p_at ELSE v_verdict.until END;
		RETURN;
	END LOOP;
	channel := NULL;
END
$$;

-- Plans one message of an appointment, or moves the one that is planned. p_last: later than that it is of no use.
CREATE FUNCTION @extschema@.va_appointment_message(p_appointment @extschema@.appointments, p_template text, p_type text,
	p_channel text, p_address text, p_due timestamptz) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_company text := (SELECT t.name FROM @extschema@.tenants t WHERE t.id = p_appointment.tenant_id);
	v_body text := @extschema@.va_appointment_text(p_template, p_appointment, v_company);
BEGIN
	INSERT INTO @extschema@.notifications AS n (tenant_id, lead_id, appointment_id, channel, direction, to_address, subject, body,
		template_id, template_data, scheduled_for, notification_type)
	VALUES (p_appointment.tenant_id, p_appointment.lead_id, p_appointment.id, p_channel, 'outbound', p_address,
		CASE p_channel WHEN 'email' THEN left(p_appointment.title, 255) END, v_body, p_template,
		jsonb_build_object('appointment_id', p_appointment.id, 'title', p_appointment.title, 'scheduled_at', p_appointment.scheduled_at,
			'timezone', p_appointment.timezone, 'duration_minutes', p_appointment.duration_minutes, 'agent_name', p_appointment.agent_name,
			'location', p_appointment.location, 'meeting_link', p_appointment.meeting_link, 'company', v_company,
			'moved', p_appointment.rescheduled_count > 0),
		p_due, p_type)
	ON CONFLICT (appointment_id, template_id, channel) WHERE status = 'pending' DO UPDATE SET
		scheduled_for = excluded.scheduled_for, to_address = excluded.to_address, subject = excluded.subject, body = excluded.body,
		template_data = excluded.template_data;
END
$$;

-- The messages of a live appointment: confirmation at once (by e-mail too, where there is an address), reminders 24
-- hours and one hour before. What has no place any more is withdrawn.
CREATE FUNCTION @extschema@.va_appointment_plan(p_appointment @extschema@.appointments) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_message record;
	v_route record;
	v_email record;
BEGIN
	SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = p_appointment.lead_id;
	UPDATE @extschema@.notifications n SET status = 'cancelled'
	WHERE n.appointment_id = p_appointment.id AND n.status = 'pending' AND (v_lead.id IS NULL OR p_appointment.scheduled_at <= now()
		OR n.template_id = 'appointment_reminder_24h' AND p_appointment.scheduled_at - interval '24 hours' < now()
		OR n.template_id = 'appointment_reminder_1h' AND p_appointment.scheduled_at - interval '1 hour' < now());
	IF v_lead.id IS NULL OR p_appointment.scheduled_at <= now() THEN
		RETURN;
	END IF;
	FOR v_message IN
		SELECT * FROM (VALUES ('appointment_confirmation', 'confirmation', now()),
			('appointment_reminder_24h', 'reminder', p_appointment.scheduled_at - interval '24 hours'),
			('appointment_reminder_1h', 'reminder', p_appointment.scheduled_at - interval '1 hour')) AS m (template, type, due)
		WHERE m.due >= now()
	LOOP
		v_route := @extschema@.va_message_route(v_lead, v_message.due);
		UPDATE @extschema@.notifications n SET status = 'cancelled'
		WHERE n.appointment_id = p_appointment.id AND n.template_id = v_message.template AND n.status = 'pending'
		  AND (v_route.channel IS NULL OR n.channel <> v_route.channel OR v_route.due >= p_appointment.scheduled_at);
		IF v_route.channel IS NOT NULL AND v_route.due < p_appointment.scheduled_at THEN
			PERFORM @extschema@.va_appointment_message(p_appointment, v_message.template, v_message.type, v_route.channel,
													  v_route.address, v_route.due);
		END IF;
		IF v_message.template = 'appointment_confirmation' AND v_route.channel <> 'email' THEN
			SELECT * INTO v_email FROM @extschema@.va_contact_verdict(v_lead, 'email', v_message.due);
			IF v_email.verdict = 'yes' THEN
				PERFORM @extschema@.va_appointment_message(p_appointment, v_message.template, v_message.type, 'email',
														  lower(v_lead.email), v_message.due);
			END IF;
		END IF;
	END LOOP;
END
$$;

-- The state machine's guard, the messages and the event of each step, whoever makes it. AFTER the CHECKs have
-- seen the row. A row that brings an older created_at is one that is restored: its messages come with it.
CREATE FUNCTION @extschema@.va_appointments_follow() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads;
	v_route record;
BEGIN
	IF TG_OP = 'INSERT' THEN
		IF NEW.created_at = now() AND NEW.status IN ('scheduled', 'confirmed') THEN
			PERFORM @extschema@.va_appointment_plan(NEW);
			PERFORM @extschema@.va_emit(NEW.tenant_id, 'appointment_booked', NEW.call_id, NEW.lead_id,
				jsonb_build_object('appointment_id', NEW.id, 'scheduled_at', NEW.scheduled_at, 'agent_id', NEW.assigned_agent_id));
		END IF;
		RETURN NULL;
	END IF;
	IF NOT @extschema@.va_appointment_step(OLD.status, NEW.status) THEN
		PERFORM @extschema@.va_refuse_step(OLD.status, NEW.status);
	END IF;
	IF NEW.status NOT IN ('scheduled', 'confirmed') AND NEW.status <> OLD.status THEN
		UPDATE @extschema@.notifications n SET status = 'cancelled' WHERE n.appointment_id = NEW.id AND n.status = 'pending';
		IF NEW.status = 'completed' THEN
			SELECT * INTO v_lead FROM @extschema@.leads l WHERE l.id = NEW.lead_id;
			v_route := @extschema@.va_message_route(v_lead, now());
			IF v_lead.id IS NOT NULL AND v_route.channel IS NOT NULL THEN
				PERFORM @extschema@.va_appointment_message(NEW, 'appointment_feedback', 'follow_up', v_route.channel, v_route.address, v_route.due);
			END IF;
		END IF;
	ELSIF NEW.status IN ('scheduled', 'confirmed') AND (NEW.scheduled_at, NEW.duration_minutes, NEW.lead_id, NEW.assigned_agent_id, NEW.location, NEW.meeting_link)
		  IS DISTINCT FROM (OLD.scheduled_at, OLD.duration_minutes, OLD.lead_id, OLD.assigned_agent_id, OLD.location, OLD.meeting_link) THEN
		PERFORM @extschema@.va_appointment_plan(NEW);
	END IF;
	IF NEW.status <> OLD.status OR NEW.scheduled_at <> OLD.scheduled_at THEN
		PERFORM @extschema@.va_emit(NEW.tenant_id, CASE WHEN NEW.scheduled_at <> OLD.scheduled_at THEN 'appointment_moved'
				ELSE 'appointment_' || NEW.status END, NEW.call_id, NEW.lead_id,
			jsonb_build_object('appointment_id', NEW.id, 'scheduled_at', NEW.scheduled_at, 'agent_id', NEW.assigned_agent_id));
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER appointments_follow
	AFTER INSERT OR UPDATE OF scheduled_at, duration_minutes, status, lead_id, assigned_agent_id, location, meeting_link
	ON @extschema@.appointments FOR EACH ROW EXECUTE FUNCTION @extschema@.va_appointments_follow();

-- Nothing stays or becomes pending for an appointment that is over: the last word, by whatever way a row is written.
-- The appointment is locked, so that nobody cancels it in the same moment.
CREATE FUNCTION @extschema@.va_notifications_guard() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_status text;
BEGIN
	SELECT a.status INTO v_status FROM @extschema@.appointments a WHERE a.id = NEW.appointment_id FOR SHARE;
	IF v_status NOT IN ('scheduled', 'confirmed') AND NOT (v_status = 'completed' AND NEW.template_id = 'appointment_feedback') THEN
		NEW.status := 'cancelled';
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER notifications_guard BEFORE INSERT OR UPDATE OF status, appointment_id ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.appointment_id IS NOT NULL AND NEW.status = 'pending') EXECUTE FUNCTION @extschema@.va_notifications_guard();

-- What was sent is noted at the appointment. One that somebody is changing in this moment is passed over: it is
-- being moved or ended, and waiting for it here could be waiting for each other.
CREATE FUNCTION @extschema@.va_notifications_note() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.appointments a SET
		confirmation_sent = a.confirmation_sent OR NEW.template_id = 'appointment_confirmation',
		reminder_sent_24h = a.reminder_sent_24h OR NEW.template_id = 'appointment_reminder_24h',
		reminder_sent_1h = a.reminder_sent_1h OR NEW.template_id = 'appointment_reminder_1h'
	WHERE a.id = (SELECT x.id FROM @extschema@.appointments x WHERE x.id = NEW.appointment_id
				  AND (NEW.template_data ->> 'scheduled_at')::timestamptz IS NOT DISTINCT FROM x.scheduled_at
				  FOR NO KEY UPDATE SKIP LOCKED);
	RETURN NULL;
END
$$;
CREATE TRIGGER notifications_note AFTER UPDATE OF status ON @extschema@.notifications FOR EACH ROW
	WHEN (NEW.appointment_id IS NOT NULL AND NEW.status = 'sent' AND OLD.status <> 'sent')
	EXECUTE FUNCTION @extschema@.va_notifications_note();

-- ---- settings -----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_check_appointment_settings(p_settings jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text;
	v_value jsonb;
	v_max integer;
BEGIN
	FOR v_name, v_max IN VALUES ('appointment_slot_minutes', 1440), ('appointment_buffer_minutes', 1440), ('appointment_notice_minutes', 525600) LOOP
		v_value := nullif(p_settings -> v_name, 'null');
		IF v_value IS NOT NULL AND (jsonb_typeof(v_value) = 'number' AND (v_value #>> '{}')::numeric BETWEEN 0 AND v_max
									AND (v_value #>> '{}')::numeric % 1 = 0) IS NOT TRUE THEN
			RAISE EXCEPTION 'setting "%" must be a whole number between 0 and %', v_name, v_max USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
	FOR v_name IN VALUES ('whatsapp_notifications'), ('sms_notifications') LOOP
		IF jsonb_typeof(p_settings -> v_name) NOT IN ('boolean', 'null') THEN
			RAISE EXCEPTION 'setting "%" must be of type boolean, not %', v_name, jsonb_typeof(p_settings -> v_name) USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
	v_value := nullif(p_settings -> 'notification_emails', 'null');
	IF v_value IS NOT NULL AND (jsonb_typeof(v_value) <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements(v_value) e
			WHERE (jsonb_typeof(e) = 'string' AND e #>> '{}' ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$') IS NOT TRUE)) THEN
		RAISE EXCEPTION 'setting "notification_emails" must be a list of e-mail addresses' USING ERRCODE = 'VA009';
	END IF;
END
$$;

-- ---- tools --------------------------------------------------------------------------------------

-- A time as the model writes it, on the tenant's clock unless it names an offset. NULL when it is none.
CREATE FUNCTION @extschema@.va_spoken_time(p_text text, p_zone text) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?$' THEN
		RETURN p_text::timestamp AT TIME ZONE p_zone;
	ELSIF p_text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})$' THEN
		RETURN p_text::timestamptz;
	END IF;
	RETURN NULL;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;

-- check_availability: free times of a day and the days after it, in words of the tenant's clock.
CREATE FUNCTION @extschema@.va_tool_check_availability(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant uuid := (SELECT c.tenant_id FROM @extschema@.calls c WHERE c.id = va_tool_check_availability.call_id);
	v_zone text := coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = v_tenant), 'UTC');
	v_from timestamptz := coalesce(@extschema@.va_spoken_time(coalesce(arguments ->> 'date', '') || ' 00:00', v_zone), now());
	v_days integer := greatest(least(coalesce(@extschema@.va_number(arguments, 'days'), 7), 30), 1);
	v_minutes integer := greatest(least(coalesce(@extschema@.va_number(arguments, 'duration_minutes'), 30), 1440), 5);
	v_part text := arguments ->> 'part_of_day';
	v_slots jsonb;
BEGIN
	v_from := greatest(v_from, now());
	SELECT jsonb_agg(jsonb_build_object('start', to_char(s.at, 'YYYY-MM-DD HH24:MI'), 'in_words', to_char(s.at, 'FMDay, DD FMMonth, HH24:MI')) ORDER BY s.at)
	INTO v_slots
	FROM (SELECT f.starts_at AT TIME ZONE v_zone AS at
		  FROM @extschema@.va_find_slots(v_tenant, v_from, v_from + make_interval(days => v_days), v_minutes, NULL) f
		  WHERE CASE v_part WHEN 'morning' THEN extract(hour FROM f.starts_at AT TIME ZONE v_zone) < 12
				WHEN 'afternoon' THEN extract(hour FROM f.starts_at AT TIME ZONE v_zone) BETWEEN 12 AND 16
				WHEN 'evening' THEN extract(hour FROM f.starts_at AT TIME ZONE v_zone) >= 17 ELSE true END
		  ORDER BY f.starts_at LIMIT 12) s;
	RETURN jsonb_build_object('result', jsonb_build_object('timezone', v_zone, 'free', coalesce(v_slots, '[]')));
END
$$;

-- book_appointment: for the caller, who becomes a lead by it.
CREATE FUNCTION @extschema@.va_tool_book_appointment(call_id uuid, arguments jsonb) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_call @extschema@.calls := @extschema@.va_call_row(va_tool_book_appointment.call_id);
	v_zone text := coalesce((SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = v_call.tenant_id), 'UTC');
	v_at timestamptz := @extschema@.va_spoken_time(arguments ->> 'start', v_zone);
	v_person jsonb := (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(arguments)
					   WHERE key IN ('name', 'first_name', 'last_name', 'phone', 'email'));
	v_id uuid;
	v_appointment @extschema@.appointments;
BEGIN
	IF v_at IS NULL THEN
		RAISE EXCEPTION 'the start must be written like 2027-01-31 14:30' USING ERRCODE = 'VA005';
	END IF;
	IF v_call.lead_id IS NULL OR v_person <> '{}' THEN
		PERFORM @extschema@.va_tool_capture_lead(v_call.id, v_person);
		v_call := @extschema@.va_call_row(v_call.id);
	END IF;
	v_id := @extschema@.va_appointment_book(v_call.lead_id, v_at,
		greatest(least(coalesce(@extschema@.va_number(arguments, 'duration_minutes'), 30), 1440), 5)::integer,
		title => arguments ->> 'title', notes => arguments ->> 'notes', call => v_call.id,
		meeting_type => CASE WHEN arguments ->> 'meeting_type' IN ('in_person', 'phone', 'video') THEN arguments ->> 'meeting_type' END,
		location => arguments ->> 'location');
	SELECT * INTO v_appointment FROM @extschema@.appointments a WHERE a.id = v_id;
	RETURN jsonb_build_object('result', jsonb_build_object('booked', true, 'appointment_id', v_id, 'with', v_appointment.agent_name,
		'when', to_char(v_appointment.scheduled_at AT TIME ZONE v_zone, 'FMDay, DD FMMonth YYYY, HH24:MI'), 'timezone', v_zone));
END
$$;

INSERT INTO @extschema@.tools (name, description, parameters, function, is_builtin) VALUES
('check_availability',
 'Tells free times for an appointment. Use it before you offer a time.',
 '{"type": "object", "properties": {
	"date": {"type": "string", "description": "first day, as 2027-01-31; today if left out"},
	"days": {"type": "integer", "description": "how many days to look at, 7 if left out"},
	"part_of_day": {"type": "string", "enum": ["morning", "afternoon", "evening"]},
	"duration_minutes": {"type": "integer", "description": "30 if left out"}}}',
 '@extschema@.va_tool_check_availability', true),
('book_appointment',
 'Books an appointment for the caller, at a time that check_availability has told and the caller has agreed to.',
 '{"type": "object", "properties": {
	"start": {"type": "string", "description": "as check_availability wrote it: 2027-01-31 14:30"},
	"duration_minutes": {"type": "integer"},
	"title": {"type": "string", "description": "what it is about"},
	"name": {"type": "string", "description": "the caller''s name, if not saved yet"},
	"email": {"type": "string"},
	"phone": {"type": "string", "description": "only if it differs from the number they call from"},
	"meeting_type": {"type": "string", "enum": ["in_person", "phone", "video"]},
	"location": {"type": "string"},
	"notes": {"type": "string"}}, "required": ["start"]}',
 '@extschema@.va_tool_book_appointment', true);

-- ---- rights -------------------------------------------------------------------------------------

GRANT EXECUTE ON FUNCTION @extschema@.va_available_slots(uuid, timestamptz, timestamptz, integer, uuid),
	@extschema@.va_appointment_book(uuid, timestamptz, integer, uuid, text, text, text, text, uuid, text, text, boolean),
	@extschema@.va_appointment_reschedule(uuid, timestamptz, integer, uuid, boolean), @extschema@.va_appointment_confirm(uuid),
	@extschema@.va_appointment_cancel(uuid, text), @extschema@.va_appointment_complete(uuid, text),
	@extschema@.va_appointment_no_show(uuid, text) TO voiceagent_admin, voiceagent_agent;
-- Compliance: whom we may contact, by which channel, and when; what a person has allowed and forbidden, with proof;
-- erasing a person, handing over what is stored, and forgetting in time.

-- Addresses that must not be contacted. The digest finds them; the address itself is forgotten when the person
-- is erased, and the wish to be left alone is kept all the same. tenant_id NULL: for every tenant.
CREATE TABLE @extschema@.do_not_contact (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	address_hash BYTEA NOT NULL CHECK (length(address_hash) = 32),
	address TEXT,                            -- E.164 or lower-case e-mail address; NULL once erased
	channel TEXT NOT NULL DEFAULT 'all' CHECK (channel IN ('all', 'call', 'sms', 'whatsapp', 'email', 'recording')),
	how TEXT,                                -- 'sms STOP', 'told the agent', 'national list', ...
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	CONSTRAINT do_not_contact_key UNIQUE NULLS NOT DISTINCT (tenant_id, address_hash, channel)
);
CREATE INDEX idx_do_not_contact_hash ON @extschema@.do_not_contact (address_hash);

-- What people have said, in order; the newest row of an address and channel counts. Nothing here is changed.
CREATE TABLE @extschema@.consents (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	lead_id UUID REFERENCES @extschema@.leads(id) ON DELETE SET NULL,
	address TEXT NOT NULL,
	channel TEXT NOT NULL CHECK (channel IN ('all', 'call', 'sms', 'whatsapp', 'email', 'recording')),
	granted BOOLEAN NOT NULL,
	what TEXT,                               -- the words that were agreed to
	how TEXT NOT NULL,                       -- web form, spoken, written, keyword, ...
	source TEXT,                             -- where to find it: an address, a call, a document
	proof JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(proof) = 'object'),
	at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp() -- two words of one transaction have an order
);
CREATE INDEX idx_consents_address ON @extschema@.consents (tenant_id, address, channel, at DESC, created_at DESC);
CREATE INDEX idx_consents_lead ON @extschema@.consents (lead_id);

-- Each try to reach a lead. A view and no table: calls and messages are the truth, and a second book of them could
-- only be wrong.
CREATE VIEW @extschema@.contact_attempts WITH (security_invoker = true) AS
SELECT c.tenant_id, c.lead_id, 'call'::text AS channel, coalesce(c.started_at, c.created_at) AS at, c.status::text AS status, c.id AS source_id
FROM @extschema@.calls c WHERE c.direction = 'outbound' AND c.lead_id IS NOT NULL
UNION ALL
SELECT n.tenant_id, n.lead_id, n.channel::text, coalesce(n.sent_at, n.scheduled_for, n.created_at), n.status::text, n.id
FROM @extschema@.notifications n
WHERE n.direction = 'outbound' AND n.lead_id IS NOT NULL AND n.status NOT IN ('pending', 'cancelled', 'received');

-- ---- addresses, channels, zones -----------------------------------------------------------------

-- The word for a channel that counts here; NULL for one that reaches nobody outside.
CREATE FUNCTION @extschema@.va_contact_channel(p_channel text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	CASE lower(p_channel)
		WHEN 'call', 'voice', 'phone', 'ai_call', 'human_call' THEN RETURN 'call';
		WHEN 'sms', 'whatsapp', 'email', 'recording', 'all' THEN RETURN lower(p_channel);
		WHEN 'internal' THEN RETURN NULL;
		ELSE RAISE EXCEPTION 'unknown channel "%"', coalesce(p_channel, 'NULL')
			USING ERRCODE = 'VA005', HINT = 'Channels are call, sms, whatsapp, email, recording and internal.';
	END CASE;
END
$$;

-- As the tables hold it: a number in E.164 or an address in lower case.
CREATE FUNCTION @extschema@.va_contact_address(p_address text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_address LIKE '%@%' THEN
		RETURN lower(btrim(p_address));
	ELSIF @extschema@.va_filled(p_address) IS NULL THEN
		RAISE EXCEPTION 'a number or an e-mail address is needed' USING ERRCODE = 'VA005';
	END IF;
	RETURN @extschema@.va_phone_normalize(p_address);
END
$$;

CREATE FUNCTION @extschema@.va_address_hash(p_address text) RETURNS bytea
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN sha256(convert_to(p_address, 'UTF8'));

-- The zone that a number's country and, where a country has several, area code tell; NULL where they do not. A
-- country of many zones has that of most of its people.
CREATE FUNCTION @extschema@.va_number_zone(phone text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_area text := substr(phone, 3, 3);
BEGIN
	IF phone LIKE '+1%' THEN
		RETURN CASE
			WHEN v_area IN ('206','209','213','236','250','253','279','310','323','341','350','360','408','415','424','425','442','503','509',
				'510','530','541','559','562','564','604','619','626','628','650','657','661','669','672','702','707','714','725','747',
				'760','775','778','805','818','820','831','840','858','909','916','925','949','951','971') THEN 'America/Los_Angeles'
			WHEN v_area IN ('480','520','602','623','928') THEN 'America/Phoenix'
			WHEN v_area IN ('208','303','307','368','385','403','406','435','505','575','587','719','720','780','801','825','915','970','983','986') THEN 'America/Denver'
			WHEN v_area IN ('205','210','214','217','218','219','224','225','228','251','254','256','262','270','281','309','312','314','316','318',
				'319','320','325','331','334','337','346','361','364','402','405','409','414','417','430','431','432','447','464','469','479','501',
				'504','507','512','515','531','534','539','557','563','572','573','580','601','605','608','612','615','618','620','629','630','636',
				'641','651','659','660','662','682','701','708','712','713','715','726','730','731','737','763','769','773','779','785','806','815',
				'816','817','830','832','847','850','870','872','901','903','913','918','920','931','936','938','940','945','952','956','972','975','979','985')
				THEN 'America/Chicago'
			WHEN v_area IN ('306','474','639') THEN 'America/Regina'
			WHEN v_area IN ('204','584') THEN 'America/Winnipeg'
			WHEN v_area = '907' THEN 'America/Anchorage'
			WHEN v_area = '808' THEN 'Pacific/Honolulu'
			WHEN v_area IN ('506','782','902') THEN 'America/Halifax'
			WHEN v_area = '709' THEN 'America/St_Johns'
			WHEN v_area IN ('787','939') THEN 'America/Puerto_Rico'
			WHEN v_area IN ('876','658') THEN 'America/Jamaica'
			WHEN v_area IN ('809','829','849') THEN 'America/Santo_Domingo'
			WHEN v_area = '671' THEN 'Pacific/Guam'
			-- Numbers without a place: no zone.
			WHEN v_area IN ('800','833','844','855','866','877','888','500','521','522','533','544','566','577','588','600','622','700','710','900') THEN NULL
			ELSE 'America/New_York' END;
	END IF;
	RETURN (SELECT z.zone FROM (VALUES
		('20','Africa/Cairo'),('211','Africa/Juba'),('212','Africa/Casablanca'),('213','Africa/Algiers'),('216','Africa/Tunis'),('218','Africa/Tripoli'),
		('220','Africa/Banjul'),('221','Africa/Dakar'),('223','Africa/Bamako'),('225','Africa/Abidjan'),('226','Africa/Ouagadougou'),('228','Africa/Lome'),
		('229','Africa/Porto-Novo'),('230','Indian/Mauritius'),('231','Africa/Monrovia'),('233','Africa/Accra'),('234','Africa/Lagos'),('237','Africa/Douala'),
		('243','Africa/Kinshasa'),('244','Africa/Luanda'),('249','Africa/Khartoum'),('250','Africa/Kigali'),('251','Africa/Addis_Ababa'),('252','Africa/Mogadishu'),
		('254','Africa/Nairobi'),('255','Africa/Dar_es_Salaam'),('256','Africa/Kampala'),('258','Africa/Maputo'),('260','Africa/Lusaka'),('263','Africa/Harare'),
		('264','Africa/Windhoek'),('267','Africa/Gaborone'),('27','Africa/Johannesburg'),
		('30','Europe/Athens'),('31','Europe/Amsterdam'),('32','Europe/Brussels'),('33','Europe/Paris'),('34','Europe/Madrid'),('350','Europe/Gibraltar'),
		('351','Europe/Lisbon'),('352','Europe/Luxembourg'),('353','Europe/Dublin'),('354','Atlantic/Reykjavik'),('355','Europe/Tirane'),('356','Europe/Malta'),
		('357','Asia/Nicosia'),('358','Europe/Helsinki'),('359','Europe/Sofia'),('36','Europe/Budapest'),('370','Europe/Vilnius'),('371','Europe/Riga'),
		('372','Europe/Tallinn'),('373','Europe/Chisinau'),('374','Asia/Yerevan'),('375','Europe/Minsk'),('376','Europe/Andorra'),('377','Europe/Monaco'),
		('380','Europe/Kiev'),('381','Europe/Belgrade'),('382','Europe/Podgorica'),('383','Europe/Belgrade'),('385','Europe/Zagreb'),('386','Europe/Ljubljana'),
		('387','Europe/Sarajevo'),('389','Europe/Skopje'),('39','Europe/Rome'),('40','Europe/Bucharest'),('41','Europe/Zurich'),('420','Europe/Prague'),
		('421','Europe/Bratislava'),('423','Europe/Vaduz'),('43','Europe/Vienna'),('44','Europe/London'),('45','Europe/Copenhagen'),('46','Europe/Stockholm'),
		('47','Europe/Oslo'),('48','Europe/Warsaw'),('49','Europe/Berlin'),
		('501','America/Belize'),('502','America/Guatemala'),('503','America/El_Salvador'),('504','America/Tegucigalpa'),('505','America/Managua'),
		('506','America/Costa_Rica'),('507','America/Panama'),('509','America/Port-au-Prince'),('51','America/Lima'),('52','America/Mexico_City'),
		('53','America/Havana'),('54','America/Argentina/Buenos_Aires'),('55','America/Sao_Paulo'),('56','America/Santiago'),('57','America/Bogota'),
		('58','America/Caracas'),('591','America/La_Paz'),('592','America/Guyana'),('593','America/Guayaquil'),('595','America/Asuncion'),('598','America/Montevideo'),
		('60','Asia/Kuala_Lumpur'),('61','Australia/Sydney'),('617','Australia/Brisbane'),('618','Australia/Adelaide'),('6189','Australia/Perth'),('62','Asia/Jakarta'),
		('63','Asia/Manila'),('64','Pacific/Auckland'),('65','Asia/Singapore'),('66','Asia/Bangkok'),('673','Asia/Brunei'),('675','Pacific/Port_Moresby'),('679','Pacific/Fiji'),
		('7','Europe/Moscow'),('76','Asia/Almaty'),('77','Asia/Almaty'),('81','Asia/Tokyo'),('82','Asia/Seoul'),('84','Asia/Ho_Chi_Minh'),('852','Asia/Hong_Kong'),
		('853','Asia/Macau'),('855','Asia/Phnom_Penh'),('856','Asia/Vientiane'),('86','Asia/Shanghai'),('880','Asia/Dhaka'),('886','Asia/Taipei'),
		('90','Europe/Istanbul'),('91','Asia/Kolkata'),('92','Asia/Karachi'),('93','Asia/Kabul'),('94','Asia/Colombo'),('95','Asia/Yangon'),('960','Indian/Maldives'),
		('961','Asia/Beirut'),('962','Asia/Amman'),('963','Asia/Damascus'),('964','Asia/Baghdad'),('965','Asia/Kuwait'),('966','Asia/Riyadh'),('967','Asia/Aden'),
		('968','Asia/Muscat'),('970','Asia/Gaza'),('971','Asia/Dubai'),('972','Asia/Jerusalem'),('973','Asia/Bahrain'),('974','Asia/Qatar'),('975','Asia/Thimphu'),
		('976','Asia/Ulaanbaatar'),('977','Asia/Kathmandu'),('98','Asia/Tehran'),('992','Asia/Dushanbe'),('993','Asia/Ashgabat'),('994','Asia/Baku'),('995','Asia/Tbilisi'),
		('996','Asia/Bishkek'),('998','Asia/Tashkent')) AS z (prefix, zone)
	WHERE phone LIKE '+' || z.prefix || '%' ORDER BY length(z.prefix) DESC LIMIT 1);
END
$$;

-- Where a lead's clock is: what they said, what their number says, where the tenant is.
CREATE FUNCTION @extschema@.va_contact_zone(p_lead @extschema@.leads) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_own text := @extschema@.va_filled(p_lead.custom_fields ->> 'timezone');
BEGIN
	IF v_own IS NOT NULL AND @extschema@.va_zone_valid(v_own) THEN
		RETURN v_own;
	END IF;
	RETURN coalesce(@extschema@.va_number_zone(p_lead.phone),
		(SELECT t.timezone FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id), 'UTC');
END
$$;

-- ---- may we? ------------------------------------------------------------------------------------

-- Why never, or NULL. The newest word of the person counts, for the channel or for all.
CREATE FUNCTION @extschema@.va_contact_forbidden(p_lead @extschema@.leads, p_channel text, p_address text, p_settings jsonb) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_required jsonb := coalesce(@extschema@.va_setting(p_settings, 'consent_required'), '["recording"]');
	v_granted boolean;
BEGIN
	IF p_address IS NULL THEN
		RETURN CASE p_channel WHEN 'email' THEN 'no e-mail address' ELSE 'no telephone number' END;
	ELSIF EXISTS (SELECT FROM @extschema@.do_not_contact d WHERE d.address_hash = @extschema@.va_address_hash(p_address)
				  AND (d.tenant_id = p_lead.tenant_id OR d.tenant_id IS NULL) AND d.channel IN (p_channel, 'all')) THEN
		RETURN 'on the do-not-contact list';
	END IF;
	SELECT c.granted INTO v_granted FROM @extschema@.consents c
	WHERE c.tenant_id = p_lead.tenant_id AND c.address = p_address AND c.channel IN (p_channel, 'all')
	ORDER BY c.at DESC, c.created_at DESC LIMIT 1;
	IF v_granted IS FALSE THEN
		RETURN 'consent withdrawn';
	ELSIF v_granted IS NULL AND v_required ? p_channel THEN
		RETURN 'no consent';
	END IF;
	RETURN NULL;
END
$$;

-- The first instant from p_at on that is not in the quiet hours, on the lead's clock. NULL: never.
CREATE FUNCTION @extschema@.va_contact_awake(p_zone text, p_settings jsonb, p_at timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_hours jsonb := coalesce(@extschema@.va_setting(p_settings, 'contact_hours'), '{"open": "09:00", "close": "20:00"}');
	v_day integer[] := @extschema@.va_opening_triples(0, jsonb_build_array(jsonb_build_array(v_hours -> 'open', v_hours -> 'close')));
BEGIN
	RETURN @extschema@.va_hours_next(ARRAY(SELECT unnest(ARRAY[d, v_day[2], v_day[3]]) FROM generate_series(0, 6) d), '{}', p_zone, p_at);
END
$$;

-- How often a channel may be tried in 24 hours and in seven days; NULL: as often as one likes.
CREATE FUNCTION @extschema@.va_contact_limit(p_settings jsonb, p_channel text, p_window text) RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_limits jsonb := '{"call": {"day": 3, "week": 7}, "sms": {"day": 5, "week": 15}, "whatsapp": {"day": 5, "week": 20}, "email": {"day": 5, "week": 15}}'::jsonb
		-> p_channel || coalesce(nullif(@extschema@.va_setting(p_settings, 'contact_limits') -> p_channel, 'null'), '{}');
BEGIN
	RETURN @extschema@.va_number(v_limits, p_window)::integer;
END
$$;

-- The first instant from p_at on at which the limits allow another attempt.
CREATE FUNCTION @extschema@.va_contact_rested(p_lead uuid, p_channel text, p_settings jsonb, p_at timestamptz) RETURNS timestamptz
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_window text;
	v_length interval;
	v_limit integer;
	v_oldest timestamptz;
	v_until timestamptz := p_at;
BEGIN
	FOR v_window, v_length IN VALUES ('day', interval '24 hours'), ('week', interval '168 hours') LOOP
		v_limit := @extschema@.va_contact_limit(p_settings, p_channel, v_window);
		CONTINUE WHEN v_limit IS NULL OR v_limit < 1;
		SELECT a.at INTO v_oldest FROM @extschema@.contact_attempts a
		WHERE a.lead_id = p_lead AND a.channel = p_channel AND a.at > p_at - v_length AND a.at <= p_at
		ORDER BY a.at DESC OFFSET v_limit - 1 LIMIT 1;
		IF FOUND THEN
			v_until := greatest(v_until, v_oldest + v_length);
		END IF;
	END LOOP;
	RETURN v_until;
END
$$;

-- Has the lead been in touch within the hour before? An answer disturbs nobody.
CREATE FUNCTION @extschema@.va_lead_in_touch(p_lead uuid, p_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@.calls c WHERE c.lead_id = p_lead AND c.direction = 'inbound' AND c.started_at <= p_at
			AND coalesce(c.ended_at, CASE WHEN c.status IN ('ringing', 'in-progress') THEN least(p_at, c.started_at + interval '4 hours') END) > p_at - interval '1 hour')
		OR EXISTS (SELECT FROM @extschema@.notifications n WHERE n.lead_id = p_lead AND n.direction = 'inbound'
			AND n.created_at <= p_at AND n.created_at > p_at - interval '1 hour');
END
$$;

-- The verdict on a lead's row, for functions that have it already.
CREATE FUNCTION @extschema@.va_contact_verdict(p_lead @extschema@.leads, p_channel text, p_at timestamptz)
	RETURNS TABLE (verdict text, until timestamptz, why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_channel text := @extschema@.va_contact_channel(p_channel);
	v_settings jsonb := (SELECT t.settings FROM @extschema@.tenants t WHERE t.id = p_lead.tenant_id);
	v_zone text;
	v_step timestamptz;
BEGIN
	verdict := 'yes';
	IF v_channel IS NULL THEN
		RETURN NEXT;
		RETURN;
	END IF;
	why := @extschema@.va_contact_forbidden(p_lead, v_channel,
		CASE v_channel WHEN 'email' THEN lower(p_lead.email) ELSE p_lead.phone END, v_settings);
	IF why IS NULL AND 0 IN (@extschema@.va_contact_limit(v_settings, v_channel, 'day'), @extschema@.va_contact_limit(v_settings, v_channel, 'week')) THEN
		why := 'the tenant does not use this channel';
	END IF;
	IF why IS NOT NULL OR v_channel = 'recording' THEN
		verdict := CASE WHEN why IS NULL THEN 'yes' ELSE 'never' END;
		RETURN NEXT;
		RETURN;
	END IF;
	-- Quiet hours push the time on, and so do limits, and each may push it into the other.
	until := p_at;
	v_zone := @extschema@.va_contact_zone(p_lead);
	FOR i IN 1 .. 20 LOOP
		IF v_channel <> 'email' AND NOT @extschema@.va_lead_in_touch(p_lead.id, until) THEN
			v_step := @extschema@.va_contact_awake(v_zone, v_settings, until);
			IF v_step IS DISTINCT FROM until THEN
				why := coalesce(why, 'quiet hours');
				until := v_step;
			END IF;
		END IF;
		EXIT WHEN until IS NULL;
		v_step := @extschema@.va_contact_rested(p_lead.id, v_channel, v_settings, until);
		EXIT WHEN v_step = until;
		why := coalesce(why, 'attempt limit');
		until := v_step;
	END LOOP;
	IF why IS NULL THEN
		until := NULL;
	ELSE
		verdict := 'not_now';
	END IF;
	RETURN NEXT;
END
$$;

-- verdict: yes; not_now, and then until when (NULL: no time is open); never. why: in words.
CREATE FUNCTION @extschema@.va_may_contact(lead uuid, channel text, at timestamptz DEFAULT now())
	RETURNS TABLE (verdict text, until timestamptz, why text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_lead @extschema@.leads := @extschema@.va_lead_of(lead);
BEGIN
	IF va_may_contact.at IS NULL OR NOT isfinite(va_may_contact.at) OR va_may_contact.channel = 'all' THEN
		RAISE EXCEPTION 'a contact has a time and one channel' USING ERRCODE = 'VA005';
	END IF;
	RETURN QUERY SELECT v.verdict, v.until, v.why FROM @extschema@.va_contact_verdict(v_lead, va_may_contact.channel, va_may_contact.at) v;
END
$$;

-- ---- what people say ----------------------------------------------------------------------------

-- What a message that is nothing but a keyword asks for: 'stop', 'start', 'help'; NULL for any other.
CREATE FUNCTION @extschema@.va_opt_out_keyword(message text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN upper(regexp_replace(message, '[[:space:][:punct:]]+', '', 'g'))
			IN ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'CANCEL', 'END', 'QUIT', 'REVOKE', 'OPTOUT') THEN 'stop'
		WHEN upper(regexp_replace(message, '[[:space:][:punct:]]+', '', 'g')) IN ('START', 'YES', 'UNSTOP') THEN 'start'
		WHEN upper(regexp_replace(message, '[[:space:][:punct:]]+', '', 'g')) IN ('HELP', 'INFO') THEN 'help' END;

CREATE FUNCTION @extschema@.va_assert_acts_for(p_tenant uuid) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT @extschema@.va_acts_for(p_tenant) OR NOT EXISTS (SELECT FROM @extschema@.tenants t WHERE t.id = p_tenant) THEN
		RAISE EXCEPTION 'unknown tenant %', coalesce(p_tenant::text, 'NULL') USING ERRCODE = 'VA001';
	END IF;
END
$$;

-- Writes down what an address allows or forbids, as it was said.
CREATE FUNCTION @extschema@.va_consent_record(tenant uuid, address text, channel text, granted boolean, how text, what text DEFAULT NULL,
	source text DEFAULT NULL, proof jsonb DEFAULT '{}', at timestamptz DEFAULT now()) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_address text := @extschema@.va_contact_address(va_consent_record.address);
	v_channel text := @extschema@.va_contact_channel(va_consent_record.channel);
	v_id uuid;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	IF v_channel IS NULL OR va_consent_record.granted IS NULL OR @extschema@.va_filled(va_consent_record.how) IS NULL THEN
		RAISE EXCEPTION 'a consent has a channel, a yes or no, and a how' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.consents (tenant_id, lead_id, address, channel, granted, what, how, source, proof, at)
	VALUES (tenant, (SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = tenant AND (l.phone = v_address OR lower(l.email) = v_address)
					 ORDER BY l.created_at, l.id LIMIT 1),
		v_address, v_channel, va_consent_record.granted, va_consent_record.what, va_consent_record.how, va_consent_record.source,
		coalesce(va_consent_record.proof, '{}'), coalesce(va_consent_record.at, now()))
	RETURNING id INTO v_id;
	RETURN v_id;
END
$$;

-- Nothing more to this address: what is planned is withdrawn in the same transaction. Returns how many messages and
-- tasks that were.
CREATE FUNCTION @extschema@.va_opt_out(tenant uuid, address text, channel text DEFAULT 'all', how text DEFAULT 'asked') RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_address text := @extschema@.va_contact_address(va_opt_out.address);
	v_channel text := @extschema@.va_contact_channel(coalesce(va_opt_out.channel, 'all'));
	v_leads uuid[];
	v_messages integer;
	v_tasks integer;
BEGIN
	PERFORM @extschema@.va_consent_record(tenant, v_address, v_channel, false, coalesce(va_opt_out.how, 'asked'));
	INSERT INTO @extschema@.do_not_contact (tenant_id, address_hash, address, channel, how)
	VALUES (tenant, @extschema@.va_address_hash(v_address), v_address, v_channel, coalesce(va_opt_out.how, 'asked'))
	ON CONFLICT ON CONSTRAINT do_not_contact_key DO UPDATE SET address = excluded.address;
	v_leads := ARRAY(SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = tenant AND (l.phone = v_address OR lower(l.email) = v_address));
	UPDATE @extschema@.notifications n SET status = 'cancelled', error_message = 'opted out'
	WHERE n.tenant_id = tenant AND n.status = 'pending' AND n.direction IS DISTINCT FROM 'inbound'
	  AND (v_channel = 'all' OR n.channel = v_channel)
	  AND (lower(n.to_address) = v_address OR n.lead_id = ANY (v_leads) AND (n.channel = 'email') = (v_address LIKE '%@%'));
	GET DIAGNOSTICS v_messages = ROW_COUNT;
	UPDATE @extschema@.follow_up_tasks f SET status = 'cancelled', result = '{"why": "opted out"}'
	WHERE f.tenant_id = tenant AND f.status = 'pending' AND f.lead_id = ANY (v_leads)
	  AND f.task_type IN ('call', 'sms', 'whatsapp', 'email') AND (v_channel = 'all' OR f.task_type = v_channel)
	  AND (f.task_type = 'email') = (v_address LIKE '%@%');
	GET DIAGNOSTICS v_tasks = ROW_COUNT;
	PERFORM @extschema@.va_emit(tenant, 'opted_out', NULL, v_leads[1], jsonb_build_object('channel', v_channel, 'how', va_opt_out.how));
	RETURN v_messages + v_tasks;
END
$$;

-- The person wants to hear from us again. True when something had stood in the way.
CREATE FUNCTION @extschema@.va_opt_in(tenant uuid, address text, channel text DEFAULT 'all', how text DEFAULT 'asked') RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_address text := @extschema@.va_contact_address(va_opt_in.address);
	v_channel text := @extschema@.va_contact_channel(coalesce(va_opt_in.channel, 'all'));
	v_found boolean;
BEGIN
	PERFORM @extschema@.va_consent_record(tenant, v_address, v_channel, true, coalesce(va_opt_in.how, 'asked'));
	DELETE FROM @extschema@.do_not_contact d
	WHERE d.tenant_id = tenant AND d.address_hash = @extschema@.va_address_hash(v_address) AND (v_channel = 'all' OR d.channel = v_channel);
	v_found := FOUND;
	PERFORM @extschema@.va_emit(tenant, 'opted_in', NULL, NULL, jsonb_build_object('channel', v_channel, 'how', va_opt_in.how));
	RETURN v_found;
END
$$;

-- ---- one person everywhere ----------------------------------------------------------------------

-- Which leads, calls and addresses are the person's.
CREATE FUNCTION @extschema@.va_person_scope(p_tenant uuid, p_phone text, p_email text, OUT leads uuid[], OUT calls uuid[], OUT addresses text[])
	RETURNS record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	addresses := array_remove(ARRAY[@extschema@.va_phone_normalize(@extschema@.va_filled(p_phone)), lower(@extschema@.va_filled(p_email))], NULL);
	IF addresses = '{}' THEN
		RAISE EXCEPTION 'a person is named by number, e-mail address or both' USING ERRCODE = 'VA005';
	END IF;
	leads := ARRAY(SELECT l.id FROM @extschema@.leads l WHERE l.tenant_id = p_tenant
				   AND (l.phone = ANY (addresses) OR lower(l.email) = ANY (addresses)));
	addresses := ARRAY(SELECT DISTINCT x FROM (SELECT unnest(addresses) AS x
		UNION ALL SELECT l.phone FROM @extschema@.leads l WHERE l.id = ANY (leads)
		UNION ALL SELECT lower(l.email) FROM @extschema@.leads l WHERE l.id = ANY (leads)) a WHERE x IS NOT NULL ORDER BY x);
	calls := ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant
				   AND (c.lead_id = ANY (leads) OR c.from_number = ANY (addresses) OR c.to_number = ANY (addresses)));
END
$$;

-- Every table that can hold rows of a person, and the condition that finds them: $1 tenant, $2 leads, $3 calls, $4
-- addresses. Read from the catalogue, so that a table is covered by being there: columns lead_id and call_id, foreign
-- keys to leads and calls, and columns that by their names hold an address. Left out are the
-- tenant's own: its staff, its numbers, its configuration.
CREATE FUNCTION @extschema@.va_person_tables() RETURNS TABLE (tab regclass, name text, condition text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY
	SELECT c.oid::regclass, c.relname::text, format('tenant_id = $1 AND (%s)', string_agg(x.piece, ' OR ' ORDER BY x.piece))
	FROM pg_depend d
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	CROSS JOIN LATERAL (SELECT CASE
		WHEN a.attname = 'id' AND c.oid = '@extschema@.leads'::regclass THEN 'id = ANY ($2)'
		WHEN a.attname = 'id' AND c.oid = '@extschema@.calls'::regclass THEN 'id = ANY ($3)'
		WHEN a.atttypid = 'uuid'::regtype AND (a.attname = 'lead_id' OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid
			AND k.contype = 'f' AND k.confrelid = '@extschema@.leads'::regclass AND k.conkey = ARRAY[a.attnum]))
			THEN format('%I = ANY ($2)', a.attname)
		WHEN a.atttypid = 'uuid'::regtype AND (a.attname = 'call_id' OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid
			AND k.contype = 'f' AND k.confrelid = '@extschema@.calls'::regclass AND k.conkey = ARRAY[a.attnum]))
			THEN format('%I = ANY ($3)', a.attname)
		WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND a.attname ~ '^(.*_)?(phone|email|address|from_number|to_number)$'
			THEN format('lower(%I) = ANY ($4)', a.attname) END AS piece) x
	WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND x.piece IS NOT NULL
	  AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped)
	  AND c.relname NOT IN ('tenants', 'phone_numbers', 'human_agents', 'tenant_voice_configs', 'call_tokens', 'webhook_receipts')
	GROUP BY c.oid, c.relname ORDER BY c.relname;
END
$$;

-- Everything that is stored about a person: an object of tables and their rows.
CREATE FUNCTION @extschema@.va_export_person(tenant uuid, phone text DEFAULT NULL, email text DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_scope record;
	v_table record;
	v_rows jsonb;
	v_export jsonb := '{}';
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	v_scope := @extschema@.va_person_scope(tenant, phone, email);
	FOR v_table IN SELECT * FROM @extschema@.va_person_tables() LOOP
		EXECUTE format('SELECT jsonb_agg(to_jsonb(x)) FROM %s x WHERE %s', v_table.tab, v_table.condition)
			INTO v_rows USING tenant, v_scope.leads, v_scope.calls, v_scope.addresses;
		IF v_rows IS NOT NULL THEN
			v_export := v_export || jsonb_build_object(v_table.name, v_rows);
		END IF;
	END LOOP;
	RETURN v_export;
END
$$;

-- Takes everything personal out of calls; what is left are times, counts and results. Every column that is not
-- named here as harmless is set to its default, so that a new one is erased unless somebody decides otherwise.
CREATE FUNCTION @extschema@.va_calls_blank(p_calls uuid[]) RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_set text := (SELECT string_agg(format('%I = DEFAULT', a.attname), ', ')
		FROM pg_attribute a WHERE a.attrelid = '@extschema@.calls'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		  AND a.attname NOT IN ('id', 'tenant_id', 'direction', 'status', 'status_sequence', 'duration_seconds', 'started_at', 'ended_at',
			'conversation_turns', 'ai_handled', 'escalated_to_human', 'resume_count', 'last_resumed_at', 'end_requested_at', 'end_reason',
			'recording_duration', 'sentiment_score', 'outcome', 'created_at', 'updated_at', 'phone_number_id'));
	v_count integer;
BEGIN
	EXECUTE format('UPDATE @extschema@.calls SET %s WHERE id = ANY ($1)', v_set) USING p_calls;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END
$$;

-- Deletes the rows that a condition finds in each table, in an order that foreign keys allow: a table whose turn
-- comes too early is tried again after the others.
CREATE FUNCTION @extschema@.va_person_delete(p_tenant uuid, p_leads uuid[], p_calls uuid[], p_addresses text[]) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_left text[] := ARRAY(SELECT t.name FROM @extschema@.va_person_tables() t
						   WHERE t.name NOT IN ('calls', 'call_metrics', 'agent_reservations', 'do_not_contact'));
	v_again text[];
	v_table record;
	v_count bigint;
	v_done jsonb := '{}';
BEGIN
	LOOP
		v_again := '{}';
		FOR v_table IN SELECT t.* FROM @extschema@.va_person_tables() t WHERE t.name = ANY (v_left) LOOP
			BEGIN
				EXECUTE format('DELETE FROM %s WHERE %s', v_table.tab, v_table.condition) USING p_tenant, p_leads, p_calls, p_addresses;
				GET DIAGNOSTICS v_count = ROW_COUNT;
				IF v_count > 0 THEN
					v_done := v_done || jsonb_build_object(v_table.name, v_count);
				END IF;
			EXCEPTION WHEN foreign_key_violation THEN
				IF cardinality(v_left) = 1 THEN
					RAISE;
				END IF;
				v_again := v_again || v_table.name;
			END;
		END LOOP;
		IF v_again = '{}' THEN
			RETURN v_done;
		END IF;
		v_left := v_again;
	END LOOP;
END
$$;

-- Erases a person: leads, messages, appointments, tasks, sessions, events, consents and what else refers to them are
-- deleted, calls keep their times and counts alone, and of the do-not-contact list the digest remains. Returns
-- what was done, and which recordings lie with Twilio and must be deleted there.
CREATE FUNCTION @extschema@.va_erase_person(tenant uuid, phone text DEFAULT NULL, email text DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_scope record;
	v_recordings jsonb;
	v_deleted jsonb;
	v_blanked integer;
	v_forgotten integer;
BEGIN
	PERFORM @extschema@.va_assert_acts_for(tenant);
	v_scope := @extschema@.va_person_scope(tenant, va_erase_person.phone, va_erase_person.email);
	PERFORM FROM @extschema@.calls c WHERE c.id = ANY (v_scope.calls) ORDER BY c.id FOR NO KEY UPDATE;
	SELECT coalesce(jsonb_agg(jsonb_build_object('call_id', c.id, 'call_sid', c.twilio_call_sid, 'recording_sid', c.recording_sid,
		'url', c.recording_url) ORDER BY c.id), '[]') INTO v_recordings
	FROM @extschema@.calls c WHERE c.id = ANY (v_scope.calls) AND c.recording_url IS NOT NULL;
	v_blanked := @extschema@.va_calls_blank(v_scope.calls);
	v_deleted := @extschema@.va_person_delete(tenant, v_scope.leads, v_scope.calls, v_scope.addresses);
	UPDATE @extschema@.do_not_contact d SET address = NULL WHERE d.tenant_id = tenant AND d.address = ANY (v_scope.addresses);
	GET DIAGNOSTICS v_forgotten = ROW_COUNT;
	PERFORM @extschema@.va_emit(tenant, 'person_erased', NULL, NULL, jsonb_build_object('deleted', v_deleted, 'calls_blanked', v_blanked));
	RETURN jsonb_build_object('deleted', v_deleted, 'calls_blanked', v_blanked, 'do_not_contact_kept_as_digest', v_forgotten,
							  'recordings_at_twilio', v_recordings);
END
$$;

-- ---- retention ----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_retention_days(p_settings jsonb, p_kind text) RETURNS interval
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN make_interval(days => least(@extschema@.va_number(coalesce(nullif(p_settings -> 'retention_days', 'null'), '{}')
		|| CASE WHEN p_settings -> 'retention_days' ? p_kind THEN '{}'
				ELSE coalesce(@extschema@.va_setting('{}', 'retention_days'), '{}') END, p_kind), 100000)::integer);
END
$$;

-- One tenant's old data, at most p_limit rows of each kind; how many went. Kinds without a number of days stay.
CREATE FUNCTION @extschema@.va_retention_tenant(p_tenant uuid, p_settings jsonb, p_limit integer) RETURNS jsonb
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_age interval;
	v_ids uuid[];
	v_lead @extschema@.leads;
	v_done jsonb := '{}';
BEGIN
	v_age := @extschema@.va_retention_days(p_settings, 'transcripts');
	IF v_age IS NOT NULL THEN
		v_ids := ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.ended_at < now() - v_age
			AND (c.transcript <> '[]' OR c.transcript_summary IS NOT NULL OR c.entities_extracted <> '{}') LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED);
		DELETE FROM @extschema@.call_events e WHERE e.call_id = ANY (v_ids);
		DELETE FROM @extschema@.tool_invocations i WHERE i.call_id = ANY (v_ids);
		DELETE FROM @extschema@.conversation_sessions s WHERE s.call_id = ANY (v_ids);
		UPDATE @extschema@.calls c SET transcript = '[]', transcript_summary = NULL, entities_extracted = '{}' WHERE c.id = ANY (v_ids);
		v_done := v_done || jsonb_build_object('transcripts', cardinality(v_ids));
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'recordings');
	IF v_age IS NOT NULL THEN
		FOR v_ids IN SELECT ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.tenant_id = p_tenant AND c.ended_at < now() - v_age
			AND c.recording_url IS NOT NULL LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
		LOOP
			-- The recording itself lies with Twilio: whoever listens to this event deletes it there.
			PERFORM @extschema@.va_emit(p_tenant, 'recording_expired', c.id, c.lead_id,
				jsonb_build_object('recording_sid', c.recording_sid, 'url', c.recording_url)) FROM @extschema@.calls c WHERE c.id = ANY (v_ids);
			UPDATE @extschema@.calls c SET recording_url = NULL, recording_sid = NULL WHERE c.id = ANY (v_ids);
			v_done := v_done || jsonb_build_object('recordings', cardinality(v_ids));
		END LOOP;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'messages');
	IF v_age IS NOT NULL THEN
		WITH gone AS (DELETE FROM @extschema@.notifications n WHERE n.id IN (SELECT o.id FROM @extschema@.notifications o
			WHERE o.tenant_id = p_tenant AND o.created_at < now() - v_age AND o.status NOT IN ('pending', 'queued', 'sending')
			LIMIT p_limit FOR UPDATE SKIP LOCKED) RETURNING 1)
		SELECT v_done || jsonb_build_object('messages', count(*)) INTO v_done FROM gone;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'tasks');
	IF v_age IS NOT NULL THEN
		WITH gone AS (DELETE FROM @extschema@.follow_up_tasks f WHERE f.id IN (SELECT o.id FROM @extschema@.follow_up_tasks o
			WHERE o.tenant_id = p_tenant AND o.scheduled_for < now() - v_age AND o.status NOT IN ('pending', 'in_progress')
			LIMIT p_limit FOR UPDATE SKIP LOCKED) RETURNING 1)
		SELECT v_done || jsonb_build_object('tasks', count(*)) INTO v_done FROM gone;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'events');
	IF v_age IS NOT NULL THEN
		WITH gone AS (DELETE FROM @extschema@.analytics_events a WHERE a.id IN (SELECT o.id FROM @extschema@.analytics_events o
			WHERE o.tenant_id = p_tenant AND o.created_at < now() - v_age LIMIT p_limit FOR UPDATE SKIP LOCKED) RETURNING 1)
		SELECT v_done || jsonb_build_object('events', count(*)) INTO v_done FROM gone;
	END IF;
	v_age := @extschema@.va_retention_days(p_settings, 'leads');
	IF v_age IS NOT NULL THEN
		v_ids := '{}';
		FOR v_lead IN SELECT l.* FROM @extschema@.leads l WHERE l.tenant_id = p_tenant AND l.updated_at < now() - v_age
			AND l.status IN ('closed_lost', 'closed_won', 'archived') ORDER BY l.updated_at LIMIT least(p_limit, 100) FOR UPDATE SKIP LOCKED
		LOOP
			-- By the lead's row alone: another lead of the same person may be alive.
			PERFORM @extschema@.va_calls_blank(ARRAY(SELECT c.id FROM @extschema@.calls c WHERE c.lead_id = v_lead.id));
			PERFORM @extschema@.va_person_delete(p_tenant, ARRAY[v_lead.id], '{}', '{}');
			v_ids := v_ids || v_lead.id;
		END LOOP;
		v_done := v_done || jsonb_build_object('leads', cardinality(v_ids));
	END IF;
	RETURN v_done;
END
$$;

-- Called by va_housekeeping: forgets what is older than retention_days says, in portions. Returns the counts.
CREATE FUNCTION @extschema@.va_retention_apply(batch integer DEFAULT 1000) RETURNS jsonb
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_tenant record;
	v_done jsonb := '{}';
BEGIN
	FOR v_tenant IN SELECT t.id, t.settings FROM @extschema@.tenants t
		WHERE jsonb_typeof(t.settings -> 'retention_days') = 'object'
		   OR EXISTS (SELECT FROM @extschema@.settings s WHERE s.name = 'retention_days') ORDER BY t.id
	LOOP
		v_done := (SELECT coalesce(jsonb_object_agg(k, coalesce((v_done ->> k)::bigint, 0) + coalesce((n.counts ->> k)::bigint, 0)), '{}')
			FROM (SELECT @extschema@.va_retention_tenant(v_tenant.id, v_tenant.settings, greatest(batch, 1)) AS counts) n,
				 LATERAL (SELECT jsonb_object_keys(v_done || n.counts) AS k) keys);
	END LOOP;
	RETURN v_done;
END
$$;

-- ---- settings -----------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.va_check_number_object(p_name text, p_object jsonb, p_keys text[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_key text;
	v_value jsonb;
BEGIN
	IF jsonb_typeof(p_object) <> 'object' THEN
		RAISE EXCEPTION 'setting "%" must be of type object, not %', p_name, jsonb_typeof(p_object) USING ERRCODE = 'VA009';
	END IF;
	FOR v_key, v_value IN SELECT key, value FROM jsonb_each(p_object) LOOP
		IF v_key <> ALL (p_keys) THEN
			RAISE EXCEPTION 'setting "%" has an unknown key "%"', p_name, v_key
				USING ERRCODE = 'VA009', HINT = 'Known are ' || array_to_string(p_keys, ', ') || '.';
		ELSIF (jsonb_typeof(v_value) = 'number' AND (v_value #>> '{}')::numeric BETWEEN 0 AND 100000 AND (v_value #>> '{}')::numeric % 1 = 0
			   OR v_value = 'null') IS NOT TRUE THEN
			RAISE EXCEPTION 'setting "%", "%" must be a whole number from 0 to 100000', p_name, v_key USING ERRCODE = 'VA009';
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION @extschema@.va_check_compliance_settings(p_settings jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_channel text;
	v_value jsonb;
BEGIN
	v_value := nullif(p_settings -> 'contact_hours', 'null');
	IF v_value IS NOT NULL THEN
		IF jsonb_typeof(v_value) <> 'object' OR v_value - ARRAY['open', 'close'] <> '{}' THEN
			RAISE EXCEPTION 'setting "contact_hours" must be an object as {"open": "09:00", "close": "20:00"}' USING ERRCODE = 'VA009';
		END IF;
		PERFORM @extschema@.va_check_openings('setting "contact_hours"', jsonb_build_array(jsonb_build_array(v_value -> 'open', v_value -> 'close')));
	END IF;
	v_value := nullif(p_settings -> 'consent_required', 'null');
	IF v_value IS NOT NULL AND (jsonb_typeof(v_value) <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements(v_value) e
			WHERE (jsonb_typeof(e) = 'string' AND e #>> '{}' IN ('call', 'sms', 'whatsapp', 'email', 'recording')) IS NOT TRUE)) THEN
		RAISE EXCEPTION 'setting "consent_required" must be a list of channels'
			USING ERRCODE = 'VA009', HINT = 'Channels are call, sms, whatsapp, email and recording.';
	END IF;
	v_value := nullif(p_settings -> 'contact_limits', 'null');
	IF v_value IS NOT NULL AND jsonb_typeof(v_value) <> 'object' THEN
		RAISE EXCEPTION 'setting "contact_limits" must be of type object, not %', jsonb_typeof(v_value) USING ERRCODE = 'VA009';
	END IF;
	FOR v_channel, v_value IN SELECT key, value FROM jsonb_each(coalesce(v_value, '{}')) LOOP
		IF v_channel NOT IN ('call', 'sms', 'whatsapp', 'email') THEN
			RAISE EXCEPTION 'setting "contact_limits" has an unknown channel "%"', v_channel USING ERRCODE = 'VA009';
		END IF;
		PERFORM @extschema@.va_check_number_object('contact_limits, ' || v_channel, v_value, ARRAY['day', 'week']);
	END LOOP;
	IF nullif(p_settings -> 'retention_days', 'null') IS NOT NULL THEN
		PERFORM @extschema@.va_check_number_object('retention_days', p_settings -> 'retention_days',
			ARRAY['transcripts', 'recordings', 'messages', 'tasks', 'events', 'leads']);
	END IF;
END
$$;

CREATE FUNCTION @extschema@.va_check_tenant_rules() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_appointment_settings(NEW.settings), @extschema@.va_check_compliance_settings(NEW.settings);
	RETURN NEW;
END
$$;
CREATE TRIGGER tenants_check_rules BEFORE INSERT OR UPDATE OF settings ON @extschema@.tenants
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_tenant_rules();

CREATE FUNCTION @extschema@.va_check_platform_rules() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM @extschema@.va_check_appointment_settings(jsonb_build_object(NEW.name, NEW.value)),
			@extschema@.va_check_compliance_settings(jsonb_build_object(NEW.name, NEW.value));
	RETURN NEW;
END
$$;
CREATE TRIGGER settings_check_rules BEFORE INSERT OR UPDATE ON @extschema@.settings
	FOR EACH ROW EXECUTE FUNCTION @extschema@.va_check_platform_rules();

-- ---- rights -------------------------------------------------------------------------------------

GRANT SELECT ON @extschema@.do_not_contact, @extschema@.consents, @extschema@.contact_attempts TO voiceagent_admin, voiceagent_agent;
-- Lists that are imported, for one tenant or all.
GRANT INSERT, UPDATE, DELETE ON @extschema@.do_not_contact TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_may_contact(uuid, text, timestamptz), @extschema@.va_opt_out(uuid, text, text, text),
	@extschema@.va_opt_in(uuid, text, text, text), @extschema@.va_opt_out_keyword(text), @extschema@.va_number_zone(text),
	@extschema@.va_consent_record(uuid, text, text, boolean, text, text, text, jsonb, timestamptz),
	@extschema@.va_export_person(uuid, text, text), @extschema@.va_erase_person(uuid, text, text)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_retention_apply(integer), @extschema@.va_address_hash(text) TO voiceagent_admin;
-- API keys: what a program outside shows to act for a tenant. The key itself is told once, when it is made; the table
-- holds its SHA-256. That needs no salt: a key is 192 random bits, not something that people think up.

CREATE TABLE @extschema@.api_keys (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
	key_hash BYTEA NOT NULL UNIQUE CHECK (length(key_hash) = 32),
	hint TEXT NOT NULL,                      -- its first characters, to know it again by
	scope TEXT[] NOT NULL DEFAULT '{}',
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	expires_at TIMESTAMPTZ,
	last_used_at TIMESTAMPTZ,                -- to the minute
	revoked_at TIMESTAMPTZ,
	CHECK (array_position(scope, NULL) IS NULL)
);
CREATE UNIQUE INDEX idx_api_keys_name ON @extschema@.api_keys (tenant_id, name) WHERE revoked_at IS NULL;

-- Makes a key and returns it, this once. scope: words such as 'leads:read'; '{}' is a key that may nothing.
CREATE FUNCTION @extschema@.va_api_key_create(tenant uuid, name text, scope text[] DEFAULT '{}', expires_at timestamptz DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	-- Two UUIDs carry 244 bits of the server's strong randomness, of which 192 are taken.
	v_key text := 'va_' || substr(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 1, 48);
	v_scope text[] := coalesce(va_api_key_create.scope, '{}');
BEGIN
	PERFORM @extschema@.va_assert_tenant(tenant);
	IF @extschema@.va_filled(va_api_key_create.name) IS NULL
	   OR EXISTS (SELECT FROM unnest(v_scope) s WHERE (s ~ '^[a-z][a-z0-9_:.*-]{0,62}$') IS NOT TRUE) THEN
		RAISE EXCEPTION 'a key needs a name, and a scope of words like leads:read' USING ERRCODE = 'VA005';
	ELSIF va_api_key_create.expires_at <= now() THEN
		RAISE EXCEPTION 'a key expires in the future' USING ERRCODE = 'VA005';
	END IF;
	INSERT INTO @extschema@.api_keys (tenant_id, name, key_hash, hint, scope, expires_at)
	VALUES (tenant, btrim(va_api_key_create.name), sha256(v_key::bytea), substr(v_key, 1, 9),
			ARRAY(SELECT DISTINCT s FROM unnest(v_scope) s ORDER BY s), va_api_key_create.expires_at);
	RETURN v_key;
END
$$;

-- True when there was one in force.
CREATE FUNCTION @extschema@.va_api_key_revoke(key_id uuid) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE @extschema@.api_keys k SET revoked_at = now()
	WHERE k.id = va_api_key_revoke.key_id AND k.revoked_at IS NULL AND @extschema@.va_acts_for(k.tenant_id);
	RETURN FOUND;
END
$$;

-- Whose key is it, and for what? No row for a key that is unknown, revoked, expired, or of a tenant that is not
-- active. For the gateway. It is looked up by its digest, so there is nothing to compare whose time could
-- betray it. The use is noted once a minute, and not at all while somebody else does it.
CREATE FUNCTION @extschema@.va_api_key_check(key text) RETURNS TABLE (tenant_id uuid, scope text[], key_id uuid)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_key @extschema@.api_keys;
BEGIN
	SELECT k.* INTO v_key FROM @extschema@.api_keys k JOIN @extschema@.tenants t ON t.id = k.tenant_id AND t.status = 'active'
	WHERE k.key_hash = sha256(convert_to(coalesce(va_api_key_check.key, ''), 'UTF8')) AND k.revoked_at IS NULL
	  AND (k.expires_at IS NULL OR k.expires_at > now());
	IF NOT FOUND THEN
		RETURN;
	END IF;
	IF (v_key.last_used_at > now() - interval '1 minute') IS NOT TRUE THEN
		UPDATE @extschema@.api_keys k SET last_used_at = now()
		WHERE k.id = (SELECT x.id FROM @extschema@.api_keys x WHERE x.id = v_key.id FOR NO KEY UPDATE SKIP LOCKED);
	END IF;
	RETURN QUERY SELECT v_key.tenant_id, v_key.scope, v_key.id;
END
$$;

GRANT SELECT (id, tenant_id, name, hint, scope, created_at, expires_at, last_used_at, revoked_at) ON @extschema@.api_keys
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_api_key_create(uuid, text, text[], timestamptz), @extschema@.va_api_key_revoke(uuid)
	TO voiceagent_admin;
GRANT EXECUTE ON FUNCTION @extschema@.va_api_key_check(text) TO voiceagent_gateway;
-- A row of one tenant cannot point at a row of another. Every foreign key between two tables that belong to
-- tenants is here made one of (tenant_id, column) to (tenant_id, id); the loop reads the catalogue, so that a table of
-- the files before is covered by being there, and the test `tenant_keys` sees that none was missed.
--
-- The keys of the specification stay and get the new one beside them: their tables allow a tenant_id of NULL, and
-- then only the simple key holds. Where tenant_id cannot be NULL the new key takes the place of the simple one,
-- so that hot tables are checked once.

-- A call has a tenant, and so has what belongs to it.
ALTER TABLE @extschema@.tool_invocations ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE @extschema@.call_events ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE @extschema@.call_metrics ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE @extschema@.call_tokens ALTER COLUMN tenant_id SET NOT NULL;

-- People, where the specification names them without a key.
ALTER TABLE @extschema@.leads
	ADD CONSTRAINT leads_assigned_to_fkey FOREIGN KEY (assigned_to) REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL;
ALTER TABLE @extschema@.appointments
	ADD CONSTRAINT appointments_assigned_agent_id_fkey FOREIGN KEY (assigned_agent_id) REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL;
ALTER TABLE @extschema@.follow_up_tasks
	ADD CONSTRAINT follow_up_tasks_assigned_to_fkey FOREIGN KEY (assigned_to) REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL;

-- Every foreign key from a table with tenant_id to another one, `tenants` apart. has_tenant: tenant_id is part of
-- it; doubled: another one that has it covers the same column; tenant_known: tenant_id cannot be NULL.
CREATE FUNCTION @extschema@.va_tenant_links()
	RETURNS TABLE (conname name, conrelid oid, confrelid oid, confdeltype "char", column_name name, has_tenant boolean, doubled boolean,
				   tenant_known boolean)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY
	WITH ours AS (
		SELECT c.oid, a.attnum AS tenant, a.attnotnull FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
		JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'p') AND NOT c.relispartition)
	SELECT k.conname, k.conrelid, k.confrelid, k.confdeltype, a.attname, s.tenant = ANY (k.conkey),
		EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = k.conrelid AND o.confrelid = k.confrelid AND o.contype = 'f'
				AND o.oid <> k.oid AND o.conkey @> (k.conkey || s.tenant)),
		s.attnotnull
	FROM pg_constraint k JOIN ours s ON s.oid = k.conrelid JOIN ours t ON t.oid = k.confrelid
	CROSS JOIN LATERAL (SELECT x.attname FROM pg_attribute x WHERE x.attrelid = k.conrelid AND x.attnum = ANY (k.conkey)
						AND x.attnum <> s.tenant ORDER BY x.attnum LIMIT 1) a
	WHERE k.contype = 'f' AND k.conparentid = 0
	ORDER BY k.conrelid::regclass::text, k.conname;
END
$$;

DO $$
DECLARE
	v_key record;
	v_target regclass;
BEGIN
	FOR v_target IN
		SELECT DISTINCT k.confrelid::regclass FROM @extschema@.va_tenant_links() k WHERE NOT k.has_tenant
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE (tenant_id, id)', v_target,
			(SELECT c.relname OPERATOR(pg_catalog.||) '_tenant_id_id_key' FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) v_target));
	END LOOP;
	FOR v_key IN SELECT * FROM @extschema@.va_tenant_links() k WHERE NOT k.has_tenant AND NOT k.doubled LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (tenant_id, %I) REFERENCES %s (tenant_id, id)%s',
			v_key.conrelid::regclass, 'tenant_' OPERATOR(pg_catalog.||) v_key.conname, v_key.column_name, v_key.confrelid::regclass,
			CASE v_key.confdeltype WHEN 'c' THEN ' ON DELETE CASCADE'
				WHEN 'n' THEN pg_catalog.format(' ON DELETE SET NULL (%I)', v_key.column_name) ELSE '' END);
		IF v_key.tenant_known THEN
			EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', v_key.conrelid::regclass, v_key.conname);
		END IF;
	END LOOP;
END
$$;
-- Who may do what. Last, because it goes over everything that the files before have made.

-- Nothing is for everybody unless it is said below.
DO $$
DECLARE
	v_object regprocedure;
BEGIN
	FOR v_object IN
		SELECT p.oid FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
		JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND d.classid = 'pg_catalog.pg_proc'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e'
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_object);
	END LOOP;
END
$$;

GRANT USAGE ON SCHEMA @extschema@ TO voiceagent_admin, voiceagent_agent, voiceagent_bi,
	voiceagent_gateway, voiceagent_dispatcher;

-- Harmless, and needed by policies, constraints and triggers in whosever name they run.
GRANT EXECUTE ON FUNCTION @extschema@.va_version(), @extschema@.va_current_tenant(),
	@extschema@.va_phone_normalize(text), @extschema@.va_phone_try(text),
	@extschema@.va_check_settings(jsonb) TO PUBLIC;

-- Functions for users.
GRANT EXECUTE ON FUNCTION @extschema@.va_lead_capture(uuid, jsonb, text),
	@extschema@.va_business_open(uuid, timestamptz), @extschema@.va_next_opening(uuid, timestamptz),
	@extschema@.va_openings(uuid, date)
	TO voiceagent_admin, voiceagent_agent;
GRANT EXECUTE ON FUNCTION @extschema@.va_secret_set(uuid, text, text), @extschema@.va_secret_clear(uuid, text),
	@extschema@.va_tenant_create(text, text, text, text, text, text, text, text, text, text, text, jsonb, text),
	@extschema@.va_slug(text), @extschema@.va_filled(text), @extschema@.va_default_prompt(text, text, text),
	@extschema@.va_emit(uuid, text, uuid, uuid, jsonb), @extschema@.va_twiml(jsonb),
	@extschema@.va_tool_function(text), @extschema@.va_tool_qualify(text), @extschema@.va_tenant_tools(uuid),
	@extschema@.va_setting(jsonb, text), @extschema@.va_setting_text(jsonb, text, text),
	@extschema@.va_setting_integer(jsonb, text, integer), @extschema@.va_tenant_account(uuid),
	@extschema@.va_settings(jsonb), @extschema@.va_known_text(jsonb, text, text),
	@extschema@.va_known_integer(jsonb, text, integer), @extschema@.va_url_host(text),
	@extschema@.va_local_address(), @extschema@.va_local_scheme(text), @extschema@.va_public_url(), @extschema@.va_media_url(),
	@extschema@.va_health(), @extschema@.va_stats()
	TO voiceagent_admin;

-- The gateway: these and no table.
GRANT EXECUTE ON FUNCTION
	@extschema@.va_webhook_voice_answer(text, jsonb, text, text),
	@extschema@.va_webhook_voice_status(text, jsonb, text, text),
	@extschema@.va_webhook_voice_recording(text, jsonb, text, text),
	@extschema@.va_webhook_voice_transcription(text, jsonb, text, text),
	@extschema@.va_webhook_voice_fallback(text, jsonb, text, text),
	@extschema@.va_webhook_voice_after_stream(text, jsonb, text, text),
	@extschema@.va_webhook_voice_stream_status(text, jsonb, text, text),
	@extschema@.va_webhook_voice_voicemail(text, jsonb, text, text),
	@extschema@.va_gateway_config(), @extschema@.va_gateway_report(text, jsonb),
	@extschema@.va_call_stream_start(text, text, text, text, text), @extschema@.va_call_session(uuid, text),
	@extschema@.va_call_events(uuid, text, jsonb), @extschema@.va_call_tool(uuid, text, text, jsonb),
	@extschema@.va_secret_read(uuid, text)
	TO voiceagent_gateway;

-- Tables. The administrator configures and corrects; secrets only through their functions.
GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.tenants, @extschema@.phone_numbers,
	@extschema@.tenant_voice_configs, @extschema@.business_hours, @extschema@.leads, @extschema@.calls,
	@extschema@.appointments, @extschema@.notifications, @extschema@.follow_up_tasks,
	@extschema@.human_agents, @extschema@.conversation_sessions, @extschema@.analytics_events,
	@extschema@.settings, @extschema@.tools TO voiceagent_admin;
GRANT SELECT ON @extschema@.tool_invocations, @extschema@.call_events, @extschema@.call_metrics,
	@extschema@.webhook_receipts, @extschema@.gateway_status, @extschema@.gateway_counters,
	@extschema@.active_calls, @extschema@.todays_appointments, @extschema@.lead_funnel,
	@extschema@.call_timings TO voiceagent_admin;
GRANT SELECT (id, tenant_id, name, key_id, created_at, updated_at) ON @extschema@.tenant_secrets TO voiceagent_admin;

-- A tenant's application works on its own data. It reads but does not write what decides on money and on
-- where credentials go: the tenant's settings, its numbers, its tools.
GRANT SELECT ON @extschema@.tenants, @extschema@.phone_numbers, @extschema@.calls,
	@extschema@.conversation_sessions, @extschema@.analytics_events, @extschema@.tools,
	@extschema@.tool_invocations, @extschema@.call_events, @extschema@.call_metrics,
	@extschema@.active_calls, @extschema@.todays_appointments, @extschema@.lead_funnel,
	@extschema@.call_timings TO voiceagent_agent;
GRANT SELECT, INSERT, UPDATE, DELETE ON @extschema@.tenant_voice_configs, @extschema@.business_hours,
	@extschema@.leads, @extschema@.appointments, @extschema@.notifications, @extschema@.follow_up_tasks,
	@extschema@.human_agents TO voiceagent_agent;

-- Business intelligence reads the views and what they are made of.
GRANT SELECT ON @extschema@.tenants, @extschema@.leads, @extschema@.calls, @extschema@.appointments,
	@extschema@.analytics_events, @extschema@.call_metrics, @extschema@.active_calls,
	@extschema@.todays_appointments, @extschema@.lead_funnel, @extschema@.call_timings TO voiceagent_bi;

-- Row-level security: a session sees the rows of the tenant in voiceagent.tenant_id, whatever its role; the
-- administrator all. The owner, and so every function here that runs with the owner's rights, is not subject to it.
DO $$
DECLARE
	v_table regclass;
	v_name name;
	v_key text;
BEGIN
	FOR v_table, v_name, v_key IN
		SELECT c.oid, c.relname, CASE c.relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END
		FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
		JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind = 'r'
		  AND (c.relname = 'tenants' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
												WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', v_table);
		EXECUTE pg_catalog.format('CREATE POLICY tenant_rows ON %s USING (%I = @extschema@.va_current_tenant())', v_table, v_key);
		EXECUTE pg_catalog.format('CREATE POLICY administrator ON %s TO voiceagent_admin USING (true) WITH CHECK (true)', v_table);
	END LOOP;
END
$$;
-- The tools that every tenant has are everybody's to read.
CREATE POLICY common_rows ON @extschema@.tools FOR SELECT USING (tenant_id IS NULL);

-- pg_dump keeps the rows of every table, but for those (is_builtin) that CREATE EXTENSION makes again.
DO $$
DECLARE
	v_table regclass;
BEGIN
	FOR v_table IN
		SELECT c.oid FROM pg_catalog.pg_depend d
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
		JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
		WHERE e.extname = 'voiceagent' AND d.deptype = 'e' AND c.relkind IN ('r', 'S')
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(v_table,
			CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = v_table AND a.attname = 'is_builtin')
				 THEN 'WHERE NOT is_builtin' ELSE '' END);
	END LOOP;
END
$$;
