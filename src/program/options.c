/*
 * options.c: see options.h.
 */
#include "program/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"

#define LINE_MAX_BYTES (64 * 1024)

static const char usage[] =
	"Usage: voiceagent %s --conninfo CONNINFO [OPTION]...\n"
	"%s, for a database with the voiceagent extension.\n\n"
	"  --conninfo CONNINFO  how to reach the database, as for psql; may be repeated: the first\n"
	"                       that works is used\n"
	"  --name NAME          its name in the database (default: %s-PID)\n"
	"  --log FORMAT         text (default) or json\n"
	"  --stdin-config       read one line of JSON from standard input instead, and stop when\n"
	"                       standard input ends\n";

static const struct options_program *running;

static bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Always false. */
static bool
complain(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "voiceagent %s: ", running->command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

static bool
add_target(struct options *o, const char *conninfo, const char *run_as)
{
	if (o->target_count == OPTIONS_TARGETS)
		return complain("at most %d conninfos", OPTIONS_TARGETS);
	o->targets[o->target_count].conninfo = strdup(conninfo);
	o->targets[o->target_count].run_as = run_as != NULL ? strdup(run_as) : NULL;
	o->target_count++;
	return true;
}

static bool
set_name(struct options *o, const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof(o->name) ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != len)
		return complain("a name has 1 to 63 letters, digits, - _ or .");
	memcpy(o->name, name, len + 1);
	return true;
}

static bool
set_log(struct options *o, const char *format)
{
	o->log_json = strcmp(format, "json") == 0;
	if (o->log_json || strcmp(format, "text") == 0)
		return true;
	return complain("--log is text or json");
}

/* Byte by byte, so that nothing behind the line is taken. */
static bool
read_line(char *line, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size)
	{
		ssize_t n = read(STDIN_FILENO, line + *len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if (line[*len] == '\n')
			return true;
		(*len)++;
	}
	return false;
}

static bool
read_config(struct options *o, struct json_object *config)
{
	struct json_object *list = json_member(config, "conninfos");

	if (!json_object_is_type(list, json_type_array))
		return complain("the configuration has no conninfos");
	for (size_t i = 0; i < json_object_array_length(list); i++)
	{
		struct json_object *target = json_object_array_get_idx(list, i);
		const char *conninfo = json_text(target, "conninfo", NULL);

		if (conninfo == NULL || !add_target(o, conninfo, json_text(target, "run_as", NULL)))
			return false;
	}
	return set_name(o, json_text(config, "name", o->name)) &&
		   set_log(o, json_text(config, "log", "json"));
}

static bool
read_stdin(struct options *o)
{
	char *line = malloc(LINE_MAX_BYTES);
	struct va_error err = {""};
	struct json_object *config = NULL;
	size_t len = 0;
	bool good = false;

	if (line != NULL && read_line(line, LINE_MAX_BYTES, &len))
		config = json_parse(line, len, &err);
	if (config != NULL)
		good = read_config(o, config);
	else
		complain("no configuration on standard input %s", err.text);
	json_object_put(config);
	if (line != NULL)
		explicit_bzero(line, LINE_MAX_BYTES);
	free(line);
	o->from_stdin = true;
	return good;
}

bool
options_read(struct options *o, const struct options_program *program, int argc, char **argv)
{
	static const struct option longs[] = {
		{"conninfo", required_argument, NULL, 'c'}, {"name", required_argument, NULL, 'n'},
		{"log", required_argument, NULL, 'l'},		{"stdin-config", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},			{NULL, 0, NULL, 0},
	};
	bool good = true;
	int option;

	running = program;
	memset(o, 0, sizeof(*o));
	snprintf(o->name, sizeof(o->name), "%s-%d", program->prefix, (int) getpid());
	optind = 1;
	while (good && (option = getopt_long(argc, argv, "", longs, NULL)) != -1)
	{
		if (option == 'c')
			good = add_target(o, optarg, NULL);
		else if (option == 'n')
			good = set_name(o, optarg);
		else if (option == 'l')
			good = set_log(o, optarg);
		else if (option == 's')
			good = read_stdin(o);
		else
			good = false;
	}
	if (good && optind == argc && o->target_count > 0)
		return true;
	if (!o->from_stdin)
		fprintf(stderr, usage, program->command, program->does, program->prefix);
	return false;
}

void
options_free(struct options *o)
{
	for (unsigned i = 0; i < o->target_count; i++)
	{
		free((char *) o->targets[i].conninfo);
		free((char *) o->targets[i].run_as);
	}
	o->target_count = 0;
}
