/*
 * sql.c: see sql.h.
 */
#include "gateway/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char sql_settings[] =
	"SELECT name, setting FROM pg_catalog.pg_settings WHERE name LIKE 'voiceagent.%' "
	"UNION ALL SELECT 'schema', pg_catalog.quote_ident(n.nspname) "
	"FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
	"WHERE e.extname = 'voiceagent'";

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
	[SQL_CONFIG] = "SELECT %s.va_gateway_config()",
	[SQL_STREAM_START] =
		"SELECT accepted, reason, session FROM %s.va_call_stream_start($1, $2, $3, $4, $5)",
	[SQL_SESSION] = "SELECT %s.va_call_session($1::uuid, $2)",
	[SQL_EVENTS] = "SELECT %s.va_call_events($1::uuid, $2, $3::jsonb)",
	[SQL_TOOL] = "SELECT %s.va_call_tool($1::uuid, $2, $3, $4::jsonb)",
	[SQL_REPORT] = "SELECT %s.va_gateway_report($1, $2::jsonb)",
};

bool
sql_build(struct sql *sql, const char *schema)
{
	for (int i = 0; i < SQL_COUNT; i++)
	{
		size_t size = strlen(templates[i]) + strlen(schema) + 1;
		char *text = malloc(size);

		if (text == NULL)
			return false;
		snprintf(text, size, "%.*s%s%s", (int) (strstr(templates[i], "%s") - templates[i]),
				 templates[i], schema, strstr(templates[i], "%s") + 2);
		if (sql->texts[i] != NULL && strcmp(sql->texts[i], text) == 0)
			free(text);
		else
			sql->texts[i] = text;
	}
	return true;
}
