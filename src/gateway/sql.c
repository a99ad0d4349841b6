/*
 * sql.c: see sql.h.
 */
#include "gateway/sql.h"

#include "program/sql.h"

#define WEBHOOK(name)                                                                              \
	"SELECT http_status, body, call_id, tenant_id, session FROM %s.va_webhook_" name               \
	"($1, $2::jsonb, $3, $4)"

static const char *const templates[SQL_COUNT] = {
	[SQL_WEBHOOK_ANSWER] = WEBHOOK("voice_answer"),
	[SQL_WEBHOOK_STATUS] = WEBHOOK("voice_status"),
	[SQL_WEBHOOK_RECORDING] = WEBHOOK("voice_recording"),
	[SQL_WEBHOOK_TRANSCRIPTION] = WEBHOOK("voice_transcription"),
	[SQL_WEBHOOK_FALLBACK] = WEBHOOK("voice_fallback"),
	[SQL_WEBHOOK_AFTER_STREAM] = WEBHOOK("voice_after_stream"),
	[SQL_WEBHOOK_STREAM_STATUS] = WEBHOOK("voice_stream_status"),
	[SQL_WEBHOOK_VOICEMAIL] = WEBHOOK("voice_voicemail"),
	[SQL_WEBHOOK_AMD] = WEBHOOK("voice_amd"),
	[SQL_WEBHOOK_CONFERENCE] = WEBHOOK("voice_conference"),
	[SQL_WEBHOOK_PARTICIPANT] = WEBHOOK("voice_participant"),
	[SQL_MESSAGE_STATUS] = WEBHOOK("message_status"),
	[SQL_SMS_INCOMING] = WEBHOOK("sms_incoming"),
	[SQL_WHATSAPP_INCOMING] = WEBHOOK("whatsapp_incoming"),
	[SQL_EMAIL_EVENTS] =
		"SELECT http_status, body FROM %s.va_webhook_email_events($1::uuid, $2::jsonb, $3)",
	[SQL_EMAIL_INBOUND] =
		"SELECT http_status, body FROM %s.va_webhook_email_inbound($1::uuid, $2::jsonb, $3)",
	[SQL_UNSUBSCRIBE] =
		"SELECT http_status, body FROM %s.va_webhook_unsubscribe($1, $2::boolean, $3)",
	[SQL_WEBHOOK_ODOO] = "SELECT %s.va_webhook_odoo($1, $2::jsonb)",
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
