/*
 * sql.h: every SQL text that the gateway sends, in one place.
 *
 * All of the functions are idempotent: a query may be sent again after a lost connection.
 */
#ifndef VA_GATEWAY_SQL_H
#define VA_GATEWAY_SQL_H

#include <stdbool.h>

enum sql_id
{
	SQL_WEBHOOK_ANSWER,
	SQL_WEBHOOK_STATUS,
	SQL_WEBHOOK_RECORDING,
	SQL_WEBHOOK_TRANSCRIPTION,
	SQL_WEBHOOK_FALLBACK,
	SQL_WEBHOOK_AFTER_STREAM,
	SQL_WEBHOOK_STREAM_STATUS,
	SQL_WEBHOOK_VOICEMAIL,
	SQL_WEBHOOK_AMD,
	SQL_WEBHOOK_CONFERENCE,
	SQL_WEBHOOK_PARTICIPANT,
	SQL_MESSAGE_STATUS,
	SQL_SMS_INCOMING,
	SQL_WHATSAPP_INCOMING,
	SQL_EMAIL_EVENTS,
	SQL_EMAIL_INBOUND,
	SQL_UNSUBSCRIBE,
	SQL_WEBHOOK_ODOO,
	SQL_CONFIG,
	SQL_STREAM_START,
	SQL_SESSION,
	SQL_EVENTS,
	SQL_TOOL,
	SQL_REPORT,
	SQL_FILE_OPEN,
	SQL_COUNT
};

struct sql
{
	char *texts[SQL_COUNT];
};

/* As program_sql_build. */
bool sql_build(struct sql *sql, const char *schema);

#endif
