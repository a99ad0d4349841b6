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

-- Analytics Events, partitioned by month (88_events.sql); a key of a partitioned table has to name the month's column.
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
