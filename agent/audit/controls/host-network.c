/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who of the host itself is in reach of the network.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "audit/controls/host.h"
#include "audit/listeners.h"
#include "batten/audit/audit.h"

/* ---- SSH ---------------------------------------------------------------------------------------*/

/*
 * A keyword's value: in OpenSSH the first one holds, and the directory is read where the main file
 * includes it, which is at its top on every host that we serve.
 */
static const char *first_value(struct audit *a, const char *path, const char *keyword)
{
	const char *text;
	size_t n_keyword = strlen(keyword);

	if (facts_read(a->facts, path, &text, NULL) < 0)
		return NULL;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		const char *word = p + strspn(p, " \t");

		if (strncasecmp(word, "Match", 5) == 0)
			return NULL; /* what follows holds for some only */
		if (strncasecmp(word, keyword, n_keyword) != 0 || !strchr(" \t=", word[n_keyword]) || !word[n_keyword])
			continue;
		word += n_keyword + strspn(word + n_keyword, " \t=\"");
		return arena_strndup(&a->arena, word, strcspn(word, " \t\r\n#\""));
	}
	return NULL;
}

static const char *ssh_setting(struct audit *a, const char *keyword, const char *fallback)
{
	const char *const *names, *value = NULL;
	int n = facts_list(a->facts, "/etc/ssh/sshd_config.d", &names);

	for (int i = 0; i < n && !value; i++)
		if (strlen(names[i]) > 5 && strcmp(names[i] + strlen(names[i]) - 5, ".conf") == 0)
			value = first_value(a, arena_printf(&a->arena, "/etc/ssh/sshd_config.d/%s", names[i]), keyword);
	if (!value)
		value = first_value(a, "/etc/ssh/sshd_config", keyword);
	return value ? value : fallback;
}

/* The keyboard's other way to a password; the second name is the old one. */
static bool pam_asks(struct audit *a)
{
	return strcasecmp(ssh_setting(a, "UsePAM", "no"), "yes") == 0 &&
	       strcasecmp(ssh_setting(a, "KbdInteractiveAuthentication", "yes"), "no") != 0 &&
	       strcasecmp(ssh_setting(a, "ChallengeResponseAuthentication", "yes"), "no") != 0;
}

static bool is_sshd(const struct listener *l)
{
	return !l->udp && l->process &&
	       (strcmp(l->process->name, "sshd") == 0 || (l->port == 22 && strcmp(l->process->name, "systemd") == 0));
}

int check_ssh(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct listener *list;
	struct evidence e = { 0 };
	bool runs = false, hidden = false;
	int n = listeners_read(a->facts, &list);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		hidden |= !list[i].udp && !list[i].loopback && listener_is_hidden(a->facts, &list[i]);
		if (!is_sshd(&list[i]))
			continue;
		runs = true;
		if (list[i].any)
			evidence_add(&e, "sshd listens on %s port %u", list[i].address, list[i].port);
	}
	if (!runs && hidden) {
		audit_unknown(a, s, "whose some of the listening sockets are cannot be seen; run as root");
		return 0;
	}
	if (!runs) {
		audit_pass(a, s, "no SSH server listens");
		return 0;
	}
	if (strcasecmp(ssh_setting(a, "PasswordAuthentication", "yes"), "no") != 0)
		evidence_add(&e, "it takes passwords");
	else if (pam_asks(a))
		evidence_add(&e, "it takes passwords that PAM asks for (KbdInteractiveAuthentication)");
	if (strcasecmp(ssh_setting(a, "PermitRootLogin", "prohibit-password"), "yes") == 0)
		evidence_add(&e, "root may log in with a password");
	if (e.n_parts > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else
		audit_pass(a, s, "an SSH server listens on chosen addresses only, without passwords");
	return 0;
}

/* ---- everything else ---------------------------------------------------------------------------*/

/* What a container host needs, or another control judges. */
static const struct {
	const char *name;
	unsigned int port; /* 0: any */
} known_listeners[] = {
	{ "sshd", 22 },		  { "systemd-network", 0 }, { "systemd-resolve", 0 }, { "chronyd", 0 },	 { "dhclient", 0 },
	{ "NetworkManager", 0 },  { "agent", 51678 },	    { "amazon-ecs-agen", 0 }, { "docker-proxy", 0 }, { "dockerd", 0 },
	{ "systemd-timesyn", 0 }, { "dhcpcd", 0 },	    { "ssm-agent-worke", 0 },
};

static bool is_known(struct audit *a, const struct listener *l)
{
	const char *name = l->process->name;

	for (size_t i = 0; i < ARRAY_SIZE(known_listeners); i++)
		if (strcmp(name, known_listeners[i].name) == 0 &&
		    (known_listeners[i].port == 0 || known_listeners[i].port == l->port))
			return true;
	return audit_listed(a, "listeners", arena_printf(&a->arena, "%s:%u", name, l->port));
}

/* A host-network task; CTR-03 judges it. */
static bool in_container(struct audit *a, const struct process_facts *p)
{
	const struct container_facts *list;

	if (facts_source(a->facts, SOURCE_DOCKER, NULL) != SOURCE_OK)
		return false;
	for (size_t i = 0, n = facts_containers(a->facts, &list); i < n; i++)
		for (size_t k = 0; k < list[i].n_processes; k++)
			if (list[i].processes[k] == p)
				return true;
	return false;
}

int check_listeners(struct audit *a, const struct control *c, const struct subject *s)
{
	const struct listener *list;
	struct evidence e = { 0 };
	int n = listeners_read(a->facts, &list), n_open = 0, n_hidden = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		const struct listener *l = &list[i];

		if (l->loopback)
			continue;
		n_open++;
		if (listener_is_hidden(a->facts, l))
			n_hidden++;
		else if (!l->process)
			evidence_add(&e, "%s port %u of a program that cannot be seen", l->udp ? "udp" : "tcp", l->port);
		else if (!is_known(a, l) && !in_container(a, l->process))
			evidence_add(&e, "%s:%u (%s, %s)", l->process->name, l->port, l->udp ? "udp" : "tcp", l->address);
	}
	if (e.n_parts + e.n_left_out > 0)
		audit_fail(a, s, "%s", evidence_text(&e));
	else if (n_hidden > 0)
		audit_unknown(a, s, "whose %d of %d sockets beyond loopback are cannot be seen; run as root", n_hidden, n_open);
	else if (n_open == 0)
		audit_pass(a, s, "nothing listens beyond loopback");
	else
		audit_pass(a, s, "%d sockets beyond loopback, all of known programs", n_open);
	return 0;
}
