-- Every table, column, default, index and view of the specification is there as written: its schema is
-- created beside ours and the two are compared in the catalogue.
\ir setup.psql
SELECT no_plan();

CREATE SCHEMA spec;
SET search_path = spec;
-- Tenants (Clients)
CREATE TABLE tenants (
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
CREATE TABLE phone_numbers (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    phone_number VARCHAR(20) UNIQUE NOT NULL,
    phone_type VARCHAR(20) NOT NULL, -- voice, whatsapp, sms
    twilio_sid VARCHAR(50),
    display_name VARCHAR(100),
    language VARCHAR(10) DEFAULT 'en-US',
    voice_config JSONB DEFAULT '{}',
    is_active BOOLEAN DEFAULT true,
    created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_phone_numbers_lookup ON phone_numbers(phone_number, is_active);

-- Tenant Voice Configuration
CREATE TABLE tenant_voice_configs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
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
CREATE TABLE business_hours (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    day_of_week INTEGER NOT NULL, -- 0=Sunday, 6=Saturday
    open_time TIME,
    close_time TIME,
    is_closed BOOLEAN DEFAULT false,
    after_hours_action VARCHAR(50) DEFAULT 'voicemail'
);

-- Leads
CREATE TABLE leads (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,

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

CREATE INDEX idx_leads_tenant ON leads(tenant_id, status);
CREATE INDEX idx_leads_phone ON leads(phone);
CREATE INDEX idx_leads_temperature ON leads(tenant_id, lead_temperature);

-- Calls
CREATE TABLE calls (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    lead_id UUID REFERENCES leads(id),

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

CREATE INDEX idx_calls_tenant_date ON calls(tenant_id, started_at DESC);
CREATE INDEX idx_calls_twilio ON calls(twilio_call_sid);

-- Appointments
CREATE TABLE appointments (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    lead_id UUID REFERENCES leads(id),
    call_id UUID REFERENCES calls(id),

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

CREATE INDEX idx_appointments_tenant_date ON appointments(tenant_id, scheduled_at);
CREATE INDEX idx_appointments_status ON appointments(status, scheduled_at);

-- Notifications / Messages
CREATE TABLE notifications (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    lead_id UUID REFERENCES leads(id),

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

CREATE INDEX idx_notifications_tenant ON notifications(tenant_id, created_at DESC);
CREATE INDEX idx_notifications_scheduled ON notifications(scheduled_for, status) WHERE status = 'pending';

-- Follow-up Tasks
CREATE TABLE follow_up_tasks (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    lead_id UUID REFERENCES leads(id),

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

CREATE INDEX idx_follow_ups_pending ON follow_up_tasks(scheduled_for, status) WHERE status = 'pending';

-- Human Agents
CREATE TABLE human_agents (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,

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
CREATE TABLE conversation_sessions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id) ON DELETE CASCADE,
    lead_id UUID REFERENCES leads(id),
    call_id UUID REFERENCES calls(id),

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
CREATE TABLE analytics_events (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID REFERENCES tenants(id),
    lead_id UUID,
    call_id UUID,

    event_type VARCHAR(50) NOT NULL,
    event_data JSONB DEFAULT '{}',

    created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_analytics_tenant_type ON analytics_events(tenant_id, event_type, created_at DESC);


-- Active calls view
CREATE VIEW active_calls AS
SELECT c.*, t.name as tenant_name, l.first_name, l.last_name, l.lead_temperature
FROM calls c
JOIN tenants t ON c.tenant_id = t.id
LEFT JOIN leads l ON c.lead_id = l.id
WHERE c.status IN ('ringing', 'in-progress');

-- Today's appointments view
CREATE VIEW todays_appointments AS
SELECT a.*, t.name as tenant_name, l.first_name, l.last_name, l.phone, l.email
FROM appointments a
JOIN tenants t ON a.tenant_id = t.id
LEFT JOIN leads l ON a.lead_id = l.id
WHERE DATE(a.scheduled_at AT TIME ZONE t.timezone) = CURRENT_DATE
ORDER BY a.scheduled_at;

-- Lead conversion funnel
CREATE VIEW lead_funnel AS
SELECT
    tenant_id,
    lead_temperature,
    status,
    COUNT(*) as count,
    AVG(lead_score) as avg_score
FROM leads
GROUP BY tenant_id, lead_temperature, status;
RESET search_path;

-- Expressions and definitions without the names of schemas, and without the word for an index of a partitioned table.
CREATE FUNCTION pg_temp.bare(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '\m(ONLY )?(spec|public)\.', '', 'g') $$;
-- Events are partitioned by month: their key names the month's column, which cannot be NULL then.
ALTER TABLE spec.analytics_events ALTER created_at SET NOT NULL, DROP CONSTRAINT analytics_events_pkey, ADD PRIMARY KEY (id, created_at);

CREATE TEMP VIEW spec_columns AS
SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
	pg_temp.bare(pg_get_expr(d.adbin, d.adrelid)) AS value, c.relnamespace::regnamespace::text AS home, c.relkind
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace IN ('spec'::regnamespace, 'public'::regnamespace);

SELECT is((SELECT count(*)::int FROM pg_class WHERE relnamespace = 'spec'::regnamespace AND relkind = 'r'), 12, 'the specification has twelve tables');
SELECT is((SELECT count(*)::int FROM pg_class WHERE relnamespace = 'spec'::regnamespace AND relkind = 'v'), 3, 'and three views');

SELECT is(ours.type || ' ' || ours.attnotnull || ' ' || coalesce(ours.value, '-'),
		  s.type || ' ' || s.attnotnull || ' ' || coalesce(s.value, '-'),
		  format('%s.%s: type, NOT NULL, default', s.relname, s.attname))
FROM spec_columns s LEFT JOIN spec_columns ours ON ours.home = 'public' AND ours.relname = s.relname AND ours.attname = s.attname
WHERE s.home = 'spec' AND s.relkind = 'r' ORDER BY s.relname, s.attnum;

SELECT is(ours.attnum, s.attnum, format('%s.%s: place', s.relname, s.attname))
FROM spec_columns s LEFT JOIN spec_columns ours ON ours.home = 'public' AND ours.relname = s.relname AND ours.attname = s.attname
WHERE s.home = 'spec' AND s.relkind = 'r' ORDER BY s.relname, s.attnum;

SELECT is(ours.type, s.type, format('view %s.%s', s.relname, s.attname))
FROM spec_columns s LEFT JOIN spec_columns ours ON ours.home = 'public' AND ours.relname = s.relname AND ours.attname = s.attname
WHERE s.home = 'spec' AND s.relkind = 'v' ORDER BY s.relname, s.attnum;

SELECT is(pg_temp.bare(ours.indexdef), pg_temp.bare(s.indexdef), format('index %s', s.indexname))
FROM pg_indexes s LEFT JOIN pg_indexes ours ON ours.schemaname = 'public' AND ours.indexname = s.indexname
WHERE s.schemaname = 'spec' ORDER BY s.indexname;

SELECT ok(EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = ('public.' || c.relname)::regclass
				  AND pg_temp.bare(pg_get_constraintdef(o.oid)) = pg_temp.bare(pg_get_constraintdef(s.oid))),
		  format('%s: %s', c.relname, pg_temp.bare(pg_get_constraintdef(s.oid))))
FROM pg_constraint s JOIN pg_class c ON c.oid = s.conrelid
WHERE s.connamespace = 'spec'::regnamespace ORDER BY c.relname, s.conname;


-- Statuses take every word of the specification and no other.
SELECT pg_temp.tenant('+15551230002') AS tenant \gset
SELECT lives_ok(format('INSERT INTO %s (tenant_id, status%s) VALUES (%L, %L%s)', x.tab, x.cols, :'tenant', s, x.vals), format('%s.status may be %s', x.tab, s))
FROM (VALUES
	('calls', '', '', ARRAY['queued', 'initiated', 'ringing', 'in-progress', 'completed', 'busy', 'failed', 'no-answer', 'canceled']),
	('leads', '', '', ARRAY['new', 'qualified', 'contacted', 'meeting_scheduled', 'closed_won', 'closed_lost']),
	('appointments', ', title, scheduled_at', ', $$x$$, now()', ARRAY['scheduled', 'confirmed', 'completed', 'cancelled', 'no_show']),
	('notifications', ', channel', ', $$sms$$', ARRAY['pending', 'sent', 'delivered', 'read', 'failed']),
	('follow_up_tasks', ', scheduled_for', ', now()', ARRAY['pending', 'completed', 'failed', 'cancelled'])) AS x (tab, cols, vals, words), unnest(words) s;
SELECT throws_ok(format('UPDATE %s SET status = $$nonsense$$', t), '23514', NULL, format('%s.status may not be nonsense', t))
FROM unnest(ARRAY['tenants', 'calls', 'leads', 'appointments', 'notifications', 'follow_up_tasks']) t;
SELECT throws_ok('UPDATE leads SET lead_temperature = $$tepid$$', '23514', NULL, 'a lead is hot, warm or cold');

-- updated_at follows.
UPDATE leads SET updated_at = '2001-01-01';
SELECT is((SELECT count(*)::int FROM leads WHERE updated_at < '2002-01-01'), 0, 'updated_at cannot be turned back');
SELECT has_trigger(c.relname::name, (c.relname || '_touch')::name, c.relname || ' keeps updated_at')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'updated_at'
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY c.relname;

-- Views of calls and appointments.
UPDATE appointments SET scheduled_at = now(), status = 'scheduled' WHERE id = (SELECT id FROM appointments LIMIT 1);
UPDATE appointments SET scheduled_at = now() + interval '3 days' WHERE scheduled_at <> now() AND scheduled_at < now();
SELECT is((SELECT array_agg(status::text ORDER BY status) FROM active_calls), ARRAY['in-progress', 'ringing'], 'active_calls holds the ringing and the talking');
SELECT is((SELECT count(*) FROM todays_appointments), (SELECT count(*) FROM appointments WHERE scheduled_at::date = current_date), 'todays_appointments');
SELECT is((SELECT sum(count)::int FROM lead_funnel), (SELECT count(*)::int FROM leads), 'lead_funnel counts every lead');
SELECT * FROM finish();
