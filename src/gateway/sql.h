/*
 * sql.h: every SQL text that the gateway sends, in one place.
 *
 * The extension may live in any schema and the gateway's role has no search_path of its own, so
 * the functions are named with the schema, which is known once the settings were read. All of the
 * functions are idempotent: a query may be sent again after a lost connection.
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
	SQL_CONFIG,
	SQL_STREAM_START,
	SQL_SESSION,
	SQL_EVENTS,
	SQL_TOOL,
	SQL_REPORT,
	SQL_COUNT
};

/* Reads name and setting of every voiceagent setting, and the extension's schema (quoted as an
 * identifier) under the name "schema". No row "schema": the extension is not created there. */
extern const char sql_settings[];

struct sql
{
	char *texts[SQL_COUNT];
};

/* Builds the texts for a schema (quoted already). Texts of an earlier schema are kept for the life
 * of the program, since queries under way may still refer to them. False when out of memory. */
bool sql_build(struct sql *sql, const char *schema);

#endif
