/*
 * ledger.c: an append-only file of JSON lines.
 *
 * One write(2) a line on an O_APPEND descriptor, so that several processes may share a file and a
 * reader never sees half a line of a finished write.
 */
#include "sandbox/ledger.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/json_text.h"

struct ledger
{
	int fd;
	const char *who;
	void (*seen)(void *arg, struct json_object *line);
	void *arg;
};

struct ledger *
ledger_open(const char *path, const char *who)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return NULL;
	ledger->who = who;
	ledger->fd = -1;
	if (path)
	{
		ledger->fd = strcmp(path, "-") == 0
						 ? dup(1)
						 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (ledger->fd < 0)
		{
			free(ledger);
			return NULL;
		}
	}
	return ledger;
}

void
ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	if (ledger->fd >= 0)
		close(ledger->fd);
	free(ledger);
}

void
ledger_watch(struct ledger *ledger, void (*seen)(void *arg, struct json_object *line), void *arg)
{
	ledger->seen = seen;
	ledger->arg = arg;
}

struct json_object *
ledger_line(struct ledger *ledger, const char *id, const char *event)
{
	struct json_object *line = json_object_new_object();
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_put_int(line, "at", (long long) now.tv_sec * 1000 + now.tv_nsec / 1000000);
	json_put_text(line, "who", ledger->who);
	json_put_text(line, "id", id);
	json_put_text(line, "event", event);
	return line;
}

void
ledger_write(struct ledger *ledger, struct json_object *line)
{
	if (ledger->fd >= 0)
	{
		const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
		const char *text = json_object_to_json_string_ext(line, flags);
		struct iovec parts[2] = {{(void *) text, strlen(text)}, {"\n", 1}};

		/* A full disk loses lines of the ledger; the conversation goes on. */
		(void) !writev(ledger->fd, parts, 2);
	}
	if (ledger->seen)
		ledger->seen(ledger->arg, line);
	json_object_put(line);
}

void
ledger_note(struct ledger *ledger, const char *id, const char *event, const char *name,
			const char *value)
{
	struct json_object *line = ledger_line(ledger, id, event);

	if (name)
		json_put_text(line, name, value);
	ledger_write(ledger, line);
}
