/*
 * control.h: a program's control connection, and the settings that come over it.
 *
 * One connection beside those of the work, so that settings, notifications and reports never wait
 * behind it. The settings are read when it is made, made again, or the program gets SIGHUP; as long as there
 * are none to work with (no database, no extension in it) they are asked for again and again.
 */
#ifndef VA_PROGRAM_CONTROL_H
#define VA_PROGRAM_CONTROL_H

#include <stdbool.h>

#include "core/error.h"
#include "net/db.h"
#include "net/loop.h"
#include "program/options.h"

struct control_handlers
{
	/* A new set of settings begins: every one has its initial value. */
	void (*begin)(void *arg);
	/* One of them, as the server has it; false with *err is logged, and the initial value stays. */
	bool (*set)(void *arg, const char *name, const char *value, struct va_error *err);
	/* That was all of them. schema: of the extension, quoted as an identifier. */
	void (*apply)(void *arg, const char *schema);
	/* The channel's name; or the connection was made and notifications may have been lost. */
	void (*notified)(void *arg, const char *channel, const char *payload);
};

struct control;

/* channel: what is listened to, a constant; handlers and options live as long as the control. NULL when it cannot be made. */
struct control *control_new(struct loop *loop, const struct options *options, const char *channel,
							const struct control_handlers *handlers, void *arg);
/* For queries of the program's own. */
struct db *control_db(const struct control *control);
bool control_connected(const struct control *control);
/* Reads the settings in a moment: SIGHUP reaches the server's own sessions a little later, too. */
void control_reload(struct control *control);
/* Nothing is read or applied any more. */
void control_stop(struct control *control);
/* Closes the connection; before loop_free. The memory goes with the loop's last turn. NULL is nothing. */
void control_free(struct control *control);

#endif
