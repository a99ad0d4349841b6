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
