/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * dnf does the work: its resolver, its locks and its keys are what the host's owner trusts. What it says for people
 * is parsed nowhere but in the two lists, whose lines are NAME.ARCH, VERSION-RELEASE and the repository.
 */
#include "batten/host/package.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/program.h"

#define RPM "/usr/bin/rpm"
#define DNF "/usr/bin/dnf"
#define LOOK_MS 10000
#define ASK_MS 180000 /* dnf fetches what repositories have when it is older than a few hours */
#define DNF_HAS_UPDATES 100

/* The line that says what was wrong, or the last. Return: -EREMOTEIO */
static int said_no(struct diag *d, const char *program, const struct bytes *out)
{
	const char *text = out->data ? out->data : "", *line = strstr(text, "Error: ");
	char words[200];
	size_t n;

	if (!line) {
		n = out->n;
		while (n > 0 && text[n - 1] == '\n')
			n--;
		line = n > 0 ? memrchr(text, '\n', n) : NULL;
		line = line ? line + 1 : text;
	}
	(void)snprintf(words, sizeof(words), "%.*s", (int)strcspn(line, "\n"), line);
	for (char *c = words; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return diag_fail(d, -EREMOTEIO, program, "%s", words[0] ? words : "failed, and said nothing");
}

static int run(const char *const *argv, int keep, unsigned int timeout_ms, struct bytes *out, struct diag *d)
{
	int r = program_run(argv, keep, timeout_ms, out);

	return r == -ENOENT ? diag_fail(d, r, argv[0], "is not on this host") :
	       r < 0	    ? diag_errno(d, r, argv[0], "cannot be run to its end") :
			      r;
}

/* The word behind NAME.ARCH, which may be on the next line. */
static bool version_in(const struct bytes *out, const char *name, char ret[PACKAGE_VERSION_SIZE])
{
	static const char space[] = " \t\n";
	size_t n = strlen(name);

	for (const char *p = out->data ? out->data : ""; *p; p += strcspn(p, space)) {
		p += strspn(p, space);
		if (strncmp(p, name, n) != 0 || p[n] != '.')
			continue;
		p += strcspn(p, space);
		p += strspn(p, space);
		return snprintf(ret, PACKAGE_VERSION_SIZE, "%.*s", (int)strcspn(p, space), p) < PACKAGE_VERSION_SIZE && *ret;
	}
	return false;
}

/* More than one, in the middle of a transaction that was cut short: all of them, so that it is none that anybody knows. */
static int look(const char *name, struct package *ret, struct diag *d)
{
	const char *argv[] = { RPM, "-q", "--qf", "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} ", name, NULL };
	struct bytes out = { 0 };
	int r = run(argv, -1, LOOK_MS, &out, d);

	ret->installed[0] = '\0';
	if (r > 0 && !(out.data && strstr(out.data, "is not installed")))
		r = said_no(d, RPM, &out);
	else if (r == 0)
		(void)snprintf(ret->installed, sizeof(ret->installed), "%.*s", (int)(out.n > 0 ? out.n - 1 : 0), out.data);
	bytes_done(&out);
	return r < 0 ? r : 0;
}

static int ask(const char *name, struct package *ret, struct diag *d)
{
	char spec[PACKAGE_VERSION_SIZE + 64], found[PACKAGE_VERSION_SIZE];
	const char *updates[] = { DNF, "-q", "check-update", name, NULL };
	const char *same[] = { DNF, "-q", "--showduplicates", "list", "--available", spec, NULL };
	struct bytes out = { 0 };
	int r = run(updates, -1, ASK_MS, &out, d);

	ret->offered[0] = '\0';
	ret->can_go_back = false;
	if (r == DNF_HAS_UPDATES && version_in(&out, name, ret->offered)) {
		bytes_done(&out);
		(void)snprintf(spec, sizeof(spec), "%s-%s", name, ret->installed);
		r = run(same, -1, ASK_MS, &out, d);
		ret->can_go_back = r == 0 && version_in(&out, name, found) && strcmp(found, ret->installed) == 0;
	} else if (r > 0) {
		r = said_no(d, DNF, &out);
	}
	bytes_done(&out);
	return r < 0 ? r : 0;
}

static int replace(const char *verb, const char *name, const char *version, int keep, struct diag *d)
{
	char spec[PACKAGE_VERSION_SIZE + 64];
	const char *argv[] = { DNF, "-q", "-y", verb, spec, NULL };
	struct bytes out = { 0 };
	struct package now;
	int r;

	(void)snprintf(spec, sizeof(spec), "%s-%s", name, version);
	/* No limit of time: what is killed half way is worse than what is late. */
	r = run(argv, keep, 0, &out, d);
	if (r > 0)
		r = said_no(d, DNF, &out);
	bytes_done(&out);
	if (r >= 0)
		r = look(name, &now, d);
	if (r >= 0 && strcmp(now.installed, version) != 0)
		r = diag_fail(d, -EREMOTEIO, DNF, "says that it is done, but %s is %s", name, now.installed[0] ? now.installed : "gone");
	return r;
}

int package(enum package_deed deed, const char *name, const char *version, int keep, struct package *ret, struct diag *d)
{
	int r;

	if (deed == PACKAGE_UPDATE || deed == PACKAGE_DOWNGRADE)
		return replace(deed == PACKAGE_UPDATE ? "update" : "downgrade", name, version, keep, d);
	r = look(name, ret, d);
	return r < 0 || deed == PACKAGE_LOOK || !ret->installed[0] ? r : ask(name, ret, d);
}
