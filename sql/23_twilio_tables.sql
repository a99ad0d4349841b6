-- Tables and columns of what goes through Twilio: calls that we make, messages, transfers to people, campaigns. Apart
-- from the functions (71 to 74), because functions that take rows of these tables pin their shape.

ALTER TABLE @extschema@.calls
	-- What was asked for: prompt, greeting, language, voice, machine, machine_message, record, from, timeout_seconds, ...
	ADD COLUMN dial JSONB NOT NULL DEFAULT '{}' CONSTRAINT calls_dial CHECK (jsonb_typeof(dial) = 'object'),
	ADD COLUMN dialed_at TIMESTAMPTZ,             -- since when an attempt is made; NULL: it is waiting, or not ours
	ADD COLUMN waiting_since TIMESTAMPTZ,         -- held back because enough calls are on the line
	ADD COLUMN dial_slot_at TIMESTAMPTZ,          -- its turn, where calls a second are limited
	ADD COLUMN answered_by TEXT,                  -- human, machine_start, machine_end_beep, ..., fax, unknown
	ADD COLUMN redirected_at TIMESTAMPTZ,         -- when we last gave the live call another document
	ADD COLUMN error_code TEXT,
	ADD COLUMN error_message TEXT,
	ADD COLUMN error_hint TEXT;

-- Nobody's telephone rings twice at once on behalf of one tenant. The prepare function sees to it; this index is the
-- wall behind it, whatever else may write to the table.
CREATE UNIQUE INDEX idx_calls_one_at_a_time ON @extschema@.calls (tenant_id, to_number)
	WHERE direction = 'outbound' AND dialed_at IS NOT NULL AND status IN ('queued', 'initiated', 'ringing', 'in-progress');
-- Who is to be called next, when the line or the person becomes free.
CREATE INDEX idx_calls_planned ON @extschema@.calls (tenant_id, to_number, created_at) WHERE direction = 'outbound' AND status = 'queued';
CREATE INDEX idx_calls_waiting ON @extschema@.calls (tenant_id, created_at) WHERE waiting_since IS NOT NULL AND status = 'queued';

-- When the next call of a tenant (number '') or of one of its numbers may be made. Also what two dispatchers lock
-- while they count a tenant's calls.
CREATE TABLE @extschema@.dial_slots (
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	number TEXT NOT NULL DEFAULT '',
	next_at TIMESTAMPTZ NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, number)
) WITH (fillfactor = 50);

ALTER TABLE @extschema@.notifications
	ADD COLUMN media_urls TEXT[],            -- public addresses of files to be sent
	ADD COLUMN error_code TEXT,
	ADD COLUMN error_hint TEXT,
	-- Inbound: profile_name, wa_id, button_payload, list_id, media [{"url", "type"}], latitude, …; outbound: segments, template.
	ADD COLUMN details JSONB NOT NULL DEFAULT '{}' CONSTRAINT notifications_details CHECK (jsonb_typeof(details) = 'object');
-- A message of Twilio's is stored once, however often it is delivered.
CREATE UNIQUE INDEX idx_notifications_inbound_once ON @extschema@.notifications (tenant_id, channel, external_id)
	WHERE direction = 'inbound' AND external_id IS NOT NULL;
CREATE INDEX idx_notifications_external ON @extschema@.notifications (external_id) WHERE external_id IS NOT NULL;
-- What went to and came from an address lately: the 24-hour window of WhatsApp, and the search for a message of ours.
CREATE INDEX idx_notifications_from ON @extschema@.notifications (tenant_id, from_address, created_at DESC) WHERE direction = 'inbound';
CREATE INDEX idx_notifications_to ON @extschema@.notifications (tenant_id, to_address, created_at DESC) WHERE direction = 'outbound';

