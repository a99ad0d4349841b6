/*
 * sandbox.h: `voiceagent sandbox`, the stand-ins for the outside world on loopback.
 *
 * Twilio with a caller behind it, and two voice engines, so that a tenant, its prompt and its tools
 * are tried without an account anywhere. Written from the providers' documentation alone: nothing
 * here uses the product's own parsers and printers, so one misreading cannot hide on both sides.
 */
#ifndef VA_SANDBOX_SANDBOX_H
#define VA_SANDBOX_SANDBOX_H

/* Runs `voiceagent sandbox ...`: argv[0] is "sandbox", argv[1] the subcommand. Returns the exit
 * status: 0 done as expected, 1 not as expected, 2 wrong usage. */
int sandbox_main(int argc, char **argv);

/* The subcommands; argv[0] is the subcommand's name. */
int sandbox_engine_main(int argc, char **argv);
int sandbox_call_main(int argc, char **argv);
int sandbox_providers_main(int argc, char **argv);
int sandbox_speech_main(int argc, char **argv);
int sandbox_compare_main(int argc, char **argv);

#endif
