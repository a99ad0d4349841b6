/*
 * speech.c: keeps sentences as audio, from files or from a synthesizer.
 *
 * The synthesizer runs as a child without a shell, so no text can be taken for a command; it gets
 * the sentence as an argument and gives the WAV file on a pipe (espeak-ng) or in a file (flite).
 */
#include "sandbox/speech.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <speex/speex_resampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/codec.h"
#include "sandbox/speech_files.h"
#include "sandbox/vad.h"
#include "sandbox/wav.h"

#define LONGEST_SILENCE_MS 220
#define LOUD 300 /* RMS of 10 ms above which there is speech */
#define PEAK 22000 /* 3.5 dB below full scale */
#define QUALITY 8 /* of the resampler, 0 to 10 */
#define MAX_TEXT 4000 /* characters of one sentence */

extern char **environ;

struct entry
{
	struct entry *next;
	char hash[SPEECH_HASH];
	struct speech speech;
};

struct speech_store
{
	char *dir;
	char *engine;
	struct entry *entries;
};

struct speech_store *
speech_store_new(const char *dir, const char *engine)
{
	struct speech_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->dir = dir ? strdup(dir) : NULL;
	store->engine = strdup(engine);
	return store;
}

void
speech_store_free(struct speech_store *store)
{
	if (!store)
		return;
	while (store->entries)
	{
		struct entry *e = store->entries;

		store->entries = e->next;
		free(e->speech.pcm);
		free(e);
	}
	free(store->dir);
	free(store->engine);
	free(store);
}

void
speech_hash(const char *voice, const char *text, char hash[SPEECH_HASH])
{
	char hex[CODEC_SHA256_HEX];
	size_t size = strlen(voice) + strlen(text) + 2;
	char *both = malloc(size);

	if (!both)
		abort();
	snprintf(both, size, "%s\n%s", voice, text);
	codec_sha256(both, size - 1, hex);
	snprintf(hash, SPEECH_HASH, "%.16s", hex);
	free(both);
}

bool
speech_resample(const int16_t *pcm, size_t count, unsigned from, unsigned to, int16_t **out,
				size_t *out_count)
{
	int err = 0;
	uint64_t room = (uint64_t) count * to / from + 64;
	SpeexResamplerState *state = speex_resampler_init(1, from, to, QUALITY, &err);
	spx_uint32_t in_len = (spx_uint32_t) count, out_len = (spx_uint32_t) room;

	*out = malloc(room * sizeof(int16_t));
	if (!state || !*out || count > UINT32_MAX / 8)
	{
		if (state)
			speex_resampler_destroy(state);
		free(*out);
		*out = NULL;
		return false;
	}
	speex_resampler_skip_zeros(state);
	speex_resampler_process_int(state, 0, pcm, &in_len, *out, &out_len);
	*out_count = out_len;
	speex_resampler_destroy(state);
	return true;
}

/* Takes off silence at both ends, shortens it inside, and sets the peak. In place, 8 kHz. */
static size_t
tidy(int16_t *pcm, size_t count)
{
	const size_t frame = SPEECH_RATE * VAD_FRAME_MS / 1000;
	const size_t longest = LONGEST_SILENCE_MS / VAD_FRAME_MS;
	size_t to = 0, quiet = 0, end = 0;
	int peak = 1;

	for (size_t i = 0; i < count; i++)
		peak = abs(pcm[i]) > peak ? abs(pcm[i]) : peak;
	for (size_t i = 0; i < count; i++)
		pcm[i] = (int16_t) ((int64_t) pcm[i] * PEAK / peak);
	for (size_t at = 0; at + frame <= count; at += frame)
	{
		bool loud = vad_rms(pcm + at, frame) >= LOUD;

		quiet = loud ? 0 : quiet + 1;
		if ((to == 0 && !loud) || quiet > longest)
			continue;
		memmove(pcm + to, pcm + at, frame * sizeof(int16_t));
		to += frame;
		if (loud)
			end = to;
	}
	return end;
}

