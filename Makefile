# SPDX-License-Identifier: GPL-3.0-or-later
#
# One file, no recursion. Yours to set: B, CC, CFLAGS, CPPFLAGS, LDFLAGS, PKG_CONFIG, PREFIX, DESTDIR,
# SYSCONFDIR, UNITDIR, STRIP, EMULATOR, PACKAGES, SAN (address,undefined), WERROR=1, V=1, T (pytest arguments instead of tests/system),
# STRICT=1 (a test that cannot run fails), CLANG, LLVM_OBJCOPY, BPFTOOL.

VERSION    := 0.1.0
B          ?= build
PREFIX     ?= /usr
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
MANDIR     ?= $(PREFIX)/share/man
PKG_CONFIG ?= pkg-config
CLANG      ?= clang
LLVM_OBJCOPY ?= llvm-objcopy
BPFTOOL    ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PYTHON     ?= /usr/bin/python3
STRIP      ?= strip
# What runs the binary that was built, where that is not this machine.
EMULATOR   ?=
ifeq ($(origin CC),default)
CC         := gcc
endif
# Small, but for what walks gigabytes. Whoever gives CFLAGS gets those everywhere.
ifeq ($(origin CFLAGS),undefined)
CFLAGS     := -Os -g
HOT_CFLAGS := -O2
endif
T          ?=

.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

ifeq ($(V),1)
say =
else
say = @printf '  %-7s %s\n' '$1' '$2';
endif

# ---- what is built of what ----------------------------------------------------------------------

