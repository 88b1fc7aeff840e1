/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ECS agent's configuration: rows, and what their checks share.
 */
#include "audit/controls/ecs-config.h"

#include "audit/controls/controls.h"

int ecs_settings_of(struct audit *a, const struct subject *s, const struct ecs_settings **ret)
{
	int r = ecs_settings(a->facts, ret);

	if (r < 0)
		return r;
	for (size_t i = 0; i < (*ret)->config->n_files; i++) {
		const struct ecs_file *f = &(*ret)->config->files[i];

		/* Its readers are root: what it says to them cannot be told from here. */
		if (f->state == ECS_FILE_DENIED) {
			audit_unknown(a, s, "%s: %s", f->path, f->reason);
			return 0;
		}
	}
	if ((*ret)->is_ecs)
		return 1;
	audit_not_applicable(a, s, "no ECS agent is installed here");
	return 0;
}

bool ecs_is_written(const struct ecs_result *r)
{
	for (size_t i = 0; i < r->n_layers; i++)
		if (r->layers[i].source != ECS_FROM_BUILT_IN)
			return true;
	return false;
}

const char *ecs_result_text(struct audit *a, const struct ecs_result *r)
{
	const struct ecs_layer *first = r->n_layers > 0 ? &r->layers[0] : NULL;
	const char *where = ecs_source_names[r->source], *value = r->effective ? r->effective : "not set";
	bool ill = r->verdict != ECS_OK && r->reason;

	if (first && first->file && first->line > 0)
		where = arena_printf(&a->arena, "%s:%u", first->file, first->line);
	else if (first && first->file)
		where = first->file;
	return arena_printf(&a->arena, "%s is %s (%s%s%s)", r->name, value, where, ill ? ": " : "",
			    ill ? r->reason : "");
}

