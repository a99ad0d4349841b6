/*
 * key_file.h: the keys that encrypt secrets, in a file beside the database and not in it.
 */
#ifndef VA_PG_KEY_FILE_H
#define VA_PG_KEY_FILE_H

#include <stdbool.h>

#define KEY_SIZE 32
#define KEY_ID_SIZE 8
#define KEYS_MAX 16 /* in one file: the current one and old ones that something may still need */

struct va_key
{
	unsigned char bytes[KEY_SIZE]; /* wipe with explicit_bzero after use */
	unsigned char id[KEY_ID_SIZE]; /* tells keys apart, says nothing of the key */
};

struct va_keys
{
	int count;
	struct va_key key[KEYS_MAX]; /* the current one first, the oldest last */
};

/*
 * Reads voiceagent.key of the data directory. Without the file: makes one with a first key when
 * `create`, else returns false. A file that is not usable (wrong size, of another user, readable by
 * others, no permission) is an error of SQLSTATE VA006. Wipe `keys` after use.
 */
bool keys_load(struct va_keys *keys, bool create);

/*
 * Puts a new key before those of the file (made when there is none) and returns it in `added`. The
 * file is replaced as a whole and is on disk on return: whatever crashes when, it holds all keys it
 * held. An error of SQLSTATE VA006 when there are KEYS_MAX already. Not undone by a rollback.
 */
void keys_add(struct va_key *added);

/*
 * Takes a key out of the file, the current one excepted; false when it is not there. The caller
 * answers for it that nothing needs the key, also after a crash.
 */
bool keys_remove(const unsigned char *id);

#endif
