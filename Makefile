# voiceagent: a PostgreSQL extension and its companion program.
#
#   make                 the server library, the extension's SQL, the program build/voiceagent
#   make install         into the PostgreSQL of pg_config (PG_CONFIG=…, DESTDIR=… as usual in PGXS)
#   make installcheck    pg_regress against a running server
#
# For developers; these install what is missing and need nothing beforehand:
#   make demo            a whole phone call on this machine (ONESHOT=1: ends by itself)
#   make check           every test; `make help` lists the parts
#
# Goals for developers must work where there is no pg_config yet. So PGXS is included only when
# another goal was asked for, and their scripts call make again once the packages are there.

developer_goals = help setup check demo bench lint format unit fuzz program clean-dev \
	check-next check-fresh check-peers

# ---- the program and the tests of its parts: plain make, no PGXS --------------------------------

# SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer into a folder of its own;
# WERROR=1 makes warnings errors (make check does).
BUILD = $(if $(SANITIZE),build/asan,build)
WARNINGS = -Wall -Wextra -Wvla -Wmissing-prototypes -Wshadow -Wformat-security \
	$(if $(WERROR),-Werror)
SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
PROGRAM_LIBRARIES = libwebsockets libuv libcurl json-c libpq speexdsp libssl libcrypto
PROGRAM_CFLAGS = -std=gnu11 -g -O2 $(if $(SANITIZE),$(SANITIZERS)) $(WARNINGS) -Isrc -D_GNU_SOURCE \
	$(shell pkg-config --cflags $(PROGRAM_LIBRARIES) 2>/dev/null)
PROGRAM_LIBS = -lwebsockets -luv -lcurl -ljson-c -lpq -lspeexdsp -lssl -lcrypto -lm
LIBRARY_LIBS = -lcrypto -ljson-c -lspeexdsp