static const struct control controls[] = {
	{
		.id = "CFG-01",
		.title = "Tasks with interfaces of their own are cut off from instance metadata",
		.means = "An awsvpc task that reaches IMDS gets the credentials of the instance's role. The switch counts "
			 "for tasks that start after the agent was restarted.",
		.remedy = "ECS_AWSVPC_BLOCK_IMDS=true in /etc/ecs/ecs.config, then restart ecs",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.nist = "4.4.2",
		.check = check_ecs_block_imds,
	},
	{
		.id = "CFG-02",
		.title = "Every switch of the agent has a value that its reader understands",
		.means = "A value in quotes, with a comment behind it or \"yes\" is no bool for the agent: the default holds, "
			 "whatever was meant.",
		.remedy = "write true or false, without quotes and with nothing behind it",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.check = check_ecs_bools,
	},
	{
		.id = "CFG-03",
		.title = "No line of ecs.config is misspelt, malformed or written twice",
		.means = "A name that nobody reads changes nothing, and no log says so.",
		.remedy = "write the name that was meant, or take the line away",
		.severity = SEV_LOW,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.check = check_ecs_lines,
	},
	{
		.id = "CFG-04",
		.title = "The running agent has what the files say",
		.means = "The agent reads its configuration when it starts: an edit without a restart protects nothing yet.",
		.remedy = "restart ecs in a maintenance window",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES | NEEDS_PROC,
		.also = NEEDS_DOCKER,
		.mendable = true,
		.check = check_ecs_in_force,
	},
	{
		.id = "CFG-05",
		.title = "Nothing that matters is set in the JSON file below the environment",
		.means = "ecs.config.json sets whatever the environment leaves open, and fields that have no variable at all.",
		.remedy = "move the setting to /etc/ecs/ecs.config and take it out of the JSON file",
		.severity = SEV_LOW,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.check = check_ecs_hidden_layers,
	},
	{
		.id = "CFG-06",
		.title = "Tasks have roles of their own",
		.means = "Without task roles workloads fall back to the role of the instance, and all share it.",
		.remedy = "ECS_ENABLE_TASK_IAM_ROLE=true in /etc/ecs/ecs.config, then restart ecs",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.pci_dss = "7.2.2",
		.check = check_ecs_task_roles,
	},
	{
		.id = "CFG-07",
		.title = "Host-network tasks do not fall back to the instance's role",
		.means = "Nothing in the network parts such a task from the instance's credentials; without a role of its own "
			 "its SDK takes them.",
		.remedy = "give the task definition a task role, or another network mode",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES | NEEDS_DOCKER,
		.also = NEEDS_PROC,
		.fsbp = "ECS.17",
		.pci_dss = "7.2.2",
		.check = check_ecs_host_network_roles,
	},
	{
		.id = "CFG-08",
		.title = "The instance offers no place for privileged containers",
		.means = "The scheduler puts privileged tasks where they are offered a place. The agent itself refuses none.",
		.remedy = "ECS_DISABLE_PRIVILEGED=true in /etc/ecs/ecs.config, then restart ecs",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.cis_docker = "5.5",
		.fsbp = "ECS.4",
		.pci_dss = "7.2.1",
		.nist = "4.4.3",
		.check = check_ecs_privileged,
	},
	{
		.id = "CFG-09",
		.title = "What the agent says about SELinux and AppArmor is true",
		.means = "Advertised and absent, a task definition's label protects nothing; present and not advertised, task "
			 "definitions cannot ask for it.",
		.remedy = "set ECS_SELINUX_CAPABLE and ECS_APPARMOR_CAPABLE to what Docker reports, then restart ecs",
		.severity = SEV_LOW,
		.needs = NEEDS_FILES | NEEDS_DOCKER,
		.also = NEEDS_PROC,
		.mendable = true,
		.cis_docker = "5.2, 5.3",
		.nist = "4.4.3",
		.check = check_ecs_lsm,
	},
	{
		.id = "CFG-10",
		.title = "The awslogs driver uses the task's execution role",
		.means = "Otherwise the instance's role must be allowed to write every task's logs.",
		.remedy = "take ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE out of /etc/ecs/ecs.config, then restart ecs",
		.severity = SEV_LOW,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.check = check_ecs_awslogs,
	},
	{
		.id = "CFG-11",
		.title = "No registry credentials stand in the agent's configuration",
		.means = "They are in clear in the file, in docker inspect of the agent and in /proc, and every task's pull uses them.",
		.remedy = "use repositoryCredentials of the task definition (Secrets Manager), or ECR; then change the password",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.fsbp = "ECS.8",
		.pci_dss = "8.6.2",
		.check = check_ecs_registry_secrets,
	},
	{
		.id = "CFG-12",
		.title = "No proxy carries credential traffic, and no proxy's password is in clear",
		.means = "What NO_PROXY leaves out goes through the proxy: the instance's and the tasks' credentials among it.",
		.remedy = "NO_PROXY=169.254.169.254,169.254.170.2,/var/run/docker.sock, and no user:password in proxy URLs",
		.severity = SEV_HIGH,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.check = check_ecs_proxy,
	},
	{
		.id = "CFG-13",
		.title = "Spot capacity drains before it is taken away",
		.means = "Without draining tasks are killed when the instance goes.",
		.remedy = "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true in /etc/ecs/ecs.config, then restart ecs",
		.severity = SEV_LOW,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.check = check_ecs_spot,
	},
	{
		.id = "CFG-14",
		.title = "The agent's configuration belongs to root alone",
		.means = "Whoever may write it decides what the agent allows; whoever may read it reads the secrets in it.",
		.remedy = "chown root:root and chmod to the mode that is wanted; take foreign drop-ins away",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.pci_dss = "7.2.2",
		.nist = "4.5.5",
		.check = check_ecs_file_modes,
	},
	{
		.id = "CFG-15",
		.title = "Cached private images are authorised again at each start",
		.means = "With a cached image a task starts although its own role may not pull it, or the tag has moved.",
		.remedy = "ECS_IMAGE_PULL_BEHAVIOR=always in /etc/ecs/ecs.config, then restart ecs",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.cis_docker = "5.28",
		.nist = "4.2.3",
		.check = check_ecs_pull,
	},
	{
		.id = "CFG-16",
		.title = "Tasks have ceilings for CPU, memory and processes",
		.means = "A task without a ceiling takes the host down with it: a fork bomb needs no more than one task.",
		.remedy = "ECS_TASK_PIDS_LIMIT=2048 in /etc/ecs/ecs.config, ECS_ENABLE_TASK_CPU_MEM_LIMIT unset; restart ecs",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_FILES,
		.also = NEEDS_PROC | NEEDS_DOCKER,
		.mendable = true,
		.cis_docker = "5.11, 5.29",
		.nist = "4.4.3",
		.check = check_ecs_limits,
	},
};

CONTROL_SET(ecs_config_controls, AREA_ECS_CONFIG);
