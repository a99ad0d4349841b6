/*
 * sandbox.c: picks the subcommand of `voiceagent sandbox`.
 *
 * One table, so that the help text and what can be run never differ.
 */
#include "sandbox/sandbox.h"

#include <stdio.h>
#include <string.h>

static const struct
{
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} subcommands[] = {
	{"call", sandbox_call_main, "dial a number of yours as Twilio and a caller would"},
	{"engine", sandbox_engine_main, "stand in for Ultravox and for a generic realtime engine"},
	{"providers", sandbox_providers_main, "stand in for the services that effects go to"},
	{"speech", sandbox_speech_main, "synthesise the speech of all scenarios beforehand"},
	{"compare", sandbox_compare_main, "compare the audio that was sent with what arrived"},
};

static void
usage(FILE *out)
{
	fprintf(out, "usage: voiceagent sandbox SUBCOMMAND [options]\n\n");
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		fprintf(out, "  %-9s %s\n", subcommands[i].name, subcommands[i].help);
	fprintf(out, "\nEach subcommand explains itself with --help.\n");
}

int
sandbox_main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
	{
		usage(argc < 2 ? stderr : stdout);
		return argc < 2 ? 2 : 0;
	}
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "voiceagent sandbox: unknown subcommand \"%s\"\n\n", argv[1]);
	usage(stderr);
	return 2;
}