part_sources = $(sort $(wildcard $(addsuffix /*.c,$(addprefix src/,$(1)))))
objects = $(patsubst %.c,$(1)/%.o,$(2))

CORE_SOURCES = $(call part_sources,core)
PROGRAM_SOURCES = $(wildcard src/main.c) $(call part_sources,core net program gateway dispatcher sandbox)
PROGRAM_OBJECTS = $(call objects,$(BUILD)/obj,$(PROGRAM_SOURCES))
# Tests are linked with an archive, so that each takes the parts it names and no other.
UNIT_ARCHIVE = $(BUILD)/parts.a
UNIT_TESTS = $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(sort $(wildcard test/unit/*_test.c)))
FUZZERS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(sort $(wildcard test/fuzz/*_fuzz.c)))
# The parsers: core, and the one of net that is pure.
FUZZ_SOURCES = $(CORE_SOURCES) src/net/http_parse.c
FUZZ_CFLAGS = $(PROGRAM_CFLAGS) -O1 $(SANITIZERS)

# (PGXS has a meaning of its own for PROGRAM.) A checkout without main.c (one part of the source alone) still builds its library.
COMPANION = $(if $(wildcard src/main.c),$(BUILD)/voiceagent)
SCENARIOS = $(sort $(wildcard src/sandbox/scenarios/*))
# Speech is synthesised where espeak-ng is at hand; the sandbox makes later what is missing.
SPEECH_DONE = $(if $(COMPANION),$(if $(SCENARIOS),$(if $(shell command -v espeak-ng),build/speech/.done)))

# ---- the server library: PGXS -------------------------------------------------------------------

ifneq (,$(filter-out $(developer_goals),$(or $(MAKECMDGOALS),all)))

EXTENSION = voiceagent
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" $(EXTENSION).control)
MODULE_big = voiceagent
OBJS = src/voiceagent.o $(patsubst %.c,%.o,$(call part_sources,pg worker)) $(CORE_SOURCES:.c=.o)
# The version before is kept as it was released; the way from it is made of both (sql/upgrade/README.md).
PREVIOUS := $(patsubst sql/upgrade/$(EXTENSION)--%.sql,%,$(filter-out $(wildcard sql/upgrade/*--*--*.sql),$(wildcard sql/upgrade/$(EXTENSION)--*.sql)))
UPGRADE = $(EXTENSION)--$(PREVIOUS)--$(EXTVERSION).sql
DATA_built = $(EXTENSION)--$(EXTVERSION).sql $(UPGRADE)
DATA = $(sort $(wildcard sql/upgrade/$(EXTENSION)--*--*.sql))
EXTRA_CLEAN = $(OBJS:.o=.d) build/obj build/voiceagent build/parts.a build/asan build/fuzz build/unit build/speech

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test
# isolationtester looks for its input in <inputdir>/specs: a link to test/isolation.
ISOLATION = $(sort $(patsubst test/isolation/%.spec,%,$(wildcard test/isolation/*.spec)))
ISOLATION_OPTS = --inputdir=test

# The server's headers leave parameters unused and fields out; -Wshadow they do not survive.
PG_CPPFLAGS = -Isrc -MMD -MP $(shell pkg-config --cflags json-c 2>/dev/null)
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wvla -Wmissing-prototypes -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers $(if $(WERROR),-Werror)
SHLIB_LINK = $(LIBRARY_LIBS) -Wl,--version-script=src/voiceagent.map
# No bitcode: nothing here is worth inlining into a query, and clang would become a dependency.
override with_llvm := no

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error $(PG_CONFIG) not found: install postgresql-server-dev, set PG_CONFIG=/path/to/pg_config, or let `make setup` install what is missing)
endif
include $(PGXS)

all: $(COMPANION) $(SPEECH_DONE)

# core is also compiled into the program, where declarations may stand among statements.
$(CORE_SOURCES:.c=.o): override CFLAGS += -Wno-declaration-after-statement

$(EXTENSION)--$(EXTVERSION).sql: $(sort $(wildcard sql/*.sql))
	cat $^ /dev/null > $@

$(UPGRADE): sql/upgrade/$(EXTENSION)--$(PREVIOUS).sql $(EXTENSION)--$(EXTVERSION).sql sql/upgrade/statements.awk \
	sql/upgrade/prepare.sql sql/upgrade/$(PREVIOUS)--$(EXTVERSION).sql sql/upgrade/finish.sql
	{ printf '%s\n' '\echo Use "ALTER EXTENSION $(EXTENSION) UPDATE" to load this file. \quit' && \
	cat sql/upgrade/prepare.sql sql/upgrade/$(PREVIOUS)--$(EXTVERSION).sql && \
	awk -f sql/upgrade/statements.awk sql/upgrade/$(EXTENSION)--$(PREVIOUS).sql $(EXTENSION)--$(EXTVERSION).sql && \
	cat sql/upgrade/finish.sql; } > $@.tmp
	mv $@.tmp $@

$(MODULE_big).so: src/voiceagent.map

# The program goes beside `postgres`, where the launcher looks for it.
install: install-program
install-program: $(COMPANION) $(SPEECH_DONE)
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(datadir)/voiceagent/scenarios' \
		'$(DESTDIR)$(datadir)/voiceagent/speech'
	$(if $(COMPANION),$(INSTALL_PROGRAM) $(COMPANION) '$(DESTDIR)$(bindir)/voiceagent')
	$(if $(SCENARIOS),$(INSTALL_DATA) $(SCENARIOS) '$(DESTDIR)$(datadir)/voiceagent/scenarios/')
	$(if $(SPEECH_DONE),$(INSTALL_DATA) build/speech/*.wav '$(DESTDIR)$(datadir)/voiceagent/speech/')

uninstall: uninstall-program
uninstall-program:
	rm -f '$(DESTDIR)$(bindir)/voiceagent'
	rm -rf '$(DESTDIR)$(datadir)/voiceagent'

.PHONY: install-program uninstall-program
-include $(OBJS:.o=.d)
endif

# ---- rules that need no PGXS --------------------------------------------------------------------

.PHONY: $(developer_goals)
.SECONDARY:

program: $(COMPANION)

$(BUILD)/voiceagent: $(PROGRAM_OBJECTS)
	$(CC) $(if $(SANITIZE),$(SANITIZERS)) $(PROGRAM_LDFLAGS) -o $@ $^ $(PROGRAM_LIBS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(PROGRAM_CFLAGS) -MMD -MP -c -o $@ $<

build/speech/.done: $(SCENARIOS) | build/voiceagent
	build/voiceagent sandbox speech --scenarios src/sandbox/scenarios --out $(@D)
	@touch $@

unit: $(UNIT_TESTS)

$(UNIT_ARCHIVE): $(filter-out %/main.o,$(PROGRAM_OBJECTS))
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/unit/%: $(BUILD)/obj/test/unit/%.o $(UNIT_ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(if $(SANITIZE),$(SANITIZERS)) -o $@ $^ $(PROGRAM_LIBS)

fuzz: $(FUZZERS)

build/fuzz/%: build/fuzz/obj/test/fuzz/%.o $(call objects,build/fuzz/obj,$(FUZZ_SOURCES))
	clang $(SANITIZERS) -fsanitize=fuzzer -o $@ $^ $(LIBRARY_LIBS) -lm

build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

-include $(PROGRAM_OBJECTS:.o=.d) $(patsubst $(BUILD)/unit/%,$(BUILD)/obj/test/unit/%.d,$(UNIT_TESTS)) \
	$(call objects,build/fuzz/obj,$(FUZZ_SOURCES:.c=.d))

# ---- goals for developers -----------------------------------------------------------------------

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile
	@echo "make setup        install the missing Debian packages (as root; else says which)"
	@echo "make check        build, lint and every suite of test/; ONLY='unit pgtap' for some"
	@echo "make unit         only build the unit tests (SANITIZE=1: with ASan and UBSan)"
	@echo "make fuzz         only build the fuzz targets (clang)"
	@echo "make bench        concurrent calls beside two relays; see docs/bench.md"
	@echo "make lint format  the house style; format repairs what clang-format can"
	@echo "make check-peers  against real servers (Odoo 19 in a chroot); those that cannot be had are skipped"
	@echo "make check-next   the database tests on the PostgreSQL of Debian 13, in a chroot"
	@echo "make check-fresh  demo and check on a fresh Debian 12, in a chroot"
	@echo "make clean-dev    remove build/ altogether, chroots included"

setup:
	@test/tools/packages.sh

ifndef PGXS # which has a check of its own, that says to use installcheck
check:
	@MAKE='$(MAKE)' test/tools/check.sh $(ONLY)
endif

demo:
	@MAKE='$(MAKE)' ONESHOT='$(ONESHOT)' test/tools/demo.sh

bench:
	@test/tools/packages.sh build runtime bench
	@MAKE='$(MAKE)' test/bench/run.sh
	@MAKE='$(MAKE)' test/bench/outbox.sh

lint:
	@test/tools/lint.sh

format:
	@find src test -name '*.[ch]' | xargs clang-format -i

check-next:
	@MAKE='$(MAKE)' test/tools/chroot.sh next

check-peers:
	@test/tools/packages.sh peers || echo 'not every real server can be had: their tests are skipped'
	@MAKE='$(MAKE)' TEST_TIMEOUT=1800 test/tools/check.sh peers

check-fresh:
	@MAKE='$(MAKE)' test/tools/chroot.sh fresh

clean-dev:
	@test/tools/chroot.sh unmount
	rm -rf build
	find src \( -name '*.o' -o -name '*.d' \) -delete
	rm -f voiceagent.so voiceagent--*.sql
