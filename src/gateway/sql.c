/*
 * sql.c: see sql.h.
 */
#include "gateway/sql.h"

#include "program/sql.h"

#define WEBHOOK(name)                                                                              \
	"SELECT http_status, body, call_id, tenant_id, session FROM %s.va_webhook_voice_" name         \
	"($1, $2::jsonb, $3, $4)"

static const char *const templates[SQL_COUNT] = {
	[SQL_WEBHOOK_ANSWER] = WEBHOOK("answer"),
	[SQL_WEBHOOK_STATUS] = WEBHOOK("status"),
	[SQL_WEBHOOK_RECORDING] = WEBHOOK("recording"),
	[SQL_WEBHOOK_TRANSCRIPTION] = WEBHOOK("transcription"),
	[SQL_WEBHOOK_FALLBACK] = WEBHOOK("fallback"),
	[SQL_WEBHOOK_AFTER_STREAM] = WEBHOOK("after_stream"),
	[SQL_WEBHOOK_STREAM_STATUS] = WEBHOOK("stream_status"),
	[SQL_WEBHOOK_VOICEMAIL] = WEBHOOK("voicemail"),
	[SQL_CONFIG] = "SELECT %s.va_gateway_config()",
	[SQL_STREAM_START] =
		"SELECT accepted, reason, session FROM %s.va_call_stream_start($1, $2, $3, $4, $5)",
	[SQL_SESSION] = "SELECT %s.va_call_session($1::uuid, $2)",
	[SQL_EVENTS] = "SELECT %s.va_call_events($1::uuid, $2, $3::jsonb)",
	[SQL_TOOL] = "SELECT %s.va_call_tool($1::uuid, $2, $3, $4::jsonb)",
	[SQL_REPORT] = "SELECT %s.va_gateway_report($1, $2::jsonb)",
	[SQL_FILE_OPEN] = "SELECT path, name, media_type, bytes, sha256 FROM %s.va_file_open($1, $2, $3)",
};

bool
sql_build(struct sql *sql, const char *schema)
{
	return program_sql_build(templates, sql->texts, SQL_COUNT, schema);
}
