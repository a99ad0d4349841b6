/* Recognition by loudness: every sentence of every scenario, through mu-law, noise, resampling. */
#include "sandbox/codec.h"
#include "sandbox/conversation_hearing.h"
#include "sandbox/scenario.h"
#include "tap.h"

#define MAX_KNOWN 64

static struct known_utterance known[MAX_KNOWN];
static const struct speech *audio[MAX_KNOWN];
static size_t count;

static void
collect(const struct scenario_set *set, struct speech_store *store)
{
	char error[256];

	for (size_t i = 0; i < set->count; i++)
		for (size_t k = 0; k < set->items[i]->step_count && count < MAX_KNOWN; k++)
		{
			const struct scenario_step *step = &set->items[i]->steps[k];

			if (step->kind != STEP_SAY)
				continue;
			audio[count] = speech_get(store, set->items[i]->caller_voice, step->text, SPEECH_RATE,
									  error, sizeof(error));
			if (!audio[count] || !envelope_of(&known[count].envelope, audio[count]->pcm,
											  audio[count]->count, SPEECH_RATE))
				return;
			known[count++].text = step->text;
		}
}

enum road
{
	PLAIN,
	ULAW,
	RESAMPLED,
	NOISY,
	HOLES
};

static int16_t *
travel(const struct speech *s, enum road road, size_t *out_count)
{
	int16_t *a = malloc(s->count * sizeof(int16_t)), *b = NULL, *c = NULL;
	size_t n = 0;

	memcpy(a, s->pcm, s->count * sizeof(int16_t));
	*out_count = s->count;
	for (size_t i = 0; i < s->count; i++)
	{
		if (road == ULAW || road == NOISY)
			a[i] = codec_pcm_from_ulaw(codec_ulaw_from_pcm(a[i]));
		if (road == NOISY)
			a[i] = (int16_t) (a[i] / 2 + (int) (tap_random() % 200) - 100);
		if (road == HOLES && i / 160 % 25 == 7)
			a[i] = 0;
	}
	if (road != RESAMPLED)
		return a;
	speech_resample(a, s->count, 8000, 16000, &b, &n);
	speech_resample(b, n, 16000, 8000, &c, out_count);
	free(a);
	free(b);
	return c;
}

/* How many sentences are told right on this road. */
static size_t
right_on(enum road road)
{
	size_t right = 0;

	for (size_t i = 0; i < count; i++)
	{
		size_t n = 0, found;
		int16_t *pcm = travel(audio[i], road, &n);
		struct envelope e;

		envelope_of(&e, pcm, n, SPEECH_RATE);
		found = recognise(known, count, e.level, e.count, NULL);
		right += found != RECOGNISE_NOTHING && strcmp(known[found].text, known[i].text) == 0;
		envelope_free(&e);
		free(pcm);
	}
	return right;
}

/* Speech of the agent is none of the caller's sentences. */
static size_t
strangers(const struct scenario_set *set, struct speech_store *store)
{
	size_t wrong = 0;
	char error[256];

	for (size_t i = 0; i < set->count; i++)
		for (size_t k = 0; k < set->items[i]->rule_count; k++)
		{
			const struct scenario_rule *rule = &set->items[i]->rules[k];
			const struct speech *s = !rule->says
										 ? NULL
										 : speech_get(store, set->items[i]->agent_voice, rule->says,
													  SPEECH_RATE, error, sizeof(error));
			struct envelope e;

			if (!s)
				continue;
			envelope_of(&e, s->pcm, s->count, SPEECH_RATE);
			wrong += recognise(known, count, e.level, e.count, NULL) != RECOGNISE_NOTHING;
			envelope_free(&e);
		}
	return wrong;
}

/* A whole turn, silence around it, at another rate and in odd pieces. */
static void
hear_a_turn(const struct scenario_set *set, struct speech_store *store)
{
	const struct scenario *s = scenario_find(set, "house-buyer");
	const struct speech *speech =
		speech_get(store, s->caller_voice, s->steps[0].text, 16000, NULL, 0);
	struct hearing h;
	char error[256], partial[200] = "";
	size_t total = 16000 + speech->count + 16000;
	int16_t *pcm = calloc(total, sizeof(int16_t));
	unsigned turns = 0, starts = 0, partials = 0;

	memcpy(pcm + 16000, speech->pcm, speech->count * sizeof(int16_t));
	ok(hearing_init(&h, s, store, 16000, 384, error, sizeof(error)), "an ear at 16 kHz");
	for (size_t at = 0; at < total;)
	{
		enum hearing_event event;
		size_t piece = total - at < 333 ? total - at : 333;

		at += hearing_push(&h, pcm + at, piece, &event);
		starts += event == HEARING_STARTED;
		turns += event == HEARING_TURN;
		if (event == HEARING_SPEAKING)
			partials += hearing_partial(&h, partial, sizeof(partial));
	}
	ok(starts == 1 && turns == 1, "hears one turn");
	is_str(hearing_words(&h, NULL), s->steps[0].text, "and its words");
	ok(partials > 2 && strncmp(partial, s->steps[0].text, strlen(partial)) == 0,
	   "partial words grow towards them: %s", partial);
	hearing_free(&h);
	free(pcm);
}

int
main(void)
{
	struct scenario_set set;
	char dir[4096], error[400] = "";
	struct speech_store *store = speech_store_new(NULL, "espeak-ng");

	plan(12);
	scenario_default_dir(dir, sizeof(dir));
	ok(scenario_set_load(&set, dir, error, sizeof(error)), "the scenarios load %s", error);
	collect(&set, store);
	ok(count >= 10, "%zu sentences", count);
	is_int(right_on(PLAIN), count, "all are told apart");
	is_int(right_on(ULAW), count, "through mu-law");
	is_int(right_on(RESAMPLED), count, "through 16 kHz and back");
	is_int(right_on(NOISY), count, "half as loud, with noise");
	is_int(right_on(HOLES), count, "with one frame in 25 lost");
	is_int(strangers(&set, store), 0, "what the agent says is none of them");
	hear_a_turn(&set, store);
	for (size_t i = 0; i < count; i++)
		envelope_free(&known[i].envelope);
	scenario_set_free(&set);
	speech_store_free(store);
	return done();
}
