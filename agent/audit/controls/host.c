/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host itself. Rows here; the checks stand in host-*.c, by what they look at.
 */
#include "audit/controls/controls.h"
#include "audit/controls/host.h"

static const struct control controls[] = {
	{
		.id = "HST-10",
		.title = "Unprivileged users cannot load BPF programs",
		.means = "The kernel's BPF verifier is within reach of every process, also of those in containers "
			 "without a seccomp filter; its faults have led to root more than once.",
		.remedy = "sysctl kernel.unprivileged_bpf_disabled=1, and a file in /etc/sysctl.d that says the same",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_PROC,
		.mendable = true,
		.pci_dss = "2.2.6",
		.nist = "4.5.1",
		.check = check_unprivileged_bpf,
	},
	{
		.id = "HST-11",
		.title = "Kernel hardening switches are set",
		.means = "Addresses, messages and memory of the kernel or of other processes are easier to get at, which "
			 "turns a small fault into a way out of a container.",
		.remedy = "set the switch with sysctl and in a file in /etc/sysctl.d",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_PROC,
		.mendable = true,
		.pci_dss = "2.2.6",
		.nist = "4.5.1",
		.cis_al2023 = "1.5.1, 1.5.2, 1.5.3",
		.check = check_kernel_switches,
	},
	{
		.id = "HST-12",
		.title = "Network switches are hardened without breaking containers",
		.means = "Neighbours can redirect or spoof traffic of this host. Forwarding must stay on: bridge-mode "
			 "tasks live on it.",
		.remedy = "set the switch with sysctl and in a file in /etc/sysctl.d; leave net.ipv4.ip_forward at 1",
		.severity = SEV_MEDIUM,
		.needs = NEEDS_PROC,
		.mendable = true,
		.pci_dss = "2.2.6",
		.cis_al2023 = "3.2.2, 3.3.1, 3.3.2, 3.3.3, 3.3.4, 3.3.5, 3.3.6, 3.3.7, 3.3.8",
		.check = check_network_switches,
	},
};

CONTROL_SET(host_controls, AREA_HOST);
