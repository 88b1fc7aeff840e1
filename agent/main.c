/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command table. Whatever is listed here works; what a command is, says its row.
 */
#include <string.h>

#include "batten/base/json.h"
#include "batten/base/macros.h"
#include "cli/commands.h"
#include "daemon/role.h"

const struct command *const commands[] = {
	&cmd_audit,
	&cmd_completion,
	&cmd_daemon,
	&cmd_ecs_config,
	&cmd_events,
	&cmd_fix,
	&cmd_help,
	&cmd_image_inspect,
	&cmd_image_strip,
	&cmd_imds_allow,
	&cmd_imds_block,
	&cmd_imds_plan,
	&cmd_imds_probe,
	&cmd_imds_status,
	&cmd_imds_unblock,
	&cmd_metrics,
	&cmd_seccomp_diff,
	&cmd_seccomp_explain,
	&cmd_seccomp_generate,
	&cmd_seccomp_import,
	&cmd_seccomp_list,
	&cmd_seccomp_measure_runtime,
	&cmd_seccomp_merge,
	&cmd_seccomp_record,
	&cmd_seccomp_shadow,
	&cmd_seccomp_show,
	&cmd_seccomp_verify,
	&cmd_status,
};
const size_t n_commands = ARRAY_SIZE(commands);

int main(int argc, char **argv)
{
	json_watch_memory();
	if (argc > 0 && strcmp(argv[0], ROLE_ARGV0) == 0)
		return role_main(argc, argv);
	return command_main(argc, (const char *const *)argv);
}
