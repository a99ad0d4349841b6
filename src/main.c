/*
 * main.c: the program `voiceagent`: one binary, its parts as subcommands.
 *
 * The server's launcher starts `voiceagent gateway`; people start the rest.
 */
#include <stdio.h>
#include <string.h>

#include "dispatcher/dispatcher.h"
#include "gateway/gateway.h"
#include "program/version.h"
#include "sandbox/sandbox.h"

static int version_main(int argc, char **argv);

struct command
{
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{"dispatcher", "carry the outbox to the services outside", dispatcher_main},
	{"gateway", "answer Twilio's webhooks and media streams", gateway_main},
	{"sandbox", "stand in for Twilio and the voice engines, on this machine", sandbox_main},
	{"version", "print the version", version_main},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int
version_main(int argc, char **argv)
{
	(void) argc;
	(void) argv;
	printf("voiceagent %s\n", VOICEAGENT_VERSION);
	return 0;
}

static void
print_help(FILE *to)
{
	fprintf(to, "Usage: voiceagent COMMAND [OPTION]...\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "\nvoiceagent COMMAND --help says more.\n");
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(name, "--version") == 0)
		return version_main(argc, argv);
	if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0)
	{
		print_help(stdout);
		return 0;
	}
	print_help(stderr);
	return 2;
}