static bool
read_all(int fd, uint8_t **data, size_t *len)
{
	size_t room = 0;
	ssize_t got;

	*data = NULL;
	*len = 0;
	do
	{
		if (*len + 65536 > room)
		{
			uint8_t *more = realloc(*data, room = room * 2 + 131072);

			if (!more || room > 64u << 20)
				return false;
			*data = more;
		}
		got = read(fd, *data + *len, 65536);
		if (got > 0)
			*len += (size_t) got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	return got == 0;
}

/* Runs argv with its output on a pipe; false when it cannot be started or fails. */
static bool
run_program(char *const argv[], uint8_t **data, size_t *len, char *error, size_t size)
{
	posix_spawn_file_actions_t actions;
	int fds[2], status = -1, rc;
	pid_t pid;
	bool ok;

	*data = NULL;
	if (pipe2(fds, O_CLOEXEC) != 0)
	{
		snprintf(error, size, "no pipe: %s", strerror(errno));
		return false;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (rc != 0)
	{
		close(fds[0]);
		snprintf(error, size, "%s cannot be started (%s): install the package %s", argv[0],
				 strerror(rc), argv[0]);
		return false;
	}
	ok = read_all(fds[0], data, len);
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ok && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	snprintf(error, size, "%s failed", argv[0]);
	return false;
}

static bool
synthesise_espeak(const char *voice, const char *text, struct wav *wav, char *error, size_t size)
{
	char spoken[MAX_TEXT + 2];
	char *argv[] = {"espeak-ng", "-v", (char *) voice, "-s", "170", "--stdout", spoken, NULL};
	uint8_t *data = NULL;
	size_t len = 0;
	bool ok;

	/* A leading blank: a text that begins with a hyphen is no option. */
	snprintf(spoken, sizeof(spoken), " %s", text);
	ok = run_program(argv, &data, &len, error, size) && wav_parse(data, len, wav, error, size);
	free(data);
	return ok;
}

/* flite has no variants of a voice; women's and men's voices are told apart by the variant that
 * espeak-ng would use. */
static bool
synthesise_flite(const char *voice, const char *text, struct wav *wav, char *error, size_t size)
{
	char path[] = "/tmp/voiceagent-speech-XXXXXX";
	char *name = strstr(voice, "+f") ? "slt" : "rms";
	char *argv[] = {"flite", "-voice", name, "-t", (char *) text, "-o", path, NULL};
	uint8_t *data = NULL;
	size_t len = 0;
	int fd = mkostemp(path, O_CLOEXEC);
	bool ok;

	if (fd < 0)
	{
		snprintf(error, size, "no temporary file: %s", strerror(errno));
		return false;
	}
	close(fd);
	ok = run_program(argv, &data, &len, error, size) && wav_read(path, wav, error, size);
	free(data);
	unlink(path);
	return ok;
}

bool
speech_synthesise(const char *engine, const char *voice, const char *text, int16_t **pcm,
				  size_t *count, char *error, size_t size)
{
	struct wav wav = {0};
	bool ok;

	if (strlen(text) > MAX_TEXT)
	{
		snprintf(error, size, "a sentence of more than %d characters", MAX_TEXT);
		return false;
	}
	ok = strcmp(engine, "flite") == 0 ? synthesise_flite(voice, text, &wav, error, size)
									  : synthesise_espeak(voice, text, &wav, error, size);
	if (!ok)
		return false;
	ok =
		wav.channels == 1 && speech_resample(wav.pcm, wav.count, wav.rate, SPEECH_RATE, pcm, count);
	free(wav.pcm);
	if (!ok)
		snprintf(error, size, "%s gave audio of an unexpected form", engine);
	else
		*count = tidy(*pcm, *count);
	return ok;
}

static bool
load_prepared(struct speech_store *store, const char *hash, struct speech *out)
{
	char path[4096], error[128];
	struct wav wav;

	if (!store->dir)
		return false;
	snprintf(path, sizeof(path), "%s/%s.wav", store->dir, hash);
	if (!wav_read(path, &wav, error, sizeof(error)))
		return false;
	if (wav.rate != SPEECH_RATE || wav.channels != 1)
	{
		free(wav.pcm);
		return false;
	}
	out->pcm = wav.pcm;
	out->count = wav.count;
	out->rate = SPEECH_RATE;
	return true;
}

static struct entry *
find(struct speech_store *store, const char *hash, unsigned rate)
{
	for (struct entry *e = store->entries; e; e = e->next)
		if (e->speech.rate == rate && strcmp(e->hash, hash) == 0)
			return e;
	return NULL;
}

static struct entry *
keep(struct speech_store *store, const char *hash, const struct speech *speech)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		abort();
	snprintf(e->hash, sizeof(e->hash), "%s", hash);
	e->speech = *speech;
	e->next = store->entries;
	store->entries = e;
	return e;
}

const struct speech *
speech_get(struct speech_store *store, const char *voice, const char *text, unsigned rate,
		   char *error, size_t size)
{
	char hash[SPEECH_HASH];
	struct entry *e;
	struct speech made = {0};

	speech_hash(voice, text, hash);
	if ((e = find(store, hash, rate)))
		return &e->speech;
	if (!(e = find(store, hash, SPEECH_RATE)))
	{
		made.rate = SPEECH_RATE;
		if (!load_prepared(store, hash, &made) &&
			!speech_synthesise(store->engine, voice, text, &made.pcm, &made.count, error, size))
			return NULL;
		e = keep(store, hash, &made);
	}
	if (rate == SPEECH_RATE)
		return &e->speech;
	made.rate = rate;
	if (!speech_resample(e->speech.pcm, e->speech.count, SPEECH_RATE, rate, &made.pcm, &made.count))
	{
		snprintf(error, size, "speech cannot be brought to %u Hz", rate);
		return NULL;
	}
	return &keep(store, hash, &made)->speech;
}
