/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Menders of the host: kernel switches live and in a file of our own, the kernel's audit, services.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audit/controls/host.h"
#include "audit/fix-internal.h"
#include "batten/base/parse.h"

/* Each control has a file of its own, so that one can be undone without the other; the name is the last. */
static const char *sysctl_file(struct fix_plan *p, const char *control)
{
	return arena_printf(&p->audit->arena, "/etc/sysctl.d/99-zz-batten-%s.conf", control);
}

static int add_line(struct fix_plan *p, const char *path, mode_t mode, const char *comment, const char *name,
		    const char *value)
{
	struct bytes out = { 0 };
	struct snapshot *s;
	int r = plan_file(p, path, mode, &s);

	if (r < 0)
		return r;
	if (s->n == 0 && comment)
		r = snapshot_set_data(s, comment, strlen(comment));
	if (r >= 0)
		r = lines_set((struct slice){ s->data, s->n }, name, value, 0, &out);
	if (r >= 0)
		r = snapshot_set_data(s, out.data, out.n);
	bytes_done(&out);
	return r;
}

static int set_switch(struct fix_plan *p, const char *control, const char *name, const char *value)
{
	char path[256];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/sys/%s", name);
	for (char *c = path + sizeof("/proc/sys/") - 1; *c; c++)
		if (*c == '.')
			*c = '/';
	/* The file first: after a crash in between the next boot has it. */
	r = add_line(p, sysctl_file(p, control), 0644, "# Written by batten fix.\n", name, value);
	if (r >= 0)
		r = plan_value(p, path, value);
	return r < 0 ? r : 1;
}

static int mend_switch(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	const char *name = f->subject.kind == SUBJECT_SETTING ? f->subject.name : m->key;
	char value[32];

	if (strcmp(name, "lockdown") == 0)
		return plan_refuse(p, "only the kernel's command line switches it on for good: lockdown=integrity");
	if (!kernel_switch_value(name, value, sizeof(value)))
		return -ENOENT;
	return set_switch(p, m->control, name, value);
}

/* ---- SELinux -----------------------------------------------------------------------------------*/

static int mend_selinux(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	int r;

	if (!facts_line(p->audit->facts, "/sys/fs/selinux/enforce"))
		return plan_refuse(p, "no policy is loaded: that takes the kernel's command line, a relabelled file system "
				   "and a reboot");
	r = add_line(p, "/etc/selinux/config", 0644, NULL, "SELINUX", "enforcing");
	if (r >= 0)
		r = plan_value(p, "/sys/fs/selinux/enforce", "1");
	return r < 0 ? r : 1;
}

/* ---- the kernel's audit ------------------------------------------------------------------------*/

static int mend_audit(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	static const char file[] = "/etc/audit/rules.d/50-batten.rules";
	const json_t *doc = facts_document(p->audit->facts, SOURCE_AUDIT);
	const char *const *paths;
	struct bytes text = { 0 };
	struct snapshot *s;
	size_t n = kernel_audit_unwatched(p->audit, &paths);
	int r;

	if (facts_json_int(doc, "enabled", 0) == 0)
		return plan_refuse(p, "switch it on with auditd: systemctl enable --now auditd");
	if (facts_json_int(doc, "enabled", 0) == 2)
		return plan_refuse(p, "the rules are locked until the next boot (auditctl -e 2)");
	if (n == 0)
		return plan_refuse(p, "records were lost: give the kernel a larger backlog (auditctl -b), or fewer rules");
	r = plan_file(p, file, 0640, &s);
	if (r < 0)
		return r;
	bytes_append(&text, s->data, s->n);
	if (s->n == 0)
		bytes_append_str(&text, "# Written by batten fix, HST-08.\n");
	for (size_t i = 0; i < n; i++)
		bytes_printf(&text, "-w %s -p wa -k batten\n", paths[i]);
	r = text.error < 0 ? text.error : snapshot_set_data(s, text.data, text.n);
	bytes_done(&text);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = plan_watch(p, paths[i]);
	return r < 0 ? r : 1;
}

/* ---- services ----------------------------------------------------------------------------------*/

static const char *unit_file(struct fix_plan *p, const char *unit)
{
	static const char *const directories[] = { "/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		const char *path = arena_printf(&p->audit->arena, "%s/%s", directories[i], unit);

		if (facts_stat(p->audit->facts, path, true, &st) == 0)
			return path;
	}
	return NULL;
}

static bool runs(struct fix_plan *p, const char *name)
{
	const struct process_facts *list;

	for (size_t i = 0, n = facts_processes(p->audit->facts, &list); i < n; i++)
		if (strncmp(list[i].name, name, 15) == 0)
			return true;
	return false;
}

/* Now, and at each boot. */
static int start(struct fix_plan *p, const char *unit)
{
	const char *file = unit_file(p, unit);
	int r = plan_link(p, arena_printf(&p->audit->arena, "/etc/systemd/system/multi-user.target.wants/%s", unit), file);

	if (r >= 0)
		r = plan_unit(p, unit, true);
	return r < 0 ? r : 1;
}

static int mend_time_and_agents(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	static const char *const clocks[] = { "chronyd.service", "chrony.service", "systemd-timesyncd.service" };
	const char *vendor = facts_line(p->audit->facts, "/sys/class/dmi/id/sys_vendor");
	bool ec2 = vendor && strcmp(vendor, "Amazon EC2") == 0;
	int r = 0;

	if (facts_clock(p->audit->facts) == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(clocks) && r == 0; i++)
			if (unit_file(p, clocks[i]))
				r = start(p, clocks[i]);
		if (r <= 0)
			return r < 0 ? r : plan_refuse(p, "no chrony and no systemd-timesyncd is installed");
	}
	if (ec2 && !runs(p, "amazon-ssm-agent")) {
		if (!unit_file(p, "amazon-ssm-agent.service"))
			return plan_refuse(p, "the SSM agent is not installed");
		r = start(p, "amazon-ssm-agent.service");
	}
	return r;
}

/* Who closes this door has to know that the other one opens. */
static int mend_ssh(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	static const char *const units[] = { "sshd.service", "ssh.service", "sshd.socket", "ssh.socket" };
	int r = 0, found = 0;

	if (!runs(p, "amazon-ssm-agent"))
		return plan_refuse(p, "the SSM agent does not run: without SSH nobody could reach this host");
	for (size_t i = 0; i < ARRAY_SIZE(units) && r >= 0; i++) {
		if (!unit_file(p, units[i]))
			continue;
		found = 1;
		r = plan_unit(p, units[i], false);
		if (r >= 0)
			r = plan_link(p, arena_printf(&p->audit->arena, "/etc/systemd/system/%s", units[i]), "/dev/null");
	}
	if (r < 0)
		return r;
	return found ? 1 : plan_refuse(p, "no unit of an SSH server is there: stop it the way it was started");
}

static const struct mender menders[] = {
	{ "HST-01", .plan = mend_ssh, .by_name = "it stops and masks the SSH server: say --control HST-01 when Session "
						 "Manager was seen to work" },
	{ "HST-04", .plan = mend_selinux, .by_name = "a policy that begins to refuse can stop tasks: try them on one host, "
						     "then say --control HST-04" },
	{ "HST-08", .plan = mend_audit },
	{ "HST-10", .plan = mend_switch, .key = "kernel.unprivileged_bpf_disabled" },
	{ "HST-11", .plan = mend_switch },
	{ "HST-12", .plan = mend_switch },
	{ "HST-14", .plan = mend_time_and_agents, .later = "the clock counts as right when it was compared with others" },
};

MENDER_SET(host_menders);
