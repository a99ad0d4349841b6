/*
 * speech_main.c: `voiceagent sandbox speech`, all sentences of the scenarios as WAV files.
 *
 * Run at build time, so that a machine without a synthesizer can run the scenarios and every run
 * has the same audio. The manifest tells a person what is in which file.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/json_text.h"
#include "sandbox/sandbox.h"
#include "sandbox/scenario.h"
#include "sandbox/speech.h"
#include "sandbox/speech_files.h"
#include "sandbox/wav.h"

struct maker
{
	const char *out;
	const char *engine;
	struct json_object *manifest; /* file name -> {voice, text, ms} */
	unsigned made;
	bool failed;
};

static void
make_one(struct maker *m, const char *voice, const char *text)
{
	char hash[SPEECH_HASH], file[SPEECH_HASH + 8], path[4096], error[256];
	int16_t *pcm = NULL;
	size_t count = 0;
	struct wav there;
	struct json_object *entry;

	if (!text || text[0] == '\0' || m->failed)
		return;
	speech_hash(voice, text, hash);
	snprintf(file, sizeof(file), "%s.wav", hash);
	if (json_object_object_get_ex(m->manifest, file, NULL))
		return;
	snprintf(path, sizeof(path), "%s/%s", m->out, file);
	if (access(path, R_OK) == 0 && wav_read(path, &there, error, sizeof(error)))
	{
		pcm = there.pcm;
		count = there.count;
	}
	else if (!speech_synthesise(m->engine, voice, text, &pcm, &count, error, sizeof(error)))
	{
		fprintf(stderr, "voiceagent: \"%s\": %s\n", text, error);
		m->failed = true;
		return;
	}
	else if (!wav_write(path, pcm, count, 1, SPEECH_RATE))
	{
		fprintf(stderr, "voiceagent: %s: %s\n", path, strerror(errno));
		m->failed = true;
	}
	else
		m->made++;
	entry = json_object_new_object();
	json_put_text(entry, "voice", voice);
	json_put_text(entry, "text", text);
	json_put_int(entry, "ms", (long long) (count * 1000 / SPEECH_RATE));
	json_object_object_add(m->manifest, file, entry);
	free(pcm);
}

static void
make_all(struct maker *m, const struct scenario *s)
{
	make_one(m, s->agent_voice, s->greeting);
	make_one(m, s->agent_voice, s->otherwise);
	make_one(m, s->caller_voice, s->voicemail);
	for (size_t i = 0; i < s->step_count; i++)
		if (s->steps[i].kind == STEP_SAY)
			make_one(m, s->caller_voice, s->steps[i].text);
	for (size_t i = 0; i < s->rule_count; i++)
	{
		make_one(m, s->agent_voice, s->rules[i].says);
		make_one(m, s->agent_voice, s->rules[i].then);
	}
}

static bool
write_manifest(const struct maker *m)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/manifest.json", m->out);
	return json_object_to_file_ext(path, m->manifest, JSON_C_TO_STRING_PRETTY) == 0;
}

static const char usage[] =
	"usage: voiceagent sandbox speech --out DIR [--scenarios DIR] [--engine espeak-ng|flite]\n"
	"\n"
	"Synthesises every sentence of the scenarios into DIR. Files that are there are kept.\n";

int
sandbox_speech_main(int argc, char **argv)
{
	static const struct option options[] = {{"scenarios", required_argument, NULL, 's'},
											{"out", required_argument, NULL, 'o'},
											{"engine", required_argument, NULL, 'e'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	struct maker m = {.engine = "espeak-ng"};
	struct scenario_set set;
	char dir[4096], error[400];
	int c;

	scenario_default_dir(dir, sizeof(dir));
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c)
		{
			case 's': snprintf(dir, sizeof(dir), "%s", optarg); break;
			case 'o': m.out = optarg; break;
			case 'e': m.engine = optarg; break;
			case 'h': fputs(usage, stdout); return 0;
			default: fputs(usage, stderr); return 2;
		}
	if (!m.out || optind != argc ||
		(strcmp(m.engine, "espeak-ng") != 0 && strcmp(m.engine, "flite") != 0))
	{
		fputs(usage, stderr);
		return 2;
	}
	if (mkdir(m.out, 0755) != 0 && errno != EEXIST)
	{
		fprintf(stderr, "voiceagent: %s: %s\n", m.out, strerror(errno));
		return 1;
	}
	if (!scenario_set_load(&set, dir, error, sizeof(error)))
	{
		fprintf(stderr, "voiceagent: %s\n", error);
		return 1;
	}
	m.manifest = json_object_new_object();
	for (size_t i = 0; i < set.count; i++)
		make_all(&m, set.items[i]);
	m.failed = m.failed || !write_manifest(&m);
	if (!m.failed)
		printf("%u sentences made, %d in all\n", m.made, json_object_object_length(m.manifest));
	json_object_put(m.manifest);
	scenario_set_free(&set);
	return m.failed;
}
