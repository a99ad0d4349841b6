/*
 * settings.h: what the server's settings mean to the gateway.
 */
#ifndef VA_GATEWAY_SETTINGS_H
#define VA_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "net/log.h"
#include "program/setting_table.h"

struct settings
{
	char listen_addresses[SETTINGS_TEXT_SIZE];
	char public_url[SETTINGS_TEXT_SIZE];
	char ssl_cert_file[SETTINGS_TEXT_SIZE];
	char ssl_key_file[SETTINGS_TEXT_SIZE];
	char ultravox_base_url[SETTINGS_TEXT_SIZE];
	char realtime_base_url[SETTINGS_TEXT_SIZE];
	uint16_t http_port;
	uint16_t media_port;
	unsigned gateway_connections;
	unsigned max_calls;
	bool allow_insecure_engine;
	enum log_level log_level;
};

void settings_default(struct settings *s);
/* As setting_table_set. */
bool settings_set(struct settings *s, const char *name, const char *value, struct va_error *err);

#endif
