/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The versions of engine, containerd and runc against those with published ways out.
 */
#include <fcntl.h>
#include <string.h>

#include "audit/controls/docker.h"
#include "audit/version.h"
#include "batten/base/fd.h"
#include "batten/base/file.h"
#include "batten/base/parse.h"

/*
 * Versions with known ways out of a container or past authorisation. The floor of the first row
 * whose line the version belongs to holds; a row without a line is for everything else.
 * runc: CVE-2024-21626 (1.1.12), CVE-2025-31133 and its relatives (1.2.8, 1.3.3).
 * containerd: CVE-2022-23648 (1.6.1), CVE-2024-25621 (1.7.29, 2.0.7, 2.1.5).
 * Engine: CVE-2024-41110 (23.0.15, 25.0.6, 26.1.5, 27.1.1).
 */
static const struct {
	const char *component, *line_from, *line_before, *floor;
} floors[] = {
	{ "runc", "1.3.0", "1.4.0", "1.3.3" },
	{ "runc", "1.2.0", "1.3.0", "1.2.8" },
	{ "runc", NULL, NULL, "1.1.12" },
	{ "containerd", "2.1.0", "2.2.0", "2.1.5" },
	{ "containerd", "2.0.0", "2.1.0", "2.0.7" },
	{ "containerd", "1.7.0", "1.8.0", "1.7.29" },
	{ "containerd", NULL, NULL, "1.6.1" },
	{ "Engine", "27.0.0", "28.0.0", "27.1.1" },
	{ "Engine", "26.0.0", "27.0.0", "26.1.5" },
	{ "Engine", "24.0.0", "26.0.0", "25.0.6" },
	{ "Engine", "23.0.0", "24.0.0", "23.0.15" },
	{ "Engine", NULL, NULL, "20.10.0" },
};

static const char *floor_of(const char *component, const char *version)
{
	for (size_t i = 0; i < ARRAY_SIZE(floors); i++) {
		if (strcmp(floors[i].component, component) != 0)
			continue;
		if (!floors[i].line_from || (!version_before(version, floors[i].line_from) &&
					     version_before(version, floors[i].line_before)))
			return floors[i].floor;
	}
	return NULL;
}

/*
 * Revisions under which Debian mended an old version: DSA-5615-1.
 * The numbers that Docker tells do not show them, the package database does.
 */
static const struct {
	const char *component, *package, *version, *revision_of, *fixed_in;
	unsigned int first_good;
} mended[] = {
	{ "runc", "runc", "1.1.5", "1.1.5+ds1-1+deb12u", "1.1.12", 1 },
};

#define DPKG_STATUS "/var/lib/dpkg/status"
#define MAX_STATUS_BYTES (16 * 1024 * 1024)

/* The version of an installed Debian package, NULL when there is none. */
static const char *package_version(struct audit *a, const char *package)
{
	_cleanup_(fd_closep) int fd = facts_file(a->facts, DPKG_STATUS, O_RDONLY);
	_cleanup_(freep) char *text = NULL;
	const char *stanza, *end, *version;
	size_t n;

	if (fd < 0 || file_read_fd(fd, DPKG_STATUS, MAX_STATUS_BYTES, &text, &n, NULL) < 0)
		return NULL;
	stanza = strstr(text, arena_printf(&a->arena, "Package: %s\n", package));
	end = stanza ? strstr(stanza, "\n\n") : NULL;
	version = stanza ? strstr(stanza, "\nVersion: ") : NULL;
	if (!version || (end && version > end))
		return NULL;
	version += strlen("\nVersion: ");
	return arena_strndup(&a->arena, version, strcspn(version, "\n"));
}

/* The package's version when the distribution has mended under it what @floor is about, else NULL. */
static const char *mended_by_distribution(struct audit *a, const char *component, const char *version, const char *floor)
{
	for (size_t i = 0; i < ARRAY_SIZE(mended); i++) {
		const char *installed;
		size_t n = strlen(mended[i].revision_of);
		uint64_t revision;

		if (strcmp(mended[i].component, component) != 0 || strcmp(mended[i].fixed_in, floor) != 0 ||
		    strncmp(version, mended[i].version, strlen(mended[i].version)) != 0)
			continue;
		installed = package_version(a, mended[i].package);
		if (installed && strncmp(installed, mended[i].revision_of, n) == 0 &&
		    parse_u64((struct slice){ installed + n, strspn(installed + n, "0123456789") }, mended[i].first_good,
			      UINT32_MAX, &revision) == 0)
			return installed;
	}
	return NULL;
}

int check_versions(struct audit *a, const struct control *c, const struct subject *s)
{
	const json_t *list = json_object_get(facts_docker(a->facts, "version"), "Components"), *v;
	struct evidence low = { 0 }, good = { 0 };
	size_t i;

	json_array_foreach(list, i, v) {
		const char *name = facts_json_string(v, "Name", ""), *version = facts_json_string(v, "Version", "");
		const char *floor = floor_of(name, version), *package = NULL;

		if (!floor)
			continue;
		if (version_before(version, floor))
			package = mended_by_distribution(a, name, version, floor);
		if (package)
			evidence_add(&good, "%s %s, mended in package version %s", name, version, package);
		else if (version_before(version, floor))
			evidence_add(&low, "%s %s is before %s", name, version, floor);
		else
			evidence_add(&good, "%s %s", name, version);
	}
	if (low.n_parts > 0)
		audit_fail(a, s, "%s (by number: a distribution may have mended it under the old one)", evidence_text(&low));
	else if (good.n_parts > 0)
		audit_pass(a, s, "%s", evidence_text(&good));
	else
		audit_unknown(a, s, "Docker does not tell the versions of its parts");
	return 0;
}