BPF_SRC  := $(sort $(wildcard agent/*/*.bpf.c))
LIB_SRC  := $(filter-out %.bpf.c %-fallback.c,$(sort $(wildcard agent/*/*.c agent/audit/controls/*.c)))
LIB_OBJ  := $(LIB_SRC:%.c=$(B)/%.o)
SKEL     := $(BPF_SRC:agent/%.bpf.c=$(B)/skel/%.skel.h)
UNIT_SRC := $(wildcard tests/unit/test-*.c)
UNIT     := $(UNIT_SRC:%.c=$(B)/%)
TOOL_SRC := $(wildcard tests/system/tools/*.c)
TOOL     := $(TOOL_SRC:%.c=$(B)/%)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz-*.c)
REPLAY   := $(FUZZ_SRC:%.c=$(B)/%)

PKGS     := libnftnl libmnl libsystemd jansson inih libcrypto libseccomp libbpf \
             zlib libzstd libcap-ng

# ---- flags: ours apart from the user's ----------------------------------------------------------

# Results are kept, for each probe runs the compiler.
cc-ok = $(shell $(CC) -Werror $1 -x c -c -o /dev/null /dev/null 2>/dev/null && echo $1)

WARN := -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
        -Wwrite-strings -Wno-unused-parameter $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fPIE -fno-common
HARDEN += $(foreach f,-fstack-clash-protection -fcf-protection -mbranch-protection=standard -fzero-call-used-regs=used-gpr,$(call cc-ok,$f))
ifneq ($(SAN),)
HARDEN += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK_HARDEN := -fsanitize=$(SAN) -pie
else
HARDEN += $(call cc-ok,-ftrivial-auto-var-init=zero) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
HARDEN += -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
LINK_HARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed,--gc-sections
endif
HARDEN := $(HARDEN)

# Relocations packed, a twelfth of the binary, where the loader that runs what is built here knows them (glibc 2.36).
PACKED := $(shell t=$$(mktemp) && echo 'int main(void) { return 0; }' | $(CC) -x c -fPIE -pie \
          -Wl,-z,pack-relative-relocs -o $$t - 2>/dev/null && $(EMULATOR) $$t 2>/dev/null && \
          echo -Wl,-z,pack-relative-relocs; rm -f $$t)

CPP_ALL  = -Iinclude -Itests/unit -Iagent -I$(B)/skel -Wa,-I$(B) -D_GNU_SOURCE -DBATTEN_VERSION='"$(VERSION)"' \
           $(shell $(PKG_CONFIG) --cflags $(PKGS))
CPP_ALL := $(CPP_ALL)
LIBS     = $(shell $(PKG_CONFIG) --libs $(PKGS))
# The same bytes wherever the tree and the build folder are.
SAME  := -ffile-prefix-map=$(CURDIR)/= -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(B)/=build/
CC_ALL   = $(CC) -std=gnu11 $(WARN) $(HARDEN) $(SAME) $(CFLAGS)
LINK     = $(CC) $(CFLAGS) $(LINK_HARDEN) $(PACKED) $(LDFLAGS)

all: $(B)/batten

$(B)/%.o: %.c Makefile | $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC_ALL) $(HOT) $(CPP_ALL) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(patsubst %,$(B)/agent/image/%.o,crc digest-pair gzip gzip-patch inflate inflate-table tar): HOT = $(HOT_CFLAGS)

$(B)/profiles/%.gz: profiles/%
	@mkdir -p $(@D)
	$(call say,PACK,$@)gzip -9nc $< > $@

$(B)/agent/seccomp/data.o: $(patsubst %,$(B)/%.gz,$(wildcard profiles/seccomp-*.json))
$(B)/agent/image/policy.o: $(wildcard profiles/*.paths)

$(B)/libbatten.a: $(LIB_OBJ)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(B)/batten: $(B)/agent/main.o $(B)/libbatten.a
	$(call say,LD,$@)$(LINK) -o $@ $^ $(LIBS)

# BPF: objects of their own compiler, linked once (which drops DWARF: half their size), without labels, then packed, and a
# skeleton without their bytes. A folder that is nowhere keeps the source's lines out of them.
$(B)/%.bpf.o: %.bpf.c Makefile
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) -g -O2 -Wall -target bpf -fdebug-prefix-map=$(CURDIR)=/batten $(SAME) -D__TARGET_ARCH_$(BPF_ARCH) -Iinclude -Iagent \
		-idirafter /usr/include/$(subst -pc-,-,$(shell $(CC) -dumpmachine)) -MMD -MP -c -o $@ $<

$(B)/skel/%.skel.h: $(B)/agent/%.bpf.o
	@mkdir -p $(@D)
	$(call say,SKEL,$@)$(BPFTOOL) gen object $(@:.skel.h=.o) $< && \
		$(LLVM_OBJCOPY) --discard-all $(@:.skel.h=.o) && \
		gzip -9nc $(@:.skel.h=.o) > $(@:.skel.h=.o.gz) && \
		$(BPFTOOL) gen skeleton $(@:.skel.h=.o) name $(subst -,_,$(basename $(notdir $*)))_bpf | \
		sed '/^static.*__elf_bytes(size_t \*sz)$$/,/^}/d; /__elf_bytes/d' > $@

BPF_ARCH := $(if $(findstring aarch64,$(shell $(CC) -dumpmachine)),arm64,x86)

# ---- tests --------------------------------------------------------------------------------------

CMOCKA = $(shell $(PKG_CONFIG) --libs cmocka)

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libbatten.a
	$(call say,LD,$@)$(LINK) -o $@ $^ $(LIBS) $(CMOCKA)

$(B)/tests/system/tools/%: $(B)/tests/system/tools/%.o $(B)/libbatten.a
	$(call say,LD,$@)$(LINK) -o $@ $^ $(LIBS)

# A fuzz target linked with a small main() that replays tests/corpus/NAME, or, for `make fuzz`, with libFuzzer's.
$(B)/tests/fuzz/fuzz-%: $(B)/tests/fuzz/fuzz-%.o $(if $(FUZZ),,$(B)/tests/fuzz/replay.o) $(B)/libbatten.a
	$(call say,LD,$@)$(LINK) $(if $(FUZZ),-fsanitize=fuzzer) -o $@ $^ $(LIBS)

# Every fault of tests/system/test_faults*.py instead of a sample: for an evening.
faults: deps
	@FAULTS=all $(MAKE) --no-print-directory check-system T='tests/system/test_faults.py tests/system/test_faults_daemon.py tests/system/test_fix_agent.py'

fuzz-built: $(REPLAY)

# Each target of tests/fuzz in turn for TIME seconds; F=NAME,... picks. Ends with a table and fails on a find.
fuzz: deps
	@$(MAKE) --no-print-directory -s B=build-fuzz CC=clang FUZZ=1 SAN=address,undefined \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined' fuzz-built
	@$(PYTHON) tests/fuzz/run --time $(or $(TIME),60) $(if $(F),--only $(F)) build-fuzz/tests/fuzz

tests-built: $(UNIT) $(REPLAY) tools-built

# The clients that system tests and the demonstration start.
tools-built: $(TOOL)

check-unit: all tests-built
	@BATTEN=$(B)/batten B=$(B) tests/unit/run $(UNIT) $(REPLAY)

check-system: all tests-built
	@BATTEN=$(abspath $(B)/batten) BUILD=$(abspath $(B)) $(PYTHON) -m pytest -q -p no:cacheprovider \
		$(if $(STRICT),--strict-environment) $(if $(M),-m '$(M)') $(if $(T),$(T),tests/system)

check: deps
	@$(MAKE) --no-print-directory WERROR=1 check-unit check-system

# Everything once more under AddressSanitizer and UndefinedBehaviorSanitizer. Tests marked
# no_sanitizer measure what a sanitizer changes (memory, size) and say so.
check-san:
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$(MAKE) --no-print-directory B=build-san SAN=address,undefined CFLAGS='-O1 -g' \
		M='not no_sanitizer' check-unit check-system

# Commands, a daemon with its guard, and every reader of foreign bytes on its corpus, under memcheck.
check-valgrind: all tests-built
	@EMULATOR='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite' tests/unit/run $(REPLAY)
	@VALGRIND=all $(MAKE) --no-print-directory STRICT=1 check-system T=tests/system/test_valgrind.py

# Figures beside rivals of the same run; README says what each is. ROUNDS=N and QUICK=1 are for all of them.
BENCHES := $(patsubst tests/bench/%,%,$(wildcard tests/bench/bench-*))

bench: deps
	@$(MAKE) --no-print-directory $(BENCHES)

$(BENCHES): all tools-built
	@BATTEN=$(abspath $(B)/batten) BUILD=$(abspath $(B)) $(PYTHON) tests/bench/$@

# Whatever can happen to a host, at random, for TIME seconds; SEED=N repeats a course.
soak: all tools-built
	@BATTEN=$(abspath $(B)/batten) BUILD=$(abspath $(B)) $(PYTHON) tests/system/soak.py --time $(or $(TIME),600) $(if $(SEED),--seed $(SEED))

# ---- the demonstration --------------------------------------------------------------------------

demo: deps
	@$(MAKE) --no-print-directory all tools-built
	@BATTEN=$(abspath $(B)/batten) BUILD=$(abspath $(B)) $(PYTHON) tests/system/demo.py

# ---- static analysis ----------------------------------------------------------------------------

ANALYZED := $(LIB_SRC) agent/main.c

analyze: analyze-gcc analyze-tidy analyze-cppcheck analyze-shell
	@echo 'analyze: clean'

# gcc 12 loses sight of what hangs in a list or behind a foreign pointer and calls it leaked; leaks are
# AddressSanitizer's to find (check-san). Each file is looked at again only when it or a header that it
# includes changed.
analyze-gcc: $(ANALYZED:%.c=$(B)/analyze/%.gcc)
analyze-tidy: $(ANALYZED:%.c=$(B)/analyze/%.tidy)

$(B)/analyze/%.gcc: %.c $(B)/%.o
	@mkdir -p $(@D)
	$(call say,ANALYZE,$<)gcc -std=gnu11 -O1 -fanalyzer -Werror -Wno-analyzer-too-complex \
		-Wno-analyzer-malloc-leak $(CPP_ALL) -c -o /dev/null $< && touch $@

$(B)/analyze/%.tidy: %.c $(B)/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)clang-tidy --quiet --warnings-as-errors='*' --extra-arg=-std=gnu11 $< -- $(CPP_ALL) \
		2>/dev/null && touch $@

# It does not know the cleanup attribute: leaks are gcc's and AddressSanitizer's to find. And it takes readdir()
# for one that shares its buffer, which no directory stream of today does.
analyze-cppcheck: $(SKEL)
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
		--suppress=missingIncludeSystem --suppress=memleak --suppress=resourceLeak --suppress=readdirCalled --library=posix \
		-Iinclude -Iagent \
		-DBATTEN_VERSION='"$(VERSION)"' $(ANALYZED)

# Scripts are the files whose first line says so, but for those that are input of tests.
analyze-shell:
	@shellcheck $$(git ls-files -- . ':!tests/corpus' ':!tests/golden' | \
		xargs awk 'FNR == 1 && /^#!.*sh$$/ { print FILENAME } { nextfile }') </dev/null

# ---- packages, and a machine that boots -----------------------------------------------------------

# Each says what it made. The same commit gives the same bytes, whatever folder it is built in.
# DEB_ARCH and RPM_ARCH name a foreign architecture.
PACKAGES ?= $(B)/packages

deb: all package-deps
	@+systemd/packaging/make-deb $(B) $(VERSION) $(PACKAGES)

rpm: all package-deps
	@+systemd/packaging/make-rpm $(B) $(VERSION) $(PACKAGES)

dist:
	@+systemd/packaging/make-dist $(VERSION) $(PACKAGES)

# What only these need is installed when they are asked for.
package-deps:
	@$(MAKE) --no-print-directory -s deps APT_TEST='$(APT_PACKAGE)' APT_ANALYZE= DNF_TEST=rpm-build DNF_ANALYZE=

vm-deps:
	@$(MAKE) --no-print-directory -s deps APT_TEST='$(APT_PACKAGE) $(APT_VM)' APT_ANALYZE=

check-vm: all vm-deps
	@+for version in $(VERSION) $(VERSION)+next; do for kind in deb rpm; do \
		systemd/packaging/make-$$kind $(B) $$version $(B)/vm/packages >/dev/null || exit 1; done; done
	@BUILD=$(abspath $(B)) tests/vm/check.py $(B)/vm/packages $(VERSION)

# The same for arm64, cross-built with Debian's libraries, under emulation. Nothing is installed for it.
check-arm64: all package-deps
	@+tests/arm64/check $(B)

.PHONY: deb rpm dist check-arm64 package-deps vm-deps check-vm

# ---- dependencies -------------------------------------------------------------------------------

APT_BUILD := gcc make pkg-config libc6-dev libnftnl-dev libmnl-dev libsystemd-dev libjansson-dev \
             libinih-dev libssl-dev libseccomp-dev libbpf-dev clang llvm bpftool linux-libc-dev \
             zlib1g-dev libzstd-dev libcap-ng-dev
APT_TEST  := libcmocka-dev python3 python3-pytest python3-jsonschema python3-yaml curl mandoc nftables iptables iproute2 busybox-static docker.io \
             strace procps valgrind linux-perf runc crun perl gcc-multilib nginx-light redis-server \
             chromium zstd pigz isal libdeflate-tools libarchive-tools skopeo umoci podman buildah libcap2-bin debootstrap \
             prometheus prometheus-node-exporter rsyslog systemd dnf createrepo-c
APT_PACKAGE := dpkg-dev rpm lintian rpmlint zsh shellcheck git
APT_VM := qemu-system-x86 qemu-utils debootstrap e2fsprogs
APT_ANALYZE := clang clang-tidy cppcheck shellcheck git
DNF_BUILD := gcc make pkgconf-pkg-config libnftnl-devel libmnl-devel systemd-devel jansson-devel inih-devel \
             openssl-devel libseccomp-devel libbpf-devel clang llvm bpftool \
             zlib-devel libzstd-devel libcap-ng-devel
DNF_TEST  := libcmocka-devel python3 python3-pytest python3-jsonschema python3-pyyaml curl mandoc nftables iptables-nft iproute busybox docker strace \
             procps-ng valgrind perf zstd pigz bsdtar skopeo umoci createrepo_c rpm-build
DNF_ANALYZE := clang clang-tools-extra cppcheck ShellCheck git

# Quick when all is there: one question to the package database.
deps:
	@if command -v apt-get >/dev/null; then \
		missing=; \
		for p in $(APT_BUILD) $(APT_TEST) $(APT_ANALYZE) $(APT_PACKAGE); do \
			dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
		done; \
		[ -z "$$missing" ] || { echo "  DEPS   $$missing"; apt-get update -qq && \
			DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing \
			>/dev/null; }; \
	elif command -v dnf >/dev/null; then \
		missing=; \
		for p in $(DNF_BUILD) $(DNF_TEST) $(DNF_ANALYZE); do \
			rpm -q --quiet --whatprovides $$p || missing="$$missing $$p"; \
		done; \
		[ -z "$$missing" ] || dnf install -y -q $$missing; \
	else \
		echo 'deps: neither apt-get nor dnf is here; install what the Makefile lists by hand' >&2; exit 1; \
	fi

# ---- installation -------------------------------------------------------------------------------

# The manual's pages of commands come from their rows, and batten.conf(5) from the file itself.
install: all
	install -D -m 0755 $(B)/batten $(DESTDIR)$(PREFIX)/bin/batten
	[ -n "$(SAN)" ] || $(STRIP) $(DESTDIR)$(PREFIX)/bin/batten
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	$(EMULATOR) $(B)/batten completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/batten
	$(EMULATOR) $(B)/batten completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_batten
	for f in $(wildcard systemd/*.service); do install -D -m 0644 $$f $(DESTDIR)$(UNITDIR)/$${f##*/} || exit 1; done
	[ -e $(DESTDIR)$(SYSCONFDIR)/batten/batten.conf ] || \
		install -D -m 0644 systemd/batten.conf $(DESTDIR)$(SYSCONFDIR)/batten/batten.conf
	for f in $(wildcard agent/man/*.[1-9]); do \
		install -D -m 0644 $$f $(DESTDIR)$(MANDIR)/man$${f##*.}/$${f##*/} || exit 1; done
	for noun in $$($(EMULATOR) $(B)/batten help --format man); do \
		[ -e agent/man/batten-$$noun.8 ] || \
		$(EMULATOR) $(B)/batten help --format man $$noun >$(DESTDIR)$(MANDIR)/man8/batten-$$noun.8 || exit 1; done
	awk -f agent/man/conf-page.awk systemd/batten.conf >$(DESTDIR)$(MANDIR)/man5/batten.conf.5
	for f in $(wildcard profiles/*); do install -D -m 0644 $$f $(DESTDIR)$(PREFIX)/share/batten/$$f || exit 1; done
	for f in $(wildcard systemd/fleet/*); do \
		mode=0644; [ ! -x $$f ] || mode=0755; \
		install -D -m $$mode $$f $(DESTDIR)$(PREFIX)/share/batten/fleet/$${f##*/} || exit 1; done

# The configuration stays: it is the user's.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/batten \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/batten \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_batten \
		$(patsubst systemd/%,$(DESTDIR)$(UNITDIR)/%,$(wildcard systemd/*.service)) \
		$(DESTDIR)$(MANDIR)/man5/batten[-.]*.5 $(DESTDIR)$(MANDIR)/man8/batten.8 $(DESTDIR)$(MANDIR)/man8/batten-*.8
	rm -rf $(DESTDIR)$(PREFIX)/share/batten

clean:
	rm -rf $(B) build-san build-fuzz

.PHONY: all deps faults fuzz fuzz-built bench $(BENCHES) soak demo check check-valgrind check-unit check-system check-san tests-built \
        analyze analyze-gcc analyze-tidy \
        analyze-cppcheck analyze-shell install uninstall clean

-include $(LIB_OBJ:.o=.d) $(B)/agent/main.d $(UNIT:=.d) $(TOOL:=.d) $(REPLAY:=.d) $(BPF_SRC:%.c=$(B)/%.d)