CREATE TABLE @extschema@.call_transfers (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	call_id UUID NOT NULL REFERENCES @extschema@.calls(id) ON DELETE CASCADE,
	agent_id UUID REFERENCES @extschema@.human_agents(id) ON DELETE SET NULL,   -- whom it rings now; NULL: just a number
	target TEXT NOT NULL,                    -- the number it rings
	skills TEXT[],
	language TEXT,
	state TEXT NOT NULL DEFAULT 'ringing' CHECK (state IN ('ringing', 'joined', 'ended', 'failed')),
	tries INTEGER NOT NULL DEFAULT 1,
	tried UUID[] NOT NULL DEFAULT '{}',      -- agents whose telephones have rung
	leg_sid TEXT,                            -- Twilio's SID of the person's leg
	last_status TEXT,                        -- of that leg
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	joined_at TIMESTAMPTZ,
	ended_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_call_transfers_one ON @extschema@.call_transfers (call_id) WHERE state IN ('ringing', 'joined');
CREATE INDEX idx_call_transfers_call ON @extschema@.call_transfers (call_id);
CREATE INDEX idx_call_transfers_agent ON @extschema@.call_transfers (agent_id);
CREATE INDEX idx_call_transfers_tenant ON @extschema@.call_transfers (tenant_id, created_at DESC);

CREATE TABLE @extschema@.campaigns (
	id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	name TEXT NOT NULL CHECK (length(btrim(name)) BETWEEN 1 AND 200),
	status TEXT NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'running', 'paused', 'stopped', 'finished')),
	-- Which leads, besides those that va_campaign_add brought: see va_campaign_leads. '{}': none.
	audience JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(audience) = 'object'),
	refresh BOOLEAN NOT NULL DEFAULT false,          -- leads that come to fit while it runs join
	options JSONB NOT NULL DEFAULT '{}',             -- of each call, as for va_dial: prompt, greeting, machine, …
	calls_per_minute DOUBLE PRECISION NOT NULL DEFAULT 10 CHECK (calls_per_minute > 0 AND calls_per_minute <= 6000),
	concurrent INTEGER NOT NULL DEFAULT 5 CHECK (concurrent BETWEEN 1 AND 10000),
	hours JSONB NOT NULL DEFAULT '{}',               -- as human_agents.availability_hours; '{}': whenever people may be called
	-- {"busy": {"minutes": 10, "attempts": 3}, …}: after how long such an outcome is tried again, and how often in all.
	retry JSONB NOT NULL DEFAULT '{}',
	max_attempts INTEGER NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 20),
	stop_statuses TEXT[] NOT NULL DEFAULT '{meeting_scheduled,closed_won,closed_lost,archived}', -- of leads: no more calls
	ends_at TIMESTAMPTZ,
	budget_calls INTEGER CHECK (budget_calls > 0),
	budget_minutes INTEGER CHECK (budget_minutes > 0),
	next_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),      -- when the next call may be planned
	served_at TIMESTAMPTZ,                           -- when one was planned last: campaigns take turns
	refreshed_at TIMESTAMPTZ,
	why TEXT,                                        -- it stopped, or waits
	started_at TIMESTAMPTZ,
	ended_at TIMESTAMPTZ,
	created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE INDEX idx_campaigns_tenant ON @extschema@.campaigns (tenant_id, created_at DESC);
CREATE INDEX idx_campaigns_due ON @extschema@.campaigns (next_at) WHERE status = 'running';

CREATE TABLE @extschema@.campaign_members (
	campaign_id UUID NOT NULL REFERENCES @extschema@.campaigns(id) ON DELETE CASCADE,
	lead_id UUID NOT NULL REFERENCES @extschema@.leads(id) ON DELETE CASCADE,
	tenant_id UUID NOT NULL REFERENCES @extschema@.tenants(id) ON DELETE CASCADE,
	state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'calling', 'done', 'given_up', 'skipped')),
	next_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	attempts INTEGER NOT NULL DEFAULT 0,
	tally JSONB NOT NULL DEFAULT '{}',               -- {"busy": 2, "machine": 1}
	last_call_id UUID REFERENCES @extschema@.calls(id) ON DELETE SET NULL,
	outcome TEXT,                                    -- of the last call, or why there is none
	joined_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
	PRIMARY KEY (campaign_id, lead_id)
);
CREATE INDEX idx_campaign_members_due ON @extschema@.campaign_members (campaign_id, next_at) WHERE state = 'waiting';
CREATE INDEX idx_campaign_members_calling ON @extschema@.campaign_members (campaign_id) WHERE state = 'calling';
CREATE INDEX idx_campaign_members_lead ON @extschema@.campaign_members (lead_id);
CREATE INDEX idx_campaign_members_tenant ON @extschema@.campaign_members (tenant_id);
CREATE INDEX idx_campaign_members_call ON @extschema@.campaign_members (last_call_id);

ALTER TABLE @extschema@.calls
	ADD COLUMN campaign_id UUID REFERENCES @extschema@.campaigns(id) ON DELETE SET NULL;
CREATE INDEX idx_calls_campaign ON @extschema@.calls (campaign_id) WHERE campaign_id IS NOT NULL;
