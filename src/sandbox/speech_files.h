/*
 * speech_files.h: how prepared speech is named and made, shared by the store and the command that
 * fills a folder with it.
 */
#ifndef VA_SANDBOX_SPEECH_FILES_H
#define VA_SANDBOX_SPEECH_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEECH_HASH 17

/* The file name without ".wav" of a sentence in a voice. */
void speech_hash(const char *voice, const char *text, char hash[SPEECH_HASH]);
/* One sentence at SPEECH_RATE; *pcm is the caller's to free. false with the reason. */
bool speech_synthesise(const char *engine, const char *voice, const char *text, int16_t **pcm,
					   size_t *count, char *error, size_t size);

#endif
