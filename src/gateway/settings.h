/*
 * settings.h: what the server's settings mean to the gateway.
 *
 * The server defines and checks them (voiceagent.* in pg_settings); the gateway reads the values
 * over its connection and checks again, because it may serve a server of another version.
 */
#ifndef VA_GATEWAY_SETTINGS_H
#define VA_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "net/log.h"

#define SETTINGS_TEXT_SIZE 512

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
/* Sets one by its name, with or without the prefix "voiceagent.". Unknown names are none of the
 * gateway's business and succeed. False, with nothing changed, for a value out of bounds. */
bool settings_set(struct settings *s, const char *name, const char *value, struct va_error *err);

#endif
